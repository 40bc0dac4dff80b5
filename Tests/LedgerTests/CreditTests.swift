// Grants, debt, the order in which credit burns, and what expires.

import Bytes
import Pricing
import Testing

@testable import Ledger

@Suite("credit")
struct CreditTests {
    private func house() throws -> House {
        let house = try House()
        try house.open("acme")
        return house
    }

    @Test("a guarded report is admitted to the last nanocredit and refused one above")
    func exactBoundary() throws {
        let house = try house()
        try house.grant(100)
        let refusal = try #require(house.report(Call("r1", tokens: 101, refuse: true)).refusal)
        #expect(refusal.reason == .insufficientCredits)
        #expect(refusal.found == 101 && refusal.expected == 100)
        #expect(house.report(Call("r1", tokens: 100, refuse: true)).receipt?.balance == 0)
        #expect(house.report(Call("r2", tokens: 1, refuse: true)).refusal?.reason == .insufficientCredits)
    }

    @Test("an overdraft moves the boundary below zero")
    func overdraft() throws {
        let house = try house()
        try house.change("acme", overdraft: 50)
        try house.grant(100)
        #expect(try house.summary()?.available == 150)
        #expect(house.report(Call("r1", tokens: 151, refuse: true)).refusal?.expected == 150)
        #expect(house.report(Call("r1", tokens: 150, refuse: true)).receipt?.inDebt == true)
        #expect(house.report(Call("r2", tokens: 1, refuse: true)).refusal?.expected == 0)
        try house.change("acme", overdraft: 20)
        #expect(house.report(Call("r2", tokens: 1, refuse: true)).refusal?.expected == -30)
    }

    @Test("an unlimited wallet is metered and never refused for lack of credit")
    func unlimited() throws {
        let house = try house()
        try house.change("acme", unlimited: true)
        #expect(house.report(Call("r1", tokens: 1_000, refuse: true)).receipt?.balance == -1_000)
    }

    @Test("a report that is not covered makes debt, and the next grant repays it first")
    func debt() throws {
        let house = try house()
        try house.grant(30, kind: .promo, expiresAt: Timestamp(microseconds: .max - 1))
        let receipt = try #require(house.report(Call("r1", tokens: 100)).receipt)
        #expect(receipt.inDebt && receipt.balance == -70)
        #expect(try house.summary()?.remaining == [:])
        #expect(try house.grant(50).receipt?.balance == -20)
        #expect(try house.summary()?.remaining == [:])
        #expect(try house.grant(20).receipt?.balance == 0)
        #expect(try house.grant(25, kind: .bonus).receipt?.balance == 25)
        #expect(try house.summary()?.remaining == [.bonus: 25])
        #expect(house.ledger.totals().balance)
    }

    @Test("what repaid debt does not expire")
    func repaidIsGone() throws {
        let house = try house()
        _ = house.report(Call("r1", tokens: 70))
        let end = Timestamp(microseconds: house.now.microseconds + 10)
        try house.grant(100, kind: .promo, expiresAt: end)
        house.now = end
        let summary = try #require(try house.summary())
        #expect(summary.balance == 0 && summary.expired == 30 && summary.charged == 70)
    }

    @Test("credit burns by kind, then expiry, then age", arguments: UInt64(1)...10)
    func burnOrder(seed: UInt64) throws {
        var random = Seeded(seed)
        let house = try house()
        var grants: [(order: UInt16, expiry: Int64, age: Int, kind: GrantKind, amount: Int64)] = []
        for age in 0..<30 {
            let kind = random.pick(GrantKind.allCases)
            let expiry =
                random.chance(30)
                ? Int64.max : house.now.microseconds + Int64.random(in: 1...4, using: &random)
            let amount = Int64.random(in: 1...50, using: &random)
            grants.append((kind.defaultBurnOrder, expiry, age, kind, amount))
            try house.grant(amount, kind: kind, expiresAt: Timestamp(microseconds: expiry))
        }
        grants.sort { ($0.order, $0.expiry, $0.age) < ($1.order, $1.expiry, $1.age) }
        var number = 0
        while !grants.isEmpty {
            var amount = Int64.random(in: 1...120, using: &random)
            number += 1
            _ = house.report(Call("r\(number)", tokens: amount))
            while amount > 0, let first = grants.first {
                let drawn = min(amount, first.amount)
                amount -= drawn
                grants[0].amount -= drawn
                if grants[0].amount == 0 { grants.removeFirst() }
            }
            let remaining = Dictionary(grants.map { ($0.kind, $0.amount) }, uniquingKeysWith: +)
            let summary = try #require(try house.summary())
            #expect(summary.remaining == remaining)
            #expect(summary.nextExpiry.microseconds == grants.map(\.expiry).min() ?? .max)
        }
    }

    @Test("a grant ends at the first touch after its time, with an entry of its own")
    func expiry() throws {
        let house = try house()
        let end = Timestamp(microseconds: house.now.microseconds + 1_000)
        try house.grant(100, kind: .promo, expiresAt: end)
        try house.grant(40, kind: .monthly, expiresAt: Timestamp(microseconds: end.microseconds + 1))
        try house.grant(7)
        house.now.microseconds = end.microseconds - 1
        #expect(try house.balance() == 147)
        house.now = end
        let receipt = try #require(house.report(Call("r1", tokens: 10, refuse: true)).receipt)
        #expect(receipt.balance == 37 && receipt.sequence == 6, "one entry ended the grant, one charged")
        #expect(try house.summary()?.nextExpiry.microseconds == end.microseconds + 1)
        house.now.microseconds += 1
        #expect(house.report(Call("r2", tokens: 8, refuse: true)).refusal?.expected == 7)
        let summary = try #require(try house.summary())
        #expect(summary.balance == 7 && summary.expired == 130 && summary.nextExpiry == .distantFuture)
        #expect(house.ledger.totals().balance)
    }

    @Test("what was drawn before its time does not expire")
    func spentInTime() throws {
        let house = try house()
        try house.grant(100, kind: .promo, expiresAt: Timestamp(microseconds: house.now.microseconds + 5))
        _ = house.report(Call("r1", tokens: 100))
        #expect(try house.summary()?.nextExpiry == .distantFuture)
        let sequence = house.ledger.sequences()
        house.now.microseconds += 10
        #expect(try house.summary()?.expired == 0)
        #expect(house.ledger.sequences() == sequence)
    }

    @Test("a clock that goes back does not bring a grant back, and times never fall")
    func clock() throws {
        let house = try house()
        try house.grant(100, kind: .promo, expiresAt: Timestamp(microseconds: house.now.microseconds + 5))
        house.now.microseconds += 10
        #expect(try house.balance() == 0)
        house.now = Fixture.start
        #expect(try house.balance() == 0)
        #expect(
            try house.grant(
                1, kind: .promo, expiresAt: Timestamp(microseconds: Fixture.start.microseconds + 7)
            )
            .refusal?.reason == .invalidArgument, "it would have ended already")
    }

    @Test("a grant with a key is given once; other content is a conflict")
    func grantKeys() throws {
        let house = try house()
        #expect(try house.grant(100, key: "k", history: .notAsked) == .askHistory)
        let first = try #require(try house.grant(100, key: "k").receipt)
        #expect(!first.duplicate && first.balance == 100)
        _ = house.report(Call("k", tokens: 1))
        let again = try #require(try house.grant(100, key: "k", history: .notAsked).receipt)
        #expect(again.duplicate && again.sequence == first.sequence && again.balance == 99)
        #expect(try house.grant(101, key: "k").refusal?.reason == .idempotencyConflict)
        #expect(try house.grant(100, kind: .bonus, key: "k").refusal?.reason == .idempotencyConflict)
        #expect(try house.balance() == 99)
    }

    @Test("history knows a key that memory has forgotten")
    func grantHistory() throws {
        let house = try house()
        let sibling = house.sibling()
        try sibling.open("acme")
        try sibling.grant(100, key: "k")
        let remembered = try #require(
            sibling.ledger.shards[0].state.withLock { state in
                state.ids.find(
                    "k".withView { key in sibling.ledger.keys.act(key, organisation: organisation(sibling)) })
            })
        #expect(try house.grant(100, key: "k", history: .seen(remembered)).receipt?.duplicate == true)
        #expect(
            try house.grant(99, key: "k", history: .seen(remembered)).refusal?.reason == .idempotencyConflict)
        #expect(try house.balance() == 0)
    }

    private func organisation(_ house: House) -> Hash128 {
        "acme".withView { house.ledger.keys.path($0).organisation }
    }

    @Test("a grant of nothing, of less, or of what is over is refused")
    func badGrants() throws {
        let house = try house()
        for amount in [Int64.min, -1, 0] {
            #expect(try house.grant(amount).refusal?.field == .amount)
        }
        #expect(try house.grant(1, expiresAt: house.now).refusal?.reason == .invalidArgument)
        #expect(try house.grant(1, to: "nobody").refusal?.reason == .accountNotFound)
        #expect(house.ledger.totals().granted == 0)
    }
}
