// The ledger's budgets, from outside.

import Bytes
import Pricing
import Synchronization

extension Ledger {
    /// Sets a budget of an account, or changes the one of the same name.
    public func setBudget(
        _ path: ByteView, _ terms: BudgetTerms, actor: ByteView, reason: ByteView, now: Timestamp,
        mark: inout AnswerMark
    ) throws(AccountPath.Fault) -> ActAnswer {
        _ = try AccountPath.organisationCount(of: path)
        let hashes = keys.path(path)
        let number = shard(of: hashes.organisation)
        return shards[number].state.withLock { state in
            let answer = state.setBudget(
                state.current(hashes.account, of: path), terms, actor: actor, reason: reason, now: now)
            mark.include(state)
            note(number, state)
            return answer
        }
    }

    /// Takes a budget of an account away.
    public func removeBudget(
        _ path: ByteView, name: [UInt8], actor: ByteView, reason: ByteView, now: Timestamp,
        mark: inout AnswerMark
    ) throws(AccountPath.Fault) -> ActAnswer {
        _ = try AccountPath.organisationCount(of: path)
        let hashes = keys.path(path)
        let number = shard(of: hashes.organisation)
        return shards[number].state.withLock { state in
            let answer = state.removeBudget(
                state.current(hashes.account, of: path), name: name, actor: actor, reason: reason, now: now)
            mark.include(state)
            note(number, state)
            return answer
        }
    }

    /// The budgets on an account's way up, its own first; nil when there is no such account.
    public func budgets(
        of path: ByteView, now: Timestamp, mark: inout AnswerMark
    ) throws(AccountPath.Fault) -> [BudgetStanding]? {
        _ = try AccountPath.organisationCount(of: path)
        let hashes = keys.path(path)
        return shards[shard(of: hashes.organisation)].state.withLock { state in
            mark.include(state)
            return state.find(state.current(hashes.account, of: path)).map {
                state.budgetStandings(of: $0, time: state.entryTime(now))
            }
        }
    }

    /// Every budget as it was counted last, for verifying.
    public func allBudgets() -> [BudgetStanding] {
        var standings: [BudgetStanding] = []
        for number in shards.indices {
            shards[number].state.withLock { state in
                guard state.budgetCount > 0 else { return }
                for account in 0..<UInt32(state.accounts.count) {
                    state.addBudgets(of: account, time: nil, to: &standings)
                }
            }
        }
        return standings
    }
}
