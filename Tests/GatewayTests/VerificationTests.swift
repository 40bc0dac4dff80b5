// Verification names the first entry that breaks an equation. Method: a directory with every kind of entry; one
// change at a time to a copy of it, with every checksum over the change made right, or to the memory of a gateway
// before it stops; then what `verify` names is compared with what was changed.

import Bytes
import Foundation
import GRDB
import Pricing
import StrictJSON
import Testing

@testable import Gateway
@testable import Journal
@testable import Ledger
@testable import Store

@Suite("verification names the first entry that breaks an equation", .serialized)
struct VerificationTests {
    private static let account = Array("acme/search".utf8)
    private static func quiet(_ settings: inout GatewaySettings) {
        settings.segmentBytes = JournalLimits.segmentBytesMin
        settings.checkpointInterval = .seconds(3_600)
    }

    /// A directory whose oldest entries only the history has, the next ones both, and the last ones, if `holdsBack`,
    /// only the journal.
    private func lived(holdsBack: Bool = false) async throws -> Planted {
        let directory = try TemporaryDirectory()
        var gateway = try openGateway(directory, change: Self.quiet)
        await openAccount(gateway, credits: 1_000)
        try await everyKind(gateway, "a")
        // A batch is 4 KiB, a segment 64: so many fill some of them.
        for number in 0..<60 { _ = try await report([TestReport(id: "fill-\(number)")], to: gateway) }
        try await everyKind(gateway, "b")
        try await gateway.waitForHistory()
        // The journal is let go of up to the checkpoint before the last one.
        for number in 0..<3 {
            _ = try gateway.checkpoint()
            _ = try await report([TestReport(id: "more-\(number)")], to: gateway)
        }
        try gateway.releaseJournal()
        await gateway.stop()
        gateway = try openGateway(directory, change: Self.quiet)
        try await everyKind(gateway, "c")
        try await gateway.waitForHistory()
        if holdsBack {
            // Who holds the history's file keeps rows from it, and the journal is ahead.
            var configuration = Configuration()
            configuration.allowsUnsafeTransactions = true
            let queue = try DatabaseQueue(
                path: StoreFile.history.path(in: directory.path + "/data"), configuration: configuration)
            try await queue.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
            try await everyKind(gateway, "d", endsParked: false)
            // The last segment begins with charges, and has room for what a stop writes.
            var (number, before, after) = (0, JournalPosition?.none, end(of: gateway))
            while before?.segmentID != after.segmentID || after.offset > JournalLimits.segmentBytesMin / 2 {
                _ = try await report([TestReport(id: "tail-\(number)")], to: gateway)
                number += 1
                (before, after) = (after, end(of: gateway))
            }
            await gateway.stop(isClean: false)
            try await queue.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
            try queue.close()
        } else {
            await gateway.stop(isClean: false)
        }
        let planted = Planted(directory)
        let report = try planted.verify()
        try #require(report.problem == nil)
        #expect(holdsBack == (report.historyLag > 0))
        return planted
    }

    private func end(of gateway: Gateway) -> JournalPosition {
        gateway.journal.shared.map.withLock { $0.end }
    }

    /// Charges, a hold that is settled, one that is open, usage that is parked and settled by a correction, and a grant.
    private func everyKind(_ gateway: Gateway, _ name: String, endsParked: Bool = true) async throws {
        _ = try await report((0..<3).map { TestReport(id: "\(name)-\($0)") }, to: gateway)
        for hold in ["settled", "open"] {
            var draft = HoldDraft(
                holdID: Array("\(name)-\(hold)".utf8), account: Self.account, source: .platform)
            draft.amount = 5_000_000_000
            guard case .done = await gateway.hold(draft) else {
                Issue.record("not held")
                return
            }
        }
        var usage = QuoteDraft(
            source: .platform, provider: Array("openai".utf8), model: Array("gpt-4o".utf8))
        usage.account = Self.account
        usage.usage.inputTokens = 500
        usage.eventTime = gateway.now()
        let settled = await gateway.settleHold(
            SettlementDraft(
                holdID: Array("\(name)-settled".utf8), requestID: Array("\(name)-settles".utf8), usage: usage)
        )
        #expect(settled.receipt?.holdReleased == 5_000_000_000)
        _ = try await report([TestReport(id: "\(name)-parked", cacheReadTokens: 5_000)], to: gateway)
        if endsParked {
            try await gateway.waitForHistory()
            var correction = Usage()
            correction.inputTokens = 5_000
            let ended = try #require(
                try gateway.endParked(
                    ParkedOrder(.settle, reason: "counted twice", actor: "ada", correction: correction),
                    requestID: Array("\(name)-parked".utf8), organisation: nil))
            await gateway.durable(ended.mark)
        }
        _ = try await gateway.allocate(
            GrantRequest(kind: .bonus, amount: 7_000_000_000), to: Self.account)
        var budget = BudgetTerms(
            name: Array("calls".utf8), window: .total, metric: .requests, limit: 1_000_000, isHard: false)
        budget.model = Array("gpt-4o".utf8)
        if name == "a" {
            _ = try await gateway.setBudget(budget, of: Self.account, actor: [], reason: [])
        }
    }

    /// The usage row of a request, with that state.
    private func usage(_ planted: Planted, _ id: String, _ state: UsageState = .charged) throws -> UsageRow {
        for case .usage(let row) in try planted.rows()
        where row.requestID == Array(id.utf8) && row.figures.state == state { return row }
        throw Planted.Missing()
    }

    private func expect(
        _ report: VerificationReport, names lsn: UInt64, _ kind: String, _ words: String...,
        inJournal: Bool? = nil, inHistory: Bool? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let problem = report.problem ?? "none"
        #expect(report.entry?.lsn == lsn, "\(problem)", sourceLocation: sourceLocation)
        #expect(report.entry?.kind == kind, "\(problem)", sourceLocation: sourceLocation)
        #expect(report.entry?.account == "acme/search", "\(problem)", sourceLocation: sourceLocation)
        for word in words { #expect(problem.contains(word), sourceLocation: sourceLocation) }
        if let inJournal {
            #expect((report.entry?.segment != nil) == inJournal, "\(problem)", sourceLocation: sourceLocation)
        }
        if let inHistory {
            #expect((report.entry?.row != nil) == inHistory, "\(problem)", sourceLocation: sourceLocation)
        }
    }

    @Test(
        "grants = balances + charges + …: the entry whose balance is not the one before it and what it moves")
    func historyRows() async throws {
        let planted = try await lived()
        let kept = try #require(try planted.journalLSNs())
        let charge = try usage(planted, "a-1")
        try #require(charge.figures.lsn < kept.lowerBound)
        do {
            let copy = try planted.copy()
            try copy.changeUsage(charge.id) {
                $0.figures.charge += 1
                $0.figures.fee += 1
            }
            expect(
                try copy.verify(), names: charge.figures.lsn, "deducted", "are left", inJournal: false,
                inHistory: true)
        }
        do {
            // Amount and balance fit each other: the next one does not.
            let copy = try planted.copy()
            try copy.changeUsage(charge.id) {
                $0.figures.charge += 1
                $0.figures.fee += 1
                $0.figures.balanceAfter -= 1
            }
            expect(try copy.verify(), names: try usage(planted, "a-2").figures.lsn, "deducted")
        }
        let grant = try #require(
            try planted.rows().first { $0.type == TransactionKind.allocated && $0.id > charge.id })
        do {
            let copy = try planted.copy()
            try copy.changeCredit(grant.id) { $0.amount += 1 }
            guard case .credit(let row) = grant else { throw Planted.Missing() }
            expect(try copy.verify(), names: row.lsn, "allocated", "it moves 7000000001")
        }
    }

    @Test("every entry once: a row that is missing, or out of its order, is named by the one behind the gap")
    func order() async throws {
        let planted = try await lived()
        let (missing, next) = (try usage(planted, "a-1"), try usage(planted, "a-2"))
        let copy = try planted.copy()
        try copy.execute(.history, "DELETE FROM usage_rows WHERE id = \(missing.id)")
        expect(
            try copy.verify(), names: next.figures.lsn, "deducted",
            "LSN \(missing.figures.lsn) is missing before it")
        let again = try planted.copy()
        try again.changeUsage(missing.id) { $0.figures.sequence += 1 }
        expect(try again.verify(), names: missing.figures.lsn, "deducted", "of shard")
    }

    @Test("holds = open holds: the entry that releases another amount than the hold kept")
    func holdRows() async throws {
        let planted = try await lived()
        let opened = try planted.rows().compactMap { row -> CreditRow? in
            if case .credit(let row) = row, row.kind == TransactionKind.holdOpened { row } else { nil }
        }
        let settles = try usage(planted, "a-settles")
        let copy = try planted.copy()
        try copy.changeCredit(opened[0].id) { $0.details = $0.details.replacing("\"5\"", with: "\"6\"") }
        expect(
            try copy.verify(), names: settles.figures.lsn, "deducted",
            "releases 5000000000 nanocredits of the hold a-settled", "keeps 6000000000",
            "LSN \(opened[0].lsn)")
        // One that is open still: the entry that opened it.
        let other = try planted.copy()
        try other.changeCredit(opened[1].id) { $0.details = $0.details.replacing("\"5\"", with: "\"6\"") }
        expect(
            try other.verify(), names: opened[1].lsn, "hold_opened",
            "the hold a-open of acme/search keeps 5000000000")
    }

    @Test("one outcome for each request id: the entry that is the second")
    func doubledOutcome() async throws {
        let planted = try await lived()
        let (first, second) = (try usage(planted, "a-1"), try usage(planted, "fill-3"))
        let copy = try planted.copy()
        try copy.changeUsage(second.id) { $0.figures.idKey = first.figures.idKey }
        expect(
            try copy.verify(), names: second.figures.lsn, "deducted",
            "has an outcome already, LSN \(first.figures.lsn)")
        // It is named before an entry behind it whose balance is wrong, and after one before it.
        try copy.changeUsage(try usage(copy, "fill-9").id) { $0.figures.charge += 1 }
        expect(try copy.verify(), names: second.figures.lsn, "deducted")
        try copy.changeUsage(try usage(copy, "a-2").id) { $0.figures.charge += 1 }
        expect(try copy.verify(), names: try usage(planted, "a-2").figures.lsn, "deducted", "are left")
    }

    @Test("parked usage ends once, by its own id: the entry that ends another, and one that is not listed")
    func parkedEnd() async throws {
        let planted = try await lived()
        let settled = try usage(planted, "a-parked", .settled)
        let charge = try usage(planted, "a-1")
        let copy = try planted.copy()
        try copy.changeUsage(settled.id) { row in
            var details = BytePacker(capacity: 64)
            var fields = ByteUnpacker(ByteView())
            let rest: [UInt8] = try row.extra.withView { extra in
                fields = ByteUnpacker(extra)
                let draws = try fields.unsigned()
                details.append(draws)
                for _ in 0..<2 * draws { details.append(try fields.unsigned()) }
                details.append(charge.figures.sequence)
                _ = try fields.unsigned()
                return Array(extra[fields.offset..<extra.count])
            }
            row.extra = Array(details.view) + rest
        }
        expect(
            try copy.verify(), names: settled.figures.lsn, "settled", "no entry of that request parked it")
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory, change: Self.quiet)
        await openAccount(gateway)
        _ = try await report([TestReport(id: "parked", cacheReadTokens: 5_000)], to: gateway)
        try await gateway.waitForHistory()
        await gateway.stop()
        let other = Planted(directory)
        try other.execute(.history, "DELETE FROM parked_open")
        expect(
            try other.verify(), names: try usage(other, "parked", .parked).figures.lsn, "parked",
            "parked and not listed as such")
    }

    @Test("an entry of the journal that its balance contradicts is named with its segment")
    func journalTail() async throws {
        let planted = try await lived(holdsBack: true)
        let lsn = try #require(try planted.lastSegment().last { $0.outcome?.state == .charged }).lsn
        let copy = try planted.copy()
        try copy.changeEntry(lsn) { time, entry, packer in
            guard case .charged(var charge) = entry else { throw Planted.Missing() }
            charge.fee += 1
            packer.append(time: time, charge)
        }
        expect(
            try copy.verify(), names: lsn, "deducted", "wal/", "are left", inJournal: true, inHistory: false)
        // The sums agree, and what the grants paid does not: only replay sees that.
        let other = try planted.copy()
        try other.changeEntry(lsn) { time, entry, packer in
            guard case .charged(var charge) = entry else { throw Planted.Missing() }
            charge.draws = PackedDraws()
            charge.wallet = 9
            charge.account = 9
            packer.append(time: time, charge)
        }
        expect(
            try other.verify(), names: lsn, "deducted", "contradicts checkpoint and journal", inJournal: true)
    }

    @Test("what journal and history say otherwise of one entry is named, with the one that fits the balance")
    func journalAgainstHistory() async throws {
        let planted = try await lived()
        let charge = try usage(planted, "c-1")
        let lsns = try #require(try planted.journalLSNs())
        try #require(lsns.contains(charge.figures.lsn))
        let copy = try planted.copy()
        try copy.changeEntry(charge.figures.lsn) { time, entry, packer in
            guard case .charged(var charge) = entry else { throw Planted.Missing() }
            charge.fee += 1
            packer.append(time: time, charge)
        }
        expect(
            try copy.verify(), names: charge.figures.lsn, "deducted", "its amount", "by the journal",
            "the history's fits", inJournal: true, inHistory: true)
        let other = try planted.copy()
        try other.changeUsage(charge.id) {
            $0.figures.charge += 1
            $0.figures.fee += 1
        }
        expect(
            try other.verify(), names: charge.figures.lsn, "deducted", "the journal's fits", inJournal: true,
            inHistory: true)
        let gone = try planted.copy()
        try gone.execute(.history, "DELETE FROM usage_rows WHERE id = \(charge.id)")
        expect(
            try gone.verify(), names: charge.figures.lsn, "deducted", "the history has no row of it",
            inJournal: true, inHistory: false)
    }

    @Test("where only the checkpoint differs, its row is named and the first entry of its account")
    func checkpointRow() async throws {
        let planted = try await lived()
        // With its own checksum right and the control sum wrong, then with both right.
        for isCounted in [false, true] {
            let copy = try planted.copy()
            let offline = try OfflineDirectory(copy.data)
            let store = try CheckpointStore(directory: copy.data, identity: offline.record.identity)
            var rows: [(shard: UInt16, number: UInt32, path: [UInt8], balance: Int64, state: [UInt8])] = []
            let checkpoint = try #require(
                try store.load {
                    rows.append(($0.shard, $0.number, Array($0.path), $0.balance, Array($0.state)))
                })
            let row = try #require(rows.first { $0.path == Self.account })
            try row.path.withView { path in
                try row.state.withView { state in
                    let changed = CheckpointRow(
                        shard: row.shard, number: row.number, path: path, balance: row.balance + 1,
                        state: state)
                    if isCounted {
                        _ = try store.write { (writer) throws(StoreError) in
                            try writer.write(changed)
                            return checkpoint.stamp
                        }
                    } else {
                        try copy.execute(
                            .ledger,
                            "UPDATE accounts SET balance_nanocredits = ?, row_crc = ? WHERE id = ?",
                            [
                                changed.balance, Int64(changed.check),
                                Int64(row.shard) << 32 | Int64(row.number),
                            ])
                    }
                }
            }
            _ = consume offline
            let report = try copy.verify()
            expect(
                report, names: 1, "account_opened", "the checkpoint's row of account acme/search",
                "has a balance of \(row.balance + 1)", inJournal: false, inHistory: true)
        }
    }

    /// A directory whose gateway was wrong in memory when it stopped.
    private func stopped(
        _ damage: (inout ShardState, UInt32) throws -> Void
    ) async throws -> (Planted, VerificationReport) {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory, change: Self.quiet)
        await openAccount(gateway, credits: 1_000)
        try await everyKind(gateway, "a")
        _ = try await report((0..<3).map { TestReport(id: "late-\($0)") }, to: gateway)
        try await gateway.waitForHistory()
        for number in gateway.ledger.shards.indices {
            try gateway.ledger.shards[number].state.withLock { state in
                for account in 0..<UInt32(state.accounts.count)
                where Array(state.path(of: account)) == Self.account {
                    try damage(&state, account)
                    state.markDirty(account)
                }
            }
        }
        await gateway.stop()
        let planted = Planted(directory)
        return (planted, try planted.verify())
    }

    @Test(
        "where the sums of an account differ though its balance does not, the account's first entry is named")
    func sums() async throws {
        let (_, report) = try await stopped { state, account in
            state.accounts[account].granted += 3
            let side = state.makeSide(of: account)
            state.sides[side].expired += 3
        }
        expect(report, names: 1, "account_opened", "account acme/search was granted")
    }

    @Test("where an open hold differs, the entry that opened it is named")
    func openHold() async throws {
        let (planted, report) = try await stopped { state, _ in
            var open: UInt32?
            state.holds.forEach { number, _ in open = number }
            state.holds[try #require(open)].amount += 1
        }
        var opened: CreditRow?
        for case .credit(let row) in try planted.rows() where row.details.contains("\"a-open\"") {
            opened = row
        }
        expect(
            report, names: try #require(opened).lsn, "hold_opened",
            "keeps 5000000001 nanocredits by checkpoint")
    }

    @Test("budgets = charges in their window: the first entry in the window is named")
    func budget() async throws {
        let (planted, report) = try await stopped { state, account in
            state.sides[state.accounts[account].side].budget.used += 1
        }
        expect(
            report, names: try usage(planted, "late-0").figures.lsn, "deducted", "the budget calls",
            "has counted 4 requests", ", 3 by the entries")
    }

    @Test("rollups = history: the rollup is named by day and name, with the first entry in it")
    func rollup() async throws {
        let planted = try await lived()
        try planted.execute(
            .history, "UPDATE rollups SET fee_nanocredits = fee_nanocredits - 1 WHERE requests > 1")
        expect(
            try planted.verify(), names: try usage(planted, "a-0").figures.lsn, "deducted",
            "fee_nanocredits of the rollup of acme/search, openai gpt-4o, platform, on 20")
    }

    @Test("where every entry agrees and a total does not, the total is named")
    func total() async throws {
        let planted = try await lived()
        let queue = try DatabaseQueue(path: StoreFile.history.path(in: planted.data))
        try await queue.writeWithoutTransaction {
            try $0.execute(sql: "DROP TRIGGER parked_ended; UPDATE parked_totals SET count = count + 1")
        }
        try queue.close()
        let report = try planted.verify()
        #expect(report.entry == nil)
        #expect(report.problem?.contains("the sums of what is parked") == true, "\(report.problem ?? "none")")
    }
}
