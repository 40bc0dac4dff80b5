// Credit from a CSV file: looked at first, then given by the digest of what was looked at.
//
//      POST /api/v1/credits/bulk/preview                     text/csv → rows, users, credits, cost, bad rows, digest
//      POST /api/v1/credits/bulk/confirm   {"digest"}        gives what the preview showed
//      POST /api/v1/credits/bulk?digest=                     text/csv once more, if it has this digest
//      POST /api/v1/credits/bulk?digest=&first_line=         a slice of a longer file, header first
//
// A row's key is the file's digest and its line, so that a file that is sent twice gives nothing twice.

import Bytes
import CSV
import Gateway
import Ledger
import Logging
import Money
import Pricing
import StrictJSON
import Synchronization

extension AdminDesk {
    /// `POST /api/v1/credits/bulk/preview`: what the file would do. Changes nothing.
    func previewBulk(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["digest", "first_line"])
        let (file, isWhole) = try bulkSource(request)
        var preview = BulkPreview()
        let now = gateway.now()
        try BulkFile.forEach(request.body, firstLine: file.firstLine) { (row) throws(RequestProblem) in
            do throws(BulkRowProblem) {
                let grant = try row.grant(file, now: now)
                if let fault = gateway.grantFault(grant.path) { throw BulkRowProblem(fault) }
                preview.add(grant)
            } catch {
                preview.add(row, error)
            }
        }
        if isWhole, preview.rows <= AdminLimits.bulkRowsMax {
            previews.keep(request.body, digest: file.digest)
        }
        var object = preview.json(creditValue: gateway.priceBook.creditValue)
        object["digest"] = .string(file.digest)
        object["confirm"] =
            preview.rows <= AdminLimits.bulkRowsMax
            ? "POST /api/v1/credits/bulk/confirm with {\"digest\"}"
            : .string(
                "more than \(AdminLimits.bulkRowsMax) rows: `tollgate credits import` sends them in slices")
        return Reply(object)
    }

    /// `POST /api/v1/credits/bulk/confirm`.
    func confirmBulk(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let root = try request.document()
        let (digest, note) = try AdminRequest.reading { () throws(JSONError) in
            try root.expectOnly(["digest", "by"])
            return (try root.field("digest").string(), try ActNote(root))
        }
        guard let bytes = previews.find(digest) else { throw .noPreview(digest) }
        return try await give(bytes, of: BulkSource(digest: digest, actor: note.actor), request)
    }

    /// `POST /api/v1/credits/bulk`: a file, or a slice of one.
    func applyBulk(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["digest", "first_line", "by"])
        guard let wanted = request.parameter("digest") else { throw .missingParameter("digest") }
        var (file, isWhole) = try bulkSource(request)
        if isWhole {
            guard file.digest == wanted else {
                throw .badParameter(
                    "digest", found: wanted,
                    expected: "the digest of this file, \(file.digest); look at its preview first")
            }
        }
        file.actor = request.parameter("by") ?? ""
        guard file.actor.utf8.count <= AdminLimits.actorBytesMax else {
            throw .badParameter(
                "by", found: file.actor, expected: "at most \(AdminLimits.actorBytesMax) bytes")
        }
        return try await give(request.body, of: file, request)
    }

    /// Which file the body is, or is a slice of.
    private func bulkSource(_ request: AdminRequest) throws(RequestProblem) -> (BulkSource, isWhole: Bool) {
        let firstLine = try request.integer("first_line", in: 2...Int(Int32.max))
        guard let firstLine else {
            return (BulkSource(digest: SHA256.hexadecimal(request.body)), true)
        }
        guard let digest = request.parameter("digest") else { throw .missingParameter("digest") }
        let isDigest = digest.utf8.count == 64 && Hexadecimal.bytes(digest) != nil
        guard isDigest else {
            throw .badParameter(
                "digest", found: digest,
                expected: "the SHA-256 of the whole file, 64 lower-case hexadecimal digits")
        }
        return (BulkSource(digest: digest, firstLine: firstLine), false)
    }

    private func give(
        _ bytes: [UInt8], of file: BulkSource, _ request: AdminRequest
    ) async throws(RequestProblem) -> Reply {
        let now = gateway.now()
        var results: [BulkResult] = []
        var grants: [BulkGrant] = []
        // The whole file is read before anything is given.
        try BulkFile.forEach(bytes, firstLine: file.firstLine) { (row) throws(RequestProblem) in
            guard results.count < AdminLimits.bulkRowsMax else {
                throw .badFile(
                    BadLine(
                        line: row.line,
                        problem:
                            "one upload gives \(AdminLimits.bulkRowsMax) rows; `tollgate credits import` sends"
                            + " longer files in slices"))
            }
            var result = BulkResult(row: row)
            do throws(BulkRowProblem) {
                grants.append(try row.grant(file, now: now))
            } catch {
                result.outcome = .refused(error)
            }
            results.append(result)
        }
        var outcomes = await gateway.allocate(grants)[...]
        for index in results.indices where results[index].isPending {
            guard let outcome = outcomes.popFirst() else { break }
            results[index].take(outcome)
        }
        let object = BulkResult.document(results, file)
        logger.info(
            "credit allocated from a file",
            metadata: [
                "request_id": "\(request.id)", "sha256": "\(file.digest)", "rows": "\(results.count)",
                "by": "\(file.actor)", "counts": "\(JSONValue.object(object.counts).text)",
            ])
        return Reply(object)
    }
}

extension JSONObject {
    fileprivate var counts: JSONObject {
        if case .object(let counts)? = self["counts"] { return counts }
        return [:]
    }
}

/// What a file would do, added up.
struct BulkPreview: Sendable {
    private(set) var rows = 0
    private var good = 0
    private var sum: Int128 = 0
    private var users: Set<Hash128> = []
    private var bad: [(row: BulkRow, problem: BulkRowProblem)] = []
    private var badCount = 0

    mutating func add(_ grant: BulkGrant) {
        note(grant.path)
        good += 1
        sum += Int128(grant.request.amount)
    }

    /// Counts a row, and its user in 16 bytes, however long the name.
    private mutating func note(_ user: [UInt8]) {
        rows += 1
        users.insert(user.withView { KeyedHasher.hash($0, key: HashKey(first: 0, second: 0)) })
    }

    mutating func add(_ row: BulkRow, _ problem: BulkRowProblem) {
        note(Array(row.user.utf8))
        badCount += 1
        if bad.count < AdminLimits.badRowsMax { bad.append((row, problem)) }
    }

    func json(creditValue: CreditValue) -> JSONObject {
        let picodollars = sum * Int128(creditValue.picodollarsPerCredit) / 1_000_000_000
        return [
            "rows": .integer(rows), "good_rows": .integer(good), "users": .integer(users.count),
            "credits": .wideCredits(sum),
            "cost_usd": .string(DecimalText.format(picodollars, places: Picodollars.places, decimalsMin: 2)),
            "bad_row_count": .integer(badCount),
            "bad_rows": .array(bad.map { .object($0.problem.json($0.row)) }),
        ]
    }
}

extension BulkRowProblem {
    func json(_ row: BulkRow) -> JSONObject {
        [
            "line": .integer(row.line), "user_id": .string(String(row.user.prefix(200))),
            "amount": .string(String(row.amountText.prefix(80))), "code": .string(code),
            "param": .string(param),
            "message": .string(message),
        ]
    }
}

/// What became of a row.
struct BulkResult: Sendable {
    enum Outcome {
        case pending
        case given(ActReceipt)
        case givenBefore
        case refused(BulkRowProblem)
    }

    var row: BulkRow
    var outcome = Outcome.pending

    init(row: BulkRow) { self.row = row }

    var isPending: Bool {
        if case .pending = outcome { return true }
        return false
    }

    mutating func take(_ outcome: BulkOutcome) {
        switch outcome {
        case .given(let receipt): self.outcome = .given(receipt)
        case .givenBefore: self.outcome = .givenBefore
        case .failed(let error): self.outcome = .refused(BulkRowProblem(error))
        }
    }

    private var json: JSONObject {
        switch outcome {
        case .refused(let problem):
            var object = problem.json(row)
            object["result"] = "refused"
            return object
        case .pending, .givenBefore:
            return [
                "line": .integer(row.line), "user_id": .string(row.user), "amount": .string(row.amountText),
                "result": "allocated_before",
            ]
        case .given(let receipt):
            return [
                "line": .integer(row.line), "user_id": .string(row.user), "amount": .string(row.amountText),
                "result": "allocated", "grant_id": .wide(receipt.sequence),
                "balance": .credits(receipt.balance),
            ]
        }
    }

    static func document(_ results: [BulkResult], _ file: BulkSource) -> JSONObject {
        var (given, before, refused) = (0, 0, 0)
        var sum: Int128 = 0
        for result in results {
            switch result.outcome {
            case .given(let receipt):
                given += 1
                sum += Int128(receipt.moved)
            case .pending, .givenBefore: before += 1
            case .refused: refused += 1
            }
        }
        return [
            "digest": .string(file.digest), "rows": .integer(results.count),
            "counts": [
                "allocated": .integer(given), "allocated_before": .integer(before),
                "refused": .integer(refused),
            ],
            "credits": .wideCredits(sum), "results": .array(results.map { .object($0.json) }),
        ]
    }
}

/// Files that were looked at and may be confirmed: the newest few, for a while, and until a restart.
final class BulkPreviews: Sendable {
    private struct Kept {
        var digest: String
        var bytes: [UInt8]
        var until: ContinuousClock.Instant
    }

    private let kept = Mutex<[Kept]>([])

    func keep(_ bytes: [UInt8], digest: String) {
        let until = ContinuousClock.now + AdminLimits.previewKept
        kept.withLock { kept in
            kept.removeAll { $0.digest == digest || $0.until < .now }
            kept.append(Kept(digest: digest, bytes: bytes, until: until))
            if kept.count > AdminLimits.previewsMax { kept.removeFirst() }
        }
    }

    func find(_ digest: String) -> [UInt8]? {
        kept.withLock { kept in
            kept.removeAll { $0.until < .now }
            return kept.first { $0.digest == digest }?.bytes
        }
    }
}
