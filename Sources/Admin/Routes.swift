// The map of the HTTP edge: every path, with its methods and what it does.

import HTTPTypes

/// What can be asked.
enum Endpoint: Hashable, Sendable, CaseIterable {
    case health, ready, metrics, status, books
    case allocate, balance, transactions
    case platformRules, platformRule, byokRules, byokRule
    case catalogueVersions, catalogueVersion, catalogueFile, catalogueModels, catalogueDiff
    case importCatalogue, approveCatalogue
    case receipt
    case quote, calculatePlatform, calculateBYOK, calculateComparison
    case parkedUsage, settleParked, discardParked
    case openAccounts, account, changeAccount

    /// The longest body, or nil where a body means nothing.
    var bodyBytesMax: Int? {
        switch self {
        case .allocate, .changeAccount, .approveCatalogue: AdminLimits.bodyBytesMax
        case .quote, .calculatePlatform, .calculateBYOK, .calculateComparison, .settleParked, .discardParked:
            AdminLimits.bodyBytesMax
        case .importCatalogue: AdminLimits.catalogueBodyBytesMax
        case .openAccounts: AdminLimits.bulkBodyBytesMax
        default: nil
        }
    }
}

/// A path and what it leads to. `{}` in a path stands for one segment, `{...}` at its end for all that
/// follow, slashes included.
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
        Route(.get, "/api/v1/credits/balance", .balance),
        Route(.get, "/api/v1/credits/transactions", .transactions),
        Route(.get, "/api/v1/pricing/rules/platform", .platformRules),
        Route(.get, "/api/v1/pricing/rules/platform/{}", .platformRule),
        Route(.get, "/api/v1/pricing/rules/byok", .byokRules),
        Route(.get, "/api/v1/pricing/rules/byok/{}", .byokRule),
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
        Route(.get, "/api/v1/usage/parked", .parkedUsage),
        Route(.post, "/api/v1/usage/parked/settle", .settleParked),
        Route(.post, "/api/v1/usage/parked/discard", .discardParked),
        Route(.post, "/api/v1/accounts", .openAccounts),
        Route(.get, "/api/v1/accounts/{...}", .account),
        Route(.patch, "/api/v1/accounts/{...}", .changeAccount),
        Route(.put, "/api/v1/accounts/{...}", .changeAccount),
    ]

    /// What stands for the placeholder in `path`, still encoded; empty without one, nil if it does not fit.
    func place(in path: String) -> Substring? {
        guard let brace = self.path.firstIndex(of: "{") else { return path == self.path ? "" : nil }
        let prefix = self.path[..<brace]
        guard path.hasPrefix(prefix) else { return nil }
        let rest = path.dropFirst(prefix.count)
        guard !rest.isEmpty, self.path.hasSuffix("{...}") || !rest.contains("/") else { return nil }
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
