// The outbox: which events there are, in which order, once each, before and after a restart.

import Bytes
import Ledger
import Pricing
import Store
import StrictJSON
import Testing

@testable import Gateway

@Suite("events")
struct EventTests {
    /// Every event, as type, account and threshold.
    private func events(_ gateway: Gateway, _ change: (inout EventFilter) -> Void = { _ in }) async throws
        -> [String]
    {
        try await gateway.waitForHistory()
        var filter = EventFilter()
        change(&filter)
        return try gateway.events(filter).map { event in
            let data = try JSONNode(parsing: Array(event.data.utf8), bytesMax: 1 << 16)
            let threshold = try data.optional("threshold_percent")?.integer(in: 0...100)
            return [event.type, event.subject, threshold.map { "\($0)" }].compactMap { $0 }
                .joined(separator: " ")
        }
    }

    private func grant(_ credits: Int64, _ gateway: Gateway, kind: GrantKind = .purchased) async throws {
        _ = try await gateway.allocate(
            GrantRequest(kind: kind, amount: credits * 1_000_000_000), to: Array("acme/search".utf8))
    }

    /// Takes exactly so many credits.
    private func take(_ credits: Int64, _ gateway: Gateway) async throws {
        _ = try await gateway.act(
            CreditCommand(.deduct(credits * 1_000_000_000, service: Array("test".utf8), allowNegative: true)),
            on: Array("acme/search".utf8))
    }

    @Test("each threshold is told once in a period, and the recovery once")
    func thresholds() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway, credits: 100)
        try await take(74, gateway)
        try await take(1, gateway)
        try await take(1, gateway)
        try await take(24, gateway)
        try await take(10, gateway)
        try await grant(50, gateway)
        try await grant(1, gateway)
        let told = try await events(gateway).filter { $0.hasPrefix("balance") }
        #expect(
            told == [
                "balance.threshold acme/search 75", "balance.threshold acme/search 90",
                "balance.depleted acme/search 100",
                // 40 of 150 are left: between 75 % and nothing, so all of them are open again.
                "balance.recovered acme/search 100",
            ])
        await gateway.stop()
    }

    @Test("a charge may cross several thresholds; each is told, lowest first")
    func jump() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory) { $0.thresholds = [50, 75, 90] }
        await openAccount(gateway, credits: 100)
        try await take(80, gateway)
        #expect(
            try await events(gateway).filter { $0.hasPrefix("balance") } == [
                "balance.threshold acme/search 50", "balance.threshold acme/search 75",
            ])
        await gateway.stop()
    }

    @Test("usage, expiry and acts are told in the order of the ledger")
    func kinds() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway, credits: 1_000)
        _ = try await report(
            [TestReport(id: "a", model: "no-such-model"), TestReport(id: "b")], to: gateway)
        var hold = HoldDraft(
            holdID: Array("h".utf8), account: Array("acme/search".utf8), source: .platform)
        hold.amount = 1_000
        hold.leaseMilliseconds = 1
        _ = await gateway.hold(hold)
        while gateway.figures().holds.open > 0 { try await Task.sleep(for: .milliseconds(5)) }
        try await gateway.waitForHistory()
        _ = try gateway.endParked(
            ParkedOrder(.discard, reason: "test", actor: "ada"), requestID: Array("a".utf8), organisation: nil
        )
        let terms = BudgetTerms(
            name: Array("calls".utf8), window: .total, metric: .requests, limit: 1, isHard: false)
        _ = try await gateway.setBudget(terms, of: Array("acme/search".utf8), actor: [], reason: [])
        _ = try await report([TestReport(id: "c"), TestReport(id: "d"), TestReport(id: "e")], to: gateway)
        #expect(
            try await events(gateway) == [
                "credits.granted acme/search", "usage.parked acme/search", "hold.expired acme/search",
                "usage.discarded acme/search", "budget.exceeded acme/search",
            ])
        #expect(try await events(gateway) { $0.type = EventType.parked } == ["usage.parked acme/search"])
        #expect(try await events(gateway) { $0.subject = "acme" }.count == 5)
        #expect(try await events(gateway) { $0.subject = "acme/other" }.isEmpty)
        let all = try gateway.events(EventFilter())
        #expect(try await events(gateway) { $0.after = all[3].id }.count == 1)
        await gateway.stop()
        let report = try OfflineDirectory(directory.path + "/data").verify()
        #expect(report.problem == nil)
    }

    @Test("a restart tells nothing twice and forgets no threshold")
    func restart() async throws {
        let directory = try TemporaryDirectory()
        let first = try openGateway(directory)
        await openAccount(first, credits: 100)
        try await take(76, first)
        await first.stop()
        let second = try openGateway(directory)
        try await take(1, second)
        try await take(14, second)
        #expect(
            try await events(second).filter { $0.hasPrefix("balance") } == [
                "balance.threshold acme/search 75", "balance.threshold acme/search 90",
            ])
        await second.stop()
    }

    @Test("a forecast goes on as in the period, and says nothing where nothing was spent")
    func forecast() {
        let day: Int64 = 86_400_000_000
        let began = Timestamp(microseconds: 1_768_435_200_000_000)
        let period = WalletPeriod(month: 672, granted: 1_000, level: 0, beganAt: began.microseconds)
        func at(_ days: Int64) -> Timestamp { Timestamp(microseconds: began.microseconds + days * day) }
        let steady = WalletForecast(period, balance: 600, now: at(4))
        #expect(steady.used == 400 && steady.perDay == 100 && steady.runsOutAt == at(10))
        #expect(WalletForecast(period, balance: 1_000, now: at(4)).runsOutAt == nil)
        #expect(WalletForecast(period, balance: -50, now: at(4)).runsOutAt == at(4))
        // A first hour is not a day's worth.
        #expect(WalletForecast(period, balance: 999, now: began).perDay == 24)
        #expect(WalletForecast(period, balance: .min, now: at(1)).runsOutAt == at(1))
    }
}
