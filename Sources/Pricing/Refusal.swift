// Why a call is not carried out. A refusal is an answer, not an error: the caller switches over it.
//
// Codes are gRPC's; the reasons are stable words that clients match on. HTTP statuses map from them:
// 402 where money is missing, 429 only where waiting helps, 403 where somebody must act.

/// A gRPC status code.
public enum StatusCode: UInt8, Hashable, Sendable {
    case invalidArgument = 3
    case deadlineExceeded = 4
    case notFound = 5
    case alreadyExists = 6
    case permissionDenied = 7
    case resourceExhausted = 8
    case failedPrecondition = 9
    case aborted = 10
    case unimplemented = 12
    case `internal` = 13
    case unavailable = 14
    case unauthenticated = 16
}

/// The stable reason of a refusal.
public enum Reason: UInt8, Hashable, Sendable, CaseIterable {
    case insufficientCredits, budgetExceeded, rateLimited
    case accountSuspended, accountClosed, accountNotFound, accountExists
    case noPricingRule, byokNotInTier, providerInactive, unpricedModel
    case credentialMismatch, idempotencyConflict
    case holdNotFound, holdAlreadySettled, holdVoided, holdExpired
    case invalidArgument, invalidUsage
    case quoteExpired
    case unauthenticated, permissionDenied
    case deadlineExceeded
    case overloaded, diskFull, notReady
    case unimplemented

    /// The word on the wire, UPPER_SNAKE_CASE.
    public var name: StaticString { row.name }
    /// The gRPC code.
    public var code: StatusCode { row.code }
    /// The HTTP status.
    public var httpStatus: Int { row.http }

    private var row: (name: StaticString, code: StatusCode, http: Int) {
        switch self {
        case .insufficientCredits: ("INSUFFICIENT_CREDITS", .resourceExhausted, 402)
        case .budgetExceeded: ("BUDGET_EXCEEDED", .resourceExhausted, 429)
        case .rateLimited: ("RATE_LIMITED", .resourceExhausted, 429)
        case .accountSuspended: ("ACCOUNT_SUSPENDED", .failedPrecondition, 403)
        case .accountClosed: ("ACCOUNT_CLOSED", .failedPrecondition, 403)
        case .accountNotFound: ("ACCOUNT_NOT_FOUND", .notFound, 404)
        case .accountExists: ("ACCOUNT_EXISTS", .alreadyExists, 409)
        case .noPricingRule: ("NO_PRICING_RULE", .failedPrecondition, 403)
        case .byokNotInTier: ("BYOK_NOT_IN_TIER", .failedPrecondition, 403)
        case .providerInactive: ("PROVIDER_INACTIVE", .failedPrecondition, 403)
        case .unpricedModel: ("UNPRICED_MODEL", .failedPrecondition, 422)
        case .credentialMismatch: ("CREDENTIAL_MISMATCH", .failedPrecondition, 409)
        case .idempotencyConflict: ("IDEMPOTENCY_CONFLICT", .alreadyExists, 409)
        case .holdNotFound: ("HOLD_NOT_FOUND", .notFound, 404)
        case .holdAlreadySettled: ("HOLD_ALREADY_SETTLED", .failedPrecondition, 409)
        case .holdVoided: ("HOLD_VOIDED", .failedPrecondition, 409)
        case .holdExpired: ("HOLD_EXPIRED", .failedPrecondition, 409)
        case .invalidArgument: ("INVALID_ARGUMENT", .invalidArgument, 400)
        case .invalidUsage: ("INVALID_USAGE", .invalidArgument, 422)
        case .quoteExpired: ("QUOTE_EXPIRED", .aborted, 409)
        case .unauthenticated: ("UNAUTHENTICATED", .unauthenticated, 401)
        case .permissionDenied: ("PERMISSION_DENIED", .permissionDenied, 403)
        case .deadlineExceeded: ("DEADLINE_EXCEEDED", .deadlineExceeded, 504)
        case .overloaded: ("OVERLOADED", .unavailable, 503)
        case .diskFull: ("DISK_FULL", .unavailable, 503)
        case .notReady: ("NOT_READY", .unavailable, 503)
        case .unimplemented: ("UNIMPLEMENTED", .unimplemented, 501)
        }
    }
}

/// The field of a record that a refusal is about.
public enum RecordField: UInt8, Hashable, Sendable, CaseIterable {
    case none
    case requestID, account, credentialSource, provider, model, serviceTier
    case inputTokens, outputTokens, cacheReadTokens, cacheWrite5mTokens, cacheWrite1hTokens
    case inputAudioTokens, inputImageTokens, reasoningTokens, outputAudioTokens, outputImageTokens
    case images, webSearches, seconds, pages, characters, requests
    case eventTime, usageSource, outcome, onInsufficient
    case requestedProvider, requestedModel, requestedServiceTier
    case holdID, quoteToken, providerReportedCost, tags
    case amount, lease, policy, orphanPolicy, reason, budget, costBudget, tokenBudget, requestBudget, call,
        records

    /// The name in the contract.
    public var name: StaticString {
        switch self {
        case .none: ""
        case .requestID: "request_id"
        case .account: "account"
        case .credentialSource: "credential_source"
        case .provider: "provider"
        case .model: "model"
        case .serviceTier: "service_tier"
        case .inputTokens: "input_tokens"
        case .outputTokens: "output_tokens"
        case .cacheReadTokens: "cache_read_tokens"
        case .cacheWrite5mTokens: "cache_write_5m_tokens"
        case .cacheWrite1hTokens: "cache_write_1h_tokens"
        case .inputAudioTokens: "input_audio_tokens"
        case .inputImageTokens: "input_image_tokens"
        case .reasoningTokens: "reasoning_tokens"
        case .outputAudioTokens: "output_audio_tokens"
        case .outputImageTokens: "output_image_tokens"
        case .images: "images"
        case .webSearches: "web_searches"
        case .seconds: "seconds"
        case .pages: "pages"
        case .characters: "characters"
        case .requests: "requests"
        case .eventTime: "event_time"
        case .usageSource: "usage_source"
        case .outcome: "outcome"
        case .onInsufficient: "on_insufficient"
        case .requestedProvider: "requested_provider"
        case .requestedModel: "requested_model"
        case .requestedServiceTier: "requested_service_tier"
        case .holdID: "hold_id"
        case .quoteToken: "quote_token"
        case .providerReportedCost: "provider_reported_cost"
        case .tags: "tags"
        case .amount: "amount"
        case .lease: "lease_ms"
        case .policy: "policy"
        case .orphanPolicy: "orphan_policy"
        case .reason: "reason"
        case .budget, .costBudget, .tokenBudget, .requestBudget: "budget"
        case .call: "call"
        case .records: "records"
        }
    }
}

/// Why a call was not carried out: a reason, the field at fault, and the figures that belong to it.
///
/// Plain values only, so that refusing costs no allocation; the edges turn it into words.
public struct Refusal: Error, Hashable, Sendable {
    public var reason: Reason
    /// The field at fault, if one is.
    public var field: RecordField
    /// Two figures; the reason says what they are. For `insufficientCredits` they are needed and
    /// available nanocredits, for `idempotencyConflict` the digests of the first content and of this
    /// one, for a range the value and its limit.
    public var found: Int64
    public var expected: Int64
    /// For `insufficientCredits`, the most output tokens that what is available pays for; -1 where that is
    /// not known.
    public var affordableOutputTokens: Int64 = -1

    @inlinable
    public init(_ reason: Reason, field: RecordField = .none, found: Int64 = 0, expected: Int64 = 0) {
        self.reason = reason
        self.field = field
        self.found = found
        self.expected = expected
    }
}
