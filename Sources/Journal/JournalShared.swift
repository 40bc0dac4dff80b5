// What the threads of a journal share: counters that anybody reads, and the map of the log.

import Platform
import Synchronization

/// Whether new entries may be staged.
public enum JournalAdmission: UInt8, Hashable, Sendable {
    case open = 0
    /// No next segment can be made, and the current one is kept for what is already staged. Heals by itself.
    case diskFull = 1
}

/// A segment as the log's map knows it.
struct LogSegment: Hashable, Sendable {
    let id: UInt64
    let firstSequence: UInt64
    let firstLSN: UInt64
}

/// Which segments there are and where the durable log ends.
struct LogMap: Sendable {
    /// In order, the one being written last.
    var segments: [LogSegment]
    /// The first byte that is not durable.
    var end: JournalPosition
    /// The last batch that is durable, and the last LSN up to it.
    var mark: JournalMark
    var lastLSN: UInt64
}

final class JournalShared: Sendable {
    /// The last cycle that was published.
    let durableCycle = Atomic<UInt64>(0)
    /// The cycle whose collection began last.
    let startedCycle = Atomic<UInt64>(0)
    let durableLSN: Atomic<UInt64>
    let admission = Atomic<UInt8>(JournalAdmission.open.rawValue)
    let isStopping = Atomic<Bool>(false)
    let isPoisoned = Atomic<Bool>(false)
    /// Bytes left in the current segment.
    let roomBytes = Atomic<Int>(0)

    /// Wakes the flusher.
    let wakeup = Wakeup()
    /// Wakes the preparer.
    let preparerWakeup = Wakeup()

    /// Guards the map: taken once per batch by the flusher, and by readers and releases.
    let map: Mutex<LogMap>
    let statistics = Mutex(JournalStatistics())
    private let firstFailure = Mutex<JournalError?>(nil)
    private let onFatal = Mutex<(@Sendable (JournalError) -> Void)?>(nil)

    init(map: LogMap, durableLSN: UInt64) {
        self.map = Mutex(map)
        self.durableLSN = Atomic(durableLSN)
    }

    /// The error that ended this journal.
    var failure: JournalError? { firstFailure.withLock { $0 } }

    func setFatalHandler(_ handler: @escaping @Sendable (JournalError) -> Void) {
        onFatal.withLock { $0 = handler }
    }

    /// Ends the journal: nothing is written, synchronized or published any more. The first error is told once.
    func fail(_ error: JournalError) {
        let isFirst = firstFailure.withLock { failure in
            guard failure == nil else { return false }
            failure = error
            return true
        }
        guard isFirst else { return }
        isPoisoned.store(true, ordering: .sequentiallyConsistent)
        wakeup.signal()
        preparerWakeup.signal()
        onFatal.withLock { $0 }?(error)
    }

    /// Closes admission when a full disk keeps the next segment away and little room is left.
    func updateAdmission(_ preparer: SegmentPreparer) {
        let isShort =
            preparer.diskFull != nil
            && roomBytes.load(ordering: .relaxed) < preparer.configuration.reserveBytes
        admission.store(
            (isShort ? JournalAdmission.diskFull : .open).rawValue, ordering: .sequentiallyConsistent)
    }
}
