// What is asked of accounts and credit, and what is answered: plain values that outlive the call.

import Bytes
import Pricing

/// How an account is opened. Amounts are in nanocredits.
public struct AccountSettings: Hashable, Sendable {
    /// The account pays for itself and for accounts below it that own no wallet.
    public var ownsWallet: Bool
    /// Metered, and never refused for lack of credit.
    public var unlimited: Bool
    /// How far below zero holds and guarded reports may take the balance; never negative.
    public var overdraftLimit: Int64
    /// The tier's code; nil inherits it from the nearest account upward that has one.
    public var tier: [UInt8]?
    public var status: AccountStatus

    /// The figure of an `accountExists` that refuses a path because it is a former name, or lies below one.
    public static let isFormerName: Int64 = 1

    public init(
        ownsWallet: Bool = true, unlimited: Bool = false, overdraftLimit: Int64 = 0, tier: [UInt8]? = nil,
        status: AccountStatus = .active
    ) {
        self.ownsWallet = ownsWallet
        self.unlimited = unlimited
        self.overdraftLimit = overdraftLimit
        self.tier = tier
        self.status = status
    }
}

/// What is to be different about an account; nil keeps what it is.
public struct AccountChange: Hashable, Sendable {
    public var status: AccountStatus?
    /// Of the wallet that the account owns.
    public var unlimited: Bool?
    /// Of the wallet that the account owns, in nanocredits; never negative.
    public var overdraftLimit: Int64?
    /// `.some(nil)` inherits from the nearest account upward that has a tier.
    public var tier: [UInt8]??

    public init(
        status: AccountStatus? = nil, unlimited: Bool? = nil, overdraftLimit: Int64? = nil,
        tier: [UInt8]?? = nil
    ) {
        self.status = status
        self.unlimited = unlimited
        self.overdraftLimit = overdraftLimit
        self.tier = tier
    }
}

/// Credit to be given.
public struct GrantRequest: Sendable {
    public var kind: GrantKind
    /// Nanocredits, above zero.
    public var amount: Int64
    public var expiresAt: Timestamp
    public var source: [UInt8]
    /// JSON, kept as given.
    public var metadata: [UInt8]
    /// Asking again with the same key and the same content gives nothing twice.
    public var idempotencyKey: [UInt8]?
    /// What it may pay for.
    public var filter = GrantFilter()
    /// Who gives it and why, for people.
    public var actor: [UInt8] = []
    public var reason: [UInt8] = []

    public init(
        kind: GrantKind, amount: Int64, expiresAt: Timestamp = .distantFuture, source: [UInt8] = [],
        metadata: [UInt8] = [], idempotencyKey: [UInt8]? = nil
    ) {
        self.kind = kind
        self.amount = amount
        self.expiresAt = expiresAt
        self.source = source
        self.metadata = metadata
        self.idempotencyKey = idempotencyKey
    }
}

/// What an act came to.
public struct ActReceipt: Hashable, Sendable {
    public var sequence: UInt64
    public var duplicate: Bool
    /// The wallet's balance now, in nanocredits.
    public var balance: Int64
    /// The same before the act; for one that was done before, `balance`.
    public var balanceBefore: Int64
    /// What the act added to the balance, now or when it was done.
    public var moved: Int64

    init(sequence: UInt64, duplicate: Bool, balance: Int64, balanceBefore: Int64? = nil, moved: Int64 = 0) {
        self.sequence = sequence
        self.duplicate = duplicate
        self.balance = balance
        self.balanceBefore = balanceBefore ?? balance
        self.moved = moved
    }
}

/// The answer to an administrator's act.
public enum ActAnswer: Hashable, Sendable {
    case done(ActReceipt)
    case refused(Refusal)
    /// Only history knows whether the act's key was used before.
    case askHistory
}

/// What an account may spend now, and what it has. Amounts are in nanocredits.
public struct AccountSummary: Hashable, Sendable {
    public var path: [UInt8]
    public var wallet: [UInt8]
    public var tier: [UInt8]
    public var status: AccountStatus
    public var unlimited: Bool
    public var balance: Int64
    public var held: Int64
    public var overdraftLimit: Int64
    /// `balance - held + overdraftLimit`, at most `Int64.max`.
    public var available: Int64
    /// Sums since the wallet was opened.
    public var granted: Int64
    public var charged: Int64
    public var expired: Int64
    public var voided: Int64
    public var deducted: Int64
    /// Unspent, by kind of grant.
    public var remaining: [GrantKind: Int64]
    /// When the next grant expires.
    public var nextExpiry: Timestamp
    public var sequence: UInt64
}
