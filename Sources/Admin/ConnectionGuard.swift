// What every connection is held to, and what every answer carries.
//
// Three timers beside the server's own for idleness: the first head must come soon, a body must keep
// coming, and what follows an answer given before the body's end is thrown away only up to a bound. Every
// head that leaves gets the headers that keep a browser from doing anything with it. And where the server
// answers bytes that were no HTTP, with a bare 400, the usual error is written instead.

import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Stands between the HTTP codec and the server, on one connection.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// Where the client is with its requests.
    private enum Phase {
        /// Nothing has come yet.
        case new
        /// Between requests, or a request is complete.
        case complete
        /// A body is coming; `paceBytes` since its pace was last looked at.
        case body(paceBytes: Int)
    }

    private var phase = Phase.new
    /// Set once the request whose body is coming has been answered.
    private var isAnswered = false
    private var lingered = 0
    private var timer: Scheduled<Void>?

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { expectHead(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        expectHead(context)
        context.fireChannelActive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            timer?.cancel()
            phase = .body(paceBytes: 0)
            isAnswered = false
            lingered = 0
            expectPace(context)
        case .body(let bytes):
            if case .body(let paceBytes) = phase { phase = .body(paceBytes: paceBytes + bytes.readableBytes) }
            if isAnswered {
                lingered += bytes.readableBytes
                if lingered > AdminLimits.lingerBytesMax {
                    context.close(promise: nil)
                    return
                }
            }
        case .end:
            timer?.cancel()
            phase = .complete
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head):
            if head.headerFields[.xRequestID] == nil, head.status.code >= 200 {
                let reply = RequestProblem.notHTTP.reply(requestID: RequestID.make())
                head = reply.head
                head.headerFields[.connection] = "close"
                ResponseHeaders.add(to: &head.headerFields)
                context.write(wrapOutboundOut(.head(head)), promise: nil)
                let body = context.channel.allocator.buffer(bytes: reply.body)
                context.write(wrapOutboundOut(.body(body)), promise: promise)
                return
            }
            ResponseHeaders.add(to: &head.headerFields)
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .body:
            context.write(data, promise: promise)
        case .end:
            isAnswered = true
            context.write(data, promise: promise)
        }
    }

    private func expectHead(_ context: ChannelHandlerContext) {
        guard case .new = phase, timer == nil else { return }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(AdminLimits.firstHeadSecondsMax))
        {
            if case .new = self.phase { bound.value.close(promise: nil) }
        }
    }

    private func expectPace(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(AdminLimits.bodyPaceSeconds)) {
            guard case .body(let paceBytes) = self.phase else { return }
            guard paceBytes >= AdminLimits.bodyPaceBytesMin else {
                bound.value.close(promise: nil)
                return
            }
            self.phase = .body(paceBytes: 0)
            self.expectPace(bound.value)
        }
    }
}

/// Headers of every answer.
enum ResponseHeaders {
    static let all: [(name: HTTPField.Name, value: String)] = [
        (.xContentTypeOptions, "nosniff"),
        (.cacheControl, "no-store"),
        (.referrerPolicy, "no-referrer"),
        (
            .contentSecurityPolicy,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        (.crossOriginResourcePolicy, "same-origin"),
        (.crossOriginOpenerPolicy, "same-origin"),
    ]

    /// Adds those that are not there.
    static func add(to fields: inout HTTPFields) {
        for (name, value) in all where fields[name] == nil { fields[name] = value }
    }
}

extension HTTPField.Name {
    /// A name that is known to be one.
    private static func known(_ name: String) -> HTTPField.Name {
        guard let known = HTTPField.Name(name) else { preconditionFailure("\(name) is a header name") }
        return known
    }

    static let xRequestID = known("x-request-id")
    static let xNextCursor = known("x-next-cursor")
    /// The first `Host` becomes the request's authority; a second one stays among the fields.
    static let secondHost = known("host")
    static let idempotencyKey = known("idempotency-key")
    static let secFetchSite = known("sec-fetch-site")
    static let xContentTypeOptions = known("x-content-type-options")
    static let referrerPolicy = known("referrer-policy")
    static let contentSecurityPolicy = known("content-security-policy")
    static let crossOriginResourcePolicy = known("cross-origin-resource-policy")
    static let crossOriginOpenerPolicy = known("cross-origin-opener-policy")
}
