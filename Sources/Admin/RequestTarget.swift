// The target of a request: its path and its query, read strictly.
//
// Only the plain form `/path?query` is taken. Percent signs must be followed by two hexadecimal digits,
// a parameter may be there once, and a plus sign is a plus sign: times with an offset have one.

/// A path and its parameters.
struct RequestTarget: Hashable, Sendable {
    /// The path as it was sent, before percent-decoding.
    let path: String
    let query: [Parameter]

    struct Parameter: Hashable, Sendable {
        var name: String
        var value: String
    }

    init(_ target: String) throws(RequestProblem) {
        guard target.utf8.first == UInt8(ascii: "/") else {
            throw .badTarget("it does not begin with '/'; send the path alone")
        }
        guard target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") }) else {
            throw .badTarget("it holds a byte that must be percent-encoded")
        }
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = String(parts[0])
        var query: [Parameter] = []
        for pair in parts.count > 1 ? parts[1].split(separator: "&") : [] {
            let halves = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = try Self.text(halves[0])
            let value = halves.count > 1 ? try Self.text(halves[1]) : ""
            guard !query.contains(where: { $0.name == name }) else { throw .parameterTwice(name) }
            query.append(Parameter(name: name, value: value))
        }
        self.query = query
    }

    /// What percent-encoding stands for, as bytes.
    static func bytes(_ encoded: some StringProtocol) throws(RequestProblem) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = Array(encoded.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst(), let low = rest.popFirst(), let value = hexadecimal(high, low)
            else {
                throw .badTarget("a '%' is not followed by two hexadecimal digits")
            }
            bytes.append(value)
        }
        return bytes
    }

    /// What percent-encoding stands for, as text.
    static func text(_ encoded: some StringProtocol) throws(RequestProblem) -> String {
        guard let text = String(validating: try bytes(encoded), as: UTF8.self) else {
            throw .badTarget("it is not UTF-8 once it is decoded")
        }
        return text
    }

    private static func hexadecimal(_ high: UInt8, _ low: UInt8) -> UInt8? {
        func digit(_ byte: UInt8) -> UInt8? {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
            default: nil
            }
        }
        guard let high = digit(high), let low = digit(low) else { return nil }
        return high << 4 | low
    }
}
