// Messages from the server, read for a client.

import Bytes
import CTollgateProtos
import Ledger
import Pricing

extension FrameDecoder {
    /// Reads a `ServerFrame`; `message` is only needed during this call.
    ///
    /// - Throws: `malformed` or `excessive`; the connection is then closed.
    public func decodeAnswer(_ message: ByteView) throws(WireError) -> ServerFrame {
        let unpacked = unsafe tollgate__v1__server_frame__unpack(
            admit(message), message.count, bytes(message))
        guard let frame = unsafe unpacked else { throw failure(message) }
        let answer: ServerAnswer
        switch unsafe frame.pointee.answer_case {
        case TOLLGATE__V1__SERVER_FRAME__ANSWER_RECEIPT:
            answer = unsafe .receipt(read(frame.pointee.receipt))
        case TOLLGATE__V1__SERVER_FRAME__ANSWER_REPORT_BATCH:
            answer = unsafe .reportBatch(BatchAnswer(frame.pointee.report_batch))
        case TOLLGATE__V1__SERVER_FRAME__ANSWER_QUOTE:
            answer = unsafe .quote(read(frame.pointee.quote))
        case TOLLGATE__V1__SERVER_FRAME__ANSWER_HOLD:
            answer = unsafe .hold(read(frame.pointee.hold))
        case TOLLGATE__V1__SERVER_FRAME__ANSWER_BALANCE:
            answer = unsafe .balance(read(frame.pointee.balance))
        case TOLLGATE__V1__SERVER_FRAME__ANSWER_STATUS:
            answer = unsafe .status(read(frame.pointee.status))
        case TOLLGATE__V1__SERVER_FRAME__ANSWER_PONG:
            answer = unsafe .pong(ByteView(frame.pointee.pong.pointee.payload))
        case TOLLGATE__V1__SERVER_FRAME__ANSWER_DRAINING:
            answer = unsafe .draining(message: ByteView(frame.pointee.draining.pointee.message))
        default:
            answer = .empty
        }
        return unsafe ServerFrame(callID: frame.pointee.call_id, answer: answer)
    }

    /// Reads one result of a batch.
    ///
    /// - Precondition: `index` is within `0..<answer.count`.
    public func read(_ answer: BatchAnswer, at index: Int) -> ReportResult {
        precondition(index >= 0 && index < answer.count)
        guard let result = unsafe answer.message.pointee.results[index] else {
            preconditionFailure("protobuf-c leaves no hole in a repeated field")
        }
        switch unsafe result.pointee.result_case {
        case TOLLGATE__V1__REPORT_RESULT__RESULT_RECEIPT:
            return unsafe .receipt(read(result.pointee.receipt))
        case TOLLGATE__V1__REPORT_RESULT__RESULT_STATUS:
            return unsafe .status(read(result.pointee.status))
        default:
            return .empty
        }
    }

    private func read(_ message: UnsafeMutablePointer<Tollgate__V1__Receipt>) -> Receipt {
        var receipt = Receipt()
        unsafe receipt.state =
            ReceiptState(rawValue: UInt8(clamping: message.pointee.state.rawValue)) ?? .charged
        unsafe receipt.sequence = message.pointee.sequence
        unsafe receipt.charge = message.pointee.charge
        unsafe receipt.balance = message.pointee.balance
        unsafe receipt.duplicate = message.pointee.duplicate != 0
        unsafe receipt.inDebt = message.pointee.in_debt != 0
        unsafe receipt.standardTierUsed = message.pointee.standard_tier_used != 0
        unsafe receipt.baseCost = message.pointee.base_cost
        unsafe receipt.allowanceUsed = message.pointee.allowance_used
        unsafe receipt.ruleVersion = message.pointee.rule_version
        unsafe receipt.catalogueVersion = message.pointee.catalogue_version
        switch unsafe HoldState(rawValue: UInt8(clamping: message.pointee.hold_state.rawValue)) {
        case .settled: unsafe receipt.holdReleased = message.pointee.hold_released
        case .expired: receipt.holdExpired = true
        default: break
        }
        unsafe receipt.orphanCharge = message.pointee.orphan_charge
        unsafe receipt.givenBack = message.pointee.given_back
        let reason = unsafe ByteView(message.pointee.parked_reason)
        if !reason.isEmpty { receipt.parkedReason = Reason(name: reason) }
        return receipt
    }

    private func read(_ message: UnsafeMutablePointer<Tollgate__V1__QuoteResponse>) -> QuoteAnswer {
        var quote = QuoteAnswer()
        unsafe quote.charge = message.pointee.charge
        unsafe quote.baseCost = message.pointee.base_cost
        unsafe quote.available = message.pointee.available
        unsafe quote.availableAfter = message.pointee.available_after
        unsafe quote.sufficient = message.pointee.sufficient != 0
        unsafe quote.allowanceUsed = message.pointee.allowance_used
        unsafe quote.ruleVersion = message.pointee.rule_version
        unsafe quote.catalogueVersion = message.pointee.catalogue_version
        unsafe quote.standardTierUsed = message.pointee.standard_tier_used != 0
        unsafe quote.quoteToken = ByteView(message.pointee.quote_token)
        unsafe quote.expiresAt = message.pointee.expires_at
        let affordable = unsafe message.pointee.has_affordable_output_tokens_case
        if affordable
            == TOLLGATE__V1__QUOTE_RESPONSE__HAS_AFFORDABLE_OUTPUT_TOKENS_AFFORDABLE_OUTPUT_TOKENS
        {
            unsafe quote.affordableOutputTokens = message.pointee.affordable_output_tokens
        }
        let alternative = unsafe message.pointee.has_alternative_charge_case
        if alternative == TOLLGATE__V1__QUOTE_RESPONSE__HAS_ALTERNATIVE_CHARGE_ALTERNATIVE_CHARGE {
            unsafe quote.alternativeCharge = message.pointee.alternative_charge
        }
        unsafe readBreakdown(message, into: &quote)
        unsafe quote.lines = QuoteAnswerLines(message.pointee.lines, count: message.pointee.n_lines)
        return quote
    }

    private func readBreakdown(
        _ message: UnsafeMutablePointer<Tollgate__V1__QuoteResponse>, into quote: inout QuoteAnswer
    ) {
        unsafe quote.fee = message.pointee.fee
        switch unsafe message.pointee.markup_case {
        case TOLLGATE__V1__QUOTE_RESPONSE__MARKUP_RATIO_BILLIONTHS:
            unsafe quote.markup = .ratio(billionths: message.pointee.ratio_billionths)
        case TOLLGATE__V1__QUOTE_RESPONSE__MARKUP_FIXED_CHARGE:
            unsafe quote.markup = .fixed(message.pointee.fixed_charge)
        default: break
        }
        unsafe quote.minCharge = message.pointee.min_charge
        unsafe quote.minChargeBinds = message.pointee.min_charge_binds != 0
        unsafe quote.allowanceLeft = message.pointee.allowance_left
        unsafe quote.unlimited = message.pointee.unlimited != 0
        unsafe quote.alternativeAllowanceUsed = message.pointee.alternative_allowance_used
        let saving = unsafe message.pointee.has_byok_saving_case
        if saving == TOLLGATE__V1__QUOTE_RESPONSE__HAS_BYOK_SAVING_BYOK_SAVING {
            unsafe quote.byokSaving = message.pointee.byok_saving
        }
        let above = unsafe message.pointee.has_input_tokens_above_case
        if above == TOLLGATE__V1__QUOTE_RESPONSE__HAS_INPUT_TOKENS_ABOVE_INPUT_TOKENS_ABOVE {
            unsafe quote.inputTokensAbove = message.pointee.input_tokens_above
        }
        unsafe quote.isOffPeak = message.pointee.off_peak != 0
    }

    private func read(_ message: UnsafeMutablePointer<Tollgate__V1__HoldResponse>) -> HoldAnswer {
        var hold = HoldAnswer()
        unsafe hold.holdID = ByteView(message.pointee.hold_id)
        unsafe hold.state =
            HoldState(rawValue: UInt8(clamping: message.pointee.state.rawValue))
        unsafe hold.amount = message.pointee.amount
        unsafe hold.available = message.pointee.available
        unsafe hold.expiresAt = message.pointee.expires_at
        unsafe hold.sequence = message.pointee.sequence
        unsafe hold.duplicate = message.pointee.duplicate != 0
        unsafe hold.orphanCharge = message.pointee.orphan_charge
        return hold
    }

    private func read(_ message: UnsafeMutablePointer<Tollgate__V1__Balance>) -> BalanceAnswer {
        var balance = BalanceAnswer()
        unsafe balance.account = ByteView(message.pointee.account)
        unsafe balance.wallet = ByteView(message.pointee.wallet)
        unsafe balance.balance = message.pointee.balance
        unsafe balance.held = message.pointee.held
        unsafe balance.available = message.pointee.available
        unsafe balance.overdraftLimit = message.pointee.overdraft_limit
        unsafe balance.unlimited = message.pointee.unlimited != 0
        unsafe balance.tier = ByteView(message.pointee.tier)
        unsafe balance.sequence = message.pointee.sequence
        return balance
    }

    private func read(_ message: UnsafeMutablePointer<Tollgate__V1__Status>) -> StatusAnswer {
        var status = StatusAnswer()
        unsafe status.code = message.pointee.code
        unsafe status.reason = ByteView(message.pointee.reason)
        unsafe status.message = ByteView(message.pointee.message)
        unsafe status.field = ByteView(message.pointee.field)
        unsafe status.retryAfterMilliseconds = message.pointee.retry_after_ms
        if unsafe message.pointee.n_metadata > 0 {
            // More figures than a tag list holds are not this version's; the words suffice without.
            var packed = ByteView()
            let fault = unsafe readTags(
                message.pointee.metadata, count: message.pointee.n_metadata, into: &packed)
            if fault == nil { status.metadata = packed }
        }
        return status
    }
}
