// One connection of the framed protocol.
//
// All frames of a read are handled in one go: decoded, prepared, decided, and their answers written into
// one buffer. At the end of the event loop's turn, when every connection that had something to read was
// read, the journal is handed all of it at once (`LoopServer.endTurn`), and the buffer leaves when what the
// answers were taken from is durable. A client that does not read, or that has too much under way, is not
// read from until it has caught up.

import Bytes
import Gateway
import Ledger
import NIOCore
import Pricing
import Wire

/// Serves one connection. Lives on its event loop.
final class FrameConnection: ChannelInboundHandler, ChannelOutboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let server: LoopServer
    private(set) var context: ChannelHandlerContext?
    /// Bytes that were read and are not handled: the beginning of a frame that has not arrived whole or, while
    /// as many calls as may be are under way, the frames behind them.
    var unhandled: ByteBuffer?
    /// When the first of the unhandled bytes came.
    private var unhandledSince = NIODeadline.now()
    /// Whole frames among the unhandled bytes wait for others to be answered.
    private(set) var isFull = false
    private var isInputClosed = false
    /// The answers of the turn under way, and what they wait for.
    var answers = Answers(output: NIOOutput(ByteBuffer()))
    var mark = AnswerMark()
    var isAnswering = false
    /// Answers that wait for the journal, oldest first.
    var held: CircularBuffer<HeldAnswers> = []
    /// Calls read and not answered yet, those that wait for history included.
    var inFlight = 0
    /// A read was asked for and is put off.
    var wantsRead = false
    var isClosing = false
    /// Since when the connection only waits for the socket to take the last answers.
    var lastFlushSince: NIODeadline?
    private(set) var lastRead = NIODeadline.now()
    /// The frame that has begun to arrive.
    var partial: PartialFrame?
    var stalledSince: NIODeadline?
    /// What the connection holds, and what of it the loop has counted.
    var memory = ConnectionMemory()
    var countedBytes = 0
    /// When the socket last took an answer, while it has not taken all.
    var unsentSince = NIODeadline.now()
    /// Answers that were handed to the socket and are too short to count.
    var uncountedBytes = 0
    /// As long as the answers of the last read: room for those of the next is taken at once.
    var answerBytesUsual = 0

    struct HeldAnswers {
        var cycle: UInt64
        var buffer: ByteBuffer
        var count: Int
    }

    init(_ server: LoopServer) { self.server = server }

    // MARK: - Life

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        server.add(self)
        if server.isDraining { beginDrain() }
        scheduleWatch(context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        isClosing = true
        held.removeAll()
        unhandled = nil
        self.context = nil
        memory = ConnectionMemory()
        countMemory()
        server.remove(self)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The peer reset the connection or the socket failed: nothing can be said to it any more. What
        // was decided stays decided, and the client asks again with the same ids.
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            // Half closed: what was asked is answered, then the connection ends.
            isInputClosed = true
            isClosing = isClosing || !isFull
            closeIfDone()
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    func close() { context?.close(promise: nil) }

    /// Whether calls wait for their answer, or answers for the socket.
    var isBusy: Bool { inFlight > 0 || isAnswering || unsentBytes > 0 }

    /// Bytes handed to the socket and not taken by it.
    private var unsentBytes: Int {
        guard let context, let options = context.channel.syncOptions else { return 0 }
        do {
            return try options.getOption(.bufferedWritableBytes)
        } catch {
            return 0  // The channel is closed: nothing is sent any more.
        }
    }

    func beginDrain() {
        guard context != nil, !isClosing else { return }
        server.desk.encoder.append(
            draining: "the gateway is stopping; send new calls elsewhere", to: &answers.output)
        answerAtEndOfTurn(AnswerMark())
    }

    // MARK: - Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing else { return }
        var received = unwrapInboundIn(data)
        lastRead = .now()
        guard var earlier = unhandled else { return handle(&received, earlierCount: 0) }
        unhandled = nil
        let earlierCount = earlier.readableBytes
        earlier.writeBuffer(&received)
        handle(&earlier, earlierCount: earlierCount)
    }

    /// Handles the frames that waited until others were answered, as many as may be now.
    func handleUnhandled() {
        guard isFull, inFlight < server.limits.inFlightMax, !isClosing, var earlier = unhandled else {
            return
        }
        unhandled = nil
        let earlierCount = earlier.readableBytes
        handle(&earlier, earlierCount: earlierCount)
    }

    /// Handles the whole frames at the front of `received`, and keeps the rest. The first `earlierCount` bytes
    /// have been here since `unhandledSince`.
    private func handle(_ received: inout ByteBuffer, earlierCount: Int) {
        answers.output.reserve(max(answerBytesUsual, FrameEncoder.receiptFrameBytesMax))
        let callsMax = max(server.limits.inFlightMax - inFlight, 0)
        let isRefusing = server.memory.rung >= .refusesCalls
        let outcome = unsafe received.withUnsafeReadableBytes { bytes in
            server.desk.handle(
                ReceivedBytes(
                    all: unsafe ByteView(bytes), earlierCount: earlierCount, earlierSince: unhandledSince,
                    callsMax: callsMax, isRefusing: isRefusing), answers: &answers)
        }
        received.moveReaderIndex(forwardBy: outcome.consumed)
        if outcome.consumed > 0 { partial = nil }
        if outcome.refusedCalls > 0 { server.memory.count(refusedCalls: outcome.refusedCalls) }
        inFlight += outcome.calls
        isFull = outcome.isFull
        if let failure = outcome.failure {
            server.gateway.count(malformed: failure)
            isClosing = true
        }
        for frame in server.desk.late { askHistory(frame) }
        answerAtEndOfTurn(outcome.mark)
        isClosing = isClosing || isInputClosed && !isFull
        if !isClosing { keep(received, earlierCount: earlierCount - outcome.consumed) }
        memory.unhandled = unhandled?.storageCapacity ?? 0
        memory.answering = answers.output.buffer.storageCapacity
        countMemory()
    }

    /// Keeps what is left of a read for later; its first `earlierCount` bytes came with earlier reads, if any
    /// are left of those.
    private func keep(_ rest: ByteBuffer, earlierCount: Int) {
        let count = rest.readableBytes
        guard count > 0 else {
            partial = nil
            return
        }
        var rest = rest
        if rest.storageCapacity > 4 * count, let context {
            // A few bytes do not keep the room of a whole read.
            rest = context.channel.allocator.buffer(buffer: rest)
        } else {
            rest.discardReadBytes()
        }
        unhandled = rest
        if earlierCount <= 0 { unhandledSince = .now() }
        if partial == nil {
            partial = PartialFrame(bytes: count, at: .now())
        } else {
            partial?.receive(bytes: count - max(earlierCount, 0))
        }
    }

    /// Sets a frame aside until history has said what it holds of its ids.
    private func askHistory(_ frame: LateFrame) {
        let bound = NIOLoopBound(self, eventLoop: server.eventLoop)
        let eventLoop = server.eventLoop
        memory.late += frame.message.count
        server.gateway.askHistory(frame.keys, pinned: frame.pinned) { answers in
            eventLoop.execute { bound.value.resume(frame, history: answers) }
        }
    }

    private func resume(_ frame: LateFrame, history: [HistoryAnswer]) {
        guard context != nil else { return }
        let mark = server.desk.resume(frame, history: history, answers: &answers)
        memory.late -= frame.message.count
        memory.answering = answers.output.buffer.storageCapacity
        countMemory()
        answerAtEndOfTurn(mark)
    }
}
