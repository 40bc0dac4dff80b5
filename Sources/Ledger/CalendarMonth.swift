// Periods are arithmetic: nothing is reset by a job. A bucket's key contains its month, so a new
// month finds a new, empty bucket.

import Pricing

/// A calendar month in UTC, as months since January 1970.
public struct CalendarMonth: Hashable, Comparable, Sendable, BitwiseCopyable {
    public var count: Int32

    public init(count: Int32) { self.count = count }

    /// The month that was written down as `count`; nil outside the months that timestamps reach.
    init?(stored count: Int64) {
        guard (-4_000_000...4_000_000).contains(count) else { return nil }
        self.count = Int32(count)
    }

    /// The month that `time` falls into. Exact for the proleptic Gregorian calendar; the days-to-date
    /// step follows Howard Hinnant, "chrono-compatible low-level date algorithms" (civil_from_days).
    public init(containing time: Timestamp) {
        let days = Self.floorDivide(time.microseconds, 86_400_000_000)
        let shifted = days + 719_468
        let era = Self.floorDivide(shifted, 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        count = Int32((year - 1970) * 12 + month - 1)
    }

    /// The first instant of the month, or the nearest that a timestamp can say.
    public var start: Timestamp {
        let year = Self.floorDivide(Int64(count), 12) + 1970
        let month = Int64(count) - (year - 1970) * 12 + 1
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = Self.floorDivide(shiftedYear, 400)
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = era * 146_097 + dayOfEra - 719_468
        let (microseconds, overflow) = days.multipliedReportingOverflow(by: 86_400_000_000)
        return overflow ? (days < 0 ? .distantPast : .distantFuture) : Timestamp(microseconds: microseconds)
    }

    /// When the period ends that begins on `day` of each month, or on the month's last day where that is earlier: the
    /// first such beginning after `time`.
    public static func end(ofPeriodFrom day: Int, at time: Timestamp) -> Timestamp {
        precondition((1...31).contains(day))
        let month = CalendarMonth(containing: time)
        let here = month.start(day: day)
        return here > time ? here : month.next.start(day: day)
    }

    /// The beginning of a day of the month, of its last day where it has fewer.
    func start(day: Int) -> Timestamp {
        let (first, end) = (start.microseconds, next.start.microseconds)
        let dayMicroseconds: Int64 = 86_400_000_000
        return Timestamp(microseconds: min(first + Int64(day - 1) * dayMicroseconds, end - dayMicroseconds))
    }

    public var next: CalendarMonth { CalendarMonth(count: count + 1) }

    public static func < (left: CalendarMonth, right: CalendarMonth) -> Bool { left.count < right.count }

    private static func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
