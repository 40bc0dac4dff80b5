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

/// The breakdown of a priced record.
public struct QuoteDetails: Sendable {
    /// Every leaf that was used, in the order of the units.
    public var lines: [QuoteLine]
    /// The most output tokens that can be paid for; nil where output costs nothing more.
    public var affordableOutputTokens: UInt64?
    /// What the rule makes of a cost.
    public var effect: MarkupEffect
    /// Nanocredits; 0 without a minimum.
    public var minCharge: Int64
    /// The minimum is what decided the fee.
    public var minChargeBinds: Bool
    /// The threshold that set the rates.
    public var inputTokensAbove: Int64?
    /// The rates are those of off-peak hours.
    public var isOffPeak: Bool
}

extension PriceBook {
    /// Whether a charge or quote that names this rule version can be computed from this book. O(log versions).
    public func holds(ruleVersion: UInt32) -> Bool { tables.pinnedVersion(ruleVersion) != nil }

    /// The breakdown of `record` for an account of `tier`; nil if it has no price.
    ///
    /// - Parameter available: nanocredits that a fee may take, what is left of an allowance included.
    ///
    /// O(bytes of the names); allocates the list of lines.
    public func quoteDetails(
        _ record: borrowing UsageRecord, tier: ByteView, available: Int64
    ) -> QuoteDetails? {
        guard let source = record.credentialSource, let split = UsageSplit(valid: record.usage) else {
            return nil
        }
        let instant = record.eventTime
        let provider = Int(tables.providers.value(of: record.provider) ?? 0)
        let outcome = tables.ruleOutcome(
            source, tierSlot: Int(tables.tiers.value(of: tier) ?? 0), provider: provider, at: instant)
        guard outcome.refusal == nil,
            let price = tables.priceIndex(provider: provider, model: record.model, at: instant)
        else { return nil }
        let input = record.usage.inputTokens
        let row = tables.row(price: price, inputTokens: input, serviceTier: record.serviceTier).index
        let sum = tables.sum(split, row: row)
        if sum.isTooLarge || sum.unpricedUnit != nil { return nil }
        let markup = tables.markups[outcome.markupIndex]
        guard let fee = markup.fee(base: sum.cost, at: creditValue) else { return nil }
        return QuoteDetails(
            lines: lines(split, row: row, count: sum.units.nonzeroBitCount),
            affordableOutputTokens: affordableOutput(
                split, row: row, base: sum.cost, markup: markup, available: available),
            effect: markup.effect, minCharge: markup.minCharge,
            minChargeBinds: sum.cost > 0 && markup.minCharge > 0 && fee == markup.minCharge
                && markup.isBelowMinimum(base: sum.cost, at: creditValue),
            inputTokensAbove: tables.threshold(price: price, inputTokens: input),
            isOffPeak: tables.isOffPeak(provider: provider, model: record.model, at: instant))
    }

    func lines(_ split: UsageSplit, row: Int, count: Int) -> [QuoteLine] {
        var lines: [QuoteLine] = []
        lines.reserveCapacity(count)
        for raw in 0..<UInt8(UsageUnit.count) {
            guard let unit = UsageUnit(rawValue: raw) else { continue }
            let quantity = split[unit]
            guard quantity > 0 else { continue }
            // The sum of these fits, so each product does.
            let rate = tables.rate(unit, row: row)
            lines.append(QuoteLine(unit: unit, quantity: quantity, rate: rate, amount: quantity * rate))
        }
        return lines
    }

    /// The most output tokens, at most `Usage.countMax`, whose fee `available` covers, at the record's input.
    private func affordableOutput(
        _ split: UsageSplit, row: Int, base: Int64, markup: CompiledMarkup, available: Int64
    ) -> UInt64? {
        let rate = tables.rate(.output, row: row)
        guard rate > 0 else { return nil }
        // What the record's own output costs does not matter: plain output takes its place. Each of these
        // is part of the base, so nothing overflows.
        var fixed = base
        for unit in [UsageUnit.output, .reasoning, .outputAudio, .outputImage] where split[unit] > 0 {
            fixed -= split[unit] * tables.rate(unit, row: row)
        }
        // A cost of nothing is free under every rule.
        let free: UInt64? = fixed == 0 ? 0 : nil
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

    /// Whether a model's price at an instant is the one of its off-peak hours.
    func isOffPeak(provider: Int, model: ByteView, at instant: Timestamp) -> Bool {
        if schedules.isEmpty { return false }
        guard let index = priceIndex(provider: provider, model: model, at: instant) else { return false }
        return schedules.contains {
            Int($0.offPeak) == index && $0.windows.contains { $0.contains(instant) }
        }
    }
}
