// The reader accepts RFC 8259 and nothing else, keeps numbers as text, and says where it stopped.

import StrictJSON
import Testing

struct JSONParserTests {
    @Test(
        "what is JSON is read",
        arguments: [
            ("null", JSONValue.null), (" true ", true), ("false", false), ("0", .number("0")),
            ("-0.10e+05", .number("-0.10e+05")),
            ("123456789012345678901234567890.5", .number("123456789012345678901234567890.5")),
            ("\"\"", ""), ("\"a\\u00e9\\n\\/\\\"\\\\\"", "aé\n/\"\\"), ("\"\\ud83d\\ude00😀\"", "😀😀"),
            ("\"\\u0000\"", "\u{0}"), ("[]", []), ("[1,[2]]", [1, [2]]), ("{}", [:]),
            ("\t{\"b\":1,\r\n\"a\":[null]}", ["b": 1, "a": [.null]]), ("{\"\":\"\"}", ["": ""]),
        ] as [(String, JSONValue)])
    func accepted(text: String, value: JSONValue) throws {
        #expect(try JSONValue(parsing: text) == value)
    }

    @Test(
        "what is not JSON is refused, with line and column",
        arguments: [
            ("", 1, 1), (" ", 1, 2), ("nul", 1, 1), ("True", 1, 1), ("01", 1, 2), ("-", 1, 2), ("1.", 1, 3),
            (".5", 1, 1), ("+1", 1, 1), ("1e", 1, 3), ("0x1", 1, 2), ("NaN", 1, 1), ("Infinity", 1, 1),
            ("-Infinity", 1, 2), ("1 2", 1, 3), ("[1,]", 1, 4), ("[1 2]", 1, 4), ("[", 1, 2), ("{", 1, 2),
            ("{\"a\"}", 1, 5), ("{\"a\":}", 1, 6), ("{\"a\":1,}", 1, 8), ("{a:1}", 1, 2), ("{'a':1}", 1, 2),
            ("{\"a\":1,\n \"a\":2}", 2, 2), ("{\"a\":1,\"\\u0061\":2}", 1, 8), ("\"abc", 1, 1),
            ("\"a\nb\"", 1, 3), ("\"\\x\"", 1, 2), ("\"\\u12g4\"", 1, 6), ("\"\\ud800\"", 1, 2),
            ("\"\\ud800\\u0041\"", 1, 2), ("\"\\udc00\"", 1, 2), ("\"\\", 1, 3), ("[1]]", 1, 4),
            ("// no\n1", 1, 1), ("\u{feff}1", 1, 1), ("\n\n  x", 3, 3), ("1\u{0}", 1, 2), ("[\u{a0}1]", 1, 2),
        ])
    func refused(text: String, line: Int, column: Int) {
        do {
            let value = try JSONValue(parsing: text)
            Issue.record("read as \(value)")
        } catch {
            guard case .syntax(let foundLine, let foundColumn, let offset, _, let problem) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(foundLine == line && foundColumn == column, "\(problem)")
            #expect(offset <= text.utf8.count)
            #expect(!error.description.isEmpty)
        }
    }

    @Test(
        "bytes that are not UTF-8 are refused",
        arguments: [
            [0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xe2, 0x82], [0x80],
        ] as [[UInt8]])
    func encoding(bytes: [UInt8]) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22] + bytes + [0x22]) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0x5c, 0x6e] + bytes + [0x22]) }
    }

    @Test("nesting is bounded, and so is size")
    func bounds() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        _ = try JSONValue(parsing: nested(JSONLimits.depthMax))
        #expect(throws: JSONError.self) { try JSONValue(parsing: nested(JSONLimits.depthMax + 1)) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: String(repeating: "[", count: 100_000)) }
        _ = try JSONValue(parsing: "[1]", bytesMax: 3)
        #expect(throws: JSONError.tooLong(bytes: 4, bytesMax: 3)) {
            try JSONValue(parsing: "[12]", bytesMax: 3)
        }
    }

    @Test("an error inside names the path")
    func path() {
        let text = "{\"models\":[{},{\"rates\":{\"in put\":x}}]}"
        do {
            _ = try JSONValue(parsing: text)
            Issue.record("it was read")
        } catch {
            #expect(error.path?.description == "models[1].rates[\"in put\"]")
        }
    }

    @Test("every cut of a document is refused, and every changed byte is read or refused")
    func cutsAndChanges() throws {
        let document = Array("{\"a\":[1,-2.5e3,\"x\\u00e9\\n\"],\"b\":{\"c\":null,\"d\":true}}".utf8)
        for cut in 0..<document.count {
            #expect(throws: JSONError.self, "cut at \(cut)") {
                try JSONValue(parsing: Array(document[..<cut]))
            }
        }
        for index in document.indices {
            for byte in UInt8.min...UInt8.max {
                var changed = document
                changed[index] = byte
                guard case .success(let value) = Result(catching: { try JSONValue(parsing: changed) }) else {
                    continue
                }
                #expect(try JSONValue(parsing: value.bytes()) == value)
            }
        }
    }

    @Test("a large object finds its keys, keeps their order, and refuses a key that is there twice")
    func largeObject() throws {
        let keys = (0..<500).map { "key\($0)" }.reversed()
        let text = "{" + keys.map { "\"\($0)\":\($0.utf8.count)" }.joined(separator: ",") + "}"
        guard case .object(let object) = try JSONValue(parsing: text) else {
            Issue.record("not an object")
            return
        }
        #expect(object.keys == Array(keys))
        for key in keys { #expect(object[key] == .integer(key.utf8.count)) }
        #expect(object["key500"] == nil)
        #expect(throws: JSONError.self) { try JSONValue(parsing: text.dropLast() + ",\"key250\":1}") }
    }
}

extension JSONValue {
    fileprivate init(parsing text: Substring) throws(JSONError) { try self.init(parsing: String(text)) }
}
