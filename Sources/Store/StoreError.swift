// What can go wrong in the store, sorted by what the caller does about it.

import GRDB
import GRDBSQLite

/// A call that SQLite refused, with its own words.
public struct SQLiteFailure: Hashable, Sendable {
    public var file: StoreFile
    /// What was being done, for the message.
    public var operation: String
    /// SQLite's extended result code; https://www.sqlite.org/rescode.html.
    public var code: Int32
    public var message: String
}

/// Why the store could not do what it was asked.
public enum StoreError: Error, Hashable, Sendable {
    /// Disk full, or another connection in the way. Everything was rolled back and nothing is lost:
    /// keep the journal, and ask again later.
    case retryLater(SQLiteFailure)
    /// The disk or the file failed, and what was written cannot be believed. The process must exit;
    /// the next start evicts the page cache and recovers from the journal.
    case poisoned(SQLiteFailure)
    /// SQLite refused the values: a uniqueness or another constraint. The request is at fault.
    case rejected(SQLiteFailure)
    /// A later release wrote the file. Nothing was changed; use that release.
    case newerSchema(file: StoreFile, found: Int32, known: Int32)
    /// The file is not ours, or belongs to another data directory. Nothing was changed.
    case foreignFile(file: StoreFile, found: String, expected: String)
    /// A row's bytes do not fit its checksum, or cannot be what was written.
    case damagedRow(file: StoreFile, table: String, key: String, path: String, reason: String)
    /// The rows are each whole, but together are not what the checkpoint promised.
    case damagedTotals(file: StoreFile, field: String, stored: String, computed: String)
    /// A system call on one of the files failed. At start only; the process must exit.
    case system(path: String, call: String, code: Int32)

    /// Whether the process must stop because the files cannot be believed any more.
    public var isFatal: Bool {
        switch self {
        case .retryLater, .rejected: false
        case .poisoned, .newerSchema, .foreignFile, .damagedRow, .damagedTotals, .system: true
        }
    }
}

extension StoreError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .retryLater(let failure):
            "\(failure.file.rawValue): \(failure.operation): \(failure.message) (SQLite \(failure.code)). "
                + "Rolled back; free disk space or end the other reader, and it is tried again."
        case .poisoned(let failure):
            "\(failure.file.rawValue): \(failure.operation): \(failure.message) (SQLite \(failure.code)). "
                + "The file cannot be believed; stop, and restart to recover from the journal."
        case .rejected(let failure):
            "\(failure.file.rawValue): \(failure.operation): \(failure.message) (SQLite \(failure.code))."
        case .newerSchema(let file, let found, let known):
            "\(file.rawValue) has schema \(found), this release knows up to \(known). "
                + "Nothing was changed; start the release that wrote it."
        case .foreignFile(let file, let found, let expected):
            "\(file.rawValue) is not this data directory's: found \(found), expected \(expected). "
                + "Nothing was changed; put the right file back."
        case .damagedRow(let file, let table, let key, let path, let reason):
            "\(file.rawValue): damaged row \(key) of \(table)"
                + (path.isEmpty ? "" : " (\(path))") + ": \(reason). "
                + "Restore the file from a backup."
        case .damagedTotals(let file, let field, let stored, let computed):
            "\(file.rawValue): \(field) was \(stored) when written and is \(computed) now. "
                + "Restore the file from a backup."
        case .system(let path, let call, let code):
            "\(path): \(call) failed with errno \(code). The file cannot be believed; check the disk."
        }
    }
}

extension StoreError {
    /// Sorts SQLite's code by what is to be done about it.
    ///
    /// `SQLITE_IOERR`, `CORRUPT`, `NOTADB` and whatever is not expected are the end of this process.
    init(file: StoreFile, operation: String, code: Int32, message: String) {
        let failure = SQLiteFailure(file: file, operation: operation, code: code, message: message)
        switch code & 0xff {
        case SQLITE_FULL, SQLITE_BUSY, SQLITE_LOCKED, SQLITE_NOMEM, SQLITE_INTERRUPT:
            self = .retryLater(failure)
        case SQLITE_CONSTRAINT, SQLITE_TOOBIG, SQLITE_MISMATCH:
            self = .rejected(failure)
        default:
            self = .poisoned(failure)
        }
    }

    /// Gives any error of a GRDB call its place in this enum.
    init(_ error: any Error, file: StoreFile, operation: String) {
        if let known = error as? StoreError {
            self = known
        } else if let known = error as? DatabaseError {
            self.init(
                file: file, operation: operation, code: known.extendedResultCode.rawValue,
                message: known.message ?? "no message")
        } else {
            self.init(file: file, operation: operation, code: SQLITE_ERROR, message: "\(error)")
        }
    }
}

/// Runs `body`, and turns what it throws into a `StoreError`.
func attempt<Result: ~Copyable>(
    _ file: StoreFile, _ operation: String, _ body: () throws -> Result
) throws(StoreError) -> Result {
    do {
        return try body()
    } catch {
        throw StoreError(error, file: file, operation: operation)
    }
}
