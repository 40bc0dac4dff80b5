// Changing the rules: an edit becomes versions, the versions a book, the book is put in force.
//
//      edit the book in force (RuleEditor) → compile → keep versions and audit in one durable transaction
//      → swap the book
//
// Changes follow each other: each is made to the book that the one before it left. Whatever fails before the
// swap leaves what was in force in force. Nothing is ever taken out of control.db, because charges name the
// versions that they were made with.

import Ledger
import Pricing
import Store
import StrictJSON
import Synchronization

/// Something that an administrator wants of the rules.
public struct RuleCommand: Sendable {
    public enum Act: Sendable {
        /// A change of what the document names; `action` is how the audit calls it, told without it.
        case change(RuleKey, JSONNode, RuleAction?)
        case createBYOK(JSONNode)
        case end(RuleKey, at: Timestamp?, reason: String?)
        case withdraw(RuleKey, version: UInt32, reason: String?)
        case apply(RuleFile, prunes: Bool, expectsVersions: Bool)

        /// The rule that it is about; nil for a new one and for a file.
        var key: RuleKey? {
            switch self {
            case .change(let key, _, _), .end(let key, _, _), .withdraw(let key, _, _): key
            case .createBYOK, .apply: nil
            }
        }
    }

    public var act: Act
    public var actor: String
    /// The newest version of the rule, or of all rules for a file, that must be there; nil for any.
    public var expectedVersion: UInt32?
    public var allowsNewTiers: Bool
    /// Everything but the change itself.
    public var isDryRun: Bool

    public init(
        _ act: Act, actor: String, expectedVersion: UInt32? = nil, allowsNewTiers: Bool = false,
        isDryRun: Bool = false
    ) {
        self.act = act
        self.actor = actor
        self.expectedVersion = expectedVersion
        self.allowsNewTiers = allowsNewTiers
        self.isDryRun = isDryRun
    }
}

/// What came of it.
public struct RuleCommandResult: Sendable {
    public var outcomes: [RuleEditOutcome]
    /// Rules in force that a file does not name, and that stay as they are.
    public var unnamed: [RuleKey]
    /// The rules as they are now, or would be.
    public var book: RuleBook
    /// When it was done.
    public var now: Timestamp
    public var noticeDays: Int
    public var isDryRun: Bool
}

extension Gateway {
    /// Changes the rules. Blocks for a durable write, unless nothing changes.
    ///
    /// - Throws: `.rules` with the reason, and nothing changed; `.store`.
    public func command(_ command: RuleCommand) throws(AdministrationError) -> RuleCommandResult {
        try bookChange.withLock { _ throws(AdministrationError) in
            let current = priceBook
            var editor = try editor(current, command)
            let (outcomes, unnamed) = try ruling { () throws(RuleProblem) in
                try Self.check(command, current.rules)
                return try Self.carryOut(command.act, &editor)
            }
            let result = RuleCommandResult(
                outcomes: outcomes, unnamed: unnamed, book: editor.book, now: editor.editing.now,
                noticeDays: settings.noticeDays, isDryRun: command.isDryRun)
            if editor.additions.isEmpty { return result }
            let book = try ruling { () throws(RuleProblem) in
                do throws(PricingError) {
                    return try PriceBook(
                        catalogue: current.catalogue, rules: editor.book, creditValue: settings.creditValue)
                } catch {
                    throw .pricing(error)
                }
            }
            if command.isDryRun { return result }
            try keep(editor.additions, actor: command.actor, at: editor.editing.now)
            replaceBook(book)
            return result
        }
    }

    /// An editor of the book in force.
    func editor(
        _ book: PriceBook, _ command: RuleCommand
    ) throws(AdministrationError) -> RuleEditor {
        let editing = RuleEditing(
            now: now(), noticeDays: settings.noticeDays, creditValue: settings.creditValue,
            providerAliases: book.catalogue.providerAliases, accountTiers: ledger.accountTiers(),
            allowsNewTiers: command.allowsNewTiers, actor: command.actor)
        return try ruling { () throws(RuleProblem) in try RuleEditor(book.rules, editing) }
    }

    private static func check(_ command: RuleCommand, _ book: RuleBook) throws(RuleProblem) {
        guard let expected = command.expectedVersion else { return }
        let versions = command.act.key.map { book.versions(of: $0) } ?? book.versions
        if let key = command.act.key, versions.isEmpty { throw .noRule(key) }
        let latest = versions.last?.head.version ?? 0
        if latest != expected { throw .changed(command.act.key ?? .byok(id: "book"), latest: latest) }
    }

    private static func carryOut(
        _ act: RuleCommand.Act, _ editor: inout RuleEditor
    ) throws(RuleProblem) -> ([RuleEditOutcome], [RuleKey]) {
        switch act {
        case .change(let key, let document, let action):
            return ([try editor.change(key, document, action: action)], [])
        case .createBYOK(let document): return ([try editor.createBYOK(document)], [])
        case .end(let key, let instant, let reason):
            return ([try editor.end(key, at: instant ?? editor.editing.now, reason: reason)], [])
        case .withdraw(let key, let version, let reason):
            return ([try editor.withdraw(key, version: version, reason: reason)], [])
        case .apply(let file, let prunes, let expectsVersions):
            let applied = try editor.apply(file, prunes: prunes, expectsVersions: expectsVersions)
            return (applied.outcomes, applied.unnamed)
        }
    }

    /// Keeps versions and what the audit says of them, all or none, durably.
    private func keep(
        _ additions: [RuleAddition], actor: String, at now: Timestamp
    ) throws(AdministrationError) {
        var drafts: [RuleDraft] = []
        var notes: [AuditNote] = []
        for addition in additions {
            let head = addition.new.head
            let text = JSONValue.object(addition.new.json).text
            drafts.append(
                RuleDraft(
                    kind: addition.new.kind.rawValue, ruleID: head.id, body: text,
                    effectiveAt: head.effectiveAt.microseconds,
                    effectiveUntil: head.effectiveUntil == .distantFuture
                        ? nil : head.effectiveUntil.microseconds,
                    version: head.version, ruleNumber: head.ruleNumber))
            notes.append(
                AuditNote(
                    at: now.microseconds, actor: actor, action: addition.action.rawValue, subject: head.id,
                    old: addition.old.map { JSONValue.object($0.json).text }, new: text))
        }
        _ = try storing { () throws(StoreError) in try control.addRules(drafts, notes) }
    }

    /// Runs `body` and says its errors in this module's words.
    func ruling<Result>(
        _ body: () throws(RuleProblem) -> Result
    ) throws(AdministrationError) -> Result {
        do throws(RuleProblem) {
            return try body()
        } catch {
            throw .rules(error)
        }
    }

    /// Who changed what, newest first.
    ///
    /// - Parameters:
    ///   - action: such as `rule.update`, or a kind such as `rule`; nil for all.
    ///   - before: only lines whose id is below.
    public func audit(
        subject: String? = nil, action: String? = nil, before: Int64? = nil, limit: Int
    ) throws(AdministrationError) -> [AuditRow] {
        try storing { () throws(StoreError) in
            try control.audit(subject: subject, action: action, before: before, limit: limit)
        }
    }
}
