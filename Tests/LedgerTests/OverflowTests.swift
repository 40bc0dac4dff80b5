// Amounts near the ends of 64 bits are refused; nothing wraps and nothing stops the process.

import Pricing
import Testing

@testable import Ledger

@Suite("the ends of 64 bits")
struct OverflowTests {
    /// A report of 9 × 10^18 nanocredits, close below 2^63.
    private func huge(_ id: String, refuse: Bool = false) -> Call {
        var call = Call(id, refuse: refuse)
        call.usage.images = 9_000_000
        return call
    }

    @Test("grants up to the largest balance, and not one above")
    func grants() throws {
        let house = try House()
        try house.open("acme")
        #expect(try house.grant(.max - 1).receipt?.balance == .max - 1)
        #expect(try house.grant(2).refusal?.reason == .invalidArgument)
        #expect(try house.grant(1).receipt?.balance == .max)
        #expect(try house.grant(1).refusal?.reason == .invalidArgument)
        try house.change("acme", overdraft: .max)
        #expect(try house.summary()?.available == .max)
        #expect(house.report(huge("r1", refuse: true)).receipt?.charge == 9_000_000_000_000_000_000)
        // The balance has room again, but the sum of all grants has not.
        #expect(try house.grant(1).refusal?.reason == .invalidArgument)
        #expect(house.ledger.totals().balance)
    }

    @Test("charges down to the deepest debt, and not one below")
    func charges() throws {
        let house = try House()
        try house.open("acme")
        #expect(house.report(huge("r1")).receipt?.balance == -9_000_000_000_000_000_000)
        #expect(house.report(huge("r2")).refusal?.reason == .invalidArgument)
        #expect(house.report(huge("r2", refuse: true)).refusal?.reason == .invalidArgument)
        var rest = Call("r3")
        rest.usage.images = 223_372
        #expect(house.report(rest).receipt != nil)
        #expect(house.report(Call("r4", tokens: 36_854_775_807)).receipt?.balance == -.max)
        #expect(house.report(Call("r5", tokens: 1)).refusal?.reason == .invalidArgument)
        #expect(house.report(Call("r6", tokens: 0)).receipt?.charge == 0)
        // A grant repays, all of it.
        #expect(try house.grant(.max).receipt?.balance == 0)
        #expect(try house.summary()?.remaining == [:])
        #expect(house.ledger.totals().balance)
    }

    @Test("a cost that does not fit is refused")
    func costs() throws {
        let house = try House()
        try house.open("acme", tier: "double")
        #expect(house.report(huge("r1")).refusal?.field == .amount)
        var call = Call("r2")
        call.usage.images = Usage.countMax
        #expect(house.report(call).refusal?.field == .amount)
    }

    @Test("events at the ends of time are charged in their month")
    func times() throws {
        let house = try House()
        try house.open("acme")
        try house.grant(10_000)
        for (number, time) in [Timestamp(microseconds: .min + 1), .distantFuture].enumerated() {
            #expect(house.report(Call("r\(number)", tokens: 1, at: time, byok: true)).receipt != nil)
        }
        #expect(house.report(Call("early", tokens: 1, at: .distantPast, byok: true)).asksHistory)
    }

    @Test("live grants of a wallet are bounded, and a charge may draw on all of them")
    func manyGrants() throws {
        let house = try House()
        try house.open("acme")
        let end = Timestamp(microseconds: house.now.microseconds + 1_000)
        for _ in 0..<LedgerLimits.grantsPerWalletMax { try house.grant(3, kind: .promo, expiresAt: end) }
        #expect(try house.grant(3).refusal?.field == .records)
        let count = Int64(LedgerLimits.grantsPerWalletMax)
        #expect(house.report(Call("r1", tokens: 3 * count - 4)).receipt?.balance == 4)
        #expect(try house.grant(3).receipt?.balance == 7)
        house.now = end
        #expect(try house.balance() == 3)
        house.collect()
        let other = house.sibling()
        try other.replay(house.pieces)
        expectSame(house, other)
    }
}
