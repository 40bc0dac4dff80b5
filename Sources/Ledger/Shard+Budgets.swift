// Budgets of a shard. The first of an account stands in its side row, so that counting a charge touches one
// row for each level of the path that has any.

import Bytes
import CPlatform
import Pricing

extension ShardState {
    /// Sets a budget, or changes the one of the same name. What is counted goes on unless window, metric or
    /// filter are others.
    mutating func setBudget(
        _ hash: Hash128, _ terms: BudgetTerms, actor: ByteView, reason: ByteView, now: Timestamp
    ) -> ActAnswer {
        guard let account = find(hash) else { return .refused(Refusal(.accountNotFound, field: .account)) }
        guard terms.limit >= 0 else {
            return .refused(Refusal(.invalidArgument, field: .amount, found: terms.limit))
        }
        guard (1...BudgetLimits.nameBytesMax).contains(terms.name.count), (1...31).contains(terms.anchorDay)
        else {
            return .refused(
                Refusal(
                    .invalidArgument, found: Int64(terms.name.count),
                    expected: Int64(BudgetLimits.nameBytesMax)))
        }
        var count = 0
        forEachBudget(of: account) { _ in count += 1 }
        let known = budget(named: terms.name, of: account)
        guard known != nil || count < BudgetLimits.perAccountMax else {
            return .refused(
                Refusal(
                    .invalidArgument, field: .budget, found: Int64(count),
                    expected: Int64(BudgetLimits.perAccountMax)))
        }
        var entry = BudgetSetEntry()
        entry.number = known ?? lastBudget + 1
        entry.isHard = terms.isHard
        entry.window = terms.window
        entry.metric = terms.metric
        entry.anchorDay = terms.anchorDay
        entry.limit = terms.limit
        return stage(&entry, account, terms.name, terms.provider, terms.model, actor, reason, now)
    }

    /// Takes a budget away. A budget that is not there is none.
    mutating func removeBudget(
        _ hash: Hash128, name: [UInt8], actor: ByteView, reason: ByteView, now: Timestamp
    ) -> ActAnswer {
        guard let account = find(hash) else { return .refused(Refusal(.accountNotFound, field: .account)) }
        guard let number = budget(named: name, of: account) else {
            return .refused(Refusal(.invalidArgument, field: .budget))
        }
        var entry = BudgetSetEntry()
        entry.number = number
        entry.isRemoved = true
        return stage(&entry, account, name, [], [], actor, reason, now)
    }

    private mutating func stage(
        _ entry: inout BudgetSetEntry, _ account: UInt32, _ name: [UInt8], _ provider: [UInt8],
        _ model: [UInt8], _ actor: ByteView, _ reason: ByteView, _ now: Timestamp
    ) -> ActAnswer {
        let time = entryTime(now)
        entry.account = account
        entry.path = path(of: account)
        entry.actor = actor
        entry.reason = reason
        name.withView { name in
            provider.withView { provider in
                model.withView { model in
                    entry.name = name
                    entry.provider = provider
                    entry.model = model
                    staged.append(time: time, entry)
                    didStage()
                    applyBudgetSet(entry, time: time)
                }
            }
        }
        let wallet = standing(of: account).wallet
        return .done(
            ActReceipt(
                sequence: sequence, duplicate: false, balance: wallet.map { accounts[$0].balance } ?? 0))
    }

    // MARK: - Applying

    mutating func applyBudgetSet(_ entry: BudgetSetEntry, time: Timestamp) {
        advance(to: time)
        if entry.isRemoved {
            removeBudget(entry.number, of: entry.account)
        } else {
            var row = BudgetRow.none
            row.number = entry.number
            row.provider = keys.name(entry.provider)
            row.model = keys.name(entry.model)
            row.limit = entry.limit
            row.windowEnd = entry.window.range(containing: time, anchorDay: entry.anchorDay).end
            row.since = sequence
            row.window = entry.window
            row.metric = entry.metric
            row.isHard = entry.isHard
            row.anchorDay = entry.anchorDay
            put(
                row,
                texts: BudgetTexts(
                    name: Array(entry.name), provider: Array(entry.provider), model: Array(entry.model)),
                of: entry.account)
            recountHeld(of: entry.account)
        }
        markDirty(entry.account)
    }

    /// Puts a budget in the place of the one with its number, or adds it.
    private mutating func put(_ row: BudgetRow, texts: BudgetTexts, of account: UInt32) {
        let side = makeSide(of: account)
        lastBudget = max(lastBudget, row.number)
        budgetTexts[row.number] = texts
        var isKnown = false
        var filters = 0
        changeBudgets(of: account) { old in
            guard old.number == row.number else { return }
            isKnown = true
            var new = row
            new.next = old.next
            if old.window == row.window, old.metric == row.metric, old.anchorDay == row.anchorDay,
                old.provider == row.provider, old.model == row.model
            {
                (new.used, new.windowEnd, new.since) = (old.used, old.windowEnd, old.since)
            }
            filters += (new.isFiltered ? 1 : 0) - (old.isFiltered ? 1 : 0)
            old = new
        }
        filteredBudgets += filters
        if isKnown { return }
        budgetCount += 1
        if row.isFiltered { filteredBudgets += 1 }
        if sides[side].budget.isNone {
            sides[side].budget = row
            return
        }
        var row = row
        row.next = sides[side].budget.next
        sides[side].budget.next = budgets.append(row)
    }

    private mutating func removeBudget(_ number: UInt32, of account: UInt32) {
        let side = accounts[account].side
        guard side != AccountRow.none else { return }
        budgetTexts[number] = nil
        var filters = 0
        forEachBudget(of: account) { if $0.number == number, $0.isFiltered { filters += 1 } }
        filteredBudgets -= filters
        if sides[side].budget.number == number {
            let next = sides[side].budget.next
            sides[side].budget = next == AccountRow.none ? .none : budgets[next]
            budgetCount -= 1
            return
        }
        var previous = AccountRow.none
        var current = sides[side].budget.next
        while current != AccountRow.none {
            let next = budgets[current].next
            if budgets[current].number == number {
                if previous == AccountRow.none {
                    sides[side].budget.next = next
                } else {
                    budgets[previous].next = next
                }
                budgetCount -= 1
                return
            }
            previous = current
            current = next
        }
    }

    /// Calls `body` with each budget of an account, to change it.
    @inline(__always)
    mutating func changeBudgets(of account: UInt32, _ body: (inout BudgetRow) -> Void) {
        let side = accounts[account].side
        if side == AccountRow.none || sides[side].budget.isNone { return }
        body(&sides[side].budget)
        var current = sides[side].budget.next
        while current != AccountRow.none {
            body(&budgets[current])
            current = budgets[current].next
        }
    }

    /// Calls `body` with each budget of an account.
    @inline(__always)
    func forEachBudget(of account: UInt32, _ body: (BudgetRow) -> Void) {
        let side = accounts[account].side
        if side == AccountRow.none || sides[side].budget.isNone { return }
        body(sides[side].budget)
        var current = sides[side].budget.next
        while current != AccountRow.none {
            body(budgets[current])
            current = budgets[current].next
        }
    }

    private func budget(named name: [UInt8], of account: UInt32) -> UInt32? {
        var found: UInt32?
        forEachBudget(of: account) { if budgetTexts[$0.number]?.name == name { found = $0.number } }
        return found
    }

    // MARK: - Counting

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
                var crossed: [BudgetRow] = []
                changeBudgets(of: current) { budget in
                    guard budget.matches(provider: share.provider, model: share.model) else { return }
                    if budget.count(share.amount(budget.metric), at: time) { crossed.append(budget) }
                }
                for budget in crossed { crossedBudgets.append((current, budget)) }
                markDirty(current)
            }
            current = accounts[current].parent
        }
    }

    /// Writes down the budgets that the last charge took above their limit; once in a window, unless the limit is
    /// raised between.
    @inline(__always)
    mutating func stageCrossedBudgets(time: Timestamp) {
        if !crossedBudgets.isEmpty { stageCrossedBudgetsNow(time: time) }
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
            (budgetTexts[budget.number]?.name ?? []).withView { name in
                entry.name = name
                staged.append(time: time, entry)
                didStage()
                advance(to: time)
            }
        }
        crossedBudgets.removeAll(keepingCapacity: true)
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
    private mutating func recountHeld(of account: UInt32) {
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
                    .budgetExceeded, field: budget.metric == .cost ? .costBudget : .budget,
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

    // MARK: - For people, and in a checkpoint

    /// The budgets on an account's way up, its own first.
    func budgetStandings(of account: UInt32, time: Timestamp) -> [BudgetStanding] {
        var standings: [BudgetStanding] = []
        var current = account
        while current != AccountRow.none {
            addBudgets(of: current, time: time, to: &standings)
            current = accounts[current].parent
        }
        return standings
    }

    /// Appends where the budgets of one account stand, by name; `time` nil for as they were counted last.
    func addBudgets(of account: UInt32, time: Timestamp?, to all: inout [BudgetStanding]) {
        var standings: [BudgetStanding] = []
        forEachBudget(of: account) { budget in
            guard let texts = budgetTexts[budget.number] else { return }
            var terms = BudgetTerms(
                name: texts.name, window: budget.window, metric: budget.metric, limit: budget.limit,
                isHard: budget.isHard)
            terms.anchorDay = budget.anchorDay
            terms.provider = texts.provider
            terms.model = texts.model
            let isOver = time.map { $0 >= budget.windowEnd } ?? false
            let inside =
                isOver ? time ?? budget.windowEnd : Timestamp(microseconds: budget.windowEnd.microseconds - 1)
            let range = budget.window.range(containing: inside, anchorDay: budget.anchorDay)
            standings.append(
                BudgetStanding(
                    account: Array(path(of: account)), terms: terms, used: isOver ? 0 : budget.used,
                    held: budget.held, windowStart: range.start, windowEnd: range.end, since: budget.since,
                    shard: number))
        }
        standings.sort { $0.terms.name.lexicographicallyPrecedes($1.terms.name) }
        all += standings
    }

    func packBudgets(of account: UInt32, into packer: inout BytePacker) {
        forEachBudget(of: account) { budget in
            let texts = budgetTexts[budget.number] ?? BudgetTexts(name: [], provider: [], model: [])
            packer.append(budget.number)
            packer.append(byte: budget.window.rawValue)
            packer.append(byte: budget.metric.rawValue)
            packer.append(byte: budget.isHard ? 1 : 0)
            packer.append(byte: budget.anchorDay)
            packer.append(UInt64(budget.limit))
            packer.append(UInt64(budget.used))
            packer.append(budget.windowEnd.microseconds)
            packer.append(budget.since)
            for text in [texts.name, texts.provider, texts.model] {
                text.withView { packer.append(prefixed: $0) }
            }
        }
    }

    mutating func restoreBudgets(
        of account: UInt32, from fields: inout ByteUnpacker
    ) throws(UnpackingError) {
        var rows: [(BudgetRow, BudgetTexts)] = []
        while !fields.isAtEnd {
            var row = BudgetRow.none
            let at = fields.offset
            row.number = try fields.unsigned32()
            guard row.number > 0, budgetTexts[row.number] == nil,
                let window = BudgetWindow(rawValue: try fields.byte()),
                let metric = BudgetMetric(rawValue: try fields.byte())
            else { throw UnpackingError(offset: at) }
            row.window = window
            row.metric = metric
            row.isHard = try fields.flags(max: 1) == 1
            row.anchorDay = try fields.byte()
            guard (1...31).contains(row.anchorDay) else { throw UnpackingError(offset: at) }
            row.limit = try fields.amount()
            row.used = try fields.amount()
            row.windowEnd = try fields.timestamp()
            row.since = try fields.unsigned()
            let name = try fields.prefixed()
            let provider = try fields.prefixed()
            let model = try fields.prefixed()
            row.provider = keys.name(provider)
            row.model = keys.name(model)
            rows.append(
                (row, BudgetTexts(name: Array(name), provider: Array(provider), model: Array(model))))
        }
        // The first stays in the side row, and each of the others goes behind it.
        for (row, texts) in rows.prefix(1) + rows.dropFirst().reversed() {
            put(row, texts: texts, of: account)
        }
    }

    func check(_ entry: BudgetSetEntry) throws(EntryError) {
        try check(account: entry.account, path: entry.path)
        var isKnown = false
        forEachBudget(of: entry.account) { if $0.number == entry.number { isKnown = true } }
        // A checkpoint does not say which numbers removed budgets had: the next one may be further on.
        guard isKnown || (!entry.isRemoved && entry.number > lastBudget) else {
            throw contradiction("the budget \(entry.name.text) of \(entry.path.text) is none of its own")
        }
    }
}
