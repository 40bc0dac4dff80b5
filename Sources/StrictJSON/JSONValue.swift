// JSON as it was written: numbers keep their digits, objects keep their order.
//
// Money must arrive exactly, and the usual parsers turn `0.1` into a binary fraction before anybody
// can look at it. Here a number stays text until the code that knows its unit reads it. An object
// refuses a repeated key: two readers that pick different ones would see two different requests.

/// One JSON value.
public enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    /// The number's own text, which follows the JSON grammar.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)

    /// A whole number.
    public static func integer(_ value: some BinaryInteger) -> JSONValue { .number(String(value)) }

    /// What it is, for messages: `a string`.
    public var kind: StaticString {
        switch self {
        case .null: "null"
        case .bool: "true or false"
        case .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

/// The members of an object, in the order they were written, each key once.
public struct JSONObject: Sendable {
    /// One key and its value.
    public struct Member: Hashable, Sendable {
        public let key: String
        public var value: JSONValue

        public init(key: String, value: JSONValue) {
            self.key = key
            self.value = value
        }
    }

    public private(set) var members: [Member] = []
    /// Where each key is, kept only once there are many.
    private var positions: [String: Int] = [:]
    private static let scanMax = 12

    public init() {}

    public var count: Int { members.count }
    public var isEmpty: Bool { members.isEmpty }
    public var keys: [String] { members.map(\.key) }

    private func position(of key: String) -> Int? {
        if members.count > Self.scanMax { return positions[key] }
        return members.firstIndex { $0.key == key }
    }

    /// Appends a member; false, and nothing appended, if the key is there already. O(1).
    public mutating func append(_ key: String, _ value: JSONValue) -> Bool {
        guard position(of: key) == nil else { return false }
        members.append(Member(key: key, value: value))
        if members.count == Self.scanMax + 1 {
            for (index, member) in members.enumerated() { positions[member.key] = index }
        } else if members.count > Self.scanMax {
            positions[key] = members.count - 1
        }
        return true
    }

    /// The value of `key`. Setting one that is there replaces it in place; a new one goes last;
    /// setting nil changes nothing, so that an optional member can be written in one line.
    public subscript(key: String) -> JSONValue? {
        get { position(of: key).map { members[$0].value } }
        set {
            guard let newValue else { return }
            if let index = position(of: key) {
                members[index].value = newValue
            } else {
                _ = append(key, newValue)
            }
        }
    }
}

extension JSONObject: Hashable {
    public static func == (left: JSONObject, right: JSONObject) -> Bool { left.members == right.members }
    public func hash(into hasher: inout Hasher) { hasher.combine(members) }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        for (key, value) in elements { self[key] = value }
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }

    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        var object = JSONObject()
        for (key, value) in elements { object[key] = value }
        self = .object(object)
    }
}
