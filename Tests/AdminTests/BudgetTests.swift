// Budgets over HTTP: set, counted, listed, removed, and what is refused.

import Gateway
import Ledger
import Pricing
import StrictJSON
import Testing

@testable import Admin

@Suite("budgets over HTTP", .serialized)
struct BudgetRouteTests {
    private func set(_ served: Served, _ members: String, account: String = "acme") async throws -> Answer {
        try await served.send("PUT", "/api/v1/budgets", body: #"{"user_id":"\#(account)",\#(members)}"#)
    }

    private func remove(_ served: Served, _ name: String, account: String = "acme") async throws -> Answer {
        try await served.send(
            "DELETE", "/api/v1/budgets", body: #"{"user_id":"\#(account)","name":"\#(name)","by":"ada"}"#)
    }

    private func hold(_ served: Served, _ id: String, _ amount: String) async throws -> Answer {
        try await served.post(
            "/api/v1/holds",
            #"{"hold_id":"\#(id)","user_id":"acme/search","credential_source":"platform","amount":"\#(amount)"}"#
        )
    }

    @Test("a hard budget refuses a hold with 429 and the time at which it opens again")
    func hard() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "1000")
            try await served.open("acme/search", amount: "1000")
            let made = try await set(
                served, #""name":"daily","window":"day","metric":"cost","limit":"100","hard":true,"by":"ada""#
            )
            #expect(made.status == 200, "\(made.text)")
            #expect(try made.at("limit") == "100.00" && made.at("hard") == true && made.at("used") == "0.00")
            await served.report("r-1", account: "acme/search")
            _ = try await hold(served, "h-1", "20")
            let list = try await served.get("/api/v1/budgets?account=acme/search")
            #expect(try list.at("budgets", "0", "used") == "48.00", "\(list.text)")
            #expect(
                try list.at("budgets", "0", "held") == "20.00" && list.at("budgets", "0", "left") == "32.00")
            let refused = try await hold(served, "h-2", "33")
            #expect(refused.status == 429, "\(refused.text)")
            #expect(try refused.code == "BUDGET_EXCEEDED")
            let seconds = Int(refused.field("retry-after") ?? "") ?? -1
            #expect((1...86_400).contains(seconds))
            #expect(refused.text.contains(#/it opens again in [0-9]+ (h|min|s)/#), "\(refused.text)")
            #expect(try await hold(served, "h-2", "32").status == 200)
            // Usage that happened is always recorded.
            await served.report("r-2", account: "acme/search")
            #expect(
                try await served.get("/api/v1/budgets?account=acme").at("budgets", "0", "used") == "96.00")
            served.clock.advance(days: 1)
            #expect(try await hold(served, "h-3", "100").status == 200)
            #expect(try await remove(served, "daily").at("removed") == true)
            let acts = try await served.get(
                "/api/v1/credits/audit?account=acme&type=budget_set,budget_removed")
            for act in ["0", "1"] {
                #expect(try acts.at("acts", act, "budget") == "daily" && acts.at("acts", act, "by") == "ada")
                #expect(try acts.at("acts", act, "balance_after") == .null, "\(acts.text)")
            }
            #expect(try acts.at("acts", "1", "limit") == "100")
            #expect(try await served.get("/api/v1/budgets?account=acme").at("budgets", "0") == .null)
        }
    }

    @Test("every window and metric can be set, and shows itself as it was set")
    func kinds() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "1")
            for window in BudgetWindow.allCases {
                for metric in BudgetMetric.allCases {
                    let name = "\(window.name)-\(metric.name)"
                    let anchor = window == .anchoredMonth ? #","anchor_day":31"# : ""
                    let limit = metric == .cost ? #""0.5""# : "7"
                    let made = try await set(
                        served,
                        #""name":"\#(name)","window":"\#(window.name)","metric":"\#(metric.name)","limit":\#(limit),"provider":"openai","model":"gpt-4o"\#(anchor)"#
                    )
                    #expect(made.status == 200, "\(made.text)")
                    #expect(try made.at("limit") == (metric == .cost ? "0.50" : "7"))
                    #expect(try made.at("hard") == false && made.at("provider") == "openai")
                    #expect(try (made.at("window_end") == .null) == (window == .total))
                }
            }
        }
    }

    @Test("each thing wrong with a budget is refused by name, and sets nothing")
    func refusals() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "1")
            let good = #""name":"b","window":"day","metric":"cost","limit":"1""#
            for members in [
                #""window":"day","metric":"cost","limit":"1""#, #""name":"b","metric":"cost","limit":"1""#,
                #""name":"b","window":"day","limit":"1""#, #""name":"b","window":"day","metric":"cost""#,
                #""name":"","window":"day","metric":"cost","limit":"1""#,
                #""name":"\#(String(repeating: "n", count: 200))","window":"day","metric":"cost","limit":"1""#,
                #""name":"b","window":"fortnight","metric":"cost","limit":"1""#,
                #""name":"b","window":"day","metric":"joy","limit":"1""#,
                #""name":"b","window":"day","metric":"cost","limit":"-1""#,
                #""name":"b","window":"day","metric":"cost","limit":"1e99""#,
                #""name":"b","window":"day","metric":"tokens","limit":1.5"#,
                #""name":"b","window":"day","metric":"tokens","limit":-1"#,
                #""name":"b","window":"anchored_month","metric":"tokens","limit":1"#,
                #""name":"b","window":"anchored_month","metric":"tokens","limit":1,"anchor_day":32"#,
                good + #","anchor_day":1"#, good + #","hard":"yes""#, good + #","colour":"red""#,
            ] {
                let answer = try await set(served, members)
                #expect(answer.status == 400, "\(members): \(answer.text)")
                #expect(try answer.code == "INVALID_ARGUMENT")
            }
            let unknown = try await set(served, good, account: "nobody")
            #expect(unknown.status == 404)
            #expect(try unknown.code == "ACCOUNT_NOT_FOUND")
            #expect(try await served.get("/api/v1/budgets?account=nobody").status == 404)
            #expect(try await served.get("/api/v1/budgets").status == 400)
            let missing = try await remove(served, "b")
            #expect(missing.status == 400)
            #expect(try missing.message.contains("no budget of this name"), "\(missing.text)")
            #expect(try await remove(served, "b", account: "nobody").status == 404)
            #expect(try await served.get("/api/v1/budgets?account=acme").at("budgets", "0") == .null)
            for number in 0..<BudgetLimits.perAccountMax {
                #expect(
                    try await set(
                        served, #""name":"b\#(number)","window":"day","metric":"requests","limit":1"#
                    ).status == 200)
            }
            let full = try await set(served, good)
            #expect(full.status == 400)
            #expect(try full.message.contains("may have 32"), "\(full.text)")
        }
    }
}
