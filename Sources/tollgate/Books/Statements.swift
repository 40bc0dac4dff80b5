// `tollgate transactions`, `explain`, `status`.

import ArgumentParser
import StrictJSON

struct Transactions: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows an account's statement, newest first; of all accounts without one.",
        discussion: """
            tollgate transactions acme
            tollgate transactions acme --type deducted --since 2026-11-01 --limit 200
            tollgate transactions --output json | jq '.transactions[].amount'

            Holds move no credit, and are left out: --holds shows them too, and --type
            hold_opened, hold_extended, hold_voided or hold_expired shows only them.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path.")
    var account: String?

    @Option(help: "Rows, at most 500.")
    var limit = 20

    @Option(
        help:
            "Types, with commas: deducted, parked, settled, discarded, allocated, refunded, manual_deduction, voided, expired, and others that an unknown one lists."
    )
    var type: String?

    @Option(help: "Recorded at or after, such as 2026-11-01 or 2026-11-01T12:00:00Z.")
    var since: String?

    @Option(help: "Recorded before.")
    var until: String?

    @Option(help: "Usage of this provider only.")
    var provider: String?

    @Option(help: "Usage of this model only.")
    var model: String?

    @Option(help: "Acts on credit with this source only.")
    var source: String?

    @Option(help: "One request: its outcomes and what was done about it; or an idempotency key.")
    var reference: String?

    @Flag(help: "Also what became of holds.")
    var holds = false

    @Option(help: "The page after this cursor.")
    var cursor: String?

    func run() async throws {
        var query = [("limit", "\(limit)")]
        if holds { query.append(("include", "holds")) }
        for (name, value) in [
            ("account", account), ("type", type), ("since", since), ("until", until), ("cursor", cursor),
            ("provider", provider), ("model", model), ("source", source), ("reference", reference),
        ] {
            if let value { query.append((name, value)) }
        }
        let answer = try await server.client.get("/api/v1/credits/transactions", query: query)
        let (object, text) = try JSONNode.reading { () throws(JSONError) in
            (try answer.object(), try Self.text(answer))
        }
        output.show(object, text: text)
    }

    private static func text(_ answer: JSONNode) throws(JSONError) -> String {
        var table = Table(
            [
                ("time", .left), ("account", .left), ("type", .left), ("credits", .right),
                ("balance", .right),
                ("for", .left),
            ], indent: "")
        for row in try answer.field("transactions").array() {
            var reference = try Self.act(row)
            if let model = try row.optional("model"), try !model.string().isEmpty {
                let tokens = try row.field("metadata").shown("tokens")
                reference =
                    "\(try row.shown("provider")) \(try row.shown("model")), \(tokens) tokens,"
                    + " \(try row.shown("request_id"))"
            }
            if try row.optional("orphan")?.bool() ?? false {
                reference += " · the hold's lease ended, and no report had come"
            }
            if try row.optional("corrects_orphan")?.bool() ?? false {
                reference += " · after the lease of its hold was charged"
            }
            let moves = try row.optional("balance_after") != nil
            table.add([
                try row.shown("created_at"), try row.shown("user_id"), try row.shown("transaction_type"),
                moves ? try row.credits("amount") : "-", moves ? try row.credits("balance_after") : "-",
                reference,
            ])
        }
        var lines = [table.isEmpty ? "no transactions" : table.text]
        if try answer.optional("next_cursor") != nil {
            lines.append("more: --cursor \(try answer.shown("next_cursor"))")
        }
        let lag = try answer.wide("history_lag")
        if lag > 0 { lines.append("the history is \(Figures.grouped(lag)) entries behind the ledger") }
        return lines.joined(separator: "\n")
    }
}

extension Transactions {
    /// What an act was for: its source, the request or the budget it is about, who and why.
    static func act(_ row: JSONNode) throws(JSONError) -> String {
        var words: [String] = []
        for key in ["source", "request_id", "hold_id", "budget", "tier", "status", "from", "to", "by"] {
            let value = try row.shown(key)
            guard value != "-", !value.isEmpty else { continue }
            words.append((["tier", "status", "from", "to", "by"].contains(key) ? "\(key) " : "") + value)
        }
        if try row.optional("held") != nil { words.append("(\(try row.credits("held")) credits)") }
        let why = try row.shown("reason")
        if why != "-", !why.isEmpty { words.append("· \(why)") }
        return words.isEmpty ? "-" : words.joined(separator: " ")
    }
}

struct Explain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Explains a charge: computes it again from its pinned versions, factor by factor.",
        discussion: """
            tollgate explain req-8c1f
            tollgate explain req-8c1f --organisation acme

            Exit code 1 if there is no such request, or if the charge does not come out the same.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The request id that was reported.")
    var requestID: String

    @Option(help: "The first segment of the account, where two organisations use the same id.")
    var organisation: String?

    func run() async throws {
        let answer = try await server.client.get(
            "/api/v1/receipts/" + AdminClient.encode(requestID),
            query: organisation.map { [("organisation", $0)] } ?? [])
        let (object, lines, agrees) = try JSONNode.reading { () throws(JSONError) in
            (try answer.object(), try Self.lines(answer), try answer.field("agrees").bool())
        }
        output.show(object, text: lines.joined(separator: "\n"))
        if !agrees {
            throw CommandFailure.negative("the charge does not come out the same when it is computed again")
        }
    }

    /// The receipt in words: whose it is, and every factor.
    static func lines(_ answer: JSONNode) throws(JSONError) -> [String] {
        var who = "request \(try answer.shown("request_id")) of \(try answer.shown("user_id"))"
        if try answer.shown("wallet") != answer.shown("user_id") {
            who += ", paid from the wallet of \(try answer.shown("wallet"))"
        }
        return [who + ", \(try answer.shown("event_time"))"] + (try answer.field("text").strings())
    }
}

/// The equation of the books.
enum BooksText {
    static func line(_ books: JSONNode) throws(JSONError) -> String {
        "granted \(Figures.grouped(try books.wide("granted")))"
            + " = balances \(Figures.grouped(try books.wide("balances")))"
            + " + charged \(Figures.grouped(try books.wide("charged")))"
            + " + expired \(Figures.grouped(try books.wide("expired")))"
            + " + voided \(Figures.grouped(try books.wide("voided")))"
            + " + deducted \(Figures.grouped(try books.wide("deducted")))"
    }
}

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows how the gateway is: ready, durable, behind, balanced.",
        discussion: """
            tollgate status

            Exit code 1 if it is not ready, or if the books do not balance.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let answer = try await server.client.get("/api/v1/status")
        let (object, rows, isWell) = try JSONNode.reading { () throws(JSONError) in
            let figures = try answer.field("figures")
            let reports = try figures.field("reports")
            let history = try figures.field("history")
            let books = try figures.field("books")
            let isReady = try answer.field("ready").bool()
            let rows = [
                (
                    "version",
                    "\(try answer.shown("version")), up \(try answer.shown("uptime_seconds")) s,"
                        + " epoch \(try answer.shown("epoch"))"
                ),
                (
                    "ready",
                    isReady ? "yes" : "no: " + (try answer.field("reasons").strings()).joined(separator: "; ")
                ),
                ("connections", try connections(figures)),
                (
                    "reports",
                    "\(Figures.grouped(try reports.wide("charged"))) charged,"
                        + " \(Figures.grouped(try reports.wide("duplicates"))) duplicates,"
                        + " \(Figures.grouped(try reports.wide("refused"))) refused,"
                        + " \(Figures.grouped(try reports.wide("parked"))) parked"
                ),
                ("accounts", Figures.grouped(try figures.wide("accounts"))),
                ("journal", "durable up to LSN \(try figures.field("journal").shown("durable_lsn"))"),
                ("history", "\(Figures.grouped(try history.wide("lag_entries"))) entries behind"),
                ("books", "\(try BooksText.line(books)), in nanocredits"),
            ]
            return (try answer.object(), rows, isReady ? try books.field("balance").bool() : false)
        }
        output.show(object, text: facts(rows, indent: ""))
        if !isWell { throw CommandFailure.negative("") }
    }

    /// How many connections there are, and whether they hold too much memory.
    private func connections(_ figures: JSONNode) throws(JSONError) -> String {
        let open = try figures.shown("connections")
        let memory = try figures.field("connections_memory")
        let (used, bound) = (try memory.wide("bytes"), try memory.wide("bytes_max"))
        let state =
            switch try memory.wide("overload_rung") {
            case 0: ""
            case 1: ": new ones wait"
            case 2: ": new ones wait, calls are refused"
            default: ": new ones wait, calls are refused, those that do not read are closed"
            }
        return state.isEmpty
            ? open
            : "\(open), which hold \(Figures.percent(Int(clamping: used), of: Int(clamping: bound))) of"
                + " transport.memory_bytes_max\(state)"
    }
}
