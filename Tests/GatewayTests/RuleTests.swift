// The rules of a gateway: a change holds from the next record on, survives a restart, leaves old charges
// explained, and many at once lose nothing.

import Foundation
import Gateway
import Ledger
import Pricing
import Store
import StrictJSON
import Testing

@Suite("The rules of a gateway")
struct GatewayRuleTests {
    private static func node(_ json: String) throws -> JSONNode {
        JSONNode(try JSONValue(parsing: json))
    }

    private static func change(
        _ tier: String, _ json: String, _ gateway: Gateway, actor: String = "ada"
    ) throws -> RuleCommandResult {
        try gateway.command(RuleCommand(.change(.platform(tier: tier), node(json), nil), actor: actor))
    }

    /// What a thousand input tokens of gpt-4o cost a professional, in nanocredits.
    private static func fee(_ id: String, _ gateway: Gateway) async throws -> Int64 {
        var asked = TestReport(id: id)
        asked.outputTokens = 0
        let decision = try await report([asked], to: gateway)[0]
        return try #require(decision.receipt, "\(id): \(decision)").charge
    }

    @Test("a change holds at once and after a restart, and what was charged before stays explained")
    func change() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        #expect(try await Self.fee("r-1", gateway) == 4_500_000_000)
        let result = try Self.change(
            "professional", #"{"provider_overrides":{"openai":{"markup_value":"1.20"}}}"#, gateway)
        // Openrouter's override is gone, which is an increase there: so all of it waits.
        guard case .added(let postponed) = result.outcomes[0] else {
            Issue.record("unchanged")
            return
        }
        #expect(postponed.isPostponed)
        #expect(try await Self.fee("r-2", gateway) == 4_500_000_000)
        _ = try Self.change(
            "professional",
            #"{"provider_overrides":{"openai":{"markup_value":"1.20"},"openrouter":{"markup_value":"1.50"}}}"#,
            gateway)
        #expect(try await Self.fee("r-3", gateway) == 3_000_000_000)
        try await gateway.waitForHistory()
        // Each is computed again by the version it was charged with, the later one being in force or not.
        var versions: [UInt32] = []
        for (id, fee) in [("r-1", 4_500_000_000), ("r-2", 4_500_000_000), ("r-3", 3_000_000_000)] {
            let explained = try #require(try gateway.explain(requestID: Array(id.utf8)))
            #expect(explained.agrees && explained.row.figures.charge == fee, "\(id)")
            guard case .priced(let factors) = explained.explanation else {
                Issue.record("a charge has factors: \(explained.explanation)")
                return
            }
            #expect(factors.fee == fee && factors.ruleID == "platform_professional", "\(id)")
            versions.append(factors.ruleVersion)
        }
        #expect(versions[0] == versions[1] && versions[1] < versions[2])
        let book = gateway.rules
        await gateway.stop()
        let again = try openGateway(directory)
        #expect(again.rules == book)
        #expect(try await Self.fee("r-4", again) == 3_000_000_000)
        #expect(
            try again.audit(action: "rule", limit: 50).map(\.action).prefix(2) == [
                "rule.update", "rule.schedule",
            ])
        await again.stop()
    }

    @Test("what is refused or only tried changes neither the book nor the file")
    func refused() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        let book = gateway.priceBook
        let lines = try gateway.audit(limit: 500).count
        #expect(throws: AdministrationError.self) {
            try Self.change("professional", #"{"markup_value":"0.7"}"#, gateway)
        }
        var tried = RuleCommand(
            .change(.platform(tier: "professional"), try Self.node(#"{"markup_value":"1.5"}"#), nil),
            actor: "ada")
        tried.isDryRun = true
        #expect(try gateway.command(tried).outcomes[0].rule.head.version == 7)
        #expect(gateway.priceBook === book)
        #expect(try gateway.audit(limit: 500).count == lines)
        await gateway.stop()
    }

    @Test("changes from many threads at once are all kept, each made to what the one before left")
    func concurrent() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory) { $0.noticeDays = 0 }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (task, tier) in ["trial", "starter", "professional", "enterprise"].enumerated() {
                group.addTask {
                    for round in 1...6 {
                        _ = try Self.change(
                            tier, #"{"markup_value":"1.\#(round)\#(task + 1)"}"#, gateway,
                            actor: "task \(task)")
                        _ = try Self.change(tier, #"{"description":"\#(tier) \#(round)"}"#, gateway)
                    }
                }
            }
            try await group.waitForAll()
        }
        let book = gateway.rules
        #expect(book.versions.map(\.head.version) == Array(1...54))
        for (task, tier) in ["trial", "starter", "professional", "enterprise"].enumerated() {
            guard case .platform(let rule)? = book.inForce(.platform(tier: tier), at: gateway.now()) else {
                Issue.record("\(tier) is gone")
                continue
            }
            #expect(rule.markup.value.text == "1.6\(task + 1)" && rule.head.description == "\(tier) 6")
        }
        await gateway.stop()
        let again = try openGateway(directory)
        #expect(again.rules == book)
        await again.stop()
    }
}
