// When credit ends, kind by kind, and that nothing of a period is carried into the next.

import Ledger
import Pricing
import StrictJSON
import Testing

@testable import Admin

@Suite("when credit ends", .serialized)
struct CreditRuleTests {
    private func give(_ served: Served, _ kind: String, _ amount: String = "10") async throws -> Answer {
        let answer = try await served.post(
            "/api/v1/credits/allocate",
            #"{"user_id":"acme","amount":"\#(amount)","source":"gift","kind":"\#(kind)"}"#)
        #expect(answer.status == 200, "\(answer.text)")
        return answer
    }

    private func instant(_ answer: Answer, _ name: String) throws -> Timestamp? {
        guard case .string(let text) = try answer.at(name) else { return nil }
        return try JSONNode(.string(text)).timestamp()
    }

    @Test("promo ends 90 days after its day, monthly with its month, and the others never")
    func defaultExpiries() async throws {
        try await Served.run { served in
            try await served.open("acme")
            let day: Int64 = 86_400_000_000
            let now = served.gateway.now().microseconds
            let promo = try #require(try instant(await give(served, "promo"), "expires_at"))
            // Whole days, so that the same document on the same day is the same grant.
            #expect(promo.microseconds % day == 0)
            #expect((now + 90 * day - promo.microseconds) < day && promo.microseconds <= now + 90 * day)
            let monthly = try await give(served, "monthly")
            let end = try #require(try instant(monthly, "expires_at"))
            let month = CalendarMonth(containing: served.gateway.now())
            #expect(end == CalendarMonth(count: month.count + 1).start)
            #expect(try instant(monthly, "reset_date") == end)
            for kind in ["bonus", "refund", "purchased", "adjustment"] {
                #expect(try await give(served, kind).at("expires_at") == .null, "\(kind)")
            }
        }
    }

    @Test("nothing rolls over: what is left of a month's credit ends with it, and bonus and purchased stay")
    func nothingRollsOver() async throws {
        try await Served.run { served in
            try await served.open("acme")
            for kind in ["monthly", "bonus", "purchased"] { _ = try await give(served, kind) }
            let before = try await served.get("/api/v1/credits/balance?user_id=acme")
            #expect(try before.at("balance") == "30.00" && before.at("remaining", "monthly") == "10.00")
            served.clock.advance(days: 31)
            let after = try await served.get("/api/v1/credits/balance?user_id=acme")
            #expect(try after.at("balance") == "20.00" && after.at("remaining", "monthly") == "0.00")
            // The next month's is what is given for it, no more.
            _ = try await give(served, "monthly", "7")
            let next = try await served.get("/api/v1/credits/balance?user_id=acme")
            #expect(try next.at("remaining", "monthly") == "7.00" && next.at("balance") == "27.00")
        }
    }
}
