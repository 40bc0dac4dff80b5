// A checkpoint returns exactly what was written, says what it holds, and never returns anything else.

import Bytes
import Foundation
import GRDB
import Testing

@testable import Store

@Suite("The checkpoint")
struct CheckpointTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func open(_ directory: TemporaryDirectory? = nil) throws(StoreError) -> CheckpointStore {
        try CheckpointStore(directory: (directory ?? self.directory).path, identity: testIdentity)
    }

    @Test("a new file has no checkpoint and no rows")
    func new() throws {
        let (checkpoint, accounts) = try open().loadAll()
        #expect(checkpoint == nil)
        #expect(accounts.isEmpty)
    }

    @Test("what was written comes back, rows and stamp, also from another process's point of view")
    func roundTrip() throws {
        var generator = SeededGenerator(seed: 1)
        var accounts = makeAccounts(500, &generator)
        accounts[AccountKey(shard: 7, number: .max)] = Account(path: [0xff, 0], balance: .min, state: [])
        let stamp = testStamp(9)
        let outcome = try open().write(accounts, stamp)
        #expect(outcome.isVerified)
        #expect(outcome.rowCount == 501)
        let (checkpoint, found) = try open().loadAll()
        #expect(found == accounts)
        #expect(checkpoint?.stamp == stamp)
        #expect(checkpoint?.generation == 1)
        #expect(try open().verifyEverything() == checkpoint)
    }

    @Test("the sum of balances may exceed 64 bits")
    func largeSum() throws {
        let accounts = Dictionary(
            uniqueKeysWithValues: (0..<3).map {
                (AccountKey(shard: 0, number: $0), Account(path: [97], balance: .max, state: [1]))
            })
        let store = try open()
        try store.write(accounts, testStamp(1))
        #expect(try store.loadAll().0?.totals.balance == 3 * Int128(Int64.max))
    }

    @Test("totals kept by difference equal totals computed anew", arguments: [UInt64(1), 2, 3])
    func incremental(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let store = try open()
        var accounts: [AccountKey: Account] = [:]
        for generation in UInt64(1)...12 {
            let count = Int.random(in: 0...300, using: &generator)
            let outcome = try store.write { (writer) throws(StoreError) in
                for _ in 0..<count {
                    let key = AccountKey(
                        shard: UInt16.random(in: 0..<8, using: &generator),
                        number: UInt32.random(in: 0..<100, using: &generator))
                    let account = makeAccount(Int(key.number), &generator)
                    accounts[key] = account
                    try CheckpointStore.write([key: account], &writer)
                }
                return testStamp(generation)
            }
            #expect(outcome.checkpoint.generation == generation)
            #expect(outcome.checkpoint.totals.accountCount == accounts.count)
            #expect(
                outcome.checkpoint.totals.balance == accounts.values.reduce(0) { $0 + Int128($1.balance) })
            // Loading computes every total anew and compares.
            #expect(try store.loadAll().1 == accounts)
        }
    }

    @Test("a checkpoint in parts is a whole one after each, and is verified at its end")
    func parts() throws {
        let store = try open()
        try store.write([:], testStamp(10))
        var generator = SeededGenerator(seed: 7)
        var accounts: [AccountKey: Account] = [:]
        for shard in UInt16(0)..<4 {
            let key = AccountKey(shard: shard, number: 0)
            let account = makeAccount(Int(shard), &generator)
            accounts[key] = account
            var stamp = testStamp(shard == 3 ? 20 : 10)
            for done in 0...Int(shard) { stamp.sequences[done] = 77 }
            let outcome = try store.write(shard == 3 ? .whole : .part) { (writer) throws(StoreError) in
                try CheckpointStore.write([key: account], &writer)
                return stamp
            }
            #expect(outcome.isVerified == (shard == 3))
            #expect(try store.newestStamp() == stamp)
            // Whoever opens the file now finds the rows of the parts so far, and where each shard stands.
            let found = try open().loadAll()
            #expect(found.0?.stamp == stamp)
            #expect(found.1 == accounts)
        }
        #expect(store.releasableLSN == 10)
    }

    @Test("the journal is released up to the older of the last two verified checkpoints")
    func released() throws {
        let store = try open()
        #expect(store.releasableLSN == nil)
        for lsn in [UInt64(10), 20, 30] { try store.write([:], testStamp(lsn)) }
        #expect(store.releasableLSN == 20)
        let reopened = try open()
        #expect(reopened.releasableLSN == nil)
        _ = try reopened.loadAll()
        #expect(reopened.releasableLSN == 20)
    }

    @Test(
        "a crash between commit and truncation keeps the checkpoint; losing the WAL as well gives the older one"
    )
    func crashBeforeTruncation() throws {
        var generator = SeededGenerator(seed: 4)
        let older = makeAccounts(200, &generator)
        let store = try open()
        try store.write(older, testStamp(1))
        let newer = makeAccounts(300, &generator)
        _ = try store.commit { (writer) throws(StoreError) in
            try CheckpointStore.write(newer, &writer)
            return testStamp(2)
        }
        let crashed = try directory.copy(.ledger)
        let (checkpoint, found) = try open(crashed).loadAll()
        #expect(checkpoint?.stamp.appliedLSN == 2)
        #expect(found == newer)

        let withoutWAL = try directory.copy(.ledger, withWAL: false)
        let (olderCheckpoint, olderFound) = try open(withoutWAL).loadAll()
        #expect(olderCheckpoint?.stamp.appliedLSN == 1)
        #expect(olderFound == older)
    }

    @Test("a WAL cut or flipped anywhere gives one of the two checkpoints whole")
    func tornWAL() throws {
        let seed: UInt64 = 5
        var generator = SeededGenerator(seed: seed)
        let older = makeAccounts(60, &generator)
        let newer = makeAccounts(60, &generator)
        let store = try open()
        try store.write(older, testStamp(1))
        _ = try store.commit { (writer) throws(StoreError) in
            try CheckpointStore.write(newer, &writer)
            return testStamp(2)
        }
        let wal = try directory.bytes(.ledger, suffix: "-wal")
        let crashed = try directory.copy(.ledger)
        for round in 0..<80 {
            var damaged = wal
            if round % 2 == 0 {
                damaged.removeLast(Int.random(in: 1...wal.count, using: &generator))
            } else {
                damaged[Int.random(in: 0..<wal.count, using: &generator)] ^=
                    1 << UInt8.random(in: 0..<8, using: &generator)
            }
            let copy = try crashed.copy(.ledger, withWAL: false)
            try Data(damaged).write(to: URL(fileURLWithPath: StoreFile.ledger.path(in: copy.path) + "-wal"))
            let (checkpoint, found) = try open(copy).loadAll()
            let lsn = checkpoint?.stamp.appliedLSN
            #expect(
                (lsn == 1 && found == older) || (lsn == 2 && found == newer), "seed \(seed), round \(round)")
        }
    }

    @Test("a file with any bit flipped is refused or returns what was written", arguments: [UInt64(6), 7])
    func flippedBits(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let accounts = makeAccounts(120, &generator)
        var expected: Checkpoint?
        do {
            let store = try open()
            try store.write(accounts, testStamp(1))
            expected = try store.write(makeAccounts(120, &generator).mapValues { $0 }, testStamp(2))
                .checkpoint
            expected = try store.write(accounts, testStamp(3)).checkpoint
        }
        let original = try directory.bytes(.ledger)
        var refused = 0
        for round in 0..<250 {
            var bytes = original
            // Rows, the header and the small tables alike; now and then several at once.
            for _ in 0..<(round % 10 == 0 ? 8 : 1) {
                let bound = round % 3 == 0 ? 4096 * 4 : bytes.count
                bytes[Int.random(in: 0..<bound, using: &generator)] ^=
                    1 << UInt8.random(in: 0..<8, using: &generator)
            }
            let copy = try TemporaryDirectory()
            try copy.write(bytes, .ledger)
            do throws(StoreError) {
                let (checkpoint, found) = try open(copy).loadAll()
                #expect(checkpoint == expected, "seed \(seed), round \(round)")
                #expect(found == accounts, "seed \(seed), round \(round)")
            } catch {
                refused += 1
            }
        }
        #expect(refused > 20, "seed \(seed)")
    }

    @Test("a changed balance and a changed state are named with shard, number and path")
    func namedDamage() throws {
        let key = AccountKey(shard: 3, number: 17)
        let account = Account(path: Array("acme/alice".utf8), balance: 1_000_000, state: [1, 2, 3])
        try open().write([key: account], testStamp(1))
        for change in ["balance_nanocredits = 5194304", "state = x'010203ff'", "path = 'acme/bob'"] {
            let copy = try directory.copy(.ledger)
            let queue = try DatabaseQueue(path: StoreFile.ledger.path(in: copy.path))
            try queue.write { try $0.execute(sql: "UPDATE accounts SET " + change) }
            try queue.close()
            let error = storeError { () throws(StoreError) in _ = try open(copy).loadAll() }
            guard case .damagedRow(.ledger, "accounts", "3/17", let path, _) = error else {
                Issue.record("\(change): \(String(describing: error))")
                continue
            }
            #expect(path == (change.contains("path") ? "acme/bob" : "acme/alice"))
        }
    }

    @Test("rows that are gone, and rows of an older checkpoint, do not add up")
    func missingRows() throws {
        var generator = SeededGenerator(seed: 8)
        try open().write(makeAccounts(50, &generator), testStamp(1))
        for change in [
            "DELETE FROM accounts WHERE number = 2", "DELETE FROM accounts", "DELETE FROM meta",
            "DELETE FROM shard_positions WHERE shard = 4",
            "UPDATE shard_positions SET sequence = 1 WHERE shard = 2",
            "UPDATE meta SET applied_lsn = 3", "UPDATE meta SET balance_sum_nanocredits = '0'",
        ] {
            let copy = try directory.copy(.ledger)
            let queue = try DatabaseQueue(path: StoreFile.ledger.path(in: copy.path))
            try queue.write { try $0.execute(sql: change) }
            try queue.close()
            let error = storeError { () throws(StoreError) in _ = try open(copy).loadAll() }
            #expect(error?.isFatal == true, "\(change): \(String(describing: error))")
        }
    }

    @Test("another directory's file is refused")
    func otherDirectory() throws {
        try open().write([:], testStamp(1))
        var other = testIdentity
        other.id = "another"
        let store = try CheckpointStore(directory: directory.path, identity: other)
        let error = storeError { () throws(StoreError) in _ = try store.loadAll() }
        guard case .foreignFile(.ledger, _, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test("a full disk rolls back, keeps the last checkpoint, and heals")
    func full() throws {
        var generator = SeededGenerator(seed: 9)
        let accounts = makeAccounts(100, &generator)
        let store = try open()
        try store.write(accounts, testStamp(1))
        try store.writer.writeWithoutTransaction { database in
            let pages = try Int.fetchOne(database, sql: "PRAGMA page_count") ?? 0
            try database.execute(sql: "PRAGMA max_page_count = \(pages + 2)")
        }
        let more = makeAccounts(5_000, &generator)
        let error = storeError { () throws(StoreError) in _ = try store.write(more, testStamp(2)) }
        guard case .retryLater(let failure) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(failure.code & 0xff == 13)
        #expect(try store.loadAll().1 == accounts)
        try store.writer.writeWithoutTransaction { try $0.execute(sql: "PRAGMA max_page_count = 1073741823") }
        try store.write(more, testStamp(2))
        #expect(try store.loadAll().1 == more)
        #expect(try open().verifyEverything()?.stamp.appliedLSN == 2)
    }

    @Test("a reader in the way leaves the checkpoint durable but unverified")
    func readerInTheWay() throws {
        let store = try open()
        try store.write([:], testStamp(1))
        let other = try DatabaseQueue(path: StoreFile.ledger.path(in: directory.path))
        try other.inDatabase { database in
            try database.execute(sql: "BEGIN")
            _ = try Int.fetchOne(database, sql: "SELECT count(*) FROM meta")
            var generator = SeededGenerator(seed: 10)
            let accounts = makeAccounts(50, &generator)
            let outcome = try store.write(accounts, testStamp(2))
            #expect(!outcome.isVerified)
            #expect(store.releasableLSN == nil)
            try database.execute(sql: "COMMIT")
            #expect(try store.write([:], testStamp(3)).isVerified)
            #expect(store.releasableLSN == 1)
            #expect(try store.loadAll().1 == accounts)
        }
    }

    @Test("an error in the closure rolls everything back")
    func closureThrows() throws {
        let store = try open()
        try store.write([:], testStamp(1))
        let refusal = StoreError.system(path: "here", call: "nothing", code: 1)
        let error = storeError { () throws(StoreError) in
            _ = try store.write { (writer) throws(StoreError) in
                var generator = SeededGenerator(seed: 11)
                try CheckpointStore.write(makeAccounts(10, &generator), &writer)
                throw refusal
            }
        }
        #expect(error == refusal)
        #expect(try store.loadAll().0?.generation == 1)
    }

    @Test("a copy is a whole checkpoint of its own")
    func copy() throws {
        var generator = SeededGenerator(seed: 12)
        let accounts = makeAccounts(40, &generator)
        let store = try open()
        try store.write(accounts, testStamp(4))
        let target = try TemporaryDirectory()
        try store.copy(to: StoreFile.ledger.path(in: target.path))
        let (checkpoint, found) = try open(target).loadAll()
        #expect(checkpoint?.stamp.appliedLSN == 4)
        #expect(found == accounts)
    }

    @Test("a person reads balances by path")
    func readable() throws {
        let account = Account(path: Array("acme/alice".utf8), balance: 42, state: [9])
        try open().write([AccountKey(shard: 2, number: 5): account], testStamp(1))
        let queue = try DatabaseQueue(path: StoreFile.ledger.path(in: directory.path))
        let row = try queue.read {
            try Row.fetchOne(
                $0, sql: "SELECT shard, number, balance_nanocredits FROM accounts WHERE path = 'acme/alice'")
        }
        #expect(row.map { [$0[0] as Int, $0[1], $0[2]] } == [2, 5, 42])
    }
}
