// The buffer between the encoder and the socket.

import NIOCore
import Wire

/// A `ByteBuffer` that the encoder writes into.
struct NIOOutput: OutputBuffer {
    private(set) var buffer: ByteBuffer

    init(_ buffer: ByteBuffer) { self.buffer = buffer }

    @inline(__always)
    mutating func withReserved(bytes: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        unsafe buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bytes) { unsafe body($0) }
    }
}
