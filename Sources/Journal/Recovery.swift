// From the files to a log that can be trusted, and a new segment behind it.
//
// Until everything has been checked, nothing is changed. Then the copies of damaged headers are healed, a
// tail that nobody was told of is copied to quarantine (and left where it is), segments that were prepared but
// never begun go to the pool, and the log goes on in a new segment with a new epoch: no old segment is
// written to again. What the caller replayed is durable: every file was synchronized and dropped
// from the page cache before it was read, and read past the cache where that is possible.

import Bytes
import Platform

/// What recovery found, for the log and the metrics.
public struct RecoverySummary: Hashable, Sendable {
    /// A tail behind the end of the log: torn batches that nobody was told of, or damage to the very last.
    public struct DroppedTail: Hashable, Sendable {
        public var path: String
        public var offset: Int
        public var bytes: Int
        /// The LSN that its first entry would have had.
        public var firstLSN: UInt64
        /// Where it was copied to, unless that failed.
        public var copy: String?
        /// Why it could not be copied; the bytes stay in the segment until that is released.
        public var copyError: FileError?
    }

    /// Segments that hold part of the log, and those of them that were read.
    public var segmentsFound = 0
    public var segmentsRead = 0
    /// Batches, entries and bytes that were replayed.
    public var batches = 0
    public var entries = 0
    public var bodyBytes = 0
    /// The last LSN of the log; 0 when it is empty.
    public var lastLSN: UInt64 = 0
    /// The epoch that begins now.
    public var epoch: UInt32 = 0
    public var droppedTail: DroppedTail?
    /// Segments of which one header was damaged and was written again from the other.
    public var healedHeaders: [String] = []
    /// How batches will be written.
    public var mode = DurableMode.direct

    init() {}
}

/// One recovery, step by step.
struct Recovery {
    let configuration: JournalConfiguration
    let fileSystem: any FileSystem
    let clock: any TimeSource
    let entropy: any Entropy
    let evidence: JournalEvidence

    /// Checks the log, replays it, and begins a new segment behind it.
    func run(
        replay: (JournalBatch) throws -> Void
    ) throws -> (RecoverySummary, JournalShared, SegmentPreparer, Flusher) {
        try withFileErrors { () throws(FileError) in
            try fileSystem.createDirectory(configuration.directory)
            try fileSystem.synchronizeDirectory(Self.parent(of: configuration.directory))
        }
        let survey = try SegmentSurvey(
            directory: configuration.directory, fileSystem: fileSystem, distrustsCache: true)
        let log = try LogSegments(survey, directoryID: configuration.directoryID)
        try checkEvidenceOfSegments(log)

        var summary = RecoverySummary()
        summary.segmentsFound = log.begun.count
        let kept = Array(log.begun.dropFirst(skippable(log.begun)))
        summary.segmentsRead = kept.count
        var end = LogEnd(
            tail: LogTail(sequence: 1, lsn: 1, chain: .genesis, wallMicroseconds: 0),
            position: JournalPosition(segmentID: 0, offset: 0))
        if !kept.isEmpty {
            end = try RecoveryPipeline(kept, fileSystem: fileSystem, mark: evidence.mark)
                .run(usesThreads: configuration.usesThreads) { batch in
                    guard batch.entryCount > 0, batch.lastLSN > evidence.appliedLSN else { return }
                    summary.batches += 1
                    summary.entries += batch.entryCount
                    summary.bodyBytes += batch.body.count
                    try replay(batch)
                }
        }
        try checkEvidenceOfEntries(log, end)
        try log.checkUnbegun(end, fileSystem: fileSystem)
        if let last = kept.last?.file {
            try CacheCheck(fileSystem: fileSystem).check(last.path, around: end.position.offset)
        }
        summary.lastLSN = end.tail.lsn - 1

        summary.droppedTail = try quarantine(end, kept.last?.file.path)
        summary.healedHeaders = try heal(log.begun)
        let spares = try tidy(survey, log)
        let preparer = SegmentPreparer(
            configuration, fileSystem: fileSystem, entropy: entropy, spares: spares)
        summary.epoch = (log.begun.last?.header.epoch ?? 0) + 1
        let segment = try preparer.prepareFirst(
            id: (log.begun.last?.file.id ?? 0) + 1, epoch: summary.epoch)
        summary.mode = preparer.mode
        let map = LogMap(
            segments: log.begun.map { file, header in
                LogSegment(id: file.id, firstSequence: header.firstSequence, firstLSN: header.firstLSN)
            }, end: end.position, mark: JournalMark(end.tail), lastLSN: end.tail.lsn - 1)
        let shared = JournalShared(map: map, durableLSN: summary.lastLSN)
        let flusher = try Flusher(shared, preparer: preparer, clock: clock, segment: segment, tail: end.tail)
        return (summary, shared, preparer, flusher)
    }

    /// Segments that others know of must be there.
    private func checkEvidenceOfSegments(_ log: LogSegments) throws(JournalError) {
        let lastID = log.begun.last?.file.id ?? 0
        guard lastID >= evidence.segmentID else {
            throw .lastSegmentMissing(id: evidence.segmentID, lastFound: lastID)
        }
        if let first = log.begun.first, first.header.firstLSN - 1 > evidence.appliedLSN {
            throw .beginsTooLate(
                path: first.file.path, firstLSN: first.header.firstLSN, appliedLSN: evidence.appliedLSN)
        }
    }

    /// Entries that others know to be durable must be in the log.
    private func checkEvidenceOfEntries(_ log: LogSegments, _ end: LogEnd) throws(JournalError) {
        guard evidence.durableLSN >= end.tail.lsn else { return }
        throw .damaged(
            path: log.begun.last?.file.path ?? configuration.directory, offset: end.position.offset,
            firstLSN: end.tail.lsn, lastLSN: evidence.durableLSN, evidence: .durableLSN(evidence.durableLSN))
    }

    /// How many segments at the front hold only entries that are in the checkpoint.
    private func skippable(_ begun: [(file: SegmentFile, header: SegmentHeader)]) -> Int {
        zip(begun.dropFirst(), begun).prefix { next, _ in
            next.header.firstLSN - 1 <= evidence.appliedLSN
        }.count
    }

    /// Copies what is being given up, so that nothing is ever lost without a trace.
    private func quarantine(
        _ end: LogEnd, _ path: String?
    ) throws(JournalError) -> RecoverySummary.DroppedTail? {
        guard let range = end.droppedRange, let path else { return nil }
        var dropped = RecoverySummary.DroppedTail(
            path: path, offset: range.lowerBound, bytes: range.count, firstLSN: end.tail.lsn)
        let buffer = AlignedBuffer(count: range.count)
        try withFileErrors { () throws(FileError) in
            _ = try unsafe fileSystem.openForReading(path).read(into: buffer.bytes, at: range.lowerBound)
        }
        let copy =
            configuration.quarantineDirectory + "/segment-\(end.position.segmentID)-byte-\(range.lowerBound)"
        do throws(FileError) {
            try fileSystem.createDirectory(configuration.quarantineDirectory)
            try fileSystem.synchronizeDirectory(Self.parent(of: configuration.quarantineDirectory))
            let file = try fileSystem.open(copy, .replace, .buffered)
            try unsafe file.write(buffer.prefix(range.count), at: 0)
            try file.synchronize()
            try fileSystem.synchronizeDirectory(configuration.quarantineDirectory)
            dropped.copy = copy
        } catch {
            // The copy is for people: on a full disk it must not keep the service from starting.
            guard error.isDiskFull else { throw .file(error) }
            dropped.copyError = error
        }
        return dropped
    }

    private static func parent(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    }

    /// Writes damaged copies of headers again from the whole ones.
    private func heal(
        _ begun: [(file: SegmentFile, header: SegmentHeader)]
    ) throws(JournalError) -> [String] {
        var healed: [String] = []
        let block = AlignedBuffer(count: JournalLimits.blockBytes)
        for (file, header) in begun where !file.badCopies.isEmpty {
            unsafe header.encode(into: block.bytes)
            try withFileErrors { () throws(FileError) in
                let target = try fileSystem.open(file.path, .readWrite, .buffered)
                for copy in file.badCopies {
                    try unsafe target.write(
                        block.prefix(JournalLimits.blockBytes), at: copy * JournalLimits.blockBytes)
                }
                try target.synchronize()
            }
            healed.append(file.path)
        }
        return healed
    }

    /// Removes halves, moves segments that were never begun to the pool, and returns the pool.
    private func tidy(_ survey: SegmentSurvey, _ log: LogSegments) throws(JournalError) -> [UInt64] {
        let directory = configuration.directory
        var spares: [UInt64] = []
        try withFileErrors { () throws(FileError) in
            for id in survey.temporaries {
                try fileSystem.remove(SegmentName(id, .temporary).path(in: directory))
            }
            for file in log.unbegun {
                try fileSystem.rename(file.path, to: SegmentName(file.id, .spare).path(in: directory))
            }
            for id in Set(survey.spares + log.unbegun.map(\.id)).sorted() {
                let path = SegmentName(id, .spare).path(in: directory)
                let bytes = try fileSystem.open(path, .read, .buffered).size()
                if bytes == configuration.segmentBytes && spares.count < configuration.sparesMax {
                    spares.append(id)
                } else {
                    try fileSystem.remove(path)
                }
            }
            try fileSystem.synchronizeDirectory(directory)
        }
        return spares
    }
}
