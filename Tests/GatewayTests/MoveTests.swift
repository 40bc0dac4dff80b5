// Moved accounts with everything around them: their history, sums and explanations, over restarts and crashes; traffic
// beside a move; and what verification says, of a directory as it is and of one that was changed by hand.

import Bytes
import GRDB
import Ledger
import Pricing
import Store
import Synchronization
import Testing

@testable import Gateway

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

@discardableResult
private func move(_ from: String, _ to: String, key: String? = nil, _ gateway: Gateway) async throws
    -> ActOutcome
{
    var order = AccountMove(from: bytes(from), to: bytes(to))
    order.actor = bytes("ann")
    order.reason = bytes("new owner")
    order.idempotencyKey = key.map { bytes($0) }
    return try await gateway.move(order)
}

/// What the tasks of a run count together.
private final class Count: Sendable {
    private let value = Atomic<Int>(0)
    var now: Int { value.load(ordering: .relaxed) }
    func add() { value.add(1, ordering: .relaxed) }
}

@Suite("moved accounts")
struct MoveTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func open(
        _ path: String, wallet: Bool, credits: Int64 = 0, _ gateway: Gateway
    ) async {
        let outcome = await gateway.open([
            AccountOpening(
                path: bytes(path),
                settings: AccountSettings(
                    ownsWallet: wallet, tier: path.contains("/") ? nil : bytes("professional")),
                initialGrant: credits > 0
                    ? GrantRequest(kind: .purchased, amount: credits * 1_000_000_000) : nil)
        ])
        #expect(outcome == [.opened], "\(path)")
    }

    /// Two teams with wallets, one with a member without.
    private func tree(_ gateway: Gateway) async {
        await open("acme", wallet: true, credits: 1_000, gateway)
        await open("acme/a", wallet: true, credits: 1_000, gateway)
        await open("acme/b", wallet: true, credits: 1_000, gateway)
        await open("acme/a/x", wallet: false, gateway)
    }

    private func transactions(_ account: String, _ gateway: Gateway, limit: Int = 500) throws
        -> [TransactionRow]
    {
        var filter = TransactionFilter()
        filter.account = bytes(account)
        filter.limit = limit
        var rows: [TransactionRow] = []
        repeat {
            let page = try gateway.transactions(filter)
            rows += page.rows
            filter.before = page.next
        } while filter.before != nil
        return rows
    }

    private func verify() throws -> VerificationReport {
        try OfflineDirectory(directory.path + "/data").verify()
    }

    // MARK: - History

    @Test(
        "the transactions of the new path are those of before and after, on pages of any length, and so by the old one"
    )
    func transactions() async throws {
        let gateway = try openGateway(directory)
        await tree(gateway)
        _ = try await report(
            (0..<5).map { TestReport(id: "before-\($0)", account: "acme/a/x") }, to: gateway)
        try await move("acme/a", "acme/b/a", gateway)
        _ = try await report(
            [TestReport(id: "late", account: "acme/a/x"), TestReport(id: "new", account: "acme/b/a/x")],
            to: gateway)
        try await move("acme/b/a/x", "acme/y", gateway)
        _ = try await report([TestReport(id: "last", account: "acme/b/a/x")], to: gateway)
        try await gateway.waitForHistory()
        for limit in [1, 2, 500] {
            for name in ["acme/y", "acme/b/a/x", "acme/a/x"] {
                let rows = try transactions(name, gateway, limit: limit)
                #expect(
                    rows.map(\.type) == ["deducted", "account_moved"]
                        + [String](repeating: "deducted", count: 7) + ["account_opened"], "\(name)")
            }
            // The wallet has what its account moved with, and not what came after.
            let rows = try transactions("acme/b/a", gateway, limit: limit)
            #expect(rows.filter { $0.type == "deducted" }.count == 7)
            #expect(rows.contains { $0.type == "allocated" } && rows.contains { $0.type == "account_moved" })
        }
        // Whose row is of now, and who is above it.
        guard
            case .usage(let late)? = try transactions("acme/y", gateway).first(where: {
                if case .usage(let row) = $0 { return row.requestID == bytes("late") }
                return false
            })
        else {
            Issue.record("the late report has no row")
            return
        }
        #expect(late.account == "acme/b/a/x" && late.wallet == "acme/b/a")
        guard
            case .credit(let moved)? = try transactions("acme/y", gateway).first(where: {
                $0.type == "account_moved"
            })
        else {
            Issue.record("the move has no row")
            return
        }
        for part in [
            "\"from\":\"acme/b/a/x\"", "\"to\":\"acme/y\"", "\"by\":\"ann\"", "\"reason\":\"new owner\"",
        ] {
            #expect(moved.details.contains(part), "\(moved.details)")
        }
        await gateway.stop()
        #expect(try verify().problem == nil)
    }

    @Test("receipts of before are explained, refunded and settled for the account that was moved")
    func before() async throws {
        let gateway = try openGateway(directory)
        await tree(gateway)
        let charged = try await report([TestReport(id: "r1", account: "acme/a/x")], to: gateway)[0].receipt
        _ = try await report([TestReport(id: "p1", account: "acme/a/x", model: "gpt-new")], to: gateway)
        try await move("acme/a", "acme/b/a", gateway)
        try await gateway.waitForHistory()
        let explained = try #require(try gateway.explain(requestID: bytes("r1")))
        #expect(explained.agrees && explained.grants.count == 1 && explained.row.account == "acme/a/x")
        for name in ["acme/b/a", "acme/b/a/x", "acme/a"] {
            let (charge, wallet) = try gateway.charge(of: bytes("r1"), account: bytes(name))
            #expect(charge.charged == charged?.charge && wallet == bytes("acme/b/a"), "\(name)")
        }
        #expect(throws: AdministrationError.self) {
            try gateway.charge(of: bytes("r1"), account: bytes("acme/a/y"))
        }
        let charge = try gateway.charge(of: bytes("r1"), account: bytes("acme/b/a")).charge
        _ = try await gateway.act(
            CreditCommand(.refund(charge.charged, of: charge, source: [])), on: bytes("acme/b/a"))
        #expect(try await gateway.balance(of: bytes("acme/a")).balance == 1_000_000_000_000)
        for (account, count) in [("acme/b", 1), ("acme/b/a/x", 1), ("acme/a", 1), ("acme/c", 0)] {
            var filter = ParkedFilter()
            filter.account = account
            #expect(try gateway.parked(filter).rows.count == count, "\(account)")
        }
        let ended = try #require(
            try gateway.endParked(
                ParkedOrder(.discard, reason: "why", actor: "ada"), requestID: bytes("p1"), organisation: nil)
        )
        await gateway.durable(ended.mark)
        try await gateway.waitForHistory()
        guard case .usage(let row)? = try transactions("acme/b/a/x", gateway).first else {
            Issue.record("no row")
            return
        }
        #expect(row.figures.state == .discarded && row.account == "acme/b/a/x")
        // Events keep the path of their time too.
        var events = EventFilter()
        events.subject = "acme/b/a"
        let told = try gateway.history.events(events)
        for (type, subject) in [
            (EventType.granted, "acme/a"), (EventType.parked, "acme/a/x"),
            (EventType.accountMoved, "acme/b/a"), (EventType.discarded, "acme/b/a/x"),
        ] {
            #expect(told.contains { $0.type == type && $0.subject == subject }, "\(type)")
        }
        #expect(told.allSatisfy { $0.subject != "acme" && $0.subject != "acme/b" })
        await gateway.stop()
        #expect(try verify().problem == nil)
    }

    @Test("sums of usage follow an account, whatever it was called when, and the rollups verify")
    func sums() async throws {
        let gateway = try openGateway(directory)
        await tree(gateway)
        func requests(_ account: String) throws -> Int128 {
            var question = UsageQuestion()
            question.account = bytes(account)
            return try gateway.usageSummary(question).total.requests
        }
        // Several moves in one transaction of the history, and some in their own.
        for round in 0..<4 {
            _ = try await report(
                (0..<3).map { TestReport(id: "\(round)-\($0)", account: "acme/a/x") }, to: gateway)
            try await move("acme/a", round % 2 == 0 ? "acme/b/a" : "acme/a", gateway)
            _ = try await report([TestReport(id: "late-\(round)", account: "acme/a/x")], to: gateway)
            if round > 1 { try await gateway.waitForHistory() }
        }
        try await move("acme/a", "acme/b/a", gateway)
        try await gateway.waitForHistory()
        for account in ["acme/b/a/x", "acme/a", "acme/b", "acme"] {
            #expect(try requests(account) == 16, "\(account)")
        }
        var filter = ExportFilter()
        filter.account = bytes("acme/b/a")
        let ids = try #require(try gateway.history.exportIDs(filter, eventAheadMax: nil))
        #expect(try gateway.history.exportUsage(filter, in: ids, count: 1_000).rows.count == 16)
        #expect(
            try gateway.history.exportRollups(filter, after: .start, count: 100).map(\.account)
                == ["acme/b/a/x"])
        await gateway.stop()
        let report = try verify()
        #expect(report.problem == nil)
        #expect(report.checks.contains { $0.part == "rollups" && $0.found.hasPrefix("1 ") })
    }

    // MARK: - Restarts

    @Test(
        "after a restart and after a crash the account is where it was moved to, and its names lead there",
        arguments: [true, false], [50, 3_600_000])
    func restart(isClean: Bool, checkpointMilliseconds: Int) async throws {
        let change: (inout GatewaySettings) -> Void = {
            $0.checkpointInterval = .milliseconds(checkpointMilliseconds)
        }
        var gateway = try openGateway(directory, change: change)
        await tree(gateway)
        let time = gateway.now().microseconds
        _ = try await report([TestReport(id: "r1", account: "acme/a/x", eventTime: time)], to: gateway)
        var draft = HoldDraft(holdID: bytes("h1"), account: bytes("acme/a/x"), source: .platform)
        draft.amount = 5_000_000_000
        _ = await gateway.hold(draft)
        try await move("acme/a/x", "acme/b/x", key: "m1", gateway)
        try await move("acme/b", "acme/a/b", gateway)
        let balance = try await gateway.balance(of: bytes("acme/a/b/x"))
        #expect(balance.wallet == bytes("acme/a/b") && balance.held == 5_000_000_000)
        for _ in 0..<3 {
            await gateway.stop(isClean: isClean)
            #expect(try verify().problem == nil)
            gateway = try openGateway(directory, change: change)
            for name in ["acme/a/x", "acme/b/x", "acme/a/b/x"] {
                let found = try await gateway.balance(of: bytes(name))
                #expect(
                    found.path == balance.path && found.balance == balance.balance
                        && found.held == balance.held)
                let again = try await reportAskingHistory(
                    TestReport(id: "r1", account: name, eventTime: time), to: gateway)
                #expect(again.receipt?.duplicate == true)
                var again2 = draft
                again2.account = bytes(name)
                guard case .done(let hold) = await gateway.hold(again2) else {
                    Issue.record("a hold asked again under \(name) is refused")
                    continue
                }
                #expect(hold.duplicate && hold.amount == 5_000_000_000)
            }
            #expect(try await move("acme/a/x", "acme/b/x", key: "m1", gateway).receipt.duplicate)
            #expect(
                await gateway.open([AccountOpening(path: bytes("acme/b/x"), settings: AccountSettings())])
                    == [.moved(to: bytes("acme/a/b/x"))])
        }
        try await gateway.waitForHistory()
        await gateway.stop()
        #expect(try verify().problem == nil)
    }

    @Test(
        "with accounts that open themselves, a report below a former name opens its account where the other is now"
    )
    func autoOpen() async throws {
        let gateway = try openGateway(directory) {
            $0.opensAccounts = true
            $0.openedTier = "starter"
        }
        await tree(gateway)
        try await move("acme/a", "acme/b/a", gateway)
        let count = gateway.ledger.totals().accounts
        for (id, name) in [("r1", "acme/a"), ("r2", "acme/a/x"), ("r3", "acme/b/a/x")] {
            #expect(try await report([TestReport(id: id, account: name)], to: gateway)[0].receipt != nil)
        }
        #expect(gateway.ledger.totals().accounts == count)
        for id in ["n1", "n2"] {
            #expect(
                try await report([TestReport(id: id, account: "acme/a/new")], to: gateway)[0].receipt != nil)
        }
        #expect(gateway.ledger.totals().accounts == count + 1)
        let opened = try await gateway.balance(of: bytes("acme/a/new"))
        #expect(opened.path == bytes("acme/b/a/new") && opened.wallet == bytes("acme/b/a"))
        await gateway.stop()
        #expect(try verify().problem == nil)
    }

    @Test("a quote's token is good for the account under every path that it has or had")
    func quotes() async throws {
        let gateway = try openGateway(directory)
        await tree(gateway)
        let time = gateway.now().microseconds
        let asked = TestReport(id: "q", account: "acme/a/x", eventTime: time)
        let (charge, token) = withRecord(asked, gateway) { record in
            var lane = Lane(gateway)
            lane.begin()
            var record = record.copy()
            let prepared = lane.prepare(quote: &record)
            let refusal = lane.quote(record, prepared, [])
            #expect(refusal == nil)
            return (lane.room.quote.own.charge, Array(lane.room.token.view))
        }
        try await move("acme/a", "acme/b/a", gateway)
        for (id, name) in [("r1", "acme/a/x"), ("r2", "acme/b/a/x")] {
            let answer = try await report(
                [TestReport(id: id, account: name, token: token, eventTime: time)], to: gateway)
            #expect(answer[0].receipt?.charge == charge, "\(name)")
        }
        let other = try await report(
            [TestReport(id: "r3", account: "acme/b", token: token, eventTime: time)], to: gateway)
        #expect(other[0].refusal?.field == .quoteToken)
        await gateway.stop()
        #expect(try verify().problem == nil)
    }

    // MARK: - Beside traffic

    @Test(
        "beside moves back and forth, traffic under both names is admitted to the last nanocredit and charged once"
    )
    func besideTraffic() async throws {
        let gateway = try openGateway(directory)
        await tree(gateway)
        let (charge, wallets) = (try await price(gateway), ["acme", "acme/a", "acme/b"])
        // So many requests are covered by all three wallets together, and a little stays in each.
        let covered = wallets.count * Int(1_000_000_000_000 / charge)
        let perTask = covered / 6 + 40
        let admitted = Count()
        let time = gateway.now().microseconds
        try await move("acme/a/x", "acme/b/x", gateway)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<6 {
                group.addTask {
                    var number = 0
                    while number < perTask {
                        // Each id twice, under one name and under another.
                        let reports = (0..<20).flatMap { offset in
                            ["acme/a/x", "acme/b/x"].map { account in
                                TestReport(
                                    id: "\(task)-\(number + offset)", account: account,
                                    onInsufficient: .refuse, eventTime: time)
                            }
                        }
                        let decisions = try await report(reports, to: gateway)
                        for (index, decision) in decisions.enumerated() {
                            if let receipt = decision.receipt {
                                if !receipt.duplicate { admitted.add() }
                                #expect(receipt.charge == charge)
                                #expect(index % 2 == 1 || !receipt.duplicate)
                            } else {
                                #expect(decision.refusal?.reason == .insufficientCredits)
                            }
                        }
                        number += 20
                    }
                }
            }
            group.addTask {
                let places = ["acme/a/x", "acme/x", "acme/b/x"]
                for number in 0..<60 {
                    try await move("acme/a/x", places[number % 3], gateway)
                    try await Task.sleep(for: .milliseconds(2))
                }
            }
            try await group.waitForAll()
        }
        var left: Int64 = 0
        for wallet in wallets {
            let summary = try await gateway.balance(of: bytes(wallet))
            #expect(summary.balance >= 0)
            left += summary.balance
        }
        let count = Int64(admitted.now)
        #expect(left == 3_000_000_000_000 - count * charge)
        #expect(gateway.ledger.totals().charged == Int128((count + 1) * charge))
        await gateway.stop()
        #expect(try verify().problem == nil)
    }

    /// What a report of the tests is charged.
    private func price(_ gateway: Gateway) async throws -> Int64 {
        await open("other", wallet: true, gateway)
        return try #require(
            try await report([TestReport(id: "p", account: "other")], to: gateway)[0].receipt
        ).charge
    }

    // MARK: - Verification

    @Test(
        "verification names a move that was taken out of the history's list, or put into it, by hand",
        arguments: [
            "DELETE FROM moves", "UPDATE moves SET to_path = 'acme/c'",
            "INSERT INTO moves VALUES (2, 2, 'q', 'r')",
        ])
    func tampered(statement: String) async throws {
        let gateway = try openGateway(directory)
        await tree(gateway)
        try await move("acme/a", "acme/b/a", gateway)
        try await gateway.waitForHistory()
        await gateway.stop()
        #expect(try verify().problem == nil)
        let queue = try DatabaseQueue(path: StoreFile.history.path(in: directory.path + "/data"))
        try await queue.write { try $0.execute(sql: statement) }
        try queue.close()
        #expect(try verify().problem != nil)
    }
}
