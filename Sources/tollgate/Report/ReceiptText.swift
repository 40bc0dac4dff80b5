// A receipt in words, and as JSON with exact decimal strings.

import Money
import StrictJSON
import TollgateClient

enum ReceiptText {
    static func text(_ receipt: Receipt, requestID: String) -> String {
        var rows = [("request", requestID)]
        if receipt.state == .discarded {
            rows.append(("discarded", "it was parked, and an administrator has given it up"))
        } else if receipt.state == .parked {
            let reason = receipt.parkedReason.map { "\($0.name): " } ?? ""
            rows.append(("parked", reason + "kept, and charged when it can be priced"))
        } else {
            rows.append(("charge", "\(Figures.credits(receipt.charge)) credits"))
        }
        // What was answered before is told shortly; `tollgate explain` has the rest.
        if receipt.state == .charged, !receipt.duplicate {
            rows.append(("base cost", "\(Picodollars(receipt.baseCost).text) USD"))
            if receipt.allowanceUsed > 0 {
                rows.append(
                    ("allowance", "\(Figures.credits(receipt.allowanceUsed)) credits of the fee were free"))
            }
            rows.append(
                (
                    "priced by",
                    "rule version \(receipt.ruleVersion), catalogue version \(receipt.catalogueVersion)"
                ))
        }
        if let released = receipt.holdReleased {
            rows.append(("hold", "settled, its \(Figures.credits(released)) credits were released"))
        }
        if receipt.orphanCharge > 0 {
            let correction =
                receipt.givenBack > 0
                ? "\(Figures.credits(receipt.givenBack)) of them were given back"
                : "the charge is what it costs more"
            rows.append(
                (
                    "hold",
                    "its lease was over, and \(Figures.credits(receipt.orphanCharge)) credits charged: \(correction)"
                ))
        } else if receipt.holdExpired {
            rows.append(("hold", "its lease was over: charged as a report without one"))
        }
        rows.append(
            ("balance", "\(Figures.credits(receipt.balance)) credits" + (receipt.inDebt ? ", in debt" : "")))
        if receipt.standardTierUsed {
            rows.append(("note", "no rate for the service tier: the standard rate was used"))
        }
        if receipt.duplicate {
            rows.append(("note", "reported before: this is what stands, nothing was charged again"))
        }
        return facts(rows, indent: "")
    }

    static func json(_ receipt: Receipt, requestID: String) -> JSONObject {
        [
            "request_id": .string(requestID),
            "state": .string("\(receipt.state)"),
            "parked_reason": receipt.parkedReason.map { .string("\($0.name)") } ?? .null,
            "duplicate": .bool(receipt.duplicate), "in_debt": .bool(receipt.inDebt),
            "charge": .string(Nanocredits(receipt.charge).text),
            "base_cost_usd": .string(Picodollars(receipt.baseCost).text),
            "allowance_used": .string(Nanocredits(receipt.allowanceUsed).text),
            "balance": .string(Nanocredits(receipt.balance).text),
            "standard_tier_used": .bool(receipt.standardTierUsed),
            "rule_version": .integer(receipt.ruleVersion),
            "catalogue_version": .integer(receipt.catalogueVersion),
            "sequence": .integer(receipt.sequence),
            "hold_state": receipt.holdReleased != nil ? "settled" : receipt.holdExpired ? "expired" : .null,
            "hold_released": receipt.holdReleased.map { .string(Nanocredits($0).text) } ?? .null,
            "orphan_charge": .string(Nanocredits(receipt.orphanCharge).text),
            "given_back": .string(Nanocredits(receipt.givenBack).text),
        ]
    }

    /// One result of a file.
    static func json(_ numbered: RecordFile.Numbered, _ result: ReportResult) -> JSONValue {
        let id = String(decoding: numbered.report.requestID, as: UTF8.self)
        var object: JSONObject
        switch result {
        case .receipt(let receipt): object = json(receipt, requestID: id)
        case .refused(let refusal):
            object = [
                "request_id": .string(id), "state": "refused", "reason": .string(refusal.reason),
                "message": .string(refusal.message), "field": .string(refusal.field),
            ]
        }
        object["line"] = .integer(numbered.line)
        return .object(object)
    }
}
