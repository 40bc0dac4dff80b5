// A whole file, or standard input, as bytes, and back. Bounded, so that a wrong path cannot fill the memory.

import Glibc

enum TextFile {
    /// The most that is read.
    static let bytesMax = 1 << 30

    /// Reads the file at `path`, of at most `limit` bytes; `-` is standard input.
    static func read(_ path: String, limit: Int = bytesMax) throws(CommandFailure) -> [UInt8] {
        var descriptor = STDIN_FILENO
        if path != "-" {
            descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw failure("open", path) }
        }
        // What was only read loses nothing when closing fails.
        defer { if path != "-" { _ = close(descriptor) } }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes {
                unsafe Glibc.read(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0 {
                if errno == EINTR { continue }
                throw failure("read", path)
            }
            if count == 0 { return bytes }
            guard bytes.count + count <= limit else {
                throw .environment("\(path) has more than \(Figures.bytes(limit)): split it")
            }
            bytes += chunk[..<count]
        }
    }

    /// Writes `bytes` to the file at `path`, which is replaced if it is there.
    ///
    /// They go to a file beside it first, so that whoever reads `path` sees the old file or the new one.
    static func write(_ bytes: [UInt8], to path: String) throws(CommandFailure) {
        let draft = path + ".new"
        let descriptor = unsafe open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw failure("open", draft) }
        var isOpen = true
        // Only after another failure, which is the one to be told.
        defer { if isOpen { _ = close(descriptor) } }
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes[done...].withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0 {
                if errno == EINTR { continue }
                throw failure("write", draft)
            }
            done += count
        }
        guard fsync(descriptor) == 0 else { throw failure("fsync", draft) }
        isOpen = false
        guard close(descriptor) == 0 else { throw failure("close", draft) }
        guard unsafe rename(draft, path) == 0 else { throw failure("rename", path) }
    }

    private static func failure(_ call: String, _ path: String) -> CommandFailure {
        let code = errno
        return .environment("\(path): \(call) failed: \(unsafe String(cString: strerror(code)))")
    }
}
