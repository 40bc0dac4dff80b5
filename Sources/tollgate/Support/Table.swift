// Columns that stand under each other. Numbers to the right, words to the left.

struct Table {
    enum Alignment { case left, right }

    private var columns: [(title: String, alignment: Alignment)]
    private var rows: [[String]] = []
    private var ruled: Set<Int> = []
    private let indent: String

    init(_ columns: [(String, Alignment)], indent: String = "  ") {
        self.columns = columns.map { ($0.0, $0.1) }
        self.indent = indent
    }

    mutating func add(_ cells: [String]) {
        precondition(cells.count == columns.count, "a row has a cell for each column")
        rows.append(cells)
    }

    /// Draws a line before the next row: what follows is a sum.
    mutating func rule() { ruled.insert(rows.count) }

    var isEmpty: Bool { rows.isEmpty }

    var text: String {
        let widths = columns.indices.map { column in
            max(columns[column].title.count, rows.map { $0[column].count }.max() ?? 0)
        }
        var lines: [String] = []
        if columns.contains(where: { !$0.title.isEmpty }) { lines.append(line(columns.map(\.title), widths)) }
        let ruler = line(widths.map { String(repeating: "─", count: $0) }, widths)
        for (index, row) in rows.enumerated() {
            if ruled.contains(index) { lines.append(ruler) }
            lines.append(line(row, widths))
        }
        return lines.joined(separator: "\n")
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        var text = indent
        for (index, cell) in cells.enumerated() {
            let padding = String(repeating: " ", count: widths[index] - cell.count)
            text += columns[index].alignment == .right ? padding + cell : cell + padding
            if index + 1 < cells.count { text += "   " }
        }
        while text.last == " " { text.removeLast() }
        return text
    }
}

/// Names on the left, values on the right, for a few facts.
func facts(_ pairs: [(String, String)], indent: String = "  ") -> String {
    var table = Table([("", .left), ("", .left)], indent: indent)
    for pair in pairs { table.add([pair.0, pair.1]) }
    return table.text
}
