// A charge in the columns of FOCUS 1.0, the FinOps Open Cost and Usage Specification (https://focus.finops.org).
//
//      BilledCost, EffectiveCost        the charge in dollars, at the value of a credit
//      ContractedCost, ListCost         the fee in dollars, before the free allowance paid its part
//      BillingAccountId, …Name          the organisation: the first segment of the account's path
//      SubAccountId, …Name              the account's path
//      BillingPeriodStart, …End         the calendar month of the event, UTC
//      ChargePeriodStart, …End          the event's second, or the rollup's day; the end is not in it
//      ConsumedQuantity, …Unit          tokens, input and output together
//      PricingQuantity, …Unit           the same: rates are per token
//      ProviderName, PublisherName      the provider as served
//      InvoiceIssuerName                Tollgate
//      SkuId                            provider/model
//      x_…                              what FOCUS has no column for
//
// What was not charged (parked usage, and its discards) is no cost and has no row.

import Ledger
import Money
import Pricing
import Store
import StrictJSON

struct FocusRow {
    static let columns = [
        "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
        "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
        "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
        "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingCategory", "PricingQuantity", "PricingUnit",
        "ProviderName", "PublisherName", "ServiceCategory", "ServiceName", "SkuId", "SubAccountId",
        "SubAccountName", "Tags", "x_RequestId", "x_CredentialSource", "x_Requests", "x_InputTokens",
        "x_CacheReadTokens", "x_OutputTokens", "x_BaseCost", "x_ChargeCredits", "x_AllowanceCredits",
    ]

    let cells: [ExportCell]

    /// Nil for an outcome that charged nobody.
    init?(_ row: UsageRow, _ value: CreditValue) {
        let figures = row.figures
        guard figures.state == .charged || figures.state == .settled else { return nil }
        var sums = UsageSums()
        sums.requests = 1
        sums.inputTokens = Int128(figures.counts.inputTokens)
        sums.outputTokens = Int128(figures.counts.outputTokens)
        sums.cacheReadTokens = Int128(figures.counts.cacheReadTokens)
        sums.baseCostPicodollars = Int128(figures.baseCostPicodollars)
        sums.fee = Int128(figures.fee)
        sums.charge = Int128(figures.charge)
        sums.allowanceUsed = Int128(figures.allowanceUsed)
        // FOCUS has whole seconds.
        let second = Self.microsecondsPerSecond
        let (quotient, remainder) = figures.eventTime.quotientAndRemainder(dividingBy: second)
        let start = (remainder < 0 ? quotient - 1 : quotient) * second
        self.init(
            start: start, end: start + second, account: row.account, provider: row.provider, model: row.model,
            source: figures.credentialSource, sums, tags: row.tags, requestID: row.requestText, value)
    }

    /// Nil for a day on which everything was parked.
    init?(_ row: RollupRow, _ value: CreditValue) {
        guard row.sums.requests > 0 || row.sums.charge != 0 else { return nil }
        self.init(
            start: row.day.start.microseconds, end: UsageDay(number: row.day.number + 1).start.microseconds,
            account: row.account, provider: row.provider, model: row.model, source: row.credentialSource,
            row.sums, tags: [:], requestID: "", value)
    }

    private static let microsecondsPerSecond: Int64 = 1_000_000

    private init(
        start: Int64, end: Int64, account: String, provider: String, model: String, source: UInt8,
        _ sums: UsageSums, tags: JSONObject, requestID: String, _ value: CreditValue
    ) {
        let month = CalendarMonth(containing: Timestamp(microseconds: start))
        let organisation = String(account.prefix { $0 != "/" })
        let tokens = sums.inputTokens + sums.outputTokens
        cells = [
            Self.dollars(sums.charge, value), .text(organisation), .text(organisation), .plain("USD"),
            .instant(month.next.start.microseconds), .instant(month.start.microseconds), .plain("Usage"),
            .none,
            .text("\(provider) \(model)"), .plain("Usage-Based"), .instant(end), .instant(start),
            .count(tokens),
            .plain("Tokens"), Self.dollars(sums.fee, value), Self.dollars(sums.charge, value),
            .plain("Tollgate"), Self.dollars(sums.fee, value), .plain("Standard"), .count(tokens),
            .plain("Tokens"), .text(provider), .text(provider), .plain("AI and Machine Learning"),
            .plain("LLM inference"), .text("\(provider)/\(model)"), .text(account), .text(account),
            .object(tags), .word(requestID), ExportCell.source(source), .count(sums.requests),
            .count(sums.inputTokens), .count(sums.cacheReadTokens), .count(sums.outputTokens),
            .dollars(sums.baseCostPicodollars), .credits(sums.charge), .credits(sums.allowanceUsed),
        ]
    }

    /// Nanocredits in dollars, exact: nanocredits times picodollars a credit have 21 decimals.
    private static func dollars(_ nanocredits: Int128, _ value: CreditValue) -> ExportCell {
        .plain(
            DecimalText.format(
                nanocredits * Int128(value.picodollarsPerCredit),
                places: Nanocredits.places + Picodollars.places,
                decimalsMin: 2))
    }
}
