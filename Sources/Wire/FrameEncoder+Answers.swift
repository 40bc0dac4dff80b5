// From answers to protobuf-c's structures. Bytes are lent, not copied, until the frame is packed.

import Bytes
import CTollgateProtos
import Ledger
import Pricing

extension FrameEncoder {
    @inline(__always)
    func set(_ message: UnsafeMutablePointer<Tollgate__V1__Receipt>, to answer: Receipt) {
        unsafe message.pointee.state = Tollgate__V1__ReceiptState(rawValue: UInt32(answer.state.rawValue))
        unsafe message.pointee.sequence = answer.sequence
        unsafe message.pointee.charge = answer.charge
        unsafe message.pointee.balance = answer.balance
        unsafe message.pointee.duplicate = answer.duplicate ? 1 : 0
        unsafe message.pointee.in_debt = answer.inDebt ? 1 : 0
        unsafe message.pointee.standard_tier_used = answer.standardTierUsed ? 1 : 0
        unsafe message.pointee.base_cost = answer.baseCost
        unsafe message.pointee.allowance_used = answer.allowanceUsed
        unsafe message.pointee.rule_version = answer.ruleVersion
        unsafe message.pointee.catalogue_version = answer.catalogueVersion
        let holdState: HoldState? =
            answer.holdReleased != nil ? .settled : answer.holdExpired ? .expired : nil
        unsafe message.pointee.hold_state = Tollgate__V1__HoldState(
            rawValue: UInt32(holdState?.rawValue ?? 0))
        unsafe message.pointee.hold_released = answer.holdReleased ?? 0
        unsafe message.pointee.orphan_charge = answer.orphanCharge
        unsafe message.pointee.given_back = answer.givenBack
        if let reason = answer.parkedReason {
            unsafe message.pointee.parked_reason = binary(ByteView(reason.name))
        } else {
            unsafe message.pointee.parked_reason = ProtobufCBinaryData(len: 0, data: nil)
        }
    }

    @usableFromInline
    func prepare(_ answer: Refusal, _ envelope: Envelope) {
        arena.allow(.max)
        text.clear()
        let status = unsafe makeStatus(answer)
        unsafe enclose(
            status, envelope, as: .status, TOLLGATE__V1__SERVER_FRAME__ANSWER_STATUS
        ) { unsafe $0.pointee.status = status }
    }

    @usableFromInline
    func prepareBatch(_ count: Int, _ envelope: Envelope, _ result: (Int) -> ReportAnswer) {
        precondition(count >= 0 && count <= WireLimits.batchRecordsMax)
        arena.allow(.max)
        text.clear()
        let response = unsafe make(Tollgate__V1__ReportBatchResponse.self)
        unsafe tollgate__v1__report_batch_response__init(response)
        let rows = unsafe make(UnsafeMutablePointer<Tollgate__V1__ReportResult>?.self, count: count)
        for index in 0..<count {
            let row = unsafe make(Tollgate__V1__ReportResult.self)
            unsafe tollgate__v1__report_result__init(row)
            switch result(index) {
            case .receipt(let answer):
                let message = unsafe make(Tollgate__V1__Receipt.self)
                unsafe tollgate__v1__receipt__init(message)
                unsafe set(message, to: answer)
                unsafe row.pointee.result_case = TOLLGATE__V1__REPORT_RESULT__RESULT_RECEIPT
                unsafe row.pointee.receipt = message
            case .refusal(let refusal):
                unsafe row.pointee.result_case = TOLLGATE__V1__REPORT_RESULT__RESULT_STATUS
                unsafe row.pointee.status = makeStatus(refusal)
            }
            unsafe rows[index] = row
        }
        unsafe response.pointee.n_results = count
        unsafe response.pointee.results = rows
        unsafe enclose(
            response, envelope, as: .reportBatch, TOLLGATE__V1__SERVER_FRAME__ANSWER_REPORT_BATCH
        ) { unsafe $0.pointee.report_batch = response }
    }

    func set(_ answer: HoldAnswer) {
        unsafe hold.pointee.hold_id = binary(answer.holdID)
        unsafe hold.pointee.state = Tollgate__V1__HoldState(rawValue: UInt32(answer.state?.rawValue ?? 0))
        unsafe hold.pointee.amount = answer.amount
        unsafe hold.pointee.available = answer.available
        unsafe hold.pointee.expires_at = answer.expiresAt
        unsafe hold.pointee.sequence = answer.sequence
        unsafe hold.pointee.duplicate = answer.duplicate ? 1 : 0
        unsafe hold.pointee.orphan_charge = answer.orphanCharge
    }

    @usableFromInline
    func prepare(_ answer: BalanceAnswer, _ envelope: Envelope) {
        arena.allow(.max)
        let balance = unsafe make(Tollgate__V1__Balance.self)
        unsafe tollgate__v1__balance__init(balance)
        unsafe balance.pointee.account = binary(answer.account)
        unsafe balance.pointee.wallet = binary(answer.wallet)
        unsafe balance.pointee.balance = answer.balance
        unsafe balance.pointee.held = answer.held
        unsafe balance.pointee.available = answer.available
        unsafe balance.pointee.overdraft_limit = answer.overdraftLimit
        unsafe balance.pointee.unlimited = answer.unlimited ? 1 : 0
        unsafe balance.pointee.tier = binary(answer.tier)
        unsafe balance.pointee.sequence = answer.sequence
        unsafe enclose(
            balance, envelope, as: .balance, TOLLGATE__V1__SERVER_FRAME__ANSWER_BALANCE
        ) { unsafe $0.pointee.balance = balance }
    }

    @usableFromInline
    func prepare(pong payload: ByteView, _ callID: UInt64) {
        arena.allow(.max)
        let pong = unsafe make(Tollgate__V1__Ping.self)
        unsafe tollgate__v1__ping__init(pong)
        unsafe pong.pointee.payload = binary(payload)
        unsafe enclose(
            pong, .frame(callID: callID), as: .none, TOLLGATE__V1__SERVER_FRAME__ANSWER_PONG
        ) { unsafe $0.pointee.pong = pong }
    }

    @usableFromInline
    func prepare(draining message: ByteView) {
        arena.allow(.max)
        let draining = unsafe make(Tollgate__V1__Draining.self)
        unsafe tollgate__v1__draining__init(draining)
        unsafe draining.pointee.message = binary(message)
        unsafe enclose(
            draining, .frame(callID: 0), as: .none, TOLLGATE__V1__SERVER_FRAME__ANSWER_DRAINING
        ) { unsafe $0.pointee.draining = draining }
    }

    /// Remembers `message` as what is to be packed, in its envelope.
    private func enclose<Message>(
        _ message: UnsafeMutablePointer<Message>, _ envelope: Envelope, as bareKind: Prepared,
        _ answerCase: Tollgate__V1__ServerFrame__AnswerCase,
        _ assign: (UnsafeMutablePointer<Tollgate__V1__ServerFrame>) -> Void
    ) {
        switch envelope {
        case .frame(let callID):
            unsafe frame.pointee.call_id = callID
            unsafe frame.pointee.answer_case = answerCase
            unsafe assign(frame)
            prepared = .frame
        case .bare:
            unsafe bareMessage = UnsafeMutableRawPointer(message)
            prepared = bareKind
        }
    }

    /// A `Status` with the words of `refusal`. The words stay in `text` until it is cleared.
    private func makeStatus(_ refusal: Refusal) -> UnsafeMutablePointer<Tollgate__V1__Status> {
        let status = unsafe make(Tollgate__V1__Status.self)
        unsafe tollgate__v1__status__init(status)
        unsafe status.pointee.code = UInt32(refusal.reason.code.rawValue)
        unsafe status.pointee.reason = binary(ByteView(refusal.reason.name))
        unsafe status.pointee.field = binary(ByteView(refusal.field.name))
        unsafe status.pointee.retry_after_ms = refusal.retryAfterMilliseconds
        unsafe status.pointee.message = words { refusal.writeMessage(to: &$0) }
        let figures = refusal.figures
        let tags = unsafe make(UnsafeMutablePointer<Tollgate__V1__Tag>?.self, count: figures.count)
        for (index, figure) in figures.enumerated() {
            let tag = unsafe make(Tollgate__V1__Tag.self)
            unsafe tollgate__v1__tag__init(tag)
            unsafe tag.pointee.key = binary(ByteView(figure.name))
            unsafe tag.pointee.value = words { figure.value.write(to: &$0) }
            unsafe tags[index] = tag
        }
        unsafe status.pointee.n_metadata = figures.count
        unsafe status.pointee.metadata = tags
        return unsafe status
    }

    /// Writes words and moves them to the arena, where they stay until the answer is packed.
    private func words(_ write: (inout BytePacker) -> Void) -> ProtobufCBinaryData {
        text.clear()
        write(&text)
        let room = unsafe make(UInt8.self, count: text.count)
        if let source = unsafe text.view.buffer.baseAddress {
            unsafe UnsafeMutableRawPointer(room).copyMemory(from: source, byteCount: text.count)
        }
        return unsafe ProtobufCBinaryData(len: text.count, data: room)
    }

    /// Room in the arena, which refuses nothing here: what is encoded comes from this process.
    func make<Value>(
        _ type: Value.Type, count: Int = 1
    ) -> UnsafeMutablePointer<Value> {
        guard let room = unsafe arena.take(type, count: count) else {
            preconditionFailure("an encoder's arena allows everything")
        }
        return unsafe room
    }

    /// Lends bytes to protobuf-c, which reads them while it packs and never writes.
    @inline(__always)
    func binary(_ view: ByteView) -> ProtobufCBinaryData {
        unsafe ProtobufCBinaryData(
            len: view.count,
            data: UnsafeMutablePointer(
                mutating: view.buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)))
    }
}
