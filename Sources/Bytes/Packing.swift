// Variable-length integers, as in protobuf: seven bits a byte, least significant first, the top bit
// set on all but the last. Signed values are zig-zagged. Used in journal entries and checkpoint rows.

#if canImport(Glibc)
    import Glibc
#endif

/// Appends packed values to a buffer that grows and is reused.
///
/// The buffer is owned here and freed in `deinit`; `clear` keeps its memory.
@safe
public struct BytePacker: ~Copyable, @unchecked Sendable {
    @usableFromInline var base: UnsafeMutablePointer<UInt8>
    @usableFromInline var capacity: Int
    @usableFromInline var used: Int

    /// The bytes appended so far.
    @inlinable public var count: Int { used }

    /// Room for `capacity` bytes before the first growth.
    public init(capacity: Int = 4096) {
        precondition(capacity > 0)
        unsafe base = .allocate(capacity: capacity)
        self.capacity = capacity
        used = 0
    }

    deinit { unsafe base.deallocate() }

    /// The bytes appended so far; valid until the next append.
    @inlinable public var view: ByteView { unsafe ByteView(base, count: count) }

    @inlinable public mutating func clear() { used = 0 }

    /// Where the next byte will be written, for prefetching; it moves when there is no room left.
    @inlinable public var endAddress: UInt { unsafe UInt(bitPattern: base + used) }

    /// Where the first byte is, for prefetching; it moves likewise.
    @inlinable public var startAddress: UInt { unsafe UInt(bitPattern: base) }

    /// Drops everything after the first `newCount` bytes.
    public mutating func truncate(to newCount: Int) {
        precondition(newCount >= 0 && newCount <= count)
        used = newCount
    }

    @inlinable @inline(__always)
    mutating func reserve(_ more: Int) {
        if used + more > capacity { grow(to: used + more) }
    }

    @inline(never) @usableFromInline
    mutating func grow(to needed: Int) {
        let larger = Swift.max(capacity * 2, needed)
        let moved = UnsafeMutablePointer<UInt8>.allocate(capacity: larger)
        unsafe moved.update(from: base, count: count)
        unsafe base.deallocate()
        unsafe base = moved
        capacity = larger
    }

    @inlinable
    public mutating func append(byte: UInt8) {
        reserve(1)
        unsafe base[used] = byte
        used += 1
    }

    /// Appends 1 to 10 bytes.
    @inlinable
    public mutating func append(_ value: UInt64) {
        reserve(10)
        if value < 0x80 {
            unsafe base[used] = UInt8(truncatingIfNeeded: value)
            used += 1
            return
        }
        if PackedWord.range.contains(value) {
            let (bytes, count) = PackedWord.packed(value)
            unsafe UnsafeMutableRawPointer(base + used).storeBytes(of: bytes.littleEndian, as: UInt64.self)
            used += count
            return
        }
        var rest = value
        var end = used
        while rest >= 0x80 {
            unsafe base[end] = UInt8(truncatingIfNeeded: rest) | 0x80
            rest &>>= 7
            end += 1
        }
        unsafe base[end] = UInt8(truncatingIfNeeded: rest)
        used = end + 1
    }

    /// Appends a signed value, small magnitudes in few bytes.
    @inlinable
    public mutating func append(_ value: Int64) {
        append(UInt64(bitPattern: (value &<< 1) ^ (value &>> 63)))
    }

    /// Appends eight bytes, little-endian.
    @inlinable
    public mutating func append(fixed value: UInt64) {
        reserve(8)
        unsafe UnsafeMutableRawPointer(base + used)
            .storeBytes(of: value.littleEndian, as: UInt64.self)
        used += 8
    }

    /// Overwrites four bytes at `offset`, little-endian.
    public mutating func replace(at offset: Int, with value: UInt32) {
        precondition(offset >= 0 && offset + 4 <= count)
        unsafe UnsafeMutableRawPointer(base + offset)
            .storeBytes(of: value.littleEndian, as: UInt32.self)
    }

    /// Writes `length` as a packed number into the two bytes kept at `offset`; a length of 16 384 or
    /// more takes three or more, and what follows moves up.
    public mutating func setPackedLength(at offset: Int, length: Int) {
        precondition(offset >= 0 && offset + 2 + length == count)
        var bytes = length < 1 << 14 ? 2 : length < 1 << 21 ? 3 : 5
        if bytes > 2 {
            reserve(bytes - 2)
            unsafe memmove(base + offset + bytes, base + offset + 2, length)
            used += bytes - 2
        }
        var rest = length
        var at = offset
        while bytes > 1 {
            unsafe base[at] = UInt8(truncatingIfNeeded: rest & 0x7f) | 0x80
            rest >>= 7
            at += 1
            bytes -= 1
        }
        unsafe base[at] = UInt8(truncatingIfNeeded: rest)
    }

    /// Appends the bytes alone.
    @inlinable
    public mutating func append(bytes: ByteView) {
        reserve(bytes.count)
        if let source = unsafe bytes.base {
            unsafe (base + used).update(from: source, count: bytes.count)
        }
        used += bytes.count
    }

    /// Appends the length and then the bytes.
    @inlinable
    public mutating func append(prefixed bytes: ByteView) {
        append(UInt64(bytes.count))
        append(bytes: bytes)
    }
}

/// Why packed bytes cannot be read: they end early, or a number is longer than 64 bits.
public struct UnpackingError: Error, Hashable, Sendable {
    /// Where in the view the value at fault begins.
    public let offset: Int
    @inlinable
    public init(offset: Int) { self.offset = offset }
}

/// Reads what `BytePacker` wrote.
@safe
public struct ByteUnpacker: @unchecked Sendable {
    public let view: ByteView
    @usableFromInline var position: Int

    @inlinable
    public init(_ view: ByteView) {
        self.view = view
        position = 0
    }

    /// How many bytes have been read.
    @inlinable public var offset: Int { position }

    @inlinable public var isAtEnd: Bool { position == view.count }

    @inlinable
    public mutating func byte() throws(UnpackingError) -> UInt8 {
        guard position < view.count else { throw UnpackingError(offset: position) }
        let value = unsafe view.base.unsafelyUnwrapped[position]
        position += 1
        return value
    }

    @inlinable @inline(__always)
    public mutating func unsigned() throws(UnpackingError) -> UInt64 {
        if position < view.count {
            let first = unsafe view.base.unsafelyUnwrapped[position]
            if first < 0x80 {
                position += 1
                return UInt64(first)
            }
        }
        return try longUnsigned()
    }

    @inlinable
    mutating func longUnsigned() throws(UnpackingError) -> UInt64 {
        let start = position
        if view.count - position >= 8 {
            let word = unsafe UInt64(
                littleEndian: view.buffer.loadUnaligned(fromByteOffset: position, as: UInt64.self))
            if let (value, count) = PackedWord.unpacked(word) {
                position += count
                return value
            }
        }
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < view.count {
            let byte = unsafe view.base.unsafelyUnwrapped[position]
            position += 1
            if shift == 63 && byte > 1 { throw UnpackingError(offset: start) }
            value |= UInt64(byte & 0x7f) &<< shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw UnpackingError(offset: start)
    }

    @inlinable
    public mutating func signed() throws(UnpackingError) -> Int64 {
        let value = try unsigned()
        return Int64(bitPattern: value &>> 1) ^ -Int64(bitPattern: value & 1)
    }

    @inlinable
    public mutating func fixed() throws(UnpackingError) -> UInt64 {
        let bytes = try self.bytes(8)
        return unsafe UInt64(littleEndian: bytes.buffer.loadUnaligned(as: UInt64.self))
    }

    @inlinable
    public mutating func bytes(_ count: Int) throws(UnpackingError) -> ByteView {
        guard count >= 0, count <= view.count - position else { throw UnpackingError(offset: position) }
        defer { position += count }
        return view[position..<position + count]
    }

    @inlinable
    public mutating func prefixed() throws(UnpackingError) -> ByteView {
        let start = position
        let count = try unsigned()
        guard count <= UInt64(view.count - position) else { throw UnpackingError(offset: start) }
        return try bytes(Int(count))
    }
}
