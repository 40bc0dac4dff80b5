// How holds end, with everything behind the ledger: the charge of an orphan in the statement, the sums, the
// explanation and the events; and what a report finds that comes after a restart has forgotten its hold.

import Bytes
import Ledger
import Pricing
import Store
import Testing

@testable import Gateway

@Suite("ends of holds")
struct HoldEndTests {
    private let directory: TemporaryDirectory
    private let clock = SetClock(1_790_000_000_000_000)
    private let account = Array("acme/search".utf8)

    init() throws { directory = try TemporaryDirectory() }

    private func start() async throws -> Gateway { try openGateway(directory, clock: clock) }

    private func verify() throws -> VerificationReport {
        try OfflineDirectory(directory.path + "/data").verify()
    }

    private func usage(input: Int64, output: Int64 = 0) -> QuoteDraft {
        var usage = QuoteDraft(
            source: .platform, provider: Array("openai".utf8), model: Array("gpt-4o".utf8))
        usage.account = account
        usage.usage.inputTokens = input
        usage.usage.outputTokens = output
        usage.eventTime = Timestamp(microseconds: clock.wallMicroseconds())
        return usage
    }

    private func hold(
        _ id: String, _ policy: OrphanPolicy?, amount: Int64? = nil, input: Int64 = 1_000,
        output: Int64 = 500,
        _ gateway: Gateway
    ) async throws -> HoldReceipt {
        var draft = HoldDraft(holdID: Array(id.utf8), account: account, source: .platform)
        draft.amount = amount
        if amount == nil { draft.usage = usage(input: input, output: output) }
        draft.orphanPolicy = policy
        guard case .done(let receipt) = await gateway.hold(draft) else {
            throw Difference("the hold \(id) was refused")
        }
        return receipt
    }

    private func settle(
        _ id: String, _ request: String, input: Int64 = 1_000, output: Int64 = 0, _ gateway: Gateway
    ) async -> ReportDecision {
        await gateway.settleHold(
            SettlementDraft(
                holdID: Array(id.utf8), requestID: Array(request.utf8),
                usage: usage(input: input, output: output)))
    }

    /// Lets every lease end, and waits until the history has what came of it.
    private func endLeases(_ gateway: Gateway) async throws {
        clock.advance(by: 600_000_000)
        while gateway.figures().holds.open > 0 { try await Task.sleep(for: .milliseconds(2)) }
        _ = try await gateway.balance(of: account)
        try await gateway.waitForHistory()
    }

    @Test(
        "each policy charges its part of what the hold was for, without anybody's touch",
        arguments: [false, true])
    func policies(isDefault: Bool) async throws {
        for policy in OrphanPolicy.allCases {
            let directory = try TemporaryDirectory()
            let gateway = try openGateway(directory, clock: clock) {
                if isDefault { $0.orphanPolicy = policy }
            }
            await openAccount(gateway)
            let whole = try await hold("whole", .release, gateway).amount
            let input = try await hold("input", .release, output: 0, gateway).amount
            #expect(input > 0 && whole > input)
            let opened = try await hold("orphan", isDefault ? nil : policy, gateway)
            let charge: Int64 =
                switch policy {
                case .release: 0
                case .inputOnly: input
                case .estimate, .fullHold: whole
                }
            #expect(opened.amount == whole && opened.orphanCharge == charge, "\(policy)")
            let plain = try await hold("amount", nil, amount: 7, gateway)
            #expect(plain.orphanCharge == (isDefault && policy == .fullHold ? 7 : 0))
            try await endLeases(gateway)
            #expect(gateway.ledger.totals().charged == Int128(charge + plain.orphanCharge))
            await gateway.stop()
            #expect(try OfflineDirectory(directory.path + "/data").verify().problem == nil, "\(policy)")
        }
    }

    @Test(
        "an orphan's charge is in the statement, the sums, the explanation and the events; so is its correction"
    )
    func seen() async throws {
        let gateway = try await start()
        await openAccount(gateway)
        let charge = try await hold("h1", .estimate, gateway).orphanCharge
        _ = try await hold("h2", .fullHold, amount: 9, gateway)
        try await endLeases(gateway)
        let rows = try gateway.transactions(TransactionQuery.all).rows
        let orphans = rows.compactMap { row -> UsageRow? in
            guard case .usage(let usage) = row else { return nil }
            return usage.figures.flags & UsageFigures.isOrphan == 0 ? nil : usage
        }
        #expect(Set(orphans.map(\.figures.charge)) == [charge, 9])
        var sums = try gateway.usageSummary(UsageQuestion()).total
        #expect(sums.charge == Int128(charge + 9) && sums.requests == 2 && sums.fee == sums.charge)
        #expect(sums.inputTokens == 0 && sums.baseCostPicodollars == 0)
        let explained = try #require(try gateway.explain(requestID: Array("h1".utf8)))
        #expect(explained.agrees && explained.hold?.orphanPolicy == .estimate)
        #expect(explained.hold?.released == charge)
        let amount = try #require(try gateway.explain(requestID: Array("h2".utf8)))
        #expect(amount.agrees && amount.hold?.orphanPolicy == .fullHold)

        // One comes late and cost less; the other more.
        let less = try #require(await settle("h1", "r1", input: 1_000, gateway).receipt)
        #expect(less.orphanCharge == charge && less.givenBack > 0 && less.charge == 0)
        let more = try #require(await settle("h2", "r2", input: 1_000, output: 100, gateway).receipt)
        #expect(more.orphanCharge == 9 && more.givenBack == 0 && more.charge > 0)
        try await gateway.waitForHistory()
        for (id, receipt) in [("r1", less), ("r2", more)] {
            let late = try #require(try gateway.explain(requestID: Array(id.utf8)))
            #expect(late.agrees && late.hold?.orphanCharge == receipt.orphanCharge, "\(id)")
        }
        // The refund is found with the charge that it corrects.
        #expect(try gateway.explain(requestID: Array("h1".utf8))?.acts.map(\.amount) == [less.givenBack])
        sums = try gateway.usageSummary(UsageQuestion()).total
        #expect(sums.requests == 2 && sums.inputTokens == 2_000 && sums.outputTokens == 100)
        #expect(sums.charge == gateway.ledger.totals().charged && sums.fee == sums.charge)
        let told = try gateway.events(EventFilter()).map(\.type)
        #expect(told.filter { $0 == EventType.holdExpired }.count == 2)
        #expect(told.filter { $0 == EventType.corrected }.count == 2)
        #expect(told.filter { $0 == EventType.refunded }.count == 1)
        #expect(gateway.figures().holds.orphaned == 2)
        await gateway.stop()
        #expect(try verify().problem == nil)
        // What was let go adds up as before.
        let again = try await start()
        while try again.letGoOfUsage(days: -1) > 0 {}
        #expect(try again.usageSummary(UsageQuestion()).total == sums)
        await again.stop()
        #expect(try verify().problem == nil)
    }

    @Test(
        "after a restart a report finds how its hold ended: refused, charged, or what its orphan was charged corrected",
        arguments: [true, false])
    func restart(isClean: Bool) async throws {
        var gateway = try await start()
        await openAccount(gateway)
        let amount: Int64 = 5_000_000_000
        for id in ["settled", "voided", "open"] { _ = try await hold(id, .fullHold, amount: amount, gateway) }
        #expect(await settle("settled", "r0", gateway).receipt?.holdReleased == amount)
        guard case .done = await gateway.voidHold(Array("voided".utf8), account: account, reason: []) else {
            Issue.record("not voided")
            return
        }
        // The open one outlives the others.
        guard
            case .done = await gateway.extendHold(
                Array("open".utf8), account: account, leaseMilliseconds: 86_400_000, amount: nil)
        else {
            Issue.record("not extended")
            return
        }
        _ = try await hold("released", .release, amount: amount, gateway)
        _ = try await hold("orphan above", .fullHold, amount: amount, gateway)
        _ = try await hold("orphan below", .fullHold, amount: 7, gateway)
        _ = try await hold("orphan voided", .fullHold, amount: 8, gateway)
        clock.advance(by: 600_000_000)
        while gateway.figures().holds.open > 1 { try await Task.sleep(for: .milliseconds(2)) }
        // In between the books are whole.
        _ = try await gateway.balance(of: account)
        try await gateway.waitForHistory()
        // A crash leaves the journal, and memory knows from it; after stops in order it is forgotten.
        await gateway.stop(isClean: isClean)
        gateway = try await start()
        if isClean {
            await gateway.stop()
            gateway = try await start()
            let isKnown = "settled".withView { id in
                account.withView { account in
                    Lane(gateway).keys(ofHold: id, account: account).map { gateway.ledger.knowsHold($0) }
                }
            }
            #expect(isKnown == false, "this start remembers too much")
        }
        #expect(await settle("settled", "r1", gateway).refusal?.reason == .holdAlreadySettled)
        #expect(await settle("voided", "r1", gateway).refusal?.reason == .holdVoided)
        #expect(await settle("never", "r1", gateway).refusal?.reason == .holdNotFound)
        #expect(await settle("settled", "r0", gateway).refusal?.reason != .holdNotFound)
        let released = try #require(await settle("released", "r2", gateway).receipt)
        #expect(released.holdExpired && released.orphanCharge == 0 && released.charge > 0)
        let above = try #require(await settle("orphan above", "r3", gateway).receipt)
        #expect(above.orphanCharge == amount && above.charge == 0)
        #expect(above.givenBack == amount - released.charge)
        let below = try #require(await settle("orphan below", "r4", gateway).receipt)
        #expect(below.orphanCharge == 7 && below.charge == released.charge - 7 && below.givenBack == 0)
        #expect(await settle("orphan above", "r5", gateway).refusal?.reason == .holdAlreadySettled)
        func reason(_ decision: HoldDecision) -> Pricing.Reason? {
            guard case .refused(let refusal) = decision else { return nil }
            return refusal.reason
        }
        for (id, expected) in [
            ("settled", Pricing.Reason.holdAlreadySettled), ("orphan voided", .holdExpired),
            ("never", .holdNotFound),
        ] {
            let counted = gateway.figures().reports.refusals(for: expected)
            let voided = await gateway.voidHold(Array(id.utf8), account: account, reason: [])
            #expect(reason(voided) == expected, "\(id)")
            #expect(gateway.figures().reports.refusals(for: expected) == counted + 1, "counted once: \(id)")
            let extended = await gateway.extendHold(
                Array(id.utf8), account: account, leaseMilliseconds: 0, amount: nil)
            #expect(reason(extended) == expected, "\(id)")
        }
        // What was voided stays so, however often it is said.
        guard
            case .done(let again) = await gateway.voidHold(Array("voided".utf8), account: account, reason: [])
        else {
            Issue.record("voiding again is refused")
            return
        }
        #expect(again.duplicate && again.state == .voided && again.amount == amount)
        #expect(await settle("open", "r6", gateway).receipt?.holdReleased == amount)
        // And once more, when all of this is forgotten too.
        try await gateway.waitForHistory()
        await gateway.stop()
        gateway = try await start()
        for id in ["orphan above", "orphan below", "open"] {
            #expect(await settle(id, "r7", gateway).refusal?.reason == .holdAlreadySettled, "\(id)")
        }
        await gateway.stop()
        #expect(try verify().problem == nil)
    }

    @Test("a late report that cannot be priced corrects its orphan when it is settled, also after a restart")
    func parked() async throws {
        var gateway = try await start()
        await openAccount(gateway)
        let amount: Int64 = 5_000_000_000
        _ = try await hold("h1", .fullHold, amount: amount, gateway)
        try await endLeases(gateway)
        var late = usage(input: 10)
        late.usage.cacheReadTokens = 20
        let parked = try #require(
            await gateway.settleHold(
                SettlementDraft(holdID: Array("h1".utf8), requestID: Array("r1".utf8), usage: late)
            ).receipt)
        #expect(parked.state == .parked && parked.orphanCharge == amount)
        try await gateway.waitForHistory()
        await gateway.stop()
        #expect(try verify().problem == nil)
        gateway = try await start()
        var counts = Usage()
        counts.inputTokens = 1_000
        let ended = try #require(
            try gateway.endParked(
                ParkedOrder(.settle, reason: "counted twice", actor: "ada", correction: counts),
                requestID: Array("r1".utf8), organisation: nil))
        await gateway.durable(ended.mark)
        guard case .done(let receipt) = ended.result.answer else {
            Issue.record("\(ended.result.answer)")
            return
        }
        #expect(receipt.charge == 0 && receipt.givenBack > 0 && receipt.orphanCharge == amount)
        try await gateway.waitForHistory()
        #expect(try gateway.explain(requestID: Array("r1".utf8))?.agrees == true)
        await gateway.stop()
        #expect(try verify().problem == nil)
    }

    @Test("a crash in any state leaves a hold that still ends, and its orphan charged once")
    func crash() async throws {
        var gateway = try await start()
        await openAccount(gateway)
        let amount: Int64 = 1_000_000_000
        _ = try await hold("h1", .fullHold, amount: amount, gateway)
        for state in 0..<4 {
            await gateway.stop(isClean: false)
            // The lease ends while nobody runs.
            if state == 1 { clock.advance(by: 600_000_000) }
            gateway = try await start()
            let charged: Int128 = state == 0 ? 0 : 1_000_000_000
            while gateway.figures().holds.open > (state == 0 ? 1 : 0) {
                try await Task.sleep(for: .milliseconds(2))
            }
            let summary = try await gateway.balance(of: account)
            #expect(Int128(summary.charged) == charged && summary.held == (state == 0 ? amount : 0))
        }
        let late = try #require(await settle("h1", "r1", gateway).receipt)
        await gateway.stop(isClean: false)
        gateway = try await start()
        #expect(await settle("h1", "r2", gateway).refusal?.reason == .holdAlreadySettled)
        #expect(try await gateway.balance(of: account).balance == late.balance)
        await gateway.stop()
        #expect(try verify().problem == nil)
    }

    @Test("a late report finds its orphan after the account above was moved and a restart forgot the hold")
    func moved() async throws {
        var gateway = try await start()
        await openAccount(gateway, path: "acme")
        await openAccount(gateway)
        let (team, member) = (Array("acme/team".utf8), Array("acme/team/x".utf8))
        for path in [team, member] {
            let opening = AccountOpening(path: path, settings: AccountSettings(ownsWallet: false, tier: nil))
            #expect(await gateway.open([opening]) == [.opened])
        }
        let amount: Int64 = 5_000_000_000
        var draft = HoldDraft(holdID: Array("h1".utf8), account: member, source: .platform)
        draft.amount = amount
        draft.orphanPolicy = .fullHold
        guard case .done = await gateway.hold(draft) else {
            Issue.record("the hold was refused")
            return
        }
        try await endLeases(gateway)
        var order = AccountMove(from: team, to: account + Array("/team".utf8))
        (order.actor, order.reason) = (Array("ann".utf8), Array("new owner".utf8))
        _ = try await gateway.move(order)
        try await gateway.waitForHistory()
        for _ in 0..<2 {
            await gateway.stop()
            gateway = try await start()
        }
        for (request, path) in [("r1", member), ("r2", account + Array("/team/x".utf8))] {
            var late = usage(input: 1_000)
            late.account = path
            let decision = await gateway.settleHold(
                SettlementDraft(holdID: Array("h1".utf8), requestID: Array(request.utf8), usage: late))
            if request == "r1" {
                let receipt = try #require(decision.receipt)
                #expect(receipt.orphanCharge == amount && receipt.givenBack > 0)
            } else {
                #expect(decision.refusal?.reason == .holdAlreadySettled)
            }
        }
        await gateway.stop()
        #expect(try verify().problem == nil)
    }
}
