// When a wallet runs low: one event for each threshold it crosses in a period, and one when it has recovered.
//
// A period begins with the first grant of a calendar month, UTC: what the wallet has then, and what is granted
// later in the month, is its credit. A threshold of 75 % is crossed when a quarter of that credit is left, one of
// 100 % when nothing is. The balances are those that the journal's entries say, so the events follow the ledger's
// order and are the same however often the journal is read.
//
// Nearly every charge crosses nothing: it is compared with the balance at which the next threshold of its wallet
// is, and that is kept for so many wallets as fit; what is not there is read from the history.

import Bytes
import Ledger
import Platform
import Pricing
import Store
import StrictJSON

/// Watches the balances that pass by. Belongs to the history's thread.
struct ThresholdWatch {
    /// In percent of the period's credit that is used up, ascending.
    let thresholds: [Int]
    /// By hash of the wallet: the balance at or below which something is to be told.
    private var limits: [UInt64: Int64] = [:]
    private let key: HashKey
    /// Wallets whose limit is kept, 16 bytes each and their share of the table.
    private static let limitsMax = 262_144

    init(thresholds: [Int]) {
        self.thresholds = thresholds
        let entropy = SystemEntropy()
        key = HashKey(first: entropy.next(), second: entropy.next())
    }

    /// Something that is to be told of a wallet.
    enum Notice {
        case crossed(threshold: Int, period: WalletPeriod)
        case recovered(from: Int, period: WalletPeriod)
    }

    /// The notices of a balance that went down.
    mutating func lowered(
        _ wallet: ByteView, balance: Int64, writer: inout HistoryWriter
    ) throws -> [Notice] {
        let hash = KeyedHasher.lowHash(wallet, key: key)
        if let limit = limits[hash], balance > limit { return [] }
        guard !thresholds.isEmpty, var period = try writer.period(of: wallet) else {
            keep(.min, hash)
            return []
        }
        let level = level(of: balance, in: period)
        var notices: [Notice] = []
        if level > Int(period.level) {
            for index in Int(period.level)..<level {
                notices.append(.crossed(threshold: thresholds[index], period: period))
            }
            period.level = Int64(level)
            try writer.set(period, of: wallet)
        }
        keep(limit(of: period), hash)
        return notices
    }

    /// The notices of a balance that credit was added to.
    mutating func granted(
        _ wallet: ByteView, amount: Int64, balance: Int64, time: Timestamp, writer: inout HistoryWriter
    ) throws -> [Notice] {
        guard !thresholds.isEmpty else { return [] }
        let hash = KeyedHasher.lowHash(wallet, key: key)
        let month = Int64(CalendarMonth(containing: time).count)
        let before = try writer.period(of: wallet)
        var period = WalletPeriod(
            month: month, granted: max(0, balance), level: before?.level ?? 0, beganAt: time.microseconds)
        if let before, before.month == month {
            period.granted =
                before.granted.addingReportingOverflow(amount).overflow
                ? .max : before.granted + amount
            period.beganAt = before.beganAt
        }
        let level = level(of: balance, in: period)
        var notices: [Notice] = []
        if let before, level < Int(before.level), before.level <= thresholds.count {
            notices.append(.recovered(from: thresholds[Int(before.level) - 1], period: period))
        }
        period.level = Int64(level)
        try writer.set(period, of: wallet)
        keep(limit(of: period), hash)
        return notices
    }

    /// Forgets which limits are known: wallets have other names.
    mutating func forget() { limits.removeAll(keepingCapacity: true) }

    private mutating func keep(_ limit: Int64, _ hash: UInt64) {
        if limits.count >= Self.limitsMax { limits.removeAll(keepingCapacity: true) }
        limits[hash] = limit
    }

    /// How many thresholds a balance has reached.
    private func level(of balance: Int64, in period: WalletPeriod) -> Int {
        thresholds.prefix { balance <= Self.balance(at: $0, of: period) }.count
    }

    private func limit(of period: WalletPeriod) -> Int64 {
        Int(period.level) < thresholds.count
            ? Self.balance(at: thresholds[Int(period.level)], of: period) : .min
    }

    /// The balance at which so many percent of the period's credit are used up, rounded down.
    private static func balance(at threshold: Int, of period: WalletPeriod) -> Int64 {
        Int64(clamping: Int128(period.granted) * Int128(100 - threshold) / 100)
    }
}
