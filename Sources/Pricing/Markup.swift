// What a rule adds: a kind and a value, and how both read for each rule kind.
//
//                 platform: the charge             BYOK: the fee
//      multiplier cost × value                     cost × (value − 1)
//      percentage cost × (1 + value)               cost × value
//      fixed      value credits per request        value credits per request
//
// On BYOK the user has paid the provider already, so a multiplier of 1.05 and a percentage of 0.05 both
// mean a fee of 5 %. A request that costs nothing is charged nothing under any of them.

import Money

/// How a markup's value is meant.
public enum MarkupType: String, Hashable, Sendable, CaseIterable {
    case multiplier
    case percentage
    case fixed

    /// The values that are plausible. A multiplier of 0.6 or a percentage of 60 is a slip of the pen.
    public var plausible: ClosedRange<Ratio> {
        switch self {
        case .multiplier: Ratio.one...Ratio(unsigned: 10)
        case .percentage: Ratio.zero...Ratio.one
        case .fixed: Ratio.zero...Ratio(unsigned: UInt32(PricingLimits.fixedCreditsMax))
        }
    }
}

/// Which of the two ways of paying a rule is for.
public enum RuleKind: String, Hashable, Sendable, CaseIterable {
    case platform
    case byok

    public init(_ source: CredentialSource) {
        switch source {
        case .platform: self = .platform
        case .byok: self = .byok
        }
    }
}

/// A markup: a type and its value.
public struct Markup: Hashable, Sendable {
    public var type: MarkupType
    /// For `fixed`, credits per request.
    public var value: Ratio

    public init(_ type: MarkupType, _ value: Ratio) {
        self.type = type
        self.value = value
    }

    public var isPlausible: Bool { type.plausible.contains(value) }

    /// What a rule of `kind` makes of a cost; nil if the value is so large that it does not fit.
    public func effect(for kind: RuleKind) -> MarkupEffect? {
        switch (type, kind) {
        case (.multiplier, .platform), (.percentage, .byok): .times(value)
        case (.multiplier, .byok): .times(value.subtracting(.one) ?? .zero)
        case (.percentage, .platform): value.adding(.one).map { .times($0) }
        case (.fixed, _): .fixed(Nanocredits(value.billionths))
        }
    }

    /// In words: `cost × 1.6`, `a fee of 5 % of the cost`, `1.5 credits per request`.
    public func reading(for kind: RuleKind) -> String {
        switch (effect(for: kind), kind) {
        case (.times(let ratio), .platform): "cost × \(ratio.text)"
        case (.times(let ratio), .byok):
            "a fee of \(DecimalText.format(Int128(ratio.billionths) * 100, places: Ratio.places)) % of the cost"
        case (.fixed(let credits), _): "\(credits.text) credits per request"
        case (nil, _): "more than can be counted"
        }
    }

    /// The markup that a value means when it is sent without a type: the stored type, if the value is
    /// plausible for it. Otherwise the problem, with every reading spelled out.
    public static func reading(
        _ value: Ratio, storedType: MarkupType, kind: RuleKind
    ) throws(MarkupAmbiguity) -> Markup {
        let markup = Markup(storedType, value)
        guard markup.isPlausible else {
            throw MarkupAmbiguity(value: value, storedType: storedType, kind: kind)
        }
        return markup
    }
}

/// A value that came without its type and is not plausible for the stored one.
public struct MarkupAmbiguity: Error, Hashable, Sendable {
    public var value: Ratio
    public var storedType: MarkupType
    public var kind: RuleKind

    /// Says both readings and what to send.
    public var problem: String {
        let readings = MarkupType.allCases.filter { $0 == storedType || Markup($0, value).isPlausible }
            .map { "as \($0.rawValue) it is \(Markup($0, value).reading(for: kind))" }
        return "\(value.text) came without markup_type, and the stored type \(storedType.rawValue) takes "
            + "\(storedType.plausible.lowerBound.text) to \(storedType.plausible.upperBound.text): "
            + readings.joined(separator: ", ") + "; send markup_type with it"
    }
}

/// What a markup makes of a cost.
public enum MarkupEffect: Hashable, Sendable {
    case times(Ratio)
    case fixed(Nanocredits)
}

extension Ratio {
    /// A whole factor.
    init(unsigned value: UInt32) {
        // At most 2^32 × 10^9, so it fits and is not negative.
        self = Ratio(billionths: Int64(value) * Ratio.unit) ?? .zero
    }
}
