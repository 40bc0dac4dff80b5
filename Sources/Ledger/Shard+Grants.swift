// The grants of a wallet, as a list in the order in which they burn.
//
//      account row            grants
//      +--------------+      +--------+      +--------+
//      | … | first  ──┼────▶ | second ┼────▶ | third  |
//      +--------------+      +--------+      +--------+
//
// The first is in the account's row, where a charge finds it without another cache miss; when it is spent the
// second moves up. Most wallets have one grant and no list at all.

import Bytes
import Pricing

extension ShardState {
    /// The grant of a wallet that burns first.
    @inline(__always)
    func firstGrant(of wallet: UInt32) -> GrantRow? {
        let first = unsafe accounts.address(of: wallet).pointee.firstGrant
        return first.isNone ? nil : first
    }

    /// The grant that burns after another of the same wallet.
    @inline(__always)
    func grant(after grant: GrantRow) -> GrantRow? {
        grant.next == AccountRow.none ? nil : grants[grant.next]
    }

    /// Calls `body` with each grant of a wallet, in burn order.
    func forEachGrant(of wallet: UInt32, _ body: (GrantRow) -> Void) {
        var next = firstGrant(of: wallet)
        while let grant = next {
            body(grant)
            next = self.grant(after: grant)
        }
    }

    /// How many unspent grants a wallet has. O(that number).
    func grantCount(of wallet: UInt32) -> Int {
        var count = 0
        forEachGrant(of: wallet) { _ in count += 1 }
        return count
    }

    /// The first grant of a wallet whose time has come.
    func firstExpired(of wallet: UInt32, time: Timestamp) -> GrantRow? {
        var next = firstGrant(of: wallet)
        while let grant = next {
            if grant.expiresAt <= time { return grant }
            next = self.grant(after: grant)
        }
        return nil
    }

    /// Puts a grant where it burns: by burn order, then earliest expiry, then oldest.
    mutating func addGrant(_ grant: GrantRow, to wallet: UInt32) {
        precondition(grant.id > 0)
        accounts[wallet].nextExpiry = min(accounts[wallet].nextExpiry, grant.expiresAt)
        sweep.include(grant.expiresAt)
        let first = accounts[wallet].firstGrant
        var grant = grant
        if first.isNone {
            grant.next = AccountRow.none
            accounts[wallet].firstGrant = grant
        } else if grant.burns(before: first) {
            grant.next = place(first)
            accounts[wallet].firstGrant = grant
        } else {
            var previous = AccountRow.none
            var current = first.next
            while current != AccountRow.none, !grant.burns(before: grants[current]) {
                previous = current
                current = grants[current].next
            }
            grant.next = current
            link(place(grant), after: previous, of: wallet)
        }
    }

    /// Takes `amount` from a grant of the wallet; a grant with nothing left leaves the list. Returns
    /// whether it did.
    @inline(__always)
    mutating func take(_ amount: Int64, fromGrant id: UInt64, of wallet: UInt32) -> Bool {
        let row = unsafe accounts.address(of: wallet)
        if unsafe row.pointee.firstGrant.id == id {
            precondition(
                unsafe row.pointee.firstGrant.remaining >= amount, "a draw is never above what remains")
            unsafe row.pointee.firstGrant.remaining -= amount
            guard unsafe row.pointee.firstGrant.remaining == 0 else { return false }
            if unsafe row.pointee.firstGrant.hasFilter { forgetFilter(of: id, wallet: wallet) }
            removeFirstGrant(of: wallet)
            return true
        }
        return take(amount, fromLaterGrant: id, of: wallet)
    }

    private mutating func take(_ amount: Int64, fromLaterGrant id: UInt64, of wallet: UInt32) -> Bool {
        var previous = AccountRow.none
        var current = accounts[wallet].firstGrant.next
        while current != AccountRow.none {
            if grants[current].id == id {
                precondition(grants[current].remaining >= amount, "a draw is never above what remains")
                grants[current].remaining -= amount
                guard grants[current].remaining == 0 else { return false }
                if grants[current].hasFilter { forgetFilter(of: id, wallet: wallet) }
                link(grants[current].next, after: previous, of: wallet)
                free(current)
                return true
            }
            previous = current
            current = grants[current].next
        }
        preconditionFailure("a draw names a grant of the wallet")
    }

    private mutating func removeFirstGrant(of wallet: UInt32) {
        let second = accounts[wallet].firstGrant.next
        if second == AccountRow.none {
            accounts[wallet].firstGrant = .none
        } else {
            accounts[wallet].firstGrant = grants[second]
            free(second)
        }
    }

    /// Makes `number` follow a grant of the list, or the first, which is in the account's row.
    private mutating func link(_ number: UInt32, after previous: UInt32, of wallet: UInt32) {
        if previous == AccountRow.none {
            accounts[wallet].firstGrant.next = number
        } else {
            grants[previous].next = number
        }
    }

    private mutating func place(_ grant: GrantRow) -> UInt32 {
        guard freeGrant != AccountRow.none else { return grants.append(grant) }
        let number = freeGrant
        freeGrant = grants[number].next
        grants[number] = grant
        return number
    }

    private mutating func free(_ number: UInt32) {
        grants[number].next = freeGrant
        freeGrant = number
    }

    /// Finds the earliest expiry anew, after a grant has gone. O(grants of the wallet).
    mutating func refreshNextExpiry(of wallet: UInt32) {
        var earliest = Timestamp.distantFuture
        forEachGrant(of: wallet) { earliest = min(earliest, $0.expiresAt) }
        accounts[wallet].nextExpiry = earliest
    }
}
