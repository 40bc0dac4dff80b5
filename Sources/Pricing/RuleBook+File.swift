// The rules as a file that says how they are from now on, and that applied again changes nothing.

import StrictJSON

extension RuleBook {
    /// The file: each rule in force, what returns when a temporary version is over, and what is scheduled.
    ///
    /// An entry tells its `version` for people and programs; applying a file does not look at it unless it
    /// is asked to. Rules that are over are not in it.
    public func file(at now: Timestamp) -> JSONObject {
        var lists: [RuleKind: [JSONValue]] = [:]
        for key in keys {
            lists[key.kind, default: []] += entries(of: key, at: now).map { .object($0) }
        }
        return [
            "format": .string(Self.format), "platform": .array(lists[.platform] ?? []),
            "byok": .array(lists[.byok] ?? []),
        ]
    }

    private func entries(of key: RuleKey, at now: Timestamp) -> [JSONObject] {
        var entries: [JSONObject] = []
        // What holds now and, one behind the other, what returns when that is over.
        var instant = now
        while let rule = inForce(key, at: instant), rule.head.effectiveAt <= now {
            let isTemporary = rule.head.effectiveUntil != .distantFuture
            entries.append(Self.entry(rule, tellsStart: isTemporary))
            guard isTemporary else { break }
            instant = rule.head.effectiveUntil
        }
        return entries + scheduled(key, after: now).map { Self.entry($0, tellsStart: true) }
    }

    /// The versions of a rule that are yet to begin, in the order of time.
    public func scheduled(_ key: RuleKey, after now: Timestamp) -> [Rule] {
        let versions = versions(of: key)
        let withdrawn = Set(versions.compactMap(\.head.withdraws))
        // Of those that begin together the newest counts.
        var newest: [Timestamp: Rule] = [:]
        for rule in versions where rule.head.effectiveAt > now && rule.head.withdraws == nil {
            if !withdrawn.contains(rule.head.version) { newest[rule.head.effectiveAt] = rule }
        }
        return newest.sorted { $0.key < $1.key }.map(\.value)
    }

    private static func entry(_ rule: Rule, tellsStart: Bool) -> JSONObject {
        var entry = JSONObject()
        for member in rule.json.members {
            switch member.key {
            case "rule_number", "rule_type", "created_at", "created_by", "override_reason": break
            case "effective_at" where !tellsStart: break
            default: entry[member.key] = member.value
            }
        }
        return entry
    }
}
