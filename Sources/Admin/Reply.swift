// An answer before it is bytes on a connection, and how amounts look in it.

import HTTPTypes
import Money
import Pricing
import StrictJSON

/// An answer: a status, a body, and headers beyond those that every answer carries.
struct Reply: Sendable {
    var status = 200
    var contentType = "application/json; charset=utf-8"
    var body: [UInt8]
    var fields: [(HTTPField.Name, String)] = []
    /// Set before it leaves.
    var requestID = ""

    init(
        status: Int = 200, body: [UInt8], fields: [(HTTPField.Name, String)] = [], requestID: String = ""
    ) {
        self.status = status
        self.body = body
        self.fields = fields
        self.requestID = requestID
    }

    /// A document.
    init(_ object: JSONObject) { self.init(body: JSONValue.object(object).bytes()) }

    /// Text of another type.
    init(text: String, contentType: String) {
        self.init(body: Array(text.utf8))
        self.contentType = contentType
    }

    /// Status and headers, the length of the body among them.
    var head: HTTPResponse {
        var head = HTTPResponse(status: HTTPResponse.Status(code: status))
        head.headerFields[.contentType] = contentType
        head.headerFields[.contentLength] = String(body.count)
        head.headerFields[.xRequestID] = requestID
        for (name, value) in fields { head.headerFields[name] = value }
        return head
    }
}

/// The name of one request, in its answer, its error and the log.
enum RequestID {
    /// A new one: `req_` and 32 hexadecimal digits.
    static func make() -> String {
        let words = [UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max)]
        return "req_"
            + words.map { word in
                let digits = String(word, radix: 16)
                return String(repeating: "0", count: 16 - digits.utf8.count) + digits
            }.joined()
    }

    /// The client's own, if it is 1 to 128 letters, digits, or `. _ : -`; else a new one.
    static func from(_ header: String?) -> String {
        guard let header, (1...AdminLimits.requestIDBytesMax).contains(header.utf8.count),
            header.utf8.allSatisfy({ byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
                    UInt8(ascii: ":"), UInt8(ascii: "-"):
                    true
                default: false
                }
            })
        else { return make() }
        return header
    }
}

extension JSONValue {
    /// Nanocredits as credits, with two decimals at least: `"11000.50"`.
    static func credits(_ nanocredits: Int64) -> JSONValue {
        .string(Nanocredits(nanocredits).textWithCents)
    }

    /// The same of a sum.
    static func wideCredits(_ nanocredits: Int128) -> JSONValue {
        .string(DecimalText.format(nanocredits, places: Nanocredits.places, decimalsMin: 2))
    }

    /// Picodollars as dollars.
    static func dollars(_ picodollars: Int64) -> JSONValue { .string(Picodollars(picodollars).text) }

    /// An instant in RFC 3339.
    static func instant(_ microseconds: Int64) -> JSONValue {
        .string(Timestamp(microseconds: microseconds).text)
    }

    /// An instant, or null for the ends of time.
    static func bound(_ instant: Timestamp) -> JSONValue {
        instant == .distantPast || instant == .distantFuture ? .null : .string(instant.text)
    }

    /// The text, or null where it is empty.
    static func word(_ text: String) -> JSONValue { text.isEmpty ? .null : .string(text) }

    /// A number that may be beyond 2^53, as a string.
    static func wide(_ value: some BinaryInteger) -> JSONValue { .string(String(value)) }
}
