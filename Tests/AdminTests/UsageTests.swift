// Usage over HTTP: sums by group with what was reported before, and the history as text, page behind page.

import CSV
import Foundation
import StrictJSON
import Testing

@testable import Admin

@Suite("usage over HTTP")
struct UsageTests {
    private static let today = "from=1970-01-01&to=2200-01-01"

    @Test("a summary has what was reported, of the account and those below it, with exact totals")
    func summary() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "1000")
            try await served.open("acme/search", amount: "1000")
            try await served.open("other", amount: "1000")
            await served.report("one", account: "acme")
            await served.report("two", account: "acme/search")
            await served.report("three", account: "acme/search")
            await served.report("four", account: "other")
            let answer = try await served.get(
                "/api/v1/usage/summary?account=acme&group_by=account&\(Self.today)")
            #expect(answer.status == 200)
            #expect(try answer.at("groups", "0", "account") == "acme/search")
            #expect(try answer.at("groups", "0", "requests") == 2)
            #expect(try answer.at("groups", "0", "charge") == "96.00")
            #expect(try answer.at("groups", "1", "account") == "acme")
            #expect(try answer.at("groups", "1", "charge") == "48.00")
            #expect(try answer.at("total", "requests") == 3)
            #expect(try answer.at("total", "charge") == "144.00")
            #expect(try answer.at("groups_left_out") == 0)
            #expect(try answer.at("history_lag") == 0)
            let all = try await served.get(
                "/api/v1/usage/summary?group_by=month,credential_source&\(Self.today)")
            #expect(try all.at("groups", "0", "credential_source") == "platform")
            #expect(try all.at("groups", "0", "requests") == 4)
            try await served.open("idle", amount: "1")
            let none = try await served.get("/api/v1/usage/summary?account=idle")
            #expect(try none.at("total", "requests") == 0)
        }
    }

    @Test(
        "a summary that cannot be made names the parameter and what belongs there",
        arguments: [
            ("from=2026-11-01T12:00:00Z", "from"), ("from=2026-11-02&to=2026-11-02", "to"),
            ("group_by=week", "group_by"), ("group_by=day,month", "group_by"),
            ("group_by=model,model", "group_by"),
            ("limit=0", "limit"), ("limit=10001", "limit"), ("since=2026-11-01", "since"),
        ])
    func badSummary(query: String, parameter: String) async throws {
        try await Served.run { served in
            let answer = try await served.get("/api/v1/usage/summary?\(query)")
            #expect(answer.status == 400)
            #expect(try answer.at("error", "param") == .string(parameter))
        }
    }

    /// The text of all pages.
    private func pages(_ served: Served, _ target: String, limit: Int) async throws -> (
        text: String, count: Int
    ) {
        var text = ""
        var cursor: String?
        var count = 0
        repeat {
            let page = try await served.get(
                target + "&limit=\(limit)" + (cursor.map { "&cursor=\($0)" } ?? ""))
            #expect(page.status == 200)
            text += page.text
            cursor = page.field("x-next-cursor")
            count += 1
        } while cursor != nil && count < 1_000
        return (text, count)
    }

    @Test("pages of an export, one behind the other, are the whole file whatever their size")
    func pages() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "1000")
            for number in 0..<12 { await served.report("id-\(number)", account: "acme") }
            for (target, lines) in [
                ("/api/v1/export/usage?format=csv", 13), ("/api/v1/export/usage?format=jsonl", 12),
                ("/api/v1/export/usage?format=focus", 13),
                ("/api/v1/export/usage?account=acme&\(Self.today)", 13),
                ("/api/v1/export/usage?account=acm", 1), ("/api/v1/export/usage?from=2199-01-01", 1),
                ("/api/v1/export/rollups?format=csv", 2),
                ("/api/v1/export/rollups?format=focus&\(Self.today)", 2),
                ("/api/v1/export/credits?format=csv", 3),
            ] {
                let whole = try await pages(served, target, limit: 1_000)
                #expect(whole.text.split(separator: "\n").count == lines, "\(target)")
                for limit in [1, 2, 5] {
                    #expect(
                        try await pages(served, target, limit: limit).text == whole.text,
                        "\(target) by \(limit)")
                }
            }
        }
    }

    @Test("an exported charge has the figures of the statement, and FOCUS has them in dollars")
    func figures() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "1000")
            await served.report("=1+1", account: "acme")
            func table(_ target: String) async throws -> [[String: String]] {
                var reader = CSVReader(Array(try await pages(served, target, limit: 100).text.utf8))
                let names = try #require(try reader.next()).fields
                var rows: [[String: String]] = []
                while let row = try reader.next() {
                    #expect(row.fields.count == names.count)
                    rows.append(Dictionary(uniqueKeysWithValues: zip(names, row.fields)))
                }
                return rows
            }
            let usage = try #require(try await table("/api/v1/export/usage?format=csv").first)
            #expect(usage["request_id"] == "'=1+1")
            #expect(usage["charge"] == "48.00" && usage["balance_after"] == "952.00")
            #expect(usage["base_cost_usd"] == "0.03" && usage["state"] == "charged")
            let focus = try #require(try await table("/api/v1/export/rollups?format=focus").first)
            #expect(focus["BilledCost"] == "0.048" && focus["ListCost"] == "0.048")
            #expect(focus["BillingCurrency"] == "USD" && focus["ChargeCategory"] == "Usage")
            #expect(focus["SubAccountId"] == "acme" && focus["x_Requests"] == "1")
            #expect(focus["ConsumedQuantity"] == focus["PricingQuantity"])
            let start = try #require(focus["ChargePeriodStart"])
            #expect(start.hasSuffix("T00:00:00Z"))
            let credits = try await table("/api/v1/export/credits?format=csv")
            #expect(credits.contains { $0["type"] == "allocated" && $0["amount"] == "1000.00" })
        }
    }

    @Test("an export that cannot be made says why")
    func badExport() async throws {
        try await Served.run { served in
            #expect(try await served.get("/api/v1/export/everything").status == 404)
            for (target, parameter) in [
                ("credits?format=focus", "format"), ("usage?format=xml", "format"),
                ("usage?cursor=x", "cursor"),
                ("usage?cursor=5_3", "cursor"), ("rollups?cursor=1_2", "cursor"),
                ("rollups?from=2026-11-01T01:00:00Z", "from"), ("usage?limit=20001", "limit"),
            ] {
                let answer = try await served.get("/api/v1/export/\(target)")
                #expect(answer.status == 400, "\(target)")
                #expect(try answer.at("error", "param") == .string(parameter), "\(target)")
            }
        }
    }
}
