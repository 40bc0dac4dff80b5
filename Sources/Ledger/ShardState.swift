// One shard: its accounts, their grants and allowances, its remembered ids, and what it has staged for
// the journal. All of it is under one lock, so a charge over any scopes of one organisation is one step.
//
// `decide…` functions (Shard+Reports, Shard+Credits) read the state and fix the whole outcome as an
// entry; `apply…` functions (Shard+Apply) change the state by an entry and cannot fail. Live traffic does
// both under the lock and stages the entry's bytes; recovery only applies.

import Bytes
import CPlatform
import Pricing

/// An account's row. Amounts are in nanocredits.
struct AccountRow: BitwiseCopyable {
    static let none: UInt32 = .max
    static let inheritedTier: UInt16 = .max

    var hash: Hash128
    /// Where the path stands in the shard's path bytes.
    var pathOffset: UInt32
    var pathCount: UInt8
    var status: AccountStatus
    var ownsWallet: Bool
    var unlimited: Bool
    /// The number of the tier in `ShardState.tiers`.
    var tier: UInt16
    var isDirty: Bool
    /// The nearest account upward that exists.
    var parent: UInt32
    /// The heads of linked lists.
    var firstGrant: UInt32
    var firstAllowance: UInt32
    /// Unspent grants less debt: negative is debt.
    var balance: Int64
    var overdraftLimit: Int64
    /// Sums since the account was opened: granted - charged - expired = balance.
    var granted: Int64
    var charged: Int64
    var expired: Int64
    /// The earliest expiry among the grants.
    var nextExpiry: Timestamp
}

/// An unspent grant, in its wallet's list: in burn order, then by expiry, then by age.
struct GrantRow: BitwiseCopyable {
    var id: UInt64
    var remaining: Int64
    var amount: Int64
    var expiresAt: Timestamp
    var next: UInt32
    var burnOrder: UInt16
    var kind: GrantKind
}

/// What a wallet has used of a rule's free allowance in a month.
struct AllowanceRow: BitwiseCopyable {
    var used: Int64
    var rule: UInt32
    var month: CalendarMonth
    var next: UInt32
}

/// Sums over all accounts of a shard, in nanocredits: `granted = balances + charged + expired`.
public struct ShardTotals: Hashable, Sendable {
    public var accounts = 0
    public var granted: Int128 = 0
    public var charged: Int128 = 0
    public var expired: Int128 = 0
    public var balances: Int128 = 0

    public init() {}

    public static func += (left: inout ShardTotals, right: ShardTotals) {
        left.accounts += right.accounts
        left.granted += right.granted
        left.charged += right.charged
        left.expired += right.expired
        left.balances += right.balances
    }

    public var balance: Bool { granted == balances + charged + expired }
}

/// The state that a shard's lock guards.
struct ShardState: ~Copyable, Sendable {
    let number: Int
    var accounts = Slab<AccountRow>()
    var index = AccountIndex()
    var grants = Slab<GrantRow>()
    var freeGrant = AccountRow.none
    var allowances = Slab<AllowanceRow>()
    var ids = IdempotencyTable()
    var paths = BytePacker(capacity: 1024)
    var missingParents = MissingParents()
    /// The tiers that accounts of this shard are in, by number.
    var tiers: [[UInt8]] = []
    var totals = ShardTotals()

    /// The sequence of the newest entry, and its time; times never go back.
    var sequence: UInt64 = 0
    var time = Timestamp.distantPast

    /// Entries that the journal has not taken yet, and how many they are.
    var staged = BytePacker(capacity: 4096)
    var stagedCount = 0
    /// The last cycle that took anything.
    var takenCycle: UInt64 = 0

    /// Accounts changed since the last checkpoint took them.
    var dirty: [UInt32] = []

    /// A record with an event time up to this may be an id that has left `ids`: only history knows.
    var horizon = Timestamp.distantPast
    /// History holds every outcome up to this sequence.
    var historySequence: UInt64 = 0
    /// The sequence of the newest entry that replay has read; 0 before replay.
    var replayed: UInt64 = 0
    /// How many ids to remember.
    var idsMax: Int

    /// Draws of the entry being decided or applied, reused.
    var draws: [Draw] = []

    init(number: Int, idsMax: Int) {
        self.number = number
        self.idsMax = min(max(idsMax, 1), IdempotencyTable.rowsMax / 2)
        draws.reserveCapacity(16)
    }

    /// The account with this hash, if it exists.
    @inline(__always)
    func find(_ hash: Hash128) -> UInt32? {
        index.find(hash) { accounts[$0].hash == hash }
    }

    /// Asks for the row that the index names first for a hash; it need not be the right one.
    @inline(__always)
    func prefetchAccount(_ hash: Hash128) {
        guard let number = index.find(hash, matches: { _ in true }) else { return }
        let row = unsafe UnsafeRawPointer(accounts.address(of: number))
        unsafe tollgate_prefetch(row)
        unsafe tollgate_prefetch(row + 64)
    }

    @inline(__always)
    func prefetchGrant(_ hash: Hash128) {
        guard let number = index.find(hash, matches: { _ in true }) else { return }
        let grant = accounts[number].firstGrant
        if grant != AccountRow.none { unsafe tollgate_prefetch(UnsafeRawPointer(grants.address(of: grant))) }
    }

    func path(of number: UInt32) -> ByteView {
        let start = Int(accounts[number].pathOffset)
        return paths.view[start..<start + Int(accounts[number].pathCount)]
    }

    func tier(_ number: UInt16) -> [UInt8] {
        number == AccountRow.inheritedTier ? [] : tiers[Int(number)]
    }

    mutating func tierNumber(_ name: ByteView) -> UInt16 {
        if name.isEmpty { return AccountRow.inheritedTier }
        let bytes = Array(name)
        if let known = tiers.firstIndex(of: bytes) { return UInt16(known) }
        tiers.append(bytes)
        return UInt16(tiers.count - 1)
    }

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
