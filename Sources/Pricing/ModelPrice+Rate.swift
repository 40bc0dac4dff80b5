// Which rate applies to a unit. One function, used when a book is compiled and when a charge is explained.
//
// 1. The unit itself. For it, the threshold that the request is above, then the lower ones, then none;
//    in each of these the service tier's own rate, then the standard one.
//    In the hours of an off-peak price its card comes before all of these.
// 2. Only if the unit is mentioned nowhere there, its stand-in (`UsageUnit.standIn`), looked up the same way.
//    A unit that is withheld is mentioned: it has no rate, and nothing stands in for it.
//
// So a threshold or tier that is silent about a unit leaves its rate as it was, rather than billing cache
// reads at the input rate because a price list names only the two main prices of its batch tier.

import Bytes

/// A rate, and where it was found.
public struct FoundRate: Hashable, Sendable {
    /// Picodollars per unit.
    public var rate: Int64
    /// The unit that the rate is for: the one asked, or its stand-in.
    public var unit: UsageUnit
    /// The threshold whose card it is on; nil for the card without one.
    public var inputTokensAbove: Int64?
    /// The service tier asked for has no rate of its own there.
    public var isStandardTier: Bool
}

extension ModelPrice {
    /// The threshold that a request of `inputTokens` in all is above, as an index; nil if none.
    func threshold(inputTokens: Int64) -> Int? {
        thresholds.lastIndex { inputTokens > $0.inputTokensAbove }
    }

    /// The rate of `unit` at a threshold and service tier (nil or `standard` for the standard one), in the
    /// off-peak hours or outside them; nil if it has none, or none that is known.
    func rate(
        _ unit: UsageUnit, threshold: Int?, serviceTier: String?, isOffPeak: Bool = false
    ) -> FoundRate? {
        var wanted: UsageUnit? = unit
        while let candidate = wanted {
            switch mention(candidate, threshold, serviceTier, isOffPeak: isOffPeak) {
            case .rate(let found): return found
            case .withheld: return nil
            case .none: wanted = candidate.standIn
            }
        }
        return nil
    }

    private enum Mention {
        case rate(FoundRate)
        case withheld
        case none
    }

    private func mention(
        _ unit: UsageUnit, _ threshold: Int?, _ serviceTier: String?, isOffPeak: Bool
    ) -> Mention {
        if isOffPeak, let offPeak {
            let found = Self.mention(unit, on: offPeak.card, serviceTier, above: nil)
            if case .none = found {} else { return found }
        }
        var index = threshold ?? -1
        while true {
            let found =
                index >= 0
                ? Self.mention(
                    unit, on: thresholds[index].card, serviceTier, above: thresholds[index].inputTokensAbove)
                : Self.mention(unit, on: card, serviceTier, above: nil)
            if case .none = found, index >= 0 { index -= 1 } else { return found }
        }
    }

    private static func mention(
        _ unit: UsageUnit, on card: RateCard, _ serviceTier: String?, above: Int64?
    ) -> Mention {
        if let serviceTier, let rates = card.rates(serviceTier: serviceTier) {
            if let rate = rates[unit] {
                return .rate(
                    FoundRate(rate: rate.count, unit: unit, inputTokensAbove: above, isStandardTier: false))
            }
            if rates.isWithheld(unit) { return .withheld }
        }
        if let rate = card.standard[unit] {
            return .rate(
                FoundRate(
                    rate: rate.count, unit: unit, inputTokensAbove: above,
                    isStandardTier: serviceTier != nil))
        }
        return card.standard.isWithheld(unit) ? .withheld : .none
    }

    /// Every card of this price.
    var cards: [RateCard] { [card] + thresholds.map(\.card) + (offPeak.map { [$0.card] } ?? []) }
}

/// The words for the tier that everybody gets: nothing, `standard`, and OpenAI's `default`.
enum StandardTier {
    static let names = ["standard", "default"]
}

/// The names of service tiers.
public enum ServiceTierName {
    /// Whether a name, in any letter case, stands for the tier that everybody gets.
    public static func isStandard(_ name: ByteView) -> Bool {
        if name.isEmpty { return true }
        return StandardTier.names.contains { word in
            word.utf8.count == name.count
                && zip(word.utf8, 0..<name.count).allSatisfy { $0 == name[$1] | 0x20 }
        }
    }
}
