// The price catalogue: what providers take for a unit, by model, date, service tier and length.
//
//      catalogue
//        model             provider, id, aliases, patterns
//          price           effective from … until
//            card          rates of the standard tier, and of service tiers
//            threshold     above N input tokens: another card, laid over the first
//            off-peak      in certain hours of the week: another card, laid over the first
//
// A card that is laid over another replaces what it mentions and leaves the rest, and so does a service
// tier over the standard one. The order in which a rate is looked up is in `ModelPrice.rate`.

import Money

/// One version of all prices. An immutable value; changing prices makes another version.
public struct Catalogue: Hashable, Sendable {
    /// Assigned when the catalogue is approved; not part of its content.
    public var version: UInt32
    /// Where the prices come from, and under which licence.
    public var source: String
    /// Other names of providers, for example `gemini` for `google`; lower-case.
    public var providerAliases: [ProviderAlias]
    public var models: [CatalogueModel]

    /// A provider's other name.
    public struct ProviderAlias: Hashable, Sendable {
        public var alias: String
        public var provider: String

        public init(alias: String, provider: String) {
            self.alias = alias
            self.provider = provider
        }
    }

    public init(
        version: UInt32, source: String = "", providerAliases: [ProviderAlias] = [],
        models: [CatalogueModel] = []
    ) {
        self.version = version
        self.source = source
        self.providerAliases = providerAliases
        self.models = models
    }
}

/// One model of one provider. Letter case of its names does not count.
public struct CatalogueModel: Hashable, Sendable {
    public var provider: String
    public var id: String
    /// Other exact names.
    public var aliases: [String]
    /// Names with `*`, each of which stands for any run of bytes. Tried when no exact name fits; the one
    /// with the most literal bytes wins, then the first in the alphabet.
    public var patterns: [String]
    public var prices: [ModelPrice]

    public init(
        provider: String, id: String, aliases: [String] = [], patterns: [String] = [], prices: [ModelPrice]
    ) {
        self.provider = provider
        self.id = id
        self.aliases = aliases
        self.patterns = patterns
        self.prices = prices
    }
}

/// What a model costs for a while. At any instant the price that began last and has not ended applies.
public struct ModelPrice: Hashable, Sendable {
    public var effectiveFrom: Timestamp
    /// The first instant at which it no longer applies.
    public var effectiveUntil: Timestamp
    /// Says that rates of 0 are meant: the unit is free. Without it a rate of 0 is refused, because in
    /// price lists a 0 is as often a gap.
    public var isExplicitZero: Bool
    public var card: RateCard
    /// In ascending order of tokens.
    public var thresholds: [PriceThreshold]
    /// What applies in certain hours of the week; a price with thresholds has none.
    public var offPeak: OffPeakPrice?

    public init(
        effectiveFrom: Timestamp = .distantPast, effectiveUntil: Timestamp = .distantFuture,
        isExplicitZero: Bool = false, card: RateCard, thresholds: [PriceThreshold] = [],
        offPeak: OffPeakPrice? = nil
    ) {
        self.effectiveFrom = effectiveFrom
        self.effectiveUntil = effectiveUntil
        self.isExplicitZero = isExplicitZero
        self.card = card
        self.thresholds = thresholds
        self.offPeak = offPeak
    }
}

/// The rates of the standard tier, and of each service tier that differs.
public struct RateCard: Hashable, Sendable {
    public var standard: Rates
    /// In alphabetical order of names; names are lower-case.
    public var serviceTiers: [ServiceTier]

    /// A service tier's own rates.
    public struct ServiceTier: Hashable, Sendable {
        public var name: String
        public var rates: Rates

        public init(name: String, rates: Rates) {
            self.name = name
            self.rates = rates
        }
    }

    public init(standard: Rates, serviceTiers: [ServiceTier] = []) {
        self.standard = standard
        self.serviceTiers = serviceTiers
    }

    /// The rates of a service tier, or nil if the card has none of its own for it.
    func rates(serviceTier name: String) -> Rates? { serviceTiers.first { $0.name == name }?.rates }
}

/// Rates for requests with more input tokens than a limit.
///
/// One threshold applies to a request, the highest whose limit its whole input (cache included) is
/// strictly above, and it sets the rates of every unit. It is a cliff, not a margin.
public struct PriceThreshold: Hashable, Sendable {
    public var inputTokensAbove: Int64
    public var card: RateCard

    public init(inputTokensAbove: Int64, card: RateCard) {
        self.inputTokensAbove = inputTokensAbove
        self.card = card
    }
}

/// Picodollars per unit, for the units that have a rate.
///
/// A unit may also be *withheld*: it has a price of its own that is not known here. What is withheld is not
/// priced by any other rate, neither a stand-in nor the standard tier's, so its use is parked until a
/// price comes. A unit that is simply not mentioned is priced by what stands in for it.
public struct Rates: Hashable, Sendable {
    private static let absent: Int64 = -1
    private static let withheld: Int64 = -2
    private var picodollars = [Int64](repeating: absent, count: UsageUnit.count)

    public init() {}

    public init(_ rates: [UsageUnit: Picodollars]) {
        for (unit, rate) in rates { self[unit] = rate }
    }

    /// The rate of one `unit`; nil if it has none or is withheld. Setting nil takes either away. A
    /// negative rate cannot be stored: it is a bug of the caller.
    public subscript(unit: UsageUnit) -> Picodollars? {
        get {
            let rate = picodollars[Int(unit.rawValue)]
            return rate < 0 ? nil : Picodollars(rate)
        }
        set {
            precondition(newValue.map { $0.count >= 0 } ?? true, "a rate is not negative")
            picodollars[Int(unit.rawValue)] = newValue?.count ?? Self.absent
        }
    }

    /// Says that `unit` has a price that is not known here.
    public mutating func withhold(_ unit: UsageUnit) { picodollars[Int(unit.rawValue)] = Self.withheld }

    /// Whether `unit` has a price that is not known here.
    public func isWithheld(_ unit: UsageUnit) -> Bool { picodollars[Int(unit.rawValue)] == Self.withheld }

    /// Whether no unit is mentioned, neither with a rate nor withheld.
    public var isEmpty: Bool { picodollars.allSatisfy { $0 == Self.absent } }
    /// The units with a rate, in their order.
    public var units: [UsageUnit] { UsageUnit.allCases.filter { self[$0] != nil } }
    /// The units with a rate and those withheld, in their order.
    public var mentionedUnits: [UsageUnit] {
        UsageUnit.allCases.filter { picodollars[Int($0.rawValue)] != Self.absent }
    }
}
