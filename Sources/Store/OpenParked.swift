// The parked outcomes that nobody has settled or given up, behind the ledger by what the history is behind.
//
// The list holds one small row for each, so it is as long as the trouble is, and not as long as the history. What
// is open in all is counted beside it, in the transaction that changes the list, so that a scrape of the metrics
// costs the same whether one is open or a million.

import Bytes
import GRDB

/// Which open parked outcomes are asked for. What is nil does not restrict.
public struct ParkedFilter: Hashable, Sendable {
    /// Of this account and of those below it.
    public var account: String?
    public var provider: String?
    public var model: String?
    /// Why it was parked.
    public var reason: String?
    /// Event time at or after, and before, in microseconds since 1970.
    public var since: Int64?
    public var until: Int64?
    /// Only rows whose id is above: the `next` of the page before.
    public var after: Int64 = 0
    /// 1 to `StoreLimits.pageRowsMax`; values outside are brought inside.
    public var limit = 50

    public init() {}
}

/// A page of open parked outcomes, oldest first.
public struct ParkedPage: Hashable, Sendable {
    public var rows: [UsageRow]
    /// What to pass as `after` for the next page; nil on the last.
    public var next: Int64?
}

/// How many parked outcomes are open.
public struct ParkedFigures: Hashable, Sendable {
    public var byReason: [String: Int] = [:]
    /// When the oldest was recorded, in microseconds since 1970; nil where none is open.
    public var oldestRecordedAt: Int64?
    /// What their holds had kept, in nanocredits: as near to their charge as is known. Left to who can read it.
    public var valuedAt: Int128 = 0
    public var count: Int { byReason.values.reduce(0, +) }

    public init() {}
}

enum OpenParked {
    /// The schema step: what each is valued at (null in rows from before, which did not say), and the sums of all.
    /// Values are added up in two halves: SQLite's integers end at 64 bits.
    static let totalsStep = """
        ALTER TABLE parked_open ADD COLUMN valued_nanocredits INTEGER;
        CREATE INDEX parked_open_unvalued ON parked_open (id) WHERE valued_nanocredits IS NULL;

        CREATE TABLE parked_totals (
            reason TEXT PRIMARY KEY,
            count INTEGER NOT NULL,
            valued_high INTEGER NOT NULL,
            valued_low INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        INSERT INTO parked_totals SELECT reason, count(*), 0, 0 FROM parked_open GROUP BY reason;
        DROP INDEX parked_open_by_reason;

        CREATE TRIGGER parked_opened AFTER INSERT ON parked_open BEGIN
            INSERT INTO parked_totals VALUES (
                new.reason, 1, coalesce(new.valued_nanocredits, 0) >> 32,
                coalesce(new.valued_nanocredits, 0) & 4294967295)
            ON CONFLICT (reason) DO UPDATE SET count = count + 1,
                valued_high = valued_high + excluded.valued_high,
                valued_low = valued_low + excluded.valued_low;
        END;
        CREATE TRIGGER parked_ended AFTER DELETE ON parked_open BEGIN
            UPDATE parked_totals SET count = count - 1,
                valued_high = valued_high - (coalesce(old.valued_nanocredits, 0) >> 32),
                valued_low = valued_low - (coalesce(old.valued_nanocredits, 0) & 4294967295)
            WHERE reason = old.reason;
        END;
        """

    /// The sums by reason, as they are kept and as the list adds up.
    static let totals =
        "SELECT reason, count, valued_high, valued_low FROM parked_totals WHERE count <> 0 ORDER BY reason"
    static let addedUp = """
        SELECT reason, count(*), sum(coalesce(valued_nanocredits, 0) >> 32),
            sum(coalesce(valued_nanocredits, 0) & 4294967295)
        FROM parked_open GROUP BY reason ORDER BY reason
        """

    /// Compares the sums that are kept with the list: nil, or what differs.
    static func mismatch(_ database: Database) throws(StoreError) -> (kept: String, addedUp: String)? {
        func all(_ sql: String) throws(StoreError) -> [String] {
            var select = try Statement(database, .history, sql)
            var rows: [String] = []
            while try select.step() {
                let sum = Int128(select.integer(2)) << 32 + Int128(select.integer(3))
                rows.append("\(select.text(0)) \(select.integer(1)) valued at \(sum)")
            }
            return rows
        }
        let (kept, addedUp) = (try all(totals), try all(addedUp))
        if kept == addedUp { return nil }
        return (kept.joined(separator: ", "), addedUp.joined(separator: ", "))
    }

    static let insert = "INSERT INTO parked_open VALUES (?, ?, ?, ?, ?)"
    static let delete = "DELETE FROM parked_open WHERE shard = ? AND sequence = ?"

    static let page = """
        SELECT \(HistorySchema.usageColumns.map { "u." + $0 }.joined(separator: ", "))
        FROM parked_open p JOIN usage_rows u ON u.id = p.id
        WHERE p.id > ?1
            AND (?2 IS NULL OR u.account = ?2 OR substr(u.account, 1, length(?2) + 1) = ?2 || '/')
            AND (?3 IS NULL OR lower(u.provider) = lower(?3)) AND (?4 IS NULL OR lower(u.model) = lower(?4))
            AND (?5 IS NULL OR p.reason = ?5) AND u.event_time >= ?6 AND u.event_time < ?7
        ORDER BY p.id
        """
}

extension HistoryStore {
    /// Open parked outcomes that pass `filter`, oldest first. O(open ones).
    public func parked(_ filter: ParkedFilter) throws(StoreError) -> ParkedPage {
        let limit = min(max(1, filter.limit), StoreLimits.pageRowsMax)
        return try read { (database, _) throws(StoreError) in
            let moves = try AccountMoves(database)
            let wanted = filter.account.map { moves.current(Array($0.utf8)) }
            // With moves a row's path is not enough: what it is called now is looked at below.
            let texts =
                [moves.isEmpty ? wanted : nil]
                + [filter.provider, filter.model, filter.reason].map { $0.map { Array($0.utf8) } }
            // What is bound is read while rows are: one buffer for all of it, lent for as long.
            return try texts.flatMap { $0 ?? [] }.withView { (all) throws(StoreError) in
                var select = try Statement(cached: database, .history, OpenParked.page)
                select.bind(filter.after, at: 1)
                var start = 0
                for (index, text) in texts.enumerated() {
                    guard let count = text?.count else {
                        select.bindNull(at: CInt(index + 2))
                        continue
                    }
                    select.bind(text: all[start..<start + count], at: CInt(index + 2))
                    start += count
                }
                select.bind(filter.since ?? .min, at: 6)
                select.bind(filter.until ?? .max, at: 7)
                return try Self.page(&select, limit: limit) { id, account in
                    guard let wanted, !moves.isEmpty else { return true }
                    let path = moves.current(Array(account), afterID: id)
                    return path == wanted || path.starts(with: wanted + [UInt8(ascii: "/")])
                }
            }
        }
    }

    private static func page(
        _ select: inout Statement, limit: Int, isWanted: (_ id: Int64, _ account: ByteView) -> Bool
    ) throws(StoreError) -> ParkedPage {
        var page = ParkedPage(rows: [], next: nil)
        while try select.step() {
            guard isWanted(select.integer(0), select.bytes(6)) else { continue }
            guard page.rows.count < limit else {
                page.next = page.rows.last?.id
                break
            }
            let found = try HistoryReader.usage(select)
            page.rows.append(UsageRow(id: found.id, found.row))
        }
        return page
    }

    /// How many are open, by reason, since when, and what those are valued at that say so. O(reasons), however many
    /// are open.
    public func parkedFigures() throws(StoreError) -> ParkedFigures {
        try read { (database, _) throws(StoreError) in
            var figures = ParkedFigures()
            var sums = try Statement(cached: database, .history, OpenParked.totals)
            while try sums.step() {
                figures.byReason[sums.text(0)] = Int(sums.integer(1))
                figures.valuedAt += Int128(sums.integer(2)) << 32 + Int128(sums.integer(3))
            }
            var oldest = try Statement(
                cached: database, .history,
                """
                SELECT u.recorded_at FROM parked_open p JOIN usage_rows u ON u.id = p.id
                ORDER BY p.id LIMIT 1
                """)
            if try oldest.step() { figures.oldestRecordedAt = oldest.integer(0) }
            return figures
        }
    }

    /// Calls `body` with what is beside the columns of each open parked outcome that has all of `flags` and does not
    /// say what it is valued at: those that an earlier release parked. O(those).
    public func forEachUnvaluedParked(
        flags: UInt32, _ body: (_ id: Int64, _ account: String, _ extra: ByteView) throws(StoreError) -> Void
    ) throws(StoreError) {
        try read { (database, _) throws(StoreError) in
            var select = try Statement(
                cached: database, .history,
                """
                SELECT u.id, u.account, u.extra FROM parked_open p JOIN usage_rows u ON u.id = p.id
                WHERE p.valued_nanocredits IS NULL AND u.flags & ?1 = ?1
                """)
            select.bind(Int64(flags), at: 1)
            while try select.step() { try body(select.integer(0), select.text(1), select.bytes(2)) }
        }
    }

    /// Every open parked outcome, by shard and sequence, for verification.
    public func openParked() throws(StoreError) -> [(shard: UInt16, sequence: UInt64)] {
        try read { (database, _) throws(StoreError) in
            var select = try Statement(
                database, .history, "SELECT shard, sequence FROM parked_open ORDER BY id")
            var open: [(shard: UInt16, sequence: UInt64)] = []
            while try select.step() {
                open.append((UInt16(clamping: select.integer(0)), UInt64(bitPattern: select.integer(1))))
            }
            return open
        }
    }

    /// The newest row in a state under an idempotency key, or nil: the parked row behind a settlement.
    public func usage(key: Hash128, state: UsageState) throws(StoreError) -> UsageRow? {
        try read { (database, known) throws(StoreError) in
            var found: UsageRow?
            var rows = try Statement(cached: database, .history, HistoryReader.usageByID)
            var chunks = try Statement(cached: database, .history, KeyChunk.select)
            try known.search(.outcome, Key.hash(key.low), &chunks) { (keyed) throws(StoreError) in
                guard !keyed.isCredit else { return false }
                defer { rows.reset() }
                let row = try HistoryReader.usage(&rows, keyed.id)
                guard row.figures.idKey == key, row.figures.state == state else { return false }
                found = UsageRow(id: keyed.id, row)
                return true
            }
            return found
        }
    }

    /// The rows that made grants of a wallet, found by their numbers, newest first.
    ///
    /// O(runs + rows of the wallet behind the oldest of them); rows of usage are passed over unread.
    ///
    /// - Parameter lastID: the row in which the wallet is called so; it may have been called otherwise before.
    public func grants(
        _ numbers: Set<UInt64>, of wallet: [UInt8], upTo lastID: Int64 = .max
    ) throws(StoreError) -> [CreditRow] {
        guard !numbers.isEmpty else { return [] }
        return try read { (database, known) throws(StoreError) in
            var found: [CreditRow] = []
            var rows = try Statement(cached: database, .history, HistoryReader.creditByID)
            var chunks = try Statement(cached: database, .history, KeyChunk.select)
            for stretch in try AccountMoves(database).stretches(of: wallet, upTo: lastID)
            where found.count < numbers.count {
                let hash = stretch.path.withView { Key.hash($0, hashKey) }
                try known.search(.account, hash, &chunks) { (keyed) throws(StoreError) in
                    guard keyed.isCredit, stretch.ids.contains(keyed.id) else { return false }
                    defer { rows.reset() }
                    let row = try HistoryReader.credit(&rows, keyed.id)
                    // A grant has the sequence of the entry that made it; its expiry names it too.
                    guard row.grantID == row.sequence, numbers.contains(row.sequence),
                        stretch.path.withView({ row.account == $0 })
                    else { return false }
                    found.append(CreditRow(id: keyed.id, row))
                    return found.count == numbers.count
                }
            }
            return found
        }
    }
}
