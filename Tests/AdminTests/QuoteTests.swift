// Quotes, the guide's calculations and parked usage over HTTP, as somebody with curl sees them.

import Ledger
import Pricing
import StrictJSON
import Testing

@testable import Admin

@Suite("quotes and parked usage over HTTP", .serialized)
struct AdminQuoteTests {
    private static let guide =
        #"{"provider":"openrouter","model":"anthropic/claude-3-5-sonnet","tokens_used":10000,"user_tier":"professional"}"#

    @Test("the guide's comparison is answered as printed: 45 credits, or 1.5 and the provider's 30")
    func comparison() async throws {
        try await Served.run { served in
            let answer = try await served.post("/api/v1/pricing/calculate/comparison", Self.guide)
            #expect(answer.status == 200, "\(answer.text)")
            #expect(try answer.at("platform", "cost") == "45.00")
            #expect(try answer.at("platform", "total") == "45.00")
            #expect(try answer.at("byok", "cost") == "1.50")
            #expect(try answer.at("byok", "total") == "31.50")
            #expect(try answer.at("savings") == "13.50" && answer.at("savings_percent") == "30.0")
            #expect(try answer.at("cheaper") == "byok")
            #expect(try answer.at("byok", "explanation", "rule", "id") == "rule_openrouter")
        }
    }

    @Test("one side alone, and every vector of the platform's overrides")
    func sides() async throws {
        try await Served.run { served in
            func cost(_ kind: String, _ provider: String, _ model: String) async throws -> JSONValue {
                let answer = try await served.post(
                    "/api/v1/pricing/calculate/\(kind)",
                    #"{"provider":"\#(provider)","model":"\#(model)","tokens_used":10000,"user_tier":"professional"}"#
                )
                return try answer.at("cost")
            }
            #expect(try await cost("platform", "openrouter", "anthropic/claude-3-5-sonnet") == "45.00")
            #expect(try await cost("platform", "anthropic", "claude-3-5-sonnet") == "48.00")
            #expect(try await cost("byok", "openrouter", "anthropic/claude-3-5-sonnet") == "1.50")
            let none = try await served.post(
                "/api/v1/pricing/calculate/byok",
                #"{"provider":"anthropic","model":"claude-3-5-sonnet","tokens_used":10000,"user_tier":"professional"}"#
            )
            #expect(try none.status == 403 && none.code == "NO_PRICING_RULE")
            let both = try await served.post(
                "/api/v1/pricing/calculate/comparison",
                #"{"provider":"anthropic","model":"claude-3-5-sonnet","tokens_used":10000,"user_tier":"professional"}"#
            )
            #expect(try both.at("byok", "available") == .bool(false))
            #expect(try both.at("byok", "reason") == "NO_PRICING_RULE" && both.at("savings") == .null)
            #expect(try both.at("platform", "cost") == "48.00")
        }
    }

    @Test("an account's own tier and allowance count, and asking spends nothing")
    func account() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            let body =
                #"{"provider":"openrouter","model":"anthropic/claude-3-5-sonnet","input_tokens":10000,"user_id":"acme"}"#
            for _ in 0..<3 {
                let answer = try await served.post("/api/v1/pricing/calculate/comparison", body)
                #expect(try answer.at("byok", "cost") == "0.00" && answer.at("byok", "fee") == "1.50")
                #expect(try answer.at("byok", "allowance_left") == "5000.00")
                #expect(try answer.at("user_tier") == "professional")
            }
            #expect(try await served.get("/api/v1/credits/balance?user_id=acme").at("balance") == "100.00")
        }
    }

    @Test("a quote over HTTP has the whole breakdown and a token; wrong questions are told what is wrong")
    func quotes() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            let answer = try await served.post(
                "/api/v1/quotes",
                #"{"user_id":"acme","credential_source":"platform","provider":"anthropic","model":"claude-3-5-sonnet","#
                    + #""estimated_input_tokens":10000,"max_output_tokens":500}"#)
            // (10 000 × 3 + 500 × 15) millionths, × 1.6.
            #expect(try answer.at("charge") == "60.00" && answer.at("available_after") == "40.00")
            #expect(try answer.at("lines", "1", "amount_usd") == "0.0075")
            #expect(try answer.at("markup", "ratio") == "1.6")
            // 52 credits are left for output at 0.024 credits a token.
            #expect(try answer.at("affordable_output_tokens") == .integer(2_166))
            guard case .string(let token) = try answer.at("quote_token") else {
                Issue.record("no token: \(answer.text)")
                return
            }
            #expect(token.utf8.count == 82)
            for (body, param) in [
                (
                    #"{"user_id":"acme","credential_source":"platform","provider":"x","model":"y","tokens":1}"#,
                    "tokens"
                ),
                (
                    #"{"user_id":"acme","credential_source":"mine","provider":"x","model":"y"}"#,
                    "credential_source"
                ),
                (
                    #"{"user_id":"acme","credential_source":"byok","provider":"x","model":"y","tokens_used":1,"input_tokens":2}"#,
                    "tokens_used"
                ),
                (
                    #"{"user_id":"acme","credential_source":"byok","provider":"x","model":"y","input_tokens":-1}"#,
                    "input_tokens"
                ),
                (
                    #"{"user_id":"acme","credential_source":"byok","provider":"x","model":"y","input_tokens":1.5}"#,
                    "input_tokens"
                ),
            ] {
                let refused = try await served.post("/api/v1/quotes", body)
                #expect(refused.status == 400, "\(body): \(refused.text)")
                #expect(try refused.at("error", "param") == .string(param), "\(refused.text)")
            }
            let parts = try await served.post(
                "/api/v1/quotes",
                #"{"user_id":"acme","credential_source":"platform","provider":"openai","model":"gpt-4o","input_tokens":10,"cache_read_tokens":20}"#
            )
            #expect(try parts.status == 422 && parts.code == "INVALID_USAGE")
            #expect(
                try parts.message.contains("cache_read_tokens is 20, more than the whole it is part of, 10"))
        }
    }

    @Test("parked usage is listed, counted, settled with a correction, discarded, and explained")
    func parked() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            await served.report("p-1", account: "acme", model: "nobody-sells")
            await served.report("p-2", account: "acme", model: "nobody-sells-either")
            let list = try await served.get("/api/v1/usage/parked?account=acme")
            #expect(try list.at("open") == .integer(2), "\(list.text)")
            #expect(try list.at("parked", "0", "request_id") == "p-1")
            #expect(try list.at("open_by_reason", "UNPRICED_MODEL") == .integer(2))
            let metrics = try await served.get("/metrics").text
            #expect(metrics.contains("metering_parked_records{reason=\"UNPRICED_MODEL\"} 2\n"))
            #expect(!metrics.contains("metering_parked_oldest_seconds 0.000000000\n"))

            let why = #""by":"ada","reason":"asked""#
            let dry = try await served.post(
                "/api/v1/usage/parked/settle", "{\"all\":true,\(why),\"dry_run\":true}")
            #expect(try dry.at("counts", "parked") == .integer(2) && dry.at("dry_run") == .bool(true))
            #expect(try dry.at("results", "0", "reason") == "UNPRICED_MODEL")
            let discarded = try await served.post(
                "/api/v1/usage/parked/discard", "{\"request_id\":\"p-1\",\(why)}")
            #expect(try discarded.at("results", "0", "result") == "discarded", "\(discarded.text)")
            let again = try await served.post(
                "/api/v1/usage/parked/settle", "{\"request_id\":\"p-1\",\(why)}")
            #expect(try again.at("results", "0", "result") == "discarded_before")
            let receipt = try await served.get("/api/v1/receipts/p-1")
            #expect(try receipt.at("state") == "discarded" && receipt.at("parked", "by") == "ada")
            #expect(try receipt.at("agrees") == .bool(true))
            #expect(
                try await served.get("/api/v1/usage/parked?model=NOBODY-sells-either").at(
                    "parked", "0", "request_id") == "p-2")

            for (body, param) in [
                ("{\(why)}", JSONValue.null), ("{\"all\":true,\"request_id\":\"p-2\",\(why)}", "all"),
                ("{\"request_id\":\"p-2\",\"provider\":\"x\",\(why)}", "provider"),
                ("{\"all\":true,\"usage\":{\"input_tokens\":1},\(why)}", "all"),
                ("{\"request_id\":\"p-2\",\"usage\":{\"tokens\":1},\(why)}", "usage.tokens"),
                ("{\"request_id\":\"p-2\",\"by\":\"ada\"}", "reason"),
            ] {
                let refused = try await served.post("/api/v1/usage/parked/settle", body)
                #expect(refused.status == 400, "\(body): \(refused.text)")
                #expect(try refused.at("error", "param") == param, "\(body): \(refused.text)")
            }
            let nobody = try await served.post(
                "/api/v1/usage/parked/discard", "{\"request_id\":\"x\",\(why)}")
            #expect(try nobody.status == 404 && nobody.code == "PARKED_NOT_FOUND")
        }
    }

    @Test("a receipt names the buckets that paid and the debt")
    func receipt() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "10")
            await served.report("r-1", account: "acme")
            let answer = try await served.get("/api/v1/receipts/r-1")
            #expect(try answer.at("charge") == "48.00" && answer.at("debt") == "38.00", "\(answer.text)")
            #expect(try answer.at("buckets", "0", "amount") == "10.00")
            #expect(try answer.at("buckets", "0", "kind") == "bonus")
            #expect(try answer.at("quote") == .null && answer.at("parked") == .null)
            #expect(try answer.at("agrees") == .bool(true))
        }
    }
}
