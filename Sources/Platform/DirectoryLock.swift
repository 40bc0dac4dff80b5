// One process per data directory: a file named LOCK, locked with flock for as long as the owner lives.
//
// flock and not fcntl: a POSIX record lock vanishes when any descriptor of the file is closed. The
// kernel gives the lock up when the process ends, however it ends; the file itself stays. Its content,
// the owner's process id, is for the message only.

import Bytes
import Glibc
import Synchronization

/// Why a data directory could not be taken.
public enum DirectoryLockError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Another process has it. `owner` is what that process wrote into the file: its id, or nothing.
    case held(path: String, owner: String)
    /// The lock file could not be opened or locked.
    case file(FileError)

    public var description: String {
        switch self {
        case .held(let path, let owner):
            let who = owner.isEmpty ? "another process" : "process \(owner)"
            return "\(path) is locked by \(who): it is using this data directory. "
                + "Stop it first, or choose another directory."
        case .file(let error):
            return error.description
        }
    }
}

/// The proof that this process alone uses a data directory. Held until the last reference goes.
public final class DirectoryLock: Sendable {
    private let file: Mutex<(any File)?>

    /// Takes the lock in `directory`, which must exist, without waiting for it.
    public init(directory: String, fileSystem: any FileSystem) throws(DirectoryLockError) {
        let path = directory + "/LOCK"
        let owner: String?
        let file: any File
        do throws(FileError) {
            file = try fileSystem.open(path, .createOrKeep, .buffered)
            owner = try file.tryLock() ? nil : Self.owner(in: file)
            if owner == nil {
                try file.truncate(to: 0)
                try "\(getpid())\n".withView { (text) throws(FileError) in
                    try unsafe file.write(text.buffer, at: 0)
                }
            }
        } catch {
            throw .file(error)
        }
        if let owner { throw .held(path: path, owner: owner) }
        self.file = Mutex(file)
    }

    /// Gives the directory up before the last reference goes. Nothing in it is touched afterwards.
    public func release() { file.withLock { $0 = nil } }

    private static func owner(in file: any File) throws(FileError) -> String {
        var bytes = [UInt8](repeating: 0, count: 20)
        let count = try unsafe bytes.withUnsafeMutableBufferPointer { (buffer) throws(FileError) in
            try unsafe file.read(into: UnsafeMutableRawBufferPointer(buffer), at: 0)
        }
        return String(decoding: bytes.prefix(count).prefix { $0 >= 0x30 && $0 <= 0x39 }, as: UTF8.self)
    }
}
