// From ledger entries to rows of the history.

import Bytes
import Ledger
import Money
import Pricing
import Store
import StrictJSON

/// The transaction types of the history's credit rows; words of the billing guide where it has one.
public enum TransactionKind {
    public static let allocated = "allocated"
    public static let expired = "expired"
    public static let accountOpened = "account_opened"
    public static let accountChanged = "account_changed"
    public static let accountMoved = "account_moved"
    /// Taken by hand. What usage costs is `deducted`.
    public static let deduction = "manual_deduction"
    public static let refunded = "refunded"
    public static let voided = "voided"
    /// Written down; it moves nothing.
    public static let noted = "noted"
    /// Taken back, or forgiven, when an account was closed.
    public static let forfeited = "forfeited"
    public static let transferredOut = "transferred_out"
    public static let transferredIn = "transferred_in"

    /// Every type that a credit row may have.
    public static let all = [
        allocated, refunded, deduction, voided, expired, forfeited, transferredOut, transferredIn, noted,
        holdOpened, holdChanged, holdVoided, holdExpired, accountOpened, accountChanged, accountMoved,
        budgetSet, budgetRemoved, budgetExceeded,
    ]
    /// Those that move credit, and have a balance before and after. The others leave it as it is, and do not look at it.
    public static let moving = Set(all.filter { AuditedEntry.sum(ofKind: $0) != nil })
    public static let holdOpened = "hold_opened"
    public static let holdChanged = "hold_extended"
    public static let holdVoided = "hold_voided"
    public static let holdExpired = "hold_expired"
    /// What became of holds. They move no credit, and there are as many as requests.
    public static let holds: Set = [holdOpened, holdChanged, holdVoided, holdExpired]
    public static let budgetSet = "budget_set"
    public static let budgetRemoved = "budget_removed"
    public static let budgetExceeded = "budget_exceeded"
}

/// Turns entries into rows, in the order of the journal. Keeps what names need, so it is used again.
struct HistoryRows: ~Copyable {
    /// A flag of an outcome that released a hold.
    static let settlesHold: UInt32 = 4
    /// A flag of an outcome that named a hold whose lease was over. Flags 16 and 32 are the store's.
    static let holdExpired: UInt32 = 8

    var details = BytePacker(capacity: 512)
    private var extra = BytePacker(capacity: 256)
    var watch: ThresholdWatch
    /// Which of an entry's events comes next.
    var part: UInt8 = 0

    init(thresholds: [Int]) { watch = ThresholdWatch(thresholds: thresholds) }

    /// Adds the rows of a chunk whose first entry has `firstLSN`. Returns the last sequence in it.
    mutating func add(
        _ chunk: ByteView, firstLSN: UInt64, to writer: inout HistoryWriter
    ) throws -> (shard: Int, lastSequence: UInt64, count: Int) {
        var reader = try ChunkReader(chunk)
        let shard = reader.head.shard
        var lsn = firstLSN
        while true {
            let sequence = reader.nextSequence
            guard let (time, entry) = try reader.next() else {
                return (shard, sequence - 1, reader.head.count)
            }
            let place = Place(lsn: lsn, shard: UInt16(shard), sequence: sequence, time: time.microseconds)
            switch entry {
            case .charged(let charge):
                try add(charge, place, state: charge.state == .parked ? .parked : .charged, to: &writer)
            case .granted(let grant): try add(grant, place, to: &writer)
            case .grantEnded(let ended): try add(ended, place, to: &writer)
            case .accountOpened(let opened): try add(opened, place, to: &writer)
            case .accountChanged(let changed): try add(changed, place, to: &writer)
            case .parkedSettled(let end): try add(end.charge, place, end: end, state: .settled, to: &writer)
            case .parkedDiscarded(let end):
                try add(end.charge, place, end: end, state: .discarded, to: &writer)
            case .deducted(let deducted): try add(deducted, place, to: &writer)
            case .noted(let noted): try add(noted, place, to: &writer)
            case .held(let hold): try add(hold, place, to: &writer)
            case .holdEnded(let end): try add(end, place, to: &writer)
            case .holdChanged(let change): try add(change, place, to: &writer)
            case .holdOrphaned(let orphaned):
                try add(
                    orphaned.charge, place, orphanedBy: orphaned.policy, state: .charged, to: &writer)
            case .budgetSet(let budget): try add(budget, place, to: &writer)
            case .budgetCrossed(let crossed): try add(crossed, place, to: &writer)
            case .accountMoved(let moved): try add(moved, place, to: &writer)
            }
            try addEvents(of: entry, place, to: &writer)
            lsn += 1
        }
    }

    /// Where an entry stands.
    struct Place {
        var lsn: UInt64
        var shard: UInt16
        var sequence: UInt64
        var time: Int64
    }

    private mutating func add(
        _ entry: ChargeEntry, _ place: Place, end: ParkedEndEntry? = nil,
        orphanedBy policy: OrphanPolicy? = nil, state: UsageState, to writer: inout HistoryWriter
    ) throws {
        let record = try RecordContent.read(entry.content)
        var row = HistoryUsage()
        row.figures.lsn = place.lsn
        row.figures.shard = place.shard
        row.figures.sequence = place.sequence
        row.figures.recordedAt = place.time
        row.figures.eventTime = record.eventTime.microseconds
        row.figures.idKey = entry.key
        row.figures.digest = entry.digest
        row.figures.state = state
        row.figures.credentialSource = record.credentialSource?.rawValue ?? 0
        row.figures.counts = UsageCounts(record.usage)
        row.figures.baseCostPicodollars = entry.baseCost
        row.figures.fee = entry.fee
        row.figures.charge = entry.charge
        row.figures.allowanceUsed = entry.allowanceUsed
        row.figures.balanceAfter = entry.balanceAfter
        row.figures.ruleNumber = entry.ruleNumber
        row.figures.ruleVersion = entry.ruleVersion
        row.figures.catalogueVersion = entry.catalogueVersion
        row.figures.flags =
            (entry.standardTierUsed ? 1 : 0) | (record.quoteToken.isEmpty ? 0 : 2)
            | (entry.hold == nil ? 0 : Self.settlesHold) | (entry.holdExpired ? Self.holdExpired : 0)
            | (policy == nil ? 0 : UsageFigures.isOrphan)
            | (entry.orphan == nil ? 0 : UsageFigures.correctsOrphan)
        row.account = record.account
        row.requestID = record.requestID
        row.provider = record.provider
        row.model = record.model
        row.serviceTier = record.serviceTier
        row.content = entry.content
        if let reason = entry.parkedReason {
            row.parkedReason = unsafe ByteView(reason.name.utf8Start, count: reason.name.utf8CodeUnitCount)
        }
        row.tier = entry.tier
        if entry.wallet != entry.account { row.wallet = record.account[0..<entry.walletPathCount] }
        extra.clear()
        OutcomeDetails.append(entry, end: end, orphanedBy: policy, to: &extra)
        row.extra = extra.view
        row.holdKey = entry.hold ?? entry.orphan?.hold
        row.settles = end?.parkedSequence ?? 0
        if entry.hold != nil { row.valuedAt = entry.holdReleased }
        try writer.add(row)
    }

    private mutating func add(_ entry: GrantEntry, _ place: Place, to writer: inout HistoryWriter) throws {
        var row = credit(place)
        row.amount = entry.amount
        row.balanceAfter = entry.balanceAfter
        row.source = entry.source
        row.idempotencyKey = entry.idempotencyKey
        row.expiresAt = entry.expiresAt == .distantFuture ? nil : entry.expiresAt.microseconds
        row.grantID = place.sequence
        var kind = TransactionKind.allocated
        var object = GrantDetails.object(kind: entry.kind, digest: entry.digest)
        GrantDetails.add(actor: entry.actor, reason: entry.reason, to: &object)
        if !entry.filter.isEmpty { object["filter"] = .object(try GrantDetails.object(filter: entry.filter)) }
        if let charge = entry.refundOf {
            kind = TransactionKind.refunded
            GrantDetails.add(charge, to: &object)
            row.reference = charge.requestID
        }
        if !entry.transferredFrom.isEmpty {
            kind = TransactionKind.transferredIn
            object["from"] = .string(entry.transferredFrom.text)
        }
        setDetails(object, metadata: entry.metadata)
        try write(row, account: entry.path, kind: kind, to: &writer)
    }

    private mutating func add(_ entry: GrantEndedEntry, _ place: Place, to writer: inout HistoryWriter) throws
    {
        var row = credit(place)
        row.amount = -entry.amount
        row.balanceAfter = entry.balanceAfter
        row.grantID = entry.grant
        guard entry.cause == .voided else {
            details.clear()
            return try write(row, account: entry.path, kind: TransactionKind.expired, to: &writer)
        }
        row.idempotencyKey = entry.act.idempotencyKey
        setDetails(GrantDetails.object(entry.act), metadata: entry.act.metadata)
        try write(row, account: entry.path, kind: TransactionKind.voided, to: &writer)
    }

    private mutating func add(
        _ entry: AccountOpenedEntry, _ place: Place, to writer: inout HistoryWriter
    ) throws {
        setDetails(["tier": .string(entry.tier.text)])
        try write(credit(place), account: entry.path, kind: TransactionKind.accountOpened, to: &writer)
    }

    private mutating func add(
        _ entry: AccountChangedEntry, _ place: Place, to writer: inout HistoryWriter
    ) throws {
        setDetails([
            "tier": .string(entry.tier.text), "status": .string(entry.status.name),
            "reason": .string(entry.reason.text),
        ])
        try write(credit(place), account: entry.path, kind: TransactionKind.accountChanged, to: &writer)
    }

    /// The row has the path of now; the transactions of the account lead from there to those of before.
    private mutating func add(
        _ entry: AccountMovedEntry, _ place: Place, to writer: inout HistoryWriter
    ) throws {
        var object = GrantDetails.object(entry.act)
        object["from"] = .string(entry.from.text)
        object["to"] = .string(entry.to.text)
        object["accounts"] = .integer(entry.count)
        setDetails(object, metadata: entry.act.metadata)
        watch.forget()
        var row = credit(place)
        row.account = entry.to
        row.details = details.view
        row.idempotencyKey = entry.act.idempotencyKey
        try TransactionKind.accountMoved.withView { (kind) throws(StoreError) in
            row.kind = kind
            try writer.add(row, movedFrom: entry.from)
        }
    }

    // Holds move no credit: their rows have an amount of zero, and what they keep in the details.

    private mutating func add(_ entry: HoldOpenedEntry, _ place: Place, to writer: inout HistoryWriter) throws
    {
        setHoldDetails(
            entry.id, amount: entry.amount, expiresAt: entry.expiresAt,
            orphan: entry.orphan == .release ? nil : (entry.orphan, entry.orphanCharge))
        let row = credit(place, wallet: entry.path[0..<entry.walletPathCount])
        try write(row, account: entry.path, kind: TransactionKind.holdOpened, to: &writer)
    }

    private mutating func add(_ entry: HoldChangedEntry, _ place: Place, to writer: inout HistoryWriter)
        throws
    {
        setHoldDetails(entry.id, amount: entry.amount, expiresAt: entry.expiresAt)
        let row = credit(place, wallet: entry.path[0..<(entry.walletPathCount ?? entry.path.count)])
        try write(row, account: entry.path, kind: TransactionKind.holdChanged, to: &writer)
    }

    private mutating func add(_ entry: HoldEndedEntry, _ place: Place, to writer: inout HistoryWriter) throws
    {
        setHoldDetails(entry.id, amount: entry.amount, reason: entry.reason)
        var row = credit(place, wallet: entry.path[0..<(entry.walletPathCount ?? entry.path.count)])
        row.holdKey = entry.key
        try write(
            row, account: entry.path,
            kind: entry.state == .voided ? TransactionKind.holdVoided : TransactionKind.holdExpired,
            to: &writer)
    }

    private mutating func add(_ entry: BudgetSetEntry, _ place: Place, to writer: inout HistoryWriter) throws
    {
        var object: JSONObject = ["budget": .string(entry.name.text)]
        if !entry.isRemoved {
            object["window"] = .string(entry.window.name)
            if entry.window == .anchoredMonth { object["anchor_day"] = .integer(entry.anchorDay) }
            object["metric"] = .string(entry.metric.name)
            object["limit"] =
                entry.metric == .cost ? .string(Nanocredits(entry.limit).text) : .integer(entry.limit)
            object["hard"] = .bool(entry.isHard)
            if !entry.provider.isEmpty { object["provider"] = .string(entry.provider.text) }
            if !entry.model.isEmpty { object["model"] = .string(entry.model.text) }
        }
        GrantDetails.add(actor: entry.actor, reason: entry.reason, to: &object)
        setDetails(object)
        try write(
            credit(place), account: entry.path,
            kind: entry.isRemoved ? TransactionKind.budgetRemoved : TransactionKind.budgetSet, to: &writer)
    }

    private mutating func add(
        _ entry: BudgetCrossedEntry, _ place: Place, to writer: inout HistoryWriter
    ) throws {
        setDetails(["budget": .string(entry.name.text)])
        try write(credit(place), account: entry.path, kind: TransactionKind.budgetExceeded, to: &writer)
    }

    private mutating func setHoldDetails(
        _ id: ByteView, amount: Int64, expiresAt: Timestamp? = nil, reason: ByteView = ByteView(),
        orphan: (policy: OrphanPolicy, charge: Int64)? = nil
    ) {
        var object: JSONObject = ["hold_id": .string(id.text), "held": .string(Nanocredits(amount).text)]
        if let expiresAt { object["expires_at"] = .string(expiresAt.text) }
        if !reason.isEmpty { object["reason"] = .string(reason.text) }
        if let orphan {
            object["orphan_policy"] = .string(orphan.policy.name)
            object["orphan_charge"] = .string(Nanocredits(orphan.charge).text)
        }
        setDetails(object)
    }

    /// What a row about a hold says that it keeps, in nanocredits; 0 where that cannot be read.
    static func held(in details: String) -> Int64 {
        do throws(JSONError) {
            return try JSONNode(parsing: Array(details.utf8), bytesMax: 1 << 20).field("held").credits().count
        } catch {
            return 0
        }
    }

    /// The details of a row: an object with the administrator's metadata in it, as it was given.
    mutating func setDetails(_ object: JSONObject, metadata: ByteView = ByteView()) {
        var text = JSONValue.object(object).bytes()
        if !metadata.isEmpty {
            text.removeLast()
            text += Array(",\"metadata\":".utf8) + Array(metadata) + [UInt8(ascii: "}")]
        }
        details.clear()
        text.withView { details.append(bytes: $0) }
    }

    func credit(_ place: Place, wallet: ByteView = ByteView()) -> HistoryCredit {
        var row = HistoryCredit()
        row.wallet = wallet
        row.lsn = place.lsn
        row.shard = place.shard
        row.sequence = place.sequence
        row.recordedAt = place.time
        return row
    }

    func write(
        _ row: HistoryCredit, account: ByteView, kind: String, to writer: inout HistoryWriter
    ) throws(StoreError) {
        var row = row
        row.details = details.view
        row.account = account
        try kind.withView { (kind) throws(StoreError) in
            row.kind = kind
            try writer.add(row)
        }
    }
}

extension UsageCounts {
    init(_ usage: Usage) {
        self.init()
        inputTokens = usage.inputTokens
        outputTokens = usage.outputTokens
        cacheReadTokens = usage.cacheReadTokens
        cacheWrite5mTokens = usage.cacheWrite5mTokens
        cacheWrite1hTokens = usage.cacheWrite1hTokens
        inputAudioTokens = usage.inputAudioTokens
        inputImageTokens = usage.inputImageTokens
        reasoningTokens = usage.reasoningTokens
        outputAudioTokens = usage.outputAudioTokens
        outputImageTokens = usage.outputImageTokens
        images = usage.images
        webSearches = usage.webSearches
        seconds = usage.seconds
        pages = usage.pages
        characters = usage.characters
        requests = usage.requests
    }
}
