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
    private var unhandled: ByteBuffer?
    /// When the first of the unhandled bytes came.
    private var unhandledSince = NIODeadline.now()
    /// Whole frames among the unhandled bytes wait for others to be answered.
    private(set) var isFull = false
    private var isInputClosed = false
    /// The answers of the turn under way, and what they wait for.
    private var answers = Answers(output: NIOOutput(ByteBuffer()))
    private var mark = AnswerMark()
    private var isAnswering = false
    /// Answers that wait for the journal, oldest first.
    private var held: CircularBuffer<HeldAnswers> = []
    /// Calls read and not answered yet, those that wait for history included.
    private(set) var inFlight = 0
    /// A read was asked for and is put off.
    var wantsRead = false
    private var isClosing = false
    /// Since when the connection only waits for the socket to take the last answers.
    private(set) var lastFlushSince: NIODeadline?
    private(set) var lastRead = NIODeadline.now()
    /// The frame that has begun to arrive.
    var partial: PartialFrame?
    private(set) var stalledSince: NIODeadline?
    /// What the connection holds, and what of it the loop has counted.
    private(set) var memory = ConnectionMemory()
    private var countedBytes = 0
    /// When the socket last took an answer, while it has not taken all.
    private(set) var unsentSince = NIODeadline.now()
    /// As long as the answers of the last read: room for those of the next is taken at once.
    private var answerBytesUsual = 0

    private struct HeldAnswers {
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
    var isBusy: Bool { inFlight > 0 || isAnswering || memory.unsent > 0 }

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
    private func handleUnhandled() {
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
        answers.output.reserve(answerBytesUsual)
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

    // MARK: - Answers

    /// Sends what was answered when the loop's turn ends, or when what `mark` saw is durable.
    func answerAtEndOfTurn(_ mark: AnswerMark) {
        guard !answers.isEmpty else { return }
        self.mark.formUnion(mark)
        if isAnswering { return }
        isAnswering = true
        server.answer(self)
    }

    /// Sends the answers of this turn, now or when they are durable. The lane has handed over its entries.
    func flushAnswers() {
        isAnswering = false
        guard let context else { return }
        let cycle = server.desk.lane.cycle(for: mark)
        let buffer = answers.output.buffer
        let answered = answers.count
        answers = Answers(output: NIOOutput(ByteBuffer()))
        answerBytesUsual = buffer.readableBytes
        memory.answering = 0
        mark = AnswerMark()
        let cycleMax = max(cycle, held.last?.cycle ?? 0)
        let ready = HeldAnswers(cycle: cycleMax, buffer: buffer, count: answered)
        if held.isEmpty, cycle <= server.gateway.durableCycle {
            send(ready, context)
            context.flush()
            countMemory()
            handleUnhandled()
            resumeReading(context)
            return closeIfDone()
        }
        let isFirst = held.isEmpty
        memory.waiting += buffer.storageCapacity
        countMemory()
        held.append(ready)
        if isFirst { server.wait(self) }
    }

    /// Sends what `cycle` made durable. Returns whether more waits.
    func release(through cycle: UInt64) -> Bool {
        guard let context else { return false }
        var sent = false
        while let first = held.first, first.cycle <= cycle {
            held.removeFirst()
            memory.waiting -= first.buffer.storageCapacity
            send(first, context)
            sent = true
        }
        if sent {
            context.flush()
            countMemory()
            handleUnhandled()
            resumeReading(context)
        }
        if held.isEmpty { closeIfDone() }
        return !held.isEmpty
    }

    /// Hands answers to the socket, and hears when it has taken them.
    private func send(_ answers: HeldAnswers, _ context: ChannelHandlerContext) {
        inFlight -= answers.count
        let bytes = answers.buffer.storageCapacity
        if memory.unsent == 0 { unsentSince = .now() }
        memory.unsent += bytes
        let promise = context.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        promise.futureResult.whenComplete { _ in bound.value.didSend(bytes) }
        context.write(wrapOutboundOut(answers.buffer), promise: promise)
    }

    /// The socket has taken the oldest answers.
    private func didSend(_ bytes: Int) {
        guard let context else { return }
        memory.unsent -= bytes
        unsentSince = .now()
        countMemory()
        if memory.unsent == 0 { resumeReading(context) }
    }

    /// A frame stayed incomplete: say so and close.
    func refusePartial() {
        unhandled = nil
        partial = nil
        memory.unhandled = 0
        server.desk.encoder.append(
            Refusal(.deadlineExceeded, field: .call), in: .frame(callID: 0), to: &answers.output)
        isClosing = true
        answerAtEndOfTurn(AnswerMark())
    }

    /// Tells the loop what the connection holds now.
    private func countMemory() {
        let bytes = memory.total
        server.count(bytes - countedBytes)
        countedBytes = bytes
    }

    /// Bytes that a close would free.
    var heldBytes: Int { countedBytes }

    func closeIfDone() {
        guard isClosing, !isAnswering, held.isEmpty, inFlight <= 0, let context, lastFlushSince == nil else {
            return
        }
        // A close drops what the socket has not taken, so it waits for the last answer. A client that
        // does not read its answers is cut off by the watch.
        lastFlushSince = .now()
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in bound.value.close() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        stalledSince = context.channel.isWritable ? nil : .now()
        if lastFlushSince != nil { lastFlushSince = .now() }
        resumeReading(context)
        context.fireChannelWritabilityChanged()
    }
}
