// The tables of `ledger.db`.

/// The checkpoint's schema. A published step is never edited: a change is another step.
enum CheckpointSchema {
    static let schema = Schema(file: .ledger, pageBytes: 4096, cacheKiB: 64 << 10, steps: [first])

    private static let first = """
        -- The accounts. For people: path and balance. `state` is the ledger's own and is the truth.
        -- The key is shard and number in one integer, which is what SQLite finds fastest.
        CREATE TABLE accounts (
            id INTEGER PRIMARY KEY,
            shard INTEGER GENERATED ALWAYS AS (id >> 32) VIRTUAL,
            number INTEGER GENERATED ALWAYS AS (id & 4294967295) VIRTUAL,
            path TEXT NOT NULL,
            balance_nanocredits INTEGER NOT NULL,
            state BLOB NOT NULL,
            row_crc INTEGER NOT NULL
        );

        -- How far each shard had come in its own ledger.
        CREATE TABLE shard_positions (
            shard INTEGER PRIMARY KEY,
            sequence INTEGER NOT NULL
        );

        -- The last two checkpoints; the rows above are those of the newest.
        CREATE TABLE meta (
            generation INTEGER PRIMARY KEY,
            epoch INTEGER NOT NULL,
            applied_lsn INTEGER NOT NULL,
            durable_lsn INTEGER NOT NULL,
            chain BLOB NOT NULL,
            live_segments TEXT NOT NULL,
            account_count INTEGER NOT NULL,
            balance_sum_nanocredits TEXT NOT NULL,
            control_sum INTEGER NOT NULL,
            written_at INTEGER NOT NULL,
            credit_value_usd TEXT NOT NULL,
            data_directory TEXT NOT NULL,
            shard_count INTEGER NOT NULL,
            positions_crc INTEGER NOT NULL,
            row_crc INTEGER NOT NULL
        );
        """
}
