// Files as Linux has them. Calls loop over EINTR and short transfers, and close on exec.

import CPlatform
import Glibc
import Synchronization

/// The machine's own file system.
public final class LinuxFileSystem: FileSystem {
    public init() {}

    public func open(
        _ path: String, _ access: FileAccess, _ caching: FileCaching
    ) throws(FileError) -> any File {
        try LinuxFile(path, access, caching)
    }

    public func createDirectory(_ path: String) throws(FileError) {
        guard unsafe Glibc.mkdir(path, 0o700) != 0 else { return }
        let code = errno
        guard code == EEXIST else { throw FileError(call: "mkdir", path: path, code: code) }
    }

    public func list(_ directory: String) throws(FileError) -> [String] {
        guard let stream = unsafe opendir(directory) else {
            throw FileError(call: "opendir", path: directory, code: errno)
        }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = unsafe readdir(stream) else {
                let code = errno
                guard code == 0 else { throw FileError(call: "readdir", path: directory, code: code) }
                break
            }
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { buffer in
                unsafe String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    public func rename(_ from: String, to: String) throws(FileError) {
        guard unsafe Glibc.rename(from, to) == 0 else {
            throw FileError(call: "rename", path: from, code: errno)
        }
    }

    public func remove(_ path: String) throws(FileError) {
        guard unsafe unlink(path) == 0 else {
            throw FileError(call: "unlink", path: path, code: errno)
        }
    }

    public func synchronizeDirectory(_ path: String) throws(FileError) {
        let descriptor = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(call: "open", path: path, code: errno) }
        let result = fsync(descriptor)
        let code = errno
        // The directory was only read, so a failed close loses nothing.
        _ = Glibc.close(descriptor)
        guard result == 0 else { throw FileError(call: "fsync", path: path, code: code) }
    }

    public func freeBytes(at path: String) throws(FileError) -> Int {
        var status = statvfs()
        guard unsafe statvfs(path, &status) == 0 else {
            throw FileError(call: "statvfs", path: path, code: errno)
        }
        return Int(clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)))
    }
}

extension Int {
    /// The product, or the largest value when it does not fit.
    fileprivate init(clamping product: (partialValue: UInt64, overflow: Bool)) {
        self = product.overflow ? .max : Int(clamping: product.partialValue)
    }
}

/// An open descriptor, closed when its last owner lets go.
final class LinuxFile: File {
    let path: String
    let caching: FileCaching
    private let descriptor: CInt
    private let isLocked = Atomic<Bool>(false)

    init(_ path: String, _ access: FileAccess, _ caching: FileCaching) throws(FileError) {
        var flags = O_CLOEXEC
        switch access {
        case .read: flags |= O_RDONLY
        case .readWrite: flags |= O_RDWR
        case .replace: flags |= O_RDWR | O_CREAT | O_TRUNC
        case .createOrKeep: flags |= O_RDWR | O_CREAT
        }
        switch caching {
        case .buffered: break
        case .direct: flags |= tollgate_o_direct
        case .directDurable: flags |= tollgate_o_direct | O_DSYNC
        }
        var opened: CInt
        repeat {
            opened = unsafe Glibc.open(path, flags, 0o600)
        } while opened < 0 && errno == EINTR
        guard opened >= 0 else { throw FileError(call: "open", path: path, code: errno) }
        self.path = path
        self.caching = caching
        descriptor = opened
    }

    deinit {
        // Closing alone would leave the lock to a child that was forked and has not called exec yet.
        if isLocked.load(ordering: .relaxed) { _ = flock(descriptor, LOCK_UN) }
        // Whatever had to survive was made durable before, so a failed close loses nothing.
        _ = Glibc.close(descriptor)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileError) -> Int {
        var done = 0
        while done < buffer.count {
            let result = unsafe pread(
                descriptor, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done, offset + done)
            if result > 0 {
                done += result
                // A direct read that stops between blocks has met the end of the file.
                if caching != .buffered && result % directAlignment != 0 { break }
            } else if result == 0 {
                break
            } else {
                let code = errno
                guard code == EINTR else { throw FileError(call: "pread", path: path, code: code) }
            }
        }
        return done
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
        var done = 0
        while done < bytes.count {
            let result = unsafe pwrite(
                descriptor, bytes.baseAddress.map { unsafe $0 + done }, bytes.count - done, offset + done)
            if result > 0 {
                done += result
            } else {
                let code = result == 0 ? EIO : errno
                guard code == EINTR else { throw FileError(call: "pwrite", path: path, code: code) }
            }
        }
    }

    func synchronize() throws(FileError) {
        // EINTR is not retried: no write is repeated whose outcome is unknown.
        guard fdatasync(descriptor) == 0 else {
            throw FileError(call: "fdatasync", path: path, code: errno)
        }
    }

    func allocate(bytes: Int) throws(FileError) {
        while tollgate_fallocate(descriptor, 0, Int64(bytes)) != 0 {
            let code = errno
            if code == EINTR { continue }
            // Without support for it the blocks are taken when the file is filled.
            if code == EOPNOTSUPP { return }
            throw FileError(call: "fallocate", path: path, code: code)
        }
    }

    func evictCache() throws(FileError) {
        let code = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
        guard code == 0 else { throw FileError(call: "posix_fadvise", path: path, code: code) }
    }

    func size() throws(FileError) -> Int {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw FileError(call: "fstat", path: path, code: errno)
        }
        return Int(status.st_size)
    }

    func tryLock() throws(FileError) -> Bool {
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            if code == EINTR { continue }
            if code == EWOULDBLOCK { return false }
            throw FileError(call: "flock", path: path, code: code)
        }
        isLocked.store(true, ordering: .relaxed)
        return true
    }

    func truncate(to bytes: Int) throws(FileError) {
        guard ftruncate(descriptor, bytes) == 0 else {
            throw FileError(call: "ftruncate", path: path, code: errno)
        }
    }
}
