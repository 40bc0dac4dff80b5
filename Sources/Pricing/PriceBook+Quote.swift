// What a quote says beside the charge: every leaf, what the rule makes of them, and how much output a
// balance pays for. One look at the tables, from the same rows that price a report.
//
// The most output that `available` pays for is computed, not searched for:
//
//      fee = ⌊(2 × base × ratio + value) ÷ (2 × value)⌋ ≤ available       half up; value: of a credit
//      ⟺  base ≤ (value × (2 × available + 1) − 1) ÷ (2 × ratio)
//
// and the base grows by the output rate with each token.

import Bytes
import Money

/// What a quote says beside the charge, as plain values.
public struct QuoteDetails: Sendable {
    /// The most output tokens that can be paid for; nil where output costs nothing more.
    public var affordableOutputTokens: UInt64?
    /// What the rule makes of a cost.
    public internal(set) var effect = MarkupEffect.fixed(.zero)
    /// Nanocredits; 0 without a minimum.
    public internal(set) var minCharge: Int64 = 0
    /// The minimum is what decided the fee.
    public internal(set) var minChargeBinds = false
    /// The threshold that set the rates.
    public internal(set) var inputTokensAbove: Int64?
    /// The rates are those of off-peak hours.
    public internal(set) var isOffPeak = false

    public init() {}
}

/// What the steps of pricing a record found: indices into the tables of the book that priced it, and nothing to
/// anybody else.
public struct PricingSteps: Sendable {
    var base: Int64 = 0
    /// The units that were used, as bits.
    var units: UInt16 = 0
    var price = 0
    var row = 0
    var markup = 0

    public init() {}
}

/// What may be asked of a quote beside the price.
public struct QuoteOptions: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The price under the other credential source, too.
    public static let compare = QuoteOptions(rawValue: 1)
    /// Neither lines nor a token: the price, and whether it is covered.
    public static let brief = QuoteOptions(rawValue: 2)
}

extension PriceBook {
    /// Whether a charge or quote that names this rule version can be computed from this book. O(log versions).
    public func holds(ruleVersion: UInt32) -> Bool { tables.pinnedVersion(ruleVersion) != nil }

    /// Prices `record` as `price` does, and says how. Returns why it has no price; then neither `steps` nor
    /// `details` are about it.
    ///
    /// `affordableOutput` says the rest of the details. No allocation; O(bytes of the names).
    public func quote(
        _ record: borrowing UsageRecord, tier: ByteView, into priced: inout PricedUsage,
        details: inout QuoteDetails, steps: inout PricingSteps
    ) -> Unpriced? {
        if let fault = price(record, tier: tier, into: &priced, steps: &steps) { return fault }
        let markup = tables.markups[steps.markup]
        details.affordableOutputTokens = nil
        details.effect = markup.effect
        details.minCharge = markup.minCharge
        details.minChargeBinds =
            steps.base > 0 && markup.minCharge > 0 && priced.fee == markup.minCharge
            && markup.isBelowMinimum(base: steps.base, at: creditValue)
        details.inputTokensAbove = tables.threshold(
            price: steps.price, inputTokens: record.usage.inputTokens)
        details.isOffPeak = tables.isOffPeak(price: steps.price, at: record.eventTime)
        return nil
    }

    /// The details for an account of `tier`; nil for a record without a price.
    ///
    /// - Parameter available: nanocredits that a fee may take, what is left of an allowance included.
    public func quoteDetails(
        _ record: borrowing UsageRecord, tier: ByteView, available: Int64
    ) -> QuoteDetails? {
        var (details, steps, priced) = (QuoteDetails(), PricingSteps(), PricedUsage())
        if quote(record, tier: tier, into: &priced, details: &details, steps: &steps) != nil { return nil }
        details.affordableOutputTokens = affordableOutput(steps, of: record, available: available)
        return details
    }

    /// Writes every leaf of the record that was used, in the order of the units.
    public func writeLines(
        of steps: PricingSteps, _ record: borrowing UsageRecord, to lines: inout QuoteLines
    ) {
        lines.clear()
        guard let plain = record.usage.plainTokens else { return }
        if record.usage.rareUnion == 0 {
            append(.input, plain.input, row: steps.row, to: &lines)
            append(.cacheRead, record.usage.cacheReadTokens, row: steps.row, to: &lines)
            append(.output, plain.output, row: steps.row, to: &lines)
            return
        }
        guard let split = UsageSplit(ifConsistent: record.usage) else { return }
        append(split, row: steps.row, units: steps.units, to: &lines)
    }

    func append(_ split: UsageSplit, row: Int, units: UInt16, to lines: inout QuoteLines) {
        var rest = units
        while rest != 0 {
            let number = UInt8(rest.trailingZeroBitCount)
            rest &= rest - 1
            guard let unit = UsageUnit(rawValue: number) else { continue }
            append(unit, split[unit], row: row, to: &lines)
        }
    }

    @inline(__always)
    private func append(_ unit: UsageUnit, _ quantity: Int64, row: Int, to lines: inout QuoteLines) {
        if quantity == 0 { return }
        let rate = tables.rate(unit, row: row)
        // The sum of these fits, so each product does.
        lines.append(QuoteLine(unit: unit, quantity: quantity, rate: rate, amount: quantity * rate))
    }

    /// The most output tokens, at most `Usage.countMax`, whose fee `available` covers, at the record's input; nil
    /// where output costs nothing more.
    public func affordableOutput(
        _ steps: PricingSteps, of record: borrowing UsageRecord, available: Int64
    ) -> UInt64? {
        let row = steps.row
        let rate = tables.rate(.output, row: row)
        guard let plain = record.usage.plainTokens, rate > 0 else { return nil }
        // What the record's own output costs does not matter: plain output takes its place. Each of these
        // is part of the base, so nothing overflows.
        var fixed = steps.base - plain.output * rate
        if record.usage.rareUnion != 0 {
            func cost(_ count: Int64, _ unit: UsageUnit) -> Int64 {
                count > 0 ? count * tables.rate(unit, row: row) : 0
            }
            fixed -= cost(record.usage.reasoningTokens, .reasoning)
            fixed -= cost(record.usage.outputAudioTokens, .outputAudio)
            fixed -= cost(record.usage.outputImageTokens, .outputImage)
        }
        // A cost of nothing is free under every rule.
        let free: UInt64? = fixed == 0 ? 0 : nil
        let markup = tables.markups[steps.markup]
        guard let baseMax = markup.baseMax(fee: available, at: creditValue), baseMax >= fixed else {
            return free ?? 0
        }
        return UInt64(min((baseMax - fixed) / rate, Usage.countMax))
    }
}

extension CompiledMarkup {
    /// The largest cost, in picodollars, whose fee is at most `fee` nanocredits; nil if only a cost of 0 is.
    func baseMax(fee: Int64, at value: CreditValue) -> Int64? {
        guard fee >= minCharge, fee >= 0 else { return nil }
        switch effect {
        case .fixed(let credits): return fee >= credits.count ? .max : nil
        case .times(let ratio):
            guard ratio.billionths > 0 else { return .max }
            // At most 10^15 × 2^64, so it fits.
            let bound = Int128(value.picodollarsPerCredit) * (2 * Int128(fee) + 1) - 1
            let base = bound / (2 * Int128(ratio.billionths))
            return base > 0 ? Int64(clamping: base) : nil
        }
    }

    /// Whether the fee would be below the minimum without it.
    func isBelowMinimum(base: Int64, at value: CreditValue) -> Bool {
        switch effect {
        case .fixed(let credits): credits.count < minCharge
        case .times(let ratio):
            value.charge(base: base, ratio: ratio).map { $0.count < minCharge } ?? false
        }
    }
}

extension PriceTables {
    /// The threshold that `inputTokens` is above at a price; nil below all of them.
    func threshold(price: Int, inputTokens: Int64) -> Int64? {
        let run = bandRuns[price]
        var band = run.last
        while band > Int(run.first), inputTokens <= bands[band].inputTokensAbove { band -= 1 }
        let above = bands[band].inputTokensAbove
        return above >= 0 ? above : nil
    }

    /// Whether a price that is in force at an instant is the one of a model's off-peak hours.
    func isOffPeak(price: Int, at instant: Timestamp) -> Bool {
        schedules.contains {
            Int($0.offPeak) == price && $0.windows.contains { $0.contains(instant) }
        }
    }
}
