// By which of a shard's leases ends first: a binary heap that knows where each hold stands in it.
//
// Leases are mostly alike, so a new hold goes to the end of the heap and stays there. One that ends early leaves at once,
// and nothing stale is kept. Heap and places are one block of table memory, the places in front, so that for few holds
// they are a few lines one behind the other.

import Bytes
import Pricing

/// Holds by the end of their lease. Not thread-safe: the shard's lock guards it.
@safe
struct LeaseOrder: ~Copyable, @unchecked Sendable {
    struct Due: BitwiseCopyable {
        var at: Timestamp
        var row: UInt32
    }

    private(set) var count = 0
    private var capacity = 16
    /// By the hold's number.
    private var places: UnsafeMutablePointer<UInt32>
    private var heap: UnsafeMutablePointer<Due>

    init() { unsafe (places, heap) = Self.allocate(capacity) }

    deinit { unsafe Self.free(places, capacity) }

    private static func bytes(_ capacity: Int) -> Int {
        capacity * (MemoryLayout<UInt32>.stride + MemoryLayout<Due>.stride)
    }

    private static func allocate(_ capacity: Int) -> (UnsafeMutablePointer<UInt32>, UnsafeMutablePointer<Due>)
    {
        let block = unsafe TableMemory.allocate(bytes: bytes(capacity))
        let behind = unsafe block + capacity * MemoryLayout<UInt32>.stride
        return unsafe (
            block.bindMemory(to: UInt32.self, capacity: capacity),
            behind.bindMemory(to: Due.self, capacity: capacity)
        )
    }

    private static func free(_ places: UnsafeMutablePointer<UInt32>, _ capacity: Int) {
        unsafe TableMemory.deallocate(UnsafeMutableRawPointer(places), bytes: bytes(capacity))
    }

    /// Makes room for holds of a number up to `number`, which are at least as many as stand in the heap.
    mutating func makeRoom(for number: UInt32) {
        while Int(number) >= capacity {
            let (oldPlaces, oldHeap, old) = unsafe (places, heap, capacity)
            capacity *= 2
            unsafe (places, heap) = Self.allocate(capacity)
            unsafe places.update(from: oldPlaces, count: old)
            unsafe heap.update(from: oldHeap, count: old)
            unsafe Self.free(oldPlaces, old)
        }
    }

    /// Where the block begins, for prefetching.
    var address: UInt { unsafe UInt(bitPattern: places) }

    /// The hold whose lease ends first, and when.
    var first: Due? { count == 0 ? nil : self[0] }

    /// What stands at a place of the heap.
    subscript(place: Int) -> Due {
        @inline(__always) get {
            precondition(place >= 0 && place < count)
            return unsafe heap[place]
        }
    }

    /// Adds a hold. O(1) for a lease that ends last, else O(log n).
    @inline(__always)
    mutating func insert(_ number: UInt32, at: Timestamp) {
        count += 1
        siftUp(Due(at: at, row: number), from: count - 1)
    }

    /// Takes a hold out. O(log n).
    mutating func remove(_ number: UInt32) {
        let place = place(of: number)
        let last = self[count - 1]
        count -= 1
        if place < count { settle(last, from: place) }
    }

    /// Gives a hold another end of its lease. O(log n).
    mutating func move(_ number: UInt32, to at: Timestamp) {
        settle(Due(at: at, row: number), from: place(of: number))
    }

    @inline(__always)
    private func place(of number: UInt32) -> Int {
        precondition(Int(number) < capacity)
        return unsafe Int(places[Int(number)])
    }

    @inline(__always)
    private mutating func put(_ entry: Due, at place: Int) {
        precondition(place >= 0 && place < count && Int(entry.row) < capacity)
        unsafe heap[place] = entry
        unsafe places[Int(entry.row)] = UInt32(place)
    }

    /// Puts an entry where another stood, or itself before, and moves it to where it belongs.
    private mutating func settle(_ entry: Due, from place: Int) {
        siftUp(entry, from: place)
        siftDown(entry, from: self.place(of: entry.row))
    }

    private mutating func siftUp(_ entry: Due, from start: Int) {
        var place = start
        while place > 0 {
            let parent = (place - 1) / 2
            guard entry.at < self[parent].at else { break }
            put(self[parent], at: place)
            place = parent
        }
        put(entry, at: place)
    }

    private mutating func siftDown(_ entry: Due, from start: Int) {
        var place = start
        while true {
            var child = place * 2 + 1
            guard child < count else { break }
            if child + 1 < count, self[child + 1].at < self[child].at { child += 1 }
            guard self[child].at < entry.at else { break }
            put(self[child], at: place)
            place = child
        }
        if place != start { put(entry, at: place) }
    }
}
