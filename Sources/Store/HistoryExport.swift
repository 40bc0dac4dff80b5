// Everything that the history holds, stretch by stretch, for those who take it elsewhere.
//
// Each stretch is read in a snapshot of its own, so that a long export does not keep SQLite from starting its
// WAL again; rows are only ever added, so the stretches fit together. An export ends where the history ended when
// it began, however much is added meanwhile.

import Bytes
import GRDB

/// Which rows are to be exported. What is nil does not restrict.
public struct ExportFilter: Hashable, Sendable {
    /// This account and those below it, wherever they were then; rows name them by the path of their time.
    public var account: [UInt8]?
    /// In microseconds since 1970: of the event for usage, of the recording for acts on credit.
    public var since: Int64?
    /// Before, likewise.
    public var until: Int64?

    public init() {}

    /// With the account by its name of now.
    fileprivate func following(_ moves: AccountMoves) -> ExportFilter {
        var filter = self
        filter.account = account.map { moves.current($0) }
        return filter
    }

    /// Whether the account of row `id` is wanted, by its name of now.
    fileprivate func includes(_ found: ByteView, id: Int64, _ moves: AccountMoves) -> Bool {
        if account == nil || moves.isEmpty { return includes(found) }
        return moves.current(Array(found), afterID: id).withView { includes($0) }
    }

    fileprivate func includes(_ found: ByteView) -> Bool {
        guard let account else { return true }
        return account.withView { wanted in
            found == wanted
                || (found.count > wanted.count && found[wanted.count] == UInt8(ascii: "/")
                    && found[0..<wanted.count] == wanted)
        }
    }

    fileprivate func includes(_ time: Int64) -> Bool { time >= since ?? .min && time < until ?? .max }
}

/// A stretch of rows by id.
public struct ExportPage<Row: Sendable>: Sendable {
    public var rows: [Row] = []
    /// The last row that was looked at; where to go on.
    public var lastID: Int64
}

/// The usage of one name on one day. A sum beyond what a row holds is in several of these.
public struct RollupRow: Hashable, Sendable {
    /// Where it stands among the others.
    public struct Place: Hashable, Sendable {
        public var day: Int64
        public var number: Int64
        public var part: Int64

        public init(day: Int64, number: Int64, part: Int64) {
            self.day = day
            self.number = number
            self.part = part
        }

        /// Before every other.
        public static let start = Place(day: .min, number: 0, part: 0)
    }

    public var place: Place
    public var account: String
    public var provider: String
    public var model: String
    /// 0 unknown, 1 platform, 2 bring your own key.
    public var credentialSource: UInt8
    public var sums: UsageSums

    public var day: UsageDay { UsageDay(number: place.day) }
}

extension HistoryStore {
    /// The ids between which an export of `filter` lies; nil if there is none.
    ///
    /// - Parameter eventAheadMax: microseconds that an event may be ahead of its recording; nil where times are
    ///   those of the recording, which may lie anywhere behind an event.
    public func exportIDs(
        _ filter: ExportFilter, eventAheadMax: Int64?
    ) throws(StoreError) -> ClosedRange<Int64>? {
        var earliest = filter.since
        if let since = filter.since, let eventAheadMax {
            let (bound, overflow) = since.subtractingReportingOverflow(eventAheadMax)
            earliest = overflow ? nil : bound
        }
        let latest = eventAheadMax == nil ? filter.until : nil
        return try read { (database, _) throws(StoreError) in try Zones.ids(database, earliest, latest) }
    }

    /// Outcomes among the next `count` ids in `ids`, checked. O(count).
    public func exportUsage(
        _ filter: ExportFilter, in ids: ClosedRange<Int64>, count: Int
    ) throws(StoreError) -> ExportPage<UsageRow> {
        let last = min(ids.upperBound, ids.lowerBound + Int64(max(1, count)) - 1)
        var page = ExportPage<UsageRow>(lastID: last)
        try read { (database, _) throws(StoreError) in
            let moves = try AccountMoves(database)
            let filter = filter.following(moves)
            var rows = try Statement(
                cached: database, .history,
                "SELECT \(HistorySchema.usageColumns.joined(separator: ", ")) FROM usage_rows"
                    + " WHERE id BETWEEN ? AND ? ORDER BY id")
            rows.bind(ids.lowerBound, at: 1)
            rows.bind(last, at: 2)
            while try rows.step() {
                guard filter.includes(rows.integer(5)),
                    filter.includes(rows.bytes(6), id: rows.integer(0), moves)
                else { continue }
                let (id, row) = try HistoryReader.usage(rows)
                page.rows.append(UsageRow(id: id, row))
            }
        }
        return page
    }

    /// Acts on credit among the next `count` ids in `ids`, checked. O(count).
    public func exportCredits(
        _ filter: ExportFilter, in ids: ClosedRange<Int64>, count: Int
    ) throws(StoreError) -> ExportPage<CreditRow> {
        let last = min(ids.upperBound, ids.lowerBound + Int64(max(1, count)) - 1)
        var page = ExportPage<CreditRow>(lastID: last)
        try read { (database, _) throws(StoreError) in
            let moves = try AccountMoves(database)
            let filter = filter.following(moves)
            var rows = try Statement(
                cached: database, .history,
                "SELECT \(HistorySchema.creditColumns.joined(separator: ", ")) FROM credit_rows"
                    + " WHERE id BETWEEN ? AND ? ORDER BY id")
            rows.bind(ids.lowerBound, at: 1)
            rows.bind(last, at: 2)
            while try rows.step() {
                guard filter.includes(rows.integer(4)),
                    filter.includes(rows.bytes(5), id: rows.integer(0), moves)
                else { continue }
                let (id, row) = try HistoryReader.credit(rows)
                page.rows.append(CreditRow(id: id, row))
            }
        }
        return page
    }

    /// The next rollups behind `place`, at most `count`: by day, and those of one account not together. Times of
    /// `filter` are whole days. Empty at the end.
    public func exportRollups(
        _ filter: ExportFilter, after place: RollupRow.Place, count: Int
    ) throws(StoreError) -> [RollupRow] {
        let since = filter.since.map { UsageDay(containing: $0).number } ?? .min
        let until = filter.until.map { UsageDay(containing: $0).number } ?? .max
        let start = place.day < since ? RollupRow.Place(day: since, number: 0, part: 0) : place
        return try read { (database, _) throws(StoreError) in
            let filter = filter.following(try AccountMoves(database))
            var found: [RollupRow] = []
            var rows = try Statement(
                cached: database, .history,
                """
                SELECT r.day, r.number, r.part, n.account, n.provider, n.model, n.credential_source,
                    \(UsageSums.columns.map { "r.\($0.name)" }.joined(separator: ", "))
                FROM rollups r CROSS JOIN rollup_names n ON n.number = r.number
                WHERE (r.day, r.number, r.part) > (?1, ?2, ?3) AND r.day < ?4
                ORDER BY r.day, r.number, r.part
                """)
            rows.bind(start.day, at: 1)
            rows.bind(start.number, at: 2)
            rows.bind(start.part, at: 3)
            rows.bind(until, at: 4)
            while found.count < count, try rows.step() {
                guard filter.includes(rows.bytes(3)) else { continue }
                var sums = UsageSums()
                sums.add(rows, from: 7)
                found.append(
                    RollupRow(
                        place: RollupRow.Place(
                            day: rows.integer(0), number: rows.integer(1), part: rows.integer(2)),
                        account: rows.text(3), provider: rows.text(4), model: rows.text(5),
                        credentialSource: UInt8(clamping: rows.integer(6)), sums: sums))
            }
            rows.reset()
            return found
        }
    }
}
