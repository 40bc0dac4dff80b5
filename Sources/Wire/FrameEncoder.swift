// Answers to clients, written as frames straight into the outgoing buffer.
//
// A receipt goes through one reused protobuf-c structure: its fields are set, room for the longest
// receipt is reserved, and protobuf-c packs behind the place of the header, which is written last.
// A hold's state goes the same way, and a quote, with a structure for each line that it may have. Other answers differ in
// length, so protobuf-c is asked for the length first. Structures that exist only while an answer is
// written come from an arena that is dropped afterwards.

import Bytes
import CTollgateProtos
import Ledger
import Pricing

/// What is written around an answer.
public enum Envelope: Hashable, Sendable {
    /// A `ServerFrame` or `ClientFrame` with this call id.
    case frame(callID: UInt64)
    /// The message alone, as in gRPC's unary calls. It has the same header.
    case bare
}

/// Packs answers, one after another. Not shared between threads.
@safe
public final class FrameEncoder {
    @usableFromInline typealias Packer = (UnsafeMutableRawBufferPointer) -> Int

    let arena = Arena()
    /// The words of the refusal being written.
    var text = BytePacker(capacity: 512)
    let frame: UnsafeMutablePointer<Tollgate__V1__ServerFrame>
    let receipt: UnsafeMutablePointer<Tollgate__V1__Receipt>
    let hold: UnsafeMutablePointer<Tollgate__V1__HoldResponse>
    /// A quote, one structure for each line that it may have, and the list of those.
    let quote: UnsafeMutablePointer<Tollgate__V1__QuoteResponse>
    let quoteLines: UnsafeMutablePointer<Tollgate__V1__QuoteLine>
    let quoteLineList: UnsafeMutablePointer<UnsafeMutablePointer<Tollgate__V1__QuoteLine>?>
    /// The names of the units.
    let unitNames = UsageUnit.allCases.map { ByteView($0.wireName) }
    /// The message that `prepare…` left to be packed.
    @usableFromInline var prepared = Prepared.none

    /// An answer whose fields are set.
    @usableFromInline enum Prepared: Sendable {
        case none
        case frame
        case clientFrame
        case reportBatch, balance, status
    }
    /// The structure of the kind that `prepared` names, if it is a message alone.
    var bareMessage: UnsafeMutableRawPointer?

    /// The longest frame with a receipt: header, call id, and every field at its longest.
    public static let receiptFrameBytesMax = 256

    /// The longest frame with a hold but for its id.
    @usableFromInline static let holdFrameBytesMax = 128

    /// The longest frame of either of the two.
    @usableFromInline static var shortFrameBytesMax: Int {
        max(receiptFrameBytesMax, holdFrameBytesMax + HoldLimits.idBytesMax)
    }

    /// The longest frame with a quote but for its token: 26 fields of at most 12 bytes, and for each unit a line
    /// of at most 64.
    @usableFromInline static let quoteFrameBytesMax = 512 + 64 * UsageUnit.count

    /// An encoder with room for a typical answer.
    public init() {
        unsafe frame = .allocate(capacity: 1)
        unsafe receipt = .allocate(capacity: 1)
        unsafe tollgate__v1__server_frame__init(frame)
        unsafe tollgate__v1__receipt__init(receipt)
        unsafe hold = .allocate(capacity: 1)
        unsafe tollgate__v1__hold_response__init(hold)
        unsafe quote = .allocate(capacity: 1)
        unsafe quoteLines = .allocate(capacity: UsageUnit.count)
        unsafe quoteLineList = .allocate(capacity: UsageUnit.count)
        unsafe tollgate__v1__quote_response__init(quote)
        for index in 0..<UsageUnit.count {
            unsafe tollgate__v1__quote_line__init(quoteLines + index)
            unsafe (quoteLineList + index).initialize(to: quoteLines + index)
        }
    }

    deinit {
        unsafe quoteLineList.deallocate()
        unsafe quoteLines.deallocate()
        unsafe quote.deallocate()
        unsafe hold.deallocate()
        unsafe receipt.deallocate()
        unsafe frame.deallocate()
    }

    /// Appends a receipt. Allocates nothing.
    @inlinable
    public func append<Output: OutputBuffer>(
        _ answer: Receipt, in envelope: Envelope, to output: inout Output
    ) {
        unsafe output.withReserved(bytes: FrameEncoder.receiptFrameBytesMax) { room in
            unsafe pack(answer, envelope, into: room)
        }
    }

    /// Appends `count` receipts and states of holds, one frame each, with one look at the buffer for all of them.
    /// Allocates nothing.
    ///
    /// - Parameter hold: the state of a hold and its call; nil for a number whose answer is a receipt.
    @inlinable
    public func append<Output: OutputBuffer>(
        answers count: Int, to output: inout Output,
        hold: (Int) -> (callID: UInt64, answer: HoldAnswer)?,
        receipt: (Int) -> (callID: UInt64, answer: Receipt)
    ) {
        let bytesMax = FrameEncoder.shortFrameBytesMax
        unsafe output.withReserved(bytes: count * bytesMax) { room in
            var used = 0
            for index in 0..<count {
                let own = unsafe UnsafeMutableRawBufferPointer(rebasing: room[used..<used + bytesMax])
                if let (callID, answer) = hold(index) {
                    used += unsafe pack(answer, .frame(callID: callID), into: own)
                } else {
                    let (callID, answer) = receipt(index)
                    used += unsafe pack(answer, .frame(callID: callID), into: own)
                }
            }
            return used
        }
    }

    /// Appends a refusal as a `Status` with its words.
    @inlinable
    public func append<Output: OutputBuffer>(
        _ answer: Refusal, in envelope: Envelope, to output: inout Output
    ) {
        prepare(answer, envelope)
        emit(to: &output)
    }

    /// Appends the results of a batch: `count` of them, in the order of its records.
    @inlinable
    public func append<Output: OutputBuffer>(
        batchOf count: Int, in envelope: Envelope, to output: inout Output,
        result: (Int) -> ReportAnswer
    ) {
        prepareBatch(count, envelope, result)
        emit(to: &output)
    }

    /// Appends a quote with its lines, at most one for each unit; the answer's own are not looked at.
    /// Allocates nothing.
    @inlinable
    public func append<Output: OutputBuffer>(
        _ answer: QuoteAnswer, lines: borrowing QuoteLines, in envelope: Envelope, to output: inout Output
    ) {
        let bytesMax = FrameEncoder.quoteFrameBytesMax + answer.quoteToken.count
        unsafe output.withReserved(bytes: bytesMax) { room in
            unsafe pack(answer, lines, envelope, into: room)
        }
    }

    /// Appends at most `count` quotes, one frame each, with one look at the buffer for all of them. Returns how many:
    /// `next` returns nil where there is none. Allocates nothing.
    ///
    /// - Parameters:
    ///   - tokenBytesMax: the longest token that any of them has.
    ///   - next: fills in a quote with `set(_:_:)` and returns its call.
    @inlinable
    public func append<Output: OutputBuffer>(
        quotes count: Int, tokenBytesMax: Int, to output: inout Output, next: (Int) -> UInt64?
    ) -> Int {
        var written = 0
        let bytesMax = FrameEncoder.quoteFrameBytesMax + tokenBytesMax
        unsafe output.withReserved(bytes: count * bytesMax) { room in
            var used = 0
            while written < count, let callID = next(written) {
                let own = unsafe UnsafeMutableRawBufferPointer(rebasing: room[used..<used + bytesMax])
                used += unsafe packQuote(.frame(callID: callID), into: own)
                written += 1
            }
            return used
        }
        return written
    }

    /// Appends the state of a hold. Allocates nothing.
    @inlinable
    public func append<Output: OutputBuffer>(
        _ answer: HoldAnswer, in envelope: Envelope, to output: inout Output
    ) {
        let bytesMax = FrameEncoder.holdFrameBytesMax + answer.holdID.count
        unsafe output.withReserved(bytes: bytesMax) { room in
            unsafe pack(answer, envelope, into: room)
        }
    }

    /// Appends a balance.
    @inlinable
    public func append<Output: OutputBuffer>(
        _ answer: BalanceAnswer, in envelope: Envelope, to output: inout Output
    ) {
        prepare(answer, envelope)
        emit(to: &output)
    }

    /// Appends the answer to a heartbeat.
    @inlinable
    public func append<Output: OutputBuffer>(pong payload: ByteView, callID: UInt64, to output: inout Output)
    {
        prepare(pong: payload, callID)
        emit(to: &output)
    }

    /// Appends the word that the server is about to stop; it answers no call.
    @inlinable
    public func append<Output: OutputBuffer>(draining message: StaticString, to output: inout Output) {
        prepare(draining: ByteView(message))
        emit(to: &output)
    }

    /// Appends what was prepared and forgets it.
    @inlinable
    func emit<Output: OutputBuffer>(to output: inout Output) {
        let messageBytes = preparedBytes()
        unsafe output.withReserved(bytes: WireLimits.headerBytes + messageBytes) { room in
            unsafe packPrepared(messageBytes, into: room)
        }
    }

    @usableFromInline
    func pack(_ answer: Receipt, _ envelope: Envelope, into room: UnsafeMutableRawBufferPointer) -> Int {
        unsafe set(receipt, to: answer)
        return unsafe pack(
            envelope, TOLLGATE__V1__SERVER_FRAME__ANSWER_RECEIPT, into: room,
            enclose: { unsafe frame.pointee.receipt = receipt },
            bare: { unsafe tollgate__v1__receipt__pack(receipt, $0) })
    }

    @usableFromInline
    func pack(
        _ answer: QuoteAnswer, _ lines: borrowing QuoteLines, _ envelope: Envelope,
        into room: UnsafeMutableRawBufferPointer
    ) -> Int {
        set(answer, lines)
        return unsafe packQuote(envelope, into: room)
    }

    /// Packs the quote that was filled in last.
    @usableFromInline
    func packQuote(_ envelope: Envelope, into room: UnsafeMutableRawBufferPointer) -> Int {
        precondition(
            unsafe FrameEncoder.quoteFrameBytesMax + Int(quote.pointee.quote_token.len) <= room.count)
        return unsafe pack(
            envelope, TOLLGATE__V1__SERVER_FRAME__ANSWER_QUOTE, into: room,
            enclose: { unsafe frame.pointee.quote = quote },
            bare: { unsafe tollgate__v1__quote_response__pack(quote, $0) })
    }

    @usableFromInline
    func pack(_ answer: HoldAnswer, _ envelope: Envelope, into room: UnsafeMutableRawBufferPointer) -> Int {
        set(answer)
        return unsafe pack(
            envelope, TOLLGATE__V1__SERVER_FRAME__ANSWER_HOLD, into: room,
            enclose: { unsafe frame.pointee.hold = hold },
            bare: { unsafe tollgate__v1__hold_response__pack(hold, $0) })
    }

    /// Packs an answer whose structure is set, behind the place of the header, and writes that.
    @inline(__always)
    private func pack(
        _ envelope: Envelope, _ answerCase: Tollgate__V1__ServerFrame__AnswerCase,
        into room: UnsafeMutableRawBufferPointer, enclose: () -> Void,
        bare: (UnsafeMutablePointer<UInt8>) -> Int
    ) -> Int {
        let message = unsafe (room.baseAddress.unsafelyUnwrapped + WireLimits.headerBytes)
            .assumingMemoryBound(to: UInt8.self)
        let messageBytes: Int
        switch envelope {
        case .frame(let callID):
            unsafe frame.pointee.call_id = callID
            unsafe frame.pointee.answer_case = answerCase
            enclose()
            messageBytes = unsafe tollgate__v1__server_frame__pack(frame, message)
        case .bare: messageBytes = unsafe bare(message)
        }
        precondition(WireLimits.headerBytes + messageBytes <= room.count)
        unsafe Framing.writeHeader(messageBytes: messageBytes, to: room)
        return WireLimits.headerBytes + messageBytes
    }

    /// The length of the prepared message.
    @usableFromInline
    func preparedBytes() -> Int {
        switch prepared {
        case .none: preconditionFailure("nothing was prepared")
        case .frame: unsafe tollgate__v1__server_frame__get_packed_size(frame)
        case .clientFrame: unsafe tollgate__v1__client_frame__get_packed_size(bare())
        case .reportBatch: unsafe tollgate__v1__report_batch_response__get_packed_size(bare())
        case .balance: unsafe tollgate__v1__balance__get_packed_size(bare())
        case .status: unsafe tollgate__v1__status__get_packed_size(bare())
        }
    }

    @usableFromInline
    func packPrepared(_ messageBytes: Int, into room: UnsafeMutableRawBufferPointer) -> Int {
        precondition(room.count >= WireLimits.headerBytes + messageBytes)
        let message = unsafe (room.baseAddress.unsafelyUnwrapped + WireLimits.headerBytes)
            .assumingMemoryBound(to: UInt8.self)
        let written: Int
        switch prepared {
        case .none: preconditionFailure("nothing was prepared")
        case .frame: written = unsafe tollgate__v1__server_frame__pack(frame, message)
        case .clientFrame: written = unsafe tollgate__v1__client_frame__pack(bare(), message)
        case .reportBatch: written = unsafe tollgate__v1__report_batch_response__pack(bare(), message)
        case .balance: written = unsafe tollgate__v1__balance__pack(bare(), message)
        case .status: written = unsafe tollgate__v1__status__pack(bare(), message)
        }
        precondition(written == messageBytes)
        unsafe Framing.writeHeader(messageBytes: messageBytes, to: room)
        prepared = .none
        unsafe bareMessage = nil
        arena.reset()
        return WireLimits.headerBytes + messageBytes
    }

    private func bare<Message>() -> UnsafeMutablePointer<Message> {
        unsafe bareMessage.unsafelyUnwrapped.assumingMemoryBound(to: Message.self)
    }
}
