// A call ends with its answer, through lost connections and busy servers, or with a reason.

import Ledger
import Platform
import Pricing
import Synchronization
import Testing
import Wire

@testable import TollgateClient

@Suite("the client")
struct TollgateClientTests {
    private func report(_ id: String) -> UsageReport {
        var report = UsageReport(
            requestID: Array(id.utf8), account: "acme/alice", credentialSource: .platform,
            provider: "openai", model: "gpt-4o", eventTimeMicroseconds: 1_764_000_000_000_000)
        report.usage.inputTokens = 100
        report.tags = [.init(key: "team", value: "search")]
        return report
    }

    private func receipt(_ sequence: UInt64) -> Receipt {
        var receipt = Receipt()
        receipt.sequence = sequence
        return receipt
    }

    /// Runs `body` with a client of a gateway that follows `script`, and closes both.
    private func run(
        _ script: @escaping FakeGateway.Script,
        configure: (inout TollgateClient.Configuration) -> Void = { _ in },
        _ body: (TollgateClient, FakeGateway) async throws -> Void
    ) async throws {
        let gateway = FakeGateway(script)
        let port = try await gateway.start()
        var configuration = TollgateClient.Configuration(host: "127.0.0.1", port: port)
        configuration.backoffFirst = .milliseconds(1)
        configuration.backoffLongest = .milliseconds(20)
        // On a busy machine a test may stand still for longer than a client would wait.
        configuration.silenceMax = .seconds(600)
        configuration.timeout = .seconds(600)
        configure(&configuration)
        let client = TollgateClient(configuration)
        try await body(client, gateway)
        await client.close(grace: .milliseconds(100))
        try await gateway.close()
    }

    @Test("every kind of call gets its answer")
    func everyCall() async throws {
        try await run { call in
            switch call.kind {
            case "report": .receipt(self.receipt(7))
            case "batch": .results([.receipt(self.receipt(1)), .refusal(Refusal(.accountNotFound))])
            case "quote and compare": .quote(charge: 42)
            case "brief quote": .quote(charge: 43)
            case "balance of acme": .balance(-3)
            default: .pong
            }
        } _: { client, gateway in
            let reported = try await client.report(report("r-1"))
            #expect(reported.sequence == 7)
            let results = try await client.report(batch: [report("b-1"), report("b-2")])
            #expect(results.first == .receipt(receipt(1)))
            guard case .refused(let refusal) = results[1] else {
                Issue.record("\(results)")
                return
            }
            #expect(refusal.reason == "ACCOUNT_NOT_FOUND" && refusal.code == 5 && !refusal.isTemporary)
            let quote = try await client.quote(report(""), compare: true)
            #expect(quote.charge == 42)
            #expect(try await client.quote(report(""), brief: true).charge == 43)
            let balance = try await client.balance(of: "acme")
            #expect(balance.balance == -3)
            try await client.ping()
            #expect(gateway.seen.map(\.requestIDs) == [["r-1"], ["b-1", "b-2"], [], [], [], []])
            #expect(gateway.seen[0].tags == ["team=search"])
            #expect(gateway.seen[0].timeoutMilliseconds > 0)
            #expect(gateway.connections == 1)
        }
    }

    @Test("many tasks share one connection and each gets its own answer")
    func pipelined() async throws {
        try await run { call in
            .receipt(self.receipt(UInt64(call.requestIDs[0]) ?? 0))
        } configure: {
            $0.inFlightMax = 16
        } _: { client, gateway in
            try await withThrowingTaskGroup(of: (Int, UInt64).self) { group in
                for number in 0..<500 {
                    group.addTask { (number, try await client.report(report("\(number)")).sequence) }
                }
                for try await (number, sequence) in group { #expect(sequence == UInt64(number)) }
            }
            #expect(gateway.seen.count == 500)
            #expect(gateway.connections == 1)
        }
    }

    @Test("a refusal is final and is not sent again")
    func refusal() async throws {
        try await run { _ in
            .refuse(Refusal(.insufficientCredits, found: 5, expected: 4))
        } _: { client, gateway in
            let error = await #expect(throws: ClientError.self) { try await client.report(report("r")) }
            guard case .refused(let refusal) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(refusal.reason == "INSUFFICIENT_CREDITS")
            #expect(refusal.metadata == ["needed": "5", "available": "4"])
            #expect(refusal.retryAfter == nil)
            #expect(gateway.seen.filter { $0.kind == "report" }.count == 1)
        }
    }

    @Test("an unavailable gateway is asked again with the same request id")
    func unavailable() async throws {
        let asked = Mutex(0)
        try await run { _ in
            let attempt = asked.withLock { count in
                count += 1
                return count
            }
            return attempt < 4
                ? .refuse(Refusal(.overloaded, expected: 1)) : .receipt(self.receipt(9))
        } _: { client, gateway in
            let reported = try await client.report(report("same"))
            #expect(reported.sequence == 9)
            #expect(gateway.seen.map(\.requestIDs) == Array(repeating: ["same"], count: 4))
        }
    }

    @Test("calls that a lost connection carried are sent again over the next, in their order")
    func lostConnection() async throws {
        try await run { call in
            call.connection < 2 && call.requestIDs == ["2"]
                ? .hangUp : (call.connection < 2 ? .ignore : .receipt(self.receipt(1)))
        } _: { client, gateway in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<3 {
                    group.addTask { _ = try await client.report(report("\(number)")) }
                }
                try await group.waitForAll()
            }
            #expect(gateway.connections == 3)
            let last = gateway.seen.filter { $0.connection == 2 }.map(\.requestIDs)
            let first = gateway.seen.filter { $0.connection == 0 }.map(\.requestIDs)
            #expect(Set(last) == [["0"], ["1"], ["2"]])
            #expect(Array(last.prefix(first.count)) == first)
        }
    }

    @Test("bytes that are no frame end the connection, and the call is sent again")
    func garbage() async throws {
        try await run { call in
            call.connection == 0 ? .garbage : .receipt(self.receipt(2))
        } _: { client, gateway in
            let reported = try await client.report(report("r"))
            #expect(reported.sequence == 2)
            #expect(gateway.connections == 2)
        }
    }

    @Test("a draining server answers what it has, and the next call goes over a new connection")
    func draining() async throws {
        try await run { call in
            call.connection == 0
                ? .drainThenReceipt(self.receipt(1)) : .receipt(self.receipt(2))
        } _: { client, gateway in
            let before = try await client.report(report("a"))
            #expect(before.sequence == 1)
            let after = try await client.report(report("b"))
            #expect(after.sequence == 2)
            #expect(gateway.seen.map(\.connection) == [0, 1])
        }
    }

    @Test("a call without an answer ends at its deadline and says how often it was tried")
    func deadline() async throws {
        try await run { _ in
            .ignore
        } _: { client, _ in
            await #expect(
                throws: ClientError.deadlineExceeded(
                    attempts: 1, lastProblem: "the server has not answered")
            ) { try await client.report(report("r"), timeout: .milliseconds(50)) }
        }
    }

    @Test("without a server a call ends at its deadline with the reason, and succeeds once there is one")
    func noServer() async throws {
        let held = try HeldPort()
        let port = held.number
        var configuration = TollgateClient.Configuration(host: "127.0.0.1", port: port)
        configuration.backoffFirst = .milliseconds(1)
        configuration.backoffLongest = .milliseconds(20)
        let client = TollgateClient(configuration)
        let error = await #expect(throws: ClientError.self) {
            try await client.report(report("r"), timeout: .milliseconds(100))
        }
        guard case .deadlineExceeded(attempts: 0, let problem) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(problem.contains("cannot connect to 127.0.0.1:\(port)"))
        async let late = client.report(report("r"))
        let again = FakeGateway { _ in .receipt(self.receipt(3)) }
        _ = try await again.start(port: port)
        let answered = try await late
        #expect(answered.sequence == 3)
        await client.close()
        try await again.close()
        withExtendedLifetime(held) {}
    }

    @Test("a cancelled task stops waiting, before and after its call was sent")
    func cancellation() async throws {
        try await run { _ in
            .ignore
        } _: { client, gateway in
            let sent = Task { try await client.report(report("r")) }
            while gateway.seen.isEmpty { await Task.yield() }
            sent.cancel()
            await #expect(throws: ClientError.cancelled) { try await sent.value }
            let early = Task {
                while !Task.isCancelled { await Task.yield() }
                return try await client.report(report("r"))
            }
            early.cancel()
            await #expect(throws: ClientError.cancelled) { try await early.value }
        }
    }

    @Test("a closed client ends its calls and takes no more")
    func closed() async throws {
        try await run { _ in
            .ignore
        } _: { client, gateway in
            let sent = Task { try await client.report(report("r")) }
            while gateway.seen.isEmpty { await Task.yield() }
            await client.close(grace: .milliseconds(20))
            await #expect(throws: ClientError.closed) { try await sent.value }
            await #expect(throws: ClientError.closed) { try await client.ping() }
        }
    }

    @Test("a silent server is given up after a heartbeat without an answer")
    func silence() async throws {
        try await run { call in
            call.connection == 0 ? .ignore : .receipt(self.receipt(4))
        } configure: {
            $0.silenceMax = .milliseconds(30)
        } _: { client, gateway in
            let reported = try await client.report(report("r"))
            #expect(reported.sequence == 4)
            #expect(gateway.seen.filter { $0.connection == 0 }.map(\.kind) == ["report", "ping"])
        }
    }

    @Test("what cannot be sent is refused at once, with its size and the limit")
    func tooLong() async throws {
        try await run { _ in
            .receipt(Receipt())
        } _: { client, gateway in
            await #expect(throws: ClientError.batchLength(found: 0, limit: 1_000)) {
                try await client.report(batch: [])
            }
            var long = report("r")
            long.model = String(repeating: "m", count: 1_048_576)
            let error = await #expect(throws: ClientError.self) { try await client.report(long) }
            guard case .tooLong(let bytes, limit: 1_048_576) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(bytes > 1_048_576)
            _ = try await client.report(report("short"))
            #expect(gateway.seen.filter { $0.kind == "report" }.count == 1)
        }
    }

    @Test("waits double up to their ceiling and never pass it")
    func backoff() {
        struct Highest: RandomNumberGenerator { func next() -> UInt64 { .max } }
        var generator = Highest()
        var backoff = Backoff(first: .milliseconds(10), longest: .milliseconds(50))
        let waits = (0..<5).map { _ in backoff.next(using: &generator) }
        #expect(waits == [10, 20, 40, 50, 50].map { .milliseconds($0) })
        for _ in 0..<100 { _ = backoff.next(using: &generator) }
        backoff.reset()
        #expect(backoff.next(using: &generator) == .milliseconds(10))
    }
}
