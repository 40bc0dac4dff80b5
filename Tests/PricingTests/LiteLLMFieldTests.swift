// LiteLLM's field names are read by pattern: suffixes in any order, tiers by any word, sizes refused.

import Testing

@testable import Pricing

struct LiteLLMFieldTests {
    @Test(
        "what is counted, thresholds, lifetimes and tiers, in any order",
        arguments: [
            ("input_cost_per_token", UsageUnit.input, 0, ""),
            ("output_cost_per_reasoning_token", .reasoning, 0, ""),
            ("cache_read_input_token_cost_above_200k_tokens", .cacheRead, 200_000, ""),
            ("cache_creation_input_token_cost", .cacheWrite5m, 0, ""),
            ("cache_creation_input_token_cost_above_1hr", .cacheWrite1h, 0, ""),
            ("cache_creation_input_token_cost_above_1hr_above_200k_tokens", .cacheWrite1h, 200_000, ""),
            ("cache_creation_input_token_cost_above_200k_tokens_above_1hr", .cacheWrite1h, 200_000, ""),
            ("input_cost_per_token_above_272k_tokens_priority", .input, 272_000, "priority"),
            ("input_cost_per_token_priority_above_272k_tokens", .input, 272_000, "priority"),
            (
                "cache_creation_input_token_cost_flex_above_1hr_above_32k_tokens", .cacheWrite1h, 32_000,
                "flex"
            ),
            ("output_cost_per_token_batches", .output, 0, "batch"),
            ("output_cost_per_token_standard", .output, 0, ""),
            ("output_cost_per_token_ultrafast", .output, 0, "ultrafast"),
            ("output_cost_per_token_on_demand", .output, 0, "on_demand"),
            ("input_cost_per_token_above_1m_tokens", .input, 1_000_000, ""),
            ("input_cost_per_token_above_500_tokens", .input, 500, ""),
            ("input_cost_per_token_cache_hit", .cacheRead, 0, ""),
            ("input_cost_per_image", .images, 0, ""), ("input_cost_per_image_token", .inputImage, 0, ""),
            ("output_cost_per_image_token_batches", .outputImage, 0, "batch"),
            ("input_cost_per_video_per_second", .seconds, 0, ""), ("cost_per_second", .seconds, 0, ""),
            ("ocr_cost_per_page_batches", .pages, 0, "batch"),
            ("input_cost_per_query", .requests, 0, ""), ("output_cost_per_character", .characters, 0, ""),
        ] as [(String, UsageUnit, Int64, String)])
    func prices(name: String, unit: UsageUnit, threshold: Int64, tier: String) {
        #expect(LiteLLMField(name) == .price(PricePlace(unit: unit, threshold: threshold, tier: tier)))
    }

    @Test(
        "what depends on what a record does not say, or is not counted, is named as such",
        arguments: [
            ("output_cost_per_second_1080p", ImportFinding.Kind.condition),
            ("output_cost_per_image_0.5K", .condition), ("output_cost_per_image_512", .condition),
            ("cache_creation_input_token_cost_above_12hr_priority", .condition),
            ("input_cost_per_token_above_1hr", .condition),
            ("input_cost_per_video_per_second_above_15s_interval", .condition),
            ("input_cost_per_token_flex_batches", .condition),
            ("input_cost_per_token_flex_above_8k_tokens_batches", .condition),
            ("input_cost_per_token_above_8k_tokens_above_9k_tokens", .condition),
            ("input_cost_per_token_above_0k_tokens", .condition),
            ("input_cost_per_token_above_99999999999999999999k_tokens", .condition),
            ("input_cost_per_token_above_k_tokens", .condition),
            ("regional_processing_uplift_multiplier_eu", .condition),
            ("search_free_requests", .condition),
            ("output_cost_per_image_premium_image", .noUnit),
            ("cache_read_input_audio_token_cost", .noUnit), ("input_cost_per_video_token", .noUnit),
            ("some_new_cost_per_thing", .noUnit), ("price_of_everything", .noUnit),
            ("input_cost_per_token_\(String(repeating: "x", count: 40))", .name),
        ] as [(String, ImportFinding.Kind)])
    func unsupported(name: String, kind: ImportFinding.Kind) {
        guard case .unsupported(let found, let reason) = LiteLLMField(name) else {
            Issue.record("\(name): \(LiteLLMField(name))")
            return
        }
        #expect(found == kind)
        #expect(!reason.isEmpty)
    }

    @Test("every order of the same suffixes says the same")
    func anyOrder() {
        let suffixes = ["_above_1hr", "_above_272k_tokens", "_quick"]
        for first in suffixes {
            for second in suffixes where second != first {
                for third in suffixes where third != first && third != second {
                    #expect(
                        LiteLLMField("cache_creation_input_token_cost" + first + second + third)
                            == .price(PricePlace(unit: .cacheWrite1h, threshold: 272_000, tier: "quick")))
                }
            }
        }
    }

    @Test("what is not about prices is not reported")
    func other() {
        for name in [
            "mode", "max_input_tokens", "supports_reasoning", "source", "rpm", "input_dbu_cost_per_token",
            "supports_cost_tracking", "prompt_cache_min_tokens",
        ] { #expect(LiteLLMField(name) == .other, "\(name)") }
        #expect(LiteLLMField("tiered_pricing") == .tiers)
        #expect(LiteLLMField("off_peak_pricing") == .offPeak)
        #expect(LiteLLMField("search_context_cost_per_query") == .searches)
    }
}
