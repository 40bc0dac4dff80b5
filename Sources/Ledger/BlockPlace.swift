// Where a table is, for who looks at it without its lock, to prefetch what it leads to.

import Bytes
import CPlatform

/// The address of a block of table memory and the number of its words, a power of two, in one word, so that whoever does
/// not hold the lock reads both as they belong together. A block begins at a multiple of 64, which leaves six bits for the
/// number; it is never given back to the system, so a word that is read late is at worst another's.
struct BlockPlace: RawRepresentable, Hashable, Sendable {
    let rawValue: UInt

    init(rawValue: UInt) { self.rawValue = rawValue }

    init(_ block: UnsafeRawPointer, count: Int) {
        precondition(UInt(bitPattern: block) & 63 == 0 && count.nonzeroBitCount == 1)
        rawValue = UInt(bitPattern: block) | UInt(count.trailingZeroBitCount)
    }

    @inline(__always) var address: UInt { rawValue & ~63 }
    @inline(__always) var mask: Int { (1 &<< Int(rawValue & 63)) - 1 }

    /// A word of the block, which others may be writing; nil if it has no such word.
    @inline(__always)
    func word(at index: Int) -> UInt64? {
        guard address != 0, index >= 0, index <= mask else { return nil }
        return tollgate_peek64(address + 8 * UInt(bitPattern: index))
    }
}
