// What is allowed in a catalogue but looks like a mistake. An importer shows these before approval.

import Money

/// One oddity.
public struct LintFinding: Hashable, Sendable {
    /// What is odd.
    public enum Kind: String, Hashable, Sendable {
        /// Reading from the cache costs more than reading afresh.
        case cacheReadDearerThanInput = "cache_read_dearer_than_input"
        /// Writing to the cache costs less than half or more than four times the input rate.
        case oddCacheWriteRate = "odd_cache_write_rate"
        /// Above a threshold a unit gets cheaper.
        case cheaperAboveThreshold = "cheaper_above_threshold"
        /// Output costs less than input.
        case outputCheaperThanInput = "output_cheaper_than_input"
        /// A dated snapshot of a model has no price for something that the model has one for.
        case snapshotLacksRates = "snapshot_lacks_rates"
        /// A rate is ten times what it was, or a tenth.
        case tenfoldChange = "tenfold_change"
        /// A model of the previous version is gone.
        case vanished
    }

    public var kind: Kind
    public var provider: String
    public var model: String
    /// The figures, in words.
    public var detail: String
}

extension Catalogue {
    /// The oddities of this catalogue, and of the step from `previous` to it. O(models).
    public func lint(previous: Catalogue? = nil) -> [LintFinding] {
        struct Key: Hashable {
            var provider: String
            var id: String
        }
        var now: [Key: CatalogueModel] = [:]
        for model in models {
            for name in [model.id] + model.aliases {
                now[Key(provider: model.provider, id: name.asciiLowercased)] = model
            }
        }
        var findings = models.flatMap { model in
            var found = model.prices.flatMap { model.lint($0) }
            if let name = model.undatedName,
                let undated = now[Key(provider: model.provider, id: name)], undated.id != model.id
            {
                found += model.lintSnapshot(of: undated)
            }
            return found
        }
        guard let previous else { return findings }
        for old in previous.models {
            if let new = now[Key(provider: old.provider, id: old.id.asciiLowercased)] {
                findings += new.lintChanges(from: old)
            } else {
                findings.append(old.finding(.vanished, "it was in version \(previous.version)"))
            }
        }
        return findings
    }
}

extension CatalogueModel {
    fileprivate func finding(_ kind: LintFinding.Kind, _ detail: String) -> LintFinding {
        LintFinding(kind: kind, provider: provider, model: id, detail: detail)
    }

    fileprivate func lint(_ price: ModelPrice) -> [LintFinding] {
        var findings: [LintFinding] = []
        for card in price.cards {
            for rates in [card.standard] + card.serviceTiers.map(\.rates) {
                guard let input = rates[.input], input > .zero else { continue }
                if let output = rates[.output], output > .zero, output < input {
                    findings.append(
                        finding(.outputCheaperThanInput, Self.compare(.output, output, .input, input)))
                }
                let base = Int128(input.count)
                if let read = rates[.cacheRead], read > input {
                    findings.append(
                        finding(.cacheReadDearerThanInput, Self.compare(.cacheRead, read, .input, input)))
                }
                for unit in [UsageUnit.cacheWrite5m, .cacheWrite1h] {
                    guard let write = rates[unit] else { continue }
                    if Int128(write.count) * 2 < base || Int128(write.count) > base * 4 {
                        findings.append(
                            finding(.oddCacheWriteRate, Self.compare(unit, write, .input, input)))
                    }
                }
            }
        }
        for threshold in price.thresholds {
            for unit in UsageUnit.allCases {
                guard let above = threshold.card.standard[unit], let below = price.card.standard[unit],
                    above < below
                else { continue }
                findings.append(
                    finding(
                        .cheaperAboveThreshold,
                        "\(unit.name) is \(unit.priceText(rate: above.count)) above \(threshold.inputTokensAbove) "
                            + "tokens and \(unit.priceText(rate: below.count)) below"))
            }
        }
        return findings
    }

    private static func compare(
        _ unit: UsageUnit, _ rate: Picodollars, _ other: UsageUnit, _ otherRate: Picodollars
    ) -> String {
        "\(unit.name) is \(unit.priceText(rate: rate.count)) and \(other.name) "
            + other.priceText(rate: otherRate.count)
    }

    /// The name without a date at its end, such as `-2024-08-06` or `-20240806`, lower-case; nil without one.
    fileprivate var undatedName: String? {
        let bytes = Array(id.asciiLowercased.utf8)
        let isDigit: (UInt8) -> Bool = { (0x30...0x39).contains($0) }
        for form in ["-dddd-dd-dd", "-dddddddd", "@dddddddd"] {
            let form = Array(form.utf8)
            guard bytes.count > form.count else { continue }
            let end = bytes.suffix(form.count)
            let fits = zip(end, form).allSatisfy { $1 == UInt8(ascii: "d") ? isDigit($0) : $0 == $1 }
            if fits { return String(decoding: bytes.dropLast(form.count), as: UTF8.self) }
        }
        return nil
    }

    /// What the model of the undated name has a price for and this snapshot has not: price lists forget
    /// tiers and thresholds of snapshots, and nothing is inherited.
    fileprivate func lintSnapshot(of undated: CatalogueModel) -> [LintFinding] {
        guard let mine = prices.last, let other = undated.prices.last else { return [] }
        let missing = Set(CatalogueModel.places(other)).subtracting(CatalogueModel.places(mine)).sorted()
        guard !missing.isEmpty else { return [] }
        return [
            finding(
                .snapshotLacksRates,
                "\(undated.id) has a price for \(missing.joined(separator: "; ")), and this snapshot has none"
            )
        ]
    }

    private static func places(_ price: ModelPrice) -> [String] {
        CatalogueModel(
            provider: "", id: "",
            prices: [ModelPrice(card: price.card, thresholds: price.thresholds, offPeak: price.offPeak)]
        ).singlePrices.map(\.place)
    }

    /// Compares the latest prices of both.
    fileprivate func lintChanges(from old: CatalogueModel) -> [LintFinding] {
        func latest(_ model: CatalogueModel) -> ModelPrice? {
            model.prices.max { $0.effectiveFrom < $1.effectiveFrom }
        }
        guard let before = latest(old), let after = latest(self) else { return [] }
        return UsageUnit.allCases.compactMap { unit in
            guard let was = before.card.standard[unit], let becomes = after.card.standard[unit] else {
                return nil
            }
            let (low, high) = (Int128(min(was.count, becomes.count)), Int128(max(was.count, becomes.count)))
            guard low != high, high >= low * 10 else { return nil }
            return finding(
                .tenfoldChange,
                "\(unit.name) goes from \(unit.priceText(rate: was.count)) to "
                    + unit.priceText(rate: becomes.count))
        }
    }
}
