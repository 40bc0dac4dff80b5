// A quote: what a report of the same counts would be charged, and what stays afterwards.

import Bytes
import Ledger
import Money
import Pricing

/// A quote against an account. Amounts are in nanocredits, the base cost and rates in picodollars.
public struct QuotedReport: Sendable {
    /// What would be taken from the wallet, and what the allowance would pay.
    public var own = QuotedCharge()
    public var baseCost: Int64 = 0
    public var available: Int64 = 0
    /// What the wallet could still spend afterwards, at least `Int64.min`.
    public var availableAfter: Int64 = 0
    public var isSufficient = false
    public var isUnlimited = false
    public var tier: [UInt8] = []
    /// The most output tokens that the wallet and the allowance pay for; nil if output is free or the wallet
    /// unlimited.
    public var affordableOutputTokens: UInt64?
    public var ruleVersion: UInt32 = 0
    public var catalogueVersion: UInt32 = 0
    public var standardTierUsed = false
    /// What the rule makes of the cost, every leaf, and what set the rates.
    public var details: QuoteDetails
    /// The charge under the other credential source, if it was asked for and a rule exists.
    public var alternative: QuotedCharge?
    /// What the customer pays less in all with its own key: the platform's charge less the BYOK charge and the
    /// provider's cost. With an alternative.
    public var byokSaving: Int64?
    /// Empty for a quote of another time than now.
    public var token: [UInt8] = []
    /// Until when the token holds.
    public var expiresAt = Timestamp(microseconds: 0)
}

/// The answer to a quote.
public enum QuoteOutcome: Sendable {
    case quoted(QuotedReport)
    case refused(Refusal)
}

extension Gateway {
    /// Prices a record against an account. Changes nothing but what has expired; the answer waits until the
    /// state that it saw is durable. `packer` is scratch.
    func quote(
        _ record: UsageRecord, compare: Bool, book: PriceBook, now: Timestamp,
        using packer: inout BytePacker, mark: inout AnswerMark
    ) -> QuoteOutcome {
        let standing: QuoteStanding
        do {
            guard
                let found = try ledger.quoteStanding(
                    of: record.account, record: record, book: book, compare: compare, now: now, mark: &mark)
            else { return .refused(Refusal(.accountNotFound, field: .account)) }
            standing = found
        } catch {
            return .refused(Refusal(.invalidArgument, field: .account, fault: error))
        }
        switch standing.pricing {
        case .refused(let refusal): return .refused(refusal)
        case .parked(let reason, let field):
            return .refused(Refusal(notPriced: reason, field: field, usage: record.usage))
        case .priced(let priced):
            // What the allowance pays needs no credit, so in debt it is all that there is.
            let spendable = max(0, standing.available).addingReportingOverflow(standing.own.allowanceLeft)
            let details = standing.tier.withView {
                book.quoteDetails(
                    record, tier: $0, available: spendable.overflow ? .max : spendable.partialValue)
            }
            guard let details else { return .refused(Refusal(.overloaded)) }
            var quote = QuotedReport(details: details)
            quote.fill(standing, priced, platform: record.credentialSource == .platform, book: book)
            sign(&quote, record, now: now, using: &packer)
            return .quoted(quote)
        }
    }

    /// Gives a quote its token, if it is for now: a token for another time would carry that time's prices
    /// into this one.
    private func sign(
        _ quote: inout QuotedReport, _ record: UsageRecord, now: Timestamp, using packer: inout BytePacker
    ) {
        let skew = QuoteToken.skewMicroseconds
        let earliest = now.microseconds - skew
        guard (earliest...now.microseconds + skew).contains(record.eventTime.microseconds) else { return }
        quote.expiresAt = Timestamp(
            microseconds: now.microseconds + settings.quoteValid.components.seconds * 1_000_000)
        quote.token = signer.sign(
            QuoteToken(
                ruleVersion: quote.ruleVersion, catalogueVersion: quote.catalogueVersion,
                instant: record.eventTime, expiresAt: quote.expiresAt),
            for: record, using: &packer)
    }

    /// Prices a record for an administrator; the answer comes when what it says is durable.
    public func quote(_ draft: QuoteDraft, compare: Bool) async -> QuoteOutcome {
        let (outcome, mark) = quoteNow(draft, compare: compare)
        await whenDurable(mark)
        return outcome
    }

    private func quoteNow(_ draft: QuoteDraft, compare: Bool) -> (QuoteOutcome, AnswerMark) {
        var mark = AnswerMark()
        var packer = BytePacker(capacity: 512)
        let time = now()
        let outcome = draft.withRecord(now: time) { record in
            quote(record, compare: compare, book: priceBook, now: time, using: &packer, mark: &mark)
        }
        return (outcome, mark)
    }
}

extension QuotedReport {
    fileprivate init(details: QuoteDetails) { self.details = details }

    fileprivate mutating func fill(
        _ standing: QuoteStanding, _ priced: PricedUsage, platform: Bool, book: PriceBook
    ) {
        own = standing.own
        baseCost = priced.baseCost
        available = standing.available
        let (after, overflow) = standing.available.subtractingReportingOverflow(own.charge)
        availableAfter = overflow ? .min : after
        isUnlimited = standing.unlimited
        isSufficient = standing.unlimited || own.charge == 0 || after >= 0 && !overflow
        tier = standing.tier
        ruleVersion = priced.ruleVersion
        catalogueVersion = book.catalogueVersion
        standardTierUsed = priced.standardTierUsed
        if !standing.unlimited { affordableOutputTokens = details.affordableOutputTokens }
        alternative = standing.alternative
        guard let alternative else { return }
        let (platformCharge, byokCharge) =
            platform ? (own.charge, alternative.charge) : (alternative.charge, own.charge)
        guard let cost = book.creditValue.nanocredits(Picodollars(baseCost)) else { return }
        byokSaving = Int64(clamping: Int128(platformCharge) - Int128(byokCharge) - Int128(cost.count))
    }
}

/// A record to be priced, as owned values: how the HTTP edge asks.
public struct QuoteDraft: Sendable {
    public var account: [UInt8] = []
    public var source: CredentialSource
    public var provider: [UInt8]
    public var model: [UInt8]
    public var serviceTier: [UInt8] = []
    public var usage = Usage()
    /// Nil for now.
    public var eventTime: Timestamp?

    public init(source: CredentialSource, provider: [UInt8], model: [UInt8]) {
        self.source = source
        self.provider = provider
        self.model = model
    }

    /// Lends the record.
    public func withRecord<Result>(now: Timestamp, _ body: (UsageRecord) -> Result) -> Result {
        account.withView { account in
            provider.withView { provider in
                model.withView { model in
                    serviceTier.withView { serviceTier in
                        var record = UsageRecord()
                        record.account = account
                        record.credentialSource = source
                        record.provider = provider
                        record.model = model
                        record.serviceTier = serviceTier
                        record.usage = usage
                        record.eventTime = eventTime ?? now
                        return body(record)
                    }
                }
            }
        }
    }
}
