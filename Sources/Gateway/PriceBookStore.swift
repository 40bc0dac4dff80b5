// The prices and rules as they are kept: versions in control.db, a price book in force.

import Money
import Platform
import Pricing
import Store
import StrictJSON

/// Reads and makes price books from the control file.
struct PriceBookStore {
    private let control: ControlStore
    private let clock: any TimeSource

    init(_ control: ControlStore, clock: any TimeSource) {
        self.control = control
        self.clock = clock
    }

    /// The book in force; a new data directory gets the starter catalogue and the default rules.
    func loadOrMake(creditValue: CreditValue) throws -> PriceBook {
        do {
            if try control.activeCatalogue() == nil { try makeCatalogue() }
            if try control.rules().isEmpty { try makeRules() }
            return try load(creditValue: creditValue)
        } catch let error as StoreError {
            throw GatewayError.store(error)
        } catch let error as PricingError {
            throw GatewayError.pricing(error)
        } catch let error as JSONError {
            throw GatewayError.pricing(.json(error))
        }
    }

    private func load(creditValue: CreditValue) throws -> PriceBook {
        guard let stored = try control.activeCatalogue() else {
            preconditionFailure("a catalogue was activated before")
        }
        return try PriceBook(
            catalogue: try catalogue(stored), rules: try rules(), creditValue: creditValue)
    }

    func catalogue(_ stored: CatalogueVersion) throws -> Catalogue {
        let bytes = Array(stored.text.utf8)
        // Whoever edits prices in the file by hand would bill by them, and no audit would say so.
        guard SHA256.hexadecimal(bytes) == stored.digest else {
            throw StoreError.damagedRow(
                file: .control, table: "catalogue_versions", key: "\(stored.number)", path: "",
                reason: "its prices are not those that were imported: their digest differs")
        }
        return try Catalogue(parsing: bytes, version: stored.number)
    }

    func rules() throws -> RuleBook {
        var platform: [PlatformRule] = []
        var byok: [BYOKRule] = []
        for stored in try control.rules() where stored.isActive {
            let node = try JSONNode(parsing: Array(stored.body.utf8))
            if stored.kind == "platform" {
                platform.append(try PlatformRule(node))
            } else {
                byok.append(try BYOKRule(node))
            }
        }
        return try RuleBook(platform: platform, byok: byok)
    }

    private func makeCatalogue() throws {
        let starter = try Catalogue.starter()
        let bytes = starter.canonicalBytes
        let text = String(decoding: bytes, as: UTF8.self)
        let now = clock.wallMicroseconds()
        let digest = SHA256.hexadecimal(bytes)
        let added = try control.addCatalogue(
            digest: digest, source: starter.source, text: text,
            AuditNote(at: now, actor: "tollgate", action: "catalogue.import", subject: digest))
        _ = try control.activateCatalogue(
            added.number,
            AuditNote(at: now, actor: "tollgate", action: "catalogue.activate", subject: "\(added.number)"))
    }

    private func makeRules() throws {
        let now = clock.wallMicroseconds()
        let standard = RuleBook.standard
        var drafts: [RuleDraft] = []
        var notes: [AuditNote] = []
        // In the order of their versions, so that the numbers given are those in the bodies.
        let all =
            (standard.platform.map { ($0.head, "platform", $0.json) }
            + standard.byok.map { ($0.head, "byok", $0.json) }).sorted { $0.0.version < $1.0.version }
        for (head, kind, json) in all {
            var body = json
            body["created_at"] = .string(Timestamp(microseconds: now).text)
            body["created_by"] = .string("tollgate")
            let text = JSONValue.object(body).text
            drafts.append(RuleDraft(kind: kind, ruleID: head.id, body: text, effectiveAt: .min))
            notes.append(
                AuditNote(at: now, actor: "tollgate", action: "rule.create", subject: head.id, new: text))
        }
        let added = try control.addRules(drafts, notes)
        precondition(
            zip(added, all).allSatisfy {
                $0.version == $1.0.version && $0.ruleNumber == $1.0.ruleNumber
            }, "a new control file numbers rules from 1")
    }
}
