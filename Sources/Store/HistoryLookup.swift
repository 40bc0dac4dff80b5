// Looking up outcomes: memory first, then the runs on disk, newest first.

import Bytes
import GRDB

/// The outcome of a request that was seen before.
public struct StoredOutcome: Hashable, Sendable {
    /// Its place in the history.
    public var id: Int64
    /// Everything the receipt of the request said.
    public var figures: UsageFigures
    /// Why it was parked; nil when it was charged.
    public var parkedReason: String?
}

extension HistoryStore {
    /// The newest outcome under an idempotency key, or nil if the history holds none.
    ///
    /// O(runs), a few microseconds each when their pages are in memory. What was appended before the
    /// call is found.
    public func outcome(_ key: Hash128) throws(StoreError) -> StoredOutcome? {
        try outcomes([key])[0]
    }

    /// The newest outcome for each of `keys`, in their order, in one snapshot.
    public func outcomes(_ keys: [Hash128]) throws(StoreError) -> [StoredOutcome?] {
        try read { (database, known) throws(StoreError) in
            var found = [StoredOutcome?](repeating: nil, count: keys.count)
            var rows = try Statement(cached: database, .history, HistoryReader.usageByID)
            var chunks = try Statement(cached: database, .history, KeyChunk.select)
            // In order of hash, so that neighbours share pages.
            for index in keys.indices.sorted(by: { keys[$0].low < keys[$1].low }) {
                let key = keys[index]
                try known.search(.outcome, Key.hash(key.low), &chunks) { (keyed) throws(StoreError) in
                    guard !keyed.isCredit else { return false }
                    defer { rows.reset() }
                    let row = try HistoryReader.usage(&rows, keyed.id)
                    guard row.figures.idKey == key else { return false }
                    found[index] = StoredOutcome(
                        id: keyed.id, figures: row.figures,
                        parkedReason: row.parkedReason.isEmpty ? nil : row.parkedReason.text)
                    return true
                }
            }
            return found
        }
    }

    /// The newest row of a request, or nil. Without an organisation the newest of any that used the id.
    ///
    /// - Parameter organisation: the first segment of the account's path.
    public func usage(requestID: [UInt8], organisation: [UInt8]? = nil) throws(StoreError) -> UsageRow? {
        try read { (database, known) throws(StoreError) in
            var found: UsageRow?
            var rows = try Statement(cached: database, .history, HistoryReader.usageByID)
            var chunks = try Statement(cached: database, .history, KeyChunk.select)
            let hash = requestID.withView { Key.hash($0, hashKey) }
            try known.search(.request, hash, &chunks) { (keyed) throws(StoreError) in
                guard !keyed.isCredit else { return false }
                defer { rows.reset() }
                let row = try HistoryReader.usage(&rows, keyed.id)
                guard Array(row.requestID) == requestID else { return false }
                if let organisation, !row.account.isWithin(organisation) { return false }
                found = UsageRow(id: keyed.id, row)
                return true
            }
            return found
        }
    }

    /// The row with this number, or nil.
    public func usage(id: Int64) throws(StoreError) -> UsageRow? {
        try read { (database, _) throws(StoreError) in
            var select = try Statement(cached: database, .history, HistoryReader.usageByID)
            select.bind(id, at: 1)
            guard try select.step() else { return nil }
            return UsageRow(id: id, try HistoryReader.usage(select).row)
        }
    }
}

extension ByteView {
    /// Whether the first segment of this account path is `organisation`.
    func isWithin(_ organisation: [UInt8]) -> Bool {
        let end = firstIndex(of: UInt8(ascii: "/")) ?? count
        return organisation.withView { self[0..<end] == $0 }
    }
}
