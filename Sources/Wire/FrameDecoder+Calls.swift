// The calls that are not plain reports: quotes and holds.

import Bytes
import CTollgateProtos
import Ledger
import Pricing

extension FrameDecoder {
    func read(
        _ request: UnsafeMutablePointer<Tollgate__V1__QuoteRequest>, into record: inout UsageRecord
    ) -> ClientCall {
        let fault = unsafe readUsage(request.pointee.usage, into: &record, for: .quote)
        var options: QuoteOptions = []
        if unsafe request.pointee.compare != 0 { options.insert(.compare) }
        if unsafe request.pointee.brief != 0 { options.insert(.brief) }
        return .quote(options, fault: fault)
    }

    func read(
        _ request: UnsafeMutablePointer<Tollgate__V1__HoldRequest>, into record: inout UsageRecord
    ) -> ClientCall {
        var call = HoldCall()
        unsafe call.terms.holdID = ByteView(request.pointee.hold_id)
        unsafe call.terms.account = ByteView(request.pointee.account)
        unsafe call.terms.leaseMilliseconds = request.pointee.lease_ms
        if unsafe request.pointee.has_amount_case == TOLLGATE__V1__HOLD_REQUEST__HAS_AMOUNT_AMOUNT {
            unsafe call.terms.amount = request.pointee.amount
        }
        let fault = unsafe readHold(request, into: &call, &record)
        unsafe holdCall.pointee = call
        return .hold(fault: fault)
    }

    /// Reads the rest of a hold's request, and says what is wrong with it.
    private func readHold(
        _ request: UnsafeMutablePointer<Tollgate__V1__HoldRequest>, into call: inout HoldCall,
        _ record: inout UsageRecord
    ) -> Refusal? {
        if let fault = textFault(call.terms.holdID, .holdID, 1, WireLimits.idBytesMax) { return fault }
        let source = unsafe request.pointee.credential_source.rawValue
        guard let known = CredentialSource(rawValue: UInt8(clamping: source)) else {
            return Refusal(.invalidArgument, field: .credentialSource, found: Int64(source), expected: 2)
        }
        call.terms.source = known
        let policy = unsafe request.pointee.policy.rawValue
        guard let word = HoldPolicy(rawValue: UInt8(clamping: policy)) else {
            return Refusal(.invalidArgument, field: .policy, found: Int64(policy), expected: 1)
        }
        call.terms.policy = word
        let orphan = unsafe request.pointee.orphan_policy.rawValue
        if orphan != 0 {
            guard let word = OrphanPolicy(rawValue: UInt8(clamping: orphan)) else {
                return Refusal(.invalidArgument, field: .orphanPolicy, found: Int64(orphan), expected: 4)
            }
            call.terms.orphanPolicy = word
        }
        if unsafe request.pointee.n_tags > 0 {
            let fault = unsafe readTags(
                request.pointee.tags, count: request.pointee.n_tags, into: &call.tags)
            if let fault { return fault }
        }
        guard call.terms.amount == nil, let usage = unsafe request.pointee.usage else {
            record = UsageRecord()
            if call.terms.amount != nil { return nil }
            return Refusal(.invalidArgument, field: .amount)
        }
        let fault = unsafe read(usage, into: &record, for: .hold)
        guard record.account.isEmpty || record.account == call.terms.account else {
            return Refusal(.invalidArgument, field: .account)
        }
        guard record.credentialSource == nil || record.credentialSource == known else {
            return Refusal(.credentialMismatch, field: .credentialSource)
        }
        record.account = call.terms.account
        record.credentialSource = known
        return fault
    }

    func read(
        _ request: UnsafeMutablePointer<Tollgate__V1__SettleRequest>, into record: inout UsageRecord
    ) -> ClientCall {
        var fault = unsafe readUsage(request.pointee.usage, into: &record, for: .report)
        let hold = unsafe ByteView(request.pointee.hold_id)
        if !record.holdID.isEmpty, record.holdID != hold {
            fault = fault ?? Refusal(.invalidArgument, field: .holdID)
        }
        record.holdID = hold
        return .settle(fault: fault ?? textFault(record.holdID, .holdID, 1, WireLimits.idBytesMax))
    }

    func read(_ request: UnsafeMutablePointer<Tollgate__V1__VoidRequest>) -> ClientCall {
        var call = VoidCall()
        unsafe call.holdID = ByteView(request.pointee.hold_id)
        unsafe call.account = ByteView(request.pointee.account)
        unsafe call.reason = ByteView(request.pointee.reason)
        let fault =
            textFault(call.holdID, .holdID, 1, WireLimits.idBytesMax)
            ?? textFault(call.reason, .reason, 0, WireLimits.reasonBytesMax)
        void = call
        return .void(fault: fault)
    }

    func read(_ request: UnsafeMutablePointer<Tollgate__V1__ExtendRequest>) -> ClientCall {
        var call = ExtendCall()
        unsafe call.holdID = ByteView(request.pointee.hold_id)
        unsafe call.account = ByteView(request.pointee.account)
        unsafe call.leaseMilliseconds = request.pointee.lease_ms
        if unsafe request.pointee.has_amount_case == TOLLGATE__V1__EXTEND_REQUEST__HAS_AMOUNT_AMOUNT {
            unsafe call.amount = request.pointee.amount
        }
        extend = call
        return .extend(fault: textFault(call.holdID, .holdID, 1, WireLimits.idBytesMax))
    }

    /// Reads a usage that may have been left out, which leaves every field missing.
    private func readUsage(
        _ usage: UnsafeMutablePointer<Tollgate__V1__UsageRecord>?, into record: inout UsageRecord,
        for use: RecordUse
    ) -> Refusal? {
        guard let usage = unsafe usage else {
            record = UsageRecord()
            return record.firstFault(for: use)
        }
        return unsafe read(usage, into: &record, for: use)
    }
}
