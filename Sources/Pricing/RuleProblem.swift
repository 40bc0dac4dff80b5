// Why a change of the rules is refused. Nothing was changed then.

import StrictJSON

/// Why rules are not changed as it was asked.
public enum RuleProblem: Error, Hashable, Sendable {
    /// The document, a rule in it, or the book that would come of it is wrong.
    case pricing(PricingError)
    case noRule(RuleKey)
    /// The rule has another version by now than the one that was named.
    case changed(RuleKey, latest: UInt32)
    /// Users would pay more with less notice than they should have; never empty.
    case noticeNeeded([PriceIncrease], noticeDays: Int, allowedFrom: Timestamp)
    /// Nobody is in this tier and no rule names it; `nearest` is what was probably meant.
    case unknownTier(RuleKey, field: String, tier: String, nearest: String?)
    case exists(RuleKey)
    /// Beginning or ending in the past.
    case inThePast(RuleKey, field: String, found: Timestamp, now: Timestamp)
    /// Two temporary versions of a rule of which neither lies within the other.
    case overlap(RuleKey, version: UInt32, from: Timestamp, until: Timestamp)
    /// A version that is in force or over cannot be taken back.
    case notScheduled(RuleKey, version: UInt32)
    /// Where in a file the problem is.
    indirect case entry(path: String, RuleProblem)

    /// The problem without its place in a file.
    public var inner: RuleProblem {
        if case .entry(_, let problem) = self { return problem.inner }
        return self
    }
}

extension RuleProblem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .pricing(let error): error.description
        case .noRule(let key):
            switch key {
            case .platform(let tier):
                "there is no platform rule for tier \(tier); to make one, send markup_type and markup_value"
            case .byok(let id): "there is no BYOK rule \(id); the list of rules names them all"
            }
        case .changed(let key, let latest):
            "rule \(key.name) has version \(latest) by now, not the one that was named; read it again"
        case .noticeNeeded(let increases, let days, let allowed):
            "users would pay more with less than \(days) days of notice: "
                + increases.prefix(5).map(\.description).joined(separator: "; ")
                + (increases.count > 5 ? "; and \(increases.count - 5) more" : "")
                + ". Let it begin at \(allowed.text) or later, or send override_reason"
        case .unknownTier(let key, let field, let tier, let nearest):
            "rule \(key.name), \(field): no account is in tier \(tier) and no platform rule is for it"
                + (nearest.map { "; did you mean \($0)?" } ?? "")
                + "; if it is meant to be a new tier, allow new tiers"
        case .exists(let key): "there is a rule \(key.name) already; change it, or choose another id"
        case .inThePast(let key, let field, let found, let now):
            "rule \(key.name), \(field): \(found.text) is over (it is \(now.text)); what was in force then "
                + "stays as it was, so a change begins now or later"
        case .overlap(let key, let version, let from, let until):
            "rule \(key.name): from \(from.text) to \(until.text) this and version \(version) would both "
                + "hold for a time, and neither lies within the other; end one before the other begins"
        case .notScheduled(let key, let version):
            "rule \(key.name) has no version \(version) that is yet to begin; only what is scheduled can be "
                + "withdrawn"
        case .entry(_, .pricing(.json(let error))): error.description
        case .entry(let path, let problem): "\(path): \(problem)"
        }
    }
}
