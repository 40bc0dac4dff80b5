// The writer: the same value always gives the same bytes.
//
// Members keep their order, numbers their text. Compact has no space at all; pretty has two spaces a
// level, one member a line, and empty arrays and objects on one line. Output is valid UTF-8, control
// characters escaped, and the characters that end a script or a line in JavaScript too.

/// How the writer lays out.
public enum JSONLayout: Hashable, Sendable {
    case compact
    case pretty
}

extension JSONValue {
    /// The value as bytes. O(size).
    public func bytes(_ layout: JSONLayout = .compact) -> [UInt8] {
        var writer = JSONWriter(isPretty: layout == .pretty)
        writer.write(self, level: 0)
        return writer.output
    }

    /// The value as text. O(size).
    public func text(_ layout: JSONLayout) -> String { String(decoding: bytes(layout), as: UTF8.self) }

    /// The value as compact text. O(size).
    public var text: String { text(.compact) }
}

private struct JSONWriter {
    let isPretty: Bool
    var output: [UInt8] = []

    init(isPretty: Bool) { self.isPretty = isPretty }

    mutating func write(_ value: JSONValue, level: Int) {
        switch value {
        case .null: output.append(contentsOf: "null".utf8)
        case .bool(let flag): output.append(contentsOf: (flag ? "true" : "false").utf8)
        case .number(let text): output.append(contentsOf: text.utf8)
        case .string(let text): write(text)
        case .array(let elements):
            output.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                separate(index, level: level + 1)
                write(element, level: level + 1)
            }
            if !elements.isEmpty { breakLine(level) }
            output.append(UInt8(ascii: "]"))
        case .object(let object):
            output.append(UInt8(ascii: "{"))
            for (index, member) in object.members.enumerated() {
                separate(index, level: level + 1)
                write(member.key)
                output.append(UInt8(ascii: ":"))
                if isPretty { output.append(UInt8(ascii: " ")) }
                write(member.value, level: level + 1)
            }
            if !object.isEmpty { breakLine(level) }
            output.append(UInt8(ascii: "}"))
        }
    }

    private mutating func separate(_ index: Int, level: Int) {
        if index > 0 { output.append(UInt8(ascii: ",")) }
        breakLine(level)
    }

    private mutating func breakLine(_ level: Int) {
        guard isPretty else { return }
        output.append(UInt8(ascii: "\n"))
        output.append(contentsOf: repeatElement(UInt8(ascii: " "), count: level * 2))
    }

    private mutating func write(_ text: String) {
        output.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": output.append(contentsOf: "\\\"".utf8)
            case "\\": output.append(contentsOf: "\\\\".utf8)
            case "\n": output.append(contentsOf: "\\n".utf8)
            case "\r": output.append(contentsOf: "\\r".utf8)
            case "\t": output.append(contentsOf: "\\t".utf8)
            case "\u{8}": output.append(contentsOf: "\\b".utf8)
            case "\u{c}": output.append(contentsOf: "\\f".utf8)
            case "\u{0}"..."\u{1f}", "\u{7f}", "\u{2028}", "\u{2029}":
                let digits = String(scalar.value, radix: 16)
                output.append(contentsOf: "\\u".utf8)
                output.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: 4 - digits.utf8.count))
                output.append(contentsOf: digits.utf8)
            default:
                output.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
            }
        }
        output.append(UInt8(ascii: "\""))
    }
}
