// `tollgate usage`: what accounts used over a time, in groups.

import ArgumentParser
import Money
import StrictJSON

struct UsageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "usage",
        abstract: "Shows what an account and those below it used; all accounts without one.",
        discussion: """
            tollgate usage acme
            tollgate usage acme --from 2026-01-01 --to 2027-01-01 --group-by month
            tollgate usage acme --group-by account,model --output json | jq '.groups[].charge'

            Without a time it is this month. Days are of the event and in UTC; the day of
            --to is not among them. Sums are exact, and read from daily rollups: a year takes
            milliseconds however many requests it had.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path.")
    var account: String?

    @Option(help: "The first day, such as 2026-11-01.")
    var from: String?

    @Option(help: "The day after the last.")
    var to: String?

    @Option(
        help:
            "What groups are told apart by, with commas: day or month, provider, model, credential_source, account."
    )
    var groupBy = "day"

    @Option(help: "Groups, at most 10000; the total is of all.")
    var limit = 1_000

    func run() async throws {
        var query = [("limit", "\(limit)"), ("group_by", groupBy.replacing("-", with: "_"))]
        for (name, value) in [("account", account), ("from", from), ("to", to)] {
            if let value { query.append((name, value)) }
        }
        let answer = try await server.client.get("/api/v1/usage/summary", query: query)
        let (object, text) = try JSONNode.reading { () throws(JSONError) in
            (try answer.object(), try Self.text(answer))
        }
        output.show(object, text: text)
    }

    private static func text(_ answer: JSONNode) throws(JSONError) -> String {
        var names: [String] = []
        for name in try answer.field("group_by").array() { names.append(try name.string()) }
        var table = Table(
            names.map { ($0.replacing("_", with: " "), .left) } + [
                ("requests", .right), ("input", .right), ("cached", .right), ("output", .right),
                ("cost, USD", .right), ("charge", .right), ("allowance", .right), ("parked", .right),
            ], indent: "")
        let groups = try answer.field("groups").array()
        for group in groups {
            var cells: [String] = []
            for name in names { cells.append(try group.shown(name)) }
            table.add(cells + (try sums(group)))
        }
        if groups.count > 1 || names.isEmpty {
            if !names.isEmpty { table.rule() }
            table.add(
                (names.isEmpty ? [] : ["all"]) + names.dropFirst().map { _ in "" }
                    + (try sums(answer.field("total"))))
        }
        let account = try answer.shown("account")
        var lines = [
            "\(account == "-" ? "all accounts" : account), from \(try answer.shown("from")) to before"
                + " \(try answer.shown("to"))",
            groups.isEmpty ? "no usage" : table.text,
        ]
        let leftOut = try answer.wide("groups_left_out")
        if leftOut > 0 {
            lines.append("and \(Figures.grouped(leftOut)) groups more, which are in the total: --limit")
        }
        let lag = try answer.wide("history_lag")
        if lag > 0 { lines.append("the history is \(Figures.grouped(lag)) entries behind the ledger") }
        return lines.joined(separator: "\n")
    }

    private static func sums(_ sums: JSONNode) throws(JSONError) -> [String] {
        let open = try sums.wide("parked") - sums.wide("settled") - sums.wide("discarded")
        return [
            Figures.grouped(try sums.wide("requests")), Figures.grouped(try sums.wide("input_tokens")),
            Figures.grouped(try sums.wide("cache_read_tokens")),
            Figures.grouped(try sums.wide("output_tokens")),
            try sums.shown("base_cost_usd"), try sums.shown("charge"), try sums.shown("allowance_used"),
            Figures.grouped(open),
        ]
    }
}
