// Budgets, set and shown.

import Bytes
import Ledger
import Pricing

extension Gateway {
    /// Sets a budget of an account, or changes the one of the same name.
    public func setBudget(
        _ terms: BudgetTerms, of path: [UInt8], actor: [UInt8], reason: [UInt8]
    ) async throws(AdministrationError) -> ActReceipt {
        try await budgetAct { ledger, now, mark throws(AccountPath.Fault) in
            try path.withView { (path) throws(AccountPath.Fault) in
                try actor.withView { (actor) throws(AccountPath.Fault) in
                    try reason.withView { (reason) throws(AccountPath.Fault) in
                        try ledger.setBudget(
                            path, terms, actor: actor, reason: reason, now: now, mark: &mark)
                    }
                }
            }
        }
    }

    /// Takes a budget of an account away.
    public func removeBudget(
        _ name: [UInt8], of path: [UInt8], actor: [UInt8], reason: [UInt8]
    ) async throws(AdministrationError) -> ActReceipt {
        try await budgetAct { ledger, now, mark throws(AccountPath.Fault) in
            try path.withView { (path) throws(AccountPath.Fault) in
                try actor.withView { (actor) throws(AccountPath.Fault) in
                    try reason.withView { (reason) throws(AccountPath.Fault) in
                        try ledger.removeBudget(
                            path, name: name, actor: actor, reason: reason, now: now, mark: &mark)
                    }
                }
            }
        }
    }

    private func budgetAct(
        _ body: (Ledger, Timestamp, inout AnswerMark) throws(AccountPath.Fault) -> ActAnswer
    ) async throws(AdministrationError) -> ActReceipt {
        let (answer, mark) = try decideBudget(body)
        await whenDurable(mark)
        switch answer {
        case .refused(let refusal): throw .refused(refusal)
        case .askHistory: throw .refused(Refusal(.overloaded))
        case .done(let receipt): return receipt
        }
    }

    private func decideBudget(
        _ body: (Ledger, Timestamp, inout AnswerMark) throws(AccountPath.Fault) -> ActAnswer
    ) throws(AdministrationError) -> (ActAnswer, AnswerMark) {
        if let fault = admissionFault() { throw .refused(fault) }
        var mark = AnswerMark()
        do throws(AccountPath.Fault) {
            return (try body(ledger, now(), &mark), mark)
        } catch {
            throw .path(error)
        }
    }

    /// The budgets on an account's way up, its own first. Waits until what they counted is durable.
    public func budgets(of path: [UInt8]) async throws(AdministrationError) -> [BudgetStanding] {
        let (found, mark) = try readBudgets(of: path)
        await whenDurable(mark)
        guard let found else { throw .refused(Refusal(.accountNotFound, field: .account)) }
        return found
    }

    private func readBudgets(
        of path: [UInt8]
    ) throws(AdministrationError) -> ([BudgetStanding]?, AnswerMark) {
        var mark = AnswerMark()
        do throws(AccountPath.Fault) {
            let found = try path.withView { (path) throws(AccountPath.Fault) in
                try ledger.budgets(of: path, now: now(), mark: &mark)
            }
            return (found, mark)
        } catch {
            throw .path(error)
        }
    }
}
