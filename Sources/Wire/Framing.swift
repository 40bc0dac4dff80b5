// Where one message ends and the next begins, on a stream of bytes.
//
//      0        1                       5                       5 + length
//      +--------+-----------------------+-----------------------+
//      | flag 0 | length, big-endian    | one protobuf message  |
//      +--------+-----------------------+-----------------------+
//
// This is gRPC's message framing (grpc/doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message"), so the same
// bytes travel on plain TCP and inside an HTTP/2 stream. The length is only compared, never used
// to allocate: a reader's buffer grows with what was received.

import Bytes

/// What stands at the beginning of the received bytes.
public enum FrameScan: Hashable, Sendable {
    /// Not a whole frame yet; at least `missingBytes` more are needed.
    case partial(missingBytes: Int)
    /// A whole frame: the message is at `5..<5 + messageBytes`, the next frame begins behind it.
    case whole(messageBytes: Int)
}

/// The header in front of every message.
public enum Framing {
    /// Looks at the beginning of `received`. O(1).
    ///
    /// - Parameter messageBytesMax: the limit in force, lower before the sender has said who it is.
    /// - Throws: `flag` or `length`, as soon as the byte at fault is there, whatever follows it.
    @inlinable
    public static func scan(
        _ received: ByteView, messageBytesMax: Int = WireLimits.messageBytesMax
    ) throws(WireError) -> FrameScan {
        guard received.count > 0 else { return .partial(missingBytes: WireLimits.headerBytes) }
        guard received[0] == 0 else { throw .flag(found: received[0]) }
        guard received.count >= WireLimits.headerBytes else {
            return .partial(missingBytes: WireLimits.headerBytes - received.count)
        }
        let length = unsafe UInt32(
            bigEndian: received.buffer.loadUnaligned(fromByteOffset: 1, as: UInt32.self))
        guard length >= 1 && length <= messageBytesMax else {
            throw .length(found: length, limit: messageBytesMax)
        }
        let frameBytes = WireLimits.headerBytes + Int(length)
        guard received.count >= frameBytes else {
            return .partial(missingBytes: frameBytes - received.count)
        }
        return .whole(messageBytes: Int(length))
    }

    /// Writes the header of a message of `messageBytes` at the beginning of `room`.
    @inlinable
    static func writeHeader(messageBytes: Int, to room: UnsafeMutableRawBufferPointer) {
        unsafe room.storeBytes(of: 0, toByteOffset: 0, as: UInt8.self)
        unsafe room.storeBytes(of: UInt32(messageBytes).bigEndian, toByteOffset: 1, as: UInt32.self)
    }
}

/// Where frames are appended: a socket's outgoing buffer, or an array.
public protocol OutputBuffer {
    /// Makes room for at least `bytes` bytes at the end, lets `body` write from the beginning of that
    /// room, and keeps as many bytes as `body` returns.
    mutating func withReserved(bytes: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int)
}

extension [UInt8]: OutputBuffer {
    public mutating func withReserved(bytes: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        let start = count
        append(contentsOf: repeatElement(0, count: bytes))
        let written = unsafe withUnsafeMutableBytes { all in
            unsafe body(UnsafeMutableRawBufferPointer(rebasing: all[start...]))
        }
        precondition(written >= 0 && written <= bytes)
        removeLast(bytes - written)
    }
}
