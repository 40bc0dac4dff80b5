// The checkpoint: every account's state at one position of the journal, in one SQLite file.
//
// A checkpoint is incremental. One transaction replaces the rows that changed and brings the totals
// along; SQLite's own WAL makes it atomic. Then the WAL is copied into the file and truncated, and a
// second connection looks at what is there. Only after that does a checkpoint count as verified, and
// the journal may be released up to the *older* of the last two verified ones: should the WAL of the
// newest be lost, the file is the older one and the journal still leads on from there.
//
// Many changed rows are written as several checkpoints, each with some shards' rows and their positions: a
// transaction of a hundred megabytes would keep the disk from the journal for as long as its sync takes. Only
// the last of them says that the journal up to a new position is in the rows, and only it is verified whole.

import Bytes
import GRDB
import Synchronization

/// The checkpoint file `ledger.db`.
///
/// One thread writes at a time; whoever comes second waits. Reading happens at start and for
/// verification, on a second connection.
public final class CheckpointStore: Sendable {
    /// What became of a checkpoint that was committed.
    public struct Outcome: Hashable, Sendable {
        public var checkpoint: Checkpoint
        /// Rows written.
        public var rowCount: Int
        /// False when a reader was in the way of copying the WAL into the file: the checkpoint is
        /// durable, but the journal is not released for it.
        public var isVerified: Bool
    }

    let identity: DirectoryIdentity
    let writer: DatabaseQueue
    let reader: DatabaseQueue
    /// The applied LSNs of the last two verified checkpoints, older first; and the error that ended
    /// the use of the file, if one did.
    private let state = Mutex(State())

    private struct State {
        var verified: [UInt64] = []
        var poison: StoreError?
    }

    /// Opens or makes the file in `directory`. `Store.prepareFiles` comes first.
    ///
    /// - Throws: `.newerSchema` or `.foreignFile`, with nothing changed; `.poisoned`.
    public init(directory: String, identity: DirectoryIdentity) throws(StoreError) {
        self.identity = identity
        writer = try Connection.queue(CheckpointSchema.schema, in: directory)
        reader = try Connection.reader(CheckpointSchema.schema, in: directory)
    }

    /// The journal may be released up to here: the older of the last two verified checkpoints, or nil
    /// before there are two.
    public var releasableLSN: UInt64? {
        state.withLock { $0.verified.count == 2 ? $0.verified[0] : nil }
    }

    /// How much of the changed rows a checkpoint brings.
    public enum Extent: Hashable, Sendable {
        /// Some shards' rows; more follow. The stamp's applied LSN is that of the checkpoint before.
        case part
        /// All, or the last of several parts.
        case whole
    }

    /// The stamp of the newest checkpoint, or nil if none was ever written.
    public func newestStamp() throws(StoreError) -> CheckpointStamp? {
        try latched { () throws(StoreError) in
            try read { (database) throws(StoreError) in try checkpoints(database).first?.stamp }
        }
    }

    /// Writes one checkpoint: calls `body`, which writes the changed rows and returns what they are
    /// the state of, then commits, copies the WAL into the file and verifies.
    ///
    /// O(rows written), one sync of the WAL and one of the file; a whole one counts all rows. Accounts that
    /// are not written keep their rows.
    ///
    /// - Throws: `.retryLater` with the last checkpoint as it was; `.poisoned`, after which every call
    ///   throws the same; what `body` throws, rolled back.
    public func write(
        _ extent: Extent = .whole, _ body: (inout CheckpointWriter) throws(StoreError) -> CheckpointStamp
    ) throws(StoreError) -> Outcome {
        let (checkpoint, rowCount, samples) = try latched { () throws(StoreError) in try commit(body) }
        let isVerified = try latched { () throws(StoreError) in
            guard try copyWAL(extent == .whole ? .truncate : .restart) else { return false }
            try verify(checkpoint, samples: samples, counting: extent == .whole)
            return extent == .whole
        }
        if isVerified { noteVerified(checkpoint) }
        return Outcome(checkpoint: checkpoint, rowCount: rowCount, isVerified: isVerified)
    }

    /// Reads the newest checkpoint: every row in order of shard and number, each checked before
    /// `body` sees it, and the totals when all have been read.
    ///
    /// What `body` was given counts only if this returns. O(accounts). A checkpoint read whole is
    /// verified.
    ///
    /// - Returns: the checkpoint, or nil if none was ever written.
    /// - Throws: `.damagedRow` naming shard, number and path; `.damagedTotals`; `.foreignFile` when the
    ///   rows are another directory's; `.poisoned`; what `body` throws.
    public func load(
        _ body: (CheckpointRow) throws(StoreError) -> Void
    ) throws(StoreError) -> Checkpoint? {
        try latched { () throws(StoreError) in
            let (checkpoint, older) = try read { (database) throws(StoreError) in
                let checkpoints = try checkpoints(database)
                try scan(database, checkpoints.first, body)
                return (checkpoints.first, checkpoints.dropFirst().first)
            }
            if let checkpoint {
                state.withLock { state in
                    guard state.verified.isEmpty else { return }
                    if let older { state.verified.append(older.stamp.appliedLSN) }
                    state.verified.append(checkpoint.stamp.appliedLSN)
                }
            }
            return checkpoint
        }
    }

    /// Writes a compact, whole copy of the checkpoint to `path`, which must not exist, for backups.
    public func copy(to path: String) throws(StoreError) {
        try latched { () throws(StoreError) in
            try attempt(.ledger, "copying to \(path)") {
                try reader.writeWithoutTransaction { try $0.execute(sql: "VACUUM INTO ?", arguments: [path]) }
            }
        }
    }

    // MARK: Steps of a checkpoint

    /// The transaction alone. After it the checkpoint is durable, in the WAL.
    func commit(
        _ body: (inout CheckpointWriter) throws(StoreError) -> CheckpointStamp
    ) throws(StoreError) -> (Checkpoint, rowCount: Int, samples: [CheckpointWriter.Key]) {
        try attempt(.ledger, "writing a checkpoint") {
            try writer.writeWithoutTransaction { database in
                try transaction(database, .ledger) { () throws(StoreError) in
                    let previous = try checkpoints(database).first
                    var rows = try CheckpointWriter(database, identity, previous?.totals ?? .init())
                    let stamp = try body(&rows)
                    precondition(stamp.sequences.count == identity.shardCount)
                    precondition(stamp.appliedLSN <= stamp.durableLSN)
                    let checkpoint = Checkpoint(
                        generation: (previous?.generation ?? 0) + 1, stamp: stamp, totals: rows.totals)
                    try record(database, checkpoint)
                    return (checkpoint, rows.rowCount, rows.samples)
                }
            }
        }
    }

    /// Copies the WAL into the file and begins it anew, from an empty file or in the blocks it has; false when
    /// a reader is in the way.
    func copyWAL(_ kind: Database.CheckpointMode) throws(StoreError) -> Bool {
        do throws(StoreError) {
            let frames = try attempt(.ledger, "copying the WAL into the file") {
                try writer.writeWithoutTransaction { try $0.checkpoint(kind) }
            }
            return frames.walFrameCount == frames.checkpointedFrameCount
        } catch .retryLater {
            return false
        }
    }

    /// Looks, through another connection, whether the file has what was just written.
    ///
    /// The totals as recorded, a sample of the rows written and, where asked for, the number of all rows.
    func verify(
        _ checkpoint: Checkpoint, samples: [CheckpointWriter.Key], counting: Bool = true
    ) throws(StoreError) {
        try read { (database) throws(StoreError) in
            let found = try checkpoints(database).first
            guard found == checkpoint else {
                throw StoreError.damagedTotals(
                    file: .ledger, field: "the newest checkpoint", stored: "\(checkpoint)",
                    computed: found.map { "\($0)" } ?? "none")
            }
            if counting { try verifyCount(database, checkpoint) }
            var select = try Statement(
                database, .ledger, CheckpointReader.columns + " WHERE id = ?")
            for key in samples {
                select.bind(key.id, at: 1)
                guard try select.step() else {
                    throw StoreError.damagedRow(
                        file: .ledger, table: "accounts", key: "\(key.shard)/\(key.number)", path: "",
                        reason: "it was written and is not there")
                }
                _ = try CheckpointReader.row(select)
                select.reset()
            }
        }
    }

    private func verifyCount(_ database: Database, _ checkpoint: Checkpoint) throws(StoreError) {
        var count = try Statement(database, .ledger, "SELECT count(*) FROM accounts")
        guard try count.step(), count.integer(0) == Int64(checkpoint.totals.accountCount) else {
            throw StoreError.damagedTotals(
                file: .ledger, field: "account_count", stored: "\(checkpoint.totals.accountCount)",
                computed: "\(count.integer(0))")
        }
    }

    // MARK: Shared parts

    /// Remembers an error after which the file must not be used again, and repeats it.
    func latched<Result: ~Copyable>(_ body: () throws(StoreError) -> Result) throws(StoreError) -> Result {
        if let poison = state.withLock({ $0.poison }) { throw poison }
        do throws(StoreError) {
            return try body()
        } catch {
            if case .poisoned = error { state.withLock { $0.poison = error } }
            throw error
        }
    }

    /// Reads in one snapshot on the second connection.
    func read<Result>(_ body: (Database) throws(StoreError) -> Result) throws(StoreError) -> Result {
        try attempt(.ledger, "reading the checkpoint") { try reader.read { try body($0) } }
    }

    private func noteVerified(_ checkpoint: Checkpoint) {
        state.withLock { state in
            state.verified = state.verified.suffix(1) + [checkpoint.stamp.appliedLSN]
        }
    }
}
