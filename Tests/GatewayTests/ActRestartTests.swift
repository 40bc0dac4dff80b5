// Acts on credit outlive a restart and are audited: what an act did stands, its key is known, the bound of a refund
// holds, and the offline verification agrees, from the checkpoint, the journal and the history.

import Gateway
import Ledger
import Pricing
import Testing

@Suite("acts across a restart")
struct ActRestartTests {
    private let acme = Array("acme".utf8)

    private func command(_ act: CreditAct, key: String? = nil) -> CreditCommand {
        CreditCommand(
            act, actor: Array("ann".utf8), reason: Array("why".utf8),
            idempotencyKey: key.map { Array($0.utf8) })
    }

    @Test("every act is there after a restart, done once, and the books verify")
    func restart() async throws {
        let directory = try TemporaryDirectory()
        var gateway = try openGateway(directory)
        await openAccount(gateway, path: "acme")
        await openAccount(gateway, path: "acme/old", credits: 7)
        _ = try await report([TestReport(id: "r1", account: "acme")], to: gateway)
        try await gateway.waitForHistory()
        let (charge, wallet) = try gateway.charge(of: Array("r1".utf8), account: acme)
        #expect(wallet == acme && charge.charged > 0)
        let deduct = command(.deduct(5_000_000_000, service: [], allowNegative: false), key: "d")
        let refund = command(.refund(charge.charged - 1, of: charge, source: []), key: "f")
        let first = try await gateway.act(deduct, on: acme).receipt
        _ = try await gateway.act(refund, on: acme)
        _ = try await gateway.act(command(.correct(to: 2, of: charge, source: [])), on: acme)
        let grant = GrantRequest(kind: .bonus, amount: 9)
        let given = try await gateway.allocate(grant, to: acme).0
        _ = try await gateway.act(command(.void(grant: given.sequence)), on: acme)
        _ = try await gateway.close(
            Array("acme/old".utf8), .transfer(to: acme), actor: "ann", reason: "merged")
        let balance = try await gateway.balance(of: acme).balance
        for _ in 0..<2 {
            await gateway.stop()
            let report = try OfflineDirectory(directory.path + "/data").verify()
            #expect(report.problem == nil)
            #expect(report.totals.deducted == 12_000_000_000 && report.totals.voided == 9)
            gateway = try openGateway(directory)
            #expect(try await gateway.balance(of: acme).balance == balance)
            let again = try await gateway.act(deduct, on: acme).receipt
            #expect(again.duplicate && again.sequence == first.sequence)
            await #expect(throws: AdministrationError.self) {
                _ = try await gateway.act(command(.refund(2, of: charge, source: [])), on: acme)
            }
        }
        await gateway.stop()
    }
}
