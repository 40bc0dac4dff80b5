// Rows keep their numbers and their places while the table grows.

import Testing

@testable import Ledger

@Suite("slabs")
struct SlabTests {
    @Test("a slab is an array whose rows never move", arguments: [1, 1_023, 1_024, 1_025, 40_000])
    func rows(count: Int) {
        var slab = Slab<UInt64>()
        var model: [UInt64] = []
        var random = Seeded(UInt64(count))
        for index in 0..<count {
            let value = random.next()
            #expect(slab.append(value) == UInt32(index))
            model.append(value)
            if index % 7 == 0 {
                let changed = Int.random(in: 0...index, using: &random)
                slab[UInt32(changed)] &+= 1
                model[changed] &+= 1
            }
        }
        #expect(slab.count == count)
        #expect((0..<count).allSatisfy { slab[UInt32($0)] == model[$0] })
    }

    @Test("an address taken early is good when the directory of chunks has grown")
    func places() {
        var slab = Slab<UInt64>()
        _ = slab.append(1)
        let early = unsafe UInt(bitPattern: slab.address(of: 0))
        for value in 0..<UInt64(20_000) { _ = slab.append(value) }
        #expect(unsafe UInt(bitPattern: slab.address(of: 0)) == early)
        #expect(slab[0] == 1)
    }

    @Test("who holds no lock guesses the place of every row, and none beyond the chunks that are listed")
    func guesses() {
        var slab = Slab<UInt64>()
        let early = slab.place
        for value in 0..<UInt64(20_000) { _ = slab.append(value) }
        for number in 0..<UInt32(20_000) {
            let address = unsafe UInt(bitPattern: slab.address(of: number))
            #expect(Slab<UInt64>.guess(number, in: slab.place) == address)
            // An old list stays as it was: what it leads to may be read.
            let guessed = Slab<UInt64>.guess(number, in: early)
            #expect(guessed == 0 || guessed == address)
        }
        #expect(Slab<UInt64>.guess(.max, in: slab.place) == 0)
        #expect(Slab<UInt64>.guess(0, in: BlockPlace(rawValue: 0)) == 0)
    }
}
