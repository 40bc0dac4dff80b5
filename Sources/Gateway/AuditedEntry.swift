// An entry as an auditor sees it: what it moves, and what it says came of that. The journal's entry and the
// history's row of it are read into the same words by code of their own, so that the two can be compared.

import Bytes
import Ledger
import Store
import StrictJSON

/// Where an entry stands, for people who look for it.
public struct EntryPlace: Hashable, Sendable {
    /// Its place in the journal, from 1.
    public var lsn: UInt64
    /// Its place in its shard's ledger, from 1.
    public var shard: Int
    public var sequence: UInt64
    /// What it is, as statements call it: `deducted`, `allocated`, `hold_opened`, …
    public var kind: String
    public var account: String
    /// The segment file that has it; nil when the journal no longer does.
    public var segment: String?
    /// The row of the history that has it; nil when the history does not yet.
    public var row: Int64?

    /// In one line: `LSN 12 (deducted, acme, row 12 of the history)`.
    public var text: String {
        var parts = [kind, account]
        if let segment { parts.append(segment) }
        if let row { parts.append("row \(row) of the history") }
        return "LSN \(lsn) (\(parts.joined(separator: ", ")))"
    }
}

/// What an entry did to a hold.
struct HoldStep: Equatable {
    enum Change: Equatable { case opened, changed, ended }
    var id: [UInt8]
    var change: Change
    /// Nanocredits that it keeps from now on or, at its end, kept until now; nil where that was let go.
    var amount: Int64?
}

/// What an entry says of a request.
struct OutcomeFacts: Equatable {
    var state: UsageState
    var key: Hash128
    var digest: UInt64
    var requestID: [UInt8]
    var provider: String
    var model: String
    var tokens: Int64
    var fee: Int64
    var allowanceUsed: Int64
    /// Of what this settles or discards.
    var parkedSequence: UInt64?
    /// The charge of a hold whose report did not come: its key is the hold's.
    var isOrphan = false
    /// The charge of such a hold that a late report corrects.
    var corrects: OrphanLink?

    /// Whether it is the first outcome of a request id.
    var isOfRequest: Bool { (state == .charged || state == .parked) && !isOrphan }
}

/// What an entry says of an account that is moved.
struct MoveFacts: Equatable {
    var from: [UInt8]
    var to: [UInt8]
}

/// An entry in an auditor's words.
struct AuditedEntry: Equatable {
    var lsn: UInt64
    var shard: Int
    var sequence: UInt64
    /// Microseconds since 1970.
    var time: Int64
    var kind = ""
    var account: [UInt8] = []
    /// The account whose balance it moves.
    var wallet: [UInt8] = []
    /// What it adds to the balance, in nanocredits.
    var amount: Int64 = 0
    /// The balance that it says it left; nil where it moves none.
    var balanceAfter: Int64?
    var hold: HoldStep?
    var outcome: OutcomeFacts?
    var move: MoveFacts?

    /// The sum that an entry of a kind is part of.
    enum Class { case granted, charged, expired, voided, deducted }

    var sum: Class? { outcome == nil ? Self.sum(ofKind: kind) : .charged }

    /// The sum that acts of a kind are part of; nil where they move no credit.
    static func sum(ofKind kind: String) -> Class? {
        switch kind {
        case TransactionKind.allocated, TransactionKind.refunded, TransactionKind.transferredIn: .granted
        case TransactionKind.expired: .expired
        case TransactionKind.voided: .voided
        case TransactionKind.deduction, TransactionKind.forfeited, TransactionKind.transferredOut: .deducted
        default: nil
        }
    }

    func place(segment: String?, row: Int64?) -> EntryPlace {
        EntryPlace(
            lsn: lsn, shard: shard, sequence: sequence, kind: kind,
            account: String(decoding: account, as: UTF8.self), segment: segment, row: row)
    }

    /// The first thing that another account of the same entry says otherwise, in words; nil if they agree.
    /// What the history has let go of is not compared.
    func difference(from other: AuditedEntry) -> (what: String, mine: String, other: String)? {
        var other = other
        var mine = self
        if mine.hold?.amount == nil || other.hold?.amount == nil {
            mine.hold?.amount = nil
            other.hold?.amount = nil
        }
        if mine == other { return nil }
        let fields: [(String, KeyPath<AuditedEntry, String>)] = [
            ("its kind", \.kind), ("its account", \.accountText), ("its wallet", \.walletText),
            ("its shard and sequence", \.sequenceText), ("its time", \.timeText),
            ("its amount in nanocredits", \.amountText),
            ("its balance afterwards in nanocredits", \.balanceText),
            ("its hold", \.holdText), ("its outcome", \.outcomeText), ("its move", \.moveText),
        ]
        for (name, path) in fields where mine[keyPath: path] != other[keyPath: path] {
            return (name, mine[keyPath: path], other[keyPath: path])
        }
        return ("its LSN", "\(lsn)", "\(other.lsn)")
    }

    private var accountText: String { String(decoding: account, as: UTF8.self) }
    private var walletText: String { String(decoding: wallet, as: UTF8.self) }
    private var sequenceText: String { "\(shard), \(sequence)" }
    private var timeText: String { "\(time)" }
    private var amountText: String { "\(amount)" }
    private var balanceText: String { balanceAfter.map { "\($0)" } ?? "none" }
    private var holdText: String {
        guard let hold else { return "none" }
        return
            "\(String(decoding: hold.id, as: UTF8.self)) \(hold.change) \(hold.amount.map { "\($0)" } ?? "")"
    }
    private var moveText: String {
        guard let move else { return "none" }
        return "\(String(decoding: move.from, as: UTF8.self)) to \(String(decoding: move.to, as: UTF8.self))"
    }
    private var outcomeText: String {
        guard let outcome else { return "none" }
        return
            "\(outcome.state) \(String(decoding: outcome.requestID, as: UTF8.self)), key \(outcome.key.high)"
            + " \(outcome.key.low), digest \(outcome.digest), \(outcome.provider) \(outcome.model),"
            + " \(outcome.tokens) tokens, fee \(outcome.fee), allowance \(outcome.allowanceUsed)"
            + (outcome.parkedSequence.map { ", of entry \($0)" } ?? "")
            + (outcome.isOrphan ? ", an orphan" : "")
            + (outcome.corrects.map { ", corrects entry \($0.sequence)" } ?? "")
    }
}

extension AuditedEntry {
    /// From a row of the history.
    init(_ row: TransactionRow) throws {
        switch row {
        case .usage(let row): try self.init(row)
        case .credit(let row): try self.init(row)
        }
    }

    private init(_ row: UsageRow) throws {
        let figures = row.figures
        self.init(
            lsn: figures.lsn, shard: Int(figures.shard), sequence: figures.sequence, time: figures.recordedAt)
        kind = figures.state.transactionType
        account = Array(row.account.utf8)
        wallet = Array(row.wallet.utf8)
        amount = -figures.charge
        balanceAfter = figures.balanceAfter
        let details = try row.extra.withView { try OutcomeDetails(reading: $0) }
        let isEnd = figures.state == .settled || figures.state == .discarded
        outcome = OutcomeFacts(
            state: figures.state, key: figures.idKey, digest: figures.digest, requestID: row.requestID,
            provider: row.provider, model: row.model,
            tokens: figures.counts.inputTokens + figures.counts.outputTokens, fee: figures.fee,
            allowanceUsed: figures.allowanceUsed,
            parkedSequence: isEnd ? details.end?.parkedSequence ?? 0 : nil,
            isOrphan: figures.flags & UsageFigures.isOrphan != 0, corrects: details.orphan)
        if figures.flags & HistoryRows.settlesHold != 0 {
            let id = try row.content.withView { Array(try RecordContent.read($0).holdID) }
            hold = HoldStep(id: id, change: .ended, amount: details.holdReleased)
        }
    }

    private init(_ row: CreditRow) throws {
        self.init(lsn: row.lsn, shard: Int(row.shard), sequence: row.sequence, time: row.recordedAt)
        kind = row.kind
        account = Array(row.account.utf8)
        wallet = account
        amount = row.amount
        if sum != nil { balanceAfter = row.balanceAfter }
        if row.kind == TransactionKind.accountMoved {
            let details = try JSONNode(parsing: Array(row.details.utf8), bytesMax: 1 << 20)
            move = MoveFacts(
                from: Array(try details.field("from").string().utf8),
                to: Array(try details.field("to").string().utf8))
        }
        let change: HoldStep.Change
        switch row.kind {
        case TransactionKind.holdOpened: change = .opened
        case TransactionKind.holdChanged: change = .changed
        case TransactionKind.holdVoided, TransactionKind.holdExpired: change = .ended
        default: return
        }
        let details = try JSONNode(parsing: Array(row.details.utf8), bytesMax: 1 << 20)
        hold = HoldStep(
            id: Array(try details.field("hold_id").string().utf8), change: change,
            amount: try details.field("held").credits().count)
    }

    /// From an entry of the journal.
    init(_ entry: Entry, lsn: UInt64, shard: Int, sequence: UInt64, time: Int64) throws {
        self.init(lsn: lsn, shard: shard, sequence: sequence, time: time)
        switch entry {
        case .charged(let charge): try take(charge, state: charge.state == .parked ? .parked : .charged)
        case .parkedSettled(let end): try take(end.charge, state: .settled, of: end.parkedSequence)
        case .parkedDiscarded(let end): try take(end.charge, state: .discarded, of: end.parkedSequence)
        case .holdOrphaned(let orphaned): try take(orphaned.charge, state: .charged, isOrphan: true)
        case .granted(let grant):
            take(
                grant.transferredFrom.isEmpty
                    ? grant.refundOf == nil ? TransactionKind.allocated : TransactionKind.refunded
                    : TransactionKind.transferredIn, grant.path, grant.amount, grant.balanceAfter)
        case .grantEnded(let ended):
            take(
                ended.cause == .voided ? TransactionKind.voided : TransactionKind.expired, ended.path,
                -ended.amount, ended.balanceAfter)
        case .deducted(let deducted):
            let kind =
                switch deducted.cause {
                case .manual: TransactionKind.deduction
                case .forfeited: TransactionKind.forfeited
                case .transferred: TransactionKind.transferredOut
                }
            take(kind, deducted.path, -deducted.amount, deducted.balanceAfter)
        case .accountOpened(let opened): take(TransactionKind.accountOpened, opened.path)
        case .accountChanged(let changed): take(TransactionKind.accountChanged, changed.path)
        case .accountMoved(let moved):
            take(TransactionKind.accountMoved, moved.to)
            move = MoveFacts(from: Array(moved.from), to: Array(moved.to))
        case .noted(let noted): take(TransactionKind.noted, noted.path)
        case .held(let opened):
            take(TransactionKind.holdOpened, opened.path)
            hold = HoldStep(id: Array(opened.id), change: .opened, amount: opened.amount)
        case .holdChanged(let changed):
            take(TransactionKind.holdChanged, changed.path)
            hold = HoldStep(id: Array(changed.id), change: .changed, amount: changed.amount)
        case .holdEnded(let ended):
            take(
                ended.state == .voided ? TransactionKind.holdVoided : TransactionKind.holdExpired, ended.path)
            hold = HoldStep(id: Array(ended.id), change: .ended, amount: ended.amount)
        case .budgetSet(let budget):
            take(budget.isRemoved ? TransactionKind.budgetRemoved : TransactionKind.budgetSet, budget.path)
        case .budgetCrossed(let crossed): take(TransactionKind.budgetExceeded, crossed.path)
        }
    }

    private init(lsn: UInt64, shard: Int, sequence: UInt64, time: Int64) {
        self.lsn = lsn
        self.shard = shard
        self.sequence = sequence
        self.time = time
    }

    private mutating func take(
        _ kind: String, _ path: ByteView, _ amount: Int64 = 0, _ balanceAfter: Int64? = nil
    ) {
        self.kind = kind
        account = Array(path)
        wallet = account
        self.amount = amount
        self.balanceAfter = balanceAfter
    }

    private mutating func take(
        _ charge: ChargeEntry, state: UsageState, of parkedSequence: UInt64? = nil, isOrphan: Bool = false
    ) throws {
        let record = try RecordContent.read(charge.content)
        kind = state.transactionType
        account = Array(record.account)
        wallet = account
        if charge.wallet != charge.account {
            guard charge.walletPathCount <= record.account.count else {
                throw Difference("a charge of \(record.account.text) names a wallet below it")
            }
            wallet = Array(record.account[0..<charge.walletPathCount])
        }
        amount = -charge.charge
        balanceAfter = charge.balanceAfter
        outcome = OutcomeFacts(
            state: state, key: charge.key, digest: charge.digest, requestID: Array(record.requestID),
            provider: record.provider.text, model: record.model.text,
            tokens: record.usage.inputTokens + record.usage.outputTokens, fee: charge.fee,
            allowanceUsed: charge.allowanceUsed, parkedSequence: parkedSequence, isOrphan: isOrphan,
            corrects: charge.orphan)
        if charge.hold != nil {
            hold = HoldStep(id: Array(record.holdID), change: .ended, amount: charge.holdReleased)
        }
    }
}
