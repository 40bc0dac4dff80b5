// genai-prices as a catalogue: names by clauses, prices per million and per thousand, tiers, dates, hours.

import Money
import Pricing
import Testing

struct GenAIPricesImportTests {
    private static func list(_ model: String, provider: String = "openai") -> String {
        #"[{"id":"\#(provider)","name":"P","api_pattern":"https://x","models":[\#(model)]}]"#
    }

    private static func imported(
        _ model: String, _ options: ImportOptions = ImportOptions()
    ) throws -> Imported { try Imported(list(model), format: nil, options) }

    @Test("prices are per million tokens and per thousand of what is counted singly")
    func units() throws {
        let imported = try Self.imported(
            """
            {"id":"m","prices":{"input_mtok":1.25,"output_mtok":10,"cache_read_mtok":0.125,"cache_write_mtok":1.5,
             "cache_write_1h_mtok":2.5,"input_audio_mtok":4,"output_audio_mtok":8,"input_image_mtok":5,
             "output_image_mtok":30,"output_reasoning_mtok":12,"web_searches_kcount":10,"requests_kcount":0.5}}
            """)
        #expect(imported.result.format == .genaiPrices)
        #expect(imported.result.coverage == [.full] && imported.result.findings.isEmpty)
        let rates = try imported.model("openai", "m").prices[0].card.standard
        let expected: [UsageUnit: Int64] = [
            .input: 1_250_000, .output: 10_000_000, .cacheRead: 125_000, .cacheWrite5m: 1_500_000,
            .cacheWrite1h: 2_500_000, .inputAudio: 4_000_000, .outputAudio: 8_000_000,
            .inputImage: 5_000_000, .outputImage: 30_000_000, .reasoning: 12_000_000,
            .webSearches: 10_000_000_000, .requests: 500_000_000,
        ]
        for unit in UsageUnit.allCases { #expect(rates[unit]?.count == expected[unit], "\(unit)") }
    }

    @Test("a tier is a cliff on all input, each unit at its own start")
    func tiers() throws {
        let imported = try Self.imported(
            """
            {"id":"m","prices":{"input_mtok":{"base":1,"tiers":[{"start":100,"price":2},{"start":300,"price":4}]},
             "output_mtok":{"base":10,"tiers":[{"start":200,"price":20}]},"cache_read_mtok":0.5}}
            """)
        #expect(imported.result.coverage == [.full])
        func cost(_ input: Int64) throws -> String? {
            try imported.cost("openai", "m") {
                $0.inputTokens = input
                $0.cacheReadTokens = 100
                $0.outputTokens = 10
            }
        }
        // Picodollars are nanocredits here: input and cache reads at their rate, ten of output.
        #expect(try cost(100) == "0.15")
        #expect(try cost(101) == "0.152")
        #expect(try cost(200) == "0.35")
        #expect(try cost(201) == "0.452")
        #expect(try cost(301) == "1.054")
    }

    @Test("dates: at each instant the last of the list that is active")
    func dates() throws {
        let imported = try Self.imported(
            """
            {"id":"m","prices":[{"prices":{"input_mtok":1}},
             {"constraint":{"start_date":"2026-06-01"},"prices":{"input_mtok":2}},
             {"constraint":{"start_date":"2026-03-01"},"prices":{"input_mtok":3}}]}
            """)
        #expect(imported.result.coverage == [.full])
        func cost(_ time: String) throws -> String? {
            try imported.cost("openai", "m", at: try #require(Timestamp(text: time))) {
                $0.inputTokens = 1_000
            }
        }
        #expect(try cost("2026-02-28T23:59:59.999999Z") == "1")
        #expect(try cost("2026-03-01T00:00:00Z") == "3")
        // The later of the list, though it began earlier.
        #expect(try cost("2026-06-01T00:00:00Z") == "3")
        // Before any of them is active, the first of the list.
        let begun = try Self.imported(
            """
            {"id":"m","prices":[{"constraint":{"start_date":"2026-06-01"},"prices":{"input_mtok":2}},
             {"constraint":{"start_date":"2026-07-01"},"prices":{"input_mtok":3}}]}
            """)
        for (time, price) in [("2020-01-01", "2"), ("2026-06-30", "2"), ("2026-07-01", "3")] {
            #expect(
                try begun.cost("openai", "m", at: try #require(Timestamp(text: time))) {
                    $0.inputTokens = 1_000
                }
                    == price, "\(time)")
        }
        let hoursFirst = try Self.imported(
            """
            {"id":"m","prices":[{"constraint":{"start_time":"01:00:00Z","end_time":"02:00:00Z"},"prices":{"input_mtok":2}},
             {"constraint":{"start_time":"03:00:00Z","end_time":"04:00:00Z"},"prices":{"input_mtok":3}}]}
            """)
        for (time, price) in [("01:30", "2"), ("02:30", "2"), ("03:30", "3"), ("04:30", "2")] {
            let instant = try #require(Timestamp(text: "2026-06-30T\(time):00Z"))
            #expect(
                try hoursFirst.cost("openai", "m", at: instant) { $0.inputTokens = 1_000 } == price, "\(time)"
            )
        }
    }

    @Test("hours of every day are an off-peak price, complete in itself")
    func hours() throws {
        let imported = try Self.imported(
            """
            {"id":"m","prices":[{"prices":{"input_mtok":4,"cache_read_mtok":1,"output_mtok":8,"web_searches_kcount":10}},
             {"constraint":{"start_time":"16:30:00Z","end_time":"00:30:00Z"},"prices":{"input_mtok":2,"output_mtok":4}}]}
            """)
        #expect(imported.result.coverage == [.full])
        func cost(_ time: String, _ change: (inout Usage) -> Void) throws -> String? {
            try imported.cost("openai", "m", at: try #require(Timestamp(text: time)), change)
        }
        let cached: (inout Usage) -> Void = {
            $0.inputTokens = 1_000
            $0.cacheReadTokens = 1_000
        }
        #expect(try cost("2026-11-25T16:29:59Z", cached) == "1")
        // There it has no cache rate, so cache reads are input.
        #expect(try cost("2026-11-25T16:30:00Z", cached) == "2")
        #expect(try cost("2026-11-26T00:29:59Z", cached) == "2")
        #expect(try cost("2026-11-26T00:30:00Z", cached) == "1")
        // And nothing can stand in for a search.
        #expect(try cost("2026-11-25T12:00:00Z") { $0.webSearches = 1 } == "10")
        #expect(try cost("2026-11-25T17:00:00Z") { $0.webSearches = 1 } == nil)
    }

    @Test("clauses become names and patterns; the pattern with the most literal bytes wins")
    func matching() throws {
        let text = """
            [{"id":"x-ai","models":[
             {"id":"grok","match":{"or":[{"equals":"grok-one"},{"starts_with":"grok-"},{"contains":"-xg-"}]},"prices":{"input_mtok":1}},
             {"id":"grok-fast","match":{"and":[{"starts_with":"grok-f"},{"ends_with":"-x"}]},"prices":{"input_mtok":2}},
             {"id":"tail","match":{"ends_with":"-tail"},"prices":{"input_mtok":3}},
             {"id":"other","match":{"regex":"^a.c$"},"prices":{"input_mtok":4}},
             {"id":"shared","match":{"and":[{"starts_with":"aba"},{"ends_with":"bab"}]},"prices":{"input_mtok":5}}]}]
            """
        let imported = try Imported(text, format: .genaiPrices)
        #expect(imported.result.coverage == [.full, .full, .full, .partial, .partial])
        #expect(imported.findings == ["name match", "name match"])
        for (name, price) in [
            ("grok", "1"), ("GROK-one", "1"), ("grok-9", "1"), ("my-xg-model", "1"), ("grok-fast", "2"),
            ("grok-foo-x", "2"), ("grok-f-x", "2"), ("some-tail", "3"), ("other", "4"), ("x-ai/tail", "3"),
        ] {
            for provider in ["xai", "x-ai"] {
                #expect(
                    try imported.cost(provider, name) { $0.inputTokens = 1_000 } == price,
                    "\(provider) \(name)")
            }
        }
        for name in ["grokk", "abc", "abab", "xg-", "tail-"] {
            #expect(try imported.cost("xai", name) { $0.inputTokens = 1 } == nil, "\(name)")
        }
    }

    @Test(
        "what a catalogue cannot say is listed",
        arguments: [
            (#"{"input_mtok":1,"input_video_mtok":2}"#, "no_unit prices.input_video_mtok"),
            (#"{"input_mtok":1,"cache_audio_read_mtok":2}"#, "no_unit prices.cache_audio_read_mtok"),
            (#"{"input_mtok":1,"output_mtok":2,"output_text_mtok":3}"#, "ambiguous prices.output_text_mtok"),
            (#"{"input_mtok":1,"output_mtok":0}"#, "zero prices.output_mtok"),
            (#"{"input_mtok":1,"output_mtok":0.0000001}"#, "not_whole prices.output_mtok"),
            (
                #"[{"prices":{"input_mtok":1}},{"constraint":{"region":"eu"},"prices":{"input_mtok":2}}]"#,
                "condition prices[1].constraint"
            ),
            (
                #"[{"prices":{"input_mtok":{"base":1,"tiers":[{"start":5,"price":2}]}}},{"constraint":{"start_time":"01:00:00Z","end_time":"02:00:00Z"},"prices":{"input_mtok":2}}]"#,
                "condition prices[1]"
            ),
        ])
    func listed(prices: String, finding: String) throws {
        let imported = try Self.imported(#"{"id":"m","prices":\#(prices)}"#)
        #expect(imported.findings == [finding])
        #expect(imported.result.coverage == [.partial])
        #expect(imported.result.findings[0].entry == "openai/m")
    }

    @Test("prices of text by name are those of the unit")
    func text() throws {
        let imported = try Self.imported(
            #"{"id":"m","prices":{"input_text_mtok":1,"output_mtok":2,"output_text_mtok":2.0,"cache_text_read_mtok":0.5}}"#
        )
        #expect(imported.result.coverage == [.full])
        let rates = try imported.model("openai", "m").prices[0].card.standard
        #expect(rates[.input]?.count == 1_000_000 && rates[.output]?.count == 2_000_000)
        #expect(rates[.cacheRead]?.count == 500_000)
    }

    @Test("models without a price are counted")
    func noPrice() throws {
        let imported = try Self.imported(
            #"{"id":"a","prices":{}},{"id":"b"},{"id":"c","prices":[]},{"id":"d","prices":{"input_mtok":1}}"#)
        #expect(imported.result.coverage == [.none, .none, .none, .full])
        #expect(imported.findings == ["no_price prices", "no_price prices", "no_price prices"])
    }

    @Test(
        "what is wrong refuses the list, with entry and field",
        arguments: [
            (#"{"id":"m","prices":{"input_mtok":-1}}"#, "openai/m, prices.input_mtok"),
            (#"{"id":"m","prices":{"input_mtok":"cheap"}}"#, "openai/m, prices.input_mtok"),
            (
                #"{"id":"m","prices":{"input_mtok":{"base":1,"tiers":[{"start":5,"price":-2}]}}}"#,
                "openai/m, prices.input_mtok.tiers[0].price"
            ),
            (#"{"id":"m","prices":{"input_mtok":{"base":1}}}"#, "openai/m, prices.input_mtok"),
            (
                #"{"id":"m","prices":{"input_mtok":{"base":1,"tiers":[{"start":0.5,"price":2}]}}}"#,
                "openai/m, prices.input_mtok.tiers[0]"
            ),
            (#"{"id":"m","prices":{"input_video_mtok":-3}}"#, "openai/m, prices.input_video_mtok"),
            (#"{"id":"m","prices":7}"#, "openai/m, prices"), (#"{"prices":{}}"#, "openai/[0]"),
            (#"{"id":"m","prices":[{"input_mtok":1}]}"#, "openai/m, prices[0]"),
        ])
    func invalid(model: String, place: String) {
        let error = #expect(throws: PricingError.self) { try Self.imported(model) }
        #expect("\(error.map { "\($0)" } ?? "")".contains(place + ":"), "\(String(describing: error))")
    }
}
