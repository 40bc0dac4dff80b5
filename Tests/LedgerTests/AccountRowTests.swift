// The row of an account keeps its parts apart. Method: every status with every set of flags.

import Bytes
import Testing

@testable import Ledger

@Suite("the row of an account")
struct AccountRowTests {
    @Test("it is two cache lines; so is what only few accounts have, and a budget is one")
    func layout() {
        #expect(MemoryLayout<AccountRow>.stride == 2 * 64)
        #expect(MemoryLayout<SideRow>.stride == 2 * 64)
        #expect(MemoryLayout<BudgetRow>.stride == 64 && MemoryLayout<SideRow>.offset(of: \.budget) == 0)
    }

    @Test("who looks at a row without its lock finds the fields where it looks")
    func places() {
        func place(_ field: (word: Int, shift: Int)) -> Int { field.word + field.shift / 8 }
        #expect(MemoryLayout<AccountRow>.offset(of: \.parent) == place(LevelPlaces.Field.parent))
        #expect(MemoryLayout<AccountRow>.offset(of: \.side) == place(LevelPlaces.Field.side))
        #expect(MemoryLayout<BudgetRow>.offset(of: \.next) == place(LevelPlaces.Field.nextBudget))
    }

    @Test("each flag is its own, and leaves the status as it is")
    func flags() {
        for status in AccountStatus.allCases {
            for bits in 0..<16 {
                var row = AccountRow(
                    hash: Hash128(low: 1, high: 2), pathOffset: 0, pathCount: 0,
                    tier: AccountRow.inheritedTier, parent: AccountRow.none)
                row.ownsWallet = bits & 1 != 0
                row.unlimited = bits & 2 != 0
                row.status = status
                row.isDirty = bits & 4 != 0
                row.hasFilters = bits & 8 != 0
                #expect(row.status == status)
                #expect(row.ownsWallet == (bits & 1 != 0) && row.unlimited == (bits & 2 != 0))
                #expect(row.isDirty == (bits & 4 != 0) && row.hasFilters == (bits & 8 != 0))
                row.status = .active
                row.isDirty = false
                #expect(row.status == .active && !row.isDirty)
                #expect(row.hasFilters == (bits & 8 != 0) && row.ownsWallet == (bits & 1 != 0))
            }
        }
    }
}
