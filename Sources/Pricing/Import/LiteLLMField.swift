// What a field of a LiteLLM entry is, told from its name by pattern.
//
//      input_cost_per_token _above_272k_tokens _priority
//      └─ what is counted ┘ └──── threshold ──┘└─ tier ─┘        suffixes in any order
//
// The beginning of the name says what is counted, and only that is a list. The suffixes are patterns:
// `_above_<n>k_tokens` is a threshold, `_above_<n>hr` a lifetime in the cache, and a word that is left over
// is a service tier, whichever word it is, as long as it does not speak of sizes or of things that are
// counted. `batches` is the tier `batch`. Whatever else looks like a price is one that nothing counts.

/// What a field says.
enum LiteLLMField: Hashable {
    /// A price of this.
    case price(PricePlace)
    /// Prices of web searches, by the size of their context.
    case searches
    /// A list of prices by ranges of input tokens.
    case tiers
    /// Prices for certain hours of the week.
    case offPeak
    /// A price, factor or allowance that a catalogue cannot say, and why.
    case unsupported(ImportFinding.Kind, String)
    /// Not about prices.
    case other

    init(_ name: String) {
        switch name {
        case "search_context_cost_per_query": self = .searches
        case "tiered_pricing": self = .tiers
        case "off_peak_pricing": self = .offPeak
        case "input_dbu_cost_per_token", "output_dbu_cost_per_token":
            // Databricks' own currency; the price in USD stands beside it.
            self = .other
        default:
            if let counted = Self.counted(name) {
                self = Self.price(counted.unit, suffixes: name.dropFirst(counted.length))
            } else {
                self = Self.unlisted(name)
            }
        }
    }

    /// What is counted, by the beginning of the name.
    private static let units: [String: UsageUnit] = [
        "input_cost_per_token": .input, "output_cost_per_token": .output,
        "output_cost_per_reasoning_token": .reasoning,
        // DeepSeek's older word for reading from the cache.
        "input_cost_per_token_cache_hit": .cacheRead,
        "cache_read_input_token_cost": .cacheRead, "cache_creation_input_token_cost": .cacheWrite5m,
        "input_cost_per_audio_token": .inputAudio, "output_cost_per_audio_token": .outputAudio,
        "input_cost_per_image_token": .inputImage, "output_cost_per_image_token": .outputImage,
        "input_cost_per_image": .images, "output_cost_per_image": .images,
        "cost_per_second": .seconds, "input_cost_per_second": .seconds, "output_cost_per_second": .seconds,
        "input_cost_per_audio_per_second": .seconds, "output_cost_per_audio_per_second": .seconds,
        "input_cost_per_video_per_second": .seconds, "output_cost_per_video_per_second": .seconds,
        "input_cost_per_character": .characters, "output_cost_per_character": .characters,
        "input_cost_per_query": .requests, "input_cost_per_request": .requests,
        "ocr_cost_per_page": .pages,
    ]

    /// The longest beginning that is known and that a suffix or nothing follows.
    private static func counted(_ name: String) -> (unit: UsageUnit, length: Int)? {
        var end = name.endIndex
        while true {
            if let unit = units[String(name[..<end])] {
                return (unit, name.distance(from: name.startIndex, to: end))
            }
            guard let before = name[..<end].lastIndex(of: "_") else { return nil }
            end = before
        }
    }

    private static func price(_ unit: UsageUnit, suffixes: Substring) -> LiteLLMField {
        var place = PricePlace(unit: unit)
        var words: [Substring] = []
        var rest = suffixes
        while !rest.isEmpty {
            guard rest.hasPrefix("_above_") else {
                // A word, or several, up to the next threshold.
                let end = rest.firstRange(of: "_above_")?.lowerBound ?? rest.endIndex
                words.append(rest[..<end].dropFirst())
                rest = rest[end...]
                continue
            }
            let digits = rest.dropFirst("_above_".count).prefix { $0.isASCII && $0.isNumber }
            guard let count = Int64(digits), count > 0, count <= Usage.countMax / 1_000 else {
                return .unsupported(.condition, "this condition is not one of tokens or of hours")
            }
            rest = rest[digits.endIndex...]
            if let (end, factor) = tokens(rest) {
                guard place.threshold == 0 else {
                    return .unsupported(.condition, "it names two thresholds")
                }
                place.threshold = count * factor
                rest = rest[end...]
            } else if let end = hours(rest) {
                guard unit == .cacheWrite5m, count == 1 else {
                    return .unsupported(
                        .condition, "a lifetime of \(count) hours in the cache is not counted apart")
                }
                place.unit = .cacheWrite1h
                rest = rest[end...]
            } else {
                return .unsupported(.condition, "this condition is not one of tokens or of hours")
            }
        }
        return tier(words, of: place)
    }

    private static func tokens(_ text: Substring) -> (end: Substring.Index, factor: Int64)? {
        for (word, factor) in [("k_tokens", 1_000), ("_tokens", 1), ("m_tokens", 1_000_000)]
            as [(String, Int64)]
        where text.hasPrefix(word) {
            let end = text.index(text.startIndex, offsetBy: word.count)
            return end == text.endIndex || text[end] == "_" ? (end, factor) : nil
        }
        return nil
    }

    private static func hours(_ text: Substring) -> Substring.Index? {
        for word in ["hrs", "hr"] where text.hasPrefix(word) {
            let end = text.index(text.startIndex, offsetBy: word.count)
            return end == text.endIndex || text[end] == "_" ? end : nil
        }
        return nil
    }

    private static let knownTiers: Set<String> = [
        "batch", "batches", "flex", "priority", "standard", "default",
    ]
    /// Words that tell a quality of what is counted, not a tier of service.
    private static let qualities: Set<String> = [
        "audio", "character", "image", "interval", "per", "pixel", "pixels", "query", "second", "size",
        "token", "tokens", "video",
    ]

    private static func tier(_ words: [Substring], of place: PricePlace) -> LiteLLMField {
        guard let word = words.first else { return .price(place) }
        let parts = words.flatMap { $0.split(separator: "_", omittingEmptySubsequences: false) }.map(
            String.init)
        if parts.contains(where: { $0.first.map(\.isNumber) ?? true }) {
            return .unsupported(
                .condition, "it depends on a size or resolution, which a usage record does not say")
        }
        if parts.contains(where: qualities.contains) {
            return .unsupported(.noUnit, "nothing that a usage record counts has this price")
        }
        guard words.count == 1, parts.count == 1 || !parts.contains(where: knownTiers.contains) else {
            return .unsupported(.condition, "it names more than one service tier")
        }
        var place = place
        switch word {
        case "batches": place.tier = "batch"
        case "standard", "default": break
        default: place.tier = String(word).asciiLowercased
        }
        guard place.tier.isEmpty || NameGrammar.isServiceTier(place.tier) else {
            return .unsupported(.name, "\(word) cannot be the name of a service tier")
        }
        return .price(place)
    }

    /// Parts of names that tell of prices.
    private static let priceWords = [
        "cost", "pric", "multiplier", "uplift", "discount", "surcharge", "billing_unit", "free_requests",
    ]

    private static func unlisted(_ name: String) -> LiteLLMField {
        guard !name.hasPrefix("supports_"), priceWords.contains(where: name.contains) else { return .other }
        if name.contains("multiplier") || name.contains("uplift") {
            return .unsupported(
                .condition, "it depends on a region or endpoint, which a usage record does not say")
        }
        if name.hasPrefix("cache_") {
            return .unsupported(
                .noUnit, "cached audio and images are counted as cache, whose own price applies")
        }
        if name.hasSuffix("free_requests") {
            return .unsupported(.condition, "an allowance that the provider gives is not applied")
        }
        return .unsupported(.noUnit, "nothing that a usage record counts has this price")
    }
}
