// What a credit is worth, and therefore where rounding happens.
//
//      charge in nanocredits = base in picodollars × ratio in billionths ÷ picodollars per credit
//
// The two factors of 10^9 (nanocredits per credit, billionths per 1) cancel, so a charge is one
// product and one division, rounded half up once. Rounding keeps order: where a ≤ b, the charge for a
// is at most the charge for b, so the larger of two exact fees rounds to the larger of the rounded ones.

/// The worth of one credit.
public struct CreditValue: Hashable, Sendable {
    public let picodollarsPerCredit: Int64

    /// 0.001 USD.
    public static let standard = CreditValue(unchecked: 1_000_000_000)
    /// The dearest a credit can be, 1 000 USD. It keeps every product here within `Int128`.
    public static let picodollarsMax: Int64 = 1_000_000_000_000_000

    init(unchecked picodollars: Int64) { picodollarsPerCredit = picodollars }

    /// Nil unless a credit is worth something, and at most `picodollarsMax`.
    public init?(picodollarsPerCredit: Int64) {
        guard picodollarsPerCredit > 0, picodollarsPerCredit <= Self.picodollarsMax else { return nil }
        self.init(unchecked: picodollarsPerCredit)
    }

    /// The charge for a cost of `base` picodollars at `ratio`, rounded half up to a nanocredit.
    ///
    /// Nil if `base` is negative or the charge does not fit in 64 bits.
    @inlinable
    public func charge(base: Int128, ratio: Ratio) -> Nanocredits? {
        guard base >= 0 else { return nil }
        if let short = Int64(exactly: base) { return charge(base: short, ratio: ratio) }
        let (product, overflow) = base.multipliedReportingOverflow(by: Int128(ratio.billionths))
        if overflow { return nil }
        let divisor = Int128(picodollarsPerCredit)
        let (quotient, rest) = product.quotientAndRemainder(dividingBy: divisor)
        guard let whole = UInt64(exactly: quotient) else { return nil }
        return halfUp(whole, rest: UInt64(rest))
    }

    /// The same for a cost that fits in 64 bits: one multiplication and one division.
    @inlinable
    public func charge(base: Int64, ratio: Ratio) -> Nanocredits? {
        guard base >= 0 else { return nil }
        let divisor = UInt64(picodollarsPerCredit)
        let product = UInt64(base).multipliedFullWidth(by: UInt64(ratio.billionths))
        // Otherwise the quotient has more than 64 bits.
        guard product.high < divisor else { return nil }
        let (quotient, rest) = divisor.dividingFullWidth(product)
        return halfUp(quotient, rest: rest)
    }

    /// The worth of `amount` in credits, rounded half up to a nanocredit; nil if negative or too large.
    public func nanocredits(_ amount: Picodollars) -> Nanocredits? {
        charge(base: Int128(amount.count), ratio: .one)
    }

    /// The worth of `amount` in dollars, rounded half away from zero to a picodollar; nil if too large.
    public func picodollars(_ amount: Nanocredits) -> Picodollars? {
        let magnitude = Int128(amount.count.magnitude) * Int128(picodollarsPerCredit)
        let (quotient, rest) = magnitude.quotientAndRemainder(dividingBy: Int128(Nanocredits.perCredit))
        let rounded = rest * 2 >= Int128(Nanocredits.perCredit) ? quotient + 1 : quotient
        return Int64(exactly: amount.count < 0 ? -rounded : rounded).map(Picodollars.init)
    }

    /// `quotient` and a `rest` below the value of a credit, rounded half up: the rounding itself.
    @inlinable
    func halfUp(_ quotient: UInt64, rest: UInt64) -> Nanocredits? {
        let (rounded, overflow) = quotient.addingReportingOverflow(
            rest >= UInt64(picodollarsPerCredit) - rest ? 1 : 0)
        return overflow ? nil : Int64(exactly: rounded).map(Nanocredits.init)
    }
}

extension CreditValue {
    /// The charge before rounding as text, for explanations: exact where it has at most 18 decimals,
    /// else cut after 18 and marked with `…`; and whether `charge` rounds it.
    ///
    /// `base` is not negative.
    public func exactCharge(base: Int64, ratio: Ratio) -> (text: String, isRounded: Bool) {
        precondition(base >= 0, "a cost is not negative")
        let divisor = Int128(picodollarsPerCredit)
        let product = Int128(base) * Int128(ratio.billionths)
        let (nanocredits, rest) = product.quotientAndRemainder(dividingBy: divisor)
        // The rest is below 10^15, so nine more decimals of it fit.
        let (more, left) = (rest * 1_000_000_000).quotientAndRemainder(dividingBy: divisor)
        let (scaled, overflow) = nanocredits.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return (DecimalText.format(nanocredits, places: 9), rest != 0) }
        let text = DecimalText.format(scaled + more, places: 18)
        return (left == 0 ? text : text + "…", rest != 0)
    }
}
