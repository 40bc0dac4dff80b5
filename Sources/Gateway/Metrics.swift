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

/// What the edge that serves frames says of itself.
public struct ConnectionFigures: Hashable, Sendable {
    /// Connections open now.
    public var open: Int
    /// What they hold, with the entries that wait for the journal, and its bound.
    public var memoryBytes: Int
    public var memoryBytesMax: Int
    /// 0 with plenty of memory; 1: new connections wait; 2: new calls are refused; 3: connections that do not
    /// read are closed.
    public var overloadRung: Int
    public var refusesCalls: Bool
    /// How often accepting was paused, and how many calls were refused and connections closed, because memory
    /// was short.
    public var acceptPauses: Int
    public var refusedCalls: Int
    public var closedForMemory: Int

    public init(
        open: Int, memoryBytes: Int = 0, memoryBytesMax: Int = 0, overloadRung: Int = 0,
        refusesCalls: Bool = false, acceptPauses: Int = 0, refusedCalls: Int = 0, closedForMemory: Int = 0
    ) {
        self.open = open
        self.memoryBytes = memoryBytes
        self.memoryBytesMax = memoryBytesMax
        self.overloadRung = overloadRung
        self.refusesCalls = refusesCalls
        self.acceptPauses = acceptPauses
        self.refusedCalls = refusedCalls
        self.closedForMemory = closedForMemory
    }
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
