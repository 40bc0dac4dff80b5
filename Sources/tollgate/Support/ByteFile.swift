// A file that is read from its beginning, a chunk at a time, so that its length does not matter.

import Glibc

/// An open file, closed when its owner lets go.
struct ByteFile: ~Copyable {
    private static let chunkBytes = 1 << 18

    private let descriptor: CInt
    private let path: String

    init(_ path: String) throws(CommandFailure) {
        self.path = path
        descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure("open", path) }
    }

    /// The next bytes; none at the end.
    func read() throws(CommandFailure) -> [UInt8] {
        var chunk = [UInt8](repeating: 0, count: Self.chunkBytes)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes {
                unsafe Glibc.read(descriptor, $0.baseAddress, $0.count)
            }
            if count >= 0 { return Array(chunk.prefix(count)) }
            guard errno == EINTR else { throw Self.failure("read", path) }
        }
    }

    private static func failure(_ call: String, _ path: String) -> CommandFailure {
        let code = errno
        return .environment("\(path): \(call) failed: \(unsafe String(cString: strerror(code)))")
    }

    // What was only read loses nothing when closing fails.
    deinit { _ = close(descriptor) }
}
