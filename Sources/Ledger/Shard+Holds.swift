// Deciding holds: price first, admit second. What a hold keeps is counted against what its wallet may spend,
// and nothing leaves the balance until its report settles it.
//
// Leases are ended before anything is decided that looks at what is held, so an answer never counts a hold
// whose time is over.

import Bytes
import Pricing

/// The hashes of a hold's request.
public struct HoldKeys: Hashable, Sendable {
    public var organisation: Hash128
    public var account: Hash128
    /// Of the hold's id within the organisation.
    public var hold: Hash128
    /// Of everything that the request says.
    public var digest: UInt64

    /// Those of a prepared call.
    @inline(__always)
    public init(_ keys: RecordKeys) {
        organisation = keys.organisation
        account = keys.account
        hold = keys.hold
        digest = keys.digest
    }
}

extension ShardState {
    /// Sets credit aside. O(depth of the path + grants drawn), O(log n) in the open holds of the shard.
    ///
    /// - Parameter names: what `RecordContent.append(holdNamesOf:to:)` makes of the record, where that is priced.
    mutating func hold(
        _ terms: HoldTerms, _ orphanPolicy: OrphanPolicy, keys: HoldKeys, record: borrowing UsageRecord,
        names: ByteView, book: PriceBook, now: Timestamp, openMax: Int
    ) -> HoldDecision {
        let time = entryTime(now)
        expireHolds(until: time)
        if let first = holds.find(keys.hold) { return repeated(first, digest: keys.digest) }
        if let first = ids.hold(keys.hold) { return repeated(first, keys: keys) }
        guard let account = find(keys.account) ?? moved(terms.account) else {
            return .refused(Refusal(.accountNotFound, field: .account))
        }
        let standing = standing(of: account)
        switch standing.status {
        case .active: break
        case .suspended: return .refused(Refusal(.accountSuspended, field: .account))
        case .closed: return .refused(Refusal(.accountClosed, field: .account))
        }
        guard let wallet = standing.wallet else {
            return .refused(Refusal(.accountNotFound, field: .account))
        }
        guard let lease = Self.lease(terms.leaseMilliseconds) else {
            return .refused(
                Refusal(
                    .invalidArgument, field: .lease, found: terms.leaseMilliseconds,
                    expected: HoldLimits.leaseMax
                ))
        }
        guard terms.amount == nil || !orphanPolicy.needsUsage else {
            return .refused(
                Refusal(.invalidArgument, field: .orphanPolicy, found: Int64(orphanPolicy.rawValue)))
        }
        endExpiredGrants(of: wallet, time: time)
        let asked: Int64
        if let amount = terms.amount {
            guard amount > 0 else {
                return .refused(Refusal(.invalidArgument, field: .amount, found: amount, expected: 1))
            }
            asked = amount
        } else {
            switch heldCharge(record, of: wallet, tier: tier(standing.tier), book: book) {
            case .refused(let refusal): return .refused(refusal)
            case .amount(let charge): asked = charge
            }
        }
        guard asked <= HoldLimits.amountMax else {
            return .refused(
                Refusal(.invalidArgument, field: .amount, found: asked, expected: HoldLimits.amountMax))
        }
        guard openHolds.value < openMax else { return .refused(Refusal(.overloaded, field: .holdID)) }
        var amount = asked
        var share = BudgetShare(cost: asked, tokens: 0, requests: 1, provider: 0, model: 0)
        if budgetCount > 0 {
            if terms.amount == nil {
                share.tokens = record.usage.inputTokens + record.usage.outputTokens
                (share.provider, share.model) = budgetNames(record)
            }
            if let fault = budgetFault(share, of: account, time: time) {
                guard terms.policy == .clip, asked > 0 else { return .refused(fault) }
                // A clipped hold also fits into what budgets on cost leave; tokens and requests do not shrink.
                share.cost = min(asked, budgetRoom(share, of: account, time: time))
                let least = leastHeld(terms, record, of: wallet, tier: tier(standing.tier), book: book)
                if share.cost < least || budgetFault(share, of: account, time: time) != nil {
                    return .refused(fault)
                }
                amount = share.cost
            }
        }
        if amount > 0, !accounts[wallet].unlimited {
            let asked = amount
            let available = available(of: wallet, for: GrantUse(record))
            if asked > available {
                guard terms.policy == .clip else {
                    return .refused(
                        Refusal(.insufficientCredits, field: .amount, found: asked, expected: available))
                }
                let least = leastHeld(terms, record, of: wallet, tier: tier(standing.tier), book: book)
                guard available >= least else {
                    return .refused(
                        Refusal(.insufficientCredits, field: .amount, found: least, expected: available))
                }
                amount = available
            }
        }
        var entry = HoldOpenedEntry()
        entry.account = account
        entry.wallet = wallet
        entry.walletPathCount = Int(accounts[wallet].pathCount)
        entry.key = keys.hold
        entry.digest = keys.digest
        entry.amount = amount
        entry.expiresAt = Timestamp(microseconds: time.microseconds + lease * 1_000)
        entry.source = terms.source
        entry.policy = terms.policy
        if terms.amount == nil {
            entry.tokens = record.usage.inputTokens + record.usage.outputTokens
            (entry.provider, entry.model) = (share.provider, share.model)
        }
        if terms.amount == nil { entry.use = names }
        entry.orphan = orphanPolicy
        if orphanPolicy != .release {
            fixOrphan(
                &entry, record: record, hasUsage: terms.amount == nil, tier: tier(standing.tier), book: book)
        }
        // The request has the same bytes at hand, unless the account was found under another path.
        entry.path = accounts[account].hash == keys.account ? terms.account : path(of: account)
        entry.id = terms.holdID
        staged.append(time: time, entry)
        didStage()
        applyHoldOpened(entry, time: time)
        return .done(
            HoldReceipt(
                state: .open, amount: amount, available: available(of: wallet), expiresAt: entry.expiresAt,
                sequence: sequence, duplicate: false, orphanCharge: entry.orphanCharge))
    }

    /// Prolongs a hold, and grows it where asked.
    mutating func extend(
        _ keys: HoldKeys, leaseMilliseconds: Int64, amount: Int64?, now: Timestamp, history: HistoryAnswer
    ) -> HoldDecision {
        let time = entryTime(now)
        expireHolds(until: time)
        let number: UInt32
        switch openHold(keys, history) {
        case .refused(let refusal): return .refused(refusal)
        case .open(let open): number = open
        }
        guard let lease = Self.lease(leaseMilliseconds) else {
            return .refused(
                Refusal(
                    .invalidArgument, field: .lease, found: leaseMilliseconds, expected: HoldLimits.leaseMax))
        }
        let row = holds[number]
        var newAmount = amount ?? row.amount
        guard newAmount >= row.amount, newAmount <= HoldLimits.amountMax else {
            return .refused(
                Refusal(
                    .invalidArgument, field: .amount, found: newAmount,
                    expected: newAmount < row.amount ? row.amount : HoldLimits.amountMax))
        }
        if newAmount > row.amount, !accounts[row.wallet].unlimited {
            endExpiredGrants(of: row.wallet, time: time)
            let use = use(of: number).record
            let available = available(of: row.wallet, for: GrantUse(use))
            if newAmount - row.amount > available {
                guard row.policy == .clip else {
                    return .refused(
                        Refusal(
                            .insufficientCredits, field: .amount, found: newAmount - row.amount,
                            expected: available))
                }
                newAmount = row.amount + max(0, available)
            }
        }
        if newAmount > row.amount, budgetCount > 0 {
            // Only the growth is new; tokens and the request are counted already.
            let growth = BudgetShare(
                cost: newAmount - row.amount, tokens: 0, requests: 0, provider: row.provider, model: row.model
            )
            if let fault = budgetFault(growth, of: row.account, time: time) { return .refused(fault) }
        }
        let expiresAt = Timestamp(microseconds: time.microseconds + lease * 1_000)
        stageHoldChange(number, amount: newAmount, expiresAt: expiresAt, time: time)
        return .done(
            HoldReceipt(
                state: .open, amount: newAmount, available: available(of: row.wallet), expiresAt: expiresAt,
                sequence: sequence, duplicate: false, orphanCharge: holds[number].orphanCharge))
    }

    private mutating func stageHoldChange(
        _ number: UInt32, amount: Int64, expiresAt: Timestamp, time: Timestamp
    ) {
        let row = holds[number]
        var entry = HoldChangedEntry()
        entry.key = row.key
        entry.amount = amount
        entry.expiresAt = expiresAt
        entry.path = path(of: row.account)
        entry.walletPathCount = path(of: row.wallet).count
        holds.id(number).withView { id in
            entry.id = id
            staged.append(time: time, entry)
            didStage()
            applyHoldChanged(entry, time: time)
        }
    }

    /// Releases a hold without a charge. Again, it is as it was.
    mutating func void(
        _ keys: HoldKeys, reason: ByteView, now: Timestamp, history: HistoryAnswer
    ) -> HoldDecision {
        let time = entryTime(now)
        expireHolds(until: time)
        if holds.find(keys.hold) == nil, let past = past(keys.hold, history), past.state == .voided {
            return ended(past, keys: keys)
        }
        switch openHold(keys, history) {
        case .refused(let refusal): return .refused(refusal)
        case .open(let number):
            let row = holds[number]
            end(number, .voided, reason: reason, time: time)
            return .done(
                HoldReceipt(
                    state: .voided, amount: row.amount, available: available(of: row.wallet),
                    expiresAt: .distantPast, sequence: sequence, duplicate: false))
        }
    }

    /// Ends the leases whose time has come: each gets its entry. O(1) where none has.
    @inline(__always)
    mutating func expireHolds(until time: Timestamp) {
        if holds.nextExpiry <= time { expireHoldsNow(until: time, atMost: .max) }
    }

    /// Ends at most so many leases, those that ended first. Returns whether more are due.
    @inline(never) @discardableResult
    mutating func expireHoldsNow(until time: Timestamp, atMost: Int) -> Bool {
        var left = atMost
        while let number = holds.first, holds[number].expiresAt <= time {
            if left == 0 { return true }
            left -= 1
            expiredHolds += 1
            if holds[number].orphanCharge > 0, endOrphan(number, time: entryTime(time)) { continue }
            end(number, .expired, reason: ByteView(), time: entryTime(time))
        }
        return false
    }

    private mutating func end(_ number: UInt32, _ state: HoldState, reason: ByteView, time: Timestamp) {
        let row = holds[number]
        var entry = HoldEndedEntry()
        entry.key = row.key
        entry.state = state
        entry.amount = row.amount
        entry.path = path(of: row.account)
        entry.walletPathCount = path(of: row.wallet).count
        entry.reason = reason
        holds.id(number).withView { id in
            entry.id = id
            staged.append(time: time, entry)
            didStage()
            applyHoldEnded(entry, time: time)
        }
    }

    // MARK: - Parts

    private enum OpenHoldOutcome {
        case open(UInt32)
        case refused(Refusal)
    }

    /// The open hold that a call is about, or why there is none.
    private func openHold(_ keys: HoldKeys, _ history: HistoryAnswer) -> OpenHoldOutcome {
        guard let number = holds.find(keys.hold) else {
            switch past(keys.hold, history)?.state {
            case .settled: return .refused(Refusal(.holdAlreadySettled, field: .holdID))
            case .voided: return .refused(Refusal(.holdVoided, field: .holdID))
            case .expired: return .refused(Refusal(.holdExpired, field: .holdID))
            case .open, nil: return .refused(Refusal(.holdNotFound, field: .holdID))
            }
        }
        let account = holds[number].account
        guard accounts[account].hash == keys.account || isKnown(keys.account, as: account) else {
            return .refused(Refusal(.holdNotFound, field: .account))
        }
        return .open(number)
    }

    private func repeated(_ number: UInt32, digest: UInt64) -> HoldDecision {
        let row = holds[number]
        guard row.digest == digest else { return .refused(conflict(first: row.digest, digest)) }
        return .done(
            HoldReceipt(
                state: .open, amount: row.amount, available: available(of: row.wallet),
                expiresAt: row.expiresAt, sequence: row.sequence, duplicate: true,
                orphanCharge: row.orphanCharge))
    }

    private func repeated(_ first: RememberedHold, keys: HoldKeys) -> HoldDecision {
        guard first.digest == 0 || first.digest == keys.digest else {
            return .refused(conflict(first: first.digest, keys.digest))
        }
        return ended(first, keys: keys)
    }

    private func ended(_ hold: RememberedHold, keys: HoldKeys) -> HoldDecision {
        let account = find(keys.account) ?? formerNames.account(keys.account)
        let wallet = account.flatMap { standing(of: $0).wallet }
        return .done(
            HoldReceipt(
                state: hold.state, amount: hold.amount, available: wallet.map { available(of: $0) } ?? 0,
                expiresAt: .distantPast, sequence: hold.sequence, duplicate: true,
                orphanCharge: hold.orphan == nil ? 0 : hold.amount))
    }

    private func conflict(first: UInt64, _ digest: UInt64) -> Refusal {
        Refusal(
            .idempotencyConflict, field: .holdID, found: Int64(bitPattern: first),
            expected: Int64(bitPattern: digest))
    }

    /// Milliseconds of a lease, or nil if they are out of range.
    private static func lease(_ milliseconds: Int64) -> Int64? {
        if milliseconds == 0 { return HoldLimits.leaseDefault }
        return milliseconds > 0 && milliseconds <= HoldLimits.leaseMax ? milliseconds : nil
    }

    private enum HeldCharge {
        case amount(Int64)
        case refused(Refusal)
    }

    /// What a report of `record` would take from the wallet now. It spends no allowance.
    private func heldCharge(
        _ record: borrowing UsageRecord, of wallet: UInt32, tier: ByteView, book: PriceBook
    ) -> HeldCharge {
        switch book.price(record, tier: tier) {
        case .refused(let refusal): return .refused(refusal)
        case .parked(let reason, let field):
            return .refused(Refusal(notPriced: reason, field: field, usage: record.usage))
        case .priced(let priced):
            return .amount(quotedCharge(priced, of: wallet, at: record.eventTime).charge)
        }
    }

    /// The least that a clipped hold keeps: what the input alone would be charged.
    private func leastHeld(
        _ terms: HoldTerms, _ record: borrowing UsageRecord, of wallet: UInt32, tier: ByteView,
        book: PriceBook
    ) -> Int64 {
        guard terms.amount == nil else { return 1 }
        switch heldCharge(record.inputOnly(), of: wallet, tier: tier, book: book) {
        case .amount(let charge): return max(charge, 1)
        // What prices as a whole and not without its output has no input cost to be told apart.
        case .refused: return .max
        }
    }
}

extension ShardState {
    /// Decides a report that names a hold: releases it and charges the usage, in one step.
    @inline(never)
    mutating func settle(
        _ record: borrowing UsageRecord, _ entry: inout ChargeEntry, hold key: Hash128, book: PriceBook,
        pin: PricePin, now: Timestamp, history: HistoryAnswer, into receipt: inout Receipt
    ) -> NoReceipt? {
        let time = entryTime(now)
        expireHolds(until: time)
        if let number = holds.find(key) {
            guard holds[number].account == entry.account else {
                return .refused(Refusal(.holdNotFound, field: .account))
            }
            guard holds[number].source == record.credentialSource else {
                return .refused(Refusal(.credentialMismatch, field: .credentialSource))
            }
            entry.hold = key
            entry.holdReleased = holds[number].amount
        } else {
            guard let past = past(key, history) else {
                switch history {
                case .notAsked: return .askHistory
                // It will be found when the history has the move of its account.
                case .holdEnded: return .refused(Refusal(.overloaded, field: .holdID))
                case .neverSeen, .seen: return .refused(Refusal(.holdNotFound, field: .holdID))
                }
            }
            switch past.state {
            case .settled: return .refused(Refusal(.holdAlreadySettled, field: .holdID))
            case .voided: return .refused(Refusal(.holdVoided, field: .holdID))
            // The usage happened: it is charged as a report, and the receipt says so.
            case .expired: entry.holdExpired = true
            case .open: return .refused(Refusal(.holdNotFound, field: .holdID))
            }
            if let refusal = linkOrphan(past, hold: key, record, &entry) { return .refused(refusal) }
        }
        return decide(record, &entry, book: book, pin: pin, time: time, into: &receipt)
    }

    @inline(__always)
    func price(
        _ record: borrowing UsageRecord, tier: ByteView, book: PriceBook, pin: PricePin,
        into priced: inout PricedUsage
    ) -> Unpriced? {
        record.quoteToken.isEmpty
            ? book.price(record, tier: tier, into: &priced)
            : book.price(record, tier: tier, pin: pin, into: &priced)
    }
}
