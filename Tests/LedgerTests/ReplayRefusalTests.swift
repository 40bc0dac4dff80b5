// Replay trusts nothing it can check. Method: take the journal of a small history apart, change one entry,
// put it together, and expect a refusal that names the place; and then change every byte of it to many
// values, and expect an end without a trap and books that balance up to there.

import Bytes
import Pricing
import Testing

@testable import Ledger

@Suite("what replay refuses")
struct ReplayRefusalTests {
    /// Two accounts, two grants, one of which ends, own-key use, a charge over two grants, and two parked
    /// reports, of which one is given up and one settled; credit deducted, refunded, noted, voided and moved; two
    /// holds, one grown and settled, one voided, and a third whose orphan was charged before its report came.
    private func house() throws -> House {
        let house = try House()
        try house.open("acme")
        try house.open("acme/a", wallet: false, tier: nil)
        try house.grant(
            100, kind: .promo, expiresAt: Timestamp(microseconds: house.now.microseconds + 50), key: "k")
        try house.grant(100, kind: .monthly, expiresAt: Timestamp(microseconds: house.now.microseconds + 99))
        try house.grant(50)
        _ = house.report(Call("r1", of: "acme/a", tokens: 130))
        _ = house.report(Call("r2", tokens: 1_010, byok: true))
        var parked = Call("r3", tokens: 1)
        parked.model = "nobody-knows"
        _ = house.report(parked)
        house.now.microseconds += 60
        _ = house.report(Call("r4", tokens: 70))
        try house.change("acme", overdraft: 5, reason: "asked")
        var wrong = Call("r5", tokens: 1)
        wrong.usage.cacheReadTokens = 2
        let wrongAt = try #require(house.report(wrong).receipt).sequence
        try house.end(.discard, parked, parkedAs: 8)
        wrong.usage.inputTokens = 3
        try house.end(.settle, wrong, parkedAs: wrongAt, digestOf: { $0.usage.inputTokens = 1 })
        let charge = KnownCharge(
            sequence: try #require(house.known(Call("r4"))).sequence, charged: 70, requestID: Array("r4".utf8)
        )
        try house.act(.deduct(20, service: Array("abuse".utf8), allowNegative: true), key: "d")
        try house.act(.refund(30, of: charge, source: []), key: "f")
        try house.act(.correct(to: 45, of: charge, source: []), key: "c")
        try house.grant(2_000, kind: .bonus, key: "g")
        let grant = try #require(try house.grant(40, kind: .promo, expiresAt: .distantFuture).receipt)
        try house.act(.void(grant: grant.sequence), key: "v")
        try house.open("acme/b")
        try house.grant(9, to: "acme/b")
        try house.close("acme/b", .transfer(to: Array("acme".utf8)))
        try house.grant(1_000)
        house.hold(HoldOrder("h1", of: "acme/a", amount: 10))
        house.hold(HoldOrder("h2", amount: 20))
        try house.extend("h1", of: "acme/a", amount: 15)
        try house.void("h2")
        try house.budget("day", of: "acme/a", limit: 100)
        house.settle("h1", "r6", of: "acme/a", tokens: 12)
        var orphan = HoldOrder("h3", of: "acme/a", amount: 30)
        orphan.orphan = .fullHold
        house.hold(orphan)
        house.now.microseconds += 600_000_000
        _ = try house.summary()
        house.settle("h3", "r7", of: "acme/a", tokens: 21)
        house.collect()
        return house
    }

    /// The journal with every entry passed through `change`, which may write another in its place.
    private func replaying(
        _ house: House, _ change: (Int, Timestamp, Entry, inout BytePacker) -> Void
    ) throws -> EntryError? {
        var packer = BytePacker()
        var count = 0
        for piece in house.pieces {
            try piece.withView { (view) throws in
                var chunks = PieceReader(view)
                while let chunk = try chunks.next() {
                    var reader = try ChunkReader(chunk)
                    while let (time, entry) = try reader.next() {
                        change(count, time, entry, &packer)
                        count += 1
                    }
                }
            }
        }
        var head = BytePacker()
        head.append(UInt64(0))
        head.append(UInt64(1))
        head.append(UInt64(count))
        head.append(bytes: packer.view)
        do throws(EntryError) {
            try house.sibling().ledger.replay(head.view) { _ in 0 }
            return nil
        } catch {
            return error
        }
    }

    private func write(_ time: Timestamp, _ entry: Entry, to packer: inout BytePacker) {
        switch entry {
        case .charged(let charge): packer.append(time: time, charge)
        case .granted(let grant): packer.append(time: time, grant)
        case .grantEnded(let ended): packer.append(time: time, ended)
        case .accountOpened(let opened): packer.append(time: time, opened)
        case .accountChanged(let changed): packer.append(time: time, changed)
        case .parkedSettled(let end): packer.append(time: time, end, kind: .parkedSettled)
        case .parkedDiscarded(let end): packer.append(time: time, end, kind: .parkedDiscarded)
        case .deducted(let deducted): packer.append(time: time, deducted)
        case .noted(let noted): packer.append(time: time, noted)
        case .held(let hold): packer.append(time: time, hold)
        case .holdEnded(let hold): packer.append(time: time, hold)
        case .holdChanged(let hold): packer.append(time: time, hold)
        case .holdOrphaned(let hold): packer.append(time: time, hold)
        case .budgetSet(let budget): packer.append(time: time, budget)
        case .budgetCrossed(let budget): packer.append(time: time, budget)
        case .accountMoved(let moved): packer.append(time: time, moved)
        }
    }

    /// Changes the first charge that draws on grants.
    private func tampered(_ change: @escaping (inout ChargeEntry, inout [Draw]) -> Void) throws -> EntryError?
    {
        var isDone = false
        return try replaying(try house()) { _, time, entry, packer in
            guard case .charged(var charge) = entry, charge.draws.count == 2, !isDone else {
                return write(time, entry, to: &packer)
            }
            isDone = true
            var draws = charge.draws.draws
            change(&charge, &draws)
            packer.append(time: time, charge, draws: draws)
        }
    }

    private func isContradiction(_ error: EntryError?) -> Bool {
        if case .contradiction = error { return true }
        return false
    }

    @Test("the journal as it was is replayed")
    func untouched() throws {
        var kinds: [String: Int] = [:]
        let error = try replaying(try house()) { _, time, entry, packer in
            kinds["\("\(entry)".prefix(8))", default: 0] += 1
            write(time, entry, to: &packer)
        }
        #expect(error == nil)
        #expect(kinds.count == 14, "the history has every kind of entry: \(kinds)")
    }

    @Test("a balance that does not follow is refused, in every kind of entry that has one")
    func balances() throws {
        let house = try house()
        var count = 0
        _ = try replaying(house) { _, time, entry, packer in
            count += 1
            write(time, entry, to: &packer)
        }
        for place in 0..<count {
            for difference in [Int64(1), -1, 1_000_000] {
                var hasBalance = true
                let error = try replaying(house) { index, time, entry, packer in
                    var entry = entry
                    if index == place {
                        switch entry {
                        case .charged(var charge):
                            charge.balanceAfter += difference
                            entry = .charged(charge)
                        case .granted(var grant):
                            grant.balanceAfter += difference
                            entry = .granted(grant)
                        case .grantEnded(var ended):
                            ended.balanceAfter += difference
                            entry = .grantEnded(ended)
                        case .parkedSettled(var end):
                            end.charge.balanceAfter += difference
                            entry = .parkedSettled(end)
                        case .parkedDiscarded(var end):
                            end.charge.balanceAfter += difference
                            entry = .parkedDiscarded(end)
                        case .deducted(var deducted):
                            deducted.balanceAfter += difference
                            entry = .deducted(deducted)
                        case .holdOrphaned(var orphaned):
                            orphaned.charge.balanceAfter += difference
                            entry = .holdOrphaned(orphaned)
                        case .accountOpened, .accountChanged, .noted, .held, .holdEnded, .holdChanged,
                            .budgetSet, .budgetCrossed, .accountMoved:
                            hasBalance = false
                        }
                    }
                    write(time, entry, to: &packer)
                }
                #expect(isContradiction(error) == hasBalance)
                if case .contradiction(_, let sequence, _) = error { #expect(sequence == UInt64(place + 1)) }
            }
        }
    }

    @Test(
        "a refund above what remains of its charge is refused, and so is a deduction that draws what is not there"
    )
    func acts() throws {
        let changes: [@Sendable (inout Entry) -> Bool] = [
            { entry in
                guard case .granted(var grant) = entry, grant.refundOf != nil else { return false }
                grant.refundOf?.charged = 29
                entry = .granted(grant)
                return true
            },
            { entry in
                guard case .granted(var grant) = entry, grant.refundOf != nil else { return false }
                grant.refundOf?.sequence = 1 << 40
                entry = .granted(grant)
                return true
            },
            { entry in
                guard case .deducted(var deducted) = entry else { return false }
                deducted.draws = PackedDraws()
                deducted.amount = 0
                entry = .deducted(deducted)
                return true
            },
        ]
        for (number, change) in changes.enumerated() {
            var isDone = false
            let error = try replaying(try house()) { _, time, entry, packer in
                var entry = entry
                if !isDone { isDone = change(&entry) }
                write(time, entry, to: &packer)
            }
            #expect(
                isDone && isContradiction(error),
                "change \(number) comes to \(error.map { "\($0)" } ?? "nothing")")
        }
    }

    @Test("a hold that ends twice, with another amount, or shrinks is refused; so is an orphan of nothing")
    func holds() throws {
        let changes: [@Sendable (inout Entry) -> Bool] = [
            { entry in
                guard case .holdEnded(var end) = entry else { return false }
                end.amount += 1
                entry = .holdEnded(end)
                return true
            },
            { entry in
                guard case .holdEnded(var end) = entry else { return false }
                end.key = Hash128(low: 1, high: 1)
                entry = .holdEnded(end)
                return true
            },
            { entry in
                guard case .holdChanged(var change) = entry else { return false }
                change.amount = 1
                entry = .holdChanged(change)
                return true
            },
            { entry in
                guard case .charged(var charge) = entry, charge.hold != nil else { return false }
                charge.holdReleased -= 1
                entry = .charged(charge)
                return true
            },
            { entry in
                guard case .holdOrphaned(var orphaned) = entry else { return false }
                orphaned.charge.hold = Hash128(low: 1, high: 1)
                orphaned.charge.key = Hash128(low: 1, high: 1)
                entry = .holdOrphaned(orphaned)
                return true
            },
            { entry in
                guard case .holdOrphaned(var orphaned) = entry else { return false }
                orphaned.charge.holdReleased += 1
                entry = .holdOrphaned(orphaned)
                return true
            },
            { entry in
                guard case .charged(var charge) = entry, charge.orphan != nil else { return false }
                charge.orphan?.wallet = 99
                entry = .charged(charge)
                return true
            },
            { entry in
                guard case .charged(var charge) = entry, charge.orphan != nil else { return false }
                charge.orphan?.sequence = 1 << 40
                entry = .charged(charge)
                return true
            },
            { entry in
                guard case .held(var hold) = entry else { return false }
                hold.wallet = 99
                entry = .held(hold)
                return true
            },
        ]
        for (index, change) in changes.enumerated() {
            var isDone = false
            let error = try replaying(try house()) { _, time, entry, packer in
                var entry = entry
                if !isDone { isDone = change(&entry) }
                write(time, entry, to: &packer)
            }
            #expect(isDone && error != nil, "change \(index): \(String(describing: error))")
        }
    }

    @Test("draws that the grants do not have are refused")
    func draws() throws {
        let changes: [@Sendable (inout ChargeEntry, inout [Draw]) -> Void] = [
            { _, draws in draws[0].amount += 1 },
            { _, draws in draws[0].grant = 999 },
            { _, draws in draws[0].amount = 0 },
            { _, draws in draws[1].amount += 1 },
            { _, draws in draws.reverse() },
            { _, draws in draws.append(draws[1]) },
            { charge, _ in charge.fee += 1 },
            { charge, _ in charge.fee = .max },
        ]
        for (number, change) in changes.enumerated() {
            let error = try tampered(change)
            guard case .contradiction(0, 6, _) = error else {
                Issue.record("change \(number) comes to \(error.map { "\($0)" } ?? "nothing")")
                continue
            }
        }
    }

    @Test("accounts that are not there are refused")
    func accounts() throws {
        #expect(
            try tampered { charge, _ in charge.account = 2 }
                == .unknownAccount(shard: 0, number: 2, sequence: 6))
        #expect(
            try tampered { charge, _ in charge.wallet = 77 }
                == .unknownAccount(shard: 0, number: 77, sequence: 6))
    }

    @Test("an account that is opened twice, out of turn, or with a path that is none is refused")
    func openings() throws {
        let changes: [(inout AccountOpenedEntry) -> Void] = [
            { $0.account += 1 },
            { $0.path = ByteView() },
            { $0.path = $0.path[0..<4] },
        ]
        for change in changes {
            let error = try replaying(try house()) { index, time, entry, packer in
                guard index == 1, case .accountOpened(var opened) = entry else {
                    return write(time, entry, to: &packer)
                }
                change(&opened)
                packer.append(time: time, opened)
            }
            #expect(error != nil)
        }
    }

    @Test("a grant, an end or a change under another account's path is refused")
    func paths() throws {
        for place in [2, 9] {
            let error = try replaying(try house()) { index, time, entry, packer in
                switch entry {
                case .granted(var grant) where index == place:
                    grant.wallet = 1
                    packer.append(time: time, grant)
                case .accountChanged(var changed) where index >= place:
                    changed.account = 1
                    packer.append(time: time, changed)
                default: write(time, entry, to: &packer)
                }
            }
            #expect(isContradiction(error))
        }
    }

    @Test("whatever one byte of a chunk becomes, replay ends, and the books balance")
    func everyByte() throws {
        let house = try house()
        let piece = try #require(house.pieces.first)
        var refused = 0
        for position in 4..<piece.count {
            for value in [UInt8(0), 1, 0x7f, 0x80, 0xff, piece[position] ^ 1, piece[position] &+ 7] {
                var changed = piece
                changed[position] = value
                let other = House(Ledger(secret: Fixture.secret, shardCount: 1), book: house.book)
                do {
                    try other.replay([changed])
                } catch {
                    refused += 1
                }
                if !other.ledger.totals().balance {
                    Issue.record("byte \(position) = \(value): books do not balance")
                }
            }
        }
        #expect(refused > piece.count)
    }

    @Test("a checkpoint row that contradicts itself is refused")
    func rows() throws {
        let house = try house()
        var store = Checkpoint(shardCount: 1)
        var random = Seeded(0)
        store.take(from: house, fails: false, &random)
        let good = store
        func refuses(_ change: (inout Checkpoint) -> Void) -> Bool {
            var changed = good
            change(&changed)
            do {
                try changed.restore(into: house.sibling())
                return false
            } catch {
                return error is EntryError
            }
        }
        #expect(!refuses { _ in })
        #expect(refuses { $0.rows[0][0]?.balance += 1 })
        #expect(refuses { $0.rows[0][0]?.path = Array("acme/a".utf8) })
        #expect(refuses { $0.rows[0][0]?.path = [] })
        #expect(refuses { $0.rows[0][0] = nil })
        #expect(refuses { $0.rows[0][0]?.state.append(0) })
        #expect(refuses { $0.rows[0][0]?.state[0] = 3 })
        let bytes = good.rows[0][0]?.state ?? []
        for cut in 0..<bytes.count { #expect(refuses { $0.rows[0][0]?.state = Array(bytes.prefix(cut)) }) }
        for position in bytes.indices {
            for value in [UInt8(0), 0x7f, 0x80, 0xff, bytes[position] ^ 1] {
                // Some changes are values like any other; none traps.
                _ = refuses { $0.rows[0][0]?.state[position] = value }
            }
        }
    }
}
