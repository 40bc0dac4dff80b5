// What one LLM request used, as the hot path passes it on: borrowed bytes and plain integers.
//
// The counts are totals, and a part is included in its whole: `inputTokens` includes what was read
// from and written to the cache and what was audio or image, `outputTokens` includes reasoning. That
// is OpenTelemetry's rule for `gen_ai.usage.*`; `UsageSplit` turns it into disjoint leaves.

import Bytes

/// Who pays the provider.
public enum CredentialSource: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
    case platform = 1
    case byok = 2
}

/// Where the counts come from.
public enum UsageSource: UInt8, Hashable, Sendable, CaseIterable {
    case unspecified = 0
    case final = 1
    case relayed = 2
    case estimated = 3
}

/// How the LLM request ended.
public enum RequestOutcome: UInt8, Hashable, Sendable, CaseIterable {
    case unspecified = 0
    case completed = 1
    case cancelled = 2
    case failed = 3
}

/// What a report asks for when the wallet does not cover it.
public enum OnInsufficient: UInt8, Hashable, Sendable, CaseIterable {
    case record = 0
    case refuse = 1
}

/// An instant, in microseconds since 1970-01-01T00:00:00Z.
public struct Timestamp: Hashable, Comparable, Sendable, BitwiseCopyable {
    public var microseconds: Int64

    @inlinable
    public init(microseconds: Int64) { self.microseconds = microseconds }

    @inlinable
    public static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.microseconds < right.microseconds
    }

    /// Before every other instant.
    public static let distantPast = Timestamp(microseconds: .min)
    /// After every other instant: "never" for an expiry.
    public static let distantFuture = Timestamp(microseconds: .max)
}

/// The counts of one request. Each is between 0 and `Usage.countMax`.
public struct Usage: Hashable, Sendable {
    /// The largest count a record may carry, 10^12; keeps every product within `Int128`.
    public static let countMax: Int64 = 1_000_000_000_000

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

    /// The bits of every count but plain tokens and what was read from a cache: 0 for most requests.
    @inlinable @inline(__always)
    public var rareUnion: Int64 {
        cacheWrite5mTokens | cacheWrite1hTokens | inputAudioTokens | inputImageTokens | reasoningTokens
            | outputAudioTokens | outputImageTokens | images | webSearches | seconds | pages | characters
            | requests
    }
}

/// One report, hold or quote as it came in. The views live as long as the read that brought them.
///
/// It is never copied but by `copy`: whoever is lent one is lent its address.
public struct UsageRecord: ~Copyable, Sendable {
    private let byAddress = LentByAddress()
    /// The idempotency key, 1 to 128 bytes.
    public var requestID = ByteView()
    /// The account's path; see `AccountPath` in Ledger for its grammar.
    public var account = ByteView()
    /// Nil when the sender did not say, which is refused.
    public var credentialSource: CredentialSource?
    public var provider = ByteView()
    public var model = ByteView()
    /// Empty means `standard`.
    public var serviceTier = ByteView()
    public var usage = Usage()
    public var eventTime = Timestamp(microseconds: 0)
    public var usageSource = UsageSource.unspecified
    public var outcome = RequestOutcome.unspecified
    public var onInsufficient = OnInsufficient.record
    public var requestedProvider = ByteView()
    public var requestedModel = ByteView()
    public var requestedServiceTier = ByteView()
    public var holdID = ByteView()
    public var quoteToken = ByteView()
    /// A memo in picodollars, never charged.
    public var providerReportedCost: Int64?
    /// Keys and values, each packed as length and bytes, alternating; empty without tags.
    public var tags = ByteView()

    public init() {}

    /// The same again; its views are of the same bytes.
    public borrowing func copy() -> UsageRecord {
        var copy = UsageRecord()
        copy.requestID = requestID
        copy.account = account
        copy.credentialSource = credentialSource
        copy.provider = provider
        copy.model = model
        copy.serviceTier = serviceTier
        copy.usage = usage
        copy.eventTime = eventTime
        copy.usageSource = usageSource
        copy.outcome = outcome
        copy.onInsufficient = onInsufficient
        copy.requestedProvider = requestedProvider
        copy.requestedModel = requestedModel
        copy.requestedServiceTier = requestedServiceTier
        copy.holdID = holdID
        copy.quoteToken = quoteToken
        copy.providerReportedCost = providerReportedCost
        copy.tags = tags
        return copy
    }
}
