// What would have been: recorded usage under a draft of the rules or under other prices.
//
//      POST /api/v1/pricing/simulate         {"rules", "catalogue_version" | "catalogue", "since", "until"}
//      GET  /api/v1/pricing/simulate/{n}     how far it is, or what it found
//      DELETE …/{n}                          stops it
//
// The first answers with the report if it is done within `wait_seconds`, and with 202 if not.

import Gateway
import Money
import Pricing
import StrictJSON

extension AdminDesk {
    /// `POST /api/v1/pricing/simulate`.
    func simulate(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["wait_seconds"])
        let wait = try request.integer("wait_seconds", in: 0...60) ?? 10
        let root = try request.document()
        let (draft, rest) = try Self.draft(root, more: ["since", "until", "accounts_limit"])
        let (since, until, accounts) = try AdminRequest.reading { () throws(JSONError) in
            (
                try rest.optional("since")?.timestamp(), try rest.optional("until")?.timestamp(),
                try rest.optional("accounts_limit")?.integer(in: 0...10_000) ?? 20
            )
        }
        if let since, let until, since >= until {
            throw .member("until", problem: "it must be after since")
        }
        let gateway = gateway
        let job = try await reading { () throws(AdministrationError) in
            try gateway.simulate(draft, since: since, until: until, accountsMax: Int(accounts))
        }
        let deadline = ContinuousClock.now + .seconds(wait)
        while job.isRunning, ContinuousClock.now < deadline {
            do {
                try await Task.sleep(for: .milliseconds(20))
            } catch {
                throw .notReady(["the server is stopping"])
            }
        }
        return Self.reply(job)
    }

    /// The draft of a document, which may have `more` members beside.
    static func draft(
        _ root: JSONNode, more: [String]
    ) throws(RequestProblem) -> (draft: WhatIfDraft, root: JSONNode) {
        let (rules, catalogue, version) = try AdminRequest.reading { () throws(JSONError) in
            try root.expectOnly(["rules", "catalogue", "catalogue_version"] + more)
            return (
                try root.optional("rules"), try root.optional("catalogue"),
                try root.optional("catalogue_version")?.integer(in: 1...Int64(UInt32.max))
            )
        }
        guard rules != nil || catalogue != nil || version != nil else {
            throw .member("rules", problem: "name rules, a catalogue, or both: nothing would be another one")
        }
        guard catalogue == nil || version == nil else {
            throw .member("catalogue", problem: "give catalogue or catalogue_version, not both")
        }
        var draft = WhatIfDraft(catalogueVersion: version.map { UInt32($0) })
        if let rules {
            do throws(RuleProblem) {
                draft.rules = try RuleFile(rules)
            } catch {
                throw .rules(error)
            }
        }
        if let catalogue {
            do throws(PricingError) {
                draft.catalogue = try Catalogue(parsing: catalogue.value.bytes(), version: 0)
            } catch {
                throw .pricing(error)
            }
        }
        return (draft, root)
    }

    /// `GET /api/v1/pricing/simulate/{number}`.
    func simulation(_ request: AdminRequest) throws(RequestProblem) -> Reply {
        try request.expectParameters()
        return Self.reply(try job(request))
    }

    /// `DELETE /api/v1/pricing/simulate/{number}`: stops it.
    func stopSimulation(_ request: AdminRequest) throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let job = try job(request)
        job.stop()
        return Self.reply(job)
    }

    private func job(_ request: AdminRequest) throws(RequestProblem) -> SimulationJob {
        guard let number = Int(request.place.text), let job = gateway.simulation(number) else {
            throw .noSimulation(request.place.text)
        }
        return job
    }

    private static func reply(_ job: SimulationJob) -> Reply {
        var object: JSONObject = ["simulation": .integer(job.number)]
        switch job.state {
        case .running(let done, let total):
            object["state"] = "running"
            object["rows_done"] = .integer(done)
            object["rows"] = .integer(total)
        case .finished(let report):
            object["state"] = "finished"
            for member in report.json.members { object[member.key] = member.value }
        case .failed(let problem):
            object["state"] = "failed"
            object["problem"] = .string(problem)
        case .stopped: object["state"] = "stopped"
        }
        var reply = Reply(object)
        if job.isRunning { reply.status = 202 }
        return reply
    }
}

extension SimulationReport {
    /// The report as a document: credits for charges, US dollars for costs and margins, all exact.
    public var json: JSONObject {
        func list(_ groups: [SimulationGroup], _ key: String) -> JSONValue {
            .array(
                groups.map { group in
                    var object: JSONObject = [key: .string(group.name)]
                    for member in json(group.sum).members { object[member.key] = member.value }
                    return .object(object)
                })
        }
        return [
            "total": .object(json(total)), "platform": .object(json(platform)), "byok": .object(json(byok)),
            "tiers": list(tiers, "tier"), "providers": list(providers, "provider"),
            "models": list(models, "model"), "accounts": list(accounts, "account"),
            "account_count": .integer(accountCount), "rows": .integer(rowsRead),
            "seconds": .string(DecimalText.format(Int128(nanoseconds), places: 9)),
            "history_lag": .integer(historyLag), "unreadable": .integer(unreadable),
        ]
    }

    private func json(_ sum: SimulationSum) -> JSONObject {
        let (before, after) = (margin(sum.charge, sum.cost), margin(sum.newCharge, sum.newCost))
        return [
            "records": .integer(sum.records), "changed": .integer(sum.changed),
            "parked_before": .integer(sum.parkedBefore), "parked_after": .integer(sum.parkedAfter),
            "refused_after": .integer(sum.refusedAfter), "charge_before": .wideCredits(sum.charge),
            "charge_after": .wideCredits(sum.newCharge),
            "charge_change": .wideCredits(sum.newCharge - sum.charge),
            "allowance_before": .wideCredits(sum.fee - sum.charge),
            "allowance_after": .wideCredits(sum.newFee - sum.newCharge),
            "cost_usd_before": .string(DecimalText.format(sum.cost, places: 12)),
            "cost_usd_after": .string(DecimalText.format(sum.newCost, places: 12)),
            "margin_usd_before": Self.margin(before), "margin_usd_after": Self.margin(after),
            "margin_usd_change": Self.margin(after - before),
        ]
    }

    /// Charge less cost in 10^-21 dollars, which is exact whatever a credit is worth.
    private func margin(_ charge: Int128, _ cost: Int128) -> Int128 {
        charge * Int128(creditValue.picodollarsPerCredit) - cost * 1_000_000_000
    }

    private static func margin(_ amount: Int128) -> JSONValue {
        .string(DecimalText.format(amount, places: 21, decimalsMin: 2))
    }
}
