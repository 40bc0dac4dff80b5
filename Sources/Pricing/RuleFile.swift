// A file of rules, for people who keep them in git, and drafts of a few lines.
//
//      { "format": "tollgate-rules/1", "platform": [ … ], "byok": [ … ] }      lists
//      [ { "tier_code": … }, { "provider": … } ]                               rules of either kind
//      { "tier_code": "professional", "markup_value": "1.80" }                 one rule
//
// An entry says of its rule what it names; the rest stays. It names its rule by `id`, by `tier_code`, or by
// `provider` where one BYOK rule has it. An entry that names none is meant for every rule of its kind; where
// the kind is not said either, it must make sense for one of the two. Entries for the same rule are taken
// together. Those with an `effective_at` that has passed are what holds since then, those whose
// `effective_until` has passed are over; so a file may keep what was scheduled and applies the same later.

import StrictJSON

/// One entry of a file, before it is known which rule it is about.
public struct RuleEntry: Sendable {
    public var node: JSONNode
    /// From the list it stands in, or what it says; nil where neither tells.
    var kind: RuleKind?
    var start: Timestamp?
    var end: Timestamp?
}

/// The entries of a file.
public struct RuleFile: Sendable {
    public var entries: [RuleEntry]

    public init(_ root: JSONNode) throws(RuleProblem) {
        entries = try RuleProblem.reading { () throws(JSONError) in try Self.entries(root) }
        if entries.count > PricingLimits.ruleEntriesMax {
            throw .pricing(
                .tooMany(
                    what: "entries of a file of rules", found: entries.count,
                    max: PricingLimits.ruleEntriesMax))
        }
    }

    private static func entries(_ root: JSONNode) throws(JSONError) -> [RuleEntry] {
        if case .array = root.value { return try entries(root, kind: nil) }
        let keys = Set(try root.object().keys)
        guard !keys.isDisjoint(with: ["platform", "byok", "rules", "format"]) else {
            return [try entry(root, kind: nil)]
        }
        try root.expectOnly(["format", "platform", "byok", "rules"])
        if let format = try root.optional("format"), try format.string() != RuleBook.format {
            throw format.unexpected("\"\(RuleBook.format)\"")
        }
        var found: [RuleEntry] = []
        for (key, kind) in [("platform", RuleKind.platform), ("byok", .byok), ("rules", nil)] {
            if let list = try root.optional(key) { found += try entries(list, kind: kind) }
        }
        return found
    }

    private static func entries(_ list: JSONNode, kind: RuleKind?) throws(JSONError) -> [RuleEntry] {
        var found: [RuleEntry] = []
        for node in try list.array() { found.append(try entry(node, kind: kind)) }
        return found
    }

    private static func entry(_ node: JSONNode, kind: RuleKind?) throws(JSONError) -> RuleEntry {
        var kind = kind
        if let type = try node.optional("rule_type") {
            guard let said = RuleKind(rawValue: try type.string()), kind == nil || kind == said else {
                throw type.unexpected(kind.map { "\"\($0.rawValue)\"" } ?? "\"platform\" or \"byok\"")
            }
            kind = said
        }
        if kind == nil {
            let keys = try node.object().keys
            if keys.contains(where: ["tier_code", "provider_overrides"].contains) {
                kind = .platform
            } else if keys.contains(where: Self.byokKeys.contains) {
                kind = .byok
            }
        }
        return RuleEntry(
            node: node, kind: kind, start: try node.optional("effective_at")?.timestamp(),
            end: try node.optional("effective_until")?.timestamp())
    }

    private static let byokKeys = [
        "provider", "rule_name", "min_charge", "free_credits_monthly", "applies_to_tiers", "priority",
    ]
}

/// What a file comes to: each rule that it is about, in the order of the file.
struct RuleFilePlan {
    /// A state of a rule that a file wants.
    struct Wish {
        var start: Timestamp?
        var end: Timestamp?
        var node: JSONNode
    }

    /// Nil for a BYOK rule to be made, which gets its id then.
    var groups: [(key: RuleKey?, wishes: [Wish])] = []

    /// Resolves the entries of a file against `book`, at `now`.
    init(_ file: RuleFile, book: RuleBook, now: Timestamp) throws(RuleProblem) {
        for entry in file.entries {
            do throws(RuleProblem) {
                for key in try Self.keys(of: entry, in: book, at: now) { try add(entry, key: key) }
            } catch {
                throw .entry(path: entry.node.path.description, error)
            }
        }
        for index in groups.indices {
            groups[index].wishes.sort { ($0.start ?? .distantPast) < ($1.start ?? .distantPast) }
        }
    }

    /// The rules that an entry is about; one nil for a new one.
    private static func keys(
        of entry: RuleEntry, in book: RuleBook, at now: Timestamp
    ) throws(RuleProblem) -> [RuleKey?] {
        let (id, tier, provider) = try RuleProblem.reading { () throws(JSONError) in
            (
                try entry.node.optional("id")?.string(),
                try entry.node.optional("tier_code")?.string().asciiLowercased,
                try entry.node.optional("provider")?.string().asciiLowercased
            )
        }
        var kind = entry.kind
        if let id {
            let known = book.versions.first { $0.head.id == id }
            if let known, kind == nil || kind == known.kind { return [known.key] }
            kind = kind ?? .byok
            if kind == .byok { return [.byok(id: id)] }
        }
        if kind == .platform, let tier { return [.platform(tier: tier)] }
        if kind == .byok, let provider {
            let ids = book.keys.filter { key in
                guard case .byok(let rule)? = book.inForce(key, at: now) ?? book.versions(of: key).last
                else { return false }
                return rule.provider == provider
            }
            if ids.count > 1 {
                throw .pricing(
                    .json(
                        entry.node.invalid(
                            "provider \(provider) has the rules \(ids.map(\.name).joined(separator: ", ")); "
                                + "name one by its id")))
            }
            return ids.isEmpty ? [nil] : [ids[0]]
        }
        return try everyRule(entry, kind: kind, in: book, at: now)
    }

    /// An entry that names no rule: every rule in force of its kind, or of the kind it makes sense for.
    private static func everyRule(
        _ entry: RuleEntry, kind: RuleKind?, in book: RuleBook, at now: Timestamp
    ) throws(RuleProblem) -> [RuleKey?] {
        let change = try RuleChange(entry.node)
        func fitting(_ kind: RuleKind) throws(RuleProblem) -> [RuleKey] {
            var keys: [RuleKey] = []
            for key in book.keys where key.kind == kind {
                guard let rule = book.inForce(key, at: now), rule.head.isActive else { continue }
                _ = try change.rule(over: rule, key: key)
                keys.append(key)
            }
            return keys
        }
        if let kind { return try fitting(kind) }
        var found: [RuleKind: [RuleKey]] = [:]
        var problem: RuleProblem?
        for kind in RuleKind.allCases {
            do throws(RuleProblem) {
                found[kind] = try fitting(kind)
            } catch {
                problem = error
            }
        }
        if found.count == 2 {
            throw .pricing(
                .json(
                    entry.node.invalid(
                        "it names no rule, and makes sense for every platform rule and for every BYOK rule; "
                            + "name its tier_code, provider or id, or its rule_type")))
        }
        if let keys = found.first?.value { return keys }
        throw problem ?? .pricing(.json(entry.node.invalid("it names no rule")))
    }

    private mutating func add(_ entry: RuleEntry, key: RuleKey?) throws(RuleProblem) {
        let wish = Wish(start: entry.start, end: entry.end, node: entry.node)
        guard let key, let index = groups.firstIndex(where: { $0.key == key }) else {
            groups.append((key, [wish]))
            return
        }
        if let same = groups[index].wishes.firstIndex(where: { $0.start == wish.start }) {
            groups[index].wishes[same].node = try Self.merge(groups[index].wishes[same].node, wish.node)
            groups[index].wishes[same].end = groups[index].wishes[same].end ?? wish.end
        } else {
            groups[index].wishes.append(wish)
        }
    }

    /// Two entries for one rule as one; they may not contradict each other.
    private static func merge(_ first: JSONNode, _ second: JSONNode) throws(RuleProblem) -> JSONNode {
        try RuleProblem.reading { () throws(JSONError) in
            var object = try first.object()
            for (key, node) in try second.members() {
                if let other = object[key], other != node.value {
                    throw node.invalid(
                        "another entry for the same rule, \(first.path), says \(other.text) from the same "
                            + "time on")
                }
                object[key] = node.value
            }
            return JSONNode(.object(object), path: first.path)
        }
    }
}
