// A gateway that does what a test tells it: it reads frames, notes them, and answers by a script.

import Bytes
import Ledger
import NIOCore
import NIOPosix
import Pricing
import Synchronization
import Wire

/// A call as the fake gateway saw it.
struct SeenCall: Hashable, Sendable {
    /// Which connection brought it; they count from 0.
    var connection: Int
    var kind: String
    var requestIDs: [String]
    var tags: [String]
    var timeoutMilliseconds: UInt32
}

/// What the fake gateway does with a call.
enum Reaction: Sendable {
    case receipt(Receipt)
    case refuse(Refusal)
    case results([ReportAnswer])
    case quote(charge: Int64)
    case balance(Int64)
    case pong
    /// Say nothing.
    case ignore
    /// Close the connection without an answer.
    case hangUp
    /// Say that the server is draining, then answer with a receipt.
    case drainThenReceipt(Receipt)
    /// Send bytes that are no frame.
    case garbage
}

/// Listens on a port of its own until it is closed.
final class FakeGateway: Sendable {
    typealias Script = @Sendable (SeenCall) -> Reaction

    private let state = Mutex<State>(State())
    private let script: Script
    private let listener: Mutex<(any Channel)?> = Mutex(nil)

    struct State {
        var seen: [SeenCall] = []
        var connections = 0
    }

    init(_ script: @escaping Script) { self.script = script }

    var seen: [SeenCall] { state.withLock { $0.seen } }
    var connections: Int { state.withLock { $0.connections } }

    /// Starts to listen; returns the port.
    func start(port: Int = 0) async throws -> Int {
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let index = self.state.withLock { state in
                        state.connections += 1
                        return state.connections - 1
                    }
                    try channel.pipeline.syncOperations.addHandler(
                        Handler(gateway: self, connection: index))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        listener.withLock { $0 = channel }
        return channel.localAddress?.port ?? 0
    }

    func close() async throws {
        let channel = listener.withLock { $0 }
        try await channel?.close()
    }

    fileprivate func react(to call: SeenCall) -> Reaction {
        state.withLock { $0.seen.append(call) }
        return script(call)
    }

    private struct Output: OutputBuffer {
        var bytes = ByteBuffer()
        mutating func withReserved(bytes count: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
            unsafe bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { unsafe body($0) }
        }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        let gateway: FakeGateway
        let connection: Int
        var received: [UInt8] = []
        let decoder = FrameDecoder()
        let encoder = FrameEncoder()

        init(gateway: FakeGateway, connection: Int) {
            self.gateway = gateway
            self.connection = connection
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            received += unwrapInboundIn(data).readableBytesView
            var output = Output()
            var consumed = 0
            do {
                consumed = try received.withView { view throws in
                    var start = 0
                    while case .whole(let messageBytes) = try Framing.scan(view[start..<view.count]) {
                        try handle(view[start + 5..<start + 5 + messageBytes], context, &output)
                        start += 5 + messageBytes
                    }
                    return start
                }
            } catch {
                context.close(promise: nil)
            }
            received.removeFirst(consumed)
            if output.bytes.readableBytes > 0 {
                context.writeAndFlush(NIOAny(output.bytes), promise: nil)
            }
        }

        private func handle(
            _ message: ByteView, _ context: ChannelHandlerContext, _ output: inout Output
        ) throws {
            var record = UsageRecord()
            let frame = try decoder.decode(message, into: &record)
            var call = SeenCall(
                connection: connection, kind: "", requestIDs: [], tags: [],
                timeoutMilliseconds: frame.timeoutMilliseconds)
            switch frame.call {
            case .report:
                call.kind = "report"
                call.requestIDs = [record.requestID.text]
                call.tags = TagList(record.tags).map { "\($0.name.text)=\($0.value.text)" }
            case .reportBatch(let batch):
                call.kind = "batch"
                for index in 0..<batch.count {
                    _ = decoder.read(batch, at: index, into: &record)
                    call.requestIDs.append(record.requestID.text)
                }
            case .quote(let options, _):
                call.kind =
                    options == .compare ? "quote and compare" : options == .brief ? "brief quote" : "quote"
            case .getBalance(let account): call.kind = "balance of \(account.text)"
            case .ping: call.kind = "ping"
            default: call.kind = "other"
            }
            decoder.reset()
            let envelope = Envelope.frame(callID: frame.callID)
            switch gateway.react(to: call) {
            case .receipt(let receipt): encoder.append(receipt, in: envelope, to: &output)
            case .refuse(let refusal): encoder.append(refusal, in: envelope, to: &output)
            case .results(let results):
                encoder.append(batchOf: results.count, in: envelope, to: &output) { results[$0] }
            case .quote(let charge):
                var quote = QuoteAnswer()
                quote.charge = charge
                encoder.append(quote, lines: QuoteLines(), in: envelope, to: &output)
            case .balance(let amount):
                var balance = BalanceAnswer()
                balance.balance = amount
                encoder.append(balance, in: envelope, to: &output)
            case .pong: encoder.append(pong: ByteView(), callID: frame.callID, to: &output)
            case .ignore: break
            case .hangUp: context.close(promise: nil)
            case .drainThenReceipt(let receipt):
                encoder.append(draining: "restarting", to: &output)
                encoder.append(receipt, in: envelope, to: &output)
            case .garbage: output.bytes.writeString("HTTP/1.1 400 Bad Request\r\n")
            }
        }
    }
}
