// The catalogue as a file, its checks and its oddities, and the one that comes with the program.

import Money
import Pricing
import StrictJSON
import Testing

struct CatalogueFileTests {
    private static let canonical = """
        {"format":"tollgate-catalogue/1",
        "source":"by hand",
        "provider_aliases":{"gemini":"google"},
        "models":[
        {"provider":"google","id":"pro","aliases":["pro-001","pro-002"],"patterns":["pro-*"],"prices":[\
        {"until":"2025-06-17T00:00:00Z","rates":{"input":"1","output":"4"}},\
        {"from":"2025-06-17T12:30:00.5Z","rates":{"input":"1.25","cache_read":"0.125","output":"10","web_searches":"0.035"},\
        "tiers":{"batch":{"input":"0.625","output":"5"},"flex":{"output":"0.000001"}},\
        "above":[{"input_tokens":200000,"rates":{"input":"2.5"},"tiers":{"batch":{"input":"1.25"}}},\
        {"input_tokens":500000,"tiers":{"flex":{"output":"6"}}}]}]},
        {"provider":"openai","id":"embed","prices":[{"explicit_zero":true,"rates":{"input":"0.02","output":"0","characters":"0.000000000001"}}]}
        ]}

        """

    @Test("reading and writing a catalogue gives the same bytes")
    func identity() throws {
        let catalogue = try Catalogue(parsing: Array(Self.canonical.utf8), version: 3)
        #expect(String(decoding: catalogue.canonicalBytes, as: UTF8.self) == Self.canonical)
        #expect(try Catalogue(parsing: catalogue.canonicalBytes, version: 3) == catalogue)
        let price = try #require(catalogue.models.first?.prices.last)
        #expect(price.card.standard[.input]?.count == 1_250_000)
        #expect(price.card.standard[.webSearches]?.count == 35_000_000_000)
        #expect(price.thresholds.map(\.inputTokensAbove) == [200_000, 500_000])
        #expect(catalogue.models.last?.prices.first?.card.standard[.characters]?.count == 1)
        #expect(price.effectiveFrom.text == "2025-06-17T12:30:00.5Z")
    }

    @Test("order, space and exact numbers do not matter to the canonical bytes")
    func canonicalForm() throws {
        let loose = """
            { "models" : [ {"prices":[{"above":[{"rates":{"input":3},"input_tokens":20},{"input_tokens":10,"rates":{"input":2.50}}],
              "tiers":{"Flex":{"input":0.5},"batch":{"input":"0.50"}},"rates":{"output":1e1,"input":"1.0"},"from":null}],
              "id":"b","provider":"OpenAI","aliases":["z","y"]},
              {"provider":"anthropic","id":"a","prices":[{"rates":{"input":1}}]} ], "format":"tollgate-catalogue/1" }
            """
        let written = try Catalogue(parsing: Array(loose.utf8), version: 1).canonicalBytes
        #expect(
            String(decoding: written, as: UTF8.self) == """
                {"format":"tollgate-catalogue/1",
                "models":[
                {"provider":"anthropic","id":"a","prices":[{"rates":{"input":"1"}}]},
                {"provider":"openai","id":"b","aliases":["y","z"],"prices":[{"rates":{"input":"1","output":"10"},\
                "tiers":{"batch":{"input":"0.5"},"flex":{"input":"0.5"}},\
                "above":[{"input_tokens":10,"rates":{"input":"2.5"}},{"input_tokens":20,"rates":{"input":"3"}}]}]}
                ]}

                """)
    }

    private static func model(_ members: String) -> String {
        #"{"format":"tollgate-catalogue/1","models":[{"provider":"p","id":"m",\#(members)}]}"#
    }

    @Test(
        "what is wrong is refused, with its place",
        arguments: [
            ("{}", "`format` is missing"), (#"{"format":"x","models":[]}"#, "format: expected"),
            (#"{"format":"tollgate-catalogue/1","models":[],"extra":1}"#, "`extra` is not known"),
            (model(#""prices":[]"#), "it has no price"), (model(#""prices":[{}]"#), "no standard rate"),
            (model(#""prices":[{"rates":{"input":"-1"}}]"#), "models[0].prices[0].rates.input: not a price"),
            (model(#""prices":[{"rates":{"input":-1}}]"#), "must not be negative"),
            (model(#""prices":[{"rates":{"input":"NaN"}}]"#), "not one of the digits"),
            (model(#""prices":[{"rates":{"input":"Infinity"}}]"#), "not one of the digits"),
            (model(#""prices":[{"rates":{"input":NaN}}]"#), "line 1"),
            (model(#""prices":[{"rates":{"input":1e400}}]"#), "too large"),
            (model(#""prices":[{"rates":{"input":"0.0000001"}}]"#), "at most 6 decimals"),
            (model(#""prices":[{"rates":{"input":1e-7}}]"#), "not exact with 6 decimals"),
            (model(#""prices":[{"rates":{"images":"0.0000000000001"}}]"#), "at most 12 decimals"),
            (model(#""prices":[{"rates":{"input":true}}]"#), "expected a price"),
            (model(#""prices":[{"rates":{"input":"0"}}]"#), "explicit_zero"),
            (model(#""prices":[{"rates":{"input":"1"},"tiers":{"batch":{"input":"0"}}}]"#), "explicit_zero"),
            (model(#""prices":[{"rates":{"inputs":"1"}}]"#), "`inputs` is not known"),
            (
                model(#""prices":[{"rates":{"input":"1"},"tiers":{"standard":{"input":"1"}}}]"#),
                "cannot be the name"
            ),
            (model(#""prices":[{"rates":{"input":"1"},"tiers":{"batch":{}}}]"#), "has no rate"),
            (
                model(
                    #""prices":[{"rates":{"input":"1"},"above":[{"input_tokens":0,"rates":{"input":"1"}}]}]"#),
                "whole number"
            ),
            (model(#""prices":[{"rates":{"input":"1"},"above":[{"input_tokens":5}]}]"#), "changes nothing"),
            (
                model(
                    #""prices":[{"rates":{"input":"1"},"above":[{"input_tokens":5,"rates":{"input":"1"}},{"input_tokens":5,"rates":{"input":"1"}}]}]"#
                ), "ascending"
            ),
            (model(#""prices":[{"from":"yesterday","rates":{"input":"1"}}]"#), "an instant"),
            (model(#""prices":[{"from":"2025-02-29T00:00:00Z","rates":{"input":"1"}}]"#), "an instant"),
            (
                model(#""prices":[{"from":"2025-01-02","until":"2025-01-02","rates":{"input":"1"}}]"#),
                "not after it begins"
            ),
            (model(#""prices":[{"rates":{"input":"1"}},{"rates":{"input":"2"}}]"#), "two prices begin"),
            (model(#""aliases":["M"],"prices":[{"rates":{"input":"1"}}]"#), "belongs to m and to m"),
            (model(#""aliases":["a*"],"prices":[{"rates":{"input":"1"}}]"#), "without '*'"),
            (model(#""patterns":["a"],"prices":[{"rates":{"input":"1"}}]"#), "has not 1 to 4 '*'"),
            (model(#""patterns":["*"],"prices":[{"rates":{"input":"1"}}]"#), "has not 1 to 4 '*'"),
            (model(#""patterns":["a**b"],"prices":[{"rates":{"input":"1"}}]"#), "has not 1 to 4 '*'"),
            (model(#""patterns":["*a*b*c*d*"],"prices":[{"rates":{"input":"1"}}]"#), "has not 1 to 4 '*'"),
            (model(#""prices":[{"rates":{"input":null}}]"#), "no standard rate"),
            (
                model(#""prices":[{"rates":{"input":"1"},"off_peak":{"windows":[],"rates":{"input":"1"}}}]"#),
                "1 to 64 windows"
            ),
            (
                model(
                    #""prices":[{"rates":{"input":"1"},"off_peak":{"windows":[{"from":"09:00","until":"09:00"}]}}]"#
                ),
                "ends after it begins"
            ),
            (
                model(
                    #""prices":[{"rates":{"input":"1"},"off_peak":{"windows":[{"from":"9:00","until":"24:00"}]}}]"#
                ),
                "a time of day"
            ),
            (
                model(
                    #""prices":[{"rates":{"input":"1"},"off_peak":{"windows":[{"from":"09:00","until":"24:00"}]}}]"#
                ),
                "changes nothing"
            ),
            (
                model(
                    #""prices":[{"rates":{"input":"1"},"above":[{"input_tokens":5,"rates":{"input":"2"}}],"off_peak":{"windows":[{"from":"09:00","until":"24:00"}],"rates":{"input":"3"}}}]"#
                ), "one of them"
            ),
            (model(#""aliases":["a b"],"prices":[{"rates":{"input":"1"}}]"#), "visible ASCII"),
            (#"{"format":"tollgate-catalogue/1","provider_aliases":{"a":"b"},"models":[]}"#, "no model here"),
        ])
    func refused(text: String, part: String) {
        do throws(PricingError) {
            _ = try Catalogue(parsing: Array(text.utf8), version: 1)
            Issue.record("it was read")
        } catch {
            #expect(error.description.contains(part), "\(error)")
        }
    }

    @Test("a book is not made from a catalogue that contradicts itself")
    func checkedByTheBook() throws {
        let twice = [
            CatalogueModel("openai", "A", [.input: "1"]),
            CatalogueModel("openai", "b", aliases: ["a"], [.input: "1"]),
        ]
        #expect(throws: PricingError.self) { try book(twice) }
        #expect(throws: PricingError.self) { try book([CatalogueModel("openai", "a", [.input: "0"])]) }
        #expect(throws: PricingError.self) { try book([CatalogueModel("OpenAI", "a", [.input: "1"])]) }
        let rule = BYOKRule(
            head: RuleVersion(id: "a", ruleNumber: 1, version: 1), provider: "*",
            markup: Markup(.percentage, .one), minCharge: Picodollars(.max), appliesToTiers: ["*"])
        let cheap = try #require(CreditValue(picodollarsPerCredit: 1_000))
        #expect(throws: PricingError.amountTooLarge(rule: "a", field: "min_charge")) {
            try PriceBook(
                catalogue: catalogue([.sonnet]), rules: RuleBook(platform: [], byok: [rule]),
                creditValue: cheap)
        }
    }

    @Test("oddities are found: dear cache reads, odd cache writes, cheap thresholds, jumps, disappearances")
    func lint() {
        let odd = CatalogueModel(
            "openai", "a", [.input: "1", .cacheRead: "2", .cacheWrite5m: "0.4", .cacheWrite1h: "5"],
            above: [(1_000, [.input: "0.5"])])
        let findings = catalogue([odd]).lint()
        #expect(
            findings.map(\.kind) == [
                .cacheReadDearerThanInput, .oddCacheWriteRate, .oddCacheWriteRate, .cheaperAboveThreshold,
            ])
        #expect(findings.first?.detail == "cache_read is 2 and input 1")
        let before = catalogue([
            CatalogueModel("openai", "a", [.input: "1", .output: "5"]),
            CatalogueModel("openai", "b", [.input: "1"]),
            CatalogueModel("openai", "c", [.input: "1"]),
        ])
        let after = catalogue([
            CatalogueModel("openai", "A", [.input: "10", .output: "49"]),
            CatalogueModel("openai", "new-b", aliases: ["b"], [.input: "0.1"]),
        ])
        #expect(after.lint(previous: before).map(\.kind) == [.tenfoldChange, .tenfoldChange, .vanished])
        #expect(before.lint(previous: before).isEmpty)
        let snapshots = catalogue([
            CatalogueModel(
                "openai", "a", [.input: "1", .output: "2", .cacheRead: "0.1"],
                tiers: ["batch": [.input: "0.5"]],
                above: [(9, [.input: "2"])]),
            CatalogueModel("openai", "a-2024-08-06", [.input: "1", .output: "2"]),
            CatalogueModel("openai", "a-20240807", [.input: "2", .output: "1", .cacheRead: "0.1"]),
            CatalogueModel("openai", "b-2024-08-06", [.input: "1"]),
            CatalogueModel("google", "a-2024-08-06", [.input: "1"]),
        ]).lint()
        #expect(
            snapshots.map(\.kind) == [.snapshotLacksRates, .outputCheaperThanInput, .snapshotLacksRates])
        #expect(
            snapshots.first?.detail
                == "a has a price for cache_read; input, above 9 tokens; input, tier batch, and this snapshot has none"
        )
    }
}

struct StarterCatalogueTests {
    @Test("the catalogue that comes with the program is canonical, broad and without oddities")
    func starter() throws {
        let catalogue = try Catalogue.starter()
        #expect(catalogue.canonicalBytes == Array(Catalogue.starterText.utf8))
        #expect(catalogue.version == 1)
        // Some old snapshots really have fewer prices than the model that they are of.
        #expect(catalogue.lint().allSatisfy { $0.kind == .snapshotLacksRates })
        #expect(catalogue.models.count >= 300)
        #expect(Set(catalogue.models.map(\.provider)).count >= 10)
        #expect(catalogue.source.contains("LiteLLM") && catalogue.source.contains("MIT"))
        let prices = catalogue.models.flatMap(\.prices)
        #expect(prices.count { !$0.thresholds.isEmpty } > 20)
        for tier in ["batch", "flex", "priority"] {
            #expect(prices.contains { $0.card.serviceTiers.contains { $0.name == tier } }, "\(tier)")
        }
        let units: [UsageUnit] = [
            .input, .cacheRead, .cacheWrite5m, .cacheWrite1h, .inputAudio, .inputImage, .output, .outputAudio,
            .outputImage, .reasoning, .images, .webSearches, .seconds, .pages, .characters, .requests,
        ]
        for unit in units { #expect(prices.contains { $0.card.standard[unit] != nil }, "\(unit)") }
    }

    @Test("with the default rules it prices the guide's example")
    func example() throws {
        let book = try PriceBook(catalogue: .starter(), rules: .standard, creditValue: .standard)
        for model in ["anthropic/claude-3-5-sonnet", "anthropic/claude-3.5-sonnet"] {
            let names = Names(provider: "openrouter", model: model)
            #expect(book.fee(Usage(10_000), .platform, names) == "45")
            #expect(book.fee(Usage(10_000), .byok, names) == "1.5")
            #expect(book.fee(Usage(0, 1_000_000), .platform, names) == "22500")
        }
        #expect(
            book.fee(Usage(1_000_000), .platform, Names(provider: "gemini", model: "gemini-2.5-pro"))
                == "4000")
        #expect(
            book.fee(Usage(200_000), .platform, Names(provider: "google", model: "gemini-2.5-pro")) == "400")
    }

    @Test("every model of it has a price by each of its names")
    func allPriced() throws {
        let catalogue = try Catalogue.starter()
        let book = try PriceBook(catalogue: catalogue, rules: .standard, creditValue: .standard)
        for model in catalogue.models {
            let standard = try #require(model.prices.first).card.standard
            var usage = Usage()
            usage.inputTokens = standard[.input] == nil ? 0 : 1_000
            usage.images = standard[.images] == nil ? 0 : 1
            for name in [model.id] + model.aliases + model.patterns {
                let names = Names(provider: model.provider, model: name)
                let pricing = book.price(usage, .platform, names)
                #expect(pricing.priced != nil, "\(model.provider) \(name): \(pricing)")
            }
        }
    }
}
