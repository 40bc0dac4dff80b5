// Grants of wallets that nobody touches end in time, in steps of any size, while others go on; and no lock is taken
// where nothing is due.

import Pricing
import Testing

@testable import Ledger

@Suite("sweeping")
struct SweepTests {
    private func sweep(_ house: House, atMost: Int = 512) -> Int {
        var steps = 0
        while house.ledger.endExpiredGrants(now: house.now, atMost: atMost, mark: &house.mark) {
            steps += 1
            precondition(steps < 100_000, "a sweep ends")
        }
        return steps
    }

    @Test("an untouched wallet's grant expires, and the sums say so")
    func untouched() throws {
        let house = try House()
        try house.open("acme")
        try house.open("globex")
        let end = Timestamp(microseconds: house.now.microseconds + Fixture.day)
        try house.grant(30, kind: .promo, expiresAt: end)
        try house.grant(20)
        #expect(sweep(house) == 0 && house.ledger.totals().expired == 0)
        house.now = end
        _ = sweep(house)
        #expect(house.ledger.totals().expired == 30 && house.ledger.totals().balance)
        let sequences = house.ledger.sequences()
        _ = sweep(house)
        #expect(house.ledger.sequences() == sequences, "it ends once")
    }

    @Test("a sweep comes to what touching every wallet does", arguments: UInt64(1)...8)
    func sameAsTouching(seed: UInt64) throws {
        var random = Seeded(seed)
        let swept = try House(shardCount: 3)
        var acts = RandomActs(seed: seed, organisations: 6)
        for _ in 0..<400 {
            try swept.perform(acts.next())
            if random.chance(10) { _ = sweep(swept, atMost: random.pick([1, 2, 7, 512])) }
            // A walk that is cut short goes on later, whatever came in between.
            if random.chance(20) {
                _ = swept.ledger.endExpiredGrants(now: swept.now, atMost: 1, mark: &swept.mark)
            }
        }
        swept.collect()
        let touched = swept.sibling()
        try touched.replay(swept.pieces)
        for house in [swept, touched] { house.now.microseconds += 15 * Fixture.day }
        _ = sweep(swept, atMost: 3)
        // A touch ends leases too, and some of them charge.
        while swept.ledger.expireHolds(now: swept.now, atMost: 3, mark: &swept.mark) {}
        for path in touched.state().keys { _ = try touched.summary(path) }
        #expect(swept.ledger.totals().expired == touched.ledger.totals().expired)
        let balances = { (house: House) in
            house.state().mapValues { [$0.balance, $0.nextExpiry.microseconds] }
        }
        #expect(balances(swept) == balances(touched))
        #expect(swept.ledger.totals().expired > 0, "something expired")
        // What was restored from the journal is swept as well.
        let other = touched.sibling()
        touched.collect()
        try other.replay(swept.pieces)
        other.now = swept.now
        _ = sweep(other)
        #expect(other.ledger.totals().expired == swept.ledger.totals().expired)
    }

    @Test("a step looks at no more accounts than it may")
    func bounded() throws {
        let house = try House()
        for number in 0..<100 { try house.open("o\(number)") }
        for number in 0..<100 {
            try house.grant(
                1, to: "o\(number)", kind: .promo,
                expiresAt: Timestamp(microseconds: house.now.microseconds + 5))
        }
        house.now.microseconds += 5
        #expect(house.ledger.endExpiredGrants(now: house.now, atMost: 10, mark: &house.mark))
        #expect(house.ledger.totals().expired == 5, "five accounts and their five entries")
        #expect(sweep(house, atMost: 10) == 18)
        #expect(house.ledger.totals().expired == 100)
    }
}
