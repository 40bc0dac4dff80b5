// The index finds every account and no other. Method: random hashes against a dictionary, also such as
// share their slot or their tag.

import Bytes
import Pricing
import Testing

@testable import Ledger

@Suite("the account index")
struct AccountIndexTests {
    private func row(_ hash: Hash128) -> AccountRow {
        AccountRow(
            hash: hash, pathOffset: 0, pathCount: 0, tier: AccountRow.inheritedTier, parent: AccountRow.none)
    }

    /// How the hashes of a run are crowded: bits that may differ.
    private static let crowds: [(low: UInt64, high: UInt64)] = [
        (.max, .max), (0xff, .max), (.max, 0xff), (0xffff_ffff_0000_0000, 3 << 32), (0x3ff, 0x3ff),
    ]

    @Test("finds what a dictionary finds", arguments: 0..<crowds.count, [UInt64(1), 2])
    func model(crowd: Int, seed: UInt64) {
        let bits = Self.crowds[crowd]
        var random = Seeded(seed)
        var index = AccountIndex()
        var rows = Slab<AccountRow>()
        var model: [Hash128: UInt32] = [:]
        func makeHash() -> Hash128 {
            Hash128(low: random.next() & bits.low, high: random.next() & bits.high)
        }
        for _ in 0..<2_000 {
            let hash = makeHash()
            if model[hash] == nil {
                let number = rows.append(row(hash))
                index.insert(hash, number: number, rows: rows)
                model[hash] = number
            }
            let other = makeHash()
            #expect(index.find(other) { rows[$0].hash == other } == model[other])
        }
        for (hash, number) in model {
            #expect(index.find(hash) { rows[$0].hash == hash } == number)
        }
        #expect(index.place.mask + 1 >= model.count)
    }

    @Test(
        "who holds no lock guesses the account that is found, in an index as it is, and any from one as it was"
    )
    func guesses() {
        var random = Seeded(3)
        var index = AccountIndex()
        var rows = Slab<AccountRow>()
        let early = index.place
        #expect(AccountIndex.guess(Hash128(low: 1, high: 1), in: BlockPlace(rawValue: 0)) == nil)
        for number in 0..<UInt32(5_000) {
            let hash = Hash128(low: random.next(), high: random.next())
            #expect(AccountIndex.guess(hash, in: index.place) == nil)
            #expect(rows.append(row(hash)) == number)
            index.insert(hash, number: number, rows: rows)
        }
        var given = 0
        for number in 0..<UInt32(5_000) {
            let hash = rows[number].hash
            // It is given up where the run of slots is long.
            if let guess = AccountIndex.guess(hash, in: index.place) {
                #expect(guess == number)
                given += 1
            }
            // Its memory has other uses now.
            _ = AccountIndex.guess(hash, in: early)
        }
        #expect(given > 4_900)
    }
}
