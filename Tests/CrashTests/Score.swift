// Clients that report until they are told to stop, and keep what they were answered.

import Foundation
import Synchronization
import Testing
import TollgateClient

/// What a client was told of one request id.
struct Told: Hashable, Sendable {
    var sequence: UInt64
    var charge: Int64
}

/// The answers of all clients, to be held against the gateway later.
final class Score: Sendable {
    struct State: Sendable {
        var told: [String: (report: UsageReport, told: Told)] = [:]
        var refusals: [String: Int] = [:]
    }

    let state = Mutex(State())
    let isStopping = Atomic<Bool>(false)

    var count: Int { state.withLock { $0.told.count } }

    /// Reports for `account` over and over, each under an id of its own, until `isStopping`.
    func report(_ name: String, account: String, over client: TollgateClient) async throws {
        var number = 0
        while !isStopping.load(ordering: .relaxed) {
            let id = "\(name)-\(number)"
            var report = UsageReport(
                requestID: Array(id.utf8), account: account, credentialSource: .platform, provider: "openai",
                model: "gpt-4o", eventTimeMicroseconds: Int64(Date().timeIntervalSince1970 * 1_000_000))
            report.usage.inputTokens = Int64(100 + number % 1_000)
            // A batch of one: a single report is asked again behind the scenes while the gateway cannot take it.
            switch try await client.report(batch: [report], timeout: .seconds(60))[0] {
            case .receipt(let receipt):
                let told = Told(sequence: receipt.sequence, charge: receipt.charge)
                let kept = report
                state.withLock { $0.told[id] = (kept, told) }
                number += 1
            case .refused(let refusal):
                state.withLock { $0.refusals[refusal.reason, default: 0] += 1 }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    /// Every answer that was given is given again, and the balances are what was granted less the charges.
    func expectKept(_ client: TollgateClient, accounts: [String]) async throws {
        let told = state.withLock { $0.told }
        let ids = told.keys.sorted()
        for start in stride(from: 0, to: ids.count, by: 500) {
            let asked = ids[start..<min(start + 500, ids.count)]
            let results = try await client.report(batch: asked.compactMap { told[$0]?.report })
            for (id, result) in zip(asked, results) {
                guard case .receipt(let receipt) = result else {
                    Issue.record("\(id) was acknowledged, and now: \(result)")
                    continue
                }
                #expect(receipt.duplicate, "\(id) was acknowledged and is charged again")
                #expect(Told(sequence: receipt.sequence, charge: receipt.charge) == told[id]?.told, "\(id)")
            }
        }
        for account in accounts {
            let charged = told.values.reduce(0) {
                $0 + ($1.report.account == account ? $1.told.charge : 0)
            }
            let balance = try await client.balance(of: account)
            #expect(balance.balance == 1_000_000_000_000_000 - charged, "\(account)")
        }
    }
}
