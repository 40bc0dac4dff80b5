// Takes checkpoints in the background and lets the journal go once nobody needs it.
//
// The changed accounts are copied shard by shard, each under its lock for a moment, and written in SQLite
// transactions of some thousand rows, each with whole shards: one large transaction would hold up the disk
// for the journal. Each commits only after everything it contains is durable in the journal, so a
// checkpoint is never ahead of what was promised. The last one says how far the journal is in the rows.

import Bytes
import Journal
import Ledger
import Platform
import Store
import Synchronization

/// What checkpoints came to, for `/metrics`.
public struct CheckpointFigures: Hashable, Sendable {
    public var count = 0
    public var failures = 0
    /// Of the last one: accounts written, and how long it took.
    public var lastAccounts = 0
    public var lastNanoseconds: UInt64 = 0
    /// When the last one was kept; microseconds since 1970.
    public var lastAt: Int64 = 0
}

/// How far the parts of a checkpoint have come.
private struct CheckpointRound {
    var nextShard = 0
    var rowCount = 0
    /// The journal is in the rows of all shards up to here, and in those of each shard up to its sequence.
    var appliedLSN: UInt64
    var sequences: [UInt64]
}

extension Gateway {
    /// Writes the accounts that changed since the last checkpoint.
    ///
    /// - Throws: `.retryLater` with the accounts that were not written marked as changed again; else what
    ///   ends the process.
    func checkpoint() throws(StoreError) -> CheckpointStore.Outcome {
        let started = clock.monotonicNanoseconds()
        // Every entry up to here is in the accounts already, whatever shard it is of.
        let appliedLSN = journal.durableLSN
        do throws(StoreError) {
            let newest = try checkpoints.newestStamp()
            var round = CheckpointRound(
                appliedLSN: newest?.appliedLSN ?? 0,
                sequences: newest?.sequences ?? [UInt64](repeating: 0, count: ledger.shardCount))
            var outcome: CheckpointStore.Outcome
            repeat {
                outcome = try writePart(of: &round, appliedLSN: appliedLSN)
            } while round.nextShard < ledger.shardCount
            checkpointFigures.withLock { figures in
                figures.count += 1
                figures.lastAccounts = round.rowCount
                figures.lastNanoseconds = clock.monotonicNanoseconds() - started
                figures.lastAt = clock.wallMicroseconds()
            }
            return outcome
        } catch {
            checkpointFigures.withLock { $0.failures += 1 }
            throw error
        }
    }

    /// Writes the rows of the next shards, until there are enough for a transaction.
    private func writePart(
        of round: inout CheckpointRound, appliedLSN: UInt64
    ) throws(StoreError) -> CheckpointStore.Outcome {
        var snapshots: [ShardSnapshot] = []
        var next = round
        let lastShard = ledger.shardCount - 1
        // What remains is known well enough beforehand: rows that come meanwhile only make it larger.
        let isLast =
            round.nextShard == lastShard
            || ledger.changedCount(from: round.nextShard) <= settings.checkpointRowsAtOnce
        do throws(StoreError) {
            let outcome = try checkpoints.write(isLast ? .whole : .part) { (writer) throws(StoreError) in
                var copies = AccountCopies()
                var mark = AnswerMark()
                var rowCount = 0
                while next.nextShard < ledger.shardCount {
                    let shard = next.nextShard
                    let isEnough = rowCount >= settings.checkpointRowsAtOnce && shard > round.nextShard
                    if !isLast, isEnough || shard == lastShard { break }
                    let snapshot = ledger.copyChanged(shard: shard, into: &copies, mark: &mark)
                    snapshots.append(snapshot)
                    try copies.forEach(shard: shard) { (record) throws(StoreError) in
                        try writer.write(
                            CheckpointRow(
                                shard: UInt16(record.shard), number: record.number, path: record.path,
                                balance: record.balance, state: record.state))
                    }
                    next.sequences[shard] = snapshot.sequence
                    rowCount += snapshot.accounts.count
                    next.nextShard += 1
                }
                next.rowCount += rowCount
                if isLast { next.appliedLSN = appliedLSN }
                waitUntilDurable(settle(mark))
                let durable = journal.durableMark
                return CheckpointStamp(
                    epoch: control.directory.epoch, appliedLSN: next.appliedLSN,
                    durableLSN: durable.lsn, chain: durable.mark.bytes,
                    liveSegments: ["\(journal.currentSegmentID)"],
                    // The next start goes on from here: never before an entry that is in the rows, whatever the
                    // machine's clock says by now.
                    writtenAt: max(clock.wallMicroseconds(), ledger.newestTime().microseconds),
                    sequences: next.sequences)
            }
            round = next
            return outcome
        } catch {
            for snapshot in snapshots { ledger.giveBack(snapshot) }
            throw error
        }
    }

    /// Sleeps until a cycle is durable. For the gateway's own threads.
    private func waitUntilDurable(_ cycle: UInt64) {
        let pause = Wakeup()
        while journal.durableCycle < cycle {
            _ = pause.wait(timeout: .milliseconds(1))
        }
    }

    /// Lets go of journal segments that both checkpoint and history have passed.
    func releaseJournal() throws(JournalError) {
        guard let releasable = checkpoints.releasableLSN else { return }
        try journal.release(through: min(releasable, history.position.lsn))
    }
}
