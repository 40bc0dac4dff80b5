// Parked usage over HTTP: what could not be priced, and what becomes of it.
//
//      list:     GET  /api/v1/usage/parked?account=&provider=&model=&reason=&since=&until=&limit=&cursor=
//      settle:   POST /api/v1/usage/parked/settle     {"request_id", "reason", "by"}, with "usage" to correct it
//      discard:  POST /api/v1/usage/parked/discard    {"request_id", "reason", "by"}
//
// Instead of a request id, settle and discard take "all": true with the filters of the list, a page at a time;
// `next_cursor` goes on. With "dry_run": true settle says what it would charge, and changes nothing.

import Gateway
import Ledger
import Logging
import Pricing
import Store
import StrictJSON
import Wire

extension AdminDesk {
    private static let filterKeys = [
        "account", "user_id", "provider", "model", "parked_reason", "since", "until", "limit", "cursor",
    ]

    /// `GET /api/v1/usage/parked`: what is open, oldest first. Waits for the history to hold what was
    /// reported before, `AdminLimits.receiptWait` at the most.
    func parkedUsage(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters([
            "account", "user_id", "provider", "model", "reason", "since", "until", "limit", "cursor",
        ])
        var filter = ParkedFilter()
        filter.account = try request.account()?.path.text
        filter.provider = request.parameter("provider")
        filter.model = request.parameter("model")
        filter.reason = request.parameter("reason")
        filter.since = try request.instant("since")?.microseconds
        filter.until = try request.instant("until")?.microseconds
        filter.limit =
            try request.integer("limit", in: 1...AdminLimits.pageRowsMax) ?? AdminLimits.pageRowsDefault
        filter.after = Int64(try request.integer("cursor", in: 1...Int.max) ?? 0)
        try await catchUp()
        let (gateway, wanted) = (gateway, filter)
        let (page, figures) = try await reading { () throws(AdministrationError) in
            (try gateway.parked(wanted), try gateway.parkedFigures())
        }
        var object: JSONObject = [
            "parked": .array(page.rows.map { .object($0.parkedJSON) }),
            "open": .integer(figures.count), "next_cursor": page.next.map { .wide($0) } ?? .null,
            "history_lag": .integer(gateway.historyLag),
        ]
        var reasons = JSONObject()
        for (reason, count) in figures.byReason.sorted(by: { $0.key < $1.key }) {
            reasons[reason] = .integer(count)
        }
        object["open_by_reason"] = .object(reasons)
        object["valued_at"] = .credits(Int64(clamping: figures.valuedAt))
        object["oldest_recorded_at"] = figures.oldestRecordedAt.map { .instant($0) } ?? .null
        return Reply(object)
    }

    /// `POST /api/v1/usage/parked/settle`.
    func settleParked(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try await endParked(request, .settle)
    }

    /// `POST /api/v1/usage/parked/discard`.
    func discardParked(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try await endParked(request, .discard)
    }

    private func endParked(
        _ request: AdminRequest, _ action: ParkedAction
    ) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let demand = try Demand(request, action)
        try await catchUp()
        let (gateway, order) = (gateway, demand.order)
        let ended: (results: ParkedResults, mark: AnswerMark)
        if let id = demand.requestID {
            let organisation = demand.organisation
            let one = try await reading { () throws(AdministrationError) in
                try gateway.endParked(order, requestID: id, organisation: organisation)
            }
            guard let one else { throw .noParked }
            ended = (ParkedResults(results: [one.result], next: nil), one.mark)
        } else {
            let filter = demand.filter
            ended = try await reading { () throws(AdministrationError) in
                try gateway.endParked(order, filter)
            }
        }
        await gateway.durable(ended.mark)
        log(ended.results, demand, request)
        return Reply(Self.document(ended.results, order.action))
    }

    private func log(_ ended: ParkedResults, _ demand: Demand, _ request: AdminRequest) {
        guard demand.order.action != .preview else { return }
        logger.info(
            "parked usage ended",
            metadata: [
                "request_id": "\(request.id)", "action": "\(demand.order.action)",
                "by": "\(demand.order.actor)", "reason": "\(demand.order.reason)",
                "records": "\(ended.results.count)",
            ])
    }

    /// A result for each record, and their sums.
    private static func document(_ ended: ParkedResults, _ action: ParkedAction) -> JSONObject {
        var charged: Int128 = 0
        var counts: [String: Int] = [:]
        let results = ended.results.map { result -> JSONValue in
            let object = result.json(action)
            if case .done(let receipt) = result.answer { charged += Int128(receipt.charge) }
            if case .string(let word)? = object["result"] { counts[word, default: 0] += 1 }
            return .object(object)
        }
        var sums = JSONObject()
        for (word, count) in counts.sorted(by: { $0.key < $1.key }) { sums[word] = .integer(count) }
        return [
            "results": .array(results), "counts": .object(sums),
            "charged": .credits(Int64(clamping: charged)), "dry_run": .bool(action == .preview),
            "next_cursor": ended.next.map { .wide($0) } ?? .null,
        ]
    }

    /// What is asked to be ended.
    private struct Demand {
        var order: ParkedOrder
        var requestID: [UInt8]?
        var organisation: [UInt8]?
        var filter = ParkedFilter()

        init(_ request: AdminRequest, _ action: ParkedAction) throws(RequestProblem) {
            let root = try request.document()
            self = try AdminRequest.reading { () throws(JSONError) -> Demand in
                try root.expectOnly(
                    ["request_id", "organisation", "usage", "reason", "by", "dry_run", "all"]
                        + AdminDesk.filterKeys)
                let isDry = try root.optional("dry_run")?.bool() ?? false
                if isDry, action == .discard {
                    throw root.invalid(
                        "discard has no dry_run: the list of parked usage shows what it would end")
                }
                var order = ParkedOrder(
                    isDry ? .preview : action,
                    reason: try root.field("reason").words(bytesMax: AdminLimits.reasonBytesMax),
                    actor: try root.field("by").words(bytesMax: AdminLimits.actorBytesMax))
                if let usage = try root.optional("usage") {
                    guard action == .settle else { throw usage.invalid("what is discarded has no usage") }
                    try usage.expectOnly(UsageDocument.countKeys)
                    order.correction = try UsageDocument.usage(usage)
                }
                return try Demand(root, order)
            }
        }

        private init(_ root: JSONNode, _ order: ParkedOrder) throws(JSONError) {
            self.order = order
            let all = try root.optional("all")
            if let node = try root.optional("request_id") {
                if let all { throw all.invalid("give request_id, or all with filters, not both") }
                requestID = Array(try node.words(bytesMax: WireLimits.idBytesMax).utf8)
                organisation = try root.optional("organisation").map { (node) throws(JSONError) in
                    Array(try node.string().utf8)
                }
                for key in AdminDesk.filterKeys {
                    if let node = try root.optional(key) {
                        throw node.invalid("a filter goes with all, not with request_id")
                    }
                }
                return
            }
            guard let all, try all.bool() else {
                throw root.invalid("name a request_id, or say \"all\": true and give filters")
            }
            if order.correction != nil {
                throw all.invalid("a correction is for one request: name its request_id")
            }
            let named = (try root.optional("user_id"), try root.optional("account"))
            if named.0 != nil || named.1 != nil { filter.account = try root.account().path.text }
            filter.provider = try root.optional("provider")?.string()
            filter.model = try root.optional("model")?.string()
            filter.reason = try root.optional("parked_reason")?.string()
            filter.since = try Self.instant(root, "since")
            filter.until = try Self.instant(root, "until")
            filter.limit = Int(
                try root.optional("limit")?.integer(in: 1...Int64(AdminLimits.pageRowsMax))
                    ?? Int64(AdminLimits.pageRowsMax))
            if let node = try root.optional("cursor") {
                guard let cursor = Int64(try node.string()), cursor > 0 else {
                    throw node.invalid("it is the next_cursor of the page before")
                }
                filter.after = cursor
            }
        }

        private static func instant(_ root: JSONNode, _ key: String) throws(JSONError) -> Int64? {
            guard let node = try root.optional(key) else { return nil }
            guard let instant = Timestamp(text: try node.string()) else {
                throw node.invalid("it is an instant such as 2025-01-31T00:00:00Z")
            }
            return instant.microseconds
        }
    }
}

extension UsageRow {
    /// A parked row as a document.
    fileprivate var parkedJSON: JSONObject {
        [
            "id": .wide(id), "request_id": requestName, "user_id": .string(account), "tier": .word(tier),
            "credential_source": source, "provider": .string(provider), "model": .string(model),
            "service_tier": .string(serviceTier), "parked_reason": parkedReason.map { .string($0) } ?? .null,
            "valued_at": holdReleased.map { .credits($0) } ?? .null,
            "metadata": .object(metadata), "event_time": .instant(figures.eventTime),
            "recorded_at": .instant(figures.recordedAt), "sequence": .integer(figures.sequence),
        ]
    }
}

extension ParkedResult {
    /// What became of the record.
    fileprivate func json(_ action: ParkedAction) -> JSONObject {
        var object: JSONObject = [
            "request_id": row.requestName, "user_id": .string(row.account),
            "provider": .string(row.provider), "model": .string(row.model),
            "event_time": .instant(row.figures.eventTime), "parked_sequence": .integer(row.figures.sequence),
        ]
        switch answer {
        case .done(let receipt):
            object["result"] =
                switch action {
                case .settle: "settled"
                case .preview: "would_settle"
                case .discard: "discarded"
                }
            object["charge"] = .credits(receipt.charge)
            object["balance"] = .credits(receipt.balance)
            if action != .discard {
                object["base_cost_usd"] = .dollars(receipt.baseCost)
                object["allowance_used"] = .credits(receipt.allowanceUsed)
                object["rule_version"] = .integer(receipt.ruleVersion)
                object["catalogue_version"] = .integer(receipt.catalogueVersion)
            }
            if action != .preview { object["sequence"] = .integer(receipt.sequence) }
        case .ended(let outcome):
            object["result"] = outcome.state == .discarded ? "discarded_before" : "settled_before"
            object["charge"] = .credits(outcome.charge)
            object["sequence"] = .integer(outcome.sequence)
        case .stillParked(let refusal):
            object["result"] = "parked"
            object["reason"] = .string(refusal.reason.text)
            object["field"] = .string("\(refusal.field.name)")
            object["message"] = .string(refusal.message)
        case .refused(let refusal):
            object["result"] = "refused"
            object["reason"] = .string(refusal.reason.text)
            object["message"] = .string(refusal.message)
        case .askHistory:
            object["result"] = "refused"
            object["reason"] = .string(Reason.overloaded.text)
        }
        return object
    }
}
