// Holds whose report never comes: what the end of a lease charges, and what a report that comes after all makes of it.

import Bytes
import Pricing
import Testing

@testable import Ledger

@Suite("orphans of holds")
struct OrphanTests {
    private func house(_ credit: Int64 = 1_000) throws -> House {
        let house = try House()
        try house.open("acme")
        if credit > 0 { try house.grant(credit) }
        return house
    }

    /// A hold of input that is priced, or of an amount.
    private func order(
        _ id: String = "h1", _ policy: OrphanPolicy, input: Int64 = 0, amount: Int64? = nil
    ) -> HoldOrder {
        var order = HoldOrder(id, amount: amount)
        order.input = input
        order.orphan = policy
        return order
    }

    private func endLease(_ house: House) { house.now.microseconds += 600_000_000 }

    // MARK: - What is charged

    @Test(
        "the end of a lease charges what the policy says, fixed when the hold was opened",
        arguments: [
            (OrphanPolicy.release, 0), (.inputOnly, 40), (.estimate, 40), (.fullHold, 40),
        ] as [(OrphanPolicy, Int64)])
    func policies(policy: OrphanPolicy, charge: Int64) throws {
        let house = try house()
        let opened = try #require(house.hold(order("h1", policy, input: 40)).receipt)
        #expect(opened.amount == 40 && opened.orphanCharge == charge && opened.state == .open)
        endLease(house)
        let summary = try #require(try house.summary())
        #expect(summary.balance == 1_000 - charge && summary.held == 0)
        #expect(summary.charged == charge && summary.available == summary.balance)
        #expect(house.ledger.holdFigures().expired == 1)
        #expect(house.ledger.holdFigures().orphaned == (charge > 0 ? 1 : 0))
        #expect(house.ledger.holdFigures().orphanCharges == Int128(charge))
    }

    @Test("input and output are told apart: INPUT_ONLY charges the input, ESTIMATE both")
    func inputAndOutput() throws {
        let house = try house()
        var own = HoldOrder("h1")
        own.input = 30
        let call = { (policy: OrphanPolicy, id: String) -> HoldReceipt? in
            var order = own
            order.id = id
            order.orphan = policy
            return house.hold(order).receipt
        }
        #expect(call(.inputOnly, "h1")?.orphanCharge == 30)
        #expect(call(.estimate, "h2")?.orphanCharge == 30)
        // Reasoning and output leave, images and input stay: what the input alone comes to.
        var record = UsageRecord()
        record.usage.inputTokens = 3
        record.usage.outputTokens = 5
        record.usage.reasoningTokens = 2
        record.usage.images = 1
        let input = record.inputOnly().usage
        #expect(input.inputTokens == 3 && input.images == 1)
        #expect(input.outputTokens == 0 && input.reasoningTokens == 0)
    }

    @Test("a hold of an amount is released or charged whole; input and estimate are refused with the field")
    func amounts() throws {
        let house = try house()
        for policy in [OrphanPolicy.inputOnly, .estimate] {
            let refusal = try #require(house.hold(order("h1", policy, amount: 10)).refusal)
            #expect(refusal.reason == .invalidArgument && refusal.field == .orphanPolicy)
        }
        #expect(house.hold(order("h1", .release, amount: 10)).receipt?.orphanCharge == 0)
        #expect(house.hold(order("h2", .fullHold, amount: 70)).receipt?.orphanCharge == 70)
        endLease(house)
        #expect(try house.balance() == 930)
    }

    @Test("an orphan is never charged more than its hold kept")
    func clipped() throws {
        let house = try house(100)
        var clip = order("h1", .estimate, input: 100)
        clip.policy = .clip
        house.hold(HoldOrder("h0", amount: 0 + 1))
        // 100 asked for, 99 there: less than the input costs.
        #expect(house.hold(clip).refusal?.reason == .insufficientCredits)
        var all = order("h2", .fullHold, amount: 500)
        all.policy = .clip
        #expect(house.hold(all).receipt?.orphanCharge == 99)
        endLease(house)
        #expect(try house.balance() == 1)
    }

    @Test("a hold that grows takes its orphan along if all of it counts, and not if an estimate does")
    func growing() throws {
        let house = try house()
        house.hold(order("h1", .estimate, input: 40))
        house.hold(order("h2", .fullHold, input: 40))
        #expect(try house.extend("h1", amount: 60).receipt?.orphanCharge == 40)
        #expect(try house.extend("h2", amount: 60).receipt?.orphanCharge == 60)
        endLease(house)
        #expect(try house.balance() == 900)
    }

    @Test("an orphan of no cost, and a policy to release, only release")
    func nothing() throws {
        let house = try house()
        var free = order("h1", .fullHold, input: 10)
        free.model = "free"
        #expect(house.hold(free).receipt?.orphanCharge == 0)
        endLease(house)
        #expect(try house.summary()?.charged == 0)
        #expect(house.settle("h1", tokens: 10).receipt?.orphanCharge == 0)
    }

    @Test("what is asked again says what the end of the lease charges, and then what it charged")
    func repeated() throws {
        let house = try house()
        house.hold(order("h1", .estimate, input: 40))
        #expect(house.hold(order("h1", .estimate, input: 40)).receipt?.orphanCharge == 40)
        #expect(house.hold(order("h1", .fullHold, input: 40)).refusal?.reason == .idempotencyConflict)
        endLease(house)
        let again = try #require(house.hold(order("h1", .estimate, input: 40)).receipt)
        #expect(again.duplicate && again.state == .expired && again.orphanCharge == 40)
        #expect(try house.void("h1").refusal?.reason == .holdExpired)
        #expect(try house.extend("h1").refusal?.reason == .holdExpired)
    }

    @Test("settling or voiding in time charges no orphan")
    func inTime() throws {
        let house = try house()
        house.hold(order("h1", .fullHold, amount: 100))
        house.hold(order("h2", .fullHold, amount: 100))
        house.settle("h1", tokens: 7)
        try house.void("h2")
        endLease(house)
        #expect(try house.balance() == 993)
        #expect(house.ledger.holdFigures().orphaned == 0)
    }

    @Test("the sweeper charges orphans as a touch does, a bounded number at a time")
    func sweep() throws {
        let house = try house()
        for number in 0..<10 { house.hold(order("h\(number)", .fullHold, amount: 10)) }
        endLease(house)
        #expect(house.ledger.expireHolds(now: house.now, atMost: 4, mark: &house.mark))
        #expect(house.ledger.totals().charged == 40 && house.ledger.holdFigures().open == 6)
        while house.ledger.expireHolds(now: house.now, atMost: 4, mark: &house.mark) {}
        #expect(house.ledger.totals().charged == 100 && house.ledger.totals().balance)
    }

    @Test("an orphan draws on grants in burn order, by what its hold was for, and what they lack is debt")
    func draws() throws {
        let house = try house(0)
        try house.grant(30, kind: .promo, expiresAt: .distantFuture, filter: GrantFilter(providers: ["q"]))
        try house.grant(25, kind: .bonus, filter: GrantFilter(providers: ["p"], models: ["un*"]))
        try house.grant(20)
        house.hold(order("h1", .estimate, input: 40))
        // The credit of the hold goes before its end: the orphan is charged all the same.
        _ = house.report(Call("r1", tokens: 15))
        endLease(house)
        let summary = try #require(try house.summary())
        #expect(summary.charged == 55 && summary.balance == 20)
        #expect(summary.remaining == [.promo: 30])
    }

    @Test("grants that have ended by then pay nothing of an orphan")
    func expiredGrants() throws {
        let house = try house(0)
        try house.grant(
            50, kind: .promo, expiresAt: Timestamp(microseconds: house.now.microseconds + 1_000_000))
        house.hold(order("h1", .fullHold, amount: 50))
        endLease(house)
        while house.ledger.expireHolds(now: house.now, mark: &house.mark) {}
        let summary = try #require(try house.summary())
        #expect(summary.expired == 50 && summary.charged == 50 && summary.balance == -50)
    }

    @Test("an orphan counts in the budgets on the way up, once")
    func budgets() throws {
        let house = try house()
        try house.open("acme/a", wallet: false)
        try house.budget("cost", of: "acme", .day, .cost, limit: 1_000)
        try house.budget("tokens", of: "acme/a", .day, .tokens, limit: 1_000)
        try house.budget("requests", of: "acme/a", .day, .requests, limit: 10, provider: "p")
        var hold = order("h1", .estimate, input: 40)
        hold.account = "acme/a"
        house.hold(hold)
        #expect(try house.budgets("acme/a").map(\.held) == [1, 40, 40])
        endLease(house)
        _ = try house.summary()
        #expect(try house.budgets("acme/a").map(\.held) == [0, 0, 0])
        #expect(try house.budgets("acme/a").map(\.used) == [1, 40, 40])
        // The late report adds what it brings beyond that.
        house.settle("h1", "r1", of: "acme/a", tokens: 100)
        #expect(try house.budgets("acme/a").map(\.used) == [1, 100, 100])
        expectSame(house, try house.replayed())
    }

    @Test("an orphan that takes a budget above its limit is told once")
    func crossed() throws {
        let house = try house()
        try house.budget("soft", limit: 30, hard: false)
        house.hold(order("h1", .estimate, input: 40))
        endLease(house)
        _ = try house.summary()
        var crossed = 0
        try house.forEachEntry { _, _, entry in if case .budgetCrossed = entry { crossed += 1 } }
        #expect(crossed == 1)
    }

    // MARK: - The report that comes after all

    @Test(
        "a late report is charged what it costs more, or given back what it costs less",
        arguments: [0, 1, 39, 40, 41, 300] as [Int64])
    func late(tokens: Int64) throws {
        let house = try house()
        house.hold(order("h1", .estimate, input: 40))
        endLease(house)
        let receipt = try #require(house.settle("h1", tokens: tokens).receipt)
        #expect(receipt.holdExpired && receipt.holdReleased == nil && receipt.orphanCharge == 40)
        #expect(receipt.charge == max(0, tokens - 40) && receipt.givenBack == max(0, 40 - tokens))
        #expect(receipt.balance == 1_000 - tokens)
        #expect(try house.balance() == 1_000 - tokens)
        #expect(house.ledger.totals().balance)
        // The same again is the duplicate; another request finds the hold settled.
        let again = try #require(house.settle("h1", tokens: tokens).receipt)
        #expect(again.duplicate && again.sequence == receipt.sequence && again.charge == receipt.charge)
        #expect(house.settle("h1", "r2", tokens: 9).refusal?.reason == .holdAlreadySettled)
        #expect(try house.void("h1").refusal?.reason == .holdAlreadySettled)
        #expect(try house.balance() == 1_000 - tokens)
        expectSame(house, try house.replayed())
    }

    @Test("what is given back is a refund of the orphan's charge, behind the report")
    func linked() throws {
        let house = try house()
        house.hold(order("h1", .fullHold, amount: 100))
        endLease(house)
        let receipt = try #require(house.settle("h1", tokens: 30).receipt)
        var orphan: UInt64?
        var order: [String] = []
        try house.forEachEntry { sequence, _, entry in
            switch entry {
            case .holdOrphaned(let orphaned):
                orphan = sequence
                #expect(orphaned.policy == .fullHold && orphaned.charge.charge == 100)
                let record = try RecordContent.read(orphaned.charge.content)
                #expect(record.holdID.text == "h1" && record.usageSource == .estimated)
            case .charged(let charge):
                order.append("charge \(charge.charge)")
                #expect(charge.orphan?.sequence == orphan && sequence == receipt.sequence)
            case .granted(let grant) where grant.refundOf != nil:
                order.append("refund \(grant.amount)")
                #expect(grant.refundOf?.sequence == orphan && grant.refundOf?.charged == 100)
                #expect(sequence == receipt.sequence + 1)
            default: break
            }
        }
        #expect(order == ["charge 0", "refund 70"])
    }

    @Test("what an administrator refunded of an orphan before is not given back again")
    func refunded() throws {
        let house = try house()
        house.hold(order("h1", .fullHold, amount: 100))
        endLease(house)
        _ = try house.summary()
        let orphan = KnownCharge(
            sequence: house.ledger.sequences()[0], charged: 100, requestID: Array("h1".utf8))
        try house.act(.refund(80, of: orphan, source: []))
        #expect(try house.balance() == 980)
        let receipt = try #require(house.settle("h1", tokens: 30).receipt)
        #expect(receipt.orphanCharge == 20 && receipt.charge == 10 && receipt.givenBack == 0)
        #expect(try house.balance() == 970)
        // And nothing remains of it beyond what its report cost.
        #expect(
            try house.act(.refund(21, of: orphan, source: [])).problem
                == .aboveCharge(asked: 21, remaining: 20, charged: 100))
    }

    @Test("a late report and what it gives back are in one piece of the journal, and that is spent first")
    func neverParted() throws {
        let house = try house()
        house.hold(order("h1", .fullHold, amount: 50))
        endLease(house)
        house.collect(pieceBytesMax: 1)
        let count = house.pieces.count
        #expect(house.settle("h1", tokens: 10).receipt?.givenBack == 40)
        house.collect(pieceBytesMax: 1)
        #expect(
            house.pieces.count == count + 2, "the end of the lease in one, the report and what it gives back")
        var kinds: [GrantKind] = []
        for tokens in [30, 10, 1] as [Int64] {
            #expect(house.report(Call("after \(tokens)", tokens: tokens)).receipt != nil)
            let left = try #require(try house.summary()).remaining[.refund] ?? 0
            if left > 0 { kinds.append(.refund) }
        }
        #expect(kinds == [.refund], "what was given back burns before all else")
        house.collect()
        expectSame(house, try house.replayed())
    }

    @Test("a late report needs the account and the credential source of its hold")
    func mismatch() throws {
        let house = try house()
        try house.open("acme/a", wallet: false)
        house.hold(order("h1", .fullHold, amount: 50))
        endLease(house)
        #expect(house.settle("h1", of: "acme/a", tokens: 10).refusal?.field == .account)
        #expect(house.settle("h1", tokens: 10, byok: true).refusal?.reason == .credentialMismatch)
        #expect(house.settle("h1", tokens: 10).receipt?.givenBack == 40)
    }

    @Test("what comes back repays debt first")
    func debt() throws {
        let house = try house(50)
        house.hold(order("h1", .fullHold, amount: 50))
        _ = house.report(Call("r0", tokens: 30))
        endLease(house)
        #expect(try house.balance() == -30)
        let receipt = try #require(house.settle("h1", tokens: 10).receipt)
        #expect(receipt.balance == 10 && !receipt.inDebt)
        #expect(try house.summary()?.remaining == [.refund: 10])
    }

    @Test("a late report with REFUSE needs credit only for what it costs more")
    func refuse() throws {
        let house = try house(100)
        house.hold(order("h1", .fullHold, amount: 60))
        endLease(house)
        let refusal = try #require(house.settle("h1", tokens: 101, refuse: true).refusal)
        #expect(refusal.reason == .insufficientCredits && refusal.found == 41 && refusal.expected == 40)
        #expect(house.settle("h1", tokens: 100, refuse: true).receipt?.charge == 40)
    }

    @Test("a late report that cannot be priced is parked, and its settlement corrects the orphan's charge")
    func parked() throws {
        let house = try house()
        house.hold(order("h1", .fullHold, amount: 50))
        endLease(house)
        var call = Call("r1", tokens: 3)
        call.holdID = "h1"
        call.usage.cacheReadTokens = 4
        let receipt = try #require(house.report(call).receipt)
        #expect(receipt.state == .parked && receipt.orphanCharge == 50 && receipt.givenBack == 0)
        #expect(house.settle("h1", "r2", tokens: 1).refusal?.reason == .holdAlreadySettled)
        var corrected = call
        corrected.usage.inputTokens = 20
        let reported: (inout Call) -> Void = { $0.usage.inputTokens = 3 }
        let preview = try house.end(.preview, corrected, parkedAs: receipt.sequence, digestOf: reported)
        #expect(preview.receipt?.charge == 0 && preview.receipt?.givenBack == 30)
        let ended = try house.end(.settle, corrected, parkedAs: receipt.sequence, digestOf: reported)
        #expect(ended.receipt?.charge == 0 && ended.receipt?.givenBack == 30)
        #expect(try house.balance() == 980)
        expectSame(house, try house.replayed())
    }

    // MARK: - Restarts

    @Test("an orphan that was open, charged or corrected is the same after replay and from a checkpoint")
    func replay() throws {
        let house = try house(10_000)
        for (number, policy) in OrphanPolicy.allCases.enumerated() {
            for kind in 0..<3 { house.hold(order("h\(number)-\(kind)", policy, input: 40)) }
            house.hold(
                order("a\(number)", policy == .fullHold ? .fullHold : .release, amount: Int64(number + 1)))
        }
        for number in OrphanPolicy.allCases.indices {
            try house.extend("h\(number)-2", lease: 5_000_000, amount: 55)
            house.settle("h\(number)-1", "r\(number)", tokens: 5)
        }
        endLease(house)
        _ = try house.summary()
        let twin = try house.replayed()
        expectSame(house, twin)
        let restored = house.sibling()
        var copies = AccountCopies()
        let snapshot = house.ledger.copyChanged(shard: 0, into: &copies, mark: &house.mark)
        try copies.forEach(shard: 0) { (record) throws in try restored.ledger.restore(record) }
        restored.ledger.setCheckpoint(shard: 0, sequence: snapshot.sequence, time: house.now)
        // What it remembers of ended holds comes from the journal behind the checkpoint.
        try restored.replay(house.pieces, checkpoint: [snapshot.sequence])
        expectSame(house, restored)
        for other in [house, twin, restored] {
            for number in OrphanPolicy.allCases.indices {
                let orphan: Int64 = OrphanPolicy.allCases[number] == .release ? 0 : 40
                let late = try #require(other.settle("h\(number)-0", "late\(number)", tokens: 12).receipt)
                #expect(late.orphanCharge == orphan && late.holdExpired)
            }
            other.now.microseconds = house.now.microseconds + 10_000_000_000
            #expect(try other.summary()?.held == 0)
        }
        expectSame(house, twin)
        expectSame(house, restored)
    }

    @Test(
        "a hold that only history knows ends as it did: refused as settled or voided, charged after its lease"
    )
    func history() throws {
        let house = try house()
        func late(_ request: String, _ past: PastHold?, tokens: Int64 = 30) -> ReportDecision {
            var call = Call(request, tokens: tokens)
            call.holdID = "long ago"
            #expect(house.report(call).asksHistory)
            return house.report(call, history: past.map { .holdEnded($0) } ?? .neverSeen)
        }
        #expect(late("r1", nil).refusal?.reason == .holdNotFound)
        #expect(late("r1", PastHold(.settled, sequence: 1)).refusal?.reason == .holdAlreadySettled)
        #expect(late("r1", PastHold(.voided, sequence: 1)).refusal?.reason == .holdVoided)
        let released = try #require(late("r1", PastHold(.expired, sequence: 1)).receipt)
        #expect(released.charge == 30 && released.holdExpired && released.orphanCharge == 0)

        var orphan = PastHold(.expired, sequence: 1)
        orphan.orphanCharge = 50
        orphan.orphanTokens = 50
        orphan.account = Call("", of: "acme").keys(house.ledger.keys).account
        orphan.wallet = orphan.account
        let corrected = try #require(late("r2", orphan).receipt)
        #expect(corrected.charge == 0 && corrected.givenBack == 20 && corrected.orphanCharge == 50)
        // Now it is remembered.
        #expect(house.settle("long ago", "r3", tokens: 1).refusal?.reason == .holdAlreadySettled)
        orphan.account = Hash128(low: 5, high: 5)
        var other = Call("r4", tokens: 1)
        other.holdID = "another"
        // An account that nobody knows under the path of then was moved, and the history will soon say where to.
        #expect(house.report(other, history: .holdEnded(orphan)).refusal?.reason == .overloaded)
        expectSame(house, try house.replayed())
    }

    // MARK: - Growing what only some credit may pay

    @Test("a hold grows by the grants that may pay for what it is for")
    func growsByFilter() throws {
        let house = try house(10)
        try house.grant(100, kind: .bonus, filter: GrantFilter(providers: ["p"]))
        try house.grant(1_000, kind: .bonus, filter: GrantFilter(providers: ["q"]))
        var hold = HoldOrder("h1")
        hold.input = 20
        house.hold(hold)
        house.hold(HoldOrder("h2", amount: 5))
        #expect(try house.extend("h1", amount: 200).refusal?.expected == 85)
        #expect(try house.extend("h1", amount: 105).receipt?.amount == 105)
        let twin = try house.replayed()
        for other in [house, twin] {
            #expect(try other.extend("h1", amount: 106).refusal?.expected == 0)
            // An amount is for nothing in particular: no filtered grant pays it.
            #expect(try other.extend("h2", amount: 6).refusal?.reason == .insufficientCredits)
        }
    }

    @Test("what a hold is for is read back, with every field")
    func uses() throws {
        var call = Call("", tokens: 3)
        call.serviceTier = "flex"
        call.usage.images = 2
        try call.withRecord { (record) throws in
            try "plain".withView { (tier) throws in
                var use = HoldUse()
                use.record = record.estimate()
                use.tier = tier
                use.ruleNumber = 3
                use.ruleVersion = .max
                use.catalogueVersion = 70_000
                use.baseCost = .max
                use.standardTierUsed = true
                var packer = BytePacker()
                use.append(to: &packer)
                let read = try HoldUse(reading: packer.view)
                #expect(read.record.provider == record.provider && read.record.model == record.model)
                #expect(read.record.usage == record.usage && read.record.serviceTier.text == "flex")
                #expect(read.record.eventTime == record.eventTime && read.tier.text == "plain")
                #expect(read.ruleNumber == 3 && read.ruleVersion == .max && read.catalogueVersion == 70_000)
                #expect(read.baseCost == .max && read.standardTierUsed)
                packer.clear()
                HoldUse.append(namesOf: record, to: &packer)
                let names = try HoldUse(reading: packer.view)
                var whole = BytePacker()
                RecordContent.append(names.record, to: &whole)
                #expect(packer.view[2..<packer.count] == whole.view, "the same form as any record")
                #expect(names.record.model == record.model && names.record.usage == Usage())
                #expect(try HoldUse(reading: ByteView()).record.provider.isEmpty)
                for cut in 1..<packer.count {
                    #expect(throws: UnpackingError.self) { _ = try HoldUse(reading: packer.view[0..<cut]) }
                }
            }
        }
    }
}
