// The store: three SQLite files beside the journal, and how they are opened.
//
// `ledger.db` is the latest checkpoint of the accounts, `history.db` every outcome as a row that a
// person can query, `control.db` what administrators decide: rules, catalogue versions, the audit.
// The store knows nothing of ledgers or prices: its rows are plain values, an account's state is
// bytes, and what goes in comes out the same or an error is thrown.
//
// The journal is the truth for `ledger.db` and `history.db`; both can be rebuilt from it, and both
// say how far they have come, so that the journal is released only behind them.

#if canImport(Glibc)
    import Glibc
#endif

/// The database files of a data directory.
public enum StoreFile: String, CaseIterable, Hashable, Sendable {
    case ledger = "ledger.db"
    case history = "history.db"
    case control = "control.db"

    /// SQLite's `application_id`: tells our files from other people's. The letters are "TG" and two more.
    var applicationID: Int32 {
        switch self {
        case .ledger: 0x5447_4c45
        case .history: 0x5447_4849
        case .control: 0x5447_434f
        }
    }

    /// The file's path in `directory`.
    public func path(in directory: String) -> String { directory + "/" + rawValue }
}

/// What a data directory is, fixed when it is made. Every file repeats it, so that files of two
/// directories cannot be mixed unnoticed.
public struct DirectoryIdentity: Hashable, Sendable {
    /// The directory's UUID, as text.
    public var id: String
    /// What a credit is worth in US dollars, as exact decimal text.
    public var creditValue: String
    /// The number of shards, 1 to 65 536.
    public var shardCount: Int

    public init(id: String, creditValue: String, shardCount: Int) {
        precondition(shardCount >= 1 && shardCount <= 65_536)
        self.id = id
        self.creditValue = creditValue
        self.shardCount = shardCount
    }
}

/// Limits of the store; the tests state how they relate.
public enum StoreLimits {
    /// A reader or writer in the way is waited for this long, then the caller is told to come back.
    public static let busySeconds = 2.0
    /// Concurrent readers of the history and of the control file.
    public static let readersMax = 4
    /// Rows of a page of transactions.
    public static let pageRowsMax = 500
    /// Rows whose keys are gathered in memory before they become a sorted run on disk.
    public static let runRowsMax = 1 << 20
    /// Rows that one history transaction may append.
    public static let appendRowsMax = 1 << 19
    /// The history's WAL is copied into the file beyond this many bytes.
    public static let historyWALBytes = 64 << 20
    /// Beyond this many, writers wait for readers so that the WAL can start again.
    public static let historyWALBytesMax = 512 << 20
    /// Bytes of pages after which they begin to be written to the disk, without waiting for the sync.
    public static let writeOutBytes = 1 << 20
    /// Rows that one zone of the history's time map covers.
    public static let zoneRows = 8_192
    /// Numbers of rollups' names kept in memory, about 50 bytes each.
    public static let rollupNumbersMax = 1 << 19
    /// Rollups that a verification adds up at once, about 400 bytes each.
    public static let rollupsChecked: Int64 = 1 << 20
}

/// What concerns all three files.
public enum Store {
    /// Makes the kernel forget what it believes about the database files, so that SQLite reads the disk.
    ///
    /// After a failed sync the page cache may hold bytes that never reached the disk, and a new
    /// process would read them. So before SQLite opens any file in this process, each one and its WAL
    /// is synced (which keeps what an honest predecessor left dirty) and evicted. It must not be
    /// called while SQLite has the files open in this process: closing any descriptor of a file
    /// drops the process's POSIX locks on it.
    ///
    /// - Parameter evict: drops the pages of an open, synced file; returns an `errno` value or zero.
    ///   The default asks with `posix_fadvise(POSIX_FADV_DONTNEED)`.
    public static func prepareFiles(
        in directory: String, evict: (CInt) -> CInt = Files.evict
    ) throws(StoreError) {
        for file in StoreFile.allCases {
            for suffix in ["", "-wal"] {
                try Files.syncAndEvict(file.path(in: directory) + suffix, evict: evict)
            }
        }
    }
}
