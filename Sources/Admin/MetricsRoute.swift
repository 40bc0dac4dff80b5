// `GET /metrics`: what operators watch.
//
// No family has an account or a key in its labels: their number has no bound. Amounts are in nanocredits,
// because a counter of rounded cents hides whole tiers of cheap requests. Counters count from the start of
// the process.

import Gateway
import Pricing
import Store

extension AdminDesk {
    /// Every figure, from one look at the gateway.
    func metrics(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let gateway = gateway
        let parked = try await reading { () throws(AdministrationError) in try gateway.parkedFigures() }
        let figures = gateway.figures()
        var text = MetricsText()
        addProcess(figures, to: &text)
        Self.addReports(figures.reports, to: &text)
        Self.addParked(parked, now: figures.now, to: &text)
        Self.addHolds(figures, to: &text)
        Self.addJournal(figures, to: &text)
        Self.addStores(figures, to: &text)
        Self.addBooks(figures, to: &text)
        addShadow(to: &text)
        return Reply(text: text.text, contentType: MetricsText.contentType)
    }

    private func addProcess(_ figures: GatewayFigures, to text: inout MetricsText) {
        text.family("metering_build_info", .gauge, "The version that runs; always 1.")
        text.sample("metering_build_info", [("version", status.version)], 1)
        text.seconds(
            "metering_uptime_seconds", .gauge, "Time since this server started.",
            nanoseconds: uptimeNanoseconds)
        let connections = status.connections()
        let isReady = Self.reasonsNotReady(figures, connections, isReady: gateway.isReady).isEmpty
        text.single("metering_ready", .gauge, "1 while reports are recorded.", isReady ? 1 : 0)
        text.single(
            "metering_disk_full", .gauge, "1 while there is no room for the next journal segment.",
            figures.isDiskFull ? 1 : 0)
        text.single(
            "metering_overloaded", .gauge, "1 while reports are refused because history is too far behind.",
            figures.isOverloaded ? 1 : 0)
        text.single(
            "metering_connections", .gauge, "Open connections of the framed protocol.", connections.open)
        Self.addMemory(connections, to: &text)
        text.single(
            "metering_malformed_frames_total", .counter, "Frames that could not be read.",
            figures.malformedFrames)
        text.seconds(
            "metering_recovery_seconds", .gauge, "How long the last start took to read the journal.",
            nanoseconds: gateway.recovery.nanoseconds)
        text.single(
            "metering_recovery_entries", .gauge, "Journal entries read at the last start.",
            gateway.recovery.entries)
        text.single("metering_epoch", .gauge, "Starts of this data directory.", gateway.recovery.epoch)
    }

    private static func addMemory(_ connections: ConnectionFigures, to text: inout MetricsText) {
        text.single(
            "metering_connection_memory_bytes", .gauge,
            "What connections hold, with the entries that wait for the journal.", connections.memoryBytes)
        text.single(
            "metering_connection_memory_bytes_max", .gauge,
            "The most that they may: transport.memory_bytes_max.",
            connections.memoryBytesMax)
        text.single(
            "metering_overload_rung", .gauge,
            "Short of that memory: 1 new connections wait, 2 new calls are refused, 3 stalled connections are"
                + " closed; else 0.", connections.overloadRung)
        text.single(
            "metering_overload_accept_pauses_total", .counter,
            "Times that new connections had to wait for it.",
            connections.acceptPauses)
        text.single(
            "metering_overload_refused_calls_total", .counter, "Calls refused for lack of it.",
            connections.refusedCalls)
        text.single(
            "metering_overload_closed_connections_total", .counter,
            "Connections closed for lack of it, because they did not read.", connections.closedForMemory)
    }

    private static func addReports(_ reports: ReportCounts, to text: inout MetricsText) {
        let records = "metering_usage_records_total"
        text.family(records, .counter, "Usage records, by what became of them.")
        text.sample(records, [("outcome", "charged")], reports.charged)
        text.sample(records, [("outcome", "parked")], reports.parked)
        text.sample(records, [("outcome", "settled")], reports.settled)
        text.sample(records, [("outcome", "discarded")], reports.discarded)
        text.sample(records, [("outcome", "duplicate")], reports.duplicates)
        text.sample(records, [("outcome", "refused")], reports.refused)
        let charged = "metering_charged_nanocredits_total"
        text.family(charged, .counter, "Nanocredits charged, by who paid the provider.")
        text.sample(charged, [("kind", "platform")], reports.platformCharged)
        text.sample(charged, [("kind", "byok")], reports.byokCharged)
        let rejections = "metering_rejections_total"
        text.family(rejections, .counter, "Refused records and quotes, by reason.")
        for reason in Reason.allCases {
            text.sample(rejections, [("reason", reason.text)], reports.refusals(for: reason))
        }
        text.single(
            "metering_duplicates_total", .counter, "Records answered with the outcome they had before.",
            reports.duplicates)
        text.single("metering_quotes_total", .counter, "Quotes given.", reports.quotes)
    }

    private static func addParked(_ parked: ParkedFigures, now: Int64, to text: inout MetricsText) {
        let records = "metering_parked_records"
        text.family(records, .gauge, "Records kept without a charge, until they are settled or discarded.")
        for reason in [Reason.unpricedModel, .invalidUsage] {
            text.sample(records, [("reason", reason.text)], parked.byReason[reason.text] ?? 0)
        }
        text.single(
            "metering_parked_nanocredits", .gauge,
            "What the holds of those records had kept: about what they are worth.", parked.valuedAt)
        let age = parked.oldestRecordedAt.map { max(0, now - $0) } ?? 0
        text.seconds(
            "metering_parked_oldest_seconds", .gauge, "How long the oldest of them has been kept.",
            nanoseconds: UInt64(age) * 1_000)
    }

    private static func addHolds(_ figures: GatewayFigures, to text: inout MetricsText) {
        text.single("metering_holds_total", .counter, "Holds opened.", figures.reports.holds)
        text.single("metering_holds_open", .gauge, "Open holds.", figures.holds.open)
        text.single(
            "metering_exposure_nanocredits", .gauge,
            "What open holds keep: the worst case of what is under way.", figures.holds.held)
        let age = figures.holds.oldest.map { max(0, figures.now - $0.microseconds) } ?? 0
        text.seconds(
            "metering_hold_oldest_age_seconds", .gauge, "How long the oldest open hold has been open.",
            nanoseconds: UInt64(age) * 1_000)
        text.single(
            "metering_holds_expired_total", .counter,
            "Holds whose lease ended without a report, since this server started.", figures.holds.expired)
        text.single(
            "metering_holds_orphaned_total", .counter,
            "Those of them that were charged, as their orphan policy says.", figures.holds.orphaned)
        text.single(
            "metering_orphan_charged_nanocredits_total", .counter,
            "What they were charged; a report that comes after all corrects it.",
            figures.holds.orphanCharges)
    }

    private static func addJournal(_ figures: GatewayFigures, to text: inout MetricsText) {
        let journal = figures.journal
        text.histogram(
            "metering_wal_fsync_seconds", "How long a durable write of a journal batch took.",
            journal.writeNanoseconds, inSeconds: true)
        text.histogram(
            "metering_wal_batch_records", "Entries in a journal batch.", journal.entriesPerBatch,
            inSeconds: false)
        text.single(
            "metering_wal_bytes_total", .counter,
            "Bytes written to the journal, headers and padding included.",
            journal.writtenBytes)
        text.single(
            "metering_wal_entries_total", .counter, "Entries written to the journal.", journal.entries)
        text.single("metering_wal_segments_total", .counter, "Journal segments begun.", journal.segmentsBegun)
        text.single(
            "metering_wal_segment_waits_total", .counter, "Times that a batch waited for a segment.",
            journal.segmentWaits)
        text.single(
            "metering_wal_retained_bytes", .gauge, "Bytes of journal kept for checkpoint and history.",
            figures.journalRetainedBytes)
        text.single("metering_wal_durable_lsn", .gauge, "The last durable journal entry.", figures.durableLSN)
    }

    private static func addStores(_ figures: GatewayFigures, to text: inout MetricsText) {
        let checkpoint = figures.checkpoint
        text.single("metering_checkpoints_total", .counter, "Checkpoints kept.", checkpoint.count)
        text.single(
            "metering_checkpoint_failures_total", .counter, "Checkpoints to be tried again.",
            checkpoint.failures)
        if checkpoint.count > 0 {
            text.seconds(
                "metering_checkpoint_seconds", .gauge, "How long the last checkpoint took.",
                nanoseconds: checkpoint.lastNanoseconds)
            let age = max(0, figures.now - checkpoint.lastAt)
            text.seconds(
                "metering_checkpoint_age_seconds", .gauge, "Time since the last checkpoint of this process.",
                nanoseconds: UInt64(age) * 1_000)
            text.single(
                "metering_checkpoint_accounts", .gauge, "Accounts in the last checkpoint.",
                checkpoint.lastAccounts)
        }
        text.single(
            "metering_changed_accounts", .gauge, "Accounts changed since the last checkpoint.",
            figures.changedAccounts)
        text.single(
            "metering_history_lag_entries", .gauge, "Durable entries that the history does not have yet.",
            figures.historyLag)
        text.single("metering_history_rows", .gauge, "Rows in the history.", figures.historyRows)
        text.single(
            "metering_history_failures_total", .counter, "History transactions to be tried again.",
            figures.historyFailures)
        text.single(
            "metering_catalogue_version", .gauge, "The price catalogue in force.", figures.catalogueVersion)
    }

    /// Labels are what rules and catalogue name, so their number has the bound of those.
    private func addShadow(to text: inout MetricsText) {
        let shadow = gateway.shadow
        text.single(
            "metering_shadow_active", .gauge, "1 while a draft of the rules counts beside live traffic.",
            shadow == nil ? 0 : 1)
        guard let rows = shadow?.rows, !rows.isEmpty else { return }
        func family(_ name: String, _ help: String, _ value: (ShadowSum) -> Int128) {
            text.family(name, .gauge, help)
            for row in rows {
                text.sample(
                    name,
                    [
                        ("kind", RuleKind(row.source).rawValue), ("tier", row.tier),
                        ("provider", row.provider),
                    ], value(row.sum))
            }
        }
        family("metering_shadow_records", "Records that the draft counted.") { Int128($0.records) }
        family("metering_shadow_refused", "Records that the draft has no rule or price for.") {
            Int128($0.refused)
        }
        family("metering_shadow_live_nanocredits", "Fees charged before allowances.") { $0.liveFee }
        family("metering_shadow_draft_nanocredits", "Fees that the draft would ask.") { $0.draftFee }
    }

    private static func addBooks(_ figures: GatewayFigures, to text: inout MetricsText) {
        let totals = figures.totals
        text.single("metering_accounts", .gauge, "Accounts.", totals.accounts)
        text.single("metering_remembered_ids", .gauge, "Request ids in memory.", figures.rememberedIDs)
        text.single(
            "metering_remembered_ids_bytes", .gauge, "Memory that they take.", figures.rememberedIDBytes)
        let sums = "metering_ledger_nanocredits"
        text.family(
            sums, .gauge,
            "Sums over all accounts since the first: granted = balances + charged + expired + voided + deducted."
        )
        text.sample(sums, [("sum", "granted")], totals.granted)
        text.sample(sums, [("sum", "balances")], totals.balances)
        text.sample(sums, [("sum", "charged")], totals.charged)
        text.sample(sums, [("sum", "expired")], totals.expired)
        text.sample(sums, [("sum", "voided")], totals.voided)
        text.sample(sums, [("sum", "deducted")], totals.deducted)
        text.single("metering_books_balance", .gauge, "1 while those sums agree.", totals.balance ? 1 : 0)
    }

    /// Time since the server started.
    var uptimeNanoseconds: UInt64 {
        let (seconds, attoseconds) = (ContinuousClock.now - started).components
        return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }
}

extension GatewayFigures {
    /// Durable entries that the history does not have yet.
    var historyLag: UInt64 { durableLSN > historyLSN ? durableLSN - historyLSN : 0 }
}
