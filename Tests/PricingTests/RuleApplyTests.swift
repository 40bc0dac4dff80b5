// Files of rules: what they say is what holds afterwards, and saying it again changes nothing. The guide's
// scenarios are drafts as they stand; random edits never leave a book that contradicts itself.

import Money
import Pricing
import StrictJSON
import Testing

private func newEditor(_ book: RuleBook, day: Int64 = 0, noticeDays: Int = 30) throws -> RuleEditor {
    try RuleEditor(
        book,
        RuleEditing(now: .day(day), noticeDays: noticeDays, accountTiers: ["trial"], actor: "ada"))
}

private func file(_ json: String) throws -> RuleFile { try RuleFile(parse(json)) }

private func problem(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "nothing was wrong"
    } catch {
        return "\(error)"
    }
}

@Suite("Files of rules")
struct RuleApplyTests {
    @Test("the rules as a file, applied, change nothing")
    func identity() throws {
        var editor = try newEditor(.standard)
        let applied = try editor.apply(RuleFile(JSONNode(.object(RuleBook.standard.file(at: .day(0))))))
        #expect(editor.additions.isEmpty && applied.unnamed.isEmpty && applied.outcomes.count == 6)
    }

    @Test("an entry names its rule by id, tier or provider; the rest of it and other rules stay")
    func partial() throws {
        var editor = try newEditor(.standard)
        let applied = try editor.apply(
            file(
                #"""
                {"platform": [{"tier_code": "professional", "markup_value": "1.55"}],
                 "byok": [{"provider": "openrouter", "markup_value": "0.03"},
                          {"id": "rule_openrouter", "free_credits_monthly": "10.00"}]}
                """#))
        #expect(editor.additions.map(\.new.head.id) == ["platform_professional", "rule_openrouter"])
        #expect(Set(applied.unnamed.map(\.name)) == ["trial", "starter", "enterprise", "rule_huggingface"])
        guard case .byok(let rule) = editor.additions[1].new else { return }
        #expect(rule.markup.value.text == "0.03" && rule.freeCreditsMonthly.textWithCents == "10.00")
        #expect(rule.head.version == 8)
    }

    @Test("the first bad entry is told with its place, and nothing is changed")
    func allOrNothing() throws {
        let bad = problem {
            var editor = try newEditor(.standard)
            _ = try editor.apply(
                file(
                    #"{"platform":[{"tier_code":"starter","markup_value":"1.5"}],"byok":[{"provider":"openrouter","markup_value":"7"}]}"#
                ))
        }
        #expect(bad.contains("byok[0]") && bad.contains("7 came without markup_type"), "\(bad)")
        for (json, part) in [
            (#"{"platforms":[]}"#, "`platforms` is not known"),
            (#"{"platform":[],"byo":[]}"#, "did you mean `byok`?"),
            (#"{"format":"tollgate-rules/9","platform":[]}"#, "tollgate-rules/1"),
            (
                #"[{"id":"rule_openrouter","markup_value":"0.03"},{"provider":"openrouter","markup_value":"0.02"}]"#,
                "another entry for the same rule"
            ),
            (
                #"{"platform":[{"tier_code":"gold","markup_type":"multiplier","markup_value":"1.1"}]}"#,
                "tier gold"
            ),
            (
                #"{"tier_code":"trial","price_monthly":0.00,"credits_monthly":1000}"#,
                "`price_monthly` is not known"
            ),
            (#"{"description":"x"}"#, "makes sense for every platform rule and for every BYOK rule"),
            (#"{"rule_type":"byok","tier_code":"starter","markup_value":"0.1"}"#, "`tier_code` is not known"),
        ] {
            let found = problem {
                var editor = try newEditor(.standard)
                _ = try editor.apply(file(json))
            }
            #expect(found.contains(part), "\(json): \(found)")
        }
    }

    @Test("the guide's scenarios are drafts: what would have been under them can be asked")
    func scenarios() throws {
        let editor = try newEditor(.standard)
        let first = try editor.whatIf(
            file(
                #"""
                [{"tier_code": "professional", "markup_value": "1.80"},
                 {"provider": "openrouter", "markup_value": "0.03"},
                 {"provider": "openrouter", "free_credits_monthly": "10.00"}]
                """#))
        guard case .platform(let raised)? = first.inForce(.platform(tier: "professional"), at: .day(-900)),
            case .byok(let lowered)? = first.inForce(.byok(id: "rule_openrouter"), at: .day(-900))
        else {
            Issue.record("not there at any time")
            return
        }
        #expect(raised.markup.value.text == "1.8" && raised.head.ruleNumber == 3)
        #expect(lowered.markup.value.text == "0.03" && lowered.freeCreditsMonthly.textWithCents == "10.00")
        let second = try editor.whatIf(file(#"{"tier_code": "professional", "markup_value": "1.60"}"#))
        #expect(second.versions.count == 6)
        // One percent makes sense only as a fee, so it is meant for every BYOK rule.
        let third = try editor.whatIf(file(#"{"markup_value": "0.01"}"#))
        #expect(third.byok.map(\.markup.value.text) == ["0.01", "0.01"])
        #expect(third.platform == RuleBook.standard.platform)
    }

    @Test("a promotion and a schedule live in the file, before, while and after they hold")
    func dated() throws {
        let text = #"""
            {"byok": [
              {"id": "rule_huggingface", "free_credits_monthly": "10.00"},
              {"id": "rule_huggingface", "free_credits_monthly": "20.00",
               "effective_at": "\#(Timestamp.day(10).text)", "effective_until": "\#(Timestamp.day(20).text)"},
              {"id": "rule_openrouter", "markup_value": "0.04", "effective_at": "\#(Timestamp.day(15).text)"}
            ]}
            """#
        var book = RuleBook.standard
        for (day, count) in [(Int64(0), 2), (5, 0), (12, 0), (16, 0), (25, 0)] {
            var editor = try newEditor(book, day: day)
            _ = try editor.apply(file(text))
            #expect(editor.additions.count == count, "day \(day): \(editor.additions)")
            book = editor.book
        }
    }

    @Test("pruning deactivates what the file does not name; versions can be insisted on")
    func prune() throws {
        var editor = try newEditor(.standard)
        let text = #"{"byok":[{"id":"rule_openrouter","version":5,"markup_value":"0.03"}]}"#
        let applied = try editor.apply(file(text), prunes: true, expectsVersions: true)
        #expect(applied.unnamed.isEmpty)
        #expect(
            editor.book.keys.filter { editor.book.inForce($0, at: .day(0))?.head.isActive == true }.count == 1
        )
        let stale = problem {
            _ = try editor.apply(
                file(text.replacing("0.03", with: "0.02")), expectsVersions: true)
        }
        #expect(stale.contains("has version 7 by now"), "\(stale)")
    }

    @Test("random edits leave a whole book, whose file applied changes nothing", arguments: 1...24)
    func randomEdits(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var book = RuleBook.standard
        var day: Int64 = 0
        var accepted = 0
        for _ in 0..<60 {
            day += Int64.random(in: 0...3, using: &random)
            var editor = try newEditor(book, day: day)
            let before = editor.book
            do {
                try Self.edit(&editor, day, &random)
                accepted += editor.additions.count
            } catch is RuleProblem {
                #expect(editor.book == before, "seed \(seed)")
                continue
            }
            book = editor.book
            // Whole: it is the book of its own versions, and what was is a part of what is.
            #expect(try RuleBook(parsing: book.canonicalBytes) == book, "seed \(seed)")
            #expect(before.versions.allSatisfy(book.versions.contains), "seed \(seed)")
            var again = try self.again(book, day)
            _ = try again.apply(RuleFile(JSONNode(.object(book.file(at: .day(day))))))
            #expect(again.additions.isEmpty, "seed \(seed), day \(day): \(again.additions)")
            // Without a reason nobody pays more before the notice is over.
            if editor.additions.allSatisfy({ $0.new.head.overrideReason == nil }) {
                try Self.checkNotice(before, book, day, seed)
            }
        }
        #expect(accepted > 10, "seed \(seed)")
    }

    private func again(_ book: RuleBook, _ day: Int64) throws -> RuleEditor {
        // Another actor's later look, so that nothing depends on the moment of the edit.
        try RuleEditor(book, RuleEditing(now: .day(day), noticeDays: 30, actor: "bob"))
    }

    private static func edit(
        _ editor: inout RuleEditor, _ day: Int64, _ random: inout SeededGenerator
    ) throws {
        let keys = editor.book.keys
        guard let key = keys.randomElement(using: &random) else { return }
        var members: [String] = []
        switch (key.kind, Int.random(in: 0..<4, using: &random)) {
        case (.platform, 0):
            members.append(
                #""provider_overrides":{"openai":{"markup_value":"1.\#(Int.random(in: 1...9, using: &random))"}}"#
            )
        case (.platform, _):
            members.append(
                #""markup_type":"multiplier","markup_value":"1.\#(Int.random(in: 1...9, using: &random))""#)
        case (.byok, 0): members.append(#""priority":\#(Int.random(in: 0...12, using: &random))"#)
        case (.byok, 1):
            members.append(#""free_credits_monthly":"\#(Int.random(in: 1...20, using: &random)).00""#)
        case (.byok, _):
            members.append(#""markup_value":"0.0\#(Int.random(in: 1...9, using: &random))""#)
        }
        if Bool.random(using: &random) {
            let start = day + Int64.random(in: -2...40, using: &random)
            members.append(#""effective_at":"\#(Timestamp.day(start).text)""#)
            if Bool.random(using: &random) {
                members.append(
                    #""effective_until":"\#(Timestamp.day(start + Int64.random(in: 0...20, using: &random)).text)""#
                )
            }
        }
        if Int.random(in: 0..<4, using: &random) == 0 { members.append(#""override_reason":"because""#) }
        let document = try parse("{" + members.joined(separator: ",") + "}")
        switch Int.random(in: 0..<12, using: &random) {
        case 0: _ = try editor.change(key, parse(#"{"is_active":\#(Bool.random(using: &random))}"#))
        case 1: _ = try editor.end(key, at: .day(day + Int64.random(in: 0...30, using: &random)))
        case 2:
            if let scheduled = editor.book.scheduled(key, after: .day(day)).randomElement(using: &random) {
                _ = try editor.withdraw(key, version: scheduled.head.version)
            }
        case 3:
            _ = try editor.createBYOK(
                parse(
                    #"{"provider":"\#(["groq", "openrouter", "*"].randomElement(using: &random) ?? "*")","markup_type":"percentage","markup_value":"0.02","applies_to_tiers":["starter"],"priority":\#(Int.random(in: 0...5, using: &random))}"#
                ))
        default: _ = try editor.change(key, document)
        }
    }

    /// Prices a request of every tier and provider day by day under both books.
    private static func checkNotice(
        _ before: RuleBook, _ after: RuleBook, _ day: Int64, _ seed: UInt64
    ) throws {
        let models = ["openrouter", "openai", "huggingface", "groq"].map {
            CatalogueModel($0, "sonnet", [.input: "3"])
        }
        let (old, new) = (try book(models, before), try book(models, after))
        for source in CredentialSource.allCases {
            for tier in ["trial", "starter", "professional", "enterprise", "other"] {
                for model in models {
                    for ahead in stride(from: Int64(0), to: 30, by: 3) {
                        let names = Names(provider: model.provider, tier: tier)
                        let time = Timestamp.day(day + ahead)
                        guard case .priced(let was) = old.price(Usage(10_000), source, names, at: time),
                            case .priced(let becomes) = new.price(Usage(10_000), source, names, at: time)
                        else { continue }
                        #expect(
                            becomes.fee <= was.fee && becomes.monthlyAllowance >= was.monthlyAllowance
                                || becomes.fee == 0,
                            "seed \(seed), \(source) \(tier) \(model.provider) in \(ahead) days")
                    }
                }
            }
        }
    }
}
