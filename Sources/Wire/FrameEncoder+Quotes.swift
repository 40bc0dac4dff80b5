// From a quote to protobuf-c's structures, which are reused: every field is set, each time.

import Bytes
import CTollgateProtos
import Pricing

extension FrameEncoder {
    /// Fills in the quote that is packed next.
    public func set(_ answer: QuoteAnswer, _ lines: borrowing QuoteLines) {
        unsafe quote.pointee.charge = answer.charge
        unsafe quote.pointee.base_cost = answer.baseCost
        unsafe quote.pointee.available = answer.available
        unsafe quote.pointee.available_after = answer.availableAfter
        unsafe quote.pointee.sufficient = answer.sufficient ? 1 : 0
        unsafe quote.pointee.allowance_used = answer.allowanceUsed
        unsafe quote.pointee.rule_version = answer.ruleVersion
        unsafe quote.pointee.catalogue_version = answer.catalogueVersion
        unsafe quote.pointee.standard_tier_used = answer.standardTierUsed ? 1 : 0
        unsafe quote.pointee.quote_token = binary(answer.quoteToken)
        unsafe quote.pointee.expires_at = answer.expiresAt
        setBreakdown(answer)
        setChoices(answer)
        for index in 0..<lines.count {
            let line = lines[index]
            let row = unsafe quoteLines + index
            unsafe row.pointee.unit = binary(unitNames[Int(line.unit.rawValue)])
            unsafe row.pointee.quantity = UInt64(line.quantity)
            unsafe row.pointee.rate = line.rate
            unsafe row.pointee.amount = line.amount
        }
        unsafe quote.pointee.n_lines = lines.count
        unsafe quote.pointee.lines = quoteLineList
    }

    private func setBreakdown(_ answer: QuoteAnswer) {
        unsafe quote.pointee.fee = answer.fee
        unsafe quote.pointee.min_charge = answer.minCharge
        unsafe quote.pointee.min_charge_binds = answer.minChargeBinds ? 1 : 0
        unsafe quote.pointee.allowance_left = answer.allowanceLeft
        unsafe quote.pointee.unlimited = answer.unlimited ? 1 : 0
        unsafe quote.pointee.alternative_allowance_used = answer.alternativeAllowanceUsed
        unsafe quote.pointee.off_peak = answer.isOffPeak ? 1 : 0
        switch answer.markup {
        case .ratio(let billionths):
            unsafe quote.pointee.markup_case = TOLLGATE__V1__QUOTE_RESPONSE__MARKUP_RATIO_BILLIONTHS
            unsafe quote.pointee.ratio_billionths = billionths
        case .fixed(let charge):
            unsafe quote.pointee.markup_case = TOLLGATE__V1__QUOTE_RESPONSE__MARKUP_FIXED_CHARGE
            unsafe quote.pointee.fixed_charge = charge
        case nil: unsafe quote.pointee.markup_case = TOLLGATE__V1__QUOTE_RESPONSE__MARKUP__NOT_SET
        }
    }

    /// What may be absent.
    private func setChoices(_ answer: QuoteAnswer) {
        unsafe quote.pointee.affordable_output_tokens = answer.affordableOutputTokens ?? 0
        unsafe quote.pointee.has_affordable_output_tokens_case =
            answer.affordableOutputTokens != nil
            ? TOLLGATE__V1__QUOTE_RESPONSE__HAS_AFFORDABLE_OUTPUT_TOKENS_AFFORDABLE_OUTPUT_TOKENS
            : TOLLGATE__V1__QUOTE_RESPONSE__HAS_AFFORDABLE_OUTPUT_TOKENS__NOT_SET
        unsafe quote.pointee.alternative_charge = answer.alternativeCharge ?? 0
        unsafe quote.pointee.has_alternative_charge_case =
            answer.alternativeCharge != nil
            ? TOLLGATE__V1__QUOTE_RESPONSE__HAS_ALTERNATIVE_CHARGE_ALTERNATIVE_CHARGE
            : TOLLGATE__V1__QUOTE_RESPONSE__HAS_ALTERNATIVE_CHARGE__NOT_SET
        unsafe quote.pointee.byok_saving = answer.byokSaving ?? 0
        unsafe quote.pointee.has_byok_saving_case =
            answer.byokSaving != nil
            ? TOLLGATE__V1__QUOTE_RESPONSE__HAS_BYOK_SAVING_BYOK_SAVING
            : TOLLGATE__V1__QUOTE_RESPONSE__HAS_BYOK_SAVING__NOT_SET
        unsafe quote.pointee.input_tokens_above = answer.inputTokensAbove ?? 0
        unsafe quote.pointee.has_input_tokens_above_case =
            answer.inputTokensAbove != nil
            ? TOLLGATE__V1__QUOTE_RESPONSE__HAS_INPUT_TOKENS_ABOVE_INPUT_TOKENS_ABOVE
            : TOLLGATE__V1__QUOTE_RESPONSE__HAS_INPUT_TOKENS_ABOVE__NOT_SET
    }
}
