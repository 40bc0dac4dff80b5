// How holds ended, for reports that come when memory has forgotten: found by the hold's key among the outcomes' keys.
//
//      usage row   a report that settled the hold, or came after its lease; or the charge of its orphan
//      credit row  a hold that was voided, or whose lease ended without a charge

import Bytes
import GRDB

extension UsageFigures {
    /// A flag: the end of a hold's lease was charged, and no report had come.
    public static let isOrphan: UInt32 = 16
    /// A flag: the report came after all, and is charged what it costs more.
    public static let correctsOrphan: UInt32 = 32
    static let aboutOrphan = isOrphan | correctsOrphan
}

/// The row that ended a hold.
public enum StoredHoldEnd: Hashable, Sendable {
    case usage(UsageRow)
    case credit(CreditRow)
}

enum HoldEnds {
    /// The schema step: which hold a row ended. Rows from before have none, and are not found by it.
    static let schemaStep = """
        ALTER TABLE usage_rows ADD COLUMN hold_low INTEGER;
        ALTER TABLE usage_rows ADD COLUMN hold_high INTEGER;
        ALTER TABLE credit_rows ADD COLUMN hold_low INTEGER;
        ALTER TABLE credit_rows ADD COLUMN hold_high INTEGER;
        """

    /// Binds a key to two columns.
    @inline(__always)
    static func bind(_ key: Hash128?, to statement: inout Statement, at index: CInt) {
        guard let key else {
            statement.bindNull(at: index)
            return statement.bindNull(at: index + 1)
        }
        statement.bind(Int64(bitPattern: key.low), at: index)
        statement.bind(Int64(bitPattern: key.high), at: index + 1)
    }

    /// The key in two columns.
    @inline(__always)
    static func key(_ statement: borrowing Statement, _ column: CInt) -> Hash128? {
        if statement.isNull(column) { return nil }
        return Hash128(
            low: UInt64(bitPattern: statement.integer(column)),
            high: UInt64(bitPattern: statement.integer(column + 1)))
    }
}

extension HistoryStore {
    /// The newest row that ended each of `holds`, in their order, in one snapshot; nil where none did. O(runs) each.
    public func holdEnds(_ holds: [Hash128]) throws(StoreError) -> [StoredHoldEnd?] {
        try read { (database, known) throws(StoreError) in
            var found = [StoredHoldEnd?](repeating: nil, count: holds.count)
            var usage = try Statement(cached: database, .history, HistoryReader.usageByID)
            var credits = try Statement(cached: database, .history, HistoryReader.creditByID)
            var chunks = try Statement(cached: database, .history, KeyChunk.select)
            for (index, hold) in holds.enumerated() {
                try known.search(.outcome, Key.hash(hold.low), &chunks) { (keyed) throws(StoreError) in
                    if keyed.isCredit {
                        defer { credits.reset() }
                        let row = try HistoryReader.credit(&credits, keyed.id)
                        guard row.holdKey == hold else { return false }
                        found[index] = .credit(CreditRow(id: keyed.id, row))
                    } else {
                        defer { usage.reset() }
                        let row = try HistoryReader.usage(&usage, keyed.id)
                        guard row.holdKey == hold else { return false }
                        found[index] = .usage(UsageRow(id: keyed.id, row))
                    }
                    return true
                }
            }
            return found
        }
    }
}
