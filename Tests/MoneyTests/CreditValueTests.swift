// The one rounding: a cost times a ratio, in credits, half up. Compared with fractions that are never
// divided at all.

import Money
import Testing

struct CreditValueTests {
    @Test(
        "a charge is rounded half up to a nanocredit",
        arguments: [
            // 1 picodollar × 0.5 = half a nanocredit.
            (1, 500_000_000, 1), (1, 499_999_999, 0), (3, 500_000_000, 2), (0, 1_600_000_000, 0),
            // 0.03 USD × 1.5 = 45 credits.
            (30_000_000_000, 1_500_000_000, 45_000_000_000),
            (30_000_000_000, 50_000_000, 1_500_000_000),
        ] as [(Int64, Int64, Int64)])
    func halfUp(base: Int64, billionths: Int64, nanocredits: Int64) throws {
        let ratio = try #require(Ratio(billionths: billionths))
        #expect(CreditValue.standard.charge(base: base, ratio: ratio)?.count == nanocredits)
        #expect(CreditValue.standard.charge(base: Int128(base), ratio: ratio)?.count == nanocredits)
    }

    @Test("what does not fit is nil, not a trap")
    func overflow() throws {
        let ten = try #require(Ratio(billionths: 10_000_000_000))
        #expect(CreditValue.standard.charge(base: Int64.max, ratio: ten) == nil)
        #expect(CreditValue.standard.charge(base: Int64.max, ratio: .one)?.count == .max)
        #expect(CreditValue.standard.charge(base: Int128.max, ratio: ten) == nil)
        #expect(CreditValue.standard.charge(base: Int128(Int64.max) + 1, ratio: .one) == nil)
        #expect(CreditValue.standard.charge(base: Int64(-1), ratio: .one) == nil)
        #expect(CreditValue.standard.charge(base: Int128(-1), ratio: .one) == nil)
        let cheap = try #require(CreditValue(picodollarsPerCredit: 1))
        #expect(cheap.charge(base: Int64.max, ratio: .one) == nil)
        #expect(cheap.nanocredits(Picodollars(9_223_372_036))?.count == 9_223_372_036_000_000_000)
        #expect(cheap.nanocredits(Picodollars(9_223_372_037)) == nil)
        // A base beyond 64 bits whose charge fits.
        let tiny = try #require(Ratio(billionths: 1))
        #expect(
            CreditValue.standard.charge(base: Int128(Int64.max) * 4, ratio: tiny)?.count == 36_893_488_147)
        #expect(Nanocredits(.max).adding(Nanocredits(1)) == nil)
        #expect(Nanocredits(.min).subtracting(Nanocredits(1)) == nil)
        #expect(Nanocredits(.max).multiplied(by: 2) == nil)
        #expect(Picodollars(.max).adding(Picodollars(1)) == nil)
        #expect(Picodollars(.min).subtracting(Picodollars(1)) == nil)
        #expect(Picodollars(.min).multiplied(by: -1) == nil)
        #expect(Nanocredits(2).adding(Nanocredits(3)) == Nanocredits(5))
    }

    @Test("a credit is worth something, and not absurdly much")
    func bounds() {
        #expect(CreditValue(picodollarsPerCredit: 0) == nil)
        #expect(CreditValue(picodollarsPerCredit: -1) == nil)
        #expect(CreditValue(picodollarsPerCredit: CreditValue.picodollarsMax) != nil)
        #expect(CreditValue(picodollarsPerCredit: CreditValue.picodollarsMax + 1) == nil)
    }

    @Test("dollars and credits convert both ways")
    func conversion() throws {
        #expect(CreditValue.standard.nanocredits(Picodollars(1_000_000_000))?.text == "1")
        #expect(CreditValue.standard.picodollars(Nanocredits(-1_500_000_000))?.text == "-0.0015")
        let seven = try #require(CreditValue(picodollarsPerCredit: 7))
        #expect(seven.picodollars(Nanocredits(500_000_000))?.count == 4)
        #expect(seven.picodollars(Nanocredits(-500_000_000))?.count == -4)
        #expect(
            try #require(CreditValue(picodollarsPerCredit: .init(1e15))).picodollars(Nanocredits(.max)) == nil
        )
    }

    @Test(
        "the charge is the nearest nanocredit to the exact fraction, halves upward",
        arguments: [UInt64(11), 12])
    func nearest(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<5_000 {
            let base =
                Int64.random(in: 0 ... .max, using: &random) >> Int64.random(in: 0...60, using: &random)
            let ratio = try #require(
                Ratio(billionths: Int64.random(in: 0...10_000_000_000, using: &random)))
            let worth =
                Int64.random(in: 1...CreditValue.picodollarsMax, using: &random)
                >> Int64.random(in: 0...49, using: &random)
            let value = try #require(CreditValue(picodollarsPerCredit: max(worth, 1)))
            let product = Int128(base) * Int128(ratio.billionths)
            let divisor = Int128(value.picodollarsPerCredit)
            guard let charge = value.charge(base: base, ratio: ratio)?.count else {
                #expect(product * 2 + divisor >= (Int128(Int64.max) + 1) * 2 * divisor)
                continue
            }
            // charge − 1/2 ≤ product / divisor < charge + 1/2, without dividing.
            #expect((Int128(charge) * 2 - 1) * divisor <= product * 2)
            #expect(product * 2 < (Int128(charge) * 2 + 1) * divisor)
            #expect(value.charge(base: Int128(base), ratio: ratio)?.count == charge)
            let exact = value.exactCharge(base: base, ratio: ratio)
            #expect(exact.isRounded == (product % divisor != 0))
            #expect(exact.isRounded || exact.text == Nanocredits(charge).text)
        }
    }
}
