// How busy the live traffic is, so that the history can stand aside for a burst.

import Synchronization

/// Watches how fast the journal grows. For the history's thread.
struct LiveTraffic {
    private var lastLSN: UInt64
    private var lastNanoseconds: UInt64

    /// Entries a second above which the history waits: the processor is better used for answers.
    private static let busyRate: UInt64 = 150_000

    init(lsn: UInt64, nanoseconds: UInt64) {
        lastLSN = lsn
        lastNanoseconds = nanoseconds
    }

    /// Whether the journal has grown fast since the last call. Calls close upon each other say no.
    mutating func isBusy(lsn: UInt64, nanoseconds: UInt64) -> Bool {
        let passed = nanoseconds - lastNanoseconds
        guard passed >= 1_000_000 else { return false }
        let (grown, overflow) = (lsn - lastLSN).multipliedReportingOverflow(by: 1_000_000_000)
        lastLSN = lsn
        lastNanoseconds = nanoseconds
        return overflow || grown / passed > Self.busyRate
    }
}
