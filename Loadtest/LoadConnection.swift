// One connection of the load: its socket, its bytes on the way out and in, and a slot for every frame that
// is sent and not answered. A slot's number is in the frame's call id, so an answer finds it at once.

import Bytes

/// A record on its way.
struct SentRecord {
    var number: UInt64
    var eventTime: Int64
    var account: UInt32
    /// It was asked what the record would cost.
    var isQuote = false
    /// What of a record with a hold is on its way.
    var stage = HoldStage.none

    enum HoldStage {
        case none, opening, settling
    }
    /// Sent again after its answer: the answer must be this one.
    var isRepetition = false
    /// Sent again because a connection was lost before the answer.
    var isRetried = false
    var firstSequence: UInt64 = 0
    var firstCharge: Int64 = 0
}

/// Belongs to one thread.
@safe
final class LoadConnection {
    let slotCount: Int
    let batchSize: Int
    var socket: Socket?
    let outgoing = ByteQueue(capacity: 65_536)
    let incoming = ByteQueue(capacity: LoadLimits.readBytes)
    /// When to connect again, after a loss.
    var reconnectAt: UInt64 = 0
    /// Slots whose frame must be sent again.
    var again: [Int] = []

    private let sentAt: UnsafeMutablePointer<UInt64>
    private let counts: UnsafeMutablePointer<Int>
    private let records: UnsafeMutablePointer<SentRecord>
    private let free: UnsafeMutablePointer<Int>
    private(set) var freeCount: Int

    /// Call ids begin here, so that each takes five bytes.
    static let callIDBase: UInt64 = 1 << 28

    init(slotCount: Int, batchSize: Int) {
        self.slotCount = slotCount
        self.batchSize = batchSize
        unsafe sentAt = .allocate(capacity: slotCount)
        unsafe counts = .allocate(capacity: slotCount)
        unsafe records = .allocate(capacity: slotCount * batchSize)
        unsafe free = .allocate(capacity: slotCount)
        unsafe sentAt.initialize(repeating: 0, count: slotCount)
        unsafe counts.initialize(repeating: 0, count: slotCount)
        unsafe records.initialize(
            repeating: SentRecord(number: 0, eventTime: 0, account: 0), count: slotCount * batchSize)
        for slot in 0..<slotCount { unsafe free[slot] = slotCount - 1 - slot }
        freeCount = slotCount
    }

    deinit {
        unsafe free.deallocate()
        unsafe records.deallocate()
        unsafe counts.deallocate()
        unsafe sentAt.deallocate()
    }

    var inFlight: Int { slotCount - freeCount }

    /// A free slot, now in use; nil if there is none.
    @inline(__always)
    func takeSlot(sentAt time: UInt64) -> Int? {
        guard freeCount > 0 else { return nil }
        freeCount -= 1
        let slot = unsafe free[freeCount]
        unsafe sentAt[slot] = time
        unsafe counts[slot] = 0
        return slot
    }

    /// The slot of an answer, or nil if no such frame is on its way.
    @inline(__always)
    func slot(of callID: UInt64) -> Int? {
        let slot = Int(truncatingIfNeeded: callID) - Int(LoadConnection.callIDBase)
        guard slot >= 0 && slot < slotCount, unsafe counts[slot] > 0 else { return nil }
        return slot
    }

    @inline(__always)
    func release(_ slot: Int) {
        unsafe counts[slot] = 0
        unsafe free[freeCount] = slot
        freeCount += 1
    }

    @inline(__always)
    func recordCount(_ slot: Int) -> Int { unsafe counts[slot] }

    @inline(__always)
    func sentTime(_ slot: Int) -> UInt64 { unsafe sentAt[slot] }

    @inline(__always)
    func append(_ record: SentRecord, to slot: Int) {
        precondition(unsafe counts[slot] < batchSize)
        unsafe records[slot * batchSize + counts[slot]] = record
        unsafe counts[slot] += 1
    }

    @inline(__always)
    func record(_ slot: Int, _ index: Int) -> SentRecord {
        precondition(index < recordCount(slot))
        return unsafe records[slot * batchSize + index]
    }

    /// Moves the record of a slot on from its hold to its settlement, sent at `time`.
    @inline(__always)
    func settle(_ slot: Int, at time: UInt64) {
        unsafe records[slot * batchSize].stage = .settling
        unsafe sentAt[slot] = time
    }

    /// Leaves only the records at `indices` in a slot, marked as sent again.
    func retain(_ indices: [Int], in slot: Int) {
        for (place, index) in indices.enumerated() {
            unsafe records[slot * batchSize + place] = records[slot * batchSize + index]
            unsafe records[slot * batchSize + place].isRetried = true
        }
        unsafe counts[slot] = indices.count
    }

    /// After a loss: every frame without an answer is to be sent again. Returns how many records that is.
    func requeueAll() -> Int {
        outgoing.clear()
        incoming.clear()
        again = (0..<slotCount).filter { unsafe counts[$0] > 0 }
        var total = 0
        for slot in again {
            for index in 0..<recordCount(slot) {
                unsafe records[slot * batchSize + index].isRetried = true
                total += 1
            }
        }
        return total
    }
}
