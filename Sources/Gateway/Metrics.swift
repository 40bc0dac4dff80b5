// The figures that operators watch, gathered in one place.

import Journal
import Ledger
import Store

/// Everything that `/metrics` says, at one moment.
public struct GatewayFigures: Sendable {
    public var reports: ReportCounts
    public var totals: ShardTotals
    public var holds: HoldFigures
    public var rememberedIDs: Int
    public var rememberedIDBytes: Int
    public var journal: JournalStatistics
    public var journalRetainedBytes: Int
    public var durableLSN: UInt64
    public var checkpoint: CheckpointFigures
    public var changedAccounts: Int
    public var historyLSN: UInt64
    public var historyRows: Int64
    public var historyFailures: Int
    public var malformedFrames: Int
    public var catalogueVersion: UInt32
    public var isDiskFull: Bool
    public var isOverloaded: Bool
    /// Microseconds since 1970.
    public var now: Int64
}

extension Gateway {
    /// Gathers the figures. Locks each shard for a moment.
    public func figures() -> GatewayFigures {
        let ids = ledger.rememberedIDs()
        let position = history.position
        return GatewayFigures(
            reports: counters.now, totals: ledger.totals(),
            holds: ledger.holdFigures(), rememberedIDs: ids.count,
            rememberedIDBytes: ids.bytes, journal: journal.statistics,
            journalRetainedBytes: journal.retainedBytes, durableLSN: journal.durableLSN,
            checkpoint: checkpointFigures.withLock { $0 }, changedAccounts: ledger.changedCount(),
            historyLSN: position.lsn, historyRows: position.usageCount + position.creditCount,
            historyFailures: historyFigures.withLock { $0.failures }, malformedFrames: malformedFrames,
            catalogueVersion: priceBook.catalogueVersion, isDiskFull: journal.admission == .diskFull,
            isOverloaded: isOverloaded.load(ordering: .relaxed), now: clock.wallMicroseconds())
    }
}
