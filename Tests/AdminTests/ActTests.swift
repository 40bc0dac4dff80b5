// The guide's acts on credit as printed, and what is refused: each with the reason, the field, and nothing
// changed.

import Gateway
import StrictJSON
import Testing

@testable import Admin

@Suite("acts on credit over HTTP", .serialized)
struct ActTests {
    private static let user = "7a6bfd31-0120-4a30-9e21-0fc3b8006579"

    private func balance(_ served: Served, _ account: String) async throws -> JSONValue {
        try await served.get("/api/v1/credits/balance?account=\(account)").at("balance")
    }

    @Test("the guide's allocate, deduct and refund work as printed")
    func guide() async throws {
        try await Served.run { served in
            try await served.open(Self.user)
            let allocated = try await served.post(
                "/api/v1/credits/allocate",
                """
                {
                    "user_id": "7a6bfd31-0120-4a30-9e21-0fc3b8006579",
                    "amount": "1000.00",
                    "source": "retention_bonus",
                    "metadata": {
                      "reason": "6-month anniversary bonus",
                      "campaign": "loyal_user_2025_q1",
                      "approved_by": "admin@your-domain.com"
                    }
                  }
                """)
            #expect(allocated.status == 200, "\(allocated.text)")
            #expect(try allocated.at("bonus_credits") == "1000.00")
            #expect(try allocated.at("balance_before") == "0.00")
            #expect(try allocated.at("balance_after") == "1000.00")
            let deducted = try await served.post(
                "/api/v1/credits/deduct",
                """
                {
                    "user_id": "7a6bfd31-0120-4a30-9e21-0fc3b8006579",
                    "amount": "500.00",
                    "service": "manual_deduction",
                    "metadata": {
                      "reason": "ToS violation - credit farming detected",
                      "ticket_id": "SUPPORT-2025-001",
                      "reviewed_by": "admin@your-domain.com"
                    }
                  }
                """)
            #expect(deducted.status == 200, "\(deducted.text)")
            #expect(try deducted.at("balance") == "500.00")
            #expect(try deducted.at("amount") == "-500.00")
            #expect(try deducted.at("by") == "admin@your-domain.com")
            #expect(try deducted.at("reason") == "ToS violation - credit farming detected")
            let refunded = try await served.post(
                "/api/v1/credits/refund",
                """
                {
                       "user_id": "7a6bfd31-0120-4a30-9e21-0fc3b8006579",
                       "amount": "150.00",
                       "reason": "Service outage on 2025-01-14, 3 hours downtime",
                       "metadata": {
                         "incident_id": "INC-2025-001",
                         "downtime_hours": 3,
                         "avg_hourly_usage": 50
                       }
                     }
                """)
            #expect(refunded.status == 200, "\(refunded.text)")
            #expect(try refunded.at("balance") == "650.00")
            #expect(try refunded.at("kind") == "bonus")
            guard case .string(let note) = try refunded.at("note") else {
                Issue.record("goodwill does not say so: \(refunded.text)")
                return
            }
            #expect(note.contains("goodwill"))
            try await served.gateway.waitForHistory()
            let page = try await served.get("/api/v1/credits/transactions?user_id=\(Self.user)")
            #expect(try page.at("transactions", "0", "transaction_type") == "allocated")
            #expect(try page.at("transactions", "0", "source") == "goodwill")
            #expect(try page.at("transactions", "0", "metadata", "downtime_hours") == .number("3"))
            #expect(try page.at("transactions", "1", "transaction_type") == "manual_deduction")
            #expect(try page.at("transactions", "1", "balance_before") == "1000.00")
            #expect(try page.at("transactions", "1", "balance_after") == "500.00")
            #expect(try page.at("transactions", "1", "source") == "manual_deduction")
            #expect(try page.at("transactions", "1", "by") == "admin@your-domain.com")
            #expect(try page.at("transactions", "2", "by") == "admin@your-domain.com")
            let books = try await served.get("/api/v1/books")
            #expect(try books.at("deducted") == "500000000000")
            #expect(try books.at("balance") == true)
        }
    }

    @Test("a refund is bounded by its charge, linked to it, and shown where the charge is explained")
    func refunds() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            await served.report("r1", account: "acme")
            func refund(_ amount: String, _ id: String = "r1", _ fields: [String] = []) async throws -> Answer
            {
                try await served.post(
                    "/api/v1/credits/refund",
                    """
                    {"user_id": "acme", "amount": "\(amount)", "request_id": "\(id)", "reason": "outage", "by": "ann"}
                    """, fields)
            }
            let first = try await refund("20", "r1", ["Idempotency-Key: k1"])
            #expect(first.status == 200, "\(first.text)")
            #expect(try first.at("kind") == "refund")
            #expect(try first.at("charged") == "48.00")
            #expect(try first.at("balance_before") == "52.00")
            #expect(try first.at("balance_after") == "72.00")
            let again = try await refund("20", "r1", ["Idempotency-Key: k1"])
            #expect(try again.at("duplicate") == true)
            #expect(try again.at("balance_after") == "72.00")
            let other = try await refund("21", "r1", ["Idempotency-Key: k1"])
            #expect(other.status == 409)
            #expect(try other.code == "IDEMPOTENCY_CONFLICT")
            #expect(try other.message.contains("Idempotency-Key"))
            let above = try await refund("28.000000001")
            #expect(above.status == 400)
            #expect(try above.at("error", "param") == "amount")
            #expect(try above.at("error", "metadata", "remaining") == "28.00")
            #expect(try above.at("error", "metadata", "charged") == "48.00")
            #expect(try above.message.contains("28.00 credits remain of the 48.00 credits"))
            let unknown = try await refund("1", "nobody")
            #expect(unknown.status == 404)
            #expect(try unknown.code == "CHARGE_NOT_FOUND")
            #expect(try await refund("28").status == 200)
            #expect(try await balance(served, "acme") == "100.00")
            try await served.gateway.waitForHistory()
            let receipt = try await served.get("/api/v1/receipts/r1")
            #expect(try receipt.at("refunded") == "48.00")
            #expect(try receipt.at("refunds", "0", "amount") == "20.00")
            #expect(try receipt.at("refunds", "1", "by") == "ann")
            #expect(receipt.text.contains("refunded 28 credits"))
            let page = try await served.get("/api/v1/credits/transactions?account=acme&type=refunded")
            #expect(try page.at("transactions", "0", "request_id") == "r1")
            #expect(try page.at("transactions", "1", "idempotency_key") == "k1")
        }
    }

    @Test("what was parked has no charge to refund until it is settled, and then what it was settled for")
    func parked() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            await served.report("p1", account: "acme", cached: 20_000)
            func refund(_ amount: String) async throws -> Answer {
                try await served.post(
                    "/api/v1/credits/refund",
                    "{\"user_id\":\"acme\",\"amount\":\"\(amount)\",\"request_id\":\"p1\",\"reason\":\"outage\"}"
                )
            }
            let early = try await refund("1")
            #expect(early.status == 409)
            #expect(try early.code == "NOTHING_CHARGED")
            let settled = try await served.post(
                "/api/v1/usage/parked/settle",
                """
                {"request_id": "p1", "usage": {"input_tokens": 5000}, "reason": "counted twice", "by": "ann"}
                """)
            #expect(settled.status == 200, "\(settled.text)")
            #expect(try await balance(served, "acme") == "76.00")
            #expect(try await refund("24.01").at("error", "metadata", "charged") == "24.00")
            #expect(try await refund("24").at("balance") == "100.00")
            #expect(try await refund("0.01").status == 400)
        }
    }

    @Test("a request of another account is not refunded to this one, and a team's is by its organisation")
    func otherAccounts() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            for path in ["acme/a", "acme/b"] {
                let opened = try await served.post(
                    "/api/v1/accounts", "{\"account\":\"\(path)\",\"owns_wallet\":false}")
                #expect(opened.status == 200)
            }
            await served.report("r1", account: "acme/a")
            func refund(_ account: String) async throws -> Answer {
                try await served.post(
                    "/api/v1/credits/refund",
                    "{\"user_id\":\"\(account)\",\"amount\":\"8\",\"request_id\":\"r1\",\"reason\":\"outage\"}"
                )
            }
            #expect(try await refund("acme/b").code == "CHARGE_NOT_FOUND")
            #expect(try await refund("acme/a").status == 200)
            #expect(try await refund("acme").at("balance") == "68.00")
        }
    }

    @Test("a grant is voided by the id that its allocation answered")
    func voiding() async throws {
        try await Served.run { served in
            try await served.open("acme")
            let given = try await served.post(
                "/api/v1/credits/allocate", "{\"account\":\"acme\",\"amount\":\"5\",\"source\":\"oops\"}")
            guard case .string(let id) = try given.at("grant_id") else {
                Issue.record("no grant_id: \(given.text)")
                return
            }
            let body =
                "{\"account\":\"acme\",\"grant_id\":\"\(id)\",\"reason\":\"given twice\",\"by\":\"ann\"}"
            let voided = try await served.post("/api/v1/credits/void", body, ["Idempotency-Key: v1"])
            #expect(voided.status == 200, "\(voided.text)")
            #expect(try voided.at("amount") == "-5.00")
            #expect(try voided.at("balance_after") == "0.00")
            let repeated = try await served.post("/api/v1/credits/void", body, ["Idempotency-Key: v1"])
            #expect(try repeated.at("duplicate") == true && repeated.at("amount") == "-5.00")
            let gone = try await served.post("/api/v1/credits/void", body)
            #expect(gone.status == 404)
            #expect(try gone.code == "GRANT_NOT_FOUND")
            #expect(try await served.get("/api/v1/books").at("voided") == "5000000000")
        }
    }

    @Test("a correction refunds what was too much and only writes down what was too little")
    func corrections() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            await served.report("r1", account: "acme")
            func correct(_ amount: String) async throws -> Answer {
                try await served.post(
                    "/api/v1/credits/correct",
                    """
                    {"user_id":"acme","request_id":"r1","should_have_charged":"\(amount)","reason":"wrong markup"}
                    """)
            }
            let lower = try await correct("40")
            #expect(try lower.at("result") == "refunded")
            #expect(try lower.at("amount") == "8.00")
            let same = try await correct("40")
            #expect(same.status == 409)
            #expect(try same.code == "NOTHING_TO_CORRECT")
            let higher = try await correct("41")
            #expect(try higher.at("result") == "noted")
            #expect(try higher.at("amount") == "0.00")
            #expect(try await balance(served, "acme") == "60.00")
            try await served.gateway.waitForHistory()
            let receipt = try await served.get("/api/v1/receipts/r1")
            #expect(receipt.text.contains("too little was charged"))
        }
    }

    @Test("an account is closed with a choice for its balance")
    func closing() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "1")
            try await served.open("acme/old", amount: "9")
            let path = "/api/v1/accounts/acme/old/close"
            let refused = try await served.post(path, "{\"reason\":\"left\"}")
            #expect(refused.status == 409)
            #expect(try refused.code == "BALANCE_NOT_ZERO")
            #expect(try refused.at("error", "metadata", "balance") == "9.00")
            let wrong = try await served.post(path, "{\"balance\":\"transfer\",\"transfer_to\":\"globex\"}")
            #expect(wrong.status == 400)
            #expect(try wrong.at("error", "param") == "transfer_to")
            let closed = try await served.post(
                path, "{\"balance\":\"transfer\",\"transfer_to\":\"acme\",\"reason\":\"left\",\"by\":\"ann\"}"
            )
            #expect(closed.status == 200, "\(closed.text)")
            #expect(try closed.at("status") == "closed")
            #expect(try closed.at("balance_before") == "9.00")
            #expect(try closed.at("balance_after") == "0.00")
            #expect(try await balance(served, "acme") == "10.00")
            let allocate = try await served.post(
                "/api/v1/credits/allocate", "{\"account\":\"acme/old\",\"amount\":\"5\",\"source\":\"gift\"}")
            #expect(allocate.status == 403)
            #expect(try allocate.code == "ACCOUNT_CLOSED")
            try await served.gateway.waitForHistory()
            let page = try await served.get("/api/v1/credits/transactions?account=acme")
            #expect(try page.at("transactions", "0", "transaction_type") == "transferred_in")
            #expect(try page.at("transactions", "0", "from") == "acme/old")
        }
    }

    @Test("what cannot be done is refused with the field, and changes nothing")
    func refusals() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "10")
            let rows: [(String, String, Int, String, String)] = [
                ("deduct", "\"amount\":\"11\",\"reason\":\"x\"", 402, "INSUFFICIENT_CREDITS", "amount"),
                ("deduct", "\"amount\":\"1\"", 400, "INVALID_ARGUMENT", "reason"),
                ("refund", "\"amount\":\"1\"", 400, "INVALID_ARGUMENT", "reason"),
                ("deduct", "\"amount\":\"1\",\"reason\":\"\"", 400, "INVALID_ARGUMENT", "reason"),
                (
                    "deduct", "\"amount\":\"1\",\"reason\":\"x\",\"colour\":1", 400, "INVALID_ARGUMENT",
                    "colour"
                ),
                ("void", "\"grant_id\":\"x\",\"reason\":\"x\"", 400, "INVALID_ARGUMENT", "grant_id"),
                ("void", "\"grant_id\":\"1\",\"reason\":\"x\"", 404, "GRANT_NOT_FOUND", "grant_id"),
                (
                    "correct", "\"request_id\":\"r\",\"should_have_charged\":\"-1\",\"reason\":\"x\"", 400,
                    "INVALID_ARGUMENT", "should_have_charged"
                ),
            ]
            for (act, members, status, code, param) in rows {
                let answer = try await served.post(
                    "/api/v1/credits/\(act)", "{\"user_id\":\"acme\",\(members)}")
                #expect(answer.status == status, "\(act) \(members): \(answer.text)")
                #expect(try answer.code == code, "\(answer.text)")
                #expect(try answer.at("error", "param") == .string(param), "\(answer.text)")
            }
            let amounts = [
                "\"0\"", "\"-1\"", "-5", "\"1e3\"", "\"99999999999999999999\"", "null", "\"1.0000000001\"",
            ]
            for act in ["deduct", "refund"] {
                for amount in amounts {
                    let answer = try await served.post(
                        "/api/v1/credits/\(act)",
                        "{\"user_id\":\"acme\",\"amount\":\(amount),\"reason\":\"x\"}")
                    #expect(answer.status == 400, "\(act) \(amount): \(answer.text)")
                    #expect(try answer.at("error", "param") == "amount", "\(answer.text)")
                }
                let nobody = try await served.post(
                    "/api/v1/credits/\(act)", "{\"user_id\":\"nobody\",\"amount\":\"1\",\"reason\":\"x\"}")
                #expect(nobody.status == 404)
                #expect(try nobody.code == "ACCOUNT_NOT_FOUND")
            }
            #expect(try await balance(served, "acme") == "10.00")
        }
    }

    @Test("transactions are found by provider, model, source and reference, a page at a time while rows come")
    func filters() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "1000")
            try await served.open("globex", amount: "10")
            for number in 1...4 { await served.report("r\(number)", account: "acme") }
            await served.report("g1", account: "globex")
            _ = try await served.post(
                "/api/v1/credits/refund",
                "{\"user_id\":\"acme\",\"amount\":\"1\",\"request_id\":\"r2\",\"reason\":\"x\"}",
                ["Idempotency-Key: r2"])
            _ = try await served.post(
                "/api/v1/credits/allocate", "{\"user_id\":\"acme\",\"amount\":\"7\",\"source\":\"gift\"}")
            try await served.gateway.waitForHistory()
            func ids(_ query: String) async throws -> [JSONValue] {
                let page = try await served.get("/api/v1/credits/transactions?\(query)")
                #expect(page.status == 200, "\(page.text)")
                guard case .array(let rows) = try page.at("transactions") else { return [] }
                return rows.map { row in
                    guard case .object(let object) = row else { return .null }
                    return object["request_id"] ?? object["source"] ?? .null
                }
            }
            #expect(try await ids("provider=anthropic&account=acme") == ["r4", "r3", "r2", "r1"])
            #expect(try await ids("model=claude-3-5-sonnet") == ["g1", "r4", "r3", "r2", "r1"])
            #expect(try await ids("model=gpt-4o").isEmpty)
            #expect(try await ids("provider=anthropic&source=gift").isEmpty)
            #expect(try await ids("source=gift") == ["gift"])
            #expect(try await ids("reference=r2") == ["r2", "r2"], "the refund and the charge, each once")
            #expect(try await ids("request_id=r2&type=refunded") == ["r2"])
            #expect(try await ids("reference=r2&account=globex").isEmpty)
            // Rows that come between two pages neither shift nor repeat one.
            let path = "/api/v1/credits/transactions?account=acme&provider=anthropic&limit=2"
            let first = try await served.get(path)
            guard case .string(let cursor) = try first.at("next_cursor") else {
                Issue.record("no cursor: \(first.text)")
                return
            }
            #expect(Int(cursor) == nil, "the cursor is opaque")
            await served.report("r5", account: "acme")
            try await served.gateway.waitForHistory()
            let second = try await served.get(path + "&cursor=\(cursor)")
            #expect(try second.at("transactions", "0", "request_id") == "r2")
            #expect(try second.at("transactions", "1", "request_id") == "r1")
            #expect(try second.at("next_cursor") == .null)
            for bad in [
                "cursor=t1_", "cursor=7", "cursor=t1_-1", "cursor=\(cursor)&offset=1",
                "reference=a&request_id=b",
            ] {
                #expect(try await served.get("/api/v1/credits/transactions?\(bad)").status == 400, "\(bad)")
            }
        }
    }

    @Test("the audit says who did what, when, why, before and after, and nothing that happened by itself")
    func audit() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            await served.report("r1", account: "acme")
            for (by, amount) in [("ann", "1"), ("bob", "2"), ("ann", "3")] {
                let answer = try await served.post(
                    "/api/v1/credits/deduct",
                    "{\"user_id\":\"acme\",\"amount\":\"\(amount)\",\"reason\":\"why \(amount)\",\"by\":\"\(by)\"}"
                )
                #expect(answer.status == 200)
            }
            let all = try await served.get("/api/v1/credits/audit?account=acme")
            #expect(all.status == 200, "\(all.text)")
            guard case .array(let acts) = try all.at("acts") else { return }
            #expect(acts.count == 5, "three deductions, the opening and its credit")
            #expect(try all.at("acts", "0", "by") == "ann")
            #expect(try all.at("acts", "0", "act") == "manual_deduction")
            #expect(try all.at("acts", "0", "reason") == "why 3")
            #expect(try all.at("acts", "0", "balance_before") == "49.00")
            #expect(try all.at("acts", "0", "balance_after") == "46.00")
            let page = try await served.get("/api/v1/credits/audit?by=ann&limit=1")
            guard case .string(let cursor) = try page.at("next_cursor") else {
                Issue.record("no cursor: \(page.text)")
                return
            }
            let next = try await served.get("/api/v1/credits/audit?by=ann&limit=5&cursor=\(cursor)")
            #expect(try next.at("acts", "0", "reason") == "why 1")
            #expect(try next.at("acts", "1") == .null)
            #expect(try await served.get("/api/v1/credits/audit?type=deducted").status == 400)
        }
    }

    @Test("credit that nobody touches expires by itself, with an entry")
    func sweeping() async throws {
        try await Served.run { served in
            try await served.open("acme")
            let given = try await served.post(
                "/api/v1/credits/allocate", "{\"account\":\"acme\",\"amount\":\"7\",\"source\":\"promo_q1\"}")
            #expect(given.status == 200)
            served.clock.advance(days: 91)
            let deadline = ContinuousClock.now + .seconds(20)
            while served.gateway.figures().totals.expired == 0, ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(try await served.get("/api/v1/books").at("expired") == "7000000000")
        }
    }

    @Test("a grant with a filter says so, and pays only what it names")
    func filteredGrants() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "10")
            func allocate(_ members: String) async throws -> Answer {
                try await served.post(
                    "/api/v1/credits/allocate",
                    "{\"account\":\"acme\",\"amount\":\"100\",\"source\":\"promo\",\(members)}")
            }
            let given = try await allocate("\"filter\":{\"providers\":[\"openai\"],\"models\":[\"gpt-*\"]}")
            #expect(given.status == 200, "\(given.text)")
            #expect(try given.at("filter", "models", "0") == "gpt-*")
            await served.report("r1", account: "acme")
            let balance = try await served.get("/api/v1/credits/balance?account=acme")
            #expect(try balance.at("balance") == "62.00")
            #expect(
                try balance.at("remaining", "promo") == "100.00",
                "it paid nothing of another provider's usage")
            try await served.gateway.waitForHistory()
            let page = try await served.get("/api/v1/credits/transactions?account=acme&source=promo")
            #expect(try page.at("transactions", "0", "filter", "providers", "0") == "openai")
            let rows: [(String, String)] = [
                ("\"filter\":{}", "filter"), ("\"filter\":{\"providers\":[]}", "filter.providers"),
                ("\"filter\":{\"vendors\":[\"x\"]}", "filter.vendors"),
                ("\"filter\":{\"models\":[1]}", "filter.models[0]"),
                ("\"anchor_day\":5", "anchor_day"), ("\"kind\":\"monthly\",\"anchor_day\":32", "anchor_day"),
            ]
            for (members, param) in rows {
                let answer = try await allocate(members)
                #expect(answer.status == 400, "\(members): \(answer.text)")
                #expect(try answer.at("error", "param") == .string(param), "\(answer.text)")
            }
            let monthly = try await allocate("\"kind\":\"monthly\",\"anchor_day\":15")
            guard case .string(let end) = try monthly.at("expires_at") else {
                Issue.record("no end: \(monthly.text)")
                return
            }
            #expect(end.hasSuffix("-15T00:00:00Z"))
        }
    }
}
