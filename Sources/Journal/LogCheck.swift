// Checks a log: batch after batch, segment after segment, from a known point to the logical end.
//
// A batch that fails its checks ends the log if nobody was told of it. Whether somebody was: a later batch,
// whole by its own checksum and of this life of the file, says how far the log was durable when it
// was built; so does the header of the next segment, and so may the checkpoint. Holes before a whole
// batch that claims nothing are legal: the disk may write two batches in either order.

import Bytes
import Platform

/// The log's end as a check found it.
struct LogEnd: Sendable {
    var tail: LogTail
    /// Where the next batch would be in the last segment.
    var position: JournalPosition
    /// The first and one past the last byte behind the end that hold traces of batches nobody was told of.
    var droppedRange: Range<Int>?
}

/// Whole batches that a check has passed, in an image of their segment.
struct CheckedRun: Sendable {
    let image: SegmentImage
    let segmentID: UInt64
    let batches: [(offset: Int, header: BatchHeader)]

    func batch(_ index: Int) -> JournalBatch {
        let (offset, header) = batches[index]
        let bytes = unsafe UnsafeRawBufferPointer(image.memory.bytes)
            .slice(offset..<offset + header.paddedBytes)
        return JournalBatch(
            header: header, body: unsafe ByteView(header.body(in: bytes)),
            position: JournalPosition(segmentID: segmentID, offset: offset))
    }
}

/// What stands at a place in a segment, against what belongs there.
enum BatchCheck {
    case whole(BatchHeader)
    /// Fails its own checks: torn, damaged, or never written in this life of the file.
    case bad
    /// Whole by its own checksum, but not the batch that belongs here.
    case outOfOrder(BatchHeader)
    /// More of the segment has to be read first.
    case incomplete
}

/// Checks segments, one after the other. For one thread.
final class LogCheck {
    private let hasher = ChainHasher()
    private(set) var tail: LogTail
    private let mark: JournalMark?

    /// Begins before the first batch of the first segment to check.
    init(header: SegmentHeader, mark: JournalMark? = nil) {
        self.mark = mark
        tail = LogTail(
            sequence: header.firstSequence, lsn: header.firstLSN, chain: header.previousChain,
            wallMicroseconds: header.wallMicroseconds)
    }

    /// Checks a begun segment while it is being loaded, and hands its batches to `emit` in runs.
    ///
    /// `next` is the header of the segment behind it: the batches must lead exactly there. Without one, this
    /// is the last segment, and the result tells where the log ends.
    func check(
        _ segment: SegmentFile, _ header: SegmentHeader, next: SegmentHeader?, image: SegmentImage,
        emit: (CheckedRun) throws(JournalError) -> Void
    ) throws(JournalError) -> LogEnd? {
        tail.wallMicroseconds = max(tail.wallMicroseconds, header.wallMicroseconds)
        var offset = JournalLimits.segmentHeaderBytes
        var filled = 0
        var foundBad = false
        try checkMark(segment, offset)
        while !foundBad && tail.sequence != next?.firstSequence {
            guard filled < header.segmentBytes else { break }
            filled = try image.more(than: filled)
            var batches: [(offset: Int, header: BatchHeader)] = []
            checking: while tail.sequence != next?.firstSequence {
                let bytes = unsafe UnsafeRawBufferPointer(image.memory.bytes).slice(0..<filled)
                switch unsafe advance(bytes, at: offset, of: header) {
                case .whole(let batch):
                    batches.append((offset, batch))
                    offset += batch.paddedBytes
                    try checkMark(segment, offset)
                case .incomplete:
                    break checking
                case .bad:
                    foundBad = true
                    break checking
                case .outOfOrder(let batch):
                    throw .outOfOrder(
                        path: segment.path, offset: offset, expectedSequence: tail.sequence,
                        foundSequence: batch.sequence)
                }
            }
            if !batches.isEmpty {
                try emit(CheckedRun(image: image, segmentID: segment.id, batches: batches))
            }
        }
        if let next {
            image.enough()
            try checkTransition(segment, offset, to: next)
            return nil
        }
        while filled < header.segmentBytes { filled = try image.more(than: filled) }
        return LogEnd(
            tail: tail, position: JournalPosition(segmentID: segment.id, offset: offset),
            droppedRange: try findDropped(image, segment, header, from: offset))
    }

    /// Checks the batch that should follow the tail, given the segment's bytes so far, and moves the tail
    /// behind it when it is whole.
    func advance(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, of header: SegmentHeader
    ) -> BatchCheck {
        guard offset < header.segmentBytes else { return .bad }
        guard offset + JournalLimits.blockBytes <= bytes.count else { return .incomplete }
        guard let batch = unsafe decode(bytes, at: offset, of: header) else { return .bad }
        guard offset + batch.paddedBytes <= bytes.count else { return .incomplete }
        let whole = unsafe bytes.slice(offset..<offset + batch.paddedBytes)
        guard unsafe batch.checksumFits(whole) else { return .bad }
        guard batch.sequence == tail.sequence, batch.firstLSN == tail.lsn, batch.previousChain == tail.chain
        else { return .outOfOrder(batch) }
        guard unsafe batch.chainFits(whole, hasher: hasher) else { return .bad }
        tail = LogTail(
            sequence: batch.sequence + 1, lsn: batch.nextLSN, chain: batch.chain,
            wallMicroseconds: batch.wallMicroseconds)
        return .whole(batch)
    }

    /// The header at `offset` if it is of this life of the file and its batch fits into the segment.
    func decode(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, of header: SegmentHeader
    ) -> BatchHeader? {
        let bodyBytesMax = JournalLimits.batchBodyBytesMax(segmentBytes: header.segmentBytes)
        let block = unsafe bytes.slice(offset..<offset + JournalLimits.blockBytes)
        guard let batch = unsafe BatchHeader.decode(block, bodyBytesMax: bodyBytesMax),
            batch.salt == header.salt, batch.epoch == header.epoch,
            offset + batch.paddedBytes <= header.segmentBytes
        else { return nil }
        return batch
    }

    /// Where the marked batch was, it must be the one that was marked.
    private func checkMark(_ segment: SegmentFile, _ offset: Int) throws(JournalError) {
        guard let mark, mark.sequence == tail.sequence - 1, mark.chain != tail.chain else { return }
        throw .anotherLog(path: segment.path, offset: offset, sequence: mark.sequence)
    }

    /// The batches must have led to where the next segment begins.
    private func checkTransition(
        _ segment: SegmentFile, _ offset: Int, to next: SegmentHeader
    ) throws(JournalError) {
        if tail.sequence < next.firstSequence {
            throw .damaged(
                path: segment.path, offset: offset, firstLSN: tail.lsn, lastLSN: next.firstLSN - 1,
                evidence: .nextSegment(id: next.id))
        }
        guard tail.sequence == next.firstSequence, tail.lsn == next.firstLSN, tail.chain == next.previousChain
        else {
            throw .outOfOrder(
                path: segment.path, offset: offset, expectedSequence: next.firstSequence,
                foundSequence: tail.sequence)
        }
    }

    /// Looks behind the logical end for claims that it is none, and for what is being given up.
    private func findDropped(
        _ image: SegmentImage, _ segment: SegmentFile, _ header: SegmentHeader, from end: Int
    ) throws(JournalError) -> Range<Int>? {
        let bytes = unsafe UnsafeRawBufferPointer(image.memory.bytes).slice(0..<header.segmentBytes)
        var traceEnd: Int?
        for offset in stride(from: end, to: header.segmentBytes, by: JournalLimits.blockBytes) {
            guard let batch = unsafe decode(bytes, at: offset, of: header) else { continue }
            let batchEnd = offset + batch.paddedBytes
            traceEnd = max(traceEnd ?? 0, batchEnd)
            if batch.durableSequence >= tail.sequence,
                unsafe batch.checksumFits(bytes.slice(offset..<batchEnd))
            {
                throw .damaged(
                    path: segment.path, offset: end, firstLSN: tail.lsn, lastLSN: batch.firstLSN - 1,
                    evidence: .laterBatch(offset: offset))
            }
        }
        // The header of the very next batch may itself be damaged: its salt or its link to the last
        // batch still shows that it was written.
        if traceEnd == nil, end < header.segmentBytes,
            unsafe bytes.load(UInt64.self, at: end + 32) == header.salt
                || (ChainHash(bytes, at: end + 56) == tail.chain && tail.chain != .genesis)
        {
            traceEnd = end + JournalLimits.blockBytes
        }
        return traceEnd.map { end..<$0 }
    }
}
