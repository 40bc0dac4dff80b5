// From the answers of a turn to the socket, and what is held on the way.

import NIOCore
import Wire
import Ledger
import Pricing

extension FrameConnection {

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

    /// Hands answers to the socket. What is worth counting is counted until the socket has taken it: to hear of
    /// that costs more than a short answer does, so a few are sent before it is asked for.
    private func send(_ answers: HeldAnswers, _ context: ChannelHandlerContext) {
        inFlight -= answers.count
        uncountedBytes += answers.buffer.storageCapacity
        guard uncountedBytes >= Self.uncountedBytesMax || memory.unsent > 0 else {
            context.write(wrapOutboundOut(answers.buffer), promise: nil)
            return
        }
        let bytes = uncountedBytes
        uncountedBytes = 0
        if memory.unsent == 0 { unsentSince = .now() }
        memory.unsent += bytes
        let promise = context.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        promise.futureResult.whenComplete { _ in bound.value.didSend(bytes) }
        context.write(wrapOutboundOut(answers.buffer), promise: promise)
    }

    private static let uncountedBytesMax = 4_096

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
    func countMemory() {
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
