// An explained charge as a document: what was recorded, every factor computed again, and who paid.

import Gateway
import Ledger
import Money
import Pricing
import Store
import StrictJSON
import Wire

extension ChargeExplanation {
    /// The receipt as a document: what was recorded, what it comes to when computed again, and in words.
    var json: JSONObject {
        let figures = row.figures
        var object: JSONObject = [
            "request_id": row.requestName, "user_id": .string(row.account),
            "wallet": .string(row.wallet.isEmpty ? row.account : row.wallet),
            "state": .string(figures.state.word),
            "provider": .string(row.provider), "model": .string(row.model),
            "service_tier": .string(row.serviceTier.isEmpty ? "standard" : row.serviceTier),
            "credential_source": row.source, "tier": .word(row.tier),
            "charge": .credits(figures.charge), "fee": .credits(figures.fee),
            "allowance_used": .credits(figures.allowanceUsed),
            "base_cost_usd": .dollars(figures.baseCostPicodollars),
            "balance_after": .credits(figures.balanceAfter),
            "rule_version": .integer(figures.ruleVersion),
            "catalogue_version": .integer(figures.catalogueVersion),
            "parked_reason": (row.parkedReason ?? parked?.parkedReason).map { .string($0) } ?? .null,
            "sequence": .integer(figures.sequence), "event_time": .instant(figures.eventTime),
            "recorded_at": .instant(figures.recordedAt), "metadata": .object(row.metadata),
            "agrees": .bool(agrees),
        ]
        object["buckets"] = .array(details.draws.map { .object(bucket($0)) })
        object["debt"] = .credits(max(0, debt))
        object["refunded"] = .credits(refunded)
        object["refunds"] = .array(acts.map { .object($0.json) })
        object["quote"] = quote.map { .object($0.json) } ?? .null
        object["hold"] = hold.map { .object($0.json) } ?? .null
        object["parked"] = parkedStory.map { .object($0) } ?? .null
        var text: [String]
        switch explanation {
        case .priced(let priced):
            object["explanation"] = .object(priced.json)
            text = isCharge ? lines(priced) : wouldBe(priced)
        case _ where hold?.orphanPolicy != nil && row.provider.isEmpty: text = payments
        case .parked(let reason, let field):
            text =
                row.figures.state == .discarded
                ? ["nothing was charged"]
                : ["parked: \(reason.name)" + (field == .none ? "" : ", \(field.name)")]
        case .refused(let refusal):
            text = ["it cannot be computed again: \(refusal.message)"]
        }
        object["text"] = .array((story + text + acts.map { actLine($0) }).map { .string($0) })
        return object
    }

    /// What was given back of it, in nanocredits.
    private var refunded: Int64 { acts.reduce(0) { $0 + $1.amount } }

    private func actLine(_ act: CreditRow) -> String {
        let who = act.detail("by").map { " by \($0)" } ?? ""
        let why = act.detail("reason").map { ": \($0)" } ?? ""
        let when = Timestamp(microseconds: act.recordedAt).text
        guard act.amount > 0 else {
            return "noted \(when)\(who): too little was charged, and it stays\(why)"
        }
        return "refunded \(Nanocredits(act.amount).text) credits \(when)\(who)\(why)"
    }

    private var isCharge: Bool { row.figures.state == .charged || row.figures.state == .settled }

    private func wouldBe(_ priced: PriceExplanation) -> [String] {
        if row.figures.state == .discarded { return ["nothing was charged"] }
        return [
            "parked: \(row.parkedReason ?? "")",
            "it has a price by now: settling it would charge \(Nanocredits(priced.fee).text) credits before"
                + " any allowance",
        ]
    }

    /// What a grant paid, and what kind of grant that was.
    private func bucket(_ draw: Draw) -> JSONObject {
        let grant = grants[draw.grant]
        return [
            "grant_id": .wide(draw.grant), "amount": .credits(draw.amount),
            "kind": grant.flatMap(Self.kind).map { .string($0) } ?? .null,
            "source": grant.map { .word($0.source) } ?? .null,
            "granted": grant.map { .credits($0.amount) } ?? .null,
            "expires_at": grant?.expiresAt.map { .instant($0) } ?? .null,
        ]
    }

    private static func kind(_ grant: CreditRow) -> String? {
        do throws(JSONError) {
            return try JSONNode(parsing: Array(grant.details.utf8)).field("kind").string()
        } catch {
            return nil
        }
    }

    /// How the request was parked and ended.
    private var parkedStory: JSONObject? {
        guard let end = details.end else { return nil }
        return [
            "sequence": .integer(end.parkedSequence), "reason": .string(end.reason),
            "by": .string(end.actor), "corrected": .bool(end.isCorrected),
            "recorded_at": parked.map { .instant($0.figures.recordedAt) } ?? .null,
            "parked_reason": parked?.parkedReason.map { .string($0) } ?? .null,
            "reported": parked.map { .object($0.metadata) } ?? .null,
        ]
    }

    /// The same in words, and what a quote had pinned: what comes before the factors.
    private var story: [String] {
        var lines: [String] = []
        if let end = details.end {
            if let parked {
                lines.append(
                    "parked \(Timestamp(microseconds: parked.figures.recordedAt).text):"
                        + " \(parked.parkedReason ?? "")")
            }
            let what = row.figures.state == .discarded ? "discarded" : "settled"
            let counts = end.isCorrected ? " with corrected counts" : ""
            lines.append(
                "\(what)\(counts) \(Timestamp(microseconds: row.figures.recordedAt).text) by \(end.actor): \(end.reason)"
            )
        }
        if let hold { lines.append(hold.line) }
        if let quote {
            lines.append(
                "priced by a quote of \(quote.instant.text), good until \(quote.expiresAt.text)")
        }
        return lines
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
        if let orphan = hold?.orphanCharge { lines.append(corrected(orphan)) }
        return lines + payments
    }

    /// What a late report makes of what its hold's orphan was charged.
    private func corrected(_ orphan: Int64) -> String {
        let owed = Int128(row.figures.fee) - Int128(row.figures.allowanceUsed)
        let less = "less the \(Nanocredits(orphan).text) credits that the orphan was charged:"
        return owed >= Int128(orphan)
            ? "\(less) charged \(Nanocredits(row.figures.charge).text) credits"
            : "\(less) charged nothing, and"
                + " \(Nanocredits(Int64(clamping: Int128(orphan) - owed)).text) credits were given back"
    }

    /// Who paid.
    private var payments: [String] {
        var lines: [String] = []
        let figures = row.figures
        for draw in details.draws { lines.append(paid(draw)) }
        if debt > 0 {
            lines.append(
                "no credit was left for \(Nanocredits(debt).text) credits: debt, repaid by the next grant")
        }
        lines.append("balance afterwards \(Nanocredits(figures.balanceAfter).textWithCents) credits")
        if !agrees {
            lines.append("this does not agree with the \(Nanocredits(figures.fee).text) credits recorded")
        }
        return lines
    }

    private func paid(_ draw: Draw) -> String {
        let amount = "\(Nanocredits(draw.amount).text) credits"
        guard let grant = grants[draw.grant] else { return "paid \(amount) from grant \(draw.grant)" }
        let kind = Self.kind(grant).map { "\($0) " } ?? ""
        let source = grant.source.isEmpty ? "" : " (\(grant.source))"
        let expiry = grant.expiresAt.map { ", expires \(Timestamp(microseconds: $0).text)" } ?? ""
        return "paid \(amount) from the \(kind)grant \(draw.grant)\(source)\(expiry)"
    }
}

extension UsageState {
    /// The state as receipts name it.
    fileprivate var word: String {
        switch self {
        case .charged: "charged"
        case .parked: "parked"
        case .settled: "settled"
        case .discarded: "discarded"
        }
    }
}

extension NamedHold {
    fileprivate var json: JSONObject {
        [
            "hold_id": .string(id.text), "state": hadExpired ? "expired" : "settled",
            "released": released.map { .credits($0) } ?? .null,
            "orphan_policy": orphanPolicy.map { .string($0.name) } ?? .null,
            "orphan_charge": orphanCharge.map { .credits($0) } ?? .null,
        ]
    }

    fileprivate var line: String {
        if let orphanPolicy {
            let kept = released.map { ", which had kept \(Nanocredits($0).text) credits" } ?? ""
            return
                "the lease of the hold \(id.text)\(kept) ended without a report: charged by its orphan policy"
                + " \(orphanPolicy.name)"
        }
        if let orphanCharge {
            return "the lease of the hold \(id.text) was over, and its orphan charged"
                + " \(Nanocredits(orphanCharge).text) credits: this is charged what it costs more, or was given back"
                + " what it costs less"
        }
        if hadExpired { return "the lease of the hold \(id.text) was over: charged as a report without one" }
        let amount = released.map { ", which had kept \(Nanocredits($0).text) credits" } ?? ""
        return "settled the hold \(id.text)\(amount)"
    }
}

extension PinnedQuote {
    fileprivate var json: JSONObject {
        [
            "rule_version": .integer(ruleVersion), "catalogue_version": .integer(catalogueVersion),
            "quoted_at": .instant(instant.microseconds), "expires_at": .instant(expiresAt.microseconds),
        ]
    }
}

extension PriceExplanation {
    var json: JSONObject {
        [
            "price": [
                "provider": .string(provider), "model": .string(model), "match": .string(match.rawValue),
                "catalogue_version": .integer(catalogueVersion), "effective_from": .bound(priceFrom),
                "effective_until": .bound(priceUntil), "input_tokens": .integer(inputTokens),
                "input_tokens_above": inputTokensAbove.map { .integer($0) } ?? .null,
                "off_peak": .bool(isOffPeak),
                "service_tier": serviceTier.isEmpty ? "standard" : .string(serviceTier),
                "standard_tier_used": .bool(standardTierUsed),
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
