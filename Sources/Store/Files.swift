// The few system calls that the store makes itself, all before SQLite opens a file or after it closed it.

#if canImport(Glibc)
    import Glibc
#endif

/// System calls on database files.
public enum Files {
    /// Asks the kernel to drop the pages of an open file; returns an `errno` value or zero.
    public static func evict(_ descriptor: CInt) -> CInt {
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
    }

    /// Syncs and evicts the file at `path`; a file that does not exist is fine.
    static func syncAndEvict(_ path: String, evict: (CInt) -> CInt) throws(StoreError) {
        guard let descriptor = try open(path, O_RDONLY | O_CLOEXEC) else { return }
        // A failed close of a descriptor that wrote nothing loses nothing.
        defer { _ = Glibc.close(descriptor) }
        guard Glibc.fsync(descriptor) == 0 else {
            throw StoreError.system(path: path, call: "fsync", code: errno)
        }
        let code = evict(descriptor)
        guard code == 0 else { throw StoreError.system(path: path, call: "posix_fadvise", code: code) }
    }

    /// Makes an empty file that only its owner may read, and its directory entry durable.
    /// SQLite gives its WAL the mode of the database file.
    static func createIfMissing(_ path: String, in directory: String) throws(StoreError) {
        let descriptor = unsafe Glibc.open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        if descriptor < 0 {
            let code = errno
            guard code == EEXIST else { throw StoreError.system(path: path, call: "open", code: code) }
            return
        }
        _ = Glibc.close(descriptor)
        try syncDirectory(directory)
    }

    static func syncDirectory(_ directory: String) throws(StoreError) {
        guard let descriptor = try open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) else {
            throw StoreError.system(path: directory, call: "open", code: ENOENT)
        }
        defer { _ = Glibc.close(descriptor) }
        guard Glibc.fsync(descriptor) == 0 else {
            throw StoreError.system(path: directory, call: "fsync", code: errno)
        }
    }

    /// The first `count` bytes of the file at `path`, fewer if it is shorter, nil if there is none.
    static func head(of path: String, count: Int) throws(StoreError) -> [UInt8]? {
        guard let descriptor = try open(path, O_RDONLY | O_CLOEXEC) else { return nil }
        defer { _ = Glibc.close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: count)
        let read = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe Glibc.pread(descriptor, buffer.baseAddress, buffer.count, 0)
        }
        guard read >= 0 else { throw StoreError.system(path: path, call: "pread", code: errno) }
        bytes.removeLast(count - read)
        return bytes
    }

    /// The size of the file at `path` in bytes, or nil if there is none.
    static func size(of path: String) throws(StoreError) -> Int64? {
        guard let descriptor = try open(path, O_RDONLY | O_CLOEXEC) else { return nil }
        defer { _ = Glibc.close(descriptor) }
        let size = Glibc.lseek(descriptor, 0, SEEK_END)
        guard size >= 0 else { throw StoreError.system(path: path, call: "lseek", code: errno) }
        return Int64(size)
    }

    private static func open(_ path: String, _ flags: CInt) throws(StoreError) -> CInt? {
        let descriptor = unsafe Glibc.open(path, flags)
        guard descriptor < 0 else { return descriptor }
        let code = errno
        guard code == ENOENT else { throw StoreError.system(path: path, call: "open", code: code) }
        return nil
    }
}
