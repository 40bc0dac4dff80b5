// A file of usage records: CSV with a header, JSON lines, or a trace of LLM requests.
//
//      CSV     account,credential_source,provider,model,input_tokens,output_tokens,tag.team
//      JSON    {"account":"acme","credential_source":"byok","input_tokens":4808,"tags":{"team":"search"}}
//      trace   TIMESTAMP,ContextTokens,GeneratedTokens         the shape of Azure's public LLM traces
//
// Every line is read before anything is sent. A record without a request id gets one from the file's content
// and its line, so that reporting the same file again charges nothing twice.

import Bytes
import CSV
import StrictJSON
import TollgateClient

/// What a file came to.
struct RecordFile {
    /// A report and the line it stands on.
    struct Numbered {
        var line: Int
        var report: UsageReport
    }

    var reports: [Numbered] = []
    var badLines: [BadLine] = []

    enum Format: String, CaseIterable { case csv, jsonl }

    /// The columns of the trace, by our names.
    static let traceColumns = [
        "TIMESTAMP": "event_time", "ContextTokens": "input_tokens", "GeneratedTokens": "output_tokens",
    ]

    /// Reads a file.
    ///
    /// - Parameters:
    ///   - defaults: for what a line does not say.
    ///   - now: the event time of lines without one, in microseconds since 1970.
    init(_ bytes: [UInt8], format: Format, defaults: RecordDraft, now: Int64) throws(BadLine) {
        let builder = Builder(prefix: Self.prefix(of: bytes), defaults: defaults, now: now)
        switch format {
        case .csv: try readCSV(bytes, builder)
        case .jsonl: readLines(bytes, builder)
        }
    }

    /// The format of a file: what it begins with decides.
    static func format(of bytes: [UInt8]) -> Format {
        bytes.first { $0 > UInt8(ascii: " ") } == UInt8(ascii: "{") ? .jsonl : .csv
    }

    /// 16 hexadecimal digits that stand for the content; no secret, so the key is fixed.
    static func prefix(of bytes: [UInt8]) -> String {
        let hash = bytes.withView { KeyedHasher.hash($0, key: HashKey(first: 0, second: 0)) }
        let digits = String(hash.low, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    private struct Builder {
        let prefix: String
        let defaults: RecordDraft
        let now: Int64

        func report(_ draft: RecordDraft, line: Int) throws(RecordProblem) -> UsageReport {
            try draft.over(defaults).report(requestID: "\(prefix)-\(line)", eventTime: now)
        }
    }

    private mutating func add(_ draft: RecordDraft, line: Int, _ builder: Builder) {
        do throws(RecordProblem) {
            reports.append(Numbered(line: line, report: try builder.report(draft, line: line)))
        } catch {
            badLines.append(BadLine(line: line, problem: error.text))
        }
    }

    // MARK: CSV

    private mutating func readCSV(_ bytes: [UInt8], _ builder: Builder) throws(BadLine) {
        var reader = CSVReader(bytes)
        guard let header = try reader.next() else {
            throw BadLine(line: 1, problem: "the file is empty; its first line names the columns")
        }
        let names = header.fields.map { Self.traceColumns[$0] ?? $0 }
        for name in names where !RecordDraft.knows(name) {
            throw BadLine(line: header.line, problem: RecordDraft.unknown(name))
        }
        guard Set(names).count == names.count else {
            throw BadLine(line: header.line, problem: "a column is named twice")
        }
        while true {
            do throws(BadLine) {
                guard let row = try reader.next() else { return }
                guard row.fields.count == names.count else {
                    throw BadLine(
                        line: row.line,
                        problem: "it has \(row.fields.count) fields, the header names \(names.count)")
                }
                var draft = RecordDraft()
                for (name, text) in zip(names, row.fields) { draft.set(name, text) }
                add(draft, line: row.line, builder)
            } catch {
                badLines.append(error)
            }
        }
    }

    // MARK: JSON lines

    private mutating func readLines(_ bytes: [UInt8], _ builder: Builder) {
        var line = 0
        for text in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            line += 1
            if text.allSatisfy({
                $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") || $0 == UInt8(ascii: "\t")
            }) {
                continue
            }
            do throws(JSONError) {
                add(try Self.draft(Array(text)), line: line, builder)
            } catch {
                badLines.append(BadLine(line: line, problem: "\(error)"))
            }
        }
    }

    private static func draft(_ text: [UInt8]) throws(JSONError) -> RecordDraft {
        var draft = RecordDraft()
        for (key, node) in try JSONNode(parsing: text).members() {
            if key == "tags" {
                for (name, value) in try node.members() { draft.set("tag." + name, try value.string()) }
                continue
            }
            guard !key.hasPrefix("tag."), RecordDraft.knows(key) else {
                throw node.invalid(RecordDraft.unknown(key))
            }
            switch node.value {
            case .string(let text), .number(let text): draft.set(key, text)
            case .null: break
            case .bool, .array, .object: throw node.unexpected("a string or a number")
            }
        }
        return draft
    }
}
