// A lane: what one event loop needs to take reports through the middle without allocating.
//
// The frames of one read are prepared first, all of them: checked, hashed, brought into canonical form,
// their table slots prefetched. Then they are decided one after another, and by then the slots are in
// the cache. A lane belongs to one thread.

import Bytes
import Ledger
import Pricing

/// A slot for each of the calls that are prepared before the first of them is decided: enough to overlap cache
/// misses, few enough that their records stay near the processor.
public typealias CallSlots<Element: ~Copyable> = InlineArray<64, Element>

/// A call on its way: its keys, and where the canonical form of its record stands in the lane. A value to be filled,
/// and filled again.
public struct PreparedReport: ~Copyable, Sendable {
    private let byAddress = LentByAddress()
    public internal(set) var keys = RecordKeys.none
    var contentStart = 0
    var contentEnd = 0
    /// Why the record goes no further.
    public internal(set) var fault: Refusal?
    /// The record is so old that history must be asked about its id first, or `pinned` is to be made.
    public fileprivate(set) var needsHistory = false
    /// The request for a hold had no event time: its record was given one.
    var lacksEventTime = false
    /// Where more than the account's row is to be asked for.
    fileprivate var levels = LevelCursor.end
    /// What the record's quote has pinned and no book at hand holds.
    public fileprivate(set) var pinned: PinnedVersions?

    public init() {}

    /// Of a call whose fields are at fault; nothing else is known of it.
    public mutating func fail(_ refusal: Refusal) {
        clear()
        fault = refusal
    }

    /// Forgets what not every call sets; the rest is written before it is read.
    mutating func clear() {
        fault = nil
        levels = .end
        needsHistory = false
        pinned = nil
        keys.hold = RecordKeys.none.hold
    }
}

/// Takes the reports of one thread through pricing and ledger. Not shared between threads.
public struct Lane: ~Copyable {
    /// Else each function that only reads would be lent a copy.
    private let byAddress = LentByAddress()
    let gateway: Gateway
    let ledger: Ledger
    /// The canonical forms of the records of prepared calls, and what holds keep of theirs.
    var contents = BytePacker(capacity: 1 << 16)
    var book: PriceBook
    private var bookNumber: UInt64
    var now = Timestamp(microseconds: 0)
    /// What the answers of this read wait for.
    var mark = AnswerMark()
    /// The shards that the reads since the last hand-over saw with staged entries.
    private var staged = ShardSet()
    /// The cycle that takes what was handed over last.
    private var handedCycle: UInt64 = 0
    var counts = ReportCounts()
    /// A draft that counts beside; nil without one.
    private var shadow: ShadowLane?
    private var shadowNumber: UInt64 = 0
    /// The last quote, and what belongs to it; valid until the next.
    public internal(set) var room = QuoteRoom()
    /// What a hold's digest is taken over; reused.
    var signing = BytePacker(capacity: 512)

    public init(_ gateway: Gateway) {
        self.gateway = gateway
        ledger = gateway.ledger
        (book, bookNumber) = gateway.currentBook()
    }

    /// Begins a read: takes the clock and the prices in force.
    public mutating func begin() {
        now = gateway.now()
        if gateway.bookNumber != bookNumber {
            (book, bookNumber) = gateway.currentBook()
            shadow?.follow(book)
        }
        if gateway.shadowNumber != shadowNumber { takeShadow() }
        clearPrepared()
        mark = AnswerMark()
    }

    @inline(never)
    private mutating func takeShadow() {
        shadow?.merge()
        let (found, number) = gateway.currentShadow()
        shadow = found.map { ShadowLane($0, beside: book) }
        shadowNumber = number
    }

    /// Forgets the canonical forms of records that were decided, to make room for more of the same read.
    public mutating func clearPrepared() {
        contents.clear()
    }

    /// Begins to prepare a call: the keys of its account, and whether its event time is one.
    @inline(__always)
    func place(_ account: ByteView, eventTime: Timestamp, into prepared: inout PreparedReport) {
        prepared.clear()
        do throws(AccountPath.Fault) {
            (prepared.keys.organisation, prepared.keys.account) = try ledger.keys.account(unchecked: account)
        } catch {
            prepared.fault = Refusal(.invalidArgument, field: .account, fault: error)
            return
        }
        let latest = now.microseconds + LedgerLimits.eventAheadMax.microseconds
        if eventTime.microseconds > latest {
            prepared.fault = Refusal(
                .invalidArgument, field: .eventTime, found: eventTime.microseconds, expected: latest)
        }
    }

    /// `prepare(_:into:)` for one record.
    public mutating func prepare(_ record: borrowing UsageRecord) -> PreparedReport {
        var prepared = PreparedReport()
        prepare(record, into: &prepared)
        return prepared
    }

    /// Checks a record whose fields are within their limits, computes its keys and prefetches its slots.
    public mutating func prepare(_ record: borrowing UsageRecord, into prepared: inout PreparedReport) {
        place(record.account, eventTime: record.eventTime, into: &prepared)
        if prepared.fault != nil { return }
        let maker = ledger.keys
        prepared.keys.request = maker.request(record.requestID, organisation: prepared.keys.organisation)
        if !record.holdID.isEmpty {
            prepared.keys.hold = maker.hold(record.holdID, organisation: prepared.keys.organisation)
            ledger.prefetchID(prepared.keys.hold, organisation: prepared.keys.organisation)
            ledger.prefetchHoldLists(prepared.keys.hold, organisation: prepared.keys.organisation)
        }
        ledger.prefetch(
            prepared.keys.organisation, account: prepared.keys.account, request: prepared.keys.request)
        prepared.contentStart = contents.count
        RecordContent.append(record, to: &contents)
        prepared.contentEnd = contents.count
        prepared.keys.digest = maker.digest(contents.view[prepared.contentStart..<prepared.contentEnd])
        prepared.needsHistory = ledger.mayNeedHistory(
            prepared.keys.organisation, eventTime: record.eventTime)
        if !record.quoteToken.isEmpty {
            prepared.pinned = gateway.missingBook(record, book: book)
            prepared.needsHistory = prepared.needsHistory || prepared.pinned != nil
        }
    }

    /// Asks for the lines that a quote will need. What is wrong with its account is said when it is priced. Without
    /// an event time the record is for now.
    public mutating func prepare(quote record: inout UsageRecord, into prepared: inout PreparedReport) {
        prepared.clear()
        if record.eventTime.microseconds <= 0 { record.eventTime = now }
        do {
            (prepared.keys.organisation, prepared.keys.account) = try ledger.keys.account(
                unchecked: record.account)
            ledger.prefetchSlots(prepared.keys.organisation, account: prepared.keys.account)
        } catch {
            prepared.fault = Refusal(.invalidArgument, field: .account, fault: error)
        }
    }

    /// So many calls before its own turn, each thing that a call needs from memory is asked for. The address of one stands
    /// in another, which has come by then. Asked for all at once, they would wait for each other, and nothing would be
    /// asked for while the calls are decided.
    private enum Lead {
        static let row = 12
        static let hold = 8
        /// What stands one, two and three steps from the row.
        static let levels = [8, 5, 2] as InlineArray<3, Int>
    }

    /// Asks for what the first of `count` prepared calls need. The rest are asked for by `prefetch(behind:)`.
    public func prefetchFirst(of count: Int, _ prepared: inout CallSlots<PreparedReport>) {
        if count == 1 { return }
        for index in -Lead.row..<0 { prefetch(behind: index, of: count, &prepared) }
    }

    /// Asks for what calls behind the one that is to be decided now need: the rows of their accounts, the accounts above
    /// and the budgets of each, and their holds.
    @inline(__always)
    public func prefetch(behind index: Int, of count: Int, _ prepared: inout CallSlots<PreparedReport>) {
        if index + Lead.row < count {
            let keys = prepared[index + Lead.row].keys
            prepared[index + Lead.row].levels = ledger.prefetchAccount(
                keys.organisation, account: keys.account)
        }
        prefetchLevels(behind: index, of: count, &prepared)
    }

    @inline(__always)
    private func prefetchLevels(
        behind index: Int, of count: Int, _ prepared: inout CallSlots<PreparedReport>
    ) {
        let hold = index + Lead.hold
        if hold >= 0, hold < count, prepared[hold].keys.isAboutHold {
            ledger.prefetchHold(prepared[hold].keys)
        }
        for step in Lead.levels.indices {
            let call = index + Lead.levels[step]
            if call >= 0, call < count, !prepared[call].levels.isAtEnd {
                ledger.prefetchLevels(prepared[call].keys.organisation, &prepared[call].levels)
            }
        }
    }

    /// Whether any record with an event time from `earliest` on may need history or a book that is not at hand.
    ///
    /// - Parameter refersBack: whether any has a quote's token or names a hold.
    public func mayNeedHistory(earliest: Timestamp, refersBack: Bool) -> Bool {
        refersBack || ledger.mayNeedHistory(earliest: earliest)
    }

    /// Decides a prepared record.
    ///
    /// - Returns: `.askHistory` only for a record that names a hold which memory does not know, and only while
    ///   history was not asked.
    public mutating func decide(
        _ record: borrowing UsageRecord, _ prepared: borrowing PreparedReport,
        history: HistoryAnswer = .notAsked
    ) -> ReportDecision {
        var receipt = Receipt()
        return ReportDecision(decide(record, prepared, history: history, into: &receipt), receipt)
    }

    /// The same in place: returns why there is no receipt; nil if `receipt` is it. Allocates nothing.
    public mutating func decide(
        _ record: borrowing UsageRecord, _ prepared: borrowing PreparedReport,
        history: HistoryAnswer = .notAsked, into receipt: inout Receipt
    ) -> NoReceipt? {
        if let fault = prepared.fault {
            counts.count(refusal: fault.reason)
            return .refused(fault)
        }
        if let closed = gateway.admissionFault() {
            counts.count(refusal: closed.reason)
            return .refused(closed)
        }
        let content = contents.view[prepared.contentStart..<prepared.contentEnd]
        let fault =
            record.quoteToken.isEmpty
            ? ledger.report(
                record, keys: prepared.keys, content: content, book: book, now: now, history: history,
                mark: &mark, into: &receipt)
            : decidePinned(record, prepared.keys, content, history: history, into: &receipt)
        switch fault {
        case nil:
            counts.count(
                duplicate: receipt.duplicate, state: receipt.state, charge: receipt.charge,
                source: record.credentialSource ?? .platform)
            if shadow != nil { shadow?.count(record, receipt) }
            return nil
        case .refused(let refusal)
        where refusal.reason == .accountNotFound && gateway.autoOpen(record.account, now: now, mark: &mark):
            // It is there now, so this comes here once.
            return decide(record, prepared, history: history, into: &receipt)
        case .refused(let refusal):
            let refusal = explained(
                Self.fault(of: record.account, insteadOf: refusal), record, prepared.keys)
            counts.count(refusal: refusal.reason)
            return .refused(refusal)
        case .askHistory:
            // Memory does not know the hold: whoever called asks, and decides again.
            if !record.holdID.isEmpty, case .notAsked = history { return .askHistory }
            // The record left memory between preparing and deciding it: a moment later it is known.
            counts.count(refusal: .overloaded)
            return .refused(Refusal(.overloaded))
        }
    }

    /// Decides a record that carries a quote's token.
    @inline(never)
    private mutating func decidePinned(
        _ record: borrowing UsageRecord, _ keys: RecordKeys, _ content: ByteView, history: HistoryAnswer,
        into receipt: inout Receipt
    ) -> NoReceipt? {
        let (pin, pinnedBook) = gateway.pin(record, book: book)
        return ledger.report(
            record, keys: keys, content: content, book: pinnedBook, pin: pin, now: now, history: history,
            mark: &mark, into: &receipt)
    }

    /// The grammar of a path is only looked at when no account was found under it, or when its id met another
    /// content: that is where a path outside the grammar ends.
    static func fault(of account: ByteView, insteadOf refusal: Refusal) -> Refusal {
        guard refusal.reason == .accountNotFound || refusal.reason == .idempotencyConflict else {
            return refusal
        }
        do throws(AccountPath.Fault) {
            _ = try AccountPath.organisationCount(of: account)
            return refusal
        } catch {
            return Refusal(.invalidArgument, field: .account, fault: error)
        }
    }

    /// Counts a record that was refused before it came here.
    public mutating func countRefusal(_ refusal: Refusal) { counts.count(refusal: refusal.reason) }

    /// Prices a prepared quote against an account. Returns why it is refused, else the quote is `quoted`. Changes
    /// nothing but what has expired. Allocates nothing.
    public mutating func quote(
        _ record: borrowing UsageRecord, _ prepared: borrowing PreparedReport, _ options: QuoteOptions
    ) -> Refusal? {
        counts.quotes += 1
        if let fault = prepared.fault { return fault }
        let refusal = gateway.quote(
            record, prepared.keys, options, book: book, now: now, room: &room, mark: &mark)
        return refusal.map { Self.fault(of: record.account, insteadOf: $0) }
    }

    /// What an account may spend now; nil when there is no such account.
    public mutating func balance(of path: ByteView) throws(AccountPath.Fault) -> AccountSummary? {
        try ledger.summary(of: path, now: now, mark: &mark)
    }

    /// Ends a read and returns what its answers wait for; `cycle(for:)` tells when that is durable, once
    /// `handOver` was called.
    public mutating func endRead() -> AnswerMark {
        staged.formUnion(mark.stagedShards)
        return mark
    }

    /// Hands what was staged by all reads since the last time to the journal, and wakes it: once for
    /// everything that an event loop found to read, so that a wake-up and a batch are shared.
    public mutating func handOver() {
        if counts.isWorthMerging { gateway.merge(&counts) }
        if shadow != nil { shadow?.merge() }
        guard !staged.isEmpty else { return }
        handedCycle = gateway.handOver(staged)
        staged = ShardSet()
    }

    /// The cycle that answers with this mark wait for, after `handOver`: at most `gateway.durableCycle` when
    /// they may leave at once.
    public func cycle(for mark: AnswerMark) -> UInt64 {
        mark.stagedShards.isEmpty ? mark.takenCycle : max(handedCycle, mark.takenCycle)
    }

    /// Ends a read that shares nothing with others: `endRead`, `handOver` and `cycle(for:)` in one.
    public mutating func end() -> UInt64 {
        let mark = endRead()
        handOver()
        return cycle(for: mark)
    }
}

extension Refusal {
    /// A refusal of a path outside the grammar, with its figures.
    public init(_ reason: Reason, field: RecordField, fault: AccountPath.Fault) {
        switch fault {
        case .empty: self.init(reason, field: field, found: 0, expected: Int64(AccountPath.bytesMax))
        case .tooLong(let bytes):
            self.init(reason, field: field, found: Int64(bytes), expected: Int64(AccountPath.bytesMax))
        case .tooDeep(let segments):
            self.init(reason, field: field, found: Int64(segments), expected: Int64(AccountPath.segmentsMax))
        case .emptySegment(let at), .badByte(_, let at):
            self.init(reason, field: field, found: Int64(at), expected: 0)
        }
    }
}
