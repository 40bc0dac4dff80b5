// A quote: what a report of the same counts would be charged, and what stays afterwards.

import Bytes
import Ledger
import Pricing

/// A quote against an account. Amounts are in nanocredits, the base cost and rates in picodollars.
public struct QuotedReport: Sendable {
    public var charge: Int64 = 0
    public var baseCost: Int64 = 0
    public var available: Int64 = 0
    /// What the wallet could still spend afterwards, at least `Int64.min`.
    public var availableAfter: Int64 = 0
    public var isSufficient = false
    public var isUnlimited = false
    public var tier: [UInt8] = []
    /// The most output tokens that `available` pays for; nil if output is free or the wallet unlimited.
    public var affordableOutputTokens: UInt64?
    public var allowanceUsed: Int64 = 0
    public var ruleVersion: UInt32 = 0
    public var catalogueVersion: UInt32 = 0
    public var standardTierUsed = false
    /// The charge under the other credential source, if it was asked for and a rule exists.
    public var alternativeCharge: Int64?
    public var lines: [Line] = []

    /// One factor of the base cost: `amount = quantity * rate`.
    public struct Line: Hashable, Sendable {
        public var unit: String
        public var quantity: UInt64
        public var rate: Int64
        public var amount: Int64
    }
}

/// The answer to a quote.
public enum QuoteOutcome: Sendable {
    case quoted(QuotedReport)
    case refused(Refusal)
}

enum Quotes {
    static func quote(
        _ record: UsageRecord, compare: Bool, ledger: Ledger, book: PriceBook, now: Timestamp,
        mark: inout AnswerMark
    ) -> QuoteOutcome {
        let standing: QuoteStanding
        do {
            guard
                let found = try ledger.quoteStanding(
                    of: record.account, record: record, book: book, now: now, mark: &mark)
            else { return .refused(Refusal(.accountNotFound, field: .account)) }
            standing = found
        } catch {
            return .refused(Refusal(.invalidArgument, field: .account, fault: error))
        }
        switch standing.pricing {
        case .refused(let refusal): return .refused(refusal)
        case .parked(let reason, let field): return .refused(Refusal(reason, field: field))
        case .priced(let priced):
            var quote = QuotedReport()
            quote.charge = standing.charge
            quote.baseCost = priced.baseCost
            quote.available = standing.available
            let (after, overflow) = standing.available.subtractingReportingOverflow(standing.charge)
            quote.availableAfter = overflow ? .min : after
            quote.isUnlimited = standing.unlimited
            quote.isSufficient = standing.unlimited || standing.charge == 0 || after >= 0 && !overflow
            quote.tier = standing.tier
            quote.allowanceUsed = standing.allowanceUsed
            quote.ruleVersion = priced.ruleVersion
            quote.catalogueVersion = book.catalogueVersion
            quote.standardTierUsed = priced.standardTierUsed
            if !standing.unlimited {
                quote.affordableOutputTokens = standing.tier.withView {
                    book.affordableOutputTokens(record, tier: $0, available: standing.available)
                }
            }
            quote.lines = book.lines(for: record).map { line in
                QuotedReport.Line(
                    unit: line.unit.name, quantity: UInt64(line.quantity), rate: line.rate,
                    amount: line.amount)
            }
            if compare {
                var other = record
                other.credentialSource = record.credentialSource == .byok ? .platform : .byok
                if case .priced(let alternative) = standing.tier.withView({ book.price(other, tier: $0) }) {
                    quote.alternativeCharge = alternative.fee
                }
            }
            return .quoted(quote)
        }
    }
}
