// Rules over HTTP: the guide's calls as printed, versions and who made them, and refusals that say why.

import Pricing
import StrictJSON
import Testing

@testable import Admin

@Suite("Changing rules over HTTP")
struct RuleChangeTests {
    private static let path = "/api/v1/pricing/rules"

    private func put(_ served: Served, _ target: String, _ body: String, _ fields: [String] = []) async throws
        -> Answer
    {
        try await served.send("PUT", Self.path + target, fields, body: body)
    }

    @Test("the guide's printed calls work as printed")
    func guide() async throws {
        try await Served.run { served in
            let raised = try await put(
                served, "/platform/professional",
                #"{"markup_value": "1.70", "description": "Increased to 70% markup for Q1 2025"}"#)
            #expect(raised.status == 200, "\(raised.text)")
            #expect(try raised.at("markup_value") == "1.70" && raised.at("state") == "scheduled")
            #expect(try raised.at("notice", "postponed") == true)
            #expect(try raised.at("notice", "increases", "0", "after") == "cost × 1.7")
            #expect(raised.field("etag") == "\"7\"")
            let created = try await served.post(
                Self.path + "/byok",
                #"""
                {"provider": "huggingface", "markup_type": "percentage", "markup_value": "0.03",
                 "min_charge": "0.001", "free_credits_monthly": "10.00",
                 "applies_to_tiers": ["professional", "enterprise"], "rule_name": "HuggingFace Professional",
                 "description": "3% fee for HuggingFace inference", "priority": 5}
                """#)
            #expect(try created.status == 200 && created.at("id") == "rule_huggingface", "\(created.text)")
            let reduced = try await put(
                served, "/byok/rule_openrouter",
                #"{"markup_value": "0.03", "description": "Reduced to 3% to compete with market rates"}"#)
            #expect(try reduced.at("id") == "rule_openrouter" && reduced.at("markup_value") == "0.03")
            #expect(try reduced.at("updated_by") == "anonymous" && reduced.at("updated_at") != .null)
            let off = try await put(
                served, "/byok/rule_huggingface",
                #"{"is_active": false, "description": "Disabled due to HuggingFace API v3 migration"}"#)
            #expect(try off.at("is_active") == false && off.at("action") == "rule.deactivate")
            #expect(try await served.get(Self.path + "/byok?is_active=false").at("total") == 1)
            #expect(try await served.get(Self.path + "/byok?include_inactive=false").at("total") == 1)
            #expect(try await served.get(Self.path + "/byok?tier=starter").at("total") == 1)
            let later = try await served.get(
                Self.path + "/platform?tier=professional&effective_at=2100-01-01T00:00:00Z")
            #expect(try later.at("rules", "0", "markup_value") == "1.70")
        }
    }

    @Test("If-Match refuses what changed meanwhile; history and audit tell old and new")
    func versions() async throws {
        try await Served.run { served in
            let shown = try await served.get(Self.path + "/byok/rule_openrouter")
            let tag = try #require(shown.field("etag"))
            let first = try await put(
                served, "/byok/rule_openrouter?by=ada", #"{"markup_value":"0.04"}"#, ["If-Match: \(tag)"])
            #expect(try first.status == 200 && first.at("replaced_version") == 5)
            let second = try await put(
                served, "/byok/rule_openrouter?by=bob", #"{"markup_value":"0.03"}"#, ["If-Match: \(tag)"])
            #expect(try second.status == 412 && second.code == "RULE_CHANGED")
            #expect(try second.at("error", "metadata", "latest_version") == 7)
            let stale = try await put(served, "/byok/rule_openrouter", #"{"version":5,"priority":1}"#)
            #expect(stale.status == 412, "\(stale.text)")
            // What was read can be sent back, and changes nothing.
            let read = try await served.get(Self.path + "/byok/rule_openrouter")
            #expect(try await put(served, "/byok/rule_openrouter", read.text).at("changed") == false)

            let gone = try await served.send("DELETE", Self.path + "/byok/rule_openrouter?by=eve")
            #expect(try gone.status == 200 && gone.at("is_active") == false, "\(gone.text)")
            let back = try await served.post(
                Self.path + "/byok/rule_openrouter/reactivate?by=eve", #"{"description":"back"}"#)
            #expect(try back.at("action") == "rule.reactivate" && back.at("markup_value") == "0.04")
            let history = try await served.get(Self.path + "/byok/rule_openrouter/history")
            #expect(try history.at("total") == 4 && history.at("versions", "0", "state") == "in_force")
            let audit = try await served.get(
                "/api/v1/pricing/audit?subject=rule_openrouter&action=rule&limit=3")
            let actors = try (0..<3).map { try audit.at("audit", "\($0)", "actor") }
            #expect(actors == ["eve", "eve", "ada"])
            #expect(try audit.at("audit", "2", "old", "markup_value") == "0.05")
            #expect(try audit.at("audit", "2", "new", "markup_value") == "0.04")
            #expect(try audit.at("next_before") != .null)
        }
    }

    @Test("refusals have status, reason and field, and leave everything as it was")
    func refusals() async throws {
        try await Served.run { served in
            let whole = #""markup_type":"percentage","markup_value":"0.02","applies_to_tiers":["starter"]"#
            for (method, target, body, status, code) in [
                ("PUT", "/platform/professional", #"{"markup_value":"0.70"}"#, 400, "INVALID_ARGUMENT"),
                ("PUT", "/platform/professional", #"{"markup_vlaue":"1.7"}"#, 400, "INVALID_ARGUMENT"),
                (
                    "PUT", "/platform/professional", #"{"markup_value":"1.7","markup_value":"1.6"}"#, 400,
                    "INVALID_ARGUMENT"
                ),
                ("PUT", "/platform/professional", #"{"markup_value":-1}"#, 400, "INVALID_ARGUMENT"),
                ("PUT", "/platform/professional", #"{"markup_value":1e999}"#, 400, "INVALID_ARGUMENT"),
                (
                    "PUT", "/platform/professional", #"{"markup_type":"multiplier","markup_value":"60"}"#,
                    422, "INVALID_RULE"
                ),
                (
                    "PUT", "/platform/professional",
                    #"{"markup_value":"1.7","effective_at":"2000-01-01T00:00:00Z"}"#, 422, "INVALID_RULE"
                ),
                ("PUT", "/platform/profesional", #"{"markup_value":"1.7"}"#, 404, "RULE_NOT_FOUND"),
                (
                    "PUT", "/platform/profesional", #"{"markup_type":"multiplier","markup_value":"1.7"}"#,
                    422,
                    "UNKNOWN_TIER"
                ),
                ("PUT", "/byok/nobody", #"{"markup_value":"0.1"}"#, 404, "RULE_NOT_FOUND"),
                ("POST", "/byok", #"{"provider":"x"}"#, 400, "INVALID_ARGUMENT"),
                ("POST", "/byok", #"{"id":"rule_openrouter","provider":"x",\#(whole)}"#, 409, "RULE_EXISTS"),
                (
                    "POST", "/byok", #"{"provider":"openrouter","priority":10,\#(whole)}"#, 409,
                    "RULE_CONFLICT"
                ),
                ("POST", "/byok/rule_openrouter/withdraw", #"{"version":5}"#, 409, "RULE_NOT_SCHEDULED"),
                (
                    "POST", "/byok/rule_openrouter/deactivate", #"{"markup_value":"1"}"#, 400,
                    "INVALID_ARGUMENT"
                ),
                (
                    "POST", "/apply",
                    #"{"byok":[{"id":"rule_openrouter","markup_value":"0.01"},{"provider":"huggingface","markup_value":"7"}]}"#,
                    400, "INVALID_ARGUMENT"
                ),
            ] {
                let answer = try await served.send(method, Self.path + target, body: body)
                #expect(
                    try answer.status == status && answer.code == code, "\(target) \(body): \(answer.text)")
            }
            let early = try await put(
                served, "/platform/starter",
                #"{"markup_value":"1.9","effective_at":"\#(served.gateway.now().adding(days: 5))"}"#)
            #expect(try early.status == 409 && early.code == "NOTICE_REQUIRED", "\(early.text)")
            #expect(try early.at("error", "metadata", "notice_days") == 30)
            #expect(try early.at("error", "metadata", "increases", "0", "tier") == "starter")
            let header = try await put(served, "/platform/starter", "{}", ["If-Match: seven"])
            #expect(header.status == 400)
            #expect(served.gateway.rules.versions.count == 6)
        }
    }

    @Test("a file is applied whole, once, and dry runs change nothing")
    func apply() async throws {
        try await Served.run { served in
            let file = try await served.get(Self.path)
            #expect(try file.at("format") == "tollgate-rules/1" && file.field("etag") == "\"6\"")
            #expect(try await served.post(Self.path + "/apply", file.text).at("changed") == 0)
            let text =
                #"[{"tier_code":"starter","markup_value":"1.5"},{"provider":"openrouter","markup_value":"0.04"}]"#
            let tried = try await served.post(Self.path + "/apply?dry_run=true", text)
            #expect(try tried.at("changed") == 2 && served.gateway.rules.versions.count == 6)
            let applied = try await served.post(Self.path + "/apply?by=ada", text, ["If-Match: \"6\""])
            #expect(try applied.at("changed") == 2 && applied.field("etag") == "\"8\"", "\(applied.text)")
            #expect(try applied.at("changes", "0", "fields", "0", "before") == "1.80")
            #expect(try await served.post(Self.path + "/apply", text).at("changed") == 0)
            let late = try await served.post(
                Self.path + "/apply", #"[{"tier_code":"starter","markup_value":"1.4"}]"#, ["If-Match: \"6\""])
            #expect(late.status == 412)
        }
    }
}

extension Timestamp {
    /// Some days later, as text.
    fileprivate func adding(days: Int64) -> String {
        Timestamp(microseconds: microseconds + days * 86_400_000_000).text
    }
}
