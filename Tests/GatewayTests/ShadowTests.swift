// A shadow counts what its draft would charge of what is charged, and nothing else changes.

import Foundation
import Gateway
import Ledger
import Pricing
import StrictJSON
import Testing

@Suite("Shadow rules")
struct ShadowTests {
    private static func draft(_ json: String) throws -> WhatIfDraft {
        WhatIfDraft(rules: try RuleFile(JSONNode(try JSONValue(parsing: json))))
    }

    private static func traffic(_ prefix: String) -> [TestReport] {
        (0..<40).map { number in
            var report = TestReport(id: "\(prefix)-\(number)")
            report.source = number % 2 == 0 ? .platform : .byok
            report.provider = number % 2 == 0 ? "openai" : "openrouter"
            report.model = number % 2 == 0 ? "gpt-4o" : "anthropic/claude-sonnet-5"
            report.outputTokens = 0
            return report
        }
    }

    @Test("charges are what they were, duplicates and parked records do not count, sums are exact")
    func counts() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        _ = try await report(Self.traffic("before"), to: gateway)
        let plain = try await report(Self.traffic("plain"), to: gateway).compactMap(\.receipt?.charge)
        let shadow = try gateway.startShadow(
            Self.draft(
                #"""
                [{"tier_code":"professional","provider_overrides":{"openai":{"markup_value":"2.70"}}},
                 {"provider":"openrouter","is_active":false}]
                """#), actor: "ada")
        var parked = TestReport(id: "parked")
        parked.model = "no-such-model"
        let traffic = Self.traffic("shadowed") + Self.traffic("plain") + [parked]
        let charges = try await report(traffic, to: gateway).compactMap(\.receipt?.charge)
        #expect(Array(charges.prefix(40)) == plain)
        let rows = shadow.rows
        #expect(
            rows.map(\.source) == [.platform, .byok] && rows.map(\.tier) == ["professional", "professional"])
        #expect(rows.map(\.provider) == ["openai", "openrouter"])
        #expect(rows.map(\.sum.records) == [20, 20] && rows.map(\.sum.refused) == [0, 20])
        #expect(rows[0].sum.liveFee == 20 * 4_500_000_000 && rows[0].sum.draftFee == 20 * 6_750_000_000)
        // Of the fee the allowance paid all.
        #expect(rows[1].sum.liveFee == 20 * 1_000_000_000 && rows[1].sum.draftFee == 0)

        // A change of the rules in force leaves the draft as it was.
        _ = try gateway.command(
            RuleCommand(
                .change(
                    .platform(tier: "professional"),
                    JSONNode(
                        try JSONValue(
                            parsing:
                                #"{"provider_overrides":{"openai":{"markup_value":"1.20"},"openrouter":{"markup_value":"1.50"}}}"#
                        )),
                    nil), actor: "ada"))
        _ = try await report(Array(Self.traffic("cheaper").prefix(1)), to: gateway)
        #expect(shadow.rows[0].sum.liveFee == 20 * 4_500_000_000 + 3_000_000_000)
        #expect(shadow.rows[0].sum.draftFee == 21 * 6_750_000_000)

        #expect(try gateway.stopShadow(actor: "bob") === shadow)
        _ = try await report(Self.traffic("after"), to: gateway)
        #expect(shadow.rows[0].sum.records == 21 && gateway.shadow == nil)
        #expect(try gateway.audit(subject: "shadow", limit: 9).map(\.actor) == ["bob", "ada"])
        await gateway.stop()
    }

    @Test("a draft with other prices prices records anew; a restart ends it")
    func prices() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        let list = #"{"gpt-4o":{"litellm_provider":"openai","input_cost_per_token":5e-06}}"#
        let staged = try gateway.stageCatalogue(CatalogueStaging(bytes: Array(list.utf8), actor: "ada"))
        let shadow = try gateway.startShadow(
            WhatIfDraft(catalogueVersion: staged.version.number), actor: "ada")
        _ = try await report(Self.traffic("r"), to: gateway)
        let rows = shadow.rows
        #expect(rows[0].sum.draftFee == 20 * 9_000_000_000 && rows[0].sum.refused == 0)
        #expect(rows[1].sum.refused == 20)
        await gateway.stop()
        let again = try openGateway(directory)
        #expect(again.shadow == nil)
        await again.stop()
    }
}
