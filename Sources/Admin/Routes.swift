// The map of the HTTP edge: every path, with its methods and what it does.

import HTTPTypes

/// What can be asked.
enum Endpoint: Hashable, Sendable, CaseIterable {
    case health, ready, metrics, status, books
    case allocate, balance, transactions
    case deduct, refund, voidGrant, correct
    case closeAccount, moveAccount
    case previewBulk, applyBulk, confirmBulk
    case creditAudit
    case allRules, platformRules, platformRule, byokRules, byokRule
    case simulate, simulation, stopSimulation
    case startShadow, showShadow, stopShadow
    case platformHistory, byokHistory, audit
    case applyRules, createBYOKRule, changePlatformRule, changeBYOKRule, deletePlatformRule, deleteBYOKRule
    case deactivatePlatformRule, deactivateBYOKRule, reactivatePlatformRule, reactivateBYOKRule
    case expirePlatformRule, expireBYOKRule, withdrawPlatformRule, withdrawBYOKRule
    case catalogueVersions, catalogueVersion, catalogueFile, catalogueModels, catalogueDiff
    case importCatalogue, approveCatalogue
    case receipt
    case quote, calculatePlatform, calculateBYOK, calculateComparison
    case usageSummary, export
    case parkedUsage, settleParked, discardParked
    case events
    case listBudgets, setBudget, removeBudget
    case openHolds, openHold, settleHold, voidHold, extendHold
    case openAccounts, account, changeAccount

    /// The longest body, or nil where a body means nothing.
    var bodyBytesMax: Int? {
        switch self {
        case .allocate, .changeAccount, .approveCatalogue: AdminLimits.bodyBytesMax
        case .deduct, .refund, .voidGrant, .correct, .closeAccount, .moveAccount: AdminLimits.bodyBytesMax
        case .applyRules, .createBYOKRule, .changePlatformRule, .changeBYOKRule, .withdrawPlatformRule,
            .withdrawBYOKRule, .quote, .calculatePlatform, .calculateBYOK, .calculateComparison,
            .settleParked, .discardParked, .openHold, .settleHold, .voidHold, .extendHold, .setBudget,
            .removeBudget:
            AdminLimits.bodyBytesMax
        case let endpoint where endpoint.isBodyOptional: AdminLimits.bodyBytesMax
        case .importCatalogue, .simulate, .startShadow: AdminLimits.catalogueBodyBytesMax
        case .openAccounts, .previewBulk, .applyBulk: AdminLimits.bulkBodyBytesMax
        case .confirmBulk: AdminLimits.bodyBytesMax
        default: nil
        }
    }

    /// Whether its body is a CSV file and not a document.
    var isFile: Bool { self == .previewBulk || self == .applyBulk }

    /// Whether it can be asked without a body.
    var isBodyOptional: Bool {
        switch self {
        case .deletePlatformRule, .deleteBYOKRule, .deactivatePlatformRule, .deactivateBYOKRule,
            .reactivatePlatformRule, .reactivateBYOKRule, .expirePlatformRule, .expireBYOKRule:
            true
        default: false
        }
    }
}

/// A path and what it leads to. `{}` in a path stands for one segment, `{...}` for all that
/// follow, slashes included. A path may go on after either.
struct Route: Sendable {
    let method: HTTPRequest.Method
    let path: String
    let endpoint: Endpoint

    init(_ method: HTTPRequest.Method, _ path: String, _ endpoint: Endpoint) {
        self.method = method
        self.path = path
        self.endpoint = endpoint
    }

    /// Every route. HEAD is answered wherever GET is.
    static let all: [Route] = [
        Route(.get, "/healthz", .health),
        Route(.get, "/health/liveliness", .health),
        Route(.get, "/health/liveness", .health),
        Route(.get, "/healthcheck", .ready),
        Route(.get, "/readyz", .ready),
        Route(.get, "/health/readiness", .ready),
        Route(.get, "/metrics", .metrics),
        Route(.get, "/api/v1/status", .status),
        Route(.get, "/api/v1/books", .books),
        Route(.post, "/api/v1/credits/allocate", .allocate),
        Route(.post, "/api/v1/credits/deduct", .deduct),
        Route(.post, "/api/v1/credits/refund", .refund),
        Route(.post, "/api/v1/credits/void", .voidGrant),
        Route(.post, "/api/v1/credits/correct", .correct),
        Route(.post, "/api/v1/credits/bulk/preview", .previewBulk),
        Route(.post, "/api/v1/credits/bulk/confirm", .confirmBulk),
        Route(.post, "/api/v1/credits/bulk", .applyBulk),
        Route(.get, "/api/v1/credits/balance", .balance),
        Route(.get, "/api/v1/credits/transactions", .transactions),
        Route(.get, "/api/v1/credits/audit", .creditAudit),
        Route(.get, "/api/v1/pricing/rules", .allRules),
        Route(.post, "/api/v1/pricing/rules/apply", .applyRules),
        Route(.get, "/api/v1/pricing/rules/platform", .platformRules),
        Route(.get, "/api/v1/pricing/rules/platform/{}", .platformRule),
        Route(.put, "/api/v1/pricing/rules/platform/{}", .changePlatformRule),
        Route(.delete, "/api/v1/pricing/rules/platform/{}", .deletePlatformRule),
        Route(.get, "/api/v1/pricing/rules/platform/{}/history", .platformHistory),
        Route(.post, "/api/v1/pricing/rules/platform/{}/deactivate", .deactivatePlatformRule),
        Route(.post, "/api/v1/pricing/rules/platform/{}/reactivate", .reactivatePlatformRule),
        Route(.post, "/api/v1/pricing/rules/platform/{}/expire", .expirePlatformRule),
        Route(.post, "/api/v1/pricing/rules/platform/{}/withdraw", .withdrawPlatformRule),
        Route(.get, "/api/v1/pricing/rules/byok", .byokRules),
        Route(.post, "/api/v1/pricing/rules/byok", .createBYOKRule),
        Route(.get, "/api/v1/pricing/rules/byok/{}", .byokRule),
        Route(.put, "/api/v1/pricing/rules/byok/{}", .changeBYOKRule),
        Route(.delete, "/api/v1/pricing/rules/byok/{}", .deleteBYOKRule),
        Route(.get, "/api/v1/pricing/rules/byok/{}/history", .byokHistory),
        Route(.post, "/api/v1/pricing/rules/byok/{}/deactivate", .deactivateBYOKRule),
        Route(.post, "/api/v1/pricing/rules/byok/{}/reactivate", .reactivateBYOKRule),
        Route(.post, "/api/v1/pricing/rules/byok/{}/expire", .expireBYOKRule),
        Route(.post, "/api/v1/pricing/rules/byok/{}/withdraw", .withdrawBYOKRule),
        Route(.get, "/api/v1/pricing/audit", .audit),
        Route(.get, "/api/v1/pricing/shadow", .showShadow),
        Route(.post, "/api/v1/pricing/shadow", .startShadow),
        Route(.delete, "/api/v1/pricing/shadow", .stopShadow),
        Route(.post, "/api/v1/pricing/simulate", .simulate),
        Route(.get, "/api/v1/pricing/simulate/{}", .simulation),
        Route(.delete, "/api/v1/pricing/simulate/{}", .stopSimulation),
        Route(.get, "/api/v1/pricing/catalogue/versions", .catalogueVersions),
        Route(.get, "/api/v1/pricing/catalogue/versions/{}", .catalogueVersion),
        Route(.get, "/api/v1/pricing/catalogue/file", .catalogueFile),
        Route(.get, "/api/v1/pricing/catalogue/models", .catalogueModels),
        Route(.get, "/api/v1/pricing/catalogue/diff", .catalogueDiff),
        Route(.post, "/api/v1/pricing/catalogue/import", .importCatalogue),
        Route(.post, "/api/v1/pricing/catalogue/approve", .approveCatalogue),
        Route(.get, "/api/v1/receipts/{...}", .receipt),
        Route(.post, "/api/v1/quotes", .quote),
        Route(.post, "/api/v1/pricing/calculate/platform", .calculatePlatform),
        Route(.post, "/api/v1/pricing/calculate/byok", .calculateBYOK),
        Route(.post, "/api/v1/pricing/calculate/comparison", .calculateComparison),
        Route(.get, "/api/v1/usage/summary", .usageSummary),
        Route(.get, "/api/v1/export/{}", .export),
        Route(.get, "/api/v1/usage/parked", .parkedUsage),
        Route(.post, "/api/v1/usage/parked/settle", .settleParked),
        Route(.post, "/api/v1/usage/parked/discard", .discardParked),
        Route(.get, "/api/v1/events", .events),
        Route(.get, "/api/v1/budgets", .listBudgets),
        Route(.put, "/api/v1/budgets", .setBudget),
        Route(.delete, "/api/v1/budgets", .removeBudget),
        Route(.get, "/api/v1/holds", .openHolds),
        Route(.post, "/api/v1/holds", .openHold),
        Route(.post, "/api/v1/holds/{}/settle", .settleHold),
        Route(.post, "/api/v1/holds/{}/void", .voidHold),
        Route(.post, "/api/v1/holds/{}/extend", .extendHold),
        Route(.post, "/api/v1/accounts", .openAccounts),
        Route(.post, "/api/v1/accounts/{...}/close", .closeAccount),
        Route(.post, "/api/v1/accounts/{...}/move", .moveAccount),
        Route(.get, "/api/v1/accounts/{...}", .account),
        Route(.patch, "/api/v1/accounts/{...}", .changeAccount),
        Route(.put, "/api/v1/accounts/{...}", .changeAccount),
    ]

    /// What stands for the placeholder in `path`, still encoded; empty without one, nil if it does not fit.
    func place(in path: String) -> Substring? {
        guard let brace = self.path.firstIndex(of: "{") else { return path == self.path ? "" : nil }
        let prefix = self.path[..<brace]
        guard path.hasPrefix(prefix) else { return nil }
        var rest = path.dropFirst(prefix.count)
        let suffix = self.path[self.path.index(after: self.path.firstIndex(of: "}") ?? brace)...]
        guard rest.hasSuffix(suffix) else { return nil }
        rest = rest.dropLast(suffix.count)
        guard !rest.isEmpty, self.path[brace...].hasPrefix("{...}") || !rest.contains("/") else { return nil }
        return rest
    }

    /// The route of a request, and what its placeholder holds.
    static func find(
        _ method: HTTPRequest.Method, _ path: String
    ) throws(RequestProblem) -> (endpoint: Endpoint, place: [UInt8]) {
        let wanted = method == .head ? .get : method
        var allowed: [String] = []
        for route in all {
            guard let place = route.place(in: path) else { continue }
            if route.method == wanted { return (route.endpoint, try RequestTarget.bytes(place)) }
            allowed.append(route.method.rawValue)
            if route.method == .get { allowed.append(HTTPRequest.Method.head.rawValue) }
        }
        guard !allowed.isEmpty else { throw .noRoute(String(path.prefix(200))) }
        throw .methodNotAllowed(method.rawValue, allowed: allowed)
    }
}
