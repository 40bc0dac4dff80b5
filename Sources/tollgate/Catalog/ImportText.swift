// What came of an import, in words: the counts that add up, and what could not be taken over.

import Pricing
import StrictJSON

enum ImportText {
    /// The report of an import.
    ///
    /// - Parameter isFull: every finding, not one for each reason.
    static func lines(_ report: JSONNode, isFull: Bool) throws(JSONError) -> [String] {
        func count(_ key: String) throws(JSONError) -> String { Figures.grouped(try report.wide(key)) }
        let lines = [
            "\(try count("entries")) entries of a \(try report.shown("format")) list:"
                + " \(try count("priced_fully")) priced fully, \(try count("priced_partly")) partly,"
                + " \(try count("not_priced")) not at all; \(try count("models")) models"
        ]
        let findings = try report.field("findings").array()
        if findings.isEmpty { return lines + ["nothing was left out"] }
        if isFull {
            var all: [String] = []
            for finding in findings { all.append("\(try finding.shown("kind")): \(try line(finding))") }
            let total = try report.wide("findings_count")
            if total > findings.count {
                all.append("and \(Figures.grouped(total - Int128(findings.count))) more")
            }
            return lines + all
        }
        return lines + ["", try table(findings), "", "--findings lists all of them"]
    }

    private static func table(_ findings: [JSONNode]) throws(JSONError) -> String {
        var counts: [String: Int] = [:]
        var examples: [String: String] = [:]
        for finding in findings {
            let kind = try finding.shown("kind")
            counts[kind, default: 0] += 1
            if examples[kind] == nil { examples[kind] = try line(finding) }
        }
        var table = Table([("not taken over", .left), ("times", .right), ("for example", .left)], indent: "")
        for kind in ImportFinding.Kind.allCases.map(\.rawValue) {
            guard let count = counts[kind] else { continue }
            table.add([kind, Figures.grouped(count), examples[kind] ?? ""])
        }
        return table.text
    }

    private static func line(_ finding: JSONNode) throws(JSONError) -> String {
        let field = try finding.field("field").string()
        return "line \(try finding.shown("line")), \(try finding.shown("entry"))"
            + (field.isEmpty ? "" : ", \(field)") + ": \(try finding.shown("detail"))"
    }

    /// What a draft would change, and what to do next.
    static func staged(_ answer: JSONNode) throws(JSONError) -> [String] {
        let version = try answer.shown("version")
        let state = try answer.shown("state")
        var lines = [
            "",
            "version \(version), digest \(try answer.shown("digest").prefix(16))"
                + (try answer.field("duplicate").bool() ? ", which was there already" : "")
                + (state == "draft" ? ", a draft" : ", in force"),
            "to version \(try answer.shown("compared_to")), in force:"
                + " \(Figures.grouped(try answer.wide("added"))) models added,"
                + " \(Figures.grouped(try answer.wide("removed"))) removed,"
                + " \(Figures.grouped(try answer.wide("changed"))) changed,"
                + " \(Figures.grouped(try answer.wide("unchanged"))) the same",
        ]
        for used in try answer.field("unpriced_in_use").array() {
            lines.append(
                "in use and without a price in it: \(try used.shown("provider")) \(try used.shown("model")),"
                    + " \(Figures.grouped(try used.wide("recent_reports"))) of the latest reports; approved, they"
                    + " would be parked (--keep-missing keeps the price)")
        }
        let lint = try answer.wide("lint_count")
        if lint > 0 { lines.append("\(Figures.grouped(lint)) oddities: tollgate catalog lint \(version)") }
        if state == "draft" {
            lines.append(
                "next: tollgate catalog diff live \(version), then tollgate catalog approve \(version)")
        }
        return lines
    }
}
