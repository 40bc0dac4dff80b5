// Reading a checkpoint back, believing nothing that its checksums do not say.

import Bytes
import GRDB

enum CheckpointReader {
    /// In the order of the table, which is the order in which `row` expects them.
    static let columns =
        "SELECT id, path, balance_nanocredits, state, row_crc FROM accounts"

    /// The row that `statement` stands on, if its checksum fits. Its views last until the next step.
    @inline(__always)
    static func row(_ statement: borrowing Statement) throws(StoreError) -> CheckpointRow {
        let id = statement.integer(0)
        guard let shard = UInt16(exactly: id >> 32), statement.isInteger(2) else {
            throw damaged(statement, "a number is out of range")
        }
        let row = CheckpointRow(
            shard: shard, number: UInt32(truncatingIfNeeded: id), path: statement.bytes(1),
            balance: statement.integer(2), state: statement.bytes(3))
        guard Int64(row.check) == statement.integer(4) else {
            throw damaged(statement, "its checksum does not fit")
        }
        return row
    }

    @inline(never)
    private static func damaged(_ statement: borrowing Statement, _ reason: String) -> StoreError {
        let id = statement.integer(0)
        return .damagedRow(
            file: .ledger, table: "accounts", key: "\(id >> 32)/\(id & 0xffff_ffff)", path: statement.text(1),
            reason: reason)
    }
}

extension CheckpointStore {
    /// Recomputes everything: SQLite's own structure, every row's checksum, every total.
    ///
    /// O(size of the file). For the command that verifies a data directory, and for backups.
    ///
    /// - Returns: the checkpoint, or nil if none was ever written.
    /// - Throws: `.damagedRow` naming the first bad row; `.damagedTotals`; `.poisoned`.
    public func verifyEverything() throws(StoreError) -> Checkpoint? {
        try latched { () throws(StoreError) in
            try read { (database) throws(StoreError) in
                try checkStructure(database)
                let newest = try checkpoints(database).first
                try scan(database, newest) { (_) throws(StoreError) in }
                return newest
            }
        }
    }

    /// Does what `verifyEverything` does, hands every row to `body`, and returns the totals' error, if they differ,
    /// beside the checkpoint: every row is whole then, and who compares them may find which one is wrong.
    ///
    /// - Throws: `.damagedRow` naming the first bad row; `.damagedTotals` of the file's structure; `.poisoned`.
    public func checkEverything(
        _ body: (CheckpointRow) throws(StoreError) -> Void
    ) throws(StoreError) -> (checkpoint: Checkpoint?, totals: StoreError?) {
        try latched { () throws(StoreError) in
            try read { (database) throws(StoreError) in
                try checkStructure(database)
                let newest = try checkpoints(database).first
                do throws(StoreError) {
                    try scan(database, newest, body)
                } catch {
                    guard case .damagedTotals = error else { throw error }
                    return (newest, error)
                }
                return (newest, nil)
            }
        }
    }

    private func checkStructure(_ database: Database) throws(StoreError) {
        let findings = try attempt(.ledger, "checking the file's structure") {
            try String.fetchAll(database, sql: "PRAGMA integrity_check(10)")
        }
        guard findings == ["ok"] else {
            throw StoreError.damagedTotals(
                file: .ledger, field: "the file's structure", stored: "ok",
                computed: findings.joined(separator: "; "))
        }
    }

    /// Hands every row to `body` and compares the totals with those of `checkpoint`.
    func scan(
        _ database: Database, _ checkpoint: Checkpoint?,
        _ body: (CheckpointRow) throws(StoreError) -> Void
    ) throws(StoreError) {
        var select = try Statement(database, .ledger, CheckpointReader.columns + " ORDER BY id")
        var totals = CheckpointTotals()
        var last: (UInt16, UInt32)?
        while try select.step() {
            let row = try CheckpointReader.row(select)
            if let last, last >= (row.shard, row.number) {
                throw StoreError.damagedRow(
                    file: .ledger, table: "accounts", key: "\(row.shard)/\(row.number)", path: row.path.text,
                    reason: "it is out of order")
            }
            last = (row.shard, row.number)
            totals.add(balance: row.balance, check: UInt32(truncatingIfNeeded: select.integer(4)))
            guard Int(row.shard) < identity.shardCount else {
                throw StoreError.damagedRow(
                    file: .ledger, table: "accounts", key: "\(row.shard)/\(row.number)", path: row.path.text,
                    reason: "the directory has \(identity.shardCount) shards")
            }
            try body(row)
        }
        let expected = checkpoint?.totals ?? CheckpointTotals()
        guard totals == expected else {
            throw StoreError.damagedTotals(
                file: .ledger, field: "accounts, balances and control sum", stored: "\(expected)",
                computed: "\(totals)")
        }
    }
}
