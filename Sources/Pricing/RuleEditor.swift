// Changing a book of rules: a change becomes a version, and nothing that was is edited.
//
//      a change of what is in force at T      a version from T on
//      a change with an end                   a version from T until the end; what it covers comes back then
//      an end alone                           a version that ends the rule
//      a withdrawal                           a version that says which one is taken back
//
// An editor takes one change after the other. Each is checked against the book that the ones before it
// made, so a list of changes is all fine or the first bad one is told; the book itself is a value, and
// whoever has the old one keeps it.
//
// An increase of what users pay that names no begin and no reason begins when its notice is over: the
// change is accepted, and its answer says from when. One that names a begin too early is refused.

import Money
import StrictJSON

/// What an editor needs to know beside the book.
public struct RuleEditing: Sendable {
    /// When the change is made. Not before the newest version was: a clock that was set back hides nothing.
    public var now: Timestamp
    /// How long an increase must be known before it begins; 0 for no guard.
    public var noticeDays: Int
    public var creditValue: CreditValue
    public var providerAliases: [Catalogue.ProviderAlias]
    /// The tiers that accounts are in.
    public var accountTiers: Set<String>
    /// A tier that nobody knows may be named.
    public var allowsNewTiers: Bool
    public var actor: String

    public init(
        now: Timestamp, noticeDays: Int, creditValue: CreditValue = .standard,
        providerAliases: [Catalogue.ProviderAlias] = [], accountTiers: Set<String> = [],
        allowsNewTiers: Bool = false, actor: String
    ) {
        self.now = now
        self.noticeDays = noticeDays
        self.creditValue = creditValue
        self.providerAliases = providerAliases
        self.accountTiers = accountTiers
        self.allowsNewTiers = allowsNewTiers
        self.actor = actor
    }
}

/// What was done to a rule, as the audit names it.
public enum RuleAction: String, Hashable, Sendable, CaseIterable {
    case create = "rule.create"
    case update = "rule.update"
    case schedule = "rule.schedule"
    case expire = "rule.expire"
    case deactivate = "rule.deactivate"
    case reactivate = "rule.reactivate"
    case delete = "rule.delete"
    case withdraw = "rule.withdraw"
}

/// A version that an editor added.
public struct RuleAddition: Hashable, Sendable {
    public var action: RuleAction
    /// What was in force, or scheduled, at its begin.
    public var old: Rule?
    public var new: Rule
    /// What became dearer: with a reason to, or with its notice.
    public var increases: [PriceIncrease]
    /// It begins later than asked, because it is an increase.
    public var isPostponed: Bool
}

/// What came of one change.
public enum RuleEditOutcome: Hashable, Sendable {
    case added(RuleAddition)
    /// The rule says so already: in force, or from the version's begin on.
    case unchanged(Rule)

    /// The version that says what was asked for.
    public var rule: Rule {
        switch self {
        case .added(let addition): addition.new
        case .unchanged(let rule): rule
        }
    }
}

/// A book of rules under change.
public struct RuleEditor: Sendable {
    public private(set) var book: RuleBook
    /// What was added, in order.
    public private(set) var additions: [RuleAddition] = []
    public let editing: RuleEditing
    private var tables: RuleTables

    public init(_ book: RuleBook, _ editing: RuleEditing) throws(RuleProblem) {
        self.book = book
        var editing = editing
        for head in book.heads {
            if let madeAt = head.createdAt { editing.now = max(editing.now, madeAt) }
        }
        self.editing = editing
        tables = try Self.tables(book, editing)
    }

    private static func tables(_ book: RuleBook, _ editing: RuleEditing) throws(RuleProblem) -> RuleTables {
        try RuleProblem.pricing { () throws(PricingError) in
            try RuleTables(book, aliases: editing.providerAliases, creditValue: editing.creditValue)
        }
    }

    /// When an increase may begin that is announced now.
    public var noticeEnd: Timestamp {
        let (sum, overflow) = editing.now.microseconds.addingReportingOverflow(
            Int64(editing.noticeDays) * Timestamp.microsecondsPerSecond * Timestamp.secondsPerDay)
        return overflow ? .distantFuture : Timestamp(microseconds: sum)
    }

    private var lookingBack: Timestamp {
        let (difference, overflow) = editing.now.microseconds.subtractingReportingOverflow(
            Int64(editing.noticeDays) * Timestamp.microsecondsPerSecond * Timestamp.secondsPerDay)
        return overflow ? .distantPast : Timestamp(microseconds: difference)
    }

    // MARK: Changes

    /// Changes what `document` names of a rule, from its `effective_at` on, or from now.
    ///
    /// A platform rule that is not there is made, if the document is a whole one.
    ///
    /// - Parameters:
    ///   - action: what the audit should call it; told from the change without it.
    ///   - comparing: the instant whose version is changed; the begin without it.
    public mutating func change(
        _ key: RuleKey, _ document: JSONNode, action: RuleAction? = nil, comparing: Timestamp? = nil
    ) throws(RuleProblem) -> RuleEditOutcome {
        let versions = book.versions(of: key)
        var asked = try RuleChange(document)
        // What was read and is sent back says since when it holds; that is no wish.
        if let begun = book.inForce(key, at: editing.now)?.head.effectiveAt, begun <= editing.now,
            asked.start == begun
        {
            asked.start = nil
        }
        let start = asked.start ?? editing.now
        if start < editing.now {
            throw .inThePast(key, field: "effective_at", found: start, now: editing.now)
        }
        // A rule begins with a version of its own, so there is one that is no mere withdrawal.
        guard let newest = versions.last(where: { $0.head.withdraws == nil }) else {
            return try make(key, asked, start: start, action: action)
        }
        let base = book.inForce(key, at: comparing ?? start) ?? newest
        if let version = asked.version, version != base.head.version {
            throw .changed(key, latest: versions.last?.head.version ?? version)
        }
        if asked.ends { return try end(key, at: start, reason: asked.overrideReason) }
        let wanted = try asked.rule(over: base, key: key)
        if wanted.content == base.content, book.inForce(key, at: comparing ?? start) != nil {
            if let outcome = try changeEnd(asked, base: base, key: key, start: start) { return outcome }
        }
        return try add(wanted, asked: asked, base: base, start: start, action: action)
    }

    /// A change that is none but for the end, or none at all.
    private mutating func changeEnd(
        _ asked: RuleChange, base: Rule, key: RuleKey, start: Timestamp
    ) throws(RuleProblem) -> RuleEditOutcome? {
        switch asked.end {
        case .kept: return .unchanged(base)
        case .at(let end):
            if end == base.head.effectiveUntil { return .unchanged(base) }
            return try self.end(key, at: end, reason: asked.overrideReason)
        case .never:
            // What takes an end away may have to take back a version that ends the rule.
            let versions = book.versions(of: key)
            let withdrawn = versions.compactMap(\.head.withdraws)
            let ending = versions.last { rule in
                rule.head.ends && rule.head.effectiveAt > start && !withdrawn.contains(rule.head.version)
            }
            if let ending {
                return try withdraw(key, version: ending.head.version, reason: asked.overrideReason)
            }
            return base.head.effectiveUntil == .distantFuture ? .unchanged(base) : nil
        }
    }

    /// Makes a BYOK rule. Without an id it gets one after its provider.
    ///
    /// A rule that is there with the same terms is not made again: its words are changed, if they differ.
    public mutating func createBYOK(_ document: JSONNode) throws(RuleProblem) -> RuleEditOutcome {
        let asked = try RuleChange(document)
        let start = asked.start ?? editing.now
        if let id = asked.id {
            guard book.versions(of: .byok(id: id)).isEmpty else { throw .exists(.byok(id: id)) }
            return try change(.byok(id: id), document, action: .create)
        }
        let wanted = try asked.rule(over: nil, key: .byok(id: ""))
        guard case .byok(let rule) = wanted else { preconditionFailure("a BYOK rule was read") }
        for key in book.keys where key.kind == .byok {
            if let twin = book.inForce(key, at: start), twin.terms == wanted.terms {
                return try change(key, document)
            }
        }
        return try change(.byok(id: freeID(for: rule.provider, in: book)), document, action: .create)
    }

    func freeID(for provider: String, in book: RuleBook) -> String {
        let name = provider == Wildcard.any ? "any" : provider
        let plain = String(
            decoding: name.utf8.map(Self.idByte), as: UTF8.self)
        let stem = String("rule_\(plain)".prefix(PricingLimits.idBytesMax - 4))
        let taken = Set(book.keys.map(\.name))
        var number = 1
        while taken.contains(number == 1 ? stem : "\(stem)_\(number)") { number += 1 }
        return number == 1 ? stem : "\(stem)_\(number)"
    }

    private static func idByte(_ byte: UInt8) -> UInt8 {
        NameGrammar.isID(String(decoding: [byte], as: UTF8.self)) ? byte : UInt8(ascii: "-")
    }

    /// Ends a rule: from `instant` on it is as if it had never been, and what covers less precisely (`*`)
    /// or nothing takes over.
    public mutating func end(
        _ key: RuleKey, at instant: Timestamp, reason: String? = nil
    ) throws(RuleProblem) -> RuleEditOutcome {
        guard let base = book.inForce(key, at: instant) ?? book.versions(of: key).last else {
            throw .noRule(key)
        }
        if instant < editing.now {
            throw .inThePast(key, field: "effective_until", found: instant, now: editing.now)
        }
        guard book.inForce(key, at: instant) != nil else { return .unchanged(base) }
        var ending = base
        ending.head.ends = true
        ending.head.effectiveUntil = .distantFuture
        var asked = RuleChange()
        asked.start = instant
        asked.overrideReason = reason
        return try add(ending, asked: asked, base: base, start: instant, action: .expire)
    }

    /// Takes a version back that has not begun.
    public mutating func withdraw(
        _ key: RuleKey, version: UInt32, reason: String? = nil
    ) throws(RuleProblem) -> RuleEditOutcome {
        let versions = book.versions(of: key)
        guard !versions.isEmpty else { throw .noRule(key) }
        guard var marker = versions.first(where: { $0.head.version == version }),
            marker.head.withdraws == nil, marker.head.effectiveAt > editing.now
        else { throw .notScheduled(key, version: version) }
        if let done = versions.first(where: { $0.head.withdraws == version }) { return .unchanged(done) }
        let taken = marker
        marker.head.withdraws = version
        marker.head.ends = false
        var asked = RuleChange()
        asked.start = editing.now
        asked.overrideReason = reason
        return try add(marker, asked: asked, base: taken, start: editing.now, action: .withdraw)
    }

    // MARK: Parts

    /// Makes a rule that is not there.
    private mutating func make(
        _ key: RuleKey, _ asked: RuleChange, start: Timestamp, action: RuleAction?
    ) throws(RuleProblem) -> RuleEditOutcome {
        var asked = asked
        switch key {
        case .byok: guard action == .create else { throw .noRule(key) }
        case .platform(let tier):
            guard asked.isWhole else { throw .noRule(key) }
            asked.setTier(tier)
        }
        var wanted = try asked.rule(over: nil, key: key)
        if wanted.head.id.isEmpty {
            wanted.head.id = key.kind == .platform ? "platform_\(key.name)" : key.name
        }
        wanted.head.ruleNumber = book.nextRuleNumber
        return try add(wanted, asked: asked, base: nil, start: start, action: .create)
    }

    /// Adds `wanted` from `start` on, or from the end of its notice on.
    private mutating func add(
        _ wanted: Rule, asked: RuleChange, base: Rule?, start: Timestamp, action: RuleAction?
    ) throws(RuleProblem) -> RuleEditOutcome {
        var new = version(of: wanted, asked: asked, start: start)
        try check(new, base: base)
        var (candidate, candidateTables) = try compile(new)
        let increases = increases(candidateTables)
        var isPostponed = false
        if !increases.isEmpty, asked.overrideReason == nil {
            guard asked.start == nil else { throw notice(increases) }
            let later = noticeEnd
            // Over what will be in force then, so that nothing scheduled until there is lost.
            let planned = book.inForce(new.key, at: later)
            if base != nil, let planned {
                let wanted = try asked.rule(over: planned, key: new.key)
                if wanted.content == planned.content { return .unchanged(planned) }
                new = version(of: wanted, asked: asked, start: later)
            } else {
                new = version(of: wanted, asked: asked, start: later)
            }
            guard new.head.effectiveUntil > later else { throw notice(increases) }
            try check(new, base: base)
            isPostponed = true
            (candidate, candidateTables) = try compile(new)
            let left = self.increases(candidateTables)
            guard left.isEmpty else { throw notice(left) }
        }
        book = candidate
        tables = candidateTables
        let addition = RuleAddition(
            action: isPostponed && base != nil
                ? .schedule : action ?? Self.action(new, base: base, now: editing.now),
            old: base, new: new, increases: increases, isPostponed: isPostponed)
        additions.append(addition)
        return .added(addition)
    }

    /// `wanted` as the next version.
    private func version(of wanted: Rule, asked: RuleChange, start: Timestamp) -> Rule {
        var new = wanted.sorted
        new.head.version = book.nextVersion
        new.head.effectiveAt = start
        new.head.createdAt = editing.now
        new.head.createdBy = editing.actor
        new.head.overrideReason = asked.overrideReason
        // What ended before is revived for good, unless an end is named.
        if new.head.effectiveUntil <= start, asked.end == .kept { new.head.effectiveUntil = .distantFuture }
        return new
    }

    private func check(_ new: Rule, base: Rule?) throws(RuleProblem) {
        if new.head.withdraws != nil || new.head.ends { return }
        try checkTiers(new, base: base)
        try checkOverlap(new)
    }

    private func compile(_ new: Rule) throws(RuleProblem) -> (RuleBook, RuleTables) {
        let candidate = try RuleProblem.pricing { () throws(PricingError) in try book.adding(new) }
        return (candidate, try Self.tables(candidate, editing))
    }

    private func increases(_ candidate: RuleTables) -> [PriceIncrease] {
        guard editing.noticeDays > 0 else { return [] }
        return candidate.increases(
            since: tables, from: editing.now, until: noticeEnd, lookingBack: lookingBack)
    }

    private func notice(_ increases: [PriceIncrease]) -> RuleProblem {
        .noticeNeeded(increases, noticeDays: editing.noticeDays, allowedFrom: noticeEnd)
    }

    private static func action(_ new: Rule, base: Rule?, now: Timestamp) -> RuleAction {
        guard let base else { return .create }
        if base.head.isActive, !new.head.isActive { return .deactivate }
        if !base.head.isActive, new.head.isActive { return .reactivate }
        return new.head.effectiveAt > now ? .schedule : .update
    }
}

extension RuleProblem {
    static func pricing<Value>(_ body: () throws(PricingError) -> Value) throws(RuleProblem) -> Value {
        do throws(PricingError) {
            return try body()
        } catch {
            throw .pricing(error)
        }
    }
}
