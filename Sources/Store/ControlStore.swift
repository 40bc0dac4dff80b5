// The control file: rules, catalogue versions, settings, the audit. SQLite is the record here, not
// a cache of the journal: few writes, each a durable transaction together with its line in the audit.

import Foundation
import GRDB

/// The control file `control.db`. Any thread may call; writers wait for each other.
public final class ControlStore: Sendable {
    /// The directory as of this start, its epoch already raised.
    public let directory: DirectoryRecord
    private let pool: DatabasePool

    /// Opens the file in `directory`, or makes it with `identity` and `hashKey`, and raises the epoch
    /// in one durable transaction. `Store.prepareFiles` comes first.
    ///
    /// - Parameters:
    ///   - identity: what a new directory becomes, or what an existing one must be; nil takes an
    ///     existing one as it is.
    ///   - hashKey: 16 random bytes for a new directory; an existing one keeps its own.
    ///   - now: microseconds since 1970.
    /// - Throws: `.newerSchema` or `.foreignFile`, with nothing changed; `.poisoned`.
    public init(
        directory path: String, identity: DirectoryIdentity?, hashKey: [UInt8], now: Int64
    ) throws(StoreError) {
        precondition(hashKey.count == 16)
        pool = try Connection.pool(ControlSchema.schema, in: path)
        let pool = pool
        directory = try attempt(.control, "raising the epoch") {
            try pool.write { database in
                try Self.raiseEpoch(database, identity, hashKey, now)
            }
        }
    }

    private static func raiseEpoch(
        _ database: Database, _ identity: DirectoryIdentity?, _ hashKey: [UInt8], _ now: Int64
    ) throws -> DirectoryRecord {
        if let row = try Row.fetchOne(database, sql: "SELECT * FROM directory") {
            let found = DirectoryIdentity(
                id: row["id"], creditValue: row["credit_value_usd"], shardCount: row["shard_count"])
            guard identity == nil || identity == found else {
                throw StoreError.foreignFile(
                    file: .control, found: "\(found)", expected: identity.map { "\($0)" } ?? "")
            }
            let key: Data = row["hash_key"]
            guard key.count == 16 else {
                throw StoreError.damagedRow(
                    file: .control, table: "directory", key: "1", path: "",
                    reason: "the hash key has \(key.count) bytes")
            }
            let epoch: Int64 = row["epoch"]
            try database.execute(sql: "UPDATE directory SET epoch = epoch + 1")
            return DirectoryRecord(
                identity: found, hashKey: Array(key), createdAt: row["created_at"],
                epoch: UInt64(bitPattern: epoch) + 1)
        }
        guard let identity else {
            throw StoreError.foreignFile(
                file: .control, found: "a data directory that was never made", expected: "one that was")
        }
        try database.execute(
            sql: """
                INSERT INTO directory (only_row, id, credit_value_usd, shard_count, hash_key, created_at, epoch)
                VALUES (1, ?, ?, ?, ?, ?, 1)
                """,
            arguments: [identity.id, identity.creditValue, identity.shardCount, Data(hashKey), now])
        return DirectoryRecord(identity: identity, hashKey: hashKey, createdAt: now, epoch: 1)
    }

    // MARK: Rules

    /// Adds a version of a rule and its line in the audit. The version takes the next number of all,
    /// a new rule id the next rule number.
    public func addRule(_ draft: RuleDraft, _ note: AuditNote) throws(StoreError) -> RuleVersion {
        try addRules([draft], [note])[0]
    }

    /// Adds versions of several rules at once, all or none.
    ///
    /// - Throws: `.damagedTotals` where a draft says numbers that are not the next ones: what the caller
    ///   knows is not what the file holds.
    public func addRules(_ drafts: [RuleDraft], _ notes: [AuditNote]) throws(StoreError) -> [RuleVersion] {
        try write("adding rules") { database in
            let added = try drafts.enumerated().map { index, draft in
                let note = notes[min(index, notes.count - 1)]
                let version =
                    try UInt32.fetchOne(
                        database, sql: "SELECT coalesce(max(version), 0) + 1 FROM rule_versions")
                    ?? 1
                let number =
                    try UInt32.fetchOne(
                        database, sql: "SELECT rule_number FROM rule_versions WHERE rule_id = ? LIMIT 1",
                        arguments: [draft.ruleID])
                    ?? UInt32.fetchOne(
                        database, sql: "SELECT coalesce(max(rule_number), 0) + 1 FROM rule_versions")
                    ?? 1
                let row = RuleVersion(
                    version: version, ruleNumber: number, kind: draft.kind, ruleID: draft.ruleID,
                    body: draft.body, effectiveAt: draft.effectiveAt, effectiveUntil: draft.effectiveUntil,
                    createdAt: note.at, createdBy: note.actor, isActive: draft.isActive)
                guard draft.version ?? version == version, draft.ruleNumber ?? number == number else {
                    throw StoreError.damagedTotals(
                        file: .control, field: "the number of the next rule version",
                        stored: "\(version) of rule \(number)",
                        computed: "\(draft.version ?? version) of rule \(draft.ruleNumber ?? number)")
                }
                try row.insert(database)
                return row
            }
            for note in notes { try Self.add(note, database) }
            return added
        }
    }

    /// Every version of every rule, in order of version.
    public func rules() throws(StoreError) -> [RuleVersion] {
        try read("reading rules") { try RuleVersion.order(Column("version")).fetchAll($0) }
    }

    /// Every version of one rule, in order of version.
    public func rules(id: String) throws(StoreError) -> [RuleVersion] {
        try read("reading a rule") {
            try RuleVersion.filter(Column("rule_id") == id).order(Column("version")).fetchAll($0)
        }
    }

    // MARK: Catalogue

    /// Stages a catalogue under the next number; nothing uses it until it is activated.
    ///
    /// - Returns: the version; the one already there if its text has the same digest.
    public func addCatalogue(
        digest: String, source: String, text: String, report: String = "{}", _ note: AuditNote
    ) throws(StoreError) -> CatalogueVersion {
        try write("staging a catalogue") { database in
            if let found = try CatalogueVersion.filter(Column("digest") == digest).fetchOne(database) {
                return found
            }
            let number =
                try UInt32.fetchOne(
                    database, sql: "SELECT coalesce(max(number), 0) + 1 FROM catalogue_versions")
                ?? 1
            let row = CatalogueVersion(
                number: number, digest: digest, source: source, text: text, importedAt: note.at,
                importedBy: note.actor, report: report, approvedBy: nil, isActive: false)
            try row.insert(database)
            try Self.add(note, database)
            return row
        }
    }

    /// Makes a version the one in use, approved by the note's actor.
    ///
    /// - Returns: false if there is no such version.
    public func activateCatalogue(_ number: UInt32, _ note: AuditNote) throws(StoreError) -> Bool {
        try write("activating a catalogue") { database in
            guard try CatalogueVersion.filter(Column("number") == number).fetchCount(database) == 1 else {
                return false
            }
            try database.execute(sql: "UPDATE catalogue_versions SET active = 0 WHERE active = 1")
            try database.execute(
                sql: "UPDATE catalogue_versions SET active = 1, approved_by = ? WHERE number = ?",
                arguments: [note.actor, number])
            try database.execute(
                sql: "INSERT INTO catalogue_activations (number, at, actor) VALUES (?, ?, ?)",
                arguments: [number, note.at, note.actor])
            try Self.add(note, database)
            return true
        }
    }

    /// Which version was in force from when on, in the order of time.
    public func catalogueActivations() throws(StoreError) -> [CatalogueActivation] {
        try read("listing activations") {
            try CatalogueActivation.fetchAll($0, sql: "SELECT * FROM catalogue_activations ORDER BY id")
        }
    }

    /// One version, or nil.
    public func catalogue(_ number: UInt32) throws(StoreError) -> CatalogueVersion? {
        try read("reading a catalogue") {
            try CatalogueVersion.filter(Column("number") == number).fetchOne($0)
        }
    }

    /// The version in use, or nil.
    public func activeCatalogue() throws(StoreError) -> CatalogueVersion? {
        try read("reading the catalogue") {
            try CatalogueVersion.filter(Column("active") == true).fetchOne($0)
        }
    }

    /// Every version without its text and report, in order of number.
    public func catalogues() throws(StoreError) -> [CatalogueVersion] {
        try read("listing catalogues") {
            try CatalogueVersion.fetchAll(
                $0,
                sql: """
                    SELECT number, digest, source, '' AS text, imported_at, imported_by, '' AS report,
                        approved_by, active
                    FROM catalogue_versions ORDER BY number
                    """)
        }
    }

    // MARK: Settings and audit

    /// The value under `key`, or nil.
    public func setting(_ key: String) throws(StoreError) -> String? {
        try read("reading a setting") {
            try String.fetchOne($0, sql: "SELECT value FROM settings WHERE key = ?", arguments: [key])
        }
    }

    /// Every setting whose key begins with `prefix`.
    public func settings(prefix: String = "") throws(StoreError) -> [String: String] {
        try read("reading settings") { database in
            let rows = try Row.fetchAll(
                database, sql: "SELECT key, value FROM settings WHERE substr(key, 1, length(?1)) = ?1",
                arguments: [prefix])
            return Dictionary(uniqueKeysWithValues: rows.map { ($0["key"], $0["value"]) })
        }
    }

    /// Sets or, with nil, removes a setting.
    public func set(_ key: String, to value: String?, _ note: AuditNote? = nil) throws(StoreError) {
        try write("changing a setting") { database in
            if let value {
                try database.execute(sql: "REPLACE INTO settings VALUES (?, ?)", arguments: [key, value])
            } else {
                try database.execute(sql: "DELETE FROM settings WHERE key = ?", arguments: [key])
            }
            if let note { try Self.add(note, database) }
        }
    }

    /// Notes something that happened without a change of this file.
    public func add(_ note: AuditNote) throws(StoreError) {
        try write("writing the audit") { try Self.add(note, $0) }
    }

    /// The audit, newest first.
    ///
    /// - Parameters:
    ///   - subject: only about this, or nil.
    ///   - action: only this one, or those of a kind: `rule` for all that begin with `rule.`; nil for all.
    ///   - before: only lines whose id is below; nil from the newest.
    public func audit(
        subject: String? = nil, action: String? = nil, before: Int64? = nil, limit: Int = 50
    ) throws(StoreError) -> [AuditRow] {
        try read("reading the audit") {
            try AuditRow.fetchAll(
                $0,
                sql: """
                    SELECT * FROM audit WHERE (?1 IS NULL OR subject = ?1) AND id < ?2
                        AND (?4 IS NULL OR action = ?4 OR substr(action, 1, length(?4) + 1) = ?4 || '.')
                    ORDER BY id DESC LIMIT ?3
                    """,
                arguments: [subject, before ?? .max, min(max(1, limit), StoreLimits.pageRowsMax), action])
        }
    }

    private static func add(_ note: AuditNote, _ database: Database) throws {
        try database.execute(
            sql: "INSERT INTO audit (at, actor, action, subject, old, new) VALUES (?, ?, ?, ?, ?, ?)",
            arguments: [note.at, note.actor, note.action, note.subject, note.old, note.new])
    }

    // MARK: Transactions

    private func read<Result>(
        _ operation: String, _ body: (Database) throws -> Result
    ) throws(StoreError) -> Result {
        try attempt(.control, operation) { try pool.read(body) }
    }

    /// One durable transaction; the WAL is copied into the file at once, for it is small and its
    /// errors must be seen. A reader in the way is no error.
    private func write<Result>(
        _ operation: String, _ body: (Database) throws -> Result
    ) throws(StoreError) -> Result {
        try attempt(.control, operation) {
            let result = try pool.write(body)
            try pool.writeWithoutTransaction { database in
                do {
                    try database.checkpoint(.passive)
                } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
                    // Copied by a later write.
                }
            }
            return result
        }
    }
}
