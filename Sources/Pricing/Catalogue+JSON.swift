// The catalogue as a file, made to be read and compared by people: one model to a line.
//
//      {"format":"tollgate-catalogue/1",
//      "source":"where the prices come from",
//      "provider_aliases":{"gemini":"google"},
//      "models":[
//      {"provider":"google","id":"gemini-2.5-pro","aliases":[…],"patterns":["gemini-2.5-pro-*"],"prices":[
//        {"from":"2025-06-17T00:00:00Z","until":…,"explicit_zero":true,
//         "rates":{"input":"1.25","cache_read":"0.125","output":"10"},
//         "tiers":{"batch":{"input":"0.625","output":"5"}},
//         "above":[{"input_tokens":200000,"rates":{…},"tiers":{…}}]},
//        {"from":…,"rates":{"input":"1","cache_read":null},
//         "off_peak":{"windows":[{"days":[6,7],"from":"00:00","until":"24:00"}],"rates":{…},"tiers":{…}}}]},
//      …
//      ]}
//
// Prices are decimal strings: US dollars per million for tokens (at most 6 decimals, so that a token's
// price is whole in picodollars) and per unit for what is counted singly (at most 12). A price of null is
// withheld: there is one, and it is not known here. Members that are empty or the default are left out. Writing sorts, so equal catalogues give equal bytes; those bytes are
// what a digest is taken of. A catalogue's version is not part of them.

import Money
import StrictJSON

extension Catalogue {
    /// The name of the format.
    public static let format = "tollgate-catalogue/1"

    /// Reads a catalogue file and checks it. Models, names and tiers may come in any order.
    public init(parsing bytes: [UInt8], version: UInt32) throws(PricingError) {
        do throws(JSONError) {
            let root = try JSONNode(parsing: bytes, bytesMax: PricingLimits.catalogueBytesMax)
            self = try Catalogue(root, version: version).sorted()
        } catch {
            throw .json(error)
        }
        try check()
    }

    private init(_ root: JSONNode, version: UInt32) throws(JSONError) {
        try root.expectOnly(["format", "source", "provider_aliases", "models"])
        let format = try root.field("format")
        guard try format.string() == Self.format else { throw format.unexpected("\"\(Self.format)\"") }
        self.init(version: version, source: try root.optional("source")?.string() ?? "")
        for (alias, provider) in try root.optional("provider_aliases")?.members() ?? [] {
            providerAliases.append(
                ProviderAlias(
                    alias: alias.asciiLowercased, provider: try provider.string().asciiLowercased))
        }
        for node in try root.field("models").array() { models.append(try CatalogueModel(node)) }
    }

    /// The catalogue file: the same bytes for equal catalogues, whatever their version.
    public var canonicalBytes: [UInt8] {
        let sorted = sorted()
        var output = Array("{\"format\":\(JSONValue.string(Self.format).text)".utf8)
        func member(_ name: String, _ value: JSONValue) {
            output += ",\n\"\(name)\":".utf8
            output += value.bytes()
        }
        if !source.isEmpty { member("source", .string(source)) }
        if !sorted.providerAliases.isEmpty {
            var aliases = JSONObject()
            for alias in sorted.providerAliases { aliases[alias.alias] = .string(alias.provider) }
            member("provider_aliases", .object(aliases))
        }
        output += ",\n\"models\":[".utf8
        for (index, model) in sorted.models.enumerated() {
            output += (index == 0 ? "\n" : ",\n").utf8
            output += model.json.bytes()
        }
        output += "\n]}\n".utf8
        return output
    }

    /// The same catalogue with everything in order.
    public func sorted() -> Catalogue {
        var copy = self
        copy.providerAliases.sort { $0.alias < $1.alias }
        copy.models = models.map { $0.sorted() }
        copy.models.sort { ($0.provider, $0.id) < ($1.provider, $1.id) }
        return copy
    }
}

extension CatalogueModel {
    fileprivate func sorted() -> CatalogueModel {
        var copy = self
        copy.aliases.sort()
        copy.patterns.sort()
        copy.prices.sort { $0.effectiveFrom < $1.effectiveFrom }
        for index in copy.prices.indices {
            copy.prices[index].card.serviceTiers.sort { $0.name < $1.name }
            copy.prices[index].thresholds.sort { $0.inputTokensAbove < $1.inputTokensAbove }
            for threshold in copy.prices[index].thresholds.indices {
                copy.prices[index].thresholds[threshold].card.serviceTiers.sort { $0.name < $1.name }
            }
            copy.prices[index].offPeak?.card.serviceTiers.sort { $0.name < $1.name }
        }
        return copy
    }

    init(_ node: JSONNode) throws(JSONError) {
        try node.expectOnly(["provider", "id", "aliases", "patterns", "prices"])
        self.init(
            provider: try node.field("provider").string().asciiLowercased,
            id: try node.field("id").string(),
            aliases: try node.optional("aliases")?.strings() ?? [],
            patterns: try node.optional("patterns")?.strings() ?? [],
            prices: [])
        for price in try node.field("prices").array() { prices.append(try ModelPrice(price)) }
    }

    /// The model as it stands in a catalogue file.
    public var document: JSONValue { json }

    /// Reads a model as it stands in a catalogue file. What it says is not checked.
    public init(document: JSONNode) throws(JSONError) { try self.init(document) }

    var json: JSONValue {
        var object: JSONObject = ["provider": .string(provider), "id": .string(id)]
        if !aliases.isEmpty { object["aliases"] = .array(aliases.map { .string($0) }) }
        if !patterns.isEmpty { object["patterns"] = .array(patterns.map { .string($0) }) }
        object["prices"] = .array(prices.map(\.json))
        return .object(object)
    }
}

extension ModelPrice {
    init(_ node: JSONNode) throws(JSONError) {
        try node.expectOnly(["from", "until", "explicit_zero", "rates", "tiers", "above", "off_peak"])
        self.init(
            effectiveFrom: try node.optional("from")?.timestamp() ?? .distantPast,
            effectiveUntil: try node.optional("until")?.timestamp() ?? .distantFuture,
            isExplicitZero: try node.optional("explicit_zero")?.bool() ?? false,
            card: try RateCard(node))
        for above in try node.optional("above")?.array() ?? [] {
            try above.expectOnly(["input_tokens", "rates", "tiers"])
            let tokens = try above.field("input_tokens").integer(in: 1...Usage.countMax)
            thresholds.append(PriceThreshold(inputTokensAbove: tokens, card: try RateCard(above)))
        }
        offPeak = try node.optional("off_peak").map { (node) throws(JSONError) in try OffPeakPrice(node) }
    }

    var json: JSONValue {
        var object = JSONObject()
        if effectiveFrom != .distantPast { object["from"] = .string(effectiveFrom.text) }
        if effectiveUntil != .distantFuture { object["until"] = .string(effectiveUntil.text) }
        if isExplicitZero { object["explicit_zero"] = true }
        card.write(to: &object)
        if !thresholds.isEmpty {
            object["above"] = .array(
                thresholds.map { threshold in
                    var above: JSONObject = ["input_tokens": .integer(threshold.inputTokensAbove)]
                    threshold.card.write(to: &above)
                    return .object(above)
                })
        }
        if let offPeak { object["off_peak"] = offPeak.json }
        return .object(object)
    }
}

extension RateCard {
    init(_ node: JSONNode) throws(JSONError) {
        self.init(
            standard: try node.optional("rates").map { (rates) throws(JSONError) in try Rates(rates) }
                ?? Rates())
        for (name, rates) in try node.optional("tiers")?.members() ?? [] {
            serviceTiers.append(ServiceTier(name: name.asciiLowercased, rates: try Rates(rates)))
        }
    }

    func write(to object: inout JSONObject) {
        if !standard.isEmpty { object["rates"] = standard.json }
        if serviceTiers.isEmpty { return }
        var tiers = JSONObject()
        for tier in serviceTiers { tiers[tier.name] = tier.rates.json }
        object["tiers"] = .object(tiers)
    }
}

extension UsageUnit {
    /// Decimals of a catalogue price: per million for tokens, per one for the rest.
    var priceDecimals: Int { isToken ? 6 : 12 }

    /// How a catalogue price of this unit reads.
    public var priceUnit: String { isToken ? "USD per million" : "USD each" }

    /// A rate in picodollars per unit as a catalogue price.
    public func priceText(rate: Int64) -> String { DecimalText.format(rate, places: priceDecimals) }
}

extension Rates {
    init(_ node: JSONNode) throws(JSONError) {
        self.init()
        for (name, price) in try node.members() {
            guard let unit = UsageUnit(name: name) else {
                throw .unknownKey(path: node.path, key: name, known: UsageUnit.allCases.map(\.name))
            }
            if price.isNull {
                withhold(unit)
            } else {
                self[unit] = Picodollars(try price.price(of: unit))
            }
        }
    }

    var json: JSONValue {
        var object = JSONObject()
        for unit in mentionedUnits {
            object[unit.name] = self[unit].map { .string(unit.priceText(rate: $0.count)) } ?? .null
        }
        return .object(object)
    }
}

extension JSONNode {
    /// A catalogue price as picodollars per unit.
    fileprivate func price(of unit: UsageUnit) throws(JSONError) -> Int64 {
        do throws(MoneyError) {
            switch value {
            case .string(let text):
                return try DecimalText.parse(text.utf8, places: unit.priceDecimals, signed: false)
            case .number(let text):
                let rate = try DecimalText.exact(number: text.utf8, places: unit.priceDecimals)
                if rate < 0 { throw .text(position: 0, problem: .minusSign) }
                return rate
            default:
                throw .text(position: 0, problem: .empty)
            }
        } catch {
            switch error {
            case .text(_, .empty): throw unexpected("a price, \(unit.priceUnit), as a string")
            case .text(let position, let problem):
                throw invalid(
                    "not a price in \(unit.priceUnit): at position \(position), \(problem.text)")
            }
        }
    }
}
