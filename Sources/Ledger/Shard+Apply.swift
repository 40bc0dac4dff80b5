// Applying entries: the only place where a shard's state changes. It cannot fail: whatever could be
// wrong with an entry was decided before, or is refused by replay before it comes here.

import Bytes
import Pricing

extension ShardState {
    @inline(__always)
    mutating func advance(to time: Timestamp) {
        sequence += 1
        self.time = time
    }

    @inline(__always)
    mutating func applyCharge(
        _ entry: ChargeEntry, _ counted: RecordContent.Counted? = nil, time: Timestamp, eventTime: Timestamp
    ) {
        takeCharge(entry, time: time)
        if budgetCount > 0 { countInBudgets(entry, counted, time: time) }
        if let orphan = entry.orphan { rememberSettled(orphan, sequence: sequence) }
        remember(
            entry.key,
            RememberedOutcome(
                digest: entry.digest, sequence: sequence, charge: entry.charge, state: entry.state),
            eventTime: eventTime.microseconds)
    }

    /// Moves what a charge moves; what is remembered of its id is the caller's.
    @inline(__always)
    mutating func takeCharge(_ entry: ChargeEntry, time: Timestamp, holdEndsAs state: HoldState = .settled) {
        advance(to: time)
        let charge = entry.charge
        if charge > 0 {
            var emptied = false
            entry.draws.forEach { draw in
                if take(draw.amount, fromGrant: draw.grant, of: entry.wallet) { emptied = true }
            }
            if emptied, accounts[entry.wallet].nextExpiry != .distantFuture {
                refreshNextExpiry(of: entry.wallet)
            }
            accounts[entry.wallet].balance -= charge
            accounts[entry.wallet].charged += charge
            totals.charged += Int128(charge)
            totals.balances -= Int128(charge)
        }
        if entry.allowanceUsed > 0 {
            useAllowance(entry.allowanceUsed, of: entry.wallet, rule: entry.ruleNumber, month: entry.month)
        }
        if charge > 0 || entry.allowanceUsed > 0 { markDirty(entry.wallet) }
        if let hold = entry.hold {
            if state == .settled {
                endHold(hold, as: .settled)
            } else {
                endHold(hold, as: state, orphan: checkedOrphan(of: entry), charge: charge)
            }
        }
    }

    /// Remembers what came of an id, and forgets the oldest that history holds where the bound is reached.
    mutating func remember(_ key: Hash128, _ outcome: RememberedOutcome, eventTime: Int64) {
        if ids.count >= idsShare { _ = makeRoomForID() }
        ids.insert(key, outcome: outcome, eventTime: eventTime)
    }

    mutating func applyGrant(_ entry: GrantEntry, time: Timestamp) {
        advance(to: time)
        accounts[entry.wallet].balance += entry.amount
        accounts[entry.wallet].granted += entry.amount
        totals.granted += Int128(entry.amount)
        totals.balances += Int128(entry.amount)
        let remaining = entry.amount - entry.debtRepaid
        if remaining > 0 {
            if !entry.filter.isEmpty { keepFilter(entry.filter, of: sequence, wallet: entry.wallet) }
            addGrant(
                GrantRow(
                    id: sequence, remaining: remaining, amount: entry.amount, expiresAt: entry.expiresAt,
                    next: AccountRow.none, burnOrder: entry.burnOrder, kind: entry.kind,
                    hasFilter: !entry.filter.isEmpty),
                to: entry.wallet)
        }
        if let charge = entry.refundOf { addRefund(entry.amount, of: charge.sequence, to: entry.wallet) }
        markDirty(entry.wallet)
        if let key = entry.key {
            remember(
                key,
                RememberedOutcome(
                    digest: entry.digest, sequence: sequence, charge: -entry.amount, state: .charged),
                eventTime: time.microseconds)
        }
    }

    mutating func applyGrantEnded(_ entry: GrantEndedEntry, time: Timestamp) {
        advance(to: time)
        _ = take(entry.amount, fromGrant: entry.grant, of: entry.wallet)
        accounts[entry.wallet].balance -= entry.amount
        switch entry.cause {
        case .expired:
            sides[makeSide(of: entry.wallet)].expired += entry.amount
            totals.expired += Int128(entry.amount)
        case .voided:
            sides[makeSide(of: entry.wallet)].voided += entry.amount
            totals.voided += Int128(entry.amount)
            remember(entry.act, moved: -entry.amount, sequence: sequence, time: time)
        }
        totals.balances -= Int128(entry.amount)
        refreshNextExpiry(of: entry.wallet)
        markDirty(entry.wallet)
    }

    mutating func applyAccountOpened(
        _ entry: AccountOpenedEntry, hash: Hash128, ancestors: [Hash128], time: Timestamp
    ) {
        advance(to: time)
        let number = addAccount(path: entry.path, hash: hash, ancestors: ancestors, tier: entry.tier)
        accounts[number].ownsWallet = entry.ownsWallet
        accounts[number].unlimited = entry.unlimited
        accounts[number].overdraftLimit = entry.overdraftLimit
        markDirty(number)
    }

    mutating func applyAccountChanged(_ entry: AccountChangedEntry, time: Timestamp) {
        advance(to: time)
        let tier = tiers.add(entry.tier)
        accounts[entry.account].status = entry.status
        accounts[entry.account].unlimited = entry.unlimited
        accounts[entry.account].overdraftLimit = entry.overdraftLimit
        accounts[entry.account].tier = tier
        markDirty(entry.account)
    }

    // MARK: - Parts

    /// Adds the row of a new account and links it into the tree. `ancestors` are the hashes of the paths
    /// upward, nearest first.
    mutating func addAccount(path: ByteView, hash: Hash128, ancestors: [Hash128], tier: ByteView) -> UInt32 {
        var parent = AccountRow.none
        for ancestor in ancestors {
            if let found = find(ancestor) {
                parent = found
                break
            }
            missingParents.insert(ancestor)
        }
        let offset = paths.count
        paths.append(bytes: path)
        if parent != AccountRow.none { hasLevels = true }
        let number = accounts.append(
            AccountRow(
                hash: hash, pathOffset: UInt32(offset), pathCount: UInt8(path.count), tier: tiers.add(tier),
                parent: parent))
        index.insert(hash, number: number, rows: accounts)
        totals.accounts += 1
        if missingParents.mayContain(hash) { adopt(below: self.path(of: number), number: number) }
        return number
    }

    /// Gives accounts that were opened before their parent the parent they have now. O(accounts of the
    /// shard), and only run when some account seems to have waited for this path.
    private mutating func adopt(below path: ByteView, number: UInt32) {
        for other in 0..<UInt32(accounts.count) where other != number {
            let otherPath = self.path(of: other)
            guard otherPath.count > path.count + 1, otherPath[path.count] == UInt8(ascii: "/"),
                otherPath[0..<path.count] == path
            else { continue }
            let parent = accounts[other].parent
            if parent == AccountRow.none || Int(accounts[parent].pathCount) < path.count {
                accounts[other].parent = number
                hasLevels = true
            }
        }
    }

    /// Counts allowance used in a month; the oldest bucket that is two months older makes room. Which one
    /// that is does not depend on the order of the list.
    mutating func useAllowance(_ amount: Int64, of wallet: UInt32, rule: UInt32, month: CalendarMonth) {
        var reusable = AccountRow.none
        var current = accounts[wallet].firstAllowance
        while current != AccountRow.none {
            let row = allowances[current]
            if row.rule == rule {
                if row.month == month {
                    allowances[current].used += amount
                    return
                }
                if month.count - row.month.count > 1,
                    reusable == AccountRow.none || row.month < allowances[reusable].month
                {
                    reusable = current
                }
            }
            current = row.next
        }
        if reusable != AccountRow.none {
            allowances[reusable].month = month
            allowances[reusable].used = amount
            return
        }
        addAllowance(AllowanceRow(used: amount, rule: rule, month: month, next: AccountRow.none), to: wallet)
    }

    /// What the wallet has used of a rule's allowance in a month.
    func allowanceUsed(of wallet: UInt32, rule: UInt32, month: CalendarMonth) -> Int64 {
        var current = accounts[wallet].firstAllowance
        while current != AccountRow.none {
            let row = allowances[current]
            if row.rule == rule, row.month == month { return row.used }
            current = row.next
        }
        return 0
    }

    mutating func addAllowance(_ allowance: AllowanceRow, to wallet: UInt32) {
        var allowance = allowance
        allowance.next = accounts[wallet].firstAllowance
        let number = allowances.append(allowance)
        accounts[wallet].firstAllowance = number
    }
}

/// Paths that some account would have as its parent if they existed: a Bloom filter with one hash, so
/// that opening an account seldom looks for children that were opened before it.
struct MissingParents {
    private var bits = [UInt64](repeating: 0, count: 1024)

    private func place(_ hash: Hash128) -> (word: Int, bit: UInt64) {
        let position = Int(truncatingIfNeeded: hash.high &>> 48)
        return (position / 64, 1 &<< UInt64(position % 64))
    }

    mutating func insert(_ hash: Hash128) {
        let (word, bit) = place(hash)
        bits[word] |= bit
    }

    func mayContain(_ hash: Hash128) -> Bool {
        let (word, bit) = place(hash)
        return bits[word] & bit != 0
    }
}
