// A new price list over the prices in use.
//
// A list rarely names everything: a router may use models that nobody publishes prices for, or that were
// entered by hand. Laid over the prices in use, a list replaces the models that it names and leaves the
// others. From a certain instant on, it replaces them only from then: what happened before and is
// reported late is still priced as it was.

extension Catalogue {
    /// This catalogue with the models of `base` that it does not name. O(models).
    ///
    /// A name of such a model that belongs to another one here is taken from it. Provider names follow
    /// this catalogue; those of `base` are kept where they still lead somewhere.
    public func keepingMissing(from base: Catalogue) -> Catalogue {
        var merged = self
        var owned = Set(models.flatMap { model in model.keys })
        for old in base.models {
            guard !owned.contains(old.key(old.id)) else { continue }
            var kept = old
            kept.aliases.removeAll { owned.contains(old.key($0)) }
            kept.patterns.removeAll { owned.contains(old.key($0)) }
            owned.formUnion(kept.keys)
            merged.models.append(kept)
        }
        let providers = Set(merged.models.map(\.provider))
        let aliases = Set(providerAliases.map(\.alias))
        merged.providerAliases += base.providerAliases.filter { !aliases.contains($0.alias) }
        merged.providerAliases.removeAll { providers.contains($0.alias) || !providers.contains($0.provider) }
        return merged.sorted()
    }

    /// This catalogue with the prices of `base` until `instant`. O(prices).
    ///
    /// A model whose prices are the same in both keeps those of `base`. One that only `base` has keeps
    /// its prices until then. One that only this has is not changed: there was no other price.
    public func taking(effectFrom instant: Timestamp, over base: Catalogue) -> Catalogue {
        var merged = self
        let before = Dictionary(base.models.map { ($0.key($0.id), $0) }) { first, _ in first }
        for index in merged.models.indices {
            let model = merged.models[index]
            guard let old = before[model.key(model.id)], old.prices != model.prices else { continue }
            let current = old.prices(until: instant)
            if !current.isEmpty { merged.models[index].prices = current + model.prices(from: instant) }
        }
        let ended = base.models.map { old in
            var old = old
            old.prices = old.prices(until: instant)
            return old
        }.filter { !$0.prices.isEmpty }
        let rest = Catalogue(version: 0, providerAliases: base.providerAliases, models: ended)
        return merged.keepingMissing(from: rest)
    }
}

extension CatalogueModel {
    fileprivate struct Key: Hashable {
        var provider: String
        var name: String
    }

    fileprivate func key(_ name: String) -> Key { Key(provider: provider, name: name.asciiLowercased) }
    fileprivate var keys: [Key] { ([id] + aliases + patterns).map(key) }

    /// The prices that apply before `instant`, none of them longer than that.
    fileprivate func prices(until instant: Timestamp) -> [ModelPrice] {
        prices.filter { $0.effectiveFrom < instant }.map { price in
            var price = price
            price.effectiveUntil = min(price.effectiveUntil, instant)
            return price
        }
    }

    /// The prices that apply from `instant` on, none of them earlier.
    ///
    /// Of several that have begun by then, the one that began last is in force and the others wait until
    /// it ends, as they did.
    fileprivate func prices(from instant: Timestamp) -> [ModelPrice] {
        let validities = prices.map { Validity(from: $0.effectiveFrom, until: $0.effectiveUntil, order: 0) }
        let steps = Timeline.steps(validities)
        var found: [ModelPrice] = []
        for (position, step) in steps.enumerated() {
            let end = position + 1 < steps.count ? steps[position + 1].start : Timestamp.distantFuture
            guard let index = step.index, end > instant else { continue }
            var price = prices[index]
            price.effectiveFrom = max(step.start, instant)
            price.effectiveUntil = end
            found.append(price)
        }
        return found
    }
}
