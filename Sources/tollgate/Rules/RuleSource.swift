// A file of rules on the command line: YAML or JSON, read into the same document.
//
// A scalar of YAML stays the text that it was written as: `1.60` comes as the number 1.60, never through
// floating point. What YAML would guess at (yes, 1_000, 0x10, .inf) stays a word, and is refused where a
// number or true belongs.

import StrictJSON
import Yams

enum RuleSource {
    /// The most that is read, and how many values a file may have.
    static let bytesMax = 1 << 20
    static let valuesMax = 100_000

    /// Reads a file, or standard input for `-`; a file whose text begins with `{` or `[` is JSON.
    static func read(_ path: String) throws(CommandFailure) -> JSONValue {
        let bytes = try TextFile.read(path, limit: bytesMax)
        let first = bytes.first { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }
        if path.hasSuffix(".json") || first == UInt8(ascii: "{") || first == UInt8(ascii: "[") {
            do throws(JSONError) {
                return try JSONValue(parsing: bytes)
            } catch {
                throw .negative("\(path): \(error)")
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .negative("\(path) is not UTF-8")
        }
        return try value(yaml: text, path)
    }

    /// The document that a YAML text says.
    static func value(yaml text: String, _ path: String) throws(CommandFailure) -> JSONValue {
        let root: Node?
        do {
            root = try Yams.compose(yaml: text)
        } catch {
            throw .negative("\(path) is not YAML: \(error)")
        }
        guard let root else { throw .negative("\(path) is empty: there is no rule in it") }
        var left = valuesMax
        return try value(root, path, depth: 0, left: &left)
    }

    private static func value(
        _ node: Node, _ path: String, depth: Int, left: inout Int
    ) throws(CommandFailure) -> JSONValue {
        let place = "\(path), line \(node.mark?.line ?? 1)"
        left -= 1
        guard left >= 0 else { throw .negative("\(path) has more than \(valuesMax) values") }
        guard depth < JSONLimits.depthMax else { throw .negative("\(place): it is nested too deeply") }
        switch node {
        case .scalar(let scalar): return value(scalar)
        case .sequence(let sequence):
            var elements: [JSONValue] = []
            for element in sequence {
                elements.append(try value(element, path, depth: depth + 1, left: &left))
            }
            return .array(elements)
        case .mapping(let mapping):
            var object = JSONObject()
            for (keyNode, member) in mapping {
                guard let key = keyNode.scalar?.string else {
                    throw .negative("\(place): a key is one word, not a list or a section")
                }
                let memberValue = try value(member, path, depth: depth + 1, left: &left)
                guard object.append(key, memberValue) else {
                    throw .negative(
                        "\(path), line \(keyNode.mark?.line ?? 1): the key `\(key)` is there twice")
                }
            }
            return .object(object)
        case .alias: throw .negative("\(place): an alias leads nowhere")
        }
    }

    private static func value(_ scalar: Node.Scalar) -> JSONValue {
        let text = scalar.string
        guard scalar.style == .plain || scalar.style == .any else { return .string(text) }
        switch text {
        case "true": return true
        case "false": return false
        case "null", "~", "": return .null
        default: break
        }
        do throws(JSONError) {
            if case .number(let number) = try JSONValue(parsing: text) { return .number(number) }
        } catch {
            // No number as JSON writes them, so a word.
        }
        return .string(text)
    }

    /// A document as YAML. Texts are quoted as in JSON, which YAML reads alike.
    static func yaml(_ value: JSONValue) -> String {
        var lines: [String] = []
        write(value, indent: "", lead: "", &lines)
        return lines.joined(separator: "\n")
    }

    private static func write(_ value: JSONValue, indent: String, lead: String, _ lines: inout [String]) {
        switch value {
        case .object(let object) where !object.isEmpty:
            for (index, member) in object.members.enumerated() {
                let head = (index == 0 ? lead : indent) + key(member.key) + ":"
                if isPlain(member.value) {
                    lines.append("\(head) \(member.value.text)")
                } else {
                    lines.append(head)
                    write(member.value, indent: indent + "  ", lead: indent + "  ", &lines)
                }
            }
        case .array(let elements) where !elements.isEmpty:
            for (index, element) in elements.enumerated() {
                write(element, indent: indent + "  ", lead: (index == 0 ? lead : indent) + "- ", &lines)
            }
        default: lines.append(lead + value.text)
        }
    }

    /// Whether a value stands on the line of its key.
    private static func isPlain(_ value: JSONValue) -> Bool {
        switch value {
        case .object(let object): object.isEmpty
        case .array(let elements):
            elements.allSatisfy { if case .string = $0 { true } else { false } }
        default: true
        }
    }

    private static func key(_ text: String) -> String {
        let isWord =
            text.utf8.first.map { (0x61...0x7a).contains($0) } == true
            && text.utf8.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5f }
            && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(text)
        return isWord ? text : JSONValue.string(text).text
    }
}
