// Bytes that somebody else owns: how ids, names and content pass through the hot path uncopied.
//
// An id is bytes, never a `String`: two strings can be equal and yet have different bytes, and money
// must not be merged by Unicode. A view is valid as long as the buffer below it is (a read from a
// socket, the arena a message was decoded into, a block of the journal); whoever keeps the bytes
// longer copies them with `Array(view)`.

#if canImport(Glibc)
    import Glibc
#endif

/// A borrowed run of bytes, compared byte for byte.
///
/// The view does not keep its buffer alive: it must not outlive the call it was handed to.
@safe
public struct ByteView: Hashable, @unchecked Sendable {
    @usableFromInline let base: UnsafePointer<UInt8>?
    public let count: Int

    /// No bytes.
    @inlinable
    public init() {
        unsafe base = nil
        count = 0
    }

    /// Views `count` bytes at `base`.
    @inlinable
    public init(_ base: UnsafePointer<UInt8>?, count: Int) {
        unsafe self.base = base
        self.count = count
    }

    /// Views all bytes of `buffer`.
    @inlinable
    public init(_ buffer: UnsafeRawBufferPointer) {
        unsafe self.init(buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), count: buffer.count)
    }

    /// The bytes as a raw buffer, for reading within the view's life.
    @inlinable
    public var buffer: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: base, count: count)
    }

    @inlinable public var isEmpty: Bool { count == 0 }

    /// The byte at `index`; stops the process outside `0..<count`.
    @inlinable
    public subscript(index: Int) -> UInt8 {
        precondition(index >= 0 && index < count)
        return unsafe base.unsafelyUnwrapped[index]
    }

    /// The bytes in `range`; stops the process outside `0...count`.
    @inlinable
    public subscript(range: Range<Int>) -> ByteView {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        return unsafe ByteView(base.map { unsafe $0 + range.lowerBound }, count: range.count)
    }

    @inlinable
    public static func == (left: ByteView, right: ByteView) -> Bool {
        guard left.count == right.count else { return false }
        guard left.count > 0 else { return true }
        return unsafe memcmp(left.base.unsafelyUnwrapped, right.base.unsafelyUnwrapped, left.count) == 0
    }

    public func hash(into hasher: inout Hasher) {
        unsafe hasher.combine(bytes: buffer)
    }

    /// Eight bytes from `offset` on as a little-endian word; stops the process where they are not there.
    @inlinable
    public func word(at offset: Int) -> UInt64 {
        precondition(offset >= 0 && offset + 8 <= count)
        return unsafe UInt64(littleEndian: buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// The last `count % 8` bytes as the low ones of a word, little-endian; the others are zero.
    @inlinable @inline(__always)
    public var tailWord: UInt64 {
        let bytes = unsafe buffer
        let rest = count & 7
        if rest == 0 { return 0 }
        if count > 8 {
            // The last eight bytes, shifted so that only the rest remains.
            let last = unsafe bytes.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self)
            return UInt64(littleEndian: last) &>> UInt64(8 * (8 - rest))
        }
        if rest >= 4 {
            // Two loads that overlap: where they do, they agree.
            let low = unsafe bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self)
            let high = unsafe bytes.loadUnaligned(fromByteOffset: rest - 4, as: UInt32.self)
            return UInt64(UInt32(littleEndian: low)) | UInt64(UInt32(littleEndian: high))
                &<< UInt64(8 * (rest - 4))
        }
        let middle = rest / 2
        return unsafe UInt64(bytes[0]) | UInt64(bytes[middle]) &<< UInt64(8 * middle)
            | UInt64(bytes[rest - 1]) &<< UInt64(8 * (rest - 1))
    }

    /// The first index of `byte`, or nil.
    @inlinable
    public func firstIndex(of byte: UInt8) -> Int? {
        for index in 0..<count where unsafe base.unsafelyUnwrapped[index] == byte { return index }
        return nil
    }

    /// The bytes as text; bytes that are not UTF-8 become U+FFFD. For messages, never for keys.
    public var text: String { unsafe String(decoding: buffer, as: UTF8.self) }
}

extension Array where Element == UInt8 {
    /// A copy that outlives the view.
    @inlinable
    public init(_ view: ByteView) { unsafe self.init(view.buffer) }

    /// Lends the bytes as a view for the length of `body`.
    @inlinable
    public func withView<Result, Failure: Error>(
        _ body: (ByteView) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try unsafe withUnsafeBytesTyped { (buffer) throws(Failure) in try body(unsafe ByteView(buffer)) }
    }

    @inlinable
    func withUnsafeBytesTyped<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try unsafe withUnsafeBufferPointer { (buffer) throws(Failure) in
            try unsafe body(UnsafeRawBufferPointer(buffer))
        }
    }
}

extension String {
    /// Lends the UTF-8 bytes as a view for the length of `body`.
    @inlinable
    public func withView<Result, Failure: Error>(
        _ body: (ByteView) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try Array(utf8).withView(body)
    }
}
