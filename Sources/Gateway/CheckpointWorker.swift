// Takes checkpoints in the background and lets the journal go once nobody needs it.
//
// The changed accounts are copied shard by shard, each under its lock for a moment, and written in one
// SQLite transaction. It commits only after everything it contains is durable in the journal, so a
// checkpoint is never ahead of what was promised.

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

extension Gateway {
    /// Writes the accounts that changed since the last checkpoint.
    ///
    /// - Throws: `.retryLater` with the accounts marked as changed again; else what ends the process.
    func checkpoint() throws(StoreError) -> CheckpointStore.Outcome {
        let started = clock.monotonicNanoseconds()
        // Every entry up to here is in the accounts already, whatever shard it is of.
        let appliedLSN = journal.durableLSN
        var snapshots: [ShardSnapshot] = []
        do throws(StoreError) {
            let outcome = try checkpoints.write { (writer) throws(StoreError) in
                var copies = AccountCopies()
                var mark = AnswerMark()
                for shard in 0..<ledger.shardCount {
                    let snapshot = ledger.copyChanged(shard: shard, into: &copies, mark: &mark)
                    snapshots.append(snapshot)
                    try copies.forEach(shard: shard) { (record) throws(StoreError) in
                        try writer.write(
                            CheckpointRow(
                                shard: UInt16(record.shard), number: record.number, path: record.path,
                                balance: record.balance, state: record.state))
                    }
                }
                waitUntilDurable(settle(mark))
                return CheckpointStamp(
                    epoch: control.directory.epoch, appliedLSN: appliedLSN, durableLSN: journal.durableLSN,
                    chain: [], liveSegments: ["\(journal.currentSegmentID)"],
                    writtenAt: clock.wallMicroseconds(), sequences: snapshots.map(\.sequence))
            }
            checkpointFigures.withLock { figures in
                figures.count += 1
                figures.lastAccounts = outcome.rowCount
                figures.lastNanoseconds = clock.monotonicNanoseconds() - started
                figures.lastAt = clock.wallMicroseconds()
            }
            return outcome
        } catch {
            for snapshot in snapshots { ledger.giveBack(snapshot) }
            checkpointFigures.withLock { $0.failures += 1 }
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
