// A price list on its way into force: drafts price nothing, approvals are kept and swap the book under
// traffic, refusals leave what was in force, and charges remember the version they were made with.

import Foundation
import Gateway
import Ledger
import Pricing
import Testing

@Suite("The catalogue of a gateway")
struct GatewayCatalogueTests {
    private static func list(_ price: String, model: String = "gpt-4o") -> [UInt8] {
        Array(
            #"{"\#(model)":{"litellm_provider":"openai","input_cost_per_token":\#(price),"output_cost_per_token":1e-05}}"#
                .utf8)
    }

    private static func staging(_ bytes: [UInt8], keepsMissing: Bool = true) -> CatalogueStaging {
        CatalogueStaging(bytes: bytes, keepsMissing: keepsMissing, actor: "ada")
    }

    private static let started = Int64(Date().timeIntervalSince1970) * 1_000_000

    /// What a thousand input tokens cost an account of the professional tier, in nanocredits.
    ///
    /// Of the same instant unless another is named, so that telling it again is telling the same.
    private static func fee(
        _ id: String, _ gateway: Gateway, at time: Int64? = started
    ) async throws -> Int64 {
        var asked = TestReport(id: id, eventTime: time)
        asked.outputTokens = 0
        let decision = try await report([asked], to: gateway)[0]
        return try #require(decision.receipt, "\(id): \(decision)").charge
    }

    @Test("a draft prices nothing; approved, it prices what comes next, and the old charge stays explained")
    func approval() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        // 2.5 USD per million × 1.8, the override for openai.
        #expect(try await Self.fee("r-1", gateway) == 4_500_000_000)
        let staged = try gateway.stageCatalogue(Self.staging(Self.list("5e-06")))
        #expect(staged.version.number == 2 && !staged.isDuplicate && staged.inForce == 1)
        #expect(staged.diff.removed.isEmpty && staged.diff.changed.map(\.model.id) == ["gpt-4o"])
        #expect(try await Self.fee("r-2", gateway) == 4_500_000_000)
        #expect(
            try gateway.approveCatalogue(2, digest: staged.version.digest, replacing: 1, actor: "bob") == 1)
        #expect(gateway.priceBook.catalogueVersion == 2)
        #expect(try await Self.fee("r-3", gateway) == 9_000_000_000)
        // Told again, a request keeps its first charge.
        #expect(try await Self.fee("r-1", gateway) == 4_500_000_000)
        try await gateway.waitForHistory()
        for (id, version) in [("r-1", UInt32(1)), ("r-3", 2)] {
            let explained = try #require(try gateway.explain(requestID: Array(id.utf8)))
            #expect(explained.agrees && explained.row.figures.catalogueVersion == version, "\(id)")
        }
        let (versions, activations) = try gateway.catalogues()
        #expect(versions.map(\.isActive) == [false, true])
        #expect(versions.map(\.importedBy) == ["tollgate", "ada"])
        #expect(activations.map(\.number) == [1, 2] && activations.map(\.actor) == ["tollgate", "bob"])
        await gateway.stop()

        // The next start goes on with it, and can go back.
        let again = try openGateway(directory)
        #expect(again.priceBook.catalogueVersion == 2)
        #expect(try again.approveCatalogue(1, actor: "bob") == 2)
        #expect(try await Self.fee("r-4", again, at: nil) == 4_500_000_000)
        #expect(try again.catalogues().activations.map(\.number) == [1, 2, 1])
        await again.stop()
    }

    @Test("a draft without a price for what is reported names it, by the name that was reported")
    func unpricedInUse() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        _ = try await Self.fee("r-1", gateway)
        _ = try await Self.fee("r-2", gateway)
        try await gateway.waitForHistory()
        let other = Self.list("5e-06", model: "gpt-4o-mini")
        let dropping = try gateway.stageCatalogue(Self.staging(other, keepsMissing: false))
        #expect(dropping.unpricedInUse.map(\.model) == ["gpt-4o"])
        #expect(dropping.unpricedInUse.map(\.count) == [2])
        #expect(try gateway.stageCatalogue(Self.staging(other)).unpricedInUse.isEmpty)
        #expect(
            try gateway.stageCatalogue(Self.staging(Self.list("5e-06"), keepsMissing: false)).unpricedInUse
                .isEmpty)
        await gateway.stop()
    }

    @Test("the same content is the same version")
    func duplicate() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        let first = try gateway.stageCatalogue(Self.staging(Self.list("5e-06")))
        let second = try gateway.stageCatalogue(Self.staging(Self.list("0.000005")))
        #expect(second.isDuplicate && second.version.number == first.version.number)
        #expect(second.version.digest == first.version.digest)
        #expect(try gateway.catalogues().versions.count == 2)
        await gateway.stop()
    }

    @Test("what is refused leaves no trace, and what was in force in force")
    func refused() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        let book = gateway.priceBook
        for text in [
            #"{"m":{"litellm_provider":"openai","input_cost_per_token":-1}}"#, "{\"m\":{", "", "{}", "[]",
            "nonsense",
            #"{"m":{"litellm_provider":"openai","input_cost_per_token":1e-6},"m":{}}"#,
            #"{"m":{"litellm_provider":"openai","input_cost_per_token":NaN}}"#,
        ] {
            #expect(throws: AdministrationError.self, "\(text)") {
                try gateway.stageCatalogue(Self.staging(Array(text.utf8)))
            }
        }
        #expect(throws: AdministrationError.self) { try gateway.approveCatalogue(2, actor: "ada") }
        let staged = try gateway.stageCatalogue(Self.staging(Self.list("5e-06")))
        for (digest, replacing) in [("00", nil), (nil, UInt32(7))] {
            #expect(throws: AdministrationError.self) {
                try gateway.approveCatalogue(
                    staged.version.number, digest: digest, replacing: replacing, actor: "ada")
            }
        }
        #expect(throws: AdministrationError.self) { try gateway.approveCatalogue(1, actor: "ada") }
        #expect(gateway.priceBook === book)
        #expect(try gateway.catalogues().activations.count == 1)
        #expect(try await Self.fee("r-1", gateway) == 4_500_000_000)
        await gateway.stop()
    }

    @Test("from a date on: late reports of before keep the old price")
    func effectiveFrom() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        let now = gateway.now()
        var staging = Self.staging(Self.list("5e-06"), keepsMissing: false)
        staging.effectiveFrom = now
        let staged = try gateway.stageCatalogue(staging)
        _ = try gateway.approveCatalogue(staged.version.number, actor: "ada")
        func charge(_ id: String, _ model: String, secondsLater: Int64) async throws -> Int64? {
            var asked = TestReport(
                id: id, model: model, eventTime: now.microseconds + secondsLater * 1_000_000)
            asked.outputTokens = 0
            let receipt = try await report([asked], to: gateway)[0].receipt
            return receipt?.state == .charged ? receipt?.charge : nil
        }
        #expect(try await charge("r-1", "gpt-4o", secondsLater: -60) == 4_500_000_000)
        #expect(try await charge("r-2", "gpt-4o", secondsLater: 0) == 9_000_000_000)
        // Not in the list: priced before, parked from then on.
        #expect(try await charge("r-3", "gpt-4o-mini", secondsLater: -60) == 270_000_000)
        #expect(try await charge("r-4", "gpt-4o-mini", secondsLater: 0) == nil)
        // Kept on purpose, it has its price from then on too.
        staging.keepsMissing = true
        let kept = try gateway.stageCatalogue(staging)
        _ = try gateway.approveCatalogue(1, actor: "ada")
        let keptAgain = try gateway.stageCatalogue(staging)
        _ = try gateway.approveCatalogue(keptAgain.version.number, actor: "ada")
        #expect(kept.version.number != keptAgain.version.number)
        #expect(try await charge("r-5", "gpt-4o-mini", secondsLater: 0) == 270_000_000)
        await gateway.stop()
    }

    @Test("under traffic every charge is by the old price or by the new, as its version says")
    func swapUnderTraffic() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway, credits: 1_000_000)
        for price in ["5e-06", "7.5e-06", "1e-05"] {
            _ = try gateway.stageCatalogue(Self.staging(Self.list(price), keepsMissing: false))
        }
        let fees: [UInt32: Int64] = [
            1: 4_500_000_000, 2: 9_000_000_000, 3: 13_500_000_000, 4: 18_000_000_000,
        ]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<2 {
                group.addTask {
                    for round in 0..<150 {
                        let reports = (0..<4).map { number -> TestReport in
                            var report = TestReport(id: "t-\(task)-\(round)-\(number)")
                            report.outputTokens = 0
                            return report
                        }
                        for decision in try await report(reports, to: gateway) {
                            let receipt = try #require(decision.receipt)
                            #expect(receipt.charge == fees[receipt.catalogueVersion], "\(receipt)")
                        }
                    }
                }
            }
            group.addTask {
                for round in 0..<8 {
                    _ = try gateway.approveCatalogue(UInt32(round % 4 + 1) % 4 + 1, actor: "ada")
                    try await Task.sleep(for: .milliseconds(2))
                }
            }
            try await group.waitForAll()
        }
        await gateway.stop()
    }
}
