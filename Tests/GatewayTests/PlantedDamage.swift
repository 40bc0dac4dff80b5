// Damage that no checksum shows: a directory is changed the way a bug or a hand would change it, and every checksum,
// hash and count over the change is made right again.

import Bytes
import Foundation
import GRDB
import Pricing
import StrictJSON
import Testing

@testable import Gateway
@testable import Journal
@testable import Ledger
@testable import Platform
@testable import Store

/// A data directory that no gateway uses, and a copy for each change.
struct Planted {
    let directory: TemporaryDirectory
    var data: String { directory.path + "/data" }

    init(_ directory: TemporaryDirectory) { self.directory = directory }

    func copy() throws -> Planted {
        let copy = try TemporaryDirectory()
        try FileManager.default.copyItem(atPath: data, toPath: copy.path + "/data")
        return Planted(copy)
    }

    func verify() throws -> VerificationReport { try OfflineDirectory(data).verify() }

    /// Every row of the history, oldest first.
    func rows() throws -> [TransactionRow] {
        let offline = try OfflineDirectory(data)
        var rows: [TransactionRow] = []
        while true {
            let page = try offline.history.rows(after: rows.last?.id ?? 0)
            if page.isEmpty { return rows }
            rows += page
        }
    }

    /// The LSNs that the journal keeps.
    func journalLSNs() throws -> ClosedRange<UInt64>? {
        let verdict = try JournalInspector(directory: data + "/wal", fileSystem: LinuxFileSystem()).verify()
        guard let first = verdict.firstLSN, let last = verdict.lastLSN else { return nil }
        return first...last
    }

    /// The entries of the journal's last segment.
    func lastSegment() throws -> [AuditedEntry] {
        let inspector = JournalInspector(directory: data + "/wal", fileSystem: LinuxFileSystem())
        let segment = try #require(try inspector.segments().last { $0.kind == .begun })
        var facts = OfflineDirectory.JournalFacts(inspector: inspector)
        facts.segments = [segment]
        var entries: [AuditedEntry] = []
        try facts.forEachChunk { chunk, firstLSN, _ in
            var reader = try ChunkReader(chunk)
            while true {
                let sequence = reader.nextSequence
                guard let (time, entry) = try reader.next() else { return reader.head.count }
                entries.append(
                    try AuditedEntry(
                        entry, lsn: firstLSN + sequence - reader.head.firstSequence, shard: reader.head.shard,
                        sequence: sequence, time: time.microseconds))
            }
        }
        return entries
    }

    func execute(_ file: StoreFile, _ sql: String, _ arguments: StatementArguments = []) throws {
        let queue = try DatabaseQueue(path: file.path(in: data))
        try queue.writeWithoutTransaction { try $0.execute(sql: sql, arguments: arguments) }
        try queue.close()
    }

    /// Changes an outcome's row in what the closure changes, and its checksum.
    func changeUsage(_ id: Int64, _ change: (inout UsageRow) throws -> Void) throws {
        var row: UsageRow?
        for case .usage(let found) in try rows() where found.id == id { row = found }
        guard var row else { throw Missing() }
        try change(&row)
        let check = lend(row) { $0.check(id: id) }
        try execute(
            .history,
            """
            UPDATE usage_rows SET charge_nanocredits = ?, fee_nanocredits = ?, balance_after_nanocredits = ?,
                id_low = ?, id_high = ?, model = ?, extra = ?, lsn = ?, sequence = ?, row_crc = ? WHERE id = ?
            """,
            [
                row.figures.charge, row.figures.fee, row.figures.balanceAfter,
                Int64(bitPattern: row.figures.idKey.low), Int64(bitPattern: row.figures.idKey.high),
                row.model,
                Data(row.extra), Int64(bitPattern: row.figures.lsn), Int64(bitPattern: row.figures.sequence),
                Int64(check), id,
            ])
    }

    private func lend<Result>(_ row: UsageRow, _ body: (HistoryUsage) -> Result) -> Result {
        // One buffer for all texts, lent as long as the row is.
        var bytes: [UInt8] = []
        func add(_ text: [UInt8]) -> Range<Int> {
            bytes += text
            return bytes.count - text.count..<bytes.count
        }
        let account = add(Array(row.account.utf8))
        let wallet = add(row.wallet == row.account ? [] : Array(row.wallet.utf8))
        let request = add(row.requestID)
        let reason = add(Array((row.parkedReason ?? "").utf8))
        let provider = add(Array(row.provider.utf8))
        let model = add(Array(row.model.utf8))
        let serviceTier = add(row.serviceTier == "standard" ? [] : Array(row.serviceTier.utf8))
        let tier = add(Array(row.tier.utf8))
        let content = add(row.content)
        let extra = add(row.extra)
        return bytes.withView { view in
            var lent = HistoryUsage()
            lent.figures = row.figures
            lent.account = view[account]
            lent.wallet = view[wallet]
            lent.requestID = view[request]
            lent.parkedReason = view[reason]
            lent.provider = view[provider]
            lent.model = view[model]
            lent.serviceTier = view[serviceTier]
            lent.tier = view[tier]
            lent.content = view[content]
            lent.extra = view[extra]
            return body(lent)
        }
    }

    /// Changes an act's amount and details, and its checksum.
    func changeCredit(_ id: Int64, _ change: (inout CreditRow) throws -> Void) throws {
        var row: CreditRow?
        for case .credit(let found) in try rows() where found.id == id { row = found }
        guard var row else { throw Missing() }
        try change(&row)
        var bytes: [UInt8] = []
        func add(_ text: [UInt8]) -> Range<Int> {
            bytes += text
            return bytes.count - text.count..<bytes.count
        }
        let places = [
            Array(row.account.utf8), Array(row.kind.utf8), Array(row.source.utf8), Array(row.details.utf8),
            row.idempotencyKey, row.reference,
        ].map(add)
        let check = bytes.withView { view in
            var lent = HistoryCredit()
            lent.lsn = row.lsn
            lent.shard = row.shard
            lent.sequence = row.sequence
            lent.recordedAt = row.recordedAt
            lent.amount = row.amount
            lent.balanceAfter = row.balanceAfter
            lent.expiresAt = row.expiresAt
            lent.grantID = row.grantID
            lent.account = view[places[0]]
            lent.kind = view[places[1]]
            lent.source = view[places[2]]
            lent.details = view[places[3]]
            lent.idempotencyKey = view[places[4]]
            lent.reference = view[places[5]]
            return lent.check(id: id)
        }
        try execute(
            .history,
            "UPDATE credit_rows SET amount_nanocredits = ?, details = ?, row_crc = ? WHERE id = ?",
            [row.amount, row.details, Int64(check), id])
    }

    struct Missing: Error {}

    /// Writes an entry of the journal anew, and every checksum and hash from there to the end of its segment, which
    /// must be the last.
    func changeEntry(
        _ lsn: UInt64, _ write: (Timestamp, Entry, inout BytePacker) throws -> Void
    ) throws {
        let inspector = JournalInspector(directory: data + "/wal", fileSystem: LinuxFileSystem())
        let segment = try #require(try inspector.segments().last { $0.kind == .begun })
        let header = try #require(segment.header)
        var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: segment.path)))
        let hasher = ChainHasher()
        var offset = JournalLimits.segmentHeaderBytes
        var chain: ChainHash?
        while offset + JournalLimits.blockBytes <= bytes.count {
            let found = unsafe bytes.withUnsafeBytes { all in
                unsafe BatchHeader.decode(
                    UnsafeRawBufferPointer(rebasing: all[offset...]),
                    bodyBytesMax: JournalLimits.batchBodyBytesMax(segmentBytes: header.segmentBytes))
            }
            guard var batch = found, batch.salt == header.salt, batch.epoch == header.epoch else { break }
            let start = offset + JournalLimits.batchHeaderBytes
            var body = Array(bytes[start..<start + batch.bodyBytes])
            let holds = batch.firstLSN <= lsn && lsn < batch.nextLSN
            if holds { body = try Self.rewrite(body, batch.firstLSN, lsn, write) }
            if holds || chain != nil {
                let before = batch.paddedBytes
                batch.bodyBytes = body.count
                if let chain { batch.previousChain = chain }
                try #require(batch.paddedBytes == before, "the batch has no room for the change")
                let buffer = AlignedBuffer(count: before)
                unsafe buffer.bytes[
                    JournalLimits.batchHeaderBytes..<JournalLimits.batchHeaderBytes + body.count
                ]
                .copyBytes(from: body)
                unsafe batch.encode(into: buffer.bytes, hasher: hasher)
                unsafe bytes.replaceSubrange(offset..<offset + before, with: buffer.bytes[0..<before])
                chain = batch.chain
            }
            offset += batch.paddedBytes
        }
        try #require(chain != nil, "the last segment has no LSN \(lsn)")
        try Data(bytes).write(to: URL(fileURLWithPath: segment.path))
    }

    private static func rewrite(
        _ body: [UInt8], _ firstLSN: UInt64, _ wanted: UInt64,
        _ write: (Timestamp, Entry, inout BytePacker) throws -> Void
    ) throws -> [UInt8] {
        try body.withView { view in
            var packer = BytePacker(capacity: body.count + 4_096)
            var pieces = PieceReader(view)
            var lsn = firstLSN
            while let chunk = try pieces.next() {
                let start = packer.count
                for _ in 0..<4 { packer.append(byte: 0) }
                var decoded = try ChunkReader(chunk)
                var raw = ByteUnpacker(chunk)
                for _ in 0..<3 { packer.append(try raw.unsigned()) }
                while let (time, entry) = try decoded.next() {
                    let bytes = try raw.prefixed()
                    if lsn == wanted {
                        try write(time, entry, &packer)
                    } else {
                        packer.append(prefixed: bytes)
                    }
                    lsn += 1
                }
                packer.replace(at: start, with: UInt32(packer.count - start - 4))
            }
            return Array(packer.view)
        }
    }
}
