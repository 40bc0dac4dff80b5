// Rules in words: tables of them, what a change did, what a file would do.

import StrictJSON

enum RuleText {
    static func platform(_ rules: JSONNode) throws(JSONError) -> String {
        var table = Table([
            ("tier", .left), ("markup", .right), ("by provider", .left), ("version", .right), ("id", .left),
            ("", .left),
        ])
        for rule in try rules.array() {
            table.add([
                try rule.shown("tier_code"), try markup(rule), try overrides(rule), try rule.shown("version"),
                try rule.shown("id"), try notes(rule),
            ])
        }
        return "platform: the charge is the base cost times the markup\n" + table.text
    }

    static func byok(_ rules: JSONNode) throws(JSONError) -> String {
        var table = Table([
            ("provider", .left), ("fee", .right), ("least, USD", .right), ("free a month, USD", .right),
            ("tiers", .left), ("priority", .right), ("version", .right), ("id", .left), ("", .left),
        ])
        for rule in try rules.array() {
            table.add([
                try rule.shown("provider"), try markup(rule), try rule.shown("min_charge"),
                try rule.shown("free_credits_monthly"),
                try rule.field("applies_to_tiers").strings().joined(separator: ", "),
                try rule.shown("priority"), try rule.shown("version"), try rule.shown("id"), try notes(rule),
            ])
        }
        return "bring your own key: the provider is paid by the user, Tollgate takes a fee\n" + table.text
    }

    private static func overrides(_ rule: JSONNode) throws(JSONError) -> String {
        var overrides: [String] = []
        guard let list = try rule.optional("provider_overrides") else { return "" }
        for (provider, node) in try list.members() {
            let type = try node.optional("markup_type")?.string()
            let value = try node.optional("markup_value") == nil ? "" : " " + node.shown("markup_value")
            let isOff = try node.optional("is_active")?.bool() == false
            overrides.append("\(provider)\(type.map { " " + $0 } ?? "")\(value)\(isOff ? " off" : "")")
        }
        return overrides.joined(separator: ", ")
    }

    private static func markup(_ rule: JSONNode) throws(JSONError) -> String {
        "\(try rule.shown("markup_type")) \(try rule.shown("markup_value"))"
    }

    /// Off, from when, until when.
    private static func notes(_ rule: JSONNode) throws(JSONError) -> String {
        var notes: [String] = []
        if try rule.optional("is_active")?.bool() == false { notes.append("off") }
        if try rule.optional("effective_at") != nil { notes.append("from \(try rule.shown("effective_at"))") }
        if try rule.optional("effective_until") != nil {
            notes.append("until \(try rule.shown("effective_until"))")
        }
        if try rule.optional("ends")?.bool() == true { notes.append("the rule ends") }
        return notes.joined(separator: ", ")
    }

    /// What a version says, in a few words.
    static func says(_ version: JSONNode) throws(JSONError) -> String {
        if try version.optional("withdraws") != nil {
            return "takes version \(try version.shown("withdraws")) back"
        }
        if try version.optional("ends")?.bool() == true { return "the rule ends" }
        var words = try markup(version)
        let more = try overrides(version)
        if !more.isEmpty { words += " (\(more))" }
        if try version.field("is_active").bool() == false { words += ", off" }
        return words
    }

    /// A rule as names and values.
    static func rows(_ rule: JSONNode) throws(JSONError) -> [(String, String)] {
        var rows: [(String, String)] = []
        for (key, node) in try rule.members() {
            switch node.value {
            case .object where key == "provider_overrides": rows.append((key, try overrides(rule)))
            case .array where key == "applies_to_tiers":
                rows.append((key, try node.strings().joined(separator: ", ")))
            case .array, .object: rows.append((key, node.value.text))
            default: rows.append((key, try rule.shown(key)))
            }
        }
        return rows
    }

    /// What a change of one rule came to.
    static func outcome(_ answer: JSONNode) throws(JSONError) -> String {
        let id = try answer.shown("id")
        let isDry = try answer.optional("dry_run") != nil
        guard try answer.field("changed").bool() else {
            let state = try answer.shown("state") == "scheduled" ? "will say so" : "says so already"
            return
                "\(id) \(state), in version \(try answer.shown("version")); nothing \(isDry ? "would change" : "changed")"
        }
        var lines = [
            "\(id), version \(try answer.shown("version"))\(isDry ? " (not made, only tried)" : ""):"
                + " \(try says(answer))"
        ]
        let start = try answer.shown("effective_at")
        let end = try answer.shown("effective_until")
        lines.append("from \(start)" + (end == "-" ? "" : " until \(end)"))
        if try answer.optional("afterwards") != nil { lines.append("then \(try answer.shown("afterwards"))") }
        if let notice = try answer.optional("notice") { lines += try self.notice(notice) }
        if let scheduled = try answer.optional("scheduled") {
            let version = try answer.shown("version")
            for next in try scheduled.array() where try next.shown("version") != version {
                lines.append(
                    "version \(try next.shown("version")) is scheduled for \(try next.shown("effective_at"))")
            }
        }
        return lines.joined(separator: "\n")
    }

    private static func notice(_ notice: JSONNode) throws(JSONError) -> [String] {
        var lines = [try notice.shown("message")]
        for increase in try notice.field("increases").array() {
            lines.append(
                "  \(try increase.shown("rule_type")), tier \(try increase.shown("tier")), provider"
                    + " \(try increase.shown("provider")): \(try increase.shown("before")) →"
                    + " \(try increase.shown("after"))")
        }
        return lines
    }

    /// What applying a file came to, or would.
    static func file(_ answer: JSONNode, wouldChange: Bool) throws(JSONError) -> String {
        var lines: [String] = []
        for change in try answer.field("changes").array() {
            lines.append(
                "\(try change.shown("action")) \(try change.shown("id")), version"
                    + " \(try change.shown("version")), from \(try change.shown("effective_at"))")
            for field in try change.field("fields").array() {
                lines.append(
                    "    \(try field.shown("field")): \(text(try field.optional("before"))) →"
                        + " \(text(try field.optional("after")))")
            }
            if let notice = try change.optional("notice") {
                lines += try self.notice(notice).map { "    " + $0 }
            }
        }
        let count = try answer.field("changes").array().count
        let same = try answer.field("unchanged").array().count
        lines.append(
            count == 0
                ? "nothing \(wouldChange ? "would change" : "changed"): \(same) rules are as the file says"
                : "\(count) \(wouldChange ? "would change" : "changed"), \(same) are as the file says")
        let left = try answer.field("not_in_file").strings()
        if !left.isEmpty {
            lines.append("not in the file, and left as they are: \(left.joined(separator: ", "))")
        }
        return lines.joined(separator: "\n")
    }

    private static func text(_ node: JSONNode?) -> String {
        switch node?.value {
        case nil, .null?: "nothing"
        case .string(let text)?: text
        case let value?: value.text
        }
    }

    /// The members of two documents that differ, in a line.
    static func difference(_ old: JSONNode?, _ new: JSONNode?) throws(JSONError) -> String {
        guard case .object(let after)? = new?.value else { return text(new) }
        guard case .object(let before)? = old?.value else { return "made" }
        let quiet = ["version", "created_at", "created_by", "effective_at", "rule_number"]
        let changed = after.members.filter { before[$0.key] != $0.value && !quiet.contains($0.key) }
        return changed.map { member in
            let was = before[member.key].map { text(JSONNode($0)) } ?? "nothing"
            return "\(member.key): \(was) → \(text(JSONNode(member.value)))"
        }.joined(separator: "; ")
    }
}
