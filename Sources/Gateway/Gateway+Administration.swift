// What administrators ask of the gateway. Each answer comes when what it says is durable.

import Bytes
import Journal
import Ledger
import Money
import Pricing
import Store
import StrictJSON

/// An answer that could not be given, or that says no.
public enum AdministrationError: Error, Sendable {
    case refused(Refusal)
    case path(AccountPath.Fault)
    case store(StoreError)
    /// A price list that is refused; nothing was changed.
    case pricing(PricingError)
    /// One of these is being done already.
    case busy(String)
    /// Rules are not changed as it was asked; nothing was changed.
    case rules(RuleProblem)
    /// No catalogue has this number.
    case noCatalogue(UInt32)
    /// What was to be approved is not what is there.
    case catalogueChanged(CatalogueConflict)
    /// An act on credit that is not done as it was asked; nothing was changed.
    case act(ActProblem)
    /// No charge of the organisation has this request id, as far as the history has come; `lag` entries are
    /// on their way.
    case noCharge(lag: UInt64)
    /// The record of this request was let go after `history.retention_days`; its figures are there.
    case letGo
    /// The request charged nothing that could be given back, and why.
    case nothingCharged(UsageState)
}

/// An account to be opened, with the credit it begins with.
public struct AccountOpening: Sendable {
    public var path: [UInt8]
    public var settings: AccountSettings
    /// Given with the key `open:` and the path, so that asking again gives nothing twice.
    public var initialGrant: GrantRequest?

    public init(path: [UInt8], settings: AccountSettings, initialGrant: GrantRequest? = nil) {
        self.path = path
        self.settings = settings
        self.initialGrant = initialGrant
    }
}

/// What became of one account of a list to be opened.
public enum OpeningOutcome: Hashable, Sendable {
    case opened
    case existed
    /// The path leads to an account that was moved, which goes on having it: where it would be now.
    case moved(to: [UInt8])
    case refused(Refusal)
    case badPath(AccountPath.Fault)
}

extension Gateway {
    /// Opens accounts, all in one go. One result for each, in their order.
    public func open(_ openings: [AccountOpening]) async -> [OpeningOutcome] {
        let (outcomes, mark) = decide(openings)
        await whenDurable(mark)
        return outcomes
    }

    private func decide(_ openings: [AccountOpening]) -> ([OpeningOutcome], AnswerMark) {
        var mark = AnswerMark()
        let time = now()
        let outcomes = openings.map { opening -> OpeningOutcome in
            if let fault = admissionFault() { return .refused(fault) }
            do throws(AccountPath.Fault) {
                return try decide(opening, time: time, mark: &mark)
            } catch {
                return .badPath(error)
            }
        }
        return (outcomes, mark)
    }

    private func decide(
        _ opening: AccountOpening, time: Timestamp, mark: inout AnswerMark
    ) throws(AccountPath.Fault) -> OpeningOutcome {
        var outcome = OpeningOutcome.opened
        let opened = try opening.path.withView { (path) throws(AccountPath.Fault) in
            try ledger.open(path, settings: opening.settings, now: time, mark: &mark)
        }
        switch opened {
        case .done: break
        case .askHistory: preconditionFailure("opening an account asks nobody")
        case .refused(let refusal)
        where refusal.reason == .accountExists && refusal.found == AccountSettings.isFormerName:
            return .moved(to: opening.path.withView { ledger.currentPath(of: $0) } ?? opening.path)
        case .refused(let refusal) where refusal.reason == .accountExists: outcome = .existed
        case .refused(let refusal): return .refused(refusal)
        }
        guard var grant = opening.initialGrant else { return outcome }
        // Also for an account that exists: whoever opened it may have stopped before the credit was
        // given, and the key gives it once.
        grant.idempotencyKey = Array("open:".utf8) + opening.path
        do throws(AdministrationError) {
            let given = try decide(
                grant, to: opening.path, time: time, isNew: outcome == .opened, mark: &mark)
            if case .refused(let refusal) = given, refusal.reason != .idempotencyConflict {
                return .refused(refusal)
            }
            return outcome
        } catch {
            switch error {
            case .path(let fault): throw fault
            case .refused(let refusal): return .refused(refusal)
            case .store, .pricing, .rules, .busy, .noCatalogue, .catalogueChanged, .act, .noCharge,
                .nothingCharged, .letGo:
                return .refused(Refusal(.overloaded))
            }
        }
    }

    /// Gives credit to an account's wallet, once for each idempotency key.
    public func allocate(
        _ request: GrantRequest, to path: [UInt8]
    ) async throws(AdministrationError) -> (ActReceipt, AccountSummary) {
        let (answer, summary, mark) = try decideAllocation(request, to: path)
        await whenDurable(mark)
        switch answer {
        case .refused(let refusal): throw .refused(refusal)
        case .askHistory: throw .refused(Refusal(.overloaded))
        case .done(let receipt):
            guard let summary else { throw .refused(Refusal(.accountNotFound, field: .account)) }
            return (receipt, summary)
        }
    }

    private func decideAllocation(
        _ request: GrantRequest, to path: [UInt8]
    ) throws(AdministrationError) -> (ActAnswer, AccountSummary?, AnswerMark) {
        if let fault = admissionFault() { throw .refused(fault) }
        let time = now()
        var mark = AnswerMark()
        let answer = try decide(request, to: path, time: time, isNew: false, mark: &mark)
        let summary = try act(path) { (path) throws(AccountPath.Fault) in
            try ledger.summary(of: path, now: time, mark: &mark)
        }
        return (answer, summary, mark)
    }

    /// Decides a grant, asking history where memory does not know its key.
    func decide(
        _ request: GrantRequest, to path: [UInt8], time: Timestamp, isNew: Bool, mark: inout AnswerMark
    ) throws(AdministrationError) -> ActAnswer {
        let answer = try act(path) { (path) throws(AccountPath.Fault) in
            // A new account has no history, so nothing can have used the key before.
            try ledger.grant(
                request, to: path, now: time, history: isNew ? .neverSeen : .notAsked, mark: &mark)
        }
        guard case .askHistory = answer else { return answer }
        let earlier = try storing { () throws(StoreError) in try earlierAct(request.idempotencyKey, on: path)
        }
        return try act(path) { (path) throws(AccountPath.Fault) in
            try ledger.grant(request, to: path, now: time, history: earlier, mark: &mark)
        }
    }

    /// What history holds of an act's idempotency key.
    func earlierAct(_ key: [UInt8]?, on path: [UInt8]) throws(StoreError) -> HistoryAnswer {
        guard let key else { return .neverSeen }
        let organisation = Array(path.prefix { $0 != UInt8(ascii: "/") })
        guard let row = try history.credit(idempotencyKey: key, organisation: organisation) else {
            return .neverSeen
        }
        return .seen(
            RememberedOutcome(
                digest: GrantDetails.digest(in: row.details), sequence: row.sequence, charge: -row.amount,
                state: .charged))
    }

    /// What an account may spend now.
    public func balance(of path: [UInt8]) async throws(AdministrationError) -> AccountSummary {
        let (summary, mark) = try summary(of: path)
        await whenDurable(mark)
        guard let summary else { throw .refused(Refusal(.accountNotFound, field: .account)) }
        return summary
    }

    private func summary(of path: [UInt8]) throws(AdministrationError) -> (AccountSummary?, AnswerMark) {
        var mark = AnswerMark()
        let time = now()
        let summary = try act(path) { (path) throws(AccountPath.Fault) in
            try ledger.summary(of: path, now: time, mark: &mark)
        }
        return (summary, mark)
    }

    /// Changes what an account is from now on; what `change` does not name stays.
    public func change(
        _ path: [UInt8], _ change: AccountChange, reason: String
    ) async throws(AdministrationError) -> ActReceipt {
        let (answer, mark) = try decide(change, of: path, reason: reason)
        await whenDurable(mark)
        switch answer {
        case .done(let receipt): return receipt
        case .refused(let refusal): throw .refused(refusal)
        case .askHistory: preconditionFailure("changing an account asks nobody")
        }
    }

    private func decide(
        _ change: AccountChange, of path: [UInt8], reason: String
    ) throws(AdministrationError) -> (ActAnswer, AnswerMark) {
        if let fault = admissionFault() { throw .refused(fault) }
        var mark = AnswerMark()
        let time = now()
        let answer = try act(path) { (path) throws(AccountPath.Fault) in
            try reason.withView { (reason) throws(AccountPath.Fault) in
                try ledger.change(path, change, reason: reason, now: time, mark: &mark)
            }
        }
        return (answer, mark)
    }

    /// A page of an account's statement, or of everybody's. The history follows the ledger; `historyLag`
    /// says how far behind it is.
    public func transactions(_ filter: TransactionFilter) throws(AdministrationError) -> TransactionPage {
        try storing { () throws(StoreError) in try history.transactions(filter) }
    }

    /// Entries that are durable and not yet in the history.
    public var historyLag: UInt64 {
        let durable = journal.durableLSN
        let written = history.position.lsn
        return durable > written ? durable - written : 0
    }

    /// Returns once the history holds everything that is durable now, or when `timeout` has passed.
    public func waitForHistory(timeout: Duration = .seconds(5)) async throws {
        let wanted = journal.durableLSN
        let deadline = ContinuousClock.now + timeout
        while history.position.lsn < wanted, ContinuousClock.now < deadline {
            workers.withLock { $0?.wakeHistory() }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// The rules, every version.
    public var rules: RuleBook { priceBook.rules }

    func act<Result>(
        _ path: [UInt8], _ body: (ByteView) throws(AccountPath.Fault) -> Result
    ) throws(AdministrationError) -> Result {
        do throws(AccountPath.Fault) {
            return try path.withView(body)
        } catch {
            throw .path(error)
        }
    }

    /// Runs `body` and says its errors in this module's words; a file that cannot be trusted any more stops
    /// the gateway.
    func storing<Result>(
        _ body: () throws(StoreError) -> Result
    ) throws(AdministrationError) -> Result {
        do throws(StoreError) {
            return try body()
        } catch {
            if case .poisoned = error { fail(.store(error)) }
            throw .store(error)
        }
    }
}

/// What a grant's row of the history keeps beside its columns.
enum GrantDetails {
    /// The details without metadata, which is put in behind them.
    static func object(kind: GrantKind, digest: UInt64) -> JSONObject {
        ["kind": .string(kind.name), "digest": .string(hexadecimal(digest))]
    }

    /// The digest in a row's details; 0, which no retry has, where there is none.
    static func digest(in details: String) -> UInt64 {
        do {
            let node = try JSONNode(parsing: Array(details.utf8))
            return UInt64(try node.field("digest").string(), radix: 16) ?? 0
        } catch {
            return 0
        }
    }
}
