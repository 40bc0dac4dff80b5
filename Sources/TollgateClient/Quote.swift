// A quote as the client hands it over.

import Bytes
import Pricing
import Wire

/// What a request would be charged. Amounts are nanocredits, the base cost picodollars.
public struct Quote: Hashable, Sendable {
    /// What would be taken from the wallet: `fee - allowanceUsed`.
    public var charge: Int64
    /// What the rule makes of the base cost.
    public var fee: Int64
    public var baseCost: Int64
    /// How the rule makes it; nil from a gateway that does not say.
    public var markup: Markup?
    /// The least that a request under the rule is charged, and whether that decided the fee.
    public var minCharge: Int64
    public var minChargeBinds: Bool
    /// What the wallet may spend now, and afterwards.
    public var available: Int64
    public var availableAfter: Int64
    public var sufficient: Bool
    public var unlimited: Bool
    /// The most output tokens that `available` and the allowance pay for; nil if output is free or the wallet
    /// unlimited.
    public var affordableOutputTokens: UInt64?
    /// Of a BYOK fee, what the month's free allowance would pay, and what is left of it before.
    public var allowanceUsed: Int64
    public var allowanceLeft: Int64
    public var ruleVersion: UInt32
    public var catalogueVersion: UInt32
    public var standardTierUsed: Bool
    /// The long-context threshold that set the rates.
    public var inputTokensAbove: UInt64?
    public var isOffPeak: Bool
    /// The charge under the other credential source, if it was asked for and a rule exists, and what that
    /// rule's allowance would pay of its fee.
    public var alternativeCharge: Int64?
    public var alternativeAllowanceUsed: Int64
    /// What the customer pays less in all with its own key: the platform's charge less the BYOK charge and the
    /// provider's cost. With an alternative.
    public var byokSaving: Int64?
    /// Pins this quote's prices until `expiresAtMicroseconds`; give it back in `UsageReport.quoteToken`. Empty
    /// for a quote of another time than now, and for a brief one.
    public var token: [UInt8]
    public var expiresAtMicroseconds: Int64
    /// Every factor of the base cost; none in a brief quote.
    public var lines: [Line]

    /// One factor: `amount = quantity * rate`, in picodollars.
    public struct Line: Hashable, Sendable {
        public var unit: String
        public var quantity: UInt64
        public var rate: Int64
        public var amount: Int64
    }

    /// What a rule makes of a cost.
    public enum Markup: Hashable, Sendable {
        /// A factor, in billionths.
        case ratio(billionths: Int64)
        /// Nanocredits per request.
        case fixed(Int64)
    }

    init(_ answer: QuoteAnswer) {
        charge = answer.charge
        fee = answer.fee
        baseCost = answer.baseCost
        switch answer.markup {
        case .ratio(let billionths): markup = .ratio(billionths: billionths)
        case .fixed(let charge): markup = .fixed(charge)
        case nil: markup = nil
        }
        minCharge = answer.minCharge
        minChargeBinds = answer.minChargeBinds
        available = answer.available
        availableAfter = answer.availableAfter
        sufficient = answer.sufficient
        unlimited = answer.unlimited
        affordableOutputTokens = answer.affordableOutputTokens
        allowanceUsed = answer.allowanceUsed
        allowanceLeft = answer.allowanceLeft
        ruleVersion = answer.ruleVersion
        catalogueVersion = answer.catalogueVersion
        standardTierUsed = answer.standardTierUsed
        inputTokensAbove = answer.inputTokensAbove
        isOffPeak = answer.isOffPeak
        alternativeCharge = answer.alternativeCharge
        alternativeAllowanceUsed = answer.alternativeAllowanceUsed
        byokSaving = answer.byokSaving
        token = Array(answer.quoteToken)
        expiresAtMicroseconds = answer.expiresAt
        lines = answer.lines.map {
            Line(unit: $0.unit.text, quantity: $0.quantity, rate: $0.rate, amount: $0.amount)
        }
    }
}
