// The middle: price, decide, make durable, answer. In one place.
//
//      lanes (event loops) ──report──→ ledger ──staged──→ journal ──durable──→ lanes answer
//                                        │                   │
//                              checkpoint (ledger.db)   history (history.db)
//
// Answers wait for the journal, never for SQLite: the checkpoint shortens the next start, and the
// history serves people; both follow behind and say how far they have come.

import Bytes
import Journal
import Ledger
import Logging
import Money
import Platform
import Pricing
import Store
import Synchronization

/// A gateway on one data directory. All functions may be called from any thread.
public final class Gateway: Sendable {
    public let settings: GatewaySettings
    public let ledger: Ledger
    let journal: Journal
    let control: ControlStore
    let checkpoints: CheckpointStore
    let history: HistoryStore
    let clock: any TimeSource
    let logger: Logger
    let feed: JournalFeed
    let counters = Counters()
    let lock: DirectoryLock
    let memory: MemoryReserve
    let signer: QuoteSigner
    /// How long a quote's token is good for; computed once, not for each.
    let quoteValidMicroseconds: Int64
    let pinnedBooks = PinnedBooks()
    /// What happened at start.
    public let recovery: RecoveryReport

    /// The priority that the journal's thread got; without one above the others an answer may wait for
    /// the processor.
    public var journalPriority: String { flusherPriority.withLock { $0 } }

    private let book: Mutex<PriceBook>
    private let bookVersion = Atomic<UInt64>(1)
    private let malformed = Atomic<Int>(0)
    private let isDraining = Atomic<Bool>(false)
    /// The priority that the journal's thread got.
    let flusherPriority = Mutex("")
    let checkpointFigures = Mutex(CheckpointFigures())
    let historyFigures = Mutex(HistoryFigures())
    let workers = Mutex<Workers?>(nil)
    let simulations = SimulationJobs()
    private let shadowBook = Mutex<Shadow?>(nil)
    private let shadowVersion = Atomic<UInt64>(0)

    init(
        settings: GatewaySettings, parts: GatewayParts, book: PriceBook, recovery: RecoveryReport,
        logger: Logger
    ) {
        self.settings = settings
        ledger = parts.ledger
        journal = parts.journal
        control = parts.control
        checkpoints = parts.checkpoints
        history = parts.history
        clock = parts.clock
        lock = parts.lock
        memory = parts.memory
        signer = parts.signer
        quoteValidMicroseconds = settings.quoteValid.components.seconds * 1_000_000
        self.book = Mutex(book)
        self.recovery = recovery
        self.logger = logger
        feed = JournalFeed(
            ledger: parts.ledger, pieceBytesMax: min(1 << 20, parts.journal.pieceBytesMax),
            stagedBytesMax: settings.stagedBytesMax)
    }

    // MARK: - For lanes

    /// The time, from the machine's clock.
    public func now() -> Timestamp { Timestamp(microseconds: clock.wallMicroseconds()) }

    /// The last journal cycle that is durable.
    @inline(__always)
    public var durableCycle: UInt64 { journal.durableCycle }

    /// Counts changes of the price book.
    var bookNumber: UInt64 { bookVersion.load(ordering: .acquiring) }

    /// The prices and rules in force, and the number of this book.
    func currentBook() -> (PriceBook, UInt64) {
        let number = bookNumber
        return (book.withLock { $0 }, number)
    }

    /// The prices and rules in force.
    public var priceBook: PriceBook { currentBook().0 }

    /// Held while another book is made and put in force, so that two changes follow each other.
    let bookChange = Mutex(())

    /// Puts another book in force for every record decided from now on. What quotes pinned of the one
    /// before is kept.
    func replaceBook(_ newBook: PriceBook) {
        let old = book.withLock { book in
            defer { book = newBook }
            return book
        }
        if old.catalogueVersion != newBook.catalogueVersion { pinnedBooks.keep(old) }
        bookVersion.add(1, ordering: .acquiringAndReleasing)
    }

    /// Counts changes of the shadow.
    var shadowNumber: UInt64 { shadowVersion.load(ordering: .acquiring) }

    /// The draft that counts beside live traffic, if there is one, and the number of this change.
    func currentShadow() -> (Shadow?, UInt64) {
        let number = shadowNumber
        return (shadowBook.withLock { $0 }, number)
    }

    /// Puts another draft, or none, beside live traffic. Returns what was there.
    func replaceShadow(_ new: Shadow?) -> Shadow? {
        let old = shadowBook.withLock { shadow in
            defer { shadow = new }
            return shadow
        }
        shadowVersion.add(1, ordering: .acquiringAndReleasing)
        return old
    }

    /// Why nothing can be recorded now; nil while all is well.
    @inline(__always)
    func admissionFault() -> Refusal? {
        if journal.admission == .open, !isOverloaded.load(ordering: .relaxed) { return nil }
        return journal.admission == .diskFull ? Refusal(.diskFull) : Refusal(.overloaded)
    }

    /// Set while history is so far behind that the journal's bound is reached.
    let isOverloaded = Atomic<Bool>(false)

    /// Set while it was said that the history is nearly as far behind as ids can be remembered.
    let isShortOfIDs = Atomic<Bool>(false)

    /// Hands what a mark saw to the journal, and returns the cycle that makes it durable: at most
    /// `durableCycle` when nothing is to be waited for. See `AnswerMark` for why this is enough.
    func settle(_ mark: AnswerMark) -> UInt64 {
        if mark.stagedShards.isEmpty { return mark.takenCycle }
        return max(handOver(mark.stagedShards), mark.takenCycle)
    }

    /// Hands what these shards have staged to the journal and wakes it. Returns the cycle that takes it at
    /// the latest.
    func handOver(_ shards: ShardSet) -> UInt64 {
        let cycle = feed.handOver(shards, journal: journal)
        journal.wake()
        return cycle
    }

    /// The journal is so far behind that connections should not be read.
    public var isCongested: Bool { feed.isCongested }

    /// Bytes of entries that wait for the journal.
    public var stagedBytes: Int { feed.waitingBytes }

    /// Asks to hear of every cycle that becomes durable.
    public func add(_ listener: any DurabilityListener) { feed.durability.add(listener) }

    /// Tells a listener nothing more.
    public func remove(_ listener: any DurabilityListener) { feed.durability.remove(listener) }

    /// Asks history about ids and holds that are older than what is remembered, and makes the books that quotes have
    /// pinned; the answers come on another thread, in the order of `keys`.
    public func askHistory(
        _ keys: [RecordKeys], pinned: [PinnedVersions] = [],
        then answer: @escaping @Sendable ([HistoryAnswer]) -> Void
    ) {
        workers.withLock { $0?.lookups.ask(keys, pinned: pinned, then: answer) }
    }

    func merge(_ counts: inout ReportCounts) { counters.merge(&counts) }

    /// Counts bytes that could not be read as frames.
    public func count<Failure: Error>(malformed failure: Failure) {
        malformed.add(1, ordering: .relaxed)
        logger.debug("a connection sent what is not a frame: \(failure)")
    }

    /// Frames that could not be read, since the start.
    public var malformedFrames: Int { malformed.load(ordering: .relaxed) }

    /// Whether calls may be served: true from recovery to drain.
    public var isReady: Bool { !isStopping && journal.admission == .open }

    /// A stop has begun, or is about to.
    var isStopping: Bool { isDraining.load(ordering: .relaxed) }

    /// Says that the gateway is about to stop, so that readiness turns false first.
    public func beginDrain() { isDraining.store(true, ordering: .relaxed) }

    /// Returns when `mark`'s state is durable.
    func whenDurable(_ mark: AnswerMark) async {
        let cycle = settle(mark)
        if cycle > durableCycle { await feed.durability.wait(for: cycle) }
    }

    /// Stops: everything staged is made durable, a last checkpoint is taken, every thread has ended. The files are
    /// closed when the gateway is released.
    public func stop() async { await stop(isClean: true) }

    /// Stops; when it is not clean, history and checkpoint are left behind the journal, as a crash leaves them.
    func stop(isClean: Bool) async {
        beginDrain()
        let simulations = stopSimulations()
        let running = workers.withLock { workers in
            defer { workers = nil }
            return workers
        }
        if let running { await running.stop(isClean: isClean, joining: simulations) }
        feed.durability.removeListeners()
        lock.release()
    }
}
