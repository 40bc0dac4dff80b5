// Changing rules: what a change becomes, what is refused and why, and that what was is never touched.

import Money
import Pricing
import StrictJSON
import Testing

/// An editor of the rules of a new installation.
private func newEditor(
    _ book: RuleBook = .standard, day: Int64 = 0, noticeDays: Int = 30, newTiers: Bool = false
) throws -> RuleEditor {
    try RuleEditor(
        book,
        RuleEditing(
            now: .day(day), noticeDays: noticeDays, accountTiers: ["professional", "academy"],
            allowsNewTiers: newTiers, actor: "ada"))
}

private let professional = RuleKey.platform(tier: "professional")
private let openrouter = RuleKey.byok(id: "rule_openrouter")
private let huggingface = RuleKey.byok(id: "rule_huggingface")

private func problem(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "nothing was wrong"
    } catch {
        return "\(error)"
    }
}

@Suite("Editing rules")
struct RuleEditorTests {
    @Test("a decrease begins at once, as a version that changes only what it names")
    func decrease() throws {
        var editor = try newEditor()
        let outcome = try editor.change(
            openrouter, parse(#"{"markup_value":"0.03","description":"Reduced"}"#))
        guard case .added(let addition) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(addition.action == .update && addition.new.head.version == 7)
        #expect(addition.new.head.ruleNumber == 5 && addition.new.head.createdBy == "ada")
        #expect(addition.new.head.effectiveAt == .day(0) && addition.increases.isEmpty)
        guard case .byok(let rule) = addition.new else { return }
        #expect(rule.markup.value.text == "0.03" && rule.minCharge.text == "0.001" && rule.priority == 10)
        // Before, the old one holds; from then on the new.
        #expect(editor.book.inForce(openrouter, at: .day(-1))?.head.version == 5)
        #expect(editor.book.inForce(openrouter, at: .day(0))?.head.version == 7)
        // Asked again, it says so already.
        #expect(try editor.change(openrouter, parse(#"{"markup_value":"0.03"}"#)) == .unchanged(addition.new))
        #expect(editor.additions.count == 1)
    }

    @Test("an increase without a reason or a begin is accepted, begins after its notice, and only once")
    func postponed() throws {
        var editor = try newEditor()
        let document = try parse(#"{"markup_value":"1.70","description":"Increased to 70%"}"#)
        guard case .added(let addition) = try editor.change(professional, document) else {
            Issue.record("unchanged")
            return
        }
        #expect(addition.isPostponed && addition.action == .schedule)
        #expect(addition.new.head.effectiveAt == .day(30))
        #expect(addition.increases.count == 1)
        #expect(addition.increases[0].before == "cost × 1.6" && addition.increases[0].after == "cost × 1.7")
        #expect(addition.increases[0].provider == nil && addition.increases[0].tier == "professional")
        var later = try RuleEditor(
            editor.book, RuleEditing(now: .day(3), noticeDays: 30, actor: "ada"))
        #expect(try later.change(professional, document) == .unchanged(addition.new))
        #expect(later.book == editor.book)
    }

    @Test("an increase that names a begin too early is refused, and says what and from when")
    func noticeNeeded() throws {
        let early = problem {
            var editor = try newEditor()
            _ = try editor.change(
                professional,
                parse(#"{"markup_value":"1.70","effective_at":"2025-10-20T00:00:00Z"}"#))
        }
        #expect(early.contains("less than 30 days of notice"), "\(early)")
        #expect(
            early.contains("platform, tier professional, any other provider: from cost × 1.6 to cost × 1.7"))
        #expect(early.contains("Let it begin at \(Timestamp.day(30).text) or later"))
        var editor = try newEditor()
        guard
            case .added(let addition) = try editor.change(
                professional, parse(#"{"markup_value":"1.70","override_reason":"costs doubled"}"#))
        else { return }
        #expect(addition.new.head.effectiveAt == .day(0) && !addition.increases.isEmpty)
        #expect(addition.new.head.overrideReason == "costs doubled")
        // A reason is for one change, not for the next.
        guard case .added(let next) = try editor.change(professional, parse(#"{"description":"x"}"#)) else {
            return
        }
        #expect(next.new.head.overrideReason == nil)
    }

    @Test(
        "what is an increase",
        arguments: [
            (#"{"markup_value":"0.06"}"#, true), (#"{"markup_value":"0.04"}"#, false),
            (#"{"min_charge":"0.002"}"#, true), (#"{"min_charge":"0"}"#, false),
            (#"{"free_credits_monthly":"4.99"}"#, true), (#"{"free_credits_monthly":"10.00"}"#, false),
            (#"{"markup_value":"1","markup_type":"fixed"}"#, false),
            (#"{"markup_value":"2","markup_type":"fixed"}"#, true),
            (#"{"markup_value":"1.05","markup_type":"multiplier"}"#, false),
            (#"{"markup_value":"0.03","min_charge":"0.0011"}"#, true),
            (#"{"applies_to_tiers":["professional"]}"#, false), (#"{"is_active":false}"#, false),
            (#"{"priority":99}"#, false), (#"{"description":"other words"}"#, false),
        ])
    func increases(json: String, isIncrease: Bool) throws {
        var editor = try newEditor()
        guard case .added(let addition) = try editor.change(openrouter, parse(json)) else {
            Issue.record("unchanged: \(json)")
            return
        }
        #expect(addition.isPostponed == isIncrease, "\(addition.increases)")
    }

    @Test("switching a rule off and on again at a higher price gets around nothing")
    func loophole() throws {
        var editor = try newEditor()
        _ = try editor.change(openrouter, parse(#"{"is_active":false}"#))
        guard
            case .added(let back) = try editor.change(
                openrouter, parse(#"{"is_active":true,"markup_value":"0.08"}"#))
        else { return }
        #expect(back.isPostponed)
        // Nor does another rule for the same provider.
        let other = try editor.createBYOK(
            parse(
                #"{"provider":"openrouter","markup_type":"percentage","markup_value":"0.09","applies_to_tiers":["professional"],"priority":20}"#
            ))
        guard case .added(let made) = other else { return }
        #expect(made.isPostponed && made.new.head.id == "rule_openrouter_2")
        // The same price again is none.
        guard case .added(let same) = try editor.change(openrouter, parse(#"{"is_active":true}"#)) else {
            return
        }
        #expect(!same.isPostponed && same.action == .reactivate)
    }

    @Test("a change with an end is for a while; an end alone ends the rule")
    func ends() throws {
        var editor = try newEditor()
        _ = try editor.change(
            huggingface,
            parse(#"{"free_credits_monthly":"20.00","effective_until":"2025-11-09T00:00:00Z"}"#))
        #expect(editor.book.inForce(huggingface, at: .day(60))?.head.version == 6)
        let end = try editor.change(huggingface, parse(#"{"effective_until":null}"#))
        #expect(
            end.rule.head.version == 8 && editor.book.inForce(huggingface, at: .day(60))?.head.version == 8)
        guard
            case .added(let over) = try editor.change(
                huggingface, parse(#"{"effective_until":"2025-12-01T00:00:00Z"}"#))
        else { return }
        #expect(over.action == .expire && over.new.head.ends)
        #expect(editor.book.inForce(huggingface, at: .day(60)) == nil)
        #expect(editor.book.inForce(huggingface, at: .day(20))?.head.version == 8)
        // Asked again, it ends already.
        _ = try editor.change(huggingface, parse(#"{"effective_until":"2025-12-01T00:00:00Z"}"#))
        #expect(editor.additions.last == over)
        // Taken back, it goes on.
        guard case .added(let back) = try editor.change(huggingface, parse(#"{"effective_until":null}"#))
        else {
            Issue.record("not taken back")
            return
        }
        #expect(back.action == .withdraw && back.new.head.withdraws == over.new.head.version)
        #expect(editor.book.inForce(huggingface, at: .day(60))?.head.version == 8)
    }

    @Test("what is scheduled can be withdrawn, what has begun cannot, and nothing is lost")
    func withdraw() throws {
        var editor = try newEditor()
        let scheduled = try editor.change(
            professional, parse(#"{"markup_value":"1.50","effective_at":"2025-12-01T00:00:00Z"}"#))
        #expect(editor.book.inForce(professional, at: .day(90))?.head.version == 7)
        // Whoever was told of the decrease must be told that it does not come.
        #expect(
            problem { _ = try editor.withdraw(professional, version: scheduled.rule.head.version) }
                == "nothing was wrong")
        #expect(editor.book.inForce(professional, at: .day(90))?.head.version == 3)
        #expect(editor.book.versions(of: professional).map(\.head.version) == [3, 7, 8])
        let again = try editor.withdraw(professional, version: 7)
        #expect(again.rule.head.version == 8 && editor.additions.count == 2)
        for version in [3, 8, 9] {
            #expect(
                problem { _ = try editor.withdraw(professional, version: UInt32(version)) }
                    .contains("has no version \(version) that is yet to begin"))
        }
        let read = try RuleBook(parsing: editor.book.canonicalBytes)
        #expect(read == editor.book)
    }

    @Test(
        "bad changes are refused with field and reason",
        arguments: [
            (#"{"markup_value":"0.70"}"#, "as percentage it is cost × 1.7"),
            (#"{"markup_vlaue":"1.7"}"#, "did you mean `markup_value`?"),
            (#"{"markup_value":"-1"}"#, "must not be negative"), (#"{"markup_value":"NaN"}"#, "not a factor"),
            (#"{"markup_value":"1.7e0"}"#, "an exponent is not allowed"),
            (#"{"markup_value":"1234567890123456789012345678901234567890"}"#, "too large"),
            (#"{"markup_value":"1.1234567891"}"#, "at most 9 decimals"),
            (#"{"markup_value":"11"}"#, "11 came without markup_type"),
            (#"{"markup_value":"٣"}"#, "not a factor"), (#"{"markup_value":true}"#, "expected"),
            (#"{"markup_type":"percentage"}"#, "`markup_value` is missing"),
            (#"{"tier_code":"starter","description":"x"}"#, "the rule is for tier professional"),
            (#"{"id":"other"}"#, "the stored id"),
            (#"{"version":2,"description":"x"}"#, "has version 3 by now"),
            (#"{"description":"x","effective_at":"2025-01-01T00:00:00Z"}"#, "is over"),
            (#"{"description":"x","effective_until":"2025-01-01T00:00:00Z"}"#, "not after it begins"),
            (#"{"effective_until":"2025-01-01T00:00:00Z"}"#, "is over"),
            (#"{"provider_overrides":{"openai":{"markup_value":"0.5"}}}"#, "0.5 came without markup_type"),
            (#"{"provider_overrides":{"openai":{"markup":"2"}}}"#, "provider_overrides.openai"),
            (#"{"rule_type":"byok"}"#, "rule_type"), (#"{"override_reason":""}"#, "a reason has 1 to"),
        ])
    func refused(json: String, part: String) throws {
        let found = problem {
            var editor = try newEditor()
            _ = try editor.change(professional, parse(json))
        }
        #expect(found.contains(part), "\(found)")
    }

    @Test("a rule for a tier that nobody knows is refused, unless new tiers are allowed")
    func tiers() throws {
        let byok =
            #"{"provider":"groq","markup_type":"percentage","markup_value":"0.02","applies_to_tiers":["profesional"]}"#
        let unknown = problem {
            var editor = try newEditor()
            _ = try editor.createBYOK(parse(byok))
        }
        #expect(unknown.contains("no account is in tier profesional"))
        #expect(unknown.contains("did you mean professional?"))
        let whole = #"{"markup_type":"multiplier","markup_value":"1.4"}"#
        #expect(
            problem {
                var editor = try newEditor()
                _ = try editor.change(.platform(tier: "gold"), parse(whole))
            }.contains("no account is in tier gold"))
        #expect(
            problem {
                var editor = try newEditor()
                _ = try editor.change(.platform(tier: "academy"), parse(#"{"markup_value":"1.4"}"#))
            }.contains("there is no platform rule for tier academy"))
        var known = try newEditor()
        let made = try known.change(.platform(tier: "academy"), parse(whole))
        #expect(made.rule.head.id == "platform_academy" && made.rule.head.ruleNumber == 7)
        var allowing = try newEditor(newTiers: true)
        #expect(try allowing.createBYOK(parse(byok)).rule.head.id == "rule_groq")
    }

    @Test("the guide's new rule is the one that is there; another one with equal right is refused")
    func create() throws {
        var editor = try newEditor()
        let guide = #"""
            {"provider": "huggingface", "markup_type": "percentage", "markup_value": "0.03",
             "min_charge": "0.001", "free_credits_monthly": "10.00",
             "applies_to_tiers": ["professional", "enterprise"], "rule_name": "HuggingFace Professional",
             "description": "3% fee for HuggingFace inference", "priority": 5}
            """#
        let outcome = try editor.createBYOK(parse(guide))
        #expect(outcome.rule.head.id == "rule_huggingface" && outcome.rule.head.version == 7)
        #expect(outcome.rule.head.description == "3% fee for HuggingFace inference")
        #expect(try editor.createBYOK(parse(guide)) == .unchanged(outcome.rule))
        var without = try self.emptyBYOK()
        #expect(try without.createBYOK(parse(guide)).rule.head.id == "rule_huggingface")
        let tie = problem {
            _ = try editor.createBYOK(parse(guide.replacing(#""0.03""#, with: #""0.02""#)))
        }
        #expect(tie.contains("tie") && tie.contains("give one a higher priority"), "\(tie)")
        let any = try editor.createBYOK(
            parse(
                #"{"provider":"*","markup_type":"percentage","markup_value":"0.1","applies_to_tiers":["*"]}"#)
        )
        #expect(any.rule.head.id == "rule_any")
    }

    private func emptyBYOK() throws -> RuleEditor {
        try newEditor(RuleBook(platform: RuleBook.standard.platform, byok: []))
    }

    @Test("temporary versions that overlap in part are refused, one within the other is not")
    func overlap() throws {
        var editor = try newEditor()
        func promotion(_ from: Int64, _ until: Int64, _ credits: String) throws -> JSONNode {
            try parse(
                #"{"free_credits_monthly":"\#(credits)","effective_at":"\#(Timestamp.day(from).text)","effective_until":"\#(Timestamp.day(until).text)"}"#
            )
        }
        _ = try editor.change(huggingface, promotion(10, 40, "20.00"))
        let cut = problem { _ = try editor.change(huggingface, promotion(30, 50, "30.00")) }
        #expect(cut.contains("this and version 7 would both hold for a time"), "\(cut)")
        _ = try editor.change(huggingface, promotion(20, 30, "30.00"))
        _ = try editor.change(huggingface, promotion(40, 50, "30.00"))
        let steps = editor.book.steps(of: huggingface).map { $0.rule?.head.version }
        #expect(steps == [6, 7, 8, 7, 9, 6])
    }

    @Test("a clock that was set back hides no change behind an older one")
    func clockSetBack() throws {
        var first = try newEditor(day: 10)
        _ = try first.change(openrouter, parse(#"{"markup_value":"0.03"}"#))
        var second = try newEditor(first.book, day: 5)
        _ = try second.change(openrouter, parse(#"{"markup_value":"0.02"}"#))
        #expect(second.book.inForce(openrouter, at: .day(11))?.head.version == 8)
    }
}
