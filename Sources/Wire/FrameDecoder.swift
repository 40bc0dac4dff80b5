// Messages from clients, read for the server.
//
// One decoder serves one thread: an event loop has one and uses it for all of its connections. Calls
// are decoded one after another; their views stay valid together until `reset`, so a handler can look
// at many of them before it acts on the first.
//
// What a hostile message can cost: the contract has no recursive message, so nesting ends at four
// levels whatever is sent; unknown fields are skipped without being entered; repeated fields and
// merged duplicates take memory from the arena, and that is bounded by the bytes received (see
// `WireLimits.arenaBytesMax`), which bounds the time to fill it as well.

import Bytes
import CTollgateProtos
import Pricing

/// A method of the service, as gRPC's unary calls name it.
public enum CallKind: UInt8, Hashable, Sendable, CaseIterable {
    case report, reportBatch, quote, hold, settle, void, extend, getBalance
}

/// Unpacks messages into borrowed values. Not shared between threads.
@safe
public final class FrameDecoder {
    let arena = Arena()
    /// What the request for a hold that was read last asks for, beside its record. Such requests may be half of the
    /// traffic: behind a pointer, writing and reading them costs no check of who else might.
    public var hold: HoldCall { unsafe holdCall.pointee }
    let holdCall: UnsafeMutablePointer<HoldCall>
    public internal(set) var void = VoidCall()
    public internal(set) var extend = ExtendCall()

    /// A decoder with room for a typical read; it grows with what is received and shrinks again.
    public init() {
        unsafe holdCall = .allocate(capacity: 1)
        unsafe holdCall.initialize(to: HoldCall())
    }

    deinit { unsafe holdCall.deallocate() }

    /// Drops everything decoded so far. To be called after its last use, and often: what is decoded next then comes
    /// to lie where the processor still has the memory at hand.
    public func reset() { arena.reset() }

    /// Reads a `ClientFrame`.
    ///
    /// - Parameters:
    ///   - message: the bytes behind a frame's header; only needed during this call.
    ///   - record: the slot for the record of a report, quote, hold or settlement; overwritten whole in
    ///     these cases, untouched in others.
    /// - Throws: `malformed` or `excessive`; the connection is then closed.
    public func decode(
        _ message: ByteView, into record: inout UsageRecord
    ) throws(WireError) -> ClientFrame {
        let unpacked = unsafe tollgate__v1__client_frame__unpack(
            admit(message), message.count, bytes(message))
        guard let frame = unsafe unpacked else { throw failure(message) }
        let callID = unsafe frame.pointee.call_id
        let timeout = unsafe frame.pointee.timeout_ms
        let call: ClientCall
        switch unsafe frame.pointee.call_case {
        case TOLLGATE__V1__CLIENT_FRAME__CALL_REPORT:
            call = .report(fault: unsafe read(frame.pointee.report, into: &record, for: .report))
        case TOLLGATE__V1__CLIENT_FRAME__CALL_REPORT_BATCH:
            call = unsafe .reportBatch(ReportBatch(frame.pointee.report_batch))
        case TOLLGATE__V1__CLIENT_FRAME__CALL_QUOTE:
            call = unsafe read(frame.pointee.quote, into: &record)
        case TOLLGATE__V1__CLIENT_FRAME__CALL_HOLD:
            call = unsafe read(frame.pointee.hold, into: &record)
        case TOLLGATE__V1__CLIENT_FRAME__CALL_SETTLE:
            call = unsafe read(frame.pointee.settle, into: &record)
        case TOLLGATE__V1__CLIENT_FRAME__CALL_VOID:
            call = unsafe read(frame.pointee.void_)
        case TOLLGATE__V1__CLIENT_FRAME__CALL_EXTEND:
            call = unsafe read(frame.pointee.extend)
        case TOLLGATE__V1__CLIENT_FRAME__CALL_GET_BALANCE:
            call = unsafe .getBalance(account: ByteView(frame.pointee.get_balance.pointee.account))
        case TOLLGATE__V1__CLIENT_FRAME__CALL_PING:
            call = unsafe .ping(ByteView(frame.pointee.ping.pointee.payload))
        default:
            call = .empty
        }
        return ClientFrame(callID: callID, timeoutMilliseconds: timeout, call: call)
    }

    /// Reads the request of a unary call, which stands alone without a `ClientFrame` around it.
    ///
    /// Parameters and errors are those of `decode(_:into:)`. An empty message is a valid request whose
    /// fields are all missing.
    public func decode(
        _ message: ByteView, as kind: CallKind, into record: inout UsageRecord
    ) throws(WireError) -> ClientCall {
        let allocator = unsafe admit(message)
        let (count, data) = unsafe (message.count, bytes(message))
        switch kind {
        case .report:
            if let request = unsafe tollgate__v1__usage_record__unpack(allocator, count, data) {
                return .report(fault: unsafe read(request, into: &record, for: .report))
            }
        case .reportBatch:
            if let request = unsafe tollgate__v1__report_batch_request__unpack(allocator, count, data) {
                return unsafe .reportBatch(ReportBatch(request))
            }
        case .quote:
            if let request = unsafe tollgate__v1__quote_request__unpack(allocator, count, data) {
                return unsafe read(request, into: &record)
            }
        case .hold:
            if let request = unsafe tollgate__v1__hold_request__unpack(allocator, count, data) {
                return unsafe read(request, into: &record)
            }
        case .settle:
            if let request = unsafe tollgate__v1__settle_request__unpack(allocator, count, data) {
                return unsafe read(request, into: &record)
            }
        case .void:
            if let request = unsafe tollgate__v1__void_request__unpack(allocator, count, data) {
                return unsafe read(request)
            }
        case .extend:
            if let request = unsafe tollgate__v1__extend_request__unpack(allocator, count, data) {
                return unsafe read(request)
            }
        case .getBalance:
            if let request = unsafe tollgate__v1__balance_request__unpack(allocator, count, data) {
                return unsafe .getBalance(account: ByteView(request.pointee.account))
            }
        }
        throw failure(message)
    }

    /// Reads one record of a batch into `record`, whole.
    ///
    /// - Precondition: `index` is within `0..<batch.count`.
    /// - Returns: what is wrong with the record's fields, or nil.
    public func read(_ batch: ReportBatch, at index: Int, into record: inout UsageRecord) -> Refusal? {
        precondition(index >= 0 && index < batch.count)
        guard let usage = unsafe batch.message.pointee.records[index] else {
            preconditionFailure("protobuf-c leaves no hole in a repeated field")
        }
        return unsafe read(usage, into: &record, for: .report)
    }

    /// The earliest event time of a batch, and whether any of its records carries a quote's token or names a hold;
    /// without reading the records. A record without an event time has that of 1970.
    public func outline(_ batch: ReportBatch) -> (earliest: Timestamp, refersBack: Bool) {
        var earliest = Timestamp.distantFuture
        var refersBack = false
        for index in 0..<batch.count {
            guard let usage = unsafe batch.message.pointee.records[index] else { continue }
            earliest = unsafe min(earliest, Timestamp(microseconds: usage.pointee.event_time))
            if unsafe usage.pointee.quote_token.len > 0 || usage.pointee.hold_id.len > 0 {
                refersBack = true
            }
        }
        return (earliest, refersBack)
    }

    /// Sets what `message` may take from the arena; returns the allocator for it.
    func admit(_ message: ByteView) -> UnsafeMutablePointer<ProtobufCAllocator> {
        arena.allow(WireLimits.arenaBytesMax(messageBytes: message.count))
        return unsafe arena.allocator
    }

    func failure(_ message: ByteView) -> WireError {
        arena.wasDenied
            ? .excessive(
                messageBytes: message.count,
                arenaBytesMax: WireLimits.arenaBytesMax(messageBytes: message.count))
            : .malformed(messageBytes: message.count)
    }

    /// Where a view begins, for C.
    @inline(__always)
    func bytes(_ view: ByteView) -> UnsafePointer<UInt8>? {
        unsafe view.buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
    }
}

extension ByteView {
    /// The bytes of a field that protobuf-c unpacked.
    @inline(__always)
    init(_ data: ProtobufCBinaryData) {
        unsafe self.init(UnsafePointer(data.data), count: data.len)
    }
}
