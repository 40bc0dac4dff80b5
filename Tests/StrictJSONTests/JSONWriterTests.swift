// The writer gives the same bytes for the same value, and only bytes that the reader takes.

import StrictJSON
import Testing

struct JSONWriterTests {
    @Test("compact text has no space, pretty text two spaces a level")
    func layouts() {
        let value: JSONValue = ["b": [1, "x"], "a": ["c": .null], "e": [], "f": [:]]
        #expect(value.text == #"{"b":[1,"x"],"a":{"c":null},"e":[],"f":{}}"#)
        #expect(
            value.text(.pretty) == """
                {
                  "b": [
                    1,
                    "x"
                  ],
                  "a": {
                    "c": null
                  },
                  "e": [],
                  "f": {}
                }
                """)
    }

    @Test("characters that could end a string, a line or a script are escaped")
    func escapes() throws {
        let text = "\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}é😀\u{2028}\u{2029}"
        let written = JSONValue.string(text).text
        #expect(written == #""\"\\/\b\f\n\r\t\u0000\u001f\u007fé😀\u2028\u2029""#)
        #expect(try JSONValue(parsing: written) == .string(text))
    }

    @Test("numbers keep their digits")
    func numbers() throws {
        let text = "[0.10,1E5,-0,100000000000000000000000000000000000001]"
        #expect(try JSONValue(parsing: text).text == text)
        #expect(JSONValue.integer(Int64.min).text == "-9223372036854775808")
    }

    @Test("what is written is read back the same", arguments: [JSONLayout.compact, .pretty])
    func roundTrip(layout: JSONLayout) throws {
        let value: JSONValue = [
            "nothing": .null, "flag": true, "text": "a\u{0}b", "list": [1, [2, [3, []]]], "object": ["": ""],
        ]
        #expect(try JSONValue(parsing: value.bytes(layout)) == value)
    }

    @Test("setting a member replaces it in place or appends it; setting nil changes nothing")
    func members() {
        var object: JSONObject = ["a": 1, "b": 2]
        object["a"] = 3
        object["c"] = 4
        object["b"] = nil
        #expect(JSONValue.object(object).text == #"{"a":3,"b":2,"c":4}"#)
        let refused = object.append("a", 5)
        #expect(!refused)
        #expect(object.count == 3)
    }
}

struct JSONNodeTests {
    private let node: JSONNode

    init() throws {
        node = JSONNode(
            try JSONValue(
                parsing: #"{"n":12,"big":99,"f":1.5,"s":"x","b":true,"z":null,"list":["a",1],"o":{"k":{}}}"#))
    }

    @Test("values are read as what they are")
    func reading() throws {
        #expect(try node.field("n").integer(in: 0...20) == 12)
        #expect(try node.field("s").string() == "x")
        #expect(try node.field("b").bool())
        #expect(try node.optional("z") == nil)
        #expect(try node.optional("missing") == nil)
        #expect(try node.field("list").array().count == 2)
        #expect(try node.field("o").members().map(\.key) == ["k"])
        #expect(try node.field("z").isNull)
    }

    @Test("an error says where, what was expected and what was found")
    func errors() {
        func message(_ body: () throws(JSONError) -> Void) -> String {
            do throws(JSONError) {
                try body()
                return "no error"
            } catch {
                return error.description
            }
        }
        #expect(
            message { () throws(JSONError) in _ = try node.field("big").integer(in: 0...20) }
                == "big: expected a whole number from 0 to 20, found the number 99")
        #expect(
            message { () throws(JSONError) in _ = try node.field("f").integer(in: 0...20) }
                == "f: expected a whole number from 0 to 20, found the number 1.5")
        #expect(
            message { () throws(JSONError) in _ = try node.field("list").strings() }
                == "list[1]: expected a string, found the number 1")
        #expect(
            message { () throws(JSONError) in _ = try node.field("o").field("k").field("x") }
                == "o.k: `x` is missing")
        #expect(message { () throws(JSONError) in _ = try node.field("y") } == "`y` is missing")
        #expect(
            message { () throws(JSONError) in try node.field("o").expectOnly(["a", "b"]) }
                == "o: `k` is not known here; known are a, b")
        #expect(
            message { () throws(JSONError) in _ = try node.string() }
                == "the document: expected a string, found an object")
        #expect(
            message { () throws(JSONError) in _ = try node.field("s").bool() }
                == "s: expected true or false, found \"x\"")
    }
}
