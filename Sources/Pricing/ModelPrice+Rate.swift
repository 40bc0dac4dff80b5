// Which rate applies to a unit. One function, used when a book is compiled and when a charge is explained.
//
// 1. The unit itself. For it, the threshold that the request is above, then the lower ones, then none;
//    in each of these the service tier's own rate, then the standard one.
// 2. Only if the unit is mentioned nowhere there, its stand-in (`UsageUnit.standIn`), looked up the same way.
//
// So a threshold or tier that is silent about a unit leaves its rate as it was, rather than billing cache
// reads at the input rate because a price list names only the two main prices of its batch tier.

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

    /// The rate of `unit` at a threshold and service tier (nil or `standard` for the standard one).
    func rate(_ unit: UsageUnit, threshold: Int?, serviceTier: String?) -> FoundRate? {
        var wanted: UsageUnit? = unit
        while let candidate = wanted {
            if let found = mentionedRate(candidate, threshold: threshold, serviceTier: serviceTier) {
                return found
            }
            wanted = candidate.standIn
        }
        return nil
    }

    private func mentionedRate(_ unit: UsageUnit, threshold: Int?, serviceTier: String?) -> FoundRate? {
        var index = threshold ?? -1
        while true {
            let card = index >= 0 ? thresholds[index].card : card
            let above = index >= 0 ? thresholds[index].inputTokensAbove : nil
            if let serviceTier, let rate = card.rates(serviceTier: serviceTier)?[unit] {
                return FoundRate(
                    rate: rate.count, unit: unit, inputTokensAbove: above, isStandardTier: false)
            }
            if let rate = card.standard[unit] {
                return FoundRate(
                    rate: rate.count, unit: unit, inputTokensAbove: above, isStandardTier: serviceTier != nil)
            }
            if index < 0 { return nil }
            index -= 1
        }
    }

    /// Every card of this price.
    var cards: [RateCard] { [card] + thresholds.map(\.card) }
}

/// The words for the tier that everybody gets: nothing, `standard`, and OpenAI's `default`.
enum StandardTier {
    static let names = ["standard", "default"]
}
