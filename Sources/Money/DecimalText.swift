// Decimal text, both ways and exactly.
//
// What people and programs write as an amount follows one strict grammar, so that no reader can guess
// differently from another:
//
//      amount   = ["-"] whole ["." digit{1,places}]
//      whole    = "0" | "1"–"9" digit*
//
// No plus sign, no exponent, no leading zero, no thousands separator, no space, no digit but ASCII's,
// no minus zero, and no more decimals than the unit has: 9 for credits, 12 for dollars. Nothing is
// trimmed or rounded on the way in. `scaled` is for numbers that a JSON file brings (`1.5e-07`): there
// the JSON grammar has been checked already, an exponent is read, and the answer says whether it was exact.

/// Why a text is not an amount.
public enum TextProblem: Hashable, Sendable {
    case empty
    case notADigit(UInt8)
    case plusSign
    case minusSign
    case minusZero
    case exponent
    case leadingZero
    case missingDigits
    case tooManyDecimals(max: Int)
    case tooLarge
    case notExact(places: Int)

    /// What is wrong and what to write instead.
    public var text: String {
        switch self {
        case .empty: "there is no amount"
        case .notADigit(let byte): "\(Self.name(of: byte)) is not one of the digits 0 to 9"
        case .plusSign: "a plus sign is not written"
        case .minusSign: "the amount must not be negative"
        case .minusZero: "zero has no sign"
        case .exponent: "an exponent is not allowed; write all digits"
        case .leadingZero: "a leading zero is not written"
        case .missingDigits: "a digit is missing here"
        case .tooManyDecimals(let max): "at most \(max) decimals are allowed, and none is dropped"
        case .tooLarge: "the amount is too large"
        case .notExact(let places): "the number is not exact with \(places) decimals"
        }
    }

    private static func name(of byte: UInt8) -> String {
        switch byte {
        case 0x21...0x7e: "'\(Character(Unicode.Scalar(byte)))'"
        case 0x20: "a space"
        default: "byte 0x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }
    }
}

/// Reading and writing integers that stand for decimals.
public enum DecimalText {
    /// The most decimals any unit has.
    public static let placesMax = 18

    /// Reads `bytes` as an amount with up to `places` decimals, and answers it times 10^`places`.
    ///
    /// A minus sign is accepted where `signed`. O(bytes).
    public static func parse(
        _ bytes: some Collection<UInt8>, places: Int, signed: Bool
    ) throws(MoneyError) -> Int64 {
        precondition(places >= 0 && places <= placesMax)
        var magnitude: UInt64 = 0
        var position = 0
        var wholeCount = 0
        var decimalCount = -1
        var negative = false
        var startsWithZero = false
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                if decimalCount >= 0 {
                    decimalCount += 1
                    if decimalCount > places {
                        throw .text(position: position, problem: .tooManyDecimals(max: places))
                    }
                } else {
                    if startsWithZero { throw .text(position: position, problem: .leadingZero) }
                    startsWithZero = wholeCount == 0 && byte == UInt8(ascii: "0")
                    wholeCount += 1
                }
                guard let next = magnitude.appending(digit: byte - UInt8(ascii: "0")) else {
                    throw .text(position: position, problem: .tooLarge)
                }
                magnitude = next
            case UInt8(ascii: "."):
                guard decimalCount < 0 else { throw .text(position: position, problem: .notADigit(byte)) }
                guard wholeCount > 0 else { throw .text(position: position, problem: .missingDigits) }
                guard places > 0 else { throw .text(position: position, problem: .tooManyDecimals(max: 0)) }
                decimalCount = 0
            case UInt8(ascii: "-") where position == 0:
                guard signed else { throw .text(position: position, problem: .minusSign) }
                negative = true
            case UInt8(ascii: "+") where position == 0:
                throw .text(position: position, problem: .plusSign)
            case UInt8(ascii: "e") where wholeCount > 0, UInt8(ascii: "E") where wholeCount > 0:
                throw .text(position: position, problem: .exponent)
            default:
                throw .text(position: position, problem: .notADigit(byte))
            }
            position += 1
        }
        if position == 0 { throw .text(position: 0, problem: .empty) }
        if wholeCount == 0 || decimalCount == 0 { throw .text(position: position, problem: .missingDigits) }
        if negative && magnitude == 0 { throw .text(position: 0, problem: .minusZero) }
        for _ in Swift.max(decimalCount, 0)..<places {
            guard let next = magnitude.appending(digit: 0) else {
                throw .text(position: 0, problem: .tooLarge)
            }
            magnitude = next
        }
        guard let value = Int64(magnitude: magnitude, negative: negative) else {
            throw .text(position: 0, problem: .tooLarge)
        }
        return value
    }

    /// A number as JSON writes it, times 10^`places`, rounded half away from zero where it is not whole.
    ///
    /// The text must already be a JSON number; an exponent is read. O(bytes).
    public static func scaled(
        number bytes: some Collection<UInt8>, places: Int
    ) throws(MoneyError) -> (value: Int64, isExact: Bool) {
        precondition(places >= 0 && places <= placesMax)
        var number = ScannedNumber()
        var position = 0
        for byte in bytes {
            guard number.take(byte) else { throw .text(position: position, problem: .notADigit(byte)) }
            position += 1
        }
        guard number.digitsSeen > 0 else { throw .text(position: position, problem: .missingDigits) }
        guard let answer = number.scaled(places: places) else { throw .text(position: 0, problem: .tooLarge) }
        return answer
    }

    /// A number as JSON writes it, times 10^`places`; refused where that is not whole.
    public static func exact(
        number bytes: some Collection<UInt8>, places: Int
    ) throws(MoneyError) -> Int64 {
        let (value, isExact) = try scaled(number: bytes, places: places)
        guard isExact else { throw .text(position: 0, problem: .notExact(places: places)) }
        return value
    }

    /// `value` over 10^`places` as text, with no more decimals than it needs and at least `decimalsMin`.
    public static func format(_ value: Int64, places: Int, decimalsMin: Int = 0) -> String {
        format(Int128(value), places: places, decimalsMin: decimalsMin)
    }

    /// `value` over 10^`places` as text, with no more decimals than it needs and at least `decimalsMin`.
    public static func format(_ value: Int128, places: Int, decimalsMin: Int = 0) -> String {
        precondition(decimalsMin >= 0 && decimalsMin <= places)
        var digits = Array(String(value.magnitude).utf8)
        if digits.count <= places {
            digits.insert(
                contentsOf: repeatElement(UInt8(ascii: "0"), count: places + 1 - digits.count), at: 0)
        }
        var decimals = digits.suffix(places)
        while decimals.count > decimalsMin, decimals.last == UInt8(ascii: "0") { decimals.removeLast() }
        let whole = String(decoding: digits.dropLast(places), as: UTF8.self)
        let sign = value < 0 ? "-" : ""
        return decimals.isEmpty
            ? sign + whole : sign + whole + "." + String(decoding: decimals, as: UTF8.self)
    }
}

/// A JSON number taken apart: digits without leading zeros, and where the decimal point belongs.
private struct ScannedNumber {
    /// Significant digits beyond this many only tell that something is left over.
    static let digitsMax = 40

    var negative = false
    var digits: [UInt8] = []
    /// Digits that did not fit in `digits`, and whether one of them was not zero.
    var dropped = 0
    var droppedNonzero = false
    var digitsSeen = 0
    var decimals = 0
    var exponent = 0
    private var exponentNegative = false
    private enum Part { case start, whole, decimals, exponentSign, exponent }
    private var part = Part.start

    /// False if `byte` cannot follow.
    mutating func take(_ byte: UInt8) -> Bool {
        switch (part, byte) {
        case (.start, UInt8(ascii: "-")):
            negative = true
            part = .whole
        case (.start, UInt8(ascii: "0")...UInt8(ascii: "9")), (.whole, UInt8(ascii: "0")...UInt8(ascii: "9")):
            part = .whole
            take(digit: byte - UInt8(ascii: "0"))
        case (.whole, UInt8(ascii: ".")):
            part = .decimals
        case (.decimals, UInt8(ascii: "0")...UInt8(ascii: "9")):
            decimals += 1
            take(digit: byte - UInt8(ascii: "0"))
        case (.whole, UInt8(ascii: "e")), (.whole, UInt8(ascii: "E")),
            (.decimals, UInt8(ascii: "e")), (.decimals, UInt8(ascii: "E")):
            part = .exponentSign
        case (.exponentSign, UInt8(ascii: "+")), (.exponentSign, UInt8(ascii: "-")):
            exponentNegative = byte == UInt8(ascii: "-")
            part = .exponent
        case (.exponentSign, UInt8(ascii: "0")...UInt8(ascii: "9")),
            (.exponent, UInt8(ascii: "0")...UInt8(ascii: "9")):
            part = .exponent
            // An exponent of a million decides already that a number is zero-like or too large.
            if exponent < 1_000_000 { exponent = exponent * 10 + Int(byte - UInt8(ascii: "0")) }
        default:
            return false
        }
        return true
    }

    private mutating func take(digit: UInt8) {
        digitsSeen += 1
        if digits.isEmpty && digit == 0 { return }
        if digits.count < Self.digitsMax {
            digits.append(digit)
        } else {
            dropped += 1
            droppedNonzero = droppedNonzero || digit != 0
        }
    }

    /// The number times 10^`places`, half away from zero; nil if it does not fit.
    func scaled(places: Int) -> (value: Int64, isExact: Bool)? {
        // Power of ten that belongs to the last kept digit, after scaling.
        let shift = places + dropped - decimals + (exponentNegative ? -exponent : exponent)
        if digits.isEmpty { return (0, true) }
        var magnitude: UInt64 = 0
        let keptCount = Swift.min(digits.count, Swift.max(digits.count + shift, 0))
        for digit in digits[..<keptCount] {
            guard let next = magnitude.appending(digit: digit) else { return nil }
            magnitude = next
        }
        if shift > 0 {
            for _ in 0..<shift {
                guard let next = magnitude.appending(digit: 0) else { return nil }
                magnitude = next
            }
        }
        let rest = digits[keptCount...]
        let isExact = !droppedNonzero && rest.allSatisfy { $0 == 0 }
        // The first dropped digit decides, if it stands directly below the last kept place.
        if -shift <= digits.count, let first = rest.first, first >= 5 { magnitude += 1 }
        return Int64(magnitude: magnitude, negative: negative).map { ($0, isExact) }
    }
}

extension UInt64 {
    /// Ten times this plus `digit`, or nil beyond 2^63.
    fileprivate func appending(digit: UInt8) -> UInt64? {
        let (tenfold, tooLarge) = multipliedReportingOverflow(by: 10)
        let (sum, overflow) = tenfold.addingReportingOverflow(UInt64(digit))
        return tooLarge || overflow || sum > Int64.min.magnitude ? nil : sum
    }
}

extension Int64 {
    fileprivate init?(magnitude: UInt64, negative: Bool) {
        if negative {
            guard magnitude <= Int64.min.magnitude else { return nil }
            self = magnitude == Int64.min.magnitude ? .min : -Int64(magnitude)
        } else {
            guard let value = Int64(exactly: magnitude) else { return nil }
            self = value
        }
    }
}
