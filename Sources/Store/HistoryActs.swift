// Acts by the key they were made with: a grant that is asked for again is found for ever.

import Bytes
import GRDB

extension HistoryStore {
    /// The oldest act on credits that was made with an idempotency key in an organisation, or nil.
    ///
    /// O(runs). An empty key is no key, and finds nothing.
    ///
    /// - Parameter organisation: the first segment of the account's path.
    public func credit(idempotencyKey: [UInt8], organisation: [UInt8]) throws(StoreError) -> CreditRow? {
        guard !idempotencyKey.isEmpty else { return nil }
        return try read { (database, known) throws(StoreError) in
            var found: CreditRow?
            var rows = try Statement(cached: database, .history, HistoryReader.creditByID)
            var chunks = try Statement(cached: database, .history, KeyChunk.select)
            let hash = idempotencyKey.withView { Key.hash($0, hashKey) }
            // An act may have several rows; the search goes from the newest to the oldest.
            try known.search(.request, hash, &chunks) { (keyed) throws(StoreError) in
                guard keyed.isCredit else { return false }
                defer { rows.reset() }
                let row = try HistoryReader.credit(&rows, keyed.id)
                guard idempotencyKey.withView({ row.idempotencyKey == $0 }),
                    row.account.isWithin(organisation)
                else { return false }
                found = CreditRow(id: keyed.id, row)
                return false
            }
            return found
        }
    }

    /// The acts about a request, such as refunds of its charge, oldest first. O(runs).
    ///
    /// - Parameter organisation: the first segment of the account's path.
    public func acts(about requestID: [UInt8], organisation: [UInt8]) throws(StoreError) -> [CreditRow] {
        guard !requestID.isEmpty else { return [] }
        return try read { (database, known) throws(StoreError) in
            var found: [CreditRow] = []
            var rows = try Statement(cached: database, .history, HistoryReader.creditByID)
            var chunks = try Statement(cached: database, .history, KeyChunk.select)
            let hash = requestID.withView { Key.hash($0, hashKey) }
            try known.search(.request, hash, &chunks) { (keyed) throws(StoreError) in
                guard keyed.isCredit else { return false }
                defer { rows.reset() }
                let row = try HistoryReader.credit(&rows, keyed.id)
                // A row may be here for its key as well as for its request.
                guard requestID.withView({ row.reference == $0 }), row.account.isWithin(organisation),
                    found.last?.id != keyed.id
                else { return false }
                found.append(CreditRow(id: keyed.id, row))
                return false
            }
            return found.reversed()
        }
    }
}
