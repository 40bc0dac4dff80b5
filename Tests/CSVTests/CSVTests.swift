// Rows are read as RFC 4180 has them; slices of a file are whole rows, wherever the reads fall; what is written is
// read back, and no spreadsheet computes it.

import Testing

@testable import CSV

@Suite("CSV")
struct CSVTests {
    private static let file =
        "\u{feff}user_id,reason\r\na,\"one, \"\"two\"\"\nthree\"\r\n\r\nb,plain\n\"c\",\"\"\nd,last"

    private func rows(_ bytes: [UInt8], rowBytesMax: Int = .max) throws -> [CSVRow] {
        var reader = CSVReader(bytes, rowBytesMax: rowBytesMax)
        var rows: [CSVRow] = []
        while let row = try reader.next() { rows.append(row) }
        return rows
    }

    @Test(
        "a byte order mark, CRLF, quoted commas, quotes and line breaks are read, with the line of each row")
    func reading() throws {
        #expect(
            try rows(Array(Self.file.utf8)) == [
                CSVRow(line: 1, fields: ["user_id", "reason"]),
                CSVRow(line: 2, fields: ["a", "one, \"two\"\nthree"]),
                CSVRow(line: 5, fields: ["b", "plain"]), CSVRow(line: 6, fields: ["c", ""]),
                CSVRow(line: 7, fields: ["d", "last"]),
            ])
    }

    @Test("slices are whole rows and together the file, whatever the reads and sizes", arguments: 1...40)
    func slices(sliceBytes: Int) throws {
        let bytes = Array(Self.file.utf8)
        let whole = try rows(bytes)
        for readBytes in 1...bytes.count {
            var left = bytes[...]
            var slices = CSVSlices(sliceBytes: sliceBytes, rowBytesMax: 1_000) {
                defer { left = left.dropFirst(readBytes) }
                return Array(left.prefix(readBytes))
            }
            var together: [UInt8] = []
            var found: [CSVRow] = []
            while let slice = try slices.next() {
                together += slice.bytes
                for row in try rows(slice.bytes) {
                    found.append(CSVRow(line: row.line + slice.firstLine - 1, fields: row.fields))
                }
            }
            #expect(together == bytes, "read by \(readBytes)")
            #expect(found == whole, "read by \(readBytes)")
        }
    }

    @Test("a row of endless length is refused with its line, quoted or not, read whole or in slices")
    func longRows() throws {
        for quote in ["", "\""] {
            let text = "a,b\nc,d\n" + quote + String(repeating: "x", count: 5_000) + quote + ",e\nf,g\n"
            let error = #expect(throws: BadLine.self) { try rows(Array(text.utf8), rowBytesMax: 1_000) }
            #expect(error?.line == 3)
            var left = Array(text.utf8)[...]
            var slices = CSVSlices(sliceBytes: 16, rowBytesMax: 1_000) {
                defer { left = left.dropFirst(100) }
                return Array(left.prefix(100))
            }
            let cut = #expect(throws: BadLine.self) {
                while try slices.next() != nil {}
            }
            #expect(cut?.line == 3)
        }
    }

    @Test("a quote that is never closed, and bytes that are no text, are refused with the line")
    func malformed() throws {
        let open = #expect(throws: BadLine.self) { try rows(Array("a\n\"b\nc\n".utf8)) }
        #expect(open?.line == 2)
        let binary = #expect(throws: BadLine.self) { try rows(Array("a\n".utf8) + [0xff, 0xfe, 0x0a]) }
        #expect(binary?.line == 2)
        let trailing = #expect(throws: BadLine.self) { try rows(Array("a\nb\n\"c\"d\n".utf8)) }
        #expect(trailing?.line == 3)
    }

    @Test("what is written is read back, but for the apostrophe before a formula")
    func writing() throws {
        let plain = ["a", "", "b,c", "\"d\"", "e\nf", "g\r\nh", "1 = 1"]
        #expect(try rows(Array(CSVText.row(plain).utf8)).first?.fields == plain)
        for formula in ["=SUM(A1)", "+1", "-1", "@x", "\tx", "\rx"] {
            #expect(try rows(Array(CSVText.row([formula]).utf8)).first?.fields == ["'" + formula])
        }
    }
}
