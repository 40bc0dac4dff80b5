// A document read member by member says the same as one read whole, and refuses the same.

import StrictJSON
import Testing

struct JSONMembersTests {
    private func read(_ text: String) throws -> (root: JSONRoot, members: [JSONMember]) {
        var members: [JSONMember] = []
        let root = try JSONMember.read(Array(text.utf8)) { members.append($0) }
        return (root, members)
    }

    @Test("members come in order, with their line and place")
    func places() throws {
        let (root, members) = try read("{\n \"a\": 1,\n\n \"b\"\n: [true, {}],\"c\":null\n}\n")
        #expect(root == .object)
        #expect(members.map(\.step) == [.key("a"), .key("b"), .key("c")])
        #expect(members.map(\.line) == [2, 4, 5])
        #expect(members.map(\.node.value) == [1, [true, [:]], .null])
        #expect(members.map(\.node.path.description) == ["a", "b", "c"])
        let (array, elements) = try read("[ \"x\" ,\n2]")
        #expect(array == .array)
        #expect(elements.map(\.step) == [.index(0), .index(1)])
        #expect(elements.map(\.line) == [1, 2])
        #expect(try read("{}").members.isEmpty && read(" [ ] ").members.isEmpty)
    }

    @Test("what is not a document is refused at the place where reading it whole is refused, at every cut")
    func sameErrors() throws {
        let whole = "{\"a\":{\"b\":[1,-2.5e3,\"\\u00e9\"]},\"c\":[],\"d\":\"x\"}"
        let broken = [
            "{\"a\":1,\"a\":2}", "{\"a\":1} x", "{\"a\" 1}", "{\"a\":1,}", "{a:1}", "[1,]", "[1 2]",
            "{\"a\":01}",
            "\u{feff}{}", "", "{\"a\":{\"b\":1,\"b\":2}}", "{\"a\":NaN}",
            "[\(String(repeating: "[", count: 40))",
        ]
        for text in broken
            + (0..<whole.utf8.count).map({ String(decoding: whole.utf8.prefix($0), as: UTF8.self) })
        {
            let expected = #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
            let found = #expect(throws: JSONError.self) { try read(text) }
            guard case .syntax(let line, let column, let offset, let path, _)? = expected,
                case .syntax(let foundLine, let foundColumn, let foundOffset, let foundPath, _)? = found
            else {
                Issue.record("\(text): \(String(describing: found))")
                continue
            }
            #expect((line, column, offset) == (foundLine, foundColumn, foundOffset), "\(text)")
            // The key whose value breaks is already named when members are read.
            #expect(foundPath.description.hasPrefix(path.steps.isEmpty ? "" : path.description), "\(text)")
        }
    }

    @Test("a root that has no members, and a document that is too long, are refused")
    func roots() throws {
        for text in ["1", "\"a\"", "null"] { #expect(throws: JSONError.self) { try read(text) } }
        #expect(throws: JSONError.tooLong(bytes: 2, bytesMax: 1)) {
            try JSONMember.read([0x5b, 0x5d], bytesMax: 1) { _ in }
        }
    }
}
