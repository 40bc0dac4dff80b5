// What a rule makes of a cost that is known already: for asking what other rules would have charged, of the
// past (a replay) and of what is being charged now (a shadow).

import Bytes

extension PriceBook {
    /// The tiers that rules name, by their place; the first is empty and stands for any other.
    public var tierNames: [String] { tables.tierTexts }

    /// The providers that the catalogue and rules name, by their place; the first stands for any other.
    public var providerNames: [String] { tables.providerTexts }

    /// The place of a tier; 0 for one that no rule names.
    public func tierSlot(of name: ByteView) -> UInt8 { UInt8(tables.tiers.value(of: name) ?? 0) }

    /// The place of a provider; 0 for one that nobody names.
    @inline(__always)
    public func providerSlot(of name: ByteView) -> Int { Int(tables.providers.value(of: name) ?? 0) }

    /// The charge for a cost of `baseCost` picodollars at the rule effective at `instant`, with the base cost
    /// taken as it is. No allocation; O(1).
    @inline(__always)
    public func price(
        baseCost: Int64, source: CredentialSource, providerSlot: Int, tierSlot: UInt8, at instant: Timestamp
    ) -> PricingOutcome {
        let outcome = tables.ruleOutcome(
            source, tierSlot: Int(tierSlot), provider: providerSlot, at: instant)
        if let reason = outcome.refusal { return .refused(Refusal(reason, field: .provider)) }
        let markup = tables.markups[outcome.markupIndex]
        guard let fee = markup.fee(base: baseCost, at: creditValue) else {
            return .refused(Refusal(.invalidArgument, field: .amount, found: baseCost, expected: .max))
        }
        return .priced(
            PricedUsage(
                baseCost: baseCost, fee: fee, monthlyAllowance: markup.allowance,
                ruleNumber: markup.ruleNumber, ruleVersion: markup.ruleVersion, standardTierUsed: false,
                tierSlot: tierSlot))
    }
}
