// Holds, as a caller asks for them and gets them back: values it owns.

import Bytes
import Ledger
import Pricing
import Wire

/// Where a hold stands.
public typealias HoldState = HoldStanding
/// What becomes of a hold that is not covered.
public typealias HoldPolicy = HoldCover
/// What a hold is charged when its lease ends and no report has come.
public typealias OrphanPolicy = HoldOrphan

/// Credit to be set aside before a request runs.
public struct HoldOrder: Hashable, Sendable {
    /// 1 to 128 bytes of UTF-8, unique within the organisation; asking again with the same is harmless.
    public var holdID: String
    /// A path such as `acme/search/alice`.
    public var account: String
    public var credentialSource: CredentialSource
    /// What is held.
    public var size: Size
    public var policy = HoldPolicy.strict
    /// Nil for what the gateway is set to. `.inputOnly` and `.estimate` need a usage.
    public var orphanPolicy: OrphanPolicy?
    /// How long it lasts unless extended: ten minutes if zero, at most 24 hours.
    public var lease: Duration = .zero
    /// At most 16.
    public var tags: [UsageReport.Tag] = []

    /// What a hold keeps.
    public enum Size: Hashable, Sendable {
        /// Nanocredits, 1 to 2^59.
        case amount(Int64)
        /// The worst case: what these counts would be charged. Its account, credential source and request id
        /// need not be set.
        case usage(UsageReport)
    }

    /// A hold of `amount` nanocredits.
    public init(
        holdID: String, account: String, credentialSource: CredentialSource, amount: Int64
    ) {
        self.holdID = holdID
        self.account = account
        self.credentialSource = credentialSource
        size = .amount(amount)
    }

    /// A hold of what estimated input and maximum output would be charged.
    public init(
        holdID: String, account: String, credentialSource: CredentialSource, provider: String, model: String,
        inputTokens: Int64, maxOutputTokens: Int64
    ) {
        self.holdID = holdID
        self.account = account
        self.credentialSource = credentialSource
        var usage = UsageReport(
            requestID: [], account: account, credentialSource: credentialSource, provider: provider,
            model: model, eventTimeMicroseconds: 0)
        usage.usage.inputTokens = inputTokens
        usage.usage.outputTokens = maxOutputTokens
        size = .usage(usage)
    }

    /// Lends the request as the wire encodes it.
    func withTerms(_ body: (HoldTerms, borrowing UsageRecord, _ tags: ByteView) -> Void) {
        var bytes = Array(holdID.utf8) + Array(account.utf8)
        let packed = UsageReport.pack(tags)
        bytes += packed
        let usageStart = bytes.count
        if case .usage(let report) = size { report.appendText(to: &bytes) }
        bytes.withView { bytes in
            let idEnd = holdID.utf8.count
            let accountEnd = idEnd + account.utf8.count
            var terms = HoldTerms()
            terms.holdID = bytes[0..<idEnd]
            terms.account = bytes[idEnd..<accountEnd]
            terms.source = credentialSource
            terms.policy = policy
            terms.orphanPolicy = orphanPolicy
            terms.leaseMilliseconds = lease.wholeMilliseconds
            var record = UsageRecord()
            switch size {
            case .amount(let amount): terms.amount = amount
            case .usage(let report):
                var start = usageStart
                record = report.record(from: bytes, at: &start)
            }
            body(terms, record, bytes[accountEnd..<usageStart])
        }
    }
}

/// Where a hold stands, durably. Amounts are nanocredits.
public struct Hold: Hashable, Sendable {
    public var holdID: String
    public var state: HoldState
    /// What is held, or was until the hold ended.
    public var amount: Int64
    /// What the wallet may spend beside it.
    public var available: Int64
    /// When the lease of an open hold is over, in microseconds since 1970.
    public var expiresAtMicroseconds: Int64
    public var sequence: UInt64
    /// The same was asked before; nothing was changed now.
    public var duplicate: Bool
    /// What is charged when the lease ends and no report has come; of one that has expired, what was charged.
    public var orphanCharge: Int64

    /// Nil for a state that this version does not know.
    init?(_ answer: HoldAnswer) {
        guard let state = answer.state else { return nil }
        holdID = answer.holdID.text
        self.state = state
        amount = answer.amount
        available = answer.available
        expiresAtMicroseconds = answer.expiresAt
        sequence = answer.sequence
        duplicate = answer.duplicate
        orphanCharge = answer.orphanCharge
    }
}

extension Duration {
    /// In milliseconds, cut off; within `Int64`.
    var wholeMilliseconds: Int64 {
        let (seconds, attoseconds) = components
        let (thousand, overflow) = seconds.multipliedReportingOverflow(by: 1_000)
        return overflow ? (seconds < 0 ? .min : .max) : thousand + attoseconds / 1_000_000_000_000_000
    }
}

extension TollgateClient {
    /// Sets credit aside; returns when that is durable.
    ///
    /// Throws a refusal where it is not covered (`INSUFFICIENT_CREDITS`, with what is needed, what is
    /// available and how many output tokens that pays for), or where there is no price.
    public func hold(_ order: HoldOrder, timeout: Duration? = nil) async throws(ClientError) -> Hold {
        try await hold(.hold(order), timeout)
    }

    /// Releases a hold and charges what was used, above or below what was held, in one step. Done once for
    /// each request id, however often it is sent.
    ///
    /// A hold whose lease was over is charged as a report; the receipt says so in `holdExpired`. What its orphan
    /// policy had charged by then counts: see `orphanCharge` and `givenBack`.
    public func settle(
        hold holdID: String, with report: UsageReport, timeout: Duration? = nil
    ) async throws(ClientError) -> Receipt {
        var report = report
        report.holdID = holdID
        let reply = try await call(.settle(report), timeout)
        guard case .receipt(let receipt) = reply else { throw .unexpectedAnswer(reply.kind) }
        return receipt
    }

    /// Releases a hold without a charge. A hold that was voided before stays so.
    public func void(
        hold holdID: String, of account: String, reason: String = "", timeout: Duration? = nil
    ) async throws(ClientError) -> Hold {
        try await hold(.void(holdID: holdID, account: account, reason: reason), timeout)
    }

    /// Prolongs a hold's lease to `lease` from now, and grows it to `amount` nanocredits where one is given.
    public func extend(
        hold holdID: String, of account: String, lease: Duration = .zero, amount: Int64? = nil,
        timeout: Duration? = nil
    ) async throws(ClientError) -> Hold {
        try await hold(
            .extend(holdID: holdID, account: account, lease: lease, amount: amount), timeout)
    }

    private func hold(_ request: Request, _ timeout: Duration?) async throws(ClientError) -> Hold {
        let reply = try await call(request, timeout)
        guard case .hold(let hold) = reply else { throw .unexpectedAnswer(reply.kind) }
        return hold
    }
}
