// What goes wrong elsewhere, as vectors: each is a mistake that users of other systems were billed by, with
// a price list of the shape that led to it.

import Money
import Pricing
import Testing

struct FieldComplaintTests {
    private static let sonnet = """
        {"anthropic/sonnet":{"litellm_provider":"anthropic","input_cost_per_token":3e-06,"output_cost_per_token":1.5e-05,
          "cache_read_input_token_cost":3e-07,"cache_creation_input_token_cost":3.75e-06,"cache_creation_input_token_cost_above_1hr":6e-06,
          "input_cost_per_token_above_200k_tokens":6e-06,"output_cost_per_token_above_200k_tokens":2.25e-05,
          "cache_read_input_token_cost_above_200k_tokens":6e-07,"cache_creation_input_token_cost_above_200k_tokens":7.5e-06,
          "input_cost_per_token_batches":1.5e-06,"output_cost_per_token_batches":7.5e-06},
         "cheap":{"litellm_provider":"openai","input_cost_per_token":1e-12,"output_cost_per_token":1e-12}}
        """

    @Test("cached tokens are counted once, and parts above their whole are parked, not billed below zero")
    func cache() throws {
        let imported = try Imported(Self.sonnet)
        // 100 000 input of which 80 000 were read and 10 000 and 5 000 written: 5 000 × 3 + 80 000 × 0.3
        // + 10 000 × 3.75 + 5 000 × 6 = 106 500 millionths of a dollar.
        #expect(
            try imported.cost("anthropic", "sonnet") {
                $0.inputTokens = 100_000
                $0.cacheReadTokens = 80_000
                $0.cacheWrite5mTokens = 10_000
                $0.cacheWrite1hTokens = 5_000
            } == "106.5")
        #expect(
            try imported.cost("anthropic", "sonnet") {
                $0.inputTokens = 100
                $0.cacheReadTokens = 80
                $0.cacheWrite5mTokens = 30
            } == nil)
    }

    @Test("long context is one choice for the whole request, by all input, strictly above")
    func longContext() throws {
        let imported = try Imported(Self.sonnet)
        func cost(_ input: Int64, cached: Int64) throws -> String? {
            try imported.cost("anthropic", "sonnet") {
                $0.inputTokens = input
                $0.cacheReadTokens = cached
                $0.outputTokens = 1_000
            }
        }
        // At 200 000: 50 000 × 3 + 150 000 × 0.3 + 1 000 × 15.
        #expect(try cost(200_000, cached: 150_000) == "210")
        // One token more: 50 001 × 6 + 150 000 × 0.6 + 1 000 × 22.5, not 1 token at the higher rate.
        #expect(try cost(200_001, cached: 150_000) == "412.506")
        // Cache reads count towards the threshold.
        #expect(try cost(200_001, cached: 200_001) == "142.5006")
    }

    @Test("the served tier decides, a tier nobody has falls back to the standard one and says so")
    func serviceTier() throws {
        let imported = try Imported(Self.sonnet)
        let usage: (inout Usage) -> Void = {
            $0.inputTokens = 1_000
            $0.cacheReadTokens = 500
        }
        #expect(try imported.cost("anthropic", "sonnet", usage) == "1.65")
        #expect(try imported.cost("anthropic", "sonnet", tier: "batch", usage) == "0.9")
        #expect(try imported.cost("anthropic", "sonnet", tier: "priority", usage) == "1.65")
        let names = Names(provider: "anthropic", model: "sonnet", serviceTier: "priority")
        #expect(
            try imported.book.price(Usage().with(usage), .platform, names).priced?.standardTierUsed == true)
    }

    @Test("a small call is not free: a token at a picodollar costs a nanocredit")
    func rounding() throws {
        let imported = try Imported(Self.sonnet)
        #expect(try imported.cost("openai", "cheap") { $0.inputTokens = 1 } == "0.000000001")
        #expect(
            try imported.cost("openai", "cheap") {
                $0.inputTokens = 999_999_999_999
                $0.outputTokens = 1
            } == "1000")
    }

    @Test("no price list can earn anybody credit: a negative price comes nowhere near a book")
    func minted() {
        for price in ["-1e-06", "-0.000001", "\"-1e-06\"", "-1"] {
            for format in [
                #"{"m":{"litellm_provider":"openai","input_cost_per_token":\#(price)}}"#,
                #"[{"id":"openai","models":[{"id":"m","prices":{"input_mtok":\#(price)}}]}]"#,
                #"{"format":"tollgate-catalogue/1","models":[{"provider":"openai","id":"m","prices":[{"rates":{"input":\#(price)}}]}]}"#,
            ] {
                #expect(throws: PricingError.self, "\(format)") {
                    try Catalogue.importing(Array(format.utf8))
                }
            }
        }
    }
}
