// Changing the prices: a list becomes a draft, a draft becomes the catalogue in force.
//
//      stage:    read the list → lay it over the catalogue in force, if asked → check → compile a trial book
//                → keep it as the next version, a draft
//      approve:  read the draft → compile → keep the approval, durably, with who and when → swap the book
//
// Whatever fails before the swap changes nothing that a charge follows. The swap is one store; a record
// decided before it is priced by the old book and one decided after it by the new, and each charge names
// the version it was made with.

import Ledger
import Pricing
import Store
import StrictJSON
import Synchronization

/// A price list to be staged.
public struct CatalogueStaging: Sendable {
    /// The list, in any format that `Catalogue.importing` reads.
    public var bytes: [UInt8]
    /// Nil to detect it.
    public var format: CatalogueFormat?
    public var options: ImportOptions
    /// Models of the catalogue in force that the list does not name stay.
    public var keepsMissing: Bool
    /// The instant from which the list's prices apply, the catalogue's in force until then; nil for
    /// always, as the list says itself.
    public var effectiveFrom: Timestamp?
    /// Who stages it.
    public var actor: String

    public init(
        bytes: [UInt8], format: CatalogueFormat? = nil, options: ImportOptions = ImportOptions(),
        keepsMissing: Bool = false, effectiveFrom: Timestamp? = nil, actor: String
    ) {
        self.bytes = bytes
        self.format = format
        self.options = options
        self.keepsMissing = keepsMissing
        self.effectiveFrom = effectiveFrom
        self.actor = actor
    }
}

/// A draft, and what it would change.
public struct StagedCatalogue: Sendable {
    /// Without its text.
    public var version: CatalogueVersion
    /// The same content was there already, as this version; nothing was added.
    public var isDuplicate: Bool
    /// What came of reading the list.
    public var imported: CatalogueImport
    /// The version in force, which the differences and findings are to.
    public var inForce: UInt32
    public var diff: CatalogueDiff
    public var lint: [LintFinding]
    /// Models that were reported lately and have a price now, and none by the draft, the most used first: were it
    /// approved, their reports would be parked.
    public var unpricedInUse: [ReportedModel]

    /// How many of the newest outcomes count as lately.
    public static let recentOutcomes = 100_000
}

/// Why a draft is not approved as it was asked.
public enum CatalogueConflict: Hashable, Sendable {
    /// The version has another digest than the one that was looked at.
    case digest(found: String)
    /// Another version is in force than the one that it was compared to.
    case inForce(UInt32)
    /// It is in force already.
    case alreadyInForce
}

extension Gateway {
    /// Reads a price list and keeps it as a draft. Nothing is priced by it until it is approved.
    ///
    /// Takes some hundred milliseconds for thousands of models, on the caller's thread.
    public func stageCatalogue(_ staging: CatalogueStaging) throws(AdministrationError) -> StagedCatalogue {
        var imported: CatalogueImport
        let book = priceBook
        let draft: PriceBook
        do throws(PricingError) {
            imported = try Catalogue.importing(
                staging.bytes, format: staging.format, options: staging.options)
            var catalogue = imported.catalogue
            // First what stays: from a date on, a model that is not there any more ends.
            if staging.keepsMissing { catalogue = catalogue.keepingMissing(from: book.catalogue) }
            if let instant = staging.effectiveFrom {
                catalogue = catalogue.taking(effectFrom: instant, over: book.catalogue)
            }
            // Whatever would refuse it at its approval refuses it now.
            draft = try PriceBook(
                catalogue: catalogue, rules: book.rules, creditValue: settings.creditValue)
            imported.catalogue = catalogue
        } catch {
            throw .pricing(error)
        }
        let time = self.now()
        let recent = try storing { () throws(StoreError) in
            try history.recentModels(rowsMax: StagedCatalogue.recentOutcomes)
        }
        let unpriced = recent.filter { used in
            book.hasPrice(provider: used.provider, model: used.model, at: time)
                && !draft.hasPrice(provider: used.provider, model: used.model, at: time)
        }
        let bytes = imported.catalogue.canonicalBytes
        guard bytes.count <= PricingLimits.catalogueBytesMax else {
            throw .pricing(.json(.tooLong(bytes: bytes.count, bytesMax: PricingLimits.catalogueBytesMax)))
        }
        let digest = SHA256.hexadecimal(bytes)
        let now = clock.wallMicroseconds()
        let (catalogue, report) = (imported.catalogue, JSONValue.object(imported.report).text)
        let added = try storing { () throws(StoreError) in
            try control.addCatalogue(
                digest: digest, source: catalogue.source, text: String(decoding: bytes, as: UTF8.self),
                report: report,
                AuditNote(at: now, actor: staging.actor, action: "catalogue.import", subject: digest))
        }
        var version = added
        version.text = ""
        return StagedCatalogue(
            version: version, isDuplicate: added.importedAt != now || added.importedBy != staging.actor,
            imported: imported, inForce: book.catalogueVersion, diff: book.catalogue.diff(to: catalogue),
            lint: catalogue.lint(previous: book.catalogue), unpricedInUse: unpriced)
    }

    /// Puts a version in force, for every record decided from now on. Going back to an earlier one is the
    /// same act. Blocks for a durable write.
    ///
    /// - Parameters:
    ///   - digest: what the version's digest must begin with; nil for any.
    ///   - replacing: the version that must be in force; nil for any.
    /// - Returns: the version that was in force before.
    /// - Throws: `.noCatalogue`, `.catalogueChanged`, `.pricing` where the stored text cannot be used;
    ///   the book in force stays in force then.
    public func approveCatalogue(
        _ number: UInt32, digest: String? = nil, replacing: UInt32? = nil, actor: String
    ) throws(AdministrationError) -> UInt32 {
        try bookChange.withLock { _ throws(AdministrationError) in
            let stored = try storing { () throws(StoreError) in try control.catalogue(number) }
            guard let stored else { throw .noCatalogue(number) }
            if let digest, !stored.digest.hasPrefix(digest) {
                throw .catalogueChanged(.digest(found: stored.digest))
            }
            let current = priceBook
            if let replacing, replacing != current.catalogueVersion {
                throw .catalogueChanged(.inForce(current.catalogueVersion))
            }
            guard number != current.catalogueVersion else { throw .catalogueChanged(.alreadyInForce) }
            let book = try book(of: stored, rules: current.rules)
            let note = AuditNote(
                at: clock.wallMicroseconds(), actor: actor, action: "catalogue.approve", subject: "\(number)",
                old: "\(current.catalogueVersion)", new: stored.digest)
            let isActive = try storing { () throws(StoreError) in
                try control.activateCatalogue(number, note)
            }
            guard isActive else { throw .noCatalogue(number) }
            replaceBook(book)
            return current.catalogueVersion
        }
    }

    /// A book of a stored catalogue.
    func book(
        of stored: CatalogueVersion, rules: RuleBook
    ) throws(AdministrationError) -> PriceBook {
        do throws(PricingError) {
            let catalogue = try Catalogue(parsing: Array(stored.text.utf8), version: stored.number)
            return try PriceBook(catalogue: catalogue, rules: rules, creditValue: settings.creditValue)
        } catch {
            throw .pricing(error)
        }
    }

    /// Every version without its text and report, and which was in force from when on.
    public func catalogues() throws(AdministrationError) -> (
        versions: [CatalogueVersion], activations: [CatalogueActivation]
    ) {
        try storing { () throws(StoreError) in
            (try control.catalogues(), try control.catalogueActivations())
        }
    }

    /// A version with its text and report; nil for the one in force.
    public func catalogue(_ number: UInt32?) throws(AdministrationError) -> CatalogueVersion {
        let wanted = number ?? priceBook.catalogueVersion
        let stored = try storing { () throws(StoreError) in try control.catalogue(wanted) }
        guard let stored else { throw .noCatalogue(wanted) }
        return stored
    }

    /// The prices of a version; nil for the one in force.
    public func prices(_ number: UInt32?) throws(AdministrationError) -> Catalogue {
        let book = priceBook
        guard let number, number != book.catalogueVersion else { return book.catalogue }
        let stored = try catalogue(number)
        do throws(PricingError) {
            return try Catalogue(parsing: Array(stored.text.utf8), version: number)
        } catch {
            throw .pricing(error)
        }
    }
}
