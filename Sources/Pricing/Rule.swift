// A rule of either kind, for whoever edits, lists and compares rules without caring which it is.

import StrictJSON

/// What people call a rule: a platform rule by its tier, a BYOK rule by its id.
public enum RuleKey: Hashable, Sendable {
    case platform(tier: String)
    case byok(id: String)

    public var kind: RuleKind {
        switch self {
        case .platform: .platform
        case .byok: .byok
        }
    }

    /// The tier or the id.
    public var name: String {
        switch self {
        case .platform(let tier): tier
        case .byok(let id): id
        }
    }
}

/// One version of a rule of either kind.
public enum Rule: Hashable, Sendable {
    case platform(PlatformRule)
    case byok(BYOKRule)

    /// Reads a rule, or a change of `stored`, which is of the same kind.
    public init(_ node: JSONNode, kind: RuleKind, stored: Rule? = nil) throws(PricingError) {
        switch (kind, stored) {
        case (.platform, .platform(let stored)?): self = .platform(try PlatformRule(node, stored: stored))
        case (.platform, _): self = .platform(try PlatformRule(node))
        case (.byok, .byok(let stored)?): self = .byok(try BYOKRule(node, stored: stored))
        case (.byok, _): self = .byok(try BYOKRule(node))
        }
    }

    public var head: RuleVersion {
        get {
            switch self {
            case .platform(let rule): rule.head
            case .byok(let rule): rule.head
            }
        }
        set {
            switch self {
            case .platform(var rule):
                rule.head = newValue
                self = .platform(rule)
            case .byok(var rule):
                rule.head = newValue
                self = .byok(rule)
            }
        }
    }

    public var kind: RuleKind {
        switch self {
        case .platform: .platform
        case .byok: .byok
        }
    }

    public var key: RuleKey {
        switch self {
        case .platform(let rule): .platform(tier: rule.tierCode)
        case .byok(let rule): .byok(id: rule.head.id)
        }
    }

    /// The rule as an object, complete.
    public var json: JSONObject {
        switch self {
        case .platform(let rule): rule.json
        case .byok(let rule): rule.json
        }
    }

    /// The same with its lists in the order that `PlatformRule` and `BYOKRule` say they have.
    var sorted: Rule {
        switch self {
        case .platform(var rule):
            rule.providerOverrides.sort { $0.provider < $1.provider }
            return .platform(rule)
        case .byok(var rule):
            rule.appliesToTiers.sort()
            return .byok(rule)
        }
    }

    /// What the rule says, without when it says so, since when and by whom.
    var content: Rule {
        var content = sorted
        content.head = RuleVersion(
            id: head.id, ruleNumber: head.ruleNumber, version: 0, isActive: head.isActive,
            description: head.description)
        return content
    }

    /// What of it prices requests: without its names and words.
    var terms: Rule {
        var terms = content
        terms.head = RuleVersion(id: "", ruleNumber: 0, version: 0, isActive: head.isActive)
        if case .byok(var rule) = terms {
            rule.name = ""
            terms = .byok(rule)
        }
        return terms
    }
}

extension RuleBook {
    /// Every version of every rule, in the order of versions.
    public var versions: [Rule] {
        (platform.map(Rule.platform) + byok.map(Rule.byok)).sorted { $0.head.version < $1.head.version }
    }

    /// Every version of one rule, oldest first; empty if there is no such rule.
    public func versions(of key: RuleKey) -> [Rule] {
        switch key {
        case .platform(let tier): platform.filter { $0.tierCode == tier }.map(Rule.platform)
        case .byok(let id): byok.filter { $0.head.id == id }.map(Rule.byok)
        }
    }

    /// The version of a rule in force at `instant`; nil before the rule begins and after it ends.
    public func inForce(_ key: RuleKey, at instant: Timestamp) -> Rule? {
        let versions = versions(of: key)
        return Self.timeline(Array(versions.indices), versions.map(\.head)).version(at: instant)
            .map { versions[$0] }
    }

    /// What is in force of one rule from when on, the first step at the beginning of time.
    public func steps(of key: RuleKey) -> [(start: Timestamp, rule: Rule?)] {
        let versions = versions(of: key)
        let timeline = Self.timeline(Array(versions.indices), versions.map(\.head))
        return timeline.steps.map { ($0.start, $0.index.map { versions[$0] }) }
    }

    /// Every rule once, platform rules first, each kind in the order of rule numbers.
    public var keys: [RuleKey] {
        var seen: Set<UInt32> = []
        func firsts(_ rules: [Rule]) -> [RuleKey] {
            rules.sorted { $0.head.ruleNumber < $1.head.ruleNumber }
                .filter { seen.insert($0.head.ruleNumber).inserted }.map(\.key)
        }
        return firsts(platform.map(Rule.platform)) + firsts(byok.map(Rule.byok))
    }

    /// The book with one more version.
    public func adding(_ rule: Rule) throws(PricingError) -> RuleBook {
        switch rule {
        case .platform(let rule): try adding(rule)
        case .byok(let rule): try adding(rule)
        }
    }

    /// The book in which `rule` is all that there ever was of its rule.
    func replacing(_ key: RuleKey, with rule: Rule) throws(PricingError) -> RuleBook {
        let kept = versions.filter { $0.key != key } + [rule]
        return try RuleBook(
            platform: kept.compactMap { if case .platform(let rule) = $0 { rule } else { nil } },
            byok: kept.compactMap { if case .byok(let rule) = $0 { rule } else { nil } })
    }
}
