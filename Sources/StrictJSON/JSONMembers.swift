// A large document, one member of its root at a time.
//
// A list of thousands of entries as one value takes some twenty times the memory of its text. Whoever
// turns each entry into something smaller needs only one of them at once, and wants to know on which line
// it stands. The grammar is the parser's own, repeated keys and what follows the root included.

/// A member of a document's root: of an object with its key, of an array with its index.
public struct JSONMember: Sendable {
    public let step: JSONPath.Step
    /// The line on which it begins, from 1.
    public let line: Int
    /// The value, with its place in the document.
    public let node: JSONNode
}

/// What the root of a document is.
public enum JSONRoot: Hashable, Sendable {
    case object
    case array
}

extension JSONMember {
    /// Hands each member of the root of `bytes` to `body`, in order.
    ///
    /// O(bytes) time; memory for one member and the keys of the root. Members before an error have been
    /// handed out already, so `body` keeps what it makes until this returns.
    ///
    /// - Parameter memberBytesMax: how long a member may be: it is the one that takes memory.
    /// - Returns: what the root is.
    /// - Throws: `JSONError` as the parser does; where the root is neither object nor array, too.
    public static func read(
        _ bytes: [UInt8], bytesMax: Int = JSONLimits.bytesMax, memberBytesMax: Int = JSONLimits.bytesMax,
        _ body: (JSONMember) -> Void
    ) throws(JSONError) -> JSONRoot {
        guard bytes.count <= bytesMax else { throw .tooLong(bytes: bytes.count, bytesMax: bytesMax) }
        var parser = JSONParser(bytes: bytes)
        try parser.begin()
        let root: JSONRoot
        switch parser.peek() {
        case UInt8(ascii: "{"): root = .object
        case UInt8(ascii: "["): root = .array
        default: throw parser.failure("expected an object or an array, found \(parser.found())")
        }
        try parser.enter(1)
        try parser.members(of: root, memberBytesMax: memberBytesMax, body)
        try parser.end()
        return root
    }
}

extension JSONParser {
    /// The members after the opening bracket, and the closing one.
    fileprivate mutating func members(
        of root: JSONRoot, memberBytesMax: Int, _ body: (JSONMember) -> Void
    ) throws(JSONError) {
        let closing = root == .object ? UInt8(ascii: "}") : UInt8(ascii: "]")
        var keys: Set<String> = []
        var lines = LineCounter()
        skipSpace()
        if take(closing) { return }
        var index = 0
        while true {
            let start = offset
            let step: JSONPath.Step
            switch root {
            case .object:
                guard peek() == UInt8(ascii: "\"") else {
                    throw failure("expected a key in quotes, found \(found())")
                }
                let key = try string()
                guard keys.insert(key).inserted else {
                    throw failure("the key \(JSONValue.string(key).text) is there twice", at: start)
                }
                skipSpace()
                guard take(UInt8(ascii: ":")) else {
                    throw failure("expected ':' after a key, found \(found())")
                }
                skipSpace()
                step = .key(key)
            case .array:
                step = .index(index)
            }
            path = [step]
            valueOffsetMax = start + memberBytesMax
            let value = try self.value(depth: 1)
            path = []
            body(
                JSONMember(
                    step: step, line: lines.line(at: start, in: bytes),
                    node: JSONNode(value, path: JSONPath([step]))))
            index += 1
            skipSpace()
            if take(closing) { return }
            guard take(UInt8(ascii: ",")) else {
                throw failure(
                    root == .object
                        ? "expected ',' or '}', found \(found())" : "expected ',' or ']', found \(found())")
            }
            skipSpace()
        }
    }
}

/// Counts lines on the way through a text, each byte once.
private struct LineCounter {
    private var offset = 0
    private var line = 1

    mutating func line(at place: Int, in bytes: [UInt8]) -> Int {
        line += bytes[offset..<place].count { $0 == UInt8(ascii: "\n") }
        offset = place
        return line
    }
}
