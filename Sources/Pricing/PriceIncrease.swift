// The guard of notice: what users would pay more for than they were told, and from when.
//
// Two books are compared over the notice period, cell by cell (kind, tier, provider), with what a request
// of that cell is charged under each. A charge is a function of the cost, so an increase is one for some
// cost: a higher factor, a higher minimum, a smaller allowance, or another kind of markup that is dearer
// somewhere. What was announced counts as what is paid: taking back an announced decrease is an increase.
// Where nothing may be charged, nobody pays; but a price that was taken away within the period is still
// the one to compare with, so that switching a rule off and on again gets around nothing.

import Money

/// Something that users would pay more for, with less notice than they should have.
public struct PriceIncrease: Hashable, Sendable {
    public var kind: RuleKind
    /// Nil for every tier that no rule names.
    public var tier: String?
    /// Nil for every provider that no rule names.
    public var provider: String?
    public var from: Timestamp
    /// In words.
    public var before: String
    public var after: String
}

extension PriceIncrease: CustomStringConvertible {
    public var description: String {
        "\(kind.rawValue), \(tier.map { "tier \($0)" } ?? "any other tier"), "
            + "\(provider.map { "provider \($0)" } ?? "any other provider"): from \(before) to \(after), "
            + "beginning \(from.text)"
    }
}

/// The rules of a book as tables, to be compared with those of another.
final class RuleTables: Sendable {
    private let tables: PriceTables
    let tiers: [String?]
    let providers: [String?]
    private let tierSlots: [String?: Int]
    private let providerSlots: [String?: Int]

    init(
        _ rules: RuleBook, aliases: [Catalogue.ProviderAlias], creditValue: CreditValue
    ) throws(PricingError) {
        let compiler = PriceCompiler(
            catalogue: Catalogue(version: 0, providerAliases: aliases), rules: rules,
            creditValue: creditValue)
        tables = try compiler.compile()
        tiers = tables.tierTexts.map { $0.isEmpty ? nil : $0 }
        providers = tables.providerTexts.map { $0.isEmpty ? nil : $0 }
        tierSlots = Dictionary(uniqueKeysWithValues: tiers.enumerated().map { ($1, $0) })
        providerSlots = Dictionary(uniqueKeysWithValues: providers.enumerated().map { ($1, $0) })
    }

    /// The timeline of a cell; names that no rule has share the one of all others.
    func timeline(_ kind: RuleKind, _ tier: String?, _ provider: String?) -> Int {
        Int(
            tables.timelineOf[
                tables.timelineIndex(
                    kind, tierSlot: tierSlots[tier] ?? 0, provider: providerSlots[provider] ?? 0)])
    }

    /// When a timeline changes, the beginning of time first.
    func starts(_ timeline: Int) -> [Timestamp] {
        tables.timelines[timeline].range.map { tables.ruleSteps[$0].start }
    }

    /// What a timeline charges at `instant`; nil where it charges nobody.
    func markup(_ timeline: Int, at instant: Timestamp) -> CompiledMarkup? {
        let steps = tables.timelines[timeline].range
        guard let step = steps.last(where: { tables.ruleSteps[$0].start <= instant }) else { return nil }
        let outcome = tables.ruleSteps[step].value
        return outcome.refusal == nil ? tables.markups[outcome.markupIndex] : nil
    }

    /// The same, or what it charged last since `earliest`.
    func lastMarkup(_ timeline: Int, at instant: Timestamp, since earliest: Timestamp) -> CompiledMarkup? {
        var end = Timestamp.distantFuture
        for step in tables.timelines[timeline].range.reversed() {
            let found = tables.ruleSteps[step]
            defer { end = found.start }
            guard found.start <= instant else { continue }
            if end <= earliest { return nil }
            if found.value.refusal == nil { return tables.markups[found.value.markupIndex] }
        }
        return nil
    }
}

extension CompiledMarkup {
    /// Whether some request costs more than under `old`.
    func isDearer(than old: CompiledMarkup) -> Bool {
        let (floor, oldFloor) = (fixedPart, old.fixedPart)
        if floor > oldFloor { return true }
        let (factor, oldFactor) = (self.factor, old.factor)
        if factor > oldFactor { return true }
        // Less is free, unless nothing is charged anyway.
        return allowance < old.allowance && (floor > 0 || factor > .zero)
    }

    /// What even the smallest cost is charged, in nanocredits.
    private var fixedPart: Int64 {
        if case .fixed(let credits) = effect { return max(credits.count, minCharge) }
        return minCharge
    }

    /// What the charge grows with.
    private var factor: Ratio {
        if case .times(let ratio) = effect { return ratio }
        return .zero
    }

    /// In words.
    func text(_ kind: RuleKind) -> String {
        var parts: [String] = []
        switch effect {
        case .fixed(let credits): parts.append("\(credits.text) credits per request")
        case .times(let ratio) where kind == .platform: parts.append("cost × \(ratio.text)")
        case .times(let ratio):
            parts.append(
                "\(DecimalText.format(Int128(ratio.billionths) * 100, places: Ratio.places)) % of the cost")
        }
        if minCharge > 0 { parts.append("at least \(Nanocredits(minCharge).text) credits") }
        if allowance > 0 { parts.append("\(Nanocredits(allowance).text) credits a month free") }
        return parts.joined(separator: ", ")
    }
}

extension RuleTables {
    /// How many increases are told one by one.
    static let increasesMax = 50

    /// What is dearer here than in `old` somewhere in `now..<until`; the first begin for each cell, and at
    /// most `increasesMax` of them. O(cells), each pair of timelines compared once.
    func increases(
        since old: RuleTables, from now: Timestamp, until: Timestamp, lookingBack: Timestamp
    ) -> [PriceIncrease] {
        struct Pair: Hashable {
            var old: Int
            var new: Int
        }
        var known: [Pair: (Timestamp, CompiledMarkup, CompiledMarkup)?] = [:]
        func compare(_ pair: Pair) -> (Timestamp, CompiledMarkup, CompiledMarkup)? {
            if let found = known[pair] { return found }
            let changes = (old.starts(pair.old) + starts(pair.new)).filter { now < $0 && $0 < until }
            var found: (Timestamp, CompiledMarkup, CompiledMarkup)?
            for instant in [now] + Set(changes).sorted() {
                guard let after = markup(pair.new, at: instant),
                    let before = old.lastMarkup(pair.old, at: instant, since: lookingBack),
                    after.isDearer(than: before)
                else { continue }
                found = (instant, before, after)
                break
            }
            known[pair] = .some(found)
            return found
        }
        var increases: [PriceIncrease] = []
        for kind in RuleKind.allCases {
            for tier in Self.union(tiers, old.tiers) {
                let any = Pair(old: old.timeline(kind, tier, nil), new: timeline(kind, tier, nil))
                for provider in Self.union(providers, old.providers) {
                    let pair = Pair(
                        old: old.timeline(kind, tier, provider), new: timeline(kind, tier, provider))
                    if provider != nil, pair == any { continue }
                    guard let (from, before, after) = compare(pair) else { continue }
                    increases.append(
                        PriceIncrease(
                            kind: kind, tier: tier, provider: provider, from: from,
                            before: before.text(kind), after: after.text(kind)))
                    if increases.count == Self.increasesMax { return increases }
                }
            }
        }
        return increases
    }

    private static func union(_ left: [String?], _ right: [String?]) -> [String?] {
        let known = Set(left)
        return left + right.filter { !known.contains($0) }
    }
}
