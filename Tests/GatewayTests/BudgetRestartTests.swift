// What open holds keep of budgets is no row of a checkpoint: a start counts it again.

import Gateway
import Ledger
import Pricing
import Testing

@Suite("budgets and holds over a restart")
struct BudgetRestartTests {
    @Test("a hold of an account below its wallet is counted in the wallet's budgets after a start")
    func below() async throws {
        let directory = try TemporaryDirectory()
        var gateway = try openGateway(directory)
        await openAccount(gateway, path: "acme")
        // Its row comes after the wallet's, which has the hold.
        _ = await gateway.open([
            AccountOpening(path: Array("acme/team".utf8), settings: AccountSettings(ownsWallet: false))
        ])
        for (name, metric) in [("credits", BudgetMetric.cost), ("calls", .requests)] {
            _ = try await gateway.setBudget(
                BudgetTerms(
                    name: Array(name.utf8), window: .total, metric: metric, limit: 50_000_000_000,
                    isHard: true),
                of: Array("acme".utf8), actor: [], reason: [])
        }
        var draft = HoldDraft(
            holdID: Array("h-1".utf8), account: Array("acme/team".utf8), source: .platform)
        draft.amount = 40_000_000_000
        guard case .done = await gateway.hold(draft) else {
            Issue.record("not held")
            return
        }
        for _ in 0..<2 {
            await gateway.stop()
            gateway = try openGateway(directory)
            let budgets = try await gateway.budgets(of: Array("acme/team".utf8))
            #expect(budgets.map(\.held) == [1, 40_000_000_000])
            draft.holdID = Array("h-2".utf8)
            guard case .refused(let refusal) = await gateway.hold(draft) else {
                Issue.record("held above the budget")
                return
            }
            #expect(refusal.reason == .budgetExceeded)
        }
        _ = await gateway.voidHold(Array("h-1".utf8), account: Array("acme/team".utf8), reason: [])
        #expect(try await gateway.budgets(of: Array("acme".utf8)).map(\.held) == [0, 0])
        await gateway.stop()
        #expect(try OfflineDirectory(directory.path + "/data").verify().problem == nil)
    }
}
