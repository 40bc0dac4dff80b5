// Figures as people read them: thousands apart, units beside. Amounts stay integers until here.

import Money

enum Figures {
    /// `1 234 567`.
    static func grouped(_ value: some BinaryInteger) -> String { grouped(digits: String(value)) }

    /// Exact credits: `1 234.5`.
    static func credits(_ nanocredits: Int64) -> String {
        grouped(digits: DecimalText.format(nanocredits, places: Nanocredits.places))
    }

    /// Exact credits of a sum.
    static func credits(_ nanocredits: Int128) -> String {
        grouped(digits: DecimalText.format(nanocredits, places: Nanocredits.places))
    }

    /// An exact sum with two decimals at least, as documents have it.
    static func decimal(_ value: Int128, places: Int) -> String {
        DecimalText.format(value, places: places, decimalsMin: 2)
    }

    /// The same for people.
    static func money(_ value: Int128, places: Int) -> String {
        grouped(digits: decimal(value, places: places))
    }

    /// Credits to the hundredth, for tables; sums are made before, from exact amounts.
    static func roundedCredits(_ nanocredits: Int128) -> String {
        let hundredth: Int128 = 10_000_000
        let half = nanocredits < 0 ? -hundredth / 2 : hundredth / 2
        return grouped(
            digits: DecimalText.format((nanocredits + half) / hundredth, places: 2, decimalsMin: 2))
    }

    /// `64 MiB` where that is exact.
    static func bytes(_ count: Int) -> String {
        for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        where count >= size && count % size == 0 {
            return "\(count / size) \(unit)"
        }
        return "\(count)"
    }

    /// `850 µs`, `2.3 ms`, `1.20 s`.
    static func duration(nanoseconds: UInt64) -> String {
        switch nanoseconds {
        case ..<1_000_000: "\(nanoseconds / 1_000) µs"
        case ..<10_000_000: tenths(nanoseconds / 100_000) + " ms"
        case ..<1_000_000_000: "\(nanoseconds / 1_000_000) ms"
        default: DecimalText.format(Int64(nanoseconds / 10_000_000), places: 2, decimalsMin: 2) + " s"
        }
    }

    /// A share of a whole in percent with one decimal.
    static func percent(_ part: Int, of whole: Int) -> String {
        guard whole > 0 else { return "0.0 %" }
        return DecimalText.format(Int64((part * 1_000 + whole / 2) / whole), places: 1, decimalsMin: 1) + " %"
    }

    private static func tenths(_ count: UInt64) -> String {
        DecimalText.format(Int64(count), places: 1, decimalsMin: 1)
    }

    /// Thousands apart before the point; the decimals stay together.
    private static func grouped(digits: String) -> String {
        let sign = digits.hasPrefix("-") ? "-" : ""
        let parts = digits.dropFirst(sign.count).split(separator: ".", maxSplits: 1)
        let whole = Array(parts[0])
        var text = ""
        for (index, digit) in whole.enumerated() {
            if index > 0, (whole.count - index) % 3 == 0 { text.append(" ") }
            text.append(digit)
        }
        return sign + text + (parts.count > 1 ? "." + parts[1] : "")
    }
}
