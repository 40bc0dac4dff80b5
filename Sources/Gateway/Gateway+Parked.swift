// Parked usage: listed, and ended one by one or all that a filter finds.
//
// The list comes from the history, which follows the ledger; what becomes of a record is decided by the ledger,
// which knows what stands now. So a list that is a moment old does no harm: what was settled since is
// answered as it was settled. Every end is an entry of the journal with who and why, and an answer comes
// when that is durable.

import Bytes
import Ledger
import Pricing
import Store

/// Who ends a parked record, and why.
public struct ParkedOrder: Sendable {
    public var action: ParkedAction
    public var reason: String
    public var actor: String
    /// Counts in the place of the reported ones.
    public var correction: Usage?

    public init(_ action: ParkedAction, reason: String, actor: String, correction: Usage? = nil) {
        self.action = action
        self.reason = reason
        self.actor = actor
        self.correction = correction
    }
}

/// What became of one parked record.
public struct ParkedResult: Sendable {
    /// The row that parked it.
    public var row: UsageRow
    public var answer: ParkedAnswer
}

/// What became of a page of parked records.
public struct ParkedResults: Sendable {
    public var results: [ParkedResult]
    /// What to pass as `after` for the next page; nil on the last.
    public var next: Int64?

    public init(results: [ParkedResult], next: Int64?) {
        self.results = results
        self.next = next
    }
}

extension Gateway {
    /// Open parked records, oldest first, as far as the history has come.
    public func parked(_ filter: ParkedFilter) throws(AdministrationError) -> ParkedPage {
        try storing { () throws(StoreError) in try history.parked(filter) }
    }

    /// How many are open, by reason, since when, and what their holds had kept.
    public func parkedFigures() throws(AdministrationError) -> ParkedFigures {
        try storing { () throws(StoreError) in
            var figures = try history.parkedFigures()
            try history.forEachUnvaluedParked(flags: HistoryRows.settlesHold) {
                (id, account, extra) throws(StoreError) in
                figures.valuedAt += Int128(try OutcomeDetails(of: id, account, extra).holdReleased ?? 0)
            }
            return figures
        }
    }

    /// Ends one parked record, by its request id; nil if the history holds none that was ever parked. Blocks
    /// for SQLite.
    public func endParked(
        _ order: ParkedOrder, requestID: [UInt8], organisation: [UInt8]?
    ) throws(AdministrationError) -> (result: ParkedResult, mark: AnswerMark)? {
        let newest = try storing { () throws(StoreError) in
            try history.usage(requestID: requestID, organisation: organisation)
        }
        guard let newest else { return nil }
        let row = try storing { () throws(StoreError) in
            newest.figures.state == .parked
                ? newest : try history.usage(key: newest.figures.idKey, state: .parked)
        }
        guard let row else { return nil }
        var mark = AnswerMark()
        let answer = try end(row, order, mark: &mark)
        return (ParkedResult(row: row, answer: answer), mark)
    }

    /// Ends a page of the parked records that `filter` finds. Blocks for SQLite.
    public func endParked(
        _ order: ParkedOrder, _ filter: ParkedFilter
    ) throws(AdministrationError) -> (results: ParkedResults, mark: AnswerMark) {
        let page = try parked(filter)
        var mark = AnswerMark()
        var results = ParkedResults(results: [], next: page.next)
        for row in page.rows {
            results.results.append(ParkedResult(row: row, answer: try end(row, order, mark: &mark)))
        }
        return (results, mark)
    }

    /// Returns once what `mark` saw is durable.
    public func durable(_ mark: AnswerMark) async { await whenDurable(mark) }

    private func end(
        _ row: UsageRow, _ order: ParkedOrder, mark: inout AnswerMark
    ) throws(AdministrationError) -> ParkedAnswer {
        if order.action != .preview, let fault = admissionFault() { return .refused(fault) }
        var outcome: Result<ParkedAnswer, AdministrationError> = .success(.refused(Refusal(.overloaded)))
        row.content.withView { content in
            do throws(UnpackingError) {
                let record = try RecordContent.read(content)
                outcome = end(row, order, record, mark: &mark)
            } catch {
                outcome = .failure(
                    .store(
                        .damagedRow(
                            file: .history, table: "usage_rows", key: "\(row.id)", path: row.account,
                            reason: "its content cannot be read at byte \(error.offset)")))
            }
        }
        return try outcome.get()
    }

    private func end(
        _ row: UsageRow, _ order: ParkedOrder, _ reported: borrowing UsageRecord, mark: inout AnswerMark
    ) -> Result<ParkedAnswer, AdministrationError> {
        var record = reported.copy()
        if let correction = order.correction { record.usage = correction }
        var content = BytePacker(capacity: 1_024)
        RecordContent.append(record, to: &content)
        var command = ParkedCommand(
            key: row.figures.idKey, digest: row.figures.digest, parkedSequence: row.figures.sequence,
            parkedReason: Reason(text: row.parkedReason ?? "") ?? .unpricedModel)
        command.isCorrected = order.correction != nil
        do throws(StoreError) {
            command.orphan = try row.extra.withView { (extra) throws(StoreError) in
                try OutcomeDetails(of: row.id, row.account, extra).orphan
            }
        } catch {
            return .failure(.store(error))
        }
        do throws(AdministrationError) {
            let (pin, book) = try pinForSettlement(record)
            let answer = try decide(
                order, command, tier: Array(row.tier.utf8), record, content.view, book, pin, mark: &mark)
            if case .done(let receipt) = answer, order.action != .preview {
                var counts = ReportCounts()
                counts.count(end: receipt, source: record.credentialSource ?? .platform)
                merge(&counts)
            }
            return .success(answer)
        } catch {
            return .failure(error)
        }
    }

    /// What the report's quote had pinned holds for its settlement too; its token was verified when it was parked.
    private func pinForSettlement(
        _ record: borrowing UsageRecord
    ) throws(AdministrationError) -> (pin: PricePin, book: PriceBook) {
        guard let token = QuoteToken(record.quoteToken) else { return (.none, priceBook) }
        guard let book = try loadBook(token.catalogueVersion, ruleVersion: token.ruleVersion) else {
            return (.none, priceBook)
        }
        return (.pinned(ruleVersion: token.ruleVersion, instant: token.instant), book)
    }

    private func decide(
        _ order: ParkedOrder, _ command: ParkedCommand, tier: [UInt8], _ record: borrowing UsageRecord,
        _ content: ByteView, _ book: PriceBook, _ pin: PricePin, mark: inout AnswerMark
    ) throws(AdministrationError) -> ParkedAnswer {
        func ask(_ history: HistoryAnswer, _ mark: inout AnswerMark) throws(AccountPath.Fault) -> ParkedAnswer
        {
            try tier.withView { (tier) throws(AccountPath.Fault) in
                try order.reason.withView { (reason) throws(AccountPath.Fault) in
                    try order.actor.withView { (actor) throws(AccountPath.Fault) in
                        var command = command
                        command.tier = tier
                        command.reason = reason
                        command.actor = actor
                        return try ledger.endParked(
                            order.action, command, record: record, content: content, book: book, pin: pin,
                            now: now(), history: history, mark: &mark)
                    }
                }
            }
        }
        do throws(AccountPath.Fault) {
            let answer = try ask(.notAsked, &mark)
            guard case .askHistory = answer else { return answer }
        } catch {
            throw .path(error)
        }
        let key = command.key
        let stored = try storing { () throws(StoreError) in try history.outcome(key) }
        do throws(AccountPath.Fault) {
            return try ask(HistoryAnswer(stored), &mark)
        } catch {
            throw .path(error)
        }
    }
}

extension OutcomeDetails {
    /// Reads the details of a row, and says which row it is where they cannot be read.
    init(of id: Int64, _ account: String, _ extra: ByteView) throws(StoreError) {
        do throws(UnpackingError) {
            try self.init(reading: extra)
        } catch {
            throw .damagedRow(
                file: .history, table: "usage_rows", key: "\(id)", path: account,
                reason: "its details cannot be read at byte \(error.offset)")
        }
    }
}

extension UsageRow {
    /// What the hold that the record settled had kept, in nanocredits: what a parked record is valued at until it is
    /// priced. Nil without a hold, and where the row's details cannot be read.
    public var holdReleased: Int64? {
        extra.withView { extra in
            do throws(UnpackingError) {
                return try OutcomeDetails(reading: extra).holdReleased
            } catch {
                return nil
            }
        }
    }
}

extension Reason {
    /// The reason with this word, or nil.
    init?(text: String) {
        guard let reason = Reason.allCases.first(where: { "\($0.name)" == text }) else { return nil }
        self = reason
    }
}
