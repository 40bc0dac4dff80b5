// Parked usage at a gateway: listed, settled once when a price or a correction comes, given up, before and
// after restarts, and a directory that verifies.

import Bytes
import Ledger
import Pricing
import Store
import Testing

@testable import Gateway

@Suite("parked usage")
struct ParkedTests {
    private func prices(_ gateway: Gateway, _ model: String, _ price: String) throws {
        let staged = try gateway.stageCatalogue(
            CatalogueStaging(
                bytes: Array(
                    #"{"\#(model)":{"litellm_provider":"openai","input_cost_per_token":\#(price),"output_cost_per_token":1e-05}}"#
                        .utf8), keepsMissing: true, actor: "ada"))
        _ = try gateway.approveCatalogue(staged.version.number, actor: "ada")
    }

    private func end(
        _ action: ParkedAction, _ id: String, _ gateway: Gateway, correction: Usage? = nil
    ) async throws -> ParkedAnswer {
        let ended = try #require(
            try gateway.endParked(
                ParkedOrder(action, reason: "because", actor: "ada", correction: correction),
                requestID: Array(id.utf8), organisation: nil))
        await gateway.durable(ended.mark)
        return ended.result.answer
    }

    private func open(_ gateway: Gateway) async throws -> [String] {
        try await gateway.waitForHistory()
        return try gateway.parked(ParkedFilter()).rows.map { String(decoding: $0.requestID, as: UTF8.self) }
    }

    private func verify(_ directory: TemporaryDirectory) throws -> VerificationReport {
        try OfflineDirectory(directory.path + "/data").verify()
    }

    @Test("a price that comes settles what waited for it, once, and an explanation tells the story")
    func price() async throws {
        let directory = try TemporaryDirectory()
        var gateway = try openGateway(directory)
        await openAccount(gateway, credits: 100)
        var waiting: [TestReport] = []
        for number in 0..<5 {
            waiting.append(
                TestReport(
                    id: "new-\(number)", model: "gpt-new", eventTime: gateway.now().microseconds - 1_000))
        }
        for decision in try await report(waiting, to: gateway) {
            #expect(decision.receipt?.state == .parked)
        }
        #expect(try await open(gateway) == (0..<5).map { "new-\($0)" })
        #expect(try gateway.parkedFigures().byReason == ["UNPRICED_MODEL": 5])
        #expect(
            try await end(.settle, "new-0", gateway) == .stillParked(Refusal(.unpricedModel, field: .model)))
        try prices(gateway, "gpt-new", "2e-05")
        // 1 000 × 20 + 100 × 10 millionths of a dollar, × 1.8 for openai.
        let preview = try await end(.preview, "new-0", gateway)
        guard case .done(let foretold) = preview else {
            Issue.record("\(preview)")
            return
        }
        #expect(foretold.charge == 37_800_000_000)
        #expect(try await gateway.balance(of: Array("acme/search".utf8)).balance == 100_000_000_000)
        guard case .done(let receipt) = try await end(.settle, "new-0", gateway) else {
            Issue.record("not settled")
            return
        }
        #expect(receipt.charge == 37_800_000_000 && receipt.balance == 62_200_000_000)
        guard case .ended(let before) = try await end(.settle, "new-0", gateway) else {
            Issue.record("settled twice")
            return
        }
        #expect(before.charge == receipt.charge && before.sequence == receipt.sequence)
        #expect(try await open(gateway) == (1..<5).map { "new-\($0)" })
        await gateway.stop()
        #expect(try verify(directory).problem == nil)

        // A new process: the list goes on, and what was settled stays so.
        gateway = try openGateway(directory)
        #expect(try await open(gateway) == (1..<5).map { "new-\($0)" })
        guard case .ended(let again) = try await end(.discard, "new-0", gateway) else {
            Issue.record("ended twice")
            return
        }
        #expect(again.charge == receipt.charge)
        // Its id may have left memory: history is asked, and answers what stands.
        let retry = try #require(try await reportAskingHistory(waiting[0], to: gateway).receipt)
        #expect(retry.duplicate && retry.state == .charged && retry.charge == receipt.charge)
        // All at once: previewed, done, and done again.
        for (action, results) in [(ParkedAction.preview, 4), (.settle, 4), (.settle, 0)] {
            let (ended, mark) = try gateway.endParked(
                ParkedOrder(action, reason: "price came", actor: "bob"), ParkedFilter())
            await gateway.durable(mark)
            #expect(ended.results.count == results && ended.next == nil)
            for result in ended.results {
                guard case .done(let receipt) = result.answer else {
                    Issue.record("\(result.answer)")
                    continue
                }
                #expect(receipt.charge == 37_800_000_000)
            }
            try await gateway.waitForHistory()
        }
        let balance = try await gateway.balance(of: Array("acme/search".utf8))
        #expect(balance.balance == 100_000_000_000 - 5 * 37_800_000_000)
        // The price goes up, and up again; the charges are explained by what they were made with.
        try prices(gateway, "gpt-new", "3e-05")
        try prices(gateway, "gpt-new", "4e-05")
        try await gateway.waitForHistory()
        let explained = try #require(try gateway.explain(requestID: Array("new-0".utf8)))
        #expect(explained.agrees && explained.row.figures.state == .settled)
        #expect(explained.details.end?.reason == "because" && explained.details.end?.actor == "ada")
        #expect(explained.parked?.figures.sequence == explained.details.end?.parkedSequence)
        let last = try #require(try gateway.explain(requestID: Array("new-4".utf8)))
        #expect(last.agrees && last.debt == 37_800_000_000)
        await gateway.stop()
        let report = try verify(directory)
        #expect(report.problem == nil)
        #expect(report.checks.contains { $0.part == "parked usage" && $0.found.hasPrefix("0 open, 5") })
    }

    @Test("contradicting counts wait for a correction, and what is given up is not charged")
    func correction() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        var wrong = TestReport(id: "wrong", eventTime: gateway.now().microseconds)
        wrong.cacheReadTokens = 5_000
        var test = wrong
        test.id = "test"
        #expect(
            try await report([wrong, test], to: gateway).compactMap(\.receipt?.parkedReason) == [
                .invalidUsage, .invalidUsage,
            ])
        try await gateway.waitForHistory()
        #expect(
            try await end(.settle, "wrong", gateway)
                == .stillParked(
                    Refusal(.invalidUsage, field: .cacheReadTokens, found: 5_000, expected: 1_000)))
        var usage = Usage()
        usage.inputTokens = 6_000
        usage.cacheReadTokens = 5_000
        usage.outputTokens = 100
        guard case .done(let receipt) = try await end(.settle, "wrong", gateway, correction: usage) else {
            Issue.record("not settled")
            return
        }
        // 1 000 × 2.5 + 5 000 × 1.25 + 100 × 10 millionths of a dollar, × 1.8.
        #expect(receipt.baseCost == 9_750_000_000 && receipt.charge == 17_550_000_000)
        guard case .done(let given) = try await end(.discard, "test", gateway) else {
            Issue.record("not discarded")
            return
        }
        #expect(given.charge == 0 && given.state == .discarded)
        try await gateway.waitForHistory()
        let explained = try #require(try gateway.explain(requestID: Array("wrong".utf8)))
        #expect(explained.agrees && explained.details.end?.isCorrected == true)
        #expect(explained.parked?.figures.counts.inputTokens == 1_000)
        #expect(explained.row.figures.counts.inputTokens == 6_000)
        let discarded = try #require(try gateway.explain(requestID: Array("test".utf8)))
        #expect(discarded.agrees && discarded.row.figures.state == .discarded)
        // The retries of both repeat what was reported, and get what stands.
        let retries = try await report([wrong, test], to: gateway).compactMap(\.receipt)
        #expect(retries.map(\.state) == [.charged, .discarded] && retries.allSatisfy(\.duplicate))
        #expect(retries.map(\.charge) == [17_550_000_000, 0])
        #expect(try await open(gateway) == [])
        #expect(
            try gateway.endParked(
                ParkedOrder(.settle, reason: "r", actor: "a"), requestID: Array("nobody".utf8),
                organisation: nil)
                == nil)
        await gateway.stop()
        #expect(try verify(directory).problem == nil)
    }

    @Test("an explanation names the grants that paid, the allowance and the debt")
    func buckets() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway, credits: 2)
        let grant = GrantRequest(
            kind: .promo, amount: 1_000_000_000,
            expiresAt: Timestamp(microseconds: gateway.now().microseconds + 86_400_000_000),
            source: Array("launch".utf8))
        let (promo, _) = try await gateway.allocate(grant, to: Array("acme/search".utf8))
        // 6.3 credits: one from the promo, two that were bought, 3.3 of debt.
        #expect(try await report([TestReport(id: "r-1")], to: gateway)[0].receipt?.inDebt == true)
        let own = TestReport(
            id: "r-2", source: .byok, provider: "openrouter", model: "anthropic/claude-3-5-sonnet")
        #expect(try await report([own], to: gateway)[0].receipt?.charge == 0)
        try await gateway.waitForHistory()
        let explained = try #require(try gateway.explain(requestID: Array("r-1".utf8)))
        #expect(explained.agrees && explained.debt == 3_300_000_000)
        #expect(explained.details.draws.map(\.amount) == [1_000_000_000, 2_000_000_000])
        #expect(explained.details.draws.first?.grant == promo.sequence)
        #expect(explained.grants[promo.sequence]?.source == "launch")
        #expect(explained.grants.count == 2)
        let free = try #require(try gateway.explain(requestID: Array("r-2".utf8)))
        #expect(
            free.agrees && free.row.figures.allowanceUsed > 0 && free.details.draws.isEmpty && free.debt == 0)
        await gateway.stop()
    }
}
