// The history holds every row once, finds it again however old it is, and says how far it has come.

import Bytes
import Foundation
import GRDB
import Testing

@testable import Store

@Suite("The history")
struct HistoryTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func open(
        _ directory: TemporaryDirectory? = nil, runRowsMax: Int = StoreLimits.runRowsMax
    ) throws(StoreError) -> HistoryStore {
        try HistoryStore(
            directory: (directory ?? self.directory).path, identity: testIdentity, hashKey: testHashKey,
            runRowsMax: runRowsMax)
    }

    @discardableResult
    private func append(_ numbers: ClosedRange<UInt64>, to store: HistoryStore) throws(StoreError)
        -> HistoryPosition
    {
        try store.append { (writer) throws(StoreError) in
            for number in numbers { try makeUsage(number).add(to: &writer) }
            return numbers.upperBound
        }
    }

    @Test("every field of an outcome comes back")
    func roundTrip() throws {
        var usage = makeUsage(3)
        usage.figures.state = .parked
        usage.figures.credentialSource = 2
        usage.figures.counts = UsageCounts()
        let counts: [WritableKeyPath<UsageCounts, Int64>] = [
            \.inputTokens, \.outputTokens, \.cacheReadTokens, \.cacheWrite5mTokens, \.cacheWrite1hTokens,
            \.inputAudioTokens, \.inputImageTokens, \.reasoningTokens, \.outputAudioTokens,
            \.outputImageTokens,
            \.images, \.webSearches, \.seconds, \.pages, \.characters, \.requests,
        ]
        for (index, path) in counts.enumerated() { usage.figures.counts[keyPath: path] = 100 + Int64(index) }
        usage.figures.baseCostPicodollars = .max
        usage.figures.fee = -1
        usage.figures.charge = 77
        usage.figures.allowanceUsed = 5
        usage.figures.balanceAfter = .min
        usage.figures.digest = .max
        usage.figures.ruleNumber = .max
        usage.figures.ruleVersion = 8
        usage.figures.catalogueVersion = 9
        usage.figures.flags = 0x8000_0001
        usage.parkedReason = "UNPRICED_MODEL"
        usage.serviceTier = "batch"
        usage.content = [0, 255, 7]
        usage.extra = [9, 0, 200]
        let store = try open()
        let position = try store.append { (writer) throws(StoreError) in
            try usage.add(to: &writer)
            try makeUsage(4).add(to: &writer)
            return 9
        }
        #expect(position.lsn == 9)
        #expect(position.usageCount == 2)
        #expect(position.chargeSum == 81)
        #expect(position.eventTimeMax[3] == usage.figures.eventTime)
        #expect(position.eventTimeMax[0] == .min)
        let row = try #require(try store.usage(requestID: usage.requestID))
        #expect(row.figures == usage.figures)
        #expect(
            [row.account, row.wallet, row.provider, row.model, row.serviceTier, row.tier]
                == [usage.account, "acme", usage.provider, usage.model, "batch", usage.tier])
        #expect(row.parkedReason == "UNPRICED_MODEL")
        #expect(row.requestID == usage.requestID)
        #expect(row.content == usage.content)
        // The next row binds its own counts, not those of the row before.
        #expect(try store.usage(id: row.id + 1)?.figures == makeUsage(4).figures)
        #expect(try open().position == position)
        #expect(try open().verifyEverything() == position)
    }

    @Test("rows up to the position are skipped when handed over again")
    func appendAgain() throws {
        let store = try open()
        try append(1...50, to: store)
        let position = try append(30...80, to: store)
        #expect(position.usageCount == 80)
        #expect(position.chargeSum == (1...80).reduce(0, +))
        #expect(try append(1...80, to: store) == position)
        let rows = try store.pool.read { try Int64.fetchAll($0, sql: "SELECT lsn FROM usage ORDER BY id") }
        #expect(rows == Array(1...80))
    }

    @Test("a position may cover entries that have no rows")
    func emptyAppend() throws {
        let store = try open()
        #expect(try store.append { (_) throws(StoreError) in 70 }.lsn == 70)
        #expect(try store.append { (_) throws(StoreError) in 60 }.lsn == 70)
        #expect(try open().position.lsn == 70)
    }

    @Test("outcomes are found in memory and in every run, also after a restart", arguments: [UInt64(21), 22])
    func lookups(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var store = try open(runRowsMax: 100)
        var last: UInt64 = 0
        while last < 1_500 {
            let count = UInt64.random(in: 1...100, using: &generator)
            try append(last + 1...last + count, to: store)
            last += count
            if Int.random(in: 0..<8, using: &generator) == 0 { store = try open(runRowsMax: 100) }
        }
        let runs = try store.pool.read { try Int.fetchOne($0, sql: "SELECT count(DISTINCT run) FROM runs") }
        #expect((runs ?? 0) > 10)
        let asked = Array(1...last + 50).shuffled(using: &generator)
        let found = try store.outcomes(asked.map(idKey))
        for (number, outcome) in zip(asked, found) {
            #expect(outcome?.figures == (number <= last ? makeUsage(number).figures : nil), "seed \(seed)")
        }
        #expect(try store.outcome(idKey(7))?.figures.lsn == 7)
        #expect(try store.usage(requestID: Array("request-13".utf8))?.figures.lsn == 13)
        #expect(try store.usage(requestID: Array("request-0".utf8)) == nil)
    }

    @Test("a request id that two organisations use is found for each")
    func organisations() throws {
        let store = try open(runRowsMax: 2)
        try store.append { (writer) throws(StoreError) in
            for (number, organisation) in [(UInt64(1), "acme"), (2, "initech")] {
                var usage = makeUsage(number)
                usage.account = organisation + "/user"
                usage.requestID = Array("same".utf8)
                try usage.add(to: &writer)
            }
            return 2
        }
        try append(3...4, to: store)
        let id = Array("same".utf8)
        #expect(try store.usage(requestID: id, organisation: Array("acme".utf8))?.figures.lsn == 1)
        #expect(try store.usage(requestID: id, organisation: Array("initech".utf8))?.figures.lsn == 2)
        #expect(try store.usage(requestID: id, organisation: Array("acm".utf8)) == nil)
        #expect(try store.usage(requestID: id)?.figures.lsn == 2)
    }

    @Test("the newest outcome under a key wins: parked first, charged later")
    func settledLater() throws {
        let store = try open(runRowsMax: 1)
        for (lsn, state) in [(UInt64(1), UsageState.parked), (2, .charged)] {
            try store.append { (writer) throws(StoreError) in
                var usage = makeUsage(lsn)
                usage.figures.idKey = idKey(1)
                usage.figures.state = state
                try usage.add(to: &writer)
                return lsn
            }
            #expect(try store.outcome(idKey(1))?.figures.state == state)
        }
    }

    @Test("keys whose kept bits are equal are told apart by their rows")
    func collisions() throws {
        let store = try open(runRowsMax: 4)
        let base = idKey(1).low
        try store.append { (writer) throws(StoreError) in
            for lsn in UInt64(1)...4 {
                var usage = makeUsage(lsn)
                usage.figures.idKey = Hash128(low: base ^ (lsn & 1), high: lsn)
                try usage.add(to: &writer)
            }
            return 4
        }
        for _ in 0..<2 {
            for lsn in UInt64(1)...4 {
                #expect(try store.outcome(Hash128(low: base ^ (lsn & 1), high: lsn))?.figures.lsn == lsn)
            }
            #expect(try store.outcome(Hash128(low: base, high: 9)) == nil)
            try append(store.position.lsn + 1...store.position.lsn + 1, to: store)
        }
    }

    @Test("request ids of any bytes come back, and readable ones can be typed")
    func requestBytes() throws {
        let store = try open()
        let ids: [[UInt8]] = [Array("plain".utf8), Array("caf\u{e9}".utf8), [0xff, 0xfe], [97, 0, 98], [0]]
        try store.append { (writer) throws(StoreError) in
            for (index, id) in ids.enumerated() {
                var usage = makeUsage(UInt64(index + 1))
                usage.requestID = id
                try usage.add(to: &writer)
            }
            return 9
        }
        for (index, id) in ids.enumerated() {
            #expect(try store.usage(requestID: id)?.figures.lsn == UInt64(index + 1))
        }
        let types = try store.pool.read {
            try String.fetchAll($0, sql: "SELECT typeof(request_id) FROM usage ORDER BY id")
        }
        #expect(types == ["text", "text", "blob", "blob", "blob"])
        let typed = try store.pool.read {
            try Int64.fetchOne($0, sql: "SELECT lsn FROM usage WHERE request_id = 'plain'")
        }
        #expect(typed == 1)
    }

    @Test("the SQL that a person would type works")
    func sql() throws {
        let store = try open()
        try append(1...8, to: store)
        try store.append { (writer) throws(StoreError) in
            try TestCredit(lsn: 9, account: "acme", amount: 500, recordedAt: 9_000_000).add(to: &writer)
            return 9
        }
        let sums = try store.pool.read {
            try Row.fetchAll($0, sql: "SELECT account, sum(charge_nanocredits) FROM usage GROUP BY 1")
        }
        #expect(sums.map { $0[0] as String } == (0..<4).map { "acme/team/user\($0)" })
        #expect(sums.map { $0[1] as Int64 } == [12, 6, 8, 10])
        let words = try store.pool.read { database -> [String]? in
            let row = try Row.fetchOne(
                database,
                sql: """
                    SELECT organisation, wallet, state, credential_source, service_tier, recorded_time
                    FROM usage WHERE request_id = 'request-2'
                    """)
            return row.map { row in (0..<6).map { row[$0] as String } }
        }
        #expect(words == ["acme", "acme", "charged", "platform", "standard", "1970-01-01T00:00:02Z"])
        let books = try store.pool.read {
            try Row.fetchAll(
                $0, sql: "SELECT type, sum(amount_nanocredits) FROM transactions GROUP BY 1 ORDER BY 1")
        }
        #expect(books.map { $0[0] as String } == ["allocated", "deducted"])
        #expect(books.map { $0[1] as Int64 } == [500, -36])
    }

    @Test("a full disk rolls back and keeps what was there")
    func full() throws {
        let store = try open()
        let position = try append(1...100, to: store)
        try store.pool.writeWithoutTransaction { database in
            let pages = try Int.fetchOne(database, sql: "PRAGMA page_count") ?? 0
            try database.execute(sql: "PRAGMA max_page_count = \(pages + 2)")
        }
        let error = storeError { () throws(StoreError) in try append(101...3_000, to: store) }
        guard case .retryLater = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(store.position == position)
        #expect(try store.outcome(idKey(100)) != nil)
        #expect(try store.outcome(idKey(101)) == nil)
        try store.pool.writeWithoutTransaction { try $0.execute(sql: "PRAGMA max_page_count = 1073741823") }
        #expect(try append(101...3_000, to: store).usageCount == 3_000)
        #expect(try store.verifyEverything().lsn == 3_000)
    }

    @Test("a crash after any append keeps the rows up to its position; a lost WAL only goes back")
    func crash() throws {
        let store = try open(runRowsMax: 64)
        for last in stride(from: UInt64(40), through: 400, by: 40) {
            let position = try append(last - 39...last, to: store)
            let recovered = try open(try directory.copy(.history), runRowsMax: 64)
            #expect(recovered.position == position)
            #expect(
                try recovered.outcomes((1...last + 1).map(idKey)).map { $0?.figures.lsn } == (1...last).map {
                    $0
                } + [nil])
        }
        let copy = try directory.copy(.history, withWAL: false)
        let older = try open(copy, runRowsMax: 64)
        #expect(older.position.lsn <= 400)
        for last in stride(from: UInt64(40), through: 400, by: 40) { try append(1...last, to: older) }
        #expect(try older.verifyEverything() == store.position)
    }

    @Test("damage is refused or makes no difference", arguments: [UInt64(31)])
    func flippedBits(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        do {
            let store = try open(runRowsMax: 150)
            for last in stride(from: UInt64(50), through: 400, by: 50) {
                try append(last - 49...last, to: store)
            }
        }
        let original = try directory.bytes(.history)
        var refused = 0
        for round in 0..<200 {
            var bytes = original
            bytes[Int.random(in: 0..<bytes.count, using: &generator)] ^=
                1 << UInt8.random(in: 0..<8, using: &generator)
            let copy = try TemporaryDirectory()
            try copy.write(bytes, .history)
            do throws(StoreError) {
                let store = try open(copy, runRowsMax: 150)
                let numbers = (0..<40).map { _ in UInt64.random(in: 1...400, using: &generator) }
                for (number, outcome) in zip(numbers, try store.outcomes(numbers.map(idKey))) {
                    #expect(outcome?.figures == makeUsage(number).figures, "seed \(seed), round \(round)")
                }
                // Sums have no checksum: the rows are theirs.
                _ = try store.verifyRollups()
            } catch {
                refused += 1
            }
        }
        #expect(refused > 5, "seed \(seed)")
    }

    @Test("another hash key and another directory are refused")
    func otherKey() throws {
        try append(1...2, to: try open())
        let wrongKey = storeError { () throws(StoreError) in
            _ = try HistoryStore(
                directory: directory.path, identity: testIdentity, hashKey: HashKey(first: 1, second: 1))
        }
        var other = testIdentity
        other.id = "another"
        let wrongDirectory = storeError { () throws(StoreError) in
            _ = try HistoryStore(directory: directory.path, identity: other, hashKey: testHashKey)
        }
        for error in [wrongKey, wrongDirectory] {
            guard case .foreignFile(.history, _, _) = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }

    @Test("readers look things up while rows are appended, and see every row that was announced")
    func readersBesideTheWriter() async throws {
        let store = try open(runRowsMax: 128)
        try append(1...10, to: store)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for start in stride(from: UInt64(11), to: 2_000, by: 64) {
                    try append(start...start + 63, to: store)
                }
            }
            for seed in UInt64(0)..<3 {
                group.addTask {
                    var generator = SeededGenerator(seed: seed)
                    for _ in 0..<150 {
                        let last = store.position.lsn
                        let number = UInt64.random(in: 1...last, using: &generator)
                        let found = try store.outcome(idKey(number))
                        #expect(found?.figures.lsn == number)
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test("the WAL is copied into the file once it has grown")
    func walCopied() throws {
        let store = try open()
        let content = [UInt8](repeating: 7, count: 100_000)
        for lsn in UInt64(1)...8 {
            try store.append { (writer) throws(StoreError) in
                for step in UInt64(0)..<110 {
                    var usage = makeUsage(lsn * 200 + step)
                    usage.content = content
                    try usage.add(to: &writer)
                }
                return lsn * 200 + 110
            }
        }
        // 88 MB were written; without copying the file would still be empty.
        #expect(try directory.bytes(.history).count > StoreLimits.historyWALBytes)
    }

    @Test("keys sort by hash and then by row, however many there are")
    func keySort() {
        var generator = SeededGenerator(seed: 40)
        for count in [0, 1, 511, 512, 513, 5_000] {
            let keys = (0..<count).map { offset -> UInt64 in
                let bound: UInt64 = offset % 2 == 0 ? 8 : 1 << 42
                let hash = UInt64.random(in: 0..<bound, using: &generator)
                return Key.make(
                    hash: hash, KeyedRow(id: Int64(offset), isCredit: offset % 3 == 0), firstID: 0)
            }
            #expect(Key.sorted(keys) == keys.sorted())
        }
        let row = KeyedRow(id: 100 + 1 << 20 - 1, isCredit: true)
        #expect(Key.row(Key.make(hash: 1 << 42 - 1, row, firstID: 100), firstID: 100) == row)
    }
}
