// What differs between two catalogues, price by price, for the person who approves the second.
//
// A model is taken apart into single prices, each under what it is for: dates, hours, threshold, service
// tier, unit. Two models differ by the prices that one has and the other has not, or that are not equal.

import Money
import StrictJSON

/// The differences between two catalogues.
public struct CatalogueDiff: Hashable, Sendable {
    /// A model of a provider.
    public struct Model: Hashable, Sendable {
        public var provider: String
        public var id: String
    }

    /// One price of a model; nil where it has none, null in a document.
    public struct PriceChange: Hashable, Sendable {
        /// What the price is for: `output, tier batch, above 200000 tokens`.
        public var place: String
        /// In the unit's catalogue price, with `withheld` for one that is not known.
        public var before: String?
        public var after: String?
        /// `USD per million` or `USD each`; empty for what is not a rate.
        public var unit: String
    }

    /// A model that both have, and that is not the same in both.
    public struct Change: Hashable, Sendable {
        public var model: Model
        public var prices: [PriceChange]
        /// Aliases and patterns that came and went.
        public var namesAdded: [String]
        public var namesRemoved: [String]
    }

    public var added: [Model] = []
    public var removed: [Model] = []
    public var changed: [Change] = []
    /// Models that are the same in both.
    public var unchangedCount = 0

    /// Whether the two say the same of every model.
    public var isEmpty: Bool { added.isEmpty && removed.isEmpty && changed.isEmpty }
}

extension Catalogue {
    /// What `newer` changes of this catalogue. O(prices of both).
    public func diff(to newer: Catalogue) -> CatalogueDiff {
        struct Key: Hashable {
            var provider: String
            var id: String

            init(_ model: CatalogueModel) {
                provider = model.provider
                id = model.id.asciiLowercased
            }
        }
        var diff = CatalogueDiff()
        let before = Dictionary(models.map { (Key($0), $0) }) { first, _ in first }
        let after = Dictionary(newer.models.map { (Key($0), $0) }) { first, _ in first }
        for model in newer.sorted().models {
            guard let old = before[Key(model)] else {
                diff.added.append(CatalogueDiff.Model(provider: model.provider, id: model.id))
                continue
            }
            if let change = old.change(to: model) {
                diff.changed.append(change)
            } else {
                diff.unchangedCount += 1
            }
        }
        diff.removed = sorted().models.filter { after[Key($0)] == nil }
            .map { CatalogueDiff.Model(provider: $0.provider, id: $0.id) }
        return diff
    }
}

extension CatalogueModel {
    /// What `newer` changes of this model; nil if nothing.
    fileprivate func change(to newer: CatalogueModel) -> CatalogueDiff.Change? {
        let (old, new) = (singlePrices, newer.singlePrices)
        let oldNames = Set(aliases + patterns)
        let newNames = Set(newer.aliases + newer.patterns)
        let before = Dictionary(old.map { ($0.place, $0) }) { first, _ in first }
        let after = Dictionary(new.map { ($0.place, $0) }) { first, _ in first }
        var prices = new.filter { before[$0.place]?.text != $0.text }.map { price in
            CatalogueDiff.PriceChange(
                place: price.place, before: before[price.place]?.text, after: price.text, unit: price.unit)
        }
        prices += old.filter { after[$0.place] == nil }.map { price in
            CatalogueDiff.PriceChange(place: price.place, before: price.text, after: nil, unit: price.unit)
        }
        if prices.isEmpty && oldNames == newNames { return nil }
        return CatalogueDiff.Change(
            model: CatalogueDiff.Model(provider: newer.provider, id: newer.id), prices: prices,
            namesAdded: newNames.subtracting(oldNames).sorted(),
            namesRemoved: oldNames.subtracting(newNames).sorted())
    }

    /// One price of the model under what it is for.
    public struct SinglePrice: Hashable, Sendable {
        /// `output, tier batch, above 200000 tokens`.
        public var place: String
        /// The catalogue price; `withheld` for one that is not known.
        public var text: String
        /// `USD per million` or `USD each`; empty for what is not a rate.
        public var unit: String
    }

    /// Every price of the model, in order, and what else decides about them.
    public var singlePrices: [SinglePrice] {
        prices.flatMap { price -> [SinglePrice] in
            var since = ""
            if price.effectiveFrom != .distantPast { since += ", from \(price.effectiveFrom.text)" }
            if price.effectiveUntil != .distantFuture { since += ", until \(price.effectiveUntil.text)" }
            var found = Self.singlePrices(price.card, since)
            for threshold in price.thresholds {
                found += Self.singlePrices(
                    threshold.card, ", above \(threshold.inputTokensAbove) tokens" + since)
            }
            if let offPeak = price.offPeak {
                let hours = JSONValue.array(offPeak.windows.map(\.json)).text
                found.append(SinglePrice(place: "off-peak hours" + since, text: hours, unit: ""))
                found += Self.singlePrices(offPeak.card, ", off-peak" + since)
            }
            return found
        }
    }

    private static func singlePrices(_ card: RateCard, _ place: String) -> [SinglePrice] {
        let tiers = [("", card.standard)] + card.serviceTiers.map { (", tier \($0.name)", $0.rates) }
        return tiers.flatMap { tier, rates in
            rates.mentionedUnits.map { unit in
                SinglePrice(
                    place: unit.name + tier + place,
                    text: rates[unit].map { unit.priceText(rate: $0.count) } ?? "withheld",
                    unit: unit.priceUnit)
            }
        }
    }
}

extension CatalogueDiff {
    /// The differences as a document.
    public var json: JSONObject {
        func list(_ models: [Model]) -> JSONValue {
            .array(models.map { ["provider": .string($0.provider), "model": .string($0.id)] })
        }
        return [
            "added": list(added), "removed": list(removed),
            "changed": .array(
                changed.map { change in
                    [
                        "provider": .string(change.model.provider), "model": .string(change.model.id),
                        "prices": .array(change.prices.map(\.json)),
                        "names_added": .array(change.namesAdded.map { .string($0) }),
                        "names_removed": .array(change.namesRemoved.map { .string($0) }),
                    ]
                }),
            "unchanged": .integer(unchangedCount),
        ]
    }
}

extension CatalogueDiff.PriceChange {
    fileprivate var json: JSONValue {
        [
            "place": .string(place), "before": before.map { .string($0) } ?? .null,
            "after": after.map { .string($0) } ?? .null, "unit": .string(unit),
        ]
    }
}
