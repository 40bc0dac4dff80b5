// The history's sums and its retention, with a real ledger before them: what a directory verifies, before and
// after old usage was let go, and what verification says when a sum was changed by hand.

import Bytes
import GRDB
import Ledger
import Pricing
import Store
import Testing

@testable import Gateway

@Suite("usage in the history")
struct UsageTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func verify() throws -> VerificationReport {
        try OfflineDirectory(directory.path + "/data").verify()
    }

    /// A gateway with charges, a hold that was settled, and parked usage: one open, one given up.
    private func lived() async throws -> Gateway {
        let gateway = try openGateway(directory)
        await openAccount(gateway, credits: 1_000)
        var reports = (0..<20).map { TestReport(id: "charged-\($0)", cacheReadTokens: 10) }
        reports += [TestReport(id: "open", model: "gpt-new"), TestReport(id: "given up", model: "gpt-new")]
        _ = try await report(reports, to: gateway)
        try await gateway.waitForHistory()
        let ended = try #require(
            try gateway.endParked(
                ParkedOrder(.discard, reason: "because", actor: "ada"), requestID: Array("given up".utf8),
                organisation: nil))
        await gateway.durable(ended.mark)
        try await hold(gateway)
        try await gateway.waitForHistory()
        return gateway
    }

    private func hold(_ gateway: Gateway) async throws {
        var draft = HoldDraft(
            holdID: Array("hold".utf8), account: Array("acme/search".utf8), source: .platform)
        draft.amount = 5_000_000_000
        _ = await gateway.hold(draft)
        var usage = QuoteDraft(
            source: .platform, provider: Array("openai".utf8), model: Array("gpt-4o".utf8))
        usage.account = Array("acme/search".utf8)
        usage.usage.inputTokens = 500
        usage.eventTime = gateway.now()
        let settled = await gateway.settleHold(
            SettlementDraft(holdID: Array("hold".utf8), requestID: Array("settles".utf8), usage: usage))
        #expect(settled.receipt?.holdReleased != nil)
    }

    @Test("a summary adds up to what was charged, and verification counts the sums")
    func summary() async throws {
        let gateway = try await lived()
        var question = UsageQuestion()
        question.account = Array("acme".utf8)
        question.group(by: .model)
        let summary = try gateway.usageSummary(question)
        #expect(summary.total.requests == 21)
        #expect(summary.total.charge == gateway.ledger.totals().charged)
        #expect(summary.total.cacheReadTokens == 200)
        #expect(summary.total.parked == 2 && summary.total.discarded == 1 && summary.total.open == 1)
        #expect(summary.groups.map(\.key.model) == ["gpt-4o", "gpt-new"])
        question.group(by: .month)
        #expect(try gateway.usageSummary(question).groups.allSatisfy { $0.key.period ?? 0 > 600 })
        await gateway.stop()
        let report = try verify()
        #expect(report.problem == nil)
        #expect(report.checks.contains { $0.part == "rollups" && $0.found.hasPrefix("2 ") })
    }

    @Test("verification names a sum that was changed by hand")
    func tampered() async throws {
        let gateway = try await lived()
        await gateway.stop()
        let queue = try DatabaseQueue(path: StoreFile.history.path(in: directory.path + "/data"))
        try await queue.write { database in
            try database.execute(
                sql: "UPDATE rollups SET fee_nanocredits = fee_nanocredits - 1 WHERE requests > 1")
        }
        try queue.close()
        let problem = try #require(try verify().problem)
        #expect(
            problem.contains("fee_nanocredits of the rollup of acme/search, openai gpt-4o, platform, on 20"))
    }

    @Test("what was let go is charged once still, is refundable, has no explanation, and verifies")
    func retention() async throws {
        var gateway = try await lived()
        let before = try gateway.usageSummary(UsageQuestion())
        // Everything until tomorrow, in as many steps as it takes.
        while try gateway.letGoOfUsage(days: -1) > 0 {}
        #expect(try gateway.usageSummary(UsageQuestion()) == before)
        let known = try gateway.charge(of: Array("charged-3".utf8), account: Array("acme/search".utf8))
        #expect(known.charge.charged > 0)
        #expect {
            try gateway.explain(requestID: Array("charged-3".utf8))
        } throws: { error in
            if case AdministrationError.letGo = error { return true }
            return false
        }
        // What is parked still is whole, and settles.
        let parked = try gateway.parked(ParkedFilter()).rows
        #expect(parked.map { String(decoding: $0.requestID, as: UTF8.self) } == ["open"])
        #expect(parked.first?.content.isEmpty == false)
        await gateway.stop()
        #expect(try verify().problem == nil)

        gateway = try openGateway(directory)
        let outcome = try #require(try gateway.history.usage(requestID: Array("charged-3".utf8)))
        let again = TestReport(
            id: "charged-3", cacheReadTokens: 10, eventTime: outcome.figures.eventTime)
        let receipt = try #require(try await reportAskingHistory(again, to: gateway).receipt)
        #expect(receipt.duplicate && receipt.charge == outcome.figures.charge)
        await gateway.stop()
        #expect(try verify().problem == nil)
    }
}
