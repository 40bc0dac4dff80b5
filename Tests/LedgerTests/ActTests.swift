// Administrators' acts on credit, each rule by name: deduct, refund, correct, void, close. What is refused
// changes nothing.

import Pricing
import Testing

@testable import Ledger

@Suite("acts on credit")
struct ActTests {
    /// An account with 100 nanocredits that expire and 50 that do not.
    private func house(overdraft: Int64 = 0, unlimited: Bool = false) throws -> House {
        let house = try House()
        try house.open("acme", unlimited: unlimited, overdraft: overdraft)
        try house.grant(
            100, kind: .promo, expiresAt: Timestamp(microseconds: house.now.microseconds + Fixture.day))
        try house.grant(50)
        return house
    }

    private func deduct(_ amount: Int64, negative: Bool = false) -> CreditAct {
        .deduct(amount, service: Array("by hand".utf8), allowNegative: negative)
    }

    private func charge(_ house: House, _ id: String = "r1", tokens: Int64) throws -> KnownCharge {
        let call = Call(id, tokens: tokens)
        _ = try #require(house.report(call).receipt)
        return try #require(house.known(call))
    }

    /// Expects that `body` changes neither accounts nor sums, nor writes an entry.
    private func unchanged(_ house: House, _ body: () throws -> Void) throws {
        let (before, totals, sequences) = (house.state(), house.ledger.totals(), house.ledger.sequences())
        try body()
        #expect(house.state() == before && house.ledger.totals() == totals)
        #expect(house.ledger.sequences() == sequences)
    }

    // MARK: - Deduct

    @Test("a deduction draws on grants in burn order and has a sum of its own")
    func deduction() throws {
        let house = try house()
        let receipt = try #require(try house.act(deduct(120)).receipt)
        #expect(receipt.balanceBefore == 150 && receipt.balance == 30 && receipt.moved == -120)
        let summary = try #require(try house.summary())
        #expect(summary.remaining == [.purchased: 30])
        #expect(summary.deducted == 120 && summary.charged == 0)
        #expect(house.ledger.totals().deducted == 120 && house.ledger.totals().balance)
    }

    @Test("a deduction beyond what is available is refused with both figures, unless it may go negative")
    func beyondAvailable() throws {
        let house = try house(overdraft: 10)
        try unchanged(house) { () throws in
            let refusal = try #require(try house.act(deduct(161)).refusal)
            #expect(refusal.reason == .insufficientCredits && refusal.found == 161 && refusal.expected == 160)
        }
        #expect(try house.act(deduct(160)).receipt?.balance == -10)
        #expect(try house.act(deduct(5, negative: true)).receipt?.balance == -15)
        let free = try self.house(unlimited: true)
        #expect(try free.act(deduct(1_000)).receipt?.balance == -850)
    }

    @Test("what is deducted below zero is debt, which the next grant repays first")
    func debt() throws {
        let house = try house()
        try house.act(deduct(200, negative: true))
        try house.grant(80, kind: .bonus)
        let summary = try #require(try house.summary())
        #expect(summary.balance == 30 && summary.remaining == [.bonus: 30])
    }

    @Test(
        "amounts of nothing, below nothing and beyond all are refused", arguments: [0, -1, Int64.min, .max])
    func amounts(amount: Int64) throws {
        let house = try house(unlimited: true)
        try house.act(deduct(60))
        let charge = try charge(house, tokens: 40)
        try unchanged(house) { () throws in
            #expect(try house.act(deduct(amount, negative: true)).refusal?.reason == .invalidArgument)
            let refund = try house.act(.refund(amount, of: charge, source: []))
            if amount == .max {
                #expect(refund.problem == .aboveCharge(asked: .max, remaining: 40, charged: 40))
            } else {
                #expect(refund.refusal?.reason == .invalidArgument)
            }
        }
    }

    // MARK: - Keys

    @Test("an act is done once for its key, and the same key with another content is refused")
    func keys() throws {
        let house = try house()
        let first = try #require(try house.act(deduct(20), key: "k").receipt)
        try unchanged(house) { () throws in
            let again = try #require(try house.act(deduct(20), key: "k").receipt)
            #expect(again.duplicate && again.sequence == first.sequence && again.moved == -20)
            #expect(again.balance == 130 && again.balanceBefore == 130)
            for other in [deduct(21), .deduct(20, service: [], allowNegative: false), .void(grant: 2)] {
                #expect(try house.act(other, key: "k").refusal?.reason == .idempotencyConflict)
            }
            #expect(try house.grant(20, key: "k").refusal?.reason == .idempotencyConflict)
        }
        // The key is the organisation's, whatever it was used for.
        try house.grant(5, key: "g")
        #expect(try house.act(deduct(5), key: "g").refusal?.reason == .idempotencyConflict)
        #expect(try house.act(deduct(5), key: "old", history: .notAsked) == .askHistory)
    }

    // MARK: - Refund

    @Test("refunds of a charge add up to no more than it came to, across a restart")
    func refunds() throws {
        let house = try house()
        let charge = try charge(house, tokens: 90)
        #expect(try house.act(.refund(30, of: charge, source: [])).receipt?.balance == 90)
        #expect(try house.act(.refund(50, of: charge, source: [])).receipt?.balance == 140)
        try unchanged(house) { () throws in
            let answer = try house.act(.refund(11, of: charge, source: []))
            #expect(answer.problem == .aboveCharge(asked: 11, remaining: 10, charged: 90))
        }
        house.collect()
        var store = Checkpoint(shardCount: 1)
        var random = Seeded(1)
        store.take(from: house, fails: false, &random)
        let replayed = house.sibling()
        try replayed.replay(house.pieces)
        let restored = house.sibling()
        try store.restore(into: restored)
        for other in [replayed, restored] {
            expectSame(house, other)
            #expect(
                try other.act(.refund(11, of: charge, source: [])).problem
                    == .aboveCharge(asked: 11, remaining: 10, charged: 90))
            #expect(try other.act(.refund(10, of: charge, source: [])).receipt?.balance == 150)
        }
    }

    @Test("a refund never expires and burns after bonuses and before what was purchased")
    func refundGrant() throws {
        let house = try House()
        try house.open("acme")
        try house.grant(50)
        let charge = try charge(house, tokens: 40)
        try house.act(.refund(40, of: charge, source: []))
        try house.grant(5, kind: .bonus)
        house.now.microseconds += 1_000 * Fixture.day
        #expect(try house.summary()?.remaining == [.purchased: 10, .refund: 40, .bonus: 5])
        try house.act(deduct(25))
        #expect(try house.summary()?.remaining == [.purchased: 10, .refund: 20])
        try house.act(deduct(25))
        #expect(try house.summary()?.remaining == [.purchased: 5])
    }

    @Test("a refund repays debt first")
    func refundOfDebt() throws {
        let house = try house()
        let charge = try charge(house, tokens: 170)
        #expect(try house.act(.refund(50, of: charge, source: [])).receipt?.balance == 30)
        #expect(try house.summary()?.remaining == [.refund: 30])
    }

    @Test(
        "a correction refunds an overcharge, only notes an undercharge, and says when there is nothing to do")
    func corrections() throws {
        let house = try house()
        let charge = try charge(house, tokens: 90)
        let lower = try #require(try house.act(.correct(to: 70, of: charge, source: [])).receipt)
        #expect(lower.moved == 20 && lower.balance == 80)
        #expect(
            try house.act(.correct(to: 70, of: charge, source: [])).problem == .nothingToCorrect(70))
        let totals = house.ledger.totals()
        let higher = try #require(try house.act(.correct(to: 95, of: charge, source: [])).receipt)
        #expect(higher.moved == 0 && higher.balance == 80)
        #expect(house.ledger.totals() == totals, "an undercharge is never charged afterwards")
        #expect(try house.act(.correct(to: 0, of: charge, source: [])).receipt?.moved == 70)
        #expect(
            try house.act(.refund(1, of: charge, source: [])).problem
                == .aboveCharge(asked: 1, remaining: 0, charged: 90))
    }

    // MARK: - Void

    @Test("voiding a grant takes back what is left of it, once, and is neither expiry nor charge")
    func voiding() throws {
        let house = try house()
        _ = try charge(house, tokens: 30)
        let receipt = try #require(try house.act(.void(grant: 2), key: "v").receipt)
        #expect(receipt.moved == -70 && receipt.balance == 50)
        let summary = try #require(try house.summary())
        #expect(summary.voided == 70 && summary.expired == 0 && summary.nextExpiry == .distantFuture)
        #expect(house.ledger.totals().voided == 70 && house.ledger.totals().balance)
        try unchanged(house) { () throws in
            #expect(try house.act(.void(grant: 2), key: "v").receipt?.duplicate == true)
            #expect(try house.act(.void(grant: 2)).problem == .noGrant(2))
            #expect(try house.act(.void(grant: 0)).problem == .noGrant(0))
        }
    }

    @Test("a grant of another wallet is not voided")
    func otherWallet() throws {
        let house = try house()
        try house.open("acme/team")
        try unchanged(house) { () throws in
            let answer = try house.act(.void(grant: 2), on: "acme/team")
            #expect(answer.problem == .noGrant(2))
        }
    }

    // MARK: - Accounts

    @Test("acts on an unknown or closed account are refused and change nothing")
    func closedAccounts() throws {
        let house = try house()
        let charge = try charge(house, tokens: 30)
        let acts = [
            deduct(1), .refund(1, of: charge, source: []), .void(grant: 2),
            .correct(to: 0, of: charge, source: []),
        ]
        for act in acts {
            #expect(try house.act(act, on: "nobody").refusal?.reason == .accountNotFound)
        }
        try house.change("acme", status: .closed)
        try unchanged(house) { () throws in
            for act in acts { #expect(try house.act(act).refusal?.reason == .accountClosed) }
            #expect(try house.grant(1).refusal?.reason == .accountClosed)
        }
        try house.change("acme", status: .suspended)
        #expect(try house.act(deduct(1)).receipt != nil, "a suspended account is still kept in order")
    }

    @Test("an account with a balance is only closed with a choice, and closing it again changes nothing")
    func closing() throws {
        let house = try house()
        try unchanged(house) { () throws in
            let answer = try house.close("acme")
            #expect(answer.problem == .balanceLeft(150))
        }
        #expect(try house.close("acme", .keep).receipt?.balance == 150)
        try unchanged(house) { () throws in
            let answer = try house.close("acme", .forfeit)
            #expect(answer.receipt?.duplicate == true)
        }
        try house.change("acme", status: .active)
        let receipt = try #require(try house.close("acme", .forfeit).receipt)
        #expect(receipt.balanceBefore == 150 && receipt.balance == 0)
        let summary = try #require(try house.summary())
        #expect(summary.status == .closed && summary.deducted == 150 && summary.remaining.isEmpty)
        #expect(house.report(Call("r9", tokens: 1)).refusal?.reason == .accountClosed)
    }

    @Test("debt is forgiven where the balance is forfeited")
    func forgiving() throws {
        let house = try house()
        try house.act(deduct(160, negative: true))
        #expect(try house.close("acme", .forfeit).receipt?.balance == 0)
        #expect(house.ledger.totals().balance)
    }

    @Test("a transfer moves each grant as it is, in entries that no piece of the journal parts")
    func transfer() throws {
        let house = try house()
        try house.open("acme/b")
        try house.close("acme/b")
        try house.open("acme/c")
        try house.open("other")
        let end = try #require(try house.summary()).nextExpiry
        try unchanged(house) { () throws in
            for target in ["acme", "acme/b", "acme/c", "acme/x", "other"] {
                let problem = try house.close("acme", .transfer(to: Array(target.utf8))).problem
                #expect(problem == .badTarget(Array(target.utf8)), "\(target)")
            }
        }
        try house.grant(7, to: "acme/c", kind: .bonus)
        house.collect(pieceBytesMax: 1)
        let count = house.pieces.count
        #expect(try house.close("acme/c", .transfer(to: Array("acme".utf8))).receipt?.balance == 0)
        let summary = try #require(try house.summary())
        #expect(summary.balance == 157 && summary.remaining == [.promo: 100, .bonus: 7, .purchased: 50])
        #expect(summary.nextExpiry == end)
        house.collect(pieceBytesMax: 1)
        #expect(house.pieces.count == count + 2, "the transfer in one piece, the closing in another")
        let other = house.sibling()
        try other.replay(house.pieces)
        expectSame(house, other)
    }
}
