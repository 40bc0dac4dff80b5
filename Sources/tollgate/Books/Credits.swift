// `tollgate credits allocate|deduct|refund|void|correct|import|audit`.

import ArgumentParser
import StrictJSON

struct Credits: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Gives credit, takes it, gives it back.",
        discussion: """
            Every act can carry --idempotency-key: asking again with the same key does it
            once. Every act is an entry of the journal, with who and why:
            `tollgate transactions ACCOUNT` shows them all.
            """,
        subcommands: [
            CreditsAllocate.self, CreditsDeduct.self, CreditsRefund.self, CreditsVoid.self,
            CreditsCorrect.self, CreditsImport.self, CreditsAudit.self,
        ])
}

struct CreditsAllocate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "allocate",
        abstract: "Gives credit to an account's wallet; debt is repaid first.",
        discussion: """
            tollgate credits allocate acme 500 --source promo_2026_q1
            tollgate credits allocate acme 500 --source purchase --idempotency-key invoice-4711
            tollgate credits allocate acme 500 --source promo_claude --only-model "claude-*"
            tollgate credits allocate acme 10000 --source plan --kind monthly --anchor-day 15

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

    @Option(help: "Who gives it.")
    var by: String?

    @Option(
        help: ArgumentHelp(
            "The credit pays usage of this provider only; may be repeated.", valueName: "provider"))
    var onlyProvider: [String] = []

    @Option(
        help: ArgumentHelp(
            "The credit pays usage of this model only, or of those that begin so before a *; may be repeated.",
            valueName: "model"))
    var onlyModel: [String] = []

    @Option(help: "The day of the month on which the period of monthly credit ends; the 1st without it.")
    var anchorDay: Int?

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
        if let by { document["by"] = .string(by) }
        if let expiresAt { document["expires_at"] = .string(expiresAt) }
        if let anchorDay { document["anchor_day"] = .integer(anchorDay) }
        var filter = JSONObject()
        if !onlyProvider.isEmpty { filter["providers"] = .array(onlyProvider.map { .string($0) }) }
        if !onlyModel.isEmpty { filter["models"] = .array(onlyModel.map { .string($0) }) }
        if !filter.keys.isEmpty { document["filter"] = .object(filter) }
        let answer = try await server.client.post(
            "/api/v1/credits/allocate", document, idempotencyKey: idempotencyKey)
        let (object, rows) = try JSONNode.reading { () throws(JSONError) in
            let isDuplicate = try answer.field("duplicate").bool()
            var rows = [
                ("given", try answer.credits("amount") + " credits, " + (try answer.shown("kind"))),
                ("balance", try answer.credits("balance") + " credits"),
                ("grant id", try answer.shown("grant_id")),
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
