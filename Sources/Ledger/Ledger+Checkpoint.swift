// The ledger's side of the checkpoint: the accounts that changed, shard by shard.

import Bytes
import Pricing
import Synchronization

/// What a shard gave to a checkpoint.
public struct ShardSnapshot: Hashable, Sendable {
    public var shard: Int
    /// The rows include every entry up to this.
    public var sequence: UInt64
    /// The accounts taken, to be given back if the checkpoint fails.
    public var accounts: [UInt32]
}

/// Copies of account rows, packed so that a shard's lock is held only while they are copied.
public struct AccountCopies: ~Copyable, Sendable {
    private var states = BytePacker(capacity: 1 << 16)
    private var paths = BytePacker(capacity: 1 << 14)
    private var rows: [(number: UInt32, balance: Int64, stateEnd: Int, pathEnd: Int)] = []

    public init() {}

    mutating func clear() {
        states.clear()
        paths.clear()
        rows.removeAll(keepingCapacity: true)
    }

    mutating func add(_ number: UInt32, of state: borrowing ShardState) {
        state.packState(of: number, into: &states)
        paths.append(bytes: state.path(of: number))
        rows.append((number, state.accounts[number].balance, states.count, paths.count))
    }

    /// Lends each copied row, in the order of account numbers.
    public func forEach<Failure: Error>(
        shard: Int, _ body: (AccountRecord) throws(Failure) -> Void
    ) throws(Failure) {
        var (stateStart, pathStart) = (0, 0)
        for row in rows {
            try body(
                AccountRecord(
                    shard: shard, number: row.number, path: paths.view[pathStart..<row.pathEnd],
                    balance: row.balance, state: states.view[stateStart..<row.stateEnd]))
            stateStart = row.stateEnd
            pathStart = row.pathEnd
        }
    }
}

extension Ledger {
    /// Copies the accounts of a shard that changed since they were last copied. The lock is held for
    /// about 150 ns an account.
    /// `mark` is moved on to what the checkpoint waits for.
    public func copyChanged(
        shard: Int, into copies: inout AccountCopies, mark: inout AnswerMark
    ) -> ShardSnapshot {
        copies.clear()
        return shards[shard].state.withLock { state in
            var changed: [UInt32] = []
            swap(&changed, &state.dirty)
            changed.sort()
            for number in changed {
                state.accounts[number].isDirty = false
                copies.add(number, of: state)
            }
            mark.include(state)
            return ShardSnapshot(shard: shard, sequence: state.sequence, accounts: changed)
        }
    }

    /// Marks the accounts of a snapshot as changed again: its checkpoint was not kept.
    public func giveBack(_ snapshot: ShardSnapshot) {
        shards[snapshot.shard].state.withLock { state in
            for number in snapshot.accounts { state.markDirty(number) }
        }
    }

    /// The time of the newest entry of all shards.
    public func newestTime() -> Timestamp {
        var newest = Timestamp.distantPast
        for number in shards.indices { newest = max(newest, shards[number].state.withLock { $0.time }) }
        return newest
    }

    /// How many accounts of the shards from `first` on wait for a checkpoint.
    public func changedCount(from first: Int = 0) -> Int {
        var count = 0
        for number in first..<shards.count { count += shards[number].state.withLock { $0.dirty.count } }
        return count
    }

    /// Takes an account from a checkpoint row. Rows of one shard come in the order of their numbers.
    public func restore(_ record: AccountRecord) throws(EntryError) {
        do {
            _ = try AccountPath.organisationCount(of: record.path)
        } catch {
            throw .contradiction(
                shard: record.shard, sequence: 0, what: "checkpoint row \(record.number): \(error)")
        }
        let hashes = keys.path(record.path)
        guard shard(of: hashes.organisation) == record.shard, record.shard < shards.count else {
            throw .contradiction(
                shard: record.shard, sequence: 0,
                what: "account \(record.path.text) belongs to shard \(shard(of: hashes.organisation))")
        }
        try shards[record.shard].state.withLock { (state) throws(EntryError) in
            try state.restore(record, hash: hashes.account, ancestors: hashes.ancestors)
            note(record.shard, state)
        }
    }

    /// Says that a shard's restored rows include every entry up to `sequence`, made at `time` or before.
    public func setCheckpoint(shard: Int, sequence: UInt64, time: Timestamp) {
        shards[shard].state.withLock { state in
            state.sequence = sequence
            state.time = max(state.time, time)
            state.recountHeldOfAll()
        }
    }

    /// Calls `body` with every account. The shard is locked meanwhile, so `body` only copies.
    public func forEachAccount(_ body: (_ path: ByteView, _ balance: Int64) -> Void) {
        for shard in shards.indices {
            shards[shard].state.withLock { state in
                for number in 0..<UInt32(state.accounts.count) {
                    body(state.path(of: number), state.accounts[number].balance)
                }
            }
        }
    }

    /// Calls `body` with every account and what moved its credit. The shard is locked meanwhile, so `body` only
    /// copies.
    public func forEachAccountSums(_ body: (_ path: ByteView, _ sums: AccountSums) -> Void) {
        for shard in shards.indices {
            shards[shard].state.withLock { state in
                for number in 0..<UInt32(state.accounts.count) {
                    let row = state.accounts[number]
                    let side = state.side(of: number)
                    body(
                        state.path(of: number),
                        AccountSums(
                            balance: row.balance, granted: row.granted, charged: row.charged,
                            expired: side.expired, voided: side.voided, deducted: side.deducted))
                }
            }
        }
    }
}

/// What moved an account's credit since it was opened, in nanocredits:
/// `balance = granted - charged - expired - voided - deducted`.
public struct AccountSums: Hashable, Sendable {
    public var balance: Int64
    public var granted: Int64
    public var charged: Int64
    public var expired: Int64
    public var voided: Int64
    public var deducted: Int64
}
