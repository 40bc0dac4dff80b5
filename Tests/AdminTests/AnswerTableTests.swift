// The table of answers, over HTTP: for each row a request that meets it, its status and its reason, and the metadata
// and the Retry-After where the row has them. The framed protocol has the same rows in TransportTests.

import Ledger
import Pricing
import StrictJSON
import Testing

@testable import Admin
@testable import Gateway

@Suite("the table of answers, over HTTP", .serialized)
struct AnswerTableTests {
    private func usage(
        _ account: String = "acme", source: String = "platform", provider: String = "openai",
        model: String = "gpt-4o", more: String = #","input_tokens":1000,"output_tokens":100"#
    ) -> String {
        #""user_id":"\#(account)","credential_source":"\#(source)","provider":"\#(provider)","model":"\#(model)"\#(more)"#
    }

    private func hold(_ served: Served, _ id: String, _ members: String) async throws -> Answer {
        try await served.post("/api/v1/holds", #"{"hold_id":"\#(id)",\#(members)}"#)
    }

    private func quote(_ served: Served, _ members: String) async throws -> Answer {
        try await served.post("/api/v1/quotes", "{\(members)}")
    }

    private func settle(_ served: Served, _ id: String, _ request: String, _ members: String) async throws
        -> Answer
    {
        try await served.post(
            "/api/v1/holds/\(id)/settle",
            #"{"request_id":"\#(request)","event_time":"\#(served.gateway.now().text)",\#(members)}"#)
    }

    private func expect(
        _ answer: Answer, _ status: Int, _ code: String, at place: SourceLocation = #_sourceLocation
    ) throws {
        #expect(answer.status == status, "\(answer.text)", sourceLocation: place)
        #expect(try answer.code == code, "\(answer.text)", sourceLocation: place)
        #expect(try !answer.message.isEmpty, sourceLocation: place)
    }

    /// Holds and quotes of the same usage are answered alike.
    private func expectBoth(
        _ served: Served, _ members: String, _ status: Int, _ code: String,
        at place: SourceLocation = #_sourceLocation
    ) async throws {
        try expect(try await hold(served, "h-\(code)", members), status, code, at: place)
        try expect(try await quote(served, members), status, code, at: place)
    }

    @Test("INSUFFICIENT_CREDITS is 402 with needed, available and affordable_output_tokens, in credits")
    func insufficientCredits() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "10")
            let members = usage(more: #","input_tokens":1000,"output_tokens":9000"#)
            let refused = try await hold(served, "h", members)
            try expect(refused, 402, "INSUFFICIENT_CREDITS")
            #expect(try refused.at("error", "metadata", "needed") == "166.50")
            #expect(try refused.at("error", "metadata", "available") == "10.00")
            #expect(try refused.at("error", "metadata", "affordable_output_tokens") == 305)
            #expect(try refused.at("error", "type") == "insufficient_quota")
            #expect(refused.field("retry-after") == nil)
            // A quote is no promise: it says that it is not covered, and what would be.
            let quote = try await quote(served, members)
            #expect(quote.status == 200, "\(quote.text)")
            #expect(try quote.at("sufficient") == false && quote.at("affordable_output_tokens") == 305)
            // A deduction by hand has no tokens to speak of.
            let deducted = try await served.post(
                "/api/v1/credits/deduct",
                #"{"user_id":"acme","amount":"10.5","service":"support","reason":"r","by":"ada"}"#)
            try expect(deducted, 402, "INSUFFICIENT_CREDITS")
            #expect(try deducted.at("error", "metadata", "needed") == "10.50")
            #expect(try deducted.at("error", "metadata", "available") == "10.00")
            #expect(try deducted.at("error", "metadata", "affordable_output_tokens") == .null)
        }
    }

    @Test("BUDGET_EXCEEDED is 429 with the limit and a Retry-After in whole seconds")
    func budgetExceeded() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "1000")
            let set = try await served.send(
                "PUT", "/api/v1/budgets",
                body:
                    #"{"user_id":"acme","name":"hour","window":"hour","metric":"cost","limit":"5","hard":true}"#
            )
            #expect(set.status == 200, "\(set.text)")
            for refused in [try await hold(served, "h", usage()), try await quote(served, usage())] {
                try expect(refused, 429, "BUDGET_EXCEEDED")
                #expect(try refused.at("error", "metadata", "limit") == "5.00")
                #expect((1...3_600).contains(Int(refused.field("retry-after") ?? "") ?? 0))
            }
        }
    }

    @Test("ACCOUNT_SUSPENDED and ACCOUNT_CLOSED are 403, for what is below too")
    func suspendedAndClosed() async throws {
        try await Served.run { served in
            for account in ["off", "off/below"] { try await served.open(account, amount: "100") }
            let path = Array("off".utf8)
            _ = try await served.gateway.change(path, AccountChange(status: .suspended), reason: "past due")
            for account in ["off", "off/below"] {
                try await expectBoth(served, usage(account), 403, "ACCOUNT_SUSPENDED")
            }
            _ = try await served.gateway.close(path, .keep, actor: "ada", reason: "left")
            for account in ["off", "off/below"] {
                try await expectBoth(served, usage(account), 403, "ACCOUNT_CLOSED")
            }
        }
    }

    @Test("ACCOUNT_NOT_FOUND is 404")
    func accountNotFound() async throws {
        try await Served.run { served in
            try await expectBoth(served, usage("nobody"), 404, "ACCOUNT_NOT_FOUND")
            try expect(
                try await served.get("/api/v1/credits/balance?user_id=nobody"), 404, "ACCOUNT_NOT_FOUND")
        }
    }

    @Test("NO_PRICING_RULE, BYOK_NOT_IN_TIER and PROVIDER_INACTIVE are 403")
    func noRule() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            for tier in ["gold", "trial"] {
                let opened = await served.gateway.open([
                    AccountOpening(path: Array(tier.utf8), settings: AccountSettings(tier: Array(tier.utf8)))
                ])
                #expect(opened == [.opened])
            }
            let off = try await served.send(
                "PUT", "/api/v1/pricing/rules/byok/rule_openrouter", body: #"{"is_active":false}"#)
            #expect(off.status == 200, "\(off.text)")
            try await expectBoth(served, usage("gold"), 403, "NO_PRICING_RULE")
            try await expectBoth(served, usage(source: "byok"), 403, "NO_PRICING_RULE")
            try await expectBoth(
                served, usage("trial", source: "byok", provider: "huggingface"), 403, "BYOK_NOT_IN_TIER")
            try await expectBoth(
                served,
                usage(source: "byok", provider: "openrouter", model: "anthropic/claude-3-5-sonnet"), 403,
                "PROVIDER_INACTIVE")
        }
    }

    @Test("UNPRICED_MODEL is 422 for a quote and a hold")
    func unpricedModel() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            try await expectBoth(served, usage(model: "gpt-nobody-sells"), 422, "UNPRICED_MODEL")
        }
    }

    @Test("CREDENTIAL_MISMATCH is 409, and leaves the hold open")
    func credentialMismatch() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            #expect(try await hold(served, "h", usage()).status == 200)
            try expect(
                try await settle(served, "h", "r", usage(source: "byok", provider: "openrouter")), 409,
                "CREDENTIAL_MISMATCH")
            #expect(try await served.get("/api/v1/holds").at("open") == 1)
        }
    }

    @Test("the same id with other content is 409; with the same it is 200, duplicate, and its first outcome")
    func idempotency() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            let first = try await hold(served, "h", usage())
            let again = try await hold(served, "h", usage())
            #expect(try again.status == 200 && again.at("duplicate") == true)
            #expect(try again.at("amount") == first.at("amount"))
            try expect(
                try await hold(served, "h", usage(more: #","input_tokens":1001"#)), 409,
                "IDEMPOTENCY_CONFLICT")
            let body =
                #"{"request_id":"r","event_time":"\#(served.gateway.now().text)",\#(usage())}"#
            let settled = try await served.post("/api/v1/holds/h/settle", body)
            let repeated = try await served.post("/api/v1/holds/h/settle", body)
            #expect(try repeated.status == 200 && repeated.at("duplicate") == true, "\(repeated.text)")
            #expect(try repeated.at("charge") == settled.at("charge"))
            let other = try await served.post(
                "/api/v1/holds/h/settle",
                body.replacing("\"output_tokens\":100", with: "\"output_tokens\":101"))
            try expect(other, 409, "IDEMPOTENCY_CONFLICT")
            for key in ["first_digest", "digest"] {
                #expect(try other.at("error", "metadata", key) != .null, "\(other.text)")
            }
        }
    }

    @Test("HOLD_NOT_FOUND is 404; HOLD_ALREADY_SETTLED, HOLD_VOIDED and HOLD_EXPIRED are 409")
    func holds() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            let account = #"{"user_id":"acme"}"#
            try expect(try await settle(served, "never", "r-0", usage()), 404, "HOLD_NOT_FOUND")
            for act in ["void", "extend"] {
                try expect(
                    try await served.post("/api/v1/holds/never/\(act)", account), 404, "HOLD_NOT_FOUND")
            }
            for id in ["settled", "voided", "expired"] {
                #expect(try await hold(served, id, usage()).status == 200)
            }
            #expect(try await settle(served, "settled", "r-1", usage()).status == 200)
            #expect(try await served.post("/api/v1/holds/voided/void", account).status == 200)
            served.clock.advance(days: 1)
            try expect(try await settle(served, "settled", "r-2", usage()), 409, "HOLD_ALREADY_SETTLED")
            try expect(
                try await served.post("/api/v1/holds/settled/void", account), 409, "HOLD_ALREADY_SETTLED")
            try expect(try await settle(served, "voided", "r-3", usage()), 409, "HOLD_VOIDED")
            try expect(
                try await served.post("/api/v1/holds/expired/extend", account), 409, "HOLD_EXPIRED")
            // Usage that happened is charged all the same.
            let late = try await settle(served, "expired", "r-4", usage())
            #expect(try late.status == 200 && late.at("hold_state") == "expired", "\(late.text)")
        }
    }

    @Test("INVALID_ARGUMENT is 400 with the member's name; INVALID_USAGE is 422 with part and whole")
    func invalid() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            for (param, members) in [
                ("credential_source", usage(source: "mine")),
                ("input_tokens", usage(more: #","input_tokens":-1"#)), ("user_id", usage("a//b")),
                ("tokens", usage(more: #","tokens":1"#)),
            ] {
                for refused in [try await hold(served, "h", members), try await quote(served, members)] {
                    try expect(refused, 400, "INVALID_ARGUMENT")
                    #expect(try refused.at("error", "param") == .string(param), "\(refused.text)")
                }
            }
            let members = usage(more: #","input_tokens":10,"cache_read_tokens":11"#)
            try await expectBoth(served, members, 422, "INVALID_USAGE")
            let refused = try await quote(served, members)
            #expect(try refused.at("error", "metadata", "part") == "11")
            #expect(try refused.at("error", "metadata", "whole") == "10")
        }
    }

    @Test("OVERLOADED and NOT_READY are 503 with a Retry-After")
    func unavailable() async throws {
        try await Served.run(settings: { $0.holdsMax = 1 }) { served in
            try await served.open("acme", amount: "100")
            #expect(try await hold(served, "h-1", usage()).status == 200)
            let refused = try await hold(served, "h-2", usage())
            try expect(refused, 503, "OVERLOADED")
            #expect((Int(refused.field("retry-after") ?? "") ?? 0) >= 1)
            served.gateway.beginDrain()
            let draining = try await served.get("/readyz")
            try expect(draining, 503, "NOT_READY")
            #expect((Int(draining.field("retry-after") ?? "") ?? 0) >= 1)
        }
    }

    @Test("each reason has the status and the code of its row")
    func rows() {
        let rows: [(Reason, Int, Int)] = [
            (.insufficientCredits, 8, 402), (.budgetExceeded, 8, 429), (.rateLimited, 8, 429),
            (.accountSuspended, 9, 403), (.accountClosed, 9, 403), (.accountNotFound, 5, 404),
            (.noPricingRule, 9, 403), (.byokNotInTier, 9, 403), (.providerInactive, 9, 403),
            (.unpricedModel, 9, 422), (.credentialMismatch, 9, 409), (.idempotencyConflict, 6, 409),
            (.holdNotFound, 5, 404), (.holdAlreadySettled, 9, 409), (.holdVoided, 9, 409),
            (.holdExpired, 9, 409), (.invalidArgument, 3, 400), (.invalidUsage, 3, 422),
            (.quoteExpired, 10, 409), (.unauthenticated, 16, 401), (.permissionDenied, 7, 403),
            (.deadlineExceeded, 4, 504), (.overloaded, 14, 503), (.diskFull, 14, 503), (.notReady, 14, 503),
        ]
        for (reason, code, status) in rows {
            #expect(Int(reason.code.rawValue) == code && reason.httpStatus == status, "\(reason)")
            let answer = RequestProblem.refused(Refusal(reason), account: "user_id").reply(requestID: "r")
            #expect(answer.status == status, "\(reason)")
        }
    }
}
