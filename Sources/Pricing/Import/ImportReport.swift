// What came of an import, as a document: kept with the draft, sent to whoever asked, shown by the command.

import StrictJSON

extension CatalogueImport {
    /// Findings of a report; a file may have more, and its count says so.
    public static let reportFindingsMax = 10_000

    /// Counts that add up to the entries of the file, and what could not be taken over.
    public var report: JSONObject {
        [
            "format": .string(format.rawValue), "entries": .integer(entryCount),
            "priced_fully": .integer(fullyPriced), "priced_partly": .integer(partlyPriced),
            "not_priced": .integer(notPriced), "models": .integer(catalogue.models.count),
            "findings_count": .integer(findings.count),
            "findings": .array(findings.prefix(Self.reportFindingsMax).map { .object($0.json) }),
        ]
    }
}

extension LintFinding {
    /// The finding as a document.
    public var json: JSONObject {
        [
            "kind": .string(kind.rawValue), "provider": .string(provider), "model": .string(model),
            "detail": .string(detail),
        ]
    }
}
