// A file of usage is read whole and exactly, or its bad lines are named.

import CSV
import Pricing
import Testing
import TollgateClient

@testable import tollgate

private let header = "account,credential_source,provider,model,input_tokens,output_tokens\n"

private func read(
    _ text: String, format: RecordFile.Format = .csv, defaults: RecordDraft = RecordDraft()
) throws(BadLine) -> RecordFile {
    try RecordFile(Array(text.utf8), format: format, defaults: defaults, now: 1_000)
}

private func draft(_ fields: [String: String]) -> RecordDraft {
    var draft = RecordDraft()
    for (name, text) in fields { draft.set(name, text) }
    return draft
}

@Suite("Record files")
struct RecordFileTests {
    @Test("a CSV row becomes a report, quotes, CRLF, empty lines and a byte order mark notwithstanding")
    func csv() throws {
        let text =
            "\u{feff}request_id,account,credential_source,provider,model,input_tokens,tag.note\r\n"
            + "r-1,acme,byok,openai,gpt-4o,4808,\"one, \"\"two\"\"\nthree\"\r\n\r\nr-2,acme,PLATFORM,openai,gpt-4o,,\r\n"
        let file = try read(text)
        #expect(file.badLines.isEmpty)
        #expect(file.reports.map(\.line) == [2, 5])
        let first = try #require(file.reports.first?.report)
        #expect(first.requestID == Array("r-1".utf8))
        #expect(first.credentialSource == .byok)
        #expect(first.usage.inputTokens == 4_808)
        #expect(first.eventTimeMicroseconds == 1_000)
        #expect(first.tags == [.init(key: "note", value: "one, \"two\"\nthree")])
        #expect(file.reports.last?.report.credentialSource == .platform)
        #expect(file.reports.last?.report.usage.inputTokens == 0)
    }

    @Test("the trace of Azure's public data set is read with the flags' account and model")
    func trace() throws {
        let text = """
            TIMESTAMP,ContextTokens,GeneratedTokens
            2023-11-16 18:17:03.9799600,4808,10
            2023-11-16 18:17:04.0319600,3180,8
            """
        let file = try read(
            text,
            defaults: draft([
                "account": "acme", "credential_source": "platform", "provider": "openai", "model": "gpt-4o",
            ]))
        #expect(file.badLines.isEmpty)
        #expect(file.reports.map(\.report.usage.inputTokens) == [4_808, 3_180])
        #expect(file.reports.map(\.report.usage.outputTokens) == [10, 8])
        #expect(
            file.reports.map(\.report.eventTimeMicroseconds) == [
                1_700_158_623_979_960, 1_700_158_624_031_960,
            ])
    }

    @Test("JSON lines carry the same fields, numbers and tags")
    func jsonLines() throws {
        let text = """
            {"account":"acme","credential_source":"byok","provider":"p","model":"m","input_tokens":7,"event_time":"2026-11-22T14:05:00Z","tags":{"team":"search"}}

            {"account":"acme","credential_source":"byok","provider":"p","model":"m","output_tokens":"8","on_insufficient":"refuse"}
            """
        let file = try read(text, format: .jsonl)
        #expect(file.badLines.isEmpty)
        #expect(file.reports.map(\.line) == [1, 3])
        #expect(file.reports[0].report.eventTimeMicroseconds == 1_795_356_300_000_000)
        #expect(file.reports[0].report.tags == [.init(key: "team", value: "search")])
        #expect(file.reports[1].report.usage.outputTokens == 8)
        #expect(file.reports[1].report.onInsufficient == .refuse)
    }

    @Test("the same file gives the same request ids, another file gives others")
    func requestIDs() throws {
        let one = try read(header + "a,byok,p,m,1,1\na,byok,p,m,2,2\n")
        let again = try read(header + "a,byok,p,m,1,1\na,byok,p,m,2,2\n")
        let other = try read(header + "a,byok,p,m,1,1\na,byok,p,m,2,3\n")
        #expect(one.reports.map(\.report.requestID) == again.reports.map(\.report.requestID))
        #expect(Set(one.reports.map(\.report.requestID)).count == 2)
        #expect(one.reports[0].report.requestID != other.reports[0].report.requestID)
    }

    @Test("bad rows are named by line, and the good ones between them are kept")
    func badRows() throws {
        let file = try read(
            header
                + "a,byok,p,m,1,1\na,byok,p,m,one,1\na,keys,p,m,1,1\na,byok,p\n,byok,p,m,1,1\na,byok,p,\"m\"x,1,1\na,byok,p,m,-1,1\na,byok,p,m,2,2\n"
        )
        #expect(file.reports.map(\.line) == [2, 9])
        #expect(file.badLines.map(\.line).sorted() == [3, 4, 5, 6, 7, 8])
        let problems = Dictionary(uniqueKeysWithValues: file.badLines.map { ($0.line, $0.problem) })
        #expect(problems[3]?.contains("input_tokens: `one` is not a whole number") == true)
        #expect(problems[4]?.contains("credential_source: it is `platform` or `byok`") == true)
        #expect(problems[5]?.contains("it has 3 fields, the header names 6") == true)
        #expect(problems[6]?.contains("account: it is missing") == true)
        #expect(problems[7]?.contains("text follows a closing quote") == true)
    }

    @Test("bad JSON lines are named by line")
    func badJSON() throws {
        let good = #"{"account":"a","credential_source":"byok","provider":"p","model":"m"}"#
        let file = try read(
            [good, "{", #"{"account":"a","inptu_tokens":1}"#, #"{"account":["a"]}"#, "7", good].joined(
                separator: "\n"),
            format: .jsonl)
        #expect(file.reports.map(\.line) == [1, 6])
        #expect(file.badLines.map(\.line) == [2, 3, 4, 5])
        #expect(file.badLines[1].problem.contains("did you mean `input_tokens`?"))
    }

    @Test("a header that names what nobody knows refuses the file")
    func badHeader() {
        #expect(throws: BadLine.self) { try read("account,tokens_in\n") }
        #expect(throws: BadLine.self) { try read("account,account\n") }
        #expect(throws: BadLine.self) { try read("") }
    }

    @Test("a quote that is never closed and bytes that are no UTF-8 are bad lines, not a crash")
    func brokenText() throws {
        #expect(try read(header + "\"a,byok,p,m,1,1\n").badLines.map(\.line) == [2])
        let file = try RecordFile(
            Array(header.utf8) + [0xff, 0xfe] + Array(",byok,p,m,1,1\na,byok,p,m,1,1\n".utf8), format: .csv,
            defaults: RecordDraft(), now: 0)
        #expect(file.badLines.map(\.line) == [2])
        #expect(file.reports.map(\.line) == [3])
    }

    @Test("every prefix of a file is read or refused", arguments: [RecordFile.Format.csv, .jsonl])
    func everyCut(format: RecordFile.Format) {
        let csv = header + "a,byok,p,\"m\"\"n\",1,1\r\n\"x\ny\",platform,p,m,2,2\n"
        let json =
            #"{"account":"a","credential_source":"byok","provider":"p","model":"m","tags":{"k":"v"}}"#
            + "\n\n{}\n"
        let bytes = Array((format == .csv ? csv : json).utf8)
        for cut in 0...bytes.count {
            do throws(BadLine) {
                let file = try RecordFile(
                    Array(bytes.prefix(cut)), format: format, defaults: RecordDraft(), now: 0)
                #expect(file.reports.count <= 2)
            } catch {
                #expect(error.line >= 1)
            }
        }
    }
}
