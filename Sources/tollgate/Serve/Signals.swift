// Signals as values: a handler may do almost nothing, so it writes a byte into a pipe and a thread reads it.

import Glibc
import Platform
import Synchronization

enum Signals {
    /// Where the handler writes; -1 until somebody watches.
    private static let inlet = Atomic<Int32>(-1)

    /// The signals that arrive from now on, in order.
    static func watch(_ numbers: [Int32]) throws(FileError) -> AsyncStream<Int32> {
        let pipe = try Pipe()
        inlet.store(pipe.inlet, ordering: .sequentiallyConsistent)
        let (stream, continuation) = AsyncStream<Int32>.makeStream()
        let outlet = pipe.outlet
        // The thread lives as long as the process.
        _ = try WorkerThread(name: "signals", urgency: .normal) {
            var byte: UInt8 = 0
            while true {
                let count = unsafe read(outlet, &byte, 1)
                if count == 1 { continuation.yield(Int32(byte)) }
                if count == 0 || (count < 0 && errno != EINTR) { return continuation.finish() }
            }
        }
        for number in numbers {
            // signal-safety(7) lists write; errno is put back because a handler may run between a call and
            // its look at errno.
            signal(number) { number in
                let saved = errno
                var byte = UInt8(truncatingIfNeeded: number)
                _ = unsafe write(Signals.inlet.load(ordering: .relaxed), &byte, 1)
                errno = saved
            }
        }
        return stream
    }

    /// Ignores what would end the process where an error code says more: writing to a closed connection, and
    /// a file-size limit that is reached.
    static func ignoreWriteSignals() {
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
    }
}
