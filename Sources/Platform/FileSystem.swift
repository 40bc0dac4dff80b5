// The seam to files: what the journal and the store ask of a disk, and how it says no.
//
// Everything above reaches files through these two protocols, so that a simulated disk can lose power
// at any operation, and a test can fail any call. A call here costs a system call anyway, so both are
// used as existentials: nothing above becomes generic for it.
//
// The words: a *buffered* file goes through the page cache and is durable after `synchronize`; a
// *direct* file bypasses the cache and needs memory, offsets and lengths in multiples of
// `directAlignment`; a *direct durable* file is also durable when `write` returns, and an error then
// belongs to the write that caused it. A name is durable after `synchronizeDirectory`.

import Glibc

/// Memory, offsets and lengths of direct reads and writes are multiples of this many bytes.
public let directAlignment = 4096

/// The system refused a call: which one, on what, and the `errno` it gave.
public struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The function of the C library that failed.
    public let call: String
    /// The file or directory; for a thread, its name.
    public let path: String
    /// The `errno` value.
    public let code: Int32

    public init(call: String, path: String, code: Int32) {
        self.call = call
        self.path = path
        self.code = code
    }

    /// The disk or the quota is full; freeing space heals it.
    public var isDiskFull: Bool { code == ENOSPC || code == EDQUOT }

    /// The file, or a directory on the way to it, does not exist.
    public var isMissing: Bool { code == ENOENT }

    /// The file system has no direct I/O: open with `.buffered` instead.
    public var isDirectRefused: Bool { code == EINVAL || code == EOPNOTSUPP }

    public var description: String {
        "\(call) failed on \(path): \(unsafe String(cString: strerror(code))) (errno \(code))"
    }
}

/// What a file is opened for.
public enum FileAccess: Hashable, Sendable {
    /// An existing file, read only.
    case read
    /// An existing file.
    case readWrite
    /// A file that is made if it is missing and emptied if it is there.
    case replace
    /// A file that is made if it is missing, and kept as it is otherwise.
    case createOrKeep
}

/// How a file's bytes travel.
public enum FileCaching: Hashable, Sendable {
    /// Through the page cache; durable after `synchronize`.
    case buffered
    /// Past the page cache (`O_DIRECT`); durable after `synchronize`.
    case direct
    /// Past the page cache and durable when the write returns (`O_DIRECT|O_DSYNC`).
    case directDurable
}

/// The calls that name files. Paths are as the kernel takes them; calls may come from any thread.
public protocol FileSystem: AnyObject, Sendable {
    /// Opens a file; it is closed when the last reference to it goes. Children do not inherit it.
    func open(_ path: String, _ access: FileAccess, _ caching: FileCaching) throws(FileError) -> any File

    /// Makes a directory (mode 0700). One that exists is no error.
    func createDirectory(_ path: String) throws(FileError)

    /// The names in a directory, sorted by their bytes, without `.` and `..`.
    func list(_ directory: String) throws(FileError) -> [String]

    /// Gives a file another name, replacing what has it. Durable after `synchronizeDirectory`.
    func rename(_ from: String, to: String) throws(FileError)

    /// Takes a name away. Durable after `synchronizeDirectory`.
    func remove(_ path: String) throws(FileError)

    /// Returns once every name made, moved or removed in the directory is durable.
    func synchronizeDirectory(_ path: String) throws(FileError)

    /// The bytes that an unprivileged writer could still add to the file system of `path`.
    func freeBytes(at path: String) throws(FileError) -> Int
}

/// An open file. Reads and writes may come from several threads at once.
public protocol File: AnyObject, Sendable {
    /// The name it was opened by.
    var path: String { get }
    /// How it was opened.
    var caching: FileCaching { get }

    /// Fills `buffer` from `offset` on and returns the bytes read: fewer only at the end of the file.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileError) -> Int

    /// Writes all of `bytes` at `offset`, however many calls that takes.
    ///
    /// After an error nobody knows which of the bytes are on the disk.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError)

    /// Returns once every written byte is durable (`fdatasync`, so the size counts as data).
    ///
    /// After an error the file must not be synchronized again: the kernel may have dropped the dirty
    /// pages, so a second call that succeeds would prove nothing.
    func synchronize() throws(FileError)

    /// Reserves blocks for the first `bytes` bytes and sets the size. Here a full disk is found.
    func allocate(bytes: Int) throws(FileError)

    /// Drops clean pages of this file from the page cache, so that the next read comes from the disk.
    func evictCache() throws(FileError)

    /// The size in bytes.
    func size() throws(FileError) -> Int

    /// Takes the exclusive advisory lock (`flock`); false when another open file holds it.
    func tryLock() throws(FileError) -> Bool

    /// Cuts or extends the file to `bytes` bytes.
    func truncate(to bytes: Int) throws(FileError)
}

extension FileSystem {
    /// Makes what is on the disk be what the next reader sees.
    ///
    /// After a failed write the page cache may show bytes that never reached the disk, to the next
    /// process too. Writing out what is honestly dirty and then dropping the pages brings the truth
    /// back. Used on every file before it is read for the first time.
    public func distrustCache(of path: String) throws(FileError) {
        let file = try open(path, .readWrite, .buffered)
        try file.synchronize()
        try file.evictCache()
    }
}
