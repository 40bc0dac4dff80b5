// One shard: its accounts, their grants and allowances, its remembered ids, and what it has staged for
// the journal. All of it is under one lock, so a charge over any scopes of one organisation is one step.
//
// `decide…` functions (Shard+Reports, Shard+Credits) read the state and fix the whole outcome as an
// entry; `apply…` functions (Shard+Apply) change the state by an entry and cannot fail. Live traffic does
// both under the lock and stages the entry's bytes; recovery only applies.

import Bytes
import CPlatform
import Pricing

/// An account's row: two cache lines, the second half of which is the grant that burns first, so that a
/// charge touches nothing else of its account. Amounts are in nanocredits.
struct AccountRow: BitwiseCopyable {
    static let none: UInt32 = .max
    static let inheritedTier: UInt16 = .max

    var hash: Hash128
    /// Where the path stands in the shard's path bytes.
    var pathOffset: UInt32
    /// The nearest account upward that exists.
    var parent: UInt32
    /// The head of a linked list.
    var firstAllowance = AccountRow.none
    /// The number of the tier in `ShardState.tiers`.
    var tier: UInt16
    var pathCount: UInt8
    /// Two bits of status, and a bit for each thing that is true or not.
    private var flags: UInt8
    /// What only few accounts have: a row of `ShardState.sides`.
    var side = AccountRow.none
    /// The head of the wallet's list of open holds.
    var firstHold = AccountRow.none
    /// Unspent grants less debt: negative is debt.
    var balance: Int64 = 0
    var overdraftLimit: Int64 = 0
    /// The sum of the open holds: moved only where a hold is opened, changed or ended, and never written down.
    var held: Int64 = 0
    /// Sums since the account was opened: granted - charged = balance, less what a side row adds.
    var charged: Int64 = 0
    var granted: Int64 = 0
    /// The earliest expiry among the grants.
    var nextExpiry = Timestamp.distantFuture
    /// The grant that burns first, and through `next` the others.
    var firstGrant = GrantRow.none

    /// An active account without a wallet.
    init(hash: Hash128, pathOffset: UInt32, pathCount: UInt8, tier: UInt16, parent: UInt32) {
        self.hash = hash
        self.pathOffset = pathOffset
        self.pathCount = pathCount
        self.tier = tier
        self.parent = parent
        flags = AccountStatus.active.rawValue
    }

    private static let statusBits: UInt8 = 0b11

    var status: AccountStatus {
        @inline(__always) get {
            guard let status = AccountStatus(rawValue: flags & Self.statusBits) else {
                preconditionFailure("two bits that no status has")
            }
            return status
        }
        set { flags = flags & ~Self.statusBits | newValue.rawValue }
    }
    var ownsWallet: Bool {
        @inline(__always) get { has(1 << 2) }
        set { set(1 << 2, newValue) }
    }
    var unlimited: Bool {
        @inline(__always) get { has(1 << 3) }
        set { set(1 << 3, newValue) }
    }
    var isDirty: Bool {
        @inline(__always) get { has(1 << 4) }
        set { set(1 << 4, newValue) }
    }
    /// Some of its grants pay only for what their filter names.
    var hasFilters: Bool {
        @inline(__always) get { has(1 << 5) }
        set { set(1 << 5, newValue) }
    }

    @inline(__always)
    private func has(_ flag: UInt8) -> Bool { flags & flag != 0 }

    @inline(__always)
    private mutating func set(_ flag: UInt8, _ value: Bool) {
        if value { flags |= flag } else { flags &= ~flag }
    }
}

/// An unspent grant, in its wallet's list: in burn order, then by expiry, then by age.
struct GrantRow: BitwiseCopyable {
    /// The sequence of the entry that made it, above 0.
    var id: UInt64
    var remaining: Int64
    var amount: Int64
    var expiresAt: Timestamp
    var next: UInt32
    var burnOrder: UInt16
    var kind: GrantKind
    /// It pays only for what its filter names; see `GrantFilter`.
    var hasFilter = false

    /// The place of a grant where there is none.
    static let none = GrantRow(
        id: 0, remaining: 0, amount: 0, expiresAt: .distantFuture, next: AccountRow.none, burnOrder: 0,
        kind: .adjustment)

    var isNone: Bool { id == 0 }

    /// Whether this grant burns before `other`.
    func burns(before other: GrantRow) -> Bool {
        (burnOrder, expiresAt, id) < (other.burnOrder, other.expiresAt, other.id)
    }
}

/// What a wallet has used of a rule's free allowance in a month.
struct AllowanceRow: BitwiseCopyable {
    var used: Int64
    var rule: UInt32
    var month: CalendarMonth
    var next: UInt32
}

/// Sums over all accounts of a shard, in nanocredits:
/// `granted = balances + charged + expired + voided + deducted`.
public struct ShardTotals: Hashable, Sendable {
    public var accounts = 0
    public var granted: Int128 = 0
    public var charged: Int128 = 0
    public var expired: Int128 = 0
    /// Taken back with the grants that were voided.
    public var voided: Int128 = 0
    /// Taken by hand.
    public var deducted: Int128 = 0
    public var balances: Int128 = 0
    /// Open holds, and what they keep.
    public var holds = 0
    public var held: Int128 = 0

    public init() {}

    public static func += (left: inout ShardTotals, right: ShardTotals) {
        left.accounts += right.accounts
        left.granted += right.granted
        left.charged += right.charged
        left.expired += right.expired
        left.voided += right.voided
        left.deducted += right.deducted
        left.balances += right.balances
        left.holds += right.holds
        left.held += right.held
    }

    public var balance: Bool { granted == balances + charged + expired + voided + deducted }

    /// The equation, each sum as `text` says it.
    public func equation(_ text: (Int128) -> String = { "\($0)" }) -> String {
        "granted \(text(granted)) = balances \(text(balances)) + charged \(text(charged)) + expired"
            + " \(text(expired)) + voided \(text(voided)) + deducted \(text(deducted))"
    }
}

/// The state that a shard's lock guards.
struct ShardState: ~Copyable, Sendable {
    /// Else each function that only reads would be lent a copy.
    private let byAddress = LentByAddress()
    // What a charge needs comes first, see `ShardTable.prefetch`.
    let number: Int
    var accounts = Slab<AccountRow>()
    var index = AccountIndex()
    var ids: IdempotencyTable
    /// The sequence of the newest entry, and its time; times never go back.
    var sequence: UInt64 = 0
    var time = Timestamp.distantPast
    /// A record with an event time up to this may be an id that has left `ids`: only history knows.
    var horizon = Timestamp.distantPast
    /// History holds every outcome up to this sequence.
    var historySequence: UInt64 = 0
    /// How many ids are remembered whatever the other shards do.
    let idsShare: Int
    /// Entries that the journal has not taken yet, and how many they are.
    var staged = BytePacker(capacity: 4096)
    var stagedCount = 0
    /// The last cycle that took anything.
    var takenCycle: UInt64 = 0
    /// The draws of the charge being decided, packed; reused.
    var drawn = BytePacker(capacity: 64)
    /// Accounts changed since the last checkpoint took them.
    var dirty: [UInt32] = []
    /// The tiers that accounts of this shard are in.
    var tiers = TierNames()
    var totals = ShardTotals()
    /// What only few accounts have. What a charge needs where there are budgets ends with the line that begins here.
    var sides = Slab<SideRow>()
    /// How many budgets there are, and how many of them ask for a provider or a model.
    var budgetCount: UInt32 = 0
    var filteredBudgets: UInt32 = 0
    /// There are `crossedBudgets`.
    var hasCrossedBudgets = false
    /// Some account has had another above it: what is said there applies to it.
    var hasLevels = false
    /// The open holds. What they need stands together, see `ShardTable.prefetchHolds`.
    var holds = HoldTable()
    /// What a hold is for; reused.
    var useBytes = BytePacker(capacity: 512)
    /// Open holds over all shards, and those of this one whose lease has ended since the process began.
    let openHolds: OpenHoldCount
    var expiredHolds = 0
    /// Those of them that charged their orphan, and what they charged.
    var orphanedHolds = 0
    var orphanCharges: Int128 = 0
    /// The record of an orphan's charge; reused.
    var orphanContent = BytePacker(capacity: 512)
    /// How far the walk for expired grants has come.
    var sweep = GrantSweep()
    /// The sequence of the newest entry that replay has read; 0 before replay.
    var replayed: UInt64 = 0
    /// The grants of wallets that have more than one, without the first of each.
    var grants = Slab<GrantRow>()
    var freeGrant = AccountRow.none
    var allowances = Slab<AllowanceRow>()
    /// Charges that were refunded, and where the row of each stands.
    var refunds = Slab<RefundRow>()
    var refundIndex: [UInt64: UInt32] = [:]
    /// The packed filters of grants that have one, by the grant's number.
    var filters: [UInt64: [UInt8]] = [:]
    /// The budgets of accounts that have more than one, without the first of each; what else is known of all by number,
    /// and the last number given.
    var budgets = Slab<BudgetRow>()
    var freeBudget = AccountRow.none
    var budgetDetails: [UInt32: BudgetDetails] = [:]
    var lastBudget: UInt32 = 0
    /// Budgets that the charge being applied took above their limit; what is live writes them down.
    var crossedBudgets: [(account: UInt32, budget: BudgetRow)] = []
    /// What all shards remember together.
    let room: IDRoom
    /// Makes the hashes of names.
    let keys: KeyMaker
    var paths = BytePacker(capacity: 1024)
    var missingParents = MissingParents()
    /// The names that moved accounts had before, and the record of a call under one of them; reused.
    var formerNames = FormerNames()
    var renamed = BytePacker(capacity: 64)

    init(number: Int, room: IDRoom, keys: KeyMaker, openHolds: OpenHoldCount) {
        self.number = number
        self.openHolds = openHolds
        self.keys = keys
        self.room = room
        idsShare = room.share
        ids = IdempotencyTable(room)
    }

    /// The account with this hash, if it exists.
    @inline(__always)
    func find(_ hash: Hash128) -> UInt32? {
        index.find(hash) { accounts[$0].hash == hash }
    }

    func path(of number: UInt32) -> ByteView {
        let start = Int(accounts[number].pathOffset)
        return paths.view[start..<start + Int(accounts[number].pathCount)]
    }

    /// The name of a tier, empty for the inherited one; valid until a tier is added.
    @inline(__always)
    func tier(_ number: UInt16) -> ByteView { tiers[number] }

    /// What applies to an account: found on itself or on the nearest account upward that has it.
    struct Standing {
        var wallet: UInt32?
        var tier: UInt16
        /// The worst status on the way up.
        var status: AccountStatus
    }

    /// O(depth), at most 8 rows.
    @inline(__always)
    func standing(of account: UInt32) -> Standing {
        var standing = Standing(wallet: nil, tier: AccountRow.inheritedTier, status: .active)
        var current = account
        while current != AccountRow.none {
            let row = unsafe accounts.address(of: current)
            if standing.wallet == nil, unsafe row.pointee.ownsWallet { standing.wallet = current }
            if standing.tier == AccountRow.inheritedTier { standing.tier = unsafe row.pointee.tier }
            if unsafe row.pointee.status.rawValue > standing.status.rawValue {
                standing.status = unsafe row.pointee.status
            }
            current = unsafe row.pointee.parent
        }
        return standing
    }

    mutating func markDirty(_ account: UInt32) {
        if accounts[account].isDirty { return }
        accounts[account].isDirty = true
        dirty.append(account)
    }

    /// Notes that an entry was staged.
    mutating func didStage() { stagedCount += 1 }

    /// The time of the entry to be decided now.
    func entryTime(_ now: Timestamp) -> Timestamp { max(now, time) }
}
