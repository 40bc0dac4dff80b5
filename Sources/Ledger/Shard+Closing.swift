// Closing an account: what becomes of its balance is said, not guessed, and happens in the same step.
//
//      forfeit     credit is deducted, debt is forgiven by a grant of the kind adjustment
//      transfer    each grant goes over as it is: same kind, same order, same end
//
// A transfer is two entries, one behind the other: the credit leaves one wallet and enters the other. The
// journal never parts them (see Outbox), so no crash can lose what is between.

import Bytes
import Pricing

extension ShardState {
    mutating func close(
        _ hash: Hash128, _ choice: ClosingChoice, to target: Hash128?, actor: [UInt8], reason: [UInt8],
        now: Timestamp
    ) -> CreditAnswer {
        guard let account = find(hash) else { return .refused(Refusal(.accountNotFound, field: .account)) }
        let time = entryTime(now)
        let wallet = standing(of: account).wallet
        if accounts[account].status == .closed {
            return .done(
                ActReceipt(
                    sequence: sequence, duplicate: true, balance: wallet.map { accounts[$0].balance } ?? 0))
        }
        expireHolds(until: time)
        if wallet == account { endExpiredGrants(of: account, time: time) }
        let before = wallet == account ? accounts[account].balance : 0
        // The command is the step's own, so that the entries say who and why.
        let command = CreditCommand(.void(grant: 0), actor: actor, reason: reason)
        if before != 0 || (wallet == account && debt(of: account) != 0) {
            if let problem = closingProblem(choice, of: account, to: target) { return .problem(problem) }
            switch choice {
            case .none, .keep: break
            case .forfeit: forfeit(account, command, time: time)
            case .transfer:
                if let target = target.flatMap({ find($0) }), let other = standing(of: target).wallet {
                    transfer(account, to: other, command, time: time)
                }
            }
        }
        return reason.withView { reason in
            var entry = AccountChangedEntry()
            entry.account = account
            entry.path = path(of: account)
            entry.status = .closed
            entry.unlimited = accounts[account].unlimited
            entry.overdraftLimit = accounts[account].overdraftLimit
            entry.tier = tier(accounts[account].tier)
            entry.reason = reason
            staged.append(time: time, entry)
            didStage()
            applyAccountChanged(entry, time: time)
            let balance = wallet == account ? accounts[account].balance : 0
            return .done(
                ActReceipt(
                    sequence: sequence, duplicate: false, balance: balance, balanceBefore: before,
                    moved: balance - before))
        }
    }

    /// Why the balance cannot become what was chosen; nothing was changed.
    private func closingProblem(
        _ choice: ClosingChoice, of account: UInt32, to target: Hash128?
    ) -> ActProblem? {
        let balance = accounts[account].balance
        switch choice {
        case .none: return .balanceLeft(balance)
        case .keep: return nil
        case .forfeit, .transfer: break
        }
        let held = accounts[account].held
        if held != 0 { return .creditHeld(held) }
        // Sums that would not fit: as good as never, and better said than trapped on. With filters there may be both
        // credit and debt.
        let debt = debt(of: account)
        let (credit, overflow) = balance.addingReportingOverflow(debt)
        if overflow || debt == .max || side(of: account).deducted.addingReportingOverflow(credit).overflow
            || accounts[account].granted.addingReportingOverflow(debt).overflow
        {
            return .balanceLeft(balance)
        }
        guard case .transfer(let name) = choice else { return nil }
        guard let target = target.flatMap({ find($0) }), let other = standing(of: target).wallet,
            other != account, standing(of: target).status != .closed, !isBelow(other, account)
        else { return .badTarget(name) }
        let row = accounts[other]
        let after = Int128(row.balance) + Int128(balance)
        guard Int64(exactly: after) != nil,
            Int64(exactly: Int128(row.balance) + Int128(credit)) != nil,
            !row.granted.addingReportingOverflow(credit).overflow,
            !side(of: other).deducted.addingReportingOverflow(debt).overflow,
            grantCount(of: other) + grantCount(of: account) <= LedgerLimits.grantsPerWalletMax
        else { return .badTarget(name) }
        return nil
    }

    /// Whether `account` stands below `other`, which closing would close too.
    private func isBelow(_ account: UInt32, _ other: UInt32) -> Bool {
        var current = accounts[account].parent
        while current != AccountRow.none {
            if current == other { return true }
            current = accounts[current].parent
        }
        return false
    }

    private mutating func forfeit(_ account: UInt32, _ command: CreditCommand, time: Timestamp) {
        let debt = debt(of: account)
        let credit = accounts[account].balance + debt
        if credit > 0 {
            _ = stageDeduct(
                credit, of: account, cause: .forfeited, command: command, key: nil, digest: 0, time: time)
        }
        if debt > 0 {
            var request = GrantRequest(kind: .adjustment, amount: debt, source: Array("forgiven".utf8))
            request.actor = command.actor
            request.reason = command.reason
            _ = stageGrant(request, to: account, key: nil, digest: 0, time: time)
        }
    }

    private mutating func transfer(
        _ account: UInt32, to other: UInt32, _ command: CreditCommand, time: Timestamp
    ) {
        endExpiredGrants(of: other, time: time)
        while let grant = firstGrant(of: account) {
            move(
                grant.remaining, from: account, to: other, kind: grant.kind, expiresAt: grant.expiresAt,
                burnOrder: grant.burnOrder, grant: grant, command, time: time)
        }
        if accounts[account].balance < 0 {
            move(
                -accounts[account].balance, from: other, to: account, kind: .adjustment,
                expiresAt: .distantFuture, burnOrder: nil, grant: nil, command, time: time)
        }
    }

    /// Moves credit from wallet to wallet in two entries that stay together.
    private mutating func move(
        _ amount: Int64, from: UInt32, to: UInt32, kind: GrantKind, expiresAt: Timestamp, burnOrder: UInt16?,
        grant: GrantRow?, _ command: CreditCommand, time: Timestamp
    ) {
        var request = GrantRequest(
            kind: kind, amount: amount, expiresAt: expiresAt, source: Array("transfer".utf8))
        request.actor = command.actor
        request.reason = command.reason
        if let grant, grant.hasFilter, let filter = filters[grant.id] {
            request.filter = filter.withView { GrantFilter(checked: $0) }
        }
        _ = stageDeduct(
            amount, of: from, cause: .transferred, service: Array("transfer".utf8), other: path(of: to),
            onlyGrant: grant?.id, command: command, key: nil, digest: 0, time: time)
        _ = stageGrant(
            request, to: to, key: nil, digest: 0, time: time, transferredFrom: path(of: from),
            burnOrder: burnOrder)
    }
}
