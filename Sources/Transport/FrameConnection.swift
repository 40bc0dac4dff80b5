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
    private var isFull = false
    private var isInputClosed = false
    /// The answers of the turn under way, and what they wait for.
    private var answers = Answers(output: NIOOutput(ByteBuffer()))
    private var mark = AnswerMark()
    private var isAnswering = false
    /// Answers that wait for the journal, oldest first.
    private var held: CircularBuffer<HeldAnswers> = []
    /// Calls read and not answered yet, those that wait for history included.
    private var inFlight = 0
    private var wantsRead = false
    private var isClosing = false
    /// Since when the connection only waits for the socket to take the last answers.
    private var lastFlushSince: NIODeadline?
    private var lastRead = NIODeadline.now()
    private var partialSince: NIODeadline?
    private var stalledSince: NIODeadline?

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
        server.remove(self)
        held.removeAll()
        self.context = nil
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

    /// Looks every second for a frame that stays incomplete, a client that does not read, and silence.
    private func scheduleWatch(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: .seconds(1)) {
            let connection = bound.value
            guard let context = connection.context else { return }
            let now = NIODeadline.now()
            let limits = connection.server.limits
            if connection.wantsRead, connection.partialSince != nil {
                // It is this side that does not read: the rest of the frame may have been sent long ago.
                connection.partialSince = now
            }
            if let since = connection.partialSince, now - since > .seconds(limits.partialFrameSecondsMax) {
                connection.refusePartial()
            }
            if let since = connection.stalledSince ?? connection.lastFlushSince,
                now - since > .seconds(limits.writeStallSecondsMax)
            {
                return context.close(promise: nil)
            }
            if connection.inFlight == 0, now - connection.lastRead > .seconds(limits.idleSecondsMax) {
                return context.close(promise: nil)
            }
            connection.scheduleWatch(context)
        }
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
        let callsMax = max(server.limits.inFlightMax - inFlight, 0)
        let outcome = unsafe received.withUnsafeReadableBytes { bytes in
            server.desk.handle(
                ReceivedBytes(
                    all: unsafe ByteView(bytes), earlierCount: earlierCount, earlierSince: unhandledSince,
                    callsMax: callsMax), answers: &answers)
        }
        received.moveReaderIndex(forwardBy: outcome.consumed)
        if outcome.consumed > 0 { partialSince = nil }
        inFlight += outcome.calls
        isFull = outcome.isFull
        if let failure = outcome.failure {
            server.gateway.count(malformed: failure)
            isClosing = true
        }
        for frame in server.desk.late { askHistory(frame) }
        answerAtEndOfTurn(outcome.mark)
        isClosing = isClosing || isInputClosed && !isFull
        if !isClosing { keep(received, isNew: outcome.consumed >= earlierCount) }
    }

    /// Keeps what is left of a read for later.
    private func keep(_ rest: ByteBuffer, isNew: Bool) {
        guard rest.readableBytes > 0 else {
            partialSince = nil
            return
        }
        var rest = rest
        rest.discardReadBytes()
        unhandled = rest
        if isNew { unhandledSince = .now() }
        if partialSince == nil { partialSince = .now() }
    }

    /// Sets a frame aside until history has said what it holds of its ids.
    private func askHistory(_ frame: LateFrame) {
        let bound = NIOLoopBound(self, eventLoop: server.eventLoop)
        let eventLoop = server.eventLoop
        server.gateway.askHistory(frame.keys, pinned: frame.pinned) { answers in
            eventLoop.execute { bound.value.resume(frame, history: answers) }
        }
    }

    private func resume(_ frame: LateFrame, history: [HistoryAnswer]) {
        guard context != nil else { return }
        answerAtEndOfTurn(server.desk.resume(frame, history: history, answers: &answers))
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
        let count = answers.count
        answers = Answers(
            output: NIOOutput(context.channel.allocator.buffer(capacity: buffer.readableBytes)))
        mark = AnswerMark()
        if held.isEmpty, cycle <= server.gateway.durableCycle {
            send(buffer, count: count, context)
            context.flush()
            handleUnhandled()
            resumeReading(context)
            return closeIfDone()
        }
        let isFirst = held.isEmpty
        held.append(HeldAnswers(cycle: max(cycle, held.last?.cycle ?? 0), buffer: buffer, count: count))
        if isFirst { server.wait(self) }
    }

    /// Sends what `cycle` made durable. Returns whether more waits.
    func release(through cycle: UInt64) -> Bool {
        guard let context else { return false }
        var sent = false
        while let first = held.first, first.cycle <= cycle {
            held.removeFirst()
            send(first.buffer, count: first.count, context)
            sent = true
        }
        if sent {
            context.flush()
            handleUnhandled()
            resumeReading(context)
        }
        if held.isEmpty { closeIfDone() }
        return !held.isEmpty
    }

    private func send(_ buffer: ByteBuffer, count: Int, _ context: ChannelHandlerContext) {
        inFlight -= count
        context.write(wrapOutboundOut(buffer), promise: nil)
    }

    /// A frame stayed incomplete: say so and close.
    private func refusePartial() {
        unhandled = nil
        partialSince = nil
        server.desk.encoder.append(
            Refusal(.deadlineExceeded, field: .call), in: .frame(callID: 0), to: &answers.output)
        isClosing = true
        answerAtEndOfTurn(AnswerMark())
    }

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

    // MARK: - Back-pressure

    private var mayRead: Bool {
        inFlight < server.limits.inFlightMax && !isFull && stalledSince == nil && !server.gateway.isCongested
    }

    func read(context: ChannelHandlerContext) {
        if mayRead {
            context.read()
            return
        }
        wantsRead = true
        if server.gateway.isCongested { server.pause(self) }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        stalledSince = context.channel.isWritable ? nil : .now()
        if lastFlushSince != nil { lastFlushSince = .now() }
        resumeReading(context)
        context.fireChannelWritabilityChanged()
    }

    private func resumeReading(_ context: ChannelHandlerContext) {
        guard wantsRead, mayRead else { return }
        wantsRead = false
        context.read()
    }

    /// Reads again after the journal has caught up.
    func resumeReading() {
        if let context { resumeReading(context) }
    }
}
