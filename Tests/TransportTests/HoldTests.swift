// Holds over sockets, through the client library, and what many connections get of one wallet.

import Gateway
import Ledger
import Pricing
import Testing
import TollgateClient

@Suite("holds over frames")
struct HoldTests {
    private func client(_ running: RunningServer) -> TollgateClient {
        var configuration = TollgateClient.Configuration(host: "127.0.0.1", port: running.server.port)
        configuration.timeout = .seconds(600)
        configuration.silenceMax = .seconds(600)
        return TollgateClient(configuration)
    }

    private func usage(_ id: String, output: Int64 = 100, at time: Int64) -> UsageReport {
        var report = UsageReport(
            requestID: Array(id.utf8), account: "acme/search", credentialSource: .platform,
            provider: "openai", model: "gpt-4o", eventTimeMicroseconds: time)
        report.usage.inputTokens = 1_000
        report.usage.outputTokens = output
        return report
    }

    @Test("a hold of a worst case is settled by what was used, and the rest is free again")
    func lifeOfAHold() async throws {
        try await withServer { running in
            let client = client(running)
            let order = HoldOrder(
                holdID: "h1", account: "acme/search", credentialSource: .platform, provider: "openai",
                model: "gpt-4o", inputTokens: 1_000, maxOutputTokens: 4_000)
            let quote = try await client.quote(usage("", output: 4_000, at: 0))
            let hold = try await client.hold(order)
            #expect(hold.state == .open && hold.amount == quote.charge && hold.holdID == "h1")
            #expect(hold.available == 1_000_000_000_000 - hold.amount)
            #expect(try await client.hold(order).duplicate)
            let balance = try await client.balance(of: "acme/search")
            #expect(balance.held == hold.amount && balance.available == hold.available)

            let longer = try await client.extend(hold: "h1", of: "acme/search", lease: .seconds(3_600))
            #expect(longer.expiresAtMicroseconds > hold.expiresAtMicroseconds)

            let time = running.gateway.now().microseconds
            let receipt = try await client.settle(hold: "h1", with: usage("r1", at: time))
            #expect(receipt.holdReleased == hold.amount && receipt.charge < hold.amount && receipt.charge > 0)
            let again = try await client.settle(hold: "h1", with: usage("r1", at: time))
            #expect(again.duplicate && again.sequence == receipt.sequence)
            let after = try await client.balance(of: "acme/search")
            #expect(after.held == 0 && after.balance == 1_000_000_000_000 - receipt.charge)
            await client.close()
        }
    }

    @Test("what is not covered is refused with what is needed, available and affordable")
    func refusals() async throws {
        try await withServer { running in
            let client = client(running)
            var order = HoldOrder(
                holdID: "h1", account: "acme/search", credentialSource: .platform, provider: "openai",
                model: "gpt-4o", inputTokens: 1_000, maxOutputTokens: 900_000_000)
            do throws(ClientError) {
                _ = try await client.hold(order)
                Issue.record("a hold beyond the wallet was admitted")
            } catch {
                guard case .refused(let refusal) = error else {
                    Issue.record("\(error)")
                    return
                }
                #expect(refusal.reason == "INSUFFICIENT_CREDITS")
                let figures = refusal.metadata
                let tokens = try #require(figures["affordable_output_tokens"].flatMap { Int64($0) })
                #expect(figures["available"] == "1000000000000" && tokens > 0)
                // So many are covered, and one more is not.
                order = HoldOrder(
                    holdID: "h2", account: "acme/search", credentialSource: .platform, provider: "openai",
                    model: "gpt-4o", inputTokens: 1_000, maxOutputTokens: tokens + 1)
            }
            await #expect(throws: ClientError.self) { try await client.hold(order) }
            await #expect(throws: ClientError.self) {
                try await client.void(hold: "never", of: "acme/search")
            }
            let voided = HoldOrder(
                holdID: "h3", account: "acme/search", credentialSource: .platform, amount: 5)
            _ = try await client.hold(voided)
            let end = try await client.void(hold: "h3", of: "acme/search", reason: "changed my mind")
            #expect(end.state == .voided && end.amount == 5)
            await client.close()
        }
    }

    @Test("a thousand connections on one wallet are admitted exactly what it has")
    func hotAccount() async throws {
        try await withServer { running in
            let port = running.server.port
            // 1 000 credits, 7 a hold: 142 fit.
            let admitted = try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<1_000 {
                    group.addTask {
                        var configuration = TollgateClient.Configuration(host: "127.0.0.1", port: port)
                        configuration.timeout = .seconds(600)
                        configuration.connectTimeout = .seconds(600)
                        configuration.silenceMax = .seconds(600)
                        let client = TollgateClient(configuration)
                        let order = HoldOrder(
                            holdID: "h\(number)", account: "acme/search", credentialSource: .platform,
                            amount: 7_000_000_000)
                        do throws(ClientError) {
                            let hold = try await client.hold(order)
                            await client.close()
                            return hold.state == .open
                        } catch {
                            await client.close()
                            guard case .refused(let refusal) = error,
                                refusal.reason == "INSUFFICIENT_CREDITS"
                            else { throw error }
                            return false
                        }
                    }
                }
                return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            #expect(admitted == 142)
            let summary = try await running.gateway.balance(of: Array("acme/search".utf8))
            #expect(summary.held == 994_000_000_000 && summary.available == 6_000_000_000)
        }
    }

    @Test("an orphan is charged at the end of its lease, and a restart later its report corrects that")
    func orphan() async throws {
        let directory = try TemporaryDirectory()
        var running = try await RunningServer.start(directory)
        await running.openAccount()
        var client = client(running)
        var order = HoldOrder(
            holdID: "h1", account: "acme/search", credentialSource: .platform, provider: "openai",
            model: "gpt-4o", inputTokens: 1_000, maxOutputTokens: 4_000)
        order.orphanPolicy = .inputOnly
        order.lease = .milliseconds(1)
        let hold = try await client.hold(order)
        #expect(hold.orphanCharge > 0 && hold.orphanCharge < hold.amount)
        for id in ["voided", "settled"] {
            _ = try await client.hold(
                HoldOrder(holdID: id, account: "acme/search", credentialSource: .platform, amount: 5))
        }
        _ = try await client.void(hold: "voided", of: "acme/search")
        let time = running.gateway.now().microseconds
        _ = try await client.settle(hold: "settled", with: usage("r0", at: time))
        while running.gateway.figures().holds.open > 0 { try await Task.sleep(for: .milliseconds(2)) }
        let ended = try await client.hold(order)
        #expect(ended.duplicate && ended.state == .expired && ended.orphanCharge == hold.orphanCharge)
        // Two starts, so that nothing of this is in memory.
        for _ in 0..<2 {
            _ = try await client.balance(of: "acme/search")
            try await running.gateway.waitForHistory()
            await client.close()
            try await running.stop()
            running = try await RunningServer.start(directory)
            client = self.client(running)
        }
        func reason(_ body: () async throws(ClientError) -> Void) async -> String? {
            do throws(ClientError) {
                try await body()
                return nil
            } catch {
                guard case .refused(let refusal) = error else { return "\(error)" }
                return refusal.reason
            }
        }
        let asked = client
        func settle(_ id: String) async -> String? {
            await reason { () async throws(ClientError) in
                _ = try await asked.settle(hold: id, with: usage("r2", at: time))
            }
        }
        #expect(await settle("voided") == "HOLD_VOIDED")
        #expect(await settle("settled") == "HOLD_ALREADY_SETTLED")
        #expect(await settle("never") == "HOLD_NOT_FOUND")
        #expect(
            await reason { () async throws(ClientError) in
                _ = try await asked.void(hold: "settled", of: "acme/search")
            } == "HOLD_ALREADY_SETTLED")
        #expect(
            await reason { () async throws(ClientError) in
                _ = try await asked.extend(hold: "h1", of: "acme/search")
            } == "HOLD_EXPIRED")
        // A batch asks for all of its records at once.
        var late = usage("r1", output: 100, at: time)
        late.holdID = "h1"
        var other = usage("r3", at: time)
        other.holdID = "voided"
        let results = try await client.report(batch: [late, other])
        guard case .receipt(let receipt) = results[0], case .refused(let refusal) = results[1] else {
            Issue.record("\(results)")
            return
        }
        #expect(receipt.holdExpired && receipt.orphanCharge == hold.orphanCharge && receipt.charge > 0)
        #expect(receipt.givenBack == 0 && refusal.reason == "HOLD_VOIDED")
        await client.close()
        try await running.stop()
    }

    @Test("holds of the moment of a stop are open after the next start, and end when their lease does")
    func restart() async throws {
        let directory = try TemporaryDirectory()
        let first = try await RunningServer.start(directory)
        await first.openAccount()
        let before = client(first)
        for number in 0..<20 {
            var order = HoldOrder(
                holdID: "h\(number)", account: "acme/search", credentialSource: .platform,
                amount: 1_000_000_000)
            order.lease = number < 10 ? .seconds(3_600) : .milliseconds(1)
            _ = try await before.hold(order)
        }
        await before.close()
        try await first.stop()

        let second = try await RunningServer.start(directory)
        let after = client(second)
        #expect(try await after.balance(of: "acme/search").held == 10_000_000_000)
        let time = second.gateway.now().microseconds
        let settled = try await after.settle(hold: "h3", with: usage("r3", at: time))
        #expect(settled.holdReleased == 1_000_000_000)
        // Its lease was over, which replay or memory may have forgotten; never is it held.
        #expect(second.gateway.figures().holds.open == 9)
        await after.close()
        try await second.stop()
    }
}
