// `tollgate credits audit`: who did what to credit.

import ArgumentParser
import StrictJSON

struct CreditsAudit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Shows who did what to credit, when and why, newest first.",
        discussion: """
            tollgate credits audit acme
            tollgate credits audit --by ann@example.com --since 2026-11-01
            tollgate credits audit acme --type refunded,voided --output json

            What it shows is the journal itself: an act without a row here was not done.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path; all accounts without one.")
    var account: String?

    @Option(help: "What this person did.")
    var by: String?

    @Option(
        help:
            "Acts, with commas: allocated, refunded, manual_deduction, voided, noted, account_changed, account_moved, …."
    )
    var type: String?

    @Option(help: "At or after, such as 2026-11-01 or 2026-11-01T12:00:00Z.")
    var since: String?

    @Option(help: "Before.")
    var until: String?

    @Option(help: "Rows, at most 500.")
    var limit = 50

    @Option(help: "The page after this cursor.")
    var cursor: String?

    func run() async throws {
        var query = [("limit", "\(limit)")]
        for (name, value) in [
            ("account", account), ("by", by), ("type", type), ("since", since), ("until", until),
            ("cursor", cursor),
        ] {
            if let value { query.append((name, value)) }
        }
        let answer = try await server.client.get("/api/v1/credits/audit", query: query)
        let (object, text) = try JSONNode.reading { () throws(JSONError) in
            (try answer.object(), try Self.text(answer))
        }
        output.show(object, text: text)
    }

    private static func text(_ answer: JSONNode) throws(JSONError) -> String {
        var table = Table(
            [
                ("time", .left), ("by", .left), ("act", .left), ("account", .left), ("credits", .right),
                ("before", .right), ("after", .right), ("why", .left),
            ], indent: "")
        for row in try answer.field("acts").array() {
            let isMove = try row.shown("act") == "account_moved"
            var why = try (isMove ? "from \(row.shown("from")): " : "") + row.shown("reason")
            if try row.optional("budget") != nil {
                why = try Self.budget(row) + (why == "-" ? "" : ": \(why)")
            }
            let sums =
                try row.optional("balance_after") == nil
                ? ["-", "-", "-"]
                : ["amount", "balance_before", "balance_after"].map { key throws(JSONError) in
                    try row.credits(key)
                }
            table.add(
                [
                    try row.shown("at"), try row.shown("by"), try row.shown("act"), try row.shown("user_id"),
                ] + sums + [why])
        }
        var lines = [table.isEmpty ? "no acts" : table.text]
        if try answer.optional("next_cursor") != nil {
            lines.append("more: --cursor \(try answer.shown("next_cursor"))")
        }
        return lines.joined(separator: "\n")
    }

    /// A budget's name, and the limit it was given.
    private static func budget(_ row: JSONNode) throws(JSONError) -> String {
        guard try row.optional("limit") != nil else { return try row.shown("budget") }
        let isHard = try row.optional("hard")?.bool() ?? false
        return try
            "\(row.shown("budget")), \(row.shown("limit")) \(row.shown("metric")) per \(row.shown("window"))"
            + (isHard ? ", hard" : "")
    }
}
