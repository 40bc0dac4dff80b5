// The table of answers, over frames: for each row a call that meets it, its gRPC code and its reason, and the figures
// and the waiting time where the row has them. HTTP has the same rows in AdminTests.

import Bytes
import Foundation
import Gateway
import Ledger
import Pricing
import StrictJSON
import Testing
import TollgateClient

@Suite("the table of answers, over frames", .serialized)
struct AnswerTableTests {
    /// A gateway, and who calls it.
    private struct Caller {
        let running: RunningServer
        let client: TollgateClient

        var now: Int64 { running.gateway.now().microseconds }

        func usage(
            _ id: String, account: String = "acme/search", source: CredentialSource = .platform,
            provider: String = "openai", model: String = "gpt-4o", input: Int64 = 1_000, output: Int64 = 100
        ) -> UsageReport {
            var report = UsageReport(
                requestID: Array(id.utf8), account: account, credentialSource: source, provider: provider,
                model: model, eventTimeMicroseconds: now)
            report.usage.inputTokens = input
            report.usage.outputTokens = output
            return report
        }

        func order(_ usage: UsageReport, _ id: String = "h") -> HoldOrder {
            var order = HoldOrder(
                holdID: id, account: usage.account, credentialSource: usage.credentialSource, amount: 1)
            order.size = .usage(usage)
            return order
        }

        func open(_ path: String, tier: String = "professional", credits: Int64 = 1_000) async {
            let opened = await running.gateway.open([
                AccountOpening(
                    path: Array(path.utf8), settings: AccountSettings(tier: Array(tier.utf8)),
                    initialGrant: GrantRequest(kind: .purchased, amount: credits * 1_000_000_000))
            ])
            #expect(opened == [.opened])
        }

        /// The refusal that a call meets, which must have this code and reason.
        @discardableResult
        func expect(
            _ code: Int, _ reason: String, sourceLocation: SourceLocation = #_sourceLocation,
            _ call: () async throws(ClientError) -> Void
        ) async -> CallRefusal? {
            do throws(ClientError) {
                try await call()
                Issue.record("\(reason): it was carried out", sourceLocation: sourceLocation)
            } catch {
                guard case .refused(let refusal) = error else {
                    Issue.record("\(reason): \(error)", sourceLocation: sourceLocation)
                    return nil
                }
                #expect(refusal.reason == reason, "\(refusal)", sourceLocation: sourceLocation)
                #expect(refusal.code == code, "\(refusal)", sourceLocation: sourceLocation)
                #expect(!refusal.message.isEmpty, sourceLocation: sourceLocation)
                return refusal
            }
            return nil
        }
    }

    private func changed(_ report: UsageReport, _ change: (inout UsageReport) -> Void) -> UsageReport {
        var report = report
        change(&report)
        return report
    }

    private func run(_ body: (Caller) async throws -> Void) async throws {
        try await withServer { running in
            var configuration = TollgateClient.Configuration(host: "127.0.0.1", port: running.server.port)
            // What is temporary is told, not tried again.
            configuration.timeout = .seconds(60)
            let client = TollgateClient(configuration)
            do {
                try await body(Caller(running: running, client: client))
            } catch {
                await client.close()
                throw error
            }
            await client.close()
        }
    }

    @Test("INSUFFICIENT_CREDITS is RESOURCE_EXHAUSTED with needed, available and affordable_output_tokens")
    func insufficientCredits() async throws {
        try await run { caller in
            await caller.open("poor", credits: 10)
            // 1 000 × 2.5 and 9 000 × 10 millionths of a dollar, × 1.8: 4.5 credits for the input, 162 for the output.
            let usage = caller.usage("", account: "poor", output: 9_000)
            let refusal = try #require(
                await caller.expect(8, "INSUFFICIENT_CREDITS") { () throws(ClientError) in
                    _ = try await caller.client.hold(caller.order(usage))
                })
            // 5.5 credits are left for output, at 0.018 credits a token.
            #expect(
                refusal.metadata == [
                    "needed": "166500000000", "available": "10000000000", "affordable_output_tokens": "305",
                ])
            #expect(refusal.retryAfter == nil)
            let guarded = changed(caller.usage("r-1", account: "poor", output: 9_000)) {
                $0.onInsufficient = .refuse
            }
            let refused = try #require(
                await caller.expect(8, "INSUFFICIENT_CREDITS") { () throws(ClientError) in
                    _ = try await caller.client.report(guarded)
                })
            #expect(refused.metadata["needed"] == "166500000000")
            #expect(refused.metadata["available"] == "10000000000")
            // A quote is no promise: it says that it is not covered, and what would be.
            let quote = try await caller.client.quote(usage)
            #expect(!quote.sufficient && quote.available == 10_000_000_000)
            #expect(quote.affordableOutputTokens == 305)
        }
    }

    @Test("BUDGET_EXCEEDED is RESOURCE_EXHAUSTED with the limit and the time at which the window heals")
    func budgetExceeded() async throws {
        try await run { caller in
            _ = try await caller.running.gateway.setBudget(
                BudgetTerms(
                    name: Array("hour".utf8), window: .hour, metric: .cost, limit: 5_000_000_000, isHard: true
                ),
                of: Array("acme/search".utf8), actor: [], reason: [])
            let usage = caller.usage("")
            for call in ["hold", "quote"] {
                let refusal = try #require(
                    await caller.expect(8, "BUDGET_EXCEEDED") { () throws(ClientError) in
                        if call == "hold" {
                            _ = try await caller.client.hold(caller.order(usage))
                        } else {
                            _ = try await caller.client.quote(usage)
                        }
                    }, "\(call)")
                #expect(refusal.metadata == ["limit": "5000000000"], "\(call)")
                let wait = try #require(refusal.retryAfter)
                #expect(wait > .zero && wait <= .seconds(3_600), "\(call)")
            }
        }
    }

    @Test("ACCOUNT_SUSPENDED and ACCOUNT_CLOSED are FAILED_PRECONDITION, for what is below too")
    func suspendedAndClosed() async throws {
        try await run { caller in
            await caller.open("off")
            await caller.open("off/below")
            let path = Array("off".utf8)
            for (reason, change) in [("ACCOUNT_SUSPENDED", true), ("ACCOUNT_CLOSED", false)] {
                if change {
                    _ = try await caller.running.gateway.change(
                        path, AccountChange(status: .suspended), reason: "past due")
                } else {
                    _ = try await caller.running.gateway.close(path, .keep, actor: "ada", reason: "left")
                }
                for account in ["off", "off/below"] {
                    let usage = caller.usage("r-\(reason)", account: account)
                    await caller.expect(9, reason) { () throws(ClientError) in
                        _ = try await caller.client.report(usage)
                    }
                    await caller.expect(9, reason) { () throws(ClientError) in
                        _ = try await caller.client.hold(caller.order(usage))
                    }
                    await caller.expect(9, reason) { () throws(ClientError) in
                        _ = try await caller.client.quote(usage)
                    }
                }
            }
        }
    }

    @Test("ACCOUNT_NOT_FOUND is NOT_FOUND")
    func accountNotFound() async throws {
        try await run { caller in
            let usage = caller.usage("r", account: "nobody")
            await caller.expect(5, "ACCOUNT_NOT_FOUND") { () throws(ClientError) in
                _ = try await caller.client.report(usage)
            }
            await caller.expect(5, "ACCOUNT_NOT_FOUND") { () throws(ClientError) in
                _ = try await caller.client.hold(caller.order(usage))
            }
            await caller.expect(5, "ACCOUNT_NOT_FOUND") { () throws(ClientError) in
                _ = try await caller.client.quote(usage)
            }
            await caller.expect(5, "ACCOUNT_NOT_FOUND") { () throws(ClientError) in
                _ = try await caller.client.balance(of: "nobody")
            }
        }
    }

    @Test("NO_PRICING_RULE, BYOK_NOT_IN_TIER and PROVIDER_INACTIVE are FAILED_PRECONDITION")
    func noRule() async throws {
        try await run { caller in
            await caller.open("gold", tier: "gold")
            await caller.open("trial", tier: "trial")
            let gateway = caller.running.gateway
            _ = try gateway.command(
                RuleCommand(
                    .change(
                        .byok(id: "rule_openrouter"),
                        JSONNode(try JSONValue(parsing: #"{"is_active":false}"#)), nil), actor: "ada"))
            let rows: [(String, UsageReport)] = [
                ("NO_PRICING_RULE", caller.usage("r-1", account: "gold")),
                ("NO_PRICING_RULE", caller.usage("r-2", source: .byok)),
                (
                    "BYOK_NOT_IN_TIER",
                    caller.usage("r-3", account: "trial", source: .byok, provider: "huggingface")
                ),
                (
                    "PROVIDER_INACTIVE",
                    caller.usage(
                        "r-4", source: .byok, provider: "openrouter", model: "anthropic/claude-sonnet-5")
                ),
            ]
            for (reason, usage) in rows {
                await caller.expect(9, reason) { () throws(ClientError) in
                    _ = try await caller.client.report(usage)
                }
                await caller.expect(9, reason) { () throws(ClientError) in
                    _ = try await caller.client.hold(caller.order(usage))
                }
                await caller.expect(9, reason) { () throws(ClientError) in
                    _ = try await caller.client.quote(usage)
                }
            }
        }
    }

    @Test("UNPRICED_MODEL is FAILED_PRECONDITION for a quote and a hold; a report of it is parked")
    func unpricedModel() async throws {
        try await run { caller in
            let usage = caller.usage("r", model: "gpt-nobody-sells")
            await caller.expect(9, "UNPRICED_MODEL") { () throws(ClientError) in
                _ = try await caller.client.hold(caller.order(usage))
            }
            await caller.expect(9, "UNPRICED_MODEL") { () throws(ClientError) in
                _ = try await caller.client.quote(usage)
            }
            let receipt = try await caller.client.report(usage)
            #expect(receipt.state == .parked)
        }
    }

    @Test("CREDENTIAL_MISMATCH is FAILED_PRECONDITION, and leaves the hold open")
    func credentialMismatch() async throws {
        try await run { caller in
            let hold = HoldOrder(
                holdID: "h", account: "acme/search", credentialSource: .platform, amount: 5_000_000_000)
            _ = try await caller.client.hold(hold)
            let usage = caller.usage(
                "r", source: .byok, provider: "openrouter", model: "anthropic/claude-sonnet-5")
            await caller.expect(9, "CREDENTIAL_MISMATCH") { () throws(ClientError) in
                _ = try await caller.client.settle(hold: "h", with: usage)
            }
            #expect(try await caller.client.balance(of: "acme/search").held == 5_000_000_000)
        }
    }

    @Test(
        "the same id with other content is ALREADY_EXISTS with both digests; with the same it is its first outcome"
    )
    func idempotency() async throws {
        try await run { caller in
            let usage = caller.usage("r")
            let first = try await caller.client.report(usage)
            let other = changed(usage) { $0.usage.outputTokens += 1 }
            let refusal = try #require(
                await caller.expect(6, "IDEMPOTENCY_CONFLICT") { () throws(ClientError) in
                    _ = try await caller.client.report(other)
                })
            #expect(Set(refusal.metadata.keys) == ["first_digest", "digest"])
            let again = try await caller.client.report(usage)
            #expect(again.duplicate && again.charge == first.charge && again.sequence == first.sequence)
            let hold = HoldOrder(holdID: "h", account: "acme/search", credentialSource: .platform, amount: 5)
            _ = try await caller.client.hold(hold)
            #expect(try await caller.client.hold(hold).duplicate)
            let larger = HoldOrder(
                holdID: "h", account: "acme/search", credentialSource: .platform, amount: 6)
            await caller.expect(6, "IDEMPOTENCY_CONFLICT") { () throws(ClientError) in
                _ = try await caller.client.hold(larger)
            }
        }
    }

    @Test("HOLD_NOT_FOUND is NOT_FOUND; settled, voided and expired holds are FAILED_PRECONDITION")
    func holds() async throws {
        try await run { caller in
            let client = caller.client
            await caller.expect(5, "HOLD_NOT_FOUND") { () throws(ClientError) in
                _ = try await client.settle(hold: "never", with: caller.usage("r-0"))
            }
            await caller.expect(5, "HOLD_NOT_FOUND") { () throws(ClientError) in
                _ = try await client.void(hold: "never", of: "acme/search")
            }
            await caller.expect(5, "HOLD_NOT_FOUND") { () throws(ClientError) in
                _ = try await client.extend(hold: "never", of: "acme/search", lease: .seconds(60))
            }
            for id in ["settled", "voided", "expired"] {
                var order = HoldOrder(
                    holdID: id, account: "acme/search", credentialSource: .platform, amount: 5)
                if id == "expired" { order.lease = .milliseconds(1) }
                _ = try await client.hold(order)
            }
            _ = try await client.settle(hold: "settled", with: caller.usage("r-1"))
            _ = try await client.void(hold: "voided", of: "acme/search")
            while try await client.balance(of: "acme/search").held > 0 {
                try await Task.sleep(for: .milliseconds(5))
            }
            await caller.expect(9, "HOLD_ALREADY_SETTLED") { () throws(ClientError) in
                _ = try await client.settle(hold: "settled", with: caller.usage("r-2"))
            }
            await caller.expect(9, "HOLD_ALREADY_SETTLED") { () throws(ClientError) in
                _ = try await client.void(hold: "settled", of: "acme/search")
            }
            await caller.expect(9, "HOLD_VOIDED") { () throws(ClientError) in
                _ = try await client.settle(hold: "voided", with: caller.usage("r-3"))
            }
            await caller.expect(9, "HOLD_EXPIRED") { () throws(ClientError) in
                _ = try await client.extend(hold: "expired", of: "acme/search", lease: .seconds(60))
            }
            // Usage that happened is charged all the same.
            let late = try await client.settle(hold: "expired", with: caller.usage("r-4"))
            #expect(late.holdExpired && late.charge > 0)
        }
    }

    @Test("INVALID_ARGUMENT names its field; INVALID_USAGE its part and whole, and a report of it is parked")
    func invalid() async throws {
        try await run { caller in
            for (field, usage) in [
                ("account", caller.usage("r", account: "a//b")), ("request_id", caller.usage("")),
                ("provider", caller.usage("r", provider: "")), ("model", caller.usage("r", model: "")),
                ("input_tokens", caller.usage("r", input: -1)),
            ] {
                let refusal = try #require(
                    await caller.expect(3, "INVALID_ARGUMENT") { () throws(ClientError) in
                        _ = try await caller.client.report(usage)
                    })
                #expect(refusal.field == field, "\(refusal)")
            }
            let usage = changed(caller.usage("r", input: 10)) { $0.usage.cacheReadTokens = 11 }
            let refusal = try #require(
                await caller.expect(3, "INVALID_USAGE") { () throws(ClientError) in
                    _ = try await caller.client.hold(caller.order(usage))
                })
            #expect(refusal.metadata == ["part": "11", "whole": "10"])
            await caller.expect(3, "INVALID_USAGE") { () throws(ClientError) in
                _ = try await caller.client.quote(usage)
            }
            let receipt = try await caller.client.report(usage)
            #expect(receipt.state == .parked)
        }
    }

    @Test("QUOTE_EXPIRED is ABORTED, and the usage can be reported without the token")
    func quoteExpired() async throws {
        try await run { caller in
            let quote = try await caller.client.quote(caller.usage(""))
            let usage = changed(caller.usage("r")) {
                $0.quoteToken = quote.token
                $0.eventTimeMicroseconds = quote.expiresAtMicroseconds + 1
            }
            // It may not be five minutes ahead, which is how long a token is good.
            while caller.now + 299_000_000 < usage.eventTimeMicroseconds {
                try await Task.sleep(for: .milliseconds(50))
            }
            await caller.expect(10, "QUOTE_EXPIRED") { () throws(ClientError) in
                _ = try await caller.client.report(usage)
            }
            let receipt = try await caller.client.report(changed(usage) { $0.quoteToken = [] })
            #expect(receipt.charge == quote.charge)
        }
    }

    @Test("OVERLOADED and NOT_READY are UNAVAILABLE with the time after which to try again")
    func unavailable() async throws {
        let directory = try TemporaryDirectory()
        let running = try await RunningServer.start(directory, settings: { $0.holdsMax = 1 })
        await running.openAccount()
        var configuration = TollgateClient.Configuration(host: "127.0.0.1", port: running.server.port)
        configuration.timeout = .milliseconds(500)
        let client = TollgateClient(configuration)
        func hold(_ id: String) -> HoldOrder {
            HoldOrder(holdID: id, account: "acme/search", credentialSource: .platform, amount: 5)
        }
        _ = try await client.hold(hold("h-1"))
        // It may be carried out later, so the client goes on asking until its time is over.
        let error = await #expect(throws: ClientError.self) { try await client.hold(hold("h-2")) }
        guard case .deadlineExceeded(let attempts, let problem) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(attempts > 1 && problem.contains("OVERLOADED"), "\(problem)")
        for reason in [Reason.overloaded, .notReady, .diskFull] {
            #expect(reason.code == .unavailable && Refusal(reason).retryAfterMilliseconds > 0)
        }
        await client.close()
        try await running.stop()
    }
}
