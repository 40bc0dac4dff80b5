// Budgets over HTTP.
//
//      set:     PUT    /api/v1/budgets    {"user_id", "name", "window", "metric", "limit", "hard", "provider",
//                                         "model", "anchor_day", "by", "reason"}
//      list:    GET    /api/v1/budgets?account=
//      remove:  DELETE /api/v1/budgets    {"user_id", "name", "by", "reason"}
//
// A limit is credits for `cost`, and a whole number for `tokens` and `requests`.

import Gateway
import Ledger
import Money
import Pricing
import StrictJSON
import Wire

extension AdminDesk {
    /// `GET /api/v1/budgets`: those on the account's way up, its own first.
    func listBudgets(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["account", "user_id"])
        guard let account = try request.account() else {
            throw .badParameter("account", found: "", expected: "the account's path")
        }
        let budgets: [BudgetStanding]
        do throws(AdministrationError) {
            budgets = try await gateway.budgets(of: account.path)
        } catch {
            throw RequestProblem(error, account: account.name)
        }
        return Reply([
            "user_id": .string(account.path.text), "budgets": .array(budgets.map { .object($0.json) }),
        ])
    }

    /// `PUT /api/v1/budgets`.
    func setBudget(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let root = try request.document()
        let (account, terms, note) = try AdminRequest.reading { () throws(JSONError) in
            try root.expectOnly(
                [
                    "user_id", "account", "name", "window", "metric", "limit", "hard", "provider", "model",
                    "anchor_day", "by", "reason",
                ])
            return (try root.account(), try Self.terms(root), try ActNote(root))
        }
        do throws(AdministrationError) {
            let receipt = try await gateway.setBudget(
                terms, of: account.path, actor: Array(note.actor.utf8), reason: Array(note.reason.utf8))
            let budgets = try await gateway.budgets(of: account.path)
            let own = budgets.first { $0.account == account.path && $0.terms.name == terms.name }
            var object = own?.json ?? JSONObject()
            object["sequence"] = .integer(receipt.sequence)
            return Reply(object)
        } catch {
            throw RequestProblem(error, account: account.name)
        }
    }

    /// `DELETE /api/v1/budgets`.
    func removeBudget(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let root = try request.document()
        let (account, name, note) = try AdminRequest.reading { () throws(JSONError) in
            try root.expectOnly(["user_id", "account", "name", "by", "reason"])
            return (
                try root.account(), try root.field("name").words(bytesMax: BudgetLimits.nameBytesMax),
                try ActNote(root)
            )
        }
        do throws(AdministrationError) {
            let receipt = try await gateway.removeBudget(
                Array(name.utf8), of: account.path, actor: Array(note.actor.utf8),
                reason: Array(note.reason.utf8))
            return Reply([
                "user_id": .string(account.path.text), "name": .string(name), "removed": true,
                "sequence": .integer(receipt.sequence),
            ])
        } catch {
            throw RequestProblem(error, account: account.name)
        }
    }

    private static func terms(_ root: JSONNode) throws(JSONError) -> BudgetTerms {
        let windowNode = try root.field("window")
        let windowWord = try windowNode.string()
        guard let window = BudgetWindow.allCases.first(where: { $0.name == windowWord }) else {
            throw windowNode.invalid(
                "it is one of \(BudgetWindow.allCases.map(\.name).joined(separator: ", "))")
        }
        let metricNode = try root.field("metric")
        let metricWord = try metricNode.string()
        guard let metric = BudgetMetric.allCases.first(where: { $0.name == metricWord }) else {
            throw metricNode.invalid(
                "it is one of \(BudgetMetric.allCases.map(\.name).joined(separator: ", "))")
        }
        let limitNode = try root.field("limit")
        let limit =
            metric == .cost
            ? try limitNode.credits(signed: false).count : try limitNode.integer(in: 0...Int64.max)
        var terms = BudgetTerms(
            name: Array(try root.field("name").words(bytesMax: BudgetLimits.nameBytesMax).utf8),
            window: window, metric: metric, limit: limit, isHard: try root.optional("hard")?.bool() ?? false)
        if let node = try root.optional("anchor_day") {
            guard window == .anchoredMonth else {
                throw node.invalid("it goes with the window anchored_month")
            }
            terms.anchorDay = UInt8(try node.integer(in: 1...31))
        } else if window == .anchoredMonth {
            throw windowNode.invalid("give anchor_day, the day of the month it begins on, 1 to 31")
        }
        if let node = try root.optional("provider") {
            terms.provider = Array(try node.words(bytesMax: WireLimits.providerBytesMax).utf8)
        }
        if let node = try root.optional("model") {
            terms.model = Array(try node.words(bytesMax: WireLimits.modelBytesMax).utf8)
        }
        return terms
    }
}

extension BudgetStanding {
    fileprivate var json: JSONObject {
        func amount(_ value: Int64) -> JSONValue { terms.metric == .cost ? .credits(value) : .wide(value) }
        let left = Int128(terms.limit) - Int128(used) - Int128(held)
        var object: JSONObject = [
            "user_id": .string(account.text), "name": .string(terms.name.text),
            "window": .string(terms.window.name), "metric": .string(terms.metric.name),
            "limit": amount(terms.limit), "used": amount(used), "held": amount(held),
            "left": amount(Int64(clamping: left)), "hard": .bool(terms.isHard),
            "provider": terms.provider.isEmpty ? .null : .string(terms.provider.text),
            "model": terms.model.isEmpty ? .null : .string(terms.model.text),
        ]
        if terms.window == .anchoredMonth { object["anchor_day"] = .integer(terms.anchorDay) }
        object["window_start"] = terms.window == .total ? .null : .instant(windowStart.microseconds)
        object["window_end"] = terms.window == .total ? .null : .instant(windowEnd.microseconds)
        return object
    }
}
