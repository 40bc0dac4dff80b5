// Time and chance that a test decides: for tests and simulation only.

import Synchronization

/// A generator of the same numbers for the same seed (SplitMix64; Steele, Lea and Flood, 2014).
///
/// The additions and products wrap by definition: they mix bits, they count nothing.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state = state &+ 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed &>> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed &>> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed &>> 31)
    }
}

/// A clock that moves when it is told to.
public final class SimulatedClock: TimeSource {
    private struct Now: Sendable {
        var wallMicroseconds: Int64
        var monotonicNanoseconds: UInt64
    }

    private let now: Mutex<Now>

    /// Begins at a wall time, by default 2026-01-01T00:00:00Z, in microseconds since 1970.
    public init(wallMicroseconds: Int64 = 1_767_225_600_000_000) {
        now = Mutex(Now(wallMicroseconds: wallMicroseconds, monotonicNanoseconds: 1))
    }

    public func wallMicroseconds() -> Int64 { now.withLock { $0.wallMicroseconds } }
    public func monotonicNanoseconds() -> UInt64 { now.withLock { $0.monotonicNanoseconds } }

    /// Lets both clocks run on.
    public func advance(microseconds: Int64) {
        precondition(microseconds >= 0)
        now.withLock { now in
            now.wallMicroseconds += microseconds
            now.monotonicNanoseconds += UInt64(microseconds) * 1000
        }
    }

    /// Sets the wall clock alone, as an administrator or a time service does.
    public func jump(toWallMicroseconds wall: Int64) {
        now.withLock { $0.wallMicroseconds = wall }
    }
}

/// Random bits that are the same for the same seed.
public final class SimulatedEntropy: Entropy {
    private let generator: Mutex<SeededGenerator>

    public init(seed: UInt64) { generator = Mutex(SeededGenerator(seed: seed)) }

    public func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        for index in buffer.indices {
            unsafe buffer[index] = generator.withLock { UInt8(truncatingIfNeeded: $0.next()) }
        }
    }
}
