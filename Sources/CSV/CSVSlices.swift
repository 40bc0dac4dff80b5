// A long file in slices of whole rows, so that it need never be in memory as a whole.
//
// A line feed ends a row where the quotes before it are even in number: inside a quoted field they are odd, and a
// doubled quote changes nothing.

/// Whole rows, as they stand in the file.
public struct CSVSlice: Hashable, Sendable {
    public var bytes: [UInt8]
    /// The line of the file that the slice begins with, counted from 1.
    public var firstLine: Int
}

/// Cuts what is read into slices.
public struct CSVSlices {
    private let read: () throws -> [UInt8]
    private let sliceBytes: Int
    private let rowBytesMax: Int
    private var buffer: [UInt8] = []
    private var scanned = 0
    private var rowEnd = 0
    private var isQuoted = false
    private var isAtEnd = false
    private var line = 1

    /// - Parameters:
    ///   - sliceBytes: a slice has at most about so many bytes, and at least one row.
    ///   - read: the next bytes of the file; none at its end.
    public init(sliceBytes: Int, rowBytesMax: Int, read: @escaping () throws -> [UInt8]) {
        precondition(sliceBytes > 0)
        self.read = read
        self.sliceBytes = sliceBytes
        self.rowBytesMax = rowBytesMax
    }

    /// The next slice, or nil at the end of the file.
    ///
    /// - Throws: `BadLine` for a row that is too long; what `read` throws.
    public mutating func next() throws -> CSVSlice? {
        while !isAtEnd, buffer.count < sliceBytes || rowEnd == 0 {
            let bytes = try read()
            if bytes.isEmpty { isAtEnd = true }
            buffer += bytes
            scan()
            if buffer.count - rowEnd > rowBytesMax {
                let linesBefore = buffer[..<rowEnd].count { $0 == UInt8(ascii: "\n") }
                throw BadLine(
                    line: line + linesBefore,
                    problem: "it has more than \(rowBytesMax) bytes"
                        + (isQuoted ? "; a quote may have been opened and never closed" : ""))
            }
        }
        // The last row need not end with a line feed; a quote that is open is for the reader to refuse.
        let end = isAtEnd ? buffer.count : rowEnd
        guard end > 0 else { return nil }
        let slice = CSVSlice(bytes: Array(buffer[..<end]), firstLine: line)
        line += slice.bytes.count { $0 == UInt8(ascii: "\n") }
        buffer.removeFirst(end)
        scanned -= end
        rowEnd = 0
        return slice
    }

    private mutating func scan() {
        while scanned < buffer.count {
            switch buffer[scanned] {
            case UInt8(ascii: "\""): isQuoted.toggle()
            case UInt8(ascii: "\n") where !isQuoted: rowEnd = scanned + 1
            default: break
            }
            scanned += 1
        }
    }
}

/// Writing a field so that it is read back as it was.
public enum CSVText {
    /// The field, quoted where it must be. What a spreadsheet would take for a formula gets an apostrophe before
    /// it: it is shown as text, and never computed.
    public static func field(_ text: String) -> String {
        var text = text
        if let first = text.utf8.first, formulaStarts.contains(first) { text = "'" + text }
        let mustQuote = text.utf8.contains { byte in
            byte == UInt8(ascii: ",") || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\n")
                || byte == UInt8(ascii: "\r")
        }
        return mustQuote ? "\"" + text.replacing("\"", with: "\"\"") + "\"" : text
    }

    private static let formulaStarts: Set<UInt8> = [
        UInt8(ascii: "="), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "@"), UInt8(ascii: "\t"),
        UInt8(ascii: "\r"),
    ]

    /// A row with its line feed.
    public static func row(_ fields: [String]) -> String {
        fields.map(field).joined(separator: ",") + "\n"
    }
}
