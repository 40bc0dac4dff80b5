// Finds an account by the keyed hash of its path.
//
// Open addressing with linear probing over 8-byte slots: 32 bits of hash beside the account's number,
// so a probe reads one cache line and almost never a row that is not the right one. The row holds the
// whole 128-bit hash; the hash is keyed with the data directory's secret, so equal hashes mean equal
// paths for every purpose of money.
//
// An account that is moved gets a slot under its new hash. The one under its old hash stays, matches no row any more,
// and is dropped when the table grows.

import Bytes

/// A hash index from path hash to account number. Accounts are never removed.
@safe
struct AccountIndex: ~Copyable, @unchecked Sendable {
    private var slots: UnsafeMutablePointer<UInt64>
    private var mask: Int
    private var used = 0

    private static var empty: UInt64 { .max }

    init() {
        mask = 63
        unsafe slots = Self.allocate(mask + 1)
    }

    deinit { unsafe Self.deallocate(slots, mask + 1) }

    private static func deallocate(_ slots: UnsafeMutablePointer<UInt64>, _ count: Int) {
        unsafe TableMemory.deallocate(UnsafeMutableRawPointer(slots), bytes: count * 8)
    }

    private static func allocate(_ count: Int) -> UnsafeMutablePointer<UInt64> {
        let slots = unsafe TableMemory.allocate(bytes: count * 8).bindMemory(to: UInt64.self, capacity: count)
        unsafe slots.initialize(repeating: empty, count: count)
        return unsafe slots
    }

    /// Where the slots are, for `slotAddress` and `guess`.
    var place: BlockPlace { unsafe BlockPlace(UnsafeRawPointer(slots), count: mask + 1) }

    /// The first slot that a hash may be in, of an index whose `place` was this a moment ago.
    @inline(__always)
    static func slotAddress(_ hash: Hash128, in place: BlockPlace) -> UInt {
        place.address + 8 * UInt(bitPattern: Int(truncatingIfNeeded: hash.low) & place.mask)
    }

    /// The account that `find` would probably meet first. Only for prefetching: it is read without a lock.
    @inline(__always)
    static func guess(_ hash: Hash128, in place: BlockPlace) -> UInt32? {
        let tag = hash.high &>> 32
        var position = Int(truncatingIfNeeded: hash.low) & place.mask
        for _ in 0..<guessesMax {
            guard let slot = place.word(at: position), slot != empty else { return nil }
            if slot &>> 32 == tag { return UInt32(truncatingIfNeeded: slot) }
            position = (position + 1) & place.mask
        }
        return nil
    }

    /// Slots that are looked at: hardly one of hundred accounts is further from its own.
    private static var guessesMax: Int { 16 }

    /// Calls `matches` with each account whose tag fits, until one does. O(1) expected.
    @inline(__always)
    func find(_ hash: Hash128, matches: (UInt32) -> Bool) -> UInt32? {
        let tag = hash.high &>> 32
        var position = Int(truncatingIfNeeded: hash.low) & mask
        while true {
            let slot = unsafe slots[position]
            if slot == Self.empty { return nil }
            if slot &>> 32 == tag {
                let number = UInt32(truncatingIfNeeded: slot)
                if matches(number) { return number }
            }
            position = (position + 1) & mask
        }
    }

    /// Adds an account that is not there yet. `rows` has the hashes of those that are, for growing.
    mutating func insert(_ hash: Hash128, number: UInt32, rows: borrowing Slab<AccountRow>) {
        if (used + 1) * 4 > (mask + 1) * 3 { grow(rows: rows) }
        place(hash, number: number)
        used += 1
    }

    /// Adds an account under one more hash, which its row has now.
    mutating func insert(moved hash: Hash128, number: UInt32, rows: borrowing Slab<AccountRow>) {
        // One that is back where it was has its slot already.
        let slot = (hash.high &>> 32) &<< 32 | UInt64(number)
        var position = Int(truncatingIfNeeded: hash.low) & mask
        while unsafe slots[position] != Self.empty {
            if unsafe slots[position] == slot { return }
            position = (position + 1) & mask
        }
        insert(hash, number: number, rows: rows)
    }

    private func place(_ hash: Hash128, number: UInt32) {
        var position = Int(truncatingIfNeeded: hash.low) & mask
        while unsafe slots[position] != Self.empty { position = (position + 1) & mask }
        unsafe slots[position] = (hash.high &>> 32) &<< 32 | UInt64(number)
    }

    private mutating func grow(rows: borrowing Slab<AccountRow>) {
        let (old, oldCount) = unsafe (slots, mask + 1)
        mask = oldCount * 2 - 1
        unsafe slots = Self.allocate(mask + 1)
        for position in 0..<oldCount {
            let slot = unsafe old[position]
            if slot == Self.empty { continue }
            let number = UInt32(truncatingIfNeeded: slot)
            guard slot &>> 32 == rows[number].hash.high &>> 32 else {
                used -= 1
                continue
            }
            place(rows[number].hash, number: number)
        }
        unsafe Self.deallocate(old, oldCount)
    }
}
