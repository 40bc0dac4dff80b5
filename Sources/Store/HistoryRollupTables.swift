// The tables of rollups, and how a history from before them is added up.

import Bytes
import GRDB

enum RollupTables {
    /// The schema step. `rollups_cover` says up to which row the sums go: beyond it they are filled in at the
    /// next start, a stretch at a time, because a history may be larger than a transaction should be.
    ///
    /// STRICT, so that a sum which outgrew an integer would be an error and not a rounded number.
    static let step = """
        CREATE TABLE rollup_names (
            number INTEGER PRIMARY KEY,
            account TEXT NOT NULL,
            provider TEXT NOT NULL,
            model TEXT NOT NULL,
            credential_source INTEGER NOT NULL
        ) STRICT;
        CREATE UNIQUE INDEX rollup_names_by_name
            ON rollup_names (account, provider, model, credential_source);

        CREATE TABLE rollups (
            day INTEGER NOT NULL,
            number INTEGER NOT NULL,
            part INTEGER NOT NULL,
            \(UsageSums.columns.map { $0.name + " INTEGER NOT NULL" }.joined(separator: ",\n            ")),
            PRIMARY KEY (day, number, part)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE rollups_cover (
            only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
            last_id INTEGER NOT NULL
        ) STRICT;
        INSERT INTO rollups_cover VALUES (1, 0);

        CREATE VIEW daily_usage AS
        SELECT strftime('%Y-%m-%d', day * 86400, 'unixepoch') AS day, account, provider, model,
            CASE credential_source WHEN 1 THEN 'platform' WHEN 2 THEN 'byok' END AS credential_source,
            \(UsageSums.columns.map(\.name).joined(separator: ", "))
        FROM rollups JOIN rollup_names USING (number);
        """

    static let upsert: String = {
        let names = UsageSums.columns.map(\.name)
        let bound = RollupBatch.partBound
        return """
            INSERT INTO rollups (day, number, part, \(names.joined(separator: ", ")))
            VALUES (\((1...names.count + 3).map { "?\($0)" }.joined(separator: ", ")))
            ON CONFLICT (day, number, part) DO UPDATE SET
                \(names.map { "\($0) = \($0) + excluded.\($0)" }.joined(separator: ", "))
            WHERE \(names.map { "\($0) BETWEEN -\(bound) AND \(bound)" }.joined(separator: " AND "))
            """
    }()

    /// The columns that sums are made of, in the order in which `outcome` reads them.
    static let outcomes = """
        SELECT id, event_time, state, credential_source, account, provider, model, input_tokens, output_tokens,
            cache_read_tokens, base_cost_picodollars, fee_nanocredits, charge_nanocredits,
            allowance_used_nanocredits, flags
        FROM usage_rows WHERE id BETWEEN ? AND ? ORDER BY id
        """

    /// The outcome that a statement for `outcomes` stands on, borrowed from it until its next step.
    static func outcome(
        _ statement: borrowing Statement
    ) throws(StoreError) -> (name: RollupName, figures: UsageFigures) {
        guard let state = UInt8(exactly: statement.integer(2)).flatMap(UsageState.init),
            let source = UInt8(exactly: statement.integer(3))
        else {
            throw .damagedRow(
                file: .history, table: "usage_rows", key: "\(statement.integer(0))", path: statement.text(4),
                reason: "its state or its credential source is out of range")
        }
        var figures = UsageFigures()
        figures.eventTime = statement.integer(1)
        figures.state = state
        figures.counts.inputTokens = statement.integer(7)
        figures.counts.outputTokens = statement.integer(8)
        figures.counts.cacheReadTokens = statement.integer(9)
        figures.baseCostPicodollars = statement.integer(10)
        figures.fee = statement.integer(11)
        figures.charge = statement.integer(12)
        figures.allowanceUsed = statement.integer(13)
        figures.flags = UInt32(clamping: statement.integer(14))
        let name = RollupName(
            account: statement.bytes(4), provider: statement.bytes(5), model: statement.bytes(6),
            credentialSource: source)
        return (name, figures)
    }

    /// The row up to which the sums go.
    static func covered(_ database: Database) throws(StoreError) -> Int64 {
        var select = try Statement(database, .history, "SELECT last_id FROM rollups_cover")
        guard try select.step() else {
            throw .damagedRow(
                file: .history, table: "rollups_cover", key: "1", path: "", reason: "it is missing")
        }
        return select.integer(0)
    }

    static func cover(_ database: Database, _ lastID: Int64) throws(StoreError) {
        var update = try Statement(cached: database, .history, "UPDATE rollups_cover SET last_id = ?")
        update.bind(lastID, at: 1)
        try update.run()
    }

    /// Rows that are added up in one transaction of a fill.
    private static let fillRows: Int64 = 200_000

    /// Adds up the rows that the sums do not have yet; a crash in between goes on where it was.
    ///
    /// O(those rows), about a microsecond each.
    ///
    /// - Parameter progress: is told how many rows are done, of how many, after each stretch.
    static func fill(
        _ pool: DatabasePool, upTo lastID: Int64, _ hashKey: HashKey, known: RollupNumbers,
        progress: (_ done: Int64, _ total: Int64) -> Void
    ) throws(StoreError) {
        let start = try attempt(.history, "reading the rollups") { try pool.read { try covered($0) } }
        guard start <= lastID else {
            throw .damagedTotals(
                file: .history, field: "the last row that the rollups have", stored: "\(start)",
                computed: "\(lastID)")
        }
        var done = start
        var batch = RollupBatch(hashKey)
        while done < lastID {
            let end = min(lastID, done + fillRows)
            batch.clear()
            try attempt(.history, "adding up usage") {
                try pool.writeWithoutTransaction { database in
                    let fresh = try transaction(database, .history) { () throws(StoreError) in
                        let moves = try AccountMoves(database)
                        var rows = try Statement(database, .history, outcomes)
                        rows.bind(done + 1, at: 1)
                        rows.bind(end, at: 2)
                        while try rows.step() {
                            let (name, figures) = try outcome(rows)
                            batch.add(name, figures, id: rows.integer(0), moves)
                        }
                        let fresh = try batch.write(database, known: known)
                        try cover(database, end)
                        return fresh
                    }
                    known.add(fresh)
                    if done / fillRows % 16 == 15 { try database.checkpoint(.passive) }
                }
            }
            done = end
            progress(done - start, lastID - start)
        }
    }
}
