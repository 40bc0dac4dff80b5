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

/// A quote against an account's standing. Amounts are in nanocredits. A value to be filled, and filled again: it is
/// passed through the middle a million times a second.
public struct QuoteStanding: Sendable {
    /// Why there is no quote; nil if there is one.
    public internal(set) var fault: Unpriced?
    public internal(set) var priced = PricedUsage()
    /// How it was priced, and what the wallet and the allowance pay for.
    public internal(set) var details = QuoteDetails()
    public internal(set) var steps = PricingSteps()
    /// What would be taken from the wallet; zeros where it has no price.
    public internal(set) var own = QuotedCharge()
    /// The same under the other credential source, where it was asked for and has a price.
    public internal(set) var alternative: QuotedCharge?
    public internal(set) var available: Int64 = 0
    public internal(set) var unlimited = false

    public init() {}
}

extension ShardState {
    /// Prices a record as a report of it would be priced now. A refusal if there is no such account.
    mutating func quoteStanding(
        _ hash: Hash128, record: borrowing UsageRecord, book: PriceBook, compare: Bool, now: Timestamp,
        into answer: inout QuoteStanding, noteTier: (ByteView) -> Void
    ) {
        answer.own = QuotedCharge()
        answer.alternative = nil
        guard let account = find(hash) ?? moved(record.account), case let standing = standing(of: account),
            let wallet = standing.wallet
        else {
            answer.fault = .refused(Refusal(.accountNotFound, field: .account))
            return
        }
        endExpiredGrants(of: wallet, time: entryTime(now))
        expireHolds(until: entryTime(now))
        answer.available = available(of: wallet, for: GrantUse(record))
        answer.unlimited = accounts[wallet].unlimited
        let tier = tier(standing.tier)
        noteTier(tier)
        answer.fault = book.quote(
            record, tier: tier, into: &answer.priced, details: &answer.details, steps: &answer.steps)
        if standing.status != .active {
            answer.fault = .refused(
                Refusal(standing.status == .closed ? .accountClosed : .accountSuspended, field: .account))
        }
        if answer.fault != nil { return }
        answer.own = quotedCharge(answer.priced, of: wallet, at: record.eventTime)
        if budgetCount > 0 {
            let names = budgetNames(record)
            let share = BudgetShare(
                cost: answer.own.charge, tokens: record.usage.inputTokens + record.usage.outputTokens,
                requests: 1, provider: names.provider, model: names.model)
            if let fault = budgetFault(share, of: account, time: entryTime(now)) {
                answer.fault = .refused(fault)
                return
            }
        }
        // What the allowance pays needs no credit, so in debt it is all that there is.
        let spendable = max(0, answer.available).addingReportingOverflow(answer.own.allowanceLeft)
        answer.details.affordableOutputTokens = book.affordableOutput(
            answer.steps, of: record, available: spendable.overflow ? .max : spendable.partialValue)
        guard compare else { return }
        var other = record.copy()
        other.credentialSource = record.credentialSource == .byok ? .platform : .byok
        if case .priced(let priced) = book.price(other, tier: tier) {
            answer.alternative = quotedCharge(priced, of: wallet, at: record.eventTime)
        }
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
