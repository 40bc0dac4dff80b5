// Which request ids were charged, and what came of them.
//
// Outcomes stand in a ring in the order they were decided, 40 bytes each; a hash index of 4-byte slots
// finds them. The oldest leave when there are enough (see `IDRoom`), once the history holds them. An id is known by
// 96 bits of a keyed hash over organisation and id: among a hundred million ids the chance that any
// two collide is below 10^-12, and nobody without the key can look for such a pair.
//
//      slot:    12 bits of hash | 20 bits: position in the ring + 1; 0 = empty
//      bucket:  15 slots and a count, one cache line, compared at once
//
// An id is in the bucket that its hash names or, where that was full, in the first behind it that had room. A
// bucket counts the ids that went past it; a search goes on as long as that is not 0. So an id that leaves takes one
// off each bucket on its way, and nothing is moved: a table that is full forgets as fast as it learns. Seven eighths
// of the slots are used before the index grows by a half.

import Bytes
import CPlatform

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
    /// An outcome, or the end of a hold: that has the lowest bit of `hashHigh` set, and in `charge` a word of
    /// 8 or more, or of a hold's state alone above 1 (see `RememberedHold`).
    private struct Row: BitwiseCopyable {
        var hash: UInt64
        var digest: UInt64
        var sequence: UInt64
        var charge: Int64
        var hashHigh: UInt32
        /// Of an outcome; for the end of a hold another word of its own.
        var eventSecond: UInt32

        var isHold: Bool { hashHigh & 1 == 1 && charge > 1 }

        /// The lowest bit of the hash's high half says that nothing was charged; the charge then says
        /// whether that is open (0) or given up.
        var outcome: RememberedOutcome {
            if hashHigh & 1 == 0 {
                return RememberedOutcome(digest: digest, sequence: sequence, charge: charge, state: .charged)
            }
            return RememberedOutcome(
                digest: digest, sequence: sequence, charge: 0, state: charge == 0 ? .parked : .discarded)
        }
    }

    private static var rowsPerChunk: Int { 1 << 9 }
    /// Positions have 20 bits, 0 means empty, and the ring is a whole number of chunks.
    private static var ringCapacityMax: Int { (1 << 20) - rowsPerChunk }
    /// The most outcomes a shard remembers; the ring never closes on itself.
    static var rowsMax: Int { ringCapacityMax - rowsPerChunk }

    private static var wordsPerBucket: Int { 16 }
    /// The slots of a bucket; the word behind them counts the ids that went past it.
    private static var slotsPerBucket: Int { 15 }
    private static var slotsMask: UInt32 { 0x7fff }
    private static var positionMask: UInt32 { 0xf_ffff }

    /// Positions of the ring: a whole number of chunks, one of them always free.
    private let ringCapacity: Int
    /// What it shares with the tables of the other shards, and how much of that it has taken: at least `count`.
    private let room: IDRoom
    private var taken = 0

    private var chunks: [UnsafeMutablePointer<Row>?] = unsafe []
    private var slots: UnsafeMutablePointer<UInt32>
    private var bucketCount: Int
    /// The ring: rows `first..<first + count`, by position modulo `ringCapacity`.
    private var first = 0
    private(set) var count = 0
    /// The row that the next outcome will be written to; nil where its chunk is still to be made.
    private var nextOutcome: UnsafeMutablePointer<Row>?

    /// An empty table. A ring of `chunksMax` chunks holds one chunk less; tests make it small.
    init(_ room: IDRoom, chunksMax: Int = ringCapacityMax / rowsPerChunk) {
        precondition(chunksMax >= 2 && chunksMax <= Self.ringCapacityMax / Self.rowsPerChunk)
        self.room = room
        ringCapacity = chunksMax * Self.rowsPerChunk
        bucketCount = 4
        unsafe slots = Self.allocateSlots(bucketCount)
    }

    deinit {
        room.add(-taken)
        for index in unsafe chunks.indices { freeChunk(index) }
        unsafe Self.freeSlots(slots, bucketCount)
    }

    private static func allocateSlots(_ bucketCount: Int) -> UnsafeMutablePointer<UInt32> {
        let count = bucketCount * wordsPerBucket
        let slots = unsafe TableMemory.allocate(bytes: count * 4).bindMemory(to: UInt32.self, capacity: count)
        unsafe slots.initialize(repeating: 0, count: count)
        return unsafe slots
    }

    private static func freeSlots(_ slots: UnsafeMutablePointer<UInt32>, _ bucketCount: Int) {
        unsafe TableMemory.deallocate(UnsafeMutableRawPointer(slots), bytes: bucketCount * wordsPerBucket * 4)
    }

    private static var chunkBytes: Int { rowsPerChunk * MemoryLayout<Row>.stride }

    private func freeChunk(_ index: Int) {
        guard let chunk = unsafe chunks[index] else { return }
        unsafe TableMemory.deallocate(UnsafeMutableRawPointer(chunk), bytes: Self.chunkBytes)
    }

    /// Whether one more fits, whatever the bound that its shard keeps to.
    var hasRoom: Bool { count < ringCapacity - Self.rowsPerChunk }

    /// Whether an id should leave before another comes: there is more than the share while all shards are at the bound,
    /// or half of what the ring takes; the other half is for while history is behind.
    @inline(__always)
    var isAtBound: Bool {
        count >= room.share && (room.isFull || count >= (ringCapacity - Self.rowsPerChunk) / 2)
    }

    /// Whether another may come though history is behind.
    @inline(__always)
    var mayGrow: Bool { hasRoom && (count < room.share || !room.isFullTwice) }

    /// Where the buckets are, for prefetching by somebody who does not hold the lock.
    var location: (address: UInt, bucketCount: Int) { unsafe (UInt(bitPattern: slots), bucketCount) }

    /// The bucket, of `count`, in which a hash is looked for first: an even share of 32 of its bits.
    @inline(__always)
    static func bucket(of hash: UInt64, count: Int) -> Int {
        Int(truncatingIfNeeded: ((hash & 0xffff_ffff) * UInt64(truncatingIfNeeded: count)) &>> 32)
    }

    /// Asks for the bucket of a hash.
    @inline(__always)
    func prefetch(_ hash: UInt64) {
        unsafe tollgate_prefetch(line(Self.bucket(of: hash, count: bucketCount)))
    }

    /// The address of the row that the next outcome will be written to; 0 where its chunk is still to be made.
    @inline(__always)
    var nextRow: UInt { unsafe UInt(bitPattern: nextOutcome) }

    static var rowBytes: UInt { UInt(MemoryLayout<Row>.stride) }

    @inline(__always)
    private func line(_ bucket: Int) -> UnsafeMutablePointer<UInt32> {
        unsafe slots + bucket * Self.wordsPerBucket
    }

    /// The empty slots of a bucket, a bit for each.
    @inline(__always)
    private func empties(_ bucket: Int) -> UInt32 {
        unsafe tollgate_match16(line(bucket), .max, 0) & Self.slotsMask
    }

    /// The slots of a bucket that hold an id with such a tag, a bit for each.
    @inline(__always)
    private func candidates(_ bucket: Int, _ tag: UInt32) -> UInt32 {
        // An empty slot looks like one with the tag 0 for a position below the first.
        unsafe tollgate_match16(line(bucket), ~Self.positionMask, tag) & Self.slotsMask & ~empties(bucket)
    }

    /// How many ids went past a bucket.
    @inline(__always)
    private func passed(_ bucket: Int) -> UnsafeMutablePointer<UInt32> {
        unsafe line(bucket) + Self.slotsPerBucket
    }

    @inline(__always)
    private func next(_ bucket: Int) -> Int { bucket + 1 == bucketCount ? 0 : bucket + 1 }

    /// Bytes that the rows and the index take, for the memory gauge.
    var bytes: Int {
        var chunkCount = 0
        for index in unsafe chunks.indices where unsafe chunks[index] != nil { chunkCount += 1 }
        return chunkCount * Self.rowsPerChunk * MemoryLayout<Row>.stride
            + bucketCount * Self.wordsPerBucket * 4
    }

    /// How many buckets the ids are away from those that their hashes name, in all. O(buckets).
    var stepsAway: Int {
        (0..<bucketCount).reduce(0) { sum, bucket in unsafe sum + Int(passed(bucket).pointee) }
    }

    @inline(__always)
    private func row(_ position: Int) -> UnsafeMutablePointer<Row> {
        unsafe chunks[position / Self.rowsPerChunk].unsafelyUnwrapped + position % Self.rowsPerChunk
    }

    /// The outcome of the id with this hash, if it is remembered. O(1) expected.
    @inline(__always)
    func find(_ key: Hash128) -> RememberedOutcome? {
        let tag = UInt32(truncatingIfNeeded: key.low &>> 52) &<< 20
        var bucket = Self.bucket(of: key.low, count: bucketCount)
        while true {
            var candidates = candidates(bucket, tag)
            while candidates != 0 {
                let slot = unsafe line(bucket)[candidates.trailingZeroBitCount]
                let row = unsafe row(Int(slot & Self.positionMask) - 1).pointee
                if row.hash == key.low, row.hashHigh &>> 1 == UInt32(truncatingIfNeeded: key.high) &>> 1 {
                    return row.outcome
                }
                candidates &= candidates - 1
            }
            if unsafe passed(bucket).pointee == 0 { return nil }
            bucket = next(bucket)
        }
    }

    /// What is remembered of a hold that has ended. O(1) expected.
    func hold(_ key: Hash128) -> RememberedHold? {
        guard let position = position(of: key) else { return nil }
        let row = unsafe row(position).pointee
        guard row.hashHigh & 1 == 1 else { return nil }
        return RememberedHold(
            digestWord: row.digest, sequence: row.sequence, word: row.charge, timeWord: row.eventSecond)
    }

    /// Puts another end in the place of the one that is remembered of a hold. False if none is.
    mutating func replace(_ key: Hash128, hold: RememberedHold) -> Bool {
        guard let position = position(of: key) else { return false }
        let row = unsafe row(position)
        unsafe row.pointee.digest = hold.digestWord
        unsafe row.pointee.sequence = hold.sequence
        unsafe row.pointee.charge = hold.word
        unsafe row.pointee.eventSecond = hold.timeWord
        return true
    }

    /// Remembers the end of a hold that is not there yet. Its time keeps no report from being decided.
    mutating func insert(_ key: Hash128, hold: RememberedHold) {
        insert(
            key, digest: hold.digestWord, sequence: hold.sequence, charge: hold.word, stateBit: 1,
            eventSecond: hold.timeWord)
    }

    /// Puts another outcome in the place of the one that is remembered of an id. False if none is.
    mutating func replace(_ key: Hash128, outcome: RememberedOutcome) -> Bool {
        guard let position = position(of: key) else { return false }
        let row = unsafe row(position)
        unsafe row.pointee.digest = outcome.digest
        unsafe row.pointee.sequence = outcome.sequence
        unsafe row.pointee.charge = Self.stored(outcome)
        unsafe row.pointee.hashHigh = row.pointee.hashHigh & ~1 | Self.stateBit(outcome)
        return true
    }

    private func position(of key: Hash128) -> Int? {
        let tag = UInt32(truncatingIfNeeded: key.low &>> 52) &<< 20
        var bucket = Self.bucket(of: key.low, count: bucketCount)
        while true {
            var candidates = candidates(bucket, tag)
            while candidates != 0 {
                let slot = unsafe line(bucket)[candidates.trailingZeroBitCount]
                let position = Int(slot & Self.positionMask) - 1
                let row = unsafe row(position).pointee
                if row.hash == key.low, row.hashHigh &>> 1 == UInt32(truncatingIfNeeded: key.high) &>> 1 {
                    return position
                }
                candidates &= candidates - 1
            }
            if unsafe passed(bucket).pointee == 0 { return nil }
            bucket = next(bucket)
        }
    }

    @inline(__always)
    private static func stateBit(_ outcome: RememberedOutcome) -> UInt32 { outcome.state == .charged ? 0 : 1 }

    @inline(__always)
    private static func stored(_ outcome: RememberedOutcome) -> Int64 {
        outcome.state == .discarded ? 1 : outcome.charge
    }

    /// Remembers an id that is not there yet. `eventTime` decides later whether a retry is so old
    /// that the id may have left the table.
    mutating func insert(_ key: Hash128, outcome: RememberedOutcome, eventTime: Int64) {
        insert(
            key, digest: outcome.digest, sequence: outcome.sequence, charge: Self.stored(outcome),
            stateBit: Self.stateBit(outcome),
            // Rounded up, so that the horizon is never earlier than the record.
            eventSecond: UInt32(clamping: eventTime / 1_000_000 + 1))
    }

    @inline(__always)
    private mutating func insert(
        _ key: Hash128, digest: UInt64, sequence: UInt64, charge: Int64, stateBit: UInt32, eventSecond: UInt32
    ) {
        precondition(
            count < ringCapacity - Self.rowsPerChunk,
            "the shard's bound on remembered ids holds before an insert")
        if count == taken {
            taken += room.blockCount
            room.add(room.blockCount)
        }
        if (count + 1) * 8 > bucketCount * Self.slotsPerBucket * 7 { growIndex() }
        let position = ringPosition(count)
        let row = unsafe nextOutcome ?? makeChunk(position)
        unsafe row.initialize(
            to: Row(
                hash: key.low, digest: digest, sequence: sequence, charge: charge,
                hashHigh: UInt32(truncatingIfNeeded: key.high) & ~1 | stateBit, eventSecond: eventSecond))
        count += 1
        unsafe nextOutcome = (position + 1) % Self.rowsPerChunk == 0 ? nil : row + 1
        place(position, hash: key.low)
    }

    /// The row at a position where a chunk begins.
    private mutating func makeChunk(_ position: Int) -> UnsafeMutablePointer<Row> {
        let chunk = position / Self.rowsPerChunk
        while unsafe chunk >= chunks.count { unsafe chunks.append(nil) }
        if unsafe chunks[chunk] == nil {
            unsafe chunks[chunk] = TableMemory.allocate(bytes: Self.chunkBytes)
                .bindMemory(to: Row.self, capacity: Self.rowsPerChunk)
        }
        return unsafe row(position)
    }

    /// Where the row stands that comes `offset` after the first.
    @inline(__always)
    private func ringPosition(_ offset: Int) -> Int {
        let position = first + offset
        return position < ringCapacity ? position : position - ringCapacity
    }

    @inline(__always)
    private func place(_ ringPosition: Int) {
        place(ringPosition, hash: unsafe row(ringPosition).pointee.hash)
    }

    @inline(__always)
    private func place(_ ringPosition: Int, hash: UInt64) {
        var bucket = Self.bucket(of: hash, count: bucketCount)
        var empty = empties(bucket)
        while empty == 0 {
            unsafe passed(bucket).pointee += 1
            bucket = next(bucket)
            empty = empties(bucket)
        }
        unsafe line(bucket)[empty.trailingZeroBitCount] =
            UInt32(truncatingIfNeeded: hash &>> 52) &<< 20 | UInt32(ringPosition + 1)
    }

    private mutating func growIndex() {
        unsafe Self.freeSlots(slots, bucketCount)
        bucketCount = bucketCount * 3 / 2
        unsafe slots = Self.allocateSlots(bucketCount)
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
        if taken - count >= room.blockCount + room.blockCount / 2 {
            taken -= room.blockCount
            room.add(-room.blockCount)
        }
        if first % Self.rowsPerChunk == 0 {
            // The chunk behind is empty now; the newest rows are at least a chunk away.
            let left = (first == 0 ? ringCapacity : first) / Self.rowsPerChunk - 1
            freeChunk(left)
            unsafe chunks[left] = nil
        }
        // Ids leave in the order of the ring, and their slots are anywhere: the next one's is asked for now.
        if count > 1 {
            unsafe prefetch(row(first).pointee.hash)
            unsafe tollgate_prefetch(row(ringPosition(1)))
        }
        // The end of a hold keeps no report from being decided.
        if removed.isHold { return 0 }
        // The last second that fits stands for every later one too.
        return removed.eventSecond == .max ? .max : Int64(removed.eventSecond) * 1_000_000
    }

    /// Empties the slot of an id, and takes it off the buckets on its way.
    private func unindex(ringPosition: Int, hash: UInt64) {
        var bucket = Self.bucket(of: hash, count: bucketCount)
        while true {
            let found =
                unsafe tollgate_match16(line(bucket), Self.positionMask, UInt32(ringPosition + 1))
                & Self.slotsMask
            if found != 0 {
                unsafe line(bucket)[found.trailingZeroBitCount] = 0
                return
            }
            unsafe passed(bucket).pointee -= 1
            bucket = next(bucket)
        }
    }
}
