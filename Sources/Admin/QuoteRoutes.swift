// What a request would cost, over HTTP: for an account, with a token that pins the prices, and the
// calculations of the billing guide, for an account or for a tier.
//
// Nothing is charged, and no allowance is spent. Amounts are decimal strings of credits; members whose name
// ends in `_usd` are US dollars.

import Gateway
import Ledger
import Money
import Pricing
import StrictJSON
import Wire

extension AdminDesk {
    /// `POST /api/v1/quotes`: `{"user_id", "credential_source", "provider", "model"}` and counts.
    func quote(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let root = try request.document()
        let (account, draft, compare) = try AdminRequest.reading {
            () throws(JSONError) -> (NamedAccount, QuoteDraft, Bool) in
            try root.expectOnly(
                ["user_id", "account", "credential_source", "compare"] + UsageDocument.draftKeys)
            let account = try root.account()
            var draft = try UsageDocument.draft(
                root, source: try UsageDocument.source(try root.field("credential_source")))
            draft.account = account.path
            return (account, draft, try root.optional("compare")?.bool() ?? true)
        }
        let quoted = try await quoted(draft, account, compare: compare)
        var object = quoted.json(source: draft.source)
        object["user_id"] = .string(account.path.text)
        return Reply(object)
    }

    /// `POST /api/v1/pricing/calculate/platform`.
    func calculatePlatform(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try await calculate(request, .platform)
    }

    /// `POST /api/v1/pricing/calculate/byok`.
    func calculateBYOK(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try await calculate(request, .byok)
    }

    private func calculate(
        _ request: AdminRequest, _ source: CredentialSource
    ) async throws(RequestProblem) -> Reply {
        let question = try Question(request, source: source)
        let (side, object) = try await side(question, source)
        return Reply(side.adding(to: object))
    }

    /// `POST /api/v1/pricing/calculate/comparison`: both, and what an own key saves.
    ///
    /// A side that has no rule says why; there is no saving then.
    func calculateComparison(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        let question = try Question(request, source: .platform)
        var head = JSONObject()
        var sides: [CredentialSource: CalculatedSide] = [:]
        var object = JSONObject()
        for source in [CredentialSource.platform, .byok] {
            let name = source == .platform ? "platform" : "byok"
            do throws(RequestProblem) {
                let (side, asked) = try await side(question, source)
                sides[source] = side
                head = asked
                object[name] = .object(side.adding(to: ["available": true]))
            } catch {
                // What is wrong with the question is wrong with both sides.
                guard case .refused(let refusal, _) = error, refusal.isAboutRules else { throw error }
                object[name] = [
                    "available": false, "reason": .string(refusal.reason.text),
                    "message": .string(refusal.message),
                ]
            }
        }
        for (name, value) in object.members.map({ ($0.key, $0.value) }) { head[name] = value }
        head["provider"] = .string(question.draft.provider.text)
        head["model"] = .string(question.draft.model.text)
        guard let platform = sides[.platform], let byok = sides[.byok] else {
            head["savings"] = .null
            head["savings_percent"] = .null
            return Reply(head)
        }
        let saving = Int128(platform.total) - Int128(byok.total)
        head["savings"] = .credits(Int64(clamping: saving))
        head["savings_percent"] = .string(Self.percent(saving, of: platform.total))
        head["cheaper"] = saving > 0 ? "byok" : saving < 0 ? "platform" : "same"
        return Reply(head)
    }

    /// A share in percent with one decimal, rounded half away from zero.
    static func percent(_ part: Int128, of whole: Int64) -> String {
        guard whole > 0 else { return "0.0" }
        let (double, divisor) = (part * 2_000, Int128(whole) * 2)
        let tenths = (double + (double < 0 ? -Int128(whole) : Int128(whole))) / divisor
        return DecimalText.format(tenths, places: 1, decimalsMin: 1)
    }

    private func quoted(
        _ draft: QuoteDraft, _ account: NamedAccount, compare: Bool
    ) async throws(RequestProblem) -> DetailedQuote {
        switch await gateway.quote(draft, compare: compare) {
        case .quoted(let quoted): return quoted
        case .refused(let refusal): throw .refused(refusal, account: account.name)
        }
    }

    /// One way of paying for what was asked about.
    private func side(
        _ question: Question, _ source: CredentialSource
    ) async throws(RequestProblem) -> (CalculatedSide, JSONObject) {
        var draft = question.draft
        draft.source = source
        let book = gateway.priceBook
        var asked: JSONObject = [
            "provider": .string(draft.provider.text), "model": .string(draft.model.text),
        ]
        var side = CalculatedSide(source: source, creditValue: book.creditValue)
        var tier = question.tier
        if let account = question.account {
            draft.account = account.path
            let quoted = try await quoted(draft, account, compare: false)
            side.charge = quoted.own
            side.baseCost = quoted.baseCost
            tier = quoted.tier
            asked["user_id"] = .string(account.path.text)
            asked["available"] = quoted.isUnlimited ? .null : .credits(quoted.available)
            asked["sufficient"] = .bool(quoted.isSufficient)
        }
        asked["user_tier"] = .string(tier.text)
        let explanation = draft.withRecord(now: gateway.now()) { record in
            tier.withView { book.explain(record, tier: $0) }
        }
        switch explanation {
        case .refused(let refusal): throw .refused(refusal, account: "user_tier")
        case .parked(let reason, let field):
            throw .refused(
                Refusal(notPriced: reason, field: field, usage: draft.usage), account: "user_tier")
        case .priced(let priced):
            if question.account == nil {
                side.charge.fee = priced.fee
                side.charge.charge = priced.fee
                side.baseCost = priced.baseCost
            }
            side.explanation = priced
            asked["tokens_used"] = .integer(draft.usage.inputTokens + draft.usage.outputTokens)
            return (side, asked)
        }
    }
}

/// What a calculation is asked about: usage, and an account or a tier.
private struct Question {
    var draft: QuoteDraft
    var account: NamedAccount?
    var tier: [UInt8]

    init(_ request: AdminRequest, source: CredentialSource) throws(RequestProblem) {
        try request.expectParameters()
        let root = try request.document()
        (draft, account, tier) = try AdminRequest.reading {
            () throws(JSONError) -> (QuoteDraft, NamedAccount?, [UInt8]) in
            try root.expectOnly(["user_tier", "user_id", "account"] + UsageDocument.draftKeys)
            let draft = try UsageDocument.draft(root, source: source)
            guard let tier = try root.optional("user_tier") else { return (draft, try root.account(), []) }
            let named = (try root.optional("user_id"), try root.optional("account"))
            if named.0 != nil || named.1 != nil {
                throw tier.invalid("give user_tier, or user_id for an account's own tier and allowance")
            }
            return (draft, nil, Array(try tier.words(bytesMax: AdminLimits.tierBytesMax).utf8))
        }
    }
}

/// What one way of paying comes to.
private struct CalculatedSide {
    var source: CredentialSource
    var creditValue: CreditValue
    var charge = QuotedCharge()
    var baseCost: Int64 = 0
    var explanation: PriceExplanation?

    init(source: CredentialSource, creditValue: CreditValue) {
        self.source = source
        self.creditValue = creditValue
    }

    /// What the provider is paid by the customer itself, in nanocredits.
    var providerCost: Int64 {
        source == .byok ? creditValue.nanocredits(Picodollars(baseCost))?.count ?? .max : 0
    }

    /// All that the customer pays.
    var total: Int64 { Int64(clamping: Int128(charge.charge) + Int128(providerCost)) }

    func adding(to object: JSONObject) -> JSONObject {
        var object = object
        object["base_cost_usd"] = .dollars(baseCost)
        object["fee"] = .credits(charge.fee)
        object["allowance_used"] = .credits(charge.allowanceUsed)
        object["allowance_left"] = .credits(charge.allowanceLeft)
        object["cost"] = .credits(charge.charge)
        object["cost_usd"] =
            creditValue.picodollars(Nanocredits(charge.charge)).map { .dollars($0.count) } ?? .null
        object["provider_cost"] = .credits(providerCost)
        object["total"] = .credits(total)
        guard let explanation else { return object }
        object["rule_id"] = .string(explanation.ruleID)
        object["rule_version"] = .integer(explanation.ruleVersion)
        object["catalogue_version"] = .integer(explanation.catalogueVersion)
        object["explanation"] = .object(explanation.json)
        object["text"] = .array(
            explanation.text.split(separator: "\n").map { .string(String($0)) })
        return object
    }
}

extension Refusal {
    /// Whether it says that a way of paying is not open, rather than that the question is wrong.
    fileprivate var isAboutRules: Bool {
        switch reason {
        case .noPricingRule, .byokNotInTier, .providerInactive: true
        default: false
        }
    }
}

extension DetailedQuote {
    /// The quote as a document.
    fileprivate func json(source: CredentialSource) -> JSONObject {
        var object: JSONObject = [
            "credential_source": source == .platform ? "platform" : "byok", "tier": .word(tier.text),
            "charge": .credits(quote.own.charge), "fee": .credits(quote.own.fee),
            "base_cost_usd": .dollars(quote.baseCost),
            "allowance_used": .credits(quote.own.allowanceUsed),
            "allowance_left": .credits(quote.own.allowanceLeft),
            "min_charge": .credits(quote.details.minCharge),
            "min_charge_binds": .bool(quote.details.minChargeBinds),
            "available": quote.isUnlimited ? .null : .credits(quote.available),
            "available_after": quote.isUnlimited ? .null : .credits(quote.availableAfter),
            "sufficient": .bool(quote.isSufficient), "unlimited": .bool(quote.isUnlimited),
            "affordable_output_tokens": quote.affordableOutputTokens.map { .integer($0) } ?? .null,
            "standard_tier_used": .bool(quote.standardTierUsed), "off_peak": .bool(quote.details.isOffPeak),
            "input_tokens_above": quote.details.inputTokensAbove.map { .integer($0) } ?? .null,
            "rule_version": .integer(quote.ruleVersion),
            "catalogue_version": .integer(quote.catalogueVersion),
        ]
        switch quote.details.effect {
        case .times(let ratio): object["markup"] = ["ratio": .string(ratio.text)]
        case .fixed(let credits): object["markup"] = ["fixed": .credits(credits.count)]
        }
        object["alternative"] =
            quote.alternative.map { other in
                [
                    "credential_source": source == .platform ? "byok" : "platform",
                    "charge": .credits(other.charge), "fee": .credits(other.fee),
                    "allowance_used": .credits(other.allowanceUsed),
                ]
            } ?? .null
        object["byok_saving"] = quote.byokSaving.map { .credits($0) } ?? .null
        object["quote_token"] = token.isEmpty ? .null : .string(Hexadecimal.text(token))
        object["expires_at"] = token.isEmpty ? .null : .instant(quote.expiresAt.microseconds)
        object["lines"] = .array(
            lines.map { line in
                [
                    "unit": .string(line.unit.name), "quantity": .integer(line.quantity),
                    "usd_per_unit": .dollars(line.rate), "amount_usd": .dollars(line.amount),
                ]
            })
        return object
    }
}
