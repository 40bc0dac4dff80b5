// The history: every outcome and every act on credits as a row, behind the journal by what it says.
//
// One writer appends in journal order, many readers look things up meanwhile. The position is
// changed in the transaction that adds the rows, and a commit is synced, so the journal may be
// released up to a position that was returned.

import Bytes
import GRDB
import GRDBSQLite
import Synchronization

/// The history file `history.db`.
public final class HistoryStore: Sendable {
    let identity: DirectoryIdentity
    let hashKey: HashKey
    private let runRowsMax: Int
    private let rollupNumbers = RollupNumbers()
    let pool: DatabasePool
    /// The position that is durable, the keys that are not in runs, and the error that ended the use
    /// of the file, if one did. The lock is held to look or to swap, never across a call.
    private let state: Mutex<State>

    private struct State: Sendable {
        var position: HistoryPosition
        var keys = HistoryKeys()
        /// Bytes in the WAL since it was last copied into the file.
        var walBytes: Int64 = 0
        var poison: StoreError?
    }

    /// Opens or makes the file in `directory`, and reads back the keys of the newest rows, up to
    /// `StoreLimits.runRowsMax` of them. `Store.prepareFiles` comes first.
    ///
    /// - Parameters:
    ///   - hashKey: the directory's secret; the same at every start.
    ///   - rollupProgress: told how many rows of a history from before there were rollups are added up, of
    ///     how many.
    /// - Throws: `.newerSchema` or `.foreignFile`, with nothing changed; `.damagedRow`; `.poisoned`.
    public convenience init(
        directory: String, identity: DirectoryIdentity, hashKey: HashKey,
        rollupProgress: (_ done: Int64, _ total: Int64) -> Void = { _, _ in }
    ) throws(StoreError) {
        try self.init(
            directory: directory, identity: identity, hashKey: hashKey, runRowsMax: StoreLimits.runRowsMax,
            rollupProgress: rollupProgress)
    }

    /// - Parameter runRowsMax: at most `StoreLimits.runRowsMax`; the same at every start, or larger.
    init(
        directory: String, identity: DirectoryIdentity, hashKey: HashKey, runRowsMax: Int,
        rollupProgress: (_ done: Int64, _ total: Int64) -> Void = { _, _ in }
    ) throws(StoreError) {
        precondition(runRowsMax > 0 && runRowsMax <= StoreLimits.runRowsMax)
        self.identity = identity
        self.hashKey = hashKey
        self.runRowsMax = runRowsMax
        let pool = try Connection.pool(HistorySchema.schema, in: directory)
        self.pool = pool
        let (position, keys) = try attempt(.history, "reading the position") {
            try pool.read { database in
                let position = try HistoryPosition.read(
                    database, identity, hashCheck: Self.hashCheck(hashKey))
                return (position, try HistoryKeys(database, position, hashKey, rowsMax: runRowsMax))
            }
        }
        state = Mutex(State(position: position, keys: keys))
        try RollupTables.fill(
            pool, upTo: position.nextID - 1, hashKey, known: rollupNumbers, progress: rollupProgress)
    }

    private static func hashCheck(_ key: HashKey) -> Int64 {
        Int64(bitPattern: KeyedHasher.lowHash(ByteView(), key: key))
    }

    /// How far the history has come, durably.
    public var position: HistoryPosition { state.withLock { $0.position } }

    /// Appends rows: calls `body`, which adds them in journal order and returns the LSN up to which
    /// they cover the journal; then commits durably.
    ///
    /// Large transactions are cheap: aim for 10 000 to 100 000 rows under load. One sync each.
    ///
    /// - Returns: the position, durable now. The journal may be released up to its LSN.
    /// - Throws: `.retryLater` with the history as it was; `.poisoned`, after which every call throws the
    ///   same; what `body` throws, rolled back.
    @discardableResult
    public func append(
        _ body: (inout HistoryWriter) throws(StoreError) -> UInt64
    ) throws(StoreError) -> HistoryPosition {
        try latched { () throws(StoreError) in
            try attempt(.history, "appending") {
                try pool.writeWithoutTransaction { database in
                    let position = try add(database, body)
                    try copyWAL(database)
                    return position
                }
            }
        }
    }

    private func add(
        _ database: Database, _ body: (inout HistoryWriter) throws(StoreError) -> UInt64
    ) throws(StoreError) -> HistoryPosition {
        let start: HistoryPosition
        var keys: HistoryKeys
        (start, keys) = state.withLock { ($0.position, $0.keys) }
        var numbers: [Hash128: Int64] = [:]
        var hasMoves = false
        let position = try transaction(database, .history) { () throws(StoreError) in
            var writer = try HistoryWriter(
                database, start, hashKey, rowsMax: min(runRowsMax, StoreLimits.appendRowsMax))
            writer.cover(try body(&writer))
            let position = writer.position
            if writer.rowCount > 0 {
                if position.nextID - keys.firstID > Int64(runRowsMax) {
                    try keys.writeRun(database, before: start.nextID)
                }
                try Zones.add(
                    database, start.nextID...position.nextID - 1,
                    recorded: writer.recordedMin...writer.recordedMax)
                keys.add(writer.keys)
                hasMoves = writer.hasMoves
                numbers = try writer.rollups.write(
                    database, known: hasMoves ? RollupNumbers() : rollupNumbers)
                try RollupTables.cover(database, position.nextID - 1)
            }
            if position != start {
                try position.write(database, since: start, identity, hashCheck: Self.hashCheck(hashKey))
            }
            return position
        }
        if hasMoves { rollupNumbers.forget() }
        rollupNumbers.add(numbers)
        state.withLock {
            $0.position = position
            $0.keys = keys
        }
        return position
    }

    /// Copies the WAL into the file when it has grown, so that it starts again from its beginning.
    ///
    /// Readers are waited for only when it has grown far; one in the way is no error.
    func copyWAL(_ database: Database) throws(StoreError) {
        let written = pagesWritten(database) * Int64(HistorySchema.schema.pageBytes)
        let bytes = state.withLock { state in
            state.walBytes += written
            return state.walBytes
        }
        guard bytes >= Int64(StoreLimits.historyWALBytes) else { return }
        let mode: Database.CheckpointMode =
            bytes >= Int64(StoreLimits.historyWALBytesMax) ? .truncate : .passive
        do throws(StoreError) {
            let frames = try attempt(.history, "copying the WAL into the file") {
                try database.checkpoint(mode)
            }
            guard frames.walFrameCount == frames.checkpointedFrameCount else { return }
            state.withLock { $0.walBytes = 0 }
        } catch .retryLater {
            // The rows are durable in the WAL; the next append tries again.
        }
    }

    /// The pages that this connection wrote to the WAL since the last call.
    private func pagesWritten(_ database: Database) -> Int64 {
        var (current, highest): (CInt, CInt) = (0, 0)
        let code = unsafe sqlite3_db_status(
            database.sqliteConnection, SQLITE_DBSTATUS_CACHE_WRITE, &current, &highest, 1)
        precondition(code == SQLITE_OK)
        return Int64(current)
    }

    // MARK: Shared parts

    /// Remembers an error after which the file must not be used again, and repeats it.
    func latched<Result>(_ body: () throws(StoreError) -> Result) throws(StoreError) -> Result {
        if let poison = state.withLock({ $0.poison }) { throw poison }
        do throws(StoreError) {
            return try body()
        } catch {
            if case .poisoned = error { state.withLock { $0.poison = error } }
            throw error
        }
    }

    /// Reads in one snapshot, beside the writer.
    ///
    /// What is known about keys is taken before the snapshot, which therefore has every run and row
    /// that it speaks of.
    func read<Result>(
        _ body: (Database, HistoryKeys) throws(StoreError) -> Result
    ) throws(StoreError) -> Result {
        try latched { () throws(StoreError) in
            let keys = state.withLock { $0.keys }
            return try attempt(.history, "reading") { try pool.read { try body($0, keys) } }
        }
    }
}
