// Rules in JSON: whole rules, changes to them, and slips of the pen that must not become prices.

import Money
import Pricing
import StrictJSON
import Testing

struct RuleFileTests {
    private func problem(_ body: () throws(PricingError) -> Void) -> String {
        do throws(PricingError) {
            try body()
            return "nothing was wrong"
        } catch {
            return error.description
        }
    }

    @Test("the rules of a new installation are written and read back the same")
    func standard() throws {
        let bytes = RuleBook.standard.canonicalBytes
        let read = try RuleBook(parsing: bytes)
        #expect(read == .standard)
        #expect(read.canonicalBytes == bytes)
        #expect(read.platform.count == 4 && read.byok.count == 2)
        #expect(
            JSONValue.object(RuleBook.standard.byok[0].json).text
                == #"{"id":"rule_openrouter","rule_number":5,"version":5,"rule_type":"byok","description":"A fee of 5 % on what OpenRouter charges","is_active":true,"provider":"openrouter","rule_name":"OpenRouter Standard","markup_type":"percentage","markup_value":"0.05","min_charge":"0.001","free_credits_monthly":"5.00","applies_to_tiers":["enterprise","professional","starter"],"priority":10}"#
        )
    }

    @Test("a platform rule as the guide writes it is read")
    func platformRule() throws {
        let node = try parse(
            #"""
            {"tier_code":"professional","rule_type":"platform","markup_value":"1.60","markup_type":"multiplier",
             "description":"Standard 60% markup on provider costs",
             "provider_overrides":{"openrouter":{"markup_value":"1.50"},"OpenAI":{"markup_value":"1.80"},
               "groq":{"markup_value":"0.1","markup_type":"percentage"},"slow":{"is_active":false}},
             "is_active":true,"effective_at":"2025-02-01T00:00:00Z","effective_until":"2025-03-01T01:00:00+01:00"}
            """#)
        let rule = try PlatformRule(node)
        #expect(rule.tierCode == "professional")
        #expect(rule.markup == Markup(.multiplier, try Ratio(text: "1.6")))
        #expect(rule.providerOverrides.map(\.provider) == ["openrouter", "openai", "groq", "slow"])
        #expect(rule.markup(of: rule.providerOverrides[1]).value.text == "1.8")
        #expect(rule.markup(of: rule.providerOverrides[2]).type == .percentage)
        #expect(rule.markup(of: rule.providerOverrides[3]) == rule.markup)
        #expect(rule.providerOverrides.map(\.isActive) == [true, true, true, false])
        #expect(rule.head.effectiveUntil.text == "2025-03-01T00:00:00Z")
        #expect(rule.head.id.isEmpty && rule.head.version == 0)
        var complete = rule
        complete.head.id = "platform_professional"
        complete.head.ruleNumber = 1
        complete.head.version = 1
        #expect(try PlatformRule(JSONNode(.object(complete.json))) == complete)
    }

    @Test("a change takes what it names and keeps the rest")
    func changes() throws {
        let stored = RuleBook.standard.byok[0]
        let changed = try BYOKRule(
            parse(#"{"markup_value":"0.03","description":"Reduced to 3% to compete with market rates"}"#),
            stored: stored)
        #expect(changed.markup == Markup(.percentage, try Ratio(text: "0.03")))
        #expect(changed.head.description.hasPrefix("Reduced"))
        #expect(
            changed.minCharge == stored.minCharge && changed.priority == 10
                && changed.head.id == stored.head.id)
        let off = try BYOKRule(parse(#"{"is_active":false}"#), stored: stored)
        #expect(!off.head.isActive && off.markup == stored.markup)
        let platform = RuleBook.standard.platform[2]
        let raised = try PlatformRule(parse(#"{"markup_value":1.7}"#), stored: platform)
        #expect(raised.markup.value.text == "1.7" && raised.providerOverrides == platform.providerOverrides)
        let percent = try PlatformRule(
            parse(#"{"markup_value":"0.70","markup_type":"percentage","provider_overrides":{}}"#),
            stored: platform)
        #expect(percent.markup.effect(for: .platform) == .times(try Ratio(text: "1.7")))
        #expect(percent.providerOverrides.isEmpty)
        // What was read can be sent back, as long as it is the same version.
        #expect(try BYOKRule(JSONNode(.object(stored.json)), stored: stored) == stored)
        var ending = stored
        ending.head.effectiveUntil = .day(3)
        #expect(try BYOKRule(parse(#"{"effective_until":null}"#), stored: ending) == stored)
    }

    @Test("a value that does not fit the stored type is refused, with both readings")
    func ambiguity() throws {
        let platform = RuleBook.standard.platform[2]
        let raised = problem { () throws(PricingError) in
            _ = try PlatformRule(parsed(#"{"markup_value":"0.70"}"#), stored: platform)
        }
        #expect(
            raised.contains(
                "0.7 came without markup_type, and the stored type multiplier takes 1 to 10: "
                    + "as multiplier it is cost × 0.7, as percentage it is cost × 1.7, "
                    + "as fixed it is 0.7 credits per request"))
        let byok = RuleBook.standard.byok[0]
        let five = problem { () throws(PricingError) in
            _ = try BYOKRule(parsed(#"{"markup_value":"5"}"#), stored: byok)
        }
        #expect(five.contains("as multiplier it is a fee of 400 % of the cost"))
        #expect(five.contains("as percentage it is a fee of 500 % of the cost"))
    }

    private func parsed(_ json: String) throws(PricingError) -> JSONNode {
        do throws(JSONError) {
            return JSONNode(try JSONValue(parsing: json))
        } catch {
            throw .json(error)
        }
    }

    @Test(
        "what is wrong with a rule is said",
        arguments: [
            (#"{"markup_value":"0.05"}"#, "`provider` is missing"),
            (#"{"provider":"x","markup_value":"0.05","applies_to_tiers":["*"]}"#, "`markup_type` is missing"),
            (
                #"{"provider":"x","markup_type":"percentage","applies_to_tiers":["*"]}"#,
                "`markup_value` is missing"
            ),
            (
                #"{"provider":"x","markup_type":"percentage","markup_value":"0.05"}"#,
                "`applies_to_tiers` is missing"
            ),
            (
                #"{"provider":"x","markup_type":"percent","markup_value":"1","applies_to_tiers":["*"]}"#,
                "markup_type: expected"
            ),
            (
                #"{"provider":"x","markup_type":"percentage","markup_value":"+1","applies_to_tiers":["*"]}"#,
                "a plus sign"
            ),
            (
                #"{"provider":"x","markup_type":"percentage","markup_value":"-1","applies_to_tiers":["*"]}"#,
                "must not be negative"
            ),
            (
                #"{"provider":"x","markup_type":"percentage","markup_value":"0.1","applies_to_tiers":["*"],"min_charge":"-1"}"#,
                "min_charge"
            ),
            (
                #"{"provider":"x","markup_type":"percentage","markup_value":"0.1","applies_to_tiers":["*"],"min_charge":-1}"#,
                "min_charge"
            ),
            (
                #"{"provider":"x","markup_type":"percentage","markup_value":"0.1","applies_to_tiers":"*"}"#,
                "expected an array"
            ),
            (
                #"{"provider":"x","markup_type":"percentage","markup_value":"0.1","applies_to_tiers":["*"],"rule_type":"platform"}"#,
                "rule_type: expected \"byok\""
            ),
            (
                #"{"provider":"x","markup_type":"percentage","markup_value":"0.1","applies_to_tiers":["*"],"markup":1}"#,
                "`markup` is not known"
            ),
            (
                #"{"provider":"x","markup_type":"percentage","markup_value":"0.1","applies_to_tiers":["*"],"priority":1.5}"#,
                "priority: expected a whole number"
            ),
        ])
    func refused(json: String, part: String) throws {
        let node = try parse(json)
        let problem = problem { () throws(PricingError) in _ = try BYOKRule(node) }
        #expect(problem.contains(part), "\(problem)")
    }

    @Test("a change of something that changed meanwhile is refused")
    func staleChange() throws {
        let stored = RuleBook.standard.byok[0]
        for json in [#"{"version":4,"is_active":false}"#, #"{"id":"other"}"#, #"{"rule_number":9}"#] {
            #expect(throws: PricingError.self) { try BYOKRule(parse(json), stored: stored) }
        }
        #expect(throws: PricingError.self) {
            try PlatformRule(
                parse(#"{"provider_overrides":{"x":{"markup_type":"percentage"}}}"#),
                stored: RuleBook.standard.platform[0])
        }
    }

    @Test(
        "a markup out of proportion is refused whether or not its type is given",
        arguments: [
            (MarkupType.multiplier, "0.99", false), (.multiplier, "1", true), (.multiplier, "10", true),
            (.multiplier, "10.000000001", false), (.percentage, "0", true), (.percentage, "1", true),
            (.percentage, "1.1", false), (.percentage, "60", false), (.fixed, "0", true),
            (.fixed, "1000000", true),
            (.fixed, "1000001", false),
        ])
    func plausibility(type: MarkupType, value: String, isPlausible: Bool) throws {
        let markup = Markup(type, try Ratio(text: value))
        #expect(markup.isPlausible == isPlausible)
        let rule = PlatformRule(
            head: RuleVersion(id: "a", ruleNumber: 1, version: 1), tierCode: "t", markup: markup)
        let made = Result { try RuleBook(platform: [rule], byok: []) }
        switch made {
        case .success: #expect(isPlausible)
        case .failure: #expect(!isPlausible)
        }
    }

    @Test("an override inherits the type, so a changed type must suit it")
    func inheritedType() throws {
        var rule = RuleBook.standard.platform[2]
        rule.markup = Markup(.percentage, try Ratio(text: "0.6"))
        #expect(throws: PricingError.self) { try RuleBook(platform: [rule], byok: []) }
        rule.providerOverrides = [.init(provider: "openai", value: try Ratio(text: "0.8"))]
        let book = try book(
            [CatalogueModel("openai", "sonnet", [.input: "3"])], RuleBook(platform: [rule], byok: []))
        #expect(book.fee(Usage(10_000), .platform, Names(provider: "openai")) == "54")
    }

    @Test("both ways of writing a BYOK fee of five percent mean the same")
    func byokMultiplier() throws {
        for markup in [
            Markup(.percentage, try Ratio(text: "0.05")), Markup(.multiplier, try Ratio(text: "1.05")),
        ] {
            var rule = try byokRule("a", 1)
            rule.markup = markup
            let book = try book([.sonnet], RuleBook(platform: [], byok: [rule]))
            #expect(book.fee(Usage(10_000), .byok) == "1.5")
        }
    }
}
