// Rules, one version each.
//
// A rule is known by its id and a small number that never changes; what it says is a version. Versions
// are never edited: a change is another version of the same rule, with its own time of validity. Which
// version of which rule applies to a request is in `RuleBook+Selection.swift`.

import Money

/// What every version of a rule carries.
public struct RuleVersion: Hashable, Sendable {
    /// The rule's name: 1 to 64 of `[A-Za-z0-9._:-]`.
    public var id: String
    /// The rule's number, from 1: the same for all its versions, and of no other rule.
    public var ruleNumber: UInt32
    /// This version's number, from 1: unique among the versions of all rules, later ones higher.
    public var version: UInt32
    public var effectiveAt: Timestamp
    /// The first instant at which it is no longer valid.
    public var effectiveUntil: Timestamp
    /// A deactivated version refuses what it matches.
    public var isActive: Bool
    public var description: String
    public var createdAt: Timestamp?
    public var createdBy: String?
    /// Why it takes effect with less notice than an increase should have.
    public var overrideReason: String?
    /// From `effectiveAt` on the rule is over, as if it had never been: a version that ends its rule. What
    /// else it says is what the rule said last.
    public var ends = false
    /// A version that is taken back before its begin; this one says only that, and is never in force.
    public var withdraws: UInt32?

    public init(
        id: String, ruleNumber: UInt32, version: UInt32, effectiveAt: Timestamp = .distantPast,
        effectiveUntil: Timestamp = .distantFuture, isActive: Bool = true, description: String = ""
    ) {
        self.id = id
        self.ruleNumber = ruleNumber
        self.version = version
        self.effectiveAt = effectiveAt
        self.effectiveUntil = effectiveUntil
        self.isActive = isActive
        self.description = description
    }
}

/// What a subscription tier pays for the platform's own provider keys.
public struct PlatformRule: Hashable, Sendable {
    public var head: RuleVersion
    /// The subscription tier, lower-case; one rule per tier.
    public var tierCode: String
    public var markup: Markup
    /// In alphabetical order of providers.
    public var providerOverrides: [ProviderOverride]

    /// A different markup for one provider.
    public struct ProviderOverride: Hashable, Sendable {
        /// Lower-case.
        public var provider: String
        /// Nil keeps the rule's value.
        public var value: Ratio?
        /// Nil inherits the rule's type.
        public var type: MarkupType?
        /// False refuses the provider on this tier.
        public var isActive: Bool

        public init(provider: String, value: Ratio?, type: MarkupType? = nil, isActive: Bool = true) {
            self.provider = provider
            self.value = value
            self.type = type
            self.isActive = isActive
        }
    }

    public init(
        head: RuleVersion, tierCode: String, markup: Markup, providerOverrides: [ProviderOverride] = []
    ) {
        self.head = head
        self.tierCode = tierCode
        self.markup = markup
        self.providerOverrides = providerOverrides
    }

    /// The markup of an override, with what it inherits.
    public func markup(of override: ProviderOverride) -> Markup {
        Markup(override.type ?? markup.type, override.value ?? markup.value)
    }
}

/// What the use of a customer's own provider key costs.
public struct BYOKRule: Hashable, Sendable {
    public var head: RuleVersion
    /// Lower-case, or `*` for every provider without a rule of its own.
    public var provider: String
    public var name: String
    public var markup: Markup
    /// The least fee of a request that costs anything, in US dollars.
    public var minCharge: Picodollars
    /// Fees that are waived per calendar month (UTC) and wallet, in US dollars.
    public var freeCreditsMonthly: Picodollars
    /// Subscription tiers, lower-case, in alphabetical order; `*` stands for all.
    public var appliesToTiers: [String]
    /// Higher comes first.
    public var priority: Int32

    public init(
        head: RuleVersion, provider: String, name: String = "", markup: Markup,
        minCharge: Picodollars = .zero, freeCreditsMonthly: Picodollars = .zero, appliesToTiers: [String],
        priority: Int32 = 0
    ) {
        self.head = head
        self.provider = provider
        self.name = name
        self.markup = markup
        self.minCharge = minCharge
        self.freeCreditsMonthly = freeCreditsMonthly
        self.appliesToTiers = appliesToTiers
        self.priority = priority
    }

    func applies(toTier tier: String?) -> Bool {
        appliesToTiers.contains { $0 == Wildcard.any || $0 == tier }
    }
}

/// The name that stands for all names.
enum Wildcard {
    static let any = "*"
}

extension RuleVersion {
    var validity: Validity { Validity(from: effectiveAt, until: effectiveUntil, order: version) }

    func error(_ field: String, _ problem: String) -> PricingError {
        .rule(id: id, field: field, problem: problem)
    }

    /// Checks what does not depend on the kind of rule.
    func check() throws(PricingError) {
        guard NameGrammar.isID(id) else {
            throw error(
                "id", "an id is 1 to \(PricingLimits.idBytesMax) letters, digits, '.', '_', ':' or '-'")
        }
        guard ruleNumber > 0 else { throw error("rule_number", "0 is no rule's number") }
        guard version > 0 else { throw error("version", "0 is no version's number") }
        guard effectiveAt < effectiveUntil else {
            throw error(
                "effective_until",
                "it ends at \(effectiveUntil.text), not after it begins at \(effectiveAt.text)")
        }
    }
}

extension PlatformRule {
    /// Checks this version by itself.
    public func check() throws(PricingError) {
        try head.check()
        guard NameGrammar.isTier(tierCode) else { throw head.error("tier_code", NameGrammar.tierProblem) }
        try head.check(markup, kind: .platform, field: "markup_value")
        var seen: Set<String> = []
        for override in providerOverrides {
            let field = "provider_overrides.\(override.provider)"
            guard NameGrammar.isProvider(override.provider) else {
                throw head.error(field, NameGrammar.providerProblem)
            }
            guard seen.insert(override.provider).inserted else {
                throw head.error(field, "it is there twice")
            }
            try head.check(markup(of: override), kind: .platform, field: field)
        }
    }
}

extension BYOKRule {
    /// Checks this version by itself.
    public func check() throws(PricingError) {
        try head.check()
        guard provider == Wildcard.any || NameGrammar.isProvider(provider) else {
            throw head.error("provider", NameGrammar.providerProblem + ", or * for all")
        }
        try head.check(markup, kind: .byok, field: "markup_value")
        if minCharge < .zero { throw head.error("min_charge", "it must not be negative") }
        if freeCreditsMonthly < .zero { throw head.error("free_credits_monthly", "it must not be negative") }
        if appliesToTiers.isEmpty {
            throw head.error("applies_to_tiers", "it applies to no tier; name tiers, or [\"*\"] for all")
        }
        for (index, tier) in appliesToTiers.enumerated() {
            guard tier == Wildcard.any || NameGrammar.isTier(tier) else {
                throw head.error("applies_to_tiers", NameGrammar.tierProblem)
            }
            if appliesToTiers[..<index].contains(tier) {
                throw head.error("applies_to_tiers", "\(tier) is there twice")
            }
        }
    }
}

extension RuleVersion {
    fileprivate func check(_ markup: Markup, kind: RuleKind, field: String) throws(PricingError) {
        guard markup.isPlausible else {
            let range = markup.type.plausible
            throw error(
                field,
                "\(markup.value.text) as \(markup.type.rawValue) is \(markup.reading(for: kind)); a "
                    + "\(markup.type.rawValue) is \(range.lowerBound.text) to \(range.upperBound.text)")
        }
    }
}

/// Which names are allowed.
enum NameGrammar {
    static let providerProblem =
        "a provider is 1 to \(PricingLimits.providerBytesMax) visible ASCII characters, lower-case"
    static let tierProblem =
        "a tier is 1 to \(PricingLimits.idBytesMax) lower-case letters, digits, '.', '_' or '-'"

    static func isID(_ text: String) -> Bool {
        (1...PricingLimits.idBytesMax).contains(text.utf8.count)
            && text.utf8.allSatisfy { isLetterOrDigit($0) || [0x2e, 0x5f, 0x3a, 0x2d].contains($0) }
    }

    static func isTier(_ text: String) -> Bool {
        (1...PricingLimits.idBytesMax).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                isLetterOrDigit($0) && !isUpper($0) || [0x2e, 0x5f, 0x2d].contains($0)
            }
    }

    static func isProvider(_ text: String) -> Bool {
        text != Wildcard.any && isVisible(text, bytesMax: PricingLimits.providerBytesMax)
            && !text.utf8.contains(where: isUpper)
    }

    static func isServiceTier(_ text: String) -> Bool {
        isVisible(text, bytesMax: PricingLimits.serviceTierBytesMax) && !text.utf8.contains(where: isUpper)
    }

    /// 1 to `bytesMax` visible ASCII characters.
    static func isVisible(_ text: String, bytesMax: Int) -> Bool {
        (1...bytesMax).contains(text.utf8.count) && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
    }

    private static func isUpper(_ byte: UInt8) -> Bool { byte >= 0x41 && byte <= 0x5a }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20)
    }
}
