// Which rule applies, when, and why sometimes none does.

import Bytes
import Money
import Pricing
import Testing

struct RuleSelectionTests {
    private func priced(
        _ rules: RuleBook, _ source: CredentialSource, tier: String = "professional",
        provider: String = "openrouter", at time: Timestamp = .now
    ) throws -> PricingOutcome {
        let models = ["openrouter", "openai", "huggingface"].map {
            CatalogueModel($0, "sonnet", [.input: "3"])
        }
        let book = try book(models, rules)
        let names = Names(provider: provider, tier: tier)
        let pricing = book.price(Usage(10_000), source, names, at: time)
        #expect(book.explain(Usage(10_000), source, names, at: time).agrees(with: pricing))
        return pricing
    }

    private func version(_ pricing: PricingOutcome) -> UInt32? { pricing.priced?.ruleVersion }

    @Test("without a rule there is a refusal, never a default markup")
    func noRule() throws {
        for source in CredentialSource.allCases {
            #expect(try priced(RuleBook(), source).refusal == .noPricingRule)
            #expect(try priced(RuleBook(), source, tier: "").refusal == .noPricingRule)
        }
        #expect(try priced(.standard, .platform, tier: "gold").refusal == .noPricingRule)
        #expect(try priced(.standard, .byok, provider: "openai").refusal == .noPricingRule)
    }

    @Test("neither kind of rule ever stands in for the other")
    func kindsApart() throws {
        let platform = try RuleBook(platform: [platformRule("professional", 1)], byok: [])
        let byok = try RuleBook(platform: [], byok: [byokRule("a", 1, provider: "*")])
        #expect(try priced(platform, .byok).refusal == .noPricingRule)
        #expect(try priced(byok, .platform).refusal == .noPricingRule)
        #expect(try version(priced(platform, .platform)) == 1)
        #expect(try version(priced(byok, .byok)) == 1)
    }

    @Test("a rule for other tiers only is named as such")
    func notInTier() throws {
        #expect(try priced(.standard, .byok, tier: "trial").refusal == .byokNotInTier)
        #expect(
            try priced(.standard, .byok, tier: "starter", provider: "huggingface").refusal == .byokNotInTier)
        #expect(try priced(.standard, .byok, tier: "gold").refusal == .byokNotInTier)
        #expect(try version(priced(.standard, .byok, tier: "starter")) != nil)
    }

    @Test("a deactivated rule switches its provider off, and the rule for all does not step in")
    func inactive() throws {
        let off = try byokRule("a", 1, isActive: false)
        #expect(try priced(RuleBook(platform: [], byok: [off]), .byok).refusal == .providerInactive)
        let any = try byokRule("any", 2, provider: "*")
        let both = try RuleBook(platform: [], byok: [off, any])
        #expect(try priced(both, .byok).refusal == .providerInactive)
        #expect(try version(priced(both, .byok, provider: "openai")) == 2)
        // Ended instead, it leaves the provider to the rule for all.
        let ended = try RuleBook(platform: [], byok: [byokRule("a", 1, until: .day(-1)), any])
        #expect(try version(priced(ended, .byok)) == 2)
        // Off for one tier, for others as before.
        let starter = try RuleBook(
            platform: [],
            byok: [
                byokRule("a", 1, tiers: ["professional"], isActive: false),
                byokRule("b", 2, tiers: ["starter"]), byokRule("any", 3, provider: "*"),
            ])
        #expect(try priced(starter, .byok).refusal == .providerInactive)
        #expect(try version(priced(starter, .byok, tier: "starter")) == 2)
        #expect(try version(priced(starter, .byok, tier: "trial")) == 3)
        // All of a provider's rules off: off for every tier.
        let all = try RuleBook(
            platform: [], byok: [byokRule("a", 1, tiers: ["professional"], isActive: false)])
        #expect(try priced(all, .byok, tier: "starter").refusal == .providerInactive)
        #expect(try priced(all, .byok, tier: "starter", provider: "openai").refusal == .noPricingRule)
        let platformOff = try RuleBook(platform: [platformRule("professional", 1, isActive: false)], byok: [])
        #expect(try priced(platformOff, .platform).refusal == .noPricingRule)
    }

    @Test("a platform override can switch a provider off for its tier")
    func overrideOff() throws {
        let rules = try RuleBook(
            platform: [
                platformRule(
                    "professional", 1,
                    overrides: [.init(provider: "openai", value: nil, isActive: false)])
            ], byok: [])
        #expect(try priced(rules, .platform, provider: "openai").refusal == .providerInactive)
        #expect(try version(priced(rules, .platform)) == 1)
    }

    @Test("the provider's own rule comes first, then priority, then what took effect last")
    func precedence() throws {
        let any = try byokRule("any", 1, provider: "*", priority: 100)
        let low = try byokRule("low", 2, priority: 1)
        let high = try byokRule("high", 3, priority: 5)
        #expect(try version(priced(RuleBook(platform: [], byok: [any, low]), .byok)) == 2)
        #expect(try version(priced(RuleBook(platform: [], byok: [any, low, high]), .byok)) == 3)
        #expect(try version(priced(RuleBook(platform: [], byok: [high, low, any]), .byok)) == 3)
        // A rule of the provider that is not for the tier leaves the request to the rule for all.
        let other = try byokRule("other", 4, tiers: ["starter"], priority: 9)
        #expect(try version(priced(RuleBook(platform: [], byok: [any, other]), .byok)) == 1)
    }

    @Test("a version is in force from its date; the newest in force counts, and history stays as it was")
    func versions() throws {
        let rules = try RuleBook(
            platform: [
                platformRule("professional", 1, version: 1, percent: 160),
                platformRule("professional", 1, version: 2, percent: 170, from: .day(10)),
                platformRule("professional", 1, version: 3, percent: 150, from: .day(20), until: .day(25)),
                platformRule("professional", 1, version: 4, percent: 200, from: .day(30), isActive: false),
            ], byok: [])
        let expected: [(Int64, UInt32?)] = [
            (0, 1), (9, 1), (10, 2), (19, 2), (20, 3), (24, 3), (25, 2), (29, 2), (30, nil), (99, nil),
        ]
        for (day, version) in expected {
            #expect(try self.version(priced(rules, .platform, at: .day(day))) == version, "day \(day)")
        }
        #expect(try version(priced(rules, .platform, at: .distantPast)) == 1)
    }

    @Test("equal rights are refused when the book is made")
    func ties() throws {
        func tie(_ left: BYOKRule, _ right: BYOKRule) -> Bool {
            do throws(PricingError) {
                _ = try RuleBook(platform: [], byok: [left, right])
                return false
            } catch {
                if case .tie = error { return true }
                Issue.record("\(error)")
                return false
            }
        }
        #expect(try tie(byokRule("a", 1), byokRule("b", 2)))
        #expect(try tie(byokRule("a", 1, provider: "*"), byokRule("b", 2, provider: "*")))
        #expect(try tie(byokRule("a", 1, tiers: ["starter", "trial"]), byokRule("b", 2, tiers: ["trial"])))
        #expect(try tie(byokRule("a", 1, until: .day(5)), byokRule("b", 2, from: .day(4))))
        #expect(try !tie(byokRule("a", 1, until: .day(5)), byokRule("b", 2, from: .day(5))))
        #expect(try !tie(byokRule("a", 1, priority: 1), byokRule("b", 2)))
        #expect(try !tie(byokRule("a", 1, tiers: ["starter"]), byokRule("b", 2, tiers: ["trial"])))
        #expect(try !tie(byokRule("a", 1), byokRule("b", 2, isActive: false)))
        #expect(try !tie(byokRule("a", 1), byokRule("b", 2, provider: "openai")))
        // Another version of the same rule is no tie, and one that ended it leaves room.
        #expect(try !tie(byokRule("a", 1), byokRule("a", 1, version: 2)))
        #expect(throws: PricingError.self) {
            try RuleBook(platform: [platformRule("x", 1), otherPlatformRule("x", 2)], byok: [])
        }
    }

    private func otherPlatformRule(_ tier: String, _ number: UInt32) throws -> PlatformRule {
        var rule = try platformRule(tier, number)
        rule.head.id = "other"
        return rule
    }

    @Test("numbers and identities must be consistent")
    func consistency() throws {
        #expect(throws: PricingError.self) {
            try RuleBook(platform: [], byok: [byokRule("a", 1), byokRule("b", 1, version: 2, priority: 1)])
        }
        #expect(throws: PricingError.self) {
            try RuleBook(platform: [], byok: [byokRule("a", 1), byokRule("a", 2, priority: 1)])
        }
        #expect(throws: PricingError.self) {
            try RuleBook(platform: [], byok: [byokRule("a", 1), byokRule("b", 2, version: 1, priority: 1)])
        }
        #expect(throws: PricingError.self) {
            try RuleBook(
                platform: [], byok: [byokRule("a", 1), byokRule("a", 1, version: 2, provider: "openai")])
        }
        #expect(throws: PricingError.self) {
            try RuleBook(platform: [platformRule("x", 1)], byok: [byokRule("platform_x", 2)])
        }
        #expect(throws: PricingError.self) { try RuleBook(platform: [], byok: [byokRule("a", 0)]) }
        #expect(throws: PricingError.self) { try RuleBook(platform: [], byok: [byokRule("a b", 1)]) }
        #expect(throws: PricingError.self) { try RuleBook(platform: [], byok: [byokRule("a", 1, tiers: [])]) }
        #expect(throws: PricingError.self) {
            try RuleBook(platform: [], byok: [byokRule("a", 1, from: .day(1), until: .day(1))])
        }
        let grown = try RuleBook.standard.adding(byokRule("c", 7, provider: "openai"))
        #expect(grown.nextVersion == 8 && grown.nextRuleNumber == 8)
        #expect(grown.latestBYOK(id: "c")?.provider == "openai")
        #expect(grown.latestPlatform(tier: "trial")?.head.id == "platform_trial")
    }

    @Test("tiers have numbers in a book, and unknown ones have none")
    func tierNumbers() throws {
        let book = try book([.sonnet])
        let known = ["trial", "starter", "professional", "enterprise"]
        let numbers = known.map { name in name.withView { book.tier(named: $0)?.rawValue } }
        #expect(Set(numbers.compactMap { $0 }).count == 4)
        #expect("gold".withView { book.tier(named: $0) } == nil)
        #expect("".withView { book.tier(named: $0) } == nil)
        let many = try (1...PricingLimits.tiersMax).map { try platformRule("tier\($0)", UInt32($0)) }
        let full = try PricingTests.book([.sonnet], RuleBook(platform: many, byok: []))
        #expect("tier254".withView { full.tier(named: $0)?.rawValue } == 253)
        #expect(full.fee(Usage(10_000), .platform, Names(tier: "tier254")) == "48")
        #expect(throws: PricingError.self) {
            let rules = try RuleBook(platform: many + [platformRule("tier255", 255)], byok: [])
            _ = try PricingTests.book([.sonnet], rules)
        }
    }

    @Test("a pinned version prices whatever is in force now, for its provider and kind only")
    func pinned() throws {
        let rules = try RuleBook(
            platform: [
                platformRule(
                    "professional", 1, version: 1, percent: 160,
                    overrides: [.init(provider: "openai", value: Ratio(billionths: 1_800_000_000))]),
                platformRule("professional", 1, version: 2, percent: 200, from: .day(-1)),
            ],
            byok: [
                byokRule("a", 2, version: 3, percent: 5),
                byokRule("a", 2, version: 4, percent: 10, from: .day(-1)),
            ])
        let models = ["openrouter", "openai"].map { CatalogueModel($0, "sonnet", [.input: "3"]) }
        let book = try book(models, rules)
        func pinned(_ version: UInt32, _ source: CredentialSource, _ provider: String = "openrouter")
            -> PricingOutcome
        {
            PriceBook.withRecord(Names(provider: provider), source, Usage(10_000), at: .now) { record, tier in
                let priced = book.price(record, ruleVersion: version, at: record.eventTime)
                #expect(book.explain(record, tier: tier, ruleVersion: version).agrees(with: priced))
                return priced
            }
        }
        #expect(book.fee(Usage(10_000)) == "60")
        #expect(pinned(1, .platform).priced?.fee == 48_000_000_000)
        #expect(pinned(1, .platform, "openai").priced?.fee == 54_000_000_000)
        #expect(pinned(3, .byok).priced?.fee == 1_500_000_000)
        #expect(pinned(4, .byok).priced?.fee == 3_000_000_000)
        #expect(pinned(3, .byok, "openai").refusal == .noPricingRule)
        #expect(pinned(1, .byok).refusal == .credentialMismatch)
        #expect(pinned(3, .platform).refusal == .credentialMismatch)
        #expect(pinned(9, .byok).refusal == .noPricingRule)
    }

    @Test("a provider's other name follows its rules unless it has its own")
    func providerAliases() throws {
        let catalogue = Catalogue(
            version: 1, providerAliases: [.init(alias: "gemini", provider: "google")],
            models: [CatalogueModel("google", "pro", [.input: "3"])])
        let override = PlatformRule.ProviderOverride(
            provider: "google", value: Ratio(billionths: 1_500_000_000))
        func fee(_ rules: RuleBook, _ provider: String, _ source: CredentialSource) throws -> String? {
            let book = try PriceBook(catalogue: catalogue, rules: rules, creditValue: .standard)
            let names = Names(provider: provider, model: "pro")
            #expect(
                book.explain(Usage(10_000), source, names).agrees(
                    with: book.price(Usage(10_000), source, names)))
            return book.fee(Usage(10_000), source, names)
        }
        var rules = try RuleBook(
            platform: [platformRule("professional", 1, overrides: [override])],
            byok: [byokRule("a", 2, provider: "google")])
        #expect(try fee(rules, "gemini", .platform) == "45")
        #expect(try fee(rules, "gemini", .byok) == "1.5")
        rules = try rules.adding(byokRule("b", 3, provider: "gemini", percent: 10))
        #expect(try fee(rules, "gemini", .byok) == "3")
        #expect(try fee(rules, "google", .byok) == "1.5")
    }
}
