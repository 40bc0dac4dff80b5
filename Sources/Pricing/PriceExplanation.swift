// Why a charge is what it is: every factor from the counts to the last digit, as values and as words.
//
// An explanation is computed from the catalogue and the rules themselves, not from a book's compiled
// tables, so it is also a second opinion on them: both must agree to the nanocredit.

import Money

/// How a model's name was found.
public enum ModelMatch: String, Hashable, Sendable {
    case exact
    case alias
    case pattern
}

/// Every factor of one charge.
public struct PriceExplanation: Hashable, Sendable {
    /// A leaf: `amount = quantity × rate`.
    public struct Line: Hashable, Sendable {
        public var unit: UsageUnit
        public var quantity: Int64
        /// Picodollars per unit, and where it was found.
        public var found: FoundRate
        /// Picodollars.
        public var amount: Int64
    }

    public var catalogueVersion: UInt32
    /// As in the catalogue.
    public var provider: String
    public var model: String
    public var match: ModelMatch
    /// Validity of the price that applied.
    public var priceFrom: Timestamp
    public var priceUntil: Timestamp
    /// All input, cache included: what thresholds look at.
    public var inputTokens: Int64
    /// The threshold that applied.
    public var inputTokensAbove: Int64?
    /// The request fell into the price's off-peak hours.
    public var isOffPeak: Bool
    /// The service tier asked for; empty for the standard one.
    public var serviceTier: String
    public var lines: [Line]
    /// Picodollars.
    public var baseCost: Int64

    public var kind: RuleKind
    public var tier: String
    public var ruleID: String
    public var ruleNumber: UInt32
    public var ruleVersion: UInt32
    /// The provider whose override applied, if one did.
    public var overrideProvider: String?
    public var markup: Markup
    public var effect: MarkupEffect
    /// The fee before the minimum and before rounding, as exact credits; with more than 18 decimals
    /// where the value of a credit does not divide evenly, cut there and marked with `…`.
    public var exactFee: String
    /// Nanocredits; 0 without a minimum.
    public var minCharge: Int64
    /// The minimum is what decided the fee.
    public var minChargeBinds: Bool
    /// Nanocredits.
    public var fee: Int64
    /// Rounding to a nanocredit changed something.
    public var isRounded: Bool
    /// Fees waived per month under this rule, in nanocredits.
    public var monthlyAllowance: Int64
    public var creditValue: CreditValue

    /// A unit that was used had no rate of its own in the service tier.
    public var standardTierUsed: Bool { lines.contains { $0.found.isStandardTier } }
}

/// The answer to a request for an explanation.
public enum Explanation: Hashable, Sendable {
    case priced(PriceExplanation)
    case parked(Reason, RecordField)
    case refused(Refusal)
}

extension PriceExplanation {
    /// The explanation for a person, a factor to a line.
    public var text: String {
        var rows: [String] = []
        let found = match == .exact ? "" : " (by \(match.rawValue))"
        let since = priceFrom == .distantPast ? "" : ", price since \(priceFrom.text)"
        rows.append("\(provider) \(model)\(found), catalogue version \(catalogueVersion)\(since)")
        if let inputTokensAbove {
            rows.append("\(inputTokens) input tokens are above \(inputTokensAbove): long-context rates")
        }
        if isOffPeak { rows.append("the request ended in off-peak hours: off-peak rates") }
        rows += lines.map(row)
        rows.append("base cost \(usd(baseCost)) USD")
        let override = overrideProvider.map { ", override for \($0)" } ?? ""
        rows.append(
            "rule \(ruleID), version \(ruleVersion), tier \(tier), \(kind.rawValue)\(override): " + ruleText)
        rows.append(feeText)
        if monthlyAllowance > 0 {
            rows.append(
                "the first \(Nanocredits(monthlyAllowance).text) credits of fees a month under this rule are free"
            )
        }
        return rows.joined(separator: "\n")
    }

    private func row(_ line: Line) -> String {
        let price = line.unit.priceText(rate: line.found.rate)
        var notes: [String] = []
        if line.found.unit != line.unit { notes.append("rate of \(line.found.unit.name)") }
        if line.found.isStandardTier { notes.append("standard rate, none for \(serviceTier)") }
        let note = notes.isEmpty ? "" : " (" + notes.joined(separator: ", ") + ")"
        return
            "  \(line.unit.name): \(line.quantity) × \(price) \(line.unit.priceUnit) = \(usd(line.amount)) USD\(note)"
    }

    private var ruleText: String { markup.reading(for: kind) }

    private var feeText: String {
        let charge = kind == .platform ? "charge" : "fee"
        if baseCost == 0 { return "nothing was used that costs anything: \(charge) 0 credits" }
        let worth = "a credit is worth \(usd(creditValue.picodollarsPerCredit)) USD"
        var text: String
        switch effect {
        case .times(let ratio):
            text = "\(usd(baseCost)) USD × \(ratio.text), \(worth): \(exactFee) credits"
        case .fixed: text = "\(exactFee) credits"
        }
        if minChargeBinds { text += ", below the minimum of \(Nanocredits(minCharge).text) credits" }
        if isRounded { text += ", rounded half up to a nanocredit" }
        return text + ": \(charge) \(Nanocredits(fee).text) credits"
    }

    private func usd(_ picodollars: Int64) -> String { Picodollars(picodollars).text }
}
