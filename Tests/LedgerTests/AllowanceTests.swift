// The free allowance of own-key rules: per rule, per wallet, per calendar month of the event.

import Pricing
import Testing

@testable import Ledger

@Suite("monthly allowances")
struct AllowanceTests {
    private func month(_ count: Int32) -> Timestamp {
        let now = CalendarMonth(containing: Fixture.start)
        return Timestamp(microseconds: CalendarMonth(count: now.count + count).start.microseconds + 1)
    }

    private func house() throws -> House {
        let house = try House()
        try house.open("acme")
        try house.grant(1_000_000)
        return house
    }

    private func used(
        _ house: House, _ id: String, _ tokens: Int64, month count: Int32, provider: String = "p"
    ) -> Int64? {
        house.report(Call(id, tokens: tokens, at: month(count), byok: true, provider: provider)).receipt?
            .allowanceUsed
    }

    @Test("the allowance pays first, to its last nanocredit, then the wallet")
    func order() throws {
        let house = try house()
        let first = try #require(house.report(Call("r1", tokens: 999, byok: true)).receipt)
        #expect(first.charge == 0 && first.allowanceUsed == 999 && first.balance == 1_000_000)
        let second = try #require(house.report(Call("r2", tokens: 10, byok: true)).receipt)
        #expect(second.charge == 9 && second.allowanceUsed == 1 && second.balance == 999_991)
        let third = try #require(house.report(Call("r3", tokens: 10, byok: true)).receipt)
        #expect(third.charge == 10 && third.allowanceUsed == 0)
    }

    @Test("each rule and each wallet has its own")
    func separate() throws {
        let house = try house()
        try house.open("acme/team")
        try house.open("acme/member", wallet: false, tier: nil)
        #expect(used(house, "r1", 5_000, month: 0) == 1_000)
        #expect(used(house, "r2", 5_000, month: 0, provider: "q") == 500)
        let team = Call("r3", of: "acme/team", tokens: 5_000, at: month(0), byok: true)
        #expect(house.report(team).receipt?.allowanceUsed == 1_000)
        let member = Call("r4", of: "acme/member", tokens: 5_000, at: month(0), byok: true)
        #expect(house.report(member).receipt?.allowanceUsed == 0)
    }

    @Test("a new month has a whole allowance, and late events use their own month's")
    func months() throws {
        let house = try house()
        #expect(used(house, "jan", 600, month: 0) == 600)
        #expect(used(house, "feb", 700, month: 1) == 700)
        #expect(used(house, "late jan", 600, month: 0) == 400)
        #expect(used(house, "feb again", 600, month: 1) == 300)
        #expect(used(house, "later jan", 600, month: 0) == 0)
    }

    @Test("a month before the last but one has none, whether its bucket is there or not")
    func tooLate() throws {
        for early in [[0], [0, 1], [1, 0], [0, 1, 0]] as [[Int32]] {
            let house = try house()
            for (number, count) in early.enumerated() { _ = used(house, "early\(number)", 1, month: count) }
            #expect(used(house, "apr", 1, month: 3) == 1)
            #expect(used(house, "late jan", 10, month: 0) == 0)
            #expect(used(house, "late feb", 10, month: 1) == 0)
            #expect(used(house, "late mar", 10, month: 2) == 10)
        }
    }

    @Test("a refused report, a quote and a free model use nothing")
    func nothingUsed() throws {
        let house = try House()
        try house.open("acme")
        let refused = Call("r1", tokens: 1_001, refuse: true, byok: true)
        #expect(house.report(refused).refusal?.found == 1)
        var free = Call("r2", tokens: 1_000, byok: true)
        free.model = "free"
        #expect(house.report(free).receipt?.allowanceUsed == 0)
        let call = Call("q", tokens: 1_001, byok: true)
        for _ in 0..<2 {
            var standing = QuoteStanding()
            try call.withRecord { (record) throws in
                var keys = RecordKeys.none
                (keys.organisation, keys.account) = try house.ledger.keys.account(unchecked: record.account)
                house.ledger.quote(
                    keys, record: record, book: house.book, now: house.now, mark: &house.mark,
                    into: &standing)
            }
            #expect(standing.own.allowanceUsed == 1_000 && standing.own.charge == 1)
        }
        #expect(house.report(Call("r3", tokens: 1_000, refuse: true, byok: true)).receipt?.charge == 0)
    }

    @Test("years of months leave two buckets for each rule")
    func buckets() throws {
        let house = try house()
        for count in 0..<60 as Range<Int32> {
            _ = used(house, "p\(count)", 10, month: count)
            _ = used(house, "q\(count)", 10, month: count, provider: "q")
            _ = used(house, "late\(count)", 10, month: count - 1)
        }
        #expect(house.ledger.shards[0].state.withLock { $0.allowances.count } <= 4)
    }
}
