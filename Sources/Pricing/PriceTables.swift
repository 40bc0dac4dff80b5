// The compiled tables of a price book, and the steps of a lookup. Flat arrays of integers; numbers refer
// from one to the next. Made by `PriceCompiler`, never changed after.

import Bytes
import Money

/// What a rule says of a request: a markup to use, or a reason to refuse.
struct RuleOutcome: Hashable, Sendable {
    /// The number of a markup, or `refusalBase` plus the raw value of a reason.
    private let code: UInt32
    private static let refusalBase: UInt32 = 0xffff_ff00

    init(markup: Int) { code = UInt32(markup) }
    init(refusal: Reason) { code = Self.refusalBase | UInt32(refusal.rawValue) }

    @inline(__always)
    var refusal: Reason? {
        code < Self.refusalBase ? nil : Reason(rawValue: UInt8(truncatingIfNeeded: code))
    }

    @inline(__always)
    var markupIndex: Int { Int(code) }
}

/// What a rule version makes of a cost.
struct CompiledMarkup: Hashable, Sendable {
    var effect: MarkupEffect
    /// Nanocredits.
    var minCharge: Int64
    /// Nanocredits.
    var allowance: Int64
    var ruleNumber: UInt32
    var ruleVersion: UInt32

    /// Nanocredits for a cost of `base` picodollars; nil if they do not fit.
    @inline(__always)
    func fee(base: Int64, at value: CreditValue) -> Int64? {
        if base == 0 { return 0 }
        switch effect {
        case .fixed(let credits): return max(credits.count, minCharge)
        case .times(let ratio): return value.charge(base: base, ratio: ratio).map { max($0.count, minCharge) }
        }
    }
}

struct PriceTables: ~Copyable, Sendable {
    /// Else each function that looks something up would be lent a copy of all these references.
    private let byAddress = LentByAddress()

    /// From this instant on, until the next step, `value` holds.
    struct Step<Value: Hashable & Sendable>: Hashable, Sendable {
        var start: Timestamp
        var value: Value
    }

    /// Where in another array something is.
    struct Run: Sendable {
        var first: UInt32
        var count: UInt32

        @inline(__always)
        var last: Int { Int(first) + Int(count) - 1 }
        var range: Range<Int> { Int(first)..<Int(first) + Int(count) }
    }

    /// Rates above `inputTokensAbove`, or from 0 on where that is −1; `firstRow` + service tier is its row.
    struct Band: Sendable {
        var inputTokensAbove: Int64
        var firstRow: UInt32
    }

    /// A row of 16 rates, and the units whose rate is the standard tier's though another was asked.
    struct RowRef: Hashable, Sendable {
        var index: Int32
        var standardTierUnits: UInt16
    }

    struct Pattern: Sendable {
        /// Before the first `*`, between each two, and after the last; lower-case.
        var prefix: [UInt8]
        var middles: [[UInt8]]
        var suffix: [UInt8]
        var model: UInt32

        init(_ text: String, model: UInt32) {
            let parts = text.utf8.map(Pattern.folded).split(
                separator: UInt8(ascii: "*"), omittingEmptySubsequences: false
            ).map(Array.init)
            prefix = parts.first ?? []
            suffix = parts.count > 1 ? parts[parts.count - 1] : []
            middles = Array(parts.dropFirst().dropLast())
            self.model = model
        }

        /// The pattern as it is written, in lower case.
        var text: [UInt8] { Array(([prefix] + middles + [suffix]).joined(separator: [UInt8(ascii: "*")])) }

        var literalCount: Int { middles.reduce(prefix.count + suffix.count) { $0 + $1.count } }

        /// Whether `name` fits. Each middle is taken where it comes first, which leaves the most room for
        /// what follows. O(bytes of the name × bytes of the pattern).
        func matches(_ name: ByteView) -> Bool {
            let end = name.count - suffix.count
            guard end >= prefix.count, Pattern.equal(name, prefix, at: 0),
                Pattern.equal(name, suffix, at: end)
            else { return false }
            var start = prefix.count
            for middle in middles {
                while start + middle.count <= end, !Pattern.equal(name, middle, at: start) { start += 1 }
                start += middle.count
                if start > end { return false }
            }
            return true
        }

        private static func equal(_ name: ByteView, _ part: [UInt8], at start: Int) -> Bool {
            for (index, byte) in part.enumerated() where folded(name[start + index]) != byte { return false }
            return true
        }

        static func folded(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte }
    }

    /// A rule version by its number, for what a quote pinned.
    struct PinnedVersion: Sendable {
        var version: UInt32
        var kind: RuleKind
        var standard: RuleOutcome
        /// Where in `pinnedOverrides` its exceptions are.
        var overrides: Run
    }

    struct PinnedOverride: Sendable {
        var provider: UInt32
        var outcome: RuleOutcome
    }

    // Names. Numbers of providers and tiers begin at 1: 0 is any other.
    var providers = NameTable()
    var tiers = NameTable()
    var serviceTiers = NameTable()
    /// Scope: the provider's number in the catalogue.
    var modelNames = NameTable()
    /// By provider number: the number whose models it has; aliases share their provider's.
    var catalogueProvider: [UInt32] = [0]
    /// By provider number.
    var patternRuns: [Run] = [Run(first: 0, count: 0)]
    var patterns: [Pattern] = []

    /// A price that is another one in certain hours of the week.
    struct Schedule: Sendable {
        var windows: [WeeklyWindow]
        /// Indices into `bandRuns`.
        var peak: Int32
        var offPeak: Int32
    }

    // Prices.
    var modelSteps: [Run] = []
    /// Indices into `bandRuns`; −1 while there is no price; below it, −2 less the number of a schedule.
    var priceSteps: [Step<Int32>] = []
    var schedules: [Schedule] = []
    var bandRuns: [Run] = []
    var bands: [Band] = []
    var rowRefs: [RowRef] = []
    /// Sixteen to a row, in the order of `UsageUnit`; −1 is no rate.
    var rates: [Int64] = []

    // Rules.
    /// Names by number, the first empty: any other.
    var tierTexts: [String] = [""]
    var providerTexts: [String] = [""]
    var tierCount = 1
    var providerCount = 1
    /// By kind, tier and provider: an index into `timelines`.
    var timelineOf: [UInt32] = []
    var timelines: [Run] = []
    var ruleSteps: [Step<RuleOutcome>] = []
    var markups: [CompiledMarkup] = []
    /// In ascending order of versions.
    var pinnedVersions: [PinnedVersion] = []
    var pinnedOverrides: [PinnedOverride] = []

    func timelineIndex(_ kind: RuleKind, tierSlot: Int, provider: Int) -> Int {
        ((kind == .platform ? 0 : tierCount) + tierSlot) * providerCount + provider
    }

    @inline(__always)
    func ruleOutcome(
        _ source: CredentialSource, tierSlot: Int, provider: Int, at instant: Timestamp
    ) -> RuleOutcome {
        let timeline = timelines[
            Int(timelineOf[timelineIndex(RuleKind(source), tierSlot: tierSlot, provider: provider)])]
        // The first step begins with time itself, so the search ends there at the latest.
        var index = timeline.last
        while index > Int(timeline.first), ruleSteps[index].start > instant { index -= 1 }
        return ruleSteps[index].value
    }

    /// The rule version of that number, or nil if the book does not hold it.
    func pinnedVersion(_ ruleVersion: UInt32) -> PinnedVersion? {
        var low = 0
        var high = pinnedVersions.count
        while low < high {
            let middle = (low + high) / 2
            if pinnedVersions[middle].version < ruleVersion { low = middle + 1 } else { high = middle }
        }
        guard low < pinnedVersions.count, pinnedVersions[low].version == ruleVersion else { return nil }
        return pinnedVersions[low]
    }

    func pinnedOutcome(_ source: CredentialSource, ruleVersion: UInt32, provider: Int) -> RuleOutcome {
        guard let pinned = pinnedVersion(ruleVersion) else { return RuleOutcome(refusal: .noPricingRule) }
        guard pinned.kind == RuleKind(source) else { return RuleOutcome(refusal: .credentialMismatch) }
        for index in pinned.overrides.range where pinnedOverrides[index].provider == UInt32(provider) {
            return pinnedOverrides[index].outcome
        }
        return pinned.standard
    }

    /// The price of a model at an instant, or nil if nobody knows the model or it has none then.
    @inline(__always)
    func priceIndex(provider: Int, model: ByteView, at instant: Timestamp) -> Int? {
        let scope = catalogueProvider[provider]
        guard scope > 0,
            let number = modelNames.value(of: model, scope: scope) ?? patternModel(scope, model)
        else { return nil }
        let steps = modelSteps[Int(number)]
        var index = steps.last
        while index > Int(steps.first), priceSteps[index].start > instant { index -= 1 }
        let price = priceSteps[index].value
        return price < 0 ? scheduledPrice(price, at: instant) : Int(price)
    }

    @inline(never)
    private func scheduledPrice(_ code: Int32, at instant: Timestamp) -> Int? {
        if code == -1 { return nil }
        let schedule = schedules[Int(-2 - code)]
        return Int(schedule.windows.contains { $0.contains(instant) } ? schedule.offPeak : schedule.peak)
    }

    @inline(never)
    private func patternModel(_ scope: UInt32, _ model: ByteView) -> UInt32? {
        for index in patternRuns[Int(scope)].range where patterns[index].matches(model) {
            return patterns[index].model
        }
        return nil
    }

    @inline(__always)
    func row(
        price: Int, inputTokens: Int64, serviceTier: ByteView
    ) -> (index: Int, standardTierUnits: UInt16) {
        let run = bandRuns[price]
        var band = run.last
        while band > Int(run.first), inputTokens <= bands[band].inputTokensAbove { band -= 1 }
        let firstRow = Int(bands[band].firstRow)
        if serviceTier.isEmpty { return (Int(rowRefs[firstRow].index), 0) }
        guard let number = serviceTiers.value(of: serviceTier) else {
            return (Int(rowRefs[firstRow].index), .max)
        }
        let row = rowRefs[firstRow + Int(number)]
        return (Int(row.index), row.standardTierUnits)
    }

    /// A sum of quantities times rates. Nothing is negative, so what does not fit once never will.
    struct Sum {
        /// Picodollars.
        var cost: Int64 = 0
        /// The units that were used, and those among them without a rate, as bits.
        var units: UInt16 = 0
        var unpricedUnits: UInt16 = 0
        var isTooLarge = false

        /// The first unit that was used and has no rate.
        var unpricedUnit: UsageUnit? {
            unpricedUnits == 0 ? nil : UsageUnit(rawValue: UInt8(unpricedUnits.trailingZeroBitCount))
        }

        @inline(__always)
        mutating func add(_ quantity: Int64, _ unit: UsageUnit, _ rates: [Int64], first: Int) {
            if quantity == 0 { return }
            let rate = rates[first + Int(unit.rawValue)]
            units |= 1 << UInt16(unit.rawValue)
            if rate < 0 {
                unpricedUnits |= 1 << UInt16(unit.rawValue)
                return
            }
            let (amount, overflow) = quantity.multipliedReportingOverflow(by: rate)
            let (sum, sumOverflow) = cost.addingReportingOverflow(amount)
            isTooLarge = isTooLarge || overflow || sumOverflow
            cost = sum
        }
    }

    /// Σ quantity × rate over the leaves of a record; one line each, so that nothing is indexed.
    ///
    /// - Parameter plain: the record's `plainTokens`.
    @inline(__always)
    func sum(_ record: borrowing UsageRecord, plain: (input: Int64, output: Int64), row: Int) -> Sum {
        let first = row * UsageUnit.count
        var sum = Sum()
        sum.add(plain.input, .input, rates, first: first)
        sum.add(record.usage.cacheReadTokens, .cacheRead, rates, first: first)
        sum.add(plain.output, .output, rates, first: first)
        if record.usage.rareUnion != 0 { addRare(record, first: first, to: &sum) }
        return sum
    }

    @inline(never)
    private func addRare(_ record: borrowing UsageRecord, first: Int, to sum: inout Sum) {
        sum.add(record.usage.cacheWrite5mTokens, .cacheWrite5m, rates, first: first)
        sum.add(record.usage.cacheWrite1hTokens, .cacheWrite1h, rates, first: first)
        sum.add(record.usage.inputAudioTokens, .inputAudio, rates, first: first)
        sum.add(record.usage.inputImageTokens, .inputImage, rates, first: first)
        sum.add(record.usage.reasoningTokens, .reasoning, rates, first: first)
        sum.add(record.usage.outputAudioTokens, .outputAudio, rates, first: first)
        sum.add(record.usage.outputImageTokens, .outputImage, rates, first: first)
        sum.add(record.usage.images, .images, rates, first: first)
        sum.add(record.usage.webSearches, .webSearches, rates, first: first)
        sum.add(record.usage.seconds, .seconds, rates, first: first)
        sum.add(record.usage.pages, .pages, rates, first: first)
        sum.add(record.usage.characters, .characters, rates, first: first)
        sum.add(record.usage.requests, .requests, rates, first: first)
    }

    func rate(_ unit: UsageUnit, row: Int) -> Int64 { rates[row * UsageUnit.count + Int(unit.rawValue)] }
}
