// `tollgate parked`: usage that could not be priced when it was reported, and what becomes of it.

import ArgumentParser
import StrictJSON

struct ParkedCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "parked",
        abstract: "Lists usage that was kept without a charge, and settles or discards it.",
        discussion: """
            tollgate parked list
            tollgate parked settle --all --by ada@example.org --reason "price came" --dry-run
            tollgate parked settle --all --by ada@example.org --reason "price came"
            tollgate parked settle req-7 --usage input_tokens=600,output_tokens=20 \\
                --by ada@example.org --reason "router counted the cache twice"
            tollgate parked discard req-8 --by ada@example.org --reason "test traffic"

            What settled a hold is valued at what the hold had kept. Usage is parked when its model has no price (UNPRICED_MODEL), or when its
            counts contradict each other (INVALID_USAGE). Settling charges it once, at
            the prices of its event time; saying it again changes nothing.
            """,
        subcommands: [ParkedList.self, ParkedSettle.self, ParkedDiscard.self])

    static let path = "/api/v1/usage/parked"
}

/// Which parked records are meant.
struct ParkedFilterOptions: ParsableArguments {
    @Option(help: "Of this account and those below it.")
    var account: String?

    @Option(help: "Of this provider.")
    var provider: String?

    @Option(help: "Of this model.")
    var model: String?

    @Option(help: ArgumentHelp("Why it was parked.", valueName: "UNPRICED_MODEL|INVALID_USAGE"))
    var parkedReason: String?

    @Option(help: "Used at or after, such as 2026-11-01 or 2026-11-01T12:00:00Z.")
    var since: String?

    @Option(help: "Used before.")
    var until: String?

    /// The filters that are there, under their names in documents.
    var pairs: [(String, String)] {
        [
            ("account", account), ("provider", provider), ("model", model),
            ("parked_reason", parkedReason), ("since", since), ("until", until),
        ].compactMap { name, value in value.map { (name, $0) } }
    }
}

struct ParkedList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Lists what is open, oldest first.",
        discussion: """
            tollgate parked list --provider openai --parked-reason UNPRICED_MODEL
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var filter: ParkedFilterOptions

    @Option(help: "Rows, at most 500.")
    var limit = 50

    @Option(help: "The page after this cursor.")
    var cursor: String?

    func run() async throws {
        var query = [("limit", "\(limit)")]
        for (name, value) in filter.pairs { query.append((name == "parked_reason" ? "reason" : name, value)) }
        if let cursor { query.append(("cursor", cursor)) }
        let answer = try await server.client.get(ParkedCommand.path, query: query)
        let (object, text) = try JSONNode.reading { () throws(JSONError) in
            (try answer.object(), try Self.text(answer))
        }
        output.show(object, text: text)
    }

    private static func text(_ answer: JSONNode) throws(JSONError) -> String {
        var table = Table(
            [
                ("used", .left), ("account", .left), ("request", .left), ("provider, model", .left),
                ("tokens", .right), ("valued at", .right), ("why", .left),
            ], indent: "")
        for row in try answer.field("parked").array() {
            table.add([
                try row.shown("event_time"), try row.shown("user_id"), try row.shown("request_id"),
                "\(try row.shown("provider")) \(try row.shown("model"))",
                Figures.grouped(try row.field("metadata").wide("tokens")),
                try row.optional("valued_at") == nil ? "-" : try row.credits("valued_at"),
                try row.shown("parked_reason"),
            ])
        }
        var lines = [table.isEmpty ? "nothing is parked, or nothing that fits" : table.text]
        let open = try answer.wide("open")
        if open > 0 {
            let reasons = try answer.field("open_by_reason").members().map { (key, node) throws(JSONError) in
                "\(Figures.grouped(try node.integer(in: 0...Int64.max))) \(key)"
            }
            lines.append(
                "\(Figures.grouped(open)) open in all (\(reasons.joined(separator: ", "))), the oldest since"
                    + " \(try answer.shown("oldest_recorded_at"))")
            if try answer.nanocredits("valued_at") > 0 {
                lines.append("their holds had kept \(try answer.credits("valued_at")) credits")
            }
        }
        if try answer.optional("next_cursor") != nil {
            lines.append("more: --cursor \(try answer.shown("next_cursor"))")
        }
        let lag = try answer.wide("history_lag")
        if lag > 0 { lines.append("the history is \(Figures.grouped(lag)) entries behind the ledger") }
        return lines.joined(separator: "\n")
    }
}

/// What settling and discarding have in common.
struct ParkedEndOptions: ParsableArguments {
    @Argument(help: "The request id that was reported; with --all and filters instead, all that fit.")
    var requestID: String?

    @Flag(help: "All open ones that the filters find.")
    var all = false

    @Option(help: "The first segment of the account, where two organisations use the same id.")
    var organisation: String?

    @Option(help: "Who does it.")
    var by: String

    @Option(help: "Why, for whoever asks later.")
    var reason: String

    @OptionGroup var filter: ParkedFilterOptions

    func validate() throws {
        guard (requestID != nil) != all else {
            throw ValidationError("name one request id, or --all with filters")
        }
        guard all || filter.pairs.isEmpty else { throw ValidationError("filters go with --all") }
    }

    /// The document that asks for it.
    func document() -> JSONObject {
        var object: JSONObject = ["by": .string(by), "reason": .string(reason)]
        if let requestID {
            object["request_id"] = .string(requestID)
            if let organisation { object["organisation"] = .string(organisation) }
        } else {
            object["all"] = true
            for (name, value) in filter.pairs { object[name] = .string(value) }
        }
        return object
    }

    /// Asks page by page, to the end.
    func carryOut(
        _ what: String, _ document: JSONObject, server: AdminOptions, output: OutputOptions
    ) async throws {
        var ended = ParkedEnds()
        var document = document
        while true {
            let answer = try await server.client.post(ParkedCommand.path + "/" + what, document)
            let next = try JSONNode.reading { () throws(JSONError) in
                try ended.add(answer)
                return try answer.optional("next_cursor")?.string()
            }
            guard let next else { break }
            document["cursor"] = .string(next)
        }
        output.show(ended.json, text: ended.text)
        if !ended.isWell { throw CommandFailure.negative("") }
    }
}

/// The results of all pages.
struct ParkedEnds {
    private var results: [JSONValue] = []
    private var lines = Table(
        [("request", .left), ("account", .left), ("result", .left), ("credits", .right), ("note", .left)],
        indent: "")
    private var counts: [String: Int] = [:]
    private var charged: Int64 = 0
    private var isDry = false

    /// Everything asked for has ended, now or before.
    var isWell: Bool { counts["parked", default: 0] + counts["refused", default: 0] == 0 }

    /// Rows that are shown; the sums count all.
    private static let shownMax = 50

    mutating func add(_ answer: JSONNode) throws(JSONError) {
        isDry = try answer.field("dry_run").bool()
        let (sum, overflow) = charged.addingReportingOverflow(try answer.nanocredits("charged"))
        charged = overflow ? .max : sum
        for node in try answer.field("results").array() {
            let word = try node.shown("result")
            counts[word, default: 0] += 1
            results.append(node.value)
            guard results.count <= Self.shownMax else { continue }
            let amount = try node.optional("charge") == nil ? "-" : try node.credits("charge")
            lines.add([
                try node.shown("request_id"), try node.shown("user_id"), word.replacing("_", with: " "),
                amount, try node.optional("message") == nil ? "" : try node.shown("message"),
            ])
        }
    }

    var json: JSONObject {
        var sums = JSONObject()
        for (word, count) in counts.sorted(by: { $0.key < $1.key }) { sums[word] = .integer(count) }
        return [
            "results": .array(results), "counts": .object(sums), "dry_run": .bool(isDry),
            "charged_nanocredits": .string("\(charged)"),
        ]
    }

    var text: String {
        guard !results.isEmpty else { return "nothing is parked, or nothing that fits" }
        var text = [lines.text]
        if results.count > Self.shownMax {
            text.append("and \(Figures.grouped(results.count - Self.shownMax)) more")
        }
        let sums = counts.sorted { $0.key < $1.key }.map {
            "\(Figures.grouped($0.value)) \($0.key.replacing("_", with: " "))"
        }
        text.append("\(sums.joined(separator: ", ")): \(Figures.credits(charged)) credits")
        if isDry { text.append("nothing was changed: the same without --dry-run does it") }
        return text.joined(separator: "\n")
    }
}

struct ParkedSettle: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "settle",
        abstract: "Charges parked usage that has a price now, or with corrected counts. Once.",
        discussion: """
            tollgate parked settle req-7 --by ada@example.org --reason "price came"
            tollgate parked settle --all --provider openai --by ada@example.org \\
                --reason "price came" --dry-run

            Exit code 1 if something could not be settled.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var end: ParkedEndOptions

    @Option(
        help: ArgumentHelp(
            "All counts as they should have been; those not named are 0.",
            valueName: "input_tokens=600,output_tokens=20"))
    var usage: String?

    @Flag(help: "Show what it would charge, and change nothing.")
    var dryRun = false

    func run() async throws {
        var document = end.document()
        if dryRun { document["dry_run"] = true }
        if let usage {
            var counts = JSONObject()
            for pair in usage.split(separator: ",") {
                let parts = pair.split(separator: "=", maxSplits: 1)
                guard parts.count == 2, let count = Int64(parts[1]), count >= 0 else {
                    throw CommandFailure.environment("--usage \(pair): write name=count, with commas between")
                }
                counts[String(parts[0])] = .integer(count)
            }
            document["usage"] = .object(counts)
        }
        try await end.carryOut("settle", document, server: server, output: output)
    }
}

struct ParkedDiscard: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "discard",
        abstract: "Gives parked usage up: nothing is charged for it, ever.",
        discussion: """
            tollgate parked discard req-8 --by ada@example.org --reason "test traffic"

            Exit code 1 if something could not be discarded.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var end: ParkedEndOptions

    func run() async throws {
        try await end.carryOut("discard", end.document(), server: server, output: output)
    }
}
