// A quote: what a report of the same counts would be charged, and what stays afterwards.

import Bytes
import Ledger
import Money
import Pricing

/// A quote against an account, as plain values; its lines and its token are beside it. Amounts are in nanocredits,
/// the base cost in picodollars.
public struct QuotedReport: Sendable {
    /// What would be taken from the wallet, and what the allowance would pay.
    public var own = QuotedCharge()
    public var baseCost: Int64 = 0
    public var available: Int64 = 0
    /// What the wallet could still spend afterwards, at least `Int64.min`.
    public var availableAfter: Int64 = 0
    public var isSufficient = false
    public var isUnlimited = false
    /// The most output tokens that the wallet and the allowance pay for; nil if output is free or the wallet
    /// unlimited.
    public var affordableOutputTokens: UInt64?
    public var ruleVersion: UInt32 = 0
    public var catalogueVersion: UInt32 = 0
    public var standardTierUsed = false
    /// What the rule makes of the cost, and what set the rates.
    public var details = QuoteDetails()
    /// The charge under the other credential source, if it was asked for and a rule exists.
    public var alternative: QuotedCharge?
    /// What the customer pays less in all with its own key: the platform's charge less the BYOK charge and the
    /// provider's cost. With an alternative.
    public var byokSaving: Int64?
    /// Until when the token holds; 0 without one.
    public var expiresAt = Timestamp(microseconds: 0)
}

/// A quote with everything that belongs to it, for who keeps it.
@dynamicMemberLookup
public struct DetailedQuote: Sendable {
    public var quote: QuotedReport
    /// The name of the account's tier.
    public var tier: [UInt8]
    /// Every leaf that was used.
    public var lines: [QuoteLine]
    /// Empty for a quote of another time than now, and for a brief one.
    public var token: [UInt8]

    public subscript<Value>(dynamicMember path: KeyPath<QuotedReport, Value>) -> Value {
        quote[keyPath: path]
    }
}

/// The last quote and what belongs to it; reused.
public struct QuoteRoom: ~Copyable, Sendable {
    /// The longest token.
    public static var tokenBytesMax: Int { QuoteToken.bytes }

    private let byAddress = LentByAddress()
    public internal(set) var quote = QuotedReport()
    /// The leaves that were used; none for a brief quote.
    public internal(set) var lines = QuoteLines()
    /// The token; empty where there is none.
    public internal(set) var token = BytePacker(capacity: QuoteToken.bytes)
    fileprivate var standing = QuoteStanding()
    /// What the token is signed over.
    fileprivate var signing = BytePacker(capacity: 512)

    fileprivate mutating func clear() {
        lines.clear()
        token.clear()
    }
}

/// The answer to a quote with everything that belongs to it.
public enum QuoteOutcome: Sendable {
    case quoted(DetailedQuote)
    case refused(Refusal)
}

extension Gateway {
    /// Prices a record against an account. Returns why it is refused; else the quote is in `room`. Changes nothing
    /// but what has expired; the answer waits until the state that it saw is durable. Allocates nothing.
    func quote(
        _ record: borrowing UsageRecord, _ keys: RecordKeys, _ options: QuoteOptions, book: PriceBook,
        now: Timestamp, room: inout QuoteRoom, mark: inout AnswerMark,
        noteTier: (ByteView) -> Void = { _ in }
    ) -> Refusal? {
        room.clear()
        ledger.quote(
            keys, record: record, book: book, compare: options.contains(.compare), now: now, mark: &mark,
            into: &room.standing, noteTier: noteTier)
        switch room.standing.fault {
        case .refused(let refusal): return refusal
        case .parked(let reason, let field):
            return Refusal(notPriced: reason, field: field, usage: record.usage)
        case nil:
            room.fill(platform: record.credentialSource == .platform, book: book)
            if !options.contains(.brief) {
                book.writeLines(of: room.standing.steps, record, to: &room.lines)
                sign(record, now: now, room: &room)
            }
            return nil
        }
    }

    /// Gives a quote its token, if it is for now: a token for another time would carry that time's prices
    /// into this one.
    private func sign(_ record: borrowing UsageRecord, now: Timestamp, room: inout QuoteRoom) {
        let skew = QuoteToken.skewMicroseconds
        let earliest = now.microseconds - skew
        guard (earliest...now.microseconds + skew).contains(record.eventTime.microseconds) else { return }
        room.quote.expiresAt = Timestamp(
            microseconds: now.microseconds + quoteValidMicroseconds)
        signer.sign(
            QuoteToken(
                ruleVersion: room.quote.ruleVersion, catalogueVersion: room.quote.catalogueVersion,
                instant: record.eventTime, expiresAt: room.quote.expiresAt),
            for: record, using: &room.signing, to: &room.token)
    }

    /// Prices a record for an administrator; the answer comes when what it says is durable.
    public func quote(_ draft: QuoteDraft, compare: Bool) async -> QuoteOutcome {
        let (outcome, mark) = quoteNow(draft, compare: compare)
        await whenDurable(mark)
        return outcome
    }

    private func quoteNow(_ draft: QuoteDraft, compare: Bool) -> (QuoteOutcome, AnswerMark) {
        var mark = AnswerMark()
        var room = QuoteRoom()
        var tier: [UInt8] = []
        let time = now()
        let refusal = draft.withRecord(now: time) { record -> Refusal? in
            var keys = RecordKeys.none
            do throws(AccountPath.Fault) {
                let organisationCount = try AccountPath.organisationCount(of: record.account)
                (keys.organisation, keys.account) = ledger.keys.account(
                    record.account, organisationCount: organisationCount)
            } catch {
                return Refusal(.invalidArgument, field: .account, fault: error)
            }
            return quote(
                record, keys, compare ? .compare : [], book: priceBook, now: time, room: &room,
                mark: &mark, noteTier: { tier = Array($0) })
        }
        if let refusal { return (.refused(refusal), mark) }
        let whole = DetailedQuote(
            quote: room.quote, tier: tier, lines: room.lines.array, token: Array(room.token.view))
        return (.quoted(whole), mark)
    }
}

extension QuoteRoom {
    fileprivate mutating func fill(platform: Bool, book: PriceBook) {
        quote.own = standing.own
        quote.baseCost = standing.priced.baseCost
        quote.available = standing.available
        let (after, overflow) = standing.available.subtractingReportingOverflow(quote.own.charge)
        quote.availableAfter = overflow ? .min : after
        quote.isUnlimited = standing.unlimited
        quote.isSufficient = standing.unlimited || quote.own.charge == 0 || after >= 0 && !overflow
        quote.ruleVersion = standing.priced.ruleVersion
        quote.catalogueVersion = book.catalogueVersion
        quote.standardTierUsed = standing.priced.standardTierUsed
        quote.details = standing.details
        quote.affordableOutputTokens = standing.unlimited ? nil : standing.details.affordableOutputTokens
        quote.alternative = standing.alternative
        quote.byokSaving = nil
        quote.expiresAt = Timestamp(microseconds: 0)
        guard let alternative = standing.alternative else { return }
        let (platformCharge, byokCharge) =
            platform ? (quote.own.charge, alternative.charge) : (alternative.charge, quote.own.charge)
        guard let cost = book.creditValue.nanocredits(Picodollars(quote.baseCost)) else { return }
        quote.byokSaving = Int64(clamping: Int128(platformCharge) - Int128(byokCharge) - Int128(cost.count))
    }
}

/// A record to be priced, as owned values: how the HTTP edge asks.
public struct QuoteDraft: Sendable {
    public var account: [UInt8] = []
    public var source: CredentialSource
    public var provider: [UInt8]
    public var model: [UInt8]
    public var serviceTier: [UInt8] = []
    public var usage = Usage()
    /// Nil for now.
    public var eventTime: Timestamp?

    public init(source: CredentialSource, provider: [UInt8], model: [UInt8]) {
        self.source = source
        self.provider = provider
        self.model = model
    }

    /// Lends the record.
    public func withRecord<Result>(now: Timestamp, _ body: (borrowing UsageRecord) -> Result) -> Result {
        account.withView { account in
            provider.withView { provider in
                model.withView { model in
                    serviceTier.withView { serviceTier in
                        var record = UsageRecord()
                        record.account = account
                        record.credentialSource = source
                        record.provider = provider
                        record.model = model
                        record.serviceTier = serviceTier
                        record.usage = usage
                        record.eventTime = eventTime ?? now
                        return body(record)
                    }
                }
            }
        }
    }
}
