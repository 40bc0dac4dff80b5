// LiteLLM's price list as a catalogue: names, prices, what could not be taken over, and that every entry
// is accounted for. The fixtures follow the shapes of the real file; the figures are round ones.

import Money
import Pricing
import Testing

/// An import, and the prices that came of it.
struct Imported {
    let result: CatalogueImport

    init(
        _ text: String, format: CatalogueFormat? = .litellm, _ options: ImportOptions = ImportOptions()
    ) throws {
        result = try Catalogue.importing(Array(text.utf8), format: format, options: options, version: 1)
        // Whatever else a test wants of it: nothing is counted twice or not at all, and it can be written
        // and read back.
        #expect(result.fullyPriced + result.partlyPriced + result.notPriced == result.entryCount)
        let again = try Catalogue(parsing: result.catalogue.canonicalBytes, version: 1)
        #expect(again == result.catalogue)
        _ = try book
    }

    /// A book at cost.
    var book: PriceBook {
        get throws {
            try PriceBook(
                catalogue: result.catalogue,
                rules: RuleBook(platform: [try platformRule("professional", 1, percent: 100)], byok: []),
                creditValue: .standard)
        }
    }

    func model(_ provider: String, _ id: String) throws -> CatalogueModel {
        try #require(result.catalogue.models.first { $0.provider == provider && $0.id == id })
    }

    /// The findings as `kind field`.
    var findings: [String] { result.findings.map { "\($0.kind.rawValue) \($0.field)" } }

    /// What usage costs, in credits; nil if it is not priced.
    func cost(
        _ provider: String, _ model: String, tier: String = "", at time: Timestamp = .now,
        _ change: (inout Usage) -> Void
    ) throws -> String? {
        try book.fee(
            Usage().with(change), .platform, Names(provider: provider, model: model, serviceTier: tier),
            at: time)
    }
}

struct LiteLLMImportTests {
    private static func entry(_ members: String, key: String = "m", provider: String = "openai") -> String {
        #"{"\#(key)":{"litellm_provider":"\#(provider)",\#(members)}}"#
    }

    @Test("an entry becomes a model with all its prices, to the picodollar")
    func wholeEntry() throws {
        let imported = try Imported(
            """
            {"gpt-x": {"litellm_provider": "openai", "mode": "chat", "max_input_tokens": 1000,
              "input_cost_per_token": 1.25e-06, "output_cost_per_token": 1e-05,
              "output_cost_per_reasoning_token": 1.2e-05, "cache_read_input_token_cost": 1.25e-07,
              "cache_creation_input_token_cost": 1.5625e-06, "cache_creation_input_token_cost_above_1hr": 2.5e-06,
              "input_cost_per_audio_token": 4e-05, "output_cost_per_audio_token": 8e-05,
              "input_cost_per_image_token": 5e-06, "output_cost_per_image_token": 3e-05,
              "output_cost_per_image": 0.04, "input_cost_per_second": 0.0001, "ocr_cost_per_page": 0.001,
              "input_cost_per_character": 1.5e-05, "input_cost_per_query": 0.002,
              "search_context_cost_per_query": {"search_context_size_low": 0.01, "search_context_size_high": 0.01},
              "input_cost_per_token_batches": 6.25e-07, "output_cost_per_token_batches": 5e-06,
              "input_cost_per_token_above_200k_tokens": 2.5e-06, "output_cost_per_token_above_200k_tokens": 1.5e-05,
              "input_cost_per_token_above_200k_tokens_priority": 4.5e-06}}
            """)
        #expect(imported.result.findings.isEmpty && imported.result.fullyPriced == 1)
        let price = try #require(try imported.model("openai", "gpt-x").prices.first)
        let expected: [UsageUnit: Int64] = [
            .input: 1_250_000, .output: 10_000_000, .reasoning: 12_000_000, .cacheRead: 125_000,
            .cacheWrite5m: 1_562_500, .cacheWrite1h: 2_500_000, .inputAudio: 40_000_000,
            .outputAudio: 80_000_000, .inputImage: 5_000_000, .outputImage: 30_000_000,
            .images: 40_000_000_000, .seconds: 100_000_000, .pages: 1_000_000_000, .characters: 15_000_000,
            .requests: 2_000_000_000, .webSearches: 10_000_000_000,
        ]
        for unit in UsageUnit.allCases {
            #expect(price.card.standard[unit]?.count == expected[unit], "\(unit)")
        }
        #expect(price.card.serviceTiers.map(\.name) == ["batch"])
        #expect(price.thresholds.map(\.inputTokensAbove) == [200_000])
        #expect(price.thresholds[0].card.standard[.output]?.count == 15_000_000)
        #expect(price.thresholds[0].card.serviceTiers.map(\.name) == ["priority"])
        #expect(try imported.cost("openai", "GPT-X") { $0.inputTokens = 100_000 } == "125")
    }

    @Test(
        "names: with the provider and without it, by every route of the provider",
        arguments: [
            ("gemini", "gemini/gemini-2.5-pro", "google", "gemini-2.5-pro", ["gemini/gemini-2.5-pro"]),
            ("gemini", "gemini-x", "google", "gemini-x", ["gemini/gemini-x", "google/gemini-x"]),
            ("anthropic", "claude-y", "anthropic", "claude-y", ["anthropic/claude-y"]),
            (
                "vertex_ai-language-models", "gemini-2.5-flash", "vertex_ai", "gemini-2.5-flash",
                ["vertex_ai/gemini-2.5-flash"]
            ),
            (
                "vertex_ai-anthropic_models", "vertex_ai/claude-z@1", "vertex_ai", "claude-z@1",
                ["vertex_ai/claude-z@1"]
            ),
            (
                "bedrock_converse", "us.meta.x-v1:0", "bedrock", "us.meta.x-v1:0",
                ["bedrock/us.meta.x-v1:0", "bedrock/converse/us.meta.x-v1:0"]
            ),
            (
                "bedrock", "bedrock/eu-west-1/mistral.x", "bedrock", "eu-west-1/mistral.x",
                ["bedrock/eu-west-1/mistral.x"]
            ),
            ("text-completion-openai", "babbage-002", "openai", "babbage-002", ["openai/babbage-002"]),
            (
                "amazon_nova", "amazon-nova/nova-micro", "amazon_nova", "nova-micro",
                ["amazon-nova/nova-micro"]
            ),
            (
                "fireworks_ai", "fireworks_ai/accounts/a/m", "fireworks_ai", "accounts/a/m",
                ["fireworks_ai/accounts/a/m"]
            ),
            (
                "openai", "high/1024-x-1024/img", "openai", "high/1024-x-1024/img",
                ["openai/high/1024-x-1024/img"]
            ),
            (
                "bedrock", "bedrock/*/6-month/x", "bedrock", "6-month/x",
                ["us-east-1/6-month/x", "bedrock/eu/6-month/x"]
            ),
        ] as [(String, String, String, String, [String])])
    func names(route: String, key: String, provider: String, id: String, others: [String]) throws {
        let imported = try Imported(Self.entry(#""input_cost_per_token":1e-6"#, key: key, provider: route))
        #expect(imported.result.fullyPriced == 1)
        #expect(try imported.model(provider, id).prices.count == 1)
        for name in [id, key.contains("*") ? id : key] + others {
            for spelling in [provider, route] {
                #expect(
                    try imported.cost(spelling, name) { $0.inputTokens = 1_000_000 } == "1000",
                    "\(spelling) \(name)")
            }
        }
    }

    @Test(
        "the entry with its provider before the name wins, the same prices are one model, and nothing is lost"
    )
    func shadowed() throws {
        let imported = try Imported(
            """
            {"chat":{"litellm_provider":"deepseek","input_cost_per_token":1e-6},
             "deepseek/chat":{"litellm_provider":"deepseek","input_cost_per_token":2e-6},
             "same":{"litellm_provider":"deepseek","input_cost_per_token":3e-6},
             "deepseek/same":{"litellm_provider":"deepseek","input_cost_per_token":3e-6}}
            """)
        #expect(imported.result.catalogue.models.map(\.id) == ["chat", "same"])
        #expect(imported.result.coverage == [.none, .full, .full, .full])
        #expect(imported.findings == ["shadowed "])
        #expect(imported.result.findings[0].detail.contains("deepseek/chat on line 2"))
        #expect(try imported.cost("deepseek", "chat") { $0.inputTokens = 1_000_000 } == "2000")
        #expect(try imported.cost("deepseek", "deepseek/same") { $0.inputTokens = 1_000_000 } == "3000")
    }

    @Test("a name of another model is not given away, and is listed")
    func nameOfAnother() throws {
        let imported = try Imported(
            """
            {"perplexity/sonar":{"litellm_provider":"perplexity","input_cost_per_token":1e-6},
             "perplexity/perplexity/sonar":{"litellm_provider":"perplexity","input_cost_per_token":2e-6}}
            """)
        #expect(imported.result.coverage == [.partial, .full])
        #expect(imported.findings == ["name "])
        #expect(try imported.cost("perplexity", "sonar") { $0.inputTokens = 1_000_000 } == "1000")
        #expect(try imported.cost("perplexity", "perplexity/sonar") { $0.inputTokens = 1_000_000 } == "2000")
    }

    @Test("lists of tiers are thresholds: strictly above the end of the tier before")
    func tieredPricing() throws {
        let tiers = """
            "tiered_pricing":[
             {"range":[0,32000.0],"input_cost_per_token":1e-6,"output_cost_per_token":5e-6},
             {"range":[32000.0,1.28e5],"input_cost_per_token":2e-6,"output_cost_per_token":6e-6,"output_cost_per_reasoning_token":7e-6}]
            """
        let imported = try Imported(Self.entry(tiers))
        #expect(imported.result.fullyPriced == 1)
        #expect(try imported.cost("openai", "m") { $0.inputTokens = 32_000 } == "32")
        #expect(try imported.cost("openai", "m") { $0.inputTokens = 32_001 } == "64.002")
        #expect(
            try imported.cost("openai", "m") {
                $0.inputTokens = 50_000
                $0.outputTokens = 10
                $0.reasoningTokens = 10
            } == "100.07")
        let agreeing = try Imported(Self.entry(#""input_cost_per_token":1e-6,"# + tiers))
        #expect(agreeing.result.findings.isEmpty)
        let contradicting = try Imported(Self.entry(#""input_cost_per_token":9e-6,"# + tiers))
        #expect(contradicting.findings == ["ambiguous tiered_pricing[0].input_cost_per_token"])
        #expect(try contradicting.cost("openai", "m") { $0.inputTokens = 10 } == nil)
        #expect(try contradicting.cost("openai", "m") { $0.outputTokens = 10 } == "0.05")
    }

    @Test(
        "a list of tiers that is not one is left out whole, and listed",
        arguments: [
            #"[{"range":[0,5],"input_cost_per_token":1e-6},{"range":[6,9],"input_cost_per_token":2e-6}]"#,
            #"[{"range":[1,5],"input_cost_per_token":1e-6}]"#,
            #"[{"max_results_range":[0,5],"input_cost_per_query":1e-3}]"#,
            #"[{"range":[0,0.5],"input_cost_per_token":1e-6}]"#,
            #"[{"range":[0,5],"input_cost_per_token_above_1k_tokens":1e-6}]"#,
            #"[{"range":[0,5],"wonder":1e-6}]"#,
        ])
    func badTiers(tiers: String) throws {
        let imported = try Imported(Self.entry(#""input_cost_per_token":3e-6,"tiered_pricing":\#(tiers)"#))
        #expect(imported.result.coverage == [.partial])
        #expect(imported.result.findings.count == 1)
        #expect(try imported.cost("openai", "m") { $0.inputTokens = 100 } == "0.3")
    }

    @Test("off-peak hours: by the request's end, past midnight, on their days, in UTC")
    func offPeak() throws {
        let imported = try Imported(
            Self.entry(
                """
                "input_cost_per_token":4e-6,"output_cost_per_token":8e-6,"input_cost_per_token_batches":2e-6,
                "off_peak_pricing":{"input_cost_per_token":1e-6,"windows":[
                  {"hours_utc":["22:00-02:00"],"weekdays":[5]},{"hours_utc":"00:00-00:00","weekdays":[7]}]}
                """))
        #expect(imported.result.fullyPriced == 1)
        func cost(_ time: String, tier: String = "") throws -> String? {
            try imported.cost("openai", "m", tier: tier, at: try #require(Timestamp(text: time))) {
                $0.inputTokens = 1_000
                $0.outputTokens = 1_000
            }
        }
        // 2026-11-27 is a Friday.
        #expect(try cost("2026-11-27T21:59:59Z") == "12")
        #expect(try cost("2026-11-27T22:00:00Z") == "9")
        #expect(try cost("2026-11-28T01:59:59Z") == "9")
        #expect(try cost("2026-11-28T02:00:00Z") == "12")
        #expect(try cost("2026-11-28T23:00:00Z") == "12")
        #expect(try cost("2026-11-29T12:00:00Z") == "9")
        #expect(try cost("2026-11-30T00:00:00Z") == "12")
        #expect(try cost("2026-11-27T12:00:00Z", tier: "batch") == "10")
        // In the window its rate comes first, whatever the tier.
        #expect(try cost("2026-11-29T12:00:00Z", tier: "batch") == "9")
        #expect(try cost("1969-12-28T12:00:00Z") == "9")
        let names = Names(provider: "openai", model: "m")
        guard
            case .priced(let explained) = try imported.book.explain(
                Usage(1_000, 1_000), .platform, names,
                at: try #require(Timestamp(text: "2026-11-29T12:00:00Z")))
        else {
            Issue.record("not explained")
            return
        }
        #expect(explained.isOffPeak && explained.baseCost == 9_000_000_000)
        #expect(explained.text.contains("off-peak"))
    }

    @Test(
        "off-peak hours that cannot be said leave the peak price, and are listed",
        arguments: [
            #"{"input_cost_per_token":1e-6,"weekday_timezone":"Asia/Shanghai","windows":[{"hours_utc":"00:00-01:00"}]}"#,
            #"{"input_cost_per_token":1e-6,"windows":[{"hours_utc":"25:00-26:00"}]}"#,
            #"{"input_cost_per_token":1e-6,"windows":[{"hours":"00:00-01:00"}]}"#,
            #"{"input_cost_per_token":1e-6,"windows":[{"hours_utc":"00:00-01:00","weekdays":[8]}]}"#,
            #"{"input_cost_per_token":1e-6,"windows":[]}"#, #"{"input_cost_per_token":1e-6}"#,
            #"{"windows":[{"hours_utc":"00:00-01:00"}]}"#,
        ])
    func badOffPeak(value: String) throws {
        let imported = try Imported(Self.entry(#""input_cost_per_token":4e-6,"off_peak_pricing":\#(value)"#))
        #expect(imported.findings == ["condition off_peak_pricing"])
        #expect(imported.result.coverage == [.partial])
        #expect(try imported.model("openai", "m").prices[0].offPeak == nil)
    }

    @Test("a 0 is withheld and listed, or free on request; beside a price it adds nothing")
    func zeros() throws {
        let text = """
            {"free":{"litellm_provider":"ollama","input_cost_per_token":0.0,"output_cost_per_token":0},
             "half":{"litellm_provider":"openai","input_cost_per_token":1e-6,"output_cost_per_token":0,"cache_read_input_token_cost":0},
             "voice":{"litellm_provider":"openai","input_cost_per_second":1e-4,"output_cost_per_second":0.0}}
            """
        let strict = try Imported(text)
        #expect(strict.result.coverage == [.none, .partial, .full])
        #expect(strict.findings.allSatisfy { $0.hasPrefix("zero ") } && strict.findings.count == 4)
        #expect(try strict.cost("openai", "half") { $0.inputTokens = 100 } == "0.1")
        #expect(try strict.cost("openai", "half") { $0.outputTokens = 100 } == nil)
        // Not billed at the input rate either: somebody may have meant it.
        #expect(
            try strict.cost("openai", "half") {
                $0.inputTokens = 100
                $0.cacheReadTokens = 100
            } == nil)
        let free = try Imported(text, ImportOptions(zeroIsFree: true))
        #expect(free.result.coverage == [.full, .full, .full] && free.findings.isEmpty)
        #expect(try free.cost("ollama", "free") { $0.inputTokens = 1 } == "0")
        #expect(try free.cost("openai", "half") { $0.outputTokens = 100 } == "0")
        #expect(try free.cost("openai", "voice") { $0.seconds = 10 } == "1")
    }

    @Test("a rate that is not whole in picodollars is withheld and listed, or rounded on request")
    func notWhole() throws {
        let text = Self.entry(
            #""input_cost_per_token":1e-6,"output_cost_per_token":1.1428571428571428e-06,"cache_read_input_token_cost":1.5e-12,"output_cost_per_reasoning_token":4e-13"#
        )
        let strict = try Imported(text)
        #expect(
            strict.findings == [
                "not_whole output_cost_per_token", "not_whole cache_read_input_token_cost",
                "not_whole output_cost_per_reasoning_token",
            ])
        #expect(try strict.cost("openai", "m") { $0.outputTokens = 1 } == nil)
        let rounded = try Imported(text, ImportOptions(roundsRates: true))
        #expect(
            rounded.findings == [
                "rounded output_cost_per_token", "rounded cache_read_input_token_cost",
                "not_whole output_cost_per_reasoning_token",
            ])
        let rates = try rounded.model("openai", "m").prices[0].card.standard
        #expect(rates[.output]?.count == 1_142_857 && rates[.cacheRead]?.count == 2)
        #expect(rates.isWithheld(.reasoning))
        let only = try Imported(
            Self.entry(#""input_cost_per_token":1.1428571428571428e-06"#), ImportOptions(roundsRates: true))
        #expect(only.result.coverage == [.full])
    }

    @Test("two prices for one unit are not decided")
    func ambiguous() throws {
        let imported = try Imported(
            Self.entry(
                #""input_cost_per_token":1e-6,"input_cost_per_image":0.001,"output_cost_per_image":0.04"#))
        #expect(imported.findings == ["ambiguous output_cost_per_image"])
        #expect(try imported.cost("openai", "m") { $0.images = 1 } == nil)
        let searches = try Imported(
            Self.entry(
                #""input_cost_per_token":1e-6,"search_context_cost_per_query":{"search_context_size_low":0.01,"search_context_size_high":0.02}"#
            ))
        #expect(searches.findings == ["condition search_context_cost_per_query"])
        #expect(try searches.cost("openai", "m") { $0.webSearches = 1 } == nil)
    }

    @Test("factors, allowances and units that nothing counts are listed, field by field")
    func listed() throws {
        let imported = try Imported(
            Self.entry(
                """
                "input_cost_per_token":1e-6,"regional_processing_uplift_multiplier_eu":1.1,"citation_cost_per_token":2e-6,
                "provider_specific_entry":{"us":1.1,"schema":"x"},"search_free_requests":{"count":5},
                "output_cost_per_second_1080p":0.2,"cache_read_input_audio_token_cost":null,
                "web_search_billing_unit":"per_query","brand_new_price_of_thinking":3e-6
                """))
        #expect(
            imported.findings == [
                "condition regional_processing_uplift_multiplier_eu", "no_unit citation_cost_per_token",
                "condition provider_specific_entry.us", "condition search_free_requests",
                "condition output_cost_per_second_1080p", "no_unit brand_new_price_of_thinking",
            ])
        #expect(imported.result.coverage == [.partial])
    }

    @Test("the explanation of the format, rules and models without a price are counted, and say why")
    func notModels() throws {
        let imported = try Imported(
            """
            {"sample_spec":{"litellm_provider":"one of many","input_cost_per_token":0.0,"max_tokens":"a number"},
             "fallback":{"rules":[]},
             "bare":{"litellm_provider":"openai","mode":"chat"},
             "\(String(repeating: "n", count: 200))":{"litellm_provider":"openai","input_cost_per_token":1e-6},
             "ok":{"litellm_provider":"openai","input_cost_per_token":1e-6}}
            """)
        #expect(imported.result.coverage == [.none, .none, .none, .none, .full])
        #expect(imported.findings == ["not_a_model ", "not_a_model litellm_provider", "no_price ", "name "])
        #expect(imported.result.findings.map(\.line) == [1, 2, 3, 4])
    }
}
