// The shards of a ledger, and what can be known of them without their locks.
//
// Both tables are flat blocks: reaching a shard costs no reference count, and its lines can be asked
// for before they are needed.

import Bytes
import CPlatform
import Synchronization

/// A shard behind its lock.
struct Shard: ~Copyable {
    let next = NextWrites()
    let state: Mutex<ShardState>
    /// Behind the state: the lines in front are those that every charge needs.
    let holds = HoldPlaces()
    let levels = LevelPlaces()
}

/// Where a shard's next charge will write, for prefetching by somebody who does not hold the lock. A store that has to wait
/// for its line holds up those behind it, and soon the processor. On the line of the lock, which is written as often.
struct NextWrites: ~Copyable {
    private let outcome = Atomic<UInt>(0)
    private let entry = Atomic<UInt>(0)
    private let draws = Atomic<UInt>(0)
    private let hasMore = Atomic<Bool>(false)

    /// What applies to an account may also stand elsewhere than in its row.
    var mayHaveMore: Bool { hasMore.load(ordering: .relaxed) }

    /// Notes what a shard's state has come to.
    @inline(__always)
    func note(_ state: borrowing ShardState) {
        outcome.store(state.ids.nextRow, ordering: .relaxed)
        entry.store(state.staged.endAddress, ordering: .relaxed)
        draws.store(state.drawn.startAddress, ordering: .relaxed)
        let more = state.hasLevels || state.budgetCount > 0
        if hasMore.load(ordering: .relaxed) != more { hasMore.store(more, ordering: .relaxed) }
    }

    @inline(__always)
    func prefetch() {
        // Most outcomes lie across two lines, and an entry across three.
        let outcome = outcome.load(ordering: .relaxed)
        unsafe tollgate_prefetch_write(UnsafeRawPointer(bitPattern: outcome))
        unsafe tollgate_prefetch_write(UnsafeRawPointer(bitPattern: outcome + IdempotencyTable.rowBytes - 1))
        let entry = entry.load(ordering: .relaxed)
        unsafe tollgate_prefetch_write(UnsafeRawPointer(bitPattern: entry))
        unsafe tollgate_prefetch_write(UnsafeRawPointer(bitPattern: entry + 64))
        unsafe tollgate_prefetch_write(UnsafeRawPointer(bitPattern: entry + 128))
        unsafe tollgate_prefetch_write(
            UnsafeRawPointer(bitPattern: draws.load(ordering: .relaxed)))
    }

    /// A settlement also remembers how its hold ended, behind its outcome.
    @inline(__always)
    func prefetchSecondOutcome() {
        let outcome = outcome.load(ordering: .relaxed)
        unsafe tollgate_prefetch_write(
            UnsafeRawPointer(bitPattern: outcome &+ 2 * IdempotencyTable.rowBytes &- 1))
    }
}

/// Where a shard keeps what a hold and its settlement need beside what a charge does, for prefetching by somebody who does
/// not hold the lock. A place out of date fetches a useless line.
struct HoldPlaces: ~Copyable {
    private let slots = Atomic<UInt>(0)
    private let records = Atomic<UInt>(0)
    private let due = Atomic<UInt>(0)
    private let next = Atomic<UInt>(0)

    /// Notes what a shard's state has come to. Whoever reads a place also reads what was written there before.
    @inline(__always)
    func note(_ state: borrowing ShardState) {
        slots.store(state.holds.place.rawValue, ordering: .releasing)
        records.store(state.holds.recordsPlace.rawValue, ordering: .releasing)
        due.store(state.holds.dueAddress, ordering: .relaxed)
        next.store(state.holds.nextRecord, ordering: .relaxed)
    }

    @inline(__always)
    private static func place(_ word: borrowing Atomic<UInt>) -> BlockPlace {
        BlockPlace(rawValue: word.load(ordering: .acquiring))
    }

    /// Asks for what leads to a hold's record.
    @inline(__always)
    func prefetchLists(_ hold: Hash128) {
        Self.prefetch(HoldTable.slotAddress(hold, in: Self.place(slots)))
        Self.prefetch(Self.place(records).address)
    }

    /// Asks for the record of an open hold, or for where a new one will be written, and for the order in which leases
    /// end. The first record of a shard is not there yet.
    @inline(__always)
    func prefetchRecord(_ hold: Hash128, isNew: Bool) {
        if isNew {
            let record = next.load(ordering: .relaxed)
            for line in 0..<4 { Self.prefetch(record &+ 64 * UInt(line)) }
        } else if let number = HoldTable.guess(hold, in: Self.place(slots)) {
            let record = Slab<HoldRecord>.guess(number, in: Self.place(records))
            Self.prefetch(record)
            Self.prefetch(record &+ 64)
        }
        let due = due.load(ordering: .relaxed)
        for line in 0..<3 { Self.prefetch(due &+ 64 * UInt(line)) }
    }

    @inline(__always)
    private static func prefetch(_ address: UInt) {
        unsafe tollgate_prefetch_write(UnsafeRawPointer(bitPattern: address))
    }
}

/// All shards of a ledger, in one block.
@safe
final class ShardTable: @unchecked Sendable {
    private let block: UnsafeMutableRawPointer
    let count: Int
    /// One less than `count` where that is a power of two, which spares a division; else 0.
    private let mask: UInt64

    /// What the shards remember of request ids together.
    let room: IDRoom

    init(count: Int, idsMax: Int, keys: KeyMaker) {
        self.count = count
        room = IDRoom(idsMax: idsMax, shardCount: count, shareMax: IdempotencyTable.rowsMax / 2)
        mask = count & (count - 1) == 0 ? UInt64(count - 1) : 0
        let openHolds = OpenHoldCount()
        unsafe block = UnsafeMutableRawPointer.allocate(byteCount: count * Self.shardBytes, alignment: 64)
        for number in 0..<count {
            unsafe (block + number * Self.shardBytes).initializeMemory(
                as: Shard.self,
                to: Shard(
                    state: Mutex(
                        ShardState(number: number, room: room, keys: keys, openHolds: openHolds))))
        }
    }

    deinit {
        for number in 0..<count { unsafe row(number).deinitialize(count: 1) }
        unsafe block.deallocate()
    }

    /// From one shard to the next: whole cache lines.
    private static var shardBytes: Int { (MemoryLayout<Shard>.stride + 63) & ~63 }

    @inline(__always)
    private func row(_ number: Int) -> UnsafeMutablePointer<Shard> {
        precondition(number >= 0 && number < count)
        return unsafe (block + number * Self.shardBytes).assumingMemoryBound(to: Shard.self)
    }

    var indices: Range<Int> { 0..<count }

    /// The shard of an organisation: its hash modulo their number.
    @inline(__always)
    func number(of organisation: Hash128) -> Int {
        mask > 0
            ? Int(truncatingIfNeeded: organisation.low & mask) : Self.number(of: organisation, count: count)
    }

    /// The same for a table of `count` shards.
    static func number(of organisation: Hash128, count: Int) -> Int {
        Int(truncatingIfNeeded: organisation.low % UInt64(count))
    }

    subscript(number: Int) -> Shard {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(row(number)) }
    }

    /// The lines of a shard that finding an account needs. Those behind them are near, and to ask for them costs more than
    /// they do.
    private static let prefetchedBytes = 192

    /// The lines that holds need beside them: from `totals` to `openHolds`.
    private static let holdBytes = 384..<768

    /// Asks the processor for the first lines of a shard.
    @inline(__always)
    func prefetch(_ number: Int) { prefetch(number, 0..<Self.prefetchedBytes) }

    /// Asks for the lines of a shard that holds need beside those.
    @inline(__always)
    func prefetchHolds(_ number: Int) { prefetch(number, Self.holdBytes) }

    @inline(__always)
    private func prefetch(_ number: Int, _ bytes: Range<Int>) {
        let start = unsafe UnsafeRawPointer(row(number))
        var offset = bytes.lowerBound
        while offset < bytes.upperBound {
            unsafe tollgate_prefetch_write(start + offset)
            offset += 64
        }
    }
}

/// What stands beside a shard's lock so that others can look ahead: where its tables begin, for
/// prefetching, and how far back it remembers. Each has a cache line of its own, which is seldom written.
/// A value out of date fetches a useless line or asks history in vain, and nothing worse.
struct Lookahead: ~Copyable {
    private let accountIndex = Atomic<UInt>(0)
    private let accountRows = Atomic<UInt>(0)
    let idSlots = Atomic<UInt>(0)
    let idBuckets = Atomic<Int>(0)
    /// Microseconds: records up to it may be older than what is remembered.
    let horizon = Atomic<Int64>(.min)
    /// History holds every outcome up to this sequence.
    let historySequence = Atomic<UInt64>(0)
    /// Microseconds: when the first lease of a hold ends.
    let nextHoldExpiry = Atomic<Int64>(.max)
    /// Microseconds: no grant expires before.
    let nextGrantExpiry = Atomic<Int64>(.max)

    /// Where the index of accounts is, and where their rows are listed.
    @inline(__always)
    var index: BlockPlace { BlockPlace(rawValue: accountIndex.load(ordering: .acquiring)) }
    @inline(__always)
    var rows: BlockPlace { BlockPlace(rawValue: accountRows.load(ordering: .acquiring)) }

    fileprivate func update(_ state: borrowing ShardState) {
        let index = state.index.place.rawValue
        let rows = state.accounts.place.rawValue
        let id = state.ids.location
        if accountIndex.load(ordering: .relaxed) != index { accountIndex.store(index, ordering: .releasing) }
        if accountRows.load(ordering: .relaxed) != rows { accountRows.store(rows, ordering: .releasing) }
        if idSlots.load(ordering: .relaxed) != id.address {
            idSlots.store(id.address, ordering: .relaxed)
            idBuckets.store(id.bucketCount, ordering: .relaxed)
        }
        if nextHoldExpiry.load(ordering: .relaxed) != state.holds.nextExpiry.microseconds {
            nextHoldExpiry.store(state.holds.nextExpiry.microseconds, ordering: .relaxed)
        }
        if nextGrantExpiry.load(ordering: .relaxed) != state.sweep.nextExpiry.microseconds {
            nextGrantExpiry.store(state.sweep.nextExpiry.microseconds, ordering: .relaxed)
        }
        if horizon.load(ordering: .relaxed) != state.horizon.microseconds {
            horizon.store(state.horizon.microseconds, ordering: .relaxed)
        }
    }
}

/// The look-ahead of all shards, in one block of cache lines.
@safe
final class LookaheadTable: @unchecked Sendable {
    private let rows: UnsafeMutablePointer<Lookahead>
    private let count: Int
    /// Microseconds: the latest of the shards' horizons, which only go up.
    let latestHorizon = Atomic<Int64>(.min)

    init(count: Int) {
        self.count = count
        let bytes = UnsafeMutableRawPointer.allocate(
            byteCount: count * MemoryLayout<Lookahead>.stride, alignment: 64)
        unsafe rows = bytes.bindMemory(to: Lookahead.self, capacity: count)
        for index in 0..<count { unsafe (rows + index).initialize(to: Lookahead()) }
    }

    deinit {
        unsafe rows.deinitialize(count: count)
        unsafe UnsafeMutableRawPointer(rows).deallocate()
    }

    subscript(shard: Int) -> Lookahead {
        @inline(__always) unsafeAddress {
            precondition(shard >= 0 && shard < count)
            return unsafe UnsafePointer(rows + shard)
        }
    }

    /// Notes what a shard's state has come to.
    @inline(__always)
    func update(_ shard: Int, _ state: borrowing ShardState) {
        let row = unsafe rows + shard
        if unsafe row.pointee.horizon.load(ordering: .relaxed) != state.horizon.microseconds {
            latestHorizon.max(state.horizon.microseconds, ordering: .relaxed)
        }
        unsafe row.pointee.update(state)
    }
}
