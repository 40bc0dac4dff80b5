// Names of a walk, each with a number: bytes are looked up and kept once, so that sums are arrays.

import Bytes

/// Names by number, in the order in which they came. At most `countMax`: beyond it every name is one.
struct NumberedNames {
    private var slots = [UInt32](repeating: 0, count: 1 << 10)
    private var hashes: [UInt64] = []
    private var bytes: [UInt8] = []
    private var ends: [Int] = []
    private let countMax: Int
    /// Drawn for each table: the names come from outside.
    private let key = HashKey(first: .random(in: .min ... .max), second: .random(in: .min ... .max))

    /// The number of a name that came when the table was full.
    static let other = Int(UInt32.max)

    init(countMax: Int) { self.countMax = countMax }

    var count: Int { ends.count }

    /// The number of a name, a new one if it is new. O(bytes of the name).
    mutating func number(of name: ByteView) -> Int {
        let hash = KeyedHasher.lowHash(name, key: key)
        var mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] != 0 {
            let number = Int(slots[slot]) - 1
            if hashes[number] == hash, holds(number, name) { return number }
            slot = (slot + 1) & mask
        }
        guard count < countMax else { return Self.other }
        let number = count
        bytes += Array(name)
        ends.append(bytes.count)
        hashes.append(hash)
        slots[slot] = UInt32(number + 1)
        if count * 2 > slots.count {
            slots = [UInt32](repeating: 0, count: slots.count * 2)
            mask = slots.count - 1
            for (index, hash) in hashes.enumerated() {
                var slot = Int(truncatingIfNeeded: hash) & mask
                while slots[slot] != 0 { slot = (slot + 1) & mask }
                slots[slot] = UInt32(index + 1)
            }
        }
        return number
    }

    private func range(_ number: Int) -> Range<Int> { (number == 0 ? 0 : ends[number - 1])..<ends[number] }

    private func holds(_ number: Int, _ name: ByteView) -> Bool {
        let range = range(number)
        return range.count == name.count && bytes.withView { $0[range] == name }
    }

    /// The name as text; `(others)` for what came when the table was full.
    func text(_ number: Int) -> String {
        number == Self.other ? "(others)" : String(decoding: bytes[range(number)], as: UTF8.self)
    }
}
