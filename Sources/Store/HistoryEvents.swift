// The outbox: what others may want to be told, in the order of the journal, written in the transaction of the
// rows that it is about. So an event is there exactly if its row is, and once.
//
// Beside it stands how far each wallet is in its period, which says when something is to be told again.

import Bytes
import GRDB

/// An event on its way into the outbox. The views are read before `HistoryWriter.add` returns.
public struct HistoryEvent: Sendable {
    public var lsn: UInt64 = 0
    public var shard: UInt16 = 0
    /// The entry it tells of, and which of its events it is, from 0.
    public var sequence: UInt64 = 0
    public var part: UInt8 = 0
    /// Microseconds since 1970.
    public var time: Int64 = 0
    /// Such as `credits.granted`.
    public var type = ByteView()
    /// The account.
    public var subject = ByteView()
    /// A JSON object.
    public var data = ByteView()

    public init() {}
}

/// An event as the outbox has it.
public struct OutboxEvent: Hashable, Sendable {
    /// Its place in the outbox: strictly increasing.
    public var id: Int64
    public var shard: UInt16
    public var sequence: UInt64
    public var part: UInt8
    public var time: Int64
    public var type: String
    public var subject: String
    public var data: String
}

/// Which events are asked for. What is nil does not restrict.
public struct EventFilter: Hashable, Sendable {
    /// Only events whose id is above: the last of the page before.
    public var after: Int64 = 0
    public var type: String?
    /// Of this account and of those below it, under whatever path they had.
    public var subject: String?
    /// 1 to `StoreLimits.pageRowsMax`.
    public var limit = 100

    public init() {}
}

/// How far a wallet is in its period: credit that was there when it began or was granted since, and how many
/// thresholds were told of.
public struct WalletPeriod: Hashable, Sendable {
    /// Months since January 1970.
    public var month: Int64
    /// Nanocredits.
    public var granted: Int64
    public var level: Int64
    /// When it began, in microseconds since 1970.
    public var beganAt: Int64

    public init(month: Int64, granted: Int64, level: Int64, beganAt: Int64) {
        self.month = month
        self.granted = granted
        self.level = level
        self.beganAt = beganAt
    }
}

/// The statements that the outbox needs in a transaction of the history.
struct OutboxStatements: ~Copyable {
    private var event: Statement
    private var find: Statement
    private var put: Statement

    static let period = "SELECT month, granted, level, began_at FROM wallet_periods WHERE wallet = ?"

    init(_ database: Database) throws(StoreError) {
        let event = try Statement(
            cached: database, .history,
            "INSERT INTO events (shard, sequence, part, time, type, subject, data) VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        let find = try Statement(cached: database, .history, Self.period)
        let put = try Statement(
            cached: database, .history, "INSERT OR REPLACE INTO wallet_periods VALUES (?, ?, ?, ?, ?)")
        self.event = event
        self.find = find
        self.put = put
    }

    mutating func add(_ row: HistoryEvent) throws(StoreError) {
        event.bind(Int64(row.shard), at: 1)
        event.bind(Int64(bitPattern: row.sequence), at: 2)
        event.bind(Int64(row.part), at: 3)
        event.bind(row.time, at: 4)
        event.bind(text: row.type, at: 5)
        event.bind(text: row.subject, at: 6)
        event.bind(text: row.data, at: 7)
        try event.run()
    }

    mutating func period(of wallet: ByteView) throws(StoreError) -> WalletPeriod? {
        find.bind(text: wallet, at: 1)
        defer { find.reset() }
        guard try find.step() else { return nil }
        return WalletPeriod(
            month: find.integer(0), granted: find.integer(1), level: find.integer(2), beganAt: find.integer(3)
        )
    }

    mutating func set(_ period: WalletPeriod, of wallet: ByteView) throws(StoreError) {
        put.bind(text: wallet, at: 1)
        put.bind(period.month, at: 2)
        put.bind(period.granted, at: 3)
        put.bind(period.level, at: 4)
        put.bind(period.beganAt, at: 5)
        try put.run()
    }
}

extension HistoryWriter {
    /// Whether an entry is not covered yet, so that what it means is to be noted now.
    public func isNew(lsn: UInt64) -> Bool { lsn > startLSN }

    /// Adds an event; does nothing if its LSN was covered before.
    public mutating func add(_ event: HistoryEvent) throws(StoreError) {
        guard isNew(lsn: event.lsn) else { return }
        try outbox.add(event)
    }

    /// How far a wallet is in its period; nil before its first grant.
    public mutating func period(of wallet: ByteView) throws(StoreError) -> WalletPeriod? {
        try outbox.period(of: wallet)
    }

    /// Notes how far a wallet is in its period.
    public mutating func set(_ period: WalletPeriod, of wallet: ByteView) throws(StoreError) {
        try outbox.set(period, of: wallet)
    }
}

extension HistoryStore {
    /// Events that pass `filter`, oldest first. O(events passed over) with a filter, O(page) without.
    public func events(_ filter: EventFilter) throws(StoreError) -> [OutboxEvent] {
        let limit = min(max(1, filter.limit), StoreLimits.pageRowsMax)
        let type = Array((filter.type ?? "").utf8)
        return try read { (database, _) throws(StoreError) in
            let subjects = try Self.names(of: filter.subject, database)
            let isOne = (0..<subjects.count).map { index in
                let name = "?\(index + 4)"
                return "subject = \(name) OR substr(subject, 1, length(\(name)) + 1) = \(name) || '/'"
            }
            return try (type + subjects.flatMap { $0 }).withView { (texts) throws(StoreError) in
                var rows = try Statement(
                    cached: database, .history,
                    """
                    SELECT id, shard, sequence, part, time, type, subject, data FROM events
                    WHERE id > ?1 AND (?2 IS NULL OR type = ?2)
                        \(isOne.isEmpty ? "" : "AND (\(isOne.joined(separator: " OR ")))")
                    ORDER BY id LIMIT ?3
                    """)
                rows.bind(filter.after, at: 1)
                rows.bind(optionalText: texts[0..<type.count], at: 2)
                rows.bind(Int64(limit), at: 3)
                var start = type.count
                for (index, subject) in subjects.enumerated() {
                    rows.bind(text: texts[start..<start + subject.count], at: CInt(index + 4))
                    start += subject.count
                }
                var found: [OutboxEvent] = []
                while try rows.step() {
                    found.append(
                        OutboxEvent(
                            id: rows.integer(0), shard: UInt16(clamping: rows.integer(1)),
                            sequence: UInt64(bitPattern: rows.integer(2)),
                            part: UInt8(clamping: rows.integer(3)),
                            time: rows.integer(4), type: rows.text(5), subject: rows.text(6),
                            data: rows.text(7)))
                }
                return found
            }
        }
    }

    /// Every path that an account had, for events name it by the one of their time; none where none is asked for.
    private static func names(of subject: String?, _ database: Database) throws(StoreError) -> [[UInt8]] {
        guard let subject, !subject.isEmpty else { return [] }
        let moves = try AccountMoves(database)
        var names: [[UInt8]] = []
        for stretch in moves.stretches(of: moves.current(Array(subject.utf8)))
        where !names.contains(stretch.path) {
            names.append(stretch.path)
        }
        return names
    }

    /// How far a wallet is in its period; nil before its first grant.
    public func period(ofWallet wallet: [UInt8]) throws(StoreError) -> WalletPeriod? {
        try read { (database, _) throws(StoreError) in
            try wallet.withView { (wallet) throws(StoreError) in
                var rows = try Statement(cached: database, .history, OutboxStatements.period)
                rows.bind(text: wallet, at: 1)
                guard try rows.step() else { return nil }
                return WalletPeriod(
                    month: rows.integer(0), granted: rows.integer(1), level: rows.integer(2),
                    beganAt: rows.integer(3))
            }
        }
    }
}
