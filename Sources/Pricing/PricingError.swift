// Why a catalogue, a rule or a book of rules is refused. A record that cannot be priced is no error:
// that is a `Pricing`.

import StrictJSON

/// How large things may be.
public enum PricingLimits {
    /// Models of a catalogue.
    public static let modelsMax = 100_000
    /// Names (aliases and patterns) of one model.
    public static let namesPerModelMax = 1_000
    /// Patterns of all models of one provider: they are tried one after the other.
    public static let patternsPerProviderMax = 1_000
    /// `*` of one pattern.
    public static let patternStarsMax = 4
    /// Windows of one off-peak price.
    public static let windowsMax = 64
    /// Dated prices of one model.
    public static let pricesPerModelMax = 1_000
    /// Thresholds of one price.
    public static let thresholdsMax = 16
    /// Service tiers that a catalogue names.
    public static let serviceTiersMax = 32
    /// Providers that a catalogue and its rules name.
    public static let providersMax = 4_096
    /// Subscription tiers that the rules name; the number of a tier is one byte.
    public static let tiersMax = 254
    /// Rules, and versions of all rules together.
    public static let rulesMax = 1_000
    public static let ruleVersionsMax = 10_000
    /// Steps of all price timelines together: what a compiled book may take in memory.
    public static let timelineStepsMax = 4_000_000
    /// Bytes of names, as in the contract.
    public static let providerBytesMax = 64
    public static let modelBytesMax = 128
    public static let serviceTierBytesMax = 32
    public static let idBytesMax = 64
    /// Bytes of a catalogue file.
    public static let catalogueBytesMax = 64 * 1024 * 1024
    /// Bytes of a price list to be imported.
    public static let importBytesMax = 64 * 1024 * 1024
    /// Bytes of one entry of it, or of one provider with all its models: what is in memory at once.
    public static let importEntryBytesMax = 4 * 1024 * 1024
    /// Bytes of a description, and of a reason.
    public static let reasonBytesMax = 1_024
    /// Entries of one file of rules.
    public static let ruleEntriesMax = 1_000
    /// The largest fixed fee, in credits per request.
    public static let fixedCreditsMax: Int64 = 1_000_000
}

/// Why prices or rules are refused.
public enum PricingError: Error, Hashable, Sendable {
    /// The text is not JSON, or not in the form of its kind.
    case json(JSONError)
    /// A model's entry contradicts itself.
    case model(provider: String, id: String, problem: String)
    /// One name for two models of a provider.
    case nameTwice(provider: String, name: String, first: String, second: String)
    /// A rule that must not be; `field` is the member at fault.
    case rule(id: String, field: String, problem: String)
    /// Two rules that would apply to the same requests with equal right.
    case tie(first: String, second: String, problem: String)
    /// More of something than `PricingLimits` allows.
    case tooMany(what: String, found: Int, max: Int)
    /// An amount that does not fit at this value of a credit.
    case amountTooLarge(rule: String, field: String)
    /// Entries of a price list that are wrong in themselves; never empty.
    case invalidEntries([ImportFinding])
    /// A price list without any model that has a price.
    case nothingPriced(entries: Int)
    /// A version that the book does not hold.
    case unknownRuleVersion(UInt32)
}

extension PricingError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .json(let error): error.description
        case .model(let provider, let id, let problem): "model \(provider) \(id): \(problem)"
        case .nameTwice(let provider, let name, let first, let second):
            "provider \(provider): the name \(name) belongs to \(first) and to \(second); letter case does not count"
        case .rule(let id, let field, let problem): "rule \(id.isEmpty ? "(new)" : id), \(field): \(problem)"
        case .tie(let first, let second, let problem): "rules \(first) and \(second) tie: \(problem)"
        case .tooMany(let what, let found, let max): "\(found) \(what) are more than the \(max) allowed"
        case .amountTooLarge(let rule, let field):
            "rule \(rule), \(field): the amount does not fit at this value of a credit"
        case .invalidEntries(let findings): Self.text(findings)
        case .nothingPriced(let entries):
            "none of its \(entries) entries is a model with a price, so it cannot be a catalogue; is it the right file, and the right format?"
        case .unknownRuleVersion(let version): "there is no rule version \(version)"
        }
    }

    /// How many findings a message shows.
    private static let findingsShown = 5

    private static func text(_ findings: [ImportFinding]) -> String {
        var lines = findings.prefix(findingsShown).map(\.description)
        if findings.count > findingsShown { lines.append("and \(findings.count - findingsShown) more") }
        let entries = Set(findings.map(\.entry)).count
        return lines.joined(separator: "\n")
            + "\nnothing was imported; correct \(entries == 1 ? "the entry" : "these \(entries) entries"), or leave what is"
            + " invalid out on purpose"
    }
}
