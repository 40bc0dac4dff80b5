// What replay refuses before it applies. The journal finds damage on disk; what is found here was written
// by a bug, by another data directory, or by a hand. Each check stands for something that applying takes
// for granted, so a wrong entry ends a start with its place, and never the process in the middle of it.

import Bytes
import Pricing

extension ShardState {
    func check(account: UInt32) throws(EntryError) {
        guard Int(account) < accounts.count else {
            throw .unknownAccount(shard: number, number: account, sequence: sequence + 1)
        }
    }

    /// The account's number and its path belong together.
    func check(account: UInt32, path: ByteView) throws(EntryError) {
        try check(account: account)
        guard self.path(of: account) == path else {
            throw contradiction(
                "account \(account) is \(self.path(of: account).text), its entry says \(path.text)")
        }
    }

    /// Names of tiers are numbered in 16 bits, one of which means none.
    func check(tier: ByteView, sequence: UInt64) throws(EntryError) {
        guard tier.isEmpty || tiers.count < Int(AccountRow.inheritedTier) || tiers.number(of: tier) != nil
        else {
            throw .contradiction(
                shard: number, sequence: sequence, what: "\(tier.text) is one more than \(tiers.count) tiers")
        }
    }

    /// A charge takes what its grants have, in the order in which they burn.
    func check(_ entry: ChargeEntry) throws(EntryError) {
        let wallet = accounts[entry.wallet]
        try check(
            balance: wallet.balance.subtractingReportingOverflow(entry.charge), says: entry.balanceAfter,
            of: entry.wallet)
        guard !wallet.charged.addingReportingOverflow(entry.charge).overflow else {
            throw contradiction("the charges of account \(path(of: entry.wallet).text) do not fit in 64 bits")
        }
        try check(entry.draws, paying: entry.charge, of: entry.wallet)
        if let hold = entry.hold { try check(hold: hold, releases: entry.holdReleased) }
        if let orphan = entry.orphan { try check(orphan) }
        guard entry.allowanceUsed > 0 else { return }
        let used = allowanceUsed(of: entry.wallet, rule: entry.ruleNumber, month: entry.month)
        guard !used.addingReportingOverflow(entry.allowanceUsed).overflow else {
            throw contradiction(
                "the allowance of account \(path(of: entry.wallet).text) does not fit in 64 bits")
        }
    }

    /// What is drawn is there, in the order in which grants burn, and no more than is owed.
    func check(_ draws: PackedDraws, paying charge: Int64, of wallet: UInt32) throws(EntryError) {
        var owed = charge
        var grant = firstGrant(of: wallet)
        try draws.forEach { (draw) throws(EntryError) in
            while let passed = grant, passed.id != draw.grant { grant = self.grant(after: passed) }
            guard let drawn = grant else {
                throw contradiction(
                    "account \(path(of: wallet).text) has no grant \(draw.grant) to draw on")
            }
            guard draw.amount > 0, draw.amount <= drawn.remaining, draw.amount <= owed else {
                throw contradiction(
                    "\(draw.amount) nanocredits of a charge of \(charge) are drawn from grant"
                        + " \(draw.grant), which has \(drawn.remaining)")
            }
            owed -= draw.amount
            grant = self.grant(after: drawn)
        }
    }

    func check(_ entry: GrantEntry) throws(EntryError) {
        let wallet = accounts[entry.wallet]
        try check(
            balance: wallet.balance.addingReportingOverflow(entry.amount), says: entry.balanceAfter,
            of: entry.wallet)
        guard entry.amount > 0, !wallet.granted.addingReportingOverflow(entry.amount).overflow else {
            throw contradiction("a grant of \(entry.amount) nanocredits after \(wallet.granted)")
        }
        if let charge = entry.refundOf { try check(refund: entry.amount, of: charge) }
    }

    func check(_ entry: GrantEndedEntry) throws(EntryError) {
        let wallet = accounts[entry.wallet]
        var grant = firstGrant(of: entry.wallet)
        while let passed = grant, passed.id != entry.grant { grant = self.grant(after: passed) }
        guard grant?.remaining == entry.amount else {
            throw contradiction(
                "account \(path(of: entry.wallet).text) has no grant \(entry.grant) with"
                    + " \(entry.amount) nanocredits left to end")
        }
        guard !side(of: entry.wallet).expired.addingReportingOverflow(entry.amount).overflow,
            !side(of: entry.wallet).voided.addingReportingOverflow(entry.amount).overflow
        else {
            throw contradiction(
                "what ended of account \(path(of: entry.wallet).text) does not fit in 64 bits")
        }
        try check(
            balance: wallet.balance.subtractingReportingOverflow(entry.amount), says: entry.balanceAfter,
            of: entry.wallet)
    }

    /// The next account of this shard, with a path of its own. A path that belongs to another shard shows
    /// that the chunk was written under another secret or another number of shards.
    func check(
        _ entry: AccountOpenedEntry, keys: KeyMaker, shardCount: Int
    ) throws(EntryError) -> (account: Hash128, ancestors: [Hash128]) {
        guard Int(entry.account) == accounts.count else {
            throw .unknownAccount(shard: number, number: entry.account, sequence: sequence + 1)
        }
        do {
            _ = try AccountPath.organisationCount(of: entry.path)
        } catch {
            throw contradiction("account \(entry.account): \(error)")
        }
        try check(tier: entry.tier, sequence: sequence + 1)
        let hashes = keys.path(entry.path)
        let shard = ShardTable.number(of: hashes.organisation, count: shardCount)
        guard shard == number else {
            throw contradiction("account \(entry.path.text) belongs to shard \(shard)")
        }
        guard find(hashes.account) == nil else {
            throw contradiction("account \(entry.path.text) is opened twice")
        }
        return (hashes.account, hashes.ancestors)
    }

    /// Every entry says the balance it left: replay that comes to another one is refused.
    func check(
        balance: (partialValue: Int64, overflow: Bool), says: Int64, of wallet: UInt32
    ) throws(EntryError) {
        guard !balance.overflow, balance.partialValue == says else {
            throw contradiction(
                "account \(path(of: wallet).text) would have \(balance.partialValue) nanocredits"
                    + "\(balance.overflow ? " after an overflow" : ""), its entry says \(says)")
        }
    }

    /// What an entry that comes next contradicts.
    func contradiction(_ what: String) -> EntryError {
        .contradiction(shard: number, sequence: sequence + 1, what: what)
    }
}
