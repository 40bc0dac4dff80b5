// Price lists that are wrong: refused as a whole, with place, reason and what to do; or, on request, without
// the entries that are. Nothing here may crash or take memory beyond its bound.

import Pricing
import StrictJSON
import Testing

struct ImportRefusalTests {
    private func refusal(
        _ text: String, _ options: ImportOptions = ImportOptions(), format: CatalogueFormat? = nil
    ) -> PricingError? {
        do throws(PricingError) {
            _ = try Catalogue.importing(Array(text.utf8), format: format, options: options)
            return nil
        } catch {
            return error
        }
    }

    private static let forty = "1234567890123456789012345678901234567890"

    @Test(
        "a price that cannot be one refuses the file, with line, entry, field and reason",
        arguments: [
            ("-1", "stands for a price that nobody filled in"), ("-1.0", "stands for a price"),
            ("-1e0", "stands for a price"), ("-2.5e-06", "is negative"), ("-1e-40", "is negative"),
            (forty, "more than a rate can be"), ("1e30", "more than a rate can be"),
            ("1e400", "more than a rate can be"), ("\"NaN\"", "is not a number"),
            ("\"Infinity\"", "is not a number"), ("\"-inf\"", "is not a number"),
            ("\"1,5\"", "is not a number"), ("\"0x10\"", "is not a number"), ("\" 1\"", "is not a number"),
            ("\"\"", "is not a number"), ("\"1e-6 USD\"", "is not a number"), ("true", "expected a number"),
            ("[1]", "expected a number"), ("{}", "expected a number"), ("\"-1\"", "stands for a price"),
        ])
    func prices(price: String, reason: String) throws {
        let good = #""good":{"litellm_provider":"openai","input_cost_per_token":1e-6}"#
        let text =
            "{\(good),\n\"bad\":{\"litellm_provider\":\"openai\",\n\"output_cost_per_token\":\(price)}}"
        guard case .invalidEntries(let findings)? = refusal(text) else {
            Issue.record("\(price): \(String(describing: refusal(text)))")
            return
        }
        #expect(findings.count == 1)
        #expect(
            findings[0].line == 2 && findings[0].entry == "bad"
                && findings[0].field == "output_cost_per_token")
        #expect(findings[0].detail.contains(reason), "\(findings[0])")
        let message = "\(PricingError.invalidEntries(findings))"
        #expect(
            message.contains("line 2, bad, output_cost_per_token") && message.contains("nothing was imported")
        )
        // Left out on purpose, it is counted and listed.
        let rest = try Imported(text, ImportOptions(skipsInvalid: true))
        #expect(rest.result.coverage == [.full, .none])
        #expect(rest.findings == ["invalid output_cost_per_token"])
        #expect(rest.result.catalogue.models.map(\.id) == ["good"])
    }

    @Test(
        "prices of 40 digits are exact, withheld or refused, never wrong",
        arguments: [
            ("0.0000010000000000000000000000000000000000", Int64?.some(1_000_000)),
            ("0.0000010000000000000000000000000000000001", nil),
            ("0.\(forty)", nil), ("1.0000000000000000000000000000000000000000e-6", 1_000_000),
            ("0.0000000000000000000000000000000000000001", nil),
        ])
    func manyDigits(price: String, rate: Int64?) throws {
        let imported = try Imported(
            #"{"m":{"litellm_provider":"openai","input_cost_per_token":\#(price),"output_cost_per_token":1e-6}}"#
        )
        let rates = try imported.model("openai", "m").prices[0].card.standard
        #expect(rates[.input]?.count == rate)
        #expect(rates.isWithheld(.input) == (rate == nil))
        #expect(imported.findings == (rate == nil ? ["not_whole input_cost_per_token"] : []))
    }

    @Test("a negative number where nothing could be used refuses the file too: it is not sound")
    func negativeElsewhere() {
        for field in [
            #""input_cost_per_video_token":-1"#, #""search_context_cost_per_query":{"low":-1}"#,
            #""off_peak_pricing":{"windows":[{"hours_utc":"00:00-01:00"}],"input_cost_per_token":-1}"#,
            #""tiered_pricing":[{"range":[0,9],"input_cost_per_token":-1}]"#,
            #""regional_processing_uplift_multiplier_eu":-1.1"#,
        ] {
            let text = #"{"m":{"litellm_provider":"openai","input_cost_per_token":1e-6,\#(field)}}"#
            guard case .invalidEntries(let findings)? = refusal(text) else {
                Issue.record("\(field): \(String(describing: refusal(text)))")
                continue
            }
            #expect(findings.count == 1 && findings[0].entry == "m")
        }
    }

    @Test("bytes that are not JSON are refused at their line and column")
    func notJSON() {
        for (text, place) in [
            ("{\"a\":{\"litellm_provider\":\"x\",\n\"input_cost_per_token\":NaN}}", "line 2, column 24"),
            ("{\"a\":1,\n\"a\":2}", "line 2, column 1: the key \"a\" is there twice"),
            ("{\"a\":{\"b\":1,\"b\":2}}", "in a: the key \"b\" is there twice"),
            ("{\"a\":{\"litellm_provider\":\"x\"}", "the end of the text"),
            ("[{\"id\":\"x\"", "the end of the text"),
            ("", "expected an object or an array"), ("nonsense", "expected an object or an array"),
            ("{\"a\":\(String(repeating: "[", count: 100))", "nest deeper than"),
        ] {
            let error = refusal(text)
            #expect(
                "\(error.map { "\($0)" } ?? "none")".contains(place), "\(text): \(String(describing: error))")
        }
    }

    @Test("a file cut at any byte is refused, and so is one without a priced model")
    func truncated() throws {
        let text = """
            {"sample_spec":{"input_cost_per_token":0},
             "m":{"litellm_provider":"openai","input_cost_per_token":1e-6,"tiered_pricing":[]}}
            """
        let bytes = Array(text.utf8)
        for cut in 0..<bytes.count {
            #expect(throws: PricingError.self, "cut at byte \(cut)") {
                try Catalogue.importing(Array(bytes.prefix(cut)), options: ImportOptions(skipsInvalid: true))
            }
        }
        #expect(refusal("{}") == .nothingPriced(entries: 0))
        #expect(refusal("[]") == .nothingPriced(entries: 0))
        #expect(refusal(#"{"m":{"litellm_provider":"openai"}}"#) == .nothingPriced(entries: 1))
        #expect("\(refusal("{}").map { "\($0)" } ?? "")".contains("right file"))
    }

    @Test("a file above the limit is refused by the limit's figure, before it is read")
    func tooLong() {
        let bytes = [UInt8](repeating: 0x20, count: PricingLimits.importBytesMax + 1)
        #expect(
            throws: PricingError.json(.tooLong(bytes: bytes.count, bytesMax: PricingLimits.importBytesMax))
        ) {
            try Catalogue.importing(bytes)
        }
    }

    @Test("an entry that would take more memory than a list may is refused where it becomes too long")
    func entryTooLong() {
        let count = PricingLimits.importEntryBytesMax / 2 + 10
        let text =
            "{\"m\":{\"litellm_provider\":\"openai\",\"x\":[" + String(repeating: "1,", count: count) + "1]}}"
        let error = refusal(text)
        #expect("\(error.map { "\($0)" } ?? "")".contains("in m.x["), "\(String(describing: error))")
        #expect("\(error.map { "\($0)" } ?? "")".contains("is too long"))
    }

    @Test("more models, tiers or names than allowed refuse the file")
    func tooMany() {
        let tiers = (0..<40).map { "\"input_cost_per_token_word\($0)x\":1e-6" }.joined(separator: ",")
        guard
            case .tooMany(let what, _, _)? = refusal(
                #"{"m":{"litellm_provider":"openai","input_cost_per_token":1e-6,\#(tiers)}}"#)
        else {
            Issue.record("not refused")
            return
        }
        #expect(what == "service tiers")
        let thresholds = (1...17).map { "\"input_cost_per_token_above_\($0)k_tokens\":1e-6" }.joined(
            separator: ",")
        // Of one model it is that model's fault.
        let text =
            #"{"a":{"litellm_provider":"openai","input_cost_per_token":1e-6},"m":{"litellm_provider":"openai","input_cost_per_token":1e-6,\#(thresholds)}}"#
        #expect(throws: Never.self) {
            let imported = try Imported(text)
            #expect(imported.result.coverage == [.full, .none])
            #expect(imported.result.findings[0].detail.contains("17 thresholds"))
        }
    }

    @Test("the wrong format is refused, and a given one is not guessed")
    func formats() throws {
        let litellm = #"{"m":{"litellm_provider":"openai","input_cost_per_token":1e-6}}"#
        #expect(CatalogueFormat.detected(in: Array(litellm.utf8)) == .litellm)
        #expect(CatalogueFormat.detected(in: Array(" \n[".utf8)) == .genaiPrices)
        #expect(CatalogueFormat.detected(in: Array(Catalogue.starterText.utf8)) == .tollgate)
        #expect(
            CatalogueFormat.detected(in: Array(#"{"models":[],"format":"tollgate-catalogue/1"}"#.utf8))
                == .tollgate)
        for format in [CatalogueFormat.tollgate, .genaiPrices] {
            #expect(refusal(litellm, format: format) != nil, "\(format)")
        }
        #expect(refusal("[]", format: .litellm) != nil)
        #expect(refusal(#"{"providers":[]}"#) != nil)
        let own = try Catalogue.importing(Array(Catalogue.starterText.utf8), version: 1)
        #expect(own.catalogue == (try Catalogue.starter()) && own.fullyPriced == own.catalogue.models.count)
    }
}
