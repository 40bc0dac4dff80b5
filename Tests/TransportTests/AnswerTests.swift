// What a client that keeps to the contract is answered.

import Gateway
import Ledger
import Pricing
import Testing
import Transport

@Suite("answers of the transport", .serialized)
struct AnswerTests {
    @Test("each call gets its answer, under its own id")
    func everyCall() async throws {
        try await withServer { running in
            let client = try RawClient(running.server.port)
            let report = TestReport(id: "one")
            try await client.send(report.quoteFrame(1))
            guard case .quote(let charge, _) = try await client.answer() else {
                Issue.record("a quote is answered with a quote")
                return
            }
            try await client.send(report.quoteFrame(1, [.brief, .compare]))
            #expect(try await client.answer() == .quote(charge: charge, token: []))
            try await client.send(report.frame(2))
            let first = try #require(try await client.answer().receipt)
            #expect(first.charge == charge && charge > 0 && !first.duplicate)
            try await client.send(report.frame(3))
            let again = try #require(try await client.answer().receipt)
            #expect(again.duplicate && again.sequence == first.sequence && again.charge == charge)
            var other = report
            other.inputTokens += 1
            try await client.send(other.frame(4))
            #expect(
                try await client.answers(1) == [.init(callID: 4, answer: .status("IDEMPOTENCY_CONFLICT"))])
            try await client.send(TestReport(id: "two", account: "acme//x").frame(5))
            #expect(try await client.answer() == .status("INVALID_ARGUMENT"))
            try await client.send(balanceFrame("acme/search", 6))
            #expect(try await client.answer() == .balance(1_000_000_000_000 - charge))
            try await client.send(balanceFrame("nobody", 7))
            #expect(try await client.answer() == .status("ACCOUNT_NOT_FOUND"))
            try await client.send(pingFrame([1, 2, 3], 8))
            #expect(try await client.answers(1) == [.init(callID: 8, answer: .pong([1, 2, 3]))])
        }
    }

    @Test("quotes among other calls are answered in their turn, also where one is refused")
    func mixedCalls() async throws {
        try await withServer { running in
            let client = try RawClient(running.server.port)
            let report = TestReport(id: "mixed")
            try await client.send(report.frame(1))
            let charge = try #require(try await client.answer().receipt).charge
            // Runs of quotes of every length up to 20, some of them with one that is refused.
            var kinds: [Int] = []
            for length in 0...20 {
                kinds += (0..<length).map { length % 3 == 0 && $0 == length / 2 ? 2 : 1 } + [0]
            }
            let stranger = TestReport(id: "", account: "nobody")
            var bytes: [UInt8] = []
            for (index, kind) in kinds.enumerated() {
                let callID = UInt64(100 + index)
                switch kind {
                case 0: bytes += report.frame(callID)
                case 1: bytes += report.quoteFrame(callID, .brief)
                default: bytes += stranger.quoteFrame(callID)
                }
            }
            try await client.send(bytes)
            let answers = try await client.answers(kinds.count)
            #expect(answers.map(\.callID) == kinds.indices.map { UInt64(100 + $0) })
            for (kind, answer) in zip(kinds, answers) {
                switch kind {
                case 0: #expect(answer.answer.receipt?.duplicate == true)
                case 1: #expect(answer.answer == .quote(charge: charge, token: []))
                default: #expect(answer.answer == .status("ACCOUNT_NOT_FOUND"))
                }
            }
        }
    }

    @Test("what no rule is for is refused, what has no price is kept, and neither is charged")
    func outsideTheRules() async throws {
        try await withServer { running in
            let opened = await running.gateway.open([
                AccountOpening(
                    path: Array("gold".utf8), settings: AccountSettings(tier: Array("gold".utf8)),
                    initialGrant: GrantRequest(kind: .purchased, amount: 1_000)),
                AccountOpening(
                    path: Array("trial".utf8), settings: AccountSettings(tier: Array("trial".utf8)),
                    initialGrant: GrantRequest(kind: .purchased, amount: 1_000)),
            ])
            #expect(opened.allSatisfy { $0 == .opened })
            let client = try RawClient(running.server.port)
            let rows: [(TestReport, String)] = [
                (TestReport(id: "1", account: "gold"), "NO_PRICING_RULE"),
                (TestReport(id: "2", source: .byok), "NO_PRICING_RULE"),
                (
                    TestReport(id: "3", account: "trial", source: .byok, provider: "openrouter"),
                    "BYOK_NOT_IN_TIER"
                ),
                (TestReport(id: "4", account: "nobody"), "ACCOUNT_NOT_FOUND"),
            ]
            for (index, (report, reason)) in rows.enumerated() {
                try await client.send(report.frame(UInt64(index + 1)))
                #expect(try await client.answer() == .status(reason), "row \(index)")
                try await client.send(report.quoteFrame(UInt64(index + 1)))
                #expect(try await client.answer() == .status(reason), "row \(index)")
            }
            let kept = [
                (TestReport(id: "5", model: "no-such-model"), "UNPRICED_MODEL"),
                (TestReport(id: "6", reasoningTokens: 1), "INVALID_USAGE"),
            ]
            for (report, reason) in kept {
                try await client.send(report.quoteFrame(1))
                #expect(try await client.answer() == .status(reason))
                try await client.send(report.frame(2))
                let receipt = try #require(try await client.answer().receipt)
                #expect(receipt.state == .parked && receipt.charge == 0)
                #expect(receipt.parkedReason.map { "\($0.name)" } == reason)
            }
            #expect(try await running.balance() == 1_000_000_000_000)
        }
    }

    @Test("an empty hold, settlement, void or extension and a frame without a call are refused")
    func otherCalls() async throws {
        try await withServer { running in
            let client = try RawClient(running.server.port)
            for field: UInt8 in 6...9 {
                try await client.send(frame([0x08, field, field << 3 | 2, 0]))
                #expect(
                    try await client.answers(1)
                        == [.init(callID: UInt64(field), answer: .status("INVALID_ARGUMENT"))])
            }
            try await client.send(frame([0x08, 99]))
            #expect(try await client.answers(1) == [.init(callID: 99, answer: .status("INVALID_ARGUMENT"))])
        }
    }

    @Test("a frame that is cut anywhere is answered the same")
    func cuts() async throws {
        try await withServer { running in
            let client = try RawClient(running.server.port)
            let bytes = TestReport(id: "cut").frame(9)
            try await client.send(bytes)
            let first = try #require(try await client.answer().receipt)
            for cut in 1..<bytes.count {
                try await client.send(Array(bytes[..<cut]))
                try await Task.sleep(for: .milliseconds(1))
                try await client.send(Array(bytes[cut...]))
                let again = try #require(try await client.answer().receipt)
                #expect(again.duplicate && again.sequence == first.sequence, "cut at \(cut)")
            }
        }
    }

    @Test("many frames in one send are all answered, though few may be under way")
    func pipelined() async throws {
        try await withServer {
            $0.inFlightMax = 8
        } _: { running in
            let client = try RawClient(running.server.port)
            let count = 2_000
            let bytes = (0..<count).flatMap { TestReport(id: "r\($0)").frame(UInt64($0 + 1)) }
            try await client.send(bytes)
            let answers = try await client.answers(count)
            #expect(Set(answers.map(\.callID)) == Set(1...UInt64(count)))
            let receipts = answers.compactMap(\.answer.receipt)
            #expect(receipts.count == count && receipts.allSatisfy { !$0.duplicate })
            #expect(Set(receipts.map(\.sequence)).count == count)
            let spent = receipts.reduce(0) { $0 + $1.charge }
            #expect(try await running.balance() == 1_000_000_000_000 - spent)

            // Frames that wait for others are answered, too, when nothing more can be sent.
            let last = try RawClient(running.server.port)
            try await last.send((0..<100).flatMap { TestReport(id: "last \($0)").frame(UInt64($0 + 1)) })
            last.finishSending()
            let rest = try await last.answersUntilEnd()
            #expect(Set(rest.map(\.callID)) == Set(1...100))
        }
    }

    @Test("a call that was not decided within its timeout is refused and has changed nothing")
    func timeouts() async throws {
        try await withServer {
            $0.inFlightMax = 1
        } _: { running in
            let client = try RawClient(running.server.port)
            let late = TestReport(id: "late")
            let bytes = late.frame(1, timeoutMilliseconds: 20)
            try await client.send(Array(bytes.dropLast(5)))
            try await Task.sleep(for: .milliseconds(60))
            try await client.send(Array(bytes.suffix(5)))
            #expect(try await client.answer() == .status("DEADLINE_EXCEEDED"))
            #expect(try await running.balance() == 1_000_000_000_000)
            try await client.send(late.frame(2, timeoutMilliseconds: 60_000))
            let charge = try #require(try await client.answer().receipt).charge

            // One at a time: those at the end wait longer than a millisecond for those before.
            let reports = (0..<2_000).map { TestReport(id: "queued \($0)") }
            try await client.send(
                reports.enumerated().flatMap { $1.frame(UInt64($0 + 1), timeoutMilliseconds: 1) })
            let answers = try await client.answers(reports.count)
            let decided = Set(answers.filter { $0.answer.receipt != nil }.map(\.callID))
            for answer in answers where !decided.contains(answer.callID) {
                #expect(answer.answer == .status("DEADLINE_EXCEEDED"))
            }
            #expect(decided.count < reports.count)
            #expect(
                try await running.balance() == 1_000_000_000_000 - charge * Int64(decided.count + 1))
            try await client.send(reports.enumerated().flatMap { $1.frame(UInt64($0 + 1)) })
            for answer in try await client.answers(reports.count) {
                #expect(answer.answer.receipt?.duplicate == decided.contains(answer.callID))
            }
        }
    }

    @Test("a bad record in a batch is refused, and the others are answered")
    func batch() async throws {
        try await withServer { running in
            let client = try RawClient(running.server.port)
            try await client.send(batchFrame(["a", "", "b", "a"], callID: 3))
            guard case .batch(let results) = try await client.answer() else {
                Issue.record("a batch is answered with a batch")
                return
            }
            #expect(results.count == 4)
            #expect(results[0].receipt?.duplicate == false)
            #expect(results[1] == .status("INVALID_ARGUMENT"))
            #expect(results[2].receipt?.duplicate == false)
            #expect(results[3].receipt?.duplicate == true)
            #expect(results[3].receipt?.sequence == results[0].receipt?.sequence)
        }
    }

    @Test("a record that memory no longer vouches for is answered from history")
    func history() async throws {
        let directory = try TemporaryDirectory()
        let late = TestReport(id: "late")
        var running = try await RunningServer.start(directory)
        await running.openAccount()
        var client = try RawClient(running.server.port)
        try await client.send(late.frame(1))
        let first = try #require(try await client.answer().receipt)
        try await running.gateway.waitForHistory()
        try await running.stop()

        running = try await RunningServer.start(directory)
        client = try RawClient(running.server.port)
        try await client.send(late.frame(2) + pingFrame([7], 3))
        let answers = try await client.answers(2)
        let again = try #require(answers.first { $0.callID == 2 }?.answer.receipt)
        #expect(again.duplicate && again.sequence == first.sequence && again.charge == first.charge)
        #expect(answers.contains(.init(callID: 3, answer: .pong([7]))))
        try await client.send(batchFrame(["fresh", "late", ""], callID: 4, eventTime: late.eventTime))
        guard case .batch(let results) = try await client.answer() else {
            Issue.record("a batch is answered with a batch")
            return
        }
        #expect(results[0].receipt?.duplicate == false)
        #expect(results[1].receipt?.duplicate == true)
        #expect(results[1].receipt?.sequence == first.sequence)
        #expect(results[2] == .status("INVALID_ARGUMENT"))
        try await running.stop()
    }

    @Test("a token from before a restart and a change of prices waits for its book, alone and in a batch")
    func pinned() async throws {
        let directory = try TemporaryDirectory()
        var running = try await RunningServer.start(directory)
        await running.openAccount()
        var client = try RawClient(running.server.port)
        try await client.send(TestReport(id: "").quoteFrame(1))
        guard case .quote(let charge, let token) = try await client.answer(), !token.isEmpty else {
            Issue.record("a quote for now has a token")
            return
        }
        let list =
            #"{"gpt-4o":{"litellm_provider":"openai","input_cost_per_token":1e-03,"output_cost_per_token":1e-03}}"#
        let staged = try running.gateway.stageCatalogue(
            CatalogueStaging(bytes: Array(list.utf8), keepsMissing: true, actor: "ada"))
        _ = try running.gateway.approveCatalogue(staged.version.number, actor: "ada")
        try await running.stop()

        for isBatch in [false, true] {
            running = try await RunningServer.start(directory)
            client = try RawClient(running.server.port)
            let now = running.gateway.now()
            if isBatch {
                let frame = token.withView { batchFrame(["b1", "b2"], callID: 2, eventTime: now, token: $0) }
                try await client.send(frame + pingFrame([7], 3))
            } else {
                try await client.send(
                    TestReport(id: "one", token: token, eventTime: now).frame(2) + pingFrame([7], 3))
            }
            let answers = try await client.answers(2)
            #expect(answers.contains(.init(callID: 3, answer: .pong([7]))))
            let answer = try #require(answers.first { $0.callID == 2 }).answer
            let receipts: [Receipt]
            if case .batch(let results) = answer {
                receipts = results.compactMap(\.receipt)
            } else {
                receipts = [answer.receipt].compactMap { $0 }
            }
            #expect(receipts.map(\.charge) == [Int64](repeating: charge, count: isBatch ? 2 : 1), "\(answer)")
            #expect(receipts.allSatisfy { $0.catalogueVersion == 1 && !$0.duplicate })
            // Now its book is at hand, and without a token the new prices apply.
            try await client.send(TestReport(id: "again-\(isBatch)", token: token, eventTime: now).frame(4))
            #expect(try await client.answer().receipt?.charge == charge)
            try await client.send(TestReport(id: "new-\(isBatch)", eventTime: now).frame(5))
            #expect(try await client.answer().receipt?.charge == 1_800_000_000_000)
            try await running.stop()
        }
    }
}
