// Files of rules on the command line: YAML keeps the text of its numbers, and what is written is read back.

import Pricing
import StrictJSON
import Testing

@testable import tollgate

@Suite("Files of rules")
struct RuleSourceTests {
    private func problem(_ yaml: String) -> String {
        do throws(CommandFailure) {
            _ = try RuleSource.value(yaml: yaml, "rules.yaml")
            return "nothing was wrong"
        } catch {
            return error.message
        }
    }

    @Test("numbers stay the text that they were written as, and what YAML would guess at stays a word")
    func numbers() throws {
        let text = """
            a: 1.60
            b: 0.1000000000000000055511151231257827
            c: "1.60"
            d: yes
            e: 0x10
            f: .inf
            g: 1_000
            h: 2026-12-01
            i: ~
            j: true
            k: -1
            """
        let value = try RuleSource.value(yaml: text, "rules.yaml")
        let wanted: JSONValue = [
            "a": .number("1.60"), "b": .number("0.1000000000000000055511151231257827"), "c": "1.60",
            "d": "yes", "e": "0x10", "f": ".inf", "g": "1_000", "h": "2026-12-01", "i": .null, "j": true,
            "k": .number("-1"),
        ]
        #expect(value == wanted)
    }

    @Test("what is no file of rules is refused with its line")
    func refused() {
        #expect(problem("a: 1\na: 2").contains("a"))
        #expect(problem("a: 1\na: 2") != "nothing was wrong")
        #expect(problem("") == "rules.yaml is empty: there is no rule in it")
        #expect(problem("a: [1").contains("rules.yaml is not YAML"))
        #expect(problem("? [a, b]\n: 1").contains("a key is one word"))
        let deep = String(repeating: "[", count: 40) + String(repeating: "]", count: 40)
        #expect(problem("a: " + deep).contains("nested too deeply"))
        // A hundred aliases of a hundred aliases of a list.
        var bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        for (name, of) in [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d"), ("f", "e")] {
            bomb += "\(name): &\(name) [\(Array(repeating: "*\(of)", count: 10).joined(separator: ", "))]\n"
        }
        #expect(problem(bomb).contains("more than 100000 values"))
    }

    @Test("the rules as YAML are read back the same")
    func roundTrip() throws {
        var file = JSONValue.object(RuleBook.standard.file(at: Timestamp(microseconds: 0)))
        #expect(try RuleSource.value(yaml: RuleSource.yaml(file), "x") == file)
        file = [
            "empty": [], "none": [:], "odd key": ["a: b", "- c", "\"", "ä", "\n", "#"], "n": .null,
            "deep": [["x": [["y": 1], ["z": ["true", "1", ""]]]], [[1, 2], [true]]],
        ]
        #expect(try RuleSource.value(yaml: RuleSource.yaml(file), "x") == file)
    }
}
