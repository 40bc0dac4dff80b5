// Holds over HTTP: each success, and each refusal with its status and reason.

import Gateway
import Ledger
import Pricing
import StrictJSON
import Testing

@testable import Admin

@Suite("holds over HTTP", .serialized)
struct HoldRouteTests {
    private func open(
        _ served: Served, _ id: String, amount: String, account: String = "acme", more: String = ""
    ) async throws -> Answer {
        try await served.post(
            "/api/v1/holds",
            #"{"hold_id":"\#(id)","user_id":"\#(account)","credential_source":"platform","amount":"\#(amount)"\#(more)}"#
        )
    }

    /// Settles with 10 000 input tokens, which cost 48 credits.
    private func settle(
        _ served: Served, _ id: String, request: String, source: String = "platform", more: String = ""
    ) async throws -> Answer {
        try await served.post(
            "/api/v1/holds/\(id)/settle",
            #"{"user_id":"acme","credential_source":"\#(source)","request_id":"\#(request)","provider":"anthropic","model":"claude-3-5-sonnet","input_tokens":10000,"event_time":"\#(served.gateway.now().text)"\#(more)}"#
        )
    }

    private func expect(
        _ answer: Answer, _ status: Int, _ code: String, at place: SourceLocation = #_sourceLocation
    ) throws {
        #expect(answer.status == status, "\(answer.text)", sourceLocation: place)
        #expect(try answer.code == code, "\(answer.text)", sourceLocation: place)
    }

    @Test("a hold is opened once, listed, extended, settled, and its receipt says so")
    func life() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            let opened = try await open(served, "h-1", amount: "40")
            #expect(opened.status == 200, "\(opened.text)")
            #expect(try opened.at("state") == "open" && opened.at("amount") == "40.00")
            #expect(try opened.at("available") == "60.00" && opened.at("duplicate") == false)
            #expect(try await open(served, "h-1", amount: "40").at("duplicate") == true)
            let other = try await open(served, "h-1", amount: "41")
            try expect(other, 409, "IDEMPOTENCY_CONFLICT")
            #expect(try !other.message.contains("Idempotency-Key"))
            let list = try await served.get("/api/v1/holds?account=acme")
            #expect(try list.at("holds", "0", "hold_id") == "h-1" && list.at("held") == "40.00")
            let grown = try await served.post(
                "/api/v1/holds/h-1/extend", #"{"user_id":"acme","lease_ms":60000,"amount":"50"}"#)
            #expect(try grown.at("amount") == "50.00" && grown.at("available") == "50.00")
            let settled = try await settle(served, "h-1", request: "r-1")
            #expect(try settled.at("hold_state") == "settled" && settled.at("released") == "50.00")
            #expect(try settled.at("charge") == "48.00" && settled.at("balance") == "52.00")
            try expect(try await settle(served, "h-1", request: "r-2"), 409, "HOLD_ALREADY_SETTLED")
            let receipt = try await served.get("/api/v1/receipts/r-1")
            #expect(try receipt.at("hold", "hold_id") == "h-1" && receipt.at("hold", "released") == "50.00")
            #expect(receipt.text.contains("settled the hold h-1, which had kept 50 credits"))
            // A statement is about credit: what became of holds is shown to who asks.
            let plain = try await served.get("/api/v1/credits/transactions?account=acme")
            #expect(!plain.text.contains("hold_opened") && plain.text.contains("account_opened"))
            let all = try await served.get("/api/v1/credits/transactions?account=acme&include=holds")
            #expect(all.text.contains("hold_opened") && all.text.contains("hold_extended"))
            let only = try await served.get("/api/v1/credits/transactions?type=hold_opened")
            #expect(
                try only.at("transactions", "0", "hold_id") == "h-1" && only.at("transactions", "1") == .null)
            try expect(
                try await served.get("/api/v1/credits/transactions?include=all"), 400, "INVALID_ARGUMENT")
        }
    }

    @Test("pages of a statement are full, and hold rows count for no limit and no offset")
    func pages() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "1000")
            for number in 0..<6 {
                _ = try await open(served, "h-\(number)", amount: "1")
                await served.report("r-\(number)", account: "acme", tokens: 10)
            }
            // An answer waits for what it saw to be durable; from there on the history follows.
            _ = try await served.gateway.balance(of: Array("acme".utf8))
            try await served.gateway.waitForHistory()
            func ids(_ query: String) async throws -> (ids: [JSONValue], next: JSONValue) {
                let answer = try await served.get("/api/v1/credits/transactions?account=acme&\(query)")
                guard case .array(let rows) = try answer.at("transactions") else { return ([], .null) }
                return (
                    rows.map { if case .object(let row) = $0 { row["id"] ?? .null } else { .null } },
                    try answer.at("next_cursor")
                )
            }
            let all = try await ids("limit=100").ids
            #expect(all.count == 8)
            var paged: [JSONValue] = []
            var cursor = ""
            repeat {
                let page = try await ids("limit=3\(cursor)")
                paged += page.ids
                guard case .string(let next) = page.next else { break }
                #expect(page.ids.count == 3)
                cursor = "&cursor=\(next)"
            } while true
            #expect(paged == all)
            #expect(try await ids("limit=3&offset=4").ids == Array(all[4..<7]))
            #expect(try await ids("limit=100&include=holds").ids.count == 14)
        }
    }

    @Test("a statement lists the holds of accounts that draw on the wallet, as it lists their charges")
    func holdsOfSubAccounts() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "1000")
            let opened = await served.gateway.open([
                AccountOpening(path: Array("acme/search".utf8), settings: AccountSettings(ownsWallet: false))
            ])
            #expect(opened == [.opened])
            try await served.open("acme/own", amount: "1000")
            for account in ["acme/search", "acme/own"] {
                for end in ["void", "extend", "leave"] {
                    let id = "\(account.suffix(3))-\(end)"
                    #expect(try await open(served, id, amount: "10", account: account).status == 200)
                    guard end != "leave" else { continue }
                    let answer = try await served.post(
                        "/api/v1/holds/\(id)/\(end)", "{\"user_id\":\"\(account)\"}")
                    #expect(answer.status == 200, "\(answer.text)")
                }
                await served.report("r-\(account.suffix(3))", account: account)
            }
            served.clock.advance(days: 1)
            // Whoever asks for the holds ends those whose lease is over.
            while try await served.get("/api/v1/holds").at("open") != 0 {
                try await Task.sleep(for: .milliseconds(5))
            }
            try await served.gateway.waitForHistory()
            func rows(_ account: String) async throws -> [String] {
                let answer = try await served.get(
                    "/api/v1/credits/transactions?user_id=\(account)&include=holds&limit=100")
                guard case .array(let rows) = try answer.at("transactions") else { return [] }
                return try rows.map { row in
                    let row = JSONNode(row)
                    return try "\(row.field("user_id").string()) \(row.field("transaction_type").string())"
                        + " \(row.field("wallet").string())"
                }
            }
            let own = [
                "hold_opened", "hold_voided", "hold_opened", "hold_extended", "hold_opened", "deducted",
                "hold_expired", "hold_expired",
            ]
            let search = try await rows("acme/search")
            #expect(
                search.reversed() == ["acme/search account_opened acme/search"]
                    + own.map { "acme/search \($0) acme" })
            // The wallet's statement has all of it beside its own.
            let wallet = try await rows("acme").filter { $0.hasPrefix("acme/search ") }
            #expect(wallet == search.filter { $0.hasSuffix(" acme") })
            let named = try await served.get(
                "/api/v1/credits/transactions?user_id=acme&type=hold_expired&limit=100")
            guard case .array(let expired) = try named.at("transactions") else { return }
            #expect(expired.count == 2)
        }
    }

    @Test("what is not covered is 402 with the figures, and clip holds what is there")
    func uncovered() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "30")
            let refused = try await open(served, "h-1", amount: "40")
            try expect(refused, 402, "INSUFFICIENT_CREDITS")
            #expect(try refused.at("error", "metadata", "available") == "30.00", "\(refused.text)")
            let clipped = try await open(served, "h-1", amount: "40", more: #","policy":"clip""#)
            #expect(try clipped.at("amount") == "30.00" && clipped.at("available") == "0.00")
            try expect(
                try await served.post("/api/v1/holds/h-1/extend", #"{"user_id":"acme","amount":"20"}"#), 400,
                "INVALID_ARGUMENT")
        }
    }

    @Test("a hold that has ended, or never was, says which")
    func ended() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            try expect(try await settle(served, "h-0", request: "r-0"), 404, "HOLD_NOT_FOUND")
            _ = try await open(served, "h-1", amount: "10")
            let body = #"{"user_id":"acme","reason":"request failed"}"#
            #expect(try await served.post("/api/v1/holds/h-1/void", body).at("state") == "voided")
            #expect(try await served.post("/api/v1/holds/h-1/void", body).at("duplicate") == true)
            try expect(try await settle(served, "h-1", request: "r-1"), 409, "HOLD_VOIDED")
            try expect(
                try await served.post("/api/v1/holds/h-1/extend", #"{"user_id":"acme"}"#), 409, "HOLD_VOIDED")
            _ = try await open(served, "h-2", amount: "10")
            served.clock.advance(days: 1)
            try expect(
                try await served.post("/api/v1/holds/h-2/extend", #"{"user_id":"acme"}"#), 409, "HOLD_EXPIRED"
            )
            let late = try await settle(served, "h-2", request: "r-2")
            #expect(late.status == 200, "\(late.text)")
            #expect(try late.at("hold_state") == "expired" && late.at("charge") == "48.00")
            let receipt = try await served.get("/api/v1/receipts/r-2")
            #expect(try receipt.at("hold", "state") == "expired")
            #expect(receipt.text.contains("the lease of the hold h-2 was over"))
        }
    }

    @Test(
        "an orphan is charged as its policy says, shown everywhere, and corrected by the report that comes late"
    )
    func orphan() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "200")
            let opened = try await open(served, "h-1", amount: "60", more: #","orphan_policy":"full_hold""#)
            #expect(try opened.at("orphan_charge") == "60.00", "\(opened.text)")
            _ = try await served.post(
                "/api/v1/holds",
                #"{"hold_id":"h-2","user_id":"acme","credential_source":"platform","provider":"anthropic","model":"claude-3-5-sonnet","input_tokens":5000,"output_tokens":100,"orphan_policy":"input_only"}"#
            )
            let list = try await served.get("/api/v1/holds?account=acme")
            #expect(
                try list.at("holds", "1", "orphan_policy") == "input_only"
                    && list.at("holds", "1", "orphan_charge") == "24.00", "\(list.text)")
            for policy in ["estimate", "input_only"] {
                let refused = try await open(
                    served, "h-3", amount: "1", more: ",\"orphan_policy\":\"\(policy)\"")
                try expect(refused, 400, "INVALID_ARGUMENT")
                #expect(try refused.message.contains("orphan_policy"), "\(refused.text)")
            }
            try expect(
                try await open(served, "h-3", amount: "1", more: #","orphan_policy":"nothing""#), 400,
                "INVALID_ARGUMENT")
            served.clock.advance(days: 1)
            _ = try await served.gateway.balance(of: Array("acme".utf8))
            try await served.gateway.waitForHistory()
            let rows = try await served.get("/api/v1/credits/transactions?account=acme&type=deducted")
            #expect(try rows.at("transactions", "0", "orphan") == true, "\(rows.text)")
            #expect(try rows.at("transactions", "2") == .null)
            let receipt = try await served.get("/api/v1/receipts/h-1")
            #expect(try receipt.at("hold", "orphan_policy") == "full_hold", "\(receipt.text)")
            #expect(receipt.text.contains("ended without a report: charged by its orphan policy full_hold"))
            let metrics = try await served.get("/metrics").text
            #expect(metrics.contains("\nmetering_holds_orphaned_total 2\n"))
            #expect(metrics.contains("\nmetering_orphan_charged_nanocredits_total 84000000000\n"))
            let late = try await settle(served, "h-1", request: "r-1")
            #expect(
                try late.at("orphan_charge") == "60.00" && late.at("given_back") == "12.00", "\(late.text)")
            #expect(try late.at("charge") == "0.00" && late.at("balance") == "128.00")
            let more = try await settle(served, "h-2", request: "r-2")
            #expect(try more.at("charge") == "24.00" && more.at("given_back") == "0.00", "\(more.text)")
            try await served.gateway.waitForHistory()
            let corrected = try await served.get("/api/v1/receipts/r-2")
            #expect(try corrected.at("hold", "orphan_charge") == "24.00" && corrected.at("agrees") == true)
            #expect(corrected.text.contains("its orphan charged 24 credits"))
            #expect(
                corrected.text.contains(
                    "less the 24 credits that the orphan was charged: charged 24 credits"))
            let less = try await served.get("/api/v1/receipts/r-1")
            #expect(less.text.contains("charged nothing, and 12 credits were given back"), "\(less.text)")
            try expect(try await settle(served, "h-2", request: "r-3"), 409, "HOLD_ALREADY_SETTLED")
        }
    }

    @Test("each thing wrong with a hold has its status and reason, and holds nothing")
    func refusals() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            try await served.open("closed", amount: "100")
            _ = try await open(served, "h-1", amount: "10")
            try expect(
                try await settle(served, "h-1", request: "r-1", source: "byok"), 409, "CREDENTIAL_MISMATCH")
            try expect(
                try await open(served, "h-2", amount: "1", account: "nobody"), 404, "ACCOUNT_NOT_FOUND")
            let account = Array("closed".utf8)
            _ = try await served.gateway.change(account, AccountChange(status: .suspended), reason: "r")
            try expect(
                try await open(served, "h-2", amount: "1", account: "closed"), 403, "ACCOUNT_SUSPENDED")
            _ = try await served.gateway.close(account, .keep, actor: "ada", reason: "r")
            try expect(try await open(served, "h-2", amount: "1", account: "closed"), 403, "ACCOUNT_CLOSED")
            for amount in ["0", "-1", "1e400", "", "0.0000000001", "99999999999999999999"] {
                try expect(try await open(served, "h-2", amount: amount), 400, "INVALID_ARGUMENT")
            }
            for lease in ["-1", "31536000000", "9223372036854775807", "1.5"] {
                try expect(
                    try await open(served, "h-2", amount: "1", more: ",\"lease_ms\":\(lease)"), 400,
                    "INVALID_ARGUMENT")
            }
            for more in [
                #","policy":"loose""#, #","provider":"anthropic""#, #","unknown":1"#, #","hold_id":"h-3""#,
            ] {
                try expect(
                    try await open(served, "h-2", amount: "1", more: more), 400, "INVALID_ARGUMENT")
            }
            func priced(_ model: String, _ counts: String) async throws -> Answer {
                try await served.post(
                    "/api/v1/holds",
                    #"{"hold_id":"h-2","user_id":"acme","credential_source":"platform","provider":"anthropic","model":"\#(model)",\#(counts)}"#
                )
            }
            try expect(try await priced("nobody-sells-this", #""input_tokens":1"#), 422, "UNPRICED_MODEL")
            try expect(
                try await priced("claude-3-5-sonnet", #""input_tokens":1,"cache_read_tokens":2"#), 422,
                "INVALID_USAGE")
            // A settlement without its time could not be repeated.
            try expect(
                try await served.post(
                    "/api/v1/holds/h-1/settle",
                    #"{"user_id":"acme","credential_source":"platform","request_id":"r","provider":"anthropic","model":"claude-3-5-sonnet","input_tokens":1}"#
                ), 400, "INVALID_ARGUMENT")
            let list = try await served.get("/api/v1/holds")
            #expect(try list.at("open") == 1 && list.at("held") == "10.00")
        }
    }

    @Test("a list of holds sums up those of the account that was asked for, and none of a stranger's")
    func sums() async throws {
        try await Served.run { served in
            for account in ["acme", "acme/search", "other"] { try await served.open(account, amount: "100") }
            for (id, account) in [("h-1", "acme/search"), ("h-2", "acme"), ("h-3", "other")] {
                _ = try await open(served, id, amount: "10", account: account)
            }
            for (query, open, held) in [
                ("", 3, "30.00"), ("?account=acme", 2, "20.00"), ("?account=acme&limit=1", 2, "20.00"),
                ("?account=acme/search", 1, "10.00"),
            ] {
                let list = try await served.get("/api/v1/holds" + query)
                #expect(
                    try list.at("open") == .integer(open) && list.at("held") == .string(held),
                    "\(query): \(list.text)")
            }
            for path in ["/api/v1/holds?", "/api/v1/usage/summary?", "/api/v1/events?"] {
                try expect(try await served.get(path + "account=nobody"), 404, "ACCOUNT_NOT_FOUND")
                #expect(try await served.get(path + "account=other").status == 200)
            }
        }
    }

    @Test("parked usage that settled a hold is valued at what the hold had kept")
    func parked() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            _ = try await open(served, "h-1", amount: "40")
            let settled = try await settle(
                served, "h-1", request: "r-1", more: #","cache_read_tokens":10001"#)
            #expect(
                try settled.at("state") == "parked" && settled.at("released") == "40.00", "\(settled.text)")
            await served.report("r-2", account: "acme", model: "nobody-sells-this")
            let list = try await served.get("/api/v1/usage/parked")
            #expect(try list.at("parked", "0", "valued_at") == "40.00", "\(list.text)")
            #expect(try list.at("parked", "1", "valued_at") == .null && list.at("valued_at") == "40.00")
            let metrics = try await served.get("/metrics").text
            #expect(metrics.contains("\nmetering_parked_nanocredits 40000000000\n"))
            let ended = try await served.post(
                "/api/v1/usage/parked/settle",
                #"{"request_id":"r-1","reason":"why","by":"ada","usage":{"input_tokens":10000}}"#)
            #expect(try ended.at("results", "0", "charge") == "48.00", "\(ended.text)")
            #expect(try await served.get("/api/v1/usage/parked").at("valued_at") == "0.00")
            let receipt = try await served.get("/api/v1/receipts/r-1")
            #expect(try receipt.at("hold", "released") == "40.00", "\(receipt.text)")
        }
    }
}
