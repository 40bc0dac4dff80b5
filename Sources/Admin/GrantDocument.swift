// Credit to be given, as a document says it.
//
// A document names a `source`, in its own words, and may name a `kind`. Without a kind the source decides:
// with "promo" in it promo, with "purchase" purchased, anything else bonus, because what an administrator
// gives by hand was not paid for, and calling it purchased would overstate what customers are owed.
//
//      kind                  ends, unless expires_at says otherwise
//      monthly               with the calendar month, UTC, or on its anchor_day
//      promo                 90 days after the beginning of today, UTC
//      purchased, adjustment never
//      bonus, refund         never, and expires_at is refused

import Ledger
import Money
import Pricing
import StrictJSON

/// Credit to be given, read and checked.
struct GrantDocument: Sendable {
    static let keys = ["amount", "kind", "source", "metadata", "expires_at", "anchor_day", "filter"]

    var kind: GrantKind
    var amount: Nanocredits
    var source: String
    /// JSON, compact; empty without.
    var metadata: [UInt8]
    /// As the document says; nil leaves it to the kind.
    var expiresAt: Timestamp?
    /// The day of the month on which a monthly grant's period ends; nil for the calendar month.
    var anchorDay: Int?
    /// What the credit may pay for.
    var filter = GrantFilter()
    /// Who gives it and why.
    var note = ActNote()

    /// Reads the members of an object that say what is given; `source` is used where it names none.
    init(_ node: JSONNode, now: Timestamp, source standard: String? = nil) throws(JSONError) {
        let amountNode = try node.field("amount")
        amount = try amountNode.credits()
        guard amount > .zero else { throw amountNode.invalid("it must be more than 0 credits") }
        if let given = try node.optional("source") {
            source = try given.words(bytesMax: AdminLimits.sourceBytesMax)
        } else if let standard {
            source = standard
        } else {
            throw .missing(path: node.path, key: "source")
        }
        kind = Self.kind(forSource: source)
        if let word = try node.optional("kind") {
            let name = try word.string()
            guard let known = GrantKind.allCases.first(where: { $0.name == name }) else {
                throw word.unexpected(
                    GrantKind.allCases.map { "\"\($0.name)\"" }.joined(separator: " or "))
            }
            kind = known
        }
        metadata = []
        if let object = try node.optional("metadata") {
            metadata = try object.metadata()
        }
        if let instant = try node.optional("expires_at") {
            let expiry = try instant.timestamp()
            guard kind != .bonus, kind != .refund else {
                throw instant.invalid("credit of kind \(kind.name) never expires; promo does")
            }
            guard expiry > now else { throw instant.invalid("\(expiry.text) is not after now, \(now.text)") }
            expiresAt = expiry
        }
        if let day = try node.optional("anchor_day") {
            guard kind == .monthly, expiresAt == nil else {
                throw day.invalid("it goes with the kind monthly, without expires_at")
            }
            anchorDay = Int(try day.integer(in: 1...31))
        }
        if let object = try node.optional("filter") { filter = try object.filter() }
    }

    static func kind(forSource source: String) -> GrantKind {
        let source = source.lowercased()
        if source.contains("promo") { return .promo }
        if source.contains("purchase") { return .purchased }
        return .bonus
    }

    /// What the ledger is asked for.
    func request(expiresAt: Timestamp, key: [UInt8]? = nil) -> GrantRequest {
        var request = GrantRequest(
            kind: kind, amount: amount.count, expiresAt: expiresAt, source: Array(source.utf8),
            metadata: metadata, idempotencyKey: key)
        request.filter = filter
        request.actor = Array(note.actor.utf8)
        request.reason = Array(note.reason.utf8)
        return request
    }

    /// When the credit ends.
    func expiry(now: Timestamp) -> Timestamp {
        if let anchorDay { return CalendarMonth.end(ofPeriodFrom: anchorDay, at: now) }
        return expiresAt ?? Self.expiry(of: kind, now: now)
    }

    /// When the credit would have ended had the same document come at some earlier time, newest first.
    ///
    /// The first answer to a key fixed an expiry that depended on its day. A retry on another day is the
    /// same request all the same; these are what it may have been taken for.
    func earlierExpiries(now: Timestamp) -> [Timestamp] {
        guard expiresAt == nil else { return [] }
        switch kind {
        case .promo:
            return (1...AdminLimits.promoDays).map { days in
                Self.expiry(of: .promo, now: Timestamp(microseconds: now.microseconds - days * Self.day))
            }
        case .monthly:
            if let anchorDay {
                return (1...3).map { months in
                    CalendarMonth.end(
                        ofPeriodFrom: anchorDay,
                        at: Timestamp(microseconds: now.microseconds - Int64(months) * 30 * Self.day))
                }
            }
            let month = CalendarMonth(containing: now)
            return (0...2).map { CalendarMonth(count: month.count - $0).start }
        case .bonus, .purchased, .refund, .adjustment: return []
        }
    }

    private static let day: Int64 = 86_400_000_000

    static func expiry(of kind: GrantKind, now: Timestamp) -> Timestamp {
        switch kind {
        case .monthly: return CalendarMonth(containing: now).next.start
        case .promo:
            let today = now.microseconds / day * day
            return Timestamp(microseconds: today + AdminLimits.promoDays * day)
        case .bonus, .purchased, .refund, .adjustment: return .distantFuture
        }
    }
}

extension JSONNode {
    /// `{"providers": [...], "models": [...]}`: what a grant may pay for.
    fileprivate func filter() throws(JSONError) -> GrantFilter {
        try expectOnly(["providers", "models"])
        var lists: [[String]] = []
        for key in ["providers", "models"] {
            var names: [String] = []
            if let list = try optional(key) {
                for node in try list.array() {
                    names.append(try node.words(bytesMax: AdminLimits.filterNameBytesMax))
                }
                guard (1...AdminLimits.filterNamesMax).contains(names.count) else {
                    throw list.invalid(
                        "it has \(names.count) names, and may have 1 to \(AdminLimits.filterNamesMax)")
                }
            }
            lists.append(names)
        }
        let filter = GrantFilter(providers: lists[0], models: lists[1])
        guard !filter.isEmpty else { throw invalid("it names neither providers nor models: leave it out") }
        return filter
    }
}

extension GrantFilter {
    var json: JSONObject {
        var object = JSONObject()
        if !providers.isEmpty { object["providers"] = .array(providers.map { .string($0) }) }
        if !models.isEmpty { object["models"] = .array(models.map { .string($0) }) }
        return object
    }
}
