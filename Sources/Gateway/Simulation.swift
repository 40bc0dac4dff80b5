// What would have been charged under other rules or other prices: recorded usage, priced once more.
//
// Every outcome of the history is walked in the order of the journal. What was charged is taken as it was
// recorded; what would have been is computed with another book:
//
//      other rules      on the base cost that was recorded, which the pinned catalogue gave
//      other prices     on the record itself, by the catalogue in question
//      parked usage     on the record itself, by the catalogue in question or in force: is it priced now?
//
// Monthly allowances are spent once more, wallet by wallet and rule by rule as the ledger does it, so the
// walk begins at the first of the month in which the period begins, and goes on behind its end: a report
// that came late may have been before others in the journal. A request id counts once, as it was charged
// once. The walk takes one thread that runs when nobody else wants to: with two cores, a second would take
// the flusher's or the traffic's.

import Bytes
import Ledger
import Pricing
import Store

/// What a simulation is asked.
public struct SimulationRequest: Sendable {
    /// The book in question.
    public var book: PriceBook
    /// Whether its prices are other ones than those that charges were made with.
    public var repricesBase: Bool
    /// Event times from here on; nil from the first.
    public var since: Timestamp?
    /// Event times before; nil to the last.
    public var until: Timestamp?
    /// Accounts that are told one by one.
    public var accountsMax: Int

    public init(
        book: PriceBook, repricesBase: Bool, since: Timestamp? = nil, until: Timestamp? = nil,
        accountsMax: Int = 20
    ) {
        self.book = book
        self.repricesBase = repricesBase
        self.since = since
        self.until = until
        self.accountsMax = accountsMax
    }
}

/// One replay.
struct Simulation {
    private let request: SimulationRequest
    private let walk: HistoryWalk
    /// Rows with earlier events matter to nobody.
    private let warmUpFrom: Timestamp
    private var table = SimulationTable()
    private var allowances = ReplayedAllowances()
    /// Parked ids that were counted, and whether the new book prices them: when one is settled later, it is
    /// the same usage.
    private var parked: [Hash128: Bool] = [:]
    private var unreadable = 0

    private static let parkedMax = 1 << 20

    init(_ request: SimulationRequest, history: HistoryStore) throws(StoreError) {
        self.request = request
        warmUpFrom = request.since.map { CalendarMonth(containing: $0).start } ?? .distantPast
        // An event may be ahead of the clock that recorded it.
        let (earliest, overflow) = warmUpFrom.microseconds.subtractingReportingOverflow(
            LedgerLimits.eventAheadMax.microseconds)
        walk = try history.walk(
            recordedSince: overflow ? nil : earliest, hasContent: request.repricesBase)
    }

    /// Walks to the end. `progress` hears of rows done and in all, and says whether to go on.
    ///
    /// - Returns: nil if it was told to stop.
    mutating func run(
        _ progress: (_ done: Int64, _ total: Int64) -> Bool
    ) throws(StoreError) -> SimulationReport? {
        var isGoingOn = progress(0, walk.rowCount)
        while isGoingOn {
            let more = try walk.next { row in add(row) }
            isGoingOn = progress(walk.rowsDone, walk.rowCount)
            if more { continue }
            var report = SimulationReport()
            table.fill(&report, accountsMax: request.accountsMax)
            report.rowsRead = walk.rowsDone
            report.unreadable = unreadable
            report.creditValue.picodollarsPerCredit = request.book.creditValue.picodollarsPerCredit
            return report
        }
        return nil
    }

    private mutating func add(_ row: WalkedUsage) {
        let eventTime = Timestamp(microseconds: row.eventTime)
        guard eventTime >= warmUpFrom else { return }
        let isCounted =
            eventTime >= request.since ?? .distantPast && eventTime < request.until ?? .distantFuture
        var sum = SimulationSum()
        sum.records = 1
        sum.charge = Int128(row.charge)
        sum.fee = Int128(row.fee)
        sum.cost = row.isBYOK ? 0 : Int128(row.baseCost)
        sum.parkedBefore = row.isParked ? 1 : 0
        if !row.isParked, !parked.isEmpty, let wasPriced = parked.removeValue(forKey: row.idKey) {
            // Settled: what it was charged belongs to the record that was counted when it was parked.
            sum.records = 0
            sum.parkedBefore = -1
            if wasPriced {
                if isCounted { count(sum, row) }
                return
            }
            sum.parkedAfter = -1
        }
        switch price(row, at: eventTime) {
        case .priced(let priced):
            let free = allowances.use(
                priced, wallet: row.wallet.isEmpty ? row.account : row.wallet, eventTime: eventTime)
            sum.newFee = Int128(priced.fee)
            sum.newCharge = Int128(priced.fee - free)
            sum.newCost = row.isBYOK ? 0 : Int128(priced.baseCost)
            if row.isParked { note(row, isPriced: true) }
        case .parked:
            sum.parkedAfter += 1
            if row.isParked { note(row, isPriced: false) }
        case .refused:
            // The provider was paid all the same.
            sum.refusedAfter = 1
            sum.newCost = sum.cost
        }
        sum.changed = sum.newCharge == sum.charge ? 0 : 1
        if isCounted { count(sum, row) }
    }

    private mutating func note(_ row: WalkedUsage, isPriced: Bool) {
        if parked.count < Self.parkedMax { parked[row.idKey] = isPriced }
    }

    private mutating func count(_ sum: SimulationSum, _ row: WalkedUsage) {
        table.add(
            sum, isBYOK: row.isBYOK, tier: table.tiers.number(of: row.tier),
            provider: table.providers.number(of: row.provider),
            model: table.models.number(of: row.model), account: table.accounts.number(of: row.account))
    }

    private mutating func price(_ row: WalkedUsage, at eventTime: Timestamp) -> PricingOutcome {
        guard row.isParked || request.repricesBase else {
            return request.book.price(
                baseCost: row.baseCost, source: row.isBYOK ? .byok : .platform,
                providerSlot: request.book.providerSlot(of: row.provider),
                tierSlot: request.book.tierSlot(of: row.tier), at: eventTime)
        }
        do throws(UnpackingError) {
            return request.book.price(try RecordContent.read(row.content), tier: row.tier)
        } catch {
            unreadable += 1
            return .parked(.invalidUsage, .none)
        }
    }
}

/// The monthly allowances of a replay, by wallet and rule, as the ledger spends them.
struct ReplayedAllowances {
    private struct Place: Hashable {
        var wallet: UInt32
        var rule: UInt32
    }

    /// The two newest months of one rule of one wallet.
    private struct Use {
        var newest: CalendarMonth
        var used: Int64
        var usedBefore: Int64
    }

    /// Wallets that use an allowance; beyond so many they share one, which a report of that size shows as
    /// too little.
    private var wallets = NumberedNames(countMax: 1 << 24)
    private var uses: [Place: Use] = [:]

    /// What of the fee is free, and takes note of it.
    mutating func use(_ priced: PricedUsage, wallet: ByteView, eventTime: Timestamp) -> Int64 {
        guard priced.monthlyAllowance > 0, priced.fee > 0 else { return 0 }
        let place = Place(wallet: UInt32(wallets.number(of: wallet)), rule: priced.ruleNumber)
        let month = CalendarMonth(containing: eventTime)
        var use = uses[place] ?? Use(newest: month, used: 0, usedBefore: 0)
        // A month before the one before the newest has none left.
        if month.next < use.newest { return 0 }
        if month > use.newest {
            use.usedBefore = use.newest.next == month ? use.used : 0
            use.used = 0
            use.newest = month
        }
        let used = month == use.newest ? use.used : use.usedBefore
        let free = min(max(0, priced.monthlyAllowance - used), priced.fee)
        if month == use.newest { use.used += free } else { use.usedBefore += free }
        uses[place] = use
        return free
    }
}
