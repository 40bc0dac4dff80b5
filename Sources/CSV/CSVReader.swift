// Comma-separated values as RFC 4180 has them: quotes may hold commas, line breaks and doubled quotes.

/// One row and the line where it begins, counted from 1.
public struct CSVRow: Hashable, Sendable {
    public var line: Int
    public var fields: [String]
}

/// A line that cannot be used.
public struct BadLine: Error, Hashable, Sendable {
    public var line: Int
    public var problem: String

    public init(line: Int, problem: String) {
        self.line = line
        self.problem = problem
    }

    public var text: String { "line \(line): \(problem)" }
}

/// Walks a file row by row. Empty lines are skipped.
public struct CSVReader: Sendable {
    private let bytes: [UInt8]
    private let rowBytesMax: Int
    private var position = 0
    private var rowStart = 0
    private var line = 1

    /// - Parameter rowBytesMax: a row of more bytes is refused with the line where it begins.
    public init(_ bytes: [UInt8], rowBytesMax: Int = .max) {
        self.bytes = bytes
        self.rowBytesMax = rowBytesMax
        // A byte order mark is not part of the first name.
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
    }

    /// The next row; nil at the end. After a bad line reading goes on behind it.
    public mutating func next() throws(BadLine) -> CSVRow? {
        while let row = try row() {
            if row.fields != [""] { return row }
        }
        return nil
    }

    private mutating func row() throws(BadLine) -> CSVRow? {
        guard position < bytes.count else { return nil }
        var row = CSVRow(line: line, fields: [])
        rowStart = position
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
                try checkLength(from: start)
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
                try checkLength(from: start)
            }
            if value.last == UInt8(ascii: "\r") { value.removeLast() }
        }
        guard let text = String(validating: value, as: UTF8.self) else {
            skipLine()
            throw BadLine(line: start, problem: "it is not UTF-8")
        }
        return text
    }

    private mutating func checkLength(from start: Int) throws(BadLine) {
        guard position - rowStart > rowBytesMax else { return }
        skipLine()
        throw BadLine(line: start, problem: "it has more than \(rowBytesMax) bytes")
    }

    private func isEnd(_ byte: UInt8) -> Bool { byte == UInt8(ascii: ",") || byte == UInt8(ascii: "\n") }

    private mutating func skipLine() {
        while position < bytes.count, bytes[position] != UInt8(ascii: "\n") { position += 1 }
        guard position < bytes.count else { return }
        position += 1
        line += 1
    }
}
