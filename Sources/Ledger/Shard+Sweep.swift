// Ending the grants of wallets that nobody touches.
//
// A heap of expiries would cost every grant and every draw that empties one. A walk over the accounts costs nothing
// until a grant is due: a shard knows the earliest expiry of all its grants, is left alone before, and finds the next
// one on the way. An account that a walk passes is one look at one cache line.

import Bytes
import Pricing

/// A walk over the accounts of a shard, in steps.
struct GrantSweep: BitwiseCopyable {
    /// No grant of the shard expires before.
    private(set) var nextExpiry = Timestamp.distantFuture
    /// The account to look at next; 0 between two walks.
    private(set) var nextAccount: UInt32 = 0
    /// The earliest expiry that this walk has passed, or that came since it began.
    private var passed = Timestamp.distantFuture

    /// Begins a walk, unless one is under way.
    mutating func begin() {
        if nextAccount == 0 { passed = .distantFuture }
    }

    /// Notes a grant that was given.
    mutating func include(_ expiry: Timestamp) {
        nextExpiry = min(nextExpiry, expiry)
        passed = min(passed, expiry)
    }

    mutating func pass(_ expiry: Timestamp) {
        nextAccount += 1
        passed = min(passed, expiry)
    }

    /// The walk has seen every account.
    mutating func finish() {
        nextExpiry = passed
        passed = .distantFuture
        nextAccount = 0
    }
}

extension ShardState {
    /// Ends grants whose time has come, looking at no more than about `atMost` accounts and grants. Returns whether
    /// more may be due.
    mutating func sweepGrants(until time: Timestamp, atMost: Int) -> Bool {
        guard sweep.nextExpiry <= time else { return false }
        sweep.begin()
        var left = atMost
        while Int(sweep.nextAccount) < accounts.count {
            if left <= 0 { return true }
            let account = sweep.nextAccount
            let before = stagedCount
            endExpiredGrants(of: account, time: entryTime(time))
            left -= 1 + stagedCount - before
            sweep.pass(accounts[account].nextExpiry)
        }
        sweep.finish()
        return sweep.nextExpiry <= time
    }
}

extension Ledger {
    /// Ends the grants whose time has come, a bounded number of a shard's accounts at a time, so that no lock is held
    /// long. Takes no lock where nothing is due. Returns whether more may be due.
    public func endExpiredGrants(now: Timestamp, atMost: Int = 512, mark: inout AnswerMark) -> Bool {
        var isMore = false
        for number in shards.indices
        where lookahead[number].nextGrantExpiry.load(ordering: .relaxed) <= now.microseconds {
            shards[number].state.withLock { state in
                if state.sweepGrants(until: now, atMost: atMost) { isMore = true }
                mark.include(state)
                note(number, state)
            }
        }
        return isMore
    }
}
