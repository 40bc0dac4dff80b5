// A request as an endpoint sees it: the bytes of its path, its parameters, its document.

import HTTPTypes
import Pricing
import StrictJSON

/// A request that has passed the edge.
struct AdminRequest: Sendable {
    let id: String
    let target: RequestTarget
    /// What stands for `{}` or `{...}` in the route's path, decoded.
    let place: [UInt8]
    let fields: HTTPFields
    let body: [UInt8]
    let bodyBytesMax: Int

    /// The body as a document.
    func document() throws(RequestProblem) -> JSONNode {
        try Self.reading { () throws(JSONError) in try JSONNode(parsing: body, bytesMax: bodyBytesMax) }
    }

    /// Runs `body` and says its errors in this module's words.
    static func reading<Value>(
        _ body: () throws(JSONError) -> Value
    ) throws(RequestProblem) -> Value {
        do throws(JSONError) {
            return try body()
        } catch {
            throw .json(error)
        }
    }

    /// Refuses parameters that are not among `known`.
    func expectParameters(_ known: [String] = []) throws(RequestProblem) {
        for parameter in target.query where !known.contains(parameter.name) {
            throw .unknownParameter(parameter.name, known: known)
        }
    }

    func parameter(_ name: String) -> String? { target.query.first { $0.name == name }?.value }

    /// A whole number within `range`, or nil where it is missing.
    func integer(_ name: String, in range: ClosedRange<Int>) throws(RequestProblem) -> Int? {
        guard let text = parameter(name) else { return nil }
        guard let value = Int(text), range.contains(value) else {
            throw .badParameter(
                name, found: text, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// An instant, or nil where it is missing.
    func instant(_ name: String) throws(RequestProblem) -> Timestamp? {
        guard let text = parameter(name) else { return nil }
        guard let instant = Timestamp(text: text) else {
            throw .badParameter(
                name, found: text, expected: "an instant such as 2025-01-31T00:00:00Z, or a date")
        }
        return instant
    }

    /// The account asked about, under whichever of its two names the request used.
    func account() throws(RequestProblem) -> NamedAccount? {
        let names = ["user_id", "account"].filter { parameter($0) != nil }
        guard let name = names.first, let text = parameter(name) else { return nil }
        guard names.count == 1 else {
            throw .badParameter(
                "account", found: parameter("account") ?? "", expected: "user_id or account, not both")
        }
        return NamedAccount(path: Array(text.utf8), name: name)
    }

    /// The key under which a repeated request does nothing twice; nil without one.
    func idempotencyKey() throws(RequestProblem) -> [UInt8]? {
        let values = fields[values: .idempotencyKey]
        guard let key = values.first else { return nil }
        guard values.count == 1 else { throw .badHeader("Idempotency-Key", problem: "it is there twice") }
        guard (1...AdminLimits.idempotencyKeyBytesMax).contains(key.utf8.count) else {
            throw .badHeader(
                "Idempotency-Key",
                problem:
                    "it has \(key.utf8.count) bytes, and may have 1 to \(AdminLimits.idempotencyKeyBytesMax)")
        }
        return Array(key.utf8)
    }
}

/// An account, and what the request calls it, for messages.
struct NamedAccount: Sendable {
    var path: [UInt8]
    var name: String
}

extension JSONNode {
    /// The account of a document, as `user_id` or as `account`.
    func account() throws(JSONError) -> NamedAccount {
        let user = try optional("user_id")
        let account = try optional("account")
        if user != nil, let account { throw account.invalid("give user_id or account, not both") }
        guard let node = user ?? account else { throw .missing(path: path, key: "user_id") }
        return NamedAccount(path: Array(try node.string().utf8), name: user == nil ? "account" : "user_id")
    }

    /// A string of at most `bytesMax` bytes, and at least one.
    func words(bytesMax: Int) throws(JSONError) -> String {
        let text = try string()
        guard (1...bytesMax).contains(text.utf8.count) else {
            throw invalid("it has \(text.utf8.count) bytes, and may have 1 to \(bytesMax)")
        }
        return text
    }
}
