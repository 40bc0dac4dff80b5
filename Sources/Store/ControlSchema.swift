// The tables of `control.db`.

/// The control file's schema. A published step is never edited: a change is another step.
enum ControlSchema {
    static let schema = Schema(file: .control, pageBytes: 4096, cacheKiB: 4 << 10, steps: [first, second])

    private static let first = """
        CREATE TABLE directory (
            only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
            id TEXT NOT NULL,
            credit_value_usd TEXT NOT NULL,
            shard_count INTEGER NOT NULL,
            hash_key BLOB NOT NULL,
            created_at INTEGER NOT NULL,
            epoch INTEGER NOT NULL
        );

        CREATE TABLE catalogue_versions (
            number INTEGER PRIMARY KEY,
            digest TEXT NOT NULL UNIQUE,
            source TEXT NOT NULL,
            text TEXT NOT NULL,
            imported_at INTEGER NOT NULL,
            approved_by TEXT,
            active INTEGER NOT NULL
        );
        CREATE UNIQUE INDEX one_active_catalogue ON catalogue_versions (active) WHERE active = 1;

        CREATE TABLE rule_versions (
            version INTEGER PRIMARY KEY,
            rule_number INTEGER NOT NULL,
            kind TEXT NOT NULL,
            rule_id TEXT NOT NULL,
            body TEXT NOT NULL,
            effective_at INTEGER NOT NULL,
            effective_until INTEGER,
            created_at INTEGER NOT NULL,
            created_by TEXT NOT NULL,
            active INTEGER NOT NULL
        );
        CREATE INDEX rule_versions_by_rule ON rule_versions (rule_id, version);

        -- Never changed and never deleted, not even by a person with a SQL shell who means well.
        CREATE TABLE audit (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at INTEGER NOT NULL,
            actor TEXT NOT NULL,
            action TEXT NOT NULL,
            subject TEXT NOT NULL,
            old TEXT,
            new TEXT
        );
        CREATE INDEX audit_by_subject ON audit (subject, id);
        CREATE TRIGGER audit_is_not_edited BEFORE UPDATE ON audit
            BEGIN SELECT raise(ABORT, 'the audit is not edited'); END;
        CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
            BEGIN SELECT raise(ABORT, 'the audit is not deleted'); END;

        CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
        """

    /// Who brought a catalogue, what came of reading it, and when which was in force: a version may be
    /// approved more than once, because going back to it is an approval too.
    private static let second = """
        ALTER TABLE catalogue_versions ADD COLUMN imported_by TEXT NOT NULL DEFAULT 'tollgate';
        ALTER TABLE catalogue_versions ADD COLUMN report TEXT NOT NULL DEFAULT '{}';

        CREATE TABLE catalogue_activations (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            number INTEGER NOT NULL REFERENCES catalogue_versions (number),
            at INTEGER NOT NULL,
            actor TEXT NOT NULL
        );
        INSERT INTO catalogue_activations (number, at, actor)
            SELECT number, imported_at, coalesce(approved_by, 'tollgate')
            FROM catalogue_versions WHERE active = 1;
        """
}
