// One entry of LiteLLM's list: its fields become statements, the statements become a price.

import Money
import StrictJSON

struct LiteLLMEntry {
    let key: String
    let line: Int
    let options: ImportOptions
    private(set) var findings: [ImportFinding] = []
    private(set) var providerAlias: (name: String, provider: String)?
    private var statements = PriceStatements()
    private var offPeak: (windows: [WeeklyWindow], statements: PriceStatements)?

    init(key: String, line: Int, options: ImportOptions) {
        self.key = key
        self.line = line
        self.options = options
    }

    private mutating func report(_ kind: ImportFinding.Kind, _ field: String = "", _ detail: String) {
        findings.append(ImportFinding(kind: kind, line: line, entry: key, field: field, detail: detail))
    }

    /// The model of the entry; nil where it has none, or none with a price, which the findings explain.
    mutating func read(_ node: JSONNode) -> ImportDraft? {
        guard case .object(let object) = node.value else {
            report(.invalid, "", "expected an object with prices, found \(node.value.kind)")
            return nil
        }
        guard key != "sample_spec" else {
            report(.notAModel, "", "it explains the format")
            return nil
        }
        guard case .string(let route)? = object["litellm_provider"], !route.isEmpty else {
            report(.notAModel, "litellm_provider", "without one it is not the entry of a model")
            return nil
        }
        for member in object.members where member.value != .null { read(member.key, member.value) }
        let names = LiteLLMNames(route: route, key: key)
        if let alias = names.providerAlias { providerAlias = (alias, names.provider) }
        guard let price = price() else { return nil }
        let model = CatalogueModel(
            provider: names.provider, id: names.id, aliases: names.aliases, patterns: names.patterns,
            prices: [price])
        do throws(PricingError) {
            try model.check()
        } catch {
            report(.name, "", "\(error)")
            return nil
        }
        return ImportDraft(
            model: model, precedence: names.hasPrefix ? 1 : 0, courtesyNames: names.courtesyNames)
    }

    // MARK: Fields

    private mutating func read(_ field: String, _ value: JSONValue) {
        switch LiteLLMField(field) {
        case .price(let place): statements.add(PriceNumber(value, perUnits: 0), for: place, field: field)
        case .searches: readSearches(field, value)
        case .tiers: readTiers(field, value)
        case .offPeak: readOffPeak(field, value)
        case .unsupported(let kind, let reason): readUnsupported(field, value, kind, reason)
        case .other:
            guard field == "provider_specific_entry", case .object(let object) = value else { return }
            for member in object.members {
                if case .number = member.value {
                    readUnsupported(
                        "\(field).\(member.key)", member.value, .condition,
                        "the factor or allowance for \(member.key) is not applied")
                }
            }
        }
    }

    private mutating func readUnsupported(
        _ field: String, _ value: JSONValue, _ kind: ImportFinding.Kind, _ reason: String
    ) {
        if field == "web_search_billing_unit" {
            // A search is counted for each query, so this says nothing new.
            if value == .string("per_query") { return }
            return report(.condition, field, "web searches are counted by query, and it says otherwise")
        }
        // What cannot be used must still be sound: a negative number tells that the file is not.
        if case .number = value, case .invalid(let problem) = PriceNumber(value, perUnits: 0) {
            return report(.invalid, field, problem)
        }
        report(kind, field, reason)
    }

    private mutating func readSearches(_ field: String, _ value: JSONValue) {
        guard case .object(let object) = value, let first = object.members.first else {
            return report(.invalid, field, "expected prices by the size of the context")
        }
        let numbers = object.members.map { PriceNumber($0.value, perUnits: 0) }
        for (member, number) in zip(object.members, numbers) {
            if case .invalid(let problem) = number {
                return report(.invalid, "\(field).\(member.key)", problem)
            }
        }
        guard numbers.allSatisfy({ $0 == numbers[0] }) else {
            return report(
                .condition, field,
                "a search costs more or less with the size of its context, which a usage record does not say")
        }
        statements.add(
            numbers[0], for: PricePlace(unit: .webSearches), field: "\(field).\(first.key)")
    }

    private mutating func readTiers(_ field: String, _ value: JSONValue) {
        guard case .array(let tiers) = value, !tiers.isEmpty else {
            return report(.invalid, field, "expected a list of prices by ranges of input tokens")
        }
        // All or nothing: a tier that cannot be said would leave another one in its place.
        var found = statements
        var end: Int64 = 0
        for (index, tier) in tiers.enumerated() {
            guard case .object(let object) = tier, case .array(let range)? = object["range"],
                range.count == 2,
                let lower = Self.tokens(range[0]), let upper = Self.tokens(range[1])
            else {
                return report(.condition, field, "tier \(index) is not for a range of input tokens")
            }
            guard lower == end, upper > lower else {
                return report(.condition, field, "tier \(index) does not begin where the one before it ends")
            }
            end = upper
            for member in object.members where member.key != "range" && member.value != .null {
                let name = "\(field)[\(index)].\(member.key)"
                guard case .price(var place) = LiteLLMField(member.key), place.threshold == 0 else {
                    return report(.noUnit, name, "this is not a price that a tier can have")
                }
                place.threshold = lower
                found.add(PriceNumber(member.value, perUnits: 0), for: place, field: name)
            }
        }
        statements = found
    }

    /// A whole number of tokens, however it is written.
    private static func tokens(_ value: JSONValue) -> Int64? {
        guard case .number(let text) = value else { return nil }
        do throws(MoneyError) {
            let count = try DecimalText.exact(number: text.utf8, places: 0)
            return (0...Usage.countMax).contains(count) ? count : nil
        } catch {
            return nil
        }
    }

    private mutating func readOffPeak(_ field: String, _ value: JSONValue) {
        guard case .object(let object) = value, case .array(let list)? = object["windows"] else {
            return report(.condition, field, "it has no windows of the week")
        }
        if let zone = object["weekday_timezone"], zone != .null, zone != .string("UTC") {
            return report(
                .condition, field,
                "its days are those of another time zone than its hours; the peak price applies")
        }
        var windows: [WeeklyWindow] = []
        for window in list {
            guard let read = LiteLLMWindows.windows(window) else {
                return report(
                    .condition, field, "a window of it is not one of hours in UTC; the peak price applies")
            }
            windows += read
        }
        var found = PriceStatements()
        for member in object.members
        where !["windows", "weekday_timezone"].contains(member.key) && member.value != .null {
            let name = "\(field).\(member.key)"
            guard case .price(let place) = LiteLLMField(member.key), place.threshold == 0 else {
                return report(.noUnit, name, "this is not a price that off-peak hours can have")
            }
            found.add(PriceNumber(member.value, perUnits: 0), for: place, field: name)
        }
        offPeak = (windows, found)
    }

    // MARK: The price

    private mutating func price() -> ModelPrice? {
        var found: [ImportFinding] = []
        let (key, line) = (key, line)
        func note(_ kind: ImportFinding.Kind, _ field: String, _ detail: String) {
            found.append(ImportFinding(kind: kind, line: line, entry: key, field: field, detail: detail))
        }
        var hasZero = false
        var cards = statements.settle(options, hasZero: &hasZero, report: note)
        let base = cards.removeValue(forKey: 0) ?? RateCard(standard: Rates())
        var price = ModelPrice(
            card: base,
            thresholds: cards.sorted { $0.key < $1.key }.map {
                PriceThreshold(inputTokensAbove: $0.key, card: $0.value)
            })
        if let offPeak {
            let card = offPeak.statements.settle(options, hasZero: &hasZero, report: note)[0]
            if !price.thresholds.isEmpty {
                note(
                    .condition, "off_peak_pricing",
                    "a price has thresholds or off-peak hours, not both; the peak price applies")
            } else if let card, !offPeak.windows.isEmpty {
                price.offPeak = OffPeakPrice(windows: offPeak.windows, card: card)
            } else {
                note(.condition, "off_peak_pricing", "it has no hours or no price")
            }
        }
        price.isExplicitZero = hasZero
        findings += found
        guard !base.standard.units.isEmpty else {
            if findings.isEmpty { report(.noPrice, "", "it has no price") }
            return nil
        }
        return price
    }
}
