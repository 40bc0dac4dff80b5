// A client that says nothing, trickles, or never stops is let go of.
//
// Method: the guard alone in a channel whose time the test moves.

import HTTPTypes
import NIOCore
import NIOEmbedded
import NIOHTTPTypes
import Testing

@testable import Admin

@Suite("the guard of a connection")
struct ConnectionGuardTests {
    private let channel: EmbeddedChannel

    init() throws {
        channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandler(ConnectionGuard())
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    private func wait(_ seconds: Int64) { channel.embeddedEventLoop.advanceTime(by: .seconds(seconds)) }

    private func head() throws {
        let request = HTTPRequest(method: .post, scheme: "http", authority: "localhost", path: "/")
        try channel.writeInbound(HTTPRequestPart.head(request))
    }

    private func body(_ bytes: Int) throws {
        try channel.writeInbound(HTTPRequestPart.body(ByteBuffer(repeating: 0x20, count: bytes)))
    }

    @Test("silence after connecting ends the connection")
    func silence() {
        wait(AdminLimits.firstHeadSecondsMax - 1)
        #expect(channel.isActive)
        wait(1)
        #expect(!channel.isActive)
    }

    @Test("a first head in time is enough")
    func firstHead() throws {
        wait(AdminLimits.firstHeadSecondsMax - 1)
        try head()
        try channel.writeInbound(HTTPRequestPart.end(nil))
        wait(3_600)
        #expect(channel.isActive, "silence between requests is another timer's")
    }

    @Test("a body that comes too slowly ends the connection, one that keeps its pace does not")
    func pace() throws {
        try head()
        for _ in 0..<5 {
            try body(AdminLimits.bodyPaceBytesMin)
            wait(AdminLimits.bodyPaceSeconds)
            #expect(channel.isActive)
        }
        try body(AdminLimits.bodyPaceBytesMin - 1)
        wait(AdminLimits.bodyPaceSeconds)
        #expect(!channel.isActive)
    }

    @Test("what follows an early answer is read up to a bound")
    func linger() throws {
        try head()
        try body(AdminLimits.lingerBytesMax)
        try answer()
        try body(AdminLimits.lingerBytesMax)
        #expect(channel.isActive, "only what comes after the answer counts")
        try body(1)
        #expect(!channel.isActive)
    }

    private func answer() throws {
        var head = HTTPResponse(status: .contentTooLarge)
        head.headerFields[.xRequestID] = "req_1"
        try channel.writeOutbound(HTTPResponsePart.head(head))
        try channel.writeOutbound(HTTPResponsePart.end(nil))
    }

    @Test("a head keeps the headers it has and gets the others")
    func headers() throws {
        try head()
        var head = HTTPResponse(status: .ok)
        head.headerFields[.xRequestID] = "req_1"
        head.headerFields[.cacheControl] = "max-age=60"
        try channel.writeOutbound(HTTPResponsePart.head(head))
        guard case .head(let sent) = try channel.readOutbound(as: HTTPResponsePart.self) else {
            Issue.record("no head")
            return
        }
        #expect(sent.headerFields[.cacheControl] == "max-age=60")
        for (name, _) in ResponseHeaders.all { #expect(sent.headerFields[name] != nil, "\(name)") }
    }
}
