// Makes the tables of a price book: names get numbers, dated prices become steps, cards become rows, and
// every (kind, tier, provider) gets the timeline of its rule.

import Bytes
import Money

struct PriceCompiler: ~Copyable {
    let catalogue: Catalogue
    let rules: RuleBook
    let creditValue: CreditValue
    var tables = PriceTables()

    /// Names by number; 0 is any other.
    private var providerNames: [String?] = [nil]
    private var tierNames: [String?] = [nil]
    private var serviceTierNames: [String] = [StandardTier.names[0]]
    private var rowNumbers: [[Int64]: Int32] = [:]
    private var timelineNumbers: [[PriceTables.Step<RuleOutcome>]: UInt32] = [:]

    init(catalogue: Catalogue, rules: RuleBook, creditValue: CreditValue) {
        self.catalogue = catalogue
        self.rules = rules
        self.creditValue = creditValue
    }

    consuming func compile() throws(PricingError) -> PriceTables {
        try nameProviders()
        try nameTiers()
        nameServiceTiers()
        for (number, model) in catalogue.models.enumerated() {
            nameModel(model, number: UInt32(number))
            compilePrices(of: model)
        }
        sortPatterns()
        try compileRules()
        tables.tierTexts = tierNames.map { $0 ?? "" }
        tables.providerTexts = providerNames.map { $0 ?? "" }
        return tables
    }

    // MARK: Names

    private mutating func provider(_ name: String) -> UInt32 {
        let next = UInt32(providerNames.count)
        let known = name.withView { tables.providers.insert($0, value: next) }
        if let known { return known }
        providerNames.append(name)
        tables.catalogueProvider.append(next)
        return next
    }

    private mutating func nameProviders() throws(PricingError) {
        for model in catalogue.models { _ = provider(model.provider) }
        for alias in catalogue.providerAliases {
            let number = provider(alias.alias)
            tables.catalogueProvider[Int(number)] = provider(alias.provider)
        }
        for rule in rules.platform {
            for override in rule.providerOverrides { _ = provider(override.provider) }
        }
        for rule in rules.byok where rule.provider != Wildcard.any { _ = provider(rule.provider) }
        tables.providerCount = providerNames.count
        if providerNames.count > PricingLimits.providersMax {
            throw .tooMany(
                what: "providers", found: providerNames.count, max: PricingLimits.providersMax)
        }
    }

    private mutating func nameTiers() throws(PricingError) {
        let names = rules.platform.map(\.tierCode) + rules.byok.flatMap(\.appliesToTiers)
        for name in names where name != Wildcard.any {
            let next = UInt32(tierNames.count)
            if name.withView({ tables.tiers.insert($0, value: next) }) == nil { tierNames.append(name) }
        }
        tables.tierCount = tierNames.count
        if tierNames.count - 1 > PricingLimits.tiersMax {
            throw .tooMany(what: "tiers", found: tierNames.count - 1, max: PricingLimits.tiersMax)
        }
    }

    private mutating func nameServiceTiers() {
        for name in StandardTier.names { _ = name.withView { tables.serviceTiers.insert($0, value: 0) } }
        for model in catalogue.models {
            for card in model.prices.flatMap(\.cards) {
                for tier in card.serviceTiers {
                    let next = UInt32(serviceTierNames.count)
                    if tier.name.withView({ tables.serviceTiers.insert($0, value: next) }) == nil {
                        serviceTierNames.append(tier.name)
                    }
                }
            }
        }
    }

    private mutating func nameModel(_ model: CatalogueModel, number: UInt32) {
        let scope = provider(model.provider)
        for name in [model.id] + model.aliases {
            _ = name.withView { tables.modelNames.insert($0, scope: scope, value: number) }
        }
        for pattern in model.patterns {
            tables.patterns.append(PriceTables.Pattern(pattern, model: number))
        }
    }

    /// Groups patterns by provider, the one with the most literal bytes first.
    private mutating func sortPatterns() {
        let models = catalogue.models
        func scope(_ pattern: PriceTables.Pattern) -> UInt32 { provider(models[Int(pattern.model)].provider) }
        var groups: [UInt32: [PriceTables.Pattern]] = [:]
        for pattern in tables.patterns { groups[scope(pattern), default: []].append(pattern) }
        tables.patterns = []
        tables.patternRuns = []
        for number in providerNames.indices {
            let group = groups[UInt32(number), default: []].sorted { left, right in
                if left.literalCount != right.literalCount { return left.literalCount > right.literalCount }
                return left.text.lexicographicallyPrecedes(right.text)
            }
            tables.patternRuns.append(
                PriceTables.Run(first: UInt32(tables.patterns.count), count: UInt32(group.count)))
            tables.patterns += group
        }
    }

    // MARK: Prices

    private mutating func compilePrices(of model: CatalogueModel) {
        let steps = Timeline.steps(
            model.prices.map { Validity(from: $0.effectiveFrom, until: $0.effectiveUntil, order: 0) })
        let codes = model.prices.map { price in
            let peak = compileBands(price)
            guard let offPeak = price.offPeak else { return peak }
            tables.schedules.append(
                PriceTables.Schedule(
                    windows: offPeak.windows, peak: peak, offPeak: compileBands(price, isOffPeak: true)))
            return -1 - Int32(tables.schedules.count)
        }
        tables.modelSteps.append(
            PriceTables.Run(first: UInt32(tables.priceSteps.count), count: UInt32(steps.count)))
        for step in steps {
            tables.priceSteps.append(
                PriceTables.Step(start: step.start, value: step.index.map { codes[$0] } ?? -1))
        }
    }

    /// The number of a new run of bands: one without threshold and one for each.
    private mutating func compileBands(_ price: ModelPrice, isOffPeak: Bool = false) -> Int32 {
        tables.bandRuns.append(
            PriceTables.Run(first: UInt32(tables.bands.count), count: UInt32(price.thresholds.count + 1)))
        compileBand(price, threshold: nil, isOffPeak: isOffPeak)
        for index in price.thresholds.indices {
            compileBand(price, threshold: index, isOffPeak: isOffPeak)
        }
        return Int32(tables.bandRuns.count - 1)
    }

    private mutating func compileBand(_ price: ModelPrice, threshold: Int?, isOffPeak: Bool) {
        tables.bands.append(
            PriceTables.Band(
                inputTokensAbove: threshold.map { price.thresholds[$0].inputTokensAbove } ?? -1,
                firstRow: UInt32(tables.rowRefs.count)))
        for (number, name) in serviceTierNames.enumerated() {
            var rates: [Int64] = []
            var standardTierUnits: UInt16 = 0
            for unit in UsageUnit.allCases {
                let found = price.rate(
                    unit, threshold: threshold, serviceTier: number == 0 ? nil : name, isOffPeak: isOffPeak)
                rates.append(found?.rate ?? -1)
                if found?.isStandardTier == true { standardTierUnits |= 1 << UInt16(unit.rawValue) }
            }
            tables.rowRefs.append(
                PriceTables.RowRef(index: row(rates), standardTierUnits: standardTierUnits))
        }
    }

    /// The number of a row with these rates; equal rows are kept once.
    private mutating func row(_ rates: [Int64]) -> Int32 {
        if let number = rowNumbers[rates] { return number }
        let number = Int32(rowNumbers.count)
        rowNumbers[rates] = number
        tables.rates += rates
        return number
    }

    // MARK: Rules

    private mutating func compileRules() throws(PricingError) {
        var platformOutcomes: [(standard: RuleOutcome, overrides: [UInt32: RuleOutcome])] = []
        for rule in rules.platform {
            let standard = try outcome(rule.markup, rule.head, kind: .platform)
            var overrides: [UInt32: RuleOutcome] = [:]
            for override in rule.providerOverrides {
                overrides[provider(override.provider)] =
                    override.isActive
                    ? try outcome(rule.markup(of: override), rule.head, kind: .platform)
                    : RuleOutcome(refusal: .providerInactive)
            }
            // A provider's other name has its overrides, unless it has its own.
            let names = tables.catalogueProvider
            for (alias, original) in names.enumerated() where overrides[UInt32(alias)] == nil {
                overrides[UInt32(alias)] = overrides[original]
            }
            platformOutcomes.append((standard, overrides))
            pin(rule.head.version, .platform, standard, overrides)
        }
        var byokOutcomes: [RuleOutcome] = []
        for rule in rules.byok {
            let standard = try outcome(
                rule.markup, rule.head, kind: .byok, minCharge: rule.minCharge,
                allowance: rule.freeCreditsMonthly)
            byokOutcomes.append(standard)
            pinBYOK(rule, standard)
        }
        tables.pinnedVersions.sort { $0.version < $1.version }
        tables.timelineOf = []
        for tier in tierNames { try compilePlatform(tier, platformOutcomes) }
        for tier in tierNames { try compileBYOK(tier, byokOutcomes) }
    }

    private mutating func outcome(
        _ markup: Markup, _ head: RuleVersion, kind: RuleKind, minCharge: Picodollars = .zero,
        allowance: Picodollars = .zero
    ) throws(PricingError) -> RuleOutcome {
        guard let effect = markup.effect(for: kind) else {
            throw .amountTooLarge(rule: head.id, field: "markup_value")
        }
        guard let minCharge = creditValue.nanocredits(minCharge) else {
            throw .amountTooLarge(rule: head.id, field: "min_charge")
        }
        guard let allowance = creditValue.nanocredits(allowance) else {
            throw .amountTooLarge(rule: head.id, field: "free_credits_monthly")
        }
        tables.markups.append(
            CompiledMarkup(
                effect: effect, minCharge: minCharge.count, allowance: allowance.count,
                ruleNumber: head.ruleNumber, ruleVersion: head.version))
        return RuleOutcome(markup: tables.markups.count - 1)
    }

    private mutating func pin(
        _ version: UInt32, _ kind: RuleKind, _ standard: RuleOutcome, _ overrides: [UInt32: RuleOutcome]
    ) {
        let first = UInt32(tables.pinnedOverrides.count)
        for (provider, outcome) in overrides.sorted(by: { $0.key < $1.key }) {
            tables.pinnedOverrides.append(
                PriceTables.PinnedOverride(provider: provider, outcome: outcome))
        }
        tables.pinnedVersions.append(
            PriceTables.PinnedVersion(
                version: version, kind: kind, standard: standard,
                overrides: PriceTables.Run(first: first, count: UInt32(overrides.count))))
    }

    /// A BYOK version can be pinned for its provider only, by any of its names.
    private mutating func pinBYOK(_ rule: BYOKRule, _ outcome: RuleOutcome) {
        if rule.provider == Wildcard.any {
            pin(rule.head.version, .byok, outcome, [:])
            return
        }
        let own = provider(rule.provider)
        var names = [own: outcome]
        for (alias, original) in tables.catalogueProvider.enumerated() where original == own {
            names[UInt32(alias)] = outcome
        }
        pin(rule.head.version, .byok, RuleOutcome(refusal: .noPricingRule), names)
    }

    private mutating func compilePlatform(
        _ tier: String?, _ outcomes: [(standard: RuleOutcome, overrides: [UInt32: RuleOutcome])]
    ) throws(PricingError) {
        let timeline = tier.flatMap { rules.platformTimeline(tier: $0) }
        var overridden: Set<UInt32> = []
        for index in timeline?.versions ?? [] { overridden.formUnion(outcomes[index].overrides.keys) }
        func steps(_ provider: UInt32) -> [PriceTables.Step<RuleOutcome>] {
            guard let timeline else {
                return [PriceTables.Step(start: .distantPast, value: RuleOutcome(refusal: .noPricingRule))]
            }
            return timeline.steps.map { step in
                guard let index = step.index.map({ timeline.versions[$0] }),
                    rules.platform[index].head.isActive
                else {
                    return PriceTables.Step(start: step.start, value: RuleOutcome(refusal: .noPricingRule))
                }
                let outcome = outcomes[index].overrides[provider] ?? outcomes[index].standard
                return PriceTables.Step(start: step.start, value: outcome)
            }
        }
        let standard = try timelineNumber(steps(0))
        for provider in providerNames.indices {
            let isOwn = overridden.contains(UInt32(provider))
            tables.timelineOf.append(isOwn ? try timelineNumber(steps(UInt32(provider))) : standard)
        }
    }

    private mutating func compileBYOK(_ tier: String?, _ outcomes: [RuleOutcome]) throws(PricingError) {
        let byName = Dictionary(grouping: rules.byokTimelines()) { rules.byok[$0.versions[0]].provider }
        let any = byName[Wildcard.any] ?? []
        func steps(_ names: [[RuleTimeline]]) -> [PriceTables.Step<RuleOutcome>] {
            let starts = Set(names.joined().flatMap { $0.steps.map(\.start) } + [.distantPast]).sorted()
            return starts.map { start in
                switch rules.chooseBYOK(names, tier: tier, at: start) {
                case .rule(let index): PriceTables.Step(start: start, value: outcomes[index])
                case .none(let reason): PriceTables.Step(start: start, value: RuleOutcome(refusal: reason))
                }
            }
        }
        let standard = try timelineNumber(steps([any]))
        for (number, name) in providerNames.enumerated() {
            let original = providerNames[Int(tables.catalogueProvider[number])]
            let names = (name == original ? [name] : [name, original]).compactMap { $0 }
            let own = names.compactMap { byName[$0] }
            tables.timelineOf.append(own.isEmpty ? standard : try timelineNumber(steps(own + [any])))
        }
    }

    /// The number of a timeline with these steps; equal ones are kept once, and steps that change
    /// nothing are left out.
    private mutating func timelineNumber(
        _ steps: [PriceTables.Step<RuleOutcome>]
    ) throws(PricingError) -> UInt32 {
        var kept: [PriceTables.Step<RuleOutcome>] = []
        for step in steps where kept.last?.value != step.value { kept.append(step) }
        if let number = timelineNumbers[kept] { return number }
        let number = UInt32(tables.timelines.count)
        timelineNumbers[kept] = number
        tables.timelines.append(
            PriceTables.Run(first: UInt32(tables.ruleSteps.count), count: UInt32(kept.count)))
        tables.ruleSteps += kept
        if tables.ruleSteps.count > PricingLimits.timelineStepsMax {
            throw .tooMany(
                what: "steps of rules in time", found: tables.ruleSteps.count,
                max: PricingLimits.timelineStepsMax)
        }
        return number
    }
}
