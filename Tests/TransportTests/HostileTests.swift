// What happens to a client that does not keep to the contract, and that others do not notice.

import Gateway
import Ledger
import Testing
import Transport

@Suite("hostile clients", .serialized)
struct HostileTests {
    static let garbage: [(name: String, bytes: [UInt8])] = [
        ("an HTTP request", Array("GET / HTTP/1.1\r\nHost: tollgate\r\n\r\n".utf8)),
        ("the hello of TLS", [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03]),
        ("noise", (0..<5_000).map { UInt8(($0 * 167 + 13) % 251) | 1 }),
        ("length 0", [0, 0, 0, 0, 0]),
        ("the longest length", [0, 0xFF, 0xFF, 0xFF, 0xFF]),
        ("a length above the limit", [0, 0x00, 0x10, 0x00, 0x01]),
        ("a compressed frame", [1, 0, 0, 0, 2, 0x08, 1]),
        ("a message that is not protobuf", frame([0x08, 1, 0x1A, 50, 1])),
    ]

    @Test("bytes that are no frame end their connection, after the frames before them were answered")
    func garbage() async throws {
        try await withServer { running in
            let bystander = try RawClient(running.server.port)
            for (name, bytes) in Self.garbage {
                let client = try RawClient(running.server.port)
                try await client.send(bytes)
                let alone = try await client.answersUntilEnd()
                #expect(alone == [.init(callID: 0, answer: .status("INVALID_ARGUMENT"))], "\(name)")

                let second = try RawClient(running.server.port)
                let report = TestReport(id: "before \(name)")
                try await second.send(report.frame(1) + pingFrame([2], 2) + bytes)
                let answers = try await second.answersUntilEnd()
                #expect(answers.map(\.callID) == [1, 2, 0], "\(name)")
                #expect(answers.first?.answer.receipt?.duplicate == false, "\(name)")
                #expect(answers.last?.answer == .status("INVALID_ARGUMENT"), "\(name)")

                try await bystander.send(report.frame(3))
                #expect(try await bystander.answer().receipt?.duplicate == true, "\(name)")
            }
        }
    }

    @Test("a frame that stays incomplete ends its connection, however slowly bytes come")
    func incomplete() async throws {
        try await withServer {
            $0.partialFrameSecondsMax = 1
        } _: { running in
            let client = try RawClient(running.server.port)
            let bytes = TestReport(id: "slow").frame(2)
            try await client.send(pingFrame([1], 1) + bytes.dropLast())
            let answers = try await client.answersUntilEnd()
            #expect(
                answers == [
                    .init(callID: 1, answer: .pong([1])),
                    .init(callID: 0, answer: .status("DEADLINE_EXCEEDED")),
                ])
            let other = try RawClient(running.server.port)
            try await other.send(bytes)
            #expect(try await other.answer().receipt?.duplicate == false)
        }
    }

    @Test("a frame whose bytes come too slowly ends its connection long before the longest time")
    func tooSlow() async throws {
        try await withServer {
            $0.partialFrameSecondsMax = 3_600
            $0.partialFrameBytesPerSecondMin = 1_000_000
            $0.partialFrameGrace = .seconds(1)
        } _: { running in
            let client = try RawClient(running.server.port)
            try await client.send(pingFrame([1], 1) + TestReport(id: "slow").frame(2).dropLast())
            let answers = try await client.answersUntilEnd()
            #expect(
                answers == [
                    .init(callID: 1, answer: .pong([1])),
                    .init(callID: 0, answer: .status("DEADLINE_EXCEEDED")),
                ])
        }
    }

    @Test("a connection that says nothing is closed")
    func idle() async throws {
        try await withServer {
            $0.idleSecondsMax = 1
        } _: { running in
            let client = try RawClient(running.server.port)
            #expect(try await client.answersUntilEnd().isEmpty)
        }
    }

    @Test("a client that has finished sending gets every answer, then the end")
    func halfClosed() async throws {
        try await withServer { running in
            let client = try RawClient(running.server.port)
            try await client.send(TestReport(id: "last").frame(1))
            client.finishSending()
            let answers = try await client.answersUntilEnd()
            #expect(answers.map(\.callID) == [1] && answers[0].answer.receipt != nil)

            // More answers than sockets hold, read only when nothing more can be sent.
            let slow = try RawClient(running.server.port, receiveBytes: 4_096)
            let payload = [UInt8](repeating: 7, count: 1_000)
            let count = 12_000
            let bytes = (1...count).flatMap { pingFrame(payload, UInt64($0)) }
            var start = 0
            while start < bytes.count {
                let sent = try slow.sendSome(bytes[start...])
                start += sent
                if sent == 0, case .none = try slow.receiveSome() {
                    try await Task.sleep(for: .milliseconds(1))
                }
            }
            slow.finishSending()
            try await Task.sleep(for: .milliseconds(50))
            let pongs = try await slow.answersUntilEnd()
            #expect(pongs.count == count)
        }
    }

    @Test("a client that vanishes after sending is charged once or not at all")
    func vanishes() async throws {
        try await withServer { running in
            // Made once: a retry repeats the event time, too.
            let reports = (0..<20).map { TestReport(id: "gone \($0)") }
            for (round, report) in reports.enumerated() {
                let client = try RawClient(running.server.port)
                let bytes = report.frame(1)
                // Every other one vanishes in the middle of a second frame.
                try await client.send(round % 2 == 0 ? bytes : bytes + bytes.dropLast(3))
                client.reset()
            }
            let client = try RawClient(running.server.port)
            var spent: Int64 = 0
            for report in reports {
                try await client.send(report.frame(1))
                let answer = try await client.answer()
                spent += try #require(answer.receipt, "\(report.id): \(answer)").charge
            }
            #expect(try await running.balance() == 1_000_000_000_000 - spent)
            #expect(running.gateway.ledger.totals().balance)
            try await until { running.server.connections == 1 }
        }
    }

    @Test("a client that never reads is not read from, and is closed; others are served")
    func neverReads() async throws {
        try await withServer {
            $0.writeStallSecondsMax = 1
        } _: { running in
            let deaf = try RawClient(running.server.port, receiveBytes: 4_096)
            let chunk = (1...64).flatMap { pingFrame([UInt8](repeating: 1, count: 1_000), UInt64($0)) }
            var (sent, start, refused) = (0, 0, 0)
            let bound = 64 << 20
            do {
                while refused < 100, sent < bound {
                    let count = try deaf.sendSome(chunk[start...])
                    sent += count
                    start = (start + count) % chunk.count
                    refused = count == 0 ? refused + 1 : 0
                    if count == 0 { try await Task.sleep(for: .milliseconds(1)) }
                }
            } catch SocketFailure.system {
                // Closed already: it was slow enough to be noticed.
            }
            #expect(sent < bound)
            let other = try RawClient(running.server.port)
            try await other.send(TestReport(id: "served").frame(1))
            #expect(try await other.answer().receipt != nil)
            try await until { running.server.connections == 1 }
            try await other.send(pingFrame([1], 2))
            #expect(try await other.answer() == .pong([1]))
        }
    }

    @Test("a connection too many is closed, and the others live")
    func tooMany() async throws {
        try await withServer {
            $0.connectionsMax = 2
        } _: { running in
            let clients = [try RawClient(running.server.port), try RawClient(running.server.port)]
            for client in clients {
                try await client.send(pingFrame([1], 1))
                #expect(try await client.answer() == .pong([1]))
            }
            let extra = try RawClient(running.server.port)
            #expect(try await extra.answersUntilEnd().isEmpty)
            for client in clients {
                try await client.send(pingFrame([2], 2))
                #expect(try await client.answer() == .pong([2]))
            }
            clients[0].shut()
            try await until { running.server.connections == 1 }
            let next = try RawClient(running.server.port)
            try await next.send(pingFrame([3], 3))
            #expect(try await next.answer() == .pong([3]))
        }
    }

    @Test("a drain tells the clients, answers what is under way, and closes")
    func drain() async throws {
        let directory = try TemporaryDirectory()
        let running = try await RunningServer.start(directory)
        await running.openAccount()
        let quiet = try RawClient(running.server.port)
        let busy = try RawClient(running.server.port)
        for client in [quiet, busy] {
            try await client.send(pingFrame([1], 1))
            #expect(try await client.answer() == .pong([1]))
        }
        let count = 200
        try await busy.send((0..<count).flatMap { TestReport(id: "d\($0)").frame(UInt64($0 + 2)) })
        // The first answer says that the calls have been read, all in one.
        let first = try #require(try await busy.answer().receipt)
        try await running.server.drain()
        #expect(try await quiet.answersUntilEnd() == [.init(callID: 0, answer: .draining)])
        let answers = try await busy.answersUntilEnd()
        #expect(answers.filter { $0.answer == .draining }.count == 1)
        let spent = answers.reduce(first.charge) { $0 + ($1.answer.receipt?.charge ?? 0) }
        #expect(answers.compactMap(\.answer.receipt).count == count - 1)
        #expect(try await running.balance() == 1_000_000_000_000 - spent)
        #expect(throws: SocketFailure.self) { try RawClient(running.server.port) }
        await running.gateway.stop()
    }
}
