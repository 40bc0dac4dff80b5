// The rules of holds: what is set aside, released, charged, and what time ends.

import Bytes
import Pricing
import Testing

@testable import Ledger

@Suite("holds")
struct HoldTests {
    private func house(_ credit: Int64 = 1_000) throws -> House {
        let house = try House()
        try house.open("acme")
        if credit > 0 { try house.grant(credit) }
        return house
    }

    @Test("a hold takes its amount from what is available and leaves the balance")
    func amount() throws {
        let house = try house()
        let receipt = try #require(house.hold(HoldOrder(amount: 300)).receipt)
        #expect(receipt.state == .open && receipt.amount == 300 && receipt.available == 700)
        #expect(!receipt.duplicate && receipt.sequence == 3)
        let summary = try #require(try house.summary())
        #expect(summary.balance == 1_000 && summary.held == 300 && summary.available == 700)
        #expect(house.ledger.totals().held == 300 && house.ledger.holdFigures().open == 1)
    }

    @Test("a hold of a usage is priced from input and maximum output, after the allowance, which it leaves")
    func priced() throws {
        let house = try house()
        var order = HoldOrder()
        order.input = 40
        #expect(house.hold(order).receipt?.amount == 40)
        var own = HoldOrder("h2")
        own.input = 1_300
        own.byok = true
        #expect(house.hold(own).receipt?.amount == 300)
        var second = own
        second.id = "h3"
        #expect(house.hold(second).receipt?.amount == 300)
    }

    @Test("STRICT is refused unless all is covered; what is needed and available is said")
    func strict() throws {
        let house = try house()
        house.hold(HoldOrder(amount: 600))
        let refusal = try #require(house.hold(HoldOrder("h2", amount: 401)).refusal)
        #expect(refusal.reason == .insufficientCredits && refusal.found == 401 && refusal.expected == 400)
        #expect(house.hold(HoldOrder("h2", amount: 400)).receipt?.available == 0)
    }

    @Test("CLIP holds what is there, if that is at least the cost of the input")
    func clip() throws {
        let house = try house(100)
        #expect(house.hold(HoldOrder(amount: 250, policy: .clip)).receipt?.amount == 100)
        #expect(house.hold(HoldOrder("h2", amount: 1, policy: .clip)).refusal?.reason == .insufficientCredits)
        try house.grant(50)
        var order = HoldOrder("h3", policy: .clip)
        order.input = 60
        let refusal = try #require(house.hold(order).refusal)
        #expect(refusal.reason == .insufficientCredits && refusal.found == 60 && refusal.expected == 50)
        order.id = "h4"
        order.input = 50
        #expect(house.hold(order).receipt?.amount == 50)
    }

    @Test("a hold of no cost needs no credit, also in debt")
    func free() throws {
        let house = try house(0)
        _ = house.report(Call("r", tokens: 10))
        var order = HoldOrder()
        order.model = "free"
        order.input = 1_000
        #expect(house.hold(order).receipt?.amount == 0)
        #expect(house.ledger.holdFigures().open == 1)
    }

    @Test("an unlimited wallet is never refused, and an overdraft counts as available")
    func unlimited() throws {
        let house = try House()
        try house.open("acme", unlimited: true)
        try house.open("other", overdraft: 50)
        #expect(house.hold(HoldOrder(amount: 1 << 40)).receipt?.state == .open)
        #expect(house.hold(HoldOrder(of: "other", amount: 50)).receipt?.available == 0)
        #expect(house.hold(HoldOrder("h2", of: "other", amount: 1)).refusal?.reason == .insufficientCredits)
    }

    @Test("asking again with the same content says where the hold stands; other content is a conflict")
    func idempotent() throws {
        let house = try house()
        let first = try #require(house.hold(HoldOrder(amount: 300)).receipt)
        let again = try #require(house.hold(HoldOrder(amount: 300)).receipt)
        #expect(again.duplicate && again.sequence == first.sequence && again.amount == 300)
        #expect(house.hold(HoldOrder(amount: 301)).refusal?.reason == .idempotencyConflict)
        house.settle("h1", tokens: 10)
        let settled = try #require(house.hold(HoldOrder(amount: 300)).receipt)
        #expect(settled.duplicate && settled.state == .settled && settled.amount == 300)
        #expect(house.hold(HoldOrder(amount: 301)).refusal?.reason == .idempotencyConflict)
        #expect(try house.summary()?.held == 0)
    }

    @Test("settling releases the hold and charges the usage in one step", arguments: [0, 120, 300, 900])
    func settle(tokens: Int64) throws {
        let house = try house()
        house.hold(HoldOrder(amount: 300))
        let receipt = try #require(house.settle("h1", tokens: tokens).receipt)
        #expect(receipt.charge == tokens && receipt.holdReleased == 300 && !receipt.holdExpired)
        let summary = try #require(try house.summary())
        #expect(summary.balance == 1_000 - tokens && summary.held == 0)
        #expect(summary.available == summary.balance)
        // One entry did both.
        #expect(receipt.sequence == 4)
    }

    @Test("settling far above the hold and the balance makes debt, like any report")
    func settleIntoDebt() throws {
        let house = try house(100)
        house.hold(HoldOrder(amount: 100))
        let receipt = try #require(house.settle("h1", tokens: 250).receipt)
        #expect(receipt.charge == 250 && receipt.inDebt && receipt.balance == -150)
    }

    @Test("a settlement with REFUSE may use what its own hold kept, and no other's")
    func settleRefuse() throws {
        let house = try house(100)
        house.hold(HoldOrder("h1", amount: 60))
        house.hold(HoldOrder("h2", amount: 40))
        let refusal = try #require(house.settle("h1", tokens: 61, refuse: true).refusal)
        #expect(refusal.reason == .insufficientCredits && refusal.expected == 60)
        #expect(house.settle("h1", tokens: 60, refuse: true).receipt?.balance == 40)
    }

    @Test("a settlement that is repeated is charged once")
    func settleTwice() throws {
        let house = try house()
        house.hold(HoldOrder(amount: 300))
        let first = try #require(house.settle("h1", tokens: 10).receipt)
        let again = try #require(house.settle("h1", tokens: 10).receipt)
        #expect(again.duplicate && again.sequence == first.sequence && again.charge == 10)
        #expect(house.settle("h1", "r2", tokens: 10).refusal?.reason == .holdAlreadySettled)
        #expect(try house.balance() == 990)
    }

    @Test("a settlement needs a hold, the account and the credential source it was opened with")
    func mismatch() throws {
        let house = try house()
        try house.open("acme/a", wallet: false)
        house.hold(HoldOrder(amount: 300))
        #expect(house.settle("h9", tokens: 10).refusal?.reason == .holdNotFound)
        #expect(house.settle("h1", of: "acme/a", tokens: 10).refusal?.reason == .holdNotFound)
        #expect(house.settle("h1", tokens: 10, byok: true).refusal?.reason == .credentialMismatch)
        #expect(try house.summary()?.held == 300)
        #expect(house.settle("h1", tokens: 10).receipt?.charge == 10)
    }

    @Test("usage without a price is parked, and its hold is released")
    func settleParked() throws {
        let house = try house()
        house.hold(HoldOrder(amount: 300))
        var call = Call("r1", tokens: 10)
        call.model = "unknown"
        call.holdID = "h1"
        let receipt = try #require(house.report(call).receipt)
        #expect(receipt.state == .parked && receipt.holdReleased == 300)
        #expect(try house.summary()?.held == 0)
    }

    @Test("a hold that was admitted is settled although the account was suspended since")
    func suspended() throws {
        let house = try house()
        house.hold(HoldOrder(amount: 300))
        try house.change("acme", status: .suspended)
        #expect(house.hold(HoldOrder("h2", amount: 1)).refusal?.reason == .accountSuspended)
        #expect(house.settle("h9", "r9", tokens: 1).refusal?.reason == .accountSuspended)
        #expect(house.settle("h1", tokens: 10).receipt?.charge == 10)
    }

    @Test("voiding releases; again it is as it was; a settled hold cannot be voided")
    func void() throws {
        let house = try house()
        house.hold(HoldOrder("h1", amount: 300))
        house.hold(HoldOrder("h2", amount: 100))
        let voided = try #require(try house.void("h1").receipt)
        #expect(voided.state == .voided && voided.amount == 300 && voided.available == 900)
        let again = try #require(try house.void("h1").receipt)
        #expect(again.duplicate && again.sequence == voided.sequence && again.state == .voided)
        #expect(house.settle("h1", tokens: 1).refusal?.reason == .holdVoided)
        house.settle("h2", "r2", tokens: 1)
        #expect(try house.void("h2").refusal?.reason == .holdAlreadySettled)
        #expect(try house.void("h3").refusal?.reason == .holdNotFound)
        #expect(try house.extend("h1").refusal?.reason == .holdVoided)
    }

    @Test("the lease is ten minutes unless it says otherwise, and ends by itself")
    func expiry() throws {
        let house = try house()
        let receipt = try #require(house.hold(HoldOrder(amount: 300)).receipt)
        #expect(receipt.expiresAt.microseconds == house.now.microseconds + 600_000_000)
        house.now.microseconds += 599_999_999
        #expect(try house.summary()?.held == 300)
        house.now.microseconds += 1
        #expect(try house.summary()?.available == 1_000)
        #expect(house.ledger.holdFigures().expired == 1 && house.ledger.holdFigures().open == 0)
        #expect(try house.extend("h1").refusal?.reason == .holdExpired)
        #expect(try house.void("h1").refusal?.reason == .holdExpired)
        let again = try #require(house.hold(HoldOrder(amount: 300)).receipt)
        #expect(again.duplicate && again.state == .expired)
    }

    @Test("a settlement after the lease charges as a report, and says so")
    func settleAfterExpiry() throws {
        let house = try house()
        house.hold(HoldOrder(amount: 300))
        house.now.microseconds += 600_000_000
        let receipt = try #require(house.settle("h1", tokens: 10).receipt)
        #expect(receipt.charge == 10 && receipt.holdExpired && receipt.holdReleased == nil)
        #expect(try house.balance() == 990)
    }

    @Test("leases end without anybody touching the wallet, a bounded number at a time")
    func sweep() throws {
        let house = try house()
        for number in 0..<10 { house.hold(HoldOrder("h\(number)", amount: 10)) }
        #expect(!house.ledger.expireHolds(now: house.now, atMost: 4, mark: &house.mark))
        house.now.microseconds += 600_000_000
        #expect(house.ledger.expireHolds(now: house.now, atMost: 4, mark: &house.mark))
        #expect(house.ledger.holdFigures().open == 6)
        while house.ledger.expireHolds(now: house.now, atMost: 4, mark: &house.mark) {}
        #expect(house.ledger.holdFigures().open == 0 && house.ledger.holdFigures().held == 0)
    }

    @Test("a lease is 1 ms to 24 hours", arguments: [-1, -86_400_000, 86_400_001, Int64.max, .min])
    func leases(lease: Int64) throws {
        let house = try house()
        var order = HoldOrder(amount: 1)
        order.lease = lease
        let refusal = try #require(house.hold(order).refusal)
        #expect(refusal.reason == .invalidArgument && refusal.field == .lease && refusal.found == lease)
        house.hold(HoldOrder("h2", amount: 1))
        #expect(try house.extend("h2", lease: lease).refusal?.field == .lease)
        order.lease = HoldLimits.leaseMax
        #expect(house.hold(order).receipt != nil)
    }

    @Test(
        "an amount is above zero and at most 2^59", arguments: [0, -1, Int64.min, HoldLimits.amountMax + 1])
    func amounts(amount: Int64) throws {
        let house = try House()
        try house.open("acme", unlimited: true)
        let refusal = try #require(house.hold(HoldOrder(amount: amount)).refusal)
        #expect(refusal.reason == .invalidArgument && refusal.field == .amount && refusal.found == amount)
        #expect(house.hold(HoldOrder(amount: HoldLimits.amountMax)).receipt != nil)
    }

    @Test("what has no price or contradicts itself is refused, with its reason")
    func unpriced() throws {
        let house = try house()
        var order = HoldOrder()
        order.model = "unknown"
        order.input = 1
        #expect(house.hold(order).refusal?.reason == .unpricedModel)
        try house.open("free", tier: "none")
        #expect(house.hold(HoldOrder(of: "nobody", amount: 1)).refusal?.reason == .accountNotFound)
        var untiered = HoldOrder(of: "free")
        untiered.input = 1
        #expect(house.hold(untiered).refusal?.reason == .noPricingRule)
    }

    @Test("extending moves the end of the lease and grows the hold; it never shrinks")
    func extend() throws {
        let house = try house()
        house.hold(HoldOrder("h1", amount: 300))
        house.hold(HoldOrder("h2", amount: 100, policy: .clip))
        house.now.microseconds += 500_000_000
        let longer = try #require(try house.extend("h1", lease: 1_000_000, amount: 500).receipt)
        #expect(longer.amount == 500 && longer.available == 400 && longer.state == .open)
        #expect(longer.expiresAt.microseconds == house.now.microseconds + 1_000_000_000)
        #expect(try house.extend("h1", amount: 499).refusal?.field == .amount)
        #expect(try house.extend("h1", amount: 901).refusal?.reason == .insufficientCredits)
        #expect(try house.extend("h2", amount: 2_000).receipt?.amount == 500)
        house.now.microseconds += 700_000_000
        #expect(try house.summary()?.held == 500)
        #expect(house.settle("h1", tokens: 10).receipt?.holdReleased == 500)
    }

    @Test("the number of open holds is bounded over all shards")
    func bound() throws {
        let house = House(
            Ledger(secret: Fixture.secret, shardCount: 4, holdsMax: 3), book: try Fixture.book())
        for name in ["a", "b", "c", "d"] {
            try house.open(name)
            try house.grant(100, to: name)
        }
        for name in ["a", "b", "c"] { #expect(house.hold(HoldOrder(of: name, amount: 1)).receipt != nil) }
        #expect(house.hold(HoldOrder(of: "d", amount: 1)).refusal?.reason == .overloaded)
        try house.void("h1", of: "b")
        #expect(house.hold(HoldOrder(of: "d", amount: 1)).receipt != nil)
        // Holds that a start brings back count like those that were opened since.
        house.collect()
        let twin = House(
            Ledger(secret: Fixture.secret, shardCount: 4, holdsMax: 3), book: try Fixture.book())
        try twin.replay(house.pieces)
        #expect(twin.hold(HoldOrder("h2", of: "b", amount: 1)).refusal?.reason == .overloaded)
        twin.now.microseconds += 600_000_000
        #expect(twin.hold(HoldOrder("h2", of: "a", amount: 1)).receipt != nil)
    }

    @Test("holds of one wallet never admit more than it has, however deep they were opened")
    func oneWallet() throws {
        let house = try house(100)
        try house.open("acme/a", wallet: false)
        try house.open("acme/a/b", wallet: false)
        #expect(house.hold(HoldOrder("h1", of: "acme/a/b", amount: 60)).receipt?.available == 40)
        #expect(house.hold(HoldOrder("h2", of: "acme/a", amount: 41)).refusal?.expected == 40)
        #expect(house.hold(HoldOrder("h3", amount: 40)).receipt?.available == 0)
    }

    @Test("replay of holds in every state comes to the same, and so does a checkpoint in between")
    func replay() throws {
        let house = try house(10_000)
        try house.open("acme/a", wallet: false)
        for number in 0..<40 {
            var order = HoldOrder(
                "h\(number)", of: number % 3 == 0 ? "acme/a" : "acme", amount: 10 + Int64(number))
            order.lease = Int64(1 + number % 5) * 60_000
            house.hold(order)
        }
        for number in 0..<8 {
            house.settle("h\(number)", "r\(number)", of: number % 3 == 0 ? "acme/a" : "acme", tokens: 5)
        }
        try house.void("h10")
        try house.extend("h11", lease: 3_000_000, amount: 500)
        house.now.microseconds += 130_000_000
        _ = try house.summary()
        let twin = try house.replayed()
        expectSame(house, twin)
        #expect(twin.ledger.holdFigures().open == house.ledger.holdFigures().open)
        #expect(twin.ledger.totals().held == house.ledger.totals().held)

        let restored = house.sibling()
        var copies = AccountCopies()
        let snapshot = house.ledger.copyChanged(shard: 0, into: &copies, mark: &house.mark)
        try copies.forEach(shard: 0) { (record) throws in try restored.ledger.restore(record) }
        restored.ledger.setCheckpoint(shard: 0, sequence: snapshot.sequence, time: house.now)
        expectSame(house, restored)
        // The restored ones go on as the others.
        for other in [house, twin, restored] {
            #expect(other.settle("h11", "late", tokens: 7).receipt?.holdReleased == 500)
            other.now.microseconds = house.now.microseconds + 10_000_000_000
            #expect(try other.summary()?.held == 0)
        }
        expectSame(house, restored)
        #expect(twin.settle("h39", "later", of: "acme/a", tokens: 1).receipt?.holdExpired == true)
    }
}

@Suite("the table of holds")
struct HoldTableTests {
    private func row(_ number: UInt64, expiresAt: Int64) -> HoldRow {
        // Keys whose low bits collide, so that probing goes round.
        HoldRow(
            key: Hash128(low: number % 7, high: number), digest: 0, sequence: number, amount: 1,
            expiresAt: Timestamp(microseconds: expiresAt), openedAt: Fixture.start, tokens: 0, provider: 0,
            model: 0, account: 0, wallet: 0, source: .platform, policy: .strict)
    }

    /// What a hold is for, of every length around a piece's.
    private func use(_ number: UInt64) -> [UInt8] {
        [UInt8](repeating: UInt8(number), count: Int(number % 7) * 30 + Int(number % 3))
    }

    @Test(
        "finds, moves and removes like a dictionary, and always knows the first to end",
        arguments: UInt64(1)...12)
    func model(seed: UInt64) throws {
        var random = Seeded(seed)
        var table = HoldTable()
        var model: [UInt64: Int64] = [:]
        for step in 0..<3_000 {
            let number = UInt64.random(in: 1...60, using: &random)
            let time = Int64.random(in: 0...500, using: &random)
            let found = table.find(Hash128(low: number % 7, high: number))
            #expect((found != nil) == (model[number] != nil), "seed \(seed), step \(step)")
            if let found {
                #expect(table.id(found).withView { $0.text } == "h\(number)")
                var packer = BytePacker()
                table.appendUse(of: found, to: &packer)
                #expect(Array(packer.view) == use(number), "seed \(seed), step \(step)")
                if random.chance(50) {
                    table.remove(found)
                    model[number] = nil
                } else {
                    table.move(found, expiresAt: Timestamp(microseconds: time))
                    model[number] = time
                }
            } else {
                _ = Array("h\(number)".utf8).withView { id in
                    use(number).withView { table.insert(row(number, expiresAt: time), id: id, use: $0) }
                }
                model[number] = time
            }
            #expect(table.count == model.count)
            #expect(
                table.nextExpiry.microseconds == model.values.min() ?? Timestamp.distantFuture.microseconds)
        }
        var seen = 0
        table.forEach { _, row in
            seen += 1
            #expect(model[row.key.high] == row.expiresAt.microseconds, "seed \(seed)")
        }
        #expect(seen == model.count)
    }

    @Test("a record is a whole number of cache lines, and begins with its row")
    func layout() {
        #expect(MemoryLayout<HoldRecord>.stride == 5 * 64)
        #expect(MemoryLayout<HoldRecord>.offset(of: \.row) == 0)
    }

    @Test("who holds no lock guesses the hold that is found, and where the next will be written")
    func guesses() {
        var table = HoldTable()
        let early = table.place
        func key(_ number: UInt64) -> Hash128 { Hash128(low: number &* 0x9e37_79b9_7f4a_7c15, high: number) }
        func insert(_ number: UInt64) -> UInt32 {
            var row = row(number, expiresAt: Int64(number))
            row.key = key(number)
            return [UInt8(ascii: "h")].withView { table.insert(row, id: $0, use: ByteView()) }
        }
        #expect(table.nextRecord == 0)
        for number in UInt64(0)..<5_000 { _ = insert(number) }
        var found = 0
        for number in UInt64(0)..<5_000 {
            // Most are where they would be first; a guess reads what an old list leads to as well.
            if HoldTable.guess(key(number), in: table.place) == table.find(key(number)) { found += 1 }
            _ = HoldTable.guess(key(number), in: early)
        }
        #expect(found > 3_000)
        #expect(HoldTable.guess(key(1), in: BlockPlace(rawValue: 0)) == nil)
        table.remove(7)
        let next = table.nextRecord
        #expect(next == Slab<HoldRecord>.guess(7, in: table.recordsPlace))
        #expect(insert(5_001) == 7)
        #expect(table.nextRecord == 0)
    }
}
