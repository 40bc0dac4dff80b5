// The one writer of the log. It runs cycles: collect everything that is staged, write it durably, publish.
//
// While a cycle is being written, the next one gathers, so the rate does not depend on the latency of
// the disk, and a lone entry waits for one write. At most one batch is in flight. A cycle that
// does not fit into the log because no segment can be made waits, unpublished, and goes on later.
//
// A failed write ends everything: nothing is retried, since nobody knows what the disk holds.

import Bytes
import Platform
import Synchronization

/// Who has entries to write. Called only by the flusher, one call at a time.
public protocol JournalSource: AnyObject, Sendable {
    /// Hands over everything staged up to now, in order. Each piece goes whole into one batch.
    func collect(cycle: UInt64, into batch: inout BatchBuilder)

    /// Everything collected in this cycle and before is durable and may be answered.
    func cycleDidBecomeDurable(_ cycle: UInt64)
}

/// Where the log goes on.
struct LogTail: Hashable, Sendable {
    /// The number of the next batch.
    var sequence: UInt64
    /// The LSN of the next entry.
    var lsn: UInt64
    /// The chain hash of the last batch.
    var chain: ChainHash
    /// The time of the last batch.
    var wallMicroseconds: Int64
}

/// Writes the log. Not for two threads at once: whoever opens the journal uses it first, then the
/// flusher's thread alone (or, without threads, whoever calls `Journal.step`).
final class Flusher: @unchecked Sendable {
    enum Outcome {
        case wrote, empty
        /// No segment can be made.
        case blocked
    }

    private let shared: JournalShared
    private let preparer: SegmentPreparer
    private let clock: any TimeSource
    private let configuration: JournalConfiguration
    private let hasher = ChainHasher()
    private let sealBuffer = AlignedBuffer(count: JournalLimits.blockBytes)

    private var segment: PreparedSegment
    private var offset = JournalLimits.segmentHeaderBytes
    private var tail: LogTail
    private var source: (any JournalSource)?
    private var builder: BatchBuilder
    private var cycle: UInt64 = 0
    /// The batches of the cycle under way that are durable; nil between cycles.
    private var writtenInCycle: Int?
    /// Whether the last batch has entries and no claim covers it.
    private var isUnsealed = false

    /// Begins `segment` behind `tail`, durably.
    init(
        _ shared: JournalShared, preparer: SegmentPreparer, clock: any TimeSource, segment: PreparedSegment,
        tail: LogTail
    ) throws(JournalError) {
        self.shared = shared
        self.preparer = preparer
        self.clock = clock
        self.segment = segment
        self.tail = tail
        configuration = preparer.configuration
        builder = BatchBuilder(
            pieceBytesMax: JournalLimits.batchBodyBytesMax(segmentBytes: configuration.segmentBytes),
            nextLSN: tail.lsn)
        try begin(segment)
    }

    func setSource(_ source: any JournalSource) { self.source = source }

    /// Runs cycles until the journal stops or fails.
    func run() {
        do throws(JournalError) {
            while !shared.isPoisoned.load(ordering: .acquiring) {
                // Read before the cycle: what was staged before the stop was asked for is in it.
                let isStopping = shared.isStopping.load(ordering: .acquiring)
                switch try step() {
                case .wrote:
                    continue
                case .empty:
                    if isStopping { return try seal() }
                    if !isUnsealed {
                        shared.wakeup.wait()
                    } else if !shared.wakeup.wait(timeout: configuration.sealDelay) {
                        try seal()
                    }
                case .blocked:
                    // Nobody was told that the cycle is durable, so it may end here.
                    if isStopping { return }
                    _ = shared.wakeup.wait(timeout: .milliseconds(100))
                }
            }
        } catch {
            shared.fail(error)
        }
    }

    /// Runs one cycle, or goes on with one that waits for a segment.
    func step() throws(JournalError) -> Outcome {
        guard let source else { return .empty }
        if writtenInCycle == nil {
            cycle += 1
            shared.startedCycle.store(cycle, ordering: .sequentiallyConsistent)
            source.collect(cycle: cycle, into: &builder)
        }
        var written = writtenInCycle ?? 0
        let batchCount = builder.batches.count
        while written < batchCount {
            writtenInCycle = written
            let filling = builder.batches[written]
            let bytes = AlignedBuffer.roundUp(JournalLimits.batchHeaderBytes + filling.bodyBytes)
            guard try makeRoom(bytes) else { return .blocked }
            try write(filling.buffer, bodyBytes: filling.bodyBytes, entryCount: filling.entryCount)
            written += 1
        }
        writtenInCycle = nil
        builder.clear()
        precondition(builder.nextLSN == tail.lsn)
        shared.durableCycle.store(cycle, ordering: .sequentiallyConsistent)
        source.cycleDidBecomeDurable(cycle)
        return batchCount == 0 ? .empty : .wrote
    }

    /// Writes a batch without entries when the last one has entries and no claim covers it yet.
    func seal() throws(JournalError) {
        guard isUnsealed, writtenInCycle == nil else { return }
        let segmentID = segment.header.id
        guard try makeRoom(JournalLimits.blockBytes) else { return }
        // A segment that was begun just now claims the batch as well as a seal does.
        guard segment.header.id == segmentID else { return }
        try write(sealBuffer, bodyBytes: 0, entryCount: 0)
    }

    /// Makes sure that the current segment takes `bytes` more; false when that needs a segment that
    /// cannot be made now.
    private func makeRoom(_ bytes: Int) throws(JournalError) -> Bool {
        if offset + bytes <= configuration.segmentBytes { return true }
        if !configuration.usesThreads { try prepareIfDue() }
        guard let next = preparer.takeNext() else {
            shared.statistics.withLock { $0.segmentWaits += 1 }
            shared.preparerWakeup.signal()
            return false
        }
        try begin(next)
        return true
    }

    /// Makes the next segment here and now: what the preparer's thread does otherwise.
    func prepareIfDue() throws(JournalError) {
        let now = clock.monotonicNanoseconds()
        if preparer.isDue(at: now) { try preparer.attempt(at: now) }
        shared.updateAdmission(preparer)
    }

    /// Writes the header that makes a prepared segment the end of the log.
    ///
    /// The file must still be as it was prepared: where somebody deleted the lock and started a second
    /// process, that one has taken the segment, and this one must end.
    private func begin(_ prepared: PreparedSegment) throws(JournalError) {
        let found = try withFileErrors { () throws(FileError) in
            try SegmentFile(prepared.header.id, prepared.file.path, preparer.fileSystem)
        }
        guard found.header == prepared.header else { throw .overtaken(path: prepared.file.path) }
        var header = prepared.header
        header.state = .begun
        header.firstSequence = tail.sequence
        header.firstLSN = tail.lsn
        header.previousChain = tail.chain
        header.wallMicroseconds = nextWallMicroseconds()
        try withFileErrors { () throws(FileError) in try prepared.file.write(header) }
        segment = PreparedSegment(file: prepared.file, header: header)
        offset = JournalLimits.segmentHeaderBytes
        isUnsealed = false
        shared.map.withLock { map in
            map.segments.append(
                LogSegment(id: header.id, firstSequence: header.firstSequence, firstLSN: header.firstLSN))
            map.end = JournalPosition(segmentID: header.id, offset: offset)
        }
        shared.statistics.withLock { $0.segmentsBegun += 1 }
        shared.roomBytes.store(configuration.segmentBytes - offset, ordering: .relaxed)
        shared.preparerWakeup.signal()
        shared.updateAdmission(preparer)
    }

    /// Writes one batch, durably. `buffer` holds the body behind room for the header.
    private func write(_ buffer: AlignedBuffer, bodyBytes: Int, entryCount: Int) throws(JournalError) {
        var header = BatchHeader(
            bodyBytes: bodyBytes, sequence: tail.sequence, firstLSN: tail.lsn, entryCount: UInt32(entryCount),
            epoch: segment.header.epoch, salt: segment.header.salt, durableSequence: tail.sequence - 1,
            wallMicroseconds: nextWallMicroseconds(), previousChain: tail.chain)
        unsafe header.encode(into: buffer.bytes, hasher: hasher)
        let begun = clock.monotonicNanoseconds()
        do throws(FileError) {
            try unsafe segment.file.write(buffer.prefix(header.paddedBytes), at: offset)
        } catch {
            throw .writeFailed(error, firstLSN: header.firstLSN, lastLSN: header.nextLSN - 1)
        }
        let nanoseconds = clock.monotonicNanoseconds() - begun
        offset += header.paddedBytes
        isUnsealed = entryCount > 0
        tail = LogTail(
            sequence: header.sequence + 1, lsn: header.nextLSN, chain: header.chain,
            wallMicroseconds: header.wallMicroseconds)
        shared.map.withLock { map in
            map.end.offset = offset
            map.mark = JournalMark(tail)
            map.lastLSN = tail.lsn - 1
        }
        shared.durableLSN.store(header.nextLSN - 1, ordering: .releasing)
        shared.roomBytes.store(configuration.segmentBytes - offset, ordering: .relaxed)
        shared.updateAdmission(preparer)
        shared.statistics.withLock { statistics in
            statistics.writeNanoseconds.record(nanoseconds)
            statistics.writtenBytes += UInt64(header.paddedBytes)
            guard entryCount > 0 else {
                statistics.seals += 1
                return
            }
            statistics.batches += 1
            statistics.entries += UInt64(entryCount)
            statistics.bodyBytes += UInt64(bodyBytes)
            statistics.entriesPerBatch.record(UInt64(entryCount))
        }
    }

    /// Now, or a microsecond after the last batch when the clock stands or went back.
    private func nextWallMicroseconds() -> Int64 {
        max(tail.wallMicroseconds + 1, clock.wallMicroseconds())
    }
}
