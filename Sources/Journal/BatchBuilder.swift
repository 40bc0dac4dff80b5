// What one cycle collects: pieces, laid end to end into as many batches as they need.
//
// A piece goes whole into one batch, so whatever must be recovered together is one piece. Collecting
// only copies: the caller may hold a lock, and nothing waits for the disk until all is collected. The
// buffers are kept for the next cycle.

import Bytes
import Platform

/// Takes the pieces of a cycle.
public struct BatchBuilder: ~Copyable {
    /// A batch being filled: room for the header, then the body.
    final class Filling {
        let buffer: AlignedBuffer
        var bodyBytes = 0
        var entryCount = 0

        init(bodyBytesMax: Int) {
            buffer = AlignedBuffer(count: JournalLimits.batchHeaderBytes + bodyBytesMax)
        }
    }

    /// The most that one piece may have.
    public let pieceBytesMax: Int
    /// The LSN that the next entry will get.
    public private(set) var nextLSN: UInt64

    private(set) var batches: [Filling] = []
    private var spares: [Filling] = []

    init(pieceBytesMax: Int, nextLSN: UInt64) {
        self.pieceBytesMax = pieceBytesMax
        self.nextLSN = nextLSN
    }

    /// Whether nothing was appended in this cycle.
    public var isEmpty: Bool { batches.isEmpty }

    /// Copies a piece with its entries and returns the LSN of its first one. O(bytes).
    ///
    /// The piece must not be longer than `pieceBytesMax`; a piece without entries must be empty.
    @discardableResult
    public mutating func append(_ piece: ByteView, entryCount: Int) -> UInt64 {
        precondition(entryCount > 0 || piece.isEmpty, "bytes without an entry")
        precondition(piece.count <= pieceBytesMax, "a piece longer than a batch")
        let first = nextLSN
        guard entryCount > 0 else { return first }
        let filling: Filling
        // A count is 32 bits on disk; a batch's worth of bytes stays far below, but empty entries might not.
        if let last = batches.last, last.bodyBytes + piece.count <= pieceBytesMax,
            last.entryCount + entryCount <= Int(UInt32.max)
        {
            filling = last
        } else {
            precondition(entryCount <= Int(UInt32.max), "a piece with more entries than a batch")
            filling = spares.popLast() ?? Filling(bodyBytesMax: pieceBytesMax)
            batches.append(filling)
        }
        if !piece.isEmpty {
            let start = JournalLimits.batchHeaderBytes + filling.bodyBytes
            let target = unsafe UnsafeMutableRawBufferPointer(
                rebasing: filling.buffer.bytes[start..<start + piece.count])
            unsafe target.copyMemory(from: piece.buffer)
        }
        filling.bodyBytes += piece.count
        filling.entryCount += entryCount
        nextLSN += UInt64(entryCount)
        return first
    }

    /// Forgets the batches; their buffers wait for the next cycle, at most two of them.
    mutating func clear() {
        for filling in batches where spares.count < 2 {
            filling.bodyBytes = 0
            filling.entryCount = 0
            spares.append(filling)
        }
        batches.removeAll(keepingCapacity: true)
    }
}
