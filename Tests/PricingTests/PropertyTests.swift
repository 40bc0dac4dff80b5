// Random catalogues, rules and requests: the compiled book, the explanation and a calculation with
// fractions written here must agree, and more usage must never cost less.

import Bytes
import Money
import Pricing
import Testing

struct PropertyTests {
    /// A book with models of every shape, thresholds that only make dearer, tiers, dates, and rules of
    /// both kinds that come, change and go.
    private static func randomBook(_ random: inout SeededGenerator) throws -> PriceBook {
        func rate(_ top: Int64) -> Picodollars { Picodollars(Int64.random(in: 1...top, using: &random)) }
        /// Rates for some units; above `least`, only for units that are there, and dearer.
        func rates(_ least: Rates?) -> Rates {
            var rates = Rates()
            for unit in UsageUnit.allCases {
                let isMain = unit == .input || unit == .output
                guard isMain || Int.random(in: 0..<3, using: &random) > 0 else { continue }
                // A list that could not say a price: the unit has none, and nothing stands in for it.
                if Int.random(in: 0..<25, using: &random) == 0 {
                    rates.withhold(unit)
                    continue
                }
                guard let least else {
                    rates[unit] = rate(20_000_000)
                    continue
                }
                rates[unit] = least[unit].map { Picodollars(rate(20_000_000).count + $0.count) }
            }
            return rates
        }
        func card(_ least: Rates?) -> RateCard {
            let tiers = ["batch", "flex", "priority"].filter { _ in Bool.random(using: &random) }
            return RateCard(
                standard: rates(least),
                serviceTiers: tiers.map { RateCard.ServiceTier(name: $0, rates: rates(least)) })
        }
        var models: [CatalogueModel] = []
        for number in 0..<Int.random(in: 1...20, using: &random) {
            var prices: [ModelPrice] = []
            for start in [Timestamp.distantPast, .day(-20), .day(5)]
            where prices.isEmpty || Bool.random(using: &random) {
                let base = card(nil)
                var least = base.standard
                var thresholds: [PriceThreshold] = []
                for tokens in [1_000, 50_000] as [Int64] where Bool.random(using: &random) {
                    let above = card(least)
                    for unit in above.standard.units { least[unit] = above.standard[unit] }
                    thresholds.append(PriceThreshold(inputTokensAbove: tokens, card: above))
                }
                var price = ModelPrice(
                    effectiveFrom: start,
                    effectiveUntil: Bool.random(using: &random) ? .day(3) : .distantFuture, card: base,
                    thresholds: thresholds)
                if thresholds.isEmpty { price.offPeak = randomHours(card(nil), &random) }
                prices.append(price)
            }
            prices.removeAll { $0.effectiveFrom >= $0.effectiveUntil }
            models.append(
                CatalogueModel(
                    provider: ["openai", "google", "groq"].randomElement(using: &random) ?? "openai",
                    id: "model-\(number)", aliases: ["alias-\(number)"], patterns: ["family-\(number)-*"],
                    prices: prices))
        }
        let present = Set(models.map(\.provider))
        var version: UInt32 = 0
        func head(_ id: String, _ number: UInt32) -> RuleVersion {
            version += 1
            var head = RuleVersion(id: id, ruleNumber: number, version: version)
            head.isActive = Int.random(in: 0..<8, using: &random) > 0
            if Bool.random(using: &random) {
                head.effectiveAt = .day(Int64.random(in: -30...5, using: &random))
            }
            if Bool.random(using: &random) {
                head.effectiveUntil = .day(Int64.random(in: 6...30, using: &random))
            }
            return head
        }
        func markup() throws -> Markup {
            switch Int.random(in: 0..<3, using: &random) {
            case 0:
                Markup(
                    .multiplier,
                    try #require(
                        Ratio(billionths: .random(in: 1_000_000_000...10_000_000_000, using: &random))))
            case 1:
                Markup(
                    .percentage,
                    try #require(Ratio(billionths: .random(in: 0...1_000_000_000, using: &random))))
            default:
                Markup(
                    .fixed, try #require(Ratio(billionths: .random(in: 0...3_000_000_000, using: &random))))
            }
        }
        let tiers = ["trial", "pro"]
        var platform: [PlatformRule] = []
        var byok: [BYOKRule] = []
        for (number, tier) in tiers.enumerated() {
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                var rule = PlatformRule(
                    head: head("p\(tier)", UInt32(number + 1)), tierCode: tier, markup: try markup())
                for provider in ["google", "groq"] where Bool.random(using: &random) {
                    let own = try markup()
                    rule.providerOverrides.append(
                        .init(
                            provider: provider, value: own.value, type: own.type,
                            isActive: Int.random(in: 0..<4, using: &random) > 0))
                }
                platform.append(rule)
            }
        }
        for (number, provider) in ["openai", "google", "gemini", "*", "openai"].enumerated() {
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                byok.append(
                    BYOKRule(
                        head: head("b\(number)", UInt32(number + 10)), provider: provider,
                        markup: try markup(),
                        minCharge: rate(3_000_000_000), freeCreditsMonthly: rate(5_000_000_000_000),
                        appliesToTiers: [["*"], ["trial"], ["pro"], tiers].randomElement(using: &random)
                            ?? tiers,
                        priority: Int32(number)))
            }
        }
        let aliases =
            present.contains("google") ? [Catalogue.ProviderAlias(alias: "gemini", provider: "google")] : []
        let worth =
            ([1_000_000_000, 7_000_000, 10_000_000_000] as [Int64]).randomElement(using: &random) ?? 1
        return try PriceBook(
            catalogue: Catalogue(version: 1, providerAliases: aliases, models: models),
            rules: RuleBook(platform: platform, byok: byok),
            creditValue: try #require(CreditValue(picodollarsPerCredit: worth)))
    }

    /// Hours of the week with a card of their own, for one price of two.
    private static func randomHours(_ card: RateCard, _ random: inout SeededGenerator) -> OffPeakPrice? {
        guard Bool.random(using: &random) else { return nil }
        let windows = (0..<Int.random(in: 1...3, using: &random)).compactMap { _ in
            let start = Int.random(in: 0..<WeeklyWindow.minutesPerDay, using: &random)
            let end = Int.random(in: start + 1...WeeklyWindow.minutesPerDay, using: &random)
            let days = WeeklyWindow.everyDay.filter { _ in Bool.random(using: &random) }
            return WeeklyWindow(days: days.isEmpty ? [1] : days, minutes: start..<end)
        }
        return OffPeakPrice(windows: windows, card: card)
    }

    /// A moment within forty days of now, at any minute.
    private static func randomTime(_ random: inout SeededGenerator) -> Timestamp {
        Timestamp(
            microseconds: Timestamp.day(Int64.random(in: -40...40, using: &random)).microseconds
                + Int64.random(in: 0..<86_400_000_000, using: &random))
    }

    private static func randomUsage(_ random: inout SeededGenerator) -> Usage {
        func count(_ top: Int64) -> Int64 { Int64.random(in: 0...max(top, 0), using: &random) }
        func maybe(_ top: Int64) -> Int64 { Bool.random(using: &random) ? count(top) : 0 }
        var usage = Usage(count(100_000), count(20_000))
        usage.cacheReadTokens = maybe(usage.inputTokens / 3)
        usage.cacheWrite5mTokens = maybe(usage.inputTokens / 6)
        usage.cacheWrite1hTokens = maybe(usage.inputTokens / 6)
        usage.inputAudioTokens = maybe(usage.inputTokens / 6)
        usage.inputImageTokens = maybe(usage.inputTokens / 5)
        usage.reasoningTokens = maybe(usage.outputTokens / 2)
        usage.outputAudioTokens = maybe(usage.outputTokens / 3)
        usage.outputImageTokens = maybe(usage.outputTokens / 3)
        if Int.random(in: 0..<4, using: &random) == 0 {
            usage.images = maybe(5)
            usage.requests = maybe(3)
            usage.seconds = maybe(600)
        }
        return usage
    }

    /// Names that mostly are some model's, in one of the ways to write them.
    private static func randomNames(_ book: PriceBook, _ random: inout SeededGenerator) -> Names {
        guard let model = book.catalogue.models.randomElement(using: &random) else { return Names() }
        let number = model.id.dropFirst(6)
        let names = [
            model.id, model.id, "MODEL-\(number)", "alias-\(number)", "family-\(number)-x", "nothing",
        ]
        let providers = [model.provider, model.provider, model.provider.uppercased(), "gemini", "nobody"]
        return Names(
            provider: providers.randomElement(using: &random) ?? "",
            model: names.randomElement(using: &random) ?? "",
            serviceTier: ["", "batch", "flex", "priority", "other"].randomElement(using: &random) ?? "",
            tier: ["trial", "trial", "pro", "pro", "gold", ""].randomElement(using: &random) ?? "")
    }

    @Test(
        "tables, explanation and plain fractions agree on every charge",
        arguments: [UInt64(1), 2, 3, 4, 5, 6, 7, 8])
    func agreement(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var pricedCount = 0
        var askedCount = 0
        var (offPeakCount, withheldCount) = (0, 0)
        for _ in 0..<6 {
            let book = try Self.randomBook(&random)
            for _ in 0..<150 {
                askedCount += 1
                let names = Self.randomNames(book, &random)
                let usage = Self.randomUsage(&random)
                let time = Self.randomTime(&random)
                let source = CredentialSource.allCases.randomElement(using: &random) ?? .byok
                let pricing = book.price(usage, source, names, at: time)
                let explanation = book.explain(usage, source, names, at: time)
                #expect(
                    explanation.agrees(with: pricing),
                    "\(names) \(source) \(time.text): \(pricing), \(explanation)")
                if case .parked(.unpricedModel, let field) = explanation, field != .model {
                    withheldCount += 1
                }
                guard case .priced(let explained) = explanation, let priced = pricing.priced else { continue }
                pricedCount += 1
                if explained.isOffPeak { offPeakCount += 1 }
                #expect(priced.fee >= 0 && priced.baseCost >= 0)
                try Self.expectDetails(book, usage, source, names, time, explained)
                #expect(priced.fee == Self.fee(explained), "\(explained)")
                #expect(!explained.text.isEmpty)
                if source == .platform {
                    let lines = book.lines(usage, names, at: time)
                    #expect(lines.map(\.unit) == explained.lines.map(\.unit))
                    #expect(lines.map(\.rate) == explained.lines.map(\.found.rate))
                    #expect(lines.reduce(0) { $0 + $1.amount } == priced.baseCost)
                }
                let tokens = explained.lines.filter(\.unit.isToken).reduce(0) { $0 + $1.quantity }
                #expect(tokens == usage.inputTokens + usage.outputTokens)
            }
        }
        #expect(pricedCount * 12 > askedCount, "\(pricedCount) of \(askedCount) had a price")
        #expect(offPeakCount > 0 && withheldCount > 0, "\(offPeakCount) off-peak, \(withheldCount) withheld")
    }

    /// What a quote says of a priced record is what the explanation says, and the output that an amount pays for
    /// is the last count whose fee it covers.
    private static func expectDetails(
        _ book: PriceBook, _ usage: Usage, _ source: CredentialSource, _ names: Names, _ time: Timestamp,
        _ explained: PriceExplanation
    ) throws {
        let available = explained.fee * 3 / 2
        let details = try #require(
            PriceBook.withRecord(names, source, usage, at: time) { record, tier in
                book.quoteDetails(record, tier: tier, available: available)
            })
        let lines = PriceBook.withRecord(names, source, usage, at: time) { record, _ in
            book.lines(for: record)
        }
        #expect(lines.map(\.unit) == explained.lines.map(\.unit))
        #expect(lines.map(\.amount) == explained.lines.map(\.amount))
        #expect(details.effect == explained.effect && details.minCharge == explained.minCharge)
        #expect(details.minChargeBinds == explained.minChargeBinds)
        #expect(
            details.inputTokensAbove == explained.inputTokensAbove && details.isOffPeak == explained.isOffPeak
        )
        guard let affordable = details.affordableOutputTokens else { return }
        func fee(_ output: Int64) -> Int64? {
            var trial = usage
            trial.outputTokens = output
            trial.reasoningTokens = 0
            trial.outputAudioTokens = 0
            trial.outputImageTokens = 0
            return book.price(trial, source, names, at: time).priced?.fee
        }
        let count = Int64(affordable)
        if count > 0 { #expect(try #require(fee(count)) <= available) }
        if count < Usage.countMax, let next = fee(count + 1) { #expect(next > available) }
    }

    /// The fee from an explanation's factors, with one fraction and one comparison of it.
    private static func fee(_ explained: PriceExplanation) -> Int64 {
        var base: Int128 = 0
        for line in explained.lines { base += Int128(line.quantity) * Int128(line.found.rate) }
        if base == 0 { return 0 }
        let one: Int128 = 1_000_000_000
        let value = Int128(explained.markup.value.billionths)
        // Nanocredits as numerator over the value of a credit.
        let numerator: Int128
        let worth = Int128(explained.creditValue.picodollarsPerCredit)
        switch (explained.markup.type, explained.kind) {
        case (.multiplier, .platform), (.percentage, .byok): numerator = base * value
        case (.percentage, .platform): numerator = base * (one + value)
        case (.multiplier, .byok): numerator = base * (value - one)
        case (.fixed, _): numerator = value * worth
        }
        var fee: Int128 = numerator / worth
        // Half up: one more if a half or more is left.
        if (numerator - fee * worth) * 2 >= worth { fee += 1 }
        return Int64(max(fee, Int128(explained.minCharge)))
    }

    @Test("more of any leaf never costs less", arguments: [UInt64(21), 22, 23, 24])
    func monotonic(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let leaves: [(WritableKeyPath<Usage, Int64>, whole: WritableKeyPath<Usage, Int64>?)] = [
            (\.inputTokens, nil), (\.outputTokens, nil), (\.cacheReadTokens, \.inputTokens),
            (\.cacheWrite5mTokens, \.inputTokens), (\.cacheWrite1hTokens, \.inputTokens),
            (\.inputAudioTokens, \.inputTokens), (\.inputImageTokens, \.inputTokens),
            (\.reasoningTokens, \.outputTokens), (\.outputAudioTokens, \.outputTokens),
            (\.outputImageTokens, \.outputTokens), (\.images, nil), (\.seconds, nil), (\.requests, nil),
        ]
        for _ in 0..<6 {
            let book = try Self.randomBook(&random)
            for _ in 0..<60 {
                var names = Self.randomNames(book, &random)
                // Only the standard rates here are sure to rise at each threshold.
                names.serviceTier = ""
                let usage = Self.randomUsage(&random)
                let time = Self.randomTime(&random)
                guard let before = book.price(usage, .platform, names, at: time).priced else { continue }
                for (leaf, whole) in leaves {
                    let more = Int64.random(in: 1...60_000, using: &random)
                    let grown = usage.with {
                        $0[keyPath: leaf] += more
                        if let whole { $0[keyPath: whole] += more }
                    }
                    guard let after = book.price(grown, .platform, names, at: time).priced else { continue }
                    #expect(after.baseCost >= before.baseCost, "\(leaf) \(names) \(usage)")
                    #expect(after.fee >= before.fee)
                }
            }
        }
    }

    @Test("the compiled timeline says what a search of all validities says", arguments: [UInt64(31), 32, 33])
    func timelines(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<60 {
            var versions: [PlatformRule] = []
            for number in 1...UInt32.random(in: 1...8, using: &random) {
                let from = Int64.random(in: 0...12, using: &random)
                let until = from + Int64.random(in: 1...12, using: &random)
                versions.append(
                    try platformRule(
                        "pro", 1, version: number, percent: 100 + Int64(number),
                        from: Int.random(in: 0..<4, using: &random) == 0 ? .distantPast : .day(from),
                        until: Int.random(in: 0..<3, using: &random) == 0 ? .distantFuture : .day(until)))
            }
            let book = try book([.sonnet], RuleBook(platform: versions, byok: []))
            for day in Int64(-1)...26 {
                let valid = versions.filter {
                    $0.head.effectiveAt <= .day(day) && .day(day) < $0.head.effectiveUntil
                }
                let expected = valid.max {
                    ($0.head.effectiveAt, $0.head.version) < ($1.head.effectiveAt, $1.head.version)
                }
                let priced = book.price(Usage(1), .platform, Names(tier: "pro"), at: .day(day)).priced
                #expect(priced?.ruleVersion == expected?.head.version, "day \(day), \(versions.map(\.head))")
            }
        }
    }
}
