// Acts on credit beside giving it, one command each.

import ArgumentParser
import StrictJSON

/// What every act asks for.
struct ActOptions: ParsableArguments {
    @Option(help: "Why; kept with the act.")
    var reason: String

    @Option(help: "Who does it.")
    var by: String?

    @Option(help: "The same key does it once.")
    var idempotencyKey: String?

    func document(_ account: String, _ members: [(String, JSONValue?)]) -> JSONObject {
        var document: JSONObject = ["account": .string(account)]
        for (name, value) in members {
            if let value { document[name] = value }
        }
        document["reason"] = .string(reason)
        if let by { document["by"] = .string(by) }
        return document
    }

    /// What an act took, without the sign that it has in the books.
    static func taken(_ answer: JSONNode) throws(JSONError) -> String {
        "\(try answer.credits("amount").trimmingPrefix("-")) credits"
    }

    /// Shows what an act came to. `extra` rows come first.
    func show(
        _ answer: JSONNode, _ output: OutputOptions,
        _ extra: (JSONNode) throws(JSONError) -> [(String, String)]
    ) throws {
        let (object, rows) = try JSONNode.reading { () throws(JSONError) in
            var rows = try extra(answer)
            rows += [
                ("balance before", try answer.credits("balance_before") + " credits"),
                ("balance", try answer.credits("balance_after") + " credits"),
            ]
            if try answer.field("duplicate").bool() {
                rows.append(("note", "done before under this key; nothing was done again"))
            } else if try answer.optional("note") != nil {
                rows.append(("note", try answer.shown("note")))
            }
            return (try answer.object(), rows)
        }
        output.show(object, text: facts(rows, indent: ""))
    }
}

struct CreditsDeduct: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deduct",
        abstract: "Takes credit by hand, in the order in which it burns.",
        discussion: """
            tollgate credits deduct acme 500 --reason "credit farming" --by ann@example.com

            More than is available is refused; --allow-negative lets it become debt.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var act: ActOptions

    @Argument(help: "The account's path.")
    var account: String

    @Argument(help: "How much, in credits.")
    var amount: String

    @Option(help: "What for, in a word of yours.")
    var service: String?

    @Flag(help: "Let it take the balance below what is available.")
    var allowNegative = false

    func run() async throws {
        let document = act.document(
            account,
            [
                ("amount", .string(amount)), ("service", service.map { .string($0) }),
                ("allow_negative", allowNegative ? true : nil),
            ])
        let answer = try await server.client.post(
            "/api/v1/credits/deduct", document, idempotencyKey: act.idempotencyKey)
        try act.show(answer, output) { (answer) throws(JSONError) in
            [("taken", try ActOptions.taken(answer))]
        }
    }
}

struct CreditsRefund: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "refund",
        abstract: "Gives back what a request was charged, or part of it.",
        discussion: """
            tollgate credits refund acme 150 --request-id req-8c1f --reason "outage"
            tollgate credits refund acme 150 --reason "sorry for the wait"

            A refund is at most what remains of its charge. Without a request id it is
            goodwill: a bonus, which has no such bound and refunds no charge.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var act: ActOptions

    @Argument(help: "The account's path.")
    var account: String

    @Argument(help: "How much, in credits.")
    var amount: String

    @Option(help: "The request whose charge is refunded.")
    var requestID: String?

    func run() async throws {
        let document = act.document(
            account, [("amount", .string(amount)), ("request_id", requestID.map { .string($0) })])
        let answer = try await server.client.post(
            "/api/v1/credits/refund", document, idempotencyKey: act.idempotencyKey)
        try act.show(answer, output) { (answer) throws(JSONError) in
            var rows = [
                ("given back", try answer.credits("amount") + " credits, " + (try answer.shown("kind"))),
                ("grant id", try answer.shown("grant_id")),
            ]
            if try answer.optional("request_id") != nil {
                rows.append(
                    (
                        "of",
                        "\(try answer.shown("request_id")), charged \(try answer.credits("charged")) credits"
                    ))
            }
            return rows
        }
    }
}

struct CreditsVoid: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "void",
        abstract: "Takes back what is left of a grant.",
        discussion: """
            tollgate credits void acme 4711 --reason "given twice"

            The grant's id is shown where it is given, and by `tollgate transactions ACCOUNT
            --type allocated --output json`.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var act: ActOptions

    @Argument(help: "The account's path.")
    var account: String

    @Argument(help: "The grant's id.")
    var grantID: String

    func run() async throws {
        let answer = try await server.client.post(
            "/api/v1/credits/void", act.document(account, [("grant_id", .string(grantID))]),
            idempotencyKey: act.idempotencyKey)
        try act.show(answer, output) { (answer) throws(JSONError) in
            [("taken back", try ActOptions.taken(answer) + " of grant \(grantID)")]
        }
    }
}

struct CreditsCorrect: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "correct",
        abstract: "Makes a charge come to what it should have been.",
        discussion: """
            tollgate credits correct acme req-8c1f 40 --reason "wrong markup"

            What was too much is refunded. What was too little is only written down: nobody
            is charged afterwards. Refunds made before count.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var act: ActOptions

    @Argument(help: "The account's path.")
    var account: String

    @Argument(help: "The request that was charged.")
    var requestID: String

    @Argument(help: "What it should have been charged, in credits.")
    var shouldHaveCharged: String

    func run() async throws {
        let answer = try await server.client.post(
            "/api/v1/credits/correct",
            act.document(
                account,
                [("request_id", .string(requestID)), ("should_have_charged", .string(shouldHaveCharged))]),
            idempotencyKey: act.idempotencyKey)
        try act.show(answer, output) { (answer) throws(JSONError) in
            [
                ("charged", try answer.credits("charged") + " credits"),
                (
                    "result",
                    "\(try answer.shown("result")), \(try answer.credits("amount")) credits given back"
                ),
            ]
        }
    }
}
