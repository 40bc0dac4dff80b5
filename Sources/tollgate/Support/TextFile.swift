// A whole file, or standard input, as bytes. Bounded, so that a wrong path cannot fill the memory.

import Glibc

enum TextFile {
    /// The most that is read.
    static let bytesMax = 1 << 30

    /// Reads the file at `path`; `-` is standard input.
    static func read(_ path: String) throws(CommandFailure) -> [UInt8] {
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
            guard bytes.count + count <= bytesMax else {
                throw .environment("\(path) has more than \(Figures.bytes(bytesMax)): split it")
            }
            bytes += chunk[..<count]
        }
    }

    private static func failure(_ call: String, _ path: String) -> CommandFailure {
        let code = errno
        return .environment("\(path): \(call) failed: \(unsafe String(cString: strerror(code)))")
    }
}
