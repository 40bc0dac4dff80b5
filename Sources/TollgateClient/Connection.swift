// One TCP connection: frames out, answers in. It knows which calls it carries and nothing of retries.

import Bytes
import NIOCore
import Wire

/// What a connection tells its session, on the event loop.
protocol ConnectionOwner: AnyObject {
    /// An answer to `call`. What it views is only valid during this call.
    func connection(_ connection: Connection, answered call: Call, with frame: ServerFrame)
    /// The server is about to stop: send nothing new here.
    func connectionIsDraining(_ connection: Connection)
    /// The connection is gone; `unanswered` are the calls it carried, in the order they were sent.
    func connection(_ connection: Connection, lost unanswered: [Call], because problem: String)
}

/// Belongs to one event loop.
final class Connection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private weak var owner: (any ConnectionOwner)?
    private var context: ChannelHandlerContext?
    private var received = ByteBuffer()
    private var sending: FrameBuffer?
    private var flushIsScheduled = false
    private var calls: [UInt64: Call] = [:]
    private var nextCallID: UInt64 = 1
    private var problem = "the server closed the connection"
    private let encoder = FrameEncoder()
    private let decoder = FrameDecoder()
    private let silenceMax: TimeAmount
    private var heardSinceTick = true
    private var heartbeat: Scheduled<Void>?

    /// The call id of heartbeats that this connection sends by itself; calls count up from 1.
    private static let heartbeatID = UInt64.max

    private(set) var isDraining = false

    init(owner: any ConnectionOwner, silenceMax: Duration) {
        self.owner = owner
        self.silenceMax = TimeAmount(silenceMax)
    }

    /// How many calls are sent and not answered.
    var inFlight: Int { calls.count }

    /// Sends a call; it leaves with the others of this turn of the event loop in one write.
    ///
    /// - Returns: nil, or the call's length if that is more than a message may have; it was not sent.
    func send(_ call: Call) -> Int? {
        guard let context else { preconditionFailure("a connection sends only while it is open") }
        call.callID = nextCallID
        nextCallID += 1
        var output = sending ?? FrameBuffer(bytes: context.channel.allocator.buffer(capacity: 4_096))
        sending = nil
        let before = output.bytes.writerIndex
        call.encode(with: encoder, to: &output)
        let frameBytes = output.bytes.writerIndex - before
        guard frameBytes <= WireLimits.headerBytes + WireLimits.messageBytesMax else {
            output.bytes.moveWriterIndex(to: before)
            sending = output
            return frameBytes - WireLimits.headerBytes
        }
        sending = output
        calls[call.callID] = call
        call.carrier = self
        scheduleFlush(context)
        return nil
    }

    /// Forgets a call; its answer, if one comes, is dropped.
    func forget(_ call: Call) {
        calls[call.callID] = nil
        call.carrier = nil
    }

    /// The results of a batch, copied out of what was received.
    func results(of answer: BatchAnswer) -> [ReportResult] {
        (0..<answer.count).compactMap { index in
            switch decoder.read(answer, at: index) {
            case .receipt(let receipt): .receipt(receipt)
            case .status(let status): .refused(CallRefusal(status))
            case .empty: nil
            }
        }
    }

    /// Closes the connection; its owner hears `lost` as for any other end.
    func close(because problem: String) {
        self.problem = problem
        context?.close(promise: nil)
    }

    private func scheduleFlush(_ context: ChannelHandlerContext) {
        guard !flushIsScheduled else { return }
        flushIsScheduled = true
        context.eventLoop.assumeIsolated().execute { [self] in
            flushIsScheduled = false
            guard let context = self.context, let output = sending else { return }
            sending = nil
            context.writeAndFlush(NIOAny(output.bytes), promise: nil)
        }
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func channelActive(context: ChannelHandlerContext) {
        scheduleTick(context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        heartbeat?.cancel()
        heartbeat = nil
        self.context = nil
        let unanswered = calls.values.sorted { $0.callID < $1.callID }
        calls = [:]
        for call in unanswered { call.carrier = nil }
        owner?.connection(self, lost: unanswered, because: problem)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        problem = "\(error)"
        context.close(promise: nil)
    }

    private func scheduleTick(_ context: ChannelHandlerContext) {
        heartbeat = context.eventLoop.assumeIsolated().scheduleTask(in: silenceMax) { [weak self] in
            self?.tick()
        }
    }

    /// After a silence, a heartbeat; after another, the end.
    private func tick() {
        guard let context else { return }
        guard heardSinceTick else {
            close(because: "the server was silent for \(silenceMax.nanoseconds / 1_000_000_000) s")
            return
        }
        heardSinceTick = false
        var output = FrameBuffer(bytes: context.channel.allocator.buffer(capacity: 32))
        encoder.append(ping: ByteView(), callID: Connection.heartbeatID, to: &output)
        context.writeAndFlush(NIOAny(output.bytes), promise: nil)
        scheduleTick(context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        heardSinceTick = true
        var bytes = unwrapInboundIn(data)
        if received.readableBytes == 0 { received = bytes } else { received.writeBuffer(&bytes) }
        do throws(WireError) {
            try readFrames()
        } catch {
            close(because: error.message)
        }
        if received.readableBytes == 0 { received.clear() } else { received.discardReadBytes() }
    }

    private func readFrames() throws(WireError) {
        var consumed = 0
        var failure: WireError?
        let buffer = received
        unsafe buffer.withUnsafeReadableBytes { raw in
            let view = unsafe ByteView(raw)
            do throws(WireError) {
                while case .whole(let messageBytes) = try Framing.scan(view[consumed..<view.count]) {
                    let start = consumed + WireLimits.headerBytes
                    handle(try decoder.decodeAnswer(view[start..<start + messageBytes]))
                    decoder.reset()
                    consumed = start + messageBytes
                }
            } catch {
                failure = error
            }
        }
        received.moveReaderIndex(forwardBy: consumed)
        if let failure { throw failure }
    }

    private func handle(_ frame: ServerFrame) {
        switch frame.answer {
        case .draining:
            isDraining = true
            owner?.connectionIsDraining(self)
        case .status(let status) where frame.callID == 0:
            problem = "\(status.reason.text): \(status.message.text)"
        default:
            guard let call = calls[frame.callID] else { return }
            forget(call)
            owner?.connection(self, answered: call, with: frame)
        }
    }
}
