// A charge with every factor, computed again from the versions it was pinned to.

import Gateway
import Money
import Pricing
import Store
import StrictJSON
import Wire

extension AdminDesk {
    /// `GET /api/v1/receipts/{request_id}?organisation=`.
    ///
    /// Request ids are an organisation's own; where two use the same one, name the organisation. A receipt
    /// that is not in the history yet is waited for, `AdminLimits.receiptWait` at the most.
    func receipt(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["organisation"])
        let organisation = request.parameter("organisation").map { Array($0.utf8) }
        if let found = try await explanation(request.place, organisation) { return Reply(found.json) }
        do {
            try await gateway.waitForHistory(timeout: AdminLimits.receiptWait)
        } catch {
            throw .notReady(["the server is stopping"])
        }
        if let found = try await explanation(request.place, organisation) { return Reply(found.json) }
        throw .noReceipt(lag: gateway.historyLag)
    }

    private func explanation(
        _ id: [UInt8], _ organisation: [UInt8]?
    ) async throws(RequestProblem) -> ChargeExplanation? {
        let gateway = gateway
        return try await reading { () throws(AdministrationError) in
            try gateway.explain(requestID: id, organisation: organisation)
        }
    }
}

extension ChargeExplanation {
    /// The receipt as a document: what was recorded, what it comes to when computed again, and in words.
    fileprivate var json: JSONObject {
        let figures = row.figures
        var object: JSONObject = [
            "request_id": row.requestName, "user_id": .string(row.account),
            "wallet": .string(row.wallet.isEmpty ? row.account : row.wallet),
            "state": .string(figures.state == .parked ? "parked" : "charged"),
            "provider": .string(row.provider), "model": .string(row.model),
            "service_tier": .string(row.serviceTier.isEmpty ? "standard" : row.serviceTier),
            "credential_source": row.source, "tier": .word(row.tier),
            "charge": .credits(figures.charge), "fee": .credits(figures.fee),
            "allowance_used": .credits(figures.allowanceUsed),
            "base_cost_usd": .dollars(figures.baseCostPicodollars),
            "balance_after": .credits(figures.balanceAfter),
            "rule_version": .integer(figures.ruleVersion),
            "catalogue_version": .integer(figures.catalogueVersion),
            "parked_reason": row.parkedReason.map { .string($0) } ?? .null,
            "sequence": .integer(figures.sequence), "event_time": .instant(figures.eventTime),
            "recorded_at": .instant(figures.recordedAt), "metadata": .object(row.metadata),
            "agrees": .bool(agrees),
        ]
        switch explanation {
        case .priced(let priced):
            object["explanation"] = .object(priced.json)
            object["text"] = .array(lines(priced).map { .string($0) })
        case .parked(let reason, let field):
            object["text"] = [.string("parked: \(reason.name)" + (field == .none ? "" : ", \(field.name)"))]
        case .refused(let refusal):
            object["text"] = [.string("it cannot be computed again: \(refusal.message)")]
        }
        return object
    }

    /// The explanation in words, and what became of the fee.
    private func lines(_ priced: PriceExplanation) -> [String] {
        var lines = priced.text.split(separator: "\n").map { String($0) }
        let figures = row.figures
        if figures.allowanceUsed > 0 {
            lines.append(
                "the month's free allowance paid \(Nanocredits(figures.allowanceUsed).text) credits of it:"
                    + " charged \(Nanocredits(figures.charge).text) credits")
        }
        lines.append("balance afterwards \(Nanocredits(figures.balanceAfter).textWithCents) credits")
        if !agrees {
            lines.append("this does not agree with the \(Nanocredits(figures.fee).text) credits recorded")
        }
        return lines
    }
}

extension PriceExplanation {
    fileprivate var json: JSONObject {
        [
            "price": [
                "provider": .string(provider), "model": .string(model), "match": .string(match.rawValue),
                "catalogue_version": .integer(catalogueVersion), "effective_from": .bound(priceFrom),
                "effective_until": .bound(priceUntil), "input_tokens": .integer(inputTokens),
                "input_tokens_above": inputTokensAbove.map { .integer($0) } ?? .null,
            ],
            "lines": .array(lines.map { .object($0.json) }),
            "base_cost_usd": .dollars(baseCost),
            "rule": [
                "id": .string(ruleID), "rule_number": .integer(ruleNumber), "version": .integer(ruleVersion),
                "rule_type": .string(kind.rawValue), "tier": .string(tier),
                "provider_override": overrideProvider.map { .string($0) } ?? .null,
                "markup_type": .string(markup.type.rawValue),
                "markup_value": .string(markup.value.textWithCents),
                "reading": .string(markup.reading(for: kind)),
                "min_charge": .credits(minCharge), "monthly_allowance": .credits(monthlyAllowance),
            ],
            "credit_value_usd": .dollars(creditValue.picodollarsPerCredit), "exact_fee": .string(exactFee),
            "min_charge_binds": .bool(minChargeBinds), "is_rounded": .bool(isRounded), "fee": .credits(fee),
        ]
    }
}

extension PriceExplanation.Line {
    fileprivate var json: JSONObject {
        [
            "unit": .string(unit.name), "quantity": .integer(quantity), "usd_per_unit": .dollars(found.rate),
            "price": .string(unit.priceText(rate: found.rate)), "price_unit": .string(unit.priceUnit),
            "rate_of": .string(found.unit.name), "standard_tier": .bool(found.isStandardTier),
            "amount_usd": .dollars(amount),
        ]
    }
}
