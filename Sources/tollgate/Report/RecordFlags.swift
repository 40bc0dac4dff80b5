// One record as flags; with a file, what its lines do not say.

import ArgumentParser

struct RecordFlags: ParsableArguments {
    @Option(help: "Who is charged: a path such as acme/search/alice.")
    var account: String?

    @Option(help: ArgumentHelp("Who pays the provider.", valueName: "platform|byok"))
    var source: String?

    @Option(help: "The provider, as served.")
    var provider: String?

    @Option(help: "The model, as served.")
    var model: String?

    @Option(help: "The service tier, as served: standard, batch, flex, priority.")
    var serviceTier: String?

    @Option(help: "All input tokens, cache reads and writes included.")
    var inputTokens: String?

    @Option(help: "All output tokens, reasoning included.")
    var outputTokens: String?

    @Option(help: "Of the input: read from the cache.")
    var cacheReadTokens: String?

    @Option(
        name: .customLong("cache-write-5m-tokens"), help: "Of the input: written to the cache for 5 minutes.")
    var cacheWrite5mTokens: String?

    @Option(
        name: .customLong("cache-write-1h-tokens"), help: "Of the input: written to the cache for an hour.")
    var cacheWrite1hTokens: String?

    @Option(help: "Of the output: reasoning.")
    var reasoningTokens: String?

    @Option(
        help: ArgumentHelp(
            "Any other field of the contract, such as images=2 or tag.team=search.", valueName: "name=value"))
    var field: [String] = []

    @Option(help: "When the request ended: 2026-11-22T14:05:00Z, or microseconds since 1970. Default: now.")
    var eventTime: String?

    @Option(help: "The token of a quote, to be charged by the prices that it pinned.")
    var quoteToken: String?

    /// The flags as a draft.
    func draft() throws(CommandFailure) -> RecordDraft {
        var draft = RecordDraft()
        for (name, text) in [
            ("account", account), ("credential_source", source), ("provider", provider), ("model", model),
            ("service_tier", serviceTier), ("input_tokens", inputTokens), ("output_tokens", outputTokens),
            ("cache_read_tokens", cacheReadTokens), ("cache_write_5m_tokens", cacheWrite5mTokens),
            ("cache_write_1h_tokens", cacheWrite1hTokens), ("reasoning_tokens", reasoningTokens),
            ("event_time", eventTime), ("quote_token", quoteToken),
        ] {
            if let text { draft.set(name, text) }
        }
        for pair in field {
            let parts = pair.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, RecordDraft.knows(parts[0]) else {
                throw .environment(
                    "--field \(pair): write name=value. \(RecordDraft.unknown(parts.first ?? ""))")
            }
            draft.set(parts[0], parts[1])
        }
        return draft
    }
}
