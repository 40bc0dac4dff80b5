// A parked record ends once: settled or given up, whatever is repeated, before and after a recovery, and
// when its id has left memory.

import Bytes
import Pricing
import Testing

@testable import Ledger

@Suite("parked records")
struct ParkedTests {
    /// A report whose parts exceed their whole, and the sequence that parked it.
    private func park(_ house: House, _ id: String = "r1") throws -> (call: Call, sequence: UInt64) {
        var call = Call(id, tokens: 1)
        call.usage.cacheReadTokens = 2
        let receipt = try #require(house.report(call).receipt)
        #expect(receipt.state == .parked && receipt.charge == 0)
        return (call, receipt.sequence)
    }

    private func corrected(_ call: Call, tokens: Int64 = 30) -> Call {
        var call = call
        call.usage = Usage()
        call.usage.inputTokens = tokens
        return call
    }

    private let reported: (inout Call) -> Void = { call in
        call.usage = Usage()
        call.usage.inputTokens = 1
        call.usage.cacheReadTokens = 2
    }

    private func house() throws -> House {
        let house = try House()
        try house.open("acme")
        try house.grant(100)
        return house
    }

    @Test("a correction charges it once; repeated, and reported again, it is what stands")
    func settled() throws {
        let house = try house()
        let (call, sequence) = try park(house)
        #expect(
            try house.end(.settle, call, parkedAs: sequence)
                == .stillParked(Refusal(.invalidUsage, field: .cacheReadTokens, found: 2, expected: 1)))
        let preview = try #require(
            try house.end(.preview, corrected(call), parkedAs: sequence, digestOf: reported).receipt)
        #expect(preview.charge == 30)
        #expect(try house.balance() == 100)
        let receipt = try #require(
            try house.end(.settle, corrected(call), parkedAs: sequence, digestOf: reported).receipt)
        #expect(receipt.charge == 30 && receipt.balance == 70 && receipt.sequence == sequence + 1)
        #expect(receipt.state == .charged)
        for action in [ParkedAction.settle, .preview, .discard] {
            let again = try house.end(
                action, corrected(call, tokens: 50), parkedAs: sequence, digestOf: reported)
            #expect(again.ended?.charge == 30 && again.ended?.sequence == receipt.sequence)
        }
        let retry = try #require(house.report(call).receipt)
        #expect(retry.duplicate && retry.state == .charged && retry.charge == 30)
        #expect(retry.sequence == receipt.sequence && retry.balance == 70)
        #expect(try house.balance() == 70)
        #expect(house.ledger.totals().balance)
    }

    @Test("what is given up is charged nothing, and stays so")
    func discarded() throws {
        let house = try house()
        let (call, sequence) = try park(house)
        let receipt = try #require(try house.end(.discard, call, parkedAs: sequence).receipt)
        #expect(receipt.state == .discarded && receipt.charge == 0 && receipt.balance == 100)
        let again = try house.end(.settle, corrected(call), parkedAs: sequence, digestOf: reported)
        #expect(again.ended?.state == .discarded && again.ended?.charge == 0)
        let retry = try #require(house.report(call).receipt)
        #expect(retry.duplicate && retry.state == .discarded && retry.charge == 0)
        #expect(try house.balance() == 100)
    }

    @Test("settling draws on the allowance of the event's month and on grants, and may leave debt")
    func buckets() throws {
        let house = try house()
        var own = Call("r2", tokens: 1, byok: true)
        own.usage.cacheReadTokens = 2
        let sequence = try #require(house.report(own).receipt).sequence
        house.now.microseconds += 40 * Fixture.day
        let receipt = try #require(
            try house.end(.settle, corrected(own, tokens: 1_150), parkedAs: sequence, digestOf: reported)
                .receipt)
        #expect(receipt.allowanceUsed == 1_000 && receipt.charge == 150)
        #expect(receipt.balance == -50 && receipt.inDebt)
        // The month of the event is used up, and this month's is untouched.
        let sameMonth = try #require(house.report(Call("r3", tokens: 5, byok: true)).receipt)
        #expect(sameMonth.allowanceUsed == 0 && sameMonth.charge == 5)
        #expect(house.report(Call("r4", tokens: 5, at: house.now, byok: true)).receipt?.charge == 0)
    }

    @Test("what was not parked cannot be ended")
    func notParked() throws {
        let house = try house()
        let charged = Call("r1", tokens: 7)
        let receipt = try #require(house.report(charged).receipt)
        #expect(try house.end(.discard, charged, parkedAs: receipt.sequence).ended?.charge == 7)
        let unknown = Call("r9", tokens: 7)
        #expect(try house.end(.settle, unknown, parkedAs: 1) == .askHistory)
        #expect(
            try house.end(.settle, unknown, parkedAs: 1, history: .neverSeen)
                == .refused(Refusal(.invalidArgument, field: .requestID)))
        #expect(try house.balance() == 93)
    }

    @Test(
        "replay from any cut comes to the same, and then a repetition still finds the end", arguments: 0..<4)
    func replayed(shape: Int) throws {
        let house = try house()
        let (call, sequence) = try park(house)
        house.collect()
        if shape & 1 == 0 {
            try house.end(.settle, corrected(call), parkedAs: sequence, digestOf: reported)
        } else {
            try house.end(.discard, call, parkedAs: sequence)
        }
        _ = house.report(Call("r7", tokens: 3))
        house.collect()
        let other = house.sibling()
        if shape < 2 {
            try other.replay(house.pieces)
        } else {
            // From a checkpoint that has everything: the journal only reminds of the ids.
            var store = Checkpoint(shardCount: 1)
            var random = Seeded(0)
            store.take(from: house, fails: false, &random)
            try store.restore(into: other)
            try other.replay(house.pieces, checkpoint: house.ledger.sequences())
        }
        expectSame(house, other)
        for again in [house, other] {
            let ended = try again.end(
                .settle, corrected(call, tokens: 9), parkedAs: sequence, digestOf: reported)
            #expect(ended.ended?.charge == (shape & 1 == 0 ? 30 : 0), "shape \(shape)")
            #expect(again.report(call).receipt?.duplicate == true)
        }
    }

    @Test("an id that has left memory is asked of history, and remembered again by its end")
    func forgotten() throws {
        let house = try House(idsMax: 4)
        try house.open("acme")
        try house.grant(100)
        let (call, sequence) = try park(house)
        for number in 0..<8 {
            _ = house.report(Call("x\(number)", tokens: 1))
            house.ledger.setHistory(shard: 0, sequence: sequence + UInt64(number) + 1)
        }
        let digest = call.keys(house.ledger.keys).digest
        let end = { (history: HistoryAnswer) in
            try house.end(
                .settle, corrected(call), parkedAs: sequence, digestOf: reported, history: history)
        }
        #expect(try end(.notAsked) == .askHistory)
        let parked = RememberedOutcome(digest: digest, sequence: sequence, charge: 0, state: .parked)
        let receipt = try #require(try end(.seen(parked)).receipt)
        #expect(receipt.charge == 30)
        // A history that is behind still says parked; memory knows better.
        #expect(try end(.seen(parked)).ended?.charge == 30)
        #expect(try end(.notAsked).ended?.sequence == receipt.sequence)
        #expect(house.report(call).receipt?.charge == 30)
    }

    @Test("an end of what never was parked, of another entry, or for the second time is refused by replay")
    func tampered() throws {
        let house = try house()
        let (call, sequence) = try park(house)
        let keys = call.keys(house.ledger.keys)
        house.collect()
        func refuses(_ times: Int, _ change: (inout ParkedEndEntry) -> Void, kind: EntryKind = .parkedSettled)
            throws
            -> Bool
        {
            var packer = BytePacker()
            packer.append(UInt64(0))
            packer.append(sequence + 1)
            packer.append(UInt64(times))
            try corrected(call).content.withView { (content) throws in
                var end = ParkedEndEntry()
                end.parkedSequence = sequence
                end.charge.key = keys.request
                end.charge.digest = keys.digest
                end.charge.content = content
                end.charge.balanceAfter = 100
                change(&end)
                for _ in 0..<times { packer.append(time: house.now, end, kind: kind) }
            }
            let other = house.sibling()
            try other.replay(house.pieces)
            do throws(EntryError) {
                try other.ledger.replay(packer.view) { _ in 0 }
                return false
            } catch {
                return true
            }
        }
        #expect(try !refuses(1) { _ in })
        #expect(try refuses(2) { _ in })
        #expect(try refuses(1) { $0.parkedSequence = 0 })
        #expect(try refuses(1) { $0.parkedSequence = sequence + 1 })
        #expect(try refuses(1) { $0.charge.fee = 1 })
        #expect(try refuses(1) { $0.charge.account = 9 })
        #expect(try refuses(1, { _ in }, kind: .parkedDiscarded))
        #expect(
            try refuses(1) {
                $0.charge.state = .parked
                $0.charge.parkedReason = .invalidUsage
            })
    }
}
