// Files are made private, checked before they are touched, and refused unchanged.

import Bytes
import Foundation
import GRDB
import Testing

@testable import Store

@Suite("The files")
struct FileTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// Makes all three files.
    private func openAll(_ directory: TemporaryDirectory) throws(StoreError) {
        _ = try CheckpointStore(directory: directory.path, identity: testIdentity)
        _ = try HistoryStore(directory: directory.path, identity: testIdentity, hashKey: testHashKey)
        _ = try openControl(directory)
    }

    private func openControl(_ directory: TemporaryDirectory) throws(StoreError) -> ControlStore {
        try ControlStore(
            directory: directory.path, identity: testIdentity, hashKey: [UInt8](repeating: 5, count: 16),
            now: 1)
    }

    private func open(_ file: StoreFile, _ directory: TemporaryDirectory) throws(StoreError) {
        switch file {
        case .ledger: _ = try CheckpointStore(directory: directory.path, identity: testIdentity)
        case .history:
            _ = try HistoryStore(directory: directory.path, identity: testIdentity, hashKey: testHashKey)
        case .control: _ = try openControl(directory)
        }
    }

    @Test("only the owner may read them, their WAL included")
    func modes() throws {
        let history = try HistoryStore(
            directory: directory.path, identity: testIdentity, hashKey: testHashKey)
        try history.append { (writer) throws(StoreError) in
            try makeUsage(1).add(to: &writer)
            return 1
        }
        try openAll(directory)
        for name in try FileManager.default.contentsOfDirectory(atPath: directory.path) {
            let attributes = try FileManager.default.attributesOfItem(atPath: directory.path + "/" + name)
            #expect(attributes[.posixPermissions] as? Int == 0o600, "\(name)")
        }
    }

    @Test("the settings that durability rests on are in force on the writing connections")
    func settings() throws {
        let checkpoint = try CheckpointStore(directory: directory.path, identity: testIdentity)
        let history = try HistoryStore(
            directory: directory.path, identity: testIdentity, hashKey: testHashKey)
        func values(_ database: Database) throws -> [Int?] {
            try [
                "synchronous", "wal_autocheckpoint", "foreign_keys", "trusted_schema", "cell_size_check",
                "mmap_size",
            ]
            .map { try Int.fetchOne(database, sql: "PRAGMA \($0)") }
        }
        for found in [
            try checkpoint.writer.writeWithoutTransaction(values),
            try history.pool.writeWithoutTransaction(values),
        ] {
            // Without memory mapping compiled in or asked for, `mmap_size` is 0 or says nothing.
            #expect(found.dropLast() == [2, 0, 1, 0, 1])
            #expect(found.last == 0 || found.last == .some(nil))
        }
        #expect(
            try history.pool.writeWithoutTransaction { try String.fetchOne($0, sql: "PRAGMA journal_mode") }
                == "wal")
    }

    @Test("a newer schema is refused, and no byte of the file changes", arguments: StoreFile.allCases)
    func newerSchema(file: StoreFile) throws {
        try openAll(directory)
        let queue = try DatabaseQueue(path: file.path(in: directory.path))
        try queue.write { try $0.execute(sql: "PRAGMA user_version = 900") }
        try queue.close()
        let before = try directory.bytes(file)
        let error = storeError { () throws(StoreError) in try open(file, directory) }
        #expect(
            error
                == .newerSchema(
                    file: file, found: 900, known: [.ledger: 1, .control: 2, .history: 10][file] ?? 0))
        #expect(try directory.bytes(file) == before)
    }

    @Test(
        "a newer schema that is still in the WAL is refused, and no byte changes",
        arguments: StoreFile.allCases)
    func newerSchemaInWAL(file: StoreFile) throws {
        try openAll(directory)
        let queue = try DatabaseQueue(path: file.path(in: directory.path))
        try queue.writeWithoutTransaction {
            try $0.execute(sql: "PRAGMA wal_autocheckpoint = 0; PRAGMA user_version = 900")
        }
        let crashed = try directory.copy(file)
        let before = (try crashed.bytes(file), try crashed.bytes(file, suffix: "-wal"))
        #expect(!before.1.isEmpty)
        let error = storeError { () throws(StoreError) in try open(file, crashed) }
        #expect(
            error
                == .newerSchema(
                    file: file, found: 900, known: [.ledger: 1, .control: 2, .history: 10][file] ?? 0))
        #expect(try crashed.bytes(file) == before.0)
        #expect(try crashed.bytes(file, suffix: "-wal") == before.1)
    }

    @Test("a stranger's file is refused, and no byte of it changes", arguments: StoreFile.allCases)
    func strangers(file: StoreFile) throws {
        try directory.write(Array("this is a letter to my aunt".utf8), file)
        let letter = try directory.bytes(file)
        var error = storeError { () throws(StoreError) in try open(file, directory) }
        guard case .foreignFile(file, _, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(try directory.bytes(file) == letter)

        for setup in ["PRAGMA application_id = 77; CREATE TABLE t (a)", "CREATE TABLE t (a)"] {
            let other = try TemporaryDirectory()
            let queue = try DatabaseQueue(path: file.path(in: other.path))
            try queue.write { try $0.execute(sql: setup) }
            try queue.close()
            error = storeError { () throws(StoreError) in try open(file, other) }
            guard case .foreignFile(file, _, _) = error else {
                Issue.record("\(setup): \(String(describing: error))")
                continue
            }
        }
    }

    @Test("one file in another's place is refused")
    func swapped() throws {
        try openAll(directory)
        let other = try TemporaryDirectory()
        try other.write(try directory.bytes(.history), .ledger)
        let error = storeError { () throws(StoreError) in try open(.ledger, other) }
        guard case .foreignFile(.ledger, _, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test("a file that a crash left empty or without tables is finished", arguments: StoreFile.allCases)
    func unfinished(file: StoreFile) throws {
        try directory.write([], file)
        try open(file, directory)
        let other = try TemporaryDirectory()
        let queue = try DatabaseQueue(path: file.path(in: other.path))
        try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA journal_mode = WAL") }
        try queue.close()
        try open(file, other)
    }

    @Test("preparing syncs and evicts each file and each WAL once, and skips what is not there")
    func prepare() throws {
        try Store.prepareFiles(in: directory.path)
        let crashed = try TemporaryDirectory()
        do {
            let history = try HistoryStore(
                directory: directory.path, identity: testIdentity, hashKey: testHashKey)
            try history.append { (writer) throws(StoreError) in
                try makeUsage(1).add(to: &writer)
                return 1
            }
            try openAll(directory)
            for name in ["ledger.db", "history.db", "history.db-wal", "control.db"] {
                try FileManager.default.copyItem(
                    atPath: directory.path + "/" + name, toPath: crashed.path + "/" + name)
            }
        }
        var evictions = 0
        try Store.prepareFiles(in: crashed.path) { descriptor in
            evictions += 1
            return Files.evict(descriptor)
        }
        #expect(evictions == 4)
        let error = storeError { () throws(StoreError) in try Store.prepareFiles(in: crashed.path) { _ in 5 }
        }
        #expect(
            error == .system(path: StoreFile.ledger.path(in: crashed.path), call: "posix_fadvise", code: 5))
        let history = try HistoryStore(directory: crashed.path, identity: testIdentity, hashKey: testHashKey)
        #expect(try history.outcome(idKey(1)) != nil)
    }

    @Test("SQLite's codes are sorted by what is to be done")
    func codes() {
        func kind(_ code: Int32) -> String {
            switch StoreError(file: .ledger, operation: "x", code: code, message: "y") {
            case .retryLater: "retry"
            case .poisoned: "poisoned"
            case .rejected: "rejected"
            default: "other"
            }
        }
        // FULL, BUSY, BUSY_SNAPSHOT, LOCKED; IOERR, IOERR_FSYNC, CORRUPT, NOTADB; CONSTRAINT_UNIQUE.
        #expect([13, 5, 517, 6].map(kind) == ["retry", "retry", "retry", "retry"])
        #expect([10, 1034, 11, 26].map(kind) == ["poisoned", "poisoned", "poisoned", "poisoned"])
        #expect(kind(2067) == "rejected")
    }

    @Test("limits fit each other")
    func limits() {
        // A run's offsets must fit their bits, and a transaction must fit into memory beside what is there.
        #expect(StoreLimits.runRowsMax <= 1 << Int(Key.offsetBits))
        #expect(StoreLimits.appendRowsMax <= StoreLimits.runRowsMax)
        #expect(Key.hashBits + Key.tailBits == 63 && Key.offsetBits + 1 == Key.tailBits)
        // A chunk with SQLite's bytes around it stays within a page: https://www.sqlite.org/fileformat2.html.
        #expect(KeyChunk.keysMax * 8 + 100 <= HistorySchema.schema.pageBytes)
        #expect(StoreLimits.historyWALBytes < StoreLimits.historyWALBytesMax)
    }
}
