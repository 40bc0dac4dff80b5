// What stands behind an account's row, for who looks at it without the shard's lock: the accounts above it, and the
// budgets of each.

import Bytes
import CPlatform
import Synchronization

/// How far the way from an account up was asked for.
public struct LevelCursor: BitwiseCopyable, Sendable {
    /// The account that was asked for last.
    var account: UInt32
    /// Budgets that were asked for last, of two accounts at the most; 0 for none.
    var budget: UInt = 0
    var otherBudget: UInt = 0

    /// There is nothing behind it.
    public static let end = LevelCursor(account: AccountRow.none)
    @inline(__always)
    public var isAtEnd: Bool { account == AccountRow.none && budget | otherBudget == 0 }
}

/// Where a shard keeps budgets, for prefetching by somebody who does not hold the lock. A place out of date fetches a
/// useless line, or none.
struct LevelPlaces: ~Copyable {
    private let sides = Atomic<UInt>(0)
    private let budgets = Atomic<UInt>(0)

    /// Two neighbouring fields of a row, and which of the two it is. A test states where they stand.
    enum Field {
        static let parent = (word: 16, shift: 32)
        static let side = (word: 32, shift: 0)
        static let nextBudget = (word: 0, shift: 32)
    }

    /// Notes what a shard's state has come to. Whoever reads a place also reads what was written there before.
    @inline(__always)
    func note(_ state: borrowing ShardState) {
        note(state.sides.place, sides)
        note(state.budgets.place, budgets)
    }

    @inline(__always)
    private func note(_ place: BlockPlace, _ word: borrowing Atomic<UInt>) {
        if word.load(ordering: .relaxed) != place.rawValue {
            word.store(place.rawValue, ordering: .releasing)
        }
    }

    /// Asks for what stands a step further: the account above is a step from an account, so is its first budget, and each
    /// of its budgets from the one before.
    @inline(__always)
    func advance(_ cursor: inout LevelCursor, in rows: BlockPlace) {
        if cursor.budget != 0 { cursor.budget = prefetchBudget(behind: cursor.budget) }
        if cursor.otherBudget != 0 { cursor.otherBudget = prefetchBudget(behind: cursor.otherBudget) }
        let address = Slab<AccountRow>.guess(cursor.account, in: rows)
        guard cursor.account != AccountRow.none, address != 0 else {
            cursor.account = AccountRow.none
            return
        }
        let side = Self.read(Field.side, of: address)
        if side != AccountRow.none {
            let budget = Slab<SideRow>.guess(
                side, in: BlockPlace(rawValue: sides.load(ordering: .acquiring)))
            Self.prefetch(budget)
            if cursor.budget == 0 { cursor.budget = budget } else { cursor.otherBudget = budget }
        }
        cursor.account = Self.read(Field.parent, of: address)
        if cursor.account != AccountRow.none {
            Self.prefetch(Slab<AccountRow>.guess(cursor.account, in: rows))
        }
    }

    /// Asks for the budget behind another of the same account. Returns where it stands; 0 if there is none.
    @inline(__always)
    private func prefetchBudget(behind budget: UInt) -> UInt {
        let next = Self.read(Field.nextBudget, of: budget)
        if next == AccountRow.none { return 0 }
        let address = Slab<BudgetRow>.guess(
            next, in: BlockPlace(rawValue: budgets.load(ordering: .acquiring)))
        Self.prefetch(address)
        return address
    }

    @inline(__always)
    private static func read(_ field: (word: Int, shift: Int), of row: UInt) -> UInt32 {
        UInt32(
            truncatingIfNeeded: tollgate_peek64(row &+ UInt(bitPattern: field.word)) >> UInt64(field.shift))
    }

    @inline(__always)
    private static func prefetch(_ address: UInt) {
        unsafe tollgate_prefetch_write(UnsafeRawPointer(bitPattern: address))
    }
}
