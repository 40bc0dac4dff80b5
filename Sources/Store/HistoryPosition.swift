// How far the history has come: the row that is changed in the same transaction as the rows.

import Bytes
import GRDB

/// What the history holds.
public struct HistoryPosition: Hashable, Sendable {
    /// Every journal entry up to this one is in the rows.
    public var lsn: UInt64 = 0
    public var usageCount: Int64 = 0
    public var creditCount: Int64 = 0
    /// Σ charge in nanocredits.
    public var chargeSum: Int128 = 0
    /// The latest event time held, by shard; `Int64.min` for a shard without rows.
    public var eventTimeMax: [Int64]
    var nextID: Int64 = 1

    init(shardCount: Int) { eventTimeMax = [Int64](repeating: .min, count: shardCount) }

    fileprivate func check(_ identity: DirectoryIdentity, hashCheck: Int64) -> UInt32 {
        var packer = BytePacker(capacity: 256)
        packer.append(fixed: lsn)
        packer.append(fixed: UInt64(bitPattern: nextID))
        packer.append(fixed: UInt64(bitPattern: usageCount))
        packer.append(fixed: UInt64(bitPattern: creditCount))
        packer.append(fixed: UInt64(bitPattern: hashCheck))
        for text in ["\(chargeSum)", identity.id] { text.withView { packer.append(prefixed: $0) } }
        return CRC32C.checksum(packer.view)
    }
}

extension HistoryPosition {
    /// Reads the position, or the beginning if there is none.
    ///
    /// - Parameter hashCheck: what the directory's hash key makes of nothing; another one would not
    ///   find the keys on disk.
    static func read(
        _ database: Database, _ identity: DirectoryIdentity, hashCheck: Int64
    ) throws(StoreError) -> HistoryPosition {
        var position = HistoryPosition(shardCount: identity.shardCount)
        func damaged(_ table: String, _ reason: String) -> StoreError {
            .damagedRow(file: .history, table: table, key: "1", path: "", reason: reason)
        }
        var row = try Statement(
            database, .history,
            """
            SELECT lsn, next_id, usage_count, credit_count, charge_sum_nanocredits, data_directory,
                   hash_check, row_crc
            FROM position
            """)
        if try row.step() {
            guard let sum = Int128(row.text(4)) else { throw damaged("position", "a sum is not a number") }
            position.lsn = UInt64(bitPattern: row.integer(0))
            position.nextID = row.integer(1)
            position.usageCount = row.integer(2)
            position.creditCount = row.integer(3)
            position.chargeSum = sum
            var owner = identity
            owner.id = row.text(5)
            guard Int64(position.check(owner, hashCheck: row.integer(6))) == row.integer(7) else {
                throw damaged("position", "its checksum does not fit")
            }
            guard owner == identity else {
                throw StoreError.foreignFile(file: .history, found: owner.id, expected: identity.id)
            }
            guard row.integer(6) == hashCheck else {
                throw StoreError.foreignFile(
                    file: .history, found: "keys under another hash key",
                    expected: "this directory's hash key")
            }
        }
        row.reset()
        var horizons = try Statement(database, .history, "SELECT shard, event_time_max FROM horizons")
        while try horizons.step() {
            guard let shard = Int(exactly: horizons.integer(0)), position.eventTimeMax.indices.contains(shard)
            else { throw damaged("horizons", "there is no shard \(horizons.integer(0))") }
            position.eventTimeMax[shard] = horizons.integer(1)
        }
        var last = try Statement(
            database, .history,
            """
            SELECT max(coalesce((SELECT max(id) FROM usage_rows), 0),
                       coalesce((SELECT max(id) FROM credit_rows), 0))
            """)
        guard try last.step(), last.integer(0) + 1 == position.nextID else {
            throw StoreError.damagedTotals(
                file: .history, field: "the last row", stored: "\(position.nextID - 1)",
                computed: "\(last.integer(0))")
        }
        return position
    }

    /// Writes what changed since `old`.
    func write(
        _ database: Database, since old: HistoryPosition, _ identity: DirectoryIdentity, hashCheck: Int64
    ) throws(StoreError) {
        try "\(chargeSum)".withView { (sum) throws(StoreError) in
            try identity.id.withView { (owner) throws(StoreError) in
                var row = try Statement(
                    cached: database, .history, "REPLACE INTO position VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)")
                row.bind(Int64(bitPattern: lsn), at: 1)
                row.bind(nextID, at: 2)
                row.bind(usageCount, at: 3)
                row.bind(creditCount, at: 4)
                row.bind(text: sum, at: 5)
                row.bind(text: owner, at: 6)
                row.bind(hashCheck, at: 7)
                row.bind(Int64(check(identity, hashCheck: hashCheck)), at: 8)
                try row.run()
            }
        }
        // Nearly every shard has something new in nearly every transaction.
        var horizon = try Statement(cached: database, .history, "REPLACE INTO horizons VALUES (?, ?)")
        for shard in eventTimeMax.indices where eventTimeMax[shard] != old.eventTimeMax[shard] {
            horizon.bind(Int64(shard), at: 1)
            horizon.bind(eventTimeMax[shard], at: 2)
            try horizon.run()
        }
    }
}
