// What the tests of the transport share: a server on a directory of its own, and a client made of a bare
// socket, which can do what a decent client never does.

import Bytes
import Foundation
import Gateway
import Ledger
import Logging
import Pricing
import Testing
import Transport
import Wire

#if canImport(Glibc)
    import Glibc
#endif

/// A data directory that is removed when the test ends.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "tollgate-test-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            Issue.record("the directory \(path) stays behind: \(error)")
        }
    }
}

/// A gateway and the server in front of it.
struct RunningServer {
    let gateway: Gateway
    let server: FrameServer

    static func start(
        _ directory: TemporaryDirectory, settings set: (inout GatewaySettings) -> Void = { _ in },
        change: (inout TransportLimits) -> Void = { _ in }
    ) async throws -> RunningServer {
        var settings = GatewaySettings(dataDirectory: directory.path + "/data")
        settings.segmentBytes = 1 << 20
        settings.checkpointInterval = .milliseconds(50)
        set(&settings)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let gateway = try Gateway.open(settings, logger: logger)
        var transport = TransportSettings(port: 0, eventLoops: 2)
        change(&transport.limits)
        let server = try await FrameServer.start(gateway, settings: transport, logger: logger)
        return RunningServer(gateway: gateway, server: server)
    }

    func stop() async throws {
        try await server.drain()
        await gateway.stop()
    }

    /// Opens `acme/search` with 1,000 credits.
    func openAccount() async {
        let outcomes = await gateway.open([
            AccountOpening(
                path: Array("acme/search".utf8),
                settings: AccountSettings(tier: Array("professional".utf8)),
                initialGrant: GrantRequest(kind: .purchased, amount: 1_000_000_000_000))
        ])
        guard case .opened = outcomes[0] else {
            Issue.record("the account was not opened: \(outcomes[0])")
            return
        }
    }

    func balance() async throws -> Int64 {
        try await gateway.balance(of: Array("acme/search".utf8)).balance
    }
}

/// Runs a server with an open account for the time of `body`.
func withServer(
    change: (inout TransportLimits) -> Void = { _ in }, _ body: (RunningServer) async throws -> Void
) async throws {
    let directory = try TemporaryDirectory()
    let running = try await RunningServer.start(directory, change: change)
    await running.openAccount()
    do {
        try await body(running)
    } catch {
        try await running.stop()
        throw error
    }
    try await running.stop()
}

/// What a test's socket met.
enum SocketFailure: Error {
    case system(call: String, errno: Int32)
    case silence(received: Int)
    case ended(received: Int)
}

/// An answer, copied out of the decoder.
enum Answer: Equatable {
    case receipt(Receipt)
    case status(String)
    case batch([Answer])
    case quote(charge: Int64, token: [UInt8])
    case balance(Int64)
    case pong([UInt8])
    case draining
    case other

    var receipt: Receipt? {
        if case .receipt(let receipt) = self { return receipt }
        return nil
    }
}

struct AnswerFrame: Equatable {
    var callID: UInt64
    var answer: Answer
}

/// A TCP client made of a socket.
final class RawClient {
    private var handle: Int32
    private var received: [UInt8] = []

    /// - Parameter receiveBytes: the size of the kernel's buffer for what arrives, or nil for the usual one.
    init(_ port: Int, receiveBytes: Int32? = nil) throws {
        handle = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard handle >= 0 else { throw SocketFailure.system(call: "socket", errno: errno) }
        if let receiveBytes { set(SO_RCVBUF, receiveBytes) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = unsafe withUnsafeBytes(of: &address) { bytes in
            unsafe connect(
                handle, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self),
                socklen_t(bytes.count))
        }
        guard result == 0 else { throw SocketFailure.system(call: "connect", errno: errno) }
    }

    deinit { shut() }

    private func set<Value>(_ option: Int32, _ value: Value) {
        var value = value
        let size = socklen_t(MemoryLayout<Value>.size)
        let result = unsafe withUnsafeBytes(of: &value) { bytes in
            unsafe setsockopt(handle, SOL_SOCKET, option, bytes.baseAddress, size)
        }
        #expect(result == 0)
    }

    func shut() {
        if handle >= 0 { Glibc.close(handle) }
        handle = -1
    }

    /// Ends the connection with a reset instead of a farewell.
    func reset() {
        set(SO_LINGER, linger(l_onoff: 1, l_linger: 0))
        shut()
    }

    /// Says that nothing more will be sent.
    func finishSending() { shutdown(handle, Int32(SHUT_WR)) }

    /// Sends as much as the kernel takes at once; 0 if it takes nothing.
    func sendSome(_ bytes: ArraySlice<UInt8>) throws -> Int {
        let sent = unsafe bytes.withUnsafeBytes { room in
            unsafe Glibc.send(
                handle, room.baseAddress, room.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        }
        if sent >= 0 { return sent }
        if errno == EAGAIN || errno == EINTR { return 0 }
        throw SocketFailure.system(call: "send", errno: errno)
    }

    func send(_ bytes: [UInt8]) async throws {
        var start = 0
        for _ in 0..<5_000 {
            start += try sendSome(bytes[start...])
            if start == bytes.count { return }
            try await Task.sleep(for: .milliseconds(2))
        }
        throw SocketFailure.silence(received: start)
    }

    enum Arrival { case some, none, end }

    /// Takes up to 64 KiB of what has arrived. A reset counts as the end.
    func receiveSome() throws -> Arrival {
        var room = [UInt8](repeating: 0, count: 65_536)
        let count = unsafe room.withUnsafeMutableBytes { room in
            unsafe recv(handle, room.baseAddress, room.count, Int32(MSG_DONTWAIT))
        }
        if count > 0 {
            received += room[..<count]
            return .some
        }
        if count == 0 || errno == ECONNRESET { return .end }
        if errno == EAGAIN || errno == EINTR { return .none }
        throw SocketFailure.system(call: "recv", errno: errno)
    }

    /// Waits for `count` frames.
    func answers(_ count: Int) async throws -> [AnswerFrame] {
        var answers: [AnswerFrame] = []
        for _ in 0..<10_000 {
            try take(&answers, max: count)
            if answers.count == count { return answers }
            switch try receiveSome() {
            case .some: continue
            case .none: try await Task.sleep(for: .milliseconds(1))
            case .end: throw SocketFailure.ended(received: answers.count)
            }
        }
        throw SocketFailure.silence(received: answers.count)
    }

    func answer() async throws -> Answer { try await answers(1)[0].answer }

    /// Waits until the server closes, and returns the frames that came before.
    func answersUntilEnd() async throws -> [AnswerFrame] {
        var answers: [AnswerFrame] = []
        for _ in 0..<10_000 {
            try take(&answers, max: .max)
            switch try receiveSome() {
            case .some: continue
            case .none: try await Task.sleep(for: .milliseconds(1))
            case .end:
                #expect(received.isEmpty, "a frame was cut off")
                return answers
            }
        }
        throw SocketFailure.silence(received: answers.count)
    }

    private func take(_ answers: inout [AnswerFrame], max: Int) throws {
        let decoder = FrameDecoder()
        var start = 0
        try received.withView { all in
            while answers.count < max, case .whole(let length) = try Framing.scan(all[start..<all.count]) {
                let message = all[start + WireLimits.headerBytes..<start + WireLimits.headerBytes + length]
                let frame = try decoder.decodeAnswer(message)
                answers.append(AnswerFrame(callID: frame.callID, answer: copy(frame.answer, decoder)))
                decoder.reset()
                start += WireLimits.headerBytes + length
            }
        }
        received.removeFirst(start)
    }

    private func copy(_ answer: ServerAnswer, _ decoder: FrameDecoder) -> Answer {
        switch answer {
        case .receipt(let receipt): .receipt(receipt)
        case .status(let status): .status(status.reason.text)
        case .quote(let quote): .quote(charge: quote.charge, token: Array(quote.quoteToken))
        case .balance(let balance): .balance(balance.available)
        case .pong(let payload): .pong(Array(payload))
        case .draining: .draining
        case .reportBatch(let batch):
            .batch(
                (0..<batch.count).map { index in
                    switch decoder.read(batch, at: index) {
                    case .receipt(let receipt): .receipt(receipt)
                    case .status(let status): .status(status.reason.text)
                    case .empty: .other
                    }
                })
        case .hold, .empty: .other
        }
    }
}

// MARK: - Frames

/// A report as the tests write it.
struct TestReport {
    var id: String
    var account = "acme/search"
    var inputTokens: Int64 = 1_000
    var source = CredentialSource.platform
    var provider = "openai"
    var model = "gpt-4o"
    var reasoningTokens: Int64 = 0
    var token: [UInt8] = []
    var eventTime = Timestamp(microseconds: Int64(Date().timeIntervalSince1970) * 1_000_000)

    func withRecord<Result>(_ body: (borrowing UsageRecord) -> Result) -> Result {
        "\(id)\(account)\(provider)\(model)".withView { names in
            var record = UsageRecord()
            var start = 0
            func next(_ text: String) -> ByteView {
                defer { start += text.utf8.count }
                return names[start..<start + text.utf8.count]
            }
            record.requestID = next(id)
            record.account = next(account)
            record.provider = next(provider)
            record.model = next(model)
            record.credentialSource = source
            record.usage.inputTokens = inputTokens
            record.usage.reasoningTokens = reasoningTokens
            record.onInsufficient = .record
            record.eventTime = eventTime
            return token.withView { token in
                record.quoteToken = token
                return body(record)
            }
        }
    }

    func frame(_ callID: UInt64, timeoutMilliseconds: UInt32 = 0) -> [UInt8] {
        var bytes: [UInt8] = []
        withRecord {
            FrameEncoder().append(
                report: $0, callID: callID, timeoutMilliseconds: timeoutMilliseconds, to: &bytes)
        }
        return bytes
    }

    func quoteFrame(_ callID: UInt64, _ options: QuoteOptions = []) -> [UInt8] {
        var bytes: [UInt8] = []
        withRecord { FrameEncoder().append(quote: $0, options, callID: callID, to: &bytes) }
        return bytes
    }
}

/// A batch; the ids must be literals, because their bytes are read after the slot was filled.
func batchFrame(
    _ ids: [StaticString], callID: UInt64, eventTime: Timestamp? = nil, token: ByteView = ByteView()
) -> [UInt8] {
    var bytes: [UInt8] = []
    let template = TestReport(id: "")
    FrameEncoder().append(reportBatchOf: ids.count, callID: callID, to: &bytes) { index, record in
        record = UsageRecord()
        record.quoteToken = token
        record.requestID = ByteView(ids[index])
        record.account = ByteView("acme/search")
        record.credentialSource = .platform
        record.provider = ByteView("openai")
        record.model = ByteView("gpt-4o")
        record.usage.inputTokens = template.inputTokens
        record.onInsufficient = .record
        record.eventTime = eventTime ?? template.eventTime
    }
    return bytes
}

func pingFrame(_ payload: [UInt8], _ callID: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    payload.withView { FrameEncoder().append(ping: $0, callID: callID, to: &bytes) }
    return bytes
}

func balanceFrame(_ account: StaticString, _ callID: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    FrameEncoder().append(balanceOf: ByteView(account), callID: callID, to: &bytes)
    return bytes
}

/// A frame around the bytes of a message.
func frame(_ message: [UInt8]) -> [UInt8] { [0, 0, 0, 0, UInt8(message.count)] + message }

/// Waits until `condition` holds; gives up after ten seconds.
func until(
    sourceLocation: SourceLocation = #_sourceLocation, _ condition: () -> Bool
) async throws {
    for _ in 0..<2_000 {
        if condition() { return }
        try await Task.sleep(for: .milliseconds(5))
    }
    Issue.record("what was waited for did not come", sourceLocation: sourceLocation)
}
