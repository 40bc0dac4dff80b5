// What a quote needs to know of an account. A quote changes nothing and spends no allowance.

import Bytes
import Pricing

/// What a priced record would take from a wallet, in nanocredits: `charge = fee - allowanceUsed`.
public struct QuotedCharge: Hashable, Sendable {
    public var fee: Int64 = 0
    public var charge: Int64 = 0
    /// What the month's allowance would pay, and what of it is left before.
    public var allowanceUsed: Int64 = 0
    public var allowanceLeft: Int64 = 0

    public init() {}
}

/// A priced quote against an account's standing. Amounts are in nanocredits.
public struct QuoteStanding: Sendable {
    public var pricing: PricingOutcome
    /// What would be taken from the wallet; zeros where it has no price.
    public var own = QuotedCharge()
    /// The same under the other credential source, where it was asked for and has a price.
    public var alternative: QuotedCharge?
    public var available: Int64
    public var unlimited: Bool
    public var tier: [UInt8]
}

extension ShardState {
    /// Prices a record as a report of it would be priced now. Nil when there is no such account.
    mutating func quoteStanding(
        _ hash: Hash128, record: UsageRecord, book: PriceBook, compare: Bool, now: Timestamp
    ) -> QuoteStanding? {
        guard let account = find(hash) else { return nil }
        let standing = standing(of: account)
        guard let wallet = standing.wallet else { return nil }
        endExpiredGrants(of: wallet, time: entryTime(now))
        expireHolds(until: entryTime(now))
        let tier = tier(standing.tier)
        var answer = QuoteStanding(
            pricing: book.price(record, tier: tier), available: available(of: wallet, for: GrantUse(record)),
            unlimited: accounts[wallet].unlimited, tier: Array(tier))
        if standing.status != .active {
            answer.pricing = .refused(
                Refusal(standing.status == .closed ? .accountClosed : .accountSuspended, field: .account))
        }
        guard case .priced(let priced) = answer.pricing else { return answer }
        answer.own = quotedCharge(priced, of: wallet, at: record.eventTime)
        if budgetCount > 0 {
            let names = budgetNames(record)
            let share = BudgetShare(
                cost: answer.own.charge, tokens: record.usage.inputTokens + record.usage.outputTokens,
                requests: 1, provider: names.provider, model: names.model)
            if let fault = budgetFault(share, of: account, time: entryTime(now)) {
                answer.pricing = .refused(fault)
                return answer
            }
        }
        if compare {
            var other = record
            other.credentialSource = record.credentialSource == .byok ? .platform : .byok
            if case .priced(let priced) = book.price(other, tier: tier) {
                answer.alternative = quotedCharge(priced, of: wallet, at: record.eventTime)
            }
        }
        return answer
    }

    func quotedCharge(
        _ priced: PricedUsage, of wallet: UInt32, at eventTime: Timestamp
    ) -> QuotedCharge {
        var quoted = QuotedCharge()
        quoted.fee = priced.fee
        if priced.monthlyAllowance > 0 {
            quoted.allowanceLeft = allowanceLeft(
                of: wallet, rule: priced.ruleNumber, month: CalendarMonth(containing: eventTime),
                monthly: priced.monthlyAllowance)
            quoted.allowanceUsed = min(quoted.allowanceLeft, priced.fee)
        }
        quoted.charge = quoted.fee - quoted.allowanceUsed
        return quoted
    }
}
