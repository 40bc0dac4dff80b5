// A quote's token pins the prices of its moment: what it holds against, what it does not open, and that
// nothing of it is spent.

import Bytes
import Ledger
import Money
import Pricing
import Store
import Testing

@testable import Gateway

@Suite("quotes and their tokens")
struct QuoteTests {
    /// The quote of a report's counts, for now.
    private func quote(_ report: TestReport, _ gateway: Gateway, _ options: QuoteOptions = []) throws
        -> DetailedQuote
    {
        let outcome = withRecord(report, gateway) { record -> QuoteOutcome in
            var record = record.copy()
            record.requestID = ByteView()
            record.eventTime = Timestamp(microseconds: 0)
            var lane = Lane(gateway)
            lane.begin()
            let prepared = lane.prepare(quote: &record)
            let refusal = lane.quote(record, prepared, options)
            _ = lane.end()
            if let refusal { return .refused(refusal) }
            return .quoted(
                DetailedQuote(
                    quote: lane.room.quote, tier: [], lines: lane.room.lines.array,
                    token: Array(lane.room.token.view)))
        }
        guard case .quoted(let quoted) = outcome else {
            Issue.record("no quote: \(outcome)")
            throw CancellationError()
        }
        return quoted
    }

    private func prices(_ price: String) -> CatalogueStaging {
        CatalogueStaging(
            bytes: Array(
                #"{"gpt-4o":{"litellm_provider":"openai","input_cost_per_token":\#(price),"output_cost_per_token":1e-05}}"#
                    .utf8), keepsMissing: true, actor: "ada")
    }

    /// Puts a dearer price list in force.
    private func raisePrices(_ gateway: Gateway, to price: String = "5e-05") throws {
        let staged = try gateway.stageCatalogue(prices(price))
        _ = try gateway.approveCatalogue(staged.version.number, actor: "ada")
    }

    /// The account's sequence and balance: what nothing refused may change.
    private func standing(_ gateway: Gateway) async throws -> [Int64] {
        let summary = try await gateway.balance(of: Array("acme/search".utf8))
        return [summary.balance, Int64(summary.sequence)]
    }

    @Test("a quote is what the report is charged, and leaves no trace")
    func same() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        let before = try await standing(gateway)
        let asked = TestReport(id: "r-1")
        let quoted = try quote(asked, gateway, .compare)
        // 3.5 USD a thousand, 1.8 for openai: 6.3 credits.
        #expect(quoted.own.charge == 6_300_000_000 && quoted.isSufficient)
        #expect(quoted.availableAfter == 993_700_000_000)
        #expect(quoted.lines.map(\.amount).reduce(0, +) == quoted.baseCost)
        #expect(try await standing(gateway) == before)
        let charged = try #require(try await report([asked], to: gateway)[0].receipt)
        #expect(charged.charge == quoted.own.charge && charged.balance == quoted.availableAfter)
        await gateway.stop()
    }

    @Test("a token is charged at its prices after they rose, after a restart, and explained by them")
    func lock() async throws {
        let directory = try TemporaryDirectory()
        var gateway = try openGateway(directory)
        await openAccount(gateway)
        let token = try quote(TestReport(id: ""), gateway).token
        #expect(token.count == 41)
        try raisePrices(gateway)
        // Without the token it is the new price: 1 000 at 50 USD a million and 100 at 10.
        let free = try #require(try await report([TestReport(id: "free")], to: gateway)[0].receipt)
        #expect(free.charge == 91_800_000_000 && free.catalogueVersion == 2)
        let first = try #require(
            try await report([TestReport(id: "r-1", token: token)], to: gateway)[0].receipt)
        #expect(first.charge == 6_300_000_000 && first.catalogueVersion == 1)
        await gateway.stop()

        gateway = try openGateway(directory)
        #expect(gateway.priceBook.catalogueVersion == 2)
        let late = TestReport(id: "r-2", token: token, eventTime: gateway.now().microseconds)
        // The book of version 1 is not at hand: the record waits for it, as one waits for history.
        #expect(needsHistory(late, gateway))
        let second = try #require(try await reportAskingHistory(late, to: gateway).receipt)
        #expect(second.charge == 6_300_000_000 && second.catalogueVersion == 1)
        #expect(!needsHistory(TestReport(id: "r-3", token: token), gateway))
        for price in ["6e-05", "7e-05", "8e-05", "9e-05", "1e-04", "2e-04"] {
            try raisePrices(gateway, to: price)
        }
        try await gateway.waitForHistory()
        for id in ["r-1", "r-2"] {
            let explained = try #require(try gateway.explain(requestID: Array(id.utf8)))
            #expect(explained.agrees && explained.quote?.catalogueVersion == 1, "\(id)")
        }
        #expect(try gateway.explain(requestID: Array("free".utf8))?.agrees == true)
        await gateway.stop()
    }

    @Test("a token outlives a new version of its rule")
    func ruleChange() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        let token = try quote(TestReport(id: ""), gateway).token
        var rules = gateway.rules
        let index = try #require(rules.platform.firstIndex { $0.tierCode == "professional" })
        var dearer = rules.platform[index]
        dearer.head.version = 99
        dearer.head.effectiveAt = Timestamp(microseconds: gateway.now().microseconds - 1_000_000)
        dearer.providerOverrides = []
        dearer.markup = Markup(.multiplier, try Ratio(text: "9"))
        rules = try RuleBook(platform: rules.platform + [dearer], byok: rules.byok)
        gateway.replaceBook(
            try PriceBook(
                catalogue: gateway.priceBook.catalogue, rules: rules,
                creditValue: gateway.settings.creditValue))
        let now = try #require(try await report([TestReport(id: "now")], to: gateway)[0].receipt)
        #expect(now.charge == 31_500_000_000 && now.ruleVersion == 99)
        let locked = try #require(
            try await report([TestReport(id: "r-1", token: token)], to: gateway)[0].receipt)
        #expect(locked.charge == 6_300_000_000 && locked.ruleVersion == 3)
        await gateway.stop()
    }

    @Test("a token counts by when the request ended; a retry of what was charged is answered after it")
    func expiry() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory) { $0.quoteValid = .seconds(60) }
        await openAccount(gateway)
        let quoted = try quote(TestReport(id: ""), gateway)
        let expiry = quoted.expiresAt.microseconds
        var inTime = TestReport(id: "r-1", token: quoted.token, eventTime: expiry)
        #expect(try await report([inTime], to: gateway)[0].receipt?.charge == 6_300_000_000)
        let before = try await standing(gateway)
        let late = TestReport(id: "r-2", token: quoted.token, eventTime: expiry + 1)
        let refusal = try #require(try await report([late], to: gateway)[0].refusal)
        #expect(refusal.reason == .quoteExpired && refusal.reason.code == .aborted)
        #expect(refusal.reason.httpStatus == 409 && refusal.field == .quoteToken)
        // Usage from before the quote is not made cheaper by it.
        let early = TestReport(id: "r-3", token: quoted.token, eventTime: expiry - 7 * 60 * 1_000_000)
        let tooEarly = try #require(try await report([early], to: gateway)[0].refusal)
        #expect(tooEarly.reason == .invalidArgument && tooEarly.field == .quoteToken)
        #expect(try await standing(gateway) == before)
        // A refusal is not remembered: without the token the usage is charged.
        #expect(
            try await report([TestReport(id: "r-2", eventTime: expiry + 1)], to: gateway)[0].receipt != nil)
        // The retry repeats its content, and the first outcome stands.
        let again = try #require(try await report([inTime], to: gateway)[0].receipt)
        #expect(again.duplicate && again.charge == 6_300_000_000)
        // The same id with an edited token is other content under the id.
        inTime.token[40] ^= 1
        #expect(try await report([inTime], to: gateway)[0].refusal?.reason == .idempotencyConflict)
        await gateway.stop()
    }

    @Test("every flipped bit, every cut and every stranger's token is refused and changes nothing")
    func forgery() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        await openAccount(gateway, path: "acme/other")
        let token = try quote(TestReport(id: ""), gateway).token
        let before = try await standing(gateway)
        var forged: [TestReport] = []
        for bit in 0..<token.count * 8 {
            var edited = token
            edited[bit / 8] ^= 1 << UInt8(bit % 8)
            forged.append(TestReport(id: "bit-\(bit)", token: edited))
        }
        for count in 1..<token.count {
            forged.append(TestReport(id: "cut-\(count)", token: Array(token.prefix(count))))
        }
        forged.append(TestReport(id: "long", token: token + [0]))
        forged.append(TestReport(id: "account", account: "acme/other", token: token))
        forged.append(TestReport(id: "source", source: .byok, provider: "openrouter", token: token))
        forged.append(TestReport(id: "provider", provider: "azure", token: token))
        forged.append(TestReport(id: "model", model: "gpt-4o-mini", token: token))
        forged.append(TestReport(id: "tier", token: token, serviceTier: "batch"))
        for (index, decision) in try await report(forged, to: gateway).enumerated() {
            let refusal = try #require(decision.refusal, "\(forged[index].id)")
            #expect(refusal.reason == .invalidArgument && refusal.field == .quoteToken, "\(forged[index].id)")
        }
        #expect(try await standing(gateway) == before)
        // Letter case of names does not matter, and standard is the tier of no name.
        let same = TestReport(
            id: "same", provider: "OpenAI", model: "GPT-4o", token: token, serviceTier: "standard")
        #expect(try await report([same], to: gateway)[0].receipt?.charge == 6_300_000_000)
        // Another directory has another secret.
        let otherDirectory = try TemporaryDirectory()
        let other = try openGateway(otherDirectory)
        await openAccount(other)
        #expect(
            try await report([TestReport(id: "x", token: token)], to: other)[0].refusal?.field == .quoteToken)
        await other.stop()
        await gateway.stop()
    }

    @Test("a token of the form before is good for no report, and still tells what it pinned")
    func earlierForm() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        let token = try quote(TestReport(id: ""), gateway).token
        var earlier = token
        earlier[0] = 1
        let read = try #require(earlier.withView { QuoteToken($0) })
        #expect(read == token.withView { QuoteToken($0) } && earlier.withView { PinnedQuote($0) } != nil)
        let refusal = try #require(
            try await report([TestReport(id: "r-1", token: earlier)], to: gateway)[0].refusal)
        #expect(refusal.reason == .invalidArgument && refusal.field == .quoteToken)
        await gateway.stop()
    }

    @Test("a quote for another time carries no token into this one")
    func otherTime() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        for minutes in [-6, 6] as [Int64] {
            var draft = QuoteDraft(
                source: .platform, provider: Array("openai".utf8), model: Array("gpt-4o".utf8))
            draft.account = Array("acme/search".utf8)
            draft.usage.inputTokens = 1_000
            draft.eventTime = Timestamp(microseconds: gateway.now().microseconds + minutes * 60_000_000)
            guard case .quoted(let quoted) = await gateway.quote(draft, compare: false) else {
                Issue.record("no quote")
                continue
            }
            #expect(quoted.token.isEmpty && quoted.own.charge == 4_500_000_000)
        }
        await gateway.stop()
    }

    @Test("a comparison counts each side's allowance and the provider's cost, and spends neither")
    func comparison() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        var asked = TestReport(id: "q", provider: "openrouter", model: "anthropic/claude-3-5-sonnet")
        asked.inputTokens = 10_000
        asked.outputTokens = 0
        for _ in 0..<3 {
            let quoted = try quote(asked, gateway, .compare)
            // SEMANTICS' vectors: 45 on the platform; 1.5 with an own key, which the allowance pays.
            #expect(quoted.own.charge == 45_000_000_000)
            #expect(quoted.alternative?.fee == 1_500_000_000 && quoted.alternative?.charge == 0)
            #expect(quoted.alternative?.allowanceLeft == 5_000_000_000_000)
            // The provider takes 30 credits' worth from who has an own key.
            #expect(quoted.byokSaving == 15_000_000_000)
        }
        asked.source = .byok
        let own = try quote(asked, gateway, .compare)
        #expect(own.own.charge == 0 && own.own.allowanceUsed == 1_500_000_000 && own.isSufficient)
        #expect(own.byokSaving == 15_000_000_000 && own.alternative?.charge == 45_000_000_000)
        await gateway.stop()
    }

    @Test("a brief quote says the same without its factors and without a token")
    func brief() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try openGateway(directory)
        await openAccount(gateway)
        for source in [CredentialSource.platform, .byok] {
            var asked = TestReport(id: "q", provider: "openrouter", model: "anthropic/claude-3-5-sonnet")
            asked.source = source
            let whole = try quote(asked, gateway, .compare)
            let brief = try quote(asked, gateway, [.compare, .brief])
            #expect(!whole.lines.isEmpty && !whole.token.isEmpty && whole.expiresAt.microseconds > 0)
            #expect(brief.lines.isEmpty && brief.token.isEmpty && brief.expiresAt.microseconds == 0)
            #expect(brief.own == whole.own && brief.alternative == whole.alternative)
            #expect(brief.baseCost == whole.baseCost && brief.byokSaving == whole.byokSaving)
            #expect(brief.available == whole.available && brief.availableAfter == whole.availableAfter)
            #expect(brief.isSufficient && brief.ruleVersion == whole.ruleVersion)
            #expect(brief.affordableOutputTokens == whole.affordableOutputTokens)
            #expect(brief.details.effect == whole.details.effect)
        }
        // Nothing of a quote is left in the next one of the same lane.
        var lane = Lane(gateway)
        lane.begin()
        withRecord(TestReport(id: "q"), gateway) { record in
            var record = record.copy()
            record.requestID = ByteView()
            record.eventTime = Timestamp(microseconds: 0)
            let prepared = lane.prepare(quote: &record)
            #expect(lane.quote(record, prepared, .compare) == nil)
            #expect(lane.room.lines.count > 0 && !lane.room.token.view.isEmpty)
            let standing = lane.room.quote
            #expect(lane.quote(record, prepared, .brief) == nil)
            #expect(lane.room.lines.count == 0 && lane.room.token.view.isEmpty)
            #expect(lane.room.quote.alternative == nil && lane.room.quote.expiresAt.microseconds == 0)
            #expect(lane.room.quote.own == standing.own)
        }
        _ = lane.end()
        await gateway.stop()
    }
}
