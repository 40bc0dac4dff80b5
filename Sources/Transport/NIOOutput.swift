// The buffer between the encoder and the socket.

import NIOCore
import Wire

/// A `ByteBuffer` that the encoder writes into.
struct NIOOutput: OutputBuffer {
    private(set) var buffer: ByteBuffer

    init(_ buffer: ByteBuffer) { self.buffer = buffer }

    /// Takes room for so many bytes at once, if there is none yet.
    mutating func reserve(_ bytes: Int) {
        if buffer.storageCapacity == 0 { buffer.reserveCapacity(bytes) }
    }

    @inline(__always)
    mutating func withReserved(bytes: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        unsafe buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bytes) { unsafe body($0) }
    }
}
