// Why rules are not changed, in words and a status.

import Pricing
import StrictJSON

extension RequestProblem {
    static func account(_ problem: RuleProblem) -> Account {
        let message = "\(problem)"
        switch problem.inner {
        case .noRule(let key):
            return Account(status: 404, code: "RULE_NOT_FOUND", message: message, param: key.name)
        case .changed(_, let latest):
            return Account(
                status: 412, code: "RULE_CHANGED", message: message,
                metadata: ["latest_version": .integer(latest)])
        case .noticeNeeded(let increases, let days, let allowed):
            return Account(
                status: 409, code: "NOTICE_REQUIRED", message: message, param: "effective_at",
                metadata: [
                    "notice_days": .integer(days), "allowed_from": .string(allowed.text),
                    "increases": .array(increases.map { .object($0.json) }),
                ])
        case .unknownTier(_, let field, let tier, let nearest):
            return Account(
                status: 422, code: "UNKNOWN_TIER", message: message, param: field,
                metadata: ["tier": .string(tier), "nearest": nearest.map { .string($0) } ?? .null])
        case .exists: return Account(status: 409, code: "RULE_EXISTS", message: message, param: "id")
        case .inThePast(_, let field, _, _):
            return Account(status: 422, code: "INVALID_RULE", message: message, param: field)
        case .overlap:
            return Account(status: 409, code: "RULE_CONFLICT", message: message, param: "effective_until")
        case .notScheduled:
            return Account(status: 409, code: "RULE_NOT_SCHEDULED", message: message, param: "version")
        case .pricing(.json(let error)):
            return Account(
                status: Reason.invalidArgument.httpStatus, code: Reason.invalidArgument.text,
                message: message, param: param(error))
        case .pricing(.tie): return Account(status: 409, code: "RULE_CONFLICT", message: message)
        case .pricing(.rule(_, let field, _)), .pricing(.amountTooLarge(_, let field)):
            return Account(status: 422, code: "INVALID_RULE", message: message, param: field)
        case .pricing, .entry: return Account(status: 422, code: "INVALID_RULE", message: message)
        }
    }
}
