// One catalogue over another: what a diff says, what is kept, what applies from a date on.

import Money
import StrictJSON
import Testing

@testable import Pricing

struct CatalogueChangeTests {
    private let old = catalogue([
        CatalogueModel(
            "openai", "a", aliases: ["a-1"], [.input: "1", .output: "5"], tiers: ["batch": [.input: "0.5"]]),
        CatalogueModel("openai", "b", [.input: "1"]), CatalogueModel("openai", "c", [.input: "1"]),
    ])
    private let new = catalogue([
        CatalogueModel(
            "openai", "A", aliases: ["a-2"], [.input: "2", .output: "5"], tiers: ["batch": [.input: "0.5"]],
            above: [(100, [.input: "3"])]),
        CatalogueModel("openai", "b", [.input: "1"]), CatalogueModel("google", "c", [.input: "1"]),
    ])

    @Test("a diff names models and single prices that differ, and nothing else")
    func diff() {
        let diff = old.diff(to: new)
        #expect(diff.added.map(\.provider) == ["google"] && diff.removed.map(\.id) == ["c"])
        #expect(diff.unchangedCount == 1 && diff.changed.count == 1)
        #expect(
            diff.changed[0].prices == [
                CatalogueDiff.PriceChange(place: "input", before: "1", after: "2", unit: "USD per million"),
                CatalogueDiff.PriceChange(
                    place: "input, above 100 tokens", before: nil, after: "3", unit: "USD per million"),
            ])
        #expect(diff.changed[0].namesAdded == ["a-2"] && diff.changed[0].namesRemoved == ["a-1"])
        #expect(old.diff(to: old).isEmpty && old.diff(to: old).unchangedCount == 3)
        let back = new.diff(to: old)
        #expect(back.added.map(\.id) == ["c"] && back.removed.map(\.provider) == ["google"])
        #expect(JSONValue.object(diff.json).text.contains("\"before\":null,\"after\":\"3\""))
    }

    @Test("a withheld price and other hours are differences")
    func withheld() throws {
        func read(_ price: String) throws -> Catalogue {
            let text =
                #"{"format":"tollgate-catalogue/1","models":[{"provider":"p","id":"m","prices":[\#(price)]}]}"#
            let catalogue = try Catalogue(parsing: Array(text.utf8), version: 1)
            #expect(try Catalogue(parsing: catalogue.canonicalBytes, version: 1) == catalogue)
            return catalogue
        }
        let plain = try read(#"{"rates":{"input":"1"}}"#)
        let withheld = try read(#"{"rates":{"input":"1","cache_read":null}}"#)
        let early = try read(
            #"{"rates":{"input":"1"},"off_peak":{"windows":[{"days":[6,7],"from":"00:00","until":"08:00"}],"rates":{"input":"0.5"}}}"#
        )
        let late = try read(
            #"{"rates":{"input":"1"},"off_peak":{"windows":[{"from":"08:00","until":"24:00"}],"rates":{"input":"0.5"}}}"#
        )
        #expect(plain.diff(to: withheld).changed[0].prices.map(\.after) == ["withheld"])
        #expect(
            plain.diff(to: early).changed[0].prices.map(\.place) == ["off-peak hours", "input, off-peak"])
        #expect(early.diff(to: late).changed[0].prices.map(\.place) == ["off-peak hours"])
        let usage = Usage(100).with { $0.cacheReadTokens = 50 }
        let names = Names(provider: "p", model: "m")
        for (catalogue, parked) in [(plain, false), (withheld, true)] {
            let book = try PriceBook(catalogue: catalogue, rules: .standard, creditValue: .standard)
            #expect((book.price(usage, .platform, names).priced == nil) == parked)
            guard case .parked(.unpricedModel, .cacheReadTokens) = book.explain(usage, .platform, names)
            else {
                #expect(!parked)
                continue
            }
            #expect(parked)
        }
    }

    @Test("models that a list does not name stay, without the names that are taken from them")
    func keepingMissing() throws {
        let base = Catalogue(
            version: 7,
            providerAliases: [
                Catalogue.ProviderAlias(alias: "oai", provider: "openai"),
                Catalogue.ProviderAlias(alias: "gone", provider: "nowhere"),
            ],
            models: [
                CatalogueModel("openai", "kept", aliases: ["a-2", "mine"], patterns: ["k*"], [.input: "9"]),
                CatalogueModel("openai", "a-2", [.input: "9"]), CatalogueModel("openai", "B", [.input: "9"]),
            ])
        let merged = new.keepingMissing(from: base)
        try merged.check()
        #expect(merged.models.map(\.id) == ["c", "A", "b", "kept"])
        #expect(merged.models.last?.aliases == ["mine"] && merged.models.last?.patterns == ["k*"])
        #expect(merged.models[2].prices == new.models[1].prices)
        #expect(merged.providerAliases == [Catalogue.ProviderAlias(alias: "oai", provider: "openai")])
    }

    @Test("from a date on, the new prices; before it, what was in force")
    func effectiveFrom() throws {
        let merged = new.taking(effectFrom: .day(10), over: old)
        let book = try PriceBook(
            catalogue: merged,
            rules: RuleBook(platform: [try platformRule("professional", 1, percent: 100)], byok: []),
            creditValue: .standard)
        func fee(_ provider: String, _ model: String, _ day: Int64) -> String? {
            book.fee(Usage(1_000), .platform, Names(provider: provider, model: model), at: .day(day))
        }
        #expect(fee("openai", "a", 9) == "1" && fee("openai", "a", 10) == "3")
        #expect(fee("openai", "b", 9) == "1" && fee("openai", "b", 11) == "1")
        // Gone from then on, and new for all time: there was no other price.
        #expect(fee("openai", "c", 9) == "1" && fee("openai", "c", 10) == nil)
        #expect(fee("google", "c", 9) == "1" && fee("google", "c", 10) == "1")
        // Kept on purpose, it does not end.
        let kept = new.keepingMissing(from: old).taking(effectFrom: .day(10), over: old)
        #expect(kept.models.first { $0.provider == "openai" && $0.id == "c" }?.prices == old.models[2].prices)
        // The same list again from a later day changes nothing before it.
        let later = new.taking(effectFrom: .day(20), over: merged)
        #expect(later.models.first { $0.id == "b" }?.prices.count == 1)
        let again = try PriceBook(catalogue: later, rules: book.rules, creditValue: .standard)
        for day in [9, 10, 19, 20, 21] as [Int64] {
            #expect(
                again.fee(Usage(1_000), .platform, Names(provider: "openai", model: "a"), at: .day(day))
                    == fee("openai", "a", day), "day \(day)")
        }
    }

    @Test(
        "the compiled book and the search of the explanation find the same model by any pattern",
        arguments: 1...30)
    func patterns(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        func word(_ range: ClosedRange<Int>) -> String {
            String(
                (0..<Int.random(in: range, using: &random)).map { _ in
                    "abA-".randomElement(using: &random) ?? "a"
                })
        }
        var models: [CatalogueModel] = []
        var seen: Set<String> = []
        for number in 0..<8 {
            var pattern = word(0...2)
            for _ in 0..<Int.random(in: 1...3, using: &random) { pattern += "*" + word(1...2) }
            if Bool.random(using: &random) { pattern += "*" }
            guard seen.insert(pattern.lowercased()).inserted else { continue }
            models.append(
                CatalogueModel("p", "model-\(number)", patterns: [pattern], [.input: "\(number + 1)"]))
        }
        let catalogue = catalogue(models)
        let book = try PriceBook(catalogue: catalogue, rules: .standard, creditValue: .standard)
        for _ in 0..<200 {
            let name = word(1...8)
            let names = Names(provider: "p", model: name)
            let found = catalogue.model(provider: "p", name: name)?.model.prices[0].card.standard[.input]?
                .count
            let line = book.lines(Usage(1), names).first?.rate
            #expect(line == found, "\(name), seed \(seed)")
        }
    }

    @Test("thousands of models are found by all of their names")
    func thousands() throws {
        let models = (0..<5_000).map { number in
            CatalogueModel(
                "provider-\(number % 50)", "Model-\(number)", aliases: ["alias-\(number)"],
                patterns: number < 2_000 ? ["family-\(number)-*"] : [], [.input: "\(number + 1)"])
        }
        let book = try PriceBook(catalogue: catalogue(models), rules: .standard, creditValue: .standard)
        for (number, model) in models.enumerated() {
            var all = [model.id.lowercased(), "ALIAS-\(number)"]
            if number < 2_000 { all.append("family-\(number)-x") }
            for name in all {
                let rate = book.lines(Usage(1), Names(provider: model.provider, model: name)).first?.rate
                #expect(rate == Int64(number + 1) * 1_000_000, "\(name)")
            }
        }
    }
}
