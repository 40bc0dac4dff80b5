// Whatever was answered is there after a restart, once: balances, ids, history.

import Foundation
import Gateway
import Ledger
import Pricing
import Testing

@Suite("restart")
struct RestartTests {
    @Test("a restart finds every balance and answers retries with the first outcome")
    func restart() async throws {
        let directory = try TemporaryDirectory()
        let time = Int64(Date().timeIntervalSince1970) * 1_000_000
        let reports = (0..<100).map { TestReport(id: "r\($0)", inputTokens: Int64($0), eventTime: time) }
        var gateway = try openGateway(directory)
        await openAccount(gateway)
        let first = try await report(reports, to: gateway).map(\.receipt)
        let balance = try await gateway.balance(of: Array("acme/search".utf8)).balance
        #expect(first.allSatisfy { $0?.duplicate == false && $0?.state == .charged })
        await gateway.stop()

        for _ in 0..<2 {
            gateway = try openGateway(directory)
            #expect(try await gateway.balance(of: Array("acme/search".utf8)).balance == balance)
            #expect(gateway.ledger.totals().balance)
            try await gateway.waitForHistory()
            let page = try gateway.transactions(TransactionQuery.all)
            #expect(page.rows.count == 102)
            await gateway.stop()
        }
    }

    @Test("an id that memory no longer holds is found in the history")
    func lateRetry() async throws {
        let directory = try TemporaryDirectory()
        let time = Int64(Date().timeIntervalSince1970) * 1_000_000
        let late = TestReport(id: "late", eventTime: time)
        var gateway = try openGateway(directory)
        await openAccount(gateway)
        let first = try #require(try await report([late], to: gateway)[0].receipt)
        try await gateway.waitForHistory()
        await gateway.stop()
        gateway = try openGateway(directory)
        // The lane finds that the record is older than what memory vouches for.
        #expect(needsHistory(late, gateway))
        let again = try await reportAskingHistory(late, to: gateway)
        #expect(again.receipt?.duplicate == true)
        #expect(again.receipt?.sequence == first.sequence)
        #expect(again.receipt?.charge == first.charge)
        var other = late
        other.inputTokens += 1
        #expect(try await reportAskingHistory(other, to: gateway).refusal?.reason == .idempotencyConflict)
        let fresh = TestReport(id: "never seen", eventTime: time)
        #expect(try await reportAskingHistory(fresh, to: gateway).receipt?.duplicate == false)
        await gateway.stop()
    }

    @Test("a grant's key gives credit once, before and after a restart")
    func grantOnce() async throws {
        let directory = try TemporaryDirectory()
        let path = Array("acme/search".utf8)
        let grant = GrantRequest(
            kind: .bonus, amount: 5_000_000_000, source: Array("retention_bonus".utf8),
            metadata: Array(#"{"reason":"anniversary"}"#.utf8), idempotencyKey: Array("key-1".utf8))
        var gateway = try openGateway(directory)
        await openAccount(gateway)
        let first = try await gateway.allocate(grant, to: path).0
        #expect(!first.duplicate)
        for _ in 0..<2 {
            let again = try await gateway.allocate(grant, to: path).0
            #expect(again.duplicate && again.sequence == first.sequence && again.balance == first.balance)
            var other = grant
            other.amount += 1
            await #expect(throws: AdministrationError.self) { try await gateway.allocate(other, to: path) }
            try await gateway.waitForHistory()
            await gateway.stop()
            gateway = try openGateway(directory)
        }
        let late = try await gateway.allocate(grant, to: path).0
        #expect(late.duplicate && late.sequence == first.sequence && late.balance == first.balance)
        await gateway.stop()
    }

    @Test("a second gateway on the directory is refused")
    func lock() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        #expect(throws: GatewayError.self) { try openGateway(directory) }
        await gateway.stop()
    }

    @Test("another value of a credit is refused")
    func creditValue() async throws {
        let directory = try TemporaryDirectory()
        try await openGateway(directory).stop()
        #expect(throws: GatewayError.self) {
            try openGateway(directory) { settings in
                settings.creditValue = CreditValueForTests.cent
            }
        }
    }

    @Test("checkpoints of two rows at a time, under reports, lose nothing", arguments: [UInt64(1), 2, 3])
    func checkpointParts(seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        let directory = try TemporaryDirectory()
        let small: (inout GatewaySettings) -> Void = {
            $0.checkpointInterval = .milliseconds(1)
            $0.checkpointRowsAtOnce = 2
        }
        var charged: [String: Int64] = [:]
        for start in 0..<4 {
            let gateway = try openGateway(directory, change: small)
            #expect(gateway.ledger.totals().charged == Int128(charged.values.reduce(0, +)))
            if start == 0 {
                for number in 0..<40 { await openAccount(gateway, path: "acme\(number)/search") }
            }
            for round in 0..<25 {
                let reports = (0..<20).map { number in
                    TestReport(
                        id: "\(start)-\(round)-\(number)",
                        account: "acme\(Int.random(in: 0..<40, using: &random))/search")
                }
                for (report, decision) in zip(reports, try await report(reports, to: gateway)) {
                    charged[report.account, default: 0] += try #require(decision.receipt).charge
                }
            }
            await gateway.stop()
        }
        let gateway = try openGateway(directory, change: small)
        for (account, charge) in charged {
            let summary = try await gateway.balance(of: Array(account.utf8))
            #expect(summary.charged == charge, "\(account), seed \(seed)")
        }
        #expect(gateway.ledger.totals().balance)
        await gateway.stop()
    }

    @Test("an empty history is filled again from a journal that nobody could release")
    func lostHistory() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory) { $0.checkpointInterval = .seconds(3_600) }
        await openAccount(gateway)
        _ = try await report([TestReport(id: "one")], to: gateway)
        await gateway.stop()
        for suffix in ["", "-wal", "-shm"] {
            let path = directory.path + "/data/history.db" + suffix
            if FileManager.default.fileExists(atPath: path) {
                try FileManager.default.removeItem(atPath: path)
            }
        }
        let again = try openGateway(directory)
        try await again.waitForHistory()
        #expect(try again.transactions(TransactionQuery.all).rows.count == 3)
        await again.stop()
    }
}
