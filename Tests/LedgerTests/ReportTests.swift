// What a report is answered, and what it changes.

import Bytes
import Pricing
import Testing

@testable import Ledger

@Suite("reports")
struct ReportTests {
    @Test("a charge takes what it says and names its versions")
    func charge() throws {
        let house = try House()
        try house.open("acme", tier: "double")
        try house.grant(1_000)
        let receipt = try #require(house.report(Call("r1", tokens: 30)).receipt)
        #expect(receipt.state == .charged && !receipt.duplicate && !receipt.inDebt)
        #expect(receipt.charge == 60 && receipt.balance == 940 && receipt.baseCost == 30)
        #expect(receipt.sequence == 3 && receipt.ruleVersion == 12 && receipt.catalogueVersion == 7)
        #expect(try house.balance() == 940)
    }

    @Test("a duplicate returns the first outcome and changes nothing")
    func duplicates() throws {
        let house = try House()
        try house.open("acme")
        try house.grant(1_000)
        let first = try #require(house.report(Call("r1", tokens: 30)).receipt)
        _ = house.report(Call("r2", tokens: 5))
        let before = house.state()
        let sequences = house.ledger.sequences()
        for _ in 0..<3 {
            let again = try #require(house.report(Call("r1", tokens: 30)).receipt)
            #expect(again.duplicate && again.state == .charged)
            #expect(again.sequence == first.sequence && again.charge == first.charge)
            #expect(again.balance == 965)
        }
        #expect(house.state() == before && house.ledger.sequences() == sequences)
    }

    @Test("the same id with other content is a conflict that names both digests")
    func conflicts() throws {
        let house = try House()
        try house.open("acme")
        try house.open("acme/a", wallet: false)
        try house.open("other")
        _ = house.report(Call("r1", tokens: 30))
        let other = Call("r1", tokens: 31)
        let refusal = try #require(house.report(other).refusal)
        #expect(refusal.reason == .idempotencyConflict && refusal.field == .requestID)
        #expect(refusal.found == Int64(bitPattern: Call("r1", tokens: 30).keys(house.ledger.keys).digest))
        #expect(refusal.expected == Int64(bitPattern: other.keys(house.ledger.keys).digest))
        #expect(house.report(Call("r1", of: "acme/a", tokens: 30)).refusal?.reason == .idempotencyConflict)
        #expect(house.report(Call("r1", of: "other", tokens: 30)).receipt?.duplicate == false)
        #expect(try house.balance() == -30)
    }

    @Test("a refusal is not remembered: the same request may be asked again")
    func refusalsAreForgotten() throws {
        let house = try House()
        #expect(house.report(Call("r1", tokens: 30, refuse: true)).refusal?.reason == .accountNotFound)
        try house.open("acme")
        #expect(house.report(Call("r1", tokens: 30, refuse: true)).refusal?.reason == .insufficientCredits)
        try house.grant(30)
        #expect(house.report(Call("r1", tokens: 30, refuse: true)).receipt?.charge == 30)
    }

    @Test(
        "an account that is suspended or closed anywhere upward is refused",
        arguments: ["acme", "acme/a", "acme/a/b"], [AccountStatus.suspended, .closed])
    func status(changed: String, status: AccountStatus) throws {
        let house = try House()
        try house.open("acme")
        try house.open("acme/a", wallet: false, tier: nil)
        try house.open("acme/a/b", tier: nil)
        try house.open("acme/x", tier: nil)
        try house.change(changed, status: status, tier: "plain")
        let reason: Reason = status == .closed ? .accountClosed : .accountSuspended
        #expect(house.report(Call("r1", of: "acme/a/b", tokens: 1)).refusal?.reason == reason)
        #expect((house.report(Call("r2", of: "acme/x", tokens: 1)).receipt == nil) == (changed == "acme"))
        try house.change(changed, tier: "plain")
        #expect(house.report(Call("r1", of: "acme/a/b", tokens: 1)).receipt != nil)
    }

    @Test("closed outweighs suspended")
    func worstStatus() throws {
        let house = try House()
        try house.open("acme")
        try house.open("acme/a")
        try house.change("acme", status: .closed)
        try house.change("acme/a", status: .suspended)
        #expect(house.report(Call("r1", of: "acme/a", tokens: 1)).refusal?.reason == .accountClosed)
    }

    @Test("wallet and tier are the nearest upward")
    func inheritance() throws {
        let house = try House()
        try house.open("acme")
        try house.open("acme/team/ann", wallet: false, tier: nil)
        try house.grant(1_000)
        #expect(house.report(Call("r1", of: "acme/team/ann", tokens: 10)).receipt?.charge == 10)
        try house.open("acme/team", tier: "double")
        try house.grant(100, to: "acme/team/ann")
        let receipt = try #require(house.report(Call("r2", of: "acme/team/ann", tokens: 10)).receipt)
        #expect(receipt.charge == 20 && receipt.balance == 80)
        #expect(try house.balance("acme") == 990)
        let summary = try #require(try house.summary("acme/team/ann"))
        #expect(summary.wallet == Array("acme/team".utf8) && summary.tier == Array("double".utf8))
        house.collect()
        #expect(try wallets(house.pieces) == ["acme", "acme/team"])
    }

    /// The path of the wallet in each charge, as its entry says it.
    private func wallets(_ pieces: [[UInt8]]) throws -> [String] {
        var wallets: [String] = []
        for piece in pieces {
            try piece.withView { (view) throws in
                var chunks = PieceReader(view)
                while let chunk = try chunks.next() {
                    var reader = try ChunkReader(chunk)
                    while let (_, entry) = try reader.next() {
                        guard case .charged(let charge) = entry else { continue }
                        let account = try RecordContent.read(charge.content).account
                        wallets.append(account[0..<charge.walletPathCount].text)
                    }
                }
            }
        }
        return wallets
    }

    @Test("what cannot be priced is parked, costs nothing and is charged once")
    func parked() throws {
        let house = try House()
        try house.open("acme")
        try house.grant(10)
        var unknown = Call("r1", tokens: 100, refuse: true)
        unknown.model = "nobody-knows"
        var contradictory = Call("r2", tokens: 10)
        contradictory.usage.cacheReadTokens = 11
        for (call, reason) in [(unknown, Reason.unpricedModel), (contradictory, .invalidUsage)] {
            let receipt = try #require(house.report(call).receipt)
            #expect(receipt.state == .parked && receipt.parkedReason == reason)
            #expect(receipt.charge == 0 && receipt.balance == 10)
            let again = try #require(house.report(call).receipt)
            #expect(again.duplicate && again.state == .parked && again.sequence == receipt.sequence)
        }
        #expect(try house.balance() == 10)
    }

    @Test("a charge of zero needs no credit")
    func zero() throws {
        let house = try House()
        try house.open("acme")
        _ = house.report(Call("debt", tokens: 50))
        var free = Call("r1", tokens: 1_000_000, refuse: true)
        free.model = "free"
        #expect(house.report(free).receipt?.charge == 0)
        #expect(house.report(Call("r2", tokens: 0, refuse: true)).receipt?.charge == 0)
        #expect(try house.balance() == -50)
    }

    @Test("what no rule allows is refused and changes nothing")
    func noRule() throws {
        let house = try House()
        try house.open("acme", tier: nil)
        #expect(house.report(Call("r1", tokens: 1)).refusal?.reason == .noPricingRule)
        #expect(house.report(Call("r1", tokens: 1, byok: true)).refusal?.reason == .byokNotInTier)
        var unsaid = Call("r1", tokens: 1)
        unsaid.source = nil
        #expect(house.report(unsaid).refusal?.field == .credentialSource)
        #expect(house.ledger.sequences() == [1])
    }

    @Test("an answer waits for the cycle that makes what it saw durable")
    func marks() throws {
        let house = try House()
        try house.open("acme")
        #expect(!house.mark.stagedShards.isEmpty && house.mark.takenCycle == 0)
        house.collect()
        house.mark = AnswerMark()
        _ = try house.summary()
        #expect(house.mark.takenCycle == 1, "the account was opened in cycle 1")
        #expect(house.mark.stagedShards.isEmpty)
        _ = house.report(Call("r1", tokens: 1))
        #expect(!house.mark.stagedShards.isEmpty)
        house.mark = AnswerMark()
        #expect(house.report(Call("r1", tokens: 1)).receipt?.duplicate == true)
        #expect(!house.mark.stagedShards.isEmpty, "a duplicate waits for the first outcome")
        house.collect()
        house.mark = AnswerMark()
        #expect(house.report(Call("r1", tokens: 2)).refusal != nil)
        #expect(house.mark.takenCycle == 2, "a conflict was seen in what cycle 2 makes durable")
        #expect(house.mark.stagedShards.isEmpty)
    }

    @Test("the guide's own-key example is charged as written")
    func guide() throws {
        let house = House(
            Ledger(secret: Fixture.secret, shardCount: 4),
            book: try PriceBook(catalogue: try Catalogue.starter(), rules: .standard, creditValue: .standard))
        try house.open("acme", tier: "professional")
        var call = Call("r1", tokens: 10_000, byok: true, provider: "openrouter")
        call.model = "anthropic/claude-3.5-sonnet"
        let receipt = try #require(house.report(call).receipt)
        #expect(receipt.state == .charged && receipt.baseCost == 30_000_000_000)
        #expect(receipt.charge == 0 && receipt.allowanceUsed == 1_500_000_000)
    }
}
