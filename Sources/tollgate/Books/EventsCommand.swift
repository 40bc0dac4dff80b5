// `tollgate events`: what the gateway has to tell, from its outbox.

import ArgumentParser
import StrictJSON

struct EventsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "Lists events, oldest first: credit that ran low, came, expired; holds and parked usage.",
        discussion: """
            tollgate events --account acme
            tollgate events --type balance.depleted --output json
            tollgate events --after 1200

            They are CloudEvents, written with the history in the order of the ledger. Keep
            the number of the last one and go on behind it: nothing is missed or seen twice.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Option(help: "Of this account and those below it.")
    var account: String?

    @Option(help: "Of this type, such as balance.threshold or hold.expired.")
    var type: String?

    @Option(help: "Behind the event with this number.")
    var after: Int64?

    @Option(help: "Rows, at most 500.")
    var limit = 50

    func run() async throws {
        var query = [("limit", "\(limit)")]
        if let account { query.append(("account", account)) }
        if let type { query.append(("type", type)) }
        if let after { query.append(("after", "\(after)")) }
        let answer = try await server.client.get("/api/v1/events", query: query)
        let (object, text) = try JSONNode.reading { () throws(JSONError) in
            (try answer.object(), try Self.text(answer))
        }
        output.show(object, text: text)
    }

    private static func text(_ answer: JSONNode) throws(JSONError) -> String {
        var table = Table(
            [("number", .right), ("time", .left), ("type", .left), ("account", .left), ("what", .left)],
            indent: "")
        let rows = try answer.field("events").array()
        for row in rows {
            var words: [String] = []
            for (key, node) in try row.field("data").members() {
                switch node.value {
                case .string(let text) where !text.isEmpty: words.append("\(key) \(text)")
                case .number(let text): words.append("\(key) \(text)")
                default: break
                }
            }
            table.add([
                try row.shown("outbox_id"), try row.shown("time"), try row.shown("type"),
                try row.shown("subject"), words.joined(separator: ", "),
            ])
        }
        var lines = [table.isEmpty ? "no events" : table.text]
        if rows.count > 0 { lines.append("go on: --after \(try answer.shown("next_after"))") }
        return lines.joined(separator: "\n")
    }
}
