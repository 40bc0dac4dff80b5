// Walking through all outcomes in the order of the journal, beside the writer and without holding it up.
//
// The walk has a connection of its own, and reads a slice at a time: a snapshot that stayed open would keep
// SQLite from starting its WAL again. Rows are only ever added, so the slices fit together. Checksums are
// left to `verifyEverything`; what is read here decides nothing.

import Bytes
import GRDB

/// What a walk tells of an outcome. The views are borrowed until the walk goes on.
public struct WalkedUsage: Sendable {
    public var id: Int64 = 0
    /// Microseconds since 1970.
    public var eventTime: Int64 = 0
    public var idKey = Hash128(low: 0, high: 0)
    public var isParked = false
    public var isBYOK = false
    /// As it is called now, wherever it was then; so is the wallet.
    public var account = ByteView()
    /// Empty when it is the account itself.
    public var wallet = ByteView()
    public var provider = ByteView()
    public var model = ByteView()
    public var tier = ByteView()
    /// Picodollars.
    public var baseCost: Int64 = 0
    /// Nanocredits.
    public var fee: Int64 = 0
    public var charge: Int64 = 0
    /// The record's canonical bytes; empty where the walk does without them.
    public var content = ByteView()
}

/// A walk through the outcomes that the history held when it began. Used by one thread at a time.
public final class HistoryWalk {
    /// Rows to be looked at, credit rows among them.
    public let rowCount: Int64
    /// Rows that were looked at.
    public private(set) var rowsDone: Int64 = 0
    private let firstID: Int64
    private var nextID: Int64
    private let lastID: Int64
    private let queue: DatabaseQueue
    private let moves: AccountMoves
    private let sql: String

    /// Rows of a slice.
    private static let sliceRows: Int64 = 4_096

    /// - Parameter hasContent: whether the canonical bytes of charged records are wanted; parked ones
    ///   always come with theirs.
    init(_ queue: DatabaseQueue, ids: ClosedRange<Int64>?, moves: AccountMoves, hasContent: Bool) {
        self.queue = queue
        self.moves = moves
        firstID = ids?.lowerBound ?? 1
        nextID = firstID
        lastID = ids?.upperBound ?? 0
        rowCount = max(0, lastID - firstID + 1)
        // What was let go has no record any more, whatever is kept of it.
        let isThere = "flags & \(UsageFigures.isLetGo) = 0" + (hasContent ? "" : " AND state = 2")
        let content = "CASE WHEN \(isThere) THEN content END"
        // The charge of an orphan is part of what its report came to, which is what is told of both.
        let charge =
            "CASE WHEN flags & \(UsageFigures.correctsOrphan) = 0 THEN charge_nanocredits"
            + " ELSE fee_nanocredits - allowance_used_nanocredits END"
        sql = """
            SELECT id, event_time, id_low, id_high, state, credential_source, account, wallet, provider, model,
                tier, base_cost_picodollars, fee_nanocredits, \(charge), \(content)
            FROM usage_rows WHERE id BETWEEN ? AND ? AND flags & \(UsageFigures.isOrphan) = 0 ORDER BY id
            """
    }

    /// Hands the rows of the next slice to `body`. False when there are no more.
    public func next(_ body: (WalkedUsage) -> Void) throws(StoreError) -> Bool {
        guard nextID <= lastID else { return false }
        let end = min(lastID, nextID + Self.sliceRows - 1)
        let (start, sql) = (nextID, sql)
        try attempt(.history, "walking") {
            try queue.read { database in
                var statement = try Statement(cached: database, .history, sql)
                statement.bind(start, at: 1)
                statement.bind(end, at: 2)
                while try statement.step() {
                    let row = Self.row(statement)
                    if moves.isEmpty { body(row) } else { follow(row, body) }
                }
            }
        }
        rowsDone += end - nextID + 1
        nextID = end + 1
        return true
    }

    /// Tells of an outcome with its accounts as they are called now.
    private func follow(_ row: WalkedUsage, _ body: (WalkedUsage) -> Void) {
        moves.current(Array(row.account), afterID: row.id).withView { account in
            moves.current(Array(row.wallet), afterID: row.id).withView { wallet in
                var row = row
                row.account = account
                row.wallet = wallet
                body(row)
            }
        }
    }

    private static func row(_ statement: borrowing Statement) -> WalkedUsage {
        var row = WalkedUsage()
        row.id = statement.integer(0)
        row.eventTime = statement.integer(1)
        row.idKey = Hash128(
            low: UInt64(bitPattern: statement.integer(2)), high: UInt64(bitPattern: statement.integer(3)))
        row.isParked = statement.integer(4) == Int64(UsageState.parked.rawValue)
        row.isBYOK = statement.integer(5) == Int64(UsageFigures.byokSource)
        row.account = statement.bytes(6)
        row.wallet = statement.bytes(7)
        row.provider = statement.bytes(8)
        row.model = statement.bytes(9)
        row.tier = statement.bytes(10)
        row.baseCost = statement.integer(11)
        row.fee = statement.integer(12)
        row.charge = statement.integer(13)
        row.content = statement.bytes(14)
        return row
    }
}

extension HistoryStore {
    /// Begins a walk through what is held now, on a connection of its own.
    ///
    /// - Parameter recordedSince: rows recorded before may be left out; microseconds since 1970.
    public func walk(recordedSince: Int64?, hasContent: Bool) throws(StoreError) -> HistoryWalk {
        let (ids, moves) = try read { (database, _) throws(StoreError) in
            (try Zones.ids(database, recordedSince, nil), try AccountMoves(database))
        }
        let directory = String(pool.path.dropLast(StoreFile.history.rawValue.count + 1))
        let queue = try Connection.reader(HistorySchema.schema, in: directory)
        return HistoryWalk(queue, ids: ids, moves: moves, hasContent: hasContent)
    }
}
