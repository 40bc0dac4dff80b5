// The seams to time and chance. Named `TimeSource` because Swift's own `Clock` means something else.

import CPlatform
import Glibc

/// Where the time comes from.
public protocol TimeSource: AnyObject, Sendable {
    /// Microseconds since 1970-01-01T00:00:00Z. It may jump, forwards and backwards.
    func wallMicroseconds() -> Int64
    /// Nanoseconds since some fixed moment. It never goes back.
    func monotonicNanoseconds() -> UInt64
}

/// Where random bits come from.
public protocol Entropy: AnyObject, Sendable {
    /// Fills `buffer` with random bytes.
    func fill(_ buffer: UnsafeMutableRawBufferPointer)
}

extension Entropy {
    /// 64 random bits.
    public func next() -> UInt64 {
        var value: UInt64 = 0
        unsafe withUnsafeMutableBytes(of: &value) { unsafe fill($0) }
        return value
    }

    /// `count` random bytes.
    public func bytes(_ count: Int) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            unsafe fill(UnsafeMutableRawBufferPointer(buffer))
            initialized = count
        }
    }
}

/// The machine's clocks.
public final class SystemClock: TimeSource {
    public init() {}

    public func wallMicroseconds() -> Int64 {
        let time = Self.read(CLOCK_REALTIME)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }

    public func monotonicNanoseconds() -> UInt64 {
        let time = Self.read(CLOCK_MONOTONIC)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    private static func read(_ clock: clockid_t) -> timespec {
        var time = timespec()
        let result = unsafe clock_gettime(clock, &time)
        // Fails only for a clock that does not exist, and both of these always do.
        precondition(result == 0)
        return time
    }
}

/// The kernel's generator.
public final class SystemEntropy: Entropy {
    public init() {}

    public func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        var done = 0
        while done < buffer.count {
            let result = unsafe tollgate_getrandom(
                buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done)
            // "If the urandom source has been initialized, reads of up to 256 bytes will always return
            // as many bytes as requested and will not be interrupted by signals" (getrandom(2)); longer
            // ones may be, and no other error is possible with a valid buffer.
            if result > 0 { done += result } else { precondition(errno == EINTR) }
        }
    }
}
