// Reading the pricing rules, in the shapes of the billing guide.

import Gateway
import HTTPTypes
import Pricing
import Store
import StrictJSON

extension AdminDesk {
    /// `GET /api/v1/pricing/rules`: all of them as a file that can be kept, changed and applied again.
    func allRules(_ request: AdminRequest) throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let book = gateway.rules
        var reply = Reply(book.file(at: gateway.now()))
        reply.setTag(book.versions.last?.head.version ?? 0)
        return reply
    }

    /// `GET /api/v1/pricing/rules/platform`: one rule for each tier, in the order of their numbers.
    ///
    /// `provider` keeps the rules that have an override for it, `tier` that of a tier, `is_active` those that
    /// are or are not, and `effective_at` shows another instant than now.
    func platformRules(_ request: AdminRequest) throws(RequestProblem) -> Reply {
        try rules(.platform, RuleFilter(request))
    }

    /// `GET /api/v1/pricing/rules/byok`: in the order of their numbers, with the same filters.
    func byokRules(_ request: AdminRequest) throws(RequestProblem) -> Reply {
        try rules(.byok, RuleFilter(request))
    }

    private func rules(_ kind: RuleKind, _ wanted: RuleFilter) throws(RequestProblem) -> Reply {
        let (book, now) = (gateway.rules, gateway.now())
        let rules = book.keys.filter { $0.kind == kind }
            .compactMap { book.inForce($0, at: wanted.instant ?? now) }
            .filter(wanted.includes)
        return Reply([
            "rules": .array(rules.map { .object(RuleDocument.object($0, in: book, now: now)) }),
            "total": .integer(rules.count),
        ])
    }

    /// `GET /api/v1/pricing/rules/platform/{tier}` and `…/byok/{id}`: the version in force, or at
    /// `effective_at`. The ETag is the newest version's number, which `If-Match` wants back.
    func rule(_ request: AdminRequest, kind: RuleKind) throws(RequestProblem) -> Reply {
        try request.expectParameters(["effective_at"])
        let key = request.ruleKey(kind)
        let (book, now) = (gateway.rules, gateway.now())
        let instant = try request.instant("effective_at") ?? now
        // What is yet to begin, or over, has something to show too.
        let versions = book.versions(of: key)
        let shown =
            book.inForce(key, at: instant)
            ?? (request.parameter("effective_at") == nil ? versions.last { $0.head.withdraws == nil } : nil)
        guard let shown else { throw .noRule(key.name) }
        var reply = Reply(RuleDocument.object(shown, in: book, now: now))
        reply.setTag(versions.last?.head.version ?? 0)
        return reply
    }

    /// `GET …/{tier or id}/history`: every version of a rule, the newest first, with what each changed.
    func ruleHistory(_ request: AdminRequest, kind: RuleKind) throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let key = request.ruleKey(kind)
        let (book, now) = (gateway.rules, gateway.now())
        let versions = book.versions(of: key)
        guard !versions.isEmpty else { throw .noRule(key.name) }
        let inForce = book.inForce(key, at: now)?.head.version
        let scheduled = Set(book.scheduled(key, after: now).map(\.head.version))
        let withdrawn = Set(versions.compactMap(\.head.withdraws))
        let documents = versions.reversed().map { rule -> JSONValue in
            var object = rule.json
            let version = rule.head.version
            let state =
                version == inForce
                ? "in_force"
                : rule.head.withdraws != nil
                    ? "withdrawal"
                    : withdrawn.contains(version)
                        ? "withdrawn" : scheduled.contains(version) ? "scheduled" : "past"
            object["state"] = .string(state)
            return .object(object)
        }
        return Reply([
            "rule": .string(versions[0].head.id), "versions": .array(documents),
            "total": .integer(versions.count),
        ])
    }

    /// `GET /api/v1/pricing/audit`: who changed what, newest first, with old and new.
    ///
    /// `subject` is a rule's id or a catalogue's version, `action` such as `rule.update`, or `rule` for all of
    /// its kind; `limit`, and `before` an id for the next page.
    func audit(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["subject", "action", "limit", "before"])
        let limit =
            try request.integer("limit", in: 1...AdminLimits.pageRowsMax) ?? AdminLimits.pageRowsDefault
        let before = try request.integer("before", in: 1...Int.max).map { Int64($0) }
        let (subject, action) = (request.parameter("subject"), request.parameter("action"))
        let gateway = gateway
        let rows = try await reading { () throws(AdministrationError) in
            try gateway.audit(subject: subject, action: action, before: before, limit: limit)
        }
        return Reply([
            "audit": .array(rows.map { .object($0.json) }), "total": .integer(rows.count),
            "next_before": rows.count == limit ? rows.last.map { .integer($0.id) } ?? .null : .null,
        ])
    }
}

extension AuditRow {
    /// The line as a document; what was kept as JSON comes as JSON.
    fileprivate var json: JSONObject {
        [
            "id": .integer(id), "at": .instant(at), "actor": .string(actor), "action": .string(action),
            "subject": .string(subject), "old": Self.value(old), "new": Self.value(new),
        ]
    }

    private static func value(_ text: String?) -> JSONValue {
        guard let text else { return .null }
        do throws(JSONError) {
            return try JSONValue(parsing: text)
        } catch {
            // A digest or a version's name, which was never meant to be JSON.
            return .string(text)
        }
    }
}

extension AdminRequest {
    /// The rule that the path names; letter case of tiers does not count.
    func ruleKey(_ kind: RuleKind) -> RuleKey {
        kind == .platform ? .platform(tier: place.text.lowercased()) : .byok(id: place.text)
    }
}

extension Reply {
    /// Says which version this is, for `If-Match`.
    mutating func setTag(_ version: UInt32) { fields.append((.eTag, "\"\(version)\"")) }
}

/// Which rules of a list are wanted.
private struct RuleFilter {
    private var provider: String?
    private var tier: String?
    private var isActive: Bool?
    private(set) var instant: Timestamp?

    init(_ request: AdminRequest) throws(RequestProblem) {
        try request.expectParameters(["provider", "tier", "is_active", "include_inactive", "effective_at"])
        provider = request.parameter("provider")?.lowercased()
        tier = request.parameter("tier")?.lowercased()
        instant = try request.instant("effective_at")
        isActive = try request.truth("is_active")
        if isActive == nil, try request.truth("include_inactive") == false { isActive = true }
    }

    func includes(_ rule: Rule) -> Bool {
        if let isActive, rule.head.isActive != isActive { return false }
        switch rule {
        case .platform(let rule):
            if let tier, rule.tierCode != tier { return false }
            return provider.map { name in rule.providerOverrides.contains { $0.provider == name } } ?? true
        case .byok(let rule):
            if let tier, !rule.appliesToTiers.contains(where: { $0 == tier || $0 == "*" }) { return false }
            return provider.map { $0 == rule.provider } ?? true
        }
    }
}

extension AdminRequest {
    /// A parameter that is true or false; nil where it is missing.
    func truth(_ name: String) throws(RequestProblem) -> Bool? {
        switch parameter(name) {
        case nil: return nil
        case "true": return true
        case "false": return false
        case let text?: throw .badParameter(name, found: text, expected: "true or false")
        }
    }
}
