// The list of open parked outcomes is what was parked less what has ended, whoever wrote the file.

import Bytes
import GRDB
import Testing

@testable import Store

@Suite("open parked outcomes")
struct ParkedTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func open() throws(StoreError) -> HistoryStore {
        try HistoryStore(directory: directory.path, identity: testIdentity, hashKey: testHashKey)
    }

    private func parked(_ number: UInt64, _ change: (inout TestUsage) -> Void = { _ in }) -> TestUsage {
        var usage = makeUsage(number)
        usage.figures.state = .parked
        usage.figures.charge = 0
        usage.parkedReason = number % 2 == 0 ? "UNPRICED_MODEL" : "INVALID_USAGE"
        change(&usage)
        return usage
    }

    private func end(_ number: UInt64, of first: TestUsage, _ state: UsageState) -> TestUsage {
        var usage = makeUsage(number)
        usage.figures.idKey = first.figures.idKey
        usage.figures.shard = first.figures.shard
        usage.figures.state = state
        usage.settles = first.figures.sequence
        usage.extra = [1, 2, 3]
        return usage
    }

    private func append(_ rows: [TestUsage], to store: HistoryStore) throws(StoreError) {
        try store.append { (writer) throws(StoreError) in
            for row in rows { try row.add(to: &writer) }
            return rows.last?.figures.lsn ?? 0
        }
    }

    @Test("it lists, filters and counts what is open, page by page, and drops what ends")
    func list() throws {
        let store = try open()
        let rows = (1...10).map { number in
            parked(UInt64(number)) {
                $0.account = number <= 4 ? "acme/search" : number == 5 ? "acme/searching" : "other"
                $0.provider = number == 2 ? "Google" : "openai"
                $0.figures.eventTime = Int64(number) * 100
                $0.figures.recordedAt = Int64(number) * 1_000
            }
        }
        try append(rows, to: store)
        #expect(try store.parkedFigures().byReason == ["UNPRICED_MODEL": 5, "INVALID_USAGE": 5])
        #expect(try store.parkedFigures().oldestRecordedAt == 1_000)
        func found(_ change: (inout ParkedFilter) -> Void) throws -> [Int64] {
            var filter = ParkedFilter()
            change(&filter)
            return try store.parked(filter).rows.map { $0.figures.eventTime / 100 }
        }
        #expect(try found { $0.account = "acme/search" } == [1, 2, 3, 4])
        #expect(try found { $0.account = "acme" } == [1, 2, 3, 4, 5])
        #expect(try found { $0.provider = "google" } == [2])
        #expect(try found { $0.reason = "INVALID_USAGE" } == [1, 3, 5, 7, 9])
        #expect(try found { ($0.since, $0.until) = (300, 600) } == [3, 4, 5])
        #expect(try found { $0.model = "nobody's" } == [])
        var page = ParkedFilter()
        page.limit = 4
        var all: [Int64] = []
        repeat {
            let next = try store.parked(page)
            all += next.rows.map { $0.figures.eventTime / 100 }
            page.after = next.next ?? 0
        } while page.after != 0
        #expect(all == Array(1...10))

        try append([end(11, of: rows[0], .settled), end(12, of: rows[7], .discarded)], to: store)
        #expect(try found { _ in } == [2, 3, 4, 5, 6, 7, 9, 10])
        #expect(try store.parkedFigures().count == 8)
        #expect(try store.parkedFigures().oldestRecordedAt == 2_000)
        #expect(
            try store.openParked().map(\.sequence)
                == [2, 3, 4, 5, 6, 7, 9, 10].map { rows[$0 - 1].figures.sequence })
        // The newest outcome of the id is its end, and the parked row is found behind it.
        let outcome = try #require(try store.outcome(rows[0].figures.idKey))
        #expect(outcome.figures.state == .settled)
        let behind = try #require(try store.usage(key: rows[0].figures.idKey, state: .parked))
        #expect(behind.figures.lsn == 1 && behind.parkedReason == "INVALID_USAGE")
        _ = try store.verifyEverything()
    }

    @Test("what is open is counted and valued as the list changes, beyond 64 bits too, and the check says so")
    func figures() throws {
        let store = try open()
        #expect(try store.parkedFigures() == ParkedFigures())
        let rows = (1...6).map { number in
            parked(UInt64(number)) { $0.valuedAt = number == 6 ? 0 : Int64.max - Int64(number) }
        }
        try append(rows, to: store)
        func sum(_ numbers: [Int]) -> Int128 { numbers.reduce(0) { $0 + Int128(rows[$1 - 1].valuedAt) } }
        var figures = try store.parkedFigures()
        #expect(figures.byReason == ["UNPRICED_MODEL": 3, "INVALID_USAGE": 3])
        #expect(figures.valuedAt == sum([1, 2, 3, 4, 5, 6]))
        try append([end(7, of: rows[1], .settled), end(8, of: rows[4], .discarded)], to: store)
        figures = try store.parkedFigures()
        #expect(figures.byReason == ["UNPRICED_MODEL": 2, "INVALID_USAGE": 2])
        #expect(figures.valuedAt == sum([1, 3, 4, 6]))
        try append([3, 4, 6, 1].map { end(UInt64(10 + $0), of: rows[$0 - 1], .settled) }, to: store)
        #expect(try store.parkedFigures() == ParkedFigures())
        _ = try store.verifyEverything()
        try store.pool.write { try $0.execute(sql: "UPDATE parked_totals SET count = 1") }
        #expect(throws: StoreError.self) { try store.verifyEverything() }
    }

    @Test("a file from before the list is brought up to date, and every row still has its checksum")
    func migration() throws {
        let current = HistorySchema.schema
        let old = Schema(
            file: current.file, pageBytes: current.pageBytes, cacheKiB: current.cacheKiB,
            steps: Array(current.steps.prefix(1)))
        let other = try TemporaryDirectory()
        var rows: [Row] = []
        do {
            let store = try open()
            try append([makeUsage(1), parked(2), makeUsage(3), parked(4)], to: store)
            rows = try store.pool.read { try Row.fetchAll($0, sql: "SELECT * FROM usage_rows") }
            let position = try store.pool.read { try Row.fetchAll($0, sql: "SELECT * FROM position") }
            let pool = try Connection.pool(old, in: other.path)
            try pool.write { database in
                for row in rows {
                    // Without what later steps have added: what grants paid, and the hold's key.
                    let values = row.databaseValues.dropLast(3)
                    try database.execute(
                        sql:
                            "INSERT INTO usage_rows VALUES (\(values.map { _ in "?" }.joined(separator: ",")))",
                        arguments: StatementArguments(values))
                }
                for row in position {
                    try database.execute(
                        sql:
                            "INSERT INTO position VALUES (\(row.databaseValues.map { _ in "?" }.joined(separator: ",")))",
                        arguments: StatementArguments(row.databaseValues))
                }
                try database.execute(
                    sql: "INSERT INTO horizons SELECT shard, max(event_time) FROM usage_rows GROUP BY shard")
            }
            try pool.close()
        }
        let store = try HistoryStore(directory: other.path, identity: testIdentity, hashKey: testHashKey)
        #expect(try store.verifyEverything().usageCount == 4)
        #expect(try store.parkedFigures().byReason == ["UNPRICED_MODEL": 2])
        #expect(try store.parked(ParkedFilter()).rows.map(\.figures.lsn) == [2, 4])
        let states = try store.pool.read {
            try String.fetchAll($0, sql: "SELECT state FROM usage ORDER BY id")
        }
        #expect(states == ["charged", "parked", "charged", "parked"])
        // What they are valued at nobody has written down, so whoever asks is told which.
        var unvalued: [Int64] = []
        try store.forEachUnvaluedParked(flags: 0) { (id, _, _) throws(StoreError) in unvalued.append(id) }
        #expect(unvalued == [2, 4])
    }
}
