// Providers have several names: LiteLLM's, OpenTelemetry's, genai-prices', and what people write. Reports
// may use any of them; a catalogue keeps its models under one.

enum ProviderNames {
    /// Other names, lower-case, and the one that a catalogue uses.
    static let aliases: [String: String] = [
        "alibaba": "dashscope", "amazon_bedrock": "bedrock", "aws": "bedrock", "aws.bedrock": "bedrock",
        "aws_bedrock": "bedrock", "azure.ai.openai": "azure", "azure_openai": "azure",
        "fireworks": "fireworks_ai", "gcp.gemini": "google", "gcp.vertex_ai": "vertex_ai",
        "gemini": "google", "google_ai_studio": "google", "google_vertex": "vertex_ai",
        "hugging_face": "huggingface", "mistral_ai": "mistral", "mistralai": "mistral",
        "moonshotai": "moonshot", "together": "together_ai", "togetherai": "together_ai",
        "vertexai": "vertex_ai", "x-ai": "xai", "x_ai": "xai", "z-ai": "zai",
    ]

    /// The name that a catalogue uses for a provider of a price list, lower-case.
    static func canonical(_ name: String) -> String { aliases[name] ?? name }
}
