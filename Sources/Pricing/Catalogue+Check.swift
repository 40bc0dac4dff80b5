// What a catalogue must be before anything is priced with it, and what is merely odd.

import Money

extension Catalogue {
    /// Throws the first thing that makes the catalogue unusable. O(names).
    public func check() throws(PricingError) {
        if models.count > PricingLimits.modelsMax {
            throw .tooMany(what: "models", found: models.count, max: PricingLimits.modelsMax)
        }
        for model in models { try model.check() }
        try checkServiceTiers()
        try checkProviderAliases()
        try checkNames()
    }

    private func checkServiceTiers() throws(PricingError) {
        var names: Set<String> = []
        for card in models.flatMap({ $0.prices.flatMap(\.cards) }) {
            names.formUnion(card.serviceTiers.map(\.name))
        }
        if names.count > PricingLimits.serviceTiersMax {
            throw .tooMany(
                what: "service tiers", found: names.count, max: PricingLimits.serviceTiersMax)
        }
    }

    private func checkProviderAliases() throws(PricingError) {
        let providers = Set(models.map(\.provider))
        var seen: Set<String> = []
        for alias in providerAliases {
            guard NameGrammar.isProvider(alias.alias) else {
                throw .model(provider: alias.alias, id: "", problem: NameGrammar.providerProblem)
            }
            guard !providers.contains(alias.alias), seen.insert(alias.alias).inserted else {
                throw .nameTwice(
                    provider: alias.alias, name: alias.alias, first: "a provider", second: "an alias")
            }
            guard providers.contains(alias.provider) else {
                throw .model(
                    provider: alias.alias, id: "",
                    problem: "it stands for \(alias.provider), which has no model here")
            }
        }
    }

    private func checkNames() throws(PricingError) {
        struct Name: Hashable {
            var provider: String
            var name: String
        }
        var owners: [Name: String] = [:]
        var patternCounts: [String: Int] = [:]
        for model in models {
            patternCounts[model.provider, default: 0] += model.patterns.count
            if let count = patternCounts[model.provider], count > PricingLimits.patternsPerProviderMax {
                throw .tooMany(
                    what: "patterns of \(model.provider)", found: count,
                    max: PricingLimits.patternsPerProviderMax)
            }
            for name in [model.id] + model.aliases + model.patterns {
                let key = Name(provider: model.provider, name: name.asciiLowercased)
                if let other = owners.updateValue(model.id, forKey: key) {
                    throw .nameTwice(
                        provider: model.provider, name: name, first: other, second: model.id)
                }
            }
        }
    }
}

extension CatalogueModel {
    func error(_ problem: String) -> PricingError { .model(provider: provider, id: id, problem: problem) }

    func check() throws(PricingError) {
        guard NameGrammar.isProvider(provider) else { throw error(NameGrammar.providerProblem) }
        for name in [id] + aliases {
            guard NameGrammar.isVisible(name, bytesMax: PricingLimits.modelBytesMax), !name.contains("*")
            else {
                throw error(
                    "the name \(name) is not 1 to \(PricingLimits.modelBytesMax) visible ASCII characters without '*'"
                )
            }
        }
        for pattern in patterns {
            let stars = pattern.utf8.count(where: { $0 == UInt8(ascii: "*") })
            guard NameGrammar.isVisible(pattern, bytesMax: PricingLimits.modelBytesMax),
                (1...PricingLimits.patternStarsMax).contains(stars), stars < pattern.utf8.count,
                !pattern.contains("**")
            else {
                throw error(
                    "the pattern \(pattern) has not 1 to \(PricingLimits.patternStarsMax) '*', apart from each other and with more beside them"
                )
            }
        }
        if aliases.count + patterns.count > PricingLimits.namesPerModelMax {
            throw .tooMany(
                what: "names of \(id)", found: aliases.count + patterns.count,
                max: PricingLimits.namesPerModelMax)
        }
        if prices.isEmpty { throw error("it has no price") }
        if prices.count > PricingLimits.pricesPerModelMax {
            throw .tooMany(
                what: "prices of \(id)", found: prices.count, max: PricingLimits.pricesPerModelMax)
        }
        for (index, price) in prices.enumerated() {
            if prices[..<index].contains(where: { $0.effectiveFrom == price.effectiveFrom }) {
                throw error("two prices begin at \(price.effectiveFrom.text)")
            }
            try check(price)
        }
    }

    private func check(_ price: ModelPrice) throws(PricingError) {
        guard price.effectiveFrom < price.effectiveUntil else {
            throw error("a price ends at \(price.effectiveUntil.text), not after it begins")
        }
        if price.card.standard.units.isEmpty { throw error("a price has no standard rate") }
        if let offPeak = price.offPeak {
            guard price.thresholds.isEmpty else {
                throw error("a price has thresholds and off-peak hours; it can have one of them")
            }
            guard !offPeak.windows.isEmpty, offPeak.windows.count <= PricingLimits.windowsMax else {
                throw error("off-peak hours are 1 to \(PricingLimits.windowsMax) windows")
            }
            if offPeak.card.standard.isEmpty && offPeak.card.serviceTiers.isEmpty {
                throw error("the off-peak price changes nothing")
            }
        }
        if price.thresholds.count > PricingLimits.thresholdsMax {
            throw .tooMany(
                what: "thresholds of \(id)", found: price.thresholds.count, max: PricingLimits.thresholdsMax)
        }
        var above: Int64 = 0
        for threshold in price.thresholds {
            guard threshold.inputTokensAbove > above, threshold.inputTokensAbove <= Usage.countMax else {
                throw error("thresholds are not in ascending order of tokens, from 1 on")
            }
            above = threshold.inputTokensAbove
            if threshold.card.standard.isEmpty && threshold.card.serviceTiers.isEmpty {
                throw error("the threshold above \(above) tokens changes nothing")
            }
        }
        for card in price.cards {
            for (index, tier) in card.serviceTiers.enumerated() {
                guard NameGrammar.isServiceTier(tier.name), !StandardTier.names.contains(tier.name) else {
                    throw error("\(tier.name) cannot be the name of a service tier")
                }
                if index > 0 && card.serviceTiers[index - 1].name >= tier.name {
                    throw error("service tiers are not in alphabetical order, each once, at \(tier.name)")
                }
                if tier.rates.isEmpty { throw error("service tier \(tier.name) has no rate") }
            }
            guard !price.isExplicitZero else { continue }
            for rates in [card.standard] + card.serviceTiers.map(\.rates) {
                for unit in rates.units where rates[unit] == .zero {
                    throw error("the rate of \(unit.name) is 0; say explicit_zero if it is free")
                }
            }
        }
    }
}

extension String {
    /// With `A` to `Z` in lower case and everything else as it is.
    var asciiLowercased: String {
        String(decoding: utf8.map(PriceTables.Pattern.folded), as: UTF8.self)
    }
}
