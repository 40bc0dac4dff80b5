// A CSV file that gives credit to many accounts.
//
//      user_id,amount,source,reason
//      user_001,500,promo_2025_q1,New Year promotion
//
// What is wrong with the file (its header, its quotes, a row with other columns or of endless length, bytes that are
// no text) refuses it as a whole, with the line. What is wrong with a row (no such account, an amount that is none)
// is that row's own. Text is text: what a spreadsheet would compute is kept as it stands.

import Bytes
import CSV
import Gateway
import Ledger
import Money
import Pricing
import StrictJSON

/// A row that was read.
struct BulkRow: Sendable {
    var line: Int
    var user: String
    var amountText: String
    var source: String
    var reason: String
}

/// Which file the rows are of, and where in it.
struct BulkSource: Sendable {
    /// Of the whole file.
    var digest: String
    /// The file's line of the first row behind the header, for a slice of it.
    var firstLine: Int?
    var actor = ""

    /// The key under which a row is given once, for ever.
    func key(_ row: BulkRow) -> [UInt8] { Array("csv:\(digest):\(row.line)".utf8) }
}

enum BulkFile {
    static let columns = ["user_id", "amount", "source", "reason"]

    /// Calls `body` with every row.
    ///
    /// - Throws: `.badFile` where the file cannot be read.
    static func forEach(
        _ bytes: [UInt8], firstLine: Int?, _ body: (BulkRow) throws(RequestProblem) -> Void
    ) throws(RequestProblem) {
        var reader = CSVReader(bytes, rowBytesMax: AdminLimits.csvRowBytesMax)
        // The header is a slice's first line, and stands before the line that the slice begins with.
        let shift = firstLine.map { $0 - 2 } ?? 0
        func next() throws(RequestProblem) -> CSVRow? {
            do throws(BadLine) {
                return try reader.next()
            } catch {
                throw .badFile(BadLine(line: error.line + shift, problem: error.problem))
            }
        }
        guard let header = try next() else {
            throw .badFile(
                BadLine(
                    line: 1, problem: "the file is empty; its first line is \(columns.joined(separator: ","))"
                ))
        }
        let places = try places(header)
        while let row = try next() {
            guard row.fields.count == header.fields.count else {
                throw .badFile(
                    BadLine(
                        line: row.line + shift,
                        problem: "it has \(row.fields.count) fields, the header names \(header.fields.count);"
                            + " a comma inside a field needs quotes around it, and a file that was cut ends like this"
                    ))
            }
            try body(
                BulkRow(
                    line: row.line + shift, user: row.fields[places.user],
                    amountText: row.fields[places.amount], source: row.fields[places.source],
                    reason: places.reason.map { row.fields[$0] } ?? ""))
        }
    }

    /// Where each column stands: any order, and nothing else beside them.
    private static func places(
        _ header: CSVRow
    ) throws(RequestProblem) -> (user: Int, amount: Int, source: Int, reason: Int?) {
        func bad(_ problem: String) -> RequestProblem {
            .badFile(
                BadLine(
                    line: header.line, problem: problem + "; the header is \(columns.joined(separator: ","))")
            )
        }
        for name in header.fields where !columns.contains(name) {
            throw bad("no column is called \(JSONValue.string(String(name.prefix(80))).text)")
        }
        guard Set(header.fields).count == header.fields.count else { throw bad("a column is named twice") }
        func place(_ name: String) -> Int? { header.fields.firstIndex(of: name) }
        guard let user = place("user_id"), let amount = place("amount"), let source = place("source") else {
            let missing = columns.prefix(3).filter { place($0) == nil }
            throw bad("there is no column \(missing.joined(separator: ", "))")
        }
        return (user, amount, source, place("reason"))
    }
}

/// Why a row gives nothing.
struct BulkRowProblem: Error {
    var code: String
    var param: String
    var message: String

    init(_ param: String, _ message: String) {
        code = Reason.invalidArgument.text
        self.param = param
        self.message = "\(param): \(message)"
    }

    init(_ error: AdministrationError) {
        let account = RequestProblem(error, account: "user_id").account
        code = account.code
        param = account.param ?? "user_id"
        message = account.message
    }
}

extension BulkRow {
    /// The amount, above zero.
    func amount() throws(BulkRowProblem) -> Nanocredits {
        let amount: Nanocredits
        do throws(MoneyError) {
            amount = try Nanocredits(text: amountText)
        } catch {
            throw BulkRowProblem("amount", "\(error)")
        }
        guard amount > .zero else { throw BulkRowProblem("amount", "it must be more than 0 credits") }
        return amount
    }

    /// What the ledger is asked for.
    func grant(_ file: BulkSource, now: Timestamp) throws(BulkRowProblem) -> BulkGrant {
        let amount = try amount()
        guard (1...AdminLimits.sourceBytesMax).contains(source.utf8.count) else {
            throw BulkRowProblem(
                "source", "it has \(source.utf8.count) bytes, and may have 1 to \(AdminLimits.sourceBytesMax)"
            )
        }
        guard reason.utf8.count <= AdminLimits.reasonBytesMax else {
            throw BulkRowProblem(
                "reason", "it has \(reason.utf8.count) bytes, and may have \(AdminLimits.reasonBytesMax)")
        }
        let kind = GrantDocument.kind(forSource: source)
        let place: JSONObject = ["file_sha256": .string(file.digest), "line": .integer(line)]
        var request = GrantRequest(
            kind: kind, amount: amount.count, expiresAt: GrantDocument.expiry(of: kind, now: now),
            source: Array(source.utf8), metadata: JSONValue.object(place).bytes(),
            idempotencyKey: file.key(self))
        request.reason = Array(reason.utf8)
        request.actor = Array(file.actor.utf8)
        return BulkGrant(path: Array(user.utf8), request: request)
    }
}
