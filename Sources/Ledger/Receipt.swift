// The answer to a report: what was charged, and where the ledger stood.

import Pricing

/// What became of a report.
public enum ReceiptState: UInt8, Hashable, Sendable {
    /// Priced and charged; the charge may be zero.
    case charged = 1
    /// Kept unpriced, to be settled when a price or a correction arrives.
    case parked = 2
    /// Was parked, and given up: nothing was charged.
    case discarded = 3
}

/// The durable answer to a report. Amounts are in nanocredits, the base cost in picodollars.
public struct Receipt: Hashable, Sendable {
    public var state = ReceiptState.charged
    public var duplicate = false
    public var inDebt = false
    public var standardTierUsed = false
    /// The position in the shard's ledger: strictly increasing per account.
    public var sequence: UInt64 = 0
    public var charge: Int64 = 0
    /// The wallet's balance after the latest entry that this answer saw.
    public var balance: Int64 = 0
    public var baseCost: Int64 = 0
    public var allowanceUsed: Int64 = 0
    public var ruleVersion: UInt32 = 0
    public var catalogueVersion: UInt32 = 0
    /// The place of the account's tier in the book that priced the record; meant for this process, never
    /// written down.
    public var tierSlot: UInt8 = 0
    /// What the hold that this settled had kept; nil without.
    public var holdReleased: Int64?
    /// The record named a hold whose lease was over: it was charged as a report.
    public var holdExpired = false
    /// What the end of that lease had charged, as its hold's orphan policy said; 0 for nothing. `charge` is what
    /// the usage cost beyond it.
    public var orphanCharge: Int64 = 0
    /// What the usage cost less than that, and was given back in the same step.
    public var givenBack: Int64 = 0
    /// Why the record was parked; nil when it was charged.
    public var parkedReason: Reason?

    @inlinable
    public init() {}
}

/// The receipt under a name that a module with a `Receipt` of its own can say: `Ledger.Receipt` would
/// look into the class `Ledger`.
public typealias ReportReceipt = Receipt
