// A frame that has begun to arrive and is not whole: how long it may take, and how slowly it may come.
//
//      begins                 every grace again
//        |------ grace ------|------ grace ------|--- …     in each, floor × grace bytes must come
//        |---------------------------------------------|    and all of it within the longest time
//
// A frame costs a connection and the bytes it has so far. Whoever drips bytes would hold both for little, so a
// frame that falls below the floor ends its connection long before the longest time.

import NIOCore

/// The arrival of one incomplete frame, as a state machine: it is told the time and never asks for it.
struct PartialFrame: Hashable, Sendable {
    /// Why the rest is not waited for.
    enum Fault: Hashable, Sendable { case tooLong, tooSlow }

    private var since: NIODeadline
    private var windowSince: NIODeadline
    private var windowBytes: Int

    /// A frame whose first `bytes` came now.
    init(bytes: Int, at now: NIODeadline) {
        since = now
        windowSince = now
        windowBytes = bytes
    }

    /// More of it came.
    mutating func receive(bytes: Int) { windowBytes += bytes }

    /// Nothing was read until now: the rest may have been sent long ago.
    mutating func pause(until now: NIODeadline) {
        since = now
        windowSince = now
        windowBytes = 0
    }

    /// For how long it has been incomplete.
    func age(at now: NIODeadline) -> TimeAmount { now - since }

    /// Looks at the time. Returns why the frame is given up, if it is.
    mutating func check(at now: NIODeadline, _ limits: TransportLimits) -> Fault? {
        if age(at: now) > .seconds(limits.partialFrameSecondsMax) { return .tooLong }
        let elapsed = now - windowSince
        guard elapsed >= limits.partialFrameGrace else { return nil }
        let milliseconds = Int(elapsed.nanoseconds / 1_000_000)
        let (wanted, overflow) = limits.partialFrameBytesPerSecondMin.multipliedReportingOverflow(
            by: milliseconds)
        if overflow || windowBytes < wanted / 1_000 { return .tooSlow }
        windowSince = now
        windowBytes = 0
        return nil
    }
}
