// Rules in JSON, with the field names that administrators know.
//
// The same reader serves a whole rule and a change to one. With a stored version every member may be left
// out and is then taken from it; what is given replaces it, lists and overrides as a whole. A value of a
// markup belongs to its type: either both are sent, or the value must make sense under the stored type.
// Members that nobody knows are errors, and so are an id or version that are not the stored ones, which
// catches an edit of something that has changed meanwhile.

import Money
import StrictJSON

extension PlatformRule {
    /// Reads a platform rule, or a change of `stored`.
    ///
    /// A new rule without `id`, `rule_number` or `version` has "" or 0 there, to be assigned.
    public init(_ node: JSONNode, stored: PlatformRule? = nil) throws(PricingError) {
        self = try PricingError.reading { () throws(JSONError) in
            try PlatformRule(reading: node, stored: stored)
        }
    }

    private init(reading node: JSONNode, stored: PlatformRule?) throws(JSONError) {
        try node.expectOnly(
            RuleVersion.keys + ["tier_code", "markup_type", "markup_value", "provider_overrides"])
        let tier = try node.required("tier_code", stored?.tierCode) { (tier) throws(JSONError) in
            try tier.string().asciiLowercased
        }
        self.init(
            head: try RuleVersion(node, kind: .platform, stored: stored?.head), tierCode: tier,
            markup: try node.markup(stored: stored?.markup, kind: .platform),
            providerOverrides: stored?.providerOverrides ?? [])
        if let overrides = try node.optional("provider_overrides") {
            providerOverrides = []
            for (provider, override) in try overrides.members() {
                providerOverrides.append(try Self.override(provider, override, markup))
            }
        }
    }

    private static func override(
        _ provider: String, _ node: JSONNode, _ inherited: Markup
    ) throws(JSONError) -> ProviderOverride {
        try node.expectOnly(["markup_value", "markup_type", "is_active"])
        let type = try node.optional("markup_type")?.markupType()
        let value = try node.optional("markup_value")
        if type != nil && value == nil { throw .missing(path: node.path, key: "markup_value") }
        if type == nil, let value { _ = try value.markup(type: inherited.type, kind: .platform) }
        return ProviderOverride(
            provider: provider.asciiLowercased, value: try value?.ratio(), type: type,
            isActive: try node.optional("is_active")?.bool() ?? true)
    }

    /// The rule as an object, complete.
    public var json: JSONObject {
        var object = head.json(kind: .platform)
        object["tier_code"] = .string(tierCode)
        markup.write(to: &object)
        var overrides = JSONObject()
        for override in providerOverrides {
            var member = JSONObject()
            if let value = override.value { member["markup_value"] = .string(value.textWithCents) }
            if let type = override.type { member["markup_type"] = .string(type.rawValue) }
            if !override.isActive { member["is_active"] = false }
            overrides[override.provider] = .object(member)
        }
        object["provider_overrides"] = .object(overrides)
        return object
    }
}

extension BYOKRule {
    /// Reads a BYOK rule, or a change of `stored`.
    ///
    /// A new rule without `id`, `rule_number` or `version` has "" or 0 there, to be assigned.
    public init(_ node: JSONNode, stored: BYOKRule? = nil) throws(PricingError) {
        self = try PricingError.reading { () throws(JSONError) in
            try BYOKRule(reading: node, stored: stored)
        }
    }

    private init(reading node: JSONNode, stored: BYOKRule?) throws(JSONError) {
        try node.expectOnly(
            RuleVersion.keys + [
                "provider", "rule_name", "markup_type", "markup_value", "min_charge",
                "free_credits_monthly", "applies_to_tiers", "priority",
            ])
        let provider = try node.required("provider", stored?.provider) { (provider) throws(JSONError) in
            try provider.string().asciiLowercased
        }
        let tiers = try node.required("applies_to_tiers", stored?.appliesToTiers) {
            (tiers) throws(JSONError) in try tiers.strings().map(\.asciiLowercased)
        }
        self.init(
            head: try RuleVersion(node, kind: .byok, stored: stored?.head), provider: provider,
            name: try node.optional("rule_name")?.string() ?? stored?.name ?? "",
            markup: try node.markup(stored: stored?.markup, kind: .byok),
            minCharge: try node.optional("min_charge")?.dollars() ?? stored?.minCharge ?? .zero,
            freeCreditsMonthly: try node.optional("free_credits_monthly")?.dollars()
                ?? stored?.freeCreditsMonthly ?? .zero,
            appliesToTiers: tiers,
            priority: Int32(
                try node.optional("priority")?.integer(in: Self.priorities) ?? Int64(stored?.priority ?? 0)))
    }

    private static let priorities = Int64(Int32.min)...Int64(Int32.max)

    /// The rule as an object, complete.
    public var json: JSONObject {
        var object = head.json(kind: .byok)
        object["provider"] = .string(provider)
        object["rule_name"] = .string(name)
        markup.write(to: &object)
        object["min_charge"] = .string(minCharge.textWithCents)
        object["free_credits_monthly"] = .string(freeCreditsMonthly.textWithCents)
        object["applies_to_tiers"] = .array(appliesToTiers.map { .string($0) })
        object["priority"] = .integer(priority)
        return object
    }
}

extension RuleBook {
    /// The name of the format of a file of rules.
    public static let format = "tollgate-rules/1"

    /// Reads a file of rules and checks it.
    public init(parsing bytes: [UInt8]) throws(PricingError) {
        let lists: (platform: [JSONNode], byok: [JSONNode])
        lists = try PricingError.reading { () throws(JSONError) in
            let root = try JSONNode(parsing: bytes)
            try root.expectOnly(["format", "platform", "byok"])
            let format = try root.field("format")
            guard try format.string() == Self.format else { throw format.unexpected("\"\(Self.format)\"") }
            return (try root.field("platform").array(), try root.field("byok").array())
        }
        var platform: [PlatformRule] = []
        for node in lists.platform { platform.append(try PlatformRule(node)) }
        var byok: [BYOKRule] = []
        for node in lists.byok { byok.append(try BYOKRule(node)) }
        try self.init(platform: platform, byok: byok)
    }

    /// The file of rules: the same bytes for equal books.
    public var canonicalBytes: [UInt8] {
        let value: JSONValue = [
            "format": .string(Self.format),
            "platform": .array(platform.map { .object($0.json) }),
            "byok": .array(byok.map { .object($0.json) }),
        ]
        return value.bytes(.pretty) + [UInt8(ascii: "\n")]
    }
}

extension RuleVersion {
    static let keys = [
        "id", "rule_number", "version", "rule_type", "description", "is_active", "effective_at",
        "effective_until", "created_at", "created_by", "override_reason", "ends",
        "withdraws",
    ]

    init(_ node: JSONNode, kind: RuleKind, stored: RuleVersion?) throws(JSONError) {
        if let type = try node.optional("rule_type"), try type.string() != kind.rawValue {
            throw type.unexpected("\"\(kind.rawValue)\"")
        }
        self.init(
            id: try node.optional("id")?.string() ?? stored?.id ?? "",
            ruleNumber: try node.number("rule_number") ?? stored?.ruleNumber ?? 0,
            version: try node.number("version") ?? stored?.version ?? 0,
            effectiveAt: try node.optional("effective_at")?.timestamp() ?? stored?.effectiveAt
                ?? .distantPast,
            effectiveUntil: try node.instant("effective_until", stored?.effectiveUntil),
            isActive: try node.optional("is_active")?.bool() ?? stored?.isActive ?? true,
            description: try node.optional("description")?.string() ?? stored?.description ?? "")
        createdAt = try node.optional("created_at")?.timestamp() ?? stored?.createdAt
        createdBy = try node.optional("created_by")?.string() ?? stored?.createdBy
        overrideReason = try node.optional("override_reason")?.string()
        ends = try node.optional("ends")?.bool() ?? false
        withdraws = try node.number("withdraws")
        guard let stored else { return }
        if id != stored.id { throw try node.field("id").unexpected("\"\(stored.id)\", the stored id") }
        if ruleNumber != stored.ruleNumber {
            throw try node.field("rule_number").unexpected("\(stored.ruleNumber), the stored number")
        }
        if version != stored.version {
            throw try node.field("version").unexpected("\(stored.version), the stored version")
        }
    }

    func json(kind: RuleKind) -> JSONObject {
        var object: JSONObject = [
            "id": .string(id), "rule_number": .integer(ruleNumber), "version": .integer(version),
            "rule_type": .string(kind.rawValue), "description": .string(description),
            "is_active": .bool(isActive),
        ]
        if effectiveAt != .distantPast { object["effective_at"] = .string(effectiveAt.text) }
        if effectiveUntil != .distantFuture { object["effective_until"] = .string(effectiveUntil.text) }
        object["created_at"] = createdAt.map { .string($0.text) }
        object["created_by"] = createdBy.map { .string($0) }
        object["override_reason"] = overrideReason.map { .string($0) }
        if ends { object["ends"] = true }
        object["withdraws"] = withdraws.map { .integer($0) }
        return object
    }
}

extension Markup {
    fileprivate func write(to object: inout JSONObject) {
        object["markup_type"] = .string(type.rawValue)
        object["markup_value"] = .string(value.textWithCents)
    }
}

extension JSONNode {
    fileprivate func required<Value>(
        _ key: String, _ stored: Value?, _ read: (JSONNode) throws(JSONError) -> Value
    ) throws(JSONError) -> Value {
        if let node = try optional(key) { return try read(node) }
        guard let stored else { throw .missing(path: path, key: key) }
        return stored
    }

    fileprivate func number(_ key: String) throws(JSONError) -> UInt32? {
        guard let node = try optional(key) else { return nil }
        return UInt32(try node.integer(in: 0...Int64(UInt32.max)))
    }

    /// An end: missing keeps the stored one, null takes it away.
    fileprivate func instant(_ key: String, _ stored: Timestamp?) throws(JSONError) -> Timestamp {
        if let node = try optional(key) { return try node.timestamp() }
        return try object()[key] == .null ? .distantFuture : stored ?? .distantFuture
    }

    fileprivate func markupType() throws(JSONError) -> MarkupType {
        guard let type = MarkupType(rawValue: try string()) else {
            throw unexpected(MarkupType.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: " or "))
        }
        return type
    }

    /// The value at hand as a markup of the stored type.
    fileprivate func markup(type: MarkupType, kind: RuleKind) throws(JSONError) -> Markup {
        let value = try ratio()
        do throws(MarkupAmbiguity) {
            return try Markup.reading(value, storedType: type, kind: kind)
        } catch {
            throw invalid(error.problem)
        }
    }

    fileprivate func markup(stored: Markup?, kind: RuleKind) throws(JSONError) -> Markup {
        let type = try optional("markup_type")?.markupType()
        let value = try optional("markup_value")
        switch (type, value, stored) {
        case (let type?, let value?, _): return Markup(type, try value.ratio())
        case (nil, let value?, let stored?): return try value.markup(type: stored.type, kind: kind)
        case (nil, nil, let stored?): return stored
        case (let type?, nil, let stored?) where type == stored.type: return stored
        case (_?, nil, _), (nil, nil, nil): throw .missing(path: path, key: "markup_value")
        case (nil, _?, nil): throw .missing(path: path, key: "markup_type")
        }
    }
}

extension PricingError {
    /// Runs `body`, turning what is wrong with a document into an error of this module.
    static func reading<Value>(_ body: () throws(JSONError) -> Value) throws(PricingError) -> Value {
        do throws(JSONError) {
            return try body()
        } catch {
            throw .json(error)
        }
    }
}
