// The tables of `history.db`, and the views that people query.
//
// `usage`, `credits` and `transactions` are views over compact tables: words instead of codes, and
// the columns that can be computed (a wallet that is the account itself, the organisation).
//
// Every table grows at its right edge only, so that appending costs the same at any size: rows come
// in order of `id`, and keys come in sorted runs (see HistoryKeys.swift).

/// The history's schema. A published step is never edited: a change is another step.
enum HistorySchema {
    static let schema = Schema(
        file: .history, pageBytes: 8192, cacheKiB: 32 << 10,
        steps: [
            first, second, third, fourth, RollupTables.step, Retention.schemaStep, AccountMoves.schemaStep,
            HoldEnds.schemaStep, OpenParked.totalsStep, holdWallets,
        ])

    /// The columns of `usage_rows`, in the order in which they are bound and read.
    static let usageColumns =
        [
            "id", "lsn", "shard", "sequence", "recorded_at", "event_time", "account", "wallet", "request_id",
            "id_low", "id_high", "digest", "state", "parked_reason", "credential_source", "provider", "model",
            "service_tier", "tier",
        ] + countColumns + [
            "base_cost_picodollars", "fee_nanocredits", "charge_nanocredits", "allowance_used_nanocredits",
            "balance_after_nanocredits", "rule_number", "rule_version", "catalogue_version", "flags",
            "row_crc",
            "content", "extra", "hold_low", "hold_high",
        ]

    static let countColumns = [
        "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens",
        "cache_write_1h_tokens", "input_audio_tokens", "input_image_tokens", "reasoning_tokens",
        "output_audio_tokens", "output_image_tokens", "images", "web_searches", "seconds", "pages",
        "characters", "requests",
    ]

    /// The columns of `credit_rows`, in the order in which they are bound and read.
    static let creditColumns = [
        "id", "lsn", "shard", "sequence", "recorded_at", "account", "kind", "amount_nanocredits",
        "balance_after_nanocredits", "source", "details", "idempotency_key", "expires_at", "grant_id",
        "row_crc", "reference", "hold_low", "hold_high", "wallet",
    ]

    private static let first = """
        CREATE TABLE usage_rows (
            id INTEGER PRIMARY KEY,
            lsn INTEGER NOT NULL,
            shard INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            recorded_at INTEGER NOT NULL,
            event_time INTEGER NOT NULL,
            account TEXT NOT NULL,
            wallet TEXT,
            request_id BLOB NOT NULL,
            id_low INTEGER NOT NULL,
            id_high INTEGER NOT NULL,
            digest INTEGER NOT NULL,
            state INTEGER NOT NULL,
            parked_reason TEXT,
            credential_source INTEGER NOT NULL,
            provider TEXT NOT NULL,
            model TEXT NOT NULL,
            service_tier TEXT,
            tier TEXT,
            \(countColumns.map { $0 + " INTEGER NOT NULL" }.joined(separator: ",\n            ")),
            base_cost_picodollars INTEGER NOT NULL,
            fee_nanocredits INTEGER NOT NULL,
            charge_nanocredits INTEGER NOT NULL,
            allowance_used_nanocredits INTEGER NOT NULL,
            balance_after_nanocredits INTEGER NOT NULL,
            rule_number INTEGER NOT NULL,
            rule_version INTEGER NOT NULL,
            catalogue_version INTEGER NOT NULL,
            flags INTEGER NOT NULL,
            row_crc INTEGER NOT NULL,
            content BLOB NOT NULL
        );

        CREATE TABLE credit_rows (
            id INTEGER PRIMARY KEY,
            lsn INTEGER NOT NULL,
            shard INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            recorded_at INTEGER NOT NULL,
            account TEXT NOT NULL,
            kind TEXT NOT NULL,
            amount_nanocredits INTEGER NOT NULL,
            balance_after_nanocredits INTEGER NOT NULL,
            source TEXT NOT NULL,
            details TEXT NOT NULL,
            idempotency_key BLOB NOT NULL,
            expires_at INTEGER,
            grant_id INTEGER,
            row_crc INTEGER NOT NULL
        );

        -- How far the history has come, in one row, changed in the transaction that adds the rows.
        CREATE TABLE position (
            only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
            lsn INTEGER NOT NULL,
            next_id INTEGER NOT NULL,
            usage_count INTEGER NOT NULL,
            credit_count INTEGER NOT NULL,
            charge_sum_nanocredits TEXT NOT NULL,
            data_directory TEXT NOT NULL,
            hash_check INTEGER NOT NULL,
            row_crc INTEGER NOT NULL
        );

        -- The latest event time that the history holds, by shard.
        CREATE TABLE horizons (
            shard INTEGER PRIMARY KEY,
            event_time_max INTEGER NOT NULL
        );

        -- Which rows were recorded when.
        CREATE TABLE zones (
            first_id INTEGER PRIMARY KEY,
            last_id INTEGER NOT NULL,
            recorded_min INTEGER NOT NULL,
            recorded_max INTEGER NOT NULL
        );

        -- Sorted runs of keys, three kinds in each: which rows a run is about, where its chunks are
        -- and with which key each begins; and the chunks (see HistoryKeys.swift).
        CREATE TABLE runs (
            run INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            first_id INTEGER NOT NULL,
            last_id INTEGER NOT NULL,
            first_chunk INTEGER NOT NULL,
            fences BLOB NOT NULL,
            row_crc INTEGER NOT NULL,
            UNIQUE (run, kind)
        );
        CREATE TABLE key_chunks (
            chunk INTEGER PRIMARY KEY,
            entries BLOB NOT NULL,
            row_crc INTEGER NOT NULL
        );

        CREATE VIEW usage AS
        SELECT id, lsn, shard, sequence, recorded_at, event_time,
            strftime('%Y-%m-%dT%H:%M:%SZ', recorded_at / 1000000, 'unixepoch') AS recorded_time,
            substr(account, 1, instr(account || '/', '/') - 1) AS organisation,
            account, coalesce(wallet, account) AS wallet, request_id, id_low, id_high, digest,
            CASE state WHEN 1 THEN 'charged' WHEN 2 THEN 'parked' END AS state, parked_reason,
            CASE credential_source WHEN 1 THEN 'platform' WHEN 2 THEN 'byok' END AS credential_source,
            provider, model, coalesce(service_tier, 'standard') AS service_tier, tier,
            \(countColumns.joined(separator: ", ")),
            base_cost_picodollars, fee_nanocredits, charge_nanocredits, allowance_used_nanocredits,
            balance_after_nanocredits, rule_number, rule_version, catalogue_version, flags, content
        FROM usage_rows;

        CREATE VIEW credits AS
        SELECT id, lsn, shard, sequence, recorded_at,
            strftime('%Y-%m-%dT%H:%M:%SZ', recorded_at / 1000000, 'unixepoch') AS recorded_time,
            account, kind, amount_nanocredits, balance_after_nanocredits, source, details,
            idempotency_key, expires_at, grant_id
        FROM credit_rows;

        -- Both, in time order when ordered by id.
        CREATE VIEW transactions AS
        SELECT id, recorded_at, recorded_time, account, wallet,
            CASE state WHEN 'charged' THEN 'deducted' ELSE state END AS type,
            -charge_nanocredits AS amount_nanocredits, balance_after_nanocredits,
            provider, model, input_tokens + output_tokens AS tokens, request_id AS reference,
            NULL AS source, NULL AS details
        FROM usage
        UNION ALL
        SELECT id, recorded_at, recorded_time, account, account, kind, amount_nanocredits,
            balance_after_nanocredits, NULL, NULL, NULL, idempotency_key, source, details
        FROM credits;
        """

    /// What an outcome keeps beside its columns (which grants paid; what a settlement settles), and which
    /// parked outcomes are open: added and removed in the transaction that adds the rows.
    private static let second = """
        ALTER TABLE usage_rows ADD COLUMN extra BLOB NOT NULL DEFAULT x'';

        CREATE TABLE parked_open (
            id INTEGER PRIMARY KEY,
            shard INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            reason TEXT NOT NULL
        );
        CREATE UNIQUE INDEX parked_open_by_sequence ON parked_open (shard, sequence);
        CREATE INDEX parked_open_by_reason ON parked_open (reason);
        INSERT INTO parked_open SELECT id, shard, sequence, coalesce(parked_reason, '')
            FROM usage_rows WHERE state = 2;

        DROP VIEW transactions;
        DROP VIEW usage;
        CREATE VIEW usage AS
        SELECT id, lsn, shard, sequence, recorded_at, event_time,
            strftime('%Y-%m-%dT%H:%M:%SZ', recorded_at / 1000000, 'unixepoch') AS recorded_time,
            substr(account, 1, instr(account || '/', '/') - 1) AS organisation,
            account, coalesce(wallet, account) AS wallet, request_id, id_low, id_high, digest,
            CASE state WHEN 1 THEN 'charged' WHEN 2 THEN 'parked' WHEN 3 THEN 'settled'
                WHEN 4 THEN 'discarded' END AS state, parked_reason,
            CASE credential_source WHEN 1 THEN 'platform' WHEN 2 THEN 'byok' END AS credential_source,
            provider, model, coalesce(service_tier, 'standard') AS service_tier, tier,
            \(countColumns.joined(separator: ", ")),
            base_cost_picodollars, fee_nanocredits, charge_nanocredits, allowance_used_nanocredits,
            balance_after_nanocredits, rule_number, rule_version, catalogue_version, flags, content
        FROM usage_rows;

        -- Both, in time order when ordered by id.
        CREATE VIEW transactions AS
        SELECT id, recorded_at, recorded_time, account, wallet,
            CASE state WHEN 'charged' THEN 'deducted' ELSE state END AS type,
            -charge_nanocredits AS amount_nanocredits, balance_after_nanocredits,
            provider, model, input_tokens + output_tokens AS tokens, request_id AS reference,
            NULL AS source, NULL AS details
        FROM usage
        UNION ALL
        SELECT id, recorded_at, recorded_time, account, account, kind, amount_nanocredits,
            balance_after_nanocredits, NULL, NULL, NULL, idempotency_key, source, details
        FROM credits;
        """

    /// The request that an act is about: a refund finds its charge, and a charge its refunds.
    private static let third = """
        ALTER TABLE credit_rows ADD COLUMN reference BLOB NOT NULL DEFAULT x'';

        DROP VIEW transactions;
        DROP VIEW credits;
        CREATE VIEW credits AS
        SELECT id, lsn, shard, sequence, recorded_at,
            strftime('%Y-%m-%dT%H:%M:%SZ', recorded_at / 1000000, 'unixepoch') AS recorded_time,
            account, kind, amount_nanocredits, balance_after_nanocredits, source, details,
            idempotency_key, expires_at, grant_id, reference
        FROM credit_rows;

        -- Both, in time order when ordered by id.
        CREATE VIEW transactions AS
        SELECT id, recorded_at, recorded_time, account, wallet,
            CASE state WHEN 'charged' THEN 'deducted' ELSE state END AS type,
            -charge_nanocredits AS amount_nanocredits, balance_after_nanocredits,
            provider, model, input_tokens + output_tokens AS tokens, request_id AS reference,
            NULL AS source, NULL AS details
        FROM usage
        UNION ALL
        SELECT id, recorded_at, recorded_time, account, account, kind, amount_nanocredits,
            balance_after_nanocredits, NULL, NULL, NULL,
            CASE WHEN length(reference) > 0 THEN reference ELSE idempotency_key END, source, details
        FROM credits;
        """

    /// The wallet that a hold draws on, where it is not the account's own: a statement of the wallet lists it, as it
    /// lists charges.
    private static let holdWallets = """
        ALTER TABLE credit_rows ADD COLUMN wallet TEXT;

        DROP VIEW transactions;
        DROP VIEW credits;
        CREATE VIEW credits AS
        SELECT id, lsn, shard, sequence, recorded_at,
            strftime('%Y-%m-%dT%H:%M:%SZ', recorded_at / 1000000, 'unixepoch') AS recorded_time,
            account, coalesce(wallet, account) AS wallet, kind, amount_nanocredits, balance_after_nanocredits,
            source, details, idempotency_key, expires_at, grant_id, reference
        FROM credit_rows;

        -- Both, in time order when ordered by id.
        CREATE VIEW transactions AS
        SELECT id, recorded_at, recorded_time, account, wallet,
            CASE state WHEN 'charged' THEN 'deducted' ELSE state END AS type,
            -charge_nanocredits AS amount_nanocredits, balance_after_nanocredits,
            provider, model, input_tokens + output_tokens AS tokens, request_id AS reference,
            NULL AS source, NULL AS details
        FROM usage
        UNION ALL
        SELECT id, recorded_at, recorded_time, account, wallet, kind, amount_nanocredits,
            balance_after_nanocredits, NULL, NULL, NULL,
            CASE WHEN length(reference) > 0 THEN reference ELSE idempotency_key END, source, details
        FROM credits;
        """

    /// The outbox of events, and how far each wallet is in its period.
    private static let fourth = """
        CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            shard INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            part INTEGER NOT NULL,
            time INTEGER NOT NULL,
            type TEXT NOT NULL,
            subject TEXT NOT NULL,
            data TEXT NOT NULL
        );
        CREATE TABLE wallet_periods (
            wallet TEXT PRIMARY KEY,
            month INTEGER NOT NULL,
            granted INTEGER NOT NULL,
            level INTEGER NOT NULL,
            began_at INTEGER NOT NULL
        ) WITHOUT ROWID;
        """
}
