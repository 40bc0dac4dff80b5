// The calls that are not plain reports: quotes and holds.

import Bytes
import CTollgateProtos
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
        unsafe call.holdID = ByteView(request.pointee.hold_id)
        unsafe call.account = ByteView(request.pointee.account)
        unsafe call.leaseMilliseconds = request.pointee.lease_ms
        var fault = textFault(call.holdID, .holdID, 1, WireLimits.idBytesMax)
        let policy = unsafe request.pointee.policy.rawValue
        if let known = HoldPolicyWord(rawValue: UInt8(clamping: policy)) {
            call.policy = known
        } else {
            fault = fault ?? Refusal(.invalidArgument, field: .call, found: Int64(policy), expected: 1)
        }
        if unsafe request.pointee.has_amount_case == TOLLGATE__V1__HOLD_REQUEST__HAS_AMOUNT_AMOUNT {
            unsafe call.amount = request.pointee.amount
            record = UsageRecord()
        } else {
            let usageFault = unsafe readUsage(request.pointee.usage, into: &record, for: .quote)
            fault = fault ?? usageFault
        }
        if fault == nil, unsafe request.pointee.n_tags > 0 {
            fault = unsafe readTags(
                request.pointee.tags, count: request.pointee.n_tags, into: &call.tags)
        }
        // The hold names account and credential source itself; its usage may leave them out.
        if record.account.isEmpty { record.account = call.account }
        return .hold(call, fault: fault)
    }

    func read(
        _ request: UnsafeMutablePointer<Tollgate__V1__SettleRequest>, into record: inout UsageRecord
    ) -> ClientCall {
        let fault = unsafe readUsage(request.pointee.usage, into: &record, for: .report)
        record.holdID = unsafe ByteView(request.pointee.hold_id)
        return .settle(fault: fault ?? textFault(record.holdID, .holdID, 1, WireLimits.idBytesMax))
    }

    func read(_ request: UnsafeMutablePointer<Tollgate__V1__VoidRequest>) -> ClientCall {
        var call = VoidCall()
        unsafe call.holdID = ByteView(request.pointee.hold_id)
        unsafe call.account = ByteView(request.pointee.account)
        unsafe call.reason = ByteView(request.pointee.reason)
        return .void(call)
    }

    func read(_ request: UnsafeMutablePointer<Tollgate__V1__ExtendRequest>) -> ClientCall {
        var call = ExtendCall()
        unsafe call.holdID = ByteView(request.pointee.hold_id)
        unsafe call.account = ByteView(request.pointee.account)
        unsafe call.leaseMilliseconds = request.pointee.lease_ms
        if unsafe request.pointee.has_amount_case == TOLLGATE__V1__EXTEND_REQUEST__HAS_AMOUNT_AMOUNT {
            unsafe call.amount = request.pointee.amount
        }
        return .extend(call)
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
