// The table remembers exactly the ids between its oldest and its newest. Method: random inserts and
// removals against a dictionary and a queue, with a ring so small that it wraps many times, and with
// hashes so crowded that removals must close gaps in long runs.

import Bytes
import Testing

@testable import Ledger

@Suite("remembered ids")
struct IdempotencyTableTests {
    /// Enough for every table of these tests.
    private static let room = IDRoom(idsMax: 1 << 20, shardCount: 1, shareMax: 1 << 20)

    private func outcome(_ number: UInt64) -> RememberedOutcome {
        let state: ReceiptState = number % 3 == 0 ? .parked : number % 7 == 0 ? .discarded : .charged
        return RememberedOutcome(
            digest: number ^ 0xabcd, sequence: number, charge: state == .charged ? Int64(number) * 3 - 7 : 0,
            state: state)
    }

    /// Bits of `low` that differ from id to id: crowded ones share slots and tags.
    @Test(
        "finds what a dictionary finds, however often the ring wraps",
        arguments: [UInt64.max, 0xff00_0000_0000_003f, 0x0000_0000_0fff_ffc0, 0x3ff],
        [UInt64(1), 2])
    func model(bits: UInt64, seed: UInt64) throws {
        var random = Seeded(seed)
        var table = IdempotencyTable(Self.room, chunksMax: 4)
        var model: [Hash128: RememberedOutcome] = [:]
        var queue: [(key: Hash128, second: Int64)] = []
        var oldest = 0
        var number: UInt64 = 0
        var grows = true
        while number < 8_000 {
            let count = queue.count - oldest
            if count >= 1_536 { grows = false } else if count == 0 { grows = true }
            if random.chance(2) { grows.toggle() }
            if count < 1_536, grows ? random.chance(80) || count == 0 : random.chance(30) {
                number += 1
                let key = Hash128(low: random.next() & bits, high: random.next())
                let second = Int64(random.next() % 4_000_000_000)
                table.insert(key, outcome: outcome(number), eventTime: second * 1_000_000 - 1)
                model[key] = outcome(number)
                queue.append((key, second))
            } else if count > 0 {
                let (key, second) = queue[oldest]
                oldest += 1
                let horizon = table.removeOldest()
                #expect(horizon >= second * 1_000_000 - 1 && horizon <= (second + 1) * 1_000_000)
                model[key] = nil
                #expect(table.find(key) == nil)
                if table.count == 0 { #expect(table.stepsAway == 0) }
            }
            if table.count > 0, random.chance(10) {
                // What is remembered of an id may become something else, of any state.
                let key = queue[Int.random(in: oldest + 1..<queue.count + 1, using: &random) - 1].key
                let other = outcome(random.next() % 1_000)
                var changed = model[key] ?? other
                changed = RememberedOutcome(
                    digest: other.digest, sequence: changed.sequence, charge: other.charge, state: other.state
                )
                let isReplaced = table.replace(key, outcome: changed)
                model[key] = changed
                let isStranger = !table.replace(Hash128(low: key.low, high: ~key.high), outcome: other)
                #expect(isReplaced && isStranger)
            }
            #expect(table.count == queue.count - oldest)
            #expect(table.oldestSequence == (table.count == 0 ? nil : UInt64(oldest + 1)))
            if table.count > 0 {
                let some = queue[Int.random(in: oldest..<queue.count, using: &random)].key
                #expect(table.find(some) == model[some])
            }
            if number % 1_000 == 0 {
                for (key, _) in queue[oldest...] where table.find(key) != model[key] {
                    Issue.record("an id between the oldest and the newest is lost")
                }
            }
            #expect(table.find(Hash128(low: random.next() & bits, high: random.next())) == nil)
        }
    }

    @Test("hashes are spread evenly over the buckets", arguments: [UInt64(1)])
    func spread(seed: UInt64) {
        var random = Seeded(seed)
        for count in [1, 4, 1_000, 6_554] {
            var ids = [Int](repeating: 0, count: count)
            for _ in 0..<count * 100 { ids[IdempotencyTable.bucket(of: random.next(), count: count)] += 1 }
            // A hundred each, give or take six standard deviations.
            for here in ids { #expect(here > 40 && here < 160) }
            #expect(IdempotencyTable.bucket(of: .max, count: count) == count - 1)
        }
    }

    @Test("chunks that are empty are given back")
    func memory() {
        var table = IdempotencyTable(Self.room, chunksMax: 8)
        let empty = table.bytes
        func key(_ number: UInt64) -> Hash128 { Hash128(low: number &* 0x9e37_79b9_7f4a_7c15, high: number) }
        for number in 1...UInt64(3_000) { table.insert(key(number), outcome: outcome(number), eventTime: 0) }
        let full = table.bytes
        for _ in 1...2_999 { _ = table.removeOldest() }
        #expect(table.find(key(3_000)) == outcome(3_000))
        _ = table.removeOldest()
        #expect(full - table.bytes >= 5 * 512 * 40)
        #expect(table.bytes > empty, "the index keeps its size")
        #expect(full / 3_000 <= 48)
    }

    @Test("a record of any time leaves a horizon that is not before it")
    func horizons() {
        var table = IdempotencyTable(Self.room)
        let times: [Int64] = [
            .min, -1_500_000, -1, 0, 1, 999_999, 1_000_000, 4_294_967_294_000_000, 4_294_967_295_000_000,
            4_294_967_296_000_001, .max,
        ]
        for (index, time) in times.enumerated() {
            table.insert(
                Hash128(low: UInt64(index), high: 0), outcome: outcome(UInt64(index)), eventTime: time)
        }
        for time in times { #expect(table.removeOldest() >= time) }
    }

    @Test("the bounds of ledger, shard and table fit each other")
    func limits() {
        #expect(LedgerLimits.idsDefault <= LedgerLimits.idsMax)
        #expect(LedgerLimits.idsMax / LedgerLimits.shardCount * 2 <= IdempotencyTable.rowsMax)
        #expect(LedgerLimits.shardCount <= 65_536)
        #expect(LedgerLimits.tiersPerShardMax < Int(AccountRow.inheritedTier))
        // Ten bytes for a grant's sequence and ten for an amount, beside the record and its names.
        #expect(LedgerLimits.grantsPerWalletMax * 20 < 1 << 19)
        #expect(AccountPath.bytesMax <= Int(UInt8.max))
    }
}
