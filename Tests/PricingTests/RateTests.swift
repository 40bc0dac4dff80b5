// Which rates a request gets: leaves, stand-ins, thresholds, service tiers, dates and names.

import Money
import Pricing
import Testing

struct UsageSplitTests {
    @Test("every token is in exactly one leaf")
    func leaves() throws {
        let usage = Usage(1_000, 400).with {
            $0.cacheReadTokens = 100
            $0.cacheWrite5mTokens = 20
            $0.cacheWrite1hTokens = 3
            $0.inputAudioTokens = 50
            $0.inputImageTokens = 7
            $0.reasoningTokens = 200
            $0.outputAudioTokens = 10
            $0.outputImageTokens = 1
            $0.images = 2
            $0.requests = 1
        }
        let split = try UsageSplit(usage)
        #expect(split[.input] == 820)
        #expect(split[.output] == 189)
        #expect(UsageUnit.allCases.filter(\.isToken).reduce(0) { $0 + split[$1] } == 1_400)
        #expect(split[.images] == 2 && split[.requests] == 1 && split[.pages] == 0)
        #expect(UsageUnit.allCases.map { split[$0] }.allSatisfy { $0 >= 0 })
    }

    @Test("a part above its whole is a contradiction, and the field at fault is named")
    func contradictions() {
        func fault(_ change: (inout Usage) -> Void) -> UsageFault? {
            do throws(UsageFault) {
                _ = try UsageSplit(Usage(10, 10).with(change))
                return nil
            } catch {
                return error
            }
        }
        #expect(fault { $0.cacheReadTokens = 10 } == nil)
        #expect(fault { $0.cacheReadTokens = 11 } == .contradiction(.cacheReadTokens))
        #expect(fault { $0.cacheWrite5mTokens = 11 } == .contradiction(.cacheWrite5mTokens))
        #expect(fault { $0.cacheWrite1hTokens = 11 } == .contradiction(.cacheWrite1hTokens))
        #expect(fault { $0.inputAudioTokens = 11 } == .contradiction(.inputAudioTokens))
        #expect(fault { $0.inputImageTokens = 11 } == .contradiction(.inputImageTokens))
        #expect(fault { $0.reasoningTokens = 11 } == .contradiction(.reasoningTokens))
        #expect(fault { $0.outputAudioTokens = 11 } == .contradiction(.outputAudioTokens))
        #expect(fault { $0.outputImageTokens = 11 } == .contradiction(.outputImageTokens))
        #expect(
            fault {
                $0.cacheReadTokens = 6
                $0.inputAudioTokens = 5
            } == .contradiction(.inputTokens))
        #expect(
            fault {
                $0.reasoningTokens = 6
                $0.outputAudioTokens = 5
            } == .contradiction(.outputTokens))
        #expect(fault { $0.images = -1 } == .outOfRange(.images))
        #expect(fault { $0.inputTokens = Usage.countMax + 1 } == .outOfRange(.inputTokens))
        // Together these have bits above the limit, and each is within it.
        #expect(
            fault {
                $0.inputTokens = Usage.countMax
                $0.seconds = 0xff_ffff
            } == nil)
    }

    @Test("cached tokens are priced once, and never make the rest negative")
    func cachedTokens() throws {
        let book = try book([.sonnet])
        // All of the input from the cache: only the cache rate.
        let cached = Usage(10_000).with { $0.cacheReadTokens = 10_000 }
        #expect(book.price(cached).priced?.baseCost == 3_000_000_000)
        // Usage that excludes the cache from the total is contradictory and kept, not priced.
        let exclusive = Usage(100).with { $0.cacheReadTokens = 10_000 }
        #expect(book.price(exclusive) == .parked(.invalidUsage, .cacheReadTokens))
        #expect(book.price(Usage(-1)) == .refused(Refusal(.invalidArgument, field: .inputTokens)))
    }
}

struct RateTests {
    @Test("a unit without a rate is billed at its stand-in's; a counted unit has none")
    func standIns() throws {
        let plain = CatalogueModel("openrouter", "sonnet", [.input: "3", .output: "15"])
        let book = try book([plain])
        let input = Usage(1_000).with {
            $0.cacheReadTokens = 100
            $0.cacheWrite5mTokens = 100
            $0.cacheWrite1hTokens = 100
            $0.inputAudioTokens = 100
            $0.inputImageTokens = 100
        }
        #expect(book.price(input).priced?.baseCost == Int64(1_000 * 3_000_000))
        let output = Usage(0, 1_000).with {
            $0.reasoningTokens = 100
            $0.outputAudioTokens = 100
            $0.outputImageTokens = 100
        }
        #expect(book.price(output).priced?.baseCost == Int64(1_000 * 15_000_000))
        let hour = try PricingTests.book([.sonnet])
        #expect(
            hour.price(Usage(100).with { $0.cacheWrite1hTokens = 100 }).priced?.baseCost
                == Int64(100 * 3_750_000))
        let counted: [(WritableKeyPath<Usage, Int64>, RecordField)] = [
            (\.images, .images), (\.webSearches, .webSearches), (\.seconds, .seconds), (\.pages, .pages),
            (\.characters, .characters), (\.requests, .requests),
        ]
        for (count, field) in counted {
            #expect(book.price(Usage(1).with { $0[keyPath: count] = 1 }) == .parked(.unpricedModel, field))
        }
    }

    @Test("what has no price is parked, never free")
    func unpriced() throws {
        let embedding = CatalogueModel("openrouter", "embed", [.input: "0.1"])
        let image = CatalogueModel("openrouter", "painter", [.images: "0.04"])
        let book = try book([embedding, image])
        for source in CredentialSource.allCases {
            #expect(book.price(Usage(1), source, Names(model: "nobody")) == .parked(.unpricedModel, .model))
            #expect(book.price(Usage(), source, Names(model: "")) == .parked(.unpricedModel, .model))
        }
        #expect(
            book.price(Usage(1), .platform, Names(provider: "else", model: "embed"))
                == .parked(.unpricedModel, .model))
        #expect(
            book.price(Usage(1, 1), .platform, Names(model: "embed"))
                == .parked(.unpricedModel, .outputTokens))
        #expect(book.fee(Usage(1_000_000), .platform, Names(model: "embed")) == "150")
        #expect(
            book.price(Usage(1), .platform, Names(model: "painter")) == .parked(.unpricedModel, .inputTokens))
        #expect(book.fee(Usage().with { $0.images = 2 }, .platform, Names(model: "painter")) == "120")
    }

    @Test("the threshold is strictly above, by the whole input, for the whole request")
    func threshold() throws {
        let pro = CatalogueModel(
            "openrouter", "sonnet",
            [.input: "1.25", .output: "10", .cacheRead: "0.125", .webSearches: "0.01"],
            above: [
                (200_000, [.input: "2.5", .output: "15", .cacheRead: "0.25"]), (500_000, [.input: "5"]),
            ])
        let book = try book([pro])
        func base(_ usage: Usage) -> Int64? { book.price(usage).priced?.baseCost }
        #expect(base(Usage(200_000, 10)) == Int64(200_000 * 1_250_000 + 10 * 10_000_000))
        // One token more reprices every token of the request, output too.
        #expect(base(Usage(200_001, 10)) == Int64(200_001 * 2_500_000 + 10 * 15_000_000))
        // Cache reads count towards it, and get its rate.
        let cached = Usage(200_001).with { $0.cacheReadTokens = 200_000 }
        #expect(base(cached) == Int64(2_500_000 + 200_000 * 250_000))
        // A higher threshold that is silent about a unit leaves it as the one below has it.
        #expect(base(Usage(500_000)) == Int64(500_000 * 2_500_000))
        #expect(base(Usage(500_001, 1)) == Int64(500_001 * 5_000_000 + 15_000_000))
        // And a unit that no threshold mentions keeps its rate.
        #expect(
            base(Usage(200_001).with { $0.webSearches = 1 }) == Int64(200_001 * 2_500_000 + 10_000_000_000))
    }

    @Test("the service tier served sets the rates; where it has none, the standard ones, and it says so")
    func serviceTier() throws {
        let model = CatalogueModel(
            "openrouter", "sonnet", [.input: "3", .output: "15", .cacheRead: "0.3", .images: "0.01"],
            tiers: [
                "batch": [.input: "1.5", .output: "7.5"],
                "priority": [.input: "6", .output: "30", .cacheRead: "0.6"],
            ])
        let silent = CatalogueModel("openrouter", "silent", [.input: "3"])
        let book = try book([model, silent])
        func priced(_ tier: String, _ usage: Usage, _ model: String = "sonnet") -> (Int64?, Bool?) {
            let priced = book.price(usage, .platform, Names(model: model, serviceTier: tier)).priced
            return (priced?.baseCost, priced?.standardTierUsed)
        }
        let cached = Usage(2).with { $0.cacheReadTokens = 1 }
        #expect(priced("", Usage(1)) == (3_000_000, false))
        #expect(priced("standard", Usage(1)) == (3_000_000, false))
        #expect(priced("default", Usage(1)) == (3_000_000, false))
        #expect(priced("batch", Usage(1)) == (1_500_000, false))
        #expect(priced("BATCH", Usage(1)) == (1_500_000, false))
        #expect(priced("batch", cached) == (1_500_000 + 300_000, true))
        #expect(priced("priority", cached) == (6_000_000 + 600_000, false))
        #expect(priced("flex", Usage(1)) == (3_000_000, true))
        #expect(priced("batch", Usage(1), "silent") == (3_000_000, true))
        #expect(priced("batch", Usage(), "sonnet") == (0, false))
        // A unit that no tier mentions takes the tier's rate of its stand-in.
        #expect(priced("batch", Usage(0, 1).with { $0.reasoningTokens = 1 }) == (7_500_000, false))
    }

    @Test("a threshold and a service tier together: the threshold first, then the tier")
    func thresholdAndTier() throws {
        let model = CatalogueModel(
            provider: "openrouter", id: "sonnet",
            prices: [
                ModelPrice(
                    card: RateCard(
                        standard: Rates([.input: "2", .output: "10"]),
                        serviceTiers: [.init(name: "flex", rates: Rates([.input: "1", .output: "5"]))]),
                    thresholds: [
                        PriceThreshold(
                            inputTokensAbove: 100,
                            card: RateCard(
                                standard: Rates([.input: "4", .output: "20"]),
                                serviceTiers: [.init(name: "flex", rates: Rates([.input: "2"]))]))
                    ])
            ])
        let book = try book([model])
        func priced(_ tier: String, _ usage: Usage) -> (Int64?, Bool?) {
            let priced = book.price(usage, .platform, Names(serviceTier: tier)).priced
            return (priced?.baseCost, priced?.standardTierUsed)
        }
        #expect(priced("flex", Usage(100, 1)) == (100 * 1_000_000 + 5_000_000, false))
        #expect(priced("flex", Usage(101)) == (101 * 2_000_000, false))
        #expect(priced("flex", Usage(101, 1)) == (101 * 2_000_000 + 20_000_000, true))
        #expect(priced("", Usage(101, 1)) == (101 * 4_000_000 + 20_000_000, false))
    }

    @Test("a price applies from its date until its end, by the time of the event")
    func dates() throws {
        func price(_ input: String, _ from: Timestamp, _ until: Timestamp = .distantFuture) -> ModelPrice {
            ModelPrice(
                effectiveFrom: from, effectiveUntil: until, card: RateCard(standard: Rates([.input: input])))
        }
        let model = CatalogueModel(
            provider: "openrouter", id: "sonnet",
            prices: [price("3", .day(0)), price("2", .day(10), .day(20)), price("4", .day(30))])
        let book = try book([model])
        func rate(_ time: Timestamp) -> Int64? { book.price(Usage(1), at: time).priced?.baseCost }
        let before = Timestamp(microseconds: Timestamp.day(0).microseconds - 1)
        #expect(rate(before) == nil)
        #expect(book.price(Usage(1), at: before) == .parked(.unpricedModel, .model))
        #expect(rate(.day(0)) == 3_000_000)
        #expect(rate(.day(10)) == 2_000_000)
        #expect(rate(.day(20)) == 3_000_000)
        #expect(rate(.day(30)) == 4_000_000)
        #expect(rate(.distantFuture) == 4_000_000)
    }

    @Test("names match exactly first, then by alias, then by the pattern with the most letters, in any case")
    func names() throws {
        func model(_ id: String, _ price: String, _ aliases: [String] = [], _ patterns: [String] = [])
            -> CatalogueModel
        {
            CatalogueModel("openai", id, aliases: aliases, patterns: patterns, [.input: price])
        }
        let catalogue = Catalogue(
            version: 7, providerAliases: [.init(alias: "azure_openai", provider: "openai")],
            models: [
                model("gpt-4o", "1", ["gpt-4o-2024-08-06", "chatgpt-4o-latest"]),
                model("gpt-4o-mini", "2", [], ["gpt-4o-mini-*"]),
                model("other", "3", [], ["gpt-*", "*-preview"]),
                model("ft", "4", [], ["ft:*:acme"]),
                CatalogueModel("elsewhere", "gpt-4o", [.input: "9"]),
            ])
        let book = try PriceBook(catalogue: catalogue, rules: .standard, creditValue: .standard)
        let expected: [(String, Int64?)] = [
            ("gpt-4o", 1), ("GPT-4o", 1), ("gpt-4o-2024-08-06", 1), ("ChatGPT-4o-LATEST", 1),
            ("gpt-4o-2024-11-20", 3), ("gpt-4o-mini", 2), ("gpt-4o-mini-2024-07-18", 2),
            ("gpt-4o-mini-preview", 2), ("o9-preview", 3), ("-preview", 3), ("preview", nil),
            ("ft:x:acme", 4),
            ("ft::acme", 4), ("ft:acme", nil), ("FT:Y:Acme", 4), ("gpt", nil), ("gpt-", 3), ("", nil),
            ("gpt-4o ", 3), ("gpt-4p", 3), (String(repeating: "x", count: 128), nil),
        ]
        for (name, price) in expected {
            for provider in ["openai", "OpenAI", "azure_openai"] {
                let names = Names(provider: provider, model: name)
                let found = book.price(Usage(1), .platform, names)
                #expect(found.priced?.baseCost == price.map { $0 * 1_000_000 }, "\(provider) \(name)")
                #expect(book.explain(Usage(1), .platform, names).agrees(with: found), "\(provider) \(name)")
            }
        }
        #expect(book.catalogueVersion == 7)
    }

    @Test("names of every length are told apart, one letter at a time")
    func nameLengths() throws {
        // Lengths around the words of eight bytes in which names are compared.
        let base = Array("abcdefghijklmnopqrstuvwxyz-0123456789")
        var models: [CatalogueModel] = []
        for length in 1...base.count {
            models.append(CatalogueModel("openai", String(base[..<length]), [.input: "\(length)"]))
        }
        let book = try book(models)
        for length in 1...base.count {
            let name = Array(base[..<length])
            let names = Names(provider: "openai", model: String(name).uppercased())
            #expect(book.price(Usage(1), .platform, names).priced?.baseCost == Int64(length) * 1_000_000)
            for position in name.indices {
                var changed = name
                changed[position] = "_"
                let other = Names(provider: "openai", model: String(changed))
                #expect(book.price(Usage(1), .platform, other) == .parked(.unpricedModel, .model))
            }
        }
        // Only letters are folded: '@' and '`', '[' and '{' differ by the same bit.
        let signs = try PricingTests.book([CatalogueModel("openai", "a@[z", [.input: "1"])])
        #expect(signs.fee(Usage(1), .platform, Names(provider: "openai", model: "A@[Z")) != nil)
        #expect(signs.fee(Usage(1), .platform, Names(provider: "openai", model: "a`{z")) == nil)
    }
}
