// What a quote needs to know of an account. A quote changes nothing and spends no allowance.

import Bytes
import Pricing

/// A priced quote against an account's standing. Amounts are in nanocredits.
public struct QuoteStanding: Sendable {
    public var pricing: PricingOutcome
    /// What would be taken from the wallet, and what the month's allowance would pay.
    public var charge: Int64
    public var allowanceUsed: Int64
    public var available: Int64
    public var unlimited: Bool
    public var tier: [UInt8]
}

extension ShardState {
    /// Prices a record as a report of it would be priced now. Nil when there is no such account.
    mutating func quoteStanding(
        _ hash: Hash128, record: UsageRecord, book: PriceBook, now: Timestamp
    ) -> QuoteStanding? {
        guard let account = find(hash) else { return nil }
        let standing = standing(of: account)
        guard let wallet = standing.wallet else { return nil }
        endExpiredGrants(of: wallet, time: entryTime(now))
        let row = accounts[wallet]
        let (available, overflow) = row.balance.addingReportingOverflow(row.overdraftLimit)
        let tier = tier(standing.tier)
        var answer = QuoteStanding(
            pricing: book.price(record, tier: tier), charge: 0, allowanceUsed: 0,
            available: overflow ? .max : available, unlimited: row.unlimited, tier: Array(tier))
        if standing.status != .active {
            answer.pricing = .refused(
                Refusal(standing.status == .closed ? .accountClosed : .accountSuspended, field: .account))
        }
        if case .priced(let priced) = answer.pricing {
            if priced.monthlyAllowance > 0 {
                let left = allowanceLeft(
                    of: wallet, rule: priced.ruleNumber, month: CalendarMonth(containing: record.eventTime),
                    monthly: priced.monthlyAllowance)
                answer.allowanceUsed = min(left, priced.fee)
            }
            answer.charge = priced.fee - answer.allowanceUsed
        }
        return answer
    }
}
