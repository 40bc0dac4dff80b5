// How a database file is opened: checked before SQLite may touch it, with every setting that
// durability rests on written down here and read back.

import GRDB

/// The schema of a file: what each release added, in order. A file's `user_version` is how many of
/// them it has.
struct Schema: Sendable {
    let file: StoreFile
    /// In bytes; takes effect when the file is made.
    let pageBytes: Int
    /// Of each connection, in KiB.
    let cacheKiB: Int
    let steps: [String]

    var version: Int32 { Int32(steps.count) }
}

enum Connection {
    /// The settings of every connection to `schema.file`.
    static func configuration(_ schema: Schema) -> Configuration {
        SteadyWrites.begin()
        var configuration = Configuration()
        configuration.label = schema.file.rawValue
        configuration.foreignKeysEnabled = true
        configuration.busyMode = .timeout(StoreLimits.busySeconds)
        configuration.maximumReaderCount = StoreLimits.readersMax
        configuration.persistentReadOnlyConnections = true
        let (pageBytes, cacheKiB) = (schema.pageBytes, schema.cacheKiB)
        configuration.prepareDatabase { database in
            // A page that went bad is noticed earlier, and a schema from outside cannot call
            // functions; memory-mapped reads would survive the eviction of the page cache.
            try database.execute(
                sql: """
                    PRAGMA trusted_schema = OFF;
                    PRAGMA cell_size_check = ON;
                    PRAGMA mmap_size = 0;
                    PRAGMA temp_store = MEMORY;
                    PRAGMA cache_size = -\(cacheKiB);
                    """)
            if !database.configuration.readonly {
                try database.execute(sql: "PRAGMA page_size = \(pageBytes)")
                try setDurability(database)
            }
        }
        return configuration
    }

    /// WAL, a sync at every commit, and checkpoints only where their result is looked at: automatic
    /// ones swallow their errors.
    static func setDurability(_ database: Database) throws {
        try database.execute(sql: "PRAGMA journal_mode = WAL")
        try database.execute(sql: "PRAGMA synchronous = FULL")
        try database.execute(sql: "PRAGMA wal_autocheckpoint = 0")
        let mode = try String.fetchOne(database, sql: "PRAGMA journal_mode")
        let synchronous = try Int.fetchOne(database, sql: "PRAGMA synchronous")
        guard mode == "wal", synchronous == 2 else {
            throw DatabaseError(
                resultCode: .SQLITE_CANTOPEN,
                message:
                    "journal_mode is \(mode ?? "unknown"), wanted wal: the file system lacks shared memory")
        }
    }

    /// Opens one connection that may write.
    static func queue(_ schema: Schema, in directory: String) throws(StoreError) -> DatabaseQueue {
        try check(schema, in: directory)
        return try attempt(schema.file, "opening") {
            let queue = try DatabaseQueue(
                path: schema.file.path(in: directory), configuration: configuration(schema))
            try queue.writeWithoutTransaction { try migrate($0, to: schema) }
            return queue
        }
    }

    /// Opens one connection that may write and several that read.
    static func pool(_ schema: Schema, in directory: String) throws(StoreError) -> DatabasePool {
        try check(schema, in: directory)
        return try attempt(schema.file, "opening") {
            let pool = try DatabasePool(
                path: schema.file.path(in: directory), configuration: configuration(schema))
            try pool.writeWithoutTransaction { database in
                // GRDB asks for `synchronous = NORMAL` after our own settings; ours are for money.
                try setDurability(database)
                try migrate(database, to: schema)
            }
            return pool
        }
    }

    /// Opens a second connection for checking what the first wrote.
    static func reader(_ schema: Schema, in directory: String) throws(StoreError) -> DatabaseQueue {
        try attempt(schema.file, "opening") {
            var configuration = configuration(schema)
            configuration.readonly = true
            return try DatabaseQueue(path: schema.file.path(in: directory), configuration: configuration)
        }
    }

    /// Refuses a file that is not ours or newer than this release, before anything could change it.
    ///
    /// Opening a database with SQLite may already move its WAL into it, so the header is read by
    /// hand (offsets from https://www.sqlite.org/fileformat.html, section 1.3), and where a WAL lies
    /// beside the file, through a connection that cannot write.
    private static func check(_ schema: Schema, in directory: String) throws(StoreError) {
        let path = schema.file.path(in: directory)
        try Files.createIfMissing(path, in: directory)
        guard let head = try Files.head(of: path, count: 100), !head.isEmpty else { return }
        guard head.count == 100, head.starts(with: "SQLite format 3\0".utf8) else {
            throw StoreError.foreignFile(
                file: schema.file, found: "a file without SQLite's header", expected: "an SQLite database")
        }
        func field(_ offset: Int) -> Int32 {
            Int32(bitPattern: head[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) })
        }
        if try (Files.size(of: path + "-wal") ?? 0) > 0 {
            let reader = try reader(schema, in: directory)
            let (version, id) = try attempt(schema.file, "reading the header") {
                try reader.read { database in
                    (
                        try Int32.fetchOne(database, sql: "PRAGMA user_version") ?? 0,
                        try Int32.fetchOne(database, sql: "PRAGMA application_id") ?? 0
                    )
                }
            }
            try check(schema, version: version, applicationID: id)
        } else {
            try check(schema, version: field(60), applicationID: field(68))
        }
    }

    private static func check(
        _ schema: Schema, version: Int32, applicationID: Int32
    ) throws(StoreError) {
        // A crash while the file was being made leaves both at zero; `migrate` looks for tables.
        guard applicationID == schema.file.applicationID || (applicationID == 0 && version == 0) else {
            throw StoreError.foreignFile(
                file: schema.file, found: "application_id \(applicationID)",
                expected: "\(schema.file.applicationID)")
        }
        guard version <= schema.version else {
            throw StoreError.newerSchema(file: schema.file, found: version, known: schema.version)
        }
        guard version >= 0 else {
            throw StoreError.foreignFile(
                file: schema.file, found: "user_version \(version)", expected: "0 to \(schema.version)")
        }
    }

    /// Brings the file to the schema of this release in one transaction: after a crash it is either
    /// as before or done.
    private static func migrate(_ database: Database, to schema: Schema) throws {
        try database.inTransaction(.immediate) {
            let found = try Int32.fetchOne(database, sql: "PRAGMA user_version") ?? 0
            let id = try Int32.fetchOne(database, sql: "PRAGMA application_id") ?? 0
            try check(schema, version: found, applicationID: id)
            if id == 0 {
                let strangers = try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_master") ?? 0
                guard strangers == 0 else {
                    throw StoreError.foreignFile(
                        file: schema.file, found: "\(strangers) tables without an application_id",
                        expected: "\(schema.file.applicationID)")
                }
            }
            guard found < schema.version else { return .rollback }
            for step in schema.steps[Int(found)...] { try database.execute(sql: step) }
            try database.execute(sql: "PRAGMA application_id = \(schema.file.applicationID)")
            try database.execute(sql: "PRAGMA user_version = \(schema.version)")
            return .commit
        }
    }
}
