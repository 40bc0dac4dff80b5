// Explaining a charge: the way of `PriceBook.price` once more, without tables and with everything kept.

import Bytes
import Money

extension PriceBook {
    /// Every factor of what `record` costs an account of `tier`.
    ///
    /// With `ruleVersion`, as for a charge made before or a pinned quote, that version is used whatever is
    /// in force; make the book from the catalogue version that the charge names. `instant` is the time
    /// whose rates apply, the event's unless a quote pinned another. O(models): for people, not for
    /// traffic.
    public func explain(
        _ record: borrowing UsageRecord, tier: ByteView, ruleVersion: UInt32? = nil,
        at instant: Timestamp? = nil
    ) -> Explanation {
        guard let source = record.credentialSource else {
            return .refused(Refusal(.invalidArgument, field: .credentialSource))
        }
        let instant = instant ?? record.eventTime
        let kind = RuleKind(source)
        let tier = tier.text.asciiLowercased
        let rule: ExplainedRule
        switch explainedRule(kind, record, tier: tier, ruleVersion: ruleVersion, at: instant) {
        case .success(let found): rule = found
        case .failure(let refusal): return .refused(refusal)
        }
        let split: UsageSplit
        do throws(UsageFault) {
            split = try UsageSplit(record.usage)
        } catch {
            switch error {
            case .outOfRange(let field): return .refused(Refusal(.invalidArgument, field: field))
            case .contradiction(let field): return .parked(.invalidUsage, field)
            }
        }
        guard let (model, match) = catalogue.model(provider: record.provider.text, name: record.model.text),
            let price = model.price(at: instant)
        else { return .parked(.unpricedModel, .model) }
        let name = record.serviceTier.text.asciiLowercased
        let serviceTier = name.isEmpty || StandardTier.names.contains(name) ? nil : name
        let threshold = price.threshold(inputTokens: record.usage.inputTokens)
        let isOffPeak = price.offPeak?.contains(instant) ?? false

        var lines: [PriceExplanation.Line] = []
        var base: Int128 = 0
        for unit in UsageUnit.allCases where split[unit] > 0 {
            guard
                let found = price.rate(
                    unit, threshold: threshold, serviceTier: serviceTier, isOffPeak: isOffPeak)
            else {
                return .parked(.unpricedModel, unit.field)
            }
            let amount = Int128(split[unit]) * Int128(found.rate)
            base += amount
            guard base <= Int128(Int64.max) else {
                return .refused(Refusal(.invalidArgument, field: .amount, expected: .max))
            }
            lines.append(
                PriceExplanation.Line(
                    unit: unit, quantity: split[unit], found: found, amount: Int64(amount)))
        }
        guard let fee = rule.fee(base: Int64(base), at: creditValue) else {
            return .refused(Refusal(.invalidArgument, field: .amount, found: Int64(base), expected: .max))
        }
        return .priced(
            PriceExplanation(
                catalogueVersion: catalogueVersion, provider: model.provider, model: model.id, match: match,
                priceFrom: price.effectiveFrom, priceUntil: price.effectiveUntil,
                inputTokens: record.usage.inputTokens,
                inputTokensAbove: threshold.map { price.thresholds[$0].inputTokensAbove },
                isOffPeak: isOffPeak, serviceTier: serviceTier ?? "", lines: lines, baseCost: Int64(base),
                kind: kind, tier: tier,
                ruleID: rule.head.id, ruleNumber: rule.head.ruleNumber, ruleVersion: rule.head.version,
                overrideProvider: rule.overrideProvider, markup: rule.markup, effect: rule.effect,
                exactFee: fee.exactText, minCharge: rule.minCharge, minChargeBinds: fee.minimumBinds,
                fee: fee.amount, isRounded: fee.isRounded, monthlyAllowance: rule.allowance,
                creditValue: creditValue))
    }

    private func explainedRule(
        _ kind: RuleKind, _ record: borrowing UsageRecord, tier: String, ruleVersion: UInt32?,
        at instant: Timestamp
    ) -> Result<ExplainedRule, Refusal> {
        let provider = record.provider.text.asciiLowercased
        let names = [provider, catalogue.originalProvider(of: provider)].compactMap { $0 }
        if let ruleVersion {
            guard let head = rules.heads.first(where: { $0.version == ruleVersion }) else {
                return .failure(Refusal(.noPricingRule, field: .provider))
            }
            guard rules.platform.contains(where: { $0.head == head }) == (kind == .platform) else {
                return .failure(Refusal(.credentialMismatch, field: .credentialSource))
            }
        }
        switch kind {
        case .platform:
            let index: Int?
            if let ruleVersion {
                index = rules.platform.firstIndex { $0.head.version == ruleVersion }
            } else {
                index = rules.platformTimeline(tier: tier)?.version(at: instant)
            }
            guard let rule = index.map({ rules.platform[$0] }), rule.head.isActive || ruleVersion != nil
            else {
                return .failure(Refusal(.noPricingRule, field: .provider))
            }
            return explainedRule(rule, names)
        case .byok:
            if let ruleVersion {
                guard let rule = rules.byok.first(where: { $0.head.version == ruleVersion }),
                    rule.provider == Wildcard.any || names.contains(rule.provider)
                else { return .failure(Refusal(.noPricingRule, field: .provider)) }
                return explainedRule(rule)
            }
            let byName = Dictionary(grouping: rules.byokTimelines()) { rules.byok[$0.versions[0]].provider }
            let lists = (names + [Wildcard.any]).map { byName[$0] ?? [] }
            switch rules.chooseBYOK(lists, tier: tier, at: instant) {
            case .none(let reason): return .failure(Refusal(reason, field: .provider))
            case .rule(let index): return explainedRule(rules.byok[index])
            }
        }
    }

    private func explainedRule(_ rule: PlatformRule, _ names: [String]) -> Result<ExplainedRule, Refusal> {
        let override = names.lazy.compactMap { name in
            rule.providerOverrides.first { $0.provider == name }
        }.first
        if let override, !override.isActive {
            return .failure(Refusal(.providerInactive, field: .provider))
        }
        let markup = override.map(rule.markup) ?? rule.markup
        guard let effect = markup.effect(for: .platform) else {
            return .failure(Refusal(.invalidArgument, field: .amount))
        }
        return .success(
            ExplainedRule(
                head: rule.head, overrideProvider: override?.provider, markup: markup, effect: effect,
                minCharge: 0, allowance: 0))
    }

    private func explainedRule(_ rule: BYOKRule) -> Result<ExplainedRule, Refusal> {
        guard let effect = rule.markup.effect(for: .byok),
            let minCharge = creditValue.nanocredits(rule.minCharge),
            let allowance = creditValue.nanocredits(rule.freeCreditsMonthly)
        else { return .failure(Refusal(.invalidArgument, field: .amount)) }
        return .success(
            ExplainedRule(
                head: rule.head, overrideProvider: nil, markup: rule.markup, effect: effect,
                minCharge: minCharge.count, allowance: allowance.count))
    }
}

/// A rule as it applies to one request.
private struct ExplainedRule {
    var head: RuleVersion
    var overrideProvider: String?
    var markup: Markup
    var effect: MarkupEffect
    var minCharge: Int64
    var allowance: Int64

    struct Fee {
        var exactText: String
        var minimumBinds: Bool
        var amount: Int64
        var isRounded: Bool
    }

    func fee(base: Int64, at value: CreditValue) -> Fee? {
        if base == 0 { return Fee(exactText: "0", minimumBinds: false, amount: 0, isRounded: false) }
        switch effect {
        case .fixed(let credits):
            let binds = minCharge > credits.count
            return Fee(
                exactText: credits.text, minimumBinds: binds, amount: max(credits.count, minCharge),
                isRounded: false)
        case .times(let ratio):
            guard let charge = value.charge(base: Int128(base), ratio: ratio) else { return nil }
            let exact = value.exactCharge(base: base, ratio: ratio)
            let binds = minCharge > charge.count
            return Fee(
                exactText: exact.text, minimumBinds: binds, amount: max(charge.count, minCharge),
                isRounded: !binds && exact.isRounded)
        }
    }
}

extension Catalogue {
    /// The provider that `name` is another name of; nil if it is none.
    func originalProvider(of name: String) -> String? {
        providerAliases.first { $0.alias == name }?.provider
    }

    /// The model of that name, and how it was found. O(models).
    public func model(provider: String, name: String) -> (model: CatalogueModel, match: ModelMatch)? {
        let provider = provider.asciiLowercased
        let name = name.asciiLowercased
        let original = originalProvider(of: provider) ?? provider
        let candidates = models.filter { $0.provider == original }
        if let model = candidates.first(where: { $0.id.asciiLowercased == name }) { return (model, .exact) }
        if let model = candidates.first(where: { $0.aliases.contains { $0.asciiLowercased == name } }) {
            return (model, .alias)
        }
        let best = candidates.flatMap { model in
            model.patterns.map { (pattern: $0.asciiLowercased, model: model) }
        }.filter { Self.matches($0.pattern.utf8[...], name.utf8[...]) }.min { left, right in
            let (leftCount, rightCount) = (Self.literalCount(left.pattern), Self.literalCount(right.pattern))
            return (rightCount, left.pattern) < (leftCount, right.pattern)
        }
        return best.map { ($0.model, .pattern) }
    }

    /// The models that `name` leads to, of one provider or of all of them in the order of their names.
    /// O(models).
    public func models(
        named name: String, provider: String? = nil
    ) -> [(model: CatalogueModel, match: ModelMatch)] {
        let providers = provider.map { [$0] } ?? Set(models.map(\.provider)).sorted()
        return providers.compactMap { model(provider: $0, name: name) }
    }

    private static func literalCount(_ pattern: String) -> Int {
        pattern.utf8.count { $0 != UInt8(ascii: "*") }
    }

    /// Whether `name` fits: the text up to the first `*` stands at its beginning, and the rest fits after
    /// some run of bytes.
    private static func matches(_ pattern: Substring.UTF8View, _ name: Substring.UTF8View) -> Bool {
        guard let star = pattern.firstIndex(of: UInt8(ascii: "*")) else {
            return pattern.elementsEqual(name)
        }
        let literal = pattern[..<star]
        guard name.starts(with: literal) else { return false }
        let after = pattern[pattern.index(after: star)...]
        var rest = name.dropFirst(literal.count)
        while !matches(after, rest) {
            if rest.isEmpty { return false }
            rest = rest.dropFirst()
        }
        return true
    }
}

extension CatalogueModel {
    /// The price in force at `instant`, or nil.
    func price(at instant: Timestamp) -> ModelPrice? {
        prices.filter { $0.effectiveFrom <= instant && instant < $0.effectiveUntil }
            .max { $0.effectiveFrom < $1.effectiveFrom }
    }
}
