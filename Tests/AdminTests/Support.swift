// A gateway in a directory of its own with the HTTP edge before it, and a client that sends bytes.
//
// The client is plain sockets: what is tested is what stands on the wire, headers of refusals included,
// and a library would hide or mend half of it.

import Bytes
import Foundation
import Ledger
import Logging
import NIOCore
import NIOPosix
import Platform
import Pricing
import StrictJSON
import Synchronization
import Testing

@testable import Admin
@testable import Gateway

/// The machine's clock, moved by a test.
final class ShiftedClock: TimeSource {
    private let machine = SystemClock()
    private let shift = Atomic<Int64>(0)

    func wallMicroseconds() -> Int64 { machine.wallMicroseconds() + shift.load(ordering: .relaxed) }
    func monotonicNanoseconds() -> UInt64 { machine.monotonicNanoseconds() }
    func advance(days: Int64) { shift.add(days * 86_400_000_000, ordering: .relaxed) }
}

/// A gateway that serves HTTP on a port of its own.
struct Served {
    let gateway: Gateway
    let port: Int
    let clock: ShiftedClock

    /// Runs `body` against a new gateway, and takes everything away afterwards.
    /// What the servers of these tests say of the framed protocol.
    static let connections = ConnectionFigures(
        open: 7, memoryBytes: 88, memoryBytesMax: 100, overloadRung: 1, acceptPauses: 2, refusedCalls: 3,
        closedForMemory: 4)

    static func run(
        settings set: (inout GatewaySettings) -> Void = { _ in }, _ body: (Served) async throws -> Void
    ) async throws {
        let name = "tollgate-admin-\(UInt64.random(in: .min ... .max))"
        let directory = FileManager.default.temporaryDirectory.appending(path: name).path
        defer { remove(directory) }
        var logger = Logger(label: "admin-tests")
        logger.logLevel = .error
        var settings = GatewaySettings(dataDirectory: directory)
        settings.segmentBytes = 1 << 20
        set(&settings)
        let clock = ShiftedClock()
        let gateway = try Gateway.open(settings, logger: logger, clock: clock)
        let server = try await AdminServer.start(
            gateway, settings: AdminSettings(port: 0),
            status: AdminStatus(version: "1.2.3", connections: { Self.connections }), logger: logger)
        do {
            try await body(Served(gateway: gateway, port: server.port, clock: clock))
        } catch {
            try await server.stop()
            await gateway.stop()
            throw error
        }
        try await server.stop()
        await gateway.stop()
    }

    private static func remove(_ directory: String) {
        do {
            try FileManager.default.removeItem(atPath: directory)
        } catch {
            Issue.record("the test's directory stays: \(error)")
        }
    }

    /// Sends one request and returns its answer.
    func send(
        _ method: String, _ target: String, _ fields: [String] = [], body: String? = nil,
        host: String? = nil
    ) async throws -> Answer {
        var lines = [
            "\(method) \(target) HTTP/1.1", "Host: \(host ?? "127.0.0.1:\(port)")", "Connection: close",
        ]
        lines += fields
        if let body {
            if !fields.contains(where: { $0.lowercased().hasPrefix("content-type:") }) {
                lines.append("Content-Type: application/json")
            }
            lines.append("Content-Length: \(body.utf8.count)")
        }
        return try await raw(lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? ""))
    }

    func get(_ target: String, _ fields: [String] = []) async throws -> Answer {
        try await send("GET", target, fields)
    }

    func post(_ target: String, _ body: String, _ fields: [String] = []) async throws -> Answer {
        try await send("POST", target, fields, body: body)
    }

    /// Sends bytes as they are, and reads until the server has nothing more to say.
    func raw(_ text: String) async throws -> Answer {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: text))
            var received: [UInt8] = []
            for try await buffer in inbound { received += buffer.readableBytesView }
            return try Answer(received)
        }
    }

    /// Sends bytes and hangs up, as a client does that breaks off in the middle of a body.
    func cut(_ text: String) async throws -> Answer {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: text))
            outbound.finish()
            var received: [UInt8] = []
            for try await buffer in inbound { received += buffer.readableBytesView }
            return try Answer(received)
        }
    }

    /// Opens an account of the professional tier.
    func open(_ account: String, amount: String? = nil) async throws {
        let grant = amount.map { ",\"amount\":\"\($0)\"" } ?? ""
        let answer = try await post(
            "/api/v1/accounts", "{\"account\":\"\(account)\",\"tier\":\"professional\"\(grant)}")
        #expect(try answer.json["opened"] == 1, "\(answer.text)")
    }

    /// Reports a request of `tokens` input tokens at 3 USD per million; 10 000 of them cost 48 credits.
    /// More cached tokens than tokens contradict each other, and are parked.
    ///
    /// Returns when the receipt might leave: the report is durable, so that `waitForHistory` waits for it too.
    func report(
        _ id: String, account: String, tokens: Int64 = 10_000, cached: Int64 = 0,
        model: String = "claude-3-5-sonnet"
    ) async {
        let cycle = decide(id, account: account, tokens: tokens, cached: cached, model: model)
        await gateway.feed.durability.wait(for: cycle)
    }

    /// Decides a report, as an event loop does; returns the cycle that its receipt waits for.
    private func decide(_ id: String, account: String, tokens: Int64, cached: Int64, model: String) -> UInt64
    {
        var lane = Lane(gateway)
        lane.begin()
        let texts = (Array(id.utf8), Array(account.utf8), Array(model.utf8))
        texts.0.withView { id in
            texts.1.withView { account in
                texts.2.withView { model in
                    "anthropic".withView { provider in
                        var record = UsageRecord()
                        record.requestID = id
                        record.account = account
                        record.provider = provider
                        record.model = model
                        record.credentialSource = .platform
                        record.usage.inputTokens = tokens
                        record.usage.cacheReadTokens = cached
                        record.eventTime = gateway.now()
                        let decision = lane.decide(record, lane.prepare(record))
                        guard case .receipt = decision else {
                            Issue.record("not recorded: \(decision)")
                            return
                        }
                    }
                }
            }
        }
        return lane.end()
    }
}

/// An answer, taken apart.
struct Answer {
    var status: Int
    var fields: [(name: String, value: String)]
    var body: [UInt8]

    struct Malformed: Error { var bytes: String }

    init(_ bytes: [UInt8]) throws {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.firstRange(of: "\r\n\r\n") else { throw Malformed(bytes: text) }
        var lines = text[..<end.lowerBound].split(separator: "\r\n")
        let first = lines.removeFirst().split(separator: " ")
        guard first.count >= 2, first[0] == "HTTP/1.1", let status = Int(first[1]) else {
            throw Malformed(bytes: text)
        }
        self.status = status
        fields = lines.map { line in
            let halves = line.split(separator: ":", maxSplits: 1)
            return (halves[0].lowercased(), halves.count > 1 ? String(halves[1].drop { $0 == " " }) : "")
        }
        body = Array(text[end.upperBound...].utf8)
    }

    var text: String { String(decoding: body, as: UTF8.self) }

    func field(_ name: String) -> String? { fields.first { $0.name == name }?.value }

    /// The body as a document.
    var json: JSONObject {
        get throws { try JSONNode(parsing: body).object() }
    }

    /// The member at a path of keys and indices; null where there is none.
    func at(_ path: String...) throws -> JSONValue {
        var value = JSONValue.object(try json)
        for step in path {
            switch value {
            case .object(let object): value = object[step] ?? .null
            case .array(let array):
                guard let index = Int(step), array.indices.contains(index) else { return .null }
                value = array[index]
            default: return .null
            }
        }
        return value
    }

    /// The error's code, or nil where it is no error.
    var code: String? {
        get throws {
            guard case .string(let code) = try at("error", "code") else { return nil }
            return code
        }
    }

    var message: String {
        get throws {
            guard case .string(let message) = try at("error", "message") else { return "" }
            return message
        }
    }
}

extension Gateway {
    /// A logger that says nothing but faults.
    var testLogger: Logger {
        var logger = Logger(label: "admin-tests")
        logger.logLevel = .critical
        return logger
    }
}
