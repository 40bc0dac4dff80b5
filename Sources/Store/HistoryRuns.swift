// Runs of keys on disk: written once, in chunks that fill a page each, and searched through their
// fences. Chunks and the rows about runs have checksums: a key that cannot be read must not look like
// a request that was never charged.

import Bytes
import Foundation
import GRDB

enum KeyChunk {
    /// Keys in a chunk: with SQLite's own bytes just within a page of 8 KiB.
    static let keysMax = 1_000

    static let select = "SELECT entries, row_crc FROM key_chunks WHERE chunk = ?"

    static func check(_ chunk: Int64, _ entries: ByteView) -> UInt32 {
        var number = UInt64(bitPattern: chunk).littleEndian
        let head = unsafe withUnsafeBytes(of: &number) { unsafe CRC32C.checksum($0) }
        return CRC32C.checksum(entries, continuing: head)
    }

    static func damaged(_ chunk: Int64, _ reason: String) -> StoreError {
        .damagedRow(file: .history, table: "key_chunks", key: "\(chunk)", path: "", reason: reason)
    }
}

extension ByteView {
    /// The `index`th of the eight-byte little-endian numbers that the view consists of.
    @inline(__always)
    func word(_ index: Int) -> UInt64 {
        precondition(index >= 0 && index * 8 + 8 <= count)
        return unsafe UInt64(littleEndian: buffer.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
    }
}

extension HistoryKeys {
    // MARK: Searching

    /// Hands every row up to `lastID` whose key of `kind` has `hash` to `body`, newest first, until it
    /// returns true.
    ///
    /// `chunks` is a statement for `KeyChunk.select`, in a snapshot taken after this value.
    func search(
        _ kind: KeyKind, _ hash: UInt64, upTo lastID: Int64 = .max, _ chunks: inout Statement,
        _ body: (KeyedRow) throws(StoreError) -> Bool
    ) throws(StoreError) {
        if let range = Key.range(hash, upTo: lastID, firstID: firstID) {
            let isDone = try memory[kind.rawValue].search(range) { (key) throws(StoreError) in
                try body(Key.row(key, firstID: firstID))
            }
            if isDone { return }
        }
        for run in runs.reversed() {
            guard let range = Key.range(hash, upTo: lastID, firstID: run.ids.lowerBound) else { continue }
            let section = run.sections[kind.rawValue]
            var chunk = section.fences.firstIndex { $0 > range.upperBound }
            while chunk > 0 {
                chunk -= 1
                let isDone = try search(section.firstChunk + Int64(chunk), range, run.ids, &chunks, body)
                if isDone { return }
                if section.fences[chunk] < range.lowerBound { break }
            }
        }
    }

    /// Hands the rows of the keys in `range` of one chunk to `body`, newest first.
    private func search(
        _ chunk: Int64, _ range: ClosedRange<UInt64>, _ ids: ClosedRange<Int64>, _ chunks: inout Statement,
        _ body: (KeyedRow) throws(StoreError) -> Bool
    ) throws(StoreError) -> Bool {
        chunks.bind(chunk, at: 1)
        guard try chunks.step() else { throw KeyChunk.damaged(chunk, "it is missing") }
        defer { chunks.reset() }
        let entries = chunks.bytes(0)
        guard Int64(KeyChunk.check(chunk, entries)) == chunks.integer(1), entries.count % 8 == 0 else {
            throw KeyChunk.damaged(chunk, "its checksum does not fit")
        }
        var (low, high) = (0, entries.count / 8)
        while low < high {
            let middle = (low + high) / 2
            if entries.word(middle) > range.upperBound { high = middle } else { low = middle + 1 }
        }
        while low > 0, entries.word(low - 1) >= range.lowerBound {
            low -= 1
            if try body(Key.row(entries.word(low), firstID: ids.lowerBound)) { return true }
        }
        return false
    }

    // MARK: Writing

    /// Writes every key in memory to disk as the next run. O(keys), sequential.
    ///
    /// - Parameter nextID: the first row that is not in memory.
    mutating func writeRun(_ database: Database, before nextID: Int64) throws(StoreError) {
        guard nextID > firstID else { return }
        var highest = try Statement(database, .history, "SELECT coalesce(max(chunk), 0) FROM key_chunks")
        var chunk = try highest.step() ? highest.integer(0) + 1 : 1
        highest.reset()
        var insert = try Statement(database, .history, "INSERT INTO key_chunks VALUES (?, ?, ?)")
        var run = KeyRun(ids: firstID...nextID - 1, sections: [])
        var packer = BytePacker(capacity: KeyChunk.keysMax * 8)
        for kind in KeyKind.allCases {
            let keys = memory[kind.rawValue].sorted()
            var section = KeyRun.Section(firstChunk: chunk, fences: [])
            for first in stride(from: 0, to: keys.count, by: KeyChunk.keysMax) {
                packer.clear()
                for key in keys[first..<min(first + KeyChunk.keysMax, keys.count)] {
                    packer.append(fixed: key)
                }
                insert.bind(chunk, at: 1)
                insert.bind(blob: packer.view, at: 2)
                insert.bind(Int64(KeyChunk.check(chunk, packer.view)), at: 3)
                try insert.run()
                section.fences.append(keys[first])
                chunk += 1
            }
            run.sections.append(section)
        }
        runs.append(run)
        try write(database, run, number: runs.count)
        memory = [KeyMemory](repeating: KeyMemory(), count: KeyKind.allCases.count)
        firstID = nextID
    }

    private func write(_ database: Database, _ run: KeyRun, number: Int) throws(StoreError) {
        try attempt(.history, "writing a run of keys") {
            for kind in KeyKind.allCases {
                let section = run.sections[kind.rawValue]
                let fences = Self.pack(section.fences)
                try database.execute(
                    sql: "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)",
                    arguments: [
                        number, kind.rawValue, run.ids.lowerBound, run.ids.upperBound, section.firstChunk,
                        Data(fences), Int64(Self.check(number, kind, run, section, fences)),
                    ])
            }
        }
    }

    private static func pack(_ fences: [UInt64]) -> [UInt8] {
        var packer = BytePacker(capacity: 8 * max(1, fences.count))
        for fence in fences { packer.append(fixed: fence) }
        return Array(packer.view)
    }

    private static func check(
        _ number: Int, _ kind: KeyKind, _ run: KeyRun, _ section: KeyRun.Section, _ fences: [UInt8]
    ) -> UInt32 {
        var packer = BytePacker(capacity: 64)
        for value in [
            Int64(number), Int64(kind.rawValue), run.ids.lowerBound, run.ids.upperBound, section.firstChunk,
        ] {
            packer.append(fixed: UInt64(bitPattern: value))
        }
        return fences.withView { CRC32C.checksum($0, continuing: CRC32C.checksum(packer.view)) }
    }

    // MARK: Reading back at start

    /// Reads what is known about runs, and the keys of the rows that no run covers.
    ///
    /// O(runs + those rows), about a microsecond for each row.
    init(
        _ database: Database, _ position: HistoryPosition, _ hashKey: HashKey, rowsMax: Int
    ) throws(StoreError) {
        self.init()
        try readRuns(database)
        guard position.nextID >= firstID, position.nextID - firstID <= Int64(rowsMax) else {
            throw StoreError.damagedTotals(
                file: .history, field: "rows without keys", stored: "at most \(rowsMax)",
                computed: "\(position.nextID - firstID)")
        }
        var batch = KeyBatch()
        var usage = try Statement(
            database, .history,
            "SELECT id, account, wallet, request_id, id_low, hold_low, hold_high FROM usage_rows WHERE id >= ?"
        )
        usage.bind(firstID, at: 1)
        while try usage.step() {
            let row = KeyedRow(id: usage.integer(0), isCredit: false)
            let idLow = UInt64(bitPattern: usage.integer(4))
            batch.add(.outcome, Key.hash(idLow), row)
            if let hold = HoldEnds.key(usage, 5), hold.low != idLow {
                batch.add(.outcome, Key.hash(hold.low), row)
            }
            batch.add(.request, Key.hash(usage.bytes(3), hashKey), row)
            batch.add(
                account: Key.hash(usage.bytes(1), hashKey),
                wallet: usage.isNull(2) ? nil : Key.hash(usage.bytes(2), hashKey), row)
        }
        var credits = try Statement(
            database, .history,
            """
            SELECT id, account, idempotency_key, reference, hold_low, hold_high, wallet FROM credit_rows
            WHERE id >= ?
            """)
        credits.bind(firstID, at: 1)
        while try credits.step() {
            let row = KeyedRow(id: credits.integer(0), isCredit: true)
            batch.add(
                account: Key.hash(credits.bytes(1), hashKey),
                wallet: credits.isNull(6) ? nil : Key.hash(credits.bytes(6), hashKey), row)
            if let hold = HoldEnds.key(credits, 4) { batch.add(.outcome, Key.hash(hold.low), row) }
            if !credits.bytes(2).isEmpty { batch.add(.request, Key.hash(credits.bytes(2), hashKey), row) }
            if !credits.bytes(3).isEmpty { batch.add(.request, Key.hash(credits.bytes(3), hashKey), row) }
        }
        // Sorting by hash keeps the order of rows, which is by id.
        for kind in KeyKind.allCases { batch.keys[kind.rawValue].sort { $0.row.id < $1.row.id } }
        add(batch)
    }

    private mutating func readRuns(_ database: Database) throws(StoreError) {
        var select = try Statement(
            database, .history,
            """
            SELECT run, kind, first_id, last_id, first_chunk, fences, row_crc FROM runs ORDER BY run, kind
            """)
        while try select.step() {
            func damaged(_ reason: String) -> StoreError {
                .damagedRow(
                    file: .history, table: "runs", key: "\(select.integer(0))/\(select.integer(1))", path: "",
                    reason: reason)
            }
            let kindsRead = runs.last.map { $0.sections.count % KeyKind.allCases.count } ?? 0
            let number = runs.count + (kindsRead == 0 ? 1 : 0)
            guard let kind = KeyKind(rawValue: kindsRead), select.integer(0) == Int64(number),
                select.integer(1) == Int64(kindsRead)
            else { throw damaged("expected run \(number), kind \(kindsRead)") }
            let (first, last) = (select.integer(2), select.integer(3))
            guard first == (kindsRead == 0 ? firstID : runs.last?.ids.lowerBound), first <= last else {
                throw damaged("it does not begin where the run before it ends")
            }
            let packed = Array(select.bytes(5))
            var section = KeyRun.Section(firstChunk: select.integer(4), fences: [])
            let run = KeyRun(ids: first...last, sections: [])
            guard packed.count % 8 == 0,
                Int64(Self.check(number, kind, run, section, packed)) == select.integer(6)
            else { throw damaged("its checksum does not fit") }
            section.fences = packed.withView { view in (0..<view.count / 8).map { view.word($0) } }
            if kindsRead == 0 { runs.append(run) }
            runs[runs.count - 1].sections.append(section)
            if kindsRead == KeyKind.allCases.count - 1 { firstID = last + 1 }
        }
        guard runs.allSatisfy({ $0.sections.count == KeyKind.allCases.count }) else {
            throw StoreError.damagedRow(
                file: .history, table: "runs", key: "\(runs.count)", path: "",
                reason: "a kind of key is missing")
        }
    }
}
