// `tollgate accounts open|set|show`, `tollgate credits allocate`.

import ArgumentParser
import Platform
import StrictJSON

struct Accounts: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Opens accounts, changes what they are, shows them.",
        discussion: """
            An account is a path such as acme/search/alice. It may own a wallet, or
            draw on the nearest one above it; the same goes for its tier.
            """,
        subcommands: [AccountsOpen.self, AccountsSet.self, AccountsShow.self])
}

struct AccountsOpen: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "open",
        abstract: "Opens an account. One that exists is left as it is.",
        discussion: """
            tollgate accounts open acme --tier professional --credits 1000
            tollgate accounts open acme/search --no-wallet
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path.")
    var account: String

    @Option(help: "The tier that prices follow; inherited from above without it.")
    var tier: String?

    @Option(help: "Credit to begin with.")
    var credits: String?

    @Flag(inversion: .prefixedNo, help: "It owns a wallet, or draws on the one above.")
    var wallet = true

    @Flag(help: "Metered, and never refused for lack of credit.")
    var unlimited = false

    @Option(help: "How far below zero guarded calls may take the balance, in credits.")
    var overdraft: String?

    func run() async throws {
        var document: JSONObject = ["account": .string(account), "owns_wallet": .bool(wallet)]
        if let tier { document["tier"] = .string(tier) }
        if unlimited { document["unlimited"] = true }
        if let overdraft { document["overdraft_limit"] = .string(overdraft) }
        if let credits { document["amount"] = .string(credits) }
        let answer = try await server.client.post("/api/v1/accounts", document)
        let result = try JSONNode.reading { () throws(JSONError) in
            guard let result = try answer.field("results").array().first else {
                throw answer.invalid("it has no result")
            }
            return (
                node: result, word: try result.shown("result"),
                reason: "\(try result.shown("code")): \(try result.shown("message"))"
            )
        }
        guard result.word != "refused" else { throw CommandFailure.negative(result.reason) }
        let verb = result.word == "opened" ? "opened" : "exists already, and is left as it is"
        output.show(
            try JSONNode.reading { () throws(JSONError) in try result.node.object() },
            text: "\(account) \(verb)")
    }
}

struct AccountsSet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set",
        abstract: "Changes an account from now on; what is not named stays.",
        discussion: """
            tollgate accounts set acme --tier enterprise
            tollgate accounts set acme/search --status suspended --reason "key leaked"
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path.")
    var account: String

    @Option(help: "The tier.")
    var tier: String?

    @Option(help: ArgumentHelp("Whether it may be used.", valueName: "active|suspended|closed"))
    var status: String?

    @Option(help: ArgumentHelp("Never refused for lack of credit.", valueName: "true|false"))
    var unlimited: Bool?

    @Option(help: "How far below zero guarded calls may take the balance, in credits.")
    var overdraft: String?

    @Option(help: "Why; kept with the change.")
    var reason: String?

    func run() async throws {
        var document = JSONObject()
        if let tier { document["tier"] = .string(tier) }
        if let status { document["status"] = .string(status) }
        if let unlimited { document["unlimited"] = .bool(unlimited) }
        if let overdraft { document["overdraft_limit"] = .string(overdraft) }
        if let reason { document["reason"] = .string(reason) }
        let answer = try await server.client.patch(AccountText.path(account), document)
        try AccountText.show(answer, output)
    }
}

struct AccountsShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Shows an account: wallet, tier, status, what is left of which credit.",
        discussion: "Example:  tollgate accounts show acme/search")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path.")
    var account: String

    func run() async throws {
        try AccountText.show(try await server.client.get(AccountText.path(account)), output)
    }
}

/// An account in words.
enum AccountText {
    static func path(_ account: String) -> String {
        "/api/v1/accounts/" + AdminClient.encode(account, keepsSlashes: true)
    }

    static func show(_ answer: JSONNode, _ output: OutputOptions) throws(CommandFailure) {
        let (object, rows) = try JSONNode.reading { () throws(JSONError) in
            var rows = [("account", try answer.shown("account"))]
            if try answer.shown("wallet") != answer.shown("account") {
                rows.append(("wallet", try answer.shown("wallet")))
            }
            rows += [
                ("tier", try answer.shown("tier")), ("status", try answer.shown("status")),
                ("balance", try answer.credits("balance") + " credits"),
                (
                    "available",
                    try answer.field("unlimited").bool()
                        ? "unlimited" : try answer.credits("available") + " credits"
                ),
            ]
            for (kind, node) in try answer.field("remaining").members() {
                guard try node.string() != "0.00" else { continue }
                rows.append(("· \(kind)", try answer.field("remaining").credits(kind) + " credits left"))
            }
            rows += [
                ("granted so far", try answer.credits("total_granted") + " credits"),
                ("charged so far", try answer.credits("total_charged") + " credits"),
                ("expired so far", try answer.credits("total_expired") + " credits"),
            ]
            if try answer.optional("next_expiry") != nil {
                rows.append(("next expiry", try answer.shown("next_expiry")))
            }
            return (try answer.object(), rows)
        }
        output.show(object, text: facts(rows, indent: ""))
    }
}

struct Credits: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Gives credit.", subcommands: [CreditsAllocate.self])
}

struct CreditsAllocate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "allocate",
        abstract: "Gives credit to an account's wallet; debt is repaid first.",
        discussion: """
            tollgate credits allocate acme 500 --source promo_2026_q1
            tollgate credits allocate acme 500 --source purchase --idempotency-key invoice-4711

            With an idempotency key it is safe to ask again: nothing is given twice.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path.")
    var account: String

    @Argument(help: "How much, in credits.")
    var amount: String

    @Option(help: "Where the credit comes from, in a word of yours.")
    var source: String

    @Option(
        help: ArgumentHelp(
            "How it burns and expires; told from the source without it.",
            valueName: "monthly|promo|bonus|purchased|refund|adjustment"))
    var kind: String?

    @Option(help: "Why; kept with the grant.")
    var reason: String?

    @Option(help: "When what is left expires, such as 2027-01-31T00:00:00Z.")
    var expiresAt: String?

    @Option(help: "The same key gives the same credit once.")
    var idempotencyKey: String?

    func run() async throws {
        var document: JSONObject = [
            "account": .string(account), "amount": .string(amount), "source": .string(source),
        ]
        if let kind { document["kind"] = .string(kind) }
        if let reason { document["metadata"] = ["reason": .string(reason)] }
        if let expiresAt { document["expires_at"] = .string(expiresAt) }
        let answer = try await server.client.post(
            "/api/v1/credits/allocate", document, idempotencyKey: idempotencyKey)
        let (object, rows) = try JSONNode.reading { () throws(JSONError) in
            let isDuplicate = try answer.field("duplicate").bool()
            var rows = [
                ("given", try answer.credits("amount") + " credits, " + (try answer.shown("kind"))),
                ("balance", try answer.credits("balance") + " credits"),
            ]
            if try answer.optional("expires_at") != nil {
                rows.append(("expires", try answer.shown("expires_at")))
            }
            if isDuplicate { rows.append(("note", "given before under this key; nothing was given again")) }
            return (try answer.object(), rows)
        }
        output.show(object, text: facts(rows, indent: ""))
    }
}
