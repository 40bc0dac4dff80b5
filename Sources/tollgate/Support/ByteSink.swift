// A file, or standard output, that is written a stretch at a time.
//
// A file is written beside its name first and takes it at the end: whoever reads the name sees a whole export or
// the one before.

import Glibc

/// Where bytes go, closed when its owner lets go.
struct ByteSink: ~Copyable {
    private let path: String
    private let descriptor: CInt
    private var isFinished = false
    /// Bytes written so far.
    private(set) var count = 0

    /// - Parameter path: `-` is standard output.
    init(_ path: String) throws(CommandFailure) {
        self.path = path
        guard path != "-" else {
            descriptor = STDOUT_FILENO
            return
        }
        let draft = path + ".new"
        descriptor = unsafe open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.failure("open", draft) }
    }

    private var isFile: Bool { descriptor != STDOUT_FILENO }

    /// Writes all of `bytes`. False when nobody reads standard output any more.
    mutating func write(_ bytes: [UInt8]) throws(CommandFailure) -> Bool {
        var done = 0
        while done < bytes.count {
            let written = unsafe bytes[done...].withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if written < 0 {
                if errno == EINTR { continue }
                if errno == EPIPE, !isFile { return false }
                throw Self.failure("write", path)
            }
            done += written
        }
        count += bytes.count
        return true
    }

    /// Makes a file durable and gives it its name.
    mutating func finish() throws(CommandFailure) {
        guard isFile else { return }
        guard fsync(descriptor) == 0 else { throw Self.failure("fsync", path) }
        guard unsafe rename(path + ".new", path) == 0 else { throw Self.failure("rename", path) }
        isFinished = true
    }

    private static func failure(_ call: String, _ path: String) -> CommandFailure {
        let code = errno
        return .environment("\(path): \(call) failed: \(unsafe String(cString: strerror(code)))")
    }

    deinit {
        guard isFile else { return }
        // What had to survive was synced before; a draft that was not finished is of no use.
        _ = close(descriptor)
        if !isFinished { _ = unsafe unlink(path + ".new") }
    }
}
