// Deciding a report: price first, admit second, and fix the whole outcome in one entry.

import Bytes
import Pricing

/// The answer to a report.
public enum ReportDecision: Sendable {
    case receipt(Receipt)
    case refused(Refusal)
    /// The record is older than what is remembered, or the hold that it names is not remembered: what came of
    /// either, only history knows. Nothing was decided; ask history and report again with what it said.
    case askHistory
}

/// What history said about an id, and about a hold, that memory no longer holds.
public enum HistoryAnswer: Sendable {
    /// History was not asked.
    case notAsked
    case neverSeen
    case seen(RememberedOutcome)
    /// The id was never seen, and the hold that the record names ended so.
    case holdEnded(PastHold)
}

extension ShardState {
    /// Decides a report, stages its entry and applies it. O(1) but for the wallet's grants drawn and
    /// the depth of the path; allocates nothing.
    mutating func report(
        _ record: UsageRecord, keys: RecordKeys, content: ByteView, book: PriceBook, pin: PricePin,
        now: Timestamp, history: HistoryAnswer
    ) -> ReportDecision {
        if let first = ids.find(keys.request) { return repeated(first, keys: keys, record, content) }
        switch history {
        case .notAsked: if record.eventTime <= horizon { return .askHistory }
        case .neverSeen, .holdEnded: break
        case .seen(let first): return repeated(first, keys: keys, record, content)
        }
        guard ids.count < idsMax || makeRoomForID() else { return .refused(Refusal(.overloaded)) }

        guard let account = find(keys.account) ?? moved(record.account) else {
            return .refused(Refusal(.accountNotFound, field: .account))
        }
        let standing = standing(of: account)
        // An open hold was admitted before: what it was for happened, and is charged.
        if standing.status != .active, record.holdID.isEmpty || holds.find(keys.hold) == nil {
            return .refused(
                Refusal(standing.status == .closed ? .accountClosed : .accountSuspended, field: .account))
        }
        guard let wallet = standing.wallet else {
            return .refused(Refusal(.accountNotFound, field: .account))
        }

        var entry = ChargeEntry()
        entry.account = account
        entry.wallet = wallet
        entry.key = keys.request
        entry.digest = keys.digest
        entry.catalogueVersion = book.catalogueVersion
        // What is written down names the account as it is called now.
        entry.content =
            accounts[account].hash == keys.account ? content : self.content(content, under: account)
        entry.walletPathCount = Int(accounts[wallet].pathCount)
        entry.tier = tier(standing.tier)
        if !record.holdID.isEmpty {
            return settle(
                record, &entry, hold: keys.hold, book: book, pin: pin, now: now, history: history)
        }
        return decide(
            record, &entry, pricing: price(record, tier: entry.tier, book: book, pin: pin),
            time: entryTime(now))
    }

    mutating func decide(
        _ record: UsageRecord, _ entry: inout ChargeEntry, pricing: PricingOutcome, time: Timestamp
    ) -> ReportDecision {
        var tierSlot: UInt8 = 0
        switch pricing {
        case .refused(let refusal):
            return .refused(refusal)
        case .parked(let reason, _):
            endExpiredGrants(of: entry.wallet, time: time)
            entry.state = .parked
            entry.parkedReason = reason
            entry.balanceAfter = accounts[entry.wallet].balance
        case .priced(let priced):
            tierSlot = priced.tierSlot
            endExpiredGrants(of: entry.wallet, time: time)
            if record.onInsufficient == .refuse { expireHolds(until: time) }
            if let orphan = entry.orphan { entry.orphan = self.standing(orphan) }
            if let refusal = decideCharge(
                &entry, priced: priced, record: record, onInsufficient: record.onInsufficient)
            {
                return .refused(refusal)
            }
            if entry.orphan != nil, let refusal = giveBackFault(entry) { return .refused(refusal) }
        }
        // One copy that does not change any more, where each call would be lent one of its own.
        let decided = entry
        staged.append(time: time, decided)
        didStage()
        applyCharge(decided, time: time, eventTime: record.eventTime)
        var receipt = receipt(for: decided)
        if decided.orphan != nil { giveBack(decided, holdID: record.holdID, time: time, receipt: &receipt) }
        if budgetCount > 0 { stageCrossedBudgets(time: time) }
        receipt.tierSlot = tierSlot
        return .receipt(receipt)
    }

    /// Fixes the amounts of a priced report: the allowance, the charge, what each grant pays.
    mutating func decideCharge(
        _ entry: inout ChargeEntry, priced: PricedUsage, record: UsageRecord, onInsufficient: OnInsufficient
    ) -> Refusal? {
        entry.baseCost = priced.baseCost
        entry.fee = priced.fee
        entry.ruleNumber = priced.ruleNumber
        entry.ruleVersion = priced.ruleVersion
        entry.standardTierUsed = priced.standardTierUsed
        if priced.monthlyAllowance > 0, priced.fee > 0 {
            entry.month = CalendarMonth(containing: record.eventTime)
            let left = allowanceLeft(
                of: entry.wallet, rule: priced.ruleNumber, month: entry.month,
                monthly: priced.monthlyAllowance)
            entry.allowanceUsed = min(left, priced.fee)
        }
        let charge = entry.charge
        let wallet = accounts[entry.wallet]
        let (after, overflow) = wallet.balance.subtractingReportingOverflow(charge)
        let (charged, sumOverflow) = wallet.charged.addingReportingOverflow(charge)
        guard !overflow, !sumOverflow, charged >= 0 else {
            return Refusal(.invalidArgument, field: .amount, found: charge, expected: .max)
        }
        if onInsufficient == .refuse, charge > 0, !wallet.unlimited {
            // What the record's own hold kept is released in the same step.
            let available = Int64(
                clamping: Int128(available(of: entry.wallet, for: GrantUse(record)))
                    + Int128(entry.holdReleased))
            if charge > available {
                return Refusal(.insufficientCredits, field: .amount, found: charge, expected: available)
            }
        }
        entry.balanceAfter = after
        entry.draws = draws(paying: charge, of: entry.wallet, for: GrantUse(record))
        return nil
    }

    /// What each grant of the wallet pays of a charge, in burn order; what is left is debt. Valid until the
    /// next charge is decided.
    ///
    /// - Parameter use: what the charge is for, where a filter is to be asked.
    mutating func draws(paying charge: Int64, of wallet: UInt32, for use: GrantUse? = nil) -> PackedDraws {
        drawn.clear()
        var owed = charge
        var count = 0
        var next = firstGrant(of: wallet)
        while owed > 0, let grant = next {
            if grant.hasFilter, let use, !pays(grant, for: use) {
                next = self.grant(after: grant)
                continue
            }
            let amount = min(owed, grant.remaining)
            drawn.append(Draw(grant: grant.id, amount: amount))
            count += 1
            owed -= amount
            next = self.grant(after: grant)
        }
        return PackedDraws(count: count, bytes: drawn.view)
    }

    /// What remains of a rule's free allowance for a month. A month before the one before the newest has
    /// none, whether its bucket is gone or not yet.
    func allowanceLeft(of wallet: UInt32, rule: UInt32, month: CalendarMonth, monthly: Int64) -> Int64 {
        var allowance = accounts[wallet].firstAllowance
        var used: Int64 = 0
        while allowance != AccountRow.none {
            let row = allowances[allowance]
            if row.rule == rule {
                if row.month == month { used = row.used }
                if row.month > month, row.month > month.next { return 0 }
            }
            allowance = row.next
        }
        return max(0, monthly - used)
    }

    private func repeated(
        _ first: RememberedOutcome, keys: RecordKeys, _ record: UsageRecord, _ content: ByteView
    ) -> ReportDecision {
        guard first.digest == keys.digest || isSame(first.digest, content, of: record.account) else {
            return .refused(
                Refusal(
                    .idempotencyConflict, field: .requestID, found: Int64(bitPattern: first.digest),
                    expected: Int64(bitPattern: keys.digest)))
        }
        var receipt = Receipt()
        receipt.duplicate = true
        receipt.state = first.state
        receipt.sequence = first.sequence
        receipt.charge = first.charge
        if let account = find(keys.account) ?? moved(record.account),
            let wallet = standing(of: account).wallet
        {
            receipt.balance = accounts[wallet].balance
            receipt.inDebt = receipt.balance < 0
        }
        return .receipt(receipt)
    }

    func receipt(for entry: ChargeEntry) -> Receipt {
        var receipt = Receipt()
        receipt.state = entry.state
        receipt.parkedReason = entry.parkedReason
        receipt.sequence = sequence
        receipt.charge = entry.charge
        receipt.balance = entry.balanceAfter
        receipt.inDebt = entry.balanceAfter < 0
        receipt.baseCost = entry.baseCost
        receipt.allowanceUsed = entry.allowanceUsed
        receipt.ruleVersion = entry.ruleVersion
        receipt.catalogueVersion = entry.catalogueVersion
        receipt.standardTierUsed = entry.standardTierUsed
        receipt.holdReleased = entry.hold == nil ? nil : entry.holdReleased
        receipt.holdExpired = entry.holdExpired
        return receipt
    }

    /// Forgets the oldest ids that history holds, so that one more fits. False when history is so far
    /// behind that twice the bound is remembered already.
    mutating func makeRoomForID() -> Bool {
        while ids.count >= idsMax, let oldest = ids.oldestSequence, oldest <= historySequence {
            horizon = max(horizon, Timestamp(microseconds: ids.removeOldest()))
        }
        return ids.count < idsMax * 2
    }
}
