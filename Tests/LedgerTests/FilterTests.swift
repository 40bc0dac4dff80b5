// A grant with a filter pays what it names and nothing else; what a call may spend counts only what would pay it.

import Pricing
import Testing

@testable import Ledger

@Suite("grants with a filter")
struct FilterTests {
    private func house(_ filter: GrantFilter, plain: Int64 = 50) throws -> House {
        let house = try House()
        try house.open("acme")
        try house.grant(100, kind: .promo, filter: filter)
        if plain > 0 { try house.grant(plain) }
        return house
    }

    private func call(_ id: String, _ tokens: Int64, provider: String = "p", refuse: Bool = false) -> Call {
        Call(id, tokens: tokens, refuse: refuse, provider: provider)
    }

    @Test("a charge skips a grant whose filter it does not pass, though it would burn first")
    func skips() throws {
        let house = try house(GrantFilter(providers: ["q"]))
        #expect(house.report(call("r1", 30)).receipt?.balance == 120)
        #expect(try house.summary()?.remaining == [.promo: 100, .purchased: 20])
        #expect(house.report(call("r2", 30, provider: "q")).receipt?.balance == 90)
        #expect(try house.summary()?.remaining == [.promo: 70, .purchased: 20])
    }

    @Test("what a guarded report, a hold or a quote may spend is what would pay it")
    func available() throws {
        let house = try house(GrantFilter(providers: ["q"]))
        let refusal = try #require(house.report(call("r1", 51, refuse: true)).refusal)
        #expect(refusal.reason == .insufficientCredits && refusal.expected == 50)
        #expect(house.report(call("r2", 150, provider: "q", refuse: true)).receipt?.balance == 0)
    }

    @Test("credit that may not pay does not keep a charge from being debt, and does not repay it")
    func debt() throws {
        let house = try house(GrantFilter(providers: ["q"]), plain: 0)
        let receipt = try #require(house.report(call("r1", 30)).receipt)
        #expect(receipt.balance == 70)
        try house.grant(5, kind: .bonus, filter: GrantFilter(models: ["other"]))
        #expect(try house.summary()?.remaining == [.promo: 100, .bonus: 5])
        try house.grant(40)
        #expect(try house.summary()?.remaining == [.promo: 100, .bonus: 5, .purchased: 10])
        #expect(house.ledger.totals().balance)
    }

    @Test("a filter is by provider, by model or by both, in any case, with * at the end of a model")
    func matching() throws {
        let rows: [(GrantFilter, String, String, Bool)] = [
            (GrantFilter(providers: ["openai", "P"]), "p", "unit", true),
            (GrantFilter(providers: ["openai"]), "p", "unit", false),
            (GrantFilter(models: ["UNIT"]), "p", "Unit", true),
            (GrantFilter(models: ["uni"]), "p", "unit", false),
            (GrantFilter(models: ["un*"]), "p", "Unit", true), (GrantFilter(models: ["*"]), "p", "x", true),
            (GrantFilter(models: ["unity*"]), "p", "unit", false),
            (GrantFilter(providers: ["p"], models: ["unit"]), "p", "unit", true),
            (GrantFilter(providers: ["p"], models: ["unit"]), "q", "unit", false),
            (GrantFilter(providers: ["p"], models: ["x"]), "p", "unit", false),
        ]
        for (filter, provider, model, passes) in rows {
            provider.withView { provider in
                model.withView { model in
                    #expect(
                        GrantUse(provider: provider, model: model).passes(filter.packed) == passes,
                        "\(filter)")
                }
            }
            #expect(try filter.packed.withView { (view) throws in try GrantFilter(reading: view) } == filter)
        }
    }

    @Test("a filter outlives a checkpoint and a transfer, and goes with its grant")
    func lasting() throws {
        let house = try house(GrantFilter(providers: ["q"]))
        try house.open("acme/b")
        try house.grant(7, to: "acme/b", kind: .bonus, filter: GrantFilter(models: ["x*"]))
        try house.close("acme/b", .transfer(to: Array("acme".utf8)))
        house.collect()
        var store = Checkpoint(shardCount: 1)
        var random = Seeded(1)
        store.take(from: house, fails: false, &random)
        let restored = house.sibling()
        try store.restore(into: restored)
        let replayed = house.sibling()
        try replayed.replay(house.pieces)
        for other in [restored, replayed] {
            expectSame(house, other)
            #expect(other.report(call("r1", 51, refuse: true)).refusal?.expected == 50)
            #expect(other.report(call("r2", 150, provider: "q", refuse: true)).receipt?.balance == 7)
            #expect(other.report(call("r3", 1, provider: "q", refuse: true)).refusal?.expected == 0)
            try other.act(.void(grant: 6))
            let count = other.ledger.shards[0].state.withLock { $0.filters.count }
            #expect(count == (try other.summary()?.remaining.isEmpty == true ? 0 : 1))
        }
    }
}
