// Why JSON is refused: where, what was found, and what belongs there.

/// A place in a document: the keys and indices that lead to it.
public struct JSONPath: Hashable, Sendable {
    /// One step down.
    public enum Step: Hashable, Sendable {
        case key(String)
        case index(Int)
    }

    public var steps: [Step]

    public init(_ steps: [Step] = []) { self.steps = steps }

    public func appending(_ step: Step) -> JSONPath { JSONPath(steps + [step]) }
}

extension JSONPath: CustomStringConvertible {
    /// `models[3].rates.input`; a key that is not a plain word is quoted in brackets. The whole
    /// document is `the document`.
    public var description: String {
        if steps.isEmpty { return "the document" }
        var text = ""
        for step in steps {
            switch step {
            case .index(let index): text += "[\(index)]"
            case .key(let key) where Self.isPlain(key): text += text.isEmpty ? key : "." + key
            case .key(let key): text += "[\(JSONValue.string(key).text)]"
            }
        }
        return text
    }

    private static func isPlain(_ key: String) -> Bool {
        !key.isEmpty
            && key.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default:
                    false
                }
            }
    }
}

/// Why JSON cannot be read or is not what was asked for.
public enum JSONError: Error, Hashable, Sendable {
    /// More bytes than the reader was told to take.
    case tooLong(bytes: Int, bytesMax: Int)
    /// Not JSON. Line and column count from 1, the column in bytes; `offset` counts bytes from 0.
    case syntax(line: Int, column: Int, offset: Int, path: JSONPath, problem: String)
    /// JSON, but not what belongs at `path`.
    case unexpected(path: JSONPath, expected: String, found: String)
    /// A member that must be there is not.
    case missing(path: JSONPath, key: String)
    /// A member that nobody knows.
    case unknownKey(path: JSONPath, key: String, known: [String])
    /// The right kind of value, but not one that is allowed.
    case invalid(path: JSONPath, problem: String)
}

extension JSONError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .tooLong(let bytes, let bytesMax):
            "the document has \(bytes) bytes and may have \(bytesMax)"
        case .syntax(let line, let column, _, let path, let problem):
            path.steps.isEmpty
                ? "line \(line), column \(column): \(problem)"
                : "line \(line), column \(column), in \(path): \(problem)"
        case .unexpected(let path, let expected, let found):
            "\(path): expected \(expected), found \(found)"
        case .missing(let path, let key):
            path.steps.isEmpty ? "`\(key)` is missing" : "\(path): `\(key)` is missing"
        case .unknownKey(let path, let key, let known):
            "\(path): `\(key)` is not known here; "
                + (Nearest.match(key, among: known).map { "did you mean `\($0)`? " } ?? "")
                + "known are \(known.joined(separator: ", "))"
        case .invalid(let path, let problem):
            "\(path): \(problem)"
        }
    }

    /// Where in the document, if the error has a place.
    public var path: JSONPath? {
        switch self {
        case .tooLong: nil
        case .syntax(_, _, _, let path, _), .unexpected(let path, _, _), .missing(let path, _),
            .unknownKey(let path, _, _), .invalid(let path, _):
            path
        }
    }
}
