// `tollgate credits import`: credit for many accounts from a CSV file, however long.
//
// The file is read twice in slices of whole rows. The first time every slice is looked at and the digest of the file
// is made; nothing is given. The second time, after a yes, every slice is given, if the file is still the same.

import ArgumentParser
import Bytes
import CSV
import Gateway
import Glibc
import StrictJSON

struct CreditsImport: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Gives credit from a CSV file: shows what it would do, then does it.",
        discussion: """
            tollgate credits import credit_allocation.csv
            tollgate credits import credit_allocation.csv --confirm 3f9a5c01d2e4
            tollgate credits import credit_allocation.csv --yes --results results.csv

            The file has the columns user_id,amount,source,reason:

                user_id,amount,source,reason
                user_001,500,promo_2025_q1,New Year promotion

            Without --confirm or --yes only a preview is shown, with every row that cannot be
            given and why. A row is given once for the file's content and its line, so it is
            safe to run the command again: after a crash, a lost connection, or by mistake. The
            file may be of any length; it is sent in slices, and where somebody watches, how far
            it is stands on standard error. --results is written as the answers come, and takes
            its name when all have.

            A file that cannot be read (other columns, a quote that is never closed, a row
            that was cut) gives nothing at all. Exit code 1 if a row was refused.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The CSV file.")
    var file: String

    @Option(help: ArgumentHelp("Give it, if this is the digest of its preview.", valueName: "digest"))
    var confirm: String?

    @Flag(help: "Give it without asking.")
    var yes = false

    @Option(help: "Who gives it.")
    var by: String?

    @Option(help: "Write what became of every row to this CSV file.")
    var results: String?

    /// Bytes of a slice: some thousand rows, so that a slice is answered in a moment.
    private static let sliceBytes = 1 << 19
    private static let digestDigitsMin = 12

    func run() async throws {
        let preview = try await Preview(file, client: server.client)
        if let confirm {
            guard confirm.utf8.count >= Self.digestDigitsMin, preview.digest.hasPrefix(confirm) else {
                throw CommandFailure.negative(
                    "the file's digest is \(preview.digest), not \(confirm): look at its preview again")
            }
        } else if !yes {
            guard !output.isJSON, Console.canAsk else {
                return output.show(
                    preview.json,
                    text: preview.text
                        + "\n\nnothing was given; to give it: tollgate credits import \(file) --confirm"
                        + " \(preview.digest.prefix(Self.digestDigitsMin))")
            }
            Console.out(preview.text)
            Console.out(partial: "\nProceed with allocation? [y/N] ")
            guard let answer = readLine(), ["y", "yes"].contains(answer.lowercased()) else {
                throw CommandFailure.negative("nothing was given")
            }
        }
        // The rows that cannot be given are named by the outcome.
        if !output.isJSON, confirm != nil || yes { Console.out(preview.summary + "\n") }
        let outcome = try await Outcome(
            file, preview, by: by, client: server.client, results: try results.map { try ResultsFile($0) })
        var object = outcome.json
        object["preview"] = .object(preview.json)
        output.show(object, text: outcome.text)
        if outcome.refused > 0 { throw CommandFailure.negative("") }
    }

    /// Says on standard error how far it is, over itself, where a person is watching.
    private struct Progress {
        private let isShown = isatty(STDERR_FILENO) == 1
        private let started = ContinuousClock.now

        func show(_ words: String, rows: Int128) {
            guard isShown else { return }
            let seconds = (ContinuousClock.now - started).components.seconds
            let rate = seconds > 0 ? ", \(Figures.grouped(rows / Int128(seconds))) a second" : ""
            Console.progress("\r\(words)\(rate)    ")
        }

        func end() { if isShown { Console.progress("\n") } }
    }

    /// The file that says what became of every row, written as the answers come.
    final class ResultsFile {
        private var sink: ByteSink

        init(_ path: String) throws(CommandFailure) {
            sink = try ByteSink(path)
            try add(["line", "user_id", "amount", "result", "message"])
        }

        private func add(_ fields: [String]) throws(CommandFailure) {
            // Nobody reads standard output any more: what was given stays given.
            _ = try sink.write(Array(CSVText.row(fields).utf8))
        }

        func add(_ rows: [JSONObject]) throws(CommandFailure) {
            let text = rows.map { row in
                CSVText.row(
                    ["line", "user_id", "amount", "result", "message"].map { key in
                        switch row[key] {
                        case .string(let text)?, .number(let text)?: text
                        default: ""
                        }
                    })
            }
            _ = try sink.write(Array(text.joined().utf8))
        }

        func finish() throws(CommandFailure) { try sink.finish() }
    }

    /// Hands over every slice of the file, each with the header before it. Returns the digest of the file.
    private static func forEachSlice(
        _ path: String, _ body: (_ bytes: [UInt8], _ firstLine: Int, _ rows: CSVSlice) async throws -> Void
    ) async throws -> String {
        let file = try ByteFile(path)
        let reader = SharedFile(file)
        var digest = SHA256Stream()
        var slices = CSVSlices(sliceBytes: sliceBytes, rowBytesMax: 64 << 10) { try reader.read() }
        var header: [UInt8]?
        do {
            while let slice = try slices.next() {
                digest.add(slice.bytes)
                guard let header else {
                    // The first row, with a byte order mark if there is one.
                    let end = (slice.bytes.firstIndex(of: UInt8(ascii: "\n")) ?? slice.bytes.count - 1) + 1
                    header = Array(slice.bytes[..<end])
                    try await body(slice.bytes, slice.firstLine + 1, slice)
                    continue
                }
                try await body(header + slice.bytes, slice.firstLine, slice)
            }
        } catch let error as BadLine {
            throw CommandFailure.negative("\(path): \(error.text); nothing of the file was given")
        }
        guard header != nil else {
            throw CommandFailure.negative(
                "\(path) is empty; its first line is user_id,amount,source,reason")
        }
        return digest.hexadecimal()
    }

    /// Lends one open file to a closure.
    private final class SharedFile {
        private let file: ByteFile

        init(_ file: consuming ByteFile) { self.file = file }
        func read() throws(CommandFailure) -> [UInt8] { try file.read() }
    }
}

extension CreditsImport {
    /// What the file would do.
    struct Preview {
        private(set) var digest = ""
        private(set) var rows: Int128 = 0
        private var good: Int128 = 0
        private var badCount: Int128 = 0
        private var credits: Int128 = 0
        private var picodollars: Int128 = 0
        private var users: Set<Hash128> = []
        private var bad: [JSONObject] = []

        init(_ file: String, client: AdminClient) async throws {
            let progress = Progress()
            defer { progress.end() }
            // The keys need the digest of the whole file; a preview gives nothing, so any digest does for it.
            let none = String(repeating: "0", count: 64)
            digest = try await CreditsImport.forEachSlice(file) { bytes, firstLine, _ in
                let answer = try await client.post(
                    "/api/v1/credits/bulk/preview",
                    query: [("digest", none), ("first_line", "\(firstLine)")], csv: bytes)
                try add(answer)
                try addUsers(bytes)
                progress.show("looked at \(Figures.grouped(rows)) rows", rows: rows)
            }
        }

        private mutating func add(_ answer: JSONNode) throws(CommandFailure) {
            let (counts, bad) = try JSONNode.reading { () throws(JSONError) in
                (
                    (
                        try answer.wide("rows"), try answer.wide("good_rows"),
                        try answer.wide("bad_row_count"),
                        try answer.amount("credits", places: 9), try answer.amount("cost_usd", places: 12)
                    ),
                    try answer.field("bad_rows").array().map { (node) throws(JSONError) in try node.object() }
                )
            }
            rows += counts.0
            good += counts.1
            badCount += counts.2
            credits += counts.3
            picodollars += counts.4
            self.bad += bad.prefix(max(0, 1_000 - self.bad.count))
        }

        private mutating func addUsers(_ bytes: [UInt8]) throws {
            var reader = CSVReader(bytes)
            guard let place = try reader.next()?.fields.firstIndex(of: "user_id") else { return }
            while let row = try reader.next() {
                users.insert(
                    row.fields[place].withView { KeyedHasher.hash($0, key: HashKey(first: 0, second: 0)) })
            }
        }

        var json: JSONObject {
            [
                "digest": .string(digest), "rows": .integer(rows), "good_rows": .integer(good),
                "users": .integer(users.count), "credits": .string(Figures.decimal(credits, places: 9)),
                "cost_usd": .string(Figures.decimal(picodollars, places: 12)),
                "bad_row_count": .integer(badCount),
                "bad_rows": .array(bad.map { .object($0) }),
            ]
        }

        /// What the rows that can be given come to.
        var summary: String {
            facts(
                [
                    ("Total Users", Figures.grouped(users.count)), ("Rows", Figures.grouped(rows)),
                    ("Total Credits", Figures.money(credits, places: 9) + " credits"),
                    (
                        "Cost",
                        "$" + Figures.money(picodollars, places: 12) + " (at the value of a credit)"
                    ),
                    ("Digest", digest),
                ], indent: "")
        }

        /// The same, and the rows that cannot be given.
        var text: String {
            var lines = [summary]
            if badCount > 0 {
                lines.append(
                    "\n✗ \(badCount == 1 ? "1 row" : "\(Figures.grouped(badCount)) rows") cannot be given:")
                lines += bad.prefix(20).map(Self.line)
                if badCount > 20 { lines.append("  … and \(Figures.grouped(badCount - 20)) more") }
            }
            return lines.joined(separator: "\n")
        }

        static func line(_ row: JSONObject) -> String {
            func text(_ key: String) -> String {
                switch row[key] {
                case .string(let text)?, .number(let text)?: text
                default: ""
                }
            }
            return "  line \(text("line")), \(text("user_id")): \(text("message"))"
        }
    }

    /// What became of the rows.
    struct Outcome {
        private(set) var given: Int128 = 0
        private(set) var before: Int128 = 0
        private(set) var refused: Int128 = 0
        private var credits: Int128 = 0
        private var failures: [JSONObject] = []

        private var done: Int128 { given + before + refused }

        init(
            _ file: String, _ preview: Preview, by: String?, client: AdminClient, results: ResultsFile?
        ) async throws {
            let progress = Progress()
            defer { progress.end() }
            let digest = try await CreditsImport.forEachSlice(file) { bytes, firstLine, _ in
                var query = [("digest", preview.digest), ("first_line", "\(firstLine)")]
                if let by { query.append(("by", by)) }
                let answer: JSONNode
                do {
                    answer = try await client.post("/api/v1/credits/bulk", query: query, csv: bytes)
                } catch CommandFailure.environment(let message) {
                    throw CommandFailure.environment(
                        message
                            + "\n\(Figures.grouped(done)) of \(Figures.grouped(preview.rows)) rows were answered, up to"
                            + " line \(firstLine - 1); run the command again: no row is given twice")
                }
                try add(answer, to: results)
                progress.show(
                    "\(Figures.grouped(done)) of \(Figures.grouped(preview.rows)) rows done", rows: done)
            }
            guard digest == preview.digest else {
                throw CommandFailure.negative(
                    "\(file) was changed while it was read: what was given has the digest \(preview.digest), the file"
                        + " has \(digest); the statement of each account shows what it got")
            }
            try results?.finish()
        }

        private mutating func add(_ answer: JSONNode, to results: ResultsFile?) throws(CommandFailure) {
            let found = try JSONNode.reading { () throws(JSONError) in
                let counts = try answer.field("counts")
                return (
                    try counts.wide("allocated"), try counts.wide("allocated_before"),
                    try counts.wide("refused"),
                    try answer.amount("credits", places: 9),
                    try answer.field("results").array().map { (node) throws(JSONError) in try node.object() }
                )
            }
            given += found.0
            before += found.1
            refused += found.2
            credits += found.3
            for row in found.4 where row["result"] == "refused" && failures.count < 1_000 {
                failures.append(row)
            }
            try results?.add(found.4)
        }

        var json: JSONObject {
            [
                "allocated": .integer(given), "allocated_before": .integer(before),
                "refused": .integer(refused),
                "credits": .string(Figures.decimal(credits, places: 9)),
                "failures": .array(failures.map { .object($0) }),
            ]
        }

        private static func allocations(_ count: Int128) -> String {
            count == 1 ? "1 allocation" : "\(Figures.grouped(count)) allocations"
        }

        var text: String {
            var lines = [
                "✓ Success: \(Self.allocations(given)),"
                    + " \(Figures.money(credits, places: 9)) credits"
            ]
            if before > 0 {
                lines.append("  \(Figures.grouped(before)) were given before, and were not given again")
            }
            if refused > 0 {
                lines.append("✗ Failed: \(Self.allocations(refused))")
                lines += failures.prefix(20).map(Preview.line)
                if refused > 20 { lines.append("  … and \(Figures.grouped(refused - 20)) more") }
            }
            return lines.joined(separator: "\n")
        }
    }
}

extension JSONNode {
    /// A member that is a decimal text, times 10^`places`.
    fileprivate func amount(_ key: String, places: Int) throws(JSONError) -> Int128 {
        let node = try field(key)
        let parts = try node.string().split(separator: ".", maxSplits: 1)
        guard let first = parts.first, parts.count == 1 || parts[1].utf8.count <= places,
            let value = Int128(
                first + (parts.count > 1 ? parts[1] : "")
                    + String(repeating: "0", count: places - (parts.count > 1 ? parts[1].utf8.count : 0)))
        else { throw node.unexpected("a decimal amount") }
        return value
    }
}
