// A value together with its place, so that whoever reads it can say where something is wrong.

/// A value in a document, and the path that leads to it.
public struct JSONNode: Sendable {
    public let value: JSONValue
    public let path: JSONPath

    public init(_ value: JSONValue, path: JSONPath = JSONPath()) {
        self.value = value
        self.path = path
    }

    /// Reads `bytes` as a document and stands at its root.
    public init(parsing bytes: [UInt8], bytesMax: Int = JSONLimits.bytesMax) throws(JSONError) {
        self.init(try JSONValue(parsing: bytes, bytesMax: bytesMax))
    }

    /// Whether this is `null`.
    public var isNull: Bool { value == .null }

    /// An error that says what belongs here instead of what is here.
    public func unexpected(_ expected: String) -> JSONError {
        let found =
            switch value {
            case .number(let text): "the number \(text.prefix(40))"
            case .string(let text): JSONValue.string(String(text.prefix(40))).text
            case .bool(let flag): flag ? "true" : "false"
            case .null, .array, .object: value.kind.description
            }
        return .unexpected(path: path, expected: expected, found: found)
    }

    /// An error about this value that is not about its kind.
    public func invalid(_ problem: String) -> JSONError { .invalid(path: path, problem: problem) }

    /// The text of a string.
    public func string() throws(JSONError) -> String {
        guard case .string(let text) = value else { throw unexpected("a string") }
        return text
    }

    /// True or false.
    public func bool() throws(JSONError) -> Bool {
        guard case .bool(let flag) = value else { throw unexpected("true or false") }
        return flag
    }

    /// A whole number within `range`, written without decimals or exponent.
    public func integer(in range: ClosedRange<Int64>) throws(JSONError) -> Int64 {
        guard case .number(let text) = value, let number = Int64(text), range.contains(number) else {
            throw unexpected("a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// The elements of an array, each with its place.
    public func array() throws(JSONError) -> [JSONNode] {
        guard case .array(let elements) = value else { throw unexpected("an array") }
        return elements.enumerated().map { JSONNode($1, path: path.appending(.index($0))) }
    }

    /// The elements of an array of strings.
    public func strings() throws(JSONError) -> [String] {
        var strings: [String] = []
        for element in try array() { strings.append(try element.string()) }
        return strings
    }

    /// The members of an object, without their places.
    public func object() throws(JSONError) -> JSONObject {
        guard case .object(let object) = value else { throw unexpected("an object") }
        return object
    }

    /// The members of an object, in order.
    public func members() throws(JSONError) -> [(key: String, node: JSONNode)] {
        try object().members.map { ($0.key, JSONNode($0.value, path: path.appending(.key($0.key)))) }
    }

    /// The member `key`, which must be there.
    public func field(_ key: String) throws(JSONError) -> JSONNode {
        guard let value = try object()[key] else { throw .missing(path: path, key: key) }
        return JSONNode(value, path: path.appending(.key(key)))
    }

    /// The member `key`, or nil if it is missing or null.
    public func optional(_ key: String) throws(JSONError) -> JSONNode? {
        guard let value = try object()[key], value != .null else { return nil }
        return JSONNode(value, path: path.appending(.key(key)))
    }

    /// Refuses an object with a member that is not among `keys`.
    public func expectOnly(_ keys: [String]) throws(JSONError) {
        for member in try object().members where !keys.contains(member.key) {
            throw .unknownKey(path: path, key: member.key, known: keys)
        }
    }
}
