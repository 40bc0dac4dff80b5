// Who takes part in the demonstration: accounts in four tiers, and models of many providers.
//
// Everything here and in DemoTraffic.swift follows from an index, so any request can be made again at any
// time, byte for byte: that is how its answer can be checked after a crash.

import StrictJSON
import TollgateClient

/// A model as it is asked for.
struct DemoModel: Hashable, Sendable {
    var provider: String
    var model: String
}

/// Who pays: a wallet, and the users that draw on it.
struct DemoWallet: Hashable, Sendable {
    var path: String
    var tier: DemoTier
    /// Paths that reports name; the wallet itself when nobody is below it.
    var users: [String]
}

enum DemoTier: Int, CaseIterable, Hashable, Sendable {
    case trial
    case starter
    case professional
    case enterprise

    var name: String { "\(self)" }

    /// Wallets of the tier, users of each, credits that each wallet begins with, and its share of the traffic
    /// in percent.
    var plan: (wallets: Int, users: Int, credits: Int64, share: Int) {
        switch self {
        case .trial: (24, 1, 500, 4)
        case .starter: (48, 1, 100_000, 16)
        case .professional: (24, 1, 400_000, 35)
        case .enterprise: (2, 24, 10_000_000, 45)
        }
    }

    /// Providers whose keys users of the tier bring themselves, by the default rules.
    var byokProviders: [String] {
        switch self {
        case .trial: []
        case .starter: ["openrouter"]
        case .professional, .enterprise: ["openrouter", "huggingface"]
        }
    }
}

enum DemoCast {
    static let wallets: [DemoWallet] = DemoTier.allCases.flatMap { tier in
        (1...tier.plan.wallets).map { number in
            let path = "\(tier.name)-\(number < 10 ? "0" : "")\(number)"
            let users = tier.plan.users
            return DemoWallet(
                path: path, tier: tier,
                users: users == 1 ? [path] : (1...users).map { "\(path)/team-\(($0 - 1) / 8 + 1)/user-\($0)" }
            )
        }
    }

    /// The numbers of each tier's wallets.
    static let walletNumbers: [[Int]] = DemoTier.allCases.map { tier in
        wallets.indices.filter { wallets[$0].tier == tier }
    }

    static let models: [DemoModel] = [
        ("openai", "gpt-5.2"), ("openai", "gpt-5-mini"), ("openai", "gpt-4o"), ("openai", "gpt-4.1-nano"),
        ("openai", "gpt-5.2-codex"), ("anthropic", "claude-sonnet-5"), ("anthropic", "claude-haiku-4-5"),
        ("anthropic", "claude-opus-4-8"), ("google", "gemini-3.5-flash"), ("google", "gemini-2.5-pro"),
        ("mistral", "codestral-2508"), ("mistral", "mistral-large-3"), ("deepseek", "deepseek-v4-pro"),
        ("xai", "grok-4.5"), ("xai", "grok-code-fast-1"), ("bedrock", "amazon.nova-pro-v1:0"),
        ("azure", "gpt-5.1-codex-mini"), ("groq", "openai/gpt-oss-120b"),
        ("together_ai", "Qwen/Qwen3-Coder-Next-FP8"), ("cohere", "command-a-03-2025"),
        ("openrouter", "anthropic/claude-sonnet-5"), ("openrouter", "deepseek/deepseek-v4-flash"),
        ("openrouter", "google/gemini-3.5-flash"), ("openrouter", "mistralai/mistral-large-3"),
        ("huggingface", "meta-llama/Llama-3.3-70B-Instruct-Turbo:together"),
        ("huggingface", "deepseek-ai/DeepSeek-V4-Pro-0813:together"),
        ("huggingface", "google/gemma-4-31B-it:together"),
    ].map { DemoModel(provider: $0, model: $1) }

    /// A model that no catalogue prices: what it used is parked, neither free nor dropped.
    static let unpriced = DemoModel(provider: "openai", model: "gpt-demo-without-a-price")

    static let providers: [String] = models.reduce(into: []) { list, model in
        if !list.contains(model.provider) { list.append(model.provider) }
    }

    /// The document that opens every account.
    static var openings: JSONObject {
        var list: [JSONValue] = []
        for wallet in wallets {
            list.append([
                "account": .string(wallet.path), "tier": .string(wallet.tier.name),
                "amount": .string("\(wallet.tier.plan.credits)"), "source": "purchase",
            ])
            for user in wallet.users where user != wallet.path {
                list.append(["account": .string(user), "owns_wallet": false])
            }
        }
        return ["accounts": .array(list)]
    }
}
