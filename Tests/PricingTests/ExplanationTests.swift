// An explanation in words, line for line.

import Money
import Pricing
import Testing

struct ExplanationTests {
    @Test("an explanation shows every factor, for a person")
    func text() throws {
        let book = try book([.sonnet])
        guard
            case .priced(let explained) = book.explain(
                Usage(10_000, 100).with { $0.cacheReadTokens = 4_000 }, .platform, Names(serviceTier: "flex"))
        else {
            Issue.record("not priced")
            return
        }
        #expect(
            explained.text == """
                openrouter sonnet, catalogue version 1
                  input: 6000 × 3 USD per million = 0.018 USD (standard rate, none for flex)
                  cache_read: 4000 × 0.3 USD per million = 0.0012 USD (standard rate, none for flex)
                  output: 100 × 15 USD per million = 0.0015 USD (standard rate, none for flex)
                base cost 0.0207 USD
                rule platform_professional, version 3, tier professional, platform, override for openrouter: cost × 1.5
                0.0207 USD × 1.5, a credit is worth 0.001 USD: 31.05 credits: charge 31.05 credits
                """)
    }

    @Test("it says when the minimum decided, what was free, and what was rounded")
    func byok() throws {
        let book = try book([
            CatalogueModel(
                "huggingface", "m", patterns: ["m-*"], [.input: "0.000001"],
                above: [(5, [.input: "0.000003"])])
        ])
        guard
            case .priced(let explained) = book.explain(
                Usage(7), .byok, Names(provider: "huggingface", model: "m-1"))
        else {
            Issue.record("not priced")
            return
        }
        #expect(explained.minChargeBinds && !explained.isRounded)
        #expect(
            explained.text == """
                huggingface m (by pattern), catalogue version 1
                7 input tokens are above 5: long-context rates
                  input: 7 × 0.000003 USD per million = 0.000000000021 USD
                base cost 0.000000000021 USD
                rule rule_huggingface, version 6, tier professional, byok: a fee of 3 % of the cost
                0.000000000021 USD × 0.03, a credit is worth 0.001 USD: 0.00000000063 credits, below the minimum of 1 credits: fee 1 credits
                the first 10000 credits of fees a month under this rule are free
                """)
        let third = try PricingTests.book(
            [CatalogueModel("openrouter", "sonnet", [.input: "1"])],
            RuleBook(platform: [platformRule("professional", 1, percent: 100)], byok: []),
            try #require(CreditValue(picodollarsPerCredit: 3)))
        guard case .priced(let rounded) = third.explain(Usage(1)) else {
            Issue.record("not priced")
            return
        }
        #expect(rounded.isRounded && rounded.exactFee == "333333.333333333333333333…")
        #expect(rounded.text.contains("rounded half up to a nanocredit: charge 333333.333333333 credits"))
    }
}
