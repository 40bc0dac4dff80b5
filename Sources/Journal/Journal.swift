// The journal: what was promised, in the order it was promised.
//
// Entries are opaque bytes. Whoever has some is a `JournalSource`; one flusher thread runs cycles: it collects
// what is staged, writes it as one batch with one durable write, and publishes the cycle. An operation
// is answered when the cycle that contains it is durable. Segments of a fixed size hold the batches; the next
// one is always made in advance, and released ones are used again.
//
//      Source ──pieces──▶ BatchBuilder ──▶ Flusher ──▶ 0000000000000007.seg ──▶ JournalReader
//                                             ▲        0000000000000008.seg      history, backups
//                            SegmentPreparer ─┘        0000000000000003.spare
//
// After a failed write the journal is done: it publishes nothing more, says so once, and the process
// must end. The next start reads the disk and decides what happened.

import Bytes
import Platform
import Synchronization

/// An open journal. Its calls may come from any thread.
public final class Journal: Sendable {
    /// What the journal was opened with.
    public let configuration: JournalConfiguration
    /// What recovery found.
    public let recovery: RecoverySummary

    let shared: JournalShared
    let fileSystem: any FileSystem
    private let preparer: SegmentPreparer
    private let flusher: Flusher
    private let clock: any TimeSource
    /// The process's claim on the directory, held as long as the journal.
    private let lock: DirectoryLock
    private let threads = Mutex<[WorkerThread]>([])
    /// Lets one release at a time touch the files.
    private let releasing = Mutex<Void>(())

    /// Recovers the log, hands every batch behind the checkpoint to `replay` in order, and begins a new
    /// segment behind it.
    ///
    /// Batches whose last entry is in the checkpoint are left out; one that reaches beyond it comes whole, so
    /// the caller must know which of its entries it has. Nothing is changed on disk unless all of the log
    /// was found good. Throws `JournalError`, or what `replay` throws.
    public init(
        _ configuration: JournalConfiguration, lock: DirectoryLock, fileSystem: any FileSystem,
        clock: any TimeSource, entropy: any Entropy, evidence: JournalEvidence = JournalEvidence(),
        replay: (JournalBatch) throws -> Void
    ) throws {
        let recovery = Recovery(
            configuration: configuration, fileSystem: fileSystem, clock: clock, entropy: entropy,
            evidence: evidence)
        (self.recovery, shared, preparer, flusher) = try recovery.run(replay: replay)
        self.configuration = configuration
        self.fileSystem = fileSystem
        self.clock = clock
        self.lock = lock
    }

    /// Begins to collect and write. `onFatal` is called once, from any thread, when the journal has failed:
    /// the process must then end without answering anybody. Returns the flusher's priority.
    ///
    /// Without threads it only names the source, and `step` does the work.
    @discardableResult
    public func start(
        source: any JournalSource, onFatal: @escaping @Sendable (JournalError) -> Void
    ) throws(JournalError) -> ThreadPriority {
        shared.setFatalHandler(onFatal)
        flusher.setSource(source)
        guard configuration.usesThreads else { return .normal }
        let flusher = flusher
        let flushing = try thread("journal-flush", .first) { flusher.run() }
        threads.withLock { $0.append(flushing) }
        do throws(JournalError) {
            let preparing = try thread("journal-prepare", .normal) { [self] in runPreparer() }
            threads.withLock { $0.append(preparing) }
        } catch {
            stop()
            throw error
        }
        return flushing.priority
    }

    /// Runs one cycle, seals when `sealing` (as an idle flusher does), and prepares the next segment when that
    /// is due. Only for a journal without threads. False when no segment can be made.
    public func step(sealing: Bool = false) throws(JournalError) -> Bool {
        precondition(!configuration.usesThreads, "a journal with threads steps by itself")
        if let error = shared.failure { throw error }
        do throws(JournalError) {
            try flusher.prepareIfDue()
            let outcome = try flusher.step()
            if sealing { try flusher.seal() }
            return outcome != .blocked
        } catch {
            shared.fail(error)
            throw error
        }
    }

    /// Tells the flusher that something is staged. One atomic operation while it is busy.
    public func wake() { shared.wakeup.signal() }

    /// The last cycle that is durable.
    public var durableCycle: UInt64 { shared.durableCycle.load(ordering: .acquiring) }

    /// The cycle whose collection began last: what is staged now is collected in the one after it at
    /// the latest.
    public var startedCycle: UInt64 { shared.startedCycle.load(ordering: .sequentiallyConsistent) }

    /// The last LSN that is durable; 0 before the first.
    public var durableLSN: UInt64 { shared.durableLSN.load(ordering: .acquiring) }

    /// The last batch that is durable, and the last LSN up to it: to be kept with a checkpoint.
    public var durableMark: (mark: JournalMark, lsn: UInt64) {
        shared.map.withLock { ($0.mark, $0.lastLSN) }
    }

    /// Whether new entries may be staged. What is staged already is written in any case.
    public var admission: JournalAdmission {
        JournalAdmission(rawValue: shared.admission.load(ordering: .relaxed)) ?? .diskFull
    }

    /// The most bytes that one piece may have.
    public var pieceBytesMax: Int {
        JournalLimits.batchBodyBytesMax(segmentBytes: configuration.segmentBytes)
    }

    /// Counts since the journal was opened.
    public var statistics: JournalStatistics { shared.statistics.withLock { $0 } }

    /// The error that ended the journal, if one did.
    public var failure: JournalError? { shared.failure }

    /// The id of the segment being written: evidence to be kept with a checkpoint.
    public var currentSegmentID: UInt64 { shared.map.withLock { $0.end.segmentID } }

    /// Bytes in segments that hold part of the log.
    public var retainedBytes: Int {
        shared.map.withLock { $0.segments.count } * configuration.segmentBytes
    }

    /// Writes what is staged, seals, and ends the threads. The caller stages nothing any more.
    public func stop() {
        shared.isStopping.store(true, ordering: .sequentiallyConsistent)
        shared.wakeup.signal()
        shared.preparerWakeup.signal()
        let running = threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        for thread in running { thread.join() }
    }

    /// Gives up every segment whose entries all have an LSN up to `lsn`, except the one being written.
    /// Returns how many. The caller knows that nobody needs them.
    @discardableResult
    public func release(through lsn: UInt64) throws(JournalError) -> Int {
        try releasing.withLock { _ throws(JournalError) in
            let released = shared.map.withLock { map in
                zip(map.segments.dropFirst(), map.segments)
                    .prefix { next, _ in next.firstLSN - 1 <= lsn }.map { $1.id }
            }
            guard !released.isEmpty else { return 0 }
            // Readers see the segments go before the files do.
            shared.map.withLock { $0.segments.removeFirst(released.count) }
            try withFileErrors { () throws(FileError) in
                for id in released { try preparer.recycle(id) }
                try fileSystem.synchronizeDirectory(configuration.directory)
            }
            shared.preparerWakeup.signal()
            return released.count
        }
    }

    /// Reads durable batches from the one that holds `lsn` on, behind the flusher.
    public func reader(from lsn: UInt64) throws(JournalError) -> JournalReader {
        try JournalReader(shared: shared, configuration: configuration, fileSystem: fileSystem, from: lsn)
    }

    private func thread(
        _ name: String, _ urgency: ThreadUrgency, _ body: @escaping @Sendable () -> Void
    ) throws(JournalError) -> WorkerThread {
        try withFileErrors { () throws(FileError) in
            try WorkerThread(name: name, urgency: urgency, body: body)
        }
    }

    /// What the preparer's thread does.
    private func runPreparer() {
        do throws(JournalError) {
            while !shared.isStopping.load(ordering: .acquiring)
                && !shared.isPoisoned.load(ordering: .acquiring)
            {
                let now = clock.monotonicNanoseconds()
                if preparer.isDue(at: now) {
                    try preparer.attempt(at: now)
                    shared.updateAdmission(preparer)
                    if preparer.hasNext { shared.wakeup.signal() }
                }
                if preparer.diskFull == nil {
                    shared.preparerWakeup.wait()
                } else {
                    _ = shared.preparerWakeup.wait(timeout: configuration.diskFullRetryDelay)
                }
            }
        } catch {
            shared.fail(error)
        }
    }
}
