// What administrators decide, as rows of `control.db`. Bodies are JSON text that this module does
// not read.

import Foundation
import GRDB

/// What was fixed when the data directory was made, and how often it was started.
public struct DirectoryRecord: Hashable, Sendable {
    public var identity: DirectoryIdentity
    /// The secret behind every keyed hash of the directory, 16 bytes.
    public var hashKey: [UInt8]
    /// Microseconds since 1970.
    public var createdAt: Int64
    /// Raised durably at every start.
    public var epoch: UInt64
}

/// A version of the price catalogue. Never changed once imported, but for its activation.
public struct CatalogueVersion: Hashable, Sendable, Codable, FetchableRecord, PersistableRecord {
    public static let databaseTableName = "catalogue_versions"
    enum CodingKeys: String, CodingKey {
        case number, digest, source, text, importedAt = "imported_at", importedBy = "imported_by"
        case report, approvedBy = "approved_by", isActive = "active"
    }

    /// Counts from 1.
    public var number: UInt32
    /// Of the text, in hexadecimal.
    public var digest: String
    /// Where it came from.
    public var source: String
    public var text: String
    /// Microseconds since 1970.
    public var importedAt: Int64
    public var importedBy: String
    /// What came of reading it, as JSON text.
    public var report: String
    /// Who approved it last; nil while it is a draft.
    public var approvedBy: String?
    /// At most one version is.
    public var isActive: Bool
}

/// From `at` on, until the next activation, a catalogue version is in force.
public struct CatalogueActivation: Hashable, Sendable, Codable, FetchableRecord {
    /// In the order of time, from 1.
    public var id: Int64
    /// The version.
    public var number: UInt32
    /// Microseconds since 1970.
    public var at: Int64
    public var actor: String
}

/// A version of a pricing rule. A rule is never edited: it gets another version.
public struct RuleVersion: Hashable, Sendable, Codable, FetchableRecord, PersistableRecord {
    public static let databaseTableName = "rule_versions"
    enum CodingKeys: String, CodingKey {
        case version, ruleNumber = "rule_number", kind, ruleID = "rule_id", body
        case effectiveAt = "effective_at", effectiveUntil = "effective_until"
        case createdAt = "created_at", createdBy = "created_by", isActive = "active"
    }

    /// Unique over all rules, in the order in which they were made, from 1.
    public var version: UInt32
    /// The same for all versions of one rule, from 1.
    public var ruleNumber: UInt32
    /// `platform` or `byok`.
    public var kind: String
    /// What people call the rule, such as `rule_openrouter`.
    public var ruleID: String
    /// The rule as JSON text.
    public var body: String
    /// Microseconds since 1970.
    public var effectiveAt: Int64
    /// Nil for as long as no later version takes over.
    public var effectiveUntil: Int64?
    public var createdAt: Int64
    public var createdBy: String
    /// Whether the version is read at all; what deactivates a rule is in the body.
    public var isActive: Bool
}

/// A rule version before it has its numbers.
public struct RuleDraft: Hashable, Sendable {
    public var kind: String
    public var ruleID: String
    public var body: String
    public var effectiveAt: Int64
    public var effectiveUntil: Int64?
    public var isActive: Bool
    /// The numbers that the body says and that the version must get; nil where it says none.
    public var version: UInt32?
    public var ruleNumber: UInt32?

    public init(
        kind: String, ruleID: String, body: String, effectiveAt: Int64, effectiveUntil: Int64? = nil,
        isActive: Bool = true, version: UInt32? = nil, ruleNumber: UInt32? = nil
    ) {
        self.kind = kind
        self.ruleID = ruleID
        self.body = body
        self.effectiveAt = effectiveAt
        self.effectiveUntil = effectiveUntil
        self.isActive = isActive
        self.version = version
        self.ruleNumber = ruleNumber
    }
}

/// Something an administrator did.
public struct AuditRow: Hashable, Sendable, Codable, FetchableRecord {
    public var id: Int64
    /// Microseconds since 1970.
    public var at: Int64
    public var actor: String
    /// What was done, such as `rule.update`.
    public var action: String
    /// To what, such as `rule_openrouter`.
    public var subject: String
    /// JSON text before and after; nil where there was or is nothing.
    public var old: String?
    public var new: String?
}

/// Who does something, when and why it should be remembered: goes into the audit with the change.
public struct AuditNote: Hashable, Sendable {
    public var at: Int64
    public var actor: String
    public var action: String
    public var subject: String
    public var old: String?
    public var new: String?

    public init(
        at: Int64, actor: String, action: String, subject: String, old: String? = nil, new: String? = nil
    ) {
        self.at = at
        self.actor = actor
        self.action = action
        self.subject = subject
        self.old = old
        self.new = new
    }
}
