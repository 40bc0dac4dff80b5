// Making a book say what a file says, and asking what it would have been.

import StrictJSON

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
