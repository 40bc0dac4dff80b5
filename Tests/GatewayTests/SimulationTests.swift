// A replay under the rules that charged comes to what was charged, and under others to what they would
// have: a gateway that had the others from the beginning is the judge.

import Foundation
@testable import Gateway
import Ledger
import Pricing
import Store
import StrictJSON
import Testing

@Suite("Simulation")
struct SimulationTests {
    private static func file(_ json: String) throws -> RuleFile {
        try RuleFile(JSONNode(try JSONValue(parsing: json)))
    }

    private static func run(
        _ draft: WhatIfDraft, _ gateway: Gateway, since: Timestamp? = nil, until: Timestamp? = nil
    ) async throws -> SimulationReport {
        try await gateway.waitForHistory()
        let job = try gateway.simulate(draft, since: since, until: until)
        while job.isRunning { try await Task.sleep(for: .milliseconds(2)) }
        guard case .finished(let report) = job.state else {
            Issue.record("\(job.state)")
            return SimulationReport()
        }
        return report
    }

    /// Two accounts, both sources, two months, a model without a price, and an id that is told twice.
    private static func traffic(_ gateway: Gateway, seed: UInt64) -> [TestReport] {
        var random = SeededGenerator(seed: seed)
        let month = CalendarMonth(containing: gateway.now()).start.microseconds
        var reports = (0..<300).map { number -> TestReport in
            var report = TestReport(id: "r-\(number)")
            report.account = ["acme/search", "beta/chat"].randomElement(using: &random) ?? ""
            report.source = [.platform, .byok].randomElement(using: &random) ?? .platform
            report.provider = report.source == .byok ? "openrouter" : "openai"
            report.model =
                report.source == .byok
                ? "anthropic/claude-sonnet-5"
                : Int.random(in: 0..<8, using: &random) == 0 ? "no-such-model" : "gpt-4o"
            report.inputTokens = Int64.random(in: 0...400_000, using: &random)
            report.eventTime = min(
                month + Int64.random(in: -1_000_000_000...1_000_000_000, using: &random),
                gateway.now().microseconds)
            return report
        }
        reports += reports.prefix(20)
        return reports
    }

    private static func send(_ reports: [TestReport], to gateway: Gateway) async throws {
        for path in ["acme/search", "beta/chat"] { await openAccount(gateway, path: path) }
        for start in stride(from: 0, to: reports.count, by: 40) {
            _ = try await report(Array(reports[start..<min(start + 40, reports.count)]), to: gateway)
        }
    }

    private static let draft = #"""
        [{"tier_code": "professional", "provider_overrides": {"openai": {"markup_value": "1.90"}}},
         {"provider": "openrouter", "markup_value": "0.03", "free_credits_monthly": "1.00"}]
        """#

    @Test("under other rules it comes to what a gateway with those rules charges", arguments: [1, 2, 3])
    func judge(seed: UInt64) async throws {
        let directories = (try TemporaryDirectory(), try TemporaryDirectory())
        let gateway = try openGateway(directories.0)
        let reports = Self.traffic(gateway, seed: seed)
        try await Self.send(reports, to: gateway)
        let report = try await Self.run(WhatIfDraft(rules: Self.file(Self.draft)), gateway)
        #expect(report.total.records == 300, "seed \(seed)")
        #expect(report.total.charge == gateway.ledger.totals().charged, "seed \(seed)")

        // The judge: the draft is in force from the beginning of time.
        let other = try openGateway(directories.1) { $0.noticeDays = 0 }
        let book = try other.whatIf(WhatIfDraft(rules: Self.file(Self.draft)))
        other.replaceBook(book)
        try await Self.send(reports, to: other)
        #expect(report.total.newCharge == other.ledger.totals().charged, "seed \(seed)")
        #expect(report.total.parkedAfter == report.total.parkedBefore && report.total.parkedBefore > 0)
        #expect(report.tiers.map(\.name) == ["professional"])
        for groups in [report.tiers, report.providers, report.models, report.accounts] {
            #expect(groups.reduce(0) { $0 + $1.sum.newCharge } == report.total.newCharge, "seed \(seed)")
            #expect(groups.reduce(0) { $0 + $1.sum.records } == 300, "seed \(seed)")
        }
        #expect(report.platform.charge + report.byok.charge == report.total.charge)
        await gateway.stop()
        await other.stop()
    }

    @Test("the rules in force come to the same charges, for a part of the time too")
    func identity() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        let reports = Self.traffic(gateway, seed: 9)
        try await Self.send(reports, to: gateway)
        let same = WhatIfDraft(rules: try Self.file(#"{"provider":"openrouter","markup_value":"0.05"}"#))
        let middle = Timestamp(
            microseconds: CalendarMonth(containing: gateway.now()).start.microseconds - 500_000_000)
        let all = try await Self.run(same, gateway)
        let before = try await Self.run(same, gateway, until: middle)
        let after = try await Self.run(same, gateway, since: middle)
        for report in [all, before, after] {
            #expect(report.total.charge == report.total.newCharge && report.total.changed == 0)
            #expect(report.total.cost == report.total.newCost)
        }
        #expect(before.total.records + after.total.records == all.total.records)
        #expect(before.total.records > 0 && after.total.records > 0)
        #expect(gateway.ledger.totals().balance)
        await gateway.stop()
    }

    @Test("another catalogue prices what was parked, and the base cost anew")
    func prices() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        var known = TestReport(id: "a")
        known.outputTokens = 0
        var unknown = TestReport(id: "b", model: "no-such-model")
        unknown.outputTokens = 0
        _ = try await report([known, unknown], to: gateway)
        let list =
            #"{"gpt-4o":{"litellm_provider":"openai","input_cost_per_token":5e-06},"no-such-model":{"litellm_provider":"openai","input_cost_per_token":1e-06}}"#
        let staged = try gateway.stageCatalogue(CatalogueStaging(bytes: Array(list.utf8), actor: "ada"))
        let report = try await Self.run(
            WhatIfDraft(catalogueVersion: staged.version.number), gateway)
        #expect(report.total.charge == 4_500_000_000)
        #expect(report.total.newCharge == 9_000_000_000 + 1_800_000_000)
        #expect(report.total.parkedBefore == 1 && report.total.parkedAfter == 0)
        #expect(report.total.newCost == 5_000_000_000 + 1_000_000_000)
        await gateway.stop()
    }

    @Test("a second one is refused while one runs; what is wrong with a draft is told at once")
    func refusals() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        #expect(throws: AdministrationError.self) {
            try gateway.simulate(
                WhatIfDraft(rules: Self.file(#"{"provider":"openrouter","markup_value":"7"}"#)))
        }
        #expect(throws: AdministrationError.self) {
            try gateway.simulate(WhatIfDraft(catalogueVersion: 9))
        }
        #expect(gateway.simulationJobs.isEmpty)
        await gateway.stop()
    }

    @Test("after a stop nothing holds the gateway's files, however far a simulation had come")
    func stops() async throws {
        for waitsForEnd in [true, false, true, false] {
            let directory = try TemporaryDirectory()
            var gateway: Gateway? = try openGateway(directory)
            weak let left = gateway
            if let gateway {
                await openAccount(gateway)
                _ = try await report((0..<200).map { TestReport(id: "r-\($0)") }, to: gateway)
                try await gateway.waitForHistory()
                let job = try gateway.simulate(WhatIfDraft())
                while waitsForEnd, job.isRunning { await Task.yield() }
                await gateway.stop()
                #expect(!job.isRunning)
                guard case .stopped = try gateway.simulate(WhatIfDraft()).state else {
                    Issue.record("a simulation began after the stop")
                    return
                }
            }
            gateway = nil
            #expect(left == nil)
        }
    }
}
