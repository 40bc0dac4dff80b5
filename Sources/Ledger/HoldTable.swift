// The open holds of one shard: found by key, and by which lease ends first.
//
//      records  a slab, freed records linked into a list: the row, what the hold is for, and its id, so that
//               opening a hold writes lines that lie one behind the other
//      pieces   what does not fit of what a hold is for, in pieces of 60 bytes, each with the number of the next
//      slots    key → record: linear probing, and removal moves back what was put off
//      due      which lease ends first, see `LeaseOrder`

import Bytes
import CPlatform
import Pricing

/// What the table keeps of an open hold: five cache lines, of which one with a short id needs four.
struct HoldRecord: BitwiseCopyable {
    /// As many as make the record a whole number of lines.
    static let useBytesMax = 72
    /// The first, so that it stands at the record's address.
    var row: HoldRow
    /// The beginning of what it is for.
    var use = InlineArray<72, UInt8>(repeating: 0)
    var id: HoldID
}

/// A further part of what a hold is for.
struct HoldUsePiece: BitwiseCopyable {
    static let bytesMax = 60
    var bytes = InlineArray<60, UInt8>(repeating: 0)
    var next = AccountRow.none
}

/// Open holds. Not thread-safe: the shard's lock guards it.
@safe
struct HoldTable: ~Copyable, @unchecked Sendable {
    private var records = Slab<HoldRecord>()
    private var pieces = Slab<HoldUsePiece>()
    private var firstFree = AccountRow.none
    private var firstFreePiece = AccountRow.none

    private var slots: UnsafeMutablePointer<UInt32>
    private var mask: Int

    private var due = LeaseOrder()

    init() {
        mask = 15
        unsafe slots = Self.allocate(mask + 1)
    }

    deinit { unsafe TableMemory.deallocate(UnsafeMutableRawPointer(slots), bytes: (mask + 1) * 4) }

    private static func allocate(_ count: Int) -> UnsafeMutablePointer<UInt32> {
        let slots = unsafe TableMemory.allocate(bytes: count * 4).bindMemory(to: UInt32.self, capacity: count)
        unsafe slots.initialize(repeating: AccountRow.none, count: count)
        return unsafe slots
    }

    subscript(number: UInt32) -> HoldRow {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(row(number)) }
        @inline(__always) unsafeMutableAddress { unsafe row(number) }
    }

    @inline(__always)
    private func row(_ number: UInt32) -> UnsafeMutablePointer<HoldRow> {
        unsafe UnsafeMutableRawPointer(records.address(of: number)).assumingMemoryBound(to: HoldRow.self)
    }

    /// The id of a hold.
    func id(_ number: UInt32) -> HoldID { records[number].id }

    /// When the first lease ends; `distantFuture` without a hold.
    private(set) var nextExpiry = Timestamp.distantFuture

    var count: Int { due.count }

    /// The hold whose lease ends first.
    var first: UInt32? { due.first?.row }

    /// The open hold with this key. O(1) expected.
    @inline(__always)
    func find(_ key: Hash128) -> UInt32? {
        var position = home(key)
        while true {
            let row = unsafe slots[position]
            if row == AccountRow.none { return nil }
            if self[row].key == key { return row }
            position = (position + 1) & mask
        }
    }

    /// Where the tables are, for `HoldPlaces`.
    @inline(__always)
    var place: BlockPlace { unsafe BlockPlace(UnsafeRawPointer(slots), count: (mask + 1) / 2) }
    var recordsPlace: BlockPlace { records.place }
    var dueAddress: UInt { due.address }

    /// Where the next hold will be written; 0 where its record is still to be made.
    @inline(__always)
    var nextRecord: UInt {
        firstFree == AccountRow.none ? 0 : unsafe UInt(bitPattern: records.address(of: firstFree))
    }

    /// The address of the first slot that a key may be in, of a table whose `place` was this a moment ago.
    @inline(__always)
    static func slotAddress(_ key: Hash128, in place: BlockPlace) -> UInt {
        place.address + 4 * UInt(bitPattern: Int(truncatingIfNeeded: key.low) & (place.mask * 2 + 1))
    }

    /// The number of the hold that `find` would probably meet first. Only for prefetching: it is read without a lock.
    @inline(__always)
    static func guess(_ key: Hash128, in place: BlockPlace) -> UInt32? {
        let position = Int(truncatingIfNeeded: key.low) & (place.mask * 2 + 1)
        guard let word = place.word(at: position / 2) else { return nil }
        let number = UInt32(truncatingIfNeeded: word &>> UInt64(position & 1 &* 32))
        return number == AccountRow.none ? nil : number
    }

    /// Calls `body` with every open hold, in the order in which their leases end, roughly.
    func forEach(_ body: (UInt32, HoldRow) -> Void) {
        for place in 0..<count { body(due[place].row, self[due[place].row]) }
    }

    @inline(__always)
    private func home(_ key: Hash128) -> Int { Int(truncatingIfNeeded: key.low) & mask }

    /// Appends what a hold is for.
    func appendUse(of number: UInt32, to packer: inout BytePacker) {
        var left = Int(self[number].useBytes)
        func append(_ buffer: UnsafeRawBufferPointer) {
            let count = min(left, buffer.count)
            guard count > 0, let start = buffer.baseAddress else { return }
            unsafe packer.append(
                bytes: ByteView(start.assumingMemoryBound(to: UInt8.self), count: count))
            left -= count
        }
        unsafe withUnsafeBytes(of: records[number].use) { unsafe append($0) }
        var piece = self[number].use
        while left > 0 {
            unsafe withUnsafeBytes(of: pieces[piece].bytes) { unsafe append($0) }
            piece = pieces[piece].next
        }
    }

    /// Keeps what a hold is for beyond its record. Returns its first piece.
    @inline(never)
    private mutating func keep(_ use: ByteView) -> UInt32 {
        var first = AccountRow.none
        // The last piece first, so that each knows the next.
        var end = use.count
        while end > 0 {
            let start = (end - 1) / HoldUsePiece.bytesMax * HoldUsePiece.bytesMax
            let number: UInt32
            if firstFreePiece == AccountRow.none {
                number = pieces.append(HoldUsePiece())
            } else {
                number = firstFreePiece
                firstFreePiece = pieces[number].next
            }
            pieces[number].next = first
            unsafe withUnsafeMutableBytes(of: &pieces[number].bytes) { room in
                unsafe room.copyMemory(from: use[start..<end].buffer)
            }
            first = number
            end = start
        }
        return first
    }

    private mutating func freePieces(from first: UInt32) {
        var piece = first
        while piece != AccountRow.none {
            let next = pieces[piece].next
            pieces[piece].next = firstFreePiece
            firstFreePiece = piece
            piece = next
        }
    }

    /// Adds a hold whose key is not there yet, for `use`. O(1) expected, O(log n) for a lease shorter than others.
    @inline(__always)
    mutating func insert(_ row: HoldRow, id: ByteView, use: ByteView) -> UInt32 {
        if (count + 1) * 2 > mask + 1 { grow() }
        let number: UInt32
        if firstFree == AccountRow.none {
            number = append(row, id)
        } else {
            number = firstFree
            firstFree = self[number].next
            self[number] = row
            records[number].id.set(id)
        }
        self[number].useBytes = UInt16(use.count)
        let inRecord = min(use.count, HoldRecord.useBytesMax)
        unsafe withUnsafeMutableBytes(of: &records[number].use) { room in
            unsafe room.copyMemory(from: use[0..<inRecord].buffer)
        }
        self[number].use =
            use.count == inRecord ? AccountRow.none : keep(use[inRecord..<use.count])
        place(number)
        due.insert(number, at: row.expiresAt)
        noteFirst()
        return number
    }

    @inline(never)
    private mutating func append(_ row: HoldRow, _ id: ByteView) -> UInt32 {
        let number = records.append(HoldRecord(row: row, id: HoldID(id)))
        due.makeRoom(for: number)
        return number
    }

    private func place(_ number: UInt32) {
        var position = home(self[number].key)
        while unsafe slots[position] != AccountRow.none { position = (position + 1) & mask }
        unsafe slots[position] = number
    }

    private mutating func grow() {
        let (old, oldCount) = unsafe (slots, mask + 1)
        mask = oldCount * 2 - 1
        unsafe slots = Self.allocate(mask + 1)
        for position in 0..<oldCount where unsafe old[position] != AccountRow.none {
            place(unsafe old[position])
        }
        unsafe TableMemory.deallocate(UnsafeMutableRawPointer(old), bytes: oldCount * 4)
    }

    /// Takes a hold out. O(log n).
    mutating func remove(_ number: UInt32) {
        due.remove(number)
        noteFirst()
        var hole = home(self[number].key)
        while unsafe slots[hole] != number { hole = (hole + 1) & mask }
        unsafe slots[hole] = AccountRow.none
        var position = (hole + 1) & mask
        while unsafe slots[position] != AccountRow.none {
            let row = unsafe slots[position]
            let wanted = home(self[row].key)
            // It may move back to the hole if the hole is not before where it wants to be.
            if (position - wanted) & mask >= (position - hole) & mask {
                unsafe slots[hole] = row
                unsafe slots[position] = AccountRow.none
                hole = position
            }
            position = (position + 1) & mask
        }
        if self[number].use != AccountRow.none { freePieces(from: self[number].use) }
        self[number].next = firstFree
        firstFree = number
    }

    /// Gives a hold another end of its lease.
    mutating func move(_ number: UInt32, expiresAt: Timestamp) {
        self[number].expiresAt = expiresAt
        due.move(number, to: expiresAt)
        noteFirst()
    }

    /// Keeps the first lease's end where every charge looks at it, beside the shard's other fields.
    @inline(__always)
    private mutating func noteFirst() { nextExpiry = due.first?.at ?? .distantFuture }
}
