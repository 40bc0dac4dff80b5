// A small HTTP/1.1 client for the gateway's own API: one request on one connection, JSON both ways.

import NIOCore
import NIOHTTP1
import NIOPosix
import StrictJSON

/// Asks the HTTP API of one gateway.
struct AdminClient: Sendable {
    /// The longest answer that is taken.
    static let answerBytesMax = 64 << 20
    static let secondsMax: Int64 = 60

    let host: String
    let port: Int

    /// An answer of any status.
    struct Answer: Sendable {
        var status: Int
        var body: [UInt8]
        /// The version that the answer says it is, for `If-Match`.
        var tag: String?
        /// Where a page behind this one begins.
        var nextCursor: String?
    }

    /// A document, or words for what went wrong: `CommandFailure.negative` when the gateway says no,
    /// `.environment` when it cannot be asked.
    func get(_ path: String, query: [(String, String)] = []) async throws(CommandFailure) -> JSONNode {
        try document(try await answer(.GET, Self.target(path, query)))
    }

    func post(_ path: String, _ body: JSONObject, idempotencyKey: String? = nil) async throws(CommandFailure)
        -> JSONNode
    {
        try document(
            try await answer(.POST, path, JSONValue.object(body).bytes(), idempotencyKey: idempotencyKey))
    }

    /// Sends a document that is there as bytes already.
    func post(
        _ path: String, query: [(String, String)] = [], bytes: [UInt8]
    ) async throws(CommandFailure) -> JSONNode {
        try document(try await answer(.POST, Self.target(path, query), bytes))
    }

    /// Sends a CSV file, or a slice of one.
    func post(
        _ path: String, query: [(String, String)] = [], csv: [UInt8]
    ) async throws(CommandFailure) -> JSONNode {
        try document(
            try await answer(.POST, Self.target(path, query), csv, fields: [("content-type", "text/csv")]))
    }

    /// A document as the bytes it is kept in.
    func bytes(_ path: String, query: [(String, String)] = []) async throws(CommandFailure) -> [UInt8] {
        let answer = try await answer(.GET, Self.target(path, query))
        if (200..<300).contains(answer.status) { return answer.body }
        _ = try document(answer)
        return []
    }

    /// A page of text, with where the next one begins.
    func page(_ path: String, query: [(String, String)]) async throws(CommandFailure) -> Answer {
        let answer = try await answer(.GET, Self.target(path, query))
        if !(200..<300).contains(answer.status) { _ = try document(answer) }
        return answer
    }

    func patch(_ path: String, _ body: JSONObject) async throws(CommandFailure) -> JSONNode {
        try document(try await answer(.PATCH, path, JSONValue.object(body).bytes()))
    }

    /// Sends a request that changes something, with a document or without.
    ///
    /// - Parameter ifMatch: the version that must be there.
    func send(
        _ method: HTTPMethod, _ path: String, query: [(String, String)] = [], bytes: [UInt8]? = nil,
        ifMatch: String? = nil
    ) async throws(CommandFailure) -> JSONNode {
        try document(
            try await answer(
                method, Self.target(path, query), bytes,
                fields: ifMatch.map { [("if-match", "\"\($0)\"")] } ?? []))
    }

    /// A path and its parameters, encoded.
    static func target(_ path: String, _ query: [(String, String)]) -> String {
        guard !query.isEmpty else { return path }
        return path + "?" + query.map { "\(encode($0.0))=\(encode($0.1))" }.joined(separator: "&")
    }

    /// RFC 3986: everything but unreserved characters as `%XX`.
    static func encode(_ text: String, keepsSlashes: Bool = false) -> String {
        var encoded = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: "~"):
                encoded.unicodeScalars.append(Unicode.Scalar(byte))
            case UInt8(ascii: "/") where keepsSlashes: encoded += "/"
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                encoded += digits.count == 1 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return encoded
    }

    private func document(_ answer: Answer) throws(CommandFailure) -> JSONNode {
        let node: JSONNode
        do throws(JSONError) {
            node = try JSONNode(parsing: answer.body, bytesMax: Self.answerBytesMax)
        } catch {
            throw .environment("\(host):\(port) answered \(answer.status) with what is not JSON: \(error)")
        }
        guard (200..<300).contains(answer.status) else { throw failure(answer.status, node) }
        return node
    }

    private func failure(_ status: Int, _ node: JSONNode) -> CommandFailure {
        do throws(JSONError) {
            let error = try node.field("error")
            let code = try error.optional("code")?.string() ?? "HTTP \(status)"
            let message = "\(code): \(try error.field("message").string())"
            return status >= 500 ? .environment(message) : .negative(message)
        } catch {
            return .environment("\(host):\(port) answered \(status)")
        }
    }

    /// Sends one request; nothing is sent twice.
    func answer(
        _ method: HTTPMethod, _ target: String, _ body: [UInt8]? = nil, idempotencyKey: String? = nil,
        fields: [(String, String)] = []
    ) async throws(CommandFailure) -> Answer {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: Answer.self)
        var head = HTTPRequestHead(version: .http1_1, method: method, uri: target)
        head.headers.add(name: "host", value: "\(host):\(port)")
        head.headers.add(name: "connection", value: "close")
        head.headers.add(name: "accept", value: "application/json")
        if let idempotencyKey { head.headers.add(name: "idempotency-key", value: idempotencyKey) }
        for (name, value) in fields { head.headers.add(name: name, value: value) }
        let bytes = body ?? []
        if body != nil {
            if !head.headers.contains(name: "content-type") {
                head.headers.add(name: "content-type", value: "application/json")
            }
            head.headers.add(name: "content-length", value: "\(bytes.count)")
        }
        let request = head
        let timeout = loop.scheduleTask(in: .seconds(Self.secondsMax)) {
            promise.fail(ExchangeFault.timedOut)
        }
        ClientBootstrap(group: loop)
            .connectTimeout(.seconds(5))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHTTPClientHandlers()
                    try pipeline.addHandler(Exchange(request, body: bytes, promise: promise))
                }
            }
            .connect(host: host, port: port)
            .cascadeFailure(to: promise)
        do {
            let answer = try await promise.futureResult.get()
            timeout.cancel()
            return answer
        } catch {
            timeout.cancel()
            throw .environment(
                "no answer from the gateway's HTTP API at \(host):\(port): \(error);"
                    + " is `tollgate serve` running, with this admin port?")
        }
    }
}

/// Why an exchange ended without its answer.
private enum ExchangeFault: Error, CustomStringConvertible {
    case closed
    case timedOut
    case tooLong

    var description: String {
        switch self {
        case .closed: "the connection was closed"
        case .timedOut: "nothing came for \(AdminClient.secondsMax) seconds"
        case .tooLong: "the answer is longer than \(Figures.bytes(AdminClient.answerBytesMax))"
        }
    }
}

/// One request and its answer on one connection.
private final class Exchange: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let request: HTTPRequestHead
    private let body: [UInt8]
    private let promise: EventLoopPromise<AdminClient.Answer>
    private var answer = AdminClient.Answer(status: 0, body: [])

    init(_ request: HTTPRequestHead, body: [UInt8], promise: EventLoopPromise<AdminClient.Answer>) {
        self.request = request
        self.body = body
        self.promise = promise
    }

    func channelActive(context: ChannelHandlerContext) {
        context.write(wrapOutboundOut(.head(request)), promise: nil)
        if !body.isEmpty {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            answer.status = Int(head.status.code)
            answer.nextCursor = head.headers.first(name: "x-next-cursor")
            answer.tag = head.headers.first(name: "etag").map { $0.filter { $0 != "\"" } }
        case .body(let part):
            guard answer.body.count + part.readableBytes <= AdminClient.answerBytesMax else {
                promise.fail(ExchangeFault.tooLong)
                return context.close(promise: nil)
            }
            answer.body += part.readableBytesView
        case .end:
            promise.succeed(answer)
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        promise.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { promise.fail(ExchangeFault.closed) }
}
