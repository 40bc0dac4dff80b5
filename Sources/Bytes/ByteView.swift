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
