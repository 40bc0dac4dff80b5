// Records, catalogues and rules for tests, written as short as they are read.

import Bytes
import Money
import Pricing
import StrictJSON
import Testing

/// The names of a record, as text; the bytes live as long as `price` runs.
struct Names {
    var provider = "openrouter"
    var model = "sonnet"
    var serviceTier = ""
    var tier = "professional"
}

extension PriceBook {
    /// Lends `body` a record with these names.
    static func withRecord<Value>(
        _ names: Names, _ source: CredentialSource?, _ usage: Usage, at time: Timestamp,
        _ body: (borrowing UsageRecord, ByteView) -> Value
    ) -> Value {
        let texts = [names.provider, names.model, names.serviceTier, names.tier].map { Array($0.utf8) }
        return Array(texts.joined()).withView { view in
            var start = 0
            let views = texts.map { text in
                defer { start += text.count }
                return view[start..<start + text.count]
            }
            var record = UsageRecord()
            record.credentialSource = source
            record.provider = views[0]
            record.model = views[1]
            record.serviceTier = views[2]
            record.usage = usage
            record.eventTime = time
            return body(record, views[3])
        }
    }

    func price(
        _ usage: Usage, _ source: CredentialSource? = .platform, _ names: Names = Names(),
        at time: Timestamp = .now
    ) -> PricingOutcome {
        Self.withRecord(names, source, usage, at: time) { record, tier in price(record, tier: tier) }
    }

    /// By a rule version that a quote pinned.
    func price(
        _ record: borrowing UsageRecord, ruleVersion: UInt32, at instant: Timestamp
    ) -> PricingOutcome {
        var priced = PricedUsage()
        return PricingOutcome(
            price(record, ruleVersion: ruleVersion, at: instant, into: &priced), priced)
    }

    func explain(
        _ usage: Usage, _ source: CredentialSource? = .platform, _ names: Names = Names(),
        at time: Timestamp = .now, ruleVersion: UInt32? = nil
    ) -> Explanation {
        Self.withRecord(names, source, usage, at: time) { record, tier in
            explain(record, tier: tier, ruleVersion: ruleVersion)
        }
    }

    func lines(_ usage: Usage, _ names: Names = Names(), at time: Timestamp = .now) -> [QuoteLine] {
        Self.withRecord(names, .platform, usage, at: time) { record, _ in lines(for: record) }
    }

    /// The fee as text in credits; nil if it is not priced.
    func fee(
        _ usage: Usage, _ source: CredentialSource? = .platform, _ names: Names = Names(),
        at time: Timestamp = .now
    ) -> String? {
        guard case .priced(let priced) = price(usage, source, names, at: time) else { return nil }
        return Nanocredits(priced.fee).text
    }
}

extension PricingOutcome {
    var priced: PricedUsage? {
        guard case .priced(let priced) = self else { return nil }
        return priced
    }

    var refusal: Reason? {
        guard case .refused(let refusal) = self else { return nil }
        return refusal.reason
    }
}

extension Timestamp {
    /// 2025-10-09, the "now" of tests.
    static let now = Timestamp(microseconds: 1_760_000_000_000_000)

    static func day(_ day: Int64) -> Timestamp {
        Timestamp(microseconds: now.microseconds + day * 86_400_000_000)
    }
}

extension Usage {
    init(_ input: Int64, _ output: Int64 = 0) {
        self.init()
        inputTokens = input
        outputTokens = output
    }

    func with(_ change: (inout Usage) -> Void) -> Usage {
        var copy = self
        change(&copy)
        return copy
    }
}

extension Rates {
    /// Catalogue prices: USD per million tokens, or per unit.
    init(_ prices: [UsageUnit: String]) {
        self.init()
        for (unit, price) in prices {
            do {
                self[unit] = Picodollars(
                    try DecimalText.parse(price.utf8, places: unit.isToken ? 6 : 12, signed: false))
            } catch {
                Issue.record("\(unit): \(error)")
            }
        }
    }
}

extension CatalogueModel {
    /// A model with one price without dates.
    init(
        _ provider: String, _ id: String, aliases: [String] = [], patterns: [String] = [],
        _ prices: [UsageUnit: String], tiers: [String: [UsageUnit: String]] = [:],
        above: [(Int64, [UsageUnit: String])] = [], isExplicitZero: Bool = false
    ) {
        self.init(
            provider: provider, id: id, aliases: aliases, patterns: patterns,
            prices: [
                ModelPrice(
                    isExplicitZero: isExplicitZero,
                    card: RateCard(
                        standard: Rates(prices),
                        serviceTiers: tiers.sorted { $0.key < $1.key }
                            .map { RateCard.ServiceTier(name: $0.key, rates: Rates($0.value)) }),
                    thresholds: above.map {
                        PriceThreshold(inputTokensAbove: $0.0, card: RateCard(standard: Rates($0.1)))
                    })
            ])
    }

    /// 3 and 15 USD per million, at OpenRouter.
    static let sonnet = CatalogueModel(
        "openrouter", "sonnet", [.input: "3", .output: "15", .cacheRead: "0.3", .cacheWrite5m: "3.75"])
}

func catalogue(_ models: [CatalogueModel], version: UInt32 = 1) -> Catalogue {
    Catalogue(version: version, models: models)
}

func book(
    _ models: [CatalogueModel], _ rules: RuleBook = .standard, _ value: CreditValue = .standard
) throws -> PriceBook {
    try PriceBook(catalogue: catalogue(models), rules: rules, creditValue: value)
}

/// A BYOK rule of 5 % without minimum or allowance, for every tier.
func byokRule(
    _ id: String, _ number: UInt32, version: UInt32? = nil, provider: String = "openrouter",
    percent: Int64 = 5, tiers: [String] = ["*"], priority: Int32 = 0, from: Timestamp = .distantPast,
    until: Timestamp = .distantFuture, isActive: Bool = true
) throws -> BYOKRule {
    BYOKRule(
        head: RuleVersion(
            id: id, ruleNumber: number, version: version ?? number, effectiveAt: from, effectiveUntil: until,
            isActive: isActive),
        provider: provider,
        markup: Markup(.percentage, try #require(Ratio(billionths: percent * 10_000_000))),
        appliesToTiers: tiers, priority: priority)
}

func platformRule(
    _ tier: String, _ number: UInt32, version: UInt32? = nil, percent: Int64 = 160,
    overrides: [PlatformRule.ProviderOverride] = [], from: Timestamp = .distantPast,
    until: Timestamp = .distantFuture, isActive: Bool = true
) throws -> PlatformRule {
    PlatformRule(
        head: RuleVersion(
            id: "platform_\(tier)", ruleNumber: number, version: version ?? number, effectiveAt: from,
            effectiveUntil: until, isActive: isActive),
        tierCode: tier, markup: Markup(.multiplier, try #require(Ratio(billionths: percent * 10_000_000))),
        providerOverrides: overrides)
}

func parse(_ json: String) throws -> JSONNode { JSONNode(try JSONValue(parsing: json)) }

/// SplitMix64, so that a seed repeats a run.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
