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
            row.window = entry.window
            row.metric = entry.metric
            row.isHard = entry.isHard
            row.anchorDay = entry.anchorDay
            put(
                row,
                BudgetDetails(
                    name: Array(entry.name), provider: Array(entry.provider), model: Array(entry.model),
                    since: sequence),
                of: entry.account)
            recountHeld(of: entry.account)
        }
        markDirty(entry.account)
    }

    /// Puts a budget in the place of the one with its number, or adds it.
    private mutating func put(_ row: BudgetRow, _ details: BudgetDetails, of account: UInt32) {
        let side = makeSide(of: account)
        lastBudget = max(lastBudget, row.number)
        let known = budgetDetails[row.number]
        var details = details
        var isKnown = false
        var wasFiltered = false
        changeBudgets(of: account) { old in
            guard old.number == row.number else { return }
            isKnown = true
            var new = row
            new.next = old.next
            if old.window == row.window, old.metric == row.metric, old.anchorDay == row.anchorDay,
                old.provider == row.provider, old.model == row.model
            {
                (new.used, new.windowEnd) = (old.used, old.windowEnd)
                details.since = known?.since ?? details.since
            }
            wasFiltered = old.isFiltered
            old = new
        }
        if wasFiltered { filteredBudgets -= 1 }
        if row.isFiltered { filteredBudgets += 1 }
        budgetDetails[row.number] = details
        if isKnown { return }
        budgetCount += 1
        if sides[side].budget.isNone {
            sides[side].budget = row
            return
        }
        var row = row
        row.next = sides[side].budget.next
        sides[side].budget.next = add(row)
    }

    private mutating func removeBudget(_ number: UInt32, of account: UInt32) {
        let side = accounts[account].side
        guard side != AccountRow.none else { return }
        budgetDetails[number] = nil
        var wasFiltered = false
        forEachBudget(of: account) { if $0.number == number, $0.isFiltered { wasFiltered = true } }
        if wasFiltered { filteredBudgets -= 1 }
        if sides[side].budget.number == number {
            let next = sides[side].budget.next
            sides[side].budget = next == AccountRow.none ? .none : budgets[next]
            budgetCount -= 1
            if next != AccountRow.none { free(next) }
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
                free(current)
                return
            }
            previous = current
            current = next
        }
    }

    private mutating func free(_ budget: UInt32) {
        budgets[budget] = .none
        budgets[budget].next = freeBudget
        freeBudget = budget
    }

    private mutating func add(_ row: BudgetRow) -> UInt32 {
        guard freeBudget != AccountRow.none else { return budgets.append(row) }
        let place = freeBudget
        freeBudget = budgets[place].next
        budgets[place] = row
        return place
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
        forEachBudget(of: account) { if budgetDetails[$0.number]?.name == name { found = $0.number } }
        return found
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
            guard let details = budgetDetails[budget.number] else { return }
            var terms = BudgetTerms(
                name: details.name, window: budget.window, metric: budget.metric, limit: budget.limit,
                isHard: budget.isHard)
            terms.anchorDay = budget.anchorDay
            terms.provider = details.provider
            terms.model = details.model
            let isOver = time.map { $0 >= budget.windowEnd } ?? false
            let inside =
                isOver ? time ?? budget.windowEnd : Timestamp(microseconds: budget.windowEnd.microseconds - 1)
            let range = budget.window.range(containing: inside, anchorDay: budget.anchorDay)
            standings.append(
                BudgetStanding(
                    account: Array(path(of: account)), terms: terms, used: isOver ? 0 : budget.used,
                    held: budget.held, windowStart: range.start, windowEnd: range.end, since: details.since,
                    shard: number))
        }
        standings.sort { $0.terms.name.lexicographicallyPrecedes($1.terms.name) }
        all += standings
    }

    func packBudgets(of account: UInt32, into packer: inout BytePacker) {
        forEachBudget(of: account) { budget in
            let details =
                budgetDetails[budget.number] ?? BudgetDetails(name: [], provider: [], model: [], since: 0)
            packer.append(budget.number)
            packer.append(byte: budget.window.rawValue)
            packer.append(byte: budget.metric.rawValue)
            packer.append(byte: budget.isHard ? 1 : 0)
            packer.append(byte: budget.anchorDay)
            packer.append(UInt64(budget.limit))
            packer.append(UInt64(budget.used))
            packer.append(budget.windowEnd.microseconds)
            packer.append(details.since)
            for text in [details.name, details.provider, details.model] {
                text.withView { packer.append(prefixed: $0) }
            }
        }
    }

    mutating func restoreBudgets(
        of account: UInt32, from fields: inout ByteUnpacker
    ) throws(UnpackingError) {
        var rows: [(BudgetRow, BudgetDetails)] = []
        while !fields.isAtEnd {
            var row = BudgetRow.none
            let at = fields.offset
            row.number = try fields.unsigned32()
            guard row.number > 0, budgetDetails[row.number] == nil,
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
            let since = try fields.unsigned()
            let name = try fields.prefixed()
            let provider = try fields.prefixed()
            let model = try fields.prefixed()
            row.provider = keys.name(provider)
            row.model = keys.name(model)
            rows.append(
                (
                    row,
                    BudgetDetails(
                        name: Array(name), provider: Array(provider), model: Array(model), since: since)
                ))
        }
        // The first stays in the side row, and each of the others goes behind it.
        for (row, details) in rows.prefix(1) + rows.dropFirst().reversed() {
            put(row, details, of: account)
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
