// Lets old usage go, beside the history's own work and never ahead of it.

import Bytes
import Ledger
import Pricing
import Store

/// Makes old rows small, some at a time. Lives on the history's thread, which is the only one that writes there.
struct Retention {
    /// Rows of one transaction: some tens of milliseconds.
    static let rowsAtOnce = 5_000
    /// Time until it looks again when there was nothing.
    private static let pauseNanoseconds: UInt64 = 60_000_000_000

    private var nextLook: UInt64 = 0

    /// Does one transaction's worth if there is something to do. Returns whether there was.
    mutating func step(_ gateway: Gateway) throws(StoreError) -> Bool {
        let days = gateway.settings.historyRetentionDays
        let now = gateway.clock.monotonicNanoseconds()
        guard days > 0, now >= nextLook else { return false }
        let count = try gateway.letGoOfUsage(days: days)
        if count < Self.rowsAtOnce { nextLook = now + Self.pauseNanoseconds }
        return count > 0
    }
}

extension Gateway {
    /// Makes rows small that are older than `days`, as many as one transaction takes. Returns how many it looked at.
    func letGoOfUsage(days: Int) throws(StoreError) -> Int {
        let (age, _) = UsageDay.microseconds.multipliedReportingOverflow(by: Int64(days))
        let (before, overflow) = now().microseconds.subtractingReportingOverflow(age)
        guard !overflow else { return 0 }
        return try history.letGo(recordedBefore: before, rowsMax: Retention.rowsAtOnce) {
            (row) throws(StoreError) in
            try Self.keptContent(row)
        }
    }

    /// What verification needs of a record: which hold it ended. Nothing for others.
    private static func keptContent(_ row: HistoryUsage) throws(StoreError) -> [UInt8] {
        guard row.figures.flags & HistoryRows.settlesHold != 0 else { return [] }
        do throws(UnpackingError) {
            let record = try RecordContent.read(row.content)
            var kept = UsageRecord()
            kept.requestID = record.requestID
            kept.account = record.account
            kept.holdID = record.holdID
            kept.eventTime = record.eventTime
            kept.credentialSource = record.credentialSource
            var packer = BytePacker(capacity: 256)
            RecordContent.append(kept, to: &packer)
            return Array(packer.view)
        } catch {
            throw .damagedRow(
                file: .history, table: "usage_rows", key: "", path: row.account.text,
                reason: "its content cannot be read at byte \(error.offset)")
        }
    }
}
