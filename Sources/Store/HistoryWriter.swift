// Appending to the history: no allocation per row beyond three keys.

import Bytes
import GRDB

/// Takes rows in journal order, within one transaction.
///
/// Rows that the history already holds, by their LSN, are skipped, so that a stretch of the journal
/// may be handed over again after a crash.
@safe
public struct HistoryWriter: ~Copyable {
    /// The position that the rows so far lead to.
    private(set) var position: HistoryPosition
    /// Rows that were added and not skipped.
    public private(set) var rowCount = 0

    private let database: Database
    private let start: HistoryPosition
    private let hashKey: HashKey
    private let rowsMax: Int
    private var usage: Statement
    private var credit: Statement
    private var parked: Statement
    private var parkedEnd: Statement
    var outbox: OutboxStatements
    /// The counts that are bound now: most are zero in most rows, and need not be bound again.
    private var boundCounts: UsageCounts?
    private(set) var keys = KeyBatch()
    private(set) var rollups: RollupBatch
    /// An account was moved: the numbers of rollups that were known before may be those of other names.
    private(set) var hasMoves = false
    private(set) var recordedMin = Int64.max
    private(set) var recordedMax = Int64.min

    init(
        _ database: Database, _ position: HistoryPosition, _ hashKey: HashKey, rowsMax: Int
    ) throws(StoreError) {
        let usage = try Statement(cached: database, .history, Self.insertUsage)
        let credit = try Statement(cached: database, .history, Self.insertCredit)
        let parked = try Statement(cached: database, .history, OpenParked.insert)
        let parkedEnd = try Statement(cached: database, .history, OpenParked.delete)
        let outbox = try OutboxStatements(database)
        self.database = database
        self.position = position
        start = position
        self.hashKey = hashKey
        rollups = RollupBatch(hashKey)
        self.rowsMax = rowsMax
        self.usage = usage
        self.credit = credit
        self.parked = parked
        self.parkedEnd = parkedEnd
        self.outbox = outbox
    }

    private static let insertUsage = insert("usage_rows", HistorySchema.usageColumns.count)
    private static let insertCredit = insert("credit_rows", HistorySchema.creditColumns.count)

    private static func insert(_ table: String, _ columnCount: Int) -> String {
        "INSERT INTO \(table) VALUES (" + Array(repeating: "?", count: columnCount).joined(separator: ", ")
            + ")"
    }

    /// Entries up to this were covered before.
    var startLSN: UInt64 { start.lsn }

    /// Whether the transaction has as many rows as one may have; the rest goes into the next.
    public var isFull: Bool { rowCount >= rowsMax }

    /// Adds one outcome; does nothing if its LSN was covered before. The views are read before this
    /// returns. O(1), whatever the history's size.
    ///
    /// - Throws: as SQLite says; the closure it happened in must let the error through.
    public mutating func add(_ row: HistoryUsage) throws(StoreError) {
        let figures = row.figures
        guard figures.lsn > start.lsn else { return }
        precondition(!isFull)
        let id = position.nextID
        let ownWallet = row.wallet.isEmpty || row.wallet == row.account
        var checked = row
        if ownWallet { checked.wallet = ByteView() }

        usage.bind(id, at: 1)
        usage.bind(Int64(bitPattern: figures.lsn), at: 2)
        usage.bind(Int64(figures.shard), at: 3)
        usage.bind(Int64(bitPattern: figures.sequence), at: 4)
        usage.bind(figures.recordedAt, at: 5)
        usage.bind(figures.eventTime, at: 6)
        usage.bind(text: row.account, at: 7)
        usage.bind(optionalText: checked.wallet, at: 8)
        usage.bind(textOrBlob: row.requestID, at: 9)
        usage.bind(Int64(bitPattern: figures.idKey.low), at: 10)
        usage.bind(Int64(bitPattern: figures.idKey.high), at: 11)
        usage.bind(Int64(bitPattern: figures.digest), at: 12)
        usage.bind(Int64(figures.state.rawValue), at: 13)
        usage.bind(optionalText: row.parkedReason, at: 14)
        usage.bind(Int64(figures.credentialSource), at: 15)
        usage.bind(text: row.provider, at: 16)
        usage.bind(text: row.model, at: 17)
        usage.bind(optionalText: row.serviceTier, at: 18)
        usage.bind(optionalText: row.tier, at: 19)
        bind(figures.counts, from: 20)
        usage.bind(figures.baseCostPicodollars, at: 36)
        usage.bind(figures.fee, at: 37)
        usage.bind(figures.charge, at: 38)
        usage.bind(figures.allowanceUsed, at: 39)
        usage.bind(figures.balanceAfter, at: 40)
        usage.bind(Int64(figures.ruleNumber), at: 41)
        usage.bind(Int64(figures.ruleVersion), at: 42)
        usage.bind(Int64(figures.catalogueVersion), at: 43)
        usage.bind(Int64(figures.flags), at: 44)
        usage.bind(Int64(checked.check(id: id)), at: 45)
        usage.bind(blob: row.content, at: 46)
        usage.bind(blob: row.extra, at: 47)
        HoldEnds.bind(row.holdKey, to: &usage, at: 48)
        try usage.run()
        if figures.state != .charged { try noteParked(row, id: id) }
        rollups.add(
            RollupName(
                account: row.account, provider: row.provider, model: row.model,
                credentialSource: figures.credentialSource), figures)

        let keyed = KeyedRow(id: id, isCredit: false)
        keys.add(.outcome, Key.hash(figures.idKey.low), keyed)
        // The charge of an orphan has its hold's key itself.
        if let hold = row.holdKey, hold != figures.idKey { keys.add(.outcome, Key.hash(hold.low), keyed) }
        keys.add(.request, Key.hash(row.requestID, hashKey), keyed)
        keys.add(
            account: Key.hash(row.account, hashKey), wallet: ownWallet ? nil : Key.hash(row.wallet, hashKey),
            keyed)
        position.usageCount += 1
        position.chargeSum += Int128(figures.charge)
        let shard = Int(figures.shard)
        position.eventTimeMax[shard] = max(position.eventTimeMax[shard], figures.eventTime)
        finish(figures.lsn, figures.recordedAt)
    }

    /// Keeps the list of open parked outcomes: a parked one enters it, its end takes it out.
    private mutating func noteParked(_ row: HistoryUsage, id: Int64) throws(StoreError) {
        switch row.figures.state {
        case .charged: break
        case .parked:
            parked.bind(id, at: 1)
            parked.bind(Int64(row.figures.shard), at: 2)
            parked.bind(Int64(bitPattern: row.figures.sequence), at: 3)
            parked.bind(text: row.parkedReason, at: 4)
            parked.bind(row.valuedAt, at: 5)
            try parked.run()
        case .settled, .discarded:
            parkedEnd.bind(Int64(row.figures.shard), at: 1)
            parkedEnd.bind(Int64(bitPattern: row.settles), at: 2)
            try parkedEnd.run()
        }
    }

    /// Adds one act on credits; does nothing if its LSN was covered before.
    public mutating func add(_ row: HistoryCredit) throws(StoreError) {
        guard row.lsn > start.lsn else { return }
        precondition(!isFull)
        let id = position.nextID
        var row = row
        if row.wallet == row.account { row.wallet = ByteView() }
        credit.bind(id, at: 1)
        credit.bind(Int64(bitPattern: row.lsn), at: 2)
        credit.bind(Int64(row.shard), at: 3)
        credit.bind(Int64(bitPattern: row.sequence), at: 4)
        credit.bind(row.recordedAt, at: 5)
        credit.bind(text: row.account, at: 6)
        credit.bind(text: row.kind, at: 7)
        credit.bind(row.amount, at: 8)
        credit.bind(row.balanceAfter, at: 9)
        credit.bind(text: row.source, at: 10)
        credit.bind(text: row.details, at: 11)
        credit.bind(textOrBlob: row.idempotencyKey, at: 12)
        if let expiresAt = row.expiresAt { credit.bind(expiresAt, at: 13) } else { credit.bindNull(at: 13) }
        if let grantID = row.grantID {
            credit.bind(Int64(bitPattern: grantID), at: 14)
        } else {
            credit.bindNull(at: 14)
        }
        credit.bind(Int64(row.check(id: id)), at: 15)
        credit.bind(textOrBlob: row.reference, at: 16)
        HoldEnds.bind(row.holdKey, to: &credit, at: 17)
        credit.bind(optionalText: row.wallet, at: 19)
        try credit.run()
        let keyed = KeyedRow(id: id, isCredit: true)
        if let hold = row.holdKey { keys.add(.outcome, Key.hash(hold.low), keyed) }
        keys.add(
            account: Key.hash(row.account, hashKey),
            wallet: row.wallet.isEmpty ? nil : Key.hash(row.wallet, hashKey), keyed)
        if !row.idempotencyKey.isEmpty { keys.add(.request, Key.hash(row.idempotencyKey, hashKey), keyed) }
        if !row.reference.isEmpty { keys.add(.request, Key.hash(row.reference, hashKey), keyed) }
        position.creditCount += 1
        finish(row.lsn, row.recordedAt)
    }

    /// Adds the move of an account, whose row goes with it; does nothing if its LSN was covered before. The rows
    /// behind it name the account by its path of now.
    public mutating func add(_ row: HistoryCredit, movedFrom from: ByteView) throws(StoreError) {
        guard isNew(lsn: row.lsn) else { return }
        // What was added up so far is under the names of before.
        _ = try rollups.write(database, known: RollupNumbers())
        rollups.clear()
        try AccountMoves.note(database, id: position.nextID, lsn: row.lsn, from: from, to: row.account)
        hasMoves = true
        try add(row)
    }

    /// Raises the position to `lsn`: entries without a row are covered too.
    mutating func cover(_ lsn: UInt64) { position.lsn = max(position.lsn, lsn) }

    private mutating func finish(_ lsn: UInt64, _ recordedAt: Int64) {
        recordedMin = min(recordedMin, recordedAt)
        recordedMax = max(recordedMax, recordedAt)
        position.nextID += 1
        rowCount += 1
        cover(lsn)
    }

    @inline(__always)
    private mutating func bind(_ counts: UsageCounts, from first: CInt) {
        let bound = boundCounts
        boundCounts = counts
        bind(counts.inputTokens, bound?.inputTokens, first)
        bind(counts.outputTokens, bound?.outputTokens, first + 1)
        bind(counts.cacheReadTokens, bound?.cacheReadTokens, first + 2)
        bind(counts.cacheWrite5mTokens, bound?.cacheWrite5mTokens, first + 3)
        bind(counts.cacheWrite1hTokens, bound?.cacheWrite1hTokens, first + 4)
        bind(counts.inputAudioTokens, bound?.inputAudioTokens, first + 5)
        bind(counts.inputImageTokens, bound?.inputImageTokens, first + 6)
        bind(counts.reasoningTokens, bound?.reasoningTokens, first + 7)
        bind(counts.outputAudioTokens, bound?.outputAudioTokens, first + 8)
        bind(counts.outputImageTokens, bound?.outputImageTokens, first + 9)
        bind(counts.images, bound?.images, first + 10)
        bind(counts.webSearches, bound?.webSearches, first + 11)
        bind(counts.seconds, bound?.seconds, first + 12)
        bind(counts.pages, bound?.pages, first + 13)
        bind(counts.characters, bound?.characters, first + 14)
        bind(counts.requests, bound?.requests, first + 15)
    }

    @inline(__always)
    private mutating func bind(_ value: Int64, _ bound: Int64?, _ index: CInt) {
        if value != bound { usage.bind(value, at: index) }
    }
}
