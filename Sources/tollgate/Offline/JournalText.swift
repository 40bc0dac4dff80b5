// A journal in words: segments, batches, entries.

import Bytes
import Journal
import Ledger
import Money
import Pricing
import StrictJSON

struct JournalText {
    private let keepsBatches: Bool
    private let entriesMax: Int
    private var segments: [(report: SegmentReport, batches: Int, entries: Int)] = []
    private var batches: [BatchReport] = []
    private var entries: [JSONObject] = []

    init(keepsBatches: Bool, entriesMax: Int) {
        self.keepsBatches = keepsBatches
        self.entriesMax = entriesMax
    }

    mutating func add(_ segment: SegmentReport) { segments.append((segment, 0, 0)) }

    mutating func add(_ batch: BatchReport, _ body: ByteView) {
        if batch.status == .whole {
            segments[segments.count - 1].batches += 1
            segments[segments.count - 1].entries += Int(batch.header.entryCount)
        }
        if keepsBatches { batches.append(batch) }
        guard entriesMax > 0, batch.status == .whole else { return }
        addEntries(batch, body)
        // Only the newest are kept, with room so that this happens seldom.
        if entries.count > 2 * entriesMax + 1_000 { entries.removeFirst(entries.count - entriesMax) }
    }

    private mutating func addEntries(_ batch: BatchReport, _ body: ByteView) {
        var lsn = batch.header.firstLSN
        do throws(EntryError) {
            var pieces = PieceReader(body)
            while let chunk = try pieces.next() {
                var reader = try ChunkReader(chunk)
                while true {
                    let sequence = reader.nextSequence
                    guard let (time, entry) = try reader.next() else { break }
                    var object: JSONObject = [
                        "lsn": .integer(lsn), "shard": .integer(reader.head.shard),
                        "sequence": .integer(sequence),
                        "time": .string(time.text),
                    ]
                    Self.describe(entry, in: &object)
                    entries.append(object)
                    lsn += 1
                }
            }
        } catch {
            entries.append(["lsn": .integer(lsn), "kind": "unreadable", "problem": .string("\(error)")])
        }
    }

    private static func describe(_ entry: Entry, in object: inout JSONObject) {
        switch entry {
        case .charged(let charge):
            object["kind"] = charge.state == .parked ? "parked" : "charged"
            describe(charge, in: &object)
        case .parkedSettled(let end):
            object["kind"] = .string("settled, parked as \(end.parkedSequence)")
            describe(end.charge, in: &object)
        case .parkedDiscarded(let end):
            object["kind"] = .string("discarded, parked as \(end.parkedSequence)")
            describe(end.charge, in: &object)
        case .granted(let grant):
            object["kind"] = .string(
                grant.refundOf.map { "refunded, charged as \($0.sequence)" }
                    ?? (grant.transferredFrom.isEmpty
                        ? "granted, \(grant.kind.name)" : "transferred from \(grant.transferredFrom.text)"))
            if let charge = grant.refundOf { object["request_id"] = .string(charge.requestID.text) }
            object["account"] = .string(grant.path.text)
            object["amount"] = .string(Nanocredits(grant.amount).text)
            object["balance_after"] = .string(Nanocredits(grant.balanceAfter).text)
        case .grantEnded(let ended):
            object["kind"] = ended.cause == .voided ? .string("voided, grant \(ended.grant)") : "expired"
            object["account"] = .string(ended.path.text)
            object["amount"] = .string(Nanocredits(-ended.amount).text)
            object["balance_after"] = .string(Nanocredits(ended.balanceAfter).text)
        case .deducted(let deducted):
            object["kind"] =
                switch deducted.cause {
                case .manual: "deducted by hand"
                case .forfeited: "forfeited"
                case .transferred: .string("transferred to \(deducted.other.text)")
                }
            object["account"] = .string(deducted.path.text)
            object["amount"] = .string(Nanocredits(-deducted.amount).text)
            object["balance_after"] = .string(Nanocredits(deducted.balanceAfter).text)
        case .noted(let noted):
            object["kind"] = .string("noted, \(Nanocredits(noted.amount).text) credits were not charged")
            object["account"] = .string(noted.path.text)
            if let charge = noted.charge { object["request_id"] = .string(charge.requestID.text) }
        case .accountOpened(let opened):
            object["kind"] = "account opened"
            object["account"] = .string(opened.path.text)
        case .accountChanged(let changed):
            object["kind"] = "account changed"
            object["account"] = .string(changed.path.text)
        case .accountMoved(let moved):
            object["kind"] = .string(
                "account moved from \(moved.from.text), with \(moved.count - 1) below it")
            object["account"] = .string(moved.to.text)
        case .held(let hold):
            object["kind"] = .string("held \(Nanocredits(hold.amount).text) until \(hold.expiresAt.text)")
            object["account"] = .string(hold.path.text)
            object["request_id"] = .string(hold.id.text)
        case .holdEnded(let hold):
            object["kind"] = .string("hold \(hold.state.name), \(Nanocredits(hold.amount).text) released")
            object["account"] = .string(hold.path.text)
            object["request_id"] = .string(hold.id.text)
        case .budgetCrossed(let crossed):
            object["kind"] = .string("budget \(crossed.name.text) exceeded")
            object["account"] = .string(crossed.path.text)
        case .budgetSet(let budget):
            object["kind"] = .string("budget \(budget.isRemoved ? "removed" : "set"), \(budget.name.text)")
            object["account"] = .string(budget.path.text)
        case .holdChanged(let hold):
            object["kind"] = .string("hold of \(Nanocredits(hold.amount).text) until \(hold.expiresAt.text)")
            object["account"] = .string(hold.path.text)
            object["request_id"] = .string(hold.id.text)
        case .holdOrphaned(let orphaned):
            describe(orphaned.charge, in: &object)
            object["kind"] = .string(
                "hold expired, \(Nanocredits(orphaned.charge.charge).text) charged by \(orphaned.policy.name)"
            )
        }
    }

    /// What was used, and what it came to.
    private static func describe(_ charge: ChargeEntry, in object: inout JSONObject) {
        do throws(UnpackingError) {
            let record = try RecordContent.read(charge.content)
            object["account"] = .string(record.account.text)
            object["request_id"] = .string(record.requestID.text)
            object["provider"] = .string(record.provider.text)
            object["model"] = .string(record.model.text)
        } catch {
            object["problem"] = .string("its record cannot be read at byte \(error.offset)")
        }
        object["amount"] = .string(Nanocredits(-charge.charge).text)
        object["balance_after"] = .string(Nanocredits(charge.balanceAfter).text)
    }

    // MARK: Showing

    func text(_ verdict: JournalVerdict) -> String {
        var table = Table([
            ("segment", .right), ("state", .left), ("epoch", .right), ("first LSN", .right),
            ("batches", .right),
            ("entries", .right), ("bytes", .right),
        ])
        for (report, batches, entries) in segments {
            table.add([
                "\(report.id)", report.kind.rawValue, report.header.map { "\($0.epoch)" } ?? "",
                report.header.map { "\($0.firstLSN)" } ?? "", "\(batches)", Figures.grouped(entries),
                Figures.bytes(report.bytes),
            ])
        }
        var parts = [table.text]
        if !batches.isEmpty { parts.append(batchTable) }
        if !entries.isEmpty { parts.append(entryTable) }
        var end =
            "\(Figures.grouped(verdict.batches)) batches with \(Figures.grouped(verdict.entries)) entries"
        if let first = verdict.firstLSN, let last = verdict.lastLSN { end += ", LSNs \(first) to \(last)" }
        if verdict.droppedBytes > 0 {
            end += "; a torn tail of \(verdict.droppedBytes) bytes nobody was told of"
        }
        parts.append(verdict.problem.map { "✗ a start would refuse this journal: \($0)" } ?? "✓ " + end)
        return parts.joined(separator: "\n\n")
    }

    private var batchTable: String {
        var table = Table([
            ("segment", .right), ("at byte", .right), ("batch", .right), ("state", .left),
            ("first LSN", .right),
            ("entries", .right), ("bytes", .right), ("built", .left),
        ])
        for batch in batches {
            table.add([
                "\(batch.position.segmentID)", "\(batch.position.offset)", "\(batch.header.sequence)",
                batch.status.rawValue, "\(batch.header.firstLSN)", "\(batch.header.entryCount)",
                "\(batch.header.bodyBytes)", Timestamp(microseconds: batch.header.wallMicroseconds).text,
            ])
        }
        return table.text
    }

    private var entryTable: String {
        var table = Table([
            ("LSN", .right), ("shard", .right), ("sequence", .right), ("time", .left), ("kind", .left),
            ("account", .left), ("amount", .right), ("balance after", .right), ("request", .left),
        ])
        func text(_ value: JSONValue?) -> String {
            switch value {
            case .string(let text), .number(let text): text
            default: ""
            }
        }
        for entry in entries.suffix(entriesMax) {
            table.add(
                [
                    "lsn", "shard", "sequence", "time", "kind", "account", "amount", "balance_after",
                    "request_id",
                ]
                .map { text(entry[$0]) })
        }
        return table.text
    }

    func json(_ verdict: JournalVerdict) -> JSONObject {
        var object: JSONObject = [
            "segments": .array(
                segments.map { report, batches, entries in
                    [
                        "id": .integer(report.id), "path": .string(report.path),
                        "state": .string(report.kind.rawValue), "bytes": .integer(report.bytes),
                        "epoch": report.header.map { .integer($0.epoch) } ?? .null,
                        "first_lsn": report.header.map { .integer($0.firstLSN) } ?? .null,
                        "batches": .integer(batches), "entries": .integer(entries),
                    ]
                }),
            "batches": .integer(verdict.batches), "entries": .integer(verdict.entries),
            "first_lsn": verdict.firstLSN.map { .integer($0) } ?? .null,
            "last_lsn": verdict.lastLSN.map { .integer($0) } ?? .null,
            "torn_tail_bytes": .integer(verdict.droppedBytes),
            "problem": verdict.problem.map { .string("\($0)") } ?? .null,
        ]
        if keepsBatches {
            object["batch_list"] = .array(
                batches.map { batch in
                    [
                        "segment": .integer(batch.position.segmentID),
                        "offset": .integer(batch.position.offset),
                        "sequence": .integer(batch.header.sequence), "state": .string(batch.status.rawValue),
                        "first_lsn": .integer(batch.header.firstLSN),
                        "entries": .integer(batch.header.entryCount),
                        "body_bytes": .integer(batch.header.bodyBytes),
                    ]
                })
        }
        if entriesMax > 0 { object["entry_list"] = .array(entries.suffix(entriesMax).map { .object($0) }) }
        return object
    }
}
