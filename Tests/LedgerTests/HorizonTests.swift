// Memory remembers so many ids and history the rest: an id leaves memory only when history holds it, and a
// record so old that its id may have left is not decided before history was asked.

import Pricing
import Testing

@testable import Ledger

@Suite("the horizon of memory")
struct HorizonTests {
    private static let idsMax = 8

    private func house() throws -> House {
        let house = try House(idsMax: Self.idsMax)
        try house.open("acme")
        return house
    }

    /// A report whose event is `number` seconds after the start.
    private func call(_ number: Int, tokens: Int64 = 1) -> Call {
        let time = Timestamp(microseconds: Fixture.start.microseconds + Int64(number) * 1_000_000)
        return Call("r\(number)", tokens: tokens, at: time)
    }

    private func mayNeedHistory(_ house: House, _ call: Call) -> Bool {
        house.ledger.mayNeedHistory(call.keys(house.ledger.keys).organisation, eventTime: call.eventTime)
    }

    @Test("without history, twice the bound is remembered, and then reports are refused")
    func overloaded() throws {
        let house = try house()
        for number in 1...2 * Self.idsMax { #expect(house.report(call(number)).receipt?.duplicate == false) }
        for number in 17...19 { #expect(house.report(call(number)).refusal?.reason == .overloaded) }
        #expect(try house.grant(5, key: "k").refusal?.reason == .overloaded)
        #expect(try house.grant(5).receipt != nil, "without a key nothing is to be remembered")
        for number in 1...2 * Self.idsMax { #expect(house.report(call(number)).receipt?.duplicate == true) }
        #expect(house.ledger.rememberedIDs().count == 2 * Self.idsMax)
        house.ledger.setHistory(shard: 0, sequence: 4)
        #expect(house.report(call(17)).receipt?.duplicate == false)
    }

    /// A ledger of four shards, each sure of 8 ids, and two organisations that are in different ones.
    private func shared() throws -> (house: House, one: String, other: String) {
        let house = try House(shardCount: 4, idsMax: 32)
        let keys = house.ledger.keys
        let names = (0..<64).map { "acme\($0)" }
        func shard(_ name: String) -> Int {
            house.ledger.shard(of: call(0, of: name).keys(keys).organisation)
        }
        let one = names[0]
        let other = try #require(names.first { shard($0) != shard(one) })
        for name in [one, other] { try house.open(name) }
        return (house, one, other)
    }

    private func call(_ number: Int, of account: String) -> Call {
        var call = call(number)
        call.account = account
        return call
    }

    private func catchUp(_ house: House) {
        for (shard, sequence) in house.ledger.sequences().enumerated() {
            house.ledger.setHistory(shard: shard, sequence: sequence)
        }
    }

    @Test(
        "without history, an organisation may have what others leave of twice the bound, and they keep their shares"
    )
    func borrowing() throws {
        let (house, one, other) = try shared()
        #expect(!house.ledger.takeIDPressure())
        for number in 1...64 { #expect(house.report(call(number, of: one)).receipt?.duplicate == false) }
        #expect(house.ledger.takeIDPressure(), "more than twice the share waits for history")
        #expect(house.report(call(65, of: one)).refusal?.reason == .overloaded)
        for number in 1...8 { #expect(house.report(call(number, of: other)).receipt?.duplicate == false) }
        #expect(house.report(call(9, of: other)).refusal?.reason == .overloaded)
        for number in 1...64 { #expect(house.report(call(number, of: one)).receipt?.duplicate == true) }
        catchUp(house)
        #expect(house.report(call(65, of: one)).receipt?.duplicate == false)
        _ = house.ledger.takeIDPressure()
        for number in 66...200 {
            #expect(house.report(call(number, of: one)).receipt?.duplicate == false)
            catchUp(house)
        }
        #expect(house.report(call(9, of: other)).receipt?.duplicate == false)
        #expect(!house.ledger.takeIDPressure(), "nothing waits any more")
    }

    @Test(
        "while history keeps up, an organisation alone has the whole bound, and gives back what others need")
    func lending() throws {
        let (house, one, other) = try shared()
        for number in 1...300 {
            _ = house.report(call(number, of: one))
            catchUp(house)
            #expect(house.ledger.rememberedIDs().count == min(number, 32))
        }
        #expect(house.report(call(269, of: one)).receipt?.duplicate == true, "the last 32 are known")
        #expect(house.report(call(268, of: one)).asksHistory)
        for number in 1...8 {
            #expect(house.report(call(number, of: other)).receipt?.duplicate == false)
            catchUp(house)
        }
        for number in 301...320 {
            _ = house.report(call(number, of: one))
            catchUp(house)
        }
        #expect(house.ledger.rememberedIDs().count == 32)
        for number in 1...8 { #expect(house.report(call(number, of: other)).receipt?.duplicate == true) }
    }

    @Test("an id leaves only when history holds it")
    func eviction() throws {
        let house = try house()
        for number in 1...12 { _ = house.report(call(number)) }
        // The account's entry is 1, so report n is entry n + 1: history holds reports 1 to 3.
        house.ledger.setHistory(shard: 0, sequence: 4)
        #expect(!mayNeedHistory(house, call(1)))
        _ = house.report(call(13))
        for number in 1...3 {
            #expect(house.report(call(number)).asksHistory)
            #expect(mayNeedHistory(house, call(number)))
        }
        for number in 4...13 {
            #expect(house.report(call(number)).receipt?.duplicate == true)
        }
        #expect(!mayNeedHistory(house, call(13)))
        #expect(try house.balance() == -13)
    }

    @Test("what history says decides")
    func answers() throws {
        let house = try house()
        var first: [Int: Receipt] = [:]
        for number in 1...12 {
            first[number] = house.report(call(number)).receipt
            house.ledger.setHistory(shard: 0, sequence: UInt64(number + 1))
        }
        let old = call(2)
        #expect(house.report(old).asksHistory)
        let keys = old.keys(house.ledger.keys)
        let receipt = try #require(first[2])
        let remembered = RememberedOutcome(
            digest: keys.digest, sequence: receipt.sequence, charge: receipt.charge, state: receipt.state)
        let again = try #require(house.report(old, history: .seen(remembered)).receipt)
        #expect(again.duplicate && again.sequence == receipt.sequence && again.charge == receipt.charge)
        #expect(
            house.report(call(2, tokens: 9), history: .seen(remembered)).refusal?.reason
                == .idempotencyConflict)
        #expect(try house.balance() == -12)

        var late = call(2)
        late.id = "never seen"
        #expect(house.report(late).asksHistory)
        #expect(house.report(late, history: .neverSeen).receipt?.duplicate == false)
        #expect(house.report(late).receipt?.duplicate == true, "it is remembered now")
        #expect(try house.balance() == -13)
    }

    @Test("memory stays within its bound while history keeps up")
    func bounded() throws {
        let house = try house()
        for number in 1...300 {
            _ = house.report(call(number))
            house.ledger.setHistory(shard: 0, sequence: UInt64(number + 1))
            #expect(house.ledger.rememberedIDs().count <= Self.idsMax)
        }
        #expect(try house.balance() == -300)
    }

    @Test("when history has caught up, ids leave a few at a time")
    func gradually() throws {
        let house = try house()
        for number in 1...2 * Self.idsMax { _ = house.report(call(number)) }
        house.ledger.setHistory(shard: 0, sequence: UInt64(2 * Self.idsMax + 1))
        var before = 2 * Self.idsMax
        var number = before
        while before > Self.idsMax {
            number += 1
            #expect(house.report(call(number)).receipt?.duplicate == false)
            let now = house.ledger.rememberedIDs().count
            #expect(now < before && now >= before - 4)
            before = now
        }
        #expect(number > 2 * Self.idsMax + 1, "not all of them at once")
        #expect(house.report(call(2 * Self.idsMax)).receipt?.duplicate == true)
        #expect(house.report(call(1)).asksHistory)
    }

    @Test("a report that is refused makes no duplicate of what left memory", arguments: UInt64(1)...5)
    func onceForEver(seed: UInt64) throws {
        // History as it should be: it answers from everything up to its sequence.
        var random = Seeded(seed)
        let house = try house()
        var outcomes: [String: RememberedOutcome] = [:]
        var history: UInt64 = 0
        var charged: Set<String> = []
        for _ in 0..<2_000 {
            let call = call(Int.random(in: 1...400, using: &random))
            var decision = house.report(call)
            if decision.asksHistory {
                let known = outcomes[call.id].flatMap { $0.sequence <= history ? $0 : nil }
                decision = house.report(call, history: known.map { .seen($0) } ?? .neverSeen)
            }
            if let receipt = decision.receipt {
                #expect(receipt.duplicate == charged.contains(call.id))
                charged.insert(call.id)
                outcomes[call.id] = RememberedOutcome(
                    digest: call.keys(house.ledger.keys).digest, sequence: receipt.sequence,
                    charge: receipt.charge, state: receipt.state)
            } else {
                #expect(decision.refusal?.reason == .overloaded)
            }
            if random.chance(10) {
                history = UInt64.random(in: history...house.ledger.sequences()[0], using: &random)
                house.ledger.setHistory(shard: 0, sequence: history)
            }
        }
        #expect(try house.balance() == -Int64(charged.count))
        #expect(house.ledger.rememberedIDs().count <= 2 * Self.idsMax)
    }

    @Test("a start takes the horizon from history")
    func restored() throws {
        let house = try house()
        house.ledger.restoreHistory(shard: 0, sequence: 0, horizon: call(5).eventTime)
        #expect(house.report(call(5)).asksHistory)
        #expect(mayNeedHistory(house, call(5)))
        #expect(house.report(call(6)).receipt != nil)
    }
}
