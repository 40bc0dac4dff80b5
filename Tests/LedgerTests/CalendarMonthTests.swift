// A month is arithmetic on days. Method: walk the calendar day by day with the rule for leap years and a
// table of month lengths, which shares nothing with the arithmetic.

import Pricing
import Testing

@testable import Ledger

@Suite("calendar months")
struct CalendarMonthTests {
    private func days(inMonth month: Int, of year: Int) -> Int {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        return [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month]
    }

    @Test("every day from 1970 to 2100 is in its month, from its first microsecond to its last")
    func forward() {
        var start: Int64 = 0
        var count: Int32 = 0
        for year in 1970...2100 {
            for month in 0..<12 {
                let here = CalendarMonth(count: count)
                #expect(here.start == Timestamp(microseconds: start))
                for _ in 0..<days(inMonth: month, of: year) {
                    if CalendarMonth(containing: Timestamp(microseconds: start)) != here
                        || CalendarMonth(containing: Timestamp(microseconds: start + Fixture.day - 1)) != here
                    {
                        Issue.record("a day of \(year)-\(month + 1) at \(start) is in another month")
                    }
                    start += Fixture.day
                }
                #expect(here.next.start == Timestamp(microseconds: start))
                count += 1
            }
        }
    }

    @Test("so is every day back to 1600")
    func backward() {
        var end: Int64 = 0
        var count: Int32 = 0
        for year in stride(from: 1969, through: 1600, by: -1) {
            for month in stride(from: 11, through: 0, by: -1) {
                count -= 1
                let here = CalendarMonth(count: count)
                for _ in 0..<days(inMonth: month, of: year) {
                    if CalendarMonth(containing: Timestamp(microseconds: end - 1)) != here
                        || CalendarMonth(containing: Timestamp(microseconds: end - Fixture.day)) != here
                    {
                        Issue.record("a day of \(year)-\(month + 1) before \(end) is in another month")
                    }
                    end -= Fixture.day
                }
                #expect(here.start == Timestamp(microseconds: end))
            }
        }
    }

    @Test("the ends of time have a month, and no instant traps")
    func extremes() {
        for time in [Timestamp.distantPast, .distantFuture] {
            let month = CalendarMonth(containing: time)
            #expect(month.start <= time)
            #expect(CalendarMonth(stored: Int64(month.count)) == month)
        }
        #expect(CalendarMonth(count: .min).start == .distantPast)
        #expect(CalendarMonth(count: .max).start == .distantFuture)
        #expect(CalendarMonth(stored: 4_000_001) == nil)
        #expect(CalendarMonth(stored: .min) == nil)
    }

    @Test("an anchored period ends on its day of the month, or on the last one of a shorter month")
    func anchored() throws {
        let rows: [(String, Int, String)] = [
            ("2026-01-15T00:00:00Z", 1, "2026-02-01T00:00:00Z"),
            ("2026-01-15T00:00:00Z", 15, "2026-02-15T00:00:00Z"),
            ("2026-01-14T23:59:59Z", 15, "2026-01-15T00:00:00Z"),
            ("2026-01-31T12:00:00Z", 31, "2026-02-28T00:00:00Z"),
            ("2026-02-28T00:00:00Z", 31, "2026-03-31T00:00:00Z"),
            ("2028-02-28T12:00:00Z", 30, "2028-02-29T00:00:00Z"),
            ("2026-12-31T00:00:00Z", 31, "2027-01-31T00:00:00Z"),
            ("2026-04-30T00:00:00Z", 31, "2026-05-31T00:00:00Z"),
        ]
        for (time, day, end) in rows {
            let found = CalendarMonth.end(ofPeriodFrom: day, at: try #require(Timestamp(text: time)))
            #expect(found.text == end, "\(time), day \(day)")
        }
    }
}
