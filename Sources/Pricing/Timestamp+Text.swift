// Instants as RFC 3339 text in UTC, without a calendar library: the rules stay pure.
//
// Days are counted with the civil calendar's 400-year cycle of 146 097 days, years beginning in March so
// that the leap day is the last. Source of the method: Howard Hinnant, "chrono-Compatible Low-Level Date
// Algorithms".

extension Timestamp {
    static let microsecondsPerSecond: Int64 = 1_000_000
    static let secondsPerDay: Int64 = 86_400

    /// Reads `2025-01-31T23:59:59Z`, with up to six decimals of a second, or with an offset such as
    /// `+01:00`; or a date alone, which is its midnight in UTC. Nil for anything else, leap seconds too.
    public init?(text: String) {
        var reader = DigitReader(bytes: Array(text.utf8))
        guard let year = reader.number(4), year > 0, reader.take("-"), let month = reader.number(2),
            reader.take("-"), let day = reader.number(2),
            (1...12).contains(month), day >= 1, day <= Self.daysInMonth(month, year: year)
        else { return nil }
        var seconds = Self.daysSince1970(year: year, month: month, day: day) * Self.secondsPerDay
        var fraction: Int64 = 0
        if !reader.isAtEnd {
            guard reader.take("T") || reader.take("t"), let hour = reader.number(2), reader.take(":"),
                let minute = reader.number(2), reader.take(":"), let second = reader.number(2),
                hour < 24, minute < 60, second < 60
            else { return nil }
            seconds += hour * 3_600 + minute * 60 + second
            if reader.take(".") {
                guard let micros = reader.microseconds() else { return nil }
                fraction = micros
            }
            if !(reader.take("Z") || reader.take("z")) {
                let isEast = reader.take("+")
                guard isEast || reader.take("-"), let hours = reader.number(2), reader.take(":"),
                    let minutes = reader.number(2), hours < 24, minutes < 60
                else { return nil }
                seconds -= (isEast ? 1 : -1) * (hours * 3_600 + minutes * 60)
            }
            guard reader.isAtEnd else { return nil }
        }
        // An offset can lead out of the years that text has.
        guard (Self.firstSecond...Self.lastSecond).contains(seconds) else { return nil }
        self.init(microseconds: seconds * Self.microsecondsPerSecond + fraction)
    }

    private static let firstSecond = daysSince1970(year: 1, month: 1, day: 1) * secondsPerDay
    private static let lastSecond = (daysSince1970(year: 9999, month: 12, day: 31) + 1) * secondsPerDay - 1

    /// `2025-01-31T23:59:59Z`, with decimals only where needed. Instants before year 1 or after 9999 are
    /// shown as `the beginning` and `never`.
    public var text: String {
        let seconds = microseconds.floorDivided(by: Self.microsecondsPerSecond)
        guard seconds >= Self.firstSecond else { return "the beginning" }
        guard seconds <= Self.lastSecond else { return "never" }
        let days = seconds.floorDivided(by: Self.secondsPerDay)
        let (year, month, day) = Self.civil(daysSince1970: days)
        let second = seconds - days * Self.secondsPerDay
        let micros = microseconds - seconds * Self.microsecondsPerSecond
        var text = "\(Self.padded(year, 4))-\(Self.padded(month, 2))-\(Self.padded(day, 2))T"
        text +=
            "\(Self.padded(second / 3_600, 2)):\(Self.padded(second / 60 % 60, 2)):\(Self.padded(second % 60, 2))"
        if micros > 0 {
            var decimals = Self.padded(micros, 6)
            while decimals.last == "0" { decimals.removeLast() }
            text += "." + decimals
        }
        return text + "Z"
    }

    private static func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: Swift.max(width - digits.utf8.count, 0)) + digits
    }

    private static func daysInMonth(_ month: Int64, year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    private static func daysSince1970(year: Int64, month: Int64, day: Int64) -> Int64 {
        let marchYear = month <= 2 ? year - 1 : year
        let cycle = marchYear.floorDivided(by: 400)
        let yearOfCycle = marchYear - cycle * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfCycle = yearOfCycle * 365 + yearOfCycle / 4 - yearOfCycle / 100 + dayOfYear
        return cycle * 146_097 + dayOfCycle - 719_468
    }

    private static func civil(daysSince1970: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = daysSince1970 + 719_468
        let cycle = shifted.floorDivided(by: 146_097)
        let dayOfCycle = shifted - cycle * 146_097
        let yearOfCycle =
            (dayOfCycle - dayOfCycle / 1_460 + dayOfCycle / 36_524 - dayOfCycle / 146_096) / 365
        let dayOfYear = dayOfCycle - (365 * yearOfCycle + yearOfCycle / 4 - yearOfCycle / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        let year = yearOfCycle + cycle * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
    }
}

extension Int64 {
    func floorDivided(by divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}

private struct DigitReader {
    let bytes: [UInt8]
    var offset = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { offset == bytes.count }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard offset < bytes.count, bytes[offset] == UInt8(ascii: character) else { return false }
        offset += 1
        return true
    }

    private mutating func digit() -> Int64? {
        guard offset < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[offset]) else {
            return nil
        }
        defer { offset += 1 }
        return Int64(bytes[offset] - UInt8(ascii: "0"))
    }

    /// Exactly `count` digits.
    mutating func number(_ count: Int) -> Int64? {
        var value: Int64 = 0
        for _ in 0..<count {
            guard let next = digit() else { return nil }
            value = value * 10 + next
        }
        return value
    }

    /// One to six decimals.
    mutating func microseconds() -> Int64? {
        guard var value = digit() else { return nil }
        for _ in 0..<5 { value = value * 10 + (digit() ?? 0) }
        return value
    }
}
