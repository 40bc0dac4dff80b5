// Rollups are what the rows add up to: after every append, after a crash, for a file from before them; and
// when somebody changes one, verification says which.
//
// Method: random rows are appended in random stretches and added up here as well, by other means.

import Bytes
import Foundation
import GRDB
import Testing

@testable import Store

@Suite("rollups")
struct RollupTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func open(_ directory: TemporaryDirectory? = nil) throws(StoreError) -> HistoryStore {
        try HistoryStore(
            directory: (directory ?? self.directory).path, identity: testIdentity, hashKey: testHashKey)
    }

    private struct Key: Hashable {
        var day: Int64
        var account: String
        var provider: String
        var model: String
        var source: Int64
    }

    /// A row of some account, model, state and day.
    private func usage(_ number: UInt64, _ generator: inout SeededGenerator) -> TestUsage {
        var usage = makeUsage(number)
        usage.account = ["acme", "acme/search", "acme/search/alice", "acme2"].pick(&generator)
        usage.wallet = ""
        usage.provider = ["openai", "anthropic"].pick(&generator)
        usage.model = ["small", "large", ""].pick(&generator)
        usage.figures.credentialSource = UInt8.random(in: 0...2, using: &generator)
        usage.figures.eventTime =
            Int64.random(in: -2...3, using: &generator) * UsageDay.microseconds
            + Int64.random(in: 0..<UsageDay.microseconds, using: &generator)
        usage.figures.state = UsageState.allCases.pick(&generator)
        usage.figures.counts.cacheReadTokens = Int64.random(in: 0...5, using: &generator)
        usage.figures.baseCostPicodollars = Int64.random(in: 0...1_000, using: &generator)
        usage.figures.fee = Int64.random(in: 0...1_000, using: &generator)
        usage.figures.allowanceUsed = Int64.random(in: 0...3, using: &generator)
        return usage
    }

    private func append(_ rows: [TestUsage], to store: HistoryStore) throws(StoreError) {
        try store.append { (writer) throws(StoreError) in
            for row in rows { try row.add(to: &writer) }
            return rows.last?.figures.lsn ?? 0
        }
    }

    private func add(_ row: TestUsage, to sums: inout [Key: UsageSums]) {
        let figures = row.figures
        let key = Key(
            day: Int64((Double(figures.eventTime) / Double(UsageDay.microseconds)).rounded(.down)),
            account: row.account, provider: row.provider, model: row.model,
            source: Int64(figures.credentialSource))
        var sum = sums[key, default: UsageSums()]
        let isCharged = figures.state == .charged || figures.state == .settled
        sum.requests += isCharged ? 1 : 0
        sum.parked += figures.state == .parked ? 1 : 0
        sum.settled += figures.state == .settled ? 1 : 0
        sum.discarded += figures.state == .discarded ? 1 : 0
        sum.inputTokens += isCharged ? Int128(figures.counts.inputTokens) : 0
        sum.outputTokens += isCharged ? Int128(figures.counts.outputTokens) : 0
        sum.cacheReadTokens += isCharged ? Int128(figures.counts.cacheReadTokens) : 0
        sum.baseCostPicodollars += Int128(figures.baseCostPicodollars)
        sum.fee += Int128(figures.fee)
        sum.charge += Int128(figures.charge)
        sum.allowanceUsed += Int128(figures.allowanceUsed)
        sums[key] = sum
    }

    /// What is on disk, parts added up.
    private func stored(_ store: HistoryStore) throws -> [Key: UsageSums] {
        try store.pool.read { database in
            var sums: [Key: UsageSums] = [:]
            for row in try Row.fetchAll(
                database, sql: "SELECT * FROM rollups JOIN rollup_names USING (number)")
            {
                let key = Key(
                    day: row["day"], account: row["account"], provider: row["provider"], model: row["model"],
                    source: row["credential_source"])
                for (name, path) in UsageSums.columns {
                    let value: Int64 = row[name]
                    sums[key, default: UsageSums()][keyPath: path] += Int128(value)
                }
            }
            return sums
        }
    }

    @Test(
        "they are the sums of the rows, however the rows came and whatever restarts lay between",
        arguments: [UInt64(31), 32, 33])
    func sums(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var store = try open()
        var expected: [Key: UsageSums] = [:]
        var last: UInt64 = 0
        for _ in 0..<25 {
            let rows = (0..<Int.random(in: 1...40, using: &generator)).map { offset in
                usage(last + 1 + UInt64(offset), &generator)
            }
            last += UInt64(rows.count)
            for row in rows { add(row, to: &expected) }
            // Rows that are handed over again count once.
            try append(rows, to: store)
            try append(rows, to: store)
            if Int.random(in: 0..<5, using: &generator) == 0 { store = try open() }
        }
        #expect(try stored(store) == expected, "seed \(seed)")
        #expect(try store.verifyRollups() == Int64(expected.count), "seed \(seed)")
        // The same with memory for few keys at once.
        #expect(try store.verifyRollups(keysAtOnce: 7) == Int64(expected.count), "seed \(seed)")
        #expect(expected.values.reduce(0) { $0 + $1.charge } == store.position.chargeSum)
    }

    @Test("an append that fails leaves rows and rollups as they were, and its names unknown")
    func rollback() throws {
        let store = try open()
        try append([makeUsage(1)], to: store)
        let before = try stored(store)
        let failure = StoreError.system(path: "test", call: "stop", code: 1)
        let error = storeError { () throws(StoreError) in
            try store.append { (writer) throws(StoreError) in
                var row = makeUsage(2)
                row.account = "new"
                try row.add(to: &writer)
                throw failure
            }
        }
        #expect(error == failure)
        #expect(try stored(store) == before)
        var row = makeUsage(2)
        row.account = "new"
        try append([row], to: store)
        #expect(try store.verifyRollups() == 2)
        #expect(try stored(open()).keys.contains { $0.account == "new" })
    }

    @Test("sums beyond Int64 go on in another part and stay exact")
    func overflow() throws {
        let store = try open()
        var rows: [TestUsage] = []
        for number in 1...6 {
            var row = makeUsage(UInt64(number))
            row.account = "acme"
            row.figures.eventTime = 5
            row.figures.baseCostPicodollars = .max
            row.figures.counts.inputTokens = .max
            row.figures.fee = number % 2 == 0 ? .min : 1
            rows.append(row)
        }
        for row in rows { try append([row], to: store) }
        try append(
            rows.map { row in
                var next = row
                next.figures.lsn += 10
                return next
            }, to: store)
        let sums = try #require(try stored(store).values.first)
        #expect(sums.baseCostPicodollars == 12 * Int128(Int64.max))
        #expect(sums.inputTokens == 12 * Int128(Int64.max))
        #expect(sums.fee == 6 * (Int128(Int64.min) + 1))
        #expect(try store.verifyRollups() == 1)
    }

    @Test("a history from before rollups is added up when it is opened, and a fill that broke off goes on")
    func fill() throws {
        var generator = SeededGenerator(seed: 41)
        let rows = (1...500).map { usage(UInt64($0), &generator) }
        var expected: [Key: UsageSums] = [:]
        for row in rows { add(row, to: &expected) }
        do {
            let store = try open()
            try append(rows, to: store)
            // As the step leaves it, and as a fill that did 200 rows leaves it.
            try store.pool.write { database in
                try database.execute(
                    sql: "DELETE FROM rollups; DELETE FROM rollup_names; UPDATE rollups_cover SET last_id = 0"
                )
            }
            try store.pool.close()
        }
        var told: [Int64] = []
        let store = try HistoryStore(
            directory: directory.path, identity: testIdentity, hashKey: testHashKey
        ) { done, total in
            told.append(done)
            #expect(total == 500)
        }
        #expect(told.last == 500)
        #expect(try stored(store) == expected)
        #expect(try store.verifyRollups() == Int64(expected.count))
        let late = usage(501, &generator)
        add(late, to: &expected)
        try append([late], to: store)
        #expect(try stored(store) == expected)
    }

    @Test(
        "verification finds a rollup that was changed, removed, added or renamed, and names it",
        arguments: [
            (
                "UPDATE rollups SET charge_nanocredits = charge_nanocredits + 1 WHERE number = 1",
                "charge_nanocredits"
            ),
            ("UPDATE rollups SET output_tokens = 0 WHERE number = 1", "output_tokens"),
            ("DELETE FROM rollups WHERE number = 1", "missing"),
            (
                "INSERT INTO rollups SELECT day + 1, number, part, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM rollups",
                "the rollup of no row"
            ),
            ("UPDATE rollups SET day = day + 1", "rollup"),
            ("UPDATE rollup_names SET account = 'initech' WHERE number = 1", "rollup"),
            ("UPDATE usage_rows SET charge_nanocredits = 0 WHERE id = 1", "charge_nanocredits"),
        ])
    func tampered(sql: String, word: String) throws {
        let store = try open()
        var row = makeUsage(1)
        row.figures.charge = 70
        var other = makeUsage(2)
        other.account = "acme/zeta"
        try append([row, other], to: store)
        #expect(try store.verifyRollups() == 2)
        try store.pool.write { try $0.execute(sql: sql) }
        for keysAtOnce in [Int64(1), 100] {
            let error = storeError { () throws(StoreError) in
                _ = try store.verifyRollups(keysAtOnce: keysAtOnce)
            }
            guard case .damagedTotals(.history, let field, let stored, let computed)? = error else {
                Issue.record("expected damaged totals, got \(String(describing: error))")
                continue
            }
            #expect("\(field) \(stored) \(computed)".contains(word))
            #expect(
                field.contains("user1") || field.contains("initech") || field.contains("zeta"), "\(field)")
        }
    }

    @Test("verification finds rollups that do not cover every row")
    func uncovered() throws {
        let store = try open()
        try append([makeUsage(1), makeUsage(2)], to: store)
        try store.pool.write { try $0.execute(sql: "UPDATE rollups_cover SET last_id = 1") }
        #expect(storeError { () throws(StoreError) in _ = try store.verifyRollups() } != nil)
    }
}
