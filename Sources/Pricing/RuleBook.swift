// All versions of all rules, as one value that is complete and free of contradictions.
//
// A book is checked when it is made, so whoever holds one need not check again: numbers and versions are
// unique, each rule keeps its id, kind, provider or tier through all versions, a tier has one platform
// rule, and no two BYOK rules have equal right to the same request.

import Money

/// Every version of every rule. Immutable in spirit: `adding` makes another book.
public struct RuleBook: Hashable, Sendable {
    public private(set) var platform: [PlatformRule]
    public private(set) var byok: [BYOKRule]

    /// No rules: every request is refused with `NO_PRICING_RULE`.
    public init() {
        platform = []
        byok = []
    }

    /// The book of these versions, in the order of their numbers.
    ///
    /// Throws what is wrong with a version, or what two of them contradict each other in. O(n log n).
    public init(platform: [PlatformRule], byok: [BYOKRule]) throws(PricingError) {
        self.platform = platform.sorted { $0.head.version < $1.head.version }
        self.byok = byok.sorted { $0.head.version < $1.head.version }
        for rule in platform { try rule.check() }
        for rule in byok { try rule.check() }
        try checkNumbers()
        try checkConstancy()
        try checkTies()
    }

    /// The book with one more version of a platform rule.
    public func adding(_ rule: PlatformRule) throws(PricingError) -> RuleBook {
        try RuleBook(platform: platform + [rule], byok: byok)
    }

    /// The book with one more version of a BYOK rule.
    public func adding(_ rule: BYOKRule) throws(PricingError) -> RuleBook {
        try RuleBook(platform: platform, byok: byok + [rule])
    }

    /// The heads of all versions.
    var heads: [RuleVersion] { platform.map(\.head) + byok.map(\.head) }

    /// The numbers that the next version, and the next new rule, may take.
    public var nextVersion: UInt32 { (heads.map(\.version).max() ?? 0) + 1 }
    public var nextRuleNumber: UInt32 { (heads.map(\.ruleNumber).max() ?? 0) + 1 }

    /// The newest version of the platform rule of a tier, or nil.
    public func latestPlatform(tier: String) -> PlatformRule? { platform.last { $0.tierCode == tier } }

    /// The newest version of the BYOK rule `id`, or nil.
    public func latestBYOK(id: String) -> BYOKRule? { byok.last { $0.head.id == id } }

    private func checkNumbers() throws(PricingError) {
        let heads = heads
        if heads.count > PricingLimits.ruleVersionsMax {
            throw .tooMany(what: "rule versions", found: heads.count, max: PricingLimits.ruleVersionsMax)
        }
        var ids: [UInt32: String] = [:]
        var numbers: [String: UInt32] = [:]
        var versions: [UInt32: String] = [:]
        for head in heads {
            if let other = versions.updateValue(head.id, forKey: head.version) {
                throw head.error("version", "version \(head.version) belongs to rule \(other)")
            }
            if let other = ids.updateValue(head.id, forKey: head.ruleNumber), other != head.id {
                throw head.error("rule_number", "number \(head.ruleNumber) belongs to rule \(other)")
            }
            if let other = numbers.updateValue(head.ruleNumber, forKey: head.id), other != head.ruleNumber {
                throw head.error("rule_number", "the rule's number is \(other), not \(head.ruleNumber)")
            }
        }
        if ids.count > PricingLimits.rulesMax {
            throw .tooMany(what: "rules", found: ids.count, max: PricingLimits.rulesMax)
        }
    }

    private func checkConstancy() throws(PricingError) {
        var tiers: [String: String] = [:]
        var ruleOfTier: [String: String] = [:]
        for rule in platform {
            if let tier = tiers.updateValue(rule.tierCode, forKey: rule.head.id), tier != rule.tierCode {
                throw rule.head.error("tier_code", "a rule keeps its tier, here \(tier)")
            }
            if let other = ruleOfTier.updateValue(rule.head.id, forKey: rule.tierCode), other != rule.head.id
            {
                throw .tie(
                    first: other, second: rule.head.id,
                    problem: "both are platform rules of tier \(rule.tierCode); make a new version instead")
            }
        }
        var providers: [String: String] = [:]
        for rule in byok {
            if tiers[rule.head.id] != nil { throw rule.head.error("id", "a platform rule has this id") }
            if let provider = providers.updateValue(rule.provider, forKey: rule.head.id),
                provider != rule.provider
            {
                throw rule.head.error("provider", "a rule keeps its provider, here \(provider)")
            }
        }
    }

    /// Two BYOK rules tie where both are active at the same time with the same provider, priority and
    /// tier. Sorting by begin finds an overlap between neighbours.
    private func checkTies() throws(PricingError) {
        struct Place: Hashable {
            var provider: String
            var priority: Int32
        }
        struct Stay {
            var from: Timestamp
            var until: Timestamp
            var rule: Int
        }
        var stays: [Place: [Stay]] = [:]
        for timeline in byokTimelines() {
            for (position, step) in timeline.steps.enumerated() {
                guard let index = step.index.map({ timeline.versions[$0] }), byok[index].head.isActive else {
                    continue
                }
                let until =
                    position + 1 < timeline.steps.count ? timeline.steps[position + 1].start : .distantFuture
                let place = Place(provider: byok[index].provider, priority: byok[index].priority)
                stays[place, default: []].append(Stay(from: step.start, until: until, rule: index))
            }
        }
        for place in stays.keys.sorted(by: { ($0.provider, $0.priority) < ($1.provider, $1.priority) }) {
            let sorted = stays[place, default: []].sorted { ($0.from, $0.rule) < ($1.from, $1.rule) }
            var open: [Stay] = []
            for stay in sorted {
                open.removeAll { $0.until <= stay.from }
                for other in open where byok[other.rule].head.id != byok[stay.rule].head.id {
                    guard let tier = sharedTier(byok[other.rule], byok[stay.rule]) else { continue }
                    throw .tie(
                        first: byok[other.rule].head.id, second: byok[stay.rule].head.id,
                        problem:
                            "from \(stay.from.text) both are for provider \(place.provider), tier \(tier), "
                            + "with priority \(place.priority); give one a higher priority")
                }
                open.append(stay)
            }
        }
    }

    private func sharedTier(_ left: BYOKRule, _ right: BYOKRule) -> String? {
        if left.appliesToTiers.contains(Wildcard.any) { return right.appliesToTiers.first }
        if right.appliesToTiers.contains(Wildcard.any) { return left.appliesToTiers.first }
        return left.appliesToTiers.first(where: right.appliesToTiers.contains)
    }
}

extension RuleBook {
    /// The rules of a new data directory.
    public static let standard: RuleBook = {
        func percent(_ value: Int64) -> Ratio { Ratio(billionths: value * 10_000_000) ?? .zero }
        func head(_ id: String, _ number: UInt32, _ description: String) -> RuleVersion {
            RuleVersion(id: id, ruleNumber: number, version: number, description: description)
        }
        let tenthOfACent = Picodollars(Picodollars.perDollar / 1_000)
        let platform = [
            PlatformRule(
                head: head("platform_trial", 1, "Provider cost × 2.00"), tierCode: "trial",
                markup: Markup(.multiplier, percent(200))),
            PlatformRule(
                head: head("platform_starter", 2, "Provider cost × 1.80"), tierCode: "starter",
                markup: Markup(.multiplier, percent(180))),
            PlatformRule(
                head: head("platform_professional", 3, "Provider cost × 1.60"), tierCode: "professional",
                markup: Markup(.multiplier, percent(160)),
                providerOverrides: [
                    .init(provider: "openai", value: percent(180)),
                    .init(provider: "openrouter", value: percent(150)),
                ]),
            PlatformRule(
                head: head("platform_enterprise", 4, "Provider cost × 1.30"), tierCode: "enterprise",
                markup: Markup(.multiplier, percent(130))),
        ]
        let byok = [
            BYOKRule(
                head: head("rule_openrouter", 5, "A fee of 5 % on what OpenRouter charges"),
                provider: "openrouter", name: "OpenRouter Standard", markup: Markup(.percentage, percent(5)),
                minCharge: tenthOfACent, freeCreditsMonthly: Picodollars(5 * Picodollars.perDollar),
                appliesToTiers: ["enterprise", "professional", "starter"], priority: 10),
            BYOKRule(
                head: head("rule_huggingface", 6, "A fee of 3 % on what Hugging Face charges"),
                provider: "huggingface", name: "HuggingFace Professional",
                markup: Markup(.percentage, percent(3)), minCharge: tenthOfACent,
                freeCreditsMonthly: Picodollars(10 * Picodollars.perDollar),
                appliesToTiers: ["enterprise", "professional"], priority: 5),
        ]
        do {
            return try RuleBook(platform: platform, byok: byok)
        } catch {
            preconditionFailure("the rules of a new data directory contradict each other: \(error)")
        }
    }()
}
