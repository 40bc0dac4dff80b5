// Many threads on few accounts: nothing is lost, nothing is made, and what is admitted was there.

import Pricing
import Synchronization
import Testing

@testable import Ledger

/// What the tasks of a run count together.
private final class Counts: Sendable {
    let granted = Atomic<Int64>(0)
    let charged = Atomic<Int64>(0)
    /// Deducted and voided.
    let taken = Atomic<Int64>(0)
    let guarded = Atomic<Int64>(0)
    let admitted = Atomic<Int>(0)
    let running = Atomic<Int>(0)
}

@Suite("conservation")
struct ConservationTests {
    private static let paths = ["o0", "o0/a", "o0/a/b", "o1", "o1/x", "o2"]

    /// A house for each task, all with the same ledger.
    private func run(_ house: House, tasks: Int, _ body: @escaping @Sendable (House, Int) throws -> Void)
        async throws
    {
        let (ledger, book) = (house.ledger, house.book)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<tasks {
                group.addTask { try body(House(ledger, book: book), task) }
            }
            try await group.waitForAll()
        }
    }

    @Test("the last nanocredit is spent once, however many ask for it", arguments: [Int64(1), 7])
    func lastCredit(charge: Int64) async throws {
        let house = try House()
        try house.open("acme")
        try house.open("acme/a", wallet: false, tier: nil)
        for amount in [500, 300, 203] as [Int64] { try house.grant(amount) }
        let counts = Counts()
        try await run(house, tasks: 6) { house, task in
            for number in 0..<300 {
                let account = number % 2 == 0 ? "acme" : "acme/a"
                let call = Call("r\(task)-\(number)", of: account, tokens: charge, refuse: true)
                if house.report(call).receipt != nil { counts.admitted.add(1, ordering: .relaxed) }
            }
        }
        #expect(counts.admitted.load(ordering: .relaxed) == Int(1_003 / charge))
        #expect(try house.balance() == 1_003 % charge)
    }

    @Test("one id reported by all is charged once")
    func oneID() async throws {
        let house = try House()
        try house.open("acme")
        let counts = Counts()
        try await run(house, tasks: 6) { house, _ in
            for number in 0..<200 {
                if house.report(Call("r\(number)", tokens: 3)).receipt?.duplicate == false {
                    counts.admitted.add(1, ordering: .relaxed)
                }
            }
        }
        #expect(counts.admitted.load(ordering: .relaxed) == 200)
        #expect(try house.balance() == -600)
    }

    @Test(
        "opening + grants = balances + charges + expired + voided + deducted, while the journal collects",
        arguments: UInt64(1)...2)
    func everything(seed: UInt64) async throws {
        let house = try House(shardCount: 4)
        for path in Self.paths { try house.open(path, wallet: path != "o1/x") }
        let counts = Counts()
        counts.running.store(5, ordering: .relaxed)
        let ledger = house.ledger
        async let pieces = Self.collecting(ledger) { counts.running.load(ordering: .acquiring) > 0 }
        try await run(house, tasks: 5) { house, task in
            defer { counts.running.subtract(1, ordering: .releasing) }
            var random = Seeded(seed &* 100 + UInt64(task))
            for number in 0..<600 {
                let path = random.pick(Self.paths)
                house.now.microseconds += Int64.random(in: 0...1_000, using: &random)
                if random.chance(20) {
                    let amount = Int64.random(in: 1...2_000, using: &random)
                    let end =
                        random.chance(50)
                        ? Timestamp.distantFuture : Timestamp(microseconds: house.now.microseconds + 50_000)
                    let answer = try house.grant(
                        amount, to: path, kind: random.pick(GrantKind.allCases), expiresAt: end)
                    if answer.receipt != nil { counts.granted.add(amount, ordering: .relaxed) }
                } else if random.chance(10) {
                    let amount = Int64.random(in: 1...400, using: &random)
                    let act = random.pick([
                        CreditAct.deduct(amount, service: [], allowNegative: random.chance(50)),
                        .void(grant: UInt64.random(in: 1...400, using: &random)),
                    ])
                    let moved = try house.act(act, on: path).receipt?.moved ?? 0
                    counts.taken.add(-moved, ordering: .relaxed)
                } else {
                    let call = Call(
                        "r\(random.chance(30) ? 0 : task)-\(number)", of: path,
                        tokens: Int64.random(in: 0...900, using: &random), refuse: random.chance(60),
                        byok: random.chance(30))
                    if let receipt = house.report(call).receipt, !receipt.duplicate {
                        counts.charged.add(receipt.charge, ordering: .relaxed)
                        if call.onInsufficient == .refuse {
                            counts.guarded.add(receipt.charge, ordering: .relaxed)
                            #expect(receipt.charge == 0 || !receipt.inDebt)
                        }
                    }
                }
                if random.chance(5) { _ = try house.summary(path) }
            }
        }
        let handed = await pieces
        let totals = ledger.totals()
        #expect(totals.balance)
        #expect(totals.granted == Int128(counts.granted.load(ordering: .relaxed)))
        #expect(totals.charged == Int128(counts.charged.load(ordering: .relaxed)))
        var sum: Int128 = 0
        ledger.forEachAccount { _, balance in sum += Int128(balance) }
        let taken = Int128(counts.taken.load(ordering: .relaxed))
        #expect(taken > 0 && taken == totals.voided + totals.deducted)
        #expect(sum == totals.balances && sum == totals.granted - totals.charged - totals.expired - taken)
        #expect(counts.guarded.load(ordering: .relaxed) <= counts.granted.load(ordering: .relaxed))
        // What was handed over in the meantime is all of it, in order.
        let other = house.sibling()
        try other.replay(handed)
        expectSame(house, other)
    }

    private static func collecting(_ ledger: Ledger, while isRunning: @Sendable () -> Bool) async -> [[UInt8]]
    {
        var outbox = Outbox(pieceBytesMax: 700)
        var pieces: [[UInt8]] = []
        var cycle: UInt64 = 0
        var isLast = false
        while !isLast {
            isLast = !isRunning()
            cycle += 1
            _ = ledger.handOver(.all(of: ledger.shardCount), to: &outbox) { cycle }
            outbox.forEachPiece { piece, _ in pieces.append(Array(piece)) }
            outbox.clear()
            await Task.yield()
        }
        return pieces
    }
}
