// The pricing rules in force, in the shapes of the billing guide.

import Gateway
import Pricing
import StrictJSON

extension AdminDesk {
    /// `GET /api/v1/pricing/rules/platform`: one rule for each tier, in the order of their numbers.
    ///
    /// `provider` keeps the rules that have an override for it, `is_active` those that are or are not.
    func platformRules(_ request: AdminRequest) throws(RequestProblem) -> Reply {
        let wanted = try RuleFilter(request)
        let rules = platformInForce.filter { rule in
            wanted.includes(isActive: rule.head.isActive)
                && wanted.provider.map { name in rule.providerOverrides.contains { $0.provider == name } }
                    ?? true
        }
        return Self.list(rules.map(\.json))
    }

    /// `GET /api/v1/pricing/rules/platform/{tier}`.
    func platformRule(_ request: AdminRequest) throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let tier = request.place.text
        guard let rule = platformInForce.first(where: { $0.tierCode == tier.lowercased() }) else {
            throw .noRule(tier)
        }
        return Reply(rule.json)
    }

    /// `GET /api/v1/pricing/rules/byok`: in the order of their numbers.
    func byokRules(_ request: AdminRequest) throws(RequestProblem) -> Reply {
        let wanted = try RuleFilter(request)
        let rules = byokInForce.filter { rule in
            wanted.includes(isActive: rule.head.isActive)
                && wanted.provider.map { $0 == rule.provider } ?? true
        }
        return Self.list(rules.map(\.json))
    }

    /// `GET /api/v1/pricing/rules/byok/{id}`.
    func byokRule(_ request: AdminRequest) throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let id = request.place.text
        guard let rule = byokInForce.first(where: { $0.head.id == id }) else { throw .noRule(id) }
        return Reply(rule.json)
    }

    private var platformInForce: [PlatformRule] { inForce(gateway.rules.platform, \.head) }
    private var byokInForce: [BYOKRule] { inForce(gateway.rules.byok, \.head) }

    /// Of each rule the newest version that is valid now.
    private func inForce<Rule>(_ versions: [Rule], _ head: KeyPath<Rule, RuleVersion>) -> [Rule] {
        let now = gateway.now()
        var newest: [UInt32: Rule] = [:]
        for rule in versions {
            let version = rule[keyPath: head]
            guard version.effectiveAt <= now, now < version.effectiveUntil else { continue }
            if let other = newest[version.ruleNumber], other[keyPath: head].version > version.version {
                continue
            }
            newest[version.ruleNumber] = rule
        }
        return newest.sorted { $0.key < $1.key }.map(\.value)
    }

    private static func list(_ rules: [JSONObject]) -> Reply {
        Reply(["rules": .array(rules.map { .object($0) }), "total": .integer(rules.count)])
    }
}

/// Which rules of a list are wanted.
private struct RuleFilter {
    var provider: String?
    private var isActive: Bool?

    init(_ request: AdminRequest) throws(RequestProblem) {
        try request.expectParameters(["provider", "is_active"])
        provider = request.parameter("provider")?.lowercased()
        switch request.parameter("is_active") {
        case nil: isActive = nil
        case "true": isActive = true
        case "false": isActive = false
        case let text?: throw .badParameter("is_active", found: text, expected: "true or false")
        }
    }

    func includes(isActive: Bool) -> Bool { self.isActive.map { $0 == isActive } ?? true }
}
