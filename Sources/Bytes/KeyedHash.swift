// SipHash-1-3 with 128 bits of output: the hash of every table whose keys come from outside.
//
// Clients choose account paths and request ids, so an unkeyed hash would let them build collisions.
// The key is random per data directory. Source: Aumasson and Bernstein, "SipHash: a fast short-input
// PRF", 2012; the 1-3 variant is the one that Swift, Rust and Python use for their tables, and the
// 128-bit output is the reference implementation's (`outlen` 16).

/// The secret of a keyed hash.
public struct HashKey: Hashable, Sendable {
    public let first: UInt64
    public let second: UInt64

    @inlinable
    public init(first: UInt64, second: UInt64) {
        self.first = first
        self.second = second
    }
}

/// 128 bits of keyed hash.
public struct Hash128: Hashable, Sendable, BitwiseCopyable {
    public let low: UInt64
    public let high: UInt64

    @inlinable
    public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }
}

/// A hash in progress. The additions and shifts wrap by definition: they mix bits, they count nothing.
public struct KeyedHasher {
    @usableFromInline var v0: UInt64
    @usableFromInline var v1: UInt64
    @usableFromInline var v2: UInt64
    @usableFromInline var v3: UInt64

    @inlinable
    init(key: HashKey) {
        v0 = key.first ^ 0x736f_6d65_7073_6575
        v1 = key.second ^ 0x646f_7261_6e64_6f6d ^ 0xee
        v2 = key.first ^ 0x6c79_6765_6e65_7261
        v3 = key.second ^ 0x7465_6462_7974_6573
    }

    @inlinable @inline(__always)
    mutating func round() {
        v0 = v0 &+ v1
        v1 = (v1 &<< 13) | (v1 &>> 51)
        v1 ^= v0
        v0 = (v0 &<< 32) | (v0 &>> 32)
        v2 = v2 &+ v3
        v3 = (v3 &<< 16) | (v3 &>> 48)
        v3 ^= v2
        v0 = v0 &+ v3
        v3 = (v3 &<< 21) | (v3 &>> 43)
        v3 ^= v0
        v2 = v2 &+ v1
        v1 = (v1 &<< 17) | (v1 &>> 47)
        v1 ^= v2
        v2 = (v2 &<< 32) | (v2 &>> 32)
    }

    @inlinable @inline(__always)
    mutating func absorb(_ word: UInt64) {
        v3 ^= word
        round()
        v0 ^= word
    }

    /// The keyed hash of `bytes`. O(bytes), about a nanosecond for each.
    @inlinable
    public static func hash(_ bytes: ByteView, key: HashKey) -> Hash128 {
        var hasher = KeyedHasher(key: key)
        let buffer = unsafe bytes.buffer
        let whole = buffer.count & ~7
        var offset = 0
        while offset < whole {
            hasher.absorb(
                unsafe UInt64(littleEndian: buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
            offset += 8
        }
        var tail = UInt64(truncatingIfNeeded: buffer.count) &<< 56
        let rest = buffer.count - offset
        if rest > 0 && buffer.count >= 8 {
            // The last eight bytes, less those that were absorbed already.
            let last = unsafe UInt64(
                littleEndian: buffer.loadUnaligned(fromByteOffset: buffer.count - 8, as: UInt64.self))
            tail |= last &>> UInt64(8 * (8 - rest))
        } else {
            var shift: UInt64 = 0
            while offset < buffer.count {
                tail |= UInt64(unsafe buffer[offset]) &<< shift
                shift += 8
                offset += 1
            }
        }
        hasher.absorb(tail)
        hasher.v2 ^= 0xee
        hasher.round()
        hasher.round()
        hasher.round()
        let low = hasher.v0 ^ hasher.v1 ^ hasher.v2 ^ hasher.v3
        hasher.v1 ^= 0xdd
        hasher.round()
        hasher.round()
        hasher.round()
        return Hash128(low: low, high: hasher.v0 ^ hasher.v1 ^ hasher.v2 ^ hasher.v3)
    }
}
