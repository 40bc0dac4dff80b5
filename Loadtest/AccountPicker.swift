// Which account a report is for: every one alike, or few of them often.
//
// A skewed choice is made in constant time by the alias method: the table has a row for each account,
// and a draw takes a row and then either the row's own account or its alias. Source: Walker, "An
// efficient method for generating discrete random variables with general distributions", 1977, built
// as in Vose, 1991. The skew is Zipf's with exponent 0.99, as in YCSB.

import Glibc

/// How accounts are chosen.
enum AccountDistribution: String, CaseIterable, Sendable {
    case uniform
    case zipfian
}

/// Chooses accounts by their index, 0 for the most frequent.
struct AccountPicker: Sendable {
    let count: UInt32
    /// Rows of the alias table: the high half is the share of the row's own account, out of 2^32, the
    /// low half the alias. Empty for a uniform choice.
    private let rows: [UInt64]

    static let zipfExponent = 0.99

    /// - Parameter count: at least 1.
    init(count: Int, distribution: AccountDistribution) {
        precondition(count >= 1 && count <= LoadLimits.accountsMax)
        self.count = UInt32(count)
        switch distribution {
        case .uniform: rows = []
        case .zipfian:
            rows = AccountPicker.aliasRows(
                weights: (0..<count).map { pow(Double($0 + 1), -AccountPicker.zipfExponent) })
        }
    }

    /// The account for 64 random bits.
    @inline(__always)
    func pick(_ random: UInt64) -> UInt32 {
        // The high bits, scaled, choose the row; the low bits choose within it.
        let row = UInt32(truncatingIfNeeded: ((random >> 32) * UInt64(count)) >> 32)
        guard !rows.isEmpty else { return row }
        let entry = rows[Int(row)]
        return (random & 0xffff_ffff) < (entry >> 32) ? row : UInt32(truncatingIfNeeded: entry)
    }

    private static func aliasRows(weights: [Double]) -> [UInt64] {
        let count = weights.count
        let mean = weights.reduce(0, +) / Double(count)
        var shares = weights.map { $0 / mean }
        var aliases = Array(0..<UInt32(count))
        var small = shares.indices.filter { shares[$0] < 1 }
        var large = shares.indices.filter { shares[$0] >= 1 }
        while let low = small.popLast(), let high = large.last {
            aliases[low] = UInt32(high)
            shares[high] -= 1 - shares[low]
            if shares[high] < 1 {
                large.removeLast()
                small.append(high)
            }
        }
        // What is left is whole but for rounding: each row is its own account.
        for left in large { shares[left] = 1 }
        return zip(shares, aliases).map { share, alias in
            let own = UInt64(min(max(share, 0), 1) * 4_294_967_295)
            return own << 32 | UInt64(alias)
        }
    }
}
