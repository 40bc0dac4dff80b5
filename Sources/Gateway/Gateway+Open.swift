// Starting: trust only the disk, recover into new files, and only then serve.
//
//      lock ─→ forget the page cache ─→ control.db (epoch + 1) ─→ ledger.db: accounts
//           ─→ history.db: how far it is ─→ journal: replay ─→ checkpoint ─→ threads
//
// Whatever a retry can be told "already charged" about is durable through writes of this process before
// it listens: the journal begins a new segment, and the replayed accounts are in a new checkpoint.

import Bytes
import Journal
import Ledger
import Logging
import Money
import Platform
import Pricing
import Store
import StrictJSON

/// What happened at start.
public struct RecoveryReport: Sendable {
    public var accounts = 0
    /// Entries read from the journal, and how long that took.
    public var entries = 0
    public var nanoseconds: UInt64 = 0
    /// Bytes behind the end of the log that nobody was told of, and where they were copied.
    public var droppedTail: String?
    public var epoch: UInt64 = 0
    /// How batches are written: past the page cache or through it.
    public var writeMode = ""
}

/// The parts of a gateway.
struct GatewayParts {
    let ledger: Ledger
    let journal: Journal
    let control: ControlStore
    let checkpoints: CheckpointStore
    let history: HistoryStore
    let clock: any TimeSource
    let lock: DirectoryLock
    let memory: MemoryReserve
    let signer: QuoteSigner
}

extension Gateway {
    /// Opens the data directory, making it if it is new, and recovers.
    ///
    /// - Throws: `GatewayError`: where, what was found, what to do. Nothing was served and nothing that
    ///   was promised is lost.
    public static func open(
        _ settings: GatewaySettings, logger: Logger, fileSystem: any FileSystem = LinuxFileSystem(),
        clock: any TimeSource = SystemClock(), entropy: any Entropy = SystemEntropy()
    ) throws -> Gateway {
        let directory = settings.dataDirectory
        do throws(FileError) {
            try fileSystem.createDirectory(directory)
        } catch {
            throw error.isMissing ? GatewayError.noParent(of: directory) : .file(error)
        }
        let lock = try wrap(GatewayError.lock) { () throws(DirectoryLockError) in
            try DirectoryLock(directory: directory, fileSystem: fileSystem)
        }
        try wrap(GatewayError.store) { () throws(StoreError) in try Store.prepareFiles(in: directory) }
        let names = try wrap(GatewayError.file) { () throws(FileError) in try fileSystem.list(directory) }
        let control = try wrap(GatewayError.store) { () throws(StoreError) in
            try openControl(
                settings, isNew: !names.contains(StoreFile.control.rawValue), clock: clock, entropy: entropy)
        }
        let record = control.directory
        guard record.identity.creditValue == settings.creditValue.dollarsText else {
            throw GatewayError.creditValue(
                found: record.identity.creditValue, wanted: settings.creditValue.dollarsText)
        }
        let book = try PriceBookStore(control, clock: clock).loadOrMake(creditValue: settings.creditValue)
        let signer = try wrap(GatewayError.store) { () throws(StoreError) in
            try quoteSigner(control, entropy: entropy)
        }
        let secret = HashKey(record.hashKey)
        let ledger = Ledger(
            secret: secret, shardCount: record.identity.shardCount, idsMax: settings.idsMax,
            holdsMax: settings.holdsMax)
        let (checkpoints, history) = try wrap(GatewayError.store) { () throws(StoreError) in
            (
                try CheckpointStore(directory: directory, identity: record.identity),
                try HistoryStore(
                    directory: directory, identity: record.identity, hashKey: secret,
                    rollupProgress: rollupProgress(logger))
            )
        }
        var report = RecoveryReport()
        report.epoch = record.epoch
        let memory = try wrap(GatewayError.file) { () throws(FileError) in try MemoryReserve() }
        let started = clock.monotonicNanoseconds()
        let journal = try recover(
            settings, record: record, ledger: ledger, checkpoints: checkpoints, history: history, lock: lock,
            fileSystem: fileSystem, clock: clock, entropy: entropy)
        report.entries = journal.recovery.entries
        report.nanoseconds = clock.monotonicNanoseconds() - started
        report.droppedTail = journal.recovery.droppedTail.map { tail in
            "\(tail.bytes) bytes at byte \(tail.offset) of \(tail.path), kept in \(tail.copy ?? "that segment")"
        }
        report.writeMode = "\(journal.recovery.mode)"
        let totals = ledger.totals()
        guard totals.balance else { throw GatewayError.booksDoNotBalance(totals) }
        report.accounts = totals.accounts
        let gateway = Gateway(
            settings: settings,
            parts: GatewayParts(
                ledger: ledger, journal: journal, control: control, checkpoints: checkpoints,
                history: history, clock: clock, lock: lock, memory: memory, signer: signer),
            book: book, recovery: report, logger: logger)
        try gateway.begin()
        return gateway
    }

    /// Starts the journal, keeps what was replayed in a new checkpoint, and starts the other threads.
    private func begin() throws {
        let priority = try journal.start(source: feed) { [logger] error in Self.end(logger, error) }
        flusherPriority.withLock { $0 = "\(priority)" }
        logger.info(
            "journal ready",
            metadata: [
                "write_mode": "\(recovery.writeMode)", "flusher_priority": "\(priority)",
                "epoch": "\(recovery.epoch)", "entries_replayed": "\(recovery.entries)",
                "accounts": "\(recovery.accounts)",
            ])
        if let tail = recovery.droppedTail {
            logger.warning("dropped a torn tail of the journal, nobody was told of it: \(tail)")
        }
        try Self.wrap(GatewayError.store) { () throws(StoreError) in
            if ledger.changedCount() > 0 || checkpoints.releasableLSN == nil { _ = try checkpoint() }
        }
        let started = try Workers(self)
        workers.withLock { $0 = started }
    }

    private static func openControl(
        _ settings: GatewaySettings, isNew: Bool, clock: any TimeSource, entropy: any Entropy
    ) throws(StoreError) -> ControlStore {
        let identity = DirectoryIdentity(
            id: DirectoryID(high: entropy.next(), low: entropy.next()).description,
            creditValue: settings.creditValue.dollarsText, shardCount: LedgerLimits.shardCount)
        return try ControlStore(
            directory: settings.dataDirectory, identity: isNew ? identity : nil, hashKey: entropy.bytes(16),
            now: clock.wallMicroseconds())
    }

    /// The secret behind quote tokens, made at the first start: a token outlives a restart.
    private static func quoteSigner(
        _ control: ControlStore, entropy: any Entropy
    ) throws(StoreError) -> QuoteSigner {
        let name = "quotes.secret"
        if let text = try control.setting(name) {
            guard let key = Hexadecimal.bytes(text), key.count == QuoteSigner.secretBytes else {
                throw StoreError.damagedRow(
                    file: .control, table: "settings", key: name, path: "",
                    reason: "it is not 64 hexadecimal digits; remove the row and outstanding quotes with it")
            }
            return QuoteSigner(secret: key)
        }
        let key = entropy.bytes(QuoteSigner.secretBytes)
        try control.set(name, to: Hexadecimal.text(key))
        return QuoteSigner(secret: key)
    }

    /// Restores the accounts from the checkpoint and replays the journal behind it.
    static func recover(
        _ settings: GatewaySettings, record: DirectoryRecord, ledger: Ledger, checkpoints: CheckpointStore,
        history: HistoryStore, lock: DirectoryLock, fileSystem: any FileSystem, clock: any TimeSource,
        entropy: any Entropy
    ) throws -> Journal {
        var fault: EntryError?
        let checkpoint = try wrap(GatewayError.store) { () throws(StoreError) in
            try checkpoints.load { (row) throws(StoreError) in
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
        }
        if let fault { throw GatewayError.entry(fault) }
        let sequences = checkpoint?.stamp.sequences ?? [UInt64](repeating: 0, count: ledger.shardCount)
        let position = history.position
        for shard in 0..<ledger.shardCount {
            ledger.setCheckpoint(
                shard: shard, sequence: sequences[shard],
                time: Timestamp(microseconds: checkpoint?.stamp.writtenAt ?? .min))
            ledger.restoreHistory(
                shard: shard, sequence: 0, horizon: Timestamp(microseconds: position.eventTimeMax[shard]))
        }
        var configuration = JournalConfiguration(
            directory: settings.dataDirectory + "/wal",
            quarantineDirectory: settings.dataDirectory + "/quarantine",
            directoryID: DirectoryID(hexadecimal: record.identity.id), segmentBytes: settings.segmentBytes)
        configuration.reserveBytes = settings.segmentBytes / 4
        let evidence = JournalEvidence(
            appliedLSN: min(checkpoint?.stamp.appliedLSN ?? 0, position.lsn),
            durableLSN: max(checkpoint?.stamp.durableLSN ?? 0, position.lsn),
            segmentID: checkpoint?.stamp.liveSegments.last.flatMap { UInt64($0) } ?? 0,
            mark: (checkpoint?.stamp.chain).flatMap { JournalMark($0) })
        do {
            return try Journal(
                configuration, lock: lock, fileSystem: fileSystem, clock: clock, entropy: entropy,
                evidence: evidence
            ) { batch in
                try replay(batch, into: ledger, sequences: sequences, historyLSN: position.lsn)
            }
        } catch let error as JournalError {
            throw GatewayError.journal(error)
        } catch let error as EntryError {
            throw GatewayError.entry(error)
        }
    }

    /// How many chunks ahead of the one that is replayed memory is asked for.
    private static let chunksAhead = 8

    private static func replay(
        _ batch: JournalBatch, into ledger: Ledger, sequences: [UInt64], historyLSN: UInt64
    ) throws(EntryError) {
        var pieces = PieceReader(batch.body)
        var ahead = PieceReader(batch.body)
        for _ in 0..<chunksAhead {
            if let chunk = try ahead.next() { ledger.prefetch(replaying: chunk) }
        }
        var lsn = batch.firstLSN
        while let chunk = try pieces.next() {
            if let chunk = try ahead.next() { ledger.prefetch(replaying: chunk) }
            let head = try ledger.replay(chunk) { sequences[$0] }
            lsn += UInt64(head.count)
            if lsn - 1 <= historyLSN {
                ledger.setHistory(shard: head.shard, sequence: head.firstSequence + UInt64(head.count) - 1)
            }
        }
    }

    /// Runs `body` and says in whose words it failed.
    static func wrap<Result, Failure: Error>(
        _ kind: (Failure) -> GatewayError, _ body: () throws(Failure) -> Result
    ) throws(GatewayError) -> Result {
        do throws(Failure) {
            return try body()
        } catch {
            throw kind(error)
        }
    }
}

extension CreditValue {
    /// The value in USD, as it is kept and shown.
    public var dollarsText: String { Picodollars(picodollarsPerCredit).text }
}

extension DirectoryID {
    /// The id behind 32 hexadecimal digits; anything else is its own, different id.
    init(hexadecimal text: String) {
        let middle = text.index(text.startIndex, offsetBy: min(16, text.count))
        self.init(
            high: UInt64(text[..<middle], radix: 16) ?? 0, low: UInt64(text[middle...], radix: 16) ?? 0)
    }
}

extension HashKey {
    /// The key in 16 bytes.
    init(_ bytes: [UInt8]) {
        precondition(bytes.count == 16)
        func word(_ start: Int) -> UInt64 {
            bytes[start..<start + 8].reversed().reduce(0) { $0 &<< 8 | UInt64($1) }
        }
        self.init(first: word(0), second: word(8))
    }
}
