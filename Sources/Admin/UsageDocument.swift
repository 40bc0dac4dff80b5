// The usage that a document asks about: the billing guide's `tokens_used`, exact counts, or a worst case.
//
//      {"provider", "model", "tokens_used": 10000}                              all of it input
//      {"provider", "model", "input_tokens": 10000, "cache_read_tokens": 4000, "output_tokens": 500}
//      {"provider", "model", "estimated_input_tokens": 10000, "max_output_tokens": 4096}

import Gateway
import Pricing
import StrictJSON
import Wire

enum UsageDocument {
    private static let counts: [(String, any WritableKeyPath<Usage, Int64> & Sendable)] = [
        ("input_tokens", \.inputTokens), ("output_tokens", \.outputTokens),
        ("cache_read_tokens", \.cacheReadTokens), ("cache_write_5m_tokens", \.cacheWrite5mTokens),
        ("cache_write_1h_tokens", \.cacheWrite1hTokens), ("input_audio_tokens", \.inputAudioTokens),
        ("input_image_tokens", \.inputImageTokens), ("reasoning_tokens", \.reasoningTokens),
        ("output_audio_tokens", \.outputAudioTokens), ("output_image_tokens", \.outputImageTokens),
        ("images", \.images), ("web_searches", \.webSearches), ("seconds", \.seconds), ("pages", \.pages),
        ("characters", \.characters), ("requests", \.requests),
    ]
    /// Other names of a count, for those who ask before the request has run.
    private static let aliases = [
        ("tokens_used", "input_tokens"), ("estimated_input_tokens", "input_tokens"),
        ("max_output_tokens", "output_tokens"),
    ]

    /// The names of counts.
    static let countKeys = counts.map(\.0)
    /// The names of counts, other names included.
    static let keys = countKeys + aliases.map(\.0)

    /// The counts of a document that are there; the rest are zero.
    static func usage(_ root: JSONNode) throws(JSONError) -> Usage {
        var usage = Usage()
        for (name, path) in counts {
            var names = [name]
            for (alias, original) in aliases where original == name { names.append(alias) }
            var found: JSONNode?
            for name in names {
                guard let node = try root.optional(name) else { continue }
                if found != nil { throw node.invalid("give one of \(names.joined(separator: ", "))") }
                found = node
            }
            guard let found else { continue }
            usage[keyPath: path] = try found.integer(in: 0...Usage.countMax)
        }
        return usage
    }

    /// The members of a document that names what was or will be asked of a provider.
    static let draftKeys = ["provider", "model", "service_tier", "event_time"] + keys

    /// What is to be priced; the account is the caller's.
    static func draft(_ root: JSONNode, source: CredentialSource) throws(JSONError) -> QuoteDraft {
        var draft = QuoteDraft(
            source: source,
            provider: Array(try root.field("provider").words(bytesMax: WireLimits.providerBytesMax).utf8),
            model: Array(try root.field("model").words(bytesMax: WireLimits.modelBytesMax).utf8))
        if let node = try root.optional("service_tier") {
            draft.serviceTier = Array(try node.words(bytesMax: WireLimits.serviceTierBytesMax).utf8)
        }
        if let node = try root.optional("event_time") {
            guard let instant = Timestamp(text: try node.string()) else {
                throw node.invalid("it is an instant such as 2025-01-31T00:00:00Z")
            }
            draft.eventTime = instant
        }
        draft.usage = try usage(root)
        return draft
    }

    /// Who pays the provider.
    static func source(_ node: JSONNode) throws(JSONError) -> CredentialSource {
        switch try node.string().lowercased() {
        case "platform": return .platform
        case "byok": return .byok
        default: throw node.invalid("it is platform or byok")
        }
    }
}
