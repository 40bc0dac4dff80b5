// Reads the log behind the flusher: for the history, for backups.
//
// It reads from the files with its own descriptor and buffer, past the page cache where that is possible,
// and never beyond what is durable. Released segments may be used again under its hands: then salt and
// sequence do not fit, and it says that the entries are gone.

import Bytes
import Platform

/// A reader of durable batches. For one thread.
public final class JournalReader {
    private let shared: JournalShared
    private let configuration: JournalConfiguration
    private let fileSystem: any FileSystem
    private var buffer = AlignedBuffer(count: JournalLimits.readerReadBytes)
    /// The part of the segment that is in the buffer.
    private var window = 0..<0
    private var file: (any File)?
    private var header: SegmentHeader?
    private var segment: LogSegment
    private var offset = JournalLimits.segmentHeaderBytes
    private var nextSequence: UInt64
    /// The first LSN that was asked for.
    private let firstLSN: UInt64

    /// The LSN of the next entry that `next` will return, or of one before it.
    public private(set) var nextLSN: UInt64

    init(
        shared: JournalShared, configuration: JournalConfiguration, fileSystem: any FileSystem,
        from lsn: UInt64
    ) throws(JournalError) {
        let (found, firstKept) = shared.map.withLock { map in
            (map.segments.last { $0.firstLSN <= lsn }, map.segments[0].firstLSN)
        }
        guard let found else { throw .released(lsn: lsn, firstKept: firstKept) }
        self.shared = shared
        self.configuration = configuration
        self.fileSystem = fileSystem
        segment = found
        nextSequence = found.firstSequence
        nextLSN = found.firstLSN
        firstLSN = lsn
    }

    /// The next batch with entries, or nil when everything durable was read. Its body is valid until the
    /// next call.
    public func next() throws(JournalError) -> JournalBatch? {
        while true {
            let (following, end, firstKept) = shared.map.withLock { map in
                (map.segments.first { $0.id > segment.id }, map.end, map.segments[0].firstLSN)
            }
            if let following, following.firstSequence == nextSequence {
                segment = following
                nextLSN = following.firstLSN
                offset = JournalLimits.segmentHeaderBytes
                window = 0..<0
                file = nil
                header = nil
                continue
            }
            guard following != nil || offset < end.offset else { return nil }
            let batch = try readBatch(durableEnd: following == nil ? end.offset : nil, firstKept: firstKept)
            offset += batch.header.paddedBytes
            nextSequence += 1
            nextLSN = batch.header.nextLSN
            if batch.entryCount > 0 && batch.lastLSN >= firstLSN { return batch }
        }
    }

    /// Reads the batch at the offset; the durable part of the segment is all of it without `durableEnd`.
    private func readBatch(durableEnd: Int?, firstKept: UInt64) throws(JournalError) -> JournalBatch {
        let position = JournalPosition(segmentID: segment.id, offset: offset)
        let (file, segmentHeader) = try open(firstKept)
        let limit = durableEnd ?? segmentHeader.segmentBytes
        let gone = JournalError.released(lsn: nextLSN, firstKept: firstKept)
        try load(file, JournalLimits.blockBytes, limit: limit, gone)
        let bodyBytesMax = JournalLimits.batchBodyBytesMax(segmentBytes: segmentHeader.segmentBytes)
        guard
            let batch = unsafe BatchHeader.decode(
                bytes(JournalLimits.blockBytes), bodyBytesMax: bodyBytesMax),
            batch.salt == segmentHeader.salt, batch.sequence == nextSequence
        else { throw failure(firstKept) }
        try load(file, batch.paddedBytes, limit: limit, gone)
        let whole = unsafe bytes(batch.paddedBytes)
        guard unsafe batch.checksumFits(whole) else { throw failure(firstKept) }
        return JournalBatch(
            header: batch, body: unsafe ByteView(batch.body(in: whole)), position: position)
    }

    /// Opens the current segment and reads its header.
    private func open(_ firstKept: UInt64) throws(JournalError) -> (any File, SegmentHeader) {
        if let file, let header { return (file, header) }
        let path = SegmentName(segment.id, .segment).path(in: configuration.directory)
        let found: SegmentFile
        let opened: any File
        do throws(FileError) {
            found = try SegmentFile(segment.id, path, fileSystem)
            opened = try fileSystem.openForReading(path)
        } catch {
            guard isReleased else { throw .file(error) }
            throw .released(lsn: nextLSN, firstKept: firstKept)
        }
        guard let begun = found.begunHeader, begun.id == segment.id else { throw failure(firstKept) }
        file = opened
        header = begun
        return (opened, begun)
    }

    /// Makes `count` bytes from the offset on available in the buffer.
    private func load(
        _ file: any File, _ count: Int, limit: Int, _ gone: JournalError
    ) throws(JournalError) {
        if offset >= window.lowerBound && offset + count <= window.upperBound { return }
        guard offset + count <= limit else { throw gone }
        if buffer.count < count { buffer = AlignedBuffer(count: count) }
        let wanted = min(buffer.count, limit - offset)
        let done = try withFileErrors { () throws(FileError) in
            try unsafe file.read(
                into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[0..<wanted]), at: offset)
        }
        guard done == wanted else {
            throw .truncated(path: file.path, bytes: offset + done, expectedBytes: configuration.segmentBytes)
        }
        window = offset..<offset + wanted
    }

    /// The bytes from the offset on.
    private func bytes(_ count: Int) -> UnsafeRawBufferPointer {
        let start = offset - window.lowerBound
        return unsafe UnsafeRawBufferPointer(buffer.bytes).slice(start..<start + count)
    }

    private var isReleased: Bool {
        shared.map.withLock { map in map.segments[0].id > segment.id }
    }

    /// Why durable bytes cannot be read: the segment was released meanwhile, or it is damaged.
    private func failure(_ firstKept: UInt64) -> JournalError {
        if isReleased { return .released(lsn: nextLSN, firstKept: firstKept) }
        return .damaged(
            path: SegmentName(segment.id, .segment).path(in: configuration.directory), offset: offset,
            firstLSN: nextLSN, lastLSN: nextLSN, evidence: .durableLSN(nextLSN))
    }
}
