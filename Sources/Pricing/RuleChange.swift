// A change of a rule as it is sent: the members that say how the rule should be, and those that say when.
//
// What the gateway adds when it shows a rule (who made the version, which is the newest) may be sent back
// and means nothing; `version` may be sent and must then be the one that is changed.

import StrictJSON

/// A change, taken apart.
struct RuleChange: Sendable {
    enum End: Hashable, Sendable {
        /// As it was.
        case kept
        case at(Timestamp)
        /// Whatever end there was is taken away.
        case never
    }

    /// When it begins; nil for as soon as it may.
    var start: Timestamp?
    var end = End.kept
    /// The rule ends then.
    var ends = false
    var overrideReason: String?
    /// The version that must be the one that is changed.
    var version: UInt32?
    /// The rule's id, if it is named.
    var id: String?
    /// The document without what is above but for the end and the id.
    private var node = JSONNode(.object([:]))

    /// Members that describe a version and are set here, not by whoever sends them.
    static let shownKeys = [
        "rule_number", "created_at", "created_by", "updated_at", "updated_by", "latest_version", "state",
        "scheduled", "withdraws",
    ]

    /// A change of nothing.
    init() {}

    init(_ document: JSONNode) throws(RuleProblem) {
        self = try RuleProblem.reading { () throws(JSONError) in try RuleChange(reading: document) }
    }

    private init(reading document: JSONNode) throws(JSONError) {
        start = try document.optional("effective_at")?.timestamp()
        if let end = try document.optional("effective_until") {
            self.end = .at(try end.timestamp())
        } else if try document.object()["effective_until"] == .null {
            end = .never
        }
        if let reason = try document.optional("override_reason") {
            let text = try reason.string()
            guard (1...PricingLimits.reasonBytesMax).contains(text.utf8.count) else {
                throw reason.invalid("a reason has 1 to \(PricingLimits.reasonBytesMax) bytes")
            }
            overrideReason = text
        }
        if let text = try document.optional("description"),
            try text.string().utf8.count > PricingLimits.reasonBytesMax
        {
            throw text.invalid("a description has at most \(PricingLimits.reasonBytesMax) bytes")
        }
        if let version = try document.optional("version") {
            self.version = UInt32(try version.integer(in: 1...Int64(UInt32.max)))
        }
        id = try document.optional("id")?.string()
        ends = try document.optional("ends")?.bool() ?? false
        var object = JSONObject()
        for member in try document.object().members
        where !Self.shownKeys.contains(member.key)
            && !["effective_at", "override_reason", "version", "ends"].contains(member.key)
        {
            object[member.key] = member.value
        }
        node = JSONNode(.object(object), path: document.path)
    }

    /// It says all that a new rule must.
    var isWhole: Bool {
        guard case .object(let object) = node.value else { return false }
        return object["markup_type"] != nil && object["markup_value"] != nil
    }

    /// Names the tier, where the path of a request did.
    mutating func setTier(_ tier: String) {
        guard case .object(var object) = node.value, object["tier_code"] == nil else { return }
        object["tier_code"] = .string(tier)
        node = JSONNode(.object(object), path: node.path)
    }

    /// The rule that `base` becomes, or a new one.
    func rule(over base: Rule?, key: RuleKey) throws(RuleProblem) -> Rule {
        var stored = base
        stored?.head.ends = false
        var rule = try RuleProblem.pricing { () throws(PricingError) in
            try Rule(node, kind: key.kind, stored: stored)
        }
        if case .byok(let id) = key, rule.head.id.isEmpty { rule.head.id = id }
        switch (key, rule) {
        case (.platform(let tier), .platform(let read)) where read.tierCode != tier:
            throw .pricing(
                rule.head.error("tier_code", "it is \(read.tierCode), and the rule is for tier \(tier)"))
        default: return rule
        }
    }
}

extension RuleProblem {
    /// Runs `body`, turning what is wrong with a document into a problem.
    static func reading<Value>(_ body: () throws(JSONError) -> Value) throws(RuleProblem) -> Value {
        do throws(JSONError) {
            return try body()
        } catch {
            throw .pricing(.json(error))
        }
    }
}
