// How many files and sockets the process may have open, and how many of them are not for clients: a flood of
// connections must not keep the journal from its next segment.

import CPlatform
import Glibc

/// The process's limit of open files.
public enum OpenFiles {
    /// Kept for the journal, the databases and the process itself.
    public static let reserved = 64

    /// Raises the limit as far as the process may, and returns it: at most `Int32.max`.
    ///
    /// - Throws: what the system says when it does not tell the limit.
    public static func raiseLimit() throws(FileError) -> Int {
        let limit = tollgate_raise_open_files()
        guard limit >= 0 else { throw FileError(call: "getrlimit", path: "RLIMIT_NOFILE", code: errno) }
        return Int(limit)
    }
}
