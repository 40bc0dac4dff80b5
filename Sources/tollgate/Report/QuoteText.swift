// A quote in words and as a document.

import Gateway
import Money
import Pricing
import StrictJSON
import TollgateClient

enum QuoteText {
    static func text(_ quote: Quote, source: CredentialSource) -> String {
        if quote.lines.isEmpty {
            let base = [("base cost", "\(Picodollars(quote.baseCost).text) USD")]
            return facts(base + charge(quote, source) + wallet(quote) + versions(quote), indent: "")
        }
        var lines = Table(
            [("unit", .left), ("quantity", .right), ("USD per unit", .right), ("USD", .right)], indent: "")
        for line in quote.lines {
            lines.add([
                line.unit, Figures.grouped(line.quantity), Picodollars(line.rate).text,
                Picodollars(line.amount).text,
            ])
        }
        lines.rule()
        lines.add(["base cost", "", "", Picodollars(quote.baseCost).text])
        return lines.text + "\n\n"
            + facts(charge(quote, source) + wallet(quote) + versions(quote), indent: "")
    }

    private static func charge(_ quote: Quote, _ source: CredentialSource) -> [(String, String)] {
        var rows: [(String, String)] = []
        if let above = quote.inputTokensAbove {
            rows.append(("long context", "rates above \(Figures.grouped(above)) input tokens"))
        }
        if quote.isOffPeak { rows.append(("hours", "off-peak rates")) }
        if quote.standardTierUsed { rows.append(("note", "no rate for the service tier: the standard rate")) }
        var rule = ""
        switch quote.markup {
        case .ratio(let billionths):
            if let ratio = Ratio(billionths: billionths) { rule = "base cost × \(ratio.text)" }
        case .fixed(let charge): rule = "\(Figures.credits(charge)) credits per request"
        case nil: break
        }
        if quote.minChargeBinds {
            rule += ", at least \(Figures.credits(quote.minCharge)) credits: that binds"
        }
        if !rule.isEmpty { rows.append(("rule", rule)) }
        if quote.allowanceLeft > 0 {
            rows.append(("fee", "\(Figures.credits(quote.fee)) credits"))
            rows.append(
                (
                    "allowance",
                    "pays \(Figures.credits(quote.allowanceUsed)) of it; "
                        + "\(Figures.credits(quote.allowanceLeft)) credits of fees are free this month yet"
                ))
        }
        rows.append(("charge", "\(Figures.credits(quote.charge)) credits"))
        if let other = quote.alternativeCharge {
            let name = source == .platform ? CredentialSource.byok.word : CredentialSource.platform.word
            let free =
                quote.alternativeAllowanceUsed > 0
                ? ", \(Figures.credits(quote.alternativeAllowanceUsed)) more are free" : ""
            rows.append(("as \(name)", "\(Figures.credits(other)) credits\(free)"))
        }
        if let saving = quote.byokSaving {
            rows.append(
                (
                    "own key",
                    saving >= 0
                        ? "saves \(Figures.credits(saving)) credits, the provider's cost counted"
                        : "costs \(Figures.credits(-saving)) credits more, the provider's cost counted"
                ))
        }
        return rows
    }

    private static func wallet(_ quote: Quote) -> [(String, String)] {
        if quote.unlimited { return [("available", "unlimited")] }
        var rows = [
            (
                "available",
                "\(Figures.credits(quote.available)) credits" + (quote.sufficient ? "" : ", not enough")
            ),
            ("afterwards", "\(Figures.credits(quote.availableAfter)) credits"),
        ]
        if let tokens = quote.affordableOutputTokens {
            rows.append(("affordable", "\(Figures.grouped(tokens)) output tokens"))
        }
        return rows
    }

    private static func versions(_ quote: Quote) -> [(String, String)] {
        var rows = [
            ("priced by", "rule version \(quote.ruleVersion), catalogue version \(quote.catalogueVersion)")
        ]
        guard !quote.token.isEmpty else { return rows }
        rows.append(("locked until", Timestamp(microseconds: quote.expiresAtMicroseconds).text))
        rows.append(("token", Hexadecimal.text(quote.token)))
        return rows
    }

    static func json(_ quote: Quote) -> JSONObject {
        var object: JSONObject = [
            "charge": .string(Nanocredits(quote.charge).text), "fee": .string(Nanocredits(quote.fee).text),
            "base_cost_usd": .string(Picodollars(quote.baseCost).text),
            "min_charge": .string(Nanocredits(quote.minCharge).text),
            "min_charge_binds": .bool(quote.minChargeBinds),
            "available": .string(Nanocredits(quote.available).text),
            "available_after": .string(Nanocredits(quote.availableAfter).text),
            "sufficient": .bool(quote.sufficient), "unlimited": .bool(quote.unlimited),
            "affordable_output_tokens": quote.affordableOutputTokens.map { .integer($0) } ?? .null,
            "allowance_used": .string(Nanocredits(quote.allowanceUsed).text),
            "allowance_left": .string(Nanocredits(quote.allowanceLeft).text),
            "standard_tier_used": .bool(quote.standardTierUsed), "off_peak": .bool(quote.isOffPeak),
            "input_tokens_above": quote.inputTokensAbove.map { .integer($0) } ?? .null,
            "rule_version": .integer(quote.ruleVersion),
            "catalogue_version": .integer(quote.catalogueVersion),
        ]
        switch quote.markup {
        case .ratio(let billionths):
            object["markup_ratio"] = Ratio(billionths: billionths).map { .string($0.text) } ?? .null
        case .fixed(let charge): object["markup_fixed"] = .string(Nanocredits(charge).text)
        case nil: break
        }
        object["alternative_charge"] =
            quote.alternativeCharge.map { .string(Nanocredits($0).text) } ?? .null
        object["alternative_allowance_used"] = .string(Nanocredits(quote.alternativeAllowanceUsed).text)
        object["byok_saving"] = quote.byokSaving.map { .string(Nanocredits($0).text) } ?? .null
        object["quote_token"] = quote.token.isEmpty ? .null : .string(Hexadecimal.text(quote.token))
        object["expires_at"] =
            quote.token.isEmpty
            ? .null : .string(Timestamp(microseconds: quote.expiresAtMicroseconds).text)
        object["lines"] = .array(
            quote.lines.map { line in
                [
                    "unit": .string(line.unit), "quantity": .integer(line.quantity),
                    "rate_usd": .string(Picodollars(line.rate).text),
                    "amount_usd": .string(Picodollars(line.amount).text),
                ]
            })
        return object
    }
}
