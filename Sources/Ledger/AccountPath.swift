// The names of accounts: paths such as `acme/search/alice`.
//
// The first segment is the organisation; it picks the shard, so all the scopes of one charge sit
// under one lock. Paths are bytes: they are compared byte for byte, letter case included.

import Bytes

/// The grammar of account paths: 1 to 8 segments of `[A-Za-z0-9._:@-]` joined by `/`, at most 128
/// bytes in all. UUIDs and e-mail addresses fit.
public enum AccountPath {
    public static let bytesMax = 128
    public static let segmentsMax = 8

    /// Why bytes are not a path.
    public enum Fault: Error, Hashable, Sendable {
        case empty
        case tooLong(bytes: Int)
        case tooDeep(segments: Int)
        case emptySegment(atByte: Int)
        case badByte(UInt8, atByte: Int)
    }

    /// Checks the grammar and returns the length of the first segment. O(bytes).
    public static func organisationCount(of path: ByteView) throws(Fault) -> Int {
        guard path.count > 0 else { throw .empty }
        guard path.count <= bytesMax else { throw .tooLong(bytes: path.count) }
        var segments = 1
        var segmentStart = 0
        var organisation = path.count
        let bytes = unsafe path.buffer
        for index in 0..<path.count {
            let byte = unsafe bytes[index]
            if isAllowed(byte) { continue }
            guard byte == UInt8(ascii: "/") else { throw .badByte(byte, atByte: index) }
            guard index > segmentStart else { throw .emptySegment(atByte: index) }
            if segments == 1 { organisation = index }
            segments += 1
            segmentStart = index + 1
        }
        guard segmentStart < path.count else { throw .emptySegment(atByte: segmentStart) }
        guard segments <= segmentsMax else { throw .tooDeep(segments: segments) }
        return organisation
    }

    /// The length of the first segment of what may be a path, or why it is none. O(bytes of that segment).
    ///
    /// Only the length is checked: bytes outside the grammar are not the path of any account, so whoever does
    /// not find an account asks `organisationCount` for the reason.
    @inline(__always)
    static func firstSegmentCount(of path: ByteView) throws(Fault) -> Int {
        guard path.count > 0 else { throw .empty }
        guard path.count <= bytesMax else { throw .tooLong(bytes: path.count) }
        let bytes = unsafe path.buffer
        var index = 0
        while index < path.count, unsafe bytes[index] != UInt8(ascii: "/") { index += 1 }
        return index
    }

    /// The path one level up, or nil at the top.
    public static func parent(of path: ByteView) -> ByteView? {
        var index = path.count
        while index > 0 {
            index -= 1
            if path[index] == UInt8(ascii: "/") { return path[0..<index] }
        }
        return nil
    }

    @inline(__always)
    private static func isAllowed(_ byte: UInt8) -> Bool {
        // One bit per byte value: 0-9, A-Z, a-z and . _ : @ -
        let low: UInt64 = 0x07ff_6000_0000_0000
        let high: UInt64 = 0x07ff_fffe_87ff_ffff
        guard byte < 128 else { return false }
        return byte < 64 ? (low &>> UInt64(byte)) & 1 == 1 : (high &>> UInt64(byte - 64)) & 1 == 1
    }
}

extension AccountPath.Fault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .empty: "an account path has at least one segment"
        case .tooLong(let bytes): "an account path has at most \(AccountPath.bytesMax) bytes, found \(bytes)"
        case .tooDeep(let segments):
            "an account path has at most \(AccountPath.segmentsMax) segments, found \(segments)"
        case .emptySegment(let at): "the segment at byte \(at) is empty"
        case .badByte(let byte, let at):
            "byte \(at) is 0x\(String(byte, radix: 16)); allowed are letters, digits and . _ : @ - with / between"
        }
    }
}
