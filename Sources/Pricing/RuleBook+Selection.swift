// Which rule applies to a request.
//
// Platform: the rule of the tier, in the version in force at the event's time.
// BYOK: of the provider's own rules in force at that time and made for the tier, the one with the highest
// priority, then the newest, then the first id. Without one:
//
//   - a rule of the provider for this tier that is deactivated, or only deactivated rules: the provider is
//     switched off, `PROVIDER_INACTIVE`. A rule for `*` does not step in for it; to return a provider to
//     `*`, let its own rule end (`effective_until`) instead;
//   - else the rules for `*`, by the same steps;
//   - else `BYOK_NOT_IN_TIER` if some rule was in force for other tiers, and `NO_PRICING_RULE` if none was.
//
// Nothing here turns a BYOK request into a platform one, or back. `PriceBook` asks these questions once for
// every stretch of time between two changes, and keeps the answers in a table.

/// The rule for a request, or why there is none.
enum RuleChoice: Hashable {
    /// An index into `RuleBook.platform` or `RuleBook.byok`.
    case rule(Int)
    case none(Reason)
}

/// The versions of one rule, as indices into the book, and which is in force when.
struct RuleTimeline {
    var versions: [Int]
    var steps: [TimelineStep]

    /// The index into the book of the version in force at `instant`.
    func version(at instant: Timestamp) -> Int? {
        steps.last { $0.start <= instant }?.index.map { versions[$0] }
    }
}

extension RuleBook {
    /// A timeline for each BYOK rule, in the order of rule numbers.
    func byokTimelines() -> [RuleTimeline] {
        Self.timelines(byok.map(\.head))
    }

    /// A timeline for the platform rule of `tier`, or nil.
    func platformTimeline(tier: String) -> RuleTimeline? {
        let versions = platform.indices.filter { platform[$0].tierCode == tier }
        if versions.isEmpty { return nil }
        return Self.timeline(versions, platform.map(\.head))
    }

    private static func timelines(_ heads: [RuleVersion]) -> [RuleTimeline] {
        Dictionary(grouping: heads.indices) { heads[$0].ruleNumber }.sorted { $0.key < $1.key }
            .map { _, versions in timeline(versions, heads) }
    }

    /// Versions that were withdrawn count for nothing, and one that ends its rule leaves nothing in force
    /// from its begin on.
    static func timeline(_ versions: [Int], _ heads: [RuleVersion]) -> RuleTimeline {
        let withdrawn = Set(versions.compactMap { heads[$0].withdraws })
        let counted = versions.indices.filter { position in
            let head = heads[versions[position]]
            return head.withdraws == nil && !withdrawn.contains(head.version)
        }
        let steps = Timeline.steps(counted.map { heads[versions[$0]].validity }).map { step in
            let position = step.index.map { counted[$0] }
            let ends = position.map { heads[versions[$0]].ends } ?? false
            return TimelineStep(start: step.start, index: ends ? nil : position)
        }
        return RuleTimeline(versions: versions, steps: steps)
    }

    /// The choice among `timelines`, the BYOK rules of each name in `names` in turn, at `instant`.
    ///
    /// `names` goes from the provider's own name to `*`.
    func chooseBYOK(
        _ names: [[RuleTimeline]], tier: String?, at instant: Timestamp
    ) -> RuleChoice {
        var wasInForce = false
        for timelines in names {
            let inForce = timelines.compactMap { $0.version(at: instant) }
            let forTier = inForce.filter { byok[$0].applies(toTier: tier) }
            if let best = forTier.filter({ byok[$0].head.isActive }).min(by: { precedes($0, $1) }) {
                return .rule(best)
            }
            if !forTier.isEmpty || !inForce.isEmpty && inForce.allSatisfy({ !byok[$0].head.isActive }) {
                return .none(.providerInactive)
            }
            wasInForce = wasInForce || !inForce.isEmpty
        }
        return .none(wasInForce ? .byokNotInTier : .noPricingRule)
    }

    /// Higher priority, then what took effect last, then the higher version, then the id.
    private func precedes(_ left: Int, _ right: Int) -> Bool {
        let (left, right) = (byok[left], byok[right])
        if left.priority != right.priority { return left.priority > right.priority }
        if left.head.effectiveAt != right.head.effectiveAt {
            return left.head.effectiveAt > right.head.effectiveAt
        }
        if left.head.version != right.head.version { return left.head.version > right.head.version }
        return left.head.id < right.head.id
    }
}
