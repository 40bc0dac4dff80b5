// What a rule makes of a cost that is known already: for asking what other rules would have charged.

import Bytes

extension PriceBook {
    /// The charge for a cost of `baseCost` picodollars at the rule effective at `instant`, with the base cost
    /// taken as it is. No allocation; O(bytes of the names).
    public func price(
        baseCost: Int64, source: CredentialSource, provider: ByteView, tier: ByteView, at instant: Timestamp
    ) -> PricingOutcome {
        let tierSlot = Int(tables.tiers.value(of: tier) ?? 0)
        return price(
            baseCost: baseCost, source: source, provider: provider, tierSlot: tierSlot, at: instant)
    }

    /// The same for a tier by its place in this book; 0 is any tier that no rule names.
    @inline(__always)
    public func price(
        baseCost: Int64, source: CredentialSource, provider: ByteView, tierSlot: Int, at instant: Timestamp
    ) -> PricingOutcome {
        let provider = Int(tables.providers.value(of: provider) ?? 0)
        let outcome = tables.ruleOutcome(source, tierSlot: tierSlot, provider: provider, at: instant)
        if let reason = outcome.refusal { return .refused(Refusal(reason, field: .provider)) }
        let markup = tables.markups[outcome.markupIndex]
        guard let fee = markup.fee(base: baseCost, at: creditValue) else {
            return .refused(Refusal(.invalidArgument, field: .amount, found: baseCost, expected: .max))
        }
        return .priced(
            PricedUsage(
                baseCost: baseCost, fee: fee, monthlyAllowance: markup.allowance,
                ruleNumber: markup.ruleNumber, ruleVersion: markup.ruleVersion, standardTierUsed: false))
    }
}
