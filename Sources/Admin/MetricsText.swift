// Figures in the text that Prometheus reads, exposition format 0.0.4.
//
//      # HELP name what it is
//      # TYPE name counter
//      name{label="value"} 12
//
// Values are whole numbers, or seconds with nine decimals: nothing here is a binary fraction.

import Journal
import Money

/// Metrics, written one family after the other.
struct MetricsText {
    private(set) var text = ""

    /// The media type of the format.
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    enum Kind: String {
        case counter, gauge, histogram
    }

    /// The lines above a family's samples.
    mutating func family(_ name: String, _ kind: Kind, _ help: String) {
        text += "# HELP \(name) \(Self.escaped(help, quotes: false))\n# TYPE \(name) \(kind.rawValue)\n"
    }

    /// One sample; whole numbers only.
    mutating func sample(_ name: String, _ labels: [(String, String)] = [], _ value: some BinaryInteger) {
        line(name, labels, String(value))
    }

    /// A family of one whole number.
    mutating func single(_ name: String, _ kind: Kind, _ help: String, _ value: some BinaryInteger) {
        family(name, kind, help)
        sample(name, [], value)
    }

    /// A family of one duration.
    mutating func seconds(_ name: String, _ kind: Kind, _ help: String, nanoseconds: UInt64) {
        family(name, kind, help)
        line(name, [], Self.seconds(nanoseconds))
    }

    /// A histogram; `inSeconds` for one that was kept in nanoseconds.
    mutating func histogram(
        _ name: String, _ help: String, _ histogram: JournalHistogram, inSeconds: Bool
    ) {
        func number(_ value: UInt64) -> String { inSeconds ? Self.seconds(value) : String(value) }
        family(name, .histogram, help)
        var count: UInt64 = 0
        for (bucket, bound) in histogram.bounds.enumerated() {
            count += histogram.counts[bucket]
            line(name + "_bucket", [("le", number(bound))], String(count))
        }
        count += histogram.counts[histogram.bounds.count]
        line(name + "_bucket", [("le", "+Inf")], String(count))
        line(name + "_sum", [], number(histogram.sum))
        line(name + "_count", [], String(count))
    }

    private mutating func line(_ name: String, _ labels: [(String, String)], _ value: String) {
        text += name
        if !labels.isEmpty {
            let pairs = labels.map { "\($0.0)=\"\(Self.escaped($0.1, quotes: true))\"" }
            text += "{" + pairs.joined(separator: ",") + "}"
        }
        text += " " + value + "\n"
    }

    private static func seconds(_ nanoseconds: UInt64) -> String {
        DecimalText.format(Int128(nanoseconds), places: 9)
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var escaped = ""
        for character in text {
            switch character {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            case "\"" where quotes: escaped += "\\\""
            default: escaped.append(character)
            }
        }
        return escaped
    }
}
