// How many ids memory keeps: one bound for all shards together, of which each is sure of an even share.
//
// An organisation is in one shard, and the traffic may be that of one organisation. So what others leave of the bound
// is for whoever needs it, as far as a shard's ring goes: an id leaves when all shards together are at the bound and
// its own has more than its share. While history is behind, twice the bound may be remembered before reports are
// refused; a shard that has less than its share then refuses none.

import Synchronization

/// The ids that all shards of a ledger remember. Any thread may call.
///
/// Shards take from it in blocks, so that shards on different processors rarely meet here.
final class IDRoom: Sendable {
    /// What is kept while history keeps up.
    let idsMax: Int
    /// What each shard is sure of; at least 1.
    let share: Int
    /// How many ids a shard takes or gives back at once.
    let blockCount: Int
    private let taken = Atomic<Int>(0)
    private let isPressed = Atomic<Bool>(false)

    /// Room for `idsMax` ids in `shardCount` shards, none of which is promised more than `shareMax`.
    init(idsMax: Int, shardCount: Int, shareMax: Int) {
        share = min(max(1, idsMax / shardCount), shareMax)
        self.idsMax = max(idsMax, shardCount)
        // The blocks that are not full are a small part of the share.
        blockCount = min(max(1, share / 64), 512)
    }

    /// A shard has taken a block, or gives one back.
    func add(_ change: Int) { taken.wrappingAdd(change, ordering: .relaxed) }

    /// All shards together are at the bound.
    var isFull: Bool { taken.load(ordering: .relaxed) >= idsMax }

    /// They are at twice the bound.
    var isFullTwice: Bool { taken.load(ordering: .relaxed) >= idsMax * 2 }

    /// Says that a shard remembers more than twice its share because history does not hold it yet.
    func press() { if !isPressed.load(ordering: .relaxed) { isPressed.store(true, ordering: .relaxed) } }

    /// Whether that was said since pressure was taken last.
    var hasPressure: Bool { isPressed.load(ordering: .relaxed) }

    /// Whether that was said since the last call.
    func takePressure() -> Bool { isPressed.exchange(false, ordering: .relaxed) }
}
