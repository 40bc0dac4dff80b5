// What the ledger writes down: one entry for each change, complete, so that the balance is the fold of
// the entries and nothing ever needs to be decided twice.
//
//      +--------+---------+-----------------------------------------------+
//      | length | kind    | fields, packed (see Packing in Bytes)         |
//      +--------+---------+-----------------------------------------------+
//        packed   1 byte    the length counts kind and fields
//
// A shard's entries come in chunks, one chunk for each journal cycle that found any:
//
//      +--------+----------------+--------+----------------+
//      | shard  | first sequence | count  | entries ...    |     packed, packed, packed
//      +--------+----------------+--------+----------------+

import Bytes
import Money
import Pricing

/// What credit was granted for. Kinds burn in the order of their default burn order.
public enum GrantKind: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
    case monthly = 1
    case promo = 2
    case bonus = 3
    case purchased = 4
    case refund = 5
    case adjustment = 6

    /// Lower burns first.
    public var defaultBurnOrder: UInt16 {
        switch self {
        case .monthly: 10
        case .promo: 20
        case .bonus: 30
        case .refund: 35
        case .purchased: 40
        case .adjustment: 40
        }
    }

    public var name: String {
        switch self {
        case .monthly: "monthly"
        case .promo: "promo"
        case .bonus: "bonus"
        case .purchased: "purchased"
        case .refund: "refund"
        case .adjustment: "adjustment"
        }
    }
}

public enum AccountStatus: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
    case active = 0
    case suspended = 1
    case closed = 2

    public var name: String {
        switch self {
        case .active: "active"
        case .suspended: "suspended"
        case .closed: "closed"
        }
    }
}

/// Credit drawn from one grant.
public struct Draw: Hashable, Sendable, BitwiseCopyable {
    /// The sequence of the entry that made the grant.
    public var grant: UInt64
    /// Nanocredits, above zero.
    public var amount: Int64
}

/// The draws of a charge as its entry keeps them: grant and amount of each, packed, in burn order. Borrowed
/// like the rest of an entry, so that passing them on costs nothing.
public struct PackedDraws: Sendable {
    public private(set) var count = 0
    private(set) var bytes = ByteView()
    /// The first of them, as a value: mostly the only one.
    private var first = Draw(grant: 0, amount: 0)

    public init() {}

    /// `bytes` were read as `count` draws before.
    init(count: Int, bytes: ByteView) {
        self.count = count
        self.bytes = bytes
        if count == 0 { return }
        var fields = ByteUnpacker(bytes)
        first = fields.checkedDraw()
    }

    /// `bytes` are `count` draws, one at least, and begin with `first`.
    init(count: Int, bytes: ByteView, first: Draw) {
        self.count = count
        self.bytes = bytes
        self.first = first
    }

    /// Calls `body` with each draw, in burn order.
    @inline(__always)
    func forEach<Failure: Error>(_ body: (Draw) throws(Failure) -> Void) throws(Failure) {
        if count == 0 { return }
        if count == 1 { return try body(first) }
        var fields = ByteUnpacker(bytes)
        for _ in 0..<count { try body(fields.checkedDraw()) }
    }

    /// A copy that outlives the entry.
    public var draws: [Draw] {
        var draws: [Draw] = []
        draws.reserveCapacity(count)
        forEach { draws.append($0) }
        return draws
    }
}

/// A report's outcome: charged, or parked with a charge of zero.
public struct ChargeEntry: Sendable {
    public var state = ReceiptState.charged
    public var standardTierUsed = false
    public var parkedReason: Reason?
    public var account: UInt32 = 0
    public var wallet: UInt32 = 0
    public var key = Hash128(low: 0, high: 0)
    public var digest: UInt64 = 0
    /// Picodollars.
    public var baseCost: Int64 = 0
    /// Nanocredits: what is owed, before the allowance. `charge = fee - allowanceUsed`, less an orphan's charge.
    public var fee: Int64 = 0
    public var allowanceUsed: Int64 = 0
    /// The month whose allowance was used.
    public var month = CalendarMonth(count: 0)
    public var ruleNumber: UInt32 = 0
    public var ruleVersion: UInt32 = 0
    public var catalogueVersion: UInt32 = 0
    /// The wallet's balance after this entry, in nanocredits.
    public var balanceAfter: Int64 = 0
    /// The tier that the account was in.
    public var tier = ByteView()
    /// The wallet is the account itself or above it: its path is the account's first so many bytes.
    public var walletPathCount = 0
    /// The key of the hold that this released, and what it had kept; nil without.
    public var hold: Hash128?
    public var holdReleased: Int64 = 0
    /// The record named a hold whose lease was over.
    public var holdExpired = false
    /// What the end of that lease had charged; nil where it charged nothing.
    public var orphan: OrphanLink?
    /// What each grant paid.
    public var draws = PackedDraws()
    /// The record in its canonical form; see `RecordContent`.
    public var content = ByteView()

    public init() {}

    /// What the wallet pays now: what is owed, less what the orphan of its hold was charged before.
    public var charge: Int64 {
        guard let orphan else { return fee - allowanceUsed }
        return max(0, fee - allowanceUsed - orphan.charge)
    }

    /// What the orphan was charged beyond what is owed: the entry that follows gives it back, and the two are never
    /// parted. Of what is parked nothing is owed yet, and nothing comes back.
    public var givenBack: Int64 {
        guard let orphan, state == .charged else { return 0 }
        return max(0, orphan.charge - (fee - allowanceUsed))
    }
}

/// Credit given.
public struct GrantEntry: Sendable {
    public var wallet: UInt32 = 0
    /// The wallet's path.
    public var path = ByteView()
    public var kind = GrantKind.purchased
    public var burnOrder: UInt16 = 0
    /// Nanocredits, above zero.
    public var amount: Int64 = 0
    /// What of it repaid debt; the rest remains to be drawn.
    public var debtRepaid: Int64 = 0
    public var expiresAt = Timestamp.distantFuture
    /// The keyed hash of the idempotency key, and the digest of the act; nil when made without.
    public var key: Hash128?
    public var digest: UInt64 = 0
    public var balanceAfter: Int64 = 0
    /// Free text: where the credit comes from, and JSON metadata; the idempotency key as given.
    public var source = ByteView()
    public var metadata = ByteView()
    public var idempotencyKey = ByteView()
    /// Who gave it and why, for people.
    public var actor = ByteView()
    public var reason = ByteView()
    /// What it may pay for, packed as in GrantFilter; empty for anything.
    public var filter = ByteView()
    /// The charge that a refund reverses.
    public var refundOf: ChargeLink?
    /// For what the credit came from another account: that account's path.
    public var transferredFrom = ByteView()
    /// What the entry before, a late report, cost less than its hold's orphan was charged.
    public var isGivenBack = false

    public init() {}
}

/// An unspent grant, or what is left of it, taken away.
public struct GrantEndedEntry: Sendable {
    public enum Cause: UInt8, Hashable, Sendable {
        case expired = 1
        /// An administrator took it back: the act says who and why.
        case voided = 2
    }
    public var wallet: UInt32 = 0
    /// The wallet's path.
    public var path = ByteView()
    public var grant: UInt64 = 0
    public var amount: Int64 = 0
    public var cause = Cause.expired
    public var balanceAfter: Int64 = 0
    public var act = ActDetails()
}

/// An account made, with what it owns.
public struct AccountOpenedEntry: Sendable {
    public var account: UInt32 = 0
    public var path = ByteView()
    public var ownsWallet = false
    public var unlimited = false
    public var overdraftLimit: Int64 = 0
    /// Lower-case; empty when the tier is inherited.
    public var tier = ByteView()

    public init() {}
}

/// An account's settings, as they are from now on.
public struct AccountChangedEntry: Sendable {
    public var account: UInt32 = 0
    public var path = ByteView()
    public var status = AccountStatus.active
    public var unlimited = false
    public var overdraftLimit: Int64 = 0
    public var tier = ByteView()
    /// Why, for a person.
    public var reason = ByteView()

    public init() {}
}

/// The end of a parked record: charged after all, or given up.
public struct ParkedEndEntry: Sendable {
    /// The entry that parked it.
    public var parkedSequence: UInt64 = 0
    /// The counts were replaced by an administrator's.
    public var isCorrected = false
    /// Why, and who, for people.
    public var reason = ByteView()
    public var actor = ByteView()
    /// What it came to, under the key and digest of the first report; `content` is the record that was
    /// charged. For one that was given up, the parked outcome once more.
    public var charge = ChargeEntry()

    public init() {}
}

/// One change of a shard's state. Views point into the chunk it was read from.
public enum Entry: Sendable {
    case charged(ChargeEntry)
    case granted(GrantEntry)
    case grantEnded(GrantEndedEntry)
    case accountOpened(AccountOpenedEntry)
    case accountChanged(AccountChangedEntry)
    case parkedSettled(ParkedEndEntry)
    case parkedDiscarded(ParkedEndEntry)
    case deducted(DeductEntry)
    case noted(NotedEntry)
    case held(HoldOpenedEntry)
    case holdEnded(HoldEndedEntry)
    case holdChanged(HoldChangedEntry)
    case holdOrphaned(OrphanedEntry)
    case budgetSet(BudgetSetEntry)
    case budgetCrossed(BudgetCrossedEntry)
    case accountMoved(AccountMovedEntry)
}

/// The first byte of an entry's fields.
enum EntryKind: UInt8 {
    case charged = 1
    case granted = 2
    case grantEnded = 3
    case accountOpened = 4
    case accountChanged = 5
    case parkedSettled = 6
    case parkedDiscarded = 7
    case deducted = 16
    /// A grant with more than the first version knew; see Entry+Acts.
    case grantedByAct = 17
    case grantVoided = 18
    case noted = 19
    /// A grant whose credit the entry before took from another account: the two are never parted.
    case transferredIn = 20
    /// A grant of what the charge before corrects: the two are never parted.
    case givenBack = 25
    case held = 8
    case holdEnded = 9
    case holdChanged = 10
    case budgetSet = 11
    case budgetCrossed = 12
    case holdOrphaned = 24
    case accountMoved = 28

    /// Whether it belongs to the entry before it, so that no chunk begins with it.
    var belongsToTheOneBefore: Bool { self == .transferredIn || self == .givenBack }
}

/// Why an entry cannot be read: a newer version wrote it, or the ledger has a bug; damage on disk is
/// found by the journal before the bytes come here.
public enum EntryError: Error, Hashable, Sendable {
    case truncated(atByte: Int)
    case unknownKind(UInt8, atByte: Int)
    case badField(kind: UInt8, atByte: Int)
    /// The chunk does not continue the shard: entries are missing or come twice.
    case outOfSequence(shard: Int, expected: UInt64, found: UInt64)
    case unknownAccount(shard: Int, number: UInt32, sequence: UInt64)
    case contradiction(shard: Int, sequence: UInt64, what: String)
}

/// The head of a chunk of one shard's entries.
public struct ChunkHead: Hashable, Sendable {
    public var shard: Int
    public var firstSequence: UInt64
    public var count: Int
}
