// One model of genai-prices: its names, and its prices in the order of their dates.
//
// `prices` is one object, or a list in which the last active one holds: from a date on, or in certain hours
// of every day. Where none is active, the first one holds. Dates become validities. Hours become an off-peak price over what else holds, if there is
// one such window and neither has tiers.

import Money
import StrictJSON

struct GenAIPricesEntry {
    let provider: String
    private(set) var name: String
    let line: Int
    let options: ImportOptions
    private(set) var findings: [ImportFinding] = []

    init(provider: String, name: String, line: Int, options: ImportOptions) {
        self.provider = provider
        self.name = name
        self.line = line
        self.options = options
    }

    /// One of the dated prices.
    private struct Dated {
        var from = Timestamp.distantPast
        var window: [WeeklyWindow]?
        var price: ModelPrice
    }

    private mutating func report(_ kind: ImportFinding.Kind, _ field: String, _ detail: String) {
        findings.append(ImportFinding(kind: kind, line: line, entry: name, field: field, detail: detail))
    }

    /// The model; nil where it has none, or none with a price, which the findings explain.
    mutating func read(_ value: JSONValue, providerID: String) -> ImportDraft? {
        guard case .object(let object) = value, case .string(let id)? = object["id"], !id.isEmpty else {
            report(.invalid, "", "expected a model with its id")
            return nil
        }
        name = "\(providerID)/\(id)"
        var match: GenAIPricesMatch?
        if let clause = object["match"], clause != .null { match = GenAIPricesMatch(clause) }
        for problem in match?.left ?? [] { report(.name, "match", problem) }
        let dated = readPrices(object["prices"] ?? .null)
        let prices = dated.isEmpty ? [] : timeline(dated)
        guard !prices.isEmpty else {
            if findings.allSatisfy({ $0.kind == .name }) { report(.noPrice, "prices", "it has no price") }
            return nil
        }
        let model = CatalogueModel(
            provider: provider, id: id, aliases: match?.names ?? [], patterns: match?.patterns ?? [],
            prices: prices)
        do throws(PricingError) {
            try model.check()
        } catch {
            report(.name, "", "\(error)")
            return nil
        }
        return ImportDraft(model: model, courtesyNames: ["\(provider)/\(id)", "\(providerID)/\(id)"])
    }

    // MARK: Prices

    private mutating func readPrices(_ value: JSONValue) -> [Dated] {
        switch value {
        case .null: return []
        case .object(let object):
            return price(object, "prices").map { [Dated(price: $0)] } ?? []
        case .array(let list):
            var found: [Dated] = []
            for (index, element) in list.enumerated() {
                let field = "prices[\(index)]"
                guard case .object(let object) = element, case .object(let rates)? = object["prices"] else {
                    report(.invalid, field, "expected prices, with or without a constraint")
                    continue
                }
                let constraint = object["constraint"] ?? .null
                guard var dated = Self.constraint(constraint) else {
                    report(
                        .condition, "\(field).constraint",
                        "\(constraint.text.prefix(120)) cannot be said here")
                    continue
                }
                guard let price = price(rates, "\(field).prices") else { continue }
                dated.price = price
                found.append(dated)
            }
            return found
        default:
            report(.invalid, "prices", "expected prices or a list of them, found \(value.kind)")
            return []
        }
    }

    private static func constraint(_ value: JSONValue) -> Dated? {
        var dated = Dated(price: ModelPrice(card: RateCard(standard: Rates())))
        switch value {
        case .null: return dated
        case .object(let object):
            switch (object["start_date"], object["start_time"], object["end_time"], object.count) {
            case (.string(let date)?, nil, nil, 1):
                guard let from = Timestamp(text: date) else { return nil }
                dated.from = from
                return dated
            case (nil, .string(let start)?, .string(let end)?, 2):
                guard let from = minute(start), let until = minute(end),
                    let windows = LiteLLMWindows.windows("\(from)-\(until)", WeeklyWindow.everyDay)
                else { return nil }
                dated.window = windows
                return dated
            default: return nil
            }
        default: return nil
        }
    }

    /// `HH:MM` of `HH:MM:00Z`; nil for another zone and for seconds.
    private static func minute(_ text: String) -> Substring? {
        let time = text.prefix(5)
        return ["", ":00", "Z", ":00Z", ":00+00:00"].contains(text.dropFirst(5)) ? time : nil
    }

    private static let tokenUnits: [String: UsageUnit] = [
        "input_mtok": .input, "output_mtok": .output, "cache_read_mtok": .cacheRead,
        "cache_write_mtok": .cacheWrite5m, "cache_write_5m_mtok": .cacheWrite5m,
        "cache_write_1h_mtok": .cacheWrite1h, "input_audio_mtok": .inputAudio,
        "output_audio_mtok": .outputAudio, "input_image_mtok": .inputImage,
        "output_image_mtok": .outputImage, "output_reasoning_mtok": .reasoning,
        // Text by name. It is what a unit without a medium means here, so both must agree.
        "input_text_mtok": .input, "output_text_mtok": .output, "cache_text_read_mtok": .cacheRead,
        "cache_text_write_mtok": .cacheWrite5m, "cache_text_write_5m_mtok": .cacheWrite5m,
        "cache_text_write_1h_mtok": .cacheWrite1h,
    ]
    private static let countUnits: [String: UsageUnit] = [
        "web_searches_kcount": .webSearches, "requests_kcount": .requests,
    ]

    /// The price of one object; nil if it has none in the standard tier.
    private mutating func price(_ object: JSONObject, _ field: String) -> ModelPrice? {
        var statements = PriceStatements()
        for member in object.members where member.value != .null {
            let place = "\(field).\(member.key)"
            let unit = Self.tokenUnits[member.key] ?? Self.countUnits[member.key]
            let perUnits = Self.countUnits[member.key] == nil ? 6 : 3
            for (threshold, number, field) in Self.numbers(member.value, perUnits, place) {
                if let unit {
                    statements.add(number, for: PricePlace(unit: unit, threshold: threshold), field: field)
                } else if case .invalid(let problem) = number {
                    report(.invalid, field, problem)
                }
            }
            if unit == nil { report(.noUnit, place, "nothing that a usage record counts has this price") }
        }
        var found: [ImportFinding] = []
        let (name, line) = (name, line)
        var hasZero = false
        var cards = statements.settle(options, hasZero: &hasZero) { kind, field, detail in
            found.append(ImportFinding(kind: kind, line: line, entry: name, field: field, detail: detail))
        }
        findings += found
        guard let base = cards.removeValue(forKey: 0), !base.standard.units.isEmpty else { return nil }
        return ModelPrice(
            isExplicitZero: hasZero, card: base,
            thresholds: cards.sorted { $0.key < $1.key }.map {
                PriceThreshold(inputTokensAbove: $0.key, card: $0.value)
            })
    }

    /// A number, or a base and the tiers above it, each with its threshold.
    private static func numbers(
        _ value: JSONValue, _ perUnits: Int, _ field: String
    ) -> [(threshold: Int64, number: PriceNumber, field: String)] {
        guard case .object(let object) = value else {
            return [(0, PriceNumber(value, perUnits: perUnits), field)]
        }
        var found = [(Int64(0), PriceNumber(object["base"] ?? .null, perUnits: perUnits), "\(field).base")]
        guard case .array(let tiers)? = object["tiers"] else {
            return found + [(0, .invalid("expected base and tiers"), field)]
        }
        for (index, tier) in tiers.enumerated() {
            let place = "\(field).tiers[\(index)]"
            guard case .object(let object) = tier, case .number(let text)? = object["start"],
                let start = Int64(text), (1...Usage.countMax).contains(start)
            else {
                found.append((0, .invalid("expected a tier with its start, in whole tokens"), place))
                continue
            }
            found.append((start, PriceNumber(object["price"] ?? .null, perUnits: perUnits), "\(place).price"))
        }
        return found
    }

    // MARK: Dates

    /// The prices as validities: at each instant the last of `dated` that is active there, and where none
    /// is, the first.
    private mutating func timeline(_ dated: [Dated]) -> [ModelPrice] {
        let starts = Set(dated.filter { $0.window == nil }.map(\.from) + [.distantPast]).sorted()
        var prices: [(index: Int, price: ModelPrice)] = []
        for start in starts {
            let index = dated.lastIndex { $0.window == nil && $0.from <= start } ?? 0
            guard prices.last?.index != index else { continue }
            var price = dated[index].price
            price.effectiveFrom = start
            let windows = dated.indices.filter { $0 > index && dated[$0].window != nil }
            if let window = windows.first {
                if windows.count == 1, let offPeak = Self.offPeak(dated[window], over: price) {
                    price.offPeak = offPeak
                    price.isExplicitZero = price.isExplicitZero || dated[window].price.isExplicitZero
                } else {
                    report(
                        .condition, "prices[\(window)]",
                        "hours beside tiers or other hours cannot be said here; the other price applies")
                }
            }
            prices.append((index, price))
        }
        return prices.map(\.price)
    }

    /// A price of certain hours as a card over another price: it says all that holds then, so what it
    /// does not mention is priced by its own stand-ins, or withheld.
    private static func offPeak(_ dated: Dated, over base: ModelPrice) -> OffPeakPrice? {
        guard let windows = dated.window, dated.price.thresholds.isEmpty, base.thresholds.isEmpty else {
            return nil
        }
        var card = dated.price.card
        let mentioned = Set(card.standard.mentionedUnits)
        for unit in base.card.standard.mentionedUnits where !mentioned.contains(unit) {
            if let found = dated.price.rate(unit, threshold: nil, serviceTier: nil) {
                card.standard[unit] = Picodollars(found.rate)
            } else {
                card.standard.withhold(unit)
            }
        }
        return OffPeakPrice(windows: windows, card: card)
    }
}
