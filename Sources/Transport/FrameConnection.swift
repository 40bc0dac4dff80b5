// One connection of the framed protocol.
//
// All frames of a read are handled in one go: decoded, prepared, decided, and their answers written into
// one buffer, which leaves when the journal has made durable what the answers were taken from. A client
// that does not read, or that has too much under way, is not read from until it has caught up.

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

    private let server: LoopServer
    private var context: ChannelHandlerContext?
    /// The beginning of a frame that has not arrived whole.
    private var partial: ByteBuffer?
    /// The answers of the read under way.
    private var answers: NIOOutput
    private var answerCount = 0
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

    init(_ server: LoopServer) {
        self.server = server
        answers = NIOOutput(ByteBuffer())
    }

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
            isClosing = true
            closeIfDone()
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    func close() { context?.close(promise: nil) }

    /// Whether calls wait for their answer, or answers for the socket.
    var isBusy: Bool { inFlight > 0 || unsentBytes > 0 }

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
        guard let context, !isClosing else { return }
        server.encoder.append(draining: "the gateway is stopping; send new calls elsewhere", to: &answers)
        flushAnswers(context, cycle: 0)
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
                connection.refusePartial(context)
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
        if var whole = partial {
            partial = nil
            whole.writeBuffer(&received)
            received = whole
        }
        handle(&received, context)
        if isClosing { return }
        if received.readableBytes > 0 {
            received.discardReadBytes()
            partial = received
            if partialSince == nil { partialSince = .now() }
        } else {
            partialSince = nil
        }
    }

    /// Handles the whole frames at the front of `received`, and leaves the rest.
    private func handle(_ received: inout ByteBuffer, _ context: ChannelHandlerContext) {
        let lane = server.lane
        lane.begin()
        var consumed = 0
        var failure: WireError?
        unsafe received.withUnsafeReadableBytes { bytes in
            let all = unsafe ByteView(bytes)
            do throws(WireError) {
                try handleFrames(all, consumed: &consumed)
            } catch {
                failure = error
            }
        }
        decidePending()
        received.moveReaderIndex(forwardBy: consumed)
        if consumed > 0 { partialSince = nil }
        server.decoder.reset()
        let cycle = lane.end()
        if let failure {
            // What came before the frame at fault is answered; the stream behind it cannot be read.
            server.encoder.append(failure.refusal, in: .frame(callID: 0), to: &answers)
            server.gateway.count(malformed: failure)
            isClosing = true
        }
        flushAnswers(context, cycle: cycle)
        if failure != nil { closeIfDone() }
    }

    private func handleFrames(_ all: ByteView, consumed: inout Int) throws(WireError) {
        while consumed < all.count {
            let rest = all[consumed..<all.count]
            guard case .whole(let messageBytes) = try Framing.scan(rest) else { return }
            let message = rest[WireLimits.headerBytes..<WireLimits.headerBytes + messageBytes]
            let slot = server.calls.count
            let frame = try server.decoder.decode(message, into: &server.records[slot])
            consumed += WireLimits.headerBytes + messageBytes
            inFlight += 1
            if case .report(nil) = frame.call {
                let prepared = server.lane.prepare(server.records[slot])
                if prepared.needsHistory, prepared.fault == nil {
                    askHistory([prepared.keys], message: message)
                    continue
                }
                server.calls.append(LoopServer.PendingCall(callID: frame.callID, prepared: prepared))
                if server.calls.count == LoopServer.recordsAtOnce { decidePending() }
            } else {
                decidePending()
                answer(frame, record: server.records[slot], message: message)
            }
        }
    }

    /// Decides the reports that were prepared, in the order they came.
    private func decidePending() {
        server.lane.prefetch(server.calls.count) { server.calls[$0].prepared }
        for index in server.calls.indices {
            let call = server.calls[index]
            append(server.lane.decide(server.records[index], call.prepared), callID: call.callID)
        }
        server.calls.removeAll(keepingCapacity: true)
        server.lane.clearPrepared()
    }

    private func append(_ decision: ReportDecision, callID: UInt64) {
        switch decision {
        case .receipt(let receipt):
            server.encoder.append(receipt, in: .frame(callID: callID), to: &answers)
        case .refused(let refusal):
            server.encoder.append(refusal, in: .frame(callID: callID), to: &answers)
        case .askHistory:
            server.encoder.append(Refusal(.overloaded), in: .frame(callID: callID), to: &answers)
        }
        answerCount += 1
    }

    private func append(_ refusal: Refusal, callID: UInt64) {
        server.encoder.append(refusal, in: .frame(callID: callID), to: &answers)
        answerCount += 1
    }

    /// Answers every call but a sound single report.
    private func answer(_ frame: ClientFrame, record: UsageRecord, message: ByteView) {
        switch frame.call {
        case .report(let fault):
            if let fault {
                server.lane.countRefusal(fault)
                append(fault, callID: frame.callID)
            }
        case .reportBatch(let batch):
            answer(batch, callID: frame.callID, message: message, history: nil)
        case .quote(let compare, let fault):
            if let fault { return append(fault, callID: frame.callID) }
            answerQuote(record, compare: compare, callID: frame.callID)
        case .getBalance(let account):
            answerBalance(of: account, callID: frame.callID)
        case .ping(let payload):
            server.encoder.append(pong: payload, callID: frame.callID, to: &answers)
            answerCount += 1
        case .hold, .settle, .void, .extend:
            append(Refusal(.unimplemented, field: .call), callID: frame.callID)
        case .empty:
            append(Refusal(.invalidArgument, field: .call), callID: frame.callID)
        }
    }

    private func answerQuote(_ record: UsageRecord, compare: Bool, callID: UInt64) {
        let quoted: QuotedReport
        switch server.lane.quote(record, compare: compare) {
        case .refused(let refusal): return append(refusal, callID: callID)
        case .quoted(let answer): quoted = answer
        }
        var names = BytePacker(capacity: 256)
        for line in quoted.lines { line.unit.withView { names.append(bytes: $0) } }
        var answer = QuoteAnswer()
        answer.charge = quoted.charge
        answer.baseCost = quoted.baseCost
        answer.available = quoted.available
        answer.availableAfter = quoted.availableAfter
        answer.sufficient = quoted.isSufficient
        answer.affordableOutputTokens = quoted.affordableOutputTokens
        answer.allowanceUsed = quoted.allowanceUsed
        answer.ruleVersion = quoted.ruleVersion
        answer.catalogueVersion = quoted.catalogueVersion
        answer.standardTierUsed = quoted.standardTierUsed
        answer.alternativeCharge = quoted.alternativeCharge
        var start = 0
        for line in quoted.lines {
            let end = start + line.unit.utf8.count
            answer.lines.append(
                QuoteAnswerLine(
                    unit: names.view[start..<end], quantity: line.quantity, rate: line.rate,
                    amount: line.amount))
            start = end
        }
        server.encoder.append(answer, in: .frame(callID: callID), to: &answers)
        answerCount += 1
    }

    private func answerBalance(of account: ByteView, callID: UInt64) {
        let summary: AccountSummary?
        do {
            summary = try server.lane.balance(of: account)
        } catch {
            return append(Refusal(.invalidArgument, field: .account, fault: error), callID: callID)
        }
        guard let summary else { return append(Refusal(.accountNotFound, field: .account), callID: callID) }
        summary.path.withView { path in
            summary.wallet.withView { wallet in
                summary.tier.withView { tier in
                    var answer = BalanceAnswer()
                    answer.account = path
                    answer.wallet = wallet
                    answer.tier = tier
                    answer.balance = summary.balance
                    answer.held = summary.held
                    answer.available = summary.available
                    answer.overdraftLimit = summary.overdraftLimit
                    answer.unlimited = summary.unlimited
                    answer.sequence = summary.sequence
                    server.encoder.append(answer, in: .frame(callID: callID), to: &answers)
                }
            }
        }
        answerCount += 1
    }

    // MARK: - Batches and late records

    /// Decides the records of a batch. `history` holds an answer for each once it was asked.
    private func answer(_ batch: ReportBatch, callID: UInt64, message: ByteView, history: [HistoryAnswer]?) {
        if let fault = batch.fault { return append(fault, callID: callID) }
        let lane = server.lane
        if history == nil {
            var keys: [RecordKeys] = []
            var needsHistory = false
            for index in 0..<batch.count {
                var prepared = PreparedReport()
                if server.decoder.read(batch, at: index, into: &server.records[0]) == nil {
                    prepared = lane.prepare(server.records[0])
                }
                needsHistory = needsHistory || prepared.needsHistory
                keys.append(prepared.keys)
            }
            lane.clearPrepared()
            if needsHistory { return askHistory(keys, message: message) }
        }
        server.results.removeAll(keepingCapacity: true)
        for index in 0..<batch.count {
            if let fault = server.decoder.read(batch, at: index, into: &server.records[0]) {
                lane.countRefusal(fault)
                server.results.append(.refusal(fault))
                continue
            }
            let prepared = lane.prepare(server.records[0])
            switch lane.decide(server.records[0], prepared, history: history?[index] ?? .notAsked) {
            case .receipt(let receipt): server.results.append(.receipt(receipt))
            case .refused(let refusal): server.results.append(.refusal(refusal))
            case .askHistory: server.results.append(.refusal(Refusal(.overloaded)))
            }
            lane.clearPrepared()
        }
        server.encoder.append(
            batchOf: batch.count, in: .frame(callID: callID), to: &answers,
            result: { server.results[$0] })
        answerCount += 1
    }

    /// Sets a frame aside until history has said what it holds of its ids.
    private func askHistory(_ keys: [RecordKeys], message: ByteView) {
        let copy = Array(message)
        let bound = NIOLoopBound(self, eventLoop: server.eventLoop)
        let eventLoop = server.eventLoop
        server.gateway.askHistory(keys) { answers in
            eventLoop.execute { bound.value.resume(copy, history: answers) }
        }
    }

    /// Takes up a frame that waited for history.
    private func resume(_ message: [UInt8], history: [HistoryAnswer]) {
        guard let context else { return }
        let lane = server.lane
        lane.begin()
        message.withView { message in
            do throws(WireError) {
                let frame = try server.decoder.decode(message, into: &server.records[0])
                switch frame.call {
                case .report(nil):
                    let prepared = lane.prepare(server.records[0])
                    append(
                        lane.decide(server.records[0], prepared, history: history[0]), callID: frame.callID)
                case .reportBatch(let batch):
                    answer(batch, callID: frame.callID, message: message, history: history)
                default:
                    preconditionFailure("only reports are set aside")
                }
            } catch {
                preconditionFailure("a frame that was read once can be read again")
            }
        }
        lane.clearPrepared()
        server.decoder.reset()
        flushAnswers(context, cycle: lane.end())
        closeIfDone()
    }

    // MARK: - Answers

    /// Sends the answers of this read, now or when `cycle` is durable.
    private func flushAnswers(_ context: ChannelHandlerContext, cycle: UInt64) {
        guard answers.buffer.readableBytes > 0 else { return }
        let buffer = answers.buffer
        let count = answerCount
        answers = NIOOutput(context.channel.allocator.buffer(capacity: buffer.readableBytes))
        answerCount = 0
        if held.isEmpty, cycle <= server.gateway.durableCycle {
            send(buffer, count: count, context)
            context.flush()
            return
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
        if sent { context.flush() }
        if held.isEmpty { closeIfDone() }
        return !held.isEmpty
    }

    private func send(_ buffer: ByteBuffer, count: Int, _ context: ChannelHandlerContext) {
        inFlight -= count
        context.write(wrapOutboundOut(buffer), promise: nil)
        resumeReading(context)
    }

    /// A frame stayed incomplete: say so and close.
    private func refusePartial(_ context: ChannelHandlerContext) {
        partial = nil
        partialSince = nil
        server.encoder.append(
            Refusal(.deadlineExceeded, field: .call), in: .frame(callID: 0), to: &answers)
        isClosing = true
        flushAnswers(context, cycle: 0)
        closeIfDone()
    }

    private func closeIfDone() {
        guard isClosing, held.isEmpty, inFlight <= 0, let context, lastFlushSince == nil else { return }
        // A close drops what the socket has not taken, so it waits for the last answer. A client that
        // does not read its answers is cut off by the watch.
        lastFlushSince = .now()
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in bound.value.close() }
    }

    // MARK: - Back-pressure

    private var mayRead: Bool {
        inFlight < server.limits.inFlightMax && stalledSince == nil && !server.gateway.isCongested
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

/// A `ByteBuffer` that the encoder writes into.
struct NIOOutput: OutputBuffer {
    private(set) var buffer: ByteBuffer

    init(_ buffer: ByteBuffer) { self.buffer = buffer }

    @inline(__always)
    mutating func withReserved(bytes: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        unsafe buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bytes) { unsafe body($0) }
    }
}
