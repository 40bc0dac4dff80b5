// Accounts and credit: opening, changing, granting, and what expires at first touch.

import Bytes
import Pricing

extension ShardState {
    /// Opens an account. `ancestors` are the hashes of the paths upward, nearest first.
    mutating func open(
        path: ByteView, hash: Hash128, ancestors: [Hash128], settings: AccountSettings, now: Timestamp
    ) -> ActAnswer {
        if find(hash) != nil { return .refused(Refusal(.accountExists, field: .account)) }
        // The path leads to an account that was moved: nobody else's, ever.
        if currentPath(of: path) != nil {
            return .refused(Refusal(.accountExists, field: .account, found: AccountSettings.isFormerName))
        }
        guard accounts.count < Int(UInt32.max) - 1, paths.count + path.count <= Int(UInt32.max) else {
            return .refused(Refusal(.overloaded))
        }
        var hasWalletAbove = false
        for ancestor in ancestors {
            guard let parent = find(ancestor) else { continue }
            hasWalletAbove = standing(of: parent).wallet != nil
            break
        }
        guard settings.ownsWallet || hasWalletAbove else {
            return .refused(Refusal(.invalidArgument, field: .account))
        }
        guard settings.overdraftLimit >= 0 else {
            return .refused(Refusal(.invalidArgument, field: .amount, found: settings.overdraftLimit))
        }
        guard settings.status == .active else {
            return .refused(Refusal(.invalidArgument, found: Int64(settings.status.rawValue)))
        }
        if let refusal = tierFault(settings.tier) { return .refused(refusal) }
        let time = entryTime(now)
        return (settings.tier ?? []).withView { tier in
            var entry = AccountOpenedEntry()
            entry.account = UInt32(accounts.count)
            entry.path = path
            entry.ownsWallet = settings.ownsWallet
            entry.unlimited = settings.unlimited
            entry.overdraftLimit = settings.overdraftLimit
            entry.tier = tier
            staged.append(time: time, entry)
            didStage()
            applyAccountOpened(entry, hash: hash, ancestors: ancestors, time: time)
            return .done(ActReceipt(sequence: sequence, duplicate: false, balance: 0))
        }
    }

    /// Changes what an account is from now on. What is not named stays as it is now, under the same lock, so
    /// two changes at a time lose nothing.
    mutating func change(_ hash: Hash128, _ change: AccountChange, reason: ByteView, now: Timestamp)
        -> ActAnswer
    {
        guard let account = find(hash) else { return .refused(Refusal(.accountNotFound, field: .account)) }
        let row = accounts[account]
        let overdraftLimit = change.overdraftLimit ?? row.overdraftLimit
        guard overdraftLimit >= 0 else {
            return .refused(Refusal(.invalidArgument, field: .amount, found: overdraftLimit))
        }
        let newTier = change.tier.map { $0 ?? [] } ?? Array(tier(row.tier))
        if let refusal = tierFault(newTier) { return .refused(refusal) }
        let time = entryTime(now)
        return newTier.withView { tier in
            var entry = AccountChangedEntry()
            entry.account = account
            entry.path = self.path(of: account)
            entry.status = change.status ?? row.status
            entry.unlimited = change.unlimited ?? row.unlimited
            entry.overdraftLimit = overdraftLimit
            entry.tier = tier
            entry.reason = reason
            staged.append(time: time, entry)
            didStage()
            applyAccountChanged(entry, time: time)
            let wallet = standing(of: account).wallet
            return .done(
                ActReceipt(
                    sequence: sequence, duplicate: false, balance: wallet.map { accounts[$0].balance } ?? 0))
        }
    }

    /// Why an account cannot be in a tier: its name is too long, or the shard knows too many already.
    private func tierFault(_ tier: [UInt8]?) -> Refusal? {
        guard let tier, !tier.isEmpty else { return nil }
        guard tier.count <= LedgerLimits.tierBytesMax else {
            return Refusal(
                .invalidArgument, found: Int64(tier.count), expected: Int64(LedgerLimits.tierBytesMax))
        }
        guard tiers.count < LedgerLimits.tiersPerShardMax || tier.withView({ tiers.number(of: $0) }) != nil
        else {
            return Refusal(
                .invalidArgument, found: Int64(tiers.count), expected: Int64(LedgerLimits.tiersPerShardMax))
        }
        return nil
    }

    /// Gives credit to the account's wallet; debt is repaid first.
    mutating func grant(
        _ request: GrantRequest, to hash: Hash128, key: Hash128?, digest: UInt64, now: Timestamp,
        history: HistoryAnswer
    ) -> ActAnswer {
        guard let account = find(hash) else { return .refused(Refusal(.accountNotFound, field: .account)) }
        let standing = standing(of: account)
        guard let wallet = standing.wallet else {
            return .refused(Refusal(.accountNotFound, field: .account))
        }
        let time = entryTime(now)
        if let first = firstAct(key, digest: digest, wallet: wallet, history: history) { return first }
        guard standing.status != .closed else { return .refused(Refusal(.accountClosed, field: .account)) }
        guard request.amount > 0 else {
            return .refused(Refusal(.invalidArgument, field: .amount, found: request.amount, expected: 1))
        }
        guard request.expiresAt > time else {
            return .refused(
                Refusal(
                    .invalidArgument, field: .eventTime, found: request.expiresAt.microseconds,
                    expected: time.microseconds))
        }
        endExpiredGrants(of: wallet, time: time)
        return stageGrant(request, to: wallet, key: key, digest: digest, time: time)
    }

    /// Gives the credit of a request that fits, with what an act says beside it.
    mutating func stageGrant(
        _ request: GrantRequest, to wallet: UInt32, key: Hash128?, digest: UInt64, time: Timestamp,
        refundOf charge: ChargeLink? = nil, transferredFrom other: ByteView = ByteView(),
        burnOrder: UInt16? = nil
    ) -> ActAnswer {
        let row = accounts[wallet]
        let (after, overflow) = row.balance.addingReportingOverflow(request.amount)
        guard !overflow, !row.granted.addingReportingOverflow(request.amount).overflow else {
            return .refused(
                Refusal(.invalidArgument, field: .amount, found: request.amount, expected: .max - row.granted)
            )
        }
        let grantCount = grantCount(of: wallet)
        guard grantCount < LedgerLimits.grantsPerWalletMax else {
            return .refused(
                Refusal(
                    .invalidArgument, field: .records, found: Int64(grantCount),
                    expected: Int64(LedgerLimits.grantsPerWalletMax)))
        }
        var entry = GrantEntry()
        entry.wallet = wallet
        entry.path = path(of: wallet)
        entry.kind = request.kind
        entry.burnOrder = burnOrder ?? request.kind.defaultBurnOrder
        entry.amount = request.amount
        // What a filtered grant may pay for is not what the debt is of.
        entry.debtRepaid = request.filter.isEmpty ? min(request.amount, debt(of: wallet)) : 0
        entry.expiresAt = request.expiresAt
        entry.key = key
        entry.digest = digest
        entry.balanceAfter = after
        entry.refundOf = charge
        entry.transferredFrom = other
        let texts = [
            request.source, request.metadata, request.idempotencyKey ?? [], request.actor, request.reason,
            request.filter.packed,
        ]
        texts.withViews { views in
            entry.source = views[0]
            entry.metadata = views[1]
            entry.idempotencyKey = views[2]
            entry.actor = views[3]
            entry.reason = views[4]
            entry.filter = views[5]
            staged.append(time: time, entry)
            didStage()
            applyGrant(entry, time: time)
        }
        return .done(
            ActReceipt(
                sequence: sequence, duplicate: false, balance: after, balanceBefore: row.balance,
                moved: request.amount))
    }

    /// What no grant has paid, at most `Int64.max`: with filters a wallet may have credit and debt at once.
    func debt(of wallet: UInt32) -> Int64 {
        var unspent: Int128 = 0
        forEachGrant(of: wallet) { unspent += Int128($0.remaining) }
        return Int64(clamping: unspent - Int128(accounts[wallet].balance))
    }

    /// Ends the grants of a wallet whose time has come: each gets its entry, at first touch.
    @inline(__always)
    mutating func endExpiredGrants(of wallet: UInt32, time: Timestamp) {
        if accounts[wallet].nextExpiry <= time { endExpiredGrantsNow(of: wallet, time: time) }
    }

    @inline(never)
    private mutating func endExpiredGrantsNow(of wallet: UInt32, time: Timestamp) {
        while let grant = firstExpired(of: wallet, time: time) {
            var entry = GrantEndedEntry()
            entry.wallet = wallet
            entry.path = path(of: wallet)
            entry.grant = grant.id
            entry.amount = grant.remaining
            entry.balanceAfter = accounts[wallet].balance - grant.remaining
            staged.append(time: time, entry)
            didStage()
            applyGrantEnded(entry, time: time)
        }
    }

    /// What an account may spend now. Ends what has expired first, so the answer is never stale.
    mutating func summary(_ hash: Hash128, now: Timestamp) -> AccountSummary? {
        guard let account = find(hash) else { return nil }
        let standing = standing(of: account)
        guard let wallet = standing.wallet else { return nil }
        endExpiredGrants(of: wallet, time: entryTime(now))
        expireHolds(until: entryTime(now))
        let row = accounts[wallet]
        var remaining: [GrantKind: Int64] = [:]
        forEachGrant(of: wallet) { remaining[$0.kind, default: 0] += $0.remaining }
        return AccountSummary(
            path: Array(path(of: account)), wallet: Array(path(of: wallet)), tier: Array(tier(standing.tier)),
            status: standing.status, unlimited: row.unlimited, balance: row.balance,
            held: accounts[wallet].held,
            overdraftLimit: row.overdraftLimit, available: available(of: wallet),
            granted: row.granted, charged: row.charged, expired: side(of: wallet).expired,
            voided: side(of: wallet).voided,
            deducted: side(of: wallet).deducted, remaining: remaining,
            nextExpiry: row.nextExpiry, sequence: sequence)
    }
}
