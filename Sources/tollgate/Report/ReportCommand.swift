// `tollgate report`: tells the gateway what requests used, one from flags or many from a file.

import CSV
import ArgumentParser
import Platform
import StrictJSON
import TollgateClient

struct Report: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Reports what LLM requests used; each is charged once, durably.",
        discussion: """
            tollgate report --account acme/search --source platform \\
                --provider openai --model gpt-4o \\
                --input-tokens 4808 --output-tokens 310 --request-id req-8c1f
            tollgate report --file usage.csv
            tollgate report --file trace.csv --account acme --source byok \\
                --provider openrouter --model anthropic/claude-sonnet-5
            router-log | tollgate report --file -

            A file is CSV with a header of field names, or JSON lines with the same
            names; a trace with the header TIMESTAMP,ContextTokens,GeneratedTokens is
            read too. Flags fill in what the lines do not say. Nothing is sent if a
            line cannot be read, unless --skip-bad. A line without a request_id gets
            one from the file's content and its line: reporting a file twice charges
            it once.

            Exit code 1 if the gateway refused a record.
            """)

    @OptionGroup var server: FrameOptions
    @OptionGroup var record: RecordFlags
    @OptionGroup var output: OutputOptions

    @Option(help: "The idempotency key. Default for one record: random, and shown.")
    var requestID: String?

    @Option(name: .shortAndLong, help: "A file of records; - is standard input.")
    var file: String?

    @Option(help: ArgumentHelp("Default: told from the content.", valueName: "csv|jsonl"))
    var format: RecordFile.Format?

    @Flag(help: "Report the good lines of a file that has bad ones.")
    var skipBad = false

    func run() async throws {
        let draft = try record.draft()
        if let file {
            guard requestID == nil else {
                throw CommandFailure.environment(
                    "--request-id names one record; a file has many: use its request_id field")
            }
            try await reportFile(file, draft)
        } else {
            try await reportOne(draft)
        }
    }

    private func reportOne(_ draft: RecordDraft) async throws {
        let report: UsageReport
        do throws(RecordProblem) {
            report = try draft.report(
                requestID: requestID ?? Self.randomID(), eventTime: SystemClock().wallMicroseconds())
        } catch {
            throw CommandFailure.environment(error.text)
        }
        let receipt = try await server.withClient { client in try await client.report(report) }
        let id = String(decoding: report.requestID, as: UTF8.self)
        output.show(ReceiptText.json(receipt, requestID: id), text: ReceiptText.text(receipt, requestID: id))
    }

    static func randomID() -> String {
        let value = SystemEntropy().next()
        return "cli-" + String(value, radix: 16)
    }

    private func reportFile(_ path: String, _ defaults: RecordDraft) async throws {
        let bytes = try TextFile.read(path)
        let records: RecordFile
        do throws(BadLine) {
            records = try RecordFile(
                bytes, format: format ?? RecordFile.format(of: bytes), defaults: defaults,
                now: SystemClock().wallMicroseconds())
        } catch {
            throw CommandFailure.environment("\(path), \(error.text)")
        }
        if !records.badLines.isEmpty {
            let shown = records.badLines.prefix(20).map { "\(path), \($0.text)" }
            let more = records.badLines.count - shown.count
            let list = (shown + (more > 0 ? ["and \(more) more"] : [])).joined(separator: "\n")
            guard skipBad else {
                throw CommandFailure.environment(
                    "\(records.badLines.count) lines cannot be read, so nothing was reported"
                        + " (--skip-bad reports the others)\n\(list)")
            }
            Console.error("\(records.badLines.count) lines are skipped\n\(list)")
        }
        let sender = RecordSender(reports: records.reports, deadline: .seconds(server.timeout))
        var summary = ReportSummary()
        try await server.withClient { client in
            try await sender.send(through: client) { numbered, result in
                summary.add(result)
                if output.isJSON { Console.out(ReceiptText.json(numbered, result).text) }
            }
        }
        if !output.isJSON { Console.out(summary.text) }
        if summary.refusedCount > 0 { throw CommandFailure.negative("") }
    }
}

extension RecordFile.Format: ExpressibleByArgument {}

/// Sends many reports in batches, a few batches at a time.
struct RecordSender: Sendable {
    static let batchCount = 500
    static let batchesInFlight = 8

    let reports: [RecordFile.Numbered]
    /// How long what is refused for the moment is sent again.
    let deadline: Duration

    func send(
        through client: TollgateClient, _ body: (RecordFile.Numbered, ReportResult) -> Void
    ) async throws {
        let starts = stride(from: 0, to: reports.count, by: Self.batchCount)
        try await withThrowingTaskGroup(of: (Int, [ReportResult]).self) { group in
            var waiting = starts.makeIterator()
            func submit() {
                guard let start = waiting.next() else { return }
                let batch = reports[start..<min(start + Self.batchCount, reports.count)].map(\.report)
                group.addTask { (start, try await send(batch, through: client)) }
            }
            for _ in 0..<Self.batchesInFlight { submit() }
            while let (start, results) = try await group.next() {
                submit()
                for (index, result) in results.enumerated() { body(reports[start + index], result) }
            }
        }
    }

    /// Sends a batch, and again what the gateway could not take for the moment.
    private func send(_ batch: [UsageReport], through client: TollgateClient) async throws -> [ReportResult] {
        var results = try await client.report(batch: batch)
        let end = ContinuousClock.now + deadline
        while ContinuousClock.now < end {
            let again = results.indices.filter { index in
                if case .refused(let refusal) = results[index] { refusal.isTemporary } else { false }
            }
            guard !again.isEmpty else { break }
            try await Task.sleep(for: .milliseconds(50))
            let answers = try await client.report(batch: again.map { batch[$0] })
            for (index, answer) in zip(again, answers) { results[index] = answer }
        }
        return results
    }
}

/// What became of a file of records.
struct ReportSummary {
    private var charged = 0
    private var parked = 0
    private var duplicates = 0
    private var inDebt = 0
    private var charges: Int128 = 0
    private var refused: [String: (count: Int, message: String)] = [:]

    var refusedCount: Int { refused.values.reduce(0) { $0 + $1.count } }

    mutating func add(_ result: ReportResult) {
        switch result {
        case .receipt(let receipt) where receipt.duplicate: duplicates += 1
        case .receipt(let receipt):
            if receipt.state == .parked { parked += 1 } else { charged += 1 }
            if receipt.inDebt { inDebt += 1 }
            charges += Int128(receipt.charge)
        case .refused(let refusal):
            refused[refusal.reason, default: (0, refusal.message)].count += 1
        }
    }

    var text: String {
        var rows = [("charged", "\(Figures.grouped(charged)) records, \(Figures.credits(charges)) credits")]
        if duplicates > 0 {
            rows.append(("known already", "\(Figures.grouped(duplicates)) records, nothing charged again"))
        }
        if parked > 0 { rows.append(("parked", "\(Figures.grouped(parked)) records wait for a price")) }
        if inDebt > 0 { rows.append(("in debt", "\(Figures.grouped(inDebt)) charges were not covered")) }
        for (reason, found) in refused.sorted(by: { $0.key < $1.key }) {
            rows.append(("refused", "\(Figures.grouped(found.count)) × \(reason): \(found.message)"))
        }
        return facts(rows, indent: "")
    }
}
