// An account's statement: its outcomes and the acts on its credits in one list, newest first.

import Bytes
import GRDB

/// Which transactions are asked for. What is nil does not restrict.
public struct TransactionFilter: Hashable, Sendable {
    /// Rows of this account, and rows that drew on its wallet, under whatever path it had; a path that it had
    /// before will do.
    public var account: [UInt8]?
    /// Recorded at or after, in microseconds since 1970.
    public var since: Int64?
    /// Recorded before, in microseconds since 1970.
    public var until: Int64?
    /// `deducted` and `parked` for outcomes, else the kind of a credit row; empty means all.
    public var types: Set<String> = []
    /// Types that are left out where `types` does not name any.
    public var typesLeftOut: Set<String> = []
    /// Outcomes of this provider, or of this model; acts on credit have none.
    public var provider: String?
    public var model: String?
    /// Acts on credit with this source.
    public var source: String?
    /// The outcomes of this request, and the acts about it or with this idempotency key.
    public var reference: [UInt8]?
    /// Only rows whose id is below: the `next` of the page before.
    public var before: Int64?
    /// Rows to skip, for callers that count pages; `before` costs the same on every page.
    public var offset = 0
    /// 1 to `StoreLimits.pageRowsMax`; values outside are brought inside.
    public var limit = 50

    public init() {}
}

/// A page of transactions, newest first.
public struct TransactionPage: Hashable, Sendable {
    public var rows: [TransactionRow]
    /// What to pass as `before` for the next page; nil on the last.
    public var next: Int64?
}

extension HistoryStore {
    /// Transactions that pass `filter`, newest first.
    ///
    /// With an account or a reference O(runs + its rows), without O(all rows), each from `until` or `before`,
    /// whichever comes first, to the page's end.
    public func transactions(_ filter: TransactionFilter) throws(StoreError) -> TransactionPage {
        try read { (database, keys) throws(StoreError) in
            let moves = try AccountMoves(database)
            let stretches = filter.account.map { moves.stretches(of: moves.current($0)) } ?? []
            var page = Page(filter, stretches)
            let isTimed = filter.since != nil || filter.until != nil
            let recorded = try isTimed ? Zones.ids(database, filter.since, filter.until) : 1...Int64.max
            guard let ids = recorded else { return TransactionPage(rows: [], next: nil) }
            let last = min(ids.upperBound, max(1, filter.before ?? .max) - 1)
            guard last >= ids.lowerBound else { return TransactionPage(rows: [], next: nil) }
            if let reference = filter.reference {
                let hash = reference.withView { Key.hash($0, hashKey) }
                try walk(database, keys, .request, hash, ids.lowerBound...last, &page)
            } else if filter.account != nil {
                for stretch in stretches where !page.isFull {
                    let (first, last) = (
                        max(ids.lowerBound, stretch.ids.lowerBound), min(last, stretch.ids.upperBound)
                    )
                    guard first <= last else { continue }
                    let hash = stretch.path.withView { Key.hash($0, hashKey) }
                    try walk(database, keys, .account, hash, first...last, &page)
                }
            } else {
                try walk(database, ids.lowerBound...last, &page)
            }
            return page.result
        }
    }

    /// Offers the rows that keys lead to, of one account or one request, newest first, until the page is full.
    private func walk(
        _ database: Database, _ keys: HistoryKeys, _ kind: KeyKind, _ hash: UInt64, _ ids: ClosedRange<Int64>,
        _ page: inout Page
    ) throws(StoreError) {
        var usage = try Statement(cached: database, .history, HistoryReader.usageByID)
        var credit = try Statement(cached: database, .history, HistoryReader.creditByID)
        var chunks = try Statement(cached: database, .history, KeyChunk.select)
        // A row may have two keys with one hash, one behind the other.
        var lastID: Int64?
        try keys.search(kind, hash, upTo: ids.upperBound, &chunks) { (keyed) throws(StoreError) in
            if keyed.id < ids.lowerBound { return true }
            if keyed.id == lastID { return false }
            lastID = keyed.id
            return try page.offer(keyed, &usage, &credit)
        }
    }

    /// Offers all rows to `page`, newest first, until it is full.
    private func walk(_ database: Database, _ ids: ClosedRange<Int64>, _ page: inout Page) throws(StoreError)
    {
        func select(_ table: String, _ columns: [String]) -> String {
            "SELECT \(columns.joined(separator: ", ")) FROM \(table) WHERE id BETWEEN ? AND ? ORDER BY id DESC"
        }
        var usage = try Statement(
            cached: database, .history, select("usage_rows", HistorySchema.usageColumns))
        var credit = try Statement(
            cached: database, .history, select("credit_rows", HistorySchema.creditColumns))
        usage.bind(ids.lowerBound, at: 1)
        usage.bind(ids.upperBound, at: 2)
        credit.bind(ids.lowerBound, at: 1)
        credit.bind(ids.upperBound, at: 2)
        var hasUsage = page.wantsUsage ? try usage.step() : false
        var hasCredit = page.wantsCredits ? try credit.step() : false
        while hasUsage || hasCredit {
            if hasUsage, !hasCredit || usage.integer(0) > credit.integer(0) {
                if page.offer(try HistoryReader.usage(usage)) { return }
                hasUsage = try usage.step()
            } else {
                if page.offer(try HistoryReader.credit(credit)) { return }
                hasCredit = try credit.step()
            }
        }
    }
}

/// A page being filled.
private struct Page {
    private let filter: TransactionFilter
    /// The paths that the wanted account had, each with its rows.
    private let stretches: [AccountMoves.Stretch]
    private let limit: Int
    private var skip: Int
    private var rows: [TransactionRow] = []
    private(set) var isFull = false

    init(_ filter: TransactionFilter, _ stretches: [AccountMoves.Stretch]) {
        self.filter = filter
        self.stretches = stretches
        limit = min(max(1, filter.limit), StoreLimits.pageRowsMax)
        skip = max(0, filter.offset)
    }

    var wantsUsage: Bool {
        if filter.source != nil { return false }
        return filter.types.isEmpty
            || UsageState.allCases.contains { filter.types.contains($0.transactionType) }
    }

    var wantsCredits: Bool {
        if filter.provider != nil || filter.model != nil { return false }
        return filter.types.isEmpty
            || !filter.types.isSubset(of: UsageState.allCases.map(\.transactionType))
    }

    var result: TransactionPage { TransactionPage(rows: rows, next: isFull ? rows.last?.id : nil) }

    /// Reads the row behind an account key and takes it if it passes. True when the page is full.
    mutating func offer(
        _ keyed: KeyedRow, _ usage: inout Statement, _ credit: inout Statement
    ) throws(StoreError) -> Bool {
        if keyed.isCredit {
            guard wantsCredits else { return false }
            defer { credit.reset() }
            return offer((keyed.id, try HistoryReader.credit(&credit, keyed.id)))
        }
        guard wantsUsage else { return false }
        defer { usage.reset() }
        return offer((keyed.id, try HistoryReader.usage(&usage, keyed.id)))
    }

    // Accounts and requests may share a hash, so a row that a key led to is compared like any other.

    mutating func offer(_ found: (id: Int64, row: HistoryUsage)) -> Bool {
        let row = found.row
        guard isOf(found.id, row.account, row.wallet), filter.source == nil,
            filter.provider.matches(row.provider),
            filter.model.matches(row.model), filter.reference.matches(row.requestID)
        else { return false }
        return take(row.figures.recordedAt, row.figures.state.transactionType) {
            .usage(UsageRow(id: found.id, row))
        }
    }

    mutating func offer(_ found: (id: Int64, row: HistoryCredit)) -> Bool {
        let row = found.row
        guard isOf(found.id, row.account, row.wallet), filter.provider == nil, filter.model == nil,
            filter.source.matches(row.source),
            filter.reference.matches(row.reference) || filter.reference.matches(row.idempotencyKey)
        else { return false }
        return take(row.recordedAt, row.kind.text) { .credit(CreditRow(id: found.id, row)) }
    }

    private func isOf(_ id: Int64, _ account: ByteView, _ wallet: ByteView) -> Bool {
        guard filter.account != nil else { return true }
        return stretches.contains { stretch in
            stretch.ids.contains(id) && stretch.path.withView { account == $0 || wallet == $0 }
        }
    }

    /// Takes a row that passes. True when one more was found than the page holds.
    private mutating func take(_ recordedAt: Int64, _ type: String, _ row: () -> TransactionRow) -> Bool {
        guard recordedAt >= filter.since ?? .min, recordedAt < filter.until ?? .max,
            filter.types.isEmpty ? !filter.typesLeftOut.contains(type) : filter.types.contains(type)
        else { return false }
        guard skip == 0 else {
            skip -= 1
            return false
        }
        guard rows.count < limit else {
            isFull = true
            return true
        }
        rows.append(row())
        return false
    }
}

extension String? {
    /// Whether a text is the one that is asked for, if one is.
    fileprivate func matches(_ text: ByteView) -> Bool { map { $0.withView { $0 == text } } ?? true }
}

extension [UInt8]? {
    fileprivate func matches(_ text: ByteView) -> Bool { map { $0.withView { $0 == text } } ?? true }
}
