// Applying what was decided of holds, and holds in a checkpoint: they belong to their wallet's row.

import Bytes
import Pricing

extension ShardState {
    mutating func applyHoldOpened(_ entry: HoldOpenedEntry, time: Timestamp) {
        advance(to: time)
        add(
            HoldRow(
                key: entry.key, digest: entry.digest, sequence: sequence, amount: entry.amount,
                orphanCharge: entry.orphanCharge, expiresAt: entry.expiresAt, openedAt: time,
                tokens: entry.tokens, provider: entry.provider, model: entry.model, account: entry.account,
                wallet: entry.wallet, source: entry.source, policy: entry.policy, orphan: entry.orphan),
            id: entry.id, use: entry.use)
        markDirty(entry.wallet)
    }

    mutating func applyHoldChanged(_ entry: HoldChangedEntry, time: Timestamp) {
        advance(to: time)
        guard let number = holds.find(entry.key) else {
            preconditionFailure("a hold that is changed is open")
        }
        let wallet = holds[number].wallet
        let grown = entry.amount - holds[number].amount
        changeHeld(by: grown, of: wallet)
        if budgetCount > 0 {
            changeHeldInBudgets(holds[number], cost: holds[number].amount, by: -1)
            changeHeldInBudgets(holds[number], cost: entry.amount, by: 1)
        }
        holds[number].amount = entry.amount
        // Of an estimate the charge stays: what was added by hand was not estimated.
        if holds[number].orphan == .fullHold { holds[number].orphanCharge = entry.amount }
        holds.move(number, expiresAt: entry.expiresAt)
        markDirty(wallet)
    }

    mutating func applyHoldEnded(_ entry: HoldEndedEntry, time: Timestamp) {
        advance(to: time)
        endHold(entry.key, as: entry.state)
    }

    /// Takes an open hold away and remembers how it ended. The entry that ends it was counted already.
    mutating func endHold(
        _ key: Hash128, as state: HoldState, orphan: RememberedOrphan? = nil, charge: Int64 = 0
    ) {
        guard let number = holds.find(key) else { preconditionFailure("a hold that ends is open") }
        // An end from before is remembered only where replay came by it, and the id was held again.
        let mayHaveEnded = holds[number].sequence <= replayed
        var past = closeHold(number, as: state)
        if orphan != nil {
            past = RememberedHold(
                digest: 0, sequence: sequence, state: state, amount: charge, orphan: orphan)
        }
        if mayHaveEnded, ids.replace(key, hold: past) { return }
        guard ids.count < idsShare || makeRoomForID() || (orphan != nil && ids.hasRoom) else { return }
        ids.insert(key, hold: past)
    }

    private mutating func closeHold(_ number: UInt32, as state: HoldState) -> RememberedHold {
        let (wallet, amount) = (holds[number].wallet, holds[number].amount)
        let past = RememberedHold(
            digest: holds[number].digest, sequence: sequence, state: state, amount: amount)
        changeHeld(by: -amount, of: wallet)
        if budgetCount > 0 { changeHeldInBudgets(holds[number], cost: amount, by: -1) }
        totals.holds -= 1
        openHolds.add(-1)
        unlink(number)
        holds.remove(number)
        markDirty(wallet)
        return past
    }

    /// Takes a hold out of its wallet's list.
    private mutating func unlink(_ number: UInt32) {
        let (wallet, next, previous) = (holds[number].wallet, holds[number].next, holds[number].previous)
        if next != AccountRow.none { holds[next].previous = previous }
        if previous == AccountRow.none {
            accounts[wallet].firstHold = next
        } else {
            holds[previous].next = next
        }
    }

    /// Puts a hold at the front of its wallet's list.
    private mutating func link(_ number: UInt32) {
        let wallet = holds[number].wallet
        let next = accounts[wallet].firstHold
        holds[number].next = next
        holds[number].previous = AccountRow.none
        if next != AccountRow.none { holds[next].previous = number }
        accounts[wallet].firstHold = number
    }

    /// Lets an open hold keep credit of another wallet.
    mutating func move(hold number: UInt32, to wallet: UInt32) {
        let (former, amount) = (holds[number].wallet, holds[number].amount)
        changeHeld(by: -amount, of: former)
        unlink(number)
        holds[number].wallet = wallet
        link(number)
        changeHeld(by: amount, of: wallet)
        markDirty(former)
        markDirty(wallet)
    }

    /// Remembers how a hold ended that replay does not apply, unless there is no room, or an open hold has the
    /// id again. What an orphan was charged is remembered as a report's outcome is: a report may still correct it.
    mutating func remember(_ key: Hash128, _ hold: RememberedHold, isOfOrphan: Bool = false) {
        if holds.find(key) != nil { return }
        if ids.replace(key, hold: hold) { return }
        guard ids.count < idsShare || makeRoomForID() || ((isOfOrphan || hold.orphan != nil) && ids.hasRoom)
        else { return }
        ids.insert(key, hold: hold)
    }

    /// Adds an open hold. A restored one may be of an account whose row is yet to come: what budgets keep for it is
    /// counted when all are there, by `recountHeldOfAll`.
    private mutating func add(_ row: HoldRow, id: ByteView, use: ByteView, isRestored: Bool = false) {
        let number = holds.insert(row, id: id, use: use)
        link(number)
        changeHeld(by: row.amount, of: row.wallet)
        if budgetCount > 0, !isRestored { changeHeldInBudgets(row, cost: row.amount, by: 1) }
        totals.holds += 1
        openHolds.add(1)
    }

    mutating func changeHeld(by amount: Int64, of wallet: UInt32) {
        accounts[wallet].held += amount
        totals.held += Int128(amount)
    }

    // MARK: - What replay refuses

    func check(_ entry: HoldOpenedEntry) throws(EntryError) {
        try check(account: entry.account, path: entry.path)
        try check(account: entry.wallet)
        guard accounts[entry.wallet].pathCount == entry.walletPathCount,
            path(of: entry.wallet) == entry.path[0..<entry.walletPathCount]
        else { throw contradiction("a hold of \(entry.path.text) names a wallet that is not above it") }
        guard holds.find(entry.key) == nil else {
            throw contradiction("the hold \(entry.id.text) is opened twice")
        }
        guard !accounts[entry.wallet].held.addingReportingOverflow(entry.amount).overflow else {
            throw contradiction("the holds of \(entry.path.text) do not fit in 64 bits")
        }
    }

    func check(_ entry: HoldEndedEntry) throws(EntryError) {
        try check(hold: entry.key, releases: entry.amount)
    }

    func check(_ entry: HoldChangedEntry) throws(EntryError) {
        guard let number = holds.find(entry.key), holds[number].amount <= entry.amount,
            !accounts[holds[number].wallet].held.addingReportingOverflow(entry.amount).overflow
        else { throw contradiction("the hold \(entry.id.text) is not open, or would shrink") }
    }

    func check(hold key: Hash128, releases amount: Int64) throws(EntryError) {
        guard let number = holds.find(key) else {
            throw contradiction("a hold ends that is not open, or ends twice")
        }
        guard holds[number].amount == amount else {
            throw contradiction(
                "the hold \(holds.id(number).withView { $0.text }) has \(holds[number].amount) nanocredits, its"
                    + " end releases \(amount)")
        }
    }

    // MARK: - In a checkpoint

    /// Packs the open holds of a wallet, newest first.
    ///
    /// The third bit of the words says that behind the id come orphan policy, orphan charge, and what it is for.
    func packHolds(of wallet: UInt32, into packer: inout BytePacker) {
        var use = BytePacker(capacity: 256)
        var number = accounts[wallet].firstHold
        while number != AccountRow.none {
            let row = holds[number]
            packer.append(key: row.key)
            packer.append(fixed: row.digest)
            packer.append(row.sequence)
            packer.append(UInt64(row.amount))
            packer.append(row.openedAt.microseconds)
            packer.append(row.expiresAt.microseconds)
            packer.append(row.account)
            let saysMore = row.useBytes > 0 || row.orphan != .release
            packer.append(
                byte: (row.source == .byok ? 1 : 0) | row.policy.rawValue << 1 | (saysMore ? 4 : 0))
            packer.append(UInt64(row.tokens))
            packer.append(fixed: row.provider)
            packer.append(fixed: row.model)
            holds.id(number).withView { packer.append(prefixed: $0) }
            if saysMore {
                packer.append(byte: row.orphan.rawValue)
                packer.append(UInt64(row.orphanCharge))
                use.clear()
                holds.appendUse(of: number, to: &use)
                packer.append(prefixed: use.view)
            }
            number = row.next
        }
    }

    mutating func restoreHolds(
        of wallet: UInt32, from fields: inout ByteUnpacker
    ) throws(UnpackingError) {
        var rows: [(row: HoldRow, id: ByteView, use: ByteView)] = []
        while !fields.isAtEnd {
            let at = fields.offset
            let key = try fields.key()
            let digest = try fields.fixed()
            let sequence = try fields.unsigned()
            let amount = try fields.amount()
            let openedAt = try fields.timestamp()
            let expiresAt = try fields.timestamp()
            let account = try fields.unsigned32()
            let words = try fields.flags(max: 7)
            let tokens = try fields.amount()
            let provider = try fields.fixed()
            let model = try fields.fixed()
            let id = try fields.holdID()
            var (orphan, orphanCharge, use) = (OrphanPolicy.release, Int64(0), ByteView())
            if words & 4 != 0 {
                (orphan, orphanCharge) = try fields.orphan(of: amount)
                use = try fields.prefixed()
                _ = try HoldUse(reading: use)
            }
            guard amount <= HoldLimits.amountMax, holds.find(key) == nil else {
                throw UnpackingError(offset: at)
            }
            rows.append(
                (
                    HoldRow(
                        key: key, digest: digest, sequence: sequence, amount: amount,
                        orphanCharge: orphanCharge, expiresAt: expiresAt, openedAt: openedAt,
                        tokens: tokens, provider: provider, model: model, account: account,
                        wallet: wallet, source: words & 1 == 0 ? .platform : .byok,
                        policy: words & 2 == 0 ? .strict : .clip, orphan: orphan), id, use
                ))
        }
        var sum: Int64 = accounts[wallet].held
        // Each goes to the front of the list, so the last comes first.
        for (row, id, use) in rows.reversed() {
            let (next, overflow) = sum.addingReportingOverflow(row.amount)
            guard !overflow else { throw UnpackingError(offset: 0) }
            sum = next
            add(row, id: id, use: use, isRestored: true)
        }
    }
}
