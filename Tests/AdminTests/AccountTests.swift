// Accounts are opened in bulk and left alone when they exist; a change keeps what it does not name.

import StrictJSON
import Testing

@testable import Admin

@Suite("accounts over HTTP", .serialized)
struct AccountTests {
    private static let path = "/api/v1/accounts"

    @Test("a list opens what is new, leaves what exists, and refuses the rest one by one")
    func bulk() async throws {
        try await Served.run { served in
            let body = """
                {"accounts": [
                  {"account": "acme", "tier": "professional", "amount": "100", "overdraft_limit": "5.5"},
                  {"user_id": "acme/search", "owns_wallet": false},
                  {"account": "free", "tier": "TRIAL", "unlimited": true},
                  {"account": "no space", "tier": "trial"},
                  {"account": "orphan/child", "owns_wallet": false}]}
                """
            let first = try await served.post(Self.path, body)
            #expect(first.status == 200, "\(first.text)")
            #expect(try first.at("opened") == 3, "\(first.text)")
            #expect(try first.at("refused") == 2)
            #expect(try first.at("results", "0", "result") == "opened")
            #expect(try first.at("results", "3", "code") == "INVALID_ARGUMENT")
            #expect(try first.at("results", "4", "message") != .null)
            #expect(first.text.contains("owns no wallet"), "\(first.text)")
            let second = try await served.post(Self.path, body)
            #expect(try second.at("existed") == 3, "\(second.text)")
            #expect(try second.at("results", "0", "result") == "existed")
            let acme = try await served.get(Self.path + "/acme")
            #expect(try acme.at("balance") == "100.00", "the credit came once")
            #expect(try acme.at("available") == "105.50")
            #expect(try acme.at("owns_wallet") == true)
            let child = try await served.get(Self.path + "/acme/search")
            #expect(try child.at("account") == "acme/search")
            #expect(try child.at("wallet") == "acme")
            #expect(try child.at("tier") == "professional")
            #expect(try child.at("owns_wallet") == false)
            let encoded = try await served.get(Self.path + "/acme%2Fsearch")
            #expect(try encoded.at("account") == "acme/search")
            let free = try await served.get(Self.path + "/free")
            #expect(try free.at("unlimited") == true)
            #expect(try free.at("tier") == "trial")
        }
    }

    @Test("a list with a mistake opens nothing, and says where the mistake is")
    func mistakes() async throws {
        try await Served.run { served in
            let rows: [(String, String, String)] = [
                ("{\"account\":\"b\",\"tier\":\"gold\"}", "accounts[1].tier", "enterprise, professional"),
                ("{\"account\":\"b\"}", "accounts[1]", "`tier` is missing"),
                ("{\"tier\":\"trial\"}", "accounts[1].user_id", "missing"),
                ("{\"account\":\"b\",\"tier\":\"trial\",\"wallet\":true}", "accounts[1].wallet", "not known"),
                (
                    "{\"account\":\"b\",\"tier\":\"trial\",\"amount\":\"-1\"}", "accounts[1].amount",
                    "negative"
                ),
                (
                    "{\"account\":\"b\",\"tier\":\"trial\",\"overdraft_limit\":-1}",
                    "accounts[1].overdraft_limit", "negative"
                ),
                (
                    "{\"account\":\"b\",\"tier\":\"trial\",\"unlimited\":1}", "accounts[1].unlimited",
                    "true or false"
                ),
                ("{\"account\":\"b\",\"tier\":\"trial\",\"kind\":\"promo\"}", "accounts[1]", "no `amount`"),
                ("7", "accounts[1]", "an object"),
            ]
            for (account, param, words) in rows {
                let answer = try await served.post(
                    Self.path, "{\"accounts\":[{\"account\":\"a\",\"tier\":\"trial\"},\(account)]}")
                #expect(answer.status == 400, "\(account): \(answer.text)")
                #expect(try answer.at("error", "param") == .string(param), "\(answer.text)")
                #expect(try answer.message.contains(words), "\(answer.text)")
            }
            #expect(try await served.get(Self.path + "/a").status == 404, "nothing was opened")
            #expect(try await served.post(Self.path, "{\"accounts\":[]}").status == 400)
            let many = Array(repeating: "{\"account\":\"a\",\"tier\":\"trial\"}", count: 10_001)
            let tooMany = try await served.post(Self.path, "{\"accounts\":[\(many.joined(separator: ","))]}")
            #expect(try tooMany.message.contains("10001"), "\(tooMany.text)")
        }
    }

    @Test("2 000 accounts open in one request")
    func manyAccounts() async throws {
        try await Served.run { served in
            let accounts = (0..<2_000).map {
                "{\"account\":\"u\($0)\",\"tier\":\"starter\",\"amount\":\"1.5\"}"
            }
            let answer = try await served.post(
                Self.path, "{\"accounts\":[\(accounts.joined(separator: ","))]}")
            #expect(try answer.at("opened") == 2_000, "\(answer.text.prefix(300))")
            let books = try await served.get("/api/v1/books")
            #expect(try books.at("granted") == "3000000000000")
            #expect(try books.at("balances") == "3000000000000")
            #expect(try books.at("accounts") == 2_000)
            #expect(try books.at("balance") == true)
        }
    }

    @Test("a change keeps what it does not name")
    func changes() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "10")
            #expect(
                try await served.post(Self.path, "{\"account\":\"acme/a\",\"owns_wallet\":false}").status
                    == 200)
            let limit = try await served.send(
                "PATCH", Self.path + "/acme", body: "{\"overdraft_limit\":\"2.5\",\"reason\":\"trusted\"}")
            #expect(limit.status == 200, "\(limit.text)")
            #expect(try limit.at("overdraft_limit") == "2.50")
            #expect(try limit.at("tier") == "professional")
            let tier = try await served.send("PUT", Self.path + "/acme", body: "{\"tier\":\"enterprise\"}")
            #expect(try tier.at("tier") == "enterprise")
            #expect(try tier.at("overdraft_limit") == "2.50")
            #expect(try await served.get(Self.path + "/acme/a").at("tier") == "enterprise", "it inherits")
            let own = try await served.send("PATCH", Self.path + "/acme/a", body: "{\"tier\":\"starter\"}")
            #expect(try own.at("tier") == "starter")
            let back = try await served.send("PATCH", Self.path + "/acme/a", body: "{\"tier\":null}")
            #expect(try back.at("tier") == "enterprise")
            let suspended = try await served.send(
                "PATCH", Self.path + "/acme", body: "{\"status\":\"suspended\",\"reason\":\"past due\"}")
            #expect(try suspended.at("status") == "suspended")
            #expect(try suspended.at("overdraft_limit") == "2.50")
            #expect(try await served.get(Self.path + "/acme/a").at("status") == "suspended")
            let below = try await served.send(
                "PATCH", Self.path + "/acme/a", body: "{\"tier\":\"starter\"}")
            #expect(try below.at("tier") == "starter", "\(below.text)")
            _ = try await served.send("PATCH", Self.path + "/acme", body: "{\"status\":\"active\"}")
            let after = try await served.get(Self.path + "/acme/a")
            #expect(try after.at("status") == "active", "its own status stayed what it was")
            #expect(try after.at("tier") == "starter")
        }
    }

    @Test("changes of one account at the same time lose nothing")
    func concurrentChanges() async throws {
        try await Served.run { served in
            try await served.open("acme")
            for round in 1...20 {
                async let limit = served.send(
                    "PATCH", Self.path + "/acme", body: "{\"overdraft_limit\":\"\(round)\"}")
                async let tier = served.send(
                    "PATCH", Self.path + "/acme",
                    body: "{\"tier\":\"\(round % 2 == 0 ? "starter" : "enterprise")\"}")
                let statuses = try await (limit.status, tier.status)
                #expect(statuses == (200, 200))
                let account = try await served.get(Self.path + "/acme")
                #expect(try account.at("overdraft_limit") == .string("\(round).00"))
                #expect(try account.at("tier") == .string(round % 2 == 0 ? "starter" : "enterprise"))
            }
        }
    }

    @Test("a change that changes nothing, or something that is not there, is refused")
    func changeRefusals() async throws {
        try await Served.run { served in
            try await served.open("acme")
            _ = try await served.post(Self.path, "{\"account\":\"acme/a\",\"owns_wallet\":false}")
            let rows: [(String, String, Int, String)] = [
                ("acme", "{}", 400, "nothing is to change"),
                ("acme", "{\"reason\":\"why\"}", 400, "nothing is to change"),
                ("acme", "{\"status\":\"gone\"}", 400, "\"suspended\""),
                ("acme", "{\"owns_wallet\":true}", 400, "not known"),
                ("acme", "{\"tier\":\"gold\"}", 400, "no rule"),
                ("acme/a", "{\"unlimited\":true}", 400, "acme's"),
                ("nobody", "{\"status\":\"active\"}", 404, "no such account"),
                ("a%20b", "{\"status\":\"active\"}", 400, "byte 1"),
            ]
            for (account, body, status, words) in rows {
                let answer = try await served.send("PATCH", "\(Self.path)/\(account)", body: body)
                #expect(answer.status == status, "\(body): \(answer.text)")
                #expect(try answer.message.contains(words), "\(answer.text)")
            }
        }
    }
}
