// Instants as text, in both directions.

import Pricing
import Testing

struct TimestampTextTests {
    @Test(
        "instants are read and written",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("1969-12-31T23:59:59.999999Z", -1),
            ("2025-01-31T23:59:59Z", 1_738_367_999_000_000),
            ("2000-02-29T12:00:00.5Z", 951_825_600_500_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
            ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
            ("2024-12-31T00:00:00Z", 1_735_603_200_000_000),
        ])
    func both(text: String, microseconds: Int64) {
        #expect(Timestamp(text: text)?.microseconds == microseconds)
        #expect(Timestamp(microseconds: microseconds).text == text)
    }

    @Test("offsets, dates alone and lower case are read")
    func variants() {
        #expect(Timestamp(text: "2025-01-01")?.text == "2025-01-01T00:00:00Z")
        #expect(Timestamp(text: "2025-01-01T01:30:00+01:30")?.text == "2025-01-01T00:00:00Z")
        #expect(Timestamp(text: "2024-12-31t19:00:00-05:00")?.text == "2025-01-01T00:00:00Z")
        #expect(Timestamp(text: "2025-01-01T00:00:00.123z")?.text == "2025-01-01T00:00:00.123Z")
        #expect(Timestamp.distantPast.text == "the beginning" && Timestamp.distantFuture.text == "never")
    }

    @Test(
        "anything else is not",
        arguments: [
            "", "2025", "2025-1-1", "2025-13-01", "2025-00-01", "2025-02-29", "2100-02-29", "2025-04-31",
            "0000-01-01",
            "2025-01-01 00:00:00Z", "2025-01-01T24:00:00Z", "2025-01-01T00:60:00Z", "2025-01-01T23:59:60Z",
            "2025-01-01T00:00:00", "2025-01-01T00:00Z", "2025-01-01T00:00:00.Z",
            "2025-01-01T00:00:00.1234567Z",
            "2025-01-01T00:00:00+0100", "2025-01-01T00:00:00Zx", "-025-01-01", "２０２５-01-01", "2025-01-00",
            "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
        ])
    func refused(text: String) { #expect(Timestamp(text: text) == nil) }

    @Test("every day of eight centuries is read back the same")
    func everyDay() {
        var day = Timestamp(text: "1601-01-01")?.microseconds ?? 0
        let end = Timestamp(text: "2401-01-01")?.microseconds ?? 0
        var count = 0
        var wrong: [String] = []
        while day < end {
            let text = Timestamp(microseconds: day).text
            if Timestamp(text: text)?.microseconds != day { wrong.append(text) }
            day += 86_400_000_000
            count += 1
        }
        #expect(wrong.isEmpty)
        #expect(count == 2 * 146_097)
    }
}
