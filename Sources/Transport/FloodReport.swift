// A flood of events must not become a flood of lines in the log.

import NIOCore
import Synchronization

/// Counts events of one kind between the lines that report them. Safe to share.
final class FloodReport: Sendable {
    /// Events not reported yet, and when a report may be made again.
    private let pending = Mutex((count: 0, nextReport: NIODeadline.uptimeNanoseconds(0)))
    private static let interval = TimeAmount.seconds(10)

    /// Notes `count` events. Returns how many there were since the last report, if it is time for another.
    func note(_ count: Int = 1, at now: NIODeadline = .now()) -> Int? {
        pending.withLock { pending in
            pending.count += count
            guard now >= pending.nextReport else { return nil }
            defer { pending = (0, now + Self.interval) }
            return pending.count
        }
    }
}
