// A draft that counts beside live traffic: `POST`, `GET` and `DELETE /api/v1/pricing/shadow`.

import Gateway
import Pricing
import StrictJSON

extension AdminDesk {
    /// `POST /api/v1/pricing/shadow?by=`: `{"rules", "catalogue_version" | "catalogue"}`.
    func startShadow(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["by"])
        let actor = try request.changer()
        let (draft, _) = try Self.draft(try request.document(), more: [])
        let gateway = gateway
        let shadow = try await reading { () throws(AdministrationError) in
            try gateway.startShadow(draft, actor: actor)
        }
        logger.info("shadow started", metadata: ["request_id": "\(request.id)", "by": "\(actor)"])
        var reply = Reply(shadow.json(isCounting: true))
        reply.status = 201
        return reply
    }

    /// `GET /api/v1/pricing/shadow`: what was counted so far.
    func showShadow(_ request: AdminRequest) throws(RequestProblem) -> Reply {
        try request.expectParameters()
        guard let shadow = gateway.shadow else { throw .noShadow }
        return Reply(shadow.json(isCounting: true))
    }

    /// `DELETE /api/v1/pricing/shadow?by=`: ends it, and says what was counted.
    func stopShadow(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["by"])
        let actor = try request.changer()
        let gateway = gateway
        let shadow = try await reading { () throws(AdministrationError) in
            try gateway.stopShadow(actor: actor)
        }
        guard let shadow else { throw .noShadow }
        logger.info("shadow stopped", metadata: ["request_id": "\(request.id)", "by": "\(actor)"])
        return Reply(shadow.json(isCounting: false))
    }
}

extension Shadow {
    /// The report: fees before the monthly allowance, live against draft.
    fileprivate func json(isCounting: Bool) -> JSONObject {
        let rows = rows
        var total = ShadowSum()
        for row in rows {
            total.records += row.sum.records
            total.liveFee += row.sum.liveFee
            total.draftFee += row.sum.draftFee
            total.refused += row.sum.refused
        }
        var object: JSONObject = [
            "counting": .bool(isCounting), "started_at": .string(startedAt.text),
            "started_by": .string(actor), "made_from_version": .integer(madeFromVersion),
            "survives_restart": false, "total": .object(total.json),
        ]
        object["rows"] = .array(
            rows.map { row in
                var object: JSONObject = [
                    "rule_type": .string(RuleKind(row.source).rawValue), "tier": .word(row.tier),
                    "provider": .word(row.provider),
                ]
                for member in row.sum.json.members { object[member.key] = member.value }
                return .object(object)
            })
        return object
    }
}

extension ShadowSum {
    fileprivate var json: JSONObject {
        [
            "records": .integer(records), "refused_by_draft": .integer(refused),
            "fees_live": .wideCredits(liveFee), "fees_draft": .wideCredits(draftFee),
            "fees_change": .wideCredits(draftFee - liveFee),
        ]
    }
}
