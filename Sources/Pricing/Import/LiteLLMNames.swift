// From LiteLLM's names to provider and model.
//
// An entry has a `litellm_provider` and a key. The provider is a route through LiteLLM, so one provider may
// have several: they are brought together. The key is the model's name as that route writes it, with or
// without the provider before a slash; here it stands without.
//
//      litellm_provider              provider        of key                          model
//      text-completion-openai        openai          babbage-002                     babbage-002
//      gemini                        google          gemini/gemini-2.5-pro           gemini-2.5-pro
//      vertex_ai-language-models     vertex_ai       vertex_ai/gemini-2.5-flash      gemini-2.5-flash
//      bedrock_converse              bedrock         us.anthropic.claude-opus-4-6    us.anthropic.claude-opus-4-6
//      bedrock                       bedrock         bedrock/eu-west-1/mistral.x     eu-west-1/mistral.x
//      amazon_nova                   amazon_nova     amazon-nova/nova-micro-v1       nova-micro-v1
//      openai                        openai          high/1024-x-1024/gpt-image-1.5  (as it is)
//
// A router that reports the key finds the model by an alias, and so does one that puts the provider before
// a bare name. `*` in a key stands for any one word; the model gets the name without it, and a pattern.

struct LiteLLMNames {
    let provider: String
    let id: String
    /// The key, where it is not the id.
    let aliases: [String]
    let patterns: [String]
    /// Further spellings with a provider before the id.
    let courtesyNames: [String]
    /// The key names its provider, which is the form that LiteLLM looks for first.
    let hasPrefix: Bool
    /// The provider as the entry names it, where another name is used here.
    let providerAlias: String?

    /// Routes that lead to a provider of another name.
    private static let routes: [String: String] = [
        "azure_text": "azure", "bedrock_converse": "bedrock", "cohere_chat": "cohere",
        "fireworks_ai-embedding-models": "fireworks_ai",
    ]

    init(route: String, key: String) {
        let route = route.asciiLowercased
        let family = Self.family(route)
        provider = ProviderNames.canonical(family)
        let names = [route, family, provider]
        let prefixes = names.flatMap { name in
            [name, String(name.map { $0 == "_" ? "-" : $0 })].map { $0 + "/" }
        }
        let prefix = prefixes.first { key.asciiLowercased.hasPrefix($0) && key.utf8.count > $0.utf8.count }
        hasPrefix = prefix != nil
        let name = String(key.dropFirst(prefix?.count ?? 0))
        let isPattern = name.contains("*")
        let model =
            isPattern ? name.split(separator: "/").filter { !$0.contains("*") }.joined(separator: "/") : name
        id = model
        aliases = isPattern || name == key ? [] : [key]
        patterns = isPattern ? name == key ? [name] : [name, key] : []
        // LiteLLM's router writes the newer interface of Bedrock as a second word.
        let converse = route == "bedrock_converse" ? ["bedrock/converse", "converse"] : []
        courtesyNames = ([family, provider] + converse).map { "\($0)/\(model)" }
        providerAlias = route == provider ? nil : route
    }

    private static func family(_ route: String) -> String {
        if let family = routes[route] { return family }
        if route.hasPrefix("vertex_ai-") { return "vertex_ai" }
        if route.hasPrefix("text-completion-") { return String(route.dropFirst("text-completion-".count)) }
        return route
    }
}
