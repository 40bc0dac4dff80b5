// The clauses by which genai-prices finds a model, as names and patterns.
//
//      equals X         the name X            starts_with X    X*
//      ends_with X      *X                    contains X       *X*
//      or [...]         each of them          and [starts_with A, ends_with B]    A*B
//
// A regular expression, and what else `and` joins, has no pattern here. Where several models fit,
// genai-prices takes the first of its list and this catalogue the pattern with the most literal bytes.

import StrictJSON

struct GenAIPricesMatch {
    private(set) var names: [String] = []
    private(set) var patterns: [String] = []
    /// Clauses that could not be taken over, in words.
    private(set) var left: [String] = []

    init(_ clause: JSONValue) { read(clause) }

    private mutating func read(_ clause: JSONValue) {
        guard case .object(let object) = clause, object.count == 1, let member = object.members.first else {
            left.append("\(clause.text.prefix(60)) is not a clause")
            return
        }
        switch (member.key, member.value) {
        case ("or", .array(let clauses)): for clause in clauses { read(clause) }
        case ("and", .array(let clauses)):
            guard let pattern = Self.ends(clauses) else {
                left.append("\(clause.text.prefix(120)) cannot be said as a pattern")
                return
            }
            patterns.append(pattern)
        case ("equals", .string(let text)) where !text.contains("*"): names.append(text)
        case ("starts_with", .string(let text)) where Self.isLiteral(text): patterns.append(text + "*")
        case ("ends_with", .string(let text)) where Self.isLiteral(text): patterns.append("*" + text)
        case ("contains", .string(let text)) where Self.isLiteral(text): patterns.append("*" + text + "*")
        default: left.append("\(clause.text.prefix(120)) cannot be said as a pattern")
        }
    }

    private static func isLiteral(_ text: String) -> Bool { !text.isEmpty && !text.contains("*") }

    /// `A*B` for a beginning and an end.
    ///
    /// A name in which the two share bytes fits both clauses and not the pattern. Such a name is shorter
    /// than the two together; where one can exist, there is no pattern.
    private static func ends(_ clauses: [JSONValue]) -> String? {
        var start: String?
        var end: String?
        for case .object(let object) in clauses {
            if case .string(let text)? = object["starts_with"], object.count == 1, start == nil {
                start = text
            }
            if case .string(let text)? = object["ends_with"], object.count == 1, end == nil { end = text }
        }
        guard clauses.count == 2, let start, let end, isLiteral(start), isLiteral(end) else { return nil }
        let (head, tail) = (Array(start.asciiLowercased.utf8), Array(end.asciiLowercased.utf8))
        for shared in 1...min(head.count, tail.count) where head.suffix(shared) == tail.prefix(shared) {
            return nil
        }
        return "\(start)*\(end)"
    }
}
