// A price book: one catalogue version and one book of rules, compiled for one value of a credit.
//
// Pricing a record takes four lookups and a sum, and never allocates, whatever the size of the catalogue:
//
//      provider name ─→ provider number ─┐
//      (its number, model name) ─→ model ─→ price in force ─→ threshold ─→ service tier ─→ row of 16 rates
//      (kind, tier, provider) ─→ timeline ─→ rule version in force ─→ ratio, minimum, allowance
//
//      base = Σ quantity × rate                    picodollars, exact
//      fee  = max(base × ratio, minimum), 0 if base is 0     rounded half up, once, to a nanocredit
//
// All stand-ins, thresholds, service tiers, overrides and precedences are resolved when the book is made
// (`PriceBook+Compile.swift`), by the same functions that explain a charge. A book never changes: a change
// of prices or rules makes another, and charges remember the versions they were made with.
//
// What is decided first: a record without a credential source; then the rule (`NO_PRICING_RULE`,
// `BYOK_NOT_IN_TIER`, `PROVIDER_INACTIVE`), because a record nobody may be charged for is not kept; then
// counts that contradict each other; then a model or unit without a price.

import Bytes
import Money

/// An immutable snapshot that prices records. Safe to share; see the file's story for the method.
public final class PriceBook: Sendable {
    public let catalogueVersion: UInt32
    public let creditValue: CreditValue
    /// What the book was made from.
    public let catalogue: Catalogue
    public let rules: RuleBook

    let tables: PriceTables

    /// Compiles a book. Throws what is wrong with the catalogue, the rules, or an amount in them that
    /// does not fit at this value of a credit. O(models + rules); some tens of milliseconds for thousands.
    public init(catalogue: Catalogue, rules: RuleBook, creditValue: CreditValue) throws(PricingError) {
        try catalogue.check()
        let compiler = PriceCompiler(catalogue: catalogue, rules: rules, creditValue: creditValue)
        tables = try compiler.compile()
        catalogueVersion = catalogue.version
        self.creditValue = creditValue
        self.catalogue = catalogue
        self.rules = rules
    }

    /// The number of a tier in this book, or nil if no rule knows it.
    public func tier(named name: ByteView) -> TierNumber? {
        tables.tiers.value(of: name).map { TierNumber(rawValue: UInt8($0 - 1)) }
    }

    /// What `record` costs an account of `tier`, at the rule and rates effective at its event time.
    ///
    /// No allocation; O(bytes of the names).
    public func price(_ record: borrowing UsageRecord, tier: ByteView) -> PricingOutcome {
        var priced = PricedUsage()
        return PricingOutcome(price(record, tier: tier, into: &priced), priced)
    }

    /// The same in place: returns why the record has no price; nil if `priced` is it.
    public func price(
        _ record: borrowing UsageRecord, tier: ByteView, into priced: inout PricedUsage
    ) -> Unpriced? {
        var steps = PricingSteps()
        return price(record, tier: tier, into: &priced, steps: &steps)
    }

    /// The same, and says what the steps found, if it has a price.
    @inline(__always)
    func price(
        _ record: borrowing UsageRecord, tier: ByteView, into priced: inout PricedUsage,
        steps: inout PricingSteps
    ) -> Unpriced? {
        guard let source = record.credentialSource else {
            return .refused(Refusal(.invalidArgument, field: .credentialSource))
        }
        let provider = Int(tables.providers.value(of: record.provider) ?? 0)
        let tierSlot = Int(tables.tiers.value(of: tier) ?? 0)
        let outcome = tables.ruleOutcome(
            source, tierSlot: tierSlot, provider: provider, at: record.eventTime)
        priced.tierSlot = UInt8(tierSlot)
        return price(
            record, provider: provider, outcome: outcome, at: record.eventTime, into: &priced, steps: &steps)
    }

    /// The same for a tier by its place in this book, as `tierNames` has them.
    public func price(
        _ record: borrowing UsageRecord, tierSlot: UInt8, into priced: inout PricedUsage
    ) -> Unpriced? {
        guard let source = record.credentialSource else {
            return .refused(Refusal(.invalidArgument, field: .credentialSource))
        }
        let provider = Int(tables.providers.value(of: record.provider) ?? 0)
        let outcome = tables.ruleOutcome(
            source, tierSlot: Int(tierSlot), provider: provider, at: record.eventTime)
        priced.tierSlot = tierSlot
        var steps = PricingSteps()
        return price(
            record, provider: provider, outcome: outcome, at: record.eventTime, into: &priced, steps: &steps)
    }

    /// What `record` costs under a rule version that a quote pinned, at the rates effective at `instant`.
    ///
    /// Refused with `NO_PRICING_RULE` if the book does not hold the version or it is for another
    /// provider, and with `CREDENTIAL_MISMATCH` if it is of the other kind.
    public func price(
        _ record: borrowing UsageRecord, ruleVersion: UInt32, at instant: Timestamp,
        into priced: inout PricedUsage
    ) -> Unpriced? {
        guard let source = record.credentialSource else {
            return .refused(Refusal(.invalidArgument, field: .credentialSource))
        }
        let provider = Int(tables.providers.value(of: record.provider) ?? 0)
        let outcome = tables.pinnedOutcome(source, ruleVersion: ruleVersion, provider: provider)
        priced.tierSlot = 0
        var steps = PricingSteps()
        return price(
            record, provider: provider, outcome: outcome, at: instant, into: &priced, steps: &steps)
    }

    private func price(
        _ record: borrowing UsageRecord, provider: Int, outcome: RuleOutcome, at instant: Timestamp,
        into priced: inout PricedUsage, steps: inout PricingSteps
    ) -> Unpriced? {
        if let reason = outcome.refusal {
            let field: RecordField = reason == .credentialMismatch ? .credentialSource : .provider
            return .refused(Refusal(reason, field: field))
        }
        guard let plain = record.usage.plainTokens else { return Self.unsplit(record) }
        guard let price = tables.priceIndex(provider: provider, model: record.model, at: instant) else {
            return .parked(.unpricedModel, .model)
        }
        let row = tables.row(
            price: price, inputTokens: record.usage.inputTokens, serviceTier: record.serviceTier)
        let sum = tables.sum(record, plain: plain, row: row.index)
        if let unit = sum.unpricedUnit { return .parked(.unpricedModel, unit.field) }
        if sum.isTooLarge { return .refused(Refusal(.invalidArgument, field: .amount, expected: .max)) }
        let base = sum.cost
        let markup = tables.markups[outcome.markupIndex]
        guard let fee = markup.fee(base: base, at: creditValue) else {
            return .refused(Refusal(.invalidArgument, field: .amount, found: base, expected: .max))
        }
        steps.base = base
        steps.units = sum.units
        steps.price = price
        steps.row = row.index
        steps.markup = outcome.markupIndex
        priced.baseCost = base
        priced.fee = fee
        priced.monthlyAllowance = markup.allowance
        priced.ruleNumber = markup.ruleNumber
        priced.ruleVersion = markup.ruleVersion
        priced.standardTierUsed = row.standardTierUnits & sum.units != 0
        return nil
    }

    @inline(never)
    private static func unsplit(_ record: borrowing UsageRecord) -> Unpriced {
        switch UsageSplit.fault(of: record.usage) {
        case .outOfRange(let field): .refused(Refusal(.invalidArgument, field: field))
        case .contradiction(let field): .parked(.invalidUsage, field)
        }
    }

    /// Whether a model has a price at an instant, by its own name, an alias or a pattern. Letter case does not matter.
    public func hasPrice(provider: String, model: String, at instant: Timestamp) -> Bool {
        provider.lowercased().withView { provider in
            model.withView { model in
                tables.priceIndex(
                    provider: Int(tables.providers.value(of: provider) ?? 0), model: model, at: instant)
                    != nil
            }
        }
    }

    /// Every leaf of `record` that was used, with its rate; empty if the record cannot be priced.
    public func lines(for record: borrowing UsageRecord) -> [QuoteLine] {
        let provider = Int(tables.providers.value(of: record.provider) ?? 0)
        guard let plain = record.usage.plainTokens, let split = UsageSplit(ifConsistent: record.usage),
            let price = tables.priceIndex(
                provider: provider, model: record.model, at: record.eventTime)
        else { return [] }
        let row = tables.row(
            price: price, inputTokens: record.usage.inputTokens, serviceTier: record.serviceTier)
        let sum = tables.sum(record, plain: plain, row: row.index)
        if sum.isTooLarge || sum.unpricedUnit != nil { return [] }
        var lines = QuoteLines()
        append(split, row: row.index, units: sum.units, to: &lines)
        return lines.array
    }

    /// The most output tokens that `available` nanocredits pay for at the record's input; the output
    /// counts of the record itself do not matter.
    ///
    /// `available` includes what is left of a monthly allowance. At most `Usage.countMax`. Nil where
    /// output costs nothing more, and where the record cannot be priced.
    public func affordableOutputTokens(
        _ record: borrowing UsageRecord, tier: ByteView, available: Int64
    ) -> UInt64? {
        quoteDetails(record, tier: tier, available: available)?.affordableOutputTokens
    }
}
