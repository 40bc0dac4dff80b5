// What the history keeps: one row for each outcome of a report, one for each act on credits.

import Bytes

/// The counts of one request; zero where the record had none. They mirror the usage record's fields.
public struct UsageCounts: Hashable, Sendable {
    public var inputTokens: Int64 = 0
    public var outputTokens: Int64 = 0
    public var cacheReadTokens: Int64 = 0
    public var cacheWrite5mTokens: Int64 = 0
    public var cacheWrite1hTokens: Int64 = 0
    public var inputAudioTokens: Int64 = 0
    public var inputImageTokens: Int64 = 0
    public var reasoningTokens: Int64 = 0
    public var outputAudioTokens: Int64 = 0
    public var outputImageTokens: Int64 = 0
    public var images: Int64 = 0
    public var webSearches: Int64 = 0
    public var seconds: Int64 = 0
    public var pages: Int64 = 0
    public var characters: Int64 = 0
    public var requests: Int64 = 0

    @inlinable
    public init() {}
}

/// What became of a report.
public enum UsageState: UInt8, Hashable, Sendable, CaseIterable {
    case charged = 1
    case parked = 2
    /// A parked outcome that was charged after all: a row of its own, behind the parked one.
    case settled = 3
    /// A parked outcome that was given up.
    case discarded = 4

    /// The transaction type that people see.
    public var transactionType: String {
        switch self {
        case .charged: "deducted"
        case .parked: "parked"
        case .settled: "settled"
        case .discarded: "discarded"
        }
    }
}

/// The numbers of one outcome. Amounts are in nanocredits unless they say otherwise; times are in
/// microseconds since 1970.
public struct UsageFigures: Hashable, Sendable {
    /// The journal entry that holds the outcome.
    public var lsn: UInt64 = 0
    public var shard: UInt16 = 0
    /// The position in the shard's ledger.
    public var sequence: UInt64 = 0
    public var recordedAt: Int64 = 0
    public var eventTime: Int64 = 0
    /// The keyed hash of the request's idempotency key, as the ledger computes it.
    public var idKey = Hash128(low: 0, high: 0)
    /// The digest of the request's content.
    public var digest: UInt64 = 0
    public var state = UsageState.charged
    /// Who paid the provider: 0 unknown, 1 platform, 2 `byokSource`.
    public var credentialSource: UInt8 = 0
    /// The provider was paid with the customer's own key.
    static let byokSource: UInt8 = 2
    public var counts = UsageCounts()
    public var baseCostPicodollars: Int64 = 0
    /// What the rule asked for before the allowance paid its part.
    public var fee: Int64 = 0
    public var charge: Int64 = 0
    public var allowanceUsed: Int64 = 0
    /// Of the wallet, after the charge.
    public var balanceAfter: Int64 = 0
    public var ruleNumber: UInt32 = 0
    public var ruleVersion: UInt32 = 0
    public var catalogueVersion: UInt32 = 0
    /// The ledger's own marks, but for those that `UsageFigures` names.
    public var flags: UInt32 = 0

    @inlinable
    public init() {}
}

/// One outcome on its way into the history. The views are borrowed until `HistoryWriter.add` returns.
public struct HistoryUsage: Sendable {
    public var figures = UsageFigures()
    public var account = ByteView()
    /// The account that owns the wallet; empty when it is the account itself.
    public var wallet = ByteView()
    /// 1 to 128 bytes, of any kind.
    public var requestID = ByteView()
    /// Empty unless parked.
    public var parkedReason = ByteView()
    public var provider = ByteView()
    public var model = ByteView()
    /// Empty means `standard`.
    public var serviceTier = ByteView()
    public var tier = ByteView()
    /// The record's canonical bytes, for `explain`.
    public var content = ByteView()
    /// What the ledger keeps beside the columns, in its own form; empty without.
    public var extra = ByteView()
    /// The key of the hold that the outcome ended, or came after; nil without.
    public var holdKey: Hash128?
    /// For a settled or discarded outcome, the sequence of the parked one; on the way in only.
    public var settles: UInt64 = 0
    /// For a parked outcome, what it is valued at, in nanocredits: what its hold had kept. On the way in only.
    public var valuedAt: Int64 = 0

    @inlinable
    public init() {}
}

/// One act on an account's credits on its way into the history: a grant, an expiry, a refund, an
/// adjustment, or a change of the account that moves nothing.
public struct HistoryCredit: Sendable {
    public var lsn: UInt64 = 0
    public var shard: UInt16 = 0
    public var sequence: UInt64 = 0
    public var recordedAt: Int64 = 0
    public var account = ByteView()
    /// The account that owns the wallet; empty when it is the account itself.
    public var wallet = ByteView()
    /// One word, such as `allocated`, `expired`, `refunded`, `deducted`, `adjusted`.
    public var kind = ByteView()
    /// Signed: what it added to the balance.
    public var amount: Int64 = 0
    public var balanceAfter: Int64 = 0
    /// Why, in one word, such as `promo_2025_q1`.
    public var source = ByteView()
    /// Reason and metadata as a JSON object; empty without.
    public var details = ByteView()
    public var idempotencyKey = ByteView()
    /// Of the grant; nil for never.
    public var expiresAt: Int64?
    public var grantID: UInt64?
    /// The request that the act is about, such as the one that a refund reverses; empty without.
    public var reference = ByteView()
    /// The key of the hold that the act ended; nil without.
    public var holdKey: Hash128?

    @inlinable
    public init() {}
}

/// An outcome as the history has it, with everything that `explain` needs.
public struct UsageRow: Hashable, Sendable {
    /// The place in the history: strictly increasing over usage and credits together.
    public var id: Int64
    public var figures: UsageFigures
    public var account: String
    public var wallet: String
    public var requestID: [UInt8]
    public var parkedReason: String?
    public var provider: String
    public var model: String
    public var serviceTier: String
    public var tier: String
    public var content: [UInt8]
    public var extra: [UInt8] = []
}

/// An act on credits as the history has it.
public struct CreditRow: Hashable, Sendable {
    public var id: Int64
    public var lsn: UInt64
    public var shard: UInt16
    public var sequence: UInt64
    public var recordedAt: Int64
    public var account: String
    public var wallet: String
    public var kind: String
    public var amount: Int64
    public var balanceAfter: Int64
    public var source: String
    public var details: String
    public var idempotencyKey: [UInt8]
    public var expiresAt: Int64?
    public var grantID: UInt64?
    public var reference: [UInt8] = []
}

/// A line of an account's statement.
public enum TransactionRow: Hashable, Sendable {
    case usage(UsageRow)
    case credit(CreditRow)

    public var id: Int64 {
        switch self {
        case .usage(let row): row.id
        case .credit(let row): row.id
        }
    }

    public var recordedAt: Int64 {
        switch self {
        case .usage(let row): row.figures.recordedAt
        case .credit(let row): row.recordedAt
        }
    }

    public var type: String {
        switch self {
        case .usage(let row): row.figures.state.transactionType
        case .credit(let row): row.kind
        }
    }
}
