// A draft beside live traffic: what each charged record would have been charged under it, counted by tier and
// provider. Nobody is charged by it, and nobody waits for it.
//
//      lane: receipt ─→ price with the draft's book ─→ sums of the lane ─→ (at hand-over) sums of the shadow
//
// What is compared are fees before the monthly allowance: a lane does not know what a wallet would have left
// under the draft. `simulate` does. A shadow lives in memory: it ends with the process, and its counts with it.

import Bytes
import Ledger
import Pricing
import Store
import Synchronization

/// What was counted of one tier and provider. Nanocredits, before allowances.
public struct ShadowSum: Hashable, Sendable {
    public var records = 0
    public var liveFee: Int128 = 0
    public var draftFee: Int128 = 0
    /// Records that the draft has no rule or no price for.
    public var refused = 0

    public init() {}

    static func += (left: inout ShadowSum, right: ShadowSum) {
        left.records += right.records
        left.liveFee += right.liveFee
        left.draftFee += right.draftFee
        left.refused += right.refused
    }
}

/// A draft that counts.
public final class Shadow: Sendable {
    public let startedAt: Timestamp
    public let actor: String
    public let book: PriceBook
    /// The newest rule version that was in force when it was made: later changes of the rules are not in it.
    public let madeFromVersion: UInt32
    /// Whether records are priced anew, or their base cost is taken as it was charged.
    let repricesBase: Bool
    /// Places of tiers and of providers; more of them than are counted apart are one.
    let tierCount: Int
    let providerCount: Int
    private let sums: Mutex<[ShadowSum]>

    /// Cells that are counted apart, for each lane and for all: some 5 MB each at the most.
    static let cellsMax = 1 << 16

    init(_ book: PriceBook, repricesBase: Bool, madeFromVersion: UInt32, startedAt: Timestamp, actor: String)
    {
        self.book = book
        self.repricesBase = repricesBase
        self.madeFromVersion = madeFromVersion
        self.startedAt = startedAt
        self.actor = actor
        tierCount = book.tierNames.count
        let providers = book.providerNames.count
        providerCount = 2 * tierCount * providers <= Self.cellsMax ? providers : 1
        sums = Mutex([ShadowSum](repeating: ShadowSum(), count: 2 * tierCount * providerCount))
    }

    var cellCount: Int { 2 * tierCount * providerCount }

    @inline(__always)
    func cell(_ source: CredentialSource, tierSlot: UInt8, providerSlot: Int) -> Int {
        ((source == .byok ? tierCount : 0) + Int(tierSlot)) * providerCount
            + (providerCount > 1 ? providerSlot : 0)
    }

    func add(_ cells: [ShadowSum], touched: [Int]) {
        sums.withLock { sums in
            for cell in touched { sums[cell] += cells[cell] }
        }
    }

    /// One tier and provider, and what was counted.
    public struct Row: Hashable, Sendable {
        public var source: CredentialSource
        /// Empty for a tier that no rule names.
        public var tier: String
        /// Empty for any other provider.
        public var provider: String
        public var sum: ShadowSum
    }

    /// What was counted so far, of every tier and provider that had traffic.
    public var rows: [Row] {
        let sums = sums.withLock { $0 }
        var rows: [Row] = []
        for (index, sum) in sums.enumerated() where sum.records > 0 {
            let place = index / providerCount
            rows.append(
                Row(
                    source: place >= tierCount ? .byok : .platform,
                    tier: book.tierNames[place % tierCount],
                    provider: providerCount > 1 ? book.providerNames[index % providerCount] : "", sum: sum))
        }
        return rows
    }
}

/// The sums of one lane. Allocates when it is made, never for a record.
struct ShadowLane {
    private let shadow: Shadow
    private var cells: [ShadowSum]
    /// Cells with something in them, and whether a cell is among them.
    private var touched: [Int] = []
    /// By place of a tier in the live book: its place in the draft's.
    private var tierSlots: [UInt8] = []

    init(_ shadow: Shadow, beside book: PriceBook) {
        self.shadow = shadow
        cells = [ShadowSum](repeating: ShadowSum(), count: shadow.cellCount)
        touched.reserveCapacity(shadow.cellCount)
        follow(book)
    }

    /// Another book is in force.
    mutating func follow(_ book: PriceBook) {
        tierSlots = book.tierNames.map { name in name.withView { shadow.book.tierSlot(of: $0) } }
    }

    /// Counts a record that was just charged.
    @inline(never)
    mutating func count(_ record: borrowing UsageRecord, _ receipt: ReportReceipt) {
        guard !receipt.duplicate, receipt.state == .charged, let source = record.credentialSource else {
            return
        }
        let tierSlot = tierSlots[Int(receipt.tierSlot)]
        let providerSlot = shadow.book.providerSlot(of: record.provider)
        let cell = shadow.cell(source, tierSlot: tierSlot, providerSlot: providerSlot)
        if cells[cell].records == 0 { touched.append(cell) }
        cells[cell].records += 1
        // Of a late report the end of its hold's lease had charged a part, or more than it.
        cells[cell].liveFee +=
            Int128(receipt.charge) + Int128(receipt.allowanceUsed) + Int128(receipt.orphanCharge)
            - Int128(receipt.givenBack)
        var priced = PricedUsage()
        let outcome =
            shadow.repricesBase
            ? PricingOutcome(shadow.book.price(record, tierSlot: tierSlot, into: &priced), priced)
            : shadow.book.price(
                baseCost: receipt.baseCost, source: source, providerSlot: providerSlot, tierSlot: tierSlot,
                at: record.eventTime)
        if case .priced(let priced) = outcome {
            cells[cell].draftFee += Int128(priced.fee)
        } else {
            cells[cell].refused += 1
        }
    }

    /// Hands what was counted to the shadow.
    mutating func merge() {
        guard !touched.isEmpty else { return }
        shadow.add(cells, touched: touched)
        for cell in touched { cells[cell] = ShadowSum() }
        touched.removeAll(keepingCapacity: true)
    }
}

extension Gateway {
    /// The draft that counts beside live traffic; nil without one.
    public var shadow: Shadow? { currentShadow().0 }

    /// Begins to count what a draft would charge, from the next read of each connection on. A draft that is
    /// there already ends. Blocks for a durable line in the audit.
    public func startShadow(_ draft: WhatIfDraft, actor: String) throws(AdministrationError) -> Shadow {
        let book = try whatIf(draft)
        let new = Shadow(
            book, repricesBase: draft.hasPrices, madeFromVersion: rules.versions.last?.head.version ?? 0,
            startedAt: now(), actor: actor)
        try storing { () throws(StoreError) in
            try control.add(
                AuditNote(
                    at: new.startedAt.microseconds, actor: actor, action: "shadow.start", subject: "shadow",
                    new: String(decoding: book.rules.canonicalBytes, as: UTF8.self)))
        }
        _ = replaceShadow(new)
        return new
    }

    /// Ends it. Returns what was there; nil if there was none.
    public func stopShadow(actor: String) throws(AdministrationError) -> Shadow? {
        guard shadow != nil else { return nil }
        try storing { () throws(StoreError) in
            try control.add(
                AuditNote(
                    at: clock.wallMicroseconds(), actor: actor, action: "shadow.stop", subject: "shadow"))
        }
        return replaceShadow(nil)
    }
}
