// Checking a data directory that nobody is using: every balance is computed twice and compared.
//
//      checkpoint + journal ──fold──→ accounts        the way a start takes
//      history + journal behind it ──sum──→ accounts  the way an auditor takes
//
// Beside that every checksum is read again, every total is added up again, every journal entry must be in the
// history exactly once, and no request id may have two outcomes. The directory's lock is taken, and its start
// counter goes up as at a start; nothing else is changed.

import Bytes
import Journal
import Ledger
import Platform
import Pricing
import Store
import StrictJSON

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
    public fileprivate(set) var totals = ShardTotals()
    /// Entries that are in the journal and not yet in the history.
    public fileprivate(set) var historyLag: UInt64 = 0

    /// Thousands apart, for reading.
    fileprivate static func grouped(_ value: some BinaryInteger) -> String {
        let digits = Array(String(value))
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, digits[index - 1] != "-", (digits.count - index) % 3 == 0 { text.append(" ") }
            text.append(digit)
        }
        return text
    }

    fileprivate mutating func add(_ part: String, _ found: String) {
        checks.append(Check(part: part, found: found))
    }
}

/// Why a verification stops: a difference was found.
struct Difference: Error {
    var text: String

    init(_ text: String) { self.text = text }
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
            _ = try fileSystem.open(StoreFile.control.path(in: path), .read, .buffered)
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

    /// Checks everything. O(accounts + history + journal) in time, 16 bytes of memory for each request id.
    ///
    /// - Throws: only what keeps files from being read; what is wrong with their content is the report's
    ///   `problem`.
    public func verify() throws(GatewayError) -> VerificationReport {
        var report = VerificationReport()
        do {
            try check(&report)
        } catch let difference as Difference {
            report.problem = difference.text
        } catch let error as StoreError {
            report.problem = "\(error)"
        } catch let error as EntryError {
            report.problem = "the journal's entries contradict the checkpoint: \(error)"
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
        let checkpoint = try checkpoints.verifyEverything()
        let journal = try checkJournal(mark: (checkpoint?.stamp.chain).flatMap { JournalMark($0) }, &report)
        report.add(
            "checkpoint",
            checkpoint.map {
                "\(grouped($0.totals.accountCount)) accounts, every row and total, up to LSN"
                    + " \(grouped($0.stamp.appliedLSN))"
            } ?? "none yet")
        let position = try history.verifyEverything()
        report.add(
            "history",
            "\(grouped(position.usageCount)) outcomes and \(grouped(position.creditCount)) acts, every row and total,"
                + " up to LSN \(grouped(position.lsn))")
        report.add(
            "rollups",
            "\(grouped(try history.verifyRollups())) sums of an account's day, each what its rows add up to")
        guard journal.lastLSN >= max(checkpoint?.stamp.durableLSN ?? 0, position.lsn) else {
            throw Difference(
                "the journal ends at LSN \(journal.lastLSN), and the checkpoint or the history knows of LSN"
                    + " \(max(checkpoint?.stamp.durableLSN ?? 0, position.lsn)): a segment is missing;"
                    + " restore the newest segment from a backup")
        }
        report.historyLag = journal.lastLSN - position.lsn

        let ledger = try fold(checkpoint, journal)
        try checkTotals(ledger, &report)
        var auditor = Auditor(ledger, moves: try moves(journal, after: position))
        try audit(position, into: &auditor)
        let open = try history.openParked()
        try auditor.parked.check(listed: open)
        try auditor.checkMoves(try history.moves())
        try auditTail(journal, after: position, into: &auditor)
        try auditor.check(ledger, position, &report)
    }

    // MARK: The journal

    private struct JournalFacts {
        var inspector: JournalInspector
        var segments: [SegmentReport] = []
        var lastLSN: UInt64 = 0
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

    /// Hands over every chunk of the journal with the LSN of its first entry.
    private func forEachChunk(
        _ journal: JournalFacts, _ body: (ByteView, UInt64) throws -> Int
    ) throws {
        var fault: (any Error)?
        for segment in journal.segments {
            try journal.inspector.batches(of: segment) { batch, bytes in
                guard batch.status == .whole, fault == nil else { return }
                do {
                    var pieces = PieceReader(bytes)
                    var lsn = batch.header.firstLSN
                    while let chunk = try pieces.next() { lsn += UInt64(try body(chunk, lsn)) }
                } catch {
                    fault = error
                }
            }
            if let fault { throw fault }
        }
    }

    // MARK: The way a start takes

    /// The accounts from checkpoint and journal. Replay compares each entry with the balance it left.
    private func fold(_ checkpoint: Checkpoint?, _ journal: JournalFacts) throws -> Ledger {
        let ledger = Ledger(secret: HashKey(record.hashKey), shardCount: record.identity.shardCount)
        var fault: EntryError?
        _ = try checkpoints.load { (row) throws(StoreError) in
            guard fault == nil else { return }
            do throws(EntryError) {
                try ledger.restore(
                    AccountRecord(
                        shard: Int(row.shard), number: row.number, path: row.path, balance: row.balance,
                        state: row.state))
            } catch {
                fault = error
            }
        }
        if let fault { throw fault }
        let sequences = checkpoint?.stamp.sequences ?? [UInt64](repeating: 0, count: ledger.shardCount)
        for shard in 0..<ledger.shardCount {
            ledger.setCheckpoint(shard: shard, sequence: sequences[shard], time: .distantPast)
        }
        try forEachChunk(journal) { chunk, _ in try ledger.replay(chunk) { sequences[$0] }.count }
        return ledger
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

    // MARK: The way an auditor takes

    /// The moves of the history, and those that are in the journal behind it.
    private func moves(_ journal: JournalFacts, after position: HistoryPosition) throws -> AccountMoves {
        var moves = try history.moves()
        try forEachChunk(journal) { chunk, firstLSN in
            var reader = try ChunkReader(chunk)
            let count = reader.head.count
            guard firstLSN + UInt64(count) - 1 > position.lsn else { return count }
            var lsn = firstLSN
            while let (_, entry) = try reader.next() {
                if lsn > position.lsn, case .accountMoved(let moved) = entry {
                    moves.add(
                        AccountMoves.Move(id: .max, lsn: lsn, from: Array(moved.from), to: Array(moved.to)))
                }
                lsn += 1
            }
            return count
        }
        return moves
    }

    /// Adds the history up, newest row first, and sees that no LSN is missing.
    private func audit(_ position: HistoryPosition, into auditor: inout Auditor) throws {
        var filter = TransactionFilter()
        filter.limit = StoreLimits.pageRowsMax
        var expected = position.lsn
        repeat {
            let page = try history.transactions(filter)
            for row in page.rows {
                let lsn = try auditor.add(row)
                guard lsn == expected else {
                    throw Difference(
                        "history: LSN \(expected) belongs before row \(row.id), which has LSN \(lsn)")
                }
                expected -= 1
            }
            filter.before = page.next
        } while filter.before != nil
        guard expected == 0 else {
            throw Difference("history: the rows of LSNs 1 to \(expected) are missing")
        }
        guard auditor.charges == position.chargeSum else {
            throw Difference(
                "history: its charges add up to \(auditor.charges) nanocredits, its position says"
                    + " \(position.chargeSum)"
            )
        }
    }

    /// Adds up what is in the journal and not yet in the history.
    private func auditTail(
        _ journal: JournalFacts, after position: HistoryPosition, into auditor: inout Auditor
    ) throws {
        try forEachChunk(journal) { chunk, firstLSN in
            var reader = try ChunkReader(chunk)
            let count = reader.head.count
            guard firstLSN + UInt64(count) - 1 > position.lsn else { return count }
            var lsn = firstLSN
            var sequence = reader.nextSequence
            while let (time, entry) = try reader.next() {
                if lsn > position.lsn {
                    try auditor.add(
                        entry, lsn: lsn, time: time, shard: reader.head.shard, sequence: sequence)
                }
                lsn += 1
                sequence += 1
            }
            return count
        }
    }
}

/// Adds up balances from rows and entries, without the ledger's rules.
private struct Auditor {
    private(set) var charges: Int128 = 0
    private var balances: [[UInt8]: Int128] = [:]
    private var outcomes: [Hash128] = []
    fileprivate var parked = ParkedAudit()
    private var holds = HoldAudit()
    private var budgets: BudgetAudit
    /// What accounts were called is not what they are called now.
    private let moves: AccountMoves
    private var movesSeen: [UInt64: (from: String, to: String)] = [:]

    init(_ ledger: Ledger, moves: AccountMoves) {
        self.moves = moves
        // Every account has a sum, so that one without rows is compared too.
        var sums: [[UInt8]: Int128] = [:]
        ledger.forEachAccount { path, _ in sums[Array(path)] = 0 }
        balances = sums
        budgets = BudgetAudit(ledger)
    }

    /// What an account is called now that was called `path` when the entry `lsn` was written.
    private func current(_ path: [UInt8], _ lsn: UInt64) -> [UInt8] {
        moves.current(path, afterLSN: lsn)
    }

    /// Every move of the list that the history keeps has its row, and no row is missing from it.
    func checkMoves(_ listed: AccountMoves) throws(Difference) {
        for move in listed.moves {
            guard let seen = movesSeen[move.lsn], Array(seen.from.utf8) == move.from,
                Array(seen.to.utf8) == move.to
            else {
                throw Difference(
                    "history: the list of moves says that LSN \(move.lsn) moves"
                        + " \(String(decoding: move.from, as: UTF8.self)), and the rows do not")
            }
        }
        guard movesSeen.count == listed.moves.count else {
            throw Difference(
                "history: \(movesSeen.count) rows tell of a move, the list has \(listed.moves.count)")
        }
    }

    /// Adds a row of the history; returns its LSN.
    mutating func add(_ row: TransactionRow) throws -> UInt64 {
        switch row {
        case .usage(let row):
            charges += Int128(row.figures.charge)
            balances[current(Array(row.wallet.utf8), row.figures.lsn), default: 0] -= Int128(
                row.figures.charge)
            if row.figures.flags & HistoryRows.settlesHold != 0 {
                try row.content.withView {
                    holds.settle(Array(row.account.utf8), try RecordContent.read($0))
                }
            }
            if !budgets.isEmpty, row.figures.state != .discarded {
                budgets.add(
                    Array(row.account.utf8), provider: row.provider, model: row.model,
                    charge: row.figures.charge,
                    tokens: row.figures.counts.inputTokens + row.figures.counts.outputTokens,
                    isSettlement: row.figures.state == .settled,
                    corrects: row.figures.flags & UsageFigures.correctsOrphan == 0
                        ? nil : try row.extra.withView { try OutcomeDetails(reading: $0) }.orphan,
                    at: Timestamp(microseconds: row.figures.recordedAt), shard: Int(row.figures.shard),
                    sequence: row.figures.sequence
                ) { [moves] in moves.current($0, afterLSN: row.figures.lsn) }
            }
            switch row.figures.state {
            // The charge of an orphan has no request id of its own: that its hold ended once is what holds check.
            case .charged where row.figures.flags & UsageFigures.isOrphan != 0: break
            case .charged: outcomes.append(row.figures.idKey)
            case .parked:
                outcomes.append(row.figures.idKey)
                parked.park(row.figures.shard, row.figures.sequence, key: row.figures.idKey)
            case .settled, .discarded:
                let end = try row.extra.withView { try OutcomeDetails(reading: $0) }.end
                parked.end(row.figures.shard, end?.parkedSequence ?? 0, key: row.figures.idKey)
            }
            return row.figures.lsn
        case .credit(let row):
            balances[current(Array(row.account.utf8), row.lsn), default: 0] += Int128(row.amount)
            try holds.add(row)
            if row.kind == TransactionKind.accountMoved {
                let details = try JSONNode(parsing: Array(row.details.utf8))
                movesSeen[row.lsn] = (try details.field("from").string(), try details.field("to").string())
            }
            return row.lsn
        }
    }

    /// Adds an entry of the journal.
    mutating func add(_ entry: Entry, lsn: UInt64, time: Timestamp, shard: Int, sequence: UInt64) throws {
        try holds.add(entry)
        if !budgets.isEmpty { try count(entry, lsn: lsn, time: time, shard: shard, sequence: sequence) }
        switch entry {
        case .charged(let charge):
            try add(charge, lsn: lsn)
            outcomes.append(charge.key)
            if charge.state == .parked { parked.park(UInt16(shard), sequence, key: charge.key) }
        case .parkedSettled(let end), .parkedDiscarded(let end):
            try add(end.charge, lsn: lsn)
            parked.end(UInt16(shard), end.parkedSequence, key: end.charge.key)
        case .holdOrphaned(let orphaned): try add(orphaned.charge, lsn: lsn)
        case .granted(let grant):
            balances[current(Array(grant.path), lsn), default: 0] += Int128(grant.amount)
        case .grantEnded(let ended):
            balances[current(Array(ended.path), lsn), default: 0] -= Int128(ended.amount)
        case .deducted(let deducted):
            balances[current(Array(deducted.path), lsn), default: 0] -= Int128(deducted.amount)
        case .accountOpened, .accountChanged, .accountMoved, .noted: break
        // A hold moves nothing but for its orphan's charge.
        case .held, .holdEnded, .holdChanged, .budgetSet, .budgetCrossed: break
        }
    }

    private mutating func count(
        _ entry: Entry, lsn: UInt64, time: Timestamp, shard: Int, sequence: UInt64
    ) throws {
        let (charge, isSettlement): (ChargeEntry, Bool)
        switch entry {
        case .charged(let found): (charge, isSettlement) = (found, false)
        case .parkedSettled(let end): (charge, isSettlement) = (end.charge, true)
        case .holdOrphaned(let orphaned): (charge, isSettlement) = (orphaned.charge, false)
        default: return
        }
        let record = try RecordContent.read(charge.content)
        budgets.add(
            Array(record.account), provider: record.provider.text, model: record.model.text,
            charge: charge.charge, tokens: record.usage.inputTokens + record.usage.outputTokens,
            isSettlement: isSettlement, corrects: charge.orphan, at: time, shard: shard, sequence: sequence
        ) { [moves] in moves.current($0, afterLSN: lsn) }
    }

    private mutating func add(_ charge: ChargeEntry, lsn: UInt64) throws {
        let account = try RecordContent.read(charge.content).account
        let isOwn = charge.wallet == charge.account
        guard isOwn || charge.walletPathCount <= account.count else {
            throw Difference("journal: a charge of \(account.text) names a wallet below it")
        }
        let wallet = isOwn ? account : account[0..<charge.walletPathCount]
        charges += Int128(charge.charge)
        balances[current(Array(wallet), lsn), default: 0] -= Int128(charge.charge)
    }

    /// Compares with the ledger, and looks for a request id with two outcomes.
    mutating func check(
        _ ledger: Ledger, _ position: HistoryPosition, _ report: inout VerificationReport
    ) throws(Difference) {
        guard charges == ledger.totals().charged else {
            throw Difference(
                "history and journal charge \(charges) nanocredits, the accounts \(ledger.totals().charged)")
        }
        var left = balances
        var first: (path: [UInt8], found: Int64, expected: Int128)?
        ledger.forEachAccount { path, balance in
            let path = Array(path)
            let expected = left.removeValue(forKey: path) ?? 0
            if first == nil, expected != Int128(balance) { first = (path, balance, expected) }
        }
        if let first {
            throw Difference(
                "account \(String(decoding: first.path, as: UTF8.self)) has \(first.found) nanocredits by"
                    + " checkpoint and journal, \(first.expected) by the history")
        }
        if let (path, sum) = left.first(where: { $0.value != 0 }) {
            throw Difference(
                "the history moves \(sum) nanocredits of \(String(decoding: path, as: UTF8.self)), which is"
                    + " no account"
            )
        }
        report.add(
            "balances",
            "\(VerificationReport.grouped(balances.count)) recomputed from history and journal, to the nanocredit"
        )

        outcomes.sort { ($0.high, $0.low) < ($1.high, $1.low) }
        for (previous, next) in zip(outcomes, outcomes.dropFirst()) where previous == next {
            throw Difference(
                "a request id has two outcomes; its key is \(previous.high) \(previous.low)"
                    + " (columns id_high and id_low of the view `usage`)")
        }
        report.add("request ids", "\(VerificationReport.grouped(outcomes.count)) outcomes, one for each id")
        let (openHolds, held) = try holds.check(ledger)
        if holds.count > 0 {
            report.add(
                "holds",
                "\(VerificationReport.grouped(openHolds)) open of \(VerificationReport.grouped(holds.count)), which keep"
                    + " \(VerificationReport.grouped(held)) nanocredits")
        }
        let budgetCount = try budgets.check()
        if budgetCount > 0 {
            report.add(
                "budgets",
                "\(VerificationReport.grouped(budgetCount)) counted again from the charges in their window")
        }
        let (openCount, endedCount) = try parked.check()
        if openCount + endedCount > 0 {
            report.add(
                "parked usage",
                "\(VerificationReport.grouped(openCount)) open, \(VerificationReport.grouped(endedCount)) settled or"
                    + " discarded, each once")
        }
    }
}
