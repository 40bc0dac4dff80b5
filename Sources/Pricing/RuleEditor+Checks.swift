// What a version must not be in its book, beside what every book checks: for a tier that nobody knows, or
// temporary over a part of another temporary one.

import StrictJSON

extension RuleEditor {
    /// A tier is known if an account is in it or a platform rule is for it; what a rule named before stays.
    func checkTiers(_ new: Rule, base: Rule?) throws(RuleProblem) {
        if editing.allowsNewTiers { return }
        let known = editing.accountTiers.union(book.platform.map(\.tierCode))
        var named: [(field: String, tier: String)] = []
        switch (new, base) {
        case (.platform(let rule), _): named = [("tier_code", rule.tierCode)]
        case (.byok(let rule), let base):
            var before: [String] = []
            if case .byok(let base)? = base { before = base.appliesToTiers }
            named = rule.appliesToTiers.filter { !before.contains($0) }.map { ("applies_to_tiers", $0) }
        }
        for (field, tier) in named where tier != Wildcard.any && !known.contains(tier) {
            throw .unknownTier(
                new.key, field: field, tier: tier, nearest: Nearest.match(tier, among: known.sorted()))
        }
    }

    /// Two temporary versions may lie within each other; they may not overlap in part, because nobody could
    /// say which of them was meant to go on.
    func checkOverlap(_ new: Rule) throws(RuleProblem) {
        let (from, until) = (new.head.effectiveAt, new.head.effectiveUntil)
        guard until != .distantFuture else { return }
        let heads = book.versions(of: new.key).map(\.head)
        let withdrawn = heads.compactMap(\.withdraws)
        for other in heads where other.effectiveUntil != .distantFuture && other.withdraws == nil {
            guard other.effectiveUntil > editing.now, !withdrawn.contains(other.version) else { continue }
            let isCut =
                other.effectiveAt < from && from < other.effectiveUntil && other.effectiveUntil < until
                || from < other.effectiveAt && other.effectiveAt < until && until < other.effectiveUntil
            if isCut { throw .overlap(new.key, version: other.version, from: from, until: until) }
        }
    }
}
