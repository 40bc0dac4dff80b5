// A path is 1 to 8 segments of a small alphabet, at most 128 bytes, compared byte for byte.
// Method: every byte value in a segment, and each limit from both sides.

import Bytes
import Testing

@testable import Ledger

@Suite("account paths")
struct AccountPathTests {
    private func organisation(_ path: [UInt8]) throws(AccountPath.Fault) -> Int {
        try path.withView { (view) throws(AccountPath.Fault) in try AccountPath.organisationCount(of: view) }
    }

    private func fault(_ path: String) -> AccountPath.Fault? {
        do throws(AccountPath.Fault) {
            _ = try organisation(Array(path.utf8))
            return nil
        } catch {
            return error
        }
    }

    @Test("a byte is allowed in a segment if and only if it is in the alphabet", arguments: 0...255)
    func everyByte(value: Int) throws {
        let byte = UInt8(value)
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@-"
        let path: [UInt8] = [UInt8(ascii: "a"), byte, UInt8(ascii: "b")]
        if alphabet.utf8.contains(byte) {
            #expect(try organisation(path) == 3)
        } else if byte == UInt8(ascii: "/") {
            #expect(try organisation(path) == 1)
        } else {
            #expect(throws: AccountPath.Fault.badByte(byte, atByte: 1)) { try organisation(path) }
        }
    }

    @Test("the organisation is the first segment")
    func organisations() throws {
        for (path, count) in [("a", 1), ("acme", 4), ("acme/search", 4), ("a/b/c/d/e/f/g/h", 1)] {
            #expect(try organisation(Array(path.utf8)) == count)
        }
    }

    @Test("128 bytes and 8 segments are the limits")
    func limits() {
        #expect(fault(String(repeating: "x", count: 128)) == nil)
        #expect(fault(String(repeating: "x", count: 129)) == .tooLong(bytes: 129))
        #expect(fault("a/b/c/d/e/f/g/h") == nil)
        #expect(fault("a/b/c/d/e/f/g/h/i") == .tooDeep(segments: 9))
        #expect(fault("") == .empty)
    }

    @Test("a segment is never empty")
    func emptySegments() {
        #expect(fault("/") == .emptySegment(atByte: 0))
        #expect(fault("/a") == .emptySegment(atByte: 0))
        #expect(fault("a/") == .emptySegment(atByte: 2))
        #expect(fault("a//b") == .emptySegment(atByte: 2))
    }

    @Test("letters that look or compare alike elsewhere are refused or different here")
    func unicode() {
        #expect(fault("caf\u{e9}") == .badByte(0xc3, atByte: 3))
        #expect(fault("cafe\u{301}") == .badByte(0xcc, atByte: 4))
        let maker = KeyMaker(secret: Fixture.secret)
        let (upper, lower) = ("Acme".withView { maker.path($0) }, "acme".withView { maker.path($0) })
        #expect(upper.account != lower.account)
    }

    @Test("the parent is the path without its last segment")
    func parents() {
        func parent(_ path: String) -> String? { path.withView { AccountPath.parent(of: $0)?.text } }
        #expect(parent("a/bc/d") == "a/bc")
        #expect(parent("a/bc") == "a")
        #expect(parent("a") == nil)
        let hashes = "a/bc/d".withView { KeyMaker(secret: Fixture.secret).path($0) }
        let above = "a/bc".withView { KeyMaker(secret: Fixture.secret).path($0) }
        #expect(hashes.ancestors == [above.account] + above.ancestors)
        #expect(hashes.organisation == above.organisation)
    }

    @Test("every fault says what was found")
    func descriptions() {
        let faults: [AccountPath.Fault] = [
            .empty, .tooLong(bytes: 129), .tooDeep(segments: 9), .emptySegment(atByte: 3),
            .badByte(0xc3, atByte: 5),
        ]
        #expect(Set(faults.map(\.description)).count == faults.count)
        #expect(AccountPath.Fault.badByte(0xc3, atByte: 5).description.contains("0xc3"))
    }
}
