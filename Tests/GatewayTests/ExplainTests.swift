// A charge can be explained from what it was pinned to, and what cannot be priced is kept.

import Gateway
import Ledger
import Pricing
import Testing

@Suite("explain")
struct ExplainTests {
    @Test("a charge is recomputed to the nanocredit from its pinned versions")
    func charge() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        let receipt = try #require(try await report([TestReport(id: "r1")], to: gateway)[0].receipt)
        try await gateway.waitForHistory()
        let explained = try #require(try gateway.explain(requestID: Array("r1".utf8)))
        #expect(explained.agrees)
        #expect(explained.row.figures.charge == receipt.charge)
        guard case .priced(let factors) = explained.explanation else {
            Issue.record("a charge has factors: \(explained.explanation)")
            return
        }
        // gpt-4o: 1 000 input at 2.50 USD and 100 output at 10 USD a million, OpenAI's override of 1.80.
        #expect(factors.baseCost == 3_500_000_000)
        #expect(factors.fee == 6_300_000_000)
        #expect(receipt.charge == 6_300_000_000)
        #expect(try gateway.explain(requestID: Array("unknown".utf8)) == nil)
        await gateway.stop()
    }

    @Test("usage of a model without a price is parked, and its retry is a duplicate")
    func parked() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        var unpriced = TestReport(id: "r1", model: "nobody-sells-this")
        unpriced.eventTime = gateway.now().microseconds
        let first = try #require(try await report([unpriced], to: gateway)[0].receipt)
        #expect(first.state == .parked && first.charge == 0 && first.parkedReason == .unpricedModel)
        let again = try #require(try await report([unpriced], to: gateway)[0].receipt)
        #expect(again.duplicate && again.state == .parked && again.sequence == first.sequence)
        try await gateway.waitForHistory()
        #expect(try gateway.explain(requestID: Array("r1".utf8))?.agrees == true)
        await gateway.stop()
    }

    @Test("a report that asks to be refused is refused at the limit and changes nothing")
    func refused() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway, credits: 6)
        let guarded = TestReport(id: "r1", onInsufficient: .refuse)
        let refusal = try #require(try await report([guarded], to: gateway)[0].refusal)
        #expect(refusal.reason == .insufficientCredits)
        #expect(refusal.found == 6_300_000_000 && refusal.expected == 6_000_000_000)
        let balance = try await gateway.balance(of: Array("acme/search".utf8))
        #expect(balance.balance == 6_000_000_000)
        // The same id may be asked again: a refusal is not remembered.
        let recorded = try #require(try await report([TestReport(id: "r1")], to: gateway)[0].receipt)
        #expect(recorded.inDebt && recorded.balance == -300_000_000)
        await gateway.stop()
    }
}
