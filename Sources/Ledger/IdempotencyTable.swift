// Which request ids were charged, and what came of them.
//
// Outcomes stand in a ring in the order they were decided, 40 bytes each; a hash index of 4-byte slots
// finds them. The oldest leave when the ring is full, once the history holds them. An id is known by
// 96 bits of a keyed hash over organisation and id: among a hundred million ids the chance that any
// two collide is below 10^-12, and nobody without the key can look for such a pair.
//
//      slot:  8 bits of hash | 24 bits: position in the ring, 0 = empty

import Bytes

/// What is remembered of one request id.
public struct RememberedOutcome: Hashable, Sendable {
    public let digest: UInt64
    public let sequence: UInt64
    public let charge: Int64
    public let state: ReceiptState

    public init(digest: UInt64, sequence: UInt64, charge: Int64, state: ReceiptState) {
        self.digest = digest
        self.sequence = sequence
        self.charge = charge
        self.state = state
    }
}

/// The outcomes of recent request ids of one shard. Not thread-safe: the shard's lock guards it.
@safe
struct IdempotencyTable: ~Copyable, @unchecked Sendable {
    private struct Row: BitwiseCopyable {
        var hash: UInt64
        var digest: UInt64
        var sequence: UInt64
        var charge: Int64
        var hashHigh: UInt32
        var eventSecond: UInt32

        var state: ReceiptState { hashHigh & 1 == 0 ? .charged : .parked }
    }

    private static var rowsPerChunk: Int { 1 << 9 }
    /// Positions have 24 bits, 0 means empty, and the ring is a whole number of chunks.
    private static var ringCapacityMax: Int { (1 << 24) - rowsPerChunk }
    /// The most outcomes a shard remembers; the ring never closes on itself.
    static var rowsMax: Int { ringCapacityMax - rowsPerChunk }

    /// Positions of the ring: a whole number of chunks, one of them always free.
    private let ringCapacity: Int

    private var chunks: [UnsafeMutablePointer<Row>?] = unsafe []
    private var slots: UnsafeMutablePointer<UInt32>
    private var mask: Int
    /// The ring: rows `first..<first + count`, by position modulo `ringCapacity`.
    private var first = 0
    private(set) var count = 0

    /// An empty table. A ring of `chunksMax` chunks holds one chunk less; tests make it small.
    init(chunksMax: Int = ringCapacityMax / rowsPerChunk) {
        precondition(chunksMax >= 2 && chunksMax <= Self.ringCapacityMax / Self.rowsPerChunk)
        ringCapacity = chunksMax * Self.rowsPerChunk
        mask = 63
        unsafe slots = Self.allocateSlots(mask + 1)
    }

    deinit {
        for index in unsafe chunks.indices { freeChunk(index) }
        unsafe Self.freeSlots(slots, mask + 1)
    }

    private static func allocateSlots(_ count: Int) -> UnsafeMutablePointer<UInt32> {
        let slots = unsafe TableMemory.allocate(bytes: count * 4).bindMemory(to: UInt32.self, capacity: count)
        unsafe slots.initialize(repeating: 0, count: count)
        return unsafe slots
    }

    private static func freeSlots(_ slots: UnsafeMutablePointer<UInt32>, _ count: Int) {
        unsafe TableMemory.deallocate(UnsafeMutableRawPointer(slots), bytes: count * 4)
    }

    private static var chunkBytes: Int { rowsPerChunk * MemoryLayout<Row>.stride }

    private func freeChunk(_ index: Int) {
        guard let chunk = unsafe chunks[index] else { return }
        unsafe TableMemory.deallocate(UnsafeMutableRawPointer(chunk), bytes: Self.chunkBytes)
    }

    /// The first slot a hash may be in, for prefetching by somebody who does not hold the lock.
    var location: (address: UInt, mask: Int) { unsafe (UInt(bitPattern: slots), mask) }

    /// Bytes that the rows and the index take, for the memory gauge.
    var bytes: Int {
        var chunkCount = 0
        for index in unsafe chunks.indices where unsafe chunks[index] != nil { chunkCount += 1 }
        return chunkCount * Self.rowsPerChunk * MemoryLayout<Row>.stride + (mask + 1) * 4
    }

    @inline(__always)
    private func row(_ position: Int) -> UnsafeMutablePointer<Row> {
        unsafe chunks[position / Self.rowsPerChunk].unsafelyUnwrapped + position % Self.rowsPerChunk
    }

    /// The outcome of the id with this hash, if it is remembered. O(1) expected.
    func find(_ key: Hash128) -> RememberedOutcome? {
        let tag = UInt32(truncatingIfNeeded: key.low &>> 56)
        var position = Int(truncatingIfNeeded: key.low) & mask
        while true {
            let slot = unsafe slots[position]
            if slot == 0 { return nil }
            if slot &>> 24 == tag {
                let row = unsafe row(Int(slot & 0xff_ffff) - 1).pointee
                if row.hash == key.low, row.hashHigh &>> 1 == UInt32(truncatingIfNeeded: key.high) &>> 1 {
                    return RememberedOutcome(
                        digest: row.digest, sequence: row.sequence, charge: row.charge, state: row.state)
                }
            }
            position = (position + 1) & mask
        }
    }

    /// Remembers an id that is not there yet. `eventTime` decides later whether a retry is so old
    /// that the id may have left the table.
    mutating func insert(_ key: Hash128, outcome: RememberedOutcome, eventTime: Int64) {
        precondition(
            count < ringCapacity - Self.rowsPerChunk,
            "the shard's bound on remembered ids holds before an insert")
        if (count + 1) * 8 > (mask + 1) * 7 { growIndex() }
        let position = ringPosition(count)
        let chunk = position / Self.rowsPerChunk
        while unsafe chunk >= chunks.count { unsafe chunks.append(nil) }
        if unsafe chunks[chunk] == nil {
            unsafe chunks[chunk] = TableMemory.allocate(bytes: Self.chunkBytes)
                .bindMemory(to: Row.self, capacity: Self.rowsPerChunk)
        }
        let stateBit: UInt32 = outcome.state == .parked ? 1 : 0
        unsafe row(position).initialize(
            to: Row(
                hash: key.low, digest: outcome.digest, sequence: outcome.sequence, charge: outcome.charge,
                hashHigh: UInt32(truncatingIfNeeded: key.high) & ~1 | stateBit,
                // Rounded up, so that the horizon is never earlier than the record.
                eventSecond: UInt32(clamping: eventTime / 1_000_000 + 1)))
        count += 1
        place(position)
    }

    /// Where the row stands that comes `offset` after the first.
    @inline(__always)
    private func ringPosition(_ offset: Int) -> Int {
        let position = first + offset
        return position < ringCapacity ? position : position - ringCapacity
    }

    private func place(_ ringPosition: Int) {
        let hash = unsafe row(ringPosition).pointee.hash
        var position = Int(truncatingIfNeeded: hash) & mask
        while unsafe slots[position] != 0 { position = (position + 1) & mask }
        unsafe slots[position] = UInt32(truncatingIfNeeded: hash &>> 56) &<< 24 | UInt32(ringPosition + 1)
    }

    private mutating func growIndex() {
        unsafe Self.freeSlots(slots, mask + 1)
        mask = (mask + 1) * 2 - 1
        unsafe slots = Self.allocateSlots(mask + 1)
        for offset in 0..<count { place(ringPosition(offset)) }
    }

    /// The sequence of the oldest outcome, if there is any.
    var oldestSequence: UInt64? { unsafe count == 0 ? nil : row(first).pointee.sequence }

    /// Forgets the oldest outcome and returns the event time it may have had at the latest, in
    /// microseconds.
    mutating func removeOldest() -> Int64 {
        precondition(count > 0)
        let removed = unsafe row(first).pointee
        unindex(ringPosition: first, hash: removed.hash)
        first = ringPosition(1)
        count -= 1
        if first % Self.rowsPerChunk == 0 {
            // The chunk behind is empty now; the newest rows are at least a chunk away.
            let left = (first == 0 ? ringCapacity : first) / Self.rowsPerChunk - 1
            freeChunk(left)
            unsafe chunks[left] = nil
        }
        // The last second that fits stands for every later one too.
        return removed.eventSecond == .max ? .max : Int64(removed.eventSecond) * 1_000_000
    }

    /// Empties the slot and moves later members of its run back, so that probing needs no tombstones.
    private func unindex(ringPosition: Int, hash: UInt64) {
        let wanted = UInt32(ringPosition + 1)
        var hole = Int(truncatingIfNeeded: hash) & mask
        while unsafe slots[hole] & 0xff_ffff != wanted { hole = (hole + 1) & mask }
        var next = hole
        while true {
            next = (next + 1) & mask
            let slot = unsafe slots[next]
            if slot == 0 { break }
            let home = unsafe Int(truncatingIfNeeded: row(Int(slot & 0xff_ffff) - 1).pointee.hash) & mask
            if (next - home) & mask >= (next - hole) & mask {
                unsafe slots[hole] = slot
                hole = next
            }
        }
        unsafe slots[hole] = 0
    }
}
