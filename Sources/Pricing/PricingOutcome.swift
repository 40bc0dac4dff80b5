// What pricing a record comes to, as plain values that cross the hot path without allocating.

import Bytes
import Money

/// The answer to "what does this record cost its account?".
public enum PricingOutcome: Sendable, Hashable {
    /// It has a price; the fee may be zero.
    case priced(PricedUsage)
    /// It cannot be priced now: `unpricedModel` or `invalidUsage`, and the field at fault. A report of it
    /// is kept and settled later; a quote or hold is refused with that reason.
    case parked(Reason, RecordField)
    /// It may not be charged: no rule, not in the tier, provider off, or out of range.
    case refused(Refusal)
}

/// Why a record has no price.
public enum Unpriced: Sendable, Hashable {
    /// See `PricingOutcome.parked`.
    case parked(Reason, RecordField)
    /// See `PricingOutcome.refused`.
    case refused(Refusal)
}

extension PricingOutcome {
    /// What came of pricing into `priced`.
    @inlinable
    public init(_ fault: Unpriced?, _ priced: PricedUsage) {
        switch fault {
        case nil: self = .priced(priced)
        case .parked(let reason, let field): self = .parked(reason, field)
        case .refused(let refusal): self = .refused(refusal)
        }
    }
}

/// A price, and the versions it came from. A value to be filled: what passes it on a million times a second does not
/// pass it by value, because a copy of what was just written waits until the writing is done.
public struct PricedUsage: Sendable, Hashable {
    /// What the provider takes, in picodollars.
    public var baseCost: Int64 = 0
    /// What the rule makes of it, in nanocredits, before any allowance: for the platform the charge.
    public var fee: Int64 = 0
    /// Fees that are waived per month under this rule, in nanocredits; 0 for the platform.
    public var monthlyAllowance: Int64 = 0
    public var ruleNumber: UInt32 = 0
    public var ruleVersion: UInt32 = 0
    /// The catalogue has no rate for the service tier, for at least one unit that was used.
    public var standardTierUsed = false
    /// The place of the account's tier in the book that priced it; 0 for one that no rule names.
    public var tierSlot: UInt8 = 0

    @inlinable
    public init() {}

    public init(
        baseCost: Int64, fee: Int64, monthlyAllowance: Int64, ruleNumber: UInt32, ruleVersion: UInt32,
        standardTierUsed: Bool, tierSlot: UInt8 = 0
    ) {
        self.baseCost = baseCost
        self.fee = fee
        self.monthlyAllowance = monthlyAllowance
        self.ruleNumber = ruleNumber
        self.ruleVersion = ruleVersion
        self.standardTierUsed = standardTierUsed
        self.tierSlot = tierSlot
    }
}

/// What a quote pinned, as a record that carries its token is priced.
public enum PricePin: Sendable, Hashable {
    /// The record carries no token.
    case none
    /// The token holds: this rule version, at the rates of that instant, in the book that goes with it.
    case pinned(ruleVersion: UInt32, instant: Timestamp)
    /// The token does not hold; a record that was not charged before is refused.
    case refused(Refusal)
}

extension PriceBook {
    /// What `record` costs an account of `tier`, by what a quote pinned or else by what is in force at the
    /// record's event time. Returns why it has no price; nil if `priced` is it.
    public func price(
        _ record: borrowing UsageRecord, tier: ByteView, pin: PricePin, into priced: inout PricedUsage
    ) -> Unpriced? {
        switch pin {
        case .none: price(record, tier: tier, into: &priced)
        case .pinned(let version, let instant):
            price(record, ruleVersion: version, at: instant, into: &priced)
        case .refused(let refusal): .refused(refusal)
        }
    }

    /// The same as one value.
    public func price(_ record: borrowing UsageRecord, tier: ByteView, pin: PricePin) -> PricingOutcome {
        var priced = PricedUsage()
        return PricingOutcome(price(record, tier: tier, pin: pin, into: &priced), priced)
    }
}

/// The number of a subscription tier in one price book; it means nothing in another.
public struct TierNumber: Hashable, Sendable {
    public var rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }
}

/// The factors of a base cost, at most one for each unit, in place: a value to be filled, and filled again.
public struct QuoteLines: ~Copyable, Sendable {
    private let byAddress = LentByAddress()
    private var rows = InlineArray<16, QuoteLine>(
        repeating: QuoteLine(unit: .input, quantity: 0, rate: 0, amount: 0))
    public private(set) var count = 0

    public init() {}

    public init(_ lines: [QuoteLine]) {
        for line in lines { append(line) }
    }

    /// A line; `index` is below `count`.
    public subscript(index: Int) -> QuoteLine {
        precondition(index < count)
        return rows[index]
    }

    /// The lines, for who keeps them.
    public var array: [QuoteLine] { (0..<count).map { rows[$0] } }

    public mutating func clear() { count = 0 }

    mutating func append(_ line: QuoteLine) {
        rows[count] = line
        count += 1
    }
}

/// One factor of a base cost: `amount = quantity × rate`.
public struct QuoteLine: Hashable, Sendable {
    public var unit: UsageUnit
    public var quantity: Int64
    /// Picodollars per unit.
    public var rate: Int64
    /// Picodollars.
    public var amount: Int64

    public init(unit: UsageUnit, quantity: Int64, rate: Int64, amount: Int64) {
        self.unit = unit
        self.quantity = quantity
        self.rate = rate
        self.amount = amount
    }
}
