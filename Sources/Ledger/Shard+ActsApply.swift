// Administrators' acts on credit: applying them, and what replay refuses before it does. Like every `apply`,
// these cannot fail.

import Bytes
import Pricing

extension ShardState {
    /// The rare parts of an account; zeros where it has none.
    func side(of account: UInt32) -> SideRow {
        let side = accounts[account].side
        return side == AccountRow.none ? SideRow() : sides[side]
    }

    /// Remembers an act under its key, if it has one. `moved` is what it added to the balance.
    mutating func remember(_ act: ActDetails, moved: Int64, sequence: UInt64, time: Timestamp) {
        guard let key = act.key else { return }
        remember(
            key,
            RememberedOutcome(digest: act.digest, sequence: sequence, charge: -moved, state: .charged),
            eventTime: time.microseconds)
    }

    mutating func applyDeducted(_ entry: DeductEntry, time: Timestamp) {
        advance(to: time)
        var emptied = false
        entry.draws.forEach { draw in
            if take(draw.amount, fromGrant: draw.grant, of: entry.wallet) { emptied = true }
        }
        if emptied { refreshNextExpiry(of: entry.wallet) }
        accounts[entry.wallet].balance -= entry.amount
        sides[makeSide(of: entry.wallet)].deducted += entry.amount
        totals.deducted += Int128(entry.amount)
        totals.balances -= Int128(entry.amount)
        markDirty(entry.wallet)
        remember(entry.act, moved: -entry.amount, sequence: sequence, time: time)
    }

    mutating func applyNoted(_ entry: NotedEntry, time: Timestamp) {
        advance(to: time)
        remember(entry.act, moved: 0, sequence: sequence, time: time)
    }

    // MARK: - Refunds

    /// What was refunded of the charge that an entry made.
    func refunded(of charge: UInt64) -> Int64 {
        refundIndex[charge].map { refunds[$0].refunded } ?? 0
    }

    mutating func addRefund(_ amount: Int64, of charge: UInt64, to wallet: UInt32) {
        if let row = refundIndex[charge] {
            refunds[row].refunded += amount
            return
        }
        let side = makeSide(of: wallet)
        let row = refunds.append(RefundRow(charge: charge, refunded: amount, next: sides[side].firstRefund))
        sides[side].firstRefund = row
        refundIndex[charge] = row
    }

    func packRefunds(of side: SideRow, into packer: inout BytePacker) {
        var rows: [RefundRow] = []
        var next = side.firstRefund
        while next != AccountRow.none {
            rows.append(refunds[next])
            next = refunds[next].next
        }
        packer.append(UInt64(rows.count))
        for row in rows {
            packer.append(row.charge)
            packer.append(UInt64(row.refunded))
        }
    }

    mutating func restoreRefunds(
        of account: UInt32, from fields: inout ByteUnpacker
    ) throws(UnpackingError) {
        var rows: [(charge: UInt64, refunded: Int64)] = []
        for _ in 0..<(try fields.unsigned()) {
            let charge = try fields.unsigned()
            rows.append((charge, try fields.amount()))
        }
        // Each goes to the front of the list, so the last comes first.
        for row in rows.reversed() {
            guard refundIndex[row.charge] == nil else { throw UnpackingError(offset: 0) }
            addRefund(row.refunded, of: row.charge, to: account)
        }
    }

    // MARK: - Replay

    func check(refund amount: Int64, of charge: ChargeLink) throws(EntryError) {
        let (sum, overflow) = refunded(of: charge.sequence).addingReportingOverflow(amount)
        guard charge.sequence > 0, charge.sequence <= sequence, !overflow, sum <= charge.charged else {
            throw contradiction(
                "\(amount) nanocredits are refunded of entry \(charge.sequence), which charged"
                    + " \(charge.charged), of which \(refunded(of: charge.sequence)) were refunded before")
        }
    }

    private func check(_ entry: DeductEntry) throws(EntryError) {
        let wallet = accounts[entry.wallet]
        try check(
            balance: wallet.balance.subtractingReportingOverflow(entry.amount), says: entry.balanceAfter,
            of: entry.wallet)
        guard entry.amount > 0,
            !side(of: entry.wallet).deducted.addingReportingOverflow(entry.amount).overflow
        else {
            throw contradiction(
                "\(entry.amount) nanocredits are deducted after \(side(of: entry.wallet).deducted)")
        }
        try check(entry.draws, paying: entry.amount, of: entry.wallet)
    }

    /// Applies an act that fits the state.
    mutating func applyAct(_ kind: EntryKind, fields: inout ByteUnpacker) throws {
        switch kind {
        case .deducted:
            let (time, entry) = try fields.deducted()
            try check(account: entry.wallet, path: entry.path)
            try check(entry)
            applyDeducted(entry, time: time)
        case .grantVoided:
            let (time, entry) = try fields.grantEnded(isVoided: true)
            try check(account: entry.wallet, path: entry.path)
            try check(entry)
            applyGrantEnded(entry, time: time)
        case .noted:
            let (time, entry) = try fields.noted()
            try check(account: entry.account, path: entry.path)
            applyNoted(entry, time: time)
        default:
            let (time, entry) = try fields.grantByAct()
            try check(account: entry.wallet, path: entry.path)
            try check(entry)
            applyGrant(entry, time: time)
        }
    }

    /// Remembers the key of an act that the checkpoint's rows include.
    mutating func rememberAct(_ kind: EntryKind, sequence at: UInt64, fields: inout ByteUnpacker) throws {
        switch kind {
        case .deducted:
            let (time, entry) = try fields.deducted()
            remember(entry.act, moved: -entry.amount, sequence: at, time: time)
        case .grantVoided:
            let (time, entry) = try fields.grantEnded(isVoided: true)
            remember(entry.act, moved: -entry.amount, sequence: at, time: time)
        case .noted:
            let (time, entry) = try fields.noted()
            remember(entry.act, moved: 0, sequence: at, time: time)
        default:
            let (time, entry) = try fields.grantByAct()
            guard let key = entry.key else { return }
            var act = ActDetails()
            act.key = key
            act.digest = entry.digest
            remember(act, moved: entry.amount, sequence: at, time: time)
        }
    }
}
