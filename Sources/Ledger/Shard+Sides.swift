// What only few accounts have. It stands beside the account's row, so that an account without it stays
// two cache lines long, and follows the row in a checkpoint as sections.
//
//      section:  tag | length | fields

import Bytes
import CPlatform

/// The rare parts of an account's state: a cache line that charges use where there are budgets, and one that they do
/// not. Amounts are in nanocredits.
struct SideRow: BitwiseCopyable {
    /// The first of the account's budgets, and through `next` the others.
    var budget = BudgetRow.none
    /// The head of the list of charges that were refunded.
    var firstRefund = AccountRow.none
    /// How many of the wallet's grants have a filter.
    var filteredGrants: UInt32 = 0
    /// Sums since the account was opened: what expired, was taken by hand, and taken back with the grants that were
    /// voided.
    var expired: Int64 = 0
    var deducted: Int64 = 0
    var voided: Int64 = 0
    /// Fills the second line, so that every budget stands on one.
    private let rest: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
}

/// What was refunded of a charge: never more than it came to.
struct RefundRow: BitwiseCopyable {
    /// The entry that charged it.
    var charge: UInt64
    var refunded: Int64
    var next: UInt32
}

/// What follows an account's row in a checkpoint. A tag that is not known was written by a newer version.
enum AccountSection: UInt8 {
    case holds = 1
    case budgets = 2
    /// each name, oldest first
    case formerNames = 28
    /// deducted | voided
    case sums = 16
    /// count, then charge and refunded of each
    case refunds = 17
    /// count, then grant and filter of each
    case filters = 18
}

extension ShardState {
    /// The side row of an account, made where there is none.
    mutating func makeSide(of account: UInt32) -> UInt32 {
        if accounts[account].side == AccountRow.none { accounts[account].side = sides.append(SideRow()) }
        return accounts[account].side
    }

    /// What a wallet may spend: balance less holds and the overdraft limit; within the range of `Int64`.
    @inline(__always)
    func available(of wallet: UInt32) -> Int64 {
        let row = unsafe accounts.address(of: wallet)
        let sum =
            unsafe Int128(row.pointee.balance) + Int128(row.pointee.overdraftLimit) - Int128(row.pointee.held)
        return Int64(clamping: sum)
    }

    /// Packs the sections of an account.
    func packSections(of account: UInt32, into packer: inout BytePacker) {
        if accounts[account].firstHold != AccountRow.none {
            packer.append(.holds) { packHolds(of: account, into: &$0) }
        }
        if accounts[account].side == AccountRow.none { return }
        let side = sides[accounts[account].side]
        if !side.budget.isNone { packer.append(.budgets) { packBudgets(of: account, into: &$0) } }
        if side.firstRefund != AccountRow.none {
            packer.append(.refunds) { packRefunds(of: side, into: &$0) }
        }
        if side.filteredGrants > 0 {
            packer.append(.filters) { packFilters(of: account, into: &$0) }
        }
        if !formerNames.names(of: account).isEmpty {
            packer.append(.formerNames) { packFormerNames(of: account, into: &$0) }
        }
        // The last: a row that was cut does not add up.
        if side.deducted != 0 || side.voided != 0 {
            packer.append(.sums) { fields in
                fields.append(UInt64(side.deducted))
                fields.append(UInt64(side.voided))
            }
        }
    }

    mutating func restoreSections(
        of account: UInt32, from fields: inout ByteUnpacker
    ) throws(UnpackingError) {
        while !fields.isAtEnd {
            let at = fields.offset
            guard let section = AccountSection(rawValue: try fields.byte()) else {
                throw UnpackingError(offset: at)
            }
            var body = ByteUnpacker(try fields.prefixed())
            switch section {
            case .holds: try restoreHolds(of: account, from: &body)
            case .budgets: try restoreBudgets(of: account, from: &body)
            case .formerNames: try restoreFormerNames(of: account, from: &body)
            case .sums:
                let side = makeSide(of: account)
                sides[side].deducted = try body.amount()
                sides[side].voided = try body.amount()
            case .refunds: try restoreRefunds(of: account, from: &body)
            case .filters: try restoreFilters(of: account, from: &body)
            }
            try body.end()
        }
    }
}

extension BytePacker {
    /// Appends a section.
    mutating func append(_ section: AccountSection, _ body: (inout BytePacker) -> Void) {
        var fields = BytePacker(capacity: 256)
        body(&fields)
        append(byte: section.rawValue)
        append(prefixed: fields.view)
    }
}
