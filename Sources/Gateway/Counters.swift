// What the gateway counts about its own work, for `/metrics`.
//
// Lanes count in plain integers and merge them now and then under one lock, so counting costs a report
// an addition and no shared cache line.

import Ledger
import Pricing
import Synchronization

/// Counts of one lane since it last merged, or of the whole gateway.
public struct ReportCounts: Sendable {
    public var charged = 0
    public var parked = 0
    public var duplicates = 0
    /// Parked records that were charged after all, and that were given up.
    public var settled = 0
    public var discarded = 0
    public var refused = 0
    public var quotes = 0
    /// Holds opened.
    public var holds = 0
    /// Nanocredits charged, by credential source.
    public var platformCharged: Int128 = 0
    public var byokCharged: Int128 = 0
    /// By `Reason.rawValue`.
    private var refusals = [Int](repeating: 0, count: Reason.allCases.count)

    public init() {}

    /// Refusals for a reason.
    public func refusals(for reason: Reason) -> Int { refusals[Int(reason.rawValue)] }

    mutating func count(refusal: Reason) {
        refused += 1
        refusals[Int(refusal.rawValue)] += 1
    }

    /// Counts a receipt by what it says: it was written just now, and a copy of all of it would wait for that.
    @inline(__always)
    mutating func count(duplicate: Bool, state: ReceiptState, charge: Int64, source: CredentialSource) {
        if duplicate {
            duplicates += 1
            return
        }
        if state == .parked { parked += 1 } else { charged += 1 }
        switch source {
        case .platform: platformCharged += Int128(charge)
        case .byok: byokCharged += Int128(charge)
        }
    }

    /// Counts the end of a parked record.
    mutating func count(end receipt: Receipt, source: CredentialSource) {
        if receipt.state == .discarded { discarded += 1 } else { settled += 1 }
        switch source {
        case .platform: platformCharged += Int128(receipt.charge)
        case .byok: byokCharged += Int128(receipt.charge)
        }
    }

    /// Whether there is anything to merge.
    var isWorthMerging: Bool { charged + parked + duplicates + refused + quotes + holds > 0 }

    mutating func add(_ other: ReportCounts) {
        charged += other.charged
        parked += other.parked
        duplicates += other.duplicates
        settled += other.settled
        discarded += other.discarded
        refused += other.refused
        quotes += other.quotes
        holds += other.holds
        platformCharged += other.platformCharged
        byokCharged += other.byokCharged
        guard other.refused > 0 else { return }
        for index in refusals.indices { refusals[index] += other.refusals[index] }
    }

    /// Back to zero, without giving up the memory.
    mutating func clear() {
        if refused > 0 {
            for index in refusals.indices { refusals[index] = 0 }
        }
        charged = 0
        parked = 0
        duplicates = 0
        settled = 0
        discarded = 0
        refused = 0
        quotes = 0
        holds = 0
        platformCharged = 0
        byokCharged = 0
    }
}

/// The gateway's counts, merged from its lanes.
final class Counters: Sendable {
    private let counts = Mutex(ReportCounts())

    func merge(_ more: inout ReportCounts) {
        let added = more
        counts.withLock { $0.add(added) }
        more.clear()
    }

    var now: ReportCounts { counts.withLock { $0 } }
}
