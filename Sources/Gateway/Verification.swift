// Checking a data directory that nobody is using: every balance is computed twice and compared.
//
//      checkpoint + journal ──fold──→ accounts        the way a start takes
//      history + journal behind it ──sum──→ accounts  the way an auditor takes
//
// Beside that every checksum is read again, every total is added up again, every journal entry must be in the
// history exactly once and say the same there, and no request id may have two outcomes. The directory's lock is
// taken, and its start counter goes up as at a start; nothing else is changed.
//
// What is named is the first entry that breaks an equation, because that is where somebody has to look: a total
// that differs is told only where every entry agrees with the ones before it (see EntryAudit.swift).

import Bytes
import Journal
import Ledger
import Platform
import Pricing
import Store

/// What a verification looked at, and the first thing that was wrong.
public struct VerificationReport: Sendable {
    /// One part that is as it should be.
    public struct Check: Hashable, Sendable {
        public var part: String
        public var found: String
    }

    public fileprivate(set) var checks: [Check] = []
    /// The first difference: where, what was found, what to do. Nil when there is none.
    public fileprivate(set) var problem: String?
    /// The first entry after which an equation does not hold. Where only a checkpoint, a rollup or a list differs
    /// from entries that agree with each other, the first of those it is about. Nil where there is none.
    public fileprivate(set) var entry: EntryPlace?
    public fileprivate(set) var totals = ShardTotals()
    /// Entries that are in the journal and not yet in the history.
    public fileprivate(set) var historyLag: UInt64 = 0

    fileprivate mutating func add(_ part: String, _ found: String) {
        checks.append(Check(part: part, found: found))
    }

    fileprivate mutating func take(_ difference: Difference) {
        problem = difference.entry.map { "\($0.text): \(difference.text)" } ?? difference.text
        entry = difference.entry
    }
}

/// Why a verification stops: a difference was found.
struct Difference: Error {
    var text: String
    /// The first entry after which an equation does not hold; where only sums differ, the first that is in them.
    var entry: EntryPlace?

    init(_ text: String, _ entry: EntryPlace? = nil) {
        self.text = text
        self.entry = entry
    }
}

/// A data directory that no server uses.
public final class OfflineDirectory {
    public let path: String
    /// What the directory is.
    public let record: DirectoryRecord
    private let fileSystem: any FileSystem
    private let lock: DirectoryLock
    private let checkpoints: CheckpointStore
    let history: HistoryStore
    let control: ControlStore

    /// Takes the directory.
    ///
    /// - Throws: `.lock` while a server has it; `.file` when there is none; `.store` when a database cannot
    ///   be opened.
    public init(_ path: String, fileSystem: any FileSystem = LinuxFileSystem()) throws(GatewayError) {
        self.path = path
        self.fileSystem = fileSystem
        // Opened for reading first, so that a path that is no data directory is left as it is.
        try Gateway.wrap(GatewayError.file) { () throws(FileError) in
            // A file that is missing is not made anew: what it knew would be called missing elsewhere.
            for file in [StoreFile.control, .ledger, .history] {
                _ = try fileSystem.open(file.path(in: path), .read, .buffered)
            }
        }
        lock = try Gateway.wrap(GatewayError.lock) { () throws(DirectoryLockError) in
            try DirectoryLock(directory: path, fileSystem: fileSystem)
        }
        (record, control, checkpoints, history) = try Gateway.wrap(GatewayError.store) {
            () throws(StoreError) in
            try Store.prepareFiles(in: path)
            let control = try ControlStore(
                directory: path, identity: nil, hashKey: [UInt8](repeating: 0, count: 16), now: 0)
            let record = control.directory
            return (
                record, control, try CheckpointStore(directory: path, identity: record.identity),
                try HistoryStore(directory: path, identity: record.identity, hashKey: HashKey(record.hashKey))
            )
        }
    }

    /// The newest checkpoint, every row checked; `body` gets each account. Nil if none was ever written.
    public func checkpoint(
        _ body: (_ path: ByteView, _ balance: Int64, _ shard: UInt16, _ number: UInt32) -> Void
    ) throws(GatewayError) -> Checkpoint? {
        try Gateway.wrap(GatewayError.store) { () throws(StoreError) in
            try checkpoints.load { (row) throws(StoreError) in
                body(row.path, row.balance, row.shard, row.number)
            }
        }
    }

    /// Checks everything. O(accounts + history + journal) in time; in memory the accounts three times, and 16 bytes for
    /// each request id. Where an entry is to be named, the entries are read once more.
    ///
    /// - Throws: only what keeps files from being read; what is wrong with their content is the report's
    ///   `problem`.
    public func verify() throws(GatewayError) -> VerificationReport {
        var report = VerificationReport()
        do {
            try check(&report)
        } catch let difference as Difference {
            report.take(difference)
        } catch let error as StoreError {
            report.problem = "\(error)"
        } catch JournalError.file(let error) {
            throw .file(error)
        } catch let error as JournalError {
            report.problem = "\(error)"
        } catch {
            report.problem = "\(error)"
        }
        return report
    }

    private func check(_ report: inout VerificationReport) throws {
        try checkPrices(&report)
        var balances: [[UInt8]: Int64] = [:]
        let (checkpoint, checkpointTotals) = try checkpoints.checkEverything {
            balances[Array($0.path)] = $0.balance
        }
        let journal = try checkJournal(mark: (checkpoint?.stamp.chain).flatMap { JournalMark($0) }, &report)
        let (position, historyTotals) = try history.checkEverything()
        guard journal.lastLSN >= max(checkpoint?.stamp.durableLSN ?? 0, position.lsn) else {
            throw Difference(
                "the journal ends at LSN \(journal.lastLSN), and the checkpoint or the history knows of LSN"
                    + " \(max(checkpoint?.stamp.durableLSN ?? 0, position.lsn)): a segment is missing;"
                    + " restore the newest segment from a backup")
        }
        report.historyLag = journal.lastLSN - position.lsn

        // A wrong entry makes totals, rollups and the fold differ too, so the entries are asked first.
        let (ledger, foldFault) = fold(checkpoint, checkpointTotals, journal)
        let moves = try moves(journal, after: position)
        var audit = EntryAudit(
            ledger, checkpoint: checkpoint?.stamp.sequences ?? [], shardCount: record.identity.shardCount,
            moves: moves)
        let walk = EntryWalk(history: history, position: position, journal: journal, moves: moves)
        try audit.run(walk, listedAsParked: try history.openParked())
        try audit.check(checkpoint: balances, walk)
        if let checkpointTotals { throw checkpointTotals }
        report.add(
            "checkpoint",
            checkpoint.map {
                "\(grouped($0.totals.accountCount)) accounts, every row and total, up to LSN"
                    + " \(grouped($0.stamp.appliedLSN))"
            } ?? "none yet")
        if let historyTotals { throw historyTotals }
        report.add(
            "history",
            "\(grouped(position.usageCount)) outcomes and \(grouped(position.creditCount)) acts, every row and total,"
                + " up to LSN \(grouped(position.lsn))")
        report.add(
            "rollups",
            "\(grouped(try checkRollups(walk))) sums of an account's day, each what its rows add up to")
        if let foldFault { throw try foldFault.difference(walk) }
        guard let ledger else { preconditionFailure("without a fault there is a ledger") }
        try checkTotals(ledger, &report)
        try audit.check(ledger, walk)
        for (part, found) in audit.checks { report.add(part, found) }
    }

    /// The moves of the history, and those that are in the journal behind it.
    private func moves(_ journal: JournalFacts, after position: HistoryPosition) throws -> AccountMoves {
        var moves = try history.moves()
        try journal.forEachChunk { chunk, firstLSN, _ in
            try chunk.forEachEntry(firstLSN, after: position.lsn) { entry, lsn, _, _, _ in
                guard case .accountMoved(let moved) = entry else { return }
                moves.add(
                    AccountMoves.Move(id: .max, lsn: lsn, from: Array(moved.from), to: Array(moved.to)))
            }
        }
        return moves
    }

    /// Sees that every catalogue has the prices that were imported.
    private func checkPrices(_ report: inout VerificationReport) throws {
        let versions = try control.catalogues()
        for version in versions {
            guard let stored = try control.catalogue(version.number),
                SHA256.hexadecimal(Array(stored.text.utf8)) != stored.digest
            else { continue }
            throw Difference(
                "control.db: the prices of catalogue version \(stored.number) are not those that were imported: their"
                    + " digest differs; restore the file from a backup, or import and approve the price list again"
            )
        }
        report.add("catalogues", "\(grouped(versions.count)), each with the prices that were imported")
    }

    private func checkRollups(_ walk: EntryWalk) throws -> Int64 {
        let (count, mismatch) = try history.checkRollups()
        guard let mismatch else { return count }
        let entry = try mismatch.firstID.flatMap { id in
            try walk.first { _, source in source.row == id }
        }
        throw Difference(
            "\(mismatch.field) was \(mismatch.stored) when written and is \(mismatch.computed) by its rows"
                + (entry == nil ? "" : ", of which this is the first"), entry)
    }

    // MARK: The journal

    struct JournalFacts {
        var inspector: JournalInspector
        var segments: [SegmentReport] = []
        /// Of the first entry that is kept; one behind the last where none is.
        var firstLSN: UInt64 = 1
        var lastLSN: UInt64 = 0

        /// Hands over every chunk with the LSN of its first entry and the name of its segment file. `body` returns
        /// how many entries the chunk has.
        func forEachChunk(_ body: (ByteView, UInt64, String) throws -> Int) throws {
            var fault: (any Error)?
            for segment in segments {
                let name = "wal/\(segment.path.split(separator: "/").last ?? "")"
                try inspector.batches(of: segment) { batch, bytes in
                    guard batch.status == .whole, fault == nil else { return }
                    do {
                        var pieces = PieceReader(bytes)
                        var lsn = batch.header.firstLSN
                        while let chunk = try pieces.next() { lsn += UInt64(try body(chunk, lsn, name)) }
                    } catch {
                        fault = error
                    }
                }
                if let fault { throw fault }
            }
        }
    }

    private func checkJournal(mark: JournalMark?, _ report: inout VerificationReport) throws(JournalError)
        -> JournalFacts
    {
        var facts = JournalFacts(
            inspector: JournalInspector(directory: path + "/wal", fileSystem: fileSystem))
        let verdict = try facts.inspector.verify(mark: mark)
        if let problem = verdict.problem { throw problem }
        facts.segments = try facts.inspector.segments().filter { $0.kind == .begun }
        facts.lastLSN = max(verdict.lastLSN ?? 0, (facts.segments.last?.header?.firstLSN ?? 1) - 1)
        facts.firstLSN = verdict.firstLSN ?? facts.lastLSN + 1
        var found =
            "\(verdict.segments) segments, \(grouped(verdict.batches)) batches, \(grouped(verdict.entries)) entries"
        if let first = verdict.firstLSN, let last = verdict.lastLSN {
            found += ", LSNs \(grouped(first)) to \(grouped(last))"
        }
        if verdict.droppedBytes > 0 {
            found += "; behind its end \(verdict.droppedBytes) bytes that nobody was told of"
        }
        report.add("journal", found)
        return facts
    }

    // MARK: The way a start takes

    /// Why checkpoint and journal do not fold.
    private struct FoldFault {
        var text: String
        /// The entry that does not fit, or else the account whose row does not.
        var entry: EntryPlace?
        var account: [UInt8]?

        func difference(_ walk: EntryWalk) throws -> Difference {
            guard entry == nil, let account else { return Difference(text, entry) }
            let first = try walk.first(of: account)
            return Difference(text + (first == nil ? "" : "; this is the account's first entry"), first)
        }
    }

    /// The accounts from checkpoint and journal, or why there are none. Replay compares each entry with the balance
    /// it left.
    private func fold(
        _ checkpoint: Checkpoint?, _ totals: StoreError?, _ journal: JournalFacts
    ) -> (Ledger?, FoldFault?) {
        // Rows that are not what was counted are not loaded.
        if let totals { return (nil, FoldFault(text: "\(totals)")) }
        let ledger = Ledger(secret: HashKey(record.hashKey), shardCount: record.identity.shardCount)
        var fault: FoldFault?
        do {
            _ = try checkpoints.load { (row) throws(StoreError) in
                guard fault == nil else { return }
                do throws(EntryError) {
                    try ledger.restore(
                        AccountRecord(
                            shard: Int(row.shard), number: row.number, path: row.path, balance: row.balance,
                            state: row.state))
                } catch {
                    fault = FoldFault(text: "the checkpoint: \(error.words)", account: Array(row.path))
                }
            }
            if let fault { return (nil, fault) }
            let sequences = checkpoint?.stamp.sequences ?? [UInt64](repeating: 0, count: ledger.shardCount)
            for shard in 0..<ledger.shardCount {
                ledger.setCheckpoint(shard: shard, sequence: sequences[shard], time: .distantPast)
            }
            try journal.forEachChunk { chunk, firstLSN, segment in
                do throws(EntryError) {
                    return try ledger.replay(chunk) { sequences[$0] }.count
                } catch {
                    throw Difference(
                        "the journal's entry contradicts checkpoint and journal before it: \(error.words)",
                        Self.place(error, in: chunk, firstLSN, segment))
                }
            }
        } catch let difference as Difference {
            return (nil, FoldFault(text: difference.text, entry: difference.entry))
        } catch {
            return (nil, FoldFault(text: "\(error)"))
        }
        return (ledger, nil)
    }

    /// The entry of a chunk that an error is about: by its sequence, or the first that cannot be read.
    private static func place(
        _ error: EntryError, in chunk: ByteView, _ firstLSN: UInt64, _ segment: String
    ) -> EntryPlace? {
        do {
            var reader = try ChunkReader(chunk)
            var lsn = firstLSN
            while true {
                let sequence = reader.nextSequence
                var place = EntryPlace(
                    lsn: lsn, shard: reader.head.shard, sequence: sequence, kind: "unreadable", account: "?",
                    segment: segment)
                do {
                    guard let (time, entry) = try reader.next() else { return nil }
                    place = try AuditedEntry(
                        entry, lsn: lsn, shard: reader.head.shard, sequence: sequence, time: time.microseconds
                    ).place(segment: segment, row: nil)
                } catch {
                    return place
                }
                if error.sequence == nil || error.sequence == sequence { return place }
                lsn += 1
            }
        } catch {
            return nil
        }
    }

    private func checkTotals(_ ledger: Ledger, _ report: inout VerificationReport) throws(Difference) {
        let totals = ledger.totals()
        report.totals = totals
        guard totals.balance else {
            throw Difference("the equation does not hold, in nanocredits: \(totals.equation())")
        }
        report.add(
            "totals, in nanocredits",
            totals.equation { grouped($0) })
    }

    private func grouped(_ value: some BinaryInteger) -> String { VerificationReport.grouped(value) }
}

extension VerificationReport {
    /// Thousands apart, for reading.
    static func grouped(_ value: some BinaryInteger) -> String {
        let digits = Array(String(value))
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, digits[index - 1] != "-", (digits.count - index) % 3 == 0 { text.append(" ") }
            text.append(digit)
        }
        return text
    }
}

extension EntryError {
    /// The sequence of the entry that it is about; nil where it cannot be read at all.
    fileprivate var sequence: UInt64? {
        switch self {
        case .truncated, .unknownKind, .badField: nil
        case .outOfSequence(_, _, let found): found
        case .unknownAccount(_, _, let sequence), .contradiction(_, let sequence, _): sequence
        }
    }

    /// What is wrong, for people.
    fileprivate var words: String {
        switch self {
        case .truncated(let byte): "its bytes end at byte \(byte) of their chunk"
        case .unknownKind(let kind, let byte): "kind \(kind) at byte \(byte) is not known to this release"
        case .badField(let kind, let byte): "a field of kind \(kind) cannot be read at byte \(byte)"
        case .outOfSequence(let shard, let expected, let found):
            "shard \(shard): entry \(found) comes where \(expected) belongs"
        case .unknownAccount(let shard, let number, _): "shard \(shard) has no account \(number) to be next"
        case .contradiction(_, _, let what): what
        }
    }
}
