// How SQLite's pages reach the disk: a little at a time, while they are written, and not all at the sync.
//
// SQLite writes a transaction, or a WAL that is copied into its file, page by page into the page cache, and
// then asks for all of it to be durable. Those are some 60 MB at a time here, and for the 20 to 40 ms that the disk
// took for them, every write of the journal, and with it every answer, stood behind them: beside a history that
// followed 100 000 reports/s, the slowest of a hundred answers took 9 ms and the slowest of a thousand 26 ms. Written out
// by the mebibyte it was 2.3 and 4.4 ms.

import CPlatform
import GRDBSQLite
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// The way from SQLite to the files of this process.
enum SteadyWrites {
    typealias Write = @convention(c) (CInt, UnsafeRawPointer?, Int, off_t) -> Int

    /// Bytes written to database files since the last time some began to be written out.
    private static let waiting = Atomic<Int>(0)
    private static let begun = Atomic<Int>(0)

    /// How often pages began to be written out ahead of their sync, since the process started.
    static var writeOuts: Int { begun.load(ordering: .relaxed) }

    /// pwrite(2), after which, every `StoreLimits.writeOutBytes`, the file's dirty pages begin to be written to the
    /// disk. Nothing is waited for, and what fails is told by the sync that follows: this alone makes nothing durable.
    static let write: Write = { descriptor, bytes, count, offset in
        let written = unsafe pwrite(descriptor, bytes, count, offset)
        guard written > 0 else { return written }
        // Which of two files it is that comes to the limit does not matter: who writes more is met more often.
        if waiting.add(written, ordering: .relaxed).newValue >= StoreLimits.writeOutBytes {
            waiting.store(0, ordering: .relaxed)
            begun.add(1, ordering: .relaxed)
            // A file system that cannot do this writes everything at the sync.
            _ = tollgate_begin_write_out(descriptor)
        }
        return written
    }

    /// Puts `write` in SQLite's place for it, for all files; once in a process.
    ///
    /// This is `xSetSystemCall` of https://www.sqlite.org/c3ref/vfs.html, which SQLite's Unix VFS has since version
    /// 3.7.6. One that lacked it would write as it always does.
    ///
    /// - Returns: whether SQLite took it.
    @discardableResult
    static func begin() -> Bool { isInForce }

    private static let isInForce: Bool = {
        guard let vfs = unsafe sqlite3_vfs_find(nil), let set = unsafe vfs.pointee.xSetSystemCall else {
            return false
        }
        let call = unsafe unsafeBitCast(write, to: sqlite3_syscall_ptr.self)
        // Which of the two it uses depends on how it was built.
        let codes = unsafe [set(vfs, "pwrite", call), set(vfs, "pwrite64", call)]
        return codes == [SQLITE_OK, SQLITE_OK]
    }()
}
