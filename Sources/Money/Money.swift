// Money: what a credit and a dollar are here, and the one rounding between them.
//
// A credit is counted in nanocredits (10^-9 credit) and a dollar in picodollars (10^-12 USD), both as
// 64-bit integers. A data directory fixes once how many picodollars a credit is worth: 10^9, so
// 0.001 USD, unless it says otherwise; at that value a nanocredit is a picodollar. No amount is ever
// held in floating point, because a price such as 0.0000025 USD has no exact binary fraction.
//
//      rates and base costs      picodollars, exact, summed in Int128
//      charge                    base × ratio ÷ value of a credit, rounded half up: `CreditValue.charge`
//      balances and charges      nanocredits, exact
//
// Every rounding of the project is in this module: `CreditValue` and `DecimalText.scaled`.

/// Why an amount cannot be had.
public enum MoneyError: Error, Hashable, Sendable {
    /// The text is not an amount: where it stops being one, counted in bytes from 0, and why.
    case text(position: Int, problem: TextProblem)
}

/// An amount of credit, in thousand-millionths of a credit. Negative amounts are debts.
public struct Nanocredits: Hashable, Comparable, Sendable {
    public var count: Int64

    @inlinable
    public init(_ count: Int64) { self.count = count }

    public static let zero = Nanocredits(0)
    /// One whole credit.
    public static let perCredit: Int64 = 1_000_000_000

    @inlinable
    public static func < (left: Nanocredits, right: Nanocredits) -> Bool { left.count < right.count }

    /// The sum, or nil where it does not fit.
    @inlinable
    public func adding(_ other: Nanocredits) -> Nanocredits? {
        let (sum, overflow) = count.addingReportingOverflow(other.count)
        return overflow ? nil : Nanocredits(sum)
    }

    /// The difference, or nil where it does not fit.
    @inlinable
    public func subtracting(_ other: Nanocredits) -> Nanocredits? {
        let (difference, overflow) = count.subtractingReportingOverflow(other.count)
        return overflow ? nil : Nanocredits(difference)
    }

    /// The product, or nil where it does not fit.
    @inlinable
    public func multiplied(by factor: Int64) -> Nanocredits? {
        let (product, overflow) = count.multipliedReportingOverflow(by: factor)
        return overflow ? nil : Nanocredits(product)
    }
}

/// An amount of US dollars, in million-millionths of a dollar.
public struct Picodollars: Hashable, Comparable, Sendable {
    public var count: Int64

    @inlinable
    public init(_ count: Int64) { self.count = count }

    public static let zero = Picodollars(0)
    /// One whole dollar.
    public static let perDollar: Int64 = 1_000_000_000_000

    @inlinable
    public static func < (left: Picodollars, right: Picodollars) -> Bool { left.count < right.count }

    /// The sum, or nil where it does not fit.
    @inlinable
    public func adding(_ other: Picodollars) -> Picodollars? {
        let (sum, overflow) = count.addingReportingOverflow(other.count)
        return overflow ? nil : Picodollars(sum)
    }

    /// The difference, or nil where it does not fit.
    @inlinable
    public func subtracting(_ other: Picodollars) -> Picodollars? {
        let (difference, overflow) = count.subtractingReportingOverflow(other.count)
        return overflow ? nil : Picodollars(difference)
    }

    /// The product, or nil where it does not fit.
    @inlinable
    public func multiplied(by factor: Int64) -> Picodollars? {
        let (product, overflow) = count.multipliedReportingOverflow(by: factor)
        return overflow ? nil : Picodollars(product)
    }
}

/// An exact factor with nine decimals, such as 1.6 or 0.05. Never negative.
public struct Ratio: Hashable, Comparable, Sendable {
    /// The factor times 10^9.
    public let billionths: Int64

    public static let zero = Ratio(unchecked: 0)
    public static let one = Ratio(unchecked: unit)
    /// The billionths of the factor 1.
    public static let unit: Int64 = 1_000_000_000

    @inlinable
    init(unchecked billionths: Int64) { self.billionths = billionths }

    /// Nil if `billionths` is negative.
    @inlinable
    public init?(billionths: Int64) {
        guard billionths >= 0 else { return nil }
        self.init(unchecked: billionths)
    }

    @inlinable
    public static func < (left: Ratio, right: Ratio) -> Bool { left.billionths < right.billionths }

    /// The sum, or nil where it does not fit.
    public func adding(_ other: Ratio) -> Ratio? {
        let (sum, overflow) = billionths.addingReportingOverflow(other.billionths)
        return overflow ? nil : Ratio(unchecked: sum)
    }

    /// The difference, or nil where it would be negative.
    public func subtracting(_ other: Ratio) -> Ratio? {
        other <= self ? Ratio(unchecked: billionths - other.billionths) : nil
    }
}
