// Why a request is not carried out, as values, and the one place where that becomes words and a status.
//
//      {"error": {"message", "type", "code", "param", "request_id", "metadata": {}}}
//
// The shape is OpenAI's, because clients parse it. `code` is the stable reason: the ledger's own word
// where the ledger refused, else one of the words below.

import CSV
import Gateway
import HTTPTypes
import Ledger
import Pricing
import Store
import StrictJSON
import Wire

/// Why a request is answered with an error.
enum RequestProblem: Error, Sendable {
    /// The bytes were no HTTP request.
    case notHTTP
    case badTarget(String)
    case parameterTwice(String)
    case unknownParameter(String, known: [String])
    case missingParameter(String)
    case badParameter(String, found: String, expected: String)
    case badHeader(String, problem: String)
    /// Not a path of this server.
    case noRoute(String)
    case methodNotAllowed(String, allowed: [String])
    case foreignHost(String)
    case foreignSite(header: String, value: String)
    case notJSON(contentType: String?)
    case bodyTooLong(bytesMax: Int)
    case json(JSONError)
    /// A member of the document that is well-formed and not allowed.
    case member(String, problem: String)
    case noRule(String)
    case noReceipt(lag: UInt64)
    case noParked
    case notReady([String])
    /// As many of these are being read as may be.
    case busy(String)
    /// The gateway said no; `account` is what the request called its account.
    case refused(Refusal, account: String)
    case path(AccountPath.Fault, param: String)
    case store(StoreError)
    /// A price list that is refused.
    case pricing(PricingError)
    /// Rules that are not changed as it was asked.
    case rules(RuleProblem)
    /// One of these runs already.
    case running(String)
    case noSimulation(String)
    case noShadow
    case noCatalogue(UInt32)
    case noModel(String)
    case catalogueChanged(CatalogueConflict)
    /// An act on credit that is not done as it was asked.
    case act(ActProblem, account: String)
    case noCharge(lag: UInt64)
    /// A CSV file that cannot be read as a whole; nothing of it was done.
    case badFile(BadLine)
    case noPreview(String)
    case notCSV(contentType: String?)
    case nothingCharged(UsageState)
    /// What would explain a charge was let go.
    case letGo

    init(_ error: AdministrationError, account: String) {
        switch error {
        case .refused(let refusal): self = .refused(refusal, account: account)
        case .path(let fault): self = .path(fault, param: account)
        case .store(let error): self = .store(error)
        case .pricing(let error): self = .pricing(error)
        case .rules(let problem): self = .rules(problem)
        case .busy(let thing): self = .running(thing)
        case .noCatalogue(let number): self = .noCatalogue(number)
        case .catalogueChanged(let conflict): self = .catalogueChanged(conflict)
        case .act(let problem): self = .act(problem, account: account)
        case .noCharge(let lag): self = .noCharge(lag: lag)
        case .nothingCharged(let state): self = .nothingCharged(state)
        case .letGo: self = .letGo
        }
    }
}

extension RequestProblem {
    /// What an error says, whatever its case.
    struct Account {
        var status: Int
        var code: String
        var message: String
        var param: String?
        var metadata = JSONObject()
        var retryAfterMilliseconds: UInt32 = 0
        var allow: [String] = []
    }

    /// The fault to be logged; nil where the client is at fault and is told so.
    var fault: String? {
        if case .store(let error) = self { return "\(error)" }
        return nil
    }

    /// The answer that says it.
    func reply(requestID: String) -> Reply {
        var account = account
        if account.retryAfterMilliseconds > 0 {
            account.metadata["retry_after_ms"] = .integer(account.retryAfterMilliseconds)
        }
        let error: JSONObject = [
            "message": .string(account.message), "type": .string(Self.type(account.status)),
            "code": .string(account.code), "param": account.param.map { .string($0) } ?? .null,
            "request_id": .string(requestID), "metadata": .object(account.metadata),
        ]
        var fields: [(HTTPField.Name, String)] = []
        if account.retryAfterMilliseconds > 0 {
            fields.append((.retryAfter, String((account.retryAfterMilliseconds - 1) / 1_000 + 1)))
        }
        if !account.allow.isEmpty { fields.append((.allow, account.allow.joined(separator: ", "))) }
        return Reply(
            status: account.status, body: JSONValue.object(["error": .object(error)]).bytes(), fields: fields,
            requestID: requestID)
    }

    var account: Account {
        switch self {
        case .notHTTP, .badTarget, .parameterTwice, .unknownParameter, .missingParameter, .badParameter,
            .badHeader, .json, .member, .path:
            invalidArgument
        case .act(let problem, let name): Self.account(problem, accountName: name)
        case .noCharge(let lag): Self.noCharge(lag)
        case .badFile(let fault):
            Account(
                status: 400, code: Reason.invalidArgument.text,
                message: "\(fault.text); nothing of the file was done", param: "file",
                metadata: ["line": .integer(fault.line)])
        case .noPreview(let digest):
            Account(
                status: 404, code: "PREVIEW_NOT_FOUND",
                message: "no preview with the digest \(digest.prefix(64)) is kept: previews are kept for some"
                    + " minutes, and until a restart; upload the file again", param: "digest")
        case .notCSV(let found):
            Account(
                status: 415, code: "UNSUPPORTED_MEDIA_TYPE",
                message: "the body must come with content-type text/csv, "
                    + (found.map { "found \($0.prefix(200))" } ?? "there is no content-type"),
                param: "content-type")
        case .nothingCharged(let state): Self.nothingCharged(state)
        case .letGo:
            Account(
                status: 410, code: "RECORD_LET_GO",
                message: "the record of this request is older than history.retention_days and was let go; its"
                    + " charge stands in GET /api/v1/credits/transactions?reference=", param: "request_id")
        case .noRoute(let path):
            Account(
                status: 404, code: "NOT_FOUND",
                message: "there is nothing at \(path); GET /api/v1/status shows that the server is this one")
        case .methodNotAllowed(let method, let allowed):
            Account(
                status: 405, code: "METHOD_NOT_ALLOWED",
                message: "\(method) is not done here; use \(allowed.joined(separator: " or "))",
                allow: allowed)
        case .foreignHost(let host):
            Account(
                status: 403, code: "PERMISSION_DENIED",
                message: "the request is for \(JSONValue.string(host).text), which is no name of this server;"
                    + " use localhost or 127.0.0.1, or add the name to its settings", param: "host")
        case .foreignSite(let header, let value):
            Account(
                status: 403, code: "PERMISSION_DENIED",
                message:
                    "a browser sent this from another site (\(header): \(value.prefix(200))), which may not"
                    + " ask anything here", param: header)
        case .notJSON(let found):
            Account(
                status: 415, code: "UNSUPPORTED_MEDIA_TYPE",
                message: "the body must come with content-type application/json, "
                    + (found.map { "found \($0.prefix(200))" } ?? "there is no content-type"),
                param: "content-type")
        case .bodyTooLong(let bytesMax):
            Account(
                status: 413, code: "PAYLOAD_TOO_LARGE",
                message: "the body is longer than the \(bytesMax) bytes allowed here; send it in parts",
                metadata: ["limit": .integer(bytesMax)])
        case .noRule(let name):
            Account(
                status: 404, code: "RULE_NOT_FOUND",
                message:
                    "no rule \(JSONValue.string(name).text) is in force; the list of rules names them all")
        case .noReceipt(let lag): noReceipt(lag)
        case .noParked:
            Account(
                status: 404, code: "PARKED_NOT_FOUND",
                message:
                    "no usage was parked under this request id; the list of parked usage names what is open",
                param: "request_id")
        case .notReady(let reasons):
            Account(
                status: 503, code: Reason.notReady.text, message: reasons.joined(separator: "; "),
                metadata: ["reasons": .array(reasons.map { .string($0) })], retryAfterMilliseconds: 1_000)
        case .busy(let things):
            Account(
                status: 503, code: Reason.overloaded.text,
                message: "\(things) are being read already; send this one again in a moment",
                retryAfterMilliseconds: 1_000)
        case .running(let thing):
            Account(
                status: 503, code: Reason.overloaded.text,
                message: "\(thing) is running already; stop it or wait for its end",
                retryAfterMilliseconds: 5_000)
        case .noShadow:
            Account(
                status: 404, code: "SHADOW_NOT_FOUND",
                message: "no draft counts beside live traffic; one ends with the process, too")
        case .noSimulation(let name):
            Account(
                status: 404, code: "SIMULATION_NOT_FOUND",
                message:
                    "there is no simulation \(JSONValue.string(name).text): the last few are remembered, until a"
                    + " restart")
        case .pricing(let error):
            Account(
                status: 422, code: "INVALID_CATALOGUE", message: "\(error)", metadata: Self.metadata(error))
        case .noCatalogue(let number):
            Account(
                status: 404, code: "CATALOGUE_NOT_FOUND",
                message: "there is no catalogue version \(number); the list of versions names them all")
        case .noModel(let name):
            Account(
                status: 404, code: "MODEL_NOT_FOUND",
                message:
                    "no model of the catalogue has the name \(JSONValue.string(name).text), neither as its own,"
                    + " nor as an alias, nor by a pattern")
        case .catalogueChanged(let conflict): Self.account(conflict)
        case .rules(let problem): Self.account(problem)
        case .refused(let refusal, let name): Self.account(refusal, accountName: name)
        case .store(.retryLater):
            Account(
                status: 503, code: Reason.overloaded.text,
                message: "the database is busy or its disk is full; nothing was lost, ask again",
                retryAfterMilliseconds: 1_000)
        case .store:
            Account(
                status: 500, code: "INTERNAL",
                message:
                    "the server could not read what it has stored; its log says more under this request_id")
        }
    }

    /// The cases where the request itself is malformed.
    private var invalidArgument: Account {
        var message = ""
        var param: String?
        switch self {
        case .notHTTP: message = "this is not a request of HTTP/1.1 that can be read without guessing"
        case .badTarget(let problem): message = "the target of the request: \(problem)"
        case .parameterTwice(let name):
            (message, param) = ("the parameter \(JSONValue.string(name).text) is there twice", name)
        case .unknownParameter(let name, let known):
            let names = known.isEmpty ? "there are none" : "known are \(known.joined(separator: ", "))"
            (message, param) = (
                "the parameter \(JSONValue.string(name).text) is not known here; \(names)", name
            )
        case .missingParameter(let name): (message, param) = ("the parameter \(name) is missing", name)
        case .badParameter(let name, let found, let expected):
            message =
                "\(name): expected \(expected), found \(JSONValue.string(String(found.prefix(80))).text)"
            param = name
        case .badHeader(let name, let problem): (message, param) = ("the header \(name): \(problem)", name)
        case .json(let error): (message, param) = ("\(error)", Self.param(error))
        case .member(let name, let problem): (message, param) = ("\(name): \(problem)", name)
        case .path(let fault, let name): (message, param) = ("\(name): \(fault)", name)
        default: break
        }
        return Account(
            status: Reason.invalidArgument.httpStatus, code: Reason.invalidArgument.text, message: message,
            param: param, metadata: place)
    }

    /// Where in a document that is not JSON, for programs.
    private var place: JSONObject {
        guard case .json(.syntax(let line, let column, let offset, _, _)) = self else { return [:] }
        return ["line": .integer(line), "column": .integer(column), "offset": .integer(offset)]
    }

    static func param(_ error: JSONError) -> String? {
        switch error {
        case .missing(let path, let key), .unknownKey(let path, let key, _):
            path.appending(.key(key)).description
        default: error.path.flatMap { $0.steps.isEmpty ? nil : $0.description }
        }
    }

    /// The entries at fault, for programs.
    private static func metadata(_ error: PricingError) -> JSONObject {
        guard case .invalidEntries(let findings) = error else { return [:] }
        let shown = findings.prefix(AdminLimits.findingsMax)
        return [
            "findings_count": .integer(findings.count), "findings": .array(shown.map { .object($0.json) }),
        ]
    }

    private static func account(_ conflict: CatalogueConflict) -> Account {
        let message =
            switch conflict {
            case .digest(let found):
                "the version has the digest \(found), which is not the one that was named; look at it again"
            case .inForce(let number):
                "version \(number) is in force by now, not the one that was named; compare with it first"
            case .alreadyInForce: "the version is in force already"
            }
        return Account(status: 409, code: "CATALOGUE_CHANGED", message: message)
    }

    private func noReceipt(_ lag: UInt64) -> Account {
        let hint =
            lag == 0
            ? "the history is complete up to now, so no such request was reported"
            : "the history is \(lag) entries behind, so it may still appear: ask again"
        return Account(
            status: 404, code: "RECEIPT_NOT_FOUND", message: "no receipt for this request id; \(hint)",
            param: "request_id", metadata: ["history_lag": .integer(lag)])
    }

    private static func account(_ refusal: Refusal, accountName: String) -> Account {
        let field = "\(refusal.field.name)"
        // What is asked for here is an act on credit; reports have ids and come in batches, and have other words.
        let message =
            switch (refusal.reason, refusal.field) {
            // Holds and the usage that settles them have ids and no key.
            case (.idempotencyConflict, .holdID), (.idempotencyConflict, .requestID): refusal.message
            case (.idempotencyConflict, _):
                "this Idempotency-Key was used before for something else: a retry repeats the document as it was;"
                    + " a new act needs a new key"
            case (.invalidArgument, .records):
                "the wallet holds \(refusal.found) grants that are not used up, and may hold \(refusal.expected):"
                    + " give fewer and larger ones"
            case (.invalidArgument, .budget) where refusal.expected > 0:
                "the account has \(refusal.found) budgets, and may have \(refusal.expected): remove one first"
            case (.invalidArgument, .budget):
                "the account has no budget of this name: the list of its budgets has those that it has"
            default: refusal.message
            }
        return Account(
            status: refusal.reason.httpStatus, code: refusal.reason.text, message: message,
            param: field.isEmpty || refusal.field == .records
                ? nil : refusal.field == .account ? accountName : field, metadata: metadata(refusal),
            retryAfterMilliseconds: refusal.retryAfterMilliseconds)
    }

    /// The figures of a refusal. Credit is told as everywhere here, where the framed protocol has nanocredits.
    private static func metadata(_ refusal: Refusal) -> JSONObject {
        var metadata = JSONObject()
        for figure in refusal.figures {
            metadata["\(figure.name)"] =
                switch (refusal.reason, figure.value) {
                case (.insufficientCredits, .decimal(let count)):
                    "\(figure.name)" == "affordable_output_tokens" ? .integer(count) : .credits(count)
                case (.budgetExceeded, .decimal(let count)) where refusal.field == .costBudget:
                    .credits(count)
                default: .string(figure.value.text)
                }
        }
        return metadata
    }

    /// OpenAI's word for a class of errors.
    private static func type(_ status: Int) -> String {
        switch status {
        case 401: "authentication_error"
        case 402: "insufficient_quota"
        case 403: "permission_error"
        case 429: "rate_limit_error"
        case 500...: "server_error"
        default: "invalid_request_error"
        }
    }
}

extension Reason {
    /// The word on the wire.
    var text: String { "\(name)" }
}
