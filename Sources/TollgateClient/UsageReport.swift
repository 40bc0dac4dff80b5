// What a caller hands to the client and gets back: values it owns.

import Bytes
import Ledger
import Pricing
import Wire

/// Who pays the provider.
public typealias CredentialSource = Pricing.CredentialSource
/// Where the counts come from.
public typealias UsageSource = Pricing.UsageSource
/// How the LLM request ended.
public typealias RequestOutcome = Pricing.RequestOutcome
/// What to do when the wallet does not cover a report.
public typealias OnInsufficient = Pricing.OnInsufficient
/// Token counts and other counted units; totals, a part is included in its whole.
public typealias Usage = Pricing.Usage
/// The durable answer to a report. Amounts are nanocredits.
public typealias Receipt = ReportReceipt

/// What one LLM request used, or would use.
public struct UsageReport: Hashable, Sendable {
    /// The idempotency key, 1 to 128 bytes of UTF-8; charged once, for ever. A quote may leave it empty.
    public var requestID: [UInt8]
    /// A path such as `acme/search/alice`.
    public var account: String
    public var credentialSource: CredentialSource
    /// The provider, model and service tier as served. An empty tier is `standard`.
    public var provider: String
    public var model: String
    public var serviceTier = ""
    public var usage = Usage()
    /// When the request ended, in microseconds since 1970. Part of the record: a retry repeats it.
    public var eventTimeMicroseconds: Int64
    public var usageSource = UsageSource.unspecified
    public var outcome = RequestOutcome.unspecified
    public var onInsufficient = OnInsufficient.record
    /// What was asked for, where it differs from what was served.
    public var requestedProvider = ""
    public var requestedModel = ""
    public var requestedServiceTier = ""
    /// The hold that this settles, if any.
    public var holdID = ""
    /// The token of a quote whose prices are to be used.
    public var quoteToken: [UInt8] = []
    /// What the provider says it cost, in picodollars; kept, never charged.
    public var providerReportedCost: Int64?
    /// At most 16, each key and value at most 128 bytes.
    public var tags: [Tag] = []

    /// A name and a value, kept with the charge.
    public struct Tag: Hashable, Sendable {
        public var key: String
        public var value: String

        public init(key: String, value: String) {
            self.key = key
            self.value = value
        }
    }

    /// A report without counts; set those in `usage`.
    public init(
        requestID: [UInt8], account: String, credentialSource: CredentialSource, provider: String,
        model: String, eventTimeMicroseconds: Int64
    ) {
        self.requestID = requestID
        self.account = account
        self.credentialSource = credentialSource
        self.provider = provider
        self.model = model
        self.eventTimeMicroseconds = eventTimeMicroseconds
    }

    /// Appends all of the report's text to `bytes`, in the order in which `record` takes it back.
    func appendText(to bytes: inout [UInt8]) {
        bytes += requestID
        bytes += quoteToken
        bytes += packedTags
        for text in texts { bytes += text.utf8 }
    }

    /// The record that the wire encodes; its views are into `bytes`, from `start` on.
    func record(from bytes: ByteView, at start: inout Int) -> UsageRecord {
        func next(_ count: Int) -> ByteView {
            defer { start += count }
            return bytes[start..<start + count]
        }
        var record = UsageRecord()
        record.requestID = next(requestID.count)
        record.quoteToken = next(quoteToken.count)
        record.tags = next(packedTags.count)
        record.account = next(account.utf8.count)
        record.provider = next(provider.utf8.count)
        record.model = next(model.utf8.count)
        record.serviceTier = next(serviceTier.utf8.count)
        record.requestedProvider = next(requestedProvider.utf8.count)
        record.requestedModel = next(requestedModel.utf8.count)
        record.requestedServiceTier = next(requestedServiceTier.utf8.count)
        record.holdID = next(holdID.utf8.count)
        record.credentialSource = credentialSource
        record.usage = usage
        record.eventTime = Timestamp(microseconds: eventTimeMicroseconds)
        record.usageSource = usageSource
        record.outcome = outcome
        record.onInsufficient = onInsufficient
        record.providerReportedCost = providerReportedCost
        return record
    }

    private var texts: [String] {
        [
            account, provider, model, serviceTier, requestedProvider, requestedModel,
            requestedServiceTier, holdID,
        ]
    }

    private var packedTags: [UInt8] { Self.pack(tags) }

    /// Tags as the wire encodes them: names and values, alternating.
    static func pack(_ tags: [Tag]) -> [UInt8] {
        guard !tags.isEmpty else { return [] }
        var packed = BytePacker(capacity: 256)
        for tag in tags {
            Array(tag.key.utf8).withView { packed.append(prefixed: $0) }
            Array(tag.value.utf8).withView { packed.append(prefixed: $0) }
        }
        return Array(packed.view)
    }
}

/// One result of a batch.
public enum ReportResult: Hashable, Sendable {
    case receipt(Receipt)
    /// This record was not carried out; the others were not affected.
    case refused(CallRefusal)
}

/// Why the gateway did not carry out a call.
public struct CallRefusal: Hashable, Sendable {
    /// A gRPC status code.
    public var code: Int
    /// Stable, in UPPER_SNAKE_CASE: `INSUFFICIENT_CREDITS`, `ACCOUNT_NOT_FOUND`, ...
    public var reason: String
    /// For a person: what was found, and what to do.
    public var message: String
    /// The field at fault, or empty.
    public var field: String
    /// When trying again may help; nil if it will not.
    public var retryAfter: Duration?
    /// Figures that belong to the reason.
    public var metadata: [String: String]

    init(_ status: StatusAnswer) {
        code = Int(status.code)
        reason = status.reason.text
        message = status.message.text
        field = status.field.text
        retryAfter =
            status.retryAfterMilliseconds > 0 ? .milliseconds(status.retryAfterMilliseconds) : nil
        metadata = [:]
        for figure in TagList(status.metadata) { metadata[figure.name.text] = figure.value.text }
    }

    /// Whether the same call may succeed later, without anybody changing anything: gRPC's UNAVAILABLE.
    public var isTemporary: Bool { code == 14 }
}

/// What an account may spend, in nanocredits.
public struct Balance: Hashable, Sendable {
    public var account: String
    /// The nearest account upward that owns a wallet.
    public var wallet: String
    public var balance: Int64
    public var held: Int64
    public var available: Int64
    public var overdraftLimit: Int64
    public var unlimited: Bool
    public var tier: String
    public var sequence: UInt64

    init(_ answer: BalanceAnswer) {
        account = answer.account.text
        wallet = answer.wallet.text
        balance = answer.balance
        held = answer.held
        available = answer.available
        overdraftLimit = answer.overdraftLimit
        unlimited = answer.unlimited
        tier = answer.tier.text
        sequence = answer.sequence
    }
}
