// Recomputing what the history says about itself.

import Bytes
import GRDB

extension HistoryStore {
    /// Reads every row, checks every checksum, and compares counts and sums with the position.
    ///
    /// O(rows). For the command that verifies a data directory.
    ///
    /// - Returns: the position that was verified.
    /// - Throws: `.damagedRow` naming the first bad row; `.damagedTotals`; `.poisoned`.
    public func verifyEverything() throws(StoreError) -> HistoryPosition {
        let (position, totals) = try checkEverything()
        if let totals { throw totals }
        return position
    }

    /// Does what `verifyEverything` does, and returns the totals' error, if they differ, beside the position as it
    /// is stored: every row is whole then, and who reads on may find which one is wrong.
    ///
    /// - Throws: `.damagedRow` naming the first bad row; `.damagedTotals` of the file's structure; `.poisoned`.
    public func checkEverything() throws(StoreError) -> (position: HistoryPosition, totals: StoreError?) {
        try read { (database, _) throws(StoreError) in
            let findings = try attempt(.history, "checking the file's structure") {
                try String.fetchAll(database, sql: "PRAGMA quick_check(10)")
            }
            guard findings == ["ok"] else {
                throw damaged("the file's structure", "ok", findings.joined(separator: "; "))
            }
            let position = try HistoryPosition.read(
                database, identity,
                hashCheck: Int64(bitPattern: KeyedHasher.lowHash(ByteView(), key: hashKey)))
            var found = HistoryPosition(shardCount: identity.shardCount)
            var usage = try Statement(
                database, .history,
                "SELECT \(HistorySchema.usageColumns.joined(separator: ", ")) FROM usage_rows ORDER BY id")
            while try usage.step() {
                let figures = try HistoryReader.usage(usage).row.figures
                found.usageCount += 1
                found.chargeSum += Int128(figures.charge)
                let shard = Int(figures.shard)
                guard shard < identity.shardCount else {
                    throw damaged("the shard count", "\(identity.shardCount)", "above \(shard)")
                }
                found.eventTimeMax[shard] = max(found.eventTimeMax[shard], figures.eventTime)
            }
            var credits = try Statement(
                database, .history,
                "SELECT \(HistorySchema.creditColumns.joined(separator: ", ")) FROM credit_rows ORDER BY id")
            while try credits.step() {
                _ = try HistoryReader.credit(credits)
                found.creditCount += 1
            }
            found.lsn = position.lsn
            found.nextID = position.nextID
            if found != position {
                return (position, damaged("the position", "\(position)", "\(found)"))
            }
            let parked = try OpenParked.mismatch(database)
            return (position, parked.map { damaged("the sums of what is parked", $0.kept, $0.addedUp) })
        }
    }

    /// The rows behind `id`, oldest first, at most `StoreLimits.pageRowsMax`; none at the end. For who reads all of
    /// them: O(rows of the page).
    public func rows(after id: Int64) throws(StoreError) -> [TransactionRow] {
        try read { (database, _) throws(StoreError) in
            func select(_ table: String, _ columns: [String]) -> String {
                "SELECT \(columns.joined(separator: ", ")) FROM \(table) WHERE id > ?1 ORDER BY id LIMIT ?2"
            }
            var usage = try Statement(
                cached: database, .history, select("usage_rows", HistorySchema.usageColumns))
            var credit = try Statement(
                cached: database, .history, select("credit_rows", HistorySchema.creditColumns))
            usage.bind(id, at: 1)
            usage.bind(Int64(StoreLimits.pageRowsMax), at: 2)
            credit.bind(id, at: 1)
            credit.bind(Int64(StoreLimits.pageRowsMax), at: 2)
            var rows: [TransactionRow] = []
            var hasUsage = try usage.step()
            var hasCredit = try credit.step()
            while hasUsage || hasCredit, rows.count < StoreLimits.pageRowsMax {
                if hasUsage, !hasCredit || usage.integer(0) < credit.integer(0) {
                    let (id, row) = try HistoryReader.usage(usage)
                    rows.append(.usage(UsageRow(id: id, row)))
                    hasUsage = try usage.step()
                } else {
                    let (id, row) = try HistoryReader.credit(credit)
                    rows.append(.credit(CreditRow(id: id, row)))
                    hasCredit = try credit.step()
                }
            }
            return rows
        }
    }

    private func damaged(_ field: String, _ stored: String, _ computed: String) -> StoreError {
        .damagedTotals(file: .history, field: field, stored: stored, computed: computed)
    }
}
