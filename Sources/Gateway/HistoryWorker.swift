// Writes the history behind the journal, with what the processor has to spare, and says how far it is.

import Bytes
import Journal
import Ledger
import Platform
import Pricing
import Store
import Synchronization

/// How the history follows, for `/metrics`.
public struct HistoryFigures: Hashable, Sendable {
    /// Rows written since the start.
    public var rows = 0
    public var transactions = 0
    public var failures = 0
}

/// Follows the journal with the history. Lives on its own thread.
final class HistoryWorker {
    private let gateway: Gateway
    private let reader: JournalReader
    private var rows: HistoryRows

    /// Rows of one transaction: large enough that its sync is nothing beside it, small enough that the
    /// history is never far behind what was written.
    private static let rowsAtOnce = 200_000
    /// After so many rows, and again after as many more, it is asked whether live traffic wants the processor.
    private static let rowsBetweenLooks = 50_000

    init(_ gateway: Gateway) throws(JournalError) {
        self.gateway = gateway
        rows = HistoryRows(thresholds: gateway.settings.thresholds)
        reader = try gateway.journal.reader(from: gateway.history.position.lsn + 1)
    }

    /// What a step came to.
    enum Progress {
        /// Nothing was there to write.
        case idle
        /// All that was durable is written now.
        case caughtUp
        /// The transaction was full, or ended early: there may be more.
        case wroteSome
    }

    /// Writes what is durable and not yet in the history, at most one transaction of it.
    ///
    /// - Parameter standsAside: whether the transaction should end early, because the traffic is busy.
    func step(standsAside: () -> Bool) throws -> Progress {
        guard let first = try reader.next() else { return .idle }
        var progress = Progress.wroteSome
        var lastSequences: [Int: UInt64] = [:]
        var failure: (any Error)?
        do {
            try gateway.history.append { (writer) throws(StoreError) in
                do {
                    return try fill(
                        &writer, from: first, lastSequences: &lastSequences, &progress,
                        standsAside: standsAside)
                } catch let error as StoreError {
                    throw error
                } catch {
                    // The store rolls back for its own errors only; what happened is told below.
                    failure = error
                    throw .system(path: "wal", call: "reading the journal for the history", code: 0)
                }
            }
        } catch {
            throw failure ?? error
        }
        for (shard, sequence) in lastSequences { gateway.ledger.setHistory(shard: shard, sequence: sequence) }
        gateway.historyFigures.withLock { figures in
            figures.transactions += 1
            figures.rows = Int(gateway.history.position.usageCount + gateway.history.position.creditCount)
        }
        return progress
    }

    /// Adds batches until the transaction is large enough or nothing more is durable. Returns the LSN that
    /// is covered.
    private func fill(
        _ writer: inout HistoryWriter, from first: JournalBatch, lastSequences: inout [Int: UInt64],
        _ progress: inout Progress, standsAside: () -> Bool
    ) throws -> UInt64 {
        var batch = first
        var nextLook = Self.rowsBetweenLooks
        while true {
            try add(batch, to: &writer, lastSequences: &lastSequences)
            let covered = batch.lastLSN
            if writer.rowCount >= Self.rowsAtOnce { return covered }
            if writer.rowCount >= nextLook {
                if standsAside() { return covered }
                nextLook = writer.rowCount + Self.rowsBetweenLooks
            }
            guard let next = try reader.next() else {
                progress = .caughtUp
                return covered
            }
            batch = next
        }
    }

    private func add(
        _ batch: JournalBatch, to writer: inout HistoryWriter, lastSequences: inout [Int: UInt64]
    ) throws {
        var pieces = PieceReader(batch.body)
        var lsn = batch.firstLSN
        while let chunk = try pieces.next() {
            let (shard, last, count) = try rows.add(chunk, firstLSN: lsn, to: &writer)
            lastSequences[shard] = last
            lsn += UInt64(count)
        }
    }
}

/// Answers questions about ids that memory no longer holds, on its own thread.
final class HistoryLookups: Sendable {
    private struct Question {
        var keys: [RecordKeys]
        var pinned: [PinnedVersions]
        var answer: @Sendable ([HistoryAnswer]) -> Void
    }

    private let questions = Mutex<[Question]>([])
    private let isStopping = Atomic<Bool>(false)
    private let wakeup = Wakeup()
    private let history: HistoryStore
    private let keyMaker: KeyMaker
    private let loadBook: @Sendable (PinnedVersions) -> Void
    private let onFatal: @Sendable (StoreError) -> Void

    /// - Parameter loadBook: makes a book that a quote has pinned, for the record that waits for it.
    init(
        _ history: HistoryStore, _ keyMaker: KeyMaker, loadBook: @escaping @Sendable (PinnedVersions) -> Void,
        onFatal: @escaping @Sendable (StoreError) -> Void
    ) {
        self.history = history
        self.keyMaker = keyMaker
        self.loadBook = loadBook
        self.onFatal = onFatal
    }

    func ask(
        _ keys: [RecordKeys], pinned: [PinnedVersions],
        then answer: @escaping @Sendable ([HistoryAnswer]) -> Void
    ) {
        questions.withLock { $0.append(Question(keys: keys, pinned: pinned, answer: answer)) }
        wakeup.signal()
    }

    func stop() {
        isStopping.store(true, ordering: .sequentiallyConsistent)
        wakeup.signal()
    }

    /// Answers until it is stopped.
    func run() {
        while !isStopping.load(ordering: .sequentiallyConsistent) {
            let asked = questions.withLock { questions in
                defer { questions = [] }
                return questions
            }
            if asked.isEmpty {
                wakeup.wait()
                continue
            }
            do throws(StoreError) {
                try answer(asked)
            } catch {
                // Nobody can be told "never seen" by a history that cannot be read.
                return onFatal(error)
            }
        }
    }

    private func answer(_ asked: [Question]) throws(StoreError) {
        for versions in Set(asked.flatMap(\.pinned)) { loadBook(versions) }
        let keys = asked.flatMap(\.keys)
        var answers = try history.outcomes(keys.map(\.request)).map { HistoryAnswer($0) }
        // The ends of holds are looked for where a report names one and is new, and where only a hold is asked about.
        let unknown = keys.indices.filter { index in
            guard keys[index].isAboutHold else { return false }
            if keys[index].request == keys[index].hold { return true }
            if case .neverSeen = answers[index] { return true }
            return false
        }
        if !unknown.isEmpty {
            let ends = try history.holdEnds(unknown.map { keys[$0].hold })
            let moves = ends.contains { $0 != nil } ? try history.moves() : AccountMoves()
            for (index, end) in zip(unknown, ends) {
                if let end { answers[index] = .holdEnded(PastHold(end, keyMaker, moves)) }
            }
        }
        var left = answers[...]
        for question in asked {
            question.answer(Array(left.prefix(question.keys.count)))
            left = left.dropFirst(question.keys.count)
        }
    }
}

extension PastHold {
    /// How a hold ended, from the row that ended it; accounts by what they are called now.
    init(_ end: StoredHoldEnd, _ keys: KeyMaker, _ moves: AccountMoves) {
        switch end {
        case .credit(let row):
            self.init(
                row.kind == TransactionKind.holdVoided ? .voided : .expired, sequence: row.sequence)
            amount = HistoryRows.held(in: row.details)
        case .usage(let row) where row.figures.flags & UsageFigures.isOrphan != 0:
            self.init(.expired, sequence: row.figures.sequence)
            orphanCharge = row.figures.charge
            let (tokens, overflow) = row.figures.counts.inputTokens.addingReportingOverflow(
                row.figures.counts.outputTokens)
            orphanTokens = overflow ? .max : tokens
            func hash(_ path: String) -> Hash128 {
                moves.current(Array(path.utf8), afterLSN: row.figures.lsn).withView { keys.account($0) }
            }
            (account, wallet) = (hash(row.account), hash(row.wallet))
            source = CredentialSource(rawValue: row.figures.credentialSource) ?? .platform
        case .usage(let row): self.init(.settled, sequence: row.figures.sequence)
        }
    }
}

extension HistoryAnswer {
    init(_ outcome: StoredOutcome?) {
        guard let figures = outcome?.figures else {
            self = .neverSeen
            return
        }
        self = .seen(
            RememberedOutcome(
                digest: figures.digest, sequence: figures.sequence, charge: figures.charge,
                state: ReceiptState(figures.state)))
    }
}

extension ReceiptState {
    /// What stands after an outcome of the history.
    init(_ state: UsageState) {
        switch state {
        case .charged, .settled: self = .charged
        case .parked: self = .parked
        case .discarded: self = .discarded
        }
    }
}
