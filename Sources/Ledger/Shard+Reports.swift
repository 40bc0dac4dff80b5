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

/// Why a report has no receipt.
public enum NoReceipt: Sendable {
    /// See `ReportDecision`.
    case refused(Refusal)
    case askHistory
}

extension ReportDecision {
    /// What came of a report whose receipt was to be written to `receipt`.
    @inlinable
    public init(_ fault: NoReceipt?, _ receipt: Receipt) {
        switch fault {
        case nil: self = .receipt(receipt)
        case .refused(let refusal): self = .refused(refusal)
        case .askHistory: self = .askHistory
        }
    }
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
    ///
    /// - Returns: why there is no receipt; nil if `receipt` is it.
    mutating func report(
        _ record: borrowing UsageRecord, keys: RecordKeys, content: ByteView, book: PriceBook, pin: PricePin,
        now: Timestamp, history: HistoryAnswer, into receipt: inout Receipt
    ) -> NoReceipt? {
        if let first = ids.find(keys.request) {
            return repeated(first, keys: keys, record, content, into: &receipt)
        }
        switch history {
        case .notAsked: if record.eventTime <= horizon { return .askHistory }
        case .neverSeen, .holdEnded: break
        case .seen(let first): return repeated(first, keys: keys, record, content, into: &receipt)
        }
        guard ids.count < idsShare || makeRoomForID() else { return .refused(Refusal(.overloaded)) }

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
                record, &entry, hold: keys.hold, book: book, pin: pin, now: now, history: history,
                into: &receipt)
        }
        return decide(record, &entry, book: book, pin: pin, time: entryTime(now), into: &receipt)
    }

    /// Prices the record of an entry, and charges or parks it.
    mutating func decide(
        _ record: borrowing UsageRecord, _ entry: inout ChargeEntry, book: PriceBook, pin: PricePin,
        time: Timestamp, into receipt: inout Receipt
    ) -> NoReceipt? {
        var priced = PricedUsage()
        switch price(record, tier: entry.tier, book: book, pin: pin, into: &priced) {
        case .refused(let refusal):
            return .refused(refusal)
        case .parked(let reason, _):
            endExpiredGrants(of: entry.wallet, time: time)
            entry.state = .parked
            entry.parkedReason = reason
            entry.balanceAfter = accounts[entry.wallet].balance
            priced.tierSlot = 0
        case nil:
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
        staged.append(time: time, entry)
        didStage()
        applyCharge(entry, RecordContent.Counted(record), time: time, eventTime: record.eventTime)
        fill(&receipt, for: entry)
        receipt.tierSlot = priced.tierSlot
        if entry.orphan != nil { giveBack(entry, holdID: record.holdID, time: time, receipt: &receipt) }
        if budgetCount > 0 { stageCrossedBudgets(time: time) }
        return nil
    }

    /// Fixes the amounts of a priced report: the allowance, the charge, what each grant pays.
    mutating func decideCharge(
        _ entry: inout ChargeEntry, priced: PricedUsage, record: borrowing UsageRecord,
        onInsufficient: OnInsufficient
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
        var first = Draw(grant: 0, amount: 0)
        var next = firstGrant(of: wallet)
        while owed > 0, let grant = next {
            if grant.hasFilter, let use, !pays(grant, for: use) {
                next = self.grant(after: grant)
                continue
            }
            let amount = min(owed, grant.remaining)
            let draw = Draw(grant: grant.id, amount: amount)
            if count == 0 { first = draw }
            drawn.append(draw)
            count += 1
            owed -= amount
            next = self.grant(after: grant)
        }
        return count == 0 ? PackedDraws() : PackedDraws(count: count, bytes: drawn.view, first: first)
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
        _ first: RememberedOutcome, keys: RecordKeys, _ record: borrowing UsageRecord, _ content: ByteView,
        into receipt: inout Receipt
    ) -> NoReceipt? {
        guard first.digest == keys.digest || isSame(first.digest, content, of: record.account) else {
            return .refused(
                Refusal(
                    .idempotencyConflict, field: .requestID, found: Int64(bitPattern: first.digest),
                    expected: Int64(bitPattern: keys.digest)))
        }
        receipt = Receipt()
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
        return nil
    }

    func receipt(for entry: ChargeEntry) -> Receipt {
        var receipt = Receipt()
        fill(&receipt, for: entry)
        return receipt
    }

    /// Writes every field of a receipt.
    @inline(__always)
    private func fill(_ receipt: inout Receipt, for entry: ChargeEntry) {
        receipt.duplicate = false
        receipt.tierSlot = 0
        receipt.orphanCharge = 0
        receipt.givenBack = 0
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
    }

    /// Forgets the oldest ids that history holds, so that one more fits into the bound. False when history is so far
    /// behind that twice the bound is remembered already, or all that a shard can.
    ///
    /// A few at a time: when history has caught up there may be many, and the lock is not to be held for all of them.
    mutating func makeRoomForID() -> Bool {
        var hasRoom = false
        for _ in 0..<2 {
            guard ids.isAtBound, let oldest = ids.oldestSequence, oldest <= historySequence else { break }
            horizon = max(horizon, Timestamp(microseconds: ids.removeOldest()))
            hasRoom = true
        }
        if sequence - min(sequence, historySequence) > UInt64(idsShare * 2) { room.press() }
        return hasRoom || ids.mayGrow
    }
}
