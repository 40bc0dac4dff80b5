// NIO's buffer as the place where frames are appended.

import NIOCore
import Wire

/// Frames on their way to a socket.
struct FrameBuffer: OutputBuffer {
    var bytes: ByteBuffer

    mutating func withReserved(bytes count: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        unsafe bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { room in
            unsafe body(room)
        }
    }
}
