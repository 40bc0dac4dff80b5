// Administrators' acts on credit, each done once for its key and answered when it is durable.
//
// A refund and a correction name a request. What it was charged is asked of the history, which follows the
// journal: whoever calls waits for it first.

import Bytes
import Ledger
import Pricing
import Store

/// What an act came to: the receipt, and what the account has now.
public struct ActOutcome: Sendable {
    public var receipt: ActReceipt
    public var summary: AccountSummary

    public init(receipt: ActReceipt, summary: AccountSummary) {
        self.receipt = receipt
        self.summary = summary
    }
}

extension Gateway {
    /// Does an act on the wallet of an account.
    public func act(
        _ command: CreditCommand, on path: [UInt8]
    ) async throws(AdministrationError) -> ActOutcome {
        let (answer, summary, mark) = try decide(command, on: path)
        await whenDurable(mark)
        return try Self.outcome(answer, summary)
    }

    /// Closes an account after what was chosen has become of its balance.
    public func close(
        _ path: [UInt8], _ choice: ClosingChoice, actor: String, reason: String
    ) async throws(AdministrationError) -> ActOutcome {
        let (answer, summary, mark) = try decideClosing(path, choice, actor: actor, reason: reason)
        await whenDurable(mark)
        return try Self.outcome(answer, summary)
    }

    /// Moves an account, and all below it, to another place of its organisation's tree.
    public func move(_ order: AccountMove) async throws(AdministrationError) -> ActOutcome {
        let (answer, summary, mark) = try decide(order)
        await whenDurable(mark)
        return try Self.outcome(answer, summary)
    }

    private func decide(
        _ order: AccountMove
    ) throws(AdministrationError) -> (CreditAnswer, AccountSummary?, AnswerMark) {
        if let fault = admissionFault() { throw .refused(fault) }
        let time = now()
        var mark = AnswerMark()
        var answer = try act(order.from) { (_) throws(AccountPath.Fault) in
            try ledger.move(order, now: time, mark: &mark)
        }
        if case .askHistory = answer {
            let earlier = try storing { () throws(StoreError) in
                try earlierAct(order.idempotencyKey, on: order.from)
            }
            answer = try act(order.from) { (_) throws(AccountPath.Fault) in
                try ledger.move(order, now: time, history: earlier, mark: &mark)
            }
        }
        // Moved or not, the path that it had leads to it.
        let summary = try act(order.from) { (path) throws(AccountPath.Fault) in
            try ledger.summary(of: path, now: time, mark: &mark)
        }
        return (answer, summary, mark)
    }

    private static func outcome(
        _ answer: CreditAnswer, _ summary: AccountSummary?
    ) throws(AdministrationError) -> ActOutcome {
        switch answer {
        case .refused(let refusal): throw .refused(refusal)
        case .problem(let problem): throw .act(problem)
        // It left memory between two looks: a moment later history knows it.
        case .askHistory: throw .refused(Refusal(.overloaded))
        case .done(let receipt):
            guard let summary else { throw .refused(Refusal(.accountNotFound, field: .account)) }
            return ActOutcome(receipt: receipt, summary: summary)
        }
    }

    private func decide(
        _ command: CreditCommand, on path: [UInt8]
    ) throws(AdministrationError) -> (CreditAnswer, AccountSummary?, AnswerMark) {
        if let fault = admissionFault() { throw .refused(fault) }
        let time = now()
        var mark = AnswerMark()
        var answer = try act(path) { (path) throws(AccountPath.Fault) in
            try ledger.act(command, on: path, now: time, mark: &mark)
        }
        if case .askHistory = answer {
            let earlier = try storing { () throws(StoreError) in
                try earlierAct(command.idempotencyKey, on: path)
            }
            answer = try act(path) { (path) throws(AccountPath.Fault) in
                try ledger.act(command, on: path, now: time, history: earlier, mark: &mark)
            }
        }
        let summary = try act(path) { (path) throws(AccountPath.Fault) in
            try ledger.summary(of: path, now: time, mark: &mark)
        }
        return (answer, summary, mark)
    }

    private func decideClosing(
        _ path: [UInt8], _ choice: ClosingChoice, actor: String, reason: String
    ) throws(AdministrationError) -> (CreditAnswer, AccountSummary?, AnswerMark) {
        if let fault = admissionFault() { throw .refused(fault) }
        let time = now()
        var mark = AnswerMark()
        return try act(path) { (path) throws(AccountPath.Fault) in
            let answer = try ledger.close(
                path, choice, actor: Array(actor.utf8), reason: Array(reason.utf8), now: time, mark: &mark)
            return (answer, try ledger.summary(of: path, now: time, mark: &mark), mark)
        }
    }

    /// The charge of a request that was made by `account`, by one below it, or from its wallet. It reads the
    /// history, so it blocks.
    ///
    /// - Returns: the charge, and the path of the wallet that paid it.
    /// - Throws: `.noCharge` if there is none; `.nothingCharged` if the request is parked or was given up.
    public func charge(
        of requestID: [UInt8], account: [UInt8]
    ) throws(AdministrationError) -> (charge: KnownCharge, wallet: [UInt8]) {
        let organisation = Array(account.prefix { $0 != UInt8(ascii: "/") })
        let found = try storing { () throws(StoreError) in
            try history.usage(requestID: requestID, organisation: organisation)
        }
        guard let row = found else { throw .noCharge(lag: historyLag) }
        // They may have been moved since, which the ledger knows at once.
        func current(_ path: [UInt8]) -> [UInt8] { path.withView { ledger.currentPath(of: $0) } ?? path }
        let (payer, wallet) = (current(Array(row.account.utf8)), current(Array(row.wallet.utf8)))
        let account = current(account)
        let isOwn = payer == account || wallet == account || payer.starts(with: account + [UInt8(ascii: "/")])
        guard isOwn else { throw .noCharge(lag: 0) }
        switch row.figures.state {
        case .charged, .settled: break
        case .parked, .discarded: throw .nothingCharged(row.figures.state)
        }
        return (
            KnownCharge(sequence: row.figures.sequence, charged: row.figures.charge, requestID: requestID),
            wallet
        )
    }
}
