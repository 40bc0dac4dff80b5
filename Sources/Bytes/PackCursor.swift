// Packed values written a word at a time into room that was reserved for all of them.

/// Writes packed values one after another into room that was reserved for all of them at once: no growth is
/// looked for in between, and the position stays in a register.
@safe
public struct PackCursor: ~Copyable {
    @usableFromInline var next: UnsafeMutablePointer<UInt8>
    @usableFromInline let end: UnsafeMutablePointer<UInt8>

    @inlinable @inline(__always)
    init(_ next: UnsafeMutablePointer<UInt8>, end: UnsafeMutablePointer<UInt8>) {
        unsafe self.next = next
        unsafe self.end = end
    }

    /// Stops the process before the room ends: its size was computed wrongly.
    @inlinable @inline(__always)
    func check(_ bytes: Int) { precondition(unsafe end - next >= bytes, "more than was reserved") }

    @inlinable @inline(__always)
    public mutating func append(byte: UInt8) {
        check(1)
        unsafe next.pointee = byte
        unsafe next += 1
    }

    /// Appends 1 to 10 bytes.
    @inlinable @inline(__always)
    public mutating func append(_ value: UInt64) {
        check(10)
        if PackedWord.range.contains(value) {
            let (bytes, count) = PackedWord.packed(value)
            unsafe UnsafeMutableRawPointer(next).storeBytes(of: bytes.littleEndian, as: UInt64.self)
            unsafe next += count
            return
        }
        var rest = value
        while rest >= 0x80 {
            unsafe next.pointee = UInt8(truncatingIfNeeded: rest) | 0x80
            unsafe next += 1
            rest &>>= 7
        }
        unsafe next.pointee = UInt8(truncatingIfNeeded: rest)
        unsafe next += 1
    }

    /// Appends a signed value, small magnitudes in few bytes.
    @inlinable @inline(__always)
    public mutating func append(_ value: Int64) {
        append(UInt64(bitPattern: (value &<< 1) ^ (value &>> 63)))
    }

    @inlinable @inline(__always)
    public mutating func append(_ value: UInt32) { append(UInt64(value)) }

    /// Appends eight bytes, little-endian.
    @inlinable @inline(__always)
    public mutating func append(fixed value: UInt64) {
        check(8)
        unsafe UnsafeMutableRawPointer(next).storeBytes(of: value.littleEndian, as: UInt64.self)
        unsafe next += 8
    }

    /// Appends the bytes alone.
    @inlinable @inline(__always)
    public mutating func append(bytes: ByteView) {
        check(bytes.count)
        guard let source = unsafe bytes.base else { return }
        unsafe next.update(from: source, count: bytes.count)
        unsafe next += bytes.count
    }

    /// Appends the bytes with the letters A to Z in lower case, eight at once.
    @inlinable
    public mutating func append(lowercased bytes: ByteView) {
        check(bytes.count)
        let source = unsafe bytes.buffer
        let room = unsafe UnsafeMutableRawPointer(next)
        func lower<Word: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(_: Word.Type, at offset: Int)
        {
            let word = unsafe UInt64(source.loadUnaligned(fromByteOffset: offset, as: Word.self))
            unsafe room.storeBytes(
                of: Word(truncatingIfNeeded: LetterCase.lower(word)), toByteOffset: offset, as: Word.self)
        }
        // The last word comes in whole, and some of it may have been written already.
        if source.count >= 8 {
            for offset in stride(from: 0, to: source.count - 8, by: 8) { lower(UInt64.self, at: offset) }
            lower(UInt64.self, at: source.count - 8)
        } else if source.count >= 4 {
            lower(UInt32.self, at: 0)
            lower(UInt32.self, at: source.count - 4)
        } else {
            for offset in 0..<source.count {
                let byte = unsafe source[offset]
                unsafe next[offset] = UInt8(truncatingIfNeeded: LetterCase.lower(UInt64(byte)))
            }
        }
        unsafe next += source.count
    }

    /// Appends the length and then the bytes; short ones, as names are, a word at a time.
    @inlinable @inline(__always)
    public mutating func append(prefixed bytes: ByteView) {
        let count = bytes.count
        guard count >= 8, count < 64 else {
            append(UInt64(count))
            append(bytes: bytes)
            return
        }
        check(count + 1)
        unsafe next.pointee = UInt8(truncatingIfNeeded: count)
        let source = unsafe bytes.buffer
        let room = unsafe UnsafeMutableRawPointer(next + 1)
        var offset = 0
        while offset < count - 8 {
            let word = unsafe source.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            unsafe room.storeBytes(of: word, toByteOffset: offset, as: UInt64.self)
            offset += 8
        }
        // The last eight come in whole, and some of them may have been written already.
        let last = unsafe source.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self)
        unsafe room.storeBytes(of: last, toByteOffset: count - 8, as: UInt64.self)
        unsafe next += count + 1
    }
}

/// ASCII letters, eight bytes at once; other bytes stay what they are.
@usableFromInline
enum LetterCase {
    @inlinable @inline(__always)
    static func lower(_ word: UInt64) -> UInt64 {
        let low = word & 0x7f7f_7f7f_7f7f_7f7f
        // The top bit of a byte: from A, and beyond Z. No sum leaves its byte.
        let fromA = low + 0x3f3f_3f3f_3f3f_3f3f
        let beyondZ = low + 0x2525_2525_2525_2525
        let isUpper = fromA & ~beyondZ & ~word & 0x8080_8080_8080_8080
        return word | isUpper >> 2
    }
}

extension BytePacker {
    /// Room that one packed number needs at the most.
    public static var numberBytesMax: Int { 10 }

    /// Lets `body` append at most `bytesMax` bytes.
    @inlinable @inline(__always)
    public mutating func append(bytesMax: Int, _ body: (inout PackCursor) -> Void) {
        reserve(bytesMax)
        var cursor = unsafe PackCursor(base + used, end: base + capacity)
        body(&cursor)
        used = unsafe cursor.next - base
    }
}

/// Packed numbers of up to eight bytes, all of their bytes at once.
@usableFromInline
enum PackedWord {
    /// The numbers that are written so: below, a byte at a time is quicker, and above they take nine bytes or ten.
    @inlinable static var range: Range<UInt64> { 1 &<< 21..<1 &<< 56 }
    /// The bit of each byte that says that more follow.
    @inlinable static var more: UInt64 { 0x8080_8080_8080_8080 }

    /// The bytes of a number of `range`, the first in the lowest place, and how many they are.
    @inlinable @inline(__always)
    static func packed(_ value: UInt64) -> (bytes: UInt64, count: Int) {
        var spread = value & 0x0fff_ffff | (value & 0xff_ffff_f000_0000) &<< 4
        spread = spread & 0x0000_3fff_0000_3fff | (spread & 0x0fff_c000_0fff_c000) &<< 2
        spread = spread & 0x007f_007f_007f_007f | (spread & 0x3f80_3f80_3f80_3f80) &<< 1
        let count = 8 - spread.leadingZeroBitCount / 8
        return (spread | more & (UInt64.max &>> UInt64(72 - 8 * count)), count)
    }

    /// The number at the front of eight bytes and how many of them it takes; nil if it takes more.
    @inlinable @inline(__always)
    static func unpacked(_ bytes: UInt64) -> (value: UInt64, count: Int)? {
        let ends = ~bytes & more
        guard ends != 0 else { return nil }
        let bits = ends.trailingZeroBitCount + 1
        var value = bytes & (UInt64.max &>> UInt64(64 - bits)) & ~more
        value = value & 0x007f_007f_007f_007f | (value & 0x7f00_7f00_7f00_7f00) &>> 1
        value = value & 0x0000_3fff_0000_3fff | (value & 0x3fff_0000_3fff_0000) &>> 2
        value = value & 0x0fff_ffff | (value & 0x0fff_ffff_0000_0000) &>> 4
        return (value, bits / 8)
    }
}
