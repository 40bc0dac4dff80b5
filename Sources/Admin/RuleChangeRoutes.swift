// Changing the pricing rules over HTTP, with the guide's paths and bodies.
//
//      PUT    …/rules/platform/{tier}            change a rule, or make one      If-Match, ?by=, ?dry_run=
//      POST   …/rules/byok                       make one
//      PUT    …/rules/byok/{id}                  change
//      POST   …/{name}/deactivate, /reactivate   switch off and on
//      DELETE …/{name}                           the same as deactivate: what was stays known
//      POST   …/{name}/expire, /withdraw         end it; take a scheduled version back
//      POST   …/rules/apply                      a whole file, all of it or nothing
//
// Who does it is the name that the request gives in `by`: there are no keys yet.

import Gateway
import HTTPTypes
import Logging
import Pricing
import StrictJSON

extension AdminDesk {
    private static let parameters = ["by", "dry_run", "allow_new_tiers"]

    /// `PUT …/{name}`: what the body names changes, the rest stays.
    func changeRule(_ request: AdminRequest, kind: RuleKind) async throws(RequestProblem) -> Reply {
        try await command(request, .change(request.ruleKey(kind), try request.document(), nil))
    }

    /// `POST …/rules/byok`.
    func createRule(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try await command(request, .createBYOK(try request.document()))
    }

    /// `POST …/{name}/deactivate` and `reactivate`, and `DELETE …/{name}`: a body is not needed, and may say
    /// `description`, `effective_at` and `override_reason`.
    func switchRule(
        _ request: AdminRequest, kind: RuleKind, isActive: Bool, action: RuleAction
    ) async throws(RequestProblem) -> Reply {
        let document = try request.optionalDocument()
        let change = try AdminRequest.reading { () throws(JSONError) in
            try document.expectOnly(["description", "effective_at", "effective_until", "override_reason"])
            var object = try document.object()
            object["is_active"] = .bool(isActive)
            return JSONNode(.object(object), path: document.path)
        }
        return try await command(request, .change(request.ruleKey(kind), change, action))
    }

    /// `POST …/{name}/expire`: `effective_until`, or at once; afterwards the rule is as if it had never been.
    func expireRule(_ request: AdminRequest, kind: RuleKind) async throws(RequestProblem) -> Reply {
        let document = try request.optionalDocument()
        let (end, reason) = try AdminRequest.reading { () throws(JSONError) in
            try document.expectOnly(["effective_until", "override_reason"])
            return (
                try document.optional("effective_until")?.timestamp(),
                try document.optional("override_reason")?.words(bytesMax: AdminLimits.reasonBytesMax)
            )
        }
        return try await command(request, .end(request.ruleKey(kind), at: end, reason: reason))
    }

    /// `POST …/{name}/withdraw`: `{"version"}`, which must be yet to begin.
    func withdrawRule(_ request: AdminRequest, kind: RuleKind) async throws(RequestProblem) -> Reply {
        let document = try request.document()
        let (version, reason) = try AdminRequest.reading { () throws(JSONError) in
            try document.expectOnly(["version", "override_reason"])
            return (
                UInt32(try document.field("version").integer(in: 1...Int64(UInt32.max))),
                try document.optional("override_reason")?.words(bytesMax: AdminLimits.reasonBytesMax)
            )
        }
        return try await command(
            request, .withdraw(request.ruleKey(kind), version: version, reason: reason))
    }

    /// `POST …/rules/apply`: a file of rules; `prune=true` deactivates what it does not name,
    /// `expect_versions=true` refuses entries whose `version` is not the newest.
    func applyRules(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        let root = try request.document()
        let file: RuleFile
        do throws(RuleProblem) {
            file = try RuleFile(root)
        } catch {
            throw .rules(error)
        }
        let act = RuleCommand.Act.apply(
            file, prunes: try request.truth("prune") ?? false,
            expectsVersions: try request.truth("expect_versions") ?? false)
        let result = try await run(request, act, parameters: Self.parameters + ["prune", "expect_versions"])
        var reply = Reply(RuleDocument.object(file: result))
        reply.setTag(result.book.versions.last?.head.version ?? 0)
        return reply
    }

    private func command(
        _ request: AdminRequest, _ act: RuleCommand.Act
    ) async throws(RequestProblem) -> Reply {
        let result = try await run(request, act, parameters: Self.parameters)
        // One change has one outcome.
        let outcome = result.outcomes[0]
        var reply = Reply(RuleDocument.object(outcome, result))
        if case .added(let addition) = outcome, addition.action == .create, !result.isDryRun {
            reply.status = 201
        }
        reply.setTag(result.book.versions(of: outcome.rule.key).last?.head.version ?? 0)
        return reply
    }

    private func run(
        _ request: AdminRequest, _ act: RuleCommand.Act, parameters: [String]
    ) async throws(RequestProblem) -> RuleCommandResult {
        try request.expectParameters(parameters)
        let actor = try request.changer()
        let command = RuleCommand(
            act, actor: actor, expectedVersion: try request.expectedVersion(),
            allowsNewTiers: try request.truth("allow_new_tiers") ?? false,
            isDryRun: try request.truth("dry_run") ?? false)
        let gateway = gateway
        let result = try await reading { () throws(AdministrationError) in try gateway.command(command) }
        for case .added(let addition) in result.outcomes where !result.isDryRun {
            logger.info(
                "rule changed",
                metadata: [
                    "request_id": "\(request.id)", "rule": "\(addition.new.head.id)",
                    "version": "\(addition.new.head.version)", "action": "\(addition.action.rawValue)",
                    "by": "\(actor)",
                ])
        }
        return result
    }
}

extension AdminRequest {
    /// Who changes something; somebody without a name where the request does not say.
    func changer() throws(RequestProblem) -> String {
        guard let text = parameter("by") else { return "anonymous" }
        guard (1...AdminLimits.actorBytesMax).contains(text.utf8.count) else {
            throw .badParameter("by", found: text, expected: "1 to \(AdminLimits.actorBytesMax) bytes")
        }
        return text
    }

    /// The body as a document; an empty object where there is no body.
    func optionalDocument() throws(RequestProblem) -> JSONNode {
        body.isEmpty ? JSONNode(.object([:])) : try document()
    }

    /// The version that `If-Match` names: `"7"`, as the ETag was; nil for any.
    func expectedVersion() throws(RequestProblem) -> UInt32? {
        let values = fields[values: .ifMatch]
        guard let text = values.first, text != "*" else { return nil }
        let digits = text.hasPrefix("\"") && text.hasSuffix("\"") ? text.dropFirst().dropLast() : text[...]
        guard values.count == 1, let version = UInt32(digits) else {
            throw .badHeader("If-Match", problem: "expected one ETag such as \"7\", found \(text.prefix(80))")
        }
        return version
    }
}
