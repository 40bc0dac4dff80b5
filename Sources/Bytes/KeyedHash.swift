// SipHash with 128 bits of output: 1-3 for every table whose keys come from outside, 2-4 for codes that only
// we make.
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
        hasher.absorb(bytes)
        let low = hasher.sum
        hasher.v1 ^= 0xdd
        hasher.round()
        hasher.round()
        hasher.round()
        return Hash128(low: low, high: hasher.sum)
    }

    /// The low half alone.
    @inlinable
    public static func lowHash(_ bytes: ByteView, key: HashKey) -> UInt64 {
        var hasher = KeyedHasher(key: key)
        hasher.absorb(bytes)
        return hasher.sum
    }

    /// The code that only who has the key can make for these bytes: SipHash-2-4 with 128 bits, the parameters that
    /// its authors give for message authentication (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012;
    /// the 128 bits are their reference implementation's). O(bytes).
    @inlinable
    public static func code(of bytes: ByteView, key: HashKey) -> Hash128 {
        var hasher = KeyedHasher(key: key)
        let buffer = unsafe bytes.buffer
        var offset = 0
        while offset + 8 <= buffer.count {
            hasher.absorbTwice(
                unsafe UInt64(littleEndian: buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
            offset += 8
        }
        hasher.absorbTwice(UInt64(truncatingIfNeeded: buffer.count) &<< 56 | bytes.tailWord)
        hasher.v2 ^= 0xee
        for _ in 0..<4 { hasher.round() }
        let low = hasher.sum
        hasher.v1 ^= 0xdd
        for _ in 0..<4 { hasher.round() }
        return Hash128(low: low, high: hasher.sum)
    }

    @inlinable @inline(__always)
    mutating func absorbTwice(_ word: UInt64) {
        v3 ^= word
        round()
        round()
        v0 ^= word
    }

    /// Takes all of a message, and mixes until the first half of the hash is there.
    @inlinable @inline(__always)
    mutating func absorb(_ bytes: ByteView) {
        let buffer = unsafe bytes.buffer
        let whole = buffer.count & ~7
        var offset = 0
        while offset < whole {
            absorb(
                unsafe UInt64(littleEndian: buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
            offset += 8
        }
        absorb(UInt64(truncatingIfNeeded: buffer.count) &<< 56 | bytes.tailWord)
        v2 ^= 0xee
        round()
        round()
        round()
    }

    @inlinable @inline(__always)
    var sum: UInt64 { v0 ^ v1 ^ v2 ^ v3 }
}
