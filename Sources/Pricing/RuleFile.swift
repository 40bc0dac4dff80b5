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

extension RuleEditor {
    /// What applying a file came to.
    public struct Applied: Sendable {
        /// In the order of the file.
        public var outcomes: [RuleEditOutcome] = []
        /// Rules in force that the file does not name.
        public var unnamed: [RuleKey] = []
    }

    /// Makes the book say what a file says. All of it is fine, or the first entry at fault is told.
    ///
    /// - Parameters:
    ///   - prunes: rules that the file does not name are deactivated.
    ///   - expectsVersions: an entry with a `version` must be about the newest of its rule.
    public mutating func apply(
        _ file: RuleFile, prunes: Bool = false, expectsVersions: Bool = false
    ) throws(RuleProblem) -> Applied {
        let plan = try RuleFilePlan(file, book: book, now: editing.now)
        var applied = Applied()
        var named: Set<RuleKey> = []
        for (key, wishes) in plan.groups {
            do throws(RuleProblem) {
                let outcomes = try apply(wishes, to: key, expectsVersions: expectsVersions)
                named.formUnion(outcomes.map(\.rule.key))
                if let key { named.insert(key) }
                applied.outcomes += outcomes
            } catch {
                throw .entry(path: wishes[0].node.path.description, error)
            }
        }
        for key in book.keys where !named.contains(key) {
            guard let rule = book.inForce(key, at: editing.now), rule.head.isActive else { continue }
            if prunes {
                applied.outcomes.append(
                    try change(key, JSONNode(.object(["is_active": false])), action: .deactivate))
            } else {
                applied.unnamed.append(key)
            }
        }
        return applied
    }

    private mutating func apply(
        _ wishes: [RuleFilePlan.Wish], to key: RuleKey?, expectsVersions: Bool
    ) throws(RuleProblem) -> [RuleEditOutcome] {
        var outcomes: [RuleEditOutcome] = []
        let now = editing.now
        let live = wishes.filter { ($0.end ?? .distantFuture) > now }
        let present = live.filter { ($0.start ?? .distantPast) <= now }
        let running = present.last { $0.end != nil }
        for wish in live {
            let isPresent = (wish.start ?? .distantPast) <= now
            // Of what holds since a time that has passed, the last counts; and what returns after it.
            if isPresent, wish.end == nil, present.last(where: { $0.end == nil })?.start != wish.start {
                continue
            }
            if isPresent, wish.end != nil, running?.start != wish.start { continue }
            let node = try Self.change(
                wish.node, keepingStart: !isPresent)
            guard let key else {
                outcomes.append(try createBYOK(node))
                continue
            }
            if expectsVersions { try checkVersion(wish.node, of: key) }
            let comparing = isPresent && wish.end == nil ? present.compactMap(\.end).max() : nil
            let isNew = book.versions(of: key).isEmpty
            outcomes.append(
                try change(key, node, action: isNew ? .create : nil, comparing: comparing))
        }
        return outcomes
    }

    private func checkVersion(_ node: JSONNode, of key: RuleKey) throws(RuleProblem) {
        let change = try RuleChange(node)
        let latest = book.versions(of: key).last?.head.version
        if let version = change.version, let latest, version != latest {
            throw .changed(key, latest: latest)
        }
    }

    /// An entry without what says how it was when it was written.
    private static func change(
        _ node: JSONNode, keepingStart: Bool
    ) throws(RuleProblem) -> JSONNode {
        try RuleProblem.reading { () throws(JSONError) in
            var object = JSONObject()
            for member in try node.object().members {
                if member.key == "effective_at", !keepingStart { continue }
                if member.key == "version" { continue }
                object[member.key] = member.value
            }
            return JSONNode(.object(object), path: node.path)
        }
    }

    /// The book in which each rule that `file` is about always was as the file says in the end; other rules
    /// keep all their versions. For asking what would have been.
    public func whatIf(_ file: RuleFile) throws(RuleProblem) -> RuleBook {
        let plan = try RuleFilePlan(file, book: book, now: editing.now)
        var result = book
        for (key, wishes) in plan.groups {
            do throws(RuleProblem) {
                for wish in wishes {
                    let node = try Self.change(wish.node, keepingStart: false)
                    let rule = try wishedRule(node, key: key, in: result)
                    result = try RuleProblem.pricing { () throws(PricingError) in
                        try result.replacing(rule.key, with: rule)
                    }
                }
            } catch {
                throw .entry(path: wishes[0].node.path.description, error)
            }
        }
        return result
    }

    /// What a wish makes of a rule in `result`, for all time.
    private func wishedRule(
        _ node: JSONNode, key: RuleKey?, in result: RuleBook
    ) throws(RuleProblem) -> Rule {
        let asked = try RuleChange(node)
        var id = key?.name ?? ""
        if key == nil {
            guard case .byok(let rule) = try asked.rule(over: nil, key: .byok(id: "")) else {
                preconditionFailure("a BYOK rule was read")
            }
            id = freeID(for: rule.provider, in: result)
        }
        let key = key ?? .byok(id: id)
        let versions = result.versions(of: key)
        let base = result.inForce(key, at: editing.now) ?? versions.last { $0.head.withdraws == nil }
        guard base != nil || key.kind == .byok || asked.isWhole else { throw .noRule(key) }
        var rule = try asked.rule(over: base, key: key).sorted
        if rule.head.id.isEmpty { rule.head.id = key.kind == .platform ? "platform_\(id)" : id }
        rule.head.ruleNumber = base?.head.ruleNumber ?? result.nextRuleNumber
        rule.head.version = result.nextVersion
        rule.head.effectiveAt = .distantPast
        rule.head.effectiveUntil = .distantFuture
        rule.head.ends = asked.ends
        try checkTiers(rule, base: base)
        return rule
    }
}
