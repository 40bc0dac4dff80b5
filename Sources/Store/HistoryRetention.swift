// Letting go of old usage: what a row says beside its figures is dropped, the row stays.
//
// A request id is charged once, for ever; a refund is bounded by its charge, for ever; and verification adds up
// every row. All three need the row's figures, so a row is not deleted but made small in its place: the record's
// canonical bytes (tags and quote token among them) and what each grant paid are dropped, and a flag says so. That
// frees what takes most of the room and all that a reporter wrote freely, and leaves lookups, statements, rollups
// and verification as they are, with no second place to look. The space is used again for new rows.
//
// Rows go in the order of their ids, a few thousand in a transaction; how far it has come is kept beside them.
// What is parked still is left whole, because it may be settled.

import Bytes
import GRDB

extension UsageFigures {
    /// A flag: content and extra were let go.
    public static let isLetGo: UInt32 = 1 << 16
}

extension HistoryStore {
    /// Makes rows small that were recorded before `recordedBefore`, at most `rowsMax` of them, in one transaction.
    ///
    /// - Parameters:
    ///   - recordedBefore: microseconds since 1970.
    ///   - kept: the content that has to stay of a row, which is lent for the call; mostly none.
    /// - Returns: how many rows were looked at; fewer than `rowsMax` when there are no more.
    /// - Throws: as `append` does.
    public func letGo(
        recordedBefore: Int64, rowsMax: Int, kept: (HistoryUsage) throws(StoreError) -> [UInt8]
    ) throws(StoreError) -> Int {
        try latched { () throws(StoreError) in
            try attempt(.history, "letting old usage go") {
                try pool.writeWithoutTransaction { database in
                    let count = try transaction(database, .history) { () throws(StoreError) in
                        try Retention.step(database, recordedBefore, rowsMax: rowsMax, kept)
                    }
                    if count > 0 { try copyWAL(database) }
                    return count
                }
            }
        }
    }
}

enum Retention {
    /// The schema step: up to which row old usage was let go.
    static let schemaStep = """
        CREATE TABLE retention (
            only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
            last_id INTEGER NOT NULL
        ) STRICT;
        INSERT INTO retention VALUES (1, 0);
        """

    /// A row as it will be.
    fileprivate struct Smaller {
        var id: Int64
        var flags: UInt32
        var check: UInt32
        var content: [UInt8]
        var extra: [UInt8]
    }

    fileprivate static func step(
        _ database: Database, _ recordedBefore: Int64, rowsMax: Int,
        _ kept: (HistoryUsage) throws(StoreError) -> [UInt8]
    ) throws(StoreError) -> Int {
        var mark = try Statement(database, .history, "SELECT last_id FROM retention")
        guard try mark.step() else {
            throw .damagedRow(file: .history, table: "retention", key: "1", path: "", reason: "it is missing")
        }
        let first = mark.integer(0)
        mark.reset()
        var lastID = first
        var count = 0
        var smaller: [Smaller] = []
        do {
            var open = try Statement(database, .history, "SELECT 1 FROM parked_open WHERE id = ?")
            var rows = try Statement(
                database, .history,
                "SELECT \(HistorySchema.usageColumns.joined(separator: ", ")) FROM usage_rows"
                    + " WHERE id > ? ORDER BY id LIMIT ?")
            rows.bind(first, at: 1)
            rows.bind(Int64(rowsMax), at: 2)
            while try rows.step() {
                // Rows are in the order of their recording, but for a clock that was set back.
                guard rows.integer(4) < recordedBefore else { break }
                let (id, row) = try HistoryReader.usage(rows)
                lastID = id
                count += 1
                open.bind(id, at: 1)
                let isOpen = try open.step()
                open.reset()
                if isOpen || row.figures.flags & UsageFigures.isLetGo != 0 { continue }
                smaller.append(try make(id, row, content: try kept(row)))
            }
        }
        guard count > 0 else { return 0 }
        var update = try Statement(
            database, .history,
            "UPDATE usage_rows SET content = ?, extra = ?, flags = ?, row_crc = ? WHERE id = ?")
        for row in smaller { try write(row, &update) }
        var move = try Statement(database, .history, "UPDATE retention SET last_id = ?")
        move.bind(lastID, at: 1)
        try move.run()
        return count
    }

    private static func make(
        _ id: Int64, _ found: HistoryUsage, content: [UInt8]
    ) throws(StoreError) -> Smaller {
        // Who ended a parked record, and which one, is part of the books; so is what a late report corrected.
        let isEnd = found.figures.state == .settled || found.figures.state == .discarded
        let isLate = found.figures.flags & UsageFigures.correctsOrphan != 0
        let extra = isEnd || isLate ? Array(found.extra) : []
        var row = found
        row.figures.flags |= UsageFigures.isLetGo
        let check = content.withView { content in
            extra.withView { extra in
                row.content = content
                row.extra = extra
                return row.check(id: id)
            }
        }
        return Smaller(id: id, flags: row.figures.flags, check: check, content: content, extra: extra)
    }

    private static func write(_ row: Smaller, _ update: inout Statement) throws(StoreError) {
        try row.content.withView { (content) throws(StoreError) in
            try row.extra.withView { (extra) throws(StoreError) in
                update.bind(blob: content, at: 1)
                update.bind(blob: extra, at: 2)
                update.bind(Int64(row.flags), at: 3)
                update.bind(Int64(row.check), at: 4)
                update.bind(row.id, at: 5)
                try update.run()
            }
        }
    }
}
