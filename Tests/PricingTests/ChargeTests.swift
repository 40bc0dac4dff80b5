// What a request is charged, as tables: the vectors that the rules are explained with, and the ways in
// which other systems get a charge wrong.

import Money
import Pricing
import Testing

struct ChargeTests {
    /// 3 USD per million input tokens at four providers; 10 000 input tokens cost 0.03 USD, 30 credits.
    private let book: PriceBook

    init() throws {
        let models = ["openrouter", "openai", "anthropic", "huggingface"].map {
            CatalogueModel($0, "sonnet", [.input: "3", .output: "15"])
        }
        let free = CatalogueModel(
            "openrouter", "free", [.input: "0", .output: "0"], isExplicitZero: true)
        book = try PricingTests.book(models + [free])
    }

    @Test(
        "a charge is the cost times what the rule says",
        arguments: [
            ("openrouter", "professional", CredentialSource.platform, "45"),
            ("openai", "professional", .platform, "54"), ("anthropic", "professional", .platform, "48"),
            ("anthropic", "trial", .platform, "60"), ("anthropic", "starter", .platform, "54"),
            ("anthropic", "enterprise", .platform, "39"), ("openrouter", "professional", .byok, "1.5"),
            ("huggingface", "professional", .byok, "1"), ("OpenRouter", "professional", .platform, "45"),
        ])
    func vectors(provider: String, tier: String, source: CredentialSource, credits: String) throws {
        let names = Names(provider: provider, tier: tier)
        let priced = try #require(book.price(Usage(10_000), source, names).priced)
        #expect(Nanocredits(priced.fee).text == credits)
        #expect(Picodollars(priced.baseCost).text == "0.03")
    }

    @Test("a free model costs nothing, on the platform and with an own key, minimum or not")
    func freeModel() throws {
        let names = Names(model: "free")
        for source in CredentialSource.allCases {
            #expect(book.fee(Usage(10_000, 500), source, names) == "0")
            #expect(book.fee(Usage(), source) == "0")
        }
    }

    @Test("the monthly allowance goes with the price, is not taken off it, and is the rule's own")
    func allowance() throws {
        let byok = try #require(book.price(Usage(10_000), .byok).priced)
        #expect(Nanocredits(byok.monthlyAllowance).text == "5000")
        #expect(Nanocredits(byok.fee).text == "1.5")
        // 5.00 USD less a fee of 0.0015 USD.
        let left = try #require(
            CreditValue.standard.picodollars(Nanocredits(byok.monthlyAllowance - byok.fee)))
        #expect(left.text == "4.9985")
        let other = try #require(book.price(Usage(10_000), .byok, Names(provider: "huggingface")).priced)
        #expect(other.monthlyAllowance == 10_000_000_000_000)
        #expect(other.ruleNumber != byok.ruleNumber)
        #expect(try #require(book.price(Usage(10_000)).priced).monthlyAllowance == 0)
    }

    @Test("small charges are neither free nor drift: a million single tokens cost what a million cost")
    func smallCharges() throws {
        let one = try #require(book.price(Usage(1)).priced)
        #expect(one.fee == 4_500_000)
        let million = try #require(book.price(Usage(1_000_000)).priced)
        #expect(one.fee * 1_000_000 == million.fee)
        // Half a nanocredit is one, less is none.
        let tiny = try PricingTests.book([CatalogueModel("openrouter", "sonnet", [.input: "0.000001"])])
        #expect(tiny.price(Usage(1)).priced?.fee == 2)
        #expect(tiny.price(Usage(3)).priced?.fee == 5)
        let half = try PricingTests.book(
            [CatalogueModel("openrouter", "sonnet", [.input: "0.000001"])],
            RuleBook(platform: [], byok: [try byokRule("a", 1, percent: 50)]))
        #expect([1, 2, 3, 4].map { half.price(Usage($0), .byok).priced?.fee } == [1, 1, 2, 2])
    }

    @Test("another value of a credit changes the credits, not the dollars")
    func creditValue() throws {
        let cent = try #require(CreditValue(picodollarsPerCredit: 10_000_000_000))
        let book = try PricingTests.book([.sonnet], .standard, cent)
        let priced = try #require(book.price(Usage(10_000)).priced)
        #expect(Nanocredits(priced.fee).text == "4.5")
        #expect(
            Nanocredits(try #require(book.price(Usage(10_000), .byok).priced).monthlyAllowance).text == "500")
        #expect(Nanocredits(try #require(book.price(Usage(1), .byok).priced).fee).text == "0.1")
    }

    @Test("a record that does not say who pays is refused")
    func credentialSource() {
        #expect(
            book.price(Usage(1), nil) == .refused(Refusal(.invalidArgument, field: .credentialSource)))
    }

    @Test("an amount that does not fit is refused, never wrapped")
    func overflow() throws {
        let dear = CatalogueModel("openrouter", "sonnet", [.input: "9000000", .images: "9000000"])
        let book = try PricingTests.book([dear])
        #expect(book.price(Usage(1_000_000)).refusal == .invalidArgument)
        #expect(book.price(Usage(2_000_000)).refusal == .invalidArgument)
        #expect(book.price(Usage(Usage.countMax)).refusal == .invalidArgument)
        #expect(book.price(Usage(0).with { $0.images = Usage.countMax }).refusal == .invalidArgument)
        #expect(book.price(Usage(500_000)).priced?.baseCost == 4_500_000_000_000_000_000)
        #expect(book.explain(Usage(2_000_000)).agrees(with: book.price(Usage(2_000_000))))
        #expect(book.explain(Usage(1_000_000)).agrees(with: book.price(Usage(1_000_000))))
    }

    @Test("a fixed fee is per request, whatever the cost, and nothing for nothing")
    func fixed() throws {
        let head = RuleVersion(id: "flat", ruleNumber: 1, version: 1)
        let rules = try RuleBook(
            platform: [],
            byok: [
                BYOKRule(
                    head: head, provider: "*", markup: Markup(.fixed, try Ratio(text: "0.25")),
                    appliesToTiers: ["*"])
            ])
        let book = try PricingTests.book([.sonnet], rules)
        #expect(book.fee(Usage(1), .byok) == "0.25")
        #expect(book.fee(Usage(1_000_000, 1_000_000), .byok) == "0.25")
        #expect(book.fee(Usage(), .byok) == "0")
    }

    @Test("the most output that an amount pays for is exact, to the token")
    func affordable() throws {
        for available in [0, 4_499_999, 4_500_000, 45_000_000_000, 45_022_500_000, 1_000_000_000_000]
            as [Int64]
        {
            for (source, input) in [
                (CredentialSource.platform, Int64(10_000)), (.byok, 10_000), (.platform, 0),
            ] {
                let found = PriceBook.withRecord(Names(), source, Usage(input, 7), at: .now) { record, tier in
                    book.affordableOutputTokens(record, tier: tier, available: available)
                }
                let count = Int64(try #require(found))
                func fee(_ output: Int64) throws -> Int64 {
                    try #require(book.price(Usage(input, output), source).priced).fee
                }
                #expect(try count == 0 || fee(count) <= available)
                #expect(try fee(count + 1) > available)
            }
        }
        // 45 credits pay for the input and nothing else; 22.5 more for a thousand tokens of output.
        let thousand = PriceBook.withRecord(Names(), .platform, Usage(10_000), at: .now) { record, tier in
            book.affordableOutputTokens(record, tier: tier, available: 67_500_000_000)
        }
        #expect(thousand == 1_000)
    }

    @Test("where output is free, or nothing has a price, there is no limit to name")
    func unlimitedOutput() {
        for (names, source) in [
            (Names(model: "free"), CredentialSource.platform), (Names(model: "unknown"), .byok),
        ] {
            let found = PriceBook.withRecord(names, source, Usage(1), at: .now) { record, tier in
                book.affordableOutputTokens(record, tier: tier, available: 0)
            }
            #expect(found == nil)
        }
    }

    @Test("the factors of a quote add up to its base cost")
    func lines() throws {
        let book = try PricingTests.book([.sonnet])
        let usage = Usage(10_000, 500).with { $0.cacheReadTokens = 4_000 }
        let lines = book.lines(usage)
        #expect(
            lines == [
                QuoteLine(unit: .input, quantity: 6_000, rate: 3_000_000, amount: 18_000_000_000),
                QuoteLine(unit: .cacheRead, quantity: 4_000, rate: 300_000, amount: 1_200_000_000),
                QuoteLine(unit: .output, quantity: 500, rate: 15_000_000, amount: 7_500_000_000),
            ])
        #expect(lines.reduce(0) { $0 + $1.amount } == book.price(usage).priced?.baseCost)
        #expect(book.lines(Usage(1).with { $0.images = 1 }).isEmpty)
        #expect(book.lines(Usage(1).with { $0.cacheReadTokens = 2 }).isEmpty)
    }
}

extension Explanation {
    /// Both ways of pricing come to the same.
    func agrees(with pricing: PricingOutcome) -> Bool {
        switch (self, pricing) {
        case (.priced(let explained), .priced(let priced)):
            explained.baseCost == priced.baseCost && explained.fee == priced.fee
                && explained.monthlyAllowance == priced.monthlyAllowance
                && explained.ruleNumber == priced.ruleNumber && explained.ruleVersion == priced.ruleVersion
                && explained.standardTierUsed == priced.standardTierUsed
        case (.parked(let reason, let field), .parked(let otherReason, let otherField)):
            reason == otherReason && field == otherField
        case (.refused(let refusal), .refused(let other)): refusal == other
        default: false
        }
    }
}
