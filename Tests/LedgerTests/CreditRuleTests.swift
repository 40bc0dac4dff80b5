// The rules of credit, one by one: which grant pays, in which order, and what is available.

import Bytes
import Pricing
import Testing

@testable import Ledger

@Suite("the rules of credit")
struct CreditRuleTests {
    private func house() throws -> House {
        let house = try House()
        try house.open("acme")
        return house
    }

    private func later(_ house: House, _ microseconds: Int64) -> Timestamp {
        Timestamp(microseconds: house.now.microseconds + microseconds)
    }

    /// Spends a nanocredit and says of what kind it was.
    private func spend(_ house: House, _ id: String, provider: String = "p") throws -> GrantKind? {
        let before = try #require(try house.summary()).remaining
        _ = house.report(Call(id, tokens: 1, provider: provider))
        let after = try #require(try house.summary()).remaining
        return GrantKind.allCases.first { before[$0, default: 0] > after[$0, default: 0] }
    }

    @Test("burn order by kind: monthly 10, promo 20, bonus 30, refund 35, purchased 40")
    func defaultBurnOrders() throws {
        #expect(
            GrantKind.allCases.map { [Int($0.rawValue), Int($0.defaultBurnOrder)] }
                == [[1, 10], [2, 20], [3, 30], [4, 40], [5, 35], [6, 40]])
        // Given last first, so that neither age nor id decides.
        let house = try house()
        for kind in [GrantKind.purchased, .refund, .bonus, .promo, .monthly] {
            try house.grant(1, kind: kind)
        }
        let order = try (0..<5).map { try spend(house, "r\($0)") }
        #expect(order == [.monthly, .promo, .bonus, .refund, .purchased])
    }

    @Test("burn first: a filter that does not match never pays, whatever its order")
    func filterFirst() throws {
        let house = try house()
        try house.grant(1, kind: .monthly, filter: GrantFilter(providers: ["q"]))
        try house.grant(2, kind: .purchased)
        #expect(try spend(house, "r1") == .purchased)
        #expect(try spend(house, "r2", provider: "q") == .monthly)
        #expect(try spend(house, "r3", provider: "q") == .purchased)
    }

    @Test("burn second: a lower burn order pays before an earlier expiry")
    func orderBeforeExpiry() throws {
        let house = try house()
        try house.grant(1, kind: .purchased, expiresAt: later(house, 10))
        try house.grant(1, kind: .promo, expiresAt: later(house, 1_000))
        #expect(try spend(house, "r1") == .promo)
        #expect(try spend(house, "r2") == .purchased)
    }

    @Test("burn third: of one order the earliest expiry pays, and what never ends comes last")
    func expiryBeforeAge() throws {
        let house = try house()
        // Adjustments have the order of purchases, and tell them apart.
        try house.grant(1, kind: .adjustment)
        try house.grant(1, kind: .purchased, expiresAt: later(house, 1_000))
        #expect(try spend(house, "r1") == .purchased)
        #expect(try spend(house, "r2") == .adjustment)
        try house.grant(1, kind: .adjustment, expiresAt: later(house, 1_000))
        try house.grant(1, kind: .purchased, expiresAt: later(house, 999))
        #expect(try spend(house, "r3") == .purchased)
    }

    @Test(
        "burn fourth: of one order and expiry the oldest pays, and in one instant the one with the lower id")
    func oldestThenID() throws {
        let house = try house()
        try house.grant(1, kind: .adjustment)
        house.now.microseconds += 1
        try house.grant(1, kind: .purchased)
        #expect(try spend(house, "r1") == .adjustment)
        #expect(try spend(house, "r2") == .purchased)
        try house.grant(1, kind: .purchased)
        try house.grant(1, kind: .adjustment)
        #expect(try spend(house, "r3") == .purchased)
        #expect(try spend(house, "r4") == .adjustment)
    }

    @Test("available = live grants − open holds + overdraft limit")
    func available() throws {
        let house = try house()
        try house.change("acme", overdraft: 7)
        try house.grant(100)
        try house.grant(20, kind: .promo, expiresAt: later(house, 1_000))
        #expect(try house.summary()?.available == 127)
        house.now.microseconds += 1_000
        #expect(try house.summary()?.available == 107)
        house.hold(HoldOrder("h", amount: 30))
        #expect(try house.summary()?.available == 77 && house.summary()?.balance == 100)
        // Debt counts against it.
        _ = house.report(Call("r", tokens: 150))
        #expect(try house.summary()?.available == -73)
    }

    @Test("debt is repaid by the next grant before any of it can be spent, whatever its kind")
    func debtFirst() throws {
        for kind in GrantKind.allCases {
            let house = try house()
            _ = house.report(Call("r1", tokens: 70))
            #expect(try house.grant(50, kind: kind).receipt?.balance == -20)
            #expect(try house.summary()?.remaining == [:], "\(kind)")
            #expect(house.report(Call("r2", tokens: 1, refuse: true)).refusal?.expected == -20)
            #expect(try house.grant(50, kind: kind).receipt?.balance == 30)
            #expect(try house.summary()?.remaining == [kind: 30], "\(kind)")
            #expect(house.report(Call("r3", tokens: 30, refuse: true)).receipt?.balance == 0)
            #expect(house.ledger.totals().balance)
        }
    }

    @Test("price first, admit second: a charge of zero needs no credit, in debt and below a guard too")
    func priceFirst() throws {
        let house = try house()
        _ = house.report(Call("debt", tokens: 10))
        var free = Call("free", tokens: 1_000, refuse: true)
        free.model = "free"
        #expect(house.report(free).receipt?.charge == 0)
        // What the month's allowance pays is a charge of zero; one token more is not.
        #expect(house.report(Call("own", tokens: 1_000, refuse: true, byok: true)).receipt?.charge == 0)
        #expect(
            house.report(Call("above", tokens: 1, refuse: true, byok: true)).refusal?.reason
                == .insufficientCredits)
    }
}
