// Random price lists: an imported price is what the text says, calculated here by other means; reading
// what was written gives the same catalogue; every entry is accounted for.
//
// Method: prices are drawn as digits and an exponent, so that this test knows them as integers before the
// importer has seen the text. Thresholds, tiers and suffix orders are drawn too.

import Money
import Pricing
import StrictJSON
import Testing

struct ImportPropertyTests {
    /// A price as it is written, and in picodollars; nil where it is not whole.
    private struct Price {
        var text: String
        var picodollars: Int64?

        init(_ random: inout SeededGenerator) {
            let digits = Int64.random(in: 1...9_999_999, using: &random)
            let exponent = Int.random(in: -14 ... -8, using: &random)
            // digits × 10^exponent USD is digits × 10^(exponent + 12) picodollars.
            var value: Int64? = digits
            for _ in 0..<abs(exponent + 12) {
                if exponent + 12 > 0 {
                    value = value.map { $0 * 10 }
                } else {
                    value = value.flatMap { $0 % 10 == 0 ? $0 / 10 : nil }
                }
            }
            picodollars = value
            switch Int.random(in: 0..<3, using: &random) {
            case 0: text = "\(digits)e\(exponent)"
            case 1: text = "\(digits)00E\(exponent - 2)"
            default:
                let all = String(repeating: "0", count: 20) + "\(digits)"
                let point = all.index(all.endIndex, offsetBy: exponent)
                text = "0." + all[point...] + "000"
                let whole = all[..<point].drop { $0 == "0" }
                if !whole.isEmpty { text = String(whole + text.dropFirst()) }
            }
        }
    }

    private static let fields: [(name: String, unit: UsageUnit)] = [
        ("input_cost_per_token", .input), ("output_cost_per_token", .output),
        ("cache_read_input_token_cost", .cacheRead), ("cache_creation_input_token_cost", .cacheWrite5m),
        ("output_cost_per_reasoning_token", .reasoning), ("input_cost_per_audio_token", .inputAudio),
        ("output_cost_per_image", .images), ("ocr_cost_per_page", .pages),
    ]

    @Test(
        "an imported price is the text's, to the picodollar, and the way there and back changes nothing",
        arguments: 1...40)
    func exact(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        var expected: [String: [String: Price]] = [:]
        var entries: [String] = []
        for number in 0..<Int.random(in: 1...30, using: &random) {
            var members = ["\"litellm_provider\":\"openai\"", "\"mode\":\"chat\""]
            var prices: [String: Price] = [:]
            for (field, unit) in Self.fields where Bool.random(using: &random) {
                for threshold in [0, 128, 200] as [Int64] where Int.random(in: 0..<3, using: &random) == 0 {
                    for tier in ["", "batch", "odd"] where Int.random(in: 0..<3, using: &random) == 0 {
                        var suffixes: [String] = []
                        if threshold > 0 { suffixes.append("_above_\(threshold)k_tokens") }
                        if !tier.isEmpty { suffixes.append(tier == "batch" ? "_batches" : "_\(tier)") }
                        let price = Price(&random)
                        let name = field + suffixes.shuffled(using: &random).joined()
                        members.append("\"\(name)\":\(price.text)")
                        prices["\(unit.name)/\(threshold)/\(tier)"] = price
                    }
                }
            }
            expected["m\(number)"] = prices
            entries.append("\"m\(number)\":{\(members.shuffled(using: &random).joined(separator: ","))}")
        }
        let text =
            "{\"ok\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":1e-6},\(entries.joined(separator: ",\n"))}"
        let imported = try Imported(text)
        #expect(imported.result.entryCount == entries.count + 1)
        for (id, prices) in expected {
            let standard = prices.contains { $0.key.hasSuffix("/0/") && $0.value.picodollars != nil }
            let model = imported.result.catalogue.models.first { $0.id == id }
            #expect((model != nil) == standard, "\(id), seed \(seed)")
            guard let price = model?.prices.first else { continue }
            // A price that is withheld as −1.
            var found: [String: Int64] = [:]
            for (threshold, card) in [(Int64(0), price.card)]
                + price.thresholds.map({ ($0.inputTokensAbove / 1_000, $0.card) })
            {
                for (tier, rates) in [("", card.standard)] + card.serviceTiers.map({ ($0.name, $0.rates) }) {
                    for unit in rates.mentionedUnits {
                        found["\(unit.name)/\(threshold)/\(tier)"] = rates[unit]?.count ?? -1
                    }
                }
            }
            #expect(found == prices.mapValues { $0.picodollars ?? -1 }, "\(id), seed \(seed)")
        }
        // Import, export, import.
        let again = try Catalogue.importing(imported.result.catalogue.canonicalBytes, version: 1)
        #expect(again.format == .tollgate && again.catalogue == imported.result.catalogue, "seed \(seed)")
        #expect(again.catalogue.canonicalBytes == imported.result.catalogue.canonicalBytes)
    }

    @Test("damaged lists are refused or read, and what is read is accounted for", arguments: 1...20)
    func damaged(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        let whole = Array(
            """
            {"a":{"litellm_provider":"openai","input_cost_per_token":1e-6,"tiered_pricing":[{"range":[0,5],"output_cost_per_token":2e-6}]},
             "b":{"litellm_provider":"gemini","input_cost_per_token":3e-6,"off_peak_pricing":{"windows":[{"hours_utc":["01:00-02:00"]}],"input_cost_per_token":1e-6}}}
            """.utf8)
        for _ in 0..<300 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(
                    in: .min ... .max, using: &random)
            }
            do throws(PricingError) {
                let result = try Catalogue.importing(
                    bytes, options: ImportOptions(skipsInvalid: true), version: 1)
                #expect(result.fullyPriced + result.partlyPriced + result.notPriced == result.entryCount)
                #expect(
                    try Catalogue(parsing: result.catalogue.canonicalBytes, version: 1) == result.catalogue,
                    "seed \(seed)")
            } catch {
                #expect(!"\(error)".isEmpty)
            }
        }
    }
}
