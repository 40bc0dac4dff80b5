// The outbox, for who reads it, and when a wallet will have run out.

import Bytes
import Ledger
import Pricing
import Store

/// When a wallet will have run out if it goes on as in its period. Amounts are in nanocredits.
public struct WalletForecast: Hashable, Sendable {
    /// What it had in the period, and since when.
    public var periodCredit: Int64
    public var periodBeganAt: Timestamp
    /// Spent since then, and in a day at that rate.
    public var used: Int64
    public var perDay: Int64
    /// Nil where nothing was spent, or it is more than a hundred years away.
    public var runsOutAt: Timestamp?
}

extension Gateway {
    /// Where events come from: the data directory.
    public var eventSource: String { "urn:tollgate:\(control.directory.identity.id)" }

    /// Events of the outbox, oldest first. Runs SQL, so not on an event loop.
    public func events(_ filter: EventFilter) throws(AdministrationError) -> [OutboxEvent] {
        try storing { () throws(StoreError) in try history.events(filter) }
    }

    /// How a wallet gets on in its period; nil before its first grant. Behind the ledger by what the history is.
    /// Runs SQL, so not on an event loop.
    public func forecast(of summary: AccountSummary) throws(AdministrationError) -> WalletForecast? {
        let wallet = summary.wallet
        let found = try storing { () throws(StoreError) in try history.period(ofWallet: wallet) }
        guard let found else { return nil }
        return WalletForecast(found, balance: summary.balance, now: now())
    }
}

extension WalletForecast {
    /// Less than this says nothing about a day.
    private static let elapsedMin: Int128 = 3_600_000_000
    private static let dayMicroseconds: Int128 = 86_400_000_000

    init(_ period: WalletPeriod, balance: Int64, now: Timestamp) {
        periodCredit = period.granted
        periodBeganAt = Timestamp(microseconds: period.beganAt)
        used = Int64(clamping: max(0, Int128(period.granted) - Int128(balance)))
        let elapsed = max(Self.elapsedMin, Int128(now.microseconds) - Int128(period.beganAt))
        perDay = Int64(clamping: Int128(used) * Self.dayMicroseconds / elapsed)
        guard used > 0 else { return }
        let left = Int128(max(0, balance)) * elapsed / Int128(used)
        guard left < 100 * 366 * Self.dayMicroseconds else { return }
        runsOutAt = Timestamp(microseconds: Int64(clamping: Int128(now.microseconds) + left))
    }
}
