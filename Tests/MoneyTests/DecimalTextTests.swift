// Amounts as text: one strict grammar in, shortest exact text out, and nothing trimmed on the way.

import Money
import Testing

struct DecimalTextTests {
    @Test(
        "an amount in the grammar is read exactly",
        arguments: [
            ("0", 0), ("1", 1_000_000_000), ("45", 45_000_000_000), ("1.5", 1_500_000_000),
            ("1.50", 1_500_000_000), ("0.000000001", 1), ("0.123456789", 123_456_789),
            ("9223372036.854775807", Int64.max), ("11000.50", 11_000_500_000_000),
        ])
    func accepted(text: String, count: Int64) throws {
        #expect(try Nanocredits(text: text).count == count)
        let signedText = count == 0 ? "0" : "-" + text
        #expect(try Nanocredits(text: signedText, signed: true).count == -count)
    }

    @Test("the lowest amount is read and written")
    func lowest() throws {
        let lowest = Nanocredits(.min)
        #expect(lowest.text == "-9223372036.854775808")
        #expect(try Nanocredits(text: lowest.text, signed: true) == lowest)
    }

    @Test(
        "anything else is refused, with the position and the reason",
        arguments: [
            ("", 0, TextProblem.empty), ("-", 1, .missingDigits), ("-0", 0, .minusZero),
            ("-0.000", 0, .minusZero), ("+5", 0, .plusSign), ("1,5", 1, .notADigit(0x2c)),
            ("1e3", 1, .exponent), ("1E999", 1, .exponent), ("0x10", 1, .notADigit(0x78)),
            ("NaN", 0, .notADigit(0x4e)), ("inf", 0, .notADigit(0x69)), ("∞", 0, .notADigit(0xe2)),
            ("0.1abc", 3, .notADigit(0x61)), (" 1", 0, .notADigit(0x20)), ("1 ", 1, .notADigit(0x20)),
            ("1 000", 1, .notADigit(0x20)), ("00", 1, .leadingZero), ("01.5", 1, .leadingZero),
            ("-01", 2, .leadingZero), (".5", 0, .missingDigits), ("1.", 2, .missingDigits),
            ("1..5", 2, .notADigit(0x2e)), ("1.5.5", 3, .notADigit(0x2e)), ("--1", 1, .notADigit(0x2d)),
            ("1-", 1, .notADigit(0x2d)), ("1_000", 1, .notADigit(0x5f)),
            ("0.1234567890", 11, .tooManyDecimals(max: 9)), ("0.0000000001", 11, .tooManyDecimals(max: 9)),
            ("9223372036.854775808", 0, .tooLarge), ("99999999999", 0, .tooLarge),
            ("1234567890123456789012345678901234567890", 19, .tooLarge),
            ("١٢٣", 0, .notADigit(0xd9)), ("１２", 0, .notADigit(0xef)), ("1\u{0}", 1, .notADigit(0)),
        ])
    func refused(text: String, position: Int, problem: TextProblem) {
        #expect(throws: MoneyError.text(position: position, problem: problem)) {
            try Nanocredits(text: text, signed: true)
        }
    }

    @Test("a negative amount is refused where none is meant")
    func unsigned() {
        #expect(throws: MoneyError.text(position: 0, problem: .minusSign)) { try Nanocredits(text: "-1") }
        #expect(throws: MoneyError.text(position: 0, problem: .minusSign)) { try Picodollars(text: "-0") }
        #expect(throws: MoneyError.text(position: 0, problem: .minusSign)) { try Ratio(text: "-1") }
        #expect(throws: MoneyError.text(position: 0, problem: .minusSign)) { try Ratio(number: "-1") }
    }

    @Test("each unit has its own number of decimals")
    func places() throws {
        #expect(try Picodollars(text: "0.000000000001").count == 1)
        #expect(throws: MoneyError.text(position: 14, problem: .tooManyDecimals(max: 12))) {
            try Picodollars(text: "0.0000000000001")
        }
        #expect(try Ratio(text: "1.60").billionths == 1_600_000_000)
        #expect(throws: MoneyError.text(position: 1, problem: .tooManyDecimals(max: 0))) {
            try DecimalText.parse("1.5".utf8, places: 0, signed: false)
        }
    }

    @Test(
        "a number from JSON is read exactly, exponent and all, or refused",
        arguments: [
            ("1.5", 1_500_000_000), ("1.50000000000000000", 1_500_000_000), ("1e3", 1_000_000_000_000),
            ("1E-9", 1), ("2.5e-06", 2_500), ("0.0", 0), ("-0", 0), ("-2", -2_000_000_000),
            ("0e999999999", 0),
            ("1000e-3", 1_000_000_000), ("1e-10", nil), ("0.0000000005", nil), ("1e400", nil),
            ("1e-400", nil), ("9223372036.854775807", Int64.max), ("9223372036.854775808", nil),
            ("-9223372036.854775808", Int64.min),
            ("1.000000000000000000000000000000000000000000000000001", nil),
            ("100000000000000000000000000000000000000000000000000e-50", 1_000_000_000),
        ] as [(String, Int64?)])
    func jsonNumbers(number: String, count: Int64?) {
        let read = Result { try Nanocredits(number: number).count }
        switch (read, count) {
        case (.success(let value), let count?): #expect(value == count)
        case (.failure, nil): break
        default: Issue.record("\(number): expected \(String(describing: count)), found \(read)")
        }
    }

    @Test(
        "a number with more decimals than the unit is rounded half up where asked, and says so",
        arguments: [
            ("0.4", 0, false), ("0.5", 1, false), ("1.49999999999", 1, false), ("2", 2, true),
            ("-0.5", -1, false),
            ("0.05", 0, false), ("5e-1", 1, false), ("4999e-4", 0, false), ("9e-5", 0, false),
        ] as [(String, Int64, Bool)])
    func scaling(number: String, value: Int64, isExact: Bool) throws {
        let scaled = try DecimalText.scaled(number: number.utf8, places: 0)
        #expect(scaled.value == value)
        #expect(scaled.isExact == isExact)
    }

    @Test("text is as short as it can be, or has the decimals a balance is shown with")
    func formatting() {
        #expect(Nanocredits(45_000_000_000).text == "45")
        #expect(Nanocredits(1_500_000_000).text == "1.5")
        #expect(Nanocredits(0).text == "0")
        #expect(Nanocredits(-1).text == "-0.000000001")
        #expect(Nanocredits(11_000_500_000_000).textWithCents == "11000.50")
        #expect(Nanocredits(0).textWithCents == "0.00")
        #expect(Nanocredits(1_234_500_000).textWithCents == "1.2345")
        #expect(Picodollars(5_000_000_000_000).textWithCents == "5.00")
        #expect(Picodollars(1_000_000_000).textWithCents == "0.001")
        #expect(Ratio(billionths: 1_600_000_000)?.textWithCents == "1.60")
        #expect(DecimalText.format(Int128(7), places: 0) == "7")
    }

    @Test("what is written is read back the same", arguments: [UInt64(1), 2, 3])
    func roundTrip(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<2_000 {
            let count =
                Int64.random(in: .min ... .max, using: &random) >> Int64.random(in: 0...62, using: &random)
            #expect(try Nanocredits(text: Nanocredits(count).text, signed: true).count == count)
            #expect(try Picodollars(text: Picodollars(count).textWithCents, signed: true).count == count)
        }
    }
}

/// SplitMix64, so that a seed repeats a run.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
