// SQLite's C statements, for the loops where a row must cost no allocation.

import Bytes
import GRDB
import GRDBSQLite

/// A prepared statement, finalized when its owner lets go.
///
/// Values are bound by reference: the bytes behind a view must stay where they are until `run` or
/// the end of `step`s. Used only on the connection's own queue.
@safe
struct Statement: ~Copyable {
    private let handle: OpaquePointer
    private let file: StoreFile
    /// False for a statement that GRDB keeps for the next use.
    private let isOwned: Bool
    /// What binding and resetting returned, joined; looked at by the next step.
    private var bindFailure: CInt = SQLITE_OK

    /// Compiles `sql` on `database`'s connection.
    init(_ database: Database, _ file: StoreFile, _ sql: String) throws(StoreError) {
        var prepared: OpaquePointer?
        let code = unsafe sqlite3_prepare_v3(
            database.sqliteConnection, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
        guard code == SQLITE_OK, let prepared = unsafe prepared else {
            let message = unsafe String(cString: sqlite3_errmsg(database.sqliteConnection))
            throw StoreError(file: file, operation: "compiling \(sql)", code: code, message: message)
        }
        unsafe handle = prepared
        self.file = file
        isOwned = true
    }

    /// Borrows the statement for `sql` that GRDB keeps compiled with the connection.
    ///
    /// Only one walk over it may be under way at a time.
    init(cached database: Database, _ file: StoreFile, _ sql: String) throws(StoreError) {
        let cached = try attempt(file, "compiling \(sql)") { try database.cachedStatement(sql: sql) }
        unsafe handle = cached.sqliteStatement
        self.file = file
        isOwned = false
    }

    deinit {
        // The results repeat the error of the last step, which was thrown then.
        if isOwned {
            _ = unsafe sqlite3_finalize(handle)
        } else {
            _ = unsafe sqlite3_reset(handle)
            // What was bound by reference may be gone before the next use.
            _ = unsafe sqlite3_clear_bindings(handle)
        }
    }

    // MARK: Binding; columns count from 1.

    @inline(__always)
    mutating func bind(_ value: Int64, at index: CInt) {
        bindFailure |= unsafe sqlite3_bind_int64(handle, index, value)
    }

    @inline(__always)
    mutating func bindNull(at index: CInt) {
        bindFailure |= unsafe sqlite3_bind_null(handle, index)
    }

    /// Binds bytes that are UTF-8; an empty view is empty text.
    @inline(__always)
    mutating func bind(text: ByteView, at index: CInt) {
        guard text.count > 0, let base = unsafe text.buffer.baseAddress else {
            bindFailure |= unsafe sqlite3_bind_text(handle, index, "", 0, nil)
            return
        }
        // A nil destructor is SQLITE_STATIC: SQLite keeps the pointer, and the caller keeps the bytes.
        bindFailure |= unsafe sqlite3_bind_text64(
            handle, index, base.assumingMemoryBound(to: CChar.self), UInt64(text.count), nil,
            UInt8(SQLITE_UTF8))
    }

    /// Binds text, or NULL for an empty view.
    @inline(__always)
    mutating func bind(optionalText text: ByteView, at index: CInt) {
        if text.isEmpty { bindNull(at: index) } else { bind(text: text, at: index) }
    }

    /// Binds bytes as text if they are UTF-8 without a zero byte, so that people can read and type
    /// them, and as a blob otherwise.
    @inline(__always)
    mutating func bind(textOrBlob bytes: ByteView, at index: CInt) {
        if bytes.isReadable { bind(text: bytes, at: index) } else { bind(blob: bytes, at: index) }
    }

    @inline(__always)
    mutating func bind(blob: ByteView, at index: CInt) {
        if let base = unsafe blob.buffer.baseAddress, blob.count > 0 {
            bindFailure |= unsafe sqlite3_bind_blob64(handle, index, base, UInt64(blob.count), nil)
        } else {
            bindFailure |= unsafe sqlite3_bind_zeroblob(handle, index, 0)
        }
    }

    // MARK: Running

    /// Advances to the next row; false at the end, when the statement is ready to be bound again.
    @inline(__always)
    mutating func step() throws(StoreError) -> Bool {
        guard bindFailure == SQLITE_OK else { throw failure("binding") }
        switch unsafe sqlite3_step(handle) {
        case SQLITE_ROW:
            return true
        case SQLITE_DONE:
            reset()
            return false
        default:
            throw failure("running")
        }
    }

    /// Runs a statement that returns no rows.
    @inline(__always)
    mutating func run() throws(StoreError) {
        let row = try step()
        assert(!row)
    }

    /// Ends a walk over rows early.
    mutating func reset() {
        bindFailure |= unsafe sqlite3_reset(handle)
    }

    @inline(never)
    private func failure(_ operation: String) -> StoreError {
        let connection = unsafe sqlite3_db_handle(handle)
        let code = unsafe sqlite3_extended_errcode(connection)
        let message = unsafe String(cString: sqlite3_errmsg(connection))
        let sql = unsafe sqlite3_sql(handle).map { unsafe String(cString: $0) } ?? ""
        return StoreError(
            file: file, operation: "\(operation) \(sql.prefix(120))",
            code: code == SQLITE_OK ? max(bindFailure, SQLITE_ERROR) : code, message: message)
    }

    // MARK: Columns of the row stepped to; they count from 0, and their bytes last until the next step.

    @inline(__always)
    func integer(_ column: CInt) -> Int64 { unsafe sqlite3_column_int64(handle, column) }

    @inline(__always)
    func isNull(_ column: CInt) -> Bool { unsafe sqlite3_column_type(handle, column) == SQLITE_NULL }

    /// Whether the column holds an integer. SQLite reads text as zero where a number is asked for,
    /// which a damaged row must not get away with.
    @inline(__always)
    func isInteger(_ column: CInt) -> Bool { unsafe sqlite3_column_type(handle, column) == SQLITE_INTEGER }

    /// The bytes of a text or blob column as stored.
    @inline(__always)
    func bytes(_ column: CInt) -> ByteView {
        let base = unsafe sqlite3_column_blob(handle, column)
        let count = unsafe sqlite3_column_bytes(handle, column)
        return unsafe ByteView(UnsafeRawBufferPointer(start: base, count: Int(count)))
    }

    func text(_ column: CInt) -> String { bytes(column).text }
}

/// A transaction that took the write lock, rolled back unless committed.
///
/// - Throws: what `body` throws. A rollback that fails as well turns it into `.poisoned`.
func transaction<Result: ~Copyable>(
    _ database: Database, _ file: StoreFile, _ body: () throws(StoreError) -> Result
) throws(StoreError) -> Result {
    try execute(database, file, "BEGIN IMMEDIATE")
    do throws(StoreError) {
        let result = try body()
        try execute(database, file, "COMMIT")
        return result
    } catch {
        // Some errors roll back by themselves; https://www.sqlite.org/lang_transaction.html.
        if unsafe sqlite3_get_autocommit(database.sqliteConnection) == 0 {
            try execute(database, file, "ROLLBACK")
        }
        throw error
    }
}

private func execute(_ database: Database, _ file: StoreFile, _ sql: String) throws(StoreError) {
    let code = unsafe sqlite3_exec(database.sqliteConnection, sql, nil, nil, nil)
    guard code == SQLITE_OK else {
        let connection = unsafe database.sqliteConnection
        let extended = unsafe sqlite3_extended_errcode(connection)
        let message = unsafe String(cString: sqlite3_errmsg(connection))
        throw StoreError(file: file, operation: sql, code: extended, message: message)
    }
}

extension ByteView {
    /// Whether the bytes are UTF-8 without a zero byte.
    @inline(__always)
    var isReadable: Bool {
        let bytes = unsafe buffer
        var isASCII = true
        for index in 0..<count {
            let byte = unsafe bytes[index]
            if byte == 0 { return false }
            isASCII = isASCII && byte < 0x80
        }
        return isASCII || isUTF8
    }

    @inline(never)
    private var isUTF8: Bool { unsafe String(validating: buffer, as: UTF8.self) != nil }
}
