// The ledger's side of the journal: handing over what is staged, and taking it back at recovery.
//
// What is handed over is a piece for each shard that has anything, self-delimiting, so that a batch is
// pieces in any number:
//
//      0        4                 4 + bytes
//      +--------+-----------------+
//      | bytes  | chunk           |      bytes: little-endian, of the chunk
//      +--------+-----------------+

import Bytes
import Pricing
import Synchronization

/// Staged entries on their way to the journal, in the order in which shards gave them up.
///
/// The thread that decides takes them out of its shards, whose cache lines it has, and not the journal's
/// thread, to which each would come from another core.
public struct Outbox: ~Copyable, Sendable {
    /// What the heads of a chunk and of its piece take at the most.
    private static let headBytesMax = 32

    private let pieceBytesMax: Int
    private var bytes = BytePacker(capacity: 1 << 16)
    /// Where each piece ends, and how many entries it has. The last one is open.
    private var pieces: [(end: Int, entryCount: Int)] = []

    /// Makes pieces of at most `pieceBytesMax` bytes, which must be enough for any one entry.
    public init(pieceBytesMax: Int = 1 << 20) {
        self.pieceBytesMax = pieceBytesMax
    }

    public var isEmpty: Bool { pieces.isEmpty }

    /// Lends each piece, in order.
    public func forEachPiece(_ body: (_ piece: ByteView, _ entryCount: Int) -> Void) {
        var start = 0
        for piece in pieces {
            body(bytes.view[start..<piece.end], piece.entryCount)
            start = piece.end
        }
    }

    /// Forgets everything and keeps the memory.
    public mutating func clear() {
        bytes.clear()
        pieces.removeAll(keepingCapacity: true)
    }

    /// Takes what a shard has staged. Returns the bytes taken.
    mutating func take(from state: inout ShardState) -> Int {
        let taken = state.staged.count
        var sequence = state.sequence - UInt64(state.stagedCount) + 1
        let chunkBytesMax = pieceBytesMax - Self.headBytesMax
        if taken <= chunkBytesMax {
            append(state.staged.view, shard: state.number, sequence: sequence, count: state.stagedCount)
        } else {
            var start = 0
            var count = 0
            // Where the chunk may end: not between two entries that are never parted.
            var boundary = (end: 0, count: 0)
            var entries = ByteUnpacker(state.staged.view)
            while !entries.isAtEnd {
                let entryStart = entries.offset
                let entry: ByteView
                do {
                    entry = try entries.prefixed()
                } catch {
                    preconditionFailure("what is staged was packed by this process, yet \(error)")
                }
                if EntryKind(rawValue: entry[0])?.belongsToTheOneBefore != true {
                    boundary = (entryStart, count)
                }
                if entries.offset - start > chunkBytesMax, boundary.count > 0 {
                    append(
                        state.staged.view[start..<boundary.end], shard: state.number, sequence: sequence,
                        count: boundary.count)
                    sequence += UInt64(boundary.count)
                    count -= boundary.count
                    start = boundary.end
                    boundary.count = 0
                }
                count += 1
            }
            append(
                state.staged.view[start..<taken], shard: state.number, sequence: sequence, count: count)
        }
        state.staged.clear()
        state.stagedCount = 0
        return taken
    }

    private mutating func append(_ entries: ByteView, shard: Int, sequence: UInt64, count: Int) {
        let pieceStart = pieces.count > 1 ? pieces[pieces.count - 2].end : 0
        let needed = entries.count + Self.headBytesMax
        if pieces.isEmpty || bytes.count - pieceStart + needed > pieceBytesMax {
            pieces.append((bytes.count, 0))
        }
        let start = bytes.count
        bytes.append(byte: 0)
        bytes.append(byte: 0)
        bytes.append(byte: 0)
        bytes.append(byte: 0)
        bytes.append(UInt64(shard))
        bytes.append(sequence)
        bytes.append(UInt64(count))
        bytes.append(bytes: entries)
        bytes.replace(at: start, with: UInt32(bytes.count - start - 4))
        pieces[pieces.count - 1].end = bytes.count
        pieces[pieces.count - 1].entryCount += count
    }
}

/// Walks the chunks of a batch's body.
public struct PieceReader {
    private var unpacker: ByteUnpacker

    public init(_ body: ByteView) { unpacker = ByteUnpacker(body) }

    /// The next chunk, or nil at the end of the body.
    public mutating func next() throws(EntryError) -> ByteView? {
        if unpacker.isAtEnd { return nil }
        do {
            let bytes = try unpacker.bytes(4)
            let count = unsafe UInt32(littleEndian: bytes.buffer.loadUnaligned(as: UInt32.self))
            return try unpacker.bytes(Int(count))
        } catch {
            throw .truncated(atByte: error.offset)
        }
    }
}

extension Ledger {
    /// Moves what the shards of `shards` have staged into `outbox`. `cycle` tells, after the bytes are
    /// there, the journal cycle that takes them at the latest. Returns that cycle, and the bytes moved.
    ///
    /// Whoever calls holds the outbox's lock, and takes one shard's lock at a time behind it.
    public func handOver(
        _ shards: ShardSet, to outbox: inout Outbox, cycle: () -> UInt64
    ) -> (cycle: UInt64, bytes: Int) {
        var latest: UInt64 = 0
        var moved = 0
        shards.forEach { number in
            self.shards[number].state.withLock { state in
                if state.stagedCount > 0 {
                    moved += outbox.take(from: &state)
                    state.takenCycle = cycle()
                    self.shards[number].next.note(state)
                }
                // Another thread may have moved what this one saw.
                latest = max(latest, state.takenCycle)
            }
        }
        return (latest, moved)
    }

    /// Asks for the memory that `replay` of a chunk will touch, so that the misses of many chunks overlap.
    public func prefetch(replaying chunk: ByteView) {
        do throws(EntryError) {
            let reader = try ChunkReader(chunk)
            guard reader.head.shard < shards.count else { return }
            shards[reader.head.shard].state.withLock { $0.prefetch(reader) }
        } catch {
            return  // `replay` will say what is wrong.
        }
    }

    /// Applies a chunk of entries at recovery. `checkpoint` is the sequence that the shard's checkpoint
    /// rows include. Chunks of one shard come in order; different shards may be replayed at once.
    @discardableResult
    public func replay(_ chunk: ByteView, checkpoint: (Int) -> UInt64) throws(EntryError) -> ChunkHead {
        var reader = try ChunkReader(chunk)
        let number = reader.head.shard
        guard number < shards.count else {
            throw .contradiction(
                shard: number, sequence: reader.head.firstSequence,
                what: "the data directory has \(shards.count) shards")
        }
        let bound = checkpoint(number)
        try shards[number].state.withLock { (state) throws(EntryError) in
            state.historySequence = lookahead[number].historySequence.load(ordering: .relaxed)
            try state.replay(&reader, keys: keys, shardCount: shards.count, checkpoint: bound)
            note(number, state)
        }
        return reader.head
    }

    /// Says that history holds every outcome of a shard up to `sequence`. Takes no lock.
    public func setHistory(shard: Int, sequence: UInt64) {
        lookahead[shard].historySequence.store(sequence, ordering: .relaxed)
    }

    /// Says what history holds of a shard at start, before replay: outcomes up to `sequence`, with event
    /// times up to `horizon`.
    public func restoreHistory(shard: Int, sequence: UInt64, horizon: Timestamp) {
        setHistory(shard: shard, sequence: sequence)
        shards[shard].state.withLock { state in
            state.historySequence = sequence
            state.horizon = horizon
            note(shard, state)
        }
    }

    /// The newest sequence of each shard.
    public func sequences() -> [UInt64] {
        shards.indices.map { shards[$0].state.withLock { $0.sequence } }
    }
}
