// Reading the gateway's JSON answers: a member that is missing or of another kind names its place.

import Money
import StrictJSON

extension JSONNode {
    /// Reads an answer; what does not fit means that client and server are of different versions.
    static func reading<Value>(_ body: () throws(JSONError) -> Value) throws(CommandFailure) -> Value {
        do throws(JSONError) {
            return try body()
        } catch {
            throw .environment("the gateway's answer cannot be read: \(error); compare the versions of both")
        }
    }

    /// The member's text, be it a string or a number; `-` where it is missing or null.
    func shown(_ key: String) throws(JSONError) -> String {
        guard let node = try optional(key) else { return "-" }
        switch node.value {
        case .string(let text): return text
        case .number(let text): return text
        case .bool(let flag): return flag ? "yes" : "no"
        case .null, .array, .object: throw node.unexpected("a plain value")
        }
    }

    /// Exact credits of a member, grouped for reading.
    func credits(_ key: String) throws(JSONError) -> String {
        Figures.credits(try nanocredits(key))
    }

    /// A member in credits, as nanocredits.
    func nanocredits(_ key: String) throws(JSONError) -> Int64 {
        let node = try field(key)
        do throws(MoneyError) {
            return try Nanocredits(text: node.stringOrEmpty, signed: true).count
        } catch {
            throw node.unexpected("an amount of credits")
        }
    }

    private var stringOrEmpty: String {
        if case .string(let text) = value { text } else { "" }
    }

    /// A whole number, written as a number or, where it may be wide, as a string.
    func wide(_ key: String) throws(JSONError) -> Int128 {
        let node = try field(key)
        let text: String
        switch node.value {
        case .string(let found), .number(let found): text = found
        default: throw node.unexpected("a whole number")
        }
        guard let number = Int128(text) else { throw node.unexpected("a whole number") }
        return number
    }
}
