// `tollgate rules schedule`, `deactivate`, `reactivate`, `expire`, `withdraw`: one rule at a time.

import ArgumentParser
import NIOHTTP1
import StrictJSON

/// What every change takes.
struct RuleChangeOptions: ParsableArguments {
    @Option(help: "Why users pay more with less notice than they should have.")
    var reason: String?

    @Flag(help: "Show what would be done, and do nothing.")
    var dryRun = false

    @Option(help: "The newest version that the rule must have, as `rules get` shows it.")
    var ifVersion: UInt32?

    func query(_ actor: ActorOptions) throws(CommandFailure) -> [(String, String)] {
        // What changes nothing needs nobody's name.
        dryRun ? [("dry_run", "true")] : [("by", try actor.name())]
    }
}

/// Sends a change of one rule and tells what came of it.
private func change(
    _ method: HTTPMethod, _ path: String, _ document: JSONObject?, _ server: AdminOptions,
    _ actor: ActorOptions, _ options: RuleChangeOptions, _ output: OutputOptions
) async throws(CommandFailure) {
    var object = document ?? [:]
    if let reason = options.reason { object["override_reason"] = .string(reason) }
    let answer = try await server.client.send(
        method, path, query: try options.query(actor), bytes: JSONValue.object(object).bytes(),
        ifMatch: options.ifVersion.map { "\($0)" })
    let (shown, text) = try JSONNode.reading { () throws(JSONError) in
        (try answer.object(), try RuleText.outcome(answer))
    }
    output.show(shown, text: text)
}

struct RulesSchedule: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schedule",
        abstract: "Changes fields of a rule, from a time on or at once, and for a while or for good.",
        discussion: """
            tollgate rules schedule professional --set markup_value=1.70 --at 2027-02-01
            tollgate rules schedule rule_huggingface --set free_credits_monthly=20.00 \\
                --at 2027-01-01 --until 2027-02-01
            tollgate rules schedule professional --set markup_value=0.7 --set markup_type=percentage

            Without --at it begins at once, or, if users would pay more and there is no
            --reason, when the days of notice are over. With --until, what it covers comes
            back then. A value is text; lists are written with commas.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: RuleChangeOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "Its tier, or its id.")
    var rule: String

    @Option(help: ArgumentHelp("A field and its value; may be repeated.", valueName: "field=value"))
    var set: [String] = []

    @Option(help: "When it begins, such as 2027-02-01 or 2027-02-01T12:00:00Z.")
    var at: String?

    @Option(help: "When it ends.")
    var until: String?

    func run() async throws {
        var document = JSONObject()
        for pair in set {
            let halves = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard halves.count == 2, !halves[0].isEmpty else {
                throw CommandFailure.environment("--set \(pair): expected field=value")
            }
            let key = String(halves[0])
            guard document.append(key, Self.value(key, String(halves[1]))) else {
                throw CommandFailure.environment("--set \(key) is there twice")
            }
        }
        if let at { document["effective_at"] = .string(at) }
        if let until { document["effective_until"] = .string(until) }
        guard !document.isEmpty else {
            throw CommandFailure.environment("nothing is to be changed: say --set field=value")
        }
        let found = try await RuleName.find(rule, server.client)
        try await change(.PUT, found.path, document, server, actor, options, output)
    }

    /// What a value is, by the field that it is for.
    private static func value(_ key: String, _ text: String) -> JSONValue {
        switch key {
        case "is_active": return text == "true" ? true : text == "false" ? false : .string(text)
        case "priority": return Int64(text) == nil ? .string(text) : .number(text)
        case "applies_to_tiers":
            return .array(text.split(separator: ",").map { .string(String($0)) })
        case "provider_overrides":
            do throws(JSONError) {
                return try JSONValue(parsing: text)
            } catch {
                // The gateway says what belongs there.
                return .string(text)
            }
        default: return .string(text)
        }
    }
}

struct RulesDeactivate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deactivate",
        abstract: "Switches a rule off: its requests are refused until it is switched on again.",
        discussion: "Example:  tollgate rules deactivate rule_huggingface --description \"API migration\"")

    @OptionGroup var server: AdminOptions
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: RuleChangeOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "Its tier, or its id.")
    var rule: String

    @Option(help: "What the rule says of itself from then on.")
    var description: String?

    @Option(help: "When, such as 2027-02-01; at once without it.")
    var at: String?

    func run() async throws {
        try await Self.run("deactivate", self.rule, description, at, server, actor, options, output)
    }

    static func run(
        _ word: String, _ rule: String, _ description: String?, _ at: String?, _ server: AdminOptions,
        _ actor: ActorOptions, _ options: RuleChangeOptions, _ output: OutputOptions
    ) async throws {
        var document = JSONObject()
        if let description { document["description"] = .string(description) }
        if let at { document["effective_at"] = .string(at) }
        let found = try await RuleName.find(rule, server.client)
        try await change(.POST, found.path + "/" + word, document, server, actor, options, output)
    }
}

struct RulesReactivate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reactivate", abstract: "Switches a rule on again.",
        discussion: "Example:  tollgate rules reactivate rule_huggingface")

    @OptionGroup var server: AdminOptions
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: RuleChangeOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "Its tier, or its id.")
    var rule: String

    @Option(help: "What the rule says of itself from then on.")
    var description: String?

    @Option(help: "When, such as 2027-02-01; at once without it.")
    var at: String?

    func run() async throws {
        try await RulesDeactivate.run(
            "reactivate", self.rule, description, at, server, actor, options, output)
    }
}

struct RulesExpire: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "expire",
        abstract: "Ends a rule: afterwards it is as if it had never been.",
        discussion: """
            tollgate rules expire rule_huggingface --at 2027-02-01

            A provider whose rule has ended falls back to the rule for every provider,
            if there is one; one whose rule is deactivated does not.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: RuleChangeOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "Its tier, or its id.")
    var rule: String

    @Option(help: "When, such as 2027-02-01; at once without it.")
    var at: String?

    func run() async throws {
        var document = JSONObject()
        if let at { document["effective_until"] = .string(at) }
        let found = try await RuleName.find(rule, server.client)
        try await change(.POST, found.path + "/expire", document, server, actor, options, output)
    }
}

struct RulesWithdraw: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "withdraw", abstract: "Takes a scheduled version back before it begins.",
        discussion: "Example:  tollgate rules withdraw professional 7")

    @OptionGroup var server: AdminOptions
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: RuleChangeOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "Its tier, or its id.")
    var rule: String

    @Argument(help: "The version's number.")
    var version: UInt32

    func run() async throws {
        let found = try await RuleName.find(rule, server.client)
        try await change(
            .POST, found.path + "/withdraw", ["version": .integer(version)], server, actor, options, output)
    }
}
