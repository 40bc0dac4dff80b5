// The names of the tiers that a shard's accounts are in, as bytes that can be lent without a reference count.

import Bytes

/// Names by number, in one run of bytes. A few of them, so looking one up walks all.
struct TierNames: ~Copyable, Sendable {
    private var bytes = BytePacker(capacity: 256)
    private var ends: [Int] = []

    var count: Int { ends.count }

    /// The name with this number; empty for `AccountRow.inheritedTier`. Valid until one is added.
    @inline(__always)
    subscript(number: UInt16) -> ByteView {
        if number == AccountRow.inheritedTier { return ByteView() }
        let index = Int(number)
        return bytes.view[(index == 0 ? 0 : ends[index - 1])..<ends[index]]
    }

    /// The number of a name that is there.
    func number(of name: ByteView) -> UInt16? {
        for index in ends.indices where self[UInt16(index)] == name { return UInt16(index) }
        return nil
    }

    /// The number of a name, which is added if it is not there; an empty name means the inherited tier.
    mutating func add(_ name: ByteView) -> UInt16 {
        if name.isEmpty { return AccountRow.inheritedTier }
        if let known = number(of: name) { return known }
        bytes.append(bytes: name)
        ends.append(bytes.count)
        return UInt16(ends.count - 1)
    }
}
