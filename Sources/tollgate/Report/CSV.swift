// Comma-separated values as RFC 4180 has them: quotes may hold commas, line breaks and doubled quotes.

/// One row and the line where it begins, counted from 1.
struct CSVRow: Hashable {
    var line: Int
    var fields: [String]
}

/// A line that cannot be used.
struct BadLine: Error, Hashable {
    var line: Int
    var problem: String

    var text: String { "line \(line): \(problem)" }
}

/// Walks a file row by row. Empty lines are skipped.
struct CSVReader {
    private let bytes: [UInt8]
    private var position = 0
    private var line = 1

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        // A byte order mark is not part of the first name.
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
    }

    /// The next row; nil at the end. After a bad line reading goes on behind it.
    mutating func next() throws(BadLine) -> CSVRow? {
        while let row = try row() {
            if row.fields != [""] { return row }
        }
        return nil
    }

    private mutating func row() throws(BadLine) -> CSVRow? {
        guard position < bytes.count else { return nil }
        var row = CSVRow(line: line, fields: [])
        while true {
            row.fields.append(try field(from: row.line))
            guard position < bytes.count else { return row }
            let byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: "\n") {
                line += 1
                return row
            }
        }
    }

    /// Reads up to the comma or line feed that ends the field, and stops before it.
    private mutating func field(from start: Int) throws(BadLine) -> String {
        var value: [UInt8] = []
        if position < bytes.count, bytes[position] == UInt8(ascii: "\"") {
            position += 1
            while true {
                guard position < bytes.count else {
                    throw BadLine(line: start, problem: "a quote is opened and never closed")
                }
                let byte = bytes[position]
                position += 1
                if byte == UInt8(ascii: "\n") { line += 1 }
                guard byte == UInt8(ascii: "\"") else {
                    value.append(byte)
                    continue
                }
                guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { break }
                value.append(byte)
                position += 1
            }
            if position < bytes.count, bytes[position] == UInt8(ascii: "\r") { position += 1 }
            guard position == bytes.count || isEnd(bytes[position]) else {
                skipLine()
                throw BadLine(
                    line: start, problem: "text follows a closing quote; double quotes inside a quoted field")
            }
        } else {
            while position < bytes.count, !isEnd(bytes[position]) {
                value.append(bytes[position])
                position += 1
            }
            if value.last == UInt8(ascii: "\r") { value.removeLast() }
        }
        guard let text = String(validating: value, as: UTF8.self) else {
            skipLine()
            throw BadLine(line: start, problem: "it is not UTF-8")
        }
        return text
    }

    private func isEnd(_ byte: UInt8) -> Bool { byte == UInt8(ascii: ",") || byte == UInt8(ascii: "\n") }

    private mutating func skipLine() {
        while position < bytes.count, bytes[position] != UInt8(ascii: "\n") { position += 1 }
        guard position < bytes.count else { return }
        position += 1
        line += 1
    }
}
