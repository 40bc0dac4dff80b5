// Old usage keeps its figures and loses the rest: in order, a few at a time, and with nothing that books need.

import Bytes
import GRDB
import Testing

@testable import Store

@Suite("letting old usage go")
struct RetentionTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func open() throws(StoreError) -> HistoryStore {
        try HistoryStore(directory: directory.path, identity: testIdentity, hashKey: testHashKey)
    }

    private func row(_ number: UInt64, _ state: UsageState = .charged) -> TestUsage {
        var usage = makeUsage(number)
        usage.figures.state = state
        usage.extra = [9, 9]
        return usage
    }

    @Test("rows older than the bound lose content and extra, in steps; figures, lookups and sums stay")
    func steps() throws {
        var store = try open()
        try store.append { (writer) throws(StoreError) in
            for number in UInt64(1)...20 { try row(number).add(to: &writer) }
            return 20
        }
        let position = store.position
        // Row n was recorded at n seconds.
        func letGo(_ rowsMax: Int) throws(StoreError) -> Int {
            try store.letGo(recordedBefore: 11_000_000, rowsMax: rowsMax) { (_) throws(StoreError) in [] }
        }
        #expect(try letGo(4) == 4)
        store = try open()
        #expect(try letGo(4) == 4)
        #expect(try letGo(4) == 2)
        #expect(try letGo(4) == 0)
        for number in UInt64(1)...20 {
            let found = try #require(try store.usage(requestID: Array("request-\(number)".utf8)))
            var figures = makeUsage(number).figures
            if number <= 10 { figures.flags |= UsageFigures.isLetGo }
            #expect(found.figures == figures)
            #expect(found.content.isEmpty == (number <= 10))
            #expect(found.extra.isEmpty == (number <= 10))
            #expect(try store.outcome(idKey(number))?.figures.digest == figures.digest)
        }
        #expect(try store.verifyEverything() == position)
        #expect(try store.verifyRollups() > 0)
    }

    @Test("what is parked still stays whole, ends keep what they say, and content that has to stay stays")
    func exceptions() throws {
        let store = try open()
        var end = row(3, .settled)
        end.settles = row(2, .parked).figures.sequence
        end.figures.shard = row(2).figures.shard
        try store.append { (writer) throws(StoreError) in
            for usage in [row(1, .parked), row(2, .parked), end, row(4)] { try usage.add(to: &writer) }
            return 4
        }
        let count = try store.letGo(recordedBefore: .max, rowsMax: 100) { (row) throws(StoreError) in
            row.figures.lsn == 4 ? [7] : []
        }
        #expect(count == 4)
        let rows = try (1...4).map { try #require(try store.usage(id: Int64($0))) }
        #expect(rows[0].content == [1, 2, 3] && rows[0].extra == [9, 9])
        #expect(rows[1].content.isEmpty && rows[1].extra.isEmpty)
        #expect(rows[2].content.isEmpty && rows[2].extra == [9, 9])
        #expect(rows[3].content == [7] && rows[3].extra.isEmpty)
        _ = try store.verifyEverything()
    }

    @Test("a step that fails changes nothing")
    func rollback() throws {
        let store = try open()
        try store.append { (writer) throws(StoreError) in
            for number in UInt64(1)...3 { try row(number).add(to: &writer) }
            return 3
        }
        let failure = StoreError.system(path: "test", call: "stop", code: 1)
        let error = storeError { () throws(StoreError) in
            _ = try store.letGo(recordedBefore: .max, rowsMax: 10) { (row) throws(StoreError) in
                if row.figures.lsn == 3 { throw failure }
                return []
            }
        }
        #expect(error == failure)
        #expect(try store.usage(id: 1)?.content == [1, 2, 3])
    }
}
