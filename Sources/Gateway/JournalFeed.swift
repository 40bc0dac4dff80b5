// What the journal takes from the ledger, and whom it tells: the journal's side of the middle.

import Journal
import Ledger
import Synchronization

/// Hands staged entries to the journal and passes on what became durable.
final class JournalFeed: JournalSource {
    let durability = Durability()
    private let ledger: Ledger
    /// What waits for the next cycle. The lock comes before a shard's lock.
    private let outbox: Mutex<Outbox>
    /// What the cycle under way has taken; only the journal's thread uses it.
    private let taken: Mutex<Outbox>
    private let stagedBytesMax: Int
    private let stagedBytes = Atomic<Int>(0)
    private let congested = Atomic<Bool>(false)

    init(ledger: Ledger, pieceBytesMax: Int, stagedBytesMax: Int) {
        self.ledger = ledger
        self.stagedBytesMax = stagedBytesMax
        outbox = Mutex(Outbox(pieceBytesMax: pieceBytesMax))
        taken = Mutex(Outbox(pieceBytesMax: pieceBytesMax))
    }

    /// Moves what the shards have staged to where the journal takes it. Returns the cycle that makes it
    /// durable; see `AnswerMark`.
    func handOver(_ shards: ShardSet, journal: Journal) -> UInt64 {
        let (cycle, bytes) = outbox.withLock { outbox in
            ledger.handOver(shards, to: &outbox) { journal.startedCycle + 1 }
        }
        if bytes > 0, stagedBytes.add(bytes, ordering: .relaxed).newValue > stagedBytesMax {
            congested.store(true, ordering: .relaxed)
        }
        return cycle
    }

    /// Bytes of entries that wait for the journal.
    var waitingBytes: Int { stagedBytes.load(ordering: .relaxed) }

    /// More waits for the journal than the bound; false again when half of it has been taken.
    var isCongested: Bool { congested.load(ordering: .relaxed) }

    func collect(cycle: UInt64, into batch: inout BatchBuilder) {
        taken.withLock { taken in
            outbox.withLock { swap(&$0, &taken) }
            var bytes = 0
            taken.forEachPiece { piece, count in
                bytes += piece.count
                _ = batch.append(piece, entryCount: count)
            }
            taken.clear()
            // The pieces' heads are not counted when entries are moved, so the count is kept from falling
            // below zero.
            let left = stagedBytes.subtract(bytes, ordering: .relaxed).newValue
            if left < stagedBytesMax / 2 { congested.store(false, ordering: .relaxed) }
            if left < 0 { stagedBytes.add(-left, ordering: .relaxed) }
        }
    }

    func cycleDidBecomeDurable(_ cycle: UInt64) { durability.publish(cycle) }
}
