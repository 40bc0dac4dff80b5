// What came of an import, in words: the counts that add up, and what could not be taken over.

import Pricing
import StrictJSON

/// The figures of an import, as they are shown and sent.
struct ImportSummary {
    var format: String
    var entries: Int
    var full: Int
    var partial: Int
    var none: Int
    var models: Int
    var findings: [ImportFinding]

    init(_ result: CatalogueImport) {
        format = result.format.rawValue
        entries = result.entryCount
        full = result.fullyPriced
        partial = result.partlyPriced
        none = result.notPriced
        models = result.catalogue.models.count
        findings = result.findings
    }

    var json: JSONObject {
        [
            "format": .string(format), "entries": .integer(entries), "priced_fully": .integer(full),
            "priced_partly": .integer(partial), "not_priced": .integer(none), "models": .integer(models),
            "findings": .array(findings.map { .object($0.json) }),
        ]
    }
}

enum ImportText {
    static func summary(_ summary: ImportSummary) -> String {
        "\(Figures.grouped(summary.entries)) entries (\(summary.format)):"
            + " \(Figures.grouped(summary.full)) priced fully, \(Figures.grouped(summary.partial)) partly,"
            + " \(Figures.grouped(summary.none)) not at all; \(Figures.grouped(summary.models)) models"
    }

    /// Findings by their reason, or each of them.
    static func findings(_ findings: [ImportFinding], all: Bool) -> String {
        if findings.isEmpty { return "nothing was left out" }
        if all { return findings.map { "\($0.kind.rawValue): \($0)" }.joined(separator: "\n") }
        var table = Table([("not taken over", .left), ("times", .right), ("for example", .left)], indent: "")
        for kind in ImportFinding.Kind.allCases {
            let found = findings.filter { $0.kind == kind }
            guard let first = found.first else { continue }
            table.add([kind.rawValue, Figures.grouped(found.count), "\(first)"])
        }
        return table.text + "\n--findings lists all of them"
    }
}
