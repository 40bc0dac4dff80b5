// How one thread wakes another cheaply.
//
// Waking a sleeping thread costs about 18 µs of system call and scheduling; telling a busy one costs one
// atomic exchange. The word is 0 (nothing to tell), 1 (told) or 2 (asleep); only the waiter writes 0
// and 2, and a signal that finds 2 makes the call. Both sides use read-modify-write on the one word, so
// what was written before a signal is seen by the waiter that consumes it, and none is lost.

import CPlatform
import Synchronization

/// A signal from many threads to one that waits.
///
/// Signals that come before the waiter looks count as one: it must take everything there is.
@safe
public final class Wakeup: @unchecked Sendable {
    private let word: UnsafeMutablePointer<Atomic<UInt32>>

    public init() {
        unsafe word = .allocate(capacity: 1)
        unsafe word.initialize(to: Atomic(0))
    }

    deinit {
        unsafe word.deinitialize(count: 1)
        unsafe word.deallocate()
    }

    /// Makes the current or next `wait` return. One atomic operation unless the waiter sleeps.
    public func signal() {
        if unsafe word.pointee.exchange(1, ordering: .acquiringAndReleasing) == 2 {
            unsafe tollgate_futex_wake(word)
        }
    }

    /// Sleeps until signalled; returns at once if that happened since the last wait.
    public func wait() { _ = wait(nanoseconds: -1) }

    /// Sleeps until signalled or `timeout` has passed; false when it has passed. For one thread only.
    public func wait(timeout: Duration) -> Bool {
        let (seconds, attoseconds) = timeout.components
        let nanoseconds = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return wait(
            nanoseconds: nanoseconds.overflow ? -1 : nanoseconds.partialValue + attoseconds / 1_000_000_000)
    }

    private func wait(nanoseconds: Int64) -> Bool {
        let exchanged = unsafe word.pointee.compareExchange(
            expected: 0, desired: 2, ordering: .acquiringAndReleasing)
        if exchanged.exchanged {
            // A spurious return or EINTR shortens the wait, which callers must bear anyway.
            unsafe tollgate_futex_wait(word, 2, nanoseconds)
        }
        return unsafe word.pointee.exchange(0, ordering: .acquiringAndReleasing) == 1
    }
}
