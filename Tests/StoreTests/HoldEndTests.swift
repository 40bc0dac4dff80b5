// How a hold ended is found by its key, in memory and in every run, however old; and what the charge of an orphan and
// the report that corrects it are in the sums.

import Bytes
import GRDB
import Testing

@testable import Store

@Suite("ends of holds in the history")
struct HoldEndTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func open() throws(StoreError) -> HistoryStore {
        try HistoryStore(
            directory: directory.path, identity: testIdentity, hashKey: testHashKey, runRowsMax: 64)
    }

    /// The key of a hold.
    private func hold(_ number: UInt64) -> Hash128 { idKey(1 << 40 | number) }

    @Test(
        "the newest end of a hold is found, in memory and in runs, and after a restart",
        arguments: [UInt64(5), 6])
    func lookups(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var store = try open()
        var ends: [UInt64: (lsn: UInt64, isCredit: Bool)] = [:]
        var lsn: UInt64 = 0
        for _ in 0..<40 {
            var count = 0
            try store.append { (writer) throws(StoreError) in
                while count < Int.random(in: 5...50, using: &generator) {
                    count += 1
                    lsn += 1
                    // Some ids are held and end more than once; most rows end nothing.
                    let number = UInt64.random(in: 0..<150, using: &generator)
                    switch Int.random(in: 0..<4, using: &generator) {
                    case 0:
                        var usage = makeUsage(lsn)
                        usage.holdKey = hold(number)
                        ends[number] = (lsn, false)
                        try usage.add(to: &writer)
                    case 1:
                        var credit = TestCredit(lsn: lsn)
                        credit.kind = "hold_voided"
                        credit.holdKey = hold(number)
                        ends[number] = (lsn, true)
                        try credit.add(to: &writer)
                    case 2:
                        // The charge of an orphan has the hold's key as its own.
                        var usage = makeUsage(lsn)
                        usage.figures.idKey = hold(number)
                        usage.holdKey = hold(number)
                        usage.figures.flags = UsageFigures.isOrphan
                        ends[number] = (lsn, false)
                        try usage.add(to: &writer)
                    default: try makeUsage(lsn).add(to: &writer)
                    }
                }
                return lsn
            }
            if Int.random(in: 0..<6, using: &generator) == 0 { store = try open() }
        }
        let asked = Array(UInt64(0)..<170)
        for (number, end) in zip(asked, try store.holdEnds(asked.map(hold))) {
            switch (end, ends[number]) {
            case (nil, nil): break
            case (.usage(let row), let expected?):
                #expect(row.figures.lsn == expected.lsn && !expected.isCredit)
            case (.credit(let row), let expected?): #expect(row.lsn == expected.lsn && expected.isCredit)
            default: Issue.record("hold \(number), seed \(seed): \(String(describing: end))")
            }
        }
        // Ids of requests are found beside them, and no credit row passes for one.
        let known = (1...lsn).map { idKey($0) }
        for (number, found) in zip(1...lsn, try store.outcomes(known)) {
            if let found { #expect(found.figures.lsn == number) }
        }
        #expect(try store.outcomes([hold(1_000)]) == [nil])
        #expect(try store.verifyEverything().lsn == lsn)
        #expect(try store.verifyRollups() > 0)
    }

    @Test("a hold's key that was changed on disk is damage, and no other hold's end")
    func damage() throws {
        let store = try open()
        _ = try store.append { (writer) throws(StoreError) in
            var usage = makeUsage(1)
            usage.holdKey = hold(1)
            try usage.add(to: &writer)
            var credit = TestCredit(lsn: 2)
            credit.holdKey = hold(2)
            try credit.add(to: &writer)
            return 2
        }
        for table in ["usage_rows", "credit_rows"] {
            try store.pool.write { database in
                try database.execute(sql: "UPDATE \(table) SET hold_high = hold_high + 1")
            }
            let number: UInt64 = table == "usage_rows" ? 1 : 2
            let error = storeError { () throws(StoreError) in _ = try store.holdEnds([hold(number)]) }
            guard case .damagedRow(_, let found, _, _, _) = error else {
                Issue.record("\(table): \(String(describing: error))")
                continue
            }
            #expect(found == table)
            // What poisoned this store does not poison the next look.
            try store.pool.write { database in
                try database.execute(sql: "UPDATE \(table) SET hold_high = hold_high - 1")
            }
        }
    }

    @Test(
        "an orphan and the report that corrects it are one request, with the tokens of the report and all the money"
    )
    func sums() {
        var orphan = UsageFigures()
        orphan.flags = UsageFigures.isOrphan
        orphan.fee = 50
        orphan.charge = 50
        orphan.baseCostPicodollars = 9
        orphan.counts.inputTokens = 40
        var sums = UsageSums()
        sums.add(orphan)
        #expect(sums.requests == 1 && sums.charge == 50 && sums.fee == 50)
        #expect(sums.inputTokens == 0 && sums.baseCostPicodollars == 0)
        var late = UsageFigures()
        late.flags = UsageFigures.correctsOrphan
        late.fee = 70
        late.allowanceUsed = 5
        late.charge = 15
        late.baseCostPicodollars = 11
        late.counts.inputTokens = 60
        sums.add(late)
        #expect(sums.requests == 1 && sums.charge == 65 && sums.fee == 70 && sums.allowanceUsed == 5)
        #expect(sums.inputTokens == 60 && sums.baseCostPicodollars == 11)
        late.state = .parked
        sums.add(late)
        late.state = .settled
        sums.add(late)
        late.state = .discarded
        sums.add(late)
        #expect(sums.requests == 1 && sums.parked == 1 && sums.settled == 1 && sums.discarded == 1)
    }
}
