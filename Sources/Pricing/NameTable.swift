// Names to numbers without looking at letter case, without a `String` and without allocating.
//
// An open-addressing table, at most half full, made once and never changed. A name is folded to lower
// case (ASCII only) eight bytes at a time while it is hashed and compared; the bytes themselves stay where
// they are. The hash has no secret key: names are looked up here by anybody, but only the
// administrator's catalogue and rules put names in, so nobody else can build collisions.

import Bytes

struct NameTable: Sendable {
    /// Upper half: the upper half of the hash. Lower half: the number of an entry, from 1; 0 is empty.
    private var slots: [UInt64] = [0, 0]
    private var entries: [Entry] = []
    /// The folded names, each in whole words.
    private var words: [UInt64] = []

    private struct Entry {
        var hash: UInt64
        var scope: UInt32
        var value: UInt32
        var firstWord: UInt32
        var byteCount: UInt32
    }

    var count: Int { entries.count }

    /// The number of `name` within `scope`, or nil. O(bytes of the name).
    @inline(__always)
    func value(of name: ByteView, scope: UInt32 = 0) -> UInt32? {
        let hash = Self.hash(name, scope: scope)
        let mask = slots.count - 1
        var position = Int(truncatingIfNeeded: hash) & mask
        while true {
            let slot = slots[position]
            if slot == 0 { return nil }
            if slot >> 32 == hash >> 32 {
                let entry = entries[Int(slot & 0xffff_ffff) - 1]
                if entry.hash == hash, entry.scope == scope, matches(entry, name) { return entry.value }
            }
            position = (position + 1) & mask
        }
    }

    /// Adds a name; if it is there already, nothing changes and its number is returned.
    mutating func insert(_ name: ByteView, scope: UInt32 = 0, value: UInt32) -> UInt32? {
        if let existing = self.value(of: name, scope: scope) { return existing }
        let hash = Self.hash(name, scope: scope)
        entries.append(
            Entry(
                hash: hash, scope: scope, value: value, firstWord: UInt32(words.count),
                byteCount: UInt32(name.count)))
        for index in 0..<name.count >> 3 { words.append(Self.word(name, at: index)) }
        if name.count & 7 != 0 { words.append(Self.lastWord(name)) }
        if entries.count * 2 > slots.count {
            slots = [UInt64](repeating: 0, count: slots.count * 2)
            for index in entries.indices { place(index) }
        } else {
            place(entries.count - 1)
        }
        return nil
    }

    private mutating func place(_ index: Int) {
        let mask = slots.count - 1
        var position = Int(truncatingIfNeeded: entries[index].hash) & mask
        while slots[position] != 0 { position = (position + 1) & mask }
        slots[position] = (entries[index].hash & ~0xffff_ffff) | UInt64(index + 1)
    }

    @inline(__always)
    private func matches(_ entry: Entry, _ name: ByteView) -> Bool {
        guard Int(entry.byteCount) == name.count else { return false }
        let first = Int(entry.firstWord)
        let whole = name.count >> 3
        for index in 0..<whole where words[first + index] != Self.word(name, at: index) { return false }
        return name.count & 7 == 0 || words[first + whole] == Self.lastWord(name)
    }

    /// Multiplies and folds 64 bits with 64 bits; the constants are the fractions of √2, √3, √5 and the
    /// golden ratio.
    @inline(__always)
    private static func hash(_ name: ByteView, scope: UInt32) -> UInt64 {
        var state = mix(UInt64(scope) << 32 | UInt64(name.count), 0x6a09_e667_f3bc_c908)
        let whole = name.count >> 3
        for index in 0..<whole { state = mix(state ^ word(name, at: index), 0xbb67_ae85_84ca_a73b) }
        if name.count & 7 != 0 { state = mix(state ^ lastWord(name), 0xbb67_ae85_84ca_a73b) }
        return mix(state, 0x3c6e_f372_fe94_f82b)
    }

    @inline(__always)
    private static func mix(_ value: UInt64, _ factor: UInt64) -> UInt64 {
        let product = (value ^ 0x9e37_79b9_7f4a_7c15).multipliedFullWidth(by: factor)
        return product.high ^ product.low
    }

    /// Eight bytes of `name` as a word in lower case; `index` counts words and is within the name.
    @inline(__always)
    private static func word(_ name: ByteView, at index: Int) -> UInt64 {
        let bytes = unsafe name.buffer.loadUnaligned(fromByteOffset: index << 3, as: UInt64.self)
        return lowercased(UInt64(littleEndian: bytes))
    }

    /// The last 1 to 7 bytes of `name` as a word in lower case, padded with zeros.
    @inline(__always)
    private static func lastWord(_ name: ByteView) -> UInt64 { lowercased(name.tailWord) }

    /// Sets the bit 0x20 in each byte that is `A` to `Z`.
    ///
    /// Per byte, with the top bit cleared: adding 0x3f carries into the top bit from `A` on, adding 0x25
    /// from the byte after `Z` on; neither sum exceeds 0xff, so no byte touches its neighbour and no
    /// word overflows.
    @inline(__always)
    static func lowercased(_ word: UInt64) -> UInt64 {
        let sevenBits = word & 0x7f7f_7f7f_7f7f_7f7f
        let fromA = sevenBits + 0x3f3f_3f3f_3f3f_3f3f
        let afterZ = sevenBits + 0x2525_2525_2525_2525
        let isUpper = (fromA ^ afterZ) & ~word & 0x8080_8080_8080_8080
        return word | (isUpper >> 2)
    }
}
