// Which stretch of rows was recorded when, so that a question about a time need not read all.

import GRDB

enum Zones {
    /// Notes rows that were just added; small additions extend the last zone.
    static func add(
        _ database: Database, _ ids: ClosedRange<Int64>, recorded: ClosedRange<Int64>
    ) throws(StoreError) {
        var extend = try Statement(
            cached: database, .history,
            """
            UPDATE zones SET last_id = ?1, recorded_min = min(recorded_min, ?2),
                recorded_max = max(recorded_max, ?3)
            WHERE first_id = (SELECT max(first_id) FROM zones) AND ?1 - first_id < ?4
            """)
        extend.bind(ids.upperBound, at: 1)
        extend.bind(recorded.lowerBound, at: 2)
        extend.bind(recorded.upperBound, at: 3)
        extend.bind(Int64(StoreLimits.zoneRows), at: 4)
        try extend.run()
        guard database.changesCount == 0 else { return }
        var insert = try Statement(
            cached: database, .history, "INSERT INTO zones VALUES (?, ?, ?, ?)")
        insert.bind(ids.lowerBound, at: 1)
        insert.bind(ids.upperBound, at: 2)
        insert.bind(recorded.lowerBound, at: 3)
        insert.bind(recorded.upperBound, at: 4)
        try insert.run()
    }

    /// The rows between which everything recorded in `since..<until` lies, or nil if there is none.
    static func ids(_ database: Database, _ since: Int64?, _ until: Int64?) throws(StoreError) -> ClosedRange<
        Int64
    >? {
        var find = try Statement(
            cached: database, .history,
            "SELECT min(first_id), max(last_id) FROM zones WHERE recorded_max >= ? AND recorded_min < ?")
        find.bind(since ?? .min, at: 1)
        find.bind(until ?? .max, at: 2)
        guard try find.step(), !find.isNull(0), find.integer(0) <= find.integer(1) else { return nil }
        return find.integer(0)...find.integer(1)
    }
}
