// The reader: one pass over bytes, recursive, bounded in size and depth.
//
// It accepts exactly RFC 8259: no comments, no trailing commas, no byte order mark, no control
// character in a string, no lone surrogate, only well-formed UTF-8, and nothing after the value.

/// Bounds of a document.
public enum JSONLimits {
    /// How deep arrays and objects may nest.
    public static let depthMax = 32
    /// The bytes of a document, unless the caller says otherwise.
    public static let bytesMax = 16 * 1024 * 1024
}

extension JSONValue {
    /// Reads `bytes` as one JSON value. O(bytes); about 100 MB/s.
    public init(parsing bytes: [UInt8], bytesMax: Int = JSONLimits.bytesMax) throws(JSONError) {
        guard bytes.count <= bytesMax else { throw .tooLong(bytes: bytes.count, bytesMax: bytesMax) }
        var parser = JSONParser(bytes: bytes)
        self = try parser.document()
    }

    /// Reads `text` as one JSON value.
    public init(parsing text: String, bytesMax: Int = JSONLimits.bytesMax) throws(JSONError) {
        try self.init(parsing: Array(text.utf8), bytesMax: bytesMax)
    }
}

struct JSONParser {
    let bytes: [UInt8]
    var offset = 0
    var path: [JSONPath.Step] = []
    /// No value begins beyond this offset.
    var valueOffsetMax = Int.max

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func document() throws(JSONError) -> JSONValue {
        try begin()
        let value = try self.value(depth: 0)
        try end()
        return value
    }

    /// Goes to the first byte of the root.
    mutating func begin() throws(JSONError) {
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) {
            throw failure("the text begins with a byte order mark; save it without")
        }
        skipSpace()
    }

    /// Refuses what follows the root.
    mutating func end() throws(JSONError) {
        skipSpace()
        guard offset == bytes.count else { throw failure("expected the end, found \(found())") }
    }

    mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        guard offset < bytes.count else { throw failure("the text ends where a value belongs") }
        if offset > valueOffsetMax { throw failure("this member of the document is too long") }
        switch bytes[offset] {
        case UInt8(ascii: "{"): return try object(depth: depth + 1)
        case UInt8(ascii: "["): return try array(depth: depth + 1)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try number())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: throw failure("expected a value, found \(found())")
        }
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSONValue {
        try enter(depth)
        var object = JSONObject()
        skipSpace()
        if take(UInt8(ascii: "}")) { return .object(object) }
        while true {
            guard offset < bytes.count, bytes[offset] == UInt8(ascii: "\"") else {
                throw failure("expected a key in quotes, found \(found())")
            }
            let keyOffset = offset
            let key = try string()
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw failure("expected ':' after a key, found \(found())") }
            skipSpace()
            path.append(.key(key))
            let value = try self.value(depth: depth)
            path.removeLast()
            guard object.append(key, value) else {
                throw failure("the key \(JSONValue.string(key).text) is there twice", at: keyOffset)
            }
            skipSpace()
            if take(UInt8(ascii: "}")) { return .object(object) }
            guard take(UInt8(ascii: ",")) else { throw failure("expected ',' or '}', found \(found())") }
            skipSpace()
        }
    }

    private mutating func array(depth: Int) throws(JSONError) -> JSONValue {
        try enter(depth)
        var elements: [JSONValue] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return .array(elements) }
        while true {
            path.append(.index(elements.count))
            elements.append(try value(depth: depth))
            path.removeLast()
            skipSpace()
            if take(UInt8(ascii: "]")) { return .array(elements) }
            guard take(UInt8(ascii: ",")) else { throw failure("expected ',' or ']', found \(found())") }
            skipSpace()
        }
    }

    mutating func enter(_ depth: Int) throws(JSONError) {
        guard depth <= JSONLimits.depthMax else {
            throw failure("arrays and objects nest deeper than \(JSONLimits.depthMax)")
        }
        offset += 1
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        let expected = Array(word.description.utf8)
        guard bytes[offset...].starts(with: expected) else {
            throw failure("expected a value, found \(found())")
        }
        offset += expected.count
        return value
    }

    private mutating func number() throws(JSONError) -> String {
        let start = offset
        _ = take(UInt8(ascii: "-"))
        if take(UInt8(ascii: "0")) {
            if let byte = peek(), isDigit(byte) { throw failure("a number has no leading zero") }
        } else {
            try digits()
        }
        if take(UInt8(ascii: ".")) { try digits() }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try digits()
        }
        return String(decoding: bytes[start..<offset], as: UTF8.self)
    }

    private mutating func digits() throws(JSONError) {
        let start = offset
        while let byte = peek(), isDigit(byte) { offset += 1 }
        guard offset > start else { throw failure("expected a digit, found \(found())") }
    }

    mutating func string() throws(JSONError) -> String {
        let start = offset + 1
        offset = start
        while offset < bytes.count {
            switch bytes[offset] {
            case UInt8(ascii: "\""):
                defer { offset += 1 }
                return try text(bytes[start..<offset], at: start)
            case UInt8(ascii: "\\"):
                return try escapedString(from: start)
            case 0..<0x20:
                throw failure("a control character in a string is written as \\u00.., found \(found())")
            default:
                offset += 1
            }
        }
        throw failure("a string that begins here does not end", at: start - 1)
    }

    /// The rest of a string with at least one escape; `offset` is at the first.
    private mutating func escapedString(from start: Int) throws(JSONError) -> String {
        var content = Array(bytes[start..<offset])
        while offset < bytes.count {
            switch bytes[offset] {
            case UInt8(ascii: "\""):
                offset += 1
                return try text(content[...], at: start)
            case UInt8(ascii: "\\"):
                content.append(contentsOf: String(try escape()).utf8)
            case 0..<0x20:
                throw failure("a control character in a string is written as \\u00.., found \(found())")
            default:
                content.append(bytes[offset])
                offset += 1
            }
        }
        throw failure("a string that begins here does not end", at: start - 1)
    }

    private mutating func escape() throws(JSONError) -> Unicode.Scalar {
        let start = offset
        offset += 1
        guard let byte = peek() else { throw failure("the text ends inside an escape") }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            let first = try hex4()
            if let scalar = Unicode.Scalar(first) { return scalar }
            guard first < 0xdc00, peek() == UInt8(ascii: "\\"), offset + 1 < bytes.count,
                bytes[offset + 1] == UInt8(ascii: "u")
            else { throw failure("half of a surrogate pair stands alone", at: start) }
            offset += 2
            let second = try hex4()
            guard second >= 0xdc00, second < 0xe000,
                let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
            else { throw failure("half of a surrogate pair stands alone", at: start) }
            return scalar
        default:
            throw failure("there is no such escape", at: start)
        }
    }

    private mutating func hex4() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek(), let digit = Self.hexDigit(byte) else {
                throw failure("expected four hexadecimal digits, found \(found())")
            }
            value = value << 4 | digit
            offset += 1
        }
        return value
    }

    private static func hexDigit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a") + 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A") + 10)
        default: nil
        }
    }

    private func text(_ content: ArraySlice<UInt8>, at start: Int) throws(JSONError) -> String {
        guard let text = String(validating: content, as: UTF8.self) else {
            throw failure("a string that begins here is not UTF-8", at: start - 1)
        }
        return text
    }

    func peek() -> UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    mutating func take(_ byte: UInt8) -> Bool {
        guard offset < bytes.count, bytes[offset] == byte else { return false }
        offset += 1
        return true
    }

    mutating func skipSpace() {
        while offset < bytes.count {
            switch bytes[offset] {
            case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\t"): offset += 1
            default: return
            }
        }
    }

    /// The byte at hand, for a message.
    func found() -> String {
        guard let byte = peek() else { return "the end of the text" }
        return byte > 0x20 && byte < 0x7f
            ? "'\(Character(Unicode.Scalar(byte)))'"
            : "byte 0x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }

    func failure(_ problem: String, at place: Int? = nil) -> JSONError {
        let place = place ?? offset
        let before = bytes[..<place]
        let lineStart = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        let line = before.count { $0 == UInt8(ascii: "\n") } + 1
        return .syntax(
            line: line, column: place - lineStart + 1, offset: place, path: JSONPath(path), problem: problem)
    }
}
