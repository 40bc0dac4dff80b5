// Explaining a charge: every factor once more, from the versions it was pinned to, and who paid.
//
// The history has what was charged and what each grant paid of it; control.db has every version of the
// catalogue and of the rules. Nothing of that changes afterwards, so an explanation of years ago comes out
// the same, whatever the prices are by now.

import Bytes
import Ledger
import Pricing
import Store

/// A charge with every factor, recomputed from the versions it was pinned to.
public struct ChargeExplanation: Sendable {
    /// The row of the history: what stands now.
    public var row: UsageRow
    /// For a request that was parked and has ended, the row that parked it.
    public var parked: UsageRow?
    /// What each grant paid, and what ended the parked request.
    public var details: OutcomeDetails
    /// The rows of those grants, by number; one that the history does not have is missing.
    public var grants: [UInt64: CreditRow]
    /// What was refunded of it, and what was noted about it, oldest first.
    public var acts: [CreditRow] = []
    /// What the report's quote had pinned.
    public var quote: PinnedQuote?
    /// The hold that the report named.
    public var hold: NamedHold?
    public var explanation: Explanation
    /// The recomputed fee is the one that was charged, to the nanocredit, and what paid for it adds up.
    public var agrees: Bool

    /// What no grant paid: debt, which the next grant repays. Nanocredits.
    public var debt: Int64 { row.figures.charge - details.draws.reduce(0) { $0 + $1.amount } }
}

/// A hold that a report named, and what became of it.
public struct NamedHold: Hashable, Sendable {
    public var id: [UInt8]
    /// What it had kept, in nanocredits; nil where it had ended before, and where that was not written down.
    public var released: Int64?
    /// Its lease was over: the report was charged without it.
    public var hadExpired: Bool
    /// The charge is of its orphan: the lease ended, no report had come, and this policy says what is charged.
    public var orphanPolicy: OrphanPolicy?
    /// The report came after that, and corrects what the orphan was charged, in nanocredits.
    public var orphanCharge: Int64?
}

/// What a quote's token pinned.
public struct PinnedQuote: Hashable, Sendable {
    public var ruleVersion: UInt32
    public var catalogueVersion: UInt32
    /// Whose rates applied.
    public var instant: Timestamp
    public var expiresAt: Timestamp

    init?(_ token: ByteView) {
        guard let token = QuoteToken(token) else { return nil }
        ruleVersion = token.ruleVersion
        catalogueVersion = token.catalogueVersion
        instant = token.instant
        expiresAt = token.expiresAt
    }
}

extension Gateway {
    /// Recomputes a charge from the versions it was pinned to; nil when the request is not in the history.
    public func explain(
        requestID: [UInt8], organisation: [UInt8]? = nil
    ) throws(AdministrationError) -> ChargeExplanation? {
        let found = try storing { () throws(StoreError) in
            try history.usage(requestID: requestID, organisation: organisation)
        }
        guard let row = found else { return nil }
        guard row.figures.flags & UsageFigures.isLetGo == 0 else { throw .letGo }
        do {
            let details = try row.extra.withView { extra in try OutcomeDetails(reading: extra) }
            let parked = try storing { () throws(StoreError) in
                details.end == nil ? nil : try history.usage(key: row.figures.idKey, state: .parked)
            }
            let grants = try storing { () throws(StoreError) in
                try history.grants(
                    Set(details.draws.map(\.grant)), of: Array(row.wallet.utf8), upTo: row.id)
            }
            var explained = try recompute(
                row, parked: parked, details: details,
                grants: Dictionary(grants.map { ($0.sequence, $0) }, uniquingKeysWith: { first, _ in first }))
            explained.acts = try storing { () throws(StoreError) in
                try history.acts(
                    about: requestID, organisation: Array(row.account.utf8.prefix { $0 != UInt8(ascii: "/") })
                )
            }
            return explained
        } catch let error as AdministrationError {
            throw error
        } catch {
            throw .store(
                .damagedRow(
                    file: .history, table: "usage_rows", key: "\(row.id)", path: row.account,
                    reason: "\(error)"))
        }
    }

    private func recompute(
        _ row: UsageRow, parked: UsageRow?, details: OutcomeDetails, grants: [UInt64: CreditRow]
    ) throws -> ChargeExplanation {
        let figures = row.figures
        let isPriced = figures.state == .charged || figures.state == .settled
        var book = priceBook
        if isPriced,
            let pinned = try loadBook(figures.catalogueVersion, ruleVersion: figures.ruleVersion)
        {
            book = pinned
        }
        return try row.content.withView { content in
            let record = try RecordContent.read(content)
            let quote = PinnedQuote(record.quoteToken)
            let explanation = row.tier.withView { tier in
                book.explain(
                    record, tier: tier, ruleVersion: isPriced ? figures.ruleVersion : nil,
                    at: isPriced ? quote?.instant : nil)
            }
            var explained = ChargeExplanation(
                row: row, parked: parked, details: details, grants: grants, quote: quote,
                explanation: explanation, agrees: false)
            let hadExpired = (parked ?? row).figures.flags & HistoryRows.holdExpired != 0
            if !record.holdID.isEmpty {
                explained.hold = NamedHold(
                    id: Array(record.holdID), released: (parked ?? row).holdReleased, hadExpired: hadExpired,
                    orphanPolicy: details.orphanPolicy, orphanCharge: details.orphan?.charge)
            }
            let owed = figures.fee - figures.allowanceUsed
            let adds = figures.charge == max(0, owed - (details.orphan?.charge ?? 0)) && explained.debt >= 0
            switch explanation {
            case .priced(let priced) where isPriced:
                explained.agrees = adds && priced.baseCost == figures.baseCostPicodollars
                // What was held bounds the charge of an orphan, and an allowance made the hold smaller.
                if let policy = details.orphanPolicy {
                    explained.agrees =
                        explained.agrees && (policy == .fullHold || figures.charge <= priced.fee)
                } else {
                    explained.agrees = explained.agrees && priced.fee == figures.fee
                }
            // An amount that was held for nothing in particular has no price.
            case _ where details.orphanPolicy == .fullHold && record.provider.isEmpty:
                explained.agrees = adds
            // What was parked may have a price by now, and waits for its settlement.
            case .priced: explained.agrees = row.parkedReason == "\(Reason.unpricedModel.name)"
            case .parked: explained.agrees = !isPriced
            case .refused: break
            }
            return explained
        }
    }
}
