// Reading a chunk of entries back, for recovery, for the history and for people.

import Bytes
import Pricing

/// Walks the entries of a chunk.
public struct ChunkReader: Sendable {
    public let head: ChunkHead
    private var unpacker: ByteUnpacker
    private(set) var read = 0

    /// Reads the head of the chunk that is the whole of `view`.
    public init(_ view: ByteView) throws(EntryError) {
        unpacker = ByteUnpacker(view)
        do throws(UnpackingError) {
            let shard = try unpacker.unsigned()
            let first = try unpacker.unsigned()
            let count = try unpacker.unsigned()
            // Sequences begin at 1, and no shard ever comes near 2^62.
            guard shard < 65_536, first > 0, first < 1 << 62, count <= UInt64(view.count)
            else { throw UnpackingError(offset: 0) }
            head = ChunkHead(shard: Int(shard), firstSequence: first, count: Int(count))
        } catch {
            throw .truncated(atByte: error.offset)
        }
    }

    /// The sequence of the entry that comes next.
    public var nextSequence: UInt64 { head.firstSequence + UInt64(read) }

    /// The kind and fields of the next entry, or nil after the last.
    mutating func nextFields() throws(EntryError) -> (EntryKind, ByteView)? {
        guard read < head.count else {
            guard unpacker.isAtEnd else { throw .truncated(atByte: unpacker.offset) }
            return nil
        }
        let start = unpacker.offset
        let body: ByteView
        do {
            body = try unpacker.prefixed()
        } catch {
            throw .truncated(atByte: start)
        }
        guard body.count >= 1 else { throw .truncated(atByte: start) }
        guard let kind = EntryKind(rawValue: body[0]) else { throw .unknownKind(body[0], atByte: start) }
        read += 1
        return (kind, body[1..<body.count])
    }

    /// The next entry with its time, or nil after the last.
    public mutating func next() throws(EntryError) -> (Timestamp, Entry)? {
        guard let (kind, body) = try nextFields() else { return nil }
        var fields = ByteUnpacker(body)
        do {
            switch kind {
            case .charged:
                let (time, entry) = try fields.charge()
                return (time, .charged(entry))
            case .granted:
                let (time, entry) = try fields.grant()
                return (time, .granted(entry))
            case .grantEnded:
                let (time, entry) = try fields.grantEnded()
                return (time, .grantEnded(entry))
            case .accountOpened:
                let (time, entry) = try fields.accountOpened()
                return (time, .accountOpened(entry))
            case .accountChanged:
                let (time, entry) = try fields.accountChanged()
                return (time, .accountChanged(entry))
            case .parkedSettled:
                let (time, entry) = try fields.parkedEnd()
                return (time, .parkedSettled(entry))
            case .parkedDiscarded:
                let (time, entry) = try fields.parkedEnd()
                return (time, .parkedDiscarded(entry))
            case .grantedByAct, .transferredIn, .givenBack:
                var (time, entry) = try fields.grantByAct()
                entry.isGivenBack = kind == .givenBack
                return (time, .granted(entry))
            case .grantVoided:
                let (time, entry) = try fields.grantEnded(isVoided: true)
                return (time, .grantEnded(entry))
            case .deducted:
                let (time, entry) = try fields.deducted()
                return (time, .deducted(entry))
            case .noted:
                let (time, entry) = try fields.noted()
                return (time, .noted(entry))
            case .held:
                let (time, entry) = try fields.holdOpened()
                return (time, .held(entry))
            case .holdEnded:
                let (time, entry) = try fields.holdEnded()
                return (time, .holdEnded(entry))
            case .holdChanged:
                let (time, entry) = try fields.holdChanged()
                return (time, .holdChanged(entry))
            case .holdOrphaned:
                let (time, entry) = try fields.orphaned()
                return (time, .holdOrphaned(entry))
            case .budgetSet:
                let (time, entry) = try fields.budgetSet()
                return (time, .budgetSet(entry))
            case .budgetCrossed:
                let (time, entry) = try fields.budgetCrossed()
                return (time, .budgetCrossed(entry))
            case .accountMoved:
                let (time, entry) = try fields.accountMoved()
                return (time, .accountMoved(entry))
            }
        } catch {
            throw .badField(kind: kind.rawValue, atByte: error.offset)
        }
    }
}
