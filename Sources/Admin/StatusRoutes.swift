// What runs here and how it is, and whether the books balance.

import Gateway
import Ledger
import Money
import StrictJSON

extension AdminDesk {
    /// `GET /api/v1/status`.
    func serverStatus(_ request: AdminRequest) throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let figures = gateway.figures()
        let connections = status.connections()
        let reasons = Self.reasonsNotReady(figures, connections, isReady: gateway.isReady)
        return Reply([
            "version": .string(status.version),
            "uptime_seconds": .integer(uptimeNanoseconds / 1_000_000_000),
            "ready": .bool(reasons.isEmpty),
            "reasons": .array(reasons.map { .string($0) }),
            "now": .instant(figures.now),
            "credit_value_usd": .dollars(gateway.settings.creditValue.picodollarsPerCredit),
            "epoch": .integer(gateway.recovery.epoch),
            "recovery": .object(Self.recovery(gateway.recovery, priority: gateway.journalPriority)),
            "figures": .object(Self.figures(figures, connections: connections)),
        ])
    }

    /// `GET /api/v1/books`: the sums over all accounts, in nanocredits, and whether they agree.
    func books(_ request: AdminRequest) throws(RequestProblem) -> Reply {
        try request.expectParameters()
        var object = Self.books(gateway.figures().totals)
        object["unit"] = "nanocredits"
        return Reply(object)
    }

    static func books(_ totals: ShardTotals) -> JSONObject {
        [
            "accounts": .integer(totals.accounts), "opening": "0", "granted": .wide(totals.granted),
            "balances": .wide(totals.balances), "charged": .wide(totals.charged),
            "expired": .wide(totals.expired), "voided": .wide(totals.voided),
            "deducted": .wide(totals.deducted), "balance": .bool(totals.balance),
            "line": .string(totals.equation()),
        ]
    }

    private static func recovery(_ report: RecoveryReport, priority: String) -> JSONObject {
        [
            "accounts": .integer(report.accounts), "entries": .integer(report.entries),
            "seconds": .string(DecimalText.format(Int128(report.nanoseconds), places: 9)),
            "dropped_tail": report.droppedTail.map { .string($0) } ?? .null,
            "write_mode": .string(report.writeMode), "flusher_priority": .word(priority),
        ]
    }

    private static func figures(_ figures: GatewayFigures, connections: ConnectionFigures) -> JSONObject {
        let reports = figures.reports
        return [
            "connections": .integer(connections.open),
            "connections_memory": [
                "bytes": .integer(connections.memoryBytes), "bytes_max": .integer(connections.memoryBytesMax),
                "overload_rung": .integer(connections.overloadRung),
                "accept_pauses": .integer(connections.acceptPauses),
                "refused_calls": .integer(connections.refusedCalls),
                "closed_connections": .integer(connections.closedForMemory),
            ],
            "reports": [
                "charged": .integer(reports.charged), "parked": .integer(reports.parked),
                "duplicates": .integer(reports.duplicates), "refused": .integer(reports.refused),
                "quotes": .integer(reports.quotes), "platform_nanocredits": .wide(reports.platformCharged),
                "byok_nanocredits": .wide(reports.byokCharged),
            ],
            "accounts": .integer(figures.totals.accounts),
            "changed_accounts": .integer(figures.changedAccounts),
            "remembered_ids": .integer(figures.rememberedIDs),
            "remembered_id_bytes": .integer(figures.rememberedIDBytes),
            "journal": [
                "durable_lsn": .integer(figures.durableLSN), "batches": .integer(figures.journal.batches),
                "entries": .integer(figures.journal.entries),
                "written_bytes": .integer(figures.journal.writtenBytes),
                "retained_bytes": .integer(figures.journalRetainedBytes),
                "segments_begun": .integer(figures.journal.segmentsBegun),
                "segment_waits": .integer(figures.journal.segmentWaits),
            ],
            "checkpoint": [
                "count": .integer(figures.checkpoint.count),
                "failures": .integer(figures.checkpoint.failures),
                "last_accounts": .integer(figures.checkpoint.lastAccounts),
                "last_seconds": .string(
                    DecimalText.format(Int128(figures.checkpoint.lastNanoseconds), places: 9)),
                "last_at": figures.checkpoint.count > 0 ? .instant(figures.checkpoint.lastAt) : .null,
            ],
            "history": [
                "lsn": .integer(figures.historyLSN), "lag_entries": .integer(figures.historyLag),
                "rows": .integer(figures.historyRows), "failures": .integer(figures.historyFailures),
            ],
            "malformed_frames": .integer(figures.malformedFrames),
            "catalogue_version": .integer(figures.catalogueVersion),
            "disk_full": .bool(figures.isDiskFull), "overloaded": .bool(figures.isOverloaded),
            "books": .object(books(figures.totals)),
        ]
    }
}
