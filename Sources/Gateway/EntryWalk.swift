// Every entry of a directory in its order, from the history's rows, the journal, or both.
//
//      LSN 1 ………………… journal's first ………… history's last ………… journal's last
//      |  rows only    |   rows and entries    |    entries only      |
//                        which must say the same

import Bytes
import Ledger
import Pricing
import Store

/// Reads every entry in its order.
struct EntryWalk {
    let history: HistoryStore
    let position: HistoryPosition
    let journal: OfflineDirectory.JournalFacts
    let moves: AccountMoves

    /// Where an entry was read.
    struct Source {
        var segment: String?
        var row: Int64?
    }

    private struct Stop: Error {}

    /// Hands over every entry, oldest first, until `body` returns false. What history and journal say of the same
    /// entry goes to `compare` before.
    func forEach(
        compare: (_ row: AuditedEntry, _ entry: AuditedEntry, Source) throws -> Void = { _, _, _ in },
        _ body: (AuditedEntry, Source) throws -> Bool
    ) throws {
        var rows = RowCursor(history)
        func hand(_ entry: AuditedEntry, _ source: Source) throws {
            guard try body(entry, source) else { throw Stop() }
        }
        do {
            while let row = try rows.peek(), row.entry.lsn < journal.firstLSN {
                try hand(row.entry, Source(row: row.id))
                rows.advance()
            }
            try journal.forEachChunk { chunk, firstLSN, segment in
                try chunk.forEachEntry(firstLSN) { entry, lsn, shard, sequence, time in
                    let entry = try AuditedEntry(
                        entry, lsn: lsn, shard: shard, sequence: sequence, time: time.microseconds)
                    guard entry.lsn <= position.lsn else { return try hand(entry, Source(segment: segment)) }
                    guard let row = try rows.peek(), row.entry.lsn == entry.lsn else {
                        throw Difference(
                            "the history has no row of it",
                            entry.place(segment: segment, row: nil))
                    }
                    let source = Source(segment: segment, row: row.id)
                    try compare(row.entry, entry, source)
                    try hand(entry, source)
                    rows.advance()
                }
            }
            if let row = try rows.peek() {
                throw Difference(
                    "the history has a row beyond LSN \(position.lsn), up to which it says it goes",
                    row.entry.place(segment: nil, row: row.id))
            }
        } catch is Stop {
            return
        }
    }

    /// Where the first entry is that `isWanted`; nil if there is none. O(entries).
    func first(where isWanted: (AuditedEntry, Source) throws -> Bool) throws -> EntryPlace? {
        var found: EntryPlace?
        try forEach { entry, source in
            if try isWanted(entry, source) { found = entry.place(segment: source.segment, row: source.row) }
            return found == nil
        }
        return found
    }

    /// The first entry of an account, or that moves its balance, under whatever path it had then.
    func first(of account: [UInt8]) throws -> EntryPlace? {
        let account = moves.current(account, afterLSN: 0)
        return try first { entry, _ in
            let entry = entry.now(moves)
            return entry.account == account || entry.wallet == account
        }
    }
}

extension ByteView {
    /// Hands over each entry of a chunk of the journal that begins with `firstLSN`, as far as it is behind `start`.
    /// Returns how many the chunk has.
    func forEachEntry(
        _ firstLSN: UInt64, after start: UInt64 = 0,
        _ body: (Entry, _ lsn: UInt64, _ shard: Int, _ sequence: UInt64, Timestamp) throws -> Void
    ) throws -> Int {
        do {
            var reader = try ChunkReader(self)
            let count = reader.head.count
            guard firstLSN + UInt64(count) > start + 1 else { return count }
            var lsn = firstLSN
            var sequence = reader.nextSequence
            while let (time, entry) = try reader.next() {
                if lsn > start { try body(entry, lsn, reader.head.shard, sequence, time) }
                lsn += 1
                sequence += 1
            }
            return count
        } catch let error as EntryError {
            throw Difference("the journal's chunk that begins with LSN \(firstLSN) cannot be read: \(error)")
        }
    }
}

/// The history's rows in their order, one looked at ahead.
private struct RowCursor {
    private let history: HistoryStore
    private var page: [TransactionRow] = []
    private var index = 0
    private var lastID: Int64 = 0
    private var next: (id: Int64, entry: AuditedEntry)?

    init(_ history: HistoryStore) { self.history = history }

    mutating func peek() throws -> (id: Int64, entry: AuditedEntry)? {
        if let next { return next }
        if index == page.count {
            page = try history.rows(after: lastID)
            index = 0
            guard let last = page.last else { return nil }
            lastID = last.id
        }
        next = (page[index].id, try AuditedEntry(page[index]))
        index += 1
        return next
    }

    mutating func advance() { next = nil }
}

extension AuditedEntry {
    /// The entry with its accounts called what they are called now. A path is one account's for ever.
    func now(_ moves: AccountMoves) -> AuditedEntry {
        if moves.isEmpty { return self }
        var entry = self
        entry.account = moves.current(account, afterLSN: lsn)
        entry.wallet = moves.current(wallet, afterLSN: lsn)
        return entry
    }
}
