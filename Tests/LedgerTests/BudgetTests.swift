// The rules of budgets: windows by arithmetic, what counts, what is refused, and when it heals.

import Bytes
import Pricing
import Testing

@testable import Ledger

extension House {
    @discardableResult
    func budget(
        _ name: String = "b", of account: String = "acme", _ window: BudgetWindow = .day,
        _ metric: BudgetMetric = .cost, limit: Int64, hard: Bool = true, provider: String = "",
        model: String = "", anchorDay: UInt8 = 1
    ) throws -> ActAnswer {
        var terms = BudgetTerms(
            name: Array(name.utf8), window: window, metric: metric, limit: limit, isHard: hard)
        terms.provider = Array(provider.utf8)
        terms.model = Array(model.utf8)
        terms.anchorDay = anchorDay
        return try account.withView { (path) throws in
            try "why".withView { (why) throws in
                try ledger.setBudget(path, terms, actor: why, reason: why, now: now, mark: &mark)
            }
        }
    }

    @discardableResult
    func removeBudget(_ name: String, of account: String = "acme") throws -> ActAnswer {
        try account.withView { (path) throws in
            try "why".withView { (why) throws in
                try ledger.removeBudget(
                    path, name: Array(name.utf8), actor: why, reason: why, now: now, mark: &mark)
            }
        }
    }

    func budgets(_ account: String = "acme") throws -> [BudgetStanding] {
        try account.withView { (path) throws in
            try #require(try ledger.budgets(of: path, now: now, mark: &mark))
        }
    }
}

@Suite("budgets")
struct BudgetTests {
    private func house() throws -> House {
        let house = try House()
        try house.open("acme")
        try house.open("acme/team", wallet: false)
        try house.open("acme/team/ada", wallet: false)
        try house.grant(1_000_000)
        return house
    }

    @Test("a charge counts against every budget on the way up, and no other")
    func everyLevel() throws {
        let house = try house()
        try house.open("acme/other", wallet: false)
        for account in ["acme", "acme/team", "acme/team/ada", "acme/other"] {
            try house.budget("cost", of: account, limit: 1_000)
            try house.budget("tokens", of: account, .month, .tokens, limit: 1_000)
            try house.budget("calls", of: account, .total, .requests, limit: 1_000)
        }
        _ = house.report(Call("r1", of: "acme/team/ada", tokens: 70))
        _ = house.report(Call("r2", of: "acme/team", tokens: 5))
        _ = house.report(Call("r1", of: "acme/team/ada", tokens: 70))
        let ada = try house.budgets("acme/team/ada")
        #expect(ada.map { $0.account.count } == [13, 13, 13, 9, 9, 9, 4, 4, 4])
        #expect(ada.map(\.used) == [1, 70, 70, 2, 75, 75, 2, 75, 75])
        #expect(try house.budgets("acme/other").prefix(3).map(\.used) == [0, 0, 0])
    }

    @Test("a hard budget refuses holds that would go above it, with its limit and when it heals")
    func hard() throws {
        let house = try house()
        try house.budget(of: "acme/team", limit: 100)
        #expect(house.hold(HoldOrder("h1", of: "acme/team/ada", amount: 60)).receipt != nil)
        let refusal = try #require(house.hold(HoldOrder("h2", of: "acme/team/ada", amount: 41)).refusal)
        #expect(refusal.reason == .budgetExceeded && refusal.field == .costBudget && refusal.found == 100)
        // The day of the tests begins at midnight.
        #expect(refusal.expected == 86_400_000 + 1)
        #expect(house.hold(HoldOrder("h2", of: "acme/team/ada", amount: 40)).receipt != nil)
        #expect(house.hold(HoldOrder("h3", amount: 5_000)).receipt != nil)
        #expect(try house.budgets("acme/team").first?.held == 100)
        house.settle("h1", of: "acme/team/ada", tokens: 10)
        #expect(try house.budgets("acme/team").first.map { [$0.used, $0.held] } == [10, 40])
        try house.void("h2", of: "acme/team/ada")
        #expect(house.hold(HoldOrder("h4", of: "acme/team", amount: 91)).refusal != nil)
        #expect(house.hold(HoldOrder("h5", of: "acme/team", amount: 90)).receipt != nil)
    }

    @Test("usage that happened is recorded above a hard budget, and a soft one refuses nothing")
    func reportsGoOn() throws {
        let house = try house()
        try house.budget("hard", limit: 100)
        #expect(house.report(Call("r1", tokens: 500)).receipt?.charge == 500)
        #expect(house.hold(HoldOrder("h1", amount: 1)).refusal?.reason == .budgetExceeded)
        try house.budget("hard", limit: 100, hard: false)
        #expect(house.hold(HoldOrder("h1", amount: 1)).receipt != nil)
        #expect(try house.budgets().first?.used == 500)
    }

    @Test("the place of a budget that was taken away is used again, whichever it was", arguments: 0..<4)
    func places(removed: Int) throws {
        let house = try house()
        for round in 0..<50 {
            for name in ["a", "b", "c", "d"] {
                try house.budget("\(name)\(round)", .day, .requests, limit: 9)
            }
            _ = house.report(Call("r\(round)"))
            let names = ["a", "b", "c", "d"].map { "\($0)\(round)" }
            #expect(try house.budgets().map { String(decoding: $0.terms.name, as: UTF8.self) } == names)
            #expect(try house.budgets().map(\.used) == [1, 1, 1, 1])
            try house.removeBudget(names[removed])
            for name in names where name != names[removed] { try house.removeBudget(name) }
            #expect(try house.budgets().isEmpty)
        }
        let shards = house.ledger.shards
        #expect(shards.indices.reduce(0) { $0 + shards[$1].state.withLock { $0.budgets.count } } == 3)
    }

    @Test("a hold of no cost passes a budget on cost, and counts for one on requests")
    func free() throws {
        let house = try house()
        try house.budget(limit: 0)
        var order = HoldOrder()
        order.model = "free"
        order.input = 5
        #expect(house.hold(order).receipt?.amount == 0)
        try house.budget("calls", .hour, .requests, limit: 1)
        order.id = "h2"
        let refusal = house.hold(order).refusal
        #expect(refusal?.reason == .budgetExceeded && refusal?.field == .requestBudget)
    }

    @Test("CLIP holds what a budget on cost leaves; tokens do not shrink")
    func clip() throws {
        let house = try house()
        try house.budget(limit: 100)
        #expect(house.hold(HoldOrder("h1", amount: 250, policy: .clip)).receipt?.amount == 100)
        #expect(house.hold(HoldOrder("h2", amount: 1, policy: .clip)).refusal?.reason == .budgetExceeded)
        try house.removeBudget("b")
        try house.budget("tokens", .day, .tokens, limit: 10)
        var order = HoldOrder("h3", policy: .clip)
        order.input = 11
        let refusal = house.hold(order).refusal
        #expect(refusal?.reason == .budgetExceeded && refusal?.field == .tokenBudget)
        order.input = 10
        #expect(house.hold(order).receipt != nil)
    }

    @Test("growing a hold needs room in the budget")
    func extend() throws {
        let house = try house()
        try house.budget(limit: 100)
        house.hold(HoldOrder(amount: 60))
        #expect(try house.extend("h1", amount: 101).refusal?.reason == .budgetExceeded)
        #expect(try house.extend("h1", amount: 100).receipt?.amount == 100)
        #expect(try house.budgets().first?.held == 100)
    }

    @Test("a budget for a provider or a model counts and refuses that alone, letter case aside")
    func filters() throws {
        let house = try house()
        try house.budget("p", .day, .tokens, limit: 10, provider: "P")
        try house.budget("unit", .day, .requests, limit: 9, model: "UNIT")
        try house.budget("none", .day, .requests, limit: 1, provider: "q", model: "other")
        _ = house.report(Call("r1", tokens: 4))
        _ = house.report(Call("r2", tokens: 5, byok: true, provider: "q"))
        #expect(try house.budgets().map(\.used).sorted() == [0, 2, 4])
        var order = HoldOrder()
        order.input = 7
        #expect(house.hold(order).refusal?.reason == .budgetExceeded)
        order.input = 6
        #expect(house.hold(order).receipt != nil)
        // A hold of an amount names no provider.
        #expect(house.hold(HoldOrder("h2", amount: 1_000)).receipt != nil)
    }

    @Test("a window begins again by arithmetic, and what was used before does not count")
    func rolls() throws {
        let house = try house()
        try house.budget("minute", .minute, .cost, limit: 100)
        try house.budget("total", .total, .cost, limit: 1_000)
        _ = house.report(Call("r1", tokens: 100))
        #expect(house.hold(HoldOrder("h1", amount: 1)).refusal?.expected == 60_001)
        house.now.microseconds += 59_000_000
        #expect(house.hold(HoldOrder("h1", amount: 1)).refusal?.expected == 1_001)
        house.now.microseconds += 1_000_000
        #expect(house.hold(HoldOrder("h1", amount: 1)).receipt != nil)
        #expect(Set(try house.budgets().map(\.used)) == [0, 100])
        _ = house.report(Call("r2", tokens: 7, at: house.now))
        #expect(Set(try house.budgets().map(\.used)) == [7, 107])
    }

    @Test("a total budget does not heal, and says so by no time")
    func total() throws {
        let house = try house()
        try house.budget("total", .total, .cost, limit: 10)
        let refusal = try #require(house.hold(HoldOrder(amount: 11)).refusal)
        #expect(refusal.reason == .budgetExceeded && refusal.expected == 0)
    }

    @Test("changing the limit goes on counting; another window, metric or filter begins anew")
    func changes() throws {
        let house = try house()
        try house.budget(limit: 100)
        _ = house.report(Call("r1", tokens: 50))
        house.hold(HoldOrder(amount: 20))
        try house.budget(limit: 200)
        #expect(try house.budgets().first.map { [$0.used, $0.held, $0.terms.limit] } == [50, 20, 200])
        try house.budget("b", .hour, limit: 200)
        #expect(try house.budgets().first.map { [$0.used, $0.held] } == [0, 20])
        #expect(try house.budgets().count == 1)
        try house.removeBudget("b")
        #expect(try house.budgets().isEmpty)
        #expect(try house.removeBudget("b").refusal?.field == .budget)
    }

    @Test("a parked record counts its tokens when parked and its cost when settled")
    func parked() throws {
        let house = try house()
        try house.budget("cost", .month, .cost, limit: 1_000)
        try house.budget("tokens", .month, .tokens, limit: 1_000)
        var call = Call("r1", tokens: 9)
        call.usage.cacheReadTokens = 10
        let sequence = try #require(house.report(call).receipt).sequence
        #expect(Set(try house.budgets().map(\.used)) == [0, 9])
        call.usage.cacheReadTokens = 0
        call.usage.inputTokens = 12
        try house.end(.settle, call, parkedAs: sequence) {
            $0.usage.inputTokens = 9
            $0.usage.cacheReadTokens = 10
        }
        #expect(Set(try house.budgets().map(\.used)) == [12, 9])
    }

    @Test("bad budgets are refused and change nothing")
    func bad() throws {
        let house = try house()
        let sequences = house.ledger.sequences()
        #expect(try house.budget(limit: -1).refusal?.field == .amount)
        #expect(try house.budget("", limit: 1).refusal != nil)
        #expect(try house.budget(String(repeating: "n", count: 65), limit: 1).refusal != nil)
        #expect(try house.budget("b", .anchoredMonth, limit: 1, anchorDay: 32).refusal != nil)
        #expect(try house.budget(of: "nobody", limit: 1).refusal?.reason == .accountNotFound)
        #expect(house.ledger.sequences() == sequences)
        for number in 0..<BudgetLimits.perAccountMax { try house.budget("b\(number)", limit: 1) }
        #expect(try house.budget("one more", limit: 1).refusal?.field == .budget)
    }

    @Test("replay and a checkpoint keep budgets, what they counted and what holds keep")
    func replay() throws {
        let house = try house()
        for account in ["acme", "acme/team", "acme/team/ada"] {
            for (number, window) in BudgetWindow.allCases.enumerated() {
                try house.budget(
                    "b\(number)", of: account, window, BudgetMetric.allCases[number % 3], limit: 500,
                    hard: false, provider: number == 4 ? "q" : "", anchorDay: 31)
            }
        }
        for number in 0..<30 {
            let account = ["acme", "acme/team", "acme/team/ada"][number % 3]
            house.hold(HoldOrder("h\(number)", of: account, amount: Int64(number)))
            _ = house.report(Call("r\(number)", of: account, tokens: 3, byok: number % 2 == 0, provider: "q"))
            if number % 4 == 0 { house.settle("h\(number)", "s\(number)", of: account, tokens: 2) }
            house.now.microseconds += 7_200_000_000
        }
        try house.removeBudget("b3", of: "acme/team")
        try house.budget("b5", of: "acme", .anchoredMonth, .cost, limit: 77, anchorDay: 15)
        house.hold(HoldOrder("last", of: "acme/team/ada", amount: 11))
        let twin = try house.replayed()
        expectSame(house, twin)
        let restored = house.sibling()
        var copies = AccountCopies()
        let snapshot = house.ledger.copyChanged(shard: 0, into: &copies, mark: &house.mark)
        try copies.forEach(shard: 0) { (record) throws in try restored.ledger.restore(record) }
        restored.ledger.setCheckpoint(shard: 0, sequence: snapshot.sequence, time: house.now)
        for other in [twin, restored] {
            for account in ["acme", "acme/team", "acme/team/ada"] {
                let (left, right) = (try other.budgets(account), try house.budgets(account))
                #expect(left == right)
            }
        }
        #expect(try house.budgets("acme/team/ada").contains { $0.held > 0 && $0.used > 0 })
        // All go on alike.
        for other in [house, twin, restored] { other.settle("last", "end", of: "acme/team/ada", tokens: 5) }
        let expected = try house.budgets("acme/team/ada")
        let twinBudgets = try twin.budgets("acme/team/ada")
        #expect(twinBudgets == expected)
        let restoredBudgets = try restored.budgets("acme/team/ada")
        #expect(restoredBudgets == expected)
    }
}

@Suite("the windows of budgets")
struct BudgetWindowTests {
    private func time(_ text: String) throws -> Timestamp { try #require(Timestamp(text: text)) }

    @Test(
        "each window begins and ends where its calendar says, in UTC",
        arguments: [
            (BudgetWindow.minute, "2026-11-25T13:10:59Z", "2026-11-25T13:10:00Z", "2026-11-25T13:11:00Z"),
            (.hour, "2026-11-25T13:10:59Z", "2026-11-25T13:00:00Z", "2026-11-25T14:00:00Z"),
            (.day, "2026-11-25T13:10:59Z", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"),
            (.week, "2026-11-25T13:10:59Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
            (.week, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
            (.week, "1969-12-30T00:00:00Z", "1969-12-29T00:00:00Z", "1970-01-05T00:00:00Z"),
            (.month, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ])
    func calendar(window: BudgetWindow, at: String, start: String, end: String) throws {
        let range = window.range(containing: try time(at), anchorDay: 1)
        let expected = (start: try time(start), end: try time(end))
        #expect(range == expected)
    }

    @Test(
        "an anchored month begins on its day, or on the last of a month without it",
        arguments: [
            (15, "2026-11-14T23:59:59Z", "2026-10-15T00:00:00Z", "2026-11-15T00:00:00Z"),
            (15, "2026-11-15T00:00:00Z", "2026-11-15T00:00:00Z", "2026-12-15T00:00:00Z"),
            (31, "2026-02-27T00:00:00Z", "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"),
            (31, "2026-02-28T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"),
            (31, "2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z", "2024-03-31T00:00:00Z"),
            (30, "2026-12-31T00:00:00Z", "2026-12-30T00:00:00Z", "2027-01-30T00:00:00Z"),
            (1, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        ])
    func anchored(day: UInt8, at: String, start: String, end: String) throws {
        let range = BudgetWindow.anchoredMonth.range(containing: try time(at), anchorDay: day)
        let expected = (start: try time(start), end: try time(end))
        #expect(range == expected)
    }

    @Test("windows follow each other without a gap, wherever one begins", arguments: UInt64(1)...20)
    func noGaps(seed: UInt64) {
        var random = Seeded(seed)
        for window in BudgetWindow.allCases where window != .total {
            let day = UInt8.random(in: 1...31, using: &random)
            var at = Timestamp(
                microseconds: Int64.random(in: -4_000_000_000_000_000...8_000_000_000_000_000, using: &random)
            )
            for _ in 0..<30 {
                let range = window.range(containing: at, anchorDay: day)
                #expect(range.start <= at && at < range.end, "seed \(seed), \(window) \(day) at \(at)")
                let next = window.range(containing: range.end, anchorDay: day)
                #expect(next.start == range.end, "seed \(seed), \(window) \(day) at \(at)")
                at = next.start
            }
        }
    }
}
