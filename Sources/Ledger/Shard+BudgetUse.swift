// What counts in the budgets of a shard, and what they admit.

import Bytes
import Pricing

extension ShardState {
    /// What budgets count of an entry's record, read from its canonical form.
    private func counted(in entry: ChargeEntry) -> RecordContent.Counted {
        do throws(UnpackingError) {
            return try RecordContent.counted(in: entry.content)
        } catch {
            preconditionFailure("a charge's record was read before, yet \(error)")
        }
    }

    /// Counts a charge against every budget on its account's way up. What a parked record came to is counted
    /// when it is settled; its tokens and its request were counted when it was parked.
    ///
    /// - Parameter counted: what is counted of the record where it is at hand; else it is read from the entry.
    @inline(never)
    mutating func countInBudgets(
        _ entry: ChargeEntry, _ counted: RecordContent.Counted? = nil, isSettlement: Bool = false,
        time: Timestamp
    ) {
        let parts = counted ?? self.counted(in: entry)
        var share = BudgetShare(
            cost: entry.charge, tokens: isSettlement ? 0 : parts.tokens, requests: isSettlement ? 0 : 1,
            provider: 0, model: 0)
        if let orphan = entry.orphan, !isSettlement {
            // The end of the lease counted the request, and the tokens that were estimated.
            share.tokens = max(0, parts.tokens - orphan.tokens)
            share.requests = 0
        }
        if filteredBudgets > 0 {
            (share.provider, share.model) = (keys.name(parts.provider), keys.name(parts.model))
        }
        var current = entry.account
        while current != AccountRow.none {
            let side = accounts[current].side
            if side != AccountRow.none, !sides[side].budget.isNone {
                if sides[side].budget.count(share, at: time) { noteCrossed(sides[side].budget, of: current) }
                var next = sides[side].budget.next
                while next != AccountRow.none {
                    if budgets[next].count(share, at: time) { noteCrossed(budgets[next], of: current) }
                    next = budgets[next].next
                }
                markDirty(current)
            }
            current = accounts[current].parent
        }
    }

    /// Writes down the budgets that the last charge took above their limit; once in a window, unless the limit is
    /// raised between.
    @inline(__always)
    mutating func stageCrossedBudgets(time: Timestamp) {
        if hasCrossedBudgets { stageCrossedBudgetsNow(time: time) }
    }

    @inline(never)
    private mutating func noteCrossed(_ budget: BudgetRow, of account: UInt32) {
        crossedBudgets.append((account, budget))
        hasCrossedBudgets = true
    }

    @inline(never)
    private mutating func stageCrossedBudgetsNow(time: Timestamp) {
        for (account, budget) in crossedBudgets {
            var entry = BudgetCrossedEntry()
            entry.account = account
            entry.number = budget.number
            entry.window = budget.window
            entry.metric = budget.metric
            entry.limit = budget.limit
            entry.used = budget.used
            entry.path = path(of: account)
            (budgetDetails[budget.number]?.name ?? []).withView { name in
                entry.name = name
                staged.append(time: time, entry)
                didStage()
                advance(to: time)
            }
        }
        forgetCrossedBudgets()
    }

    /// What replay does: the entries that write them down are in the journal.
    @inline(__always)
    mutating func forgetCrossedBudgets() {
        guard hasCrossedBudgets else { return }
        crossedBudgets.removeAll(keepingCapacity: true)
        hasCrossedBudgets = false
    }

    /// The hashes of a record's names where budgets ask for them. What was held before the first that does has
    /// none, and counts only for those that ask for nothing.
    func budgetNames(_ record: borrowing UsageRecord) -> (provider: UInt64, model: UInt64) {
        filteredBudgets == 0 ? (0, 0) : (keys.name(record.provider), keys.name(record.model))
    }

    /// Moves what a hold keeps of the budgets on its account's way up.
    mutating func changeHeldInBudgets(_ hold: HoldRow, cost: Int64, by factor: Int64) {
        let share = BudgetShare(
            cost: cost, tokens: hold.tokens, requests: 1, provider: hold.provider, model: hold.model)
        var current = hold.account
        while current != AccountRow.none {
            changeBudgets(of: current) { budget in
                guard budget.matches(provider: share.provider, model: share.model) else { return }
                budget.held = Int64(
                    clamping: Int128(budget.held) + Int128(share.amount(budget.metric)) * Int128(factor))
            }
            current = accounts[current].parent
        }
    }

    /// Adds up again what open holds keep of an account's budgets. O(open holds of the shard).
    mutating func recountHeld(of account: UInt32) {
        changeBudgets(of: account) { $0.held = 0 }
        var matching: [HoldRow] = []
        holds.forEach { _, hold in
            var current = hold.account
            while current != AccountRow.none, current != account { current = accounts[current].parent }
            if current == account { matching.append(hold) }
        }
        for hold in matching {
            let share = BudgetShare(
                cost: hold.amount, tokens: hold.tokens, requests: 1, provider: hold.provider,
                model: hold.model)
            changeBudgets(of: account) { budget in
                guard budget.matches(provider: share.provider, model: share.model) else { return }
                budget.held = Int64(clamping: Int128(budget.held) + Int128(share.amount(budget.metric)))
            }
        }
    }

    /// Counts what open holds keep of all budgets, once a checkpoint's rows are there.
    mutating func recountHeldOfAll() {
        guard budgetCount > 0 else { return }
        for account in 0..<UInt32(accounts.count) where accounts[account].side != AccountRow.none {
            if !sides[accounts[account].side].budget.isNone { recountHeld(of: account) }
        }
    }

    // MARK: - Admitting

    /// Why a hold or a quote would go above a hard budget on its account's way up; nil if none. Of what costs
    /// nothing only tokens and requests count.
    func budgetFault(_ share: BudgetShare, of account: UInt32, time: Timestamp) -> Refusal? {
        var fault: Refusal?
        var current = account
        while current != AccountRow.none, fault == nil {
            forEachBudget(of: current) { budget in
                guard budget.isHard, fault == nil,
                    budget.matches(provider: share.provider, model: share.model)
                else { return }
                let amount = share.amount(budget.metric)
                let sum = Int128(budget.used(at: time)) + Int128(budget.held) + Int128(amount)
                guard amount > 0, sum > Int128(budget.limit) else { return }
                let end = budget.used(at: time) == 0 && budget.windowEnd <= time ? time : budget.windowEnd
                let wait = budget.window == .total ? 0 : (end.microseconds - time.microseconds) / 1_000 + 1
                fault = Refusal(
                    .budgetExceeded, field: budget.metric.field,
                    found: budget.limit, expected: wait)
            }
            current = accounts[current].parent
        }
        return fault
    }

    /// What hard budgets on cost leave for one more hold.
    func budgetRoom(_ share: BudgetShare, of account: UInt32, time: Timestamp) -> Int64 {
        var room = Int64.max
        var current = account
        while current != AccountRow.none {
            forEachBudget(of: current) { budget in
                guard budget.isHard, budget.metric == .cost,
                    budget.matches(provider: share.provider, model: share.model)
                else { return }
                let left = Int128(budget.limit) - Int128(budget.used(at: time)) - Int128(budget.held)
                room = min(room, Int64(clamping: max(0, left)))
            }
            current = accounts[current].parent
        }
        return room
    }
}
