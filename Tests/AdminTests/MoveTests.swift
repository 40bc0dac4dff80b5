// Moving an account over HTTP: what is answered, what is written down, and what is refused, each with its reason, the
// field and what would help.

import Gateway
import StrictJSON
import Testing

@testable import Admin

@Suite("moving accounts over HTTP", .serialized)
struct MoveTests {
    private func tree(_ served: Served) async throws {
        try await served.open("acme", amount: "100")
        try await served.open("acme/labs", amount: "100")
        try await served.open("acme/search", amount: "100")
        let answer = try await served.post(
            "/api/v1/accounts", #"{"account":"acme/search/alice","owns_wallet":false}"#)
        #expect(try answer.at("opened") == 1)
    }

    private func move(
        _ served: Served, _ from: String, _ document: String, key: String? = nil
    ) async throws -> Answer {
        try await served.post(
            "/api/v1/accounts/\(from)/move", document, key.map { ["Idempotency-Key: \($0)"] } ?? [])
    }

    @Test(
        "a move answers where the account is and what pays for it, once for its key, and both paths show it")
    func moved() async throws {
        try await Served.run { served in
            try await tree(served)
            await served.report("r1", account: "acme/search/alice")
            let document = #"{"to":"acme/labs/search","reason":"new owner","by":"ann"}"#
            for isAgain in [false, true] {
                let answer = try await move(served, "acme/search", document, key: "k1")
                #expect(answer.status == 200, "\(answer.text)")
                #expect(try answer.at("account") == "acme/labs/search" && answer.at("from") == "acme/search")
                #expect(try answer.at("wallet") == "acme/labs/search" && answer.at("tier") == "professional")
                #expect(try answer.at("balance_after") == "52.00" && answer.at("duplicate") == .bool(isAgain))
                #expect(try answer.at("by") == "ann" && answer.at("reason") == "new owner")
            }
            let other = try await move(served, "acme/search", #"{"to":"acme/x"}"#, key: "k1")
            #expect(try other.status == 409 && other.code == "IDEMPOTENCY_CONFLICT")
            await served.report("r2", account: "acme/search/alice")
            for name in ["acme/search/alice", "acme/labs/search/alice"] {
                let shown = try await served.get("/api/v1/accounts/\(name)")
                #expect(try shown.at("account") == "acme/labs/search/alice", "\(shown.text)")
                #expect(try shown.at("wallet") == "acme/labs/search")
            }
            try await served.gateway.waitForHistory()
            let page = try await served.get("/api/v1/credits/transactions?account=acme/labs/search/alice")
            #expect(try page.at("transactions", "0", "user_id") == "acme/labs/search/alice", "\(page.text)")
            #expect(try page.at("transactions", "1", "user_id") == "acme/search/alice")
            let audit = try await served.get(
                "/api/v1/credits/audit?account=acme/labs/search&type=account_moved")
            #expect(try audit.at("acts", "0", "act") == "account_moved", "\(audit.text)")
            #expect(try audit.at("acts", "0", "from") == "acme/search")
            #expect(try audit.at("acts", "0", "to") == "acme/labs/search")
            #expect(
                try audit.at("acts", "0", "by") == "ann" && audit.at("acts", "0", "reason") == "new owner")
            #expect(try audit.at("acts", "1") == .null)
            let usage = try await served.get("/api/v1/usage/summary?account=acme/labs")
            #expect(usage.text.contains("96"), "\(usage.text)")
            let event = try await served.get("/api/v1/events?type=account.moved")
            #expect(event.text.contains("acme/labs/search"), "\(event.text)")
        }
    }

    @Test("a move that cannot be is refused with its reason and the field, and changes nothing")
    func refusals() async throws {
        try await Served.run { served in
            try await tree(served)
            try await served.open("other")
            try await served.open("acme/shut")
            _ = try await served.post("/api/v1/accounts/acme/shut/close", "{}")
            _ = try await move(served, "acme/labs", #"{"to":"acme/search/labs"}"#)
            var hold = HoldDraft(
                holdID: Array("h1".utf8), account: Array("acme/search/alice".utf8), source: .platform)
            hold.amount = 100_000_000_000
            _ = await served.gateway.hold(hold)
            let before = served.gateway.ledger.sequences()
            let cases: [(from: String, to: String, status: Int, code: String, param: String, words: String)] =
                [
                    ("acme", "acme/x", 400, "INVALID_ARGUMENT", "account", "organisation"),
                    ("acme/search", "other/search", 400, "INVALID_ARGUMENT", "to", "within its organisation"),
                    (
                        "acme/search", "acme/search/alice/x", 400, "INVALID_ARGUMENT", "to",
                        "below the account"
                    ),
                    ("acme/search/alice", "acme/search/labs", 409, "ACCOUNT_EXISTS", "to", "stands there"),
                    ("acme/search", "acme/labs", 409, "ACCOUNT_EXISTS", "to", "acme/search/labs"),
                    ("acme/search", "acme/none/x", 404, "ACCOUNT_NOT_FOUND", "to", "accounts open acme/none"),
                    ("acme/search/alice", "acme/labs/x", 404, "ACCOUNT_NOT_FOUND", "to", "acme/search/labs"),
                    ("acme/search", "acme/shut/x", 403, "ACCOUNT_CLOSED", "to", "open it again"),
                    ("acme/shut", "acme/x", 403, "ACCOUNT_CLOSED", "account", "closed"),
                    ("acme/nobody", "acme/x", 404, "ACCOUNT_NOT_FOUND", "account", "no such account"),
                    ("acme/search", "acme//x", 400, "INVALID_ARGUMENT", "to", "empty"),
                    ("acme/search", "acme/a/b/c/d/e/f/g/h", 400, "INVALID_ARGUMENT", "to", "segments"),
                ]
            for found in cases {
                let answer = try await move(served, found.from, "{\"to\":\"\(found.to)\",\"reason\":\"x\"}")
                #expect(answer.status == found.status, "\(found.to): \(answer.text)")
                #expect(
                    try answer.code == found.code && answer.message.contains(found.words), "\(answer.text)")
                #expect(try answer.at("error", "param") == .string(found.param), "\(answer.text)")
            }
            let held = try await move(served, "acme/search/alice", #"{"to":"acme/alice"}"#)
            #expect(held.status == 200, "\(held.text)")
            let back = try await move(served, "acme/alice", #"{"to":"acme/search/labs/alice"}"#)
            #expect(back.status == 200, "\(back.text)")
            _ = try await served.post(
                "/api/v1/credits/deduct", #"{"account":"acme/search","amount":"1","reason":"x"}"#)
            let middle = served.gateway.ledger.sequences()
            let uncovered = try await move(served, "acme/alice", #"{"to":"acme/search/alice"}"#)
            #expect(try uncovered.status == 409 && uncovered.code == "CREDIT_HELD", "\(uncovered.text)")
            #expect(try uncovered.at("error", "metadata", "held") == "100.00")
            #expect(try uncovered.at("error", "metadata", "available") == "99.00")
            #expect(served.gateway.ledger.sequences() == middle && middle != before)
            for (document, param) in [
                ("{}", "to"), (#"{"to":1}"#, "to"), (#"{"to":"acme/x","colour":1}"#, "colour"),
            ] {
                let answer = try await move(served, "acme/search", document)
                #expect(
                    try answer.status == 400 && answer.at("error", "param") == .string(param),
                    "\(answer.text)")
            }
            let opened = try await served.post("/api/v1/accounts", #"{"account":"acme/labs/new"}"#)
            #expect(try opened.at("results", "0", "code") == "ACCOUNT_EXISTS", "\(opened.text)")
            #expect(opened.text.contains("acme/search/labs/new"), "\(opened.text)")
        }
    }
}
