// Writing the rows of one checkpoint: no allocation per row, totals kept by difference.

import Bytes
import GRDB

/// Takes the changed rows of a checkpoint, within its transaction.
///
/// Rows in ascending order of shard and number are fastest. A row written twice counts once, with its
/// last value.
@safe
public struct CheckpointWriter: ~Copyable {
    struct Key: Hashable {
        var shard: UInt16
        var number: UInt32

        /// The row's key in the table.
        var id: Int64 { Int64(shard) << 32 | Int64(number) }
    }

    /// How many written rows are read back after the commit, at most.
    private static let sampleCountMax = 64

    private(set) var totals: CheckpointTotals
    private(set) var rowCount = 0
    private(set) var samples: [Key] = []
    private var sampleStride = 1
    /// By shard, the highest key in the file: a row above it replaces nothing.
    private var idsMax: [Int64]
    private var select: Statement
    private var replace: Statement

    init(
        _ database: Database, _ identity: DirectoryIdentity, _ totals: CheckpointTotals
    ) throws(StoreError) {
        var highest = try Statement(
            database, .ledger, "SELECT max(id) FROM accounts WHERE id BETWEEN ?1 AND ?1 | 4294967295")
        var idsMax: [Int64] = []
        idsMax.reserveCapacity(identity.shardCount)
        for shard in 0..<identity.shardCount {
            highest.bind(Int64(shard) << 32, at: 1)
            let found = try highest.step()
            idsMax.append(found && !highest.isNull(0) ? highest.integer(0) : -1)
            highest.reset()
        }
        let select = try Statement(
            database, .ledger,
            "SELECT balance_nanocredits, row_crc FROM accounts WHERE id = ?")
        let replace = try Statement(database, .ledger, "REPLACE INTO accounts VALUES (?, ?, ?, ?, ?)")
        self.totals = totals
        self.idsMax = idsMax
        self.select = select
        self.replace = replace
    }

    /// Writes or replaces one row. The views are read before this returns.
    ///
    /// - Throws: `.retryLater` and `.poisoned` as SQLite says; the transaction is over then, and the
    ///   closure it happened in must let the error through.
    public mutating func write(_ row: CheckpointRow) throws(StoreError) {
        let id = Key(shard: row.shard, number: row.number).id
        let check = row.check
        if id <= idsMax[Int(row.shard)] {
            select.bind(id, at: 1)
            if try select.step() {
                let (balance, old) = (select.integer(0), select.integer(1))
                select.reset()
                guard let old = UInt32(exactly: old), totals.remove(balance: balance, check: old) else {
                    throw StoreError.damagedRow(
                        file: .ledger, table: "accounts", key: "\(row.shard)/\(row.number)",
                        path: row.path.text, reason: "its checksum was never part of the control sum")
                }
            }
        } else {
            idsMax[Int(row.shard)] = id
        }
        replace.bind(id, at: 1)
        replace.bind(text: row.path, at: 2)
        replace.bind(row.balance, at: 3)
        replace.bind(blob: row.state, at: 4)
        replace.bind(Int64(check), at: 5)
        try replace.run()
        totals.add(balance: row.balance, check: check)
        sample(row)
    }

    /// Keeps the key of every `sampleStride`th row, thinning out as they become too many.
    @inline(__always)
    private mutating func sample(_ row: CheckpointRow) {
        rowCount += 1
        guard rowCount % sampleStride == 0 else { return }
        if samples.count == Self.sampleCountMax {
            samples = samples.enumerated().compactMap { $0.offset % 2 == 0 ? $0.element : nil }
            sampleStride *= 2
        }
        samples.append(Key(shard: row.shard, number: row.number))
    }
}
