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
        try read { (database, _) throws(StoreError) in
            let findings = try attempt(.history, "checking the file's structure") {
                try String.fetchAll(database, sql: "PRAGMA quick_check(10)")
            }
            guard findings == ["ok"] else {
                throw damaged("the file's structure", "ok", findings.joined(separator: "; "))
            }
            let position = try HistoryPosition.read(
                database, identity,
                hashCheck: Int64(bitPattern: KeyedHasher.hash(ByteView(), key: hashKey).low))
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
            guard found == position else { throw damaged("the position", "\(position)", "\(found)") }
            return position
        }
    }

    private func damaged(_ field: String, _ stored: String, _ computed: String) -> StoreError {
        .damagedTotals(file: .history, field: field, stored: stored, computed: computed)
    }
}
