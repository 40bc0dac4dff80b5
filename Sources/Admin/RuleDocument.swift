// A rule as a document: the version that is shown, who made it, what is scheduled, what a change did.

import Gateway
import Pricing
import StrictJSON

enum RuleDocument {
    /// A version of a rule, with what the rule is beside it.
    static func object(_ rule: Rule, in book: RuleBook, now: Timestamp) -> JSONObject {
        let versions = book.versions(of: rule.key)
        var object = rule.json
        let head = rule.head
        object["created_at"] = versions.first?.head.createdAt.map { .string($0.text) }
        object["created_by"] = versions.first?.head.createdBy.map { .string($0) }
        object["updated_at"] = head.createdAt.map { .string($0.text) }
        object["updated_by"] = head.createdBy.map { .string($0) }
        object["latest_version"] = versions.last.map { .integer($0.head.version) }
        let inForce = book.inForce(rule.key, at: now)
        object["state"] =
            inForce == rule ? "in_force" : head.effectiveAt > now ? "scheduled" : "past"
        let scheduled = book.scheduled(rule.key, after: now)
        if !scheduled.isEmpty {
            object["scheduled"] = .array(
                scheduled.map { next in
                    var entry: JSONObject = [
                        "version": .integer(next.head.version),
                        "effective_at": .string(next.head.effectiveAt.text),
                    ]
                    if next.head.ends { entry["ends"] = true }
                    return .object(entry)
                })
        }
        return object
    }

    /// What a change of one rule came to.
    static func object(_ outcome: RuleEditOutcome, _ result: RuleCommandResult) -> JSONObject {
        var object = object(outcome.rule, in: result.book, now: result.now)
        switch outcome {
        case .unchanged: object["changed"] = false
        case .added(let addition):
            object["changed"] = true
            object["action"] = .string(addition.action.rawValue)
            if let old = addition.old { object["replaced_version"] = .integer(old.head.version) }
            let back = returning(addition.new, in: result.book)
            object["afterwards"] = back.map { .string($0) }
            if !addition.increases.isEmpty { object["notice"] = .object(notice(addition, result)) }
        }
        if result.isDryRun { object["dry_run"] = true }
        return object
    }

    /// What comes when a temporary version is over; nil for one without end.
    private static func returning(_ rule: Rule, in book: RuleBook) -> String? {
        guard rule.head.withdraws == nil, rule.head.effectiveUntil != .distantFuture else { return nil }
        let next = book.inForce(rule.key, at: rule.head.effectiveUntil)
        return next.map { "version \($0.head.version) holds from \(rule.head.effectiveUntil.text) on" }
            ?? "the rule ends at \(rule.head.effectiveUntil.text)"
    }

    private static func notice(_ addition: RuleAddition, _ result: RuleCommandResult) -> JSONObject {
        let from = addition.new.head.effectiveAt.text
        let message =
            addition.isPostponed
            ? "users will pay more, so it begins with \(result.noticeDays) days of notice, at \(from); to "
                + "begin at once, send override_reason"
            : "users pay more with less than \(result.noticeDays) days of notice: "
                + (addition.new.head.overrideReason ?? "")
        return [
            "postponed": .bool(addition.isPostponed), "effective_at": .string(from),
            "message": .string(message), "increases": .array(addition.increases.map { .object($0.json) }),
        ]
    }

    /// What applying a file came to.
    static func object(file result: RuleCommandResult) -> JSONObject {
        var changes: [JSONValue] = []
        var unchanged: [JSONValue] = []
        for outcome in result.outcomes {
            switch outcome {
            case .unchanged(let rule): unchanged.append(.string(rule.head.id))
            case .added(let addition):
                var change: JSONObject = [
                    "id": .string(addition.new.head.id), "rule_type": .string(addition.new.kind.rawValue),
                    "action": .string(addition.action.rawValue),
                    "version": .integer(addition.new.head.version),
                    "effective_at": .string(addition.new.head.effectiveAt.text),
                    "fields": .array(fields(addition)),
                ]
                if !addition.increases.isEmpty { change["notice"] = .object(notice(addition, result)) }
                changes.append(.object(change))
            }
        }
        return [
            "changes": .array(changes), "unchanged": .array(unchanged),
            "not_in_file": .array(result.unnamed.map { .string($0.name) }),
            "changed": .integer(changes.count), "dry_run": .bool(result.isDryRun),
        ]
    }

    /// Each member that is another one in the new version, before and after.
    private static func fields(_ addition: RuleAddition) -> [JSONValue] {
        let known = [
            "version", "rule_number", "created_at", "created_by", "override_reason", "effective_at", "id",
            "rule_type",
        ]
        let (old, new) = (addition.old?.json ?? [:], addition.new.json)
        var fields: [JSONValue] = []
        for key in new.keys + old.keys.filter({ new[$0] == nil }) where !known.contains(key) {
            guard old[key] != new[key] else { continue }
            fields.append([
                "field": .string(key), "before": old[key] ?? .null, "after": new[key] ?? .null,
            ])
        }
        return fields
    }
}

extension PriceIncrease {
    /// The increase as a document.
    var json: JSONObject {
        [
            "rule_type": .string(kind.rawValue), "tier": tier.map { .string($0) } ?? "*",
            "provider": provider.map { .string($0) } ?? "*", "from": .string(from.text),
            "before": .string(before), "after": .string(after),
        ]
    }
}
