// The open holds of one shard: found by key, and by which lease ends first.
//
//      rows     a slab, freed rows linked into a list; beside it their ids, which are seldom looked at
//      pieces   what holds are for, in pieces of 60 bytes, each with the number of the next
//      slots    key → row: linear probing, and removal moves back what was put off
//      due      a binary heap of (lease end, row); each row knows its place in it, so one that ends
//               early leaves at once and nothing stale is kept
//
// Leases are mostly alike, so a new hold goes to the end of the heap and stays there.

import Bytes
import CPlatform
import Pricing

/// A part of what a hold is for.
struct HoldUsePiece: BitwiseCopyable {
    static let bytesMax = 60
    var bytes = InlineArray<60, UInt8>(repeating: 0)
    var next = AccountRow.none
}

/// Open holds. Not thread-safe: the shard's lock guards it.
@safe
struct HoldTable: ~Copyable, @unchecked Sendable {
    private var rows = Slab<HoldRow>()
    private var ids = Slab<HoldID>()
    private var pieces = Slab<HoldUsePiece>()
    private var firstFree = AccountRow.none
    private var firstFreePiece = AccountRow.none
    private(set) var count = 0

    private var slots: UnsafeMutablePointer<UInt32>
    private var mask: Int

    private struct Due {
        var at: Timestamp
        var row: UInt32
    }
    private var due: [Due] = []

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
        @inline(__always) unsafeAddress { unsafe UnsafePointer(rows.address(of: number)) }
        @inline(__always) unsafeMutableAddress { unsafe rows.address(of: number) }
    }

    /// The id of a hold.
    func id(_ number: UInt32) -> HoldID { ids[number] }

    /// When the first lease ends; `distantFuture` without a hold.
    private(set) var nextExpiry = Timestamp.distantFuture

    /// The hold whose lease ends first.
    var first: UInt32? { due.isEmpty ? nil : due[0].row }

    /// The open hold with this key. O(1) expected.
    @inline(__always)
    func find(_ key: Hash128) -> UInt32? {
        var position = home(key)
        while true {
            let row = unsafe slots[position]
            if row == AccountRow.none { return nil }
            if rows[row].key == key { return row }
            position = (position + 1) & mask
        }
    }

    /// Asks for the row of a hold, if it is where it would be first.
    @inline(__always)
    func prefetch(_ key: Hash128) {
        let row = unsafe slots[home(key)]
        guard row != AccountRow.none else { return }
        unsafe tollgate_prefetch(UnsafeRawPointer(rows.address(of: row)))
        unsafe tollgate_prefetch(UnsafeRawPointer(rows.address(of: row)) + 64)
    }

    /// Calls `body` with every open hold, in the order in which their leases end, roughly.
    func forEach(_ body: (UInt32, HoldRow) -> Void) {
        for entry in due { body(entry.row, rows[entry.row]) }
    }

    @inline(__always)
    private func home(_ key: Hash128) -> Int { Int(truncatingIfNeeded: key.low) & mask }

    /// Appends what a hold is for.
    func appendUse(of number: UInt32, to packer: inout BytePacker) {
        var left = Int(rows[number].useBytes)
        var piece = rows[number].use
        while left > 0 {
            let count = min(left, HoldUsePiece.bytesMax)
            unsafe withUnsafeBytes(of: pieces[piece].bytes) { buffer in
                unsafe packer.append(
                    bytes: ByteView(
                        buffer.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self),
                        count: count))
            }
            left -= count
            piece = pieces[piece].next
        }
    }

    /// Keeps what a hold is for. Returns its first piece.
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
    mutating func insert(_ row: HoldRow, id: ByteView, use: ByteView) -> UInt32 {
        if (count + 1) * 2 > mask + 1 { grow() }
        var row = row
        row.place = UInt32(due.count)
        row.useBytes = UInt16(use.count)
        row.use = keep(use)
        let number: UInt32
        if firstFree == AccountRow.none {
            number = rows.append(row)
            _ = ids.append(HoldID(id))
        } else {
            number = firstFree
            firstFree = rows[number].next
            rows[number] = row
            ids[number].set(id)
        }
        place(number)
        count += 1
        due.append(Due(at: row.expiresAt, row: number))
        siftUp(due.count - 1)
        noteFirst()
        return number
    }

    private func place(_ number: UInt32) {
        var position = home(rows[number].key)
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
        removeDue(at: Int(rows[number].place))
        noteFirst()
        var hole = home(rows[number].key)
        while unsafe slots[hole] != number { hole = (hole + 1) & mask }
        unsafe slots[hole] = AccountRow.none
        var position = (hole + 1) & mask
        while unsafe slots[position] != AccountRow.none {
            let row = unsafe slots[position]
            let wanted = home(rows[row].key)
            // It may move back to the hole if the hole is not before where it wants to be.
            if (position - wanted) & mask >= (position - hole) & mask {
                unsafe slots[hole] = row
                unsafe slots[position] = AccountRow.none
                hole = position
            }
            position = (position + 1) & mask
        }
        freePieces(from: rows[number].use)
        rows[number].next = firstFree
        firstFree = number
        count -= 1
    }

    /// Gives a hold another end of its lease.
    mutating func move(_ number: UInt32, expiresAt: Timestamp) {
        rows[number].expiresAt = expiresAt
        let place = Int(rows[number].place)
        due[place].at = expiresAt
        siftUp(place)
        siftDown(Int(rows[number].place))
        noteFirst()
    }

    // MARK: - The heap

    /// Keeps the first lease's end where every charge looks at it, beside the shard's other fields.
    @inline(__always)
    private mutating func noteFirst() { nextExpiry = due.isEmpty ? .distantFuture : due[0].at }

    private mutating func removeDue(at place: Int) {
        let last = due.removeLast()
        guard place < due.count else { return }
        put(last, at: place)
        siftUp(place)
        siftDown(Int(rows[last.row].place))
    }

    @inline(__always)
    private mutating func put(_ entry: Due, at place: Int) {
        due[place] = entry
        rows[entry.row].place = UInt32(place)
    }

    private mutating func siftUp(_ start: Int) {
        var place = start
        let entry = due[place]
        while place > 0 {
            let parent = (place - 1) / 2
            guard entry.at < due[parent].at else { break }
            put(due[parent], at: place)
            place = parent
        }
        put(entry, at: place)
    }

    private mutating func siftDown(_ start: Int) {
        var place = start
        let entry = due[place]
        while true {
            var child = place * 2 + 1
            guard child < due.count else { break }
            if child + 1 < due.count, due[child + 1].at < due[child].at { child += 1 }
            guard due[child].at < entry.at else { break }
            put(due[child], at: place)
            place = child
        }
        put(entry, at: place)
    }
}
