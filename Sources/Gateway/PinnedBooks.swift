// Price books of catalogue versions that are not in force: for reports that a quote pinned to one, and for
// explaining charges. The book that an approval replaces is kept, so that the quotes of the last minutes
// find it at once; an older one, or one from before a restart, is made again from control.db, off the event
// loops. Few are kept: each takes some megabytes for thousands of models.

import Pricing
import Store
import Synchronization

/// The books used last, newest last. Safe to share.
final class PinnedBooks: Sendable {
    /// How many are kept.
    static let countMax = 4

    private let books = Mutex<[PriceBook]>([])

    /// The book of a catalogue version that knows a rule version; nil if it is not kept.
    func book(_ catalogueVersion: UInt32, ruleVersion: UInt32?) -> PriceBook? {
        books.withLock { books in
            guard let index = books.firstIndex(where: { $0.catalogueVersion == catalogueVersion }),
                ruleVersion.map({ books[index].holds(ruleVersion: $0) }) ?? true
            else { return nil }
            let book = books.remove(at: index)
            books.append(book)
            return book
        }
    }

    /// Keeps a book, in the place of an earlier one of its catalogue version.
    func keep(_ book: PriceBook) {
        books.withLock { books in
            books.removeAll { $0.catalogueVersion == book.catalogueVersion }
            books.append(book)
            if books.count > Self.countMax { books.removeFirst() }
        }
    }
}

extension Gateway {
    /// The book of a catalogue version that knows a rule version, made again if it is not at hand; nil when
    /// no such catalogue was ever kept. Blocks for SQLite and for compiling.
    func loadBook(
        _ catalogueVersion: UInt32, ruleVersion: UInt32?
    ) throws(AdministrationError) -> PriceBook? {
        let current = priceBook
        if let book = current.ifHolds(catalogueVersion, ruleVersion)
            ?? pinnedBooks.book(catalogueVersion, ruleVersion: ruleVersion)
        {
            return book
        }
        let stored = try storing { () throws(StoreError) in try control.catalogue(catalogueVersion) }
        guard let stored else { return nil }
        let book = try book(of: stored, rules: current.rules)
        pinnedBooks.keep(book)
        return book
    }

    /// Makes the book that a waiting record needs. Where that fails the record is told to come again.
    func makePinned(_ versions: PinnedVersions) {
        do throws(AdministrationError) {
            _ = try loadBook(versions.catalogueVersion, ruleVersion: versions.ruleVersion)
        } catch {
            logger.error(
                "catalogue version \(versions.catalogueVersion), which a quote pinned, cannot be used: \(error)"
            )
        }
    }

    /// What the token of a record says, if it was signed for such a record, whichever of its paths the account was
    /// named by: a quote outlives a move.
    func verified(_ record: borrowing UsageRecord) -> QuoteToken? {
        if let token = signer.verified(record) { return token }
        guard QuoteToken(record.quoteToken) != nil else { return nil }
        for name in ledger.knownNames(of: record.account) {
            var other = record.copy()
            let token = name.withView { name in
                other.account = name
                return signer.verified(other)
            }
            if let token { return token }
        }
        return nil
    }

    /// What the token of a record comes to, and the book to price it by. Nothing is read from the disk.
    func pin(_ record: borrowing UsageRecord, book: PriceBook) -> (pin: PricePin, book: PriceBook) {
        guard let token = verified(record) else {
            return (.refused(Refusal(.invalidArgument, field: .quoteToken)), book)
        }
        if let fault = token.fault(eventTime: record.eventTime) { return (.refused(fault), book) }
        guard
            let pinned = book.ifHolds(token.catalogueVersion, token.ruleVersion)
                ?? pinnedBooks.book(token.catalogueVersion, ruleVersion: token.ruleVersion)
        else { return (.refused(absent(token, book: book)), book) }
        return (.pinned(ruleVersion: token.ruleVersion, instant: token.instant), pinned)
    }

    /// Why the token's book is not at hand: it will be in a moment, or a rule that was withdrawn before it ever
    /// applied to a report took the quote with it.
    private func absent(_ token: QuoteToken, book: PriceBook) -> Refusal {
        guard book.holds(ruleVersion: token.ruleVersion) else {
            return Refusal(.quoteExpired, field: .quoteToken)
        }
        return Refusal(.overloaded, field: .quoteToken)
    }

    /// What has to be loaded before the token of a record can be used; nil if nothing has to be.
    func missingBook(_ record: borrowing UsageRecord, book: PriceBook) -> PinnedVersions? {
        guard let token = QuoteToken(record.quoteToken), book.holds(ruleVersion: token.ruleVersion),
            book.ifHolds(token.catalogueVersion, token.ruleVersion) == nil,
            pinnedBooks.book(token.catalogueVersion, ruleVersion: token.ruleVersion) == nil,
            verified(record) != nil, token.fault(eventTime: record.eventTime) == nil
        else { return nil }
        return PinnedVersions(
            catalogueVersion: token.catalogueVersion, ruleVersion: token.ruleVersion)
    }
}

/// The versions that a quote pinned, and that no book at hand holds.
public struct PinnedVersions: Hashable, Sendable {
    public var catalogueVersion: UInt32
    public var ruleVersion: UInt32
}

extension PriceBook {
    /// This book, if it is of the catalogue version and knows the rule version.
    fileprivate func ifHolds(_ catalogueVersion: UInt32, _ ruleVersion: UInt32?) -> PriceBook? {
        guard catalogueVersion == self.catalogueVersion,
            ruleVersion.map({ holds(ruleVersion: $0) }) ?? true
        else { return nil }
        return self
    }
}
