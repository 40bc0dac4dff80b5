// Credit is given once for a key, whatever its day; amounts are exact or refused; a statement says it all.

import Gateway
import StrictJSON
import Testing

@testable import Admin

@Suite("credits over HTTP", .serialized)
struct CreditTests {
    private static let allocate = "/api/v1/credits/allocate"

    @Test("an allocation answers in the guide's shape, and a balance shows it")
    func allocation() async throws {
        try await Served.run { served in
            try await served.open("7a6bfd31-0120-4a30-9e21-0fc3b8006579")
            let answer = try await served.post(
                Self.allocate,
                """
                {"user_id": "7a6bfd31-0120-4a30-9e21-0fc3b8006579", "amount": "1000.00",
                 "source": "retention_bonus", "metadata": {"reason": "6-month anniversary", "approved_by": "a@b.c"}}
                """)
            #expect(answer.status == 200, "\(answer.text)")
            #expect(
                try answer.json.keys.prefix(5) == [
                    "user_id", "balance", "allocated_monthly", "bonus_credits", "reset_date",
                ])
            #expect(try answer.at("user_id") == "7a6bfd31-0120-4a30-9e21-0fc3b8006579")
            #expect(try answer.at("balance") == "1000.00")
            #expect(try answer.at("allocated_monthly") == "0.00")
            #expect(try answer.at("bonus_credits") == "1000.00")
            #expect(try answer.at("kind") == "bonus")
            #expect(try answer.at("expires_at") == .null)
            #expect(try answer.at("duplicate") == false)
            #expect(try answer.at("grant_id") == .string(sequence(answer)))
            guard case .string(let reset) = try answer.at("reset_date") else { throw Unexpected() }
            #expect(reset.hasSuffix("-01T00:00:00Z"))
            let balance = try await served.get(
                "/api/v1/credits/balance?account=7a6bfd31-0120-4a30-9e21-0fc3b8006579")
            #expect(try balance.at("available") == "1000.00")
            #expect(try balance.at("held") == "0.00")
            #expect(try balance.at("tier") == "professional")
            #expect(try balance.at("status") == "active")
            #expect(try balance.at("unlimited") == false)
            #expect(try balance.at("remaining", "bonus") == "1000.00")
            #expect(try balance.at("remaining", "promo") == "0.00")
            #expect(try balance.at("total_granted") == "1000.00")
        }
    }

    private struct Unexpected: Error {}

    private func sequence(_ answer: Answer) throws -> String {
        guard case .number(let text) = try answer.at("sequence") else { throw Unexpected() }
        return text
    }

    @Test("an amount is an exact decimal above zero")
    func amounts() async throws {
        try await Served.run { served in
            try await served.open("acme")
            let good = [
                "\"1\"", "1", "\"0.000000001\"", "0.000000001", "1e3", "\"12.50\"", "12.5000000000",
            ]
            for amount in good {
                let answer = try await served.post(
                    Self.allocate, "{\"account\":\"acme\",\"source\":\"gift\",\"amount\":\(amount)}")
                #expect(answer.status == 200, "\(amount): \(answer.text)")
            }
            let balance = try await served.get("/api/v1/credits/balance?user_id=acme")
            #expect(try balance.at("balance") == "1027.000000002")
            let bad = [
                "\"0\"", "0", "\"-1\"", "-1", "\"1e3\"", "\"+1\"", "\" 1\"", "\"1,000\"", "\"1.0000000001\"",
                "1.0000000001", "\"\"", "\".5\"", "\"5.\"", "\"0x10\"", "\"NaN\"", "\"Infinity\"", "1e30",
                "\"9223372036.854775808\"", "\"99999999999999999999\"", "null", "true", "[]", "{}", "\"١\"",
            ]
            for amount in bad {
                let answer = try await served.post(
                    Self.allocate, "{\"account\":\"acme\",\"source\":\"gift\",\"amount\":\(amount)}")
                #expect(answer.status == 400, "\(amount): \(answer.text)")
                #expect(try answer.at("error", "param") == "amount", "\(amount): \(answer.text)")
            }
            let after = try await served.get("/api/v1/credits/balance?user_id=acme")
            #expect(try after.at("balance") == "1027.000000002", "a refused amount gives nothing")
        }
    }

    @Test("a document that says something impossible is refused with the member's name")
    func documents() async throws {
        try await Served.run { served in
            try await served.open("acme")
            let rows: [(String, String, String)] = [
                ("\"kind\":\"gift\"", "kind", "\"monthly\" or \"promo\""),
                ("\"kind\":\"bonus\",\"expires_at\":\"2999-01-01\"", "expires_at", "never expires"),
                ("\"kind\":\"promo\",\"expires_at\":\"2001-01-01\"", "expires_at", "not after now"),
                ("\"kind\":\"promo\",\"expires_at\":\"soon\"", "expires_at", "an instant such as"),
                ("\"metadata\":[1]", "metadata", "an object"),
                ("\"metadata\":{\"a\":\"\(String(repeating: "x", count: 20_000))\"}", "metadata", "16384"),
                ("\"account\":\"acme\"", "account", "not both"),
            ]
            for (members, param, words) in rows {
                let answer = try await served.post(
                    Self.allocate, "{\"user_id\":\"acme\",\"amount\":\"1\",\"source\":\"gift\",\(members)}")
                #expect(answer.status == 400, "\(members.prefix(60)): \(answer.text)")
                #expect(try answer.at("error", "param") == .string(param), "\(answer.text)")
                #expect(try answer.message.contains(words), "\(answer.text)")
            }
            let nobody = try await served.post(
                Self.allocate, "{\"user_id\":\"nobody\",\"amount\":\"1\",\"source\":\"gift\"}")
            #expect(nobody.status == 404)
            #expect(try nobody.code == "ACCOUNT_NOT_FOUND")
            #expect(try nobody.at("error", "param") == "user_id")
            let odd = try await served.post(
                Self.allocate, "{\"account\":\"a//b\",\"amount\":\"1\",\"source\":\"gift\"}")
            #expect(odd.status == 400)
            #expect(try odd.message.contains("segment at byte 2 is empty"), "\(odd.text)")
            let sourceless = try await served.post(Self.allocate, "{\"user_id\":\"acme\",\"amount\":\"1\"}")
            #expect(try sourceless.at("error", "param") == "source")
        }
    }

    @Test("the source decides the kind, and the kind the expiry")
    func kinds() async throws {
        try await Served.run { served in
            try await served.open("acme")
            let rows: [(String, String, Bool)] = [
                ("\"source\":\"promo_2025_q1\"", "promo", true), ("\"source\":\"referral\"", "bonus", false),
                ("\"source\":\"card_Purchase\"", "purchased", false),
                ("\"source\":\"plan\",\"kind\":\"monthly\"", "monthly", true),
                ("\"source\":\"promo\",\"kind\":\"adjustment\"", "adjustment", false),
            ]
            for (members, kind, expires) in rows {
                let answer = try await served.post(
                    Self.allocate, "{\"user_id\":\"acme\",\"amount\":\"5\",\(members)}")
                #expect(try answer.at("kind") == .string(kind), "\(answer.text)")
                #expect(try (answer.at("expires_at") != .null) == expires, "\(answer.text)")
            }
            let balance = try await served.get("/api/v1/credits/balance?user_id=acme")
            #expect(try balance.at("allocated_monthly") == "5.00")
            #expect(try balance.at("next_expiry") != .null)
        }
    }

    @Test("a key gives once: the same document again is a duplicate, on another day too; another is 409")
    func idempotency() async throws {
        try await Served.run { served in
            try await served.open("acme")
            for (key, kind) in [("key-1", "bonus"), ("key-2", "promo"), ("key-3", "monthly")] {
                let body = "{\"user_id\":\"acme\",\"amount\":\"10\",\"source\":\"gift\",\"kind\":\"\(kind)\"}"
                let field = ["Idempotency-Key: \(key)"]
                let first = try await served.post(Self.allocate, body, field)
                #expect(try first.at("duplicate") == false, "\(first.text)")
                let second = try await served.post(Self.allocate, body, field)
                #expect(try second.at("duplicate") == true, "\(second.text)")
                #expect(try second.at("sequence") == first.at("sequence"))
                #expect(try second.at("balance") == first.at("balance"))
                served.clock.advance(days: 1)
                let third = try await served.post(Self.allocate, body, field)
                #expect(try third.at("duplicate") == true, "\(kind) on the next day: \(third.text)")
                #expect(try third.at("expires_at") == first.at("expires_at"))
                let other = try await served.post(
                    Self.allocate, body.replacing("\"10\"", with: "\"11\""), field)
                #expect(other.status == 409, "\(other.text)")
                #expect(try other.code == "IDEMPOTENCY_CONFLICT")
            }
            let balance = try await served.get("/api/v1/credits/balance?user_id=acme")
            #expect(try balance.at("total_granted") == "30.00")
            let long = try await served.post(
                Self.allocate, "{\"user_id\":\"acme\",\"amount\":\"1\",\"source\":\"gift\"}",
                ["Idempotency-Key: \(String(repeating: "k", count: 129))"])
            #expect(long.status == 400)
            let twice = try await served.post(
                Self.allocate, "{\"user_id\":\"acme\",\"amount\":\"1\",\"source\":\"gift\"}",
                ["Idempotency-Key: a", "Idempotency-Key: b"])
            #expect(twice.status == 400)
        }
    }

    @Test("a statement lists what was charged and given, newest first, page by page")
    func statement() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            try await served.open("other")
            for number in 1...3 { await served.report("req-\(number)", account: "acme") }
            await served.report("odd", account: "acme", model: "no-such-model")
            try await served.gateway.waitForHistory()
            let path = "/api/v1/credits/transactions?user_id=acme"
            let all = try await served.get(path)
            #expect(all.status == 200, "\(all.text)")
            #expect(
                try types(all) == [
                    "parked", "deducted", "deducted", "deducted", "allocated", "account_opened",
                ])
            #expect(try all.at("limit") == 50)
            #expect(try all.at("next_cursor") == .null)
            #expect(try all.at("history_lag") == 0)
            let opening = "5"
            #expect(try all.at("transactions", opening, "amount") == "0.00")
            #expect(
                try all.at("transactions", opening, "balance_after") == .null
                    && all.at("transactions", opening, "balance_before") == .null, "it moves no credit")
            let charge = "1"
            #expect(try all.at("transactions", charge, "user_id") == "acme")
            #expect(try all.at("transactions", charge, "amount") == "-48.00")
            #expect(try all.at("transactions", charge, "balance_after") == "-44.00")
            #expect(try all.at("transactions", charge, "model") == "claude-3-5-sonnet")
            #expect(try all.at("transactions", charge, "metadata", "tokens") == 10_000)
            #expect(try all.at("transactions", charge, "request_id") == "req-3")
            #expect(try all.at("transactions", charge, "credential_source") == "platform")
            #expect(try all.at("transactions", charge, "cost_breakdown", "base_cost_usd") == "0.03")
            #expect(try all.at("transactions", charge, "cost_breakdown", "charge") == "48.00")
            #expect(try all.at("transactions", charge, "cost_breakdown", "rule_id") != .null)
            #expect(try all.at("transactions", "0", "parked_reason") == "UNPRICED_MODEL")
            let gift = "4"
            #expect(try all.at("transactions", gift, "amount") == "100.00")
            #expect(try all.at("transactions", gift, "source") == "opening")
            #expect(try all.at("transactions", gift, "kind") == "bonus")
            #expect(try all.at("transactions", gift, "model") == .null)

            var seen: [String] = []
            var cursor = ""
            for _ in 0..<10 {
                let page = try await served.get(path + "&limit=2" + cursor)
                seen += try types(page)
                guard case .string(let next) = try page.at("next_cursor") else { break }
                cursor = "&cursor=\(next)"
            }
            #expect(try seen == types(all))
            #expect(try types(await served.get(path + "&offset=4")) == ["allocated", "account_opened"])
            #expect(try types(await served.get(path + "&type=deducted,parked")).count == 4)
            #expect(try types(await served.get(path + "&type=allocated")) == ["allocated"])
            #expect(try types(await served.get(path + "&since=2999-01-01")) == [])
            #expect(try types(await served.get(path + "&until=2999-01-01T00:00:00+01:00")).count == 6)
            #expect(try types(await served.get("/api/v1/credits/transactions")).count == 7)
        }
    }

    private func types(_ answer: Answer) throws -> [String] {
        guard case .array(let rows) = try answer.at("transactions") else { throw Unexpected() }
        return try rows.map { row in try JSONNode(row).field("transaction_type").string() }
    }

    @Test("a statement's parameters are checked, and an account that is not there is said so")
    func statementRefusals() async throws {
        try await Served.run { served in
            try await served.open("acme")
            let path = "/api/v1/credits/transactions?user_id=acme"
            let rows = [
                ("limit", "0"), ("limit", "501"), ("limit", "ten"), ("limit", "1.5"), ("offset", "-1"),
                ("offset", "100001"), ("cursor", "abc"), ("cursor", "0"), ("type", "spent"),
                ("since", "yesterday"), ("until", "2025-13-01"),
            ]
            for (name, value) in rows {
                let answer = try await served.get("\(path)&\(name)=\(value)")
                #expect(answer.status == 400, "\(name)=\(value): \(answer.text)")
                #expect(try answer.at("error", "param") == .string(name), "\(answer.text)")
            }
            #expect(try await served.get("/api/v1/credits/transactions?user_id=nobody").status == 404)
            #expect(try await served.get(path + "&account=acme").status == 400)
            #expect(try await served.get(path + "&order=asc").status == 400)
        }
    }
}
