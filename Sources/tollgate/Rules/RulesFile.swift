// `tollgate rules diff FILE`, `apply FILE`: a file of rules against a gateway.

import ArgumentParser
import NIOHTTP1
import StrictJSON

/// What a file is sent with.
struct RuleFileOptions: ParsableArguments {
    @Argument(help: "A file of rules, YAML or JSON; - reads standard input.")
    var file: String

    @Flag(help: "Deactivate rules that the file does not name.")
    var prune = false

    @Flag(help: "Refuse entries whose `version` is not the newest of its rule.")
    var expectVersions = false

    @Flag(help: "Tiers may be named that no account and no platform rule has.")
    var allowNewTiers = false

    /// Sends the file's rules.
    func send(
        _ document: JSONValue, _ server: AdminOptions, _ actor: ActorOptions, isDryRun: Bool,
        ifMatch: String? = nil
    ) async throws(CommandFailure) -> JSONNode {
        // What changes nothing needs nobody's name.
        var query = isDryRun ? [] : [("by", try actor.name())]
        for (name, isSet) in [
            ("dry_run", isDryRun), ("prune", prune), ("expect_versions", expectVersions),
            ("allow_new_tiers", allowNewTiers),
        ] where isSet { query.append((name, "true")) }
        return try await server.client.send(
            .POST, RulesCommand.path + "/apply", query: query, bytes: document.bytes(), ifMatch: ifMatch)
    }
}

struct RulesDiff: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Shows what applying a file would change; changes nothing.",
        discussion: """
            tollgate rules diff rules.yaml

            Exit code 0 if the rules are as the file says, 1 if not.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: RuleFileOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let answer = try await options.send(
            try RuleSource.read(options.file), server, actor, isDryRun: true)
        let (object, text, isSame) = try JSONNode.reading { () throws(JSONError) in
            (
                try answer.object(), try RuleText.file(answer, wouldChange: true),
                try answer.wide("changed") == 0
            )
        }
        output.show(object, text: text)
        if !isSame { throw CommandFailure.negative("") }
    }
}

struct RulesApply: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Makes the rules say what a file says: all of it, or nothing.",
        discussion: """
            tollgate rules apply rules.yaml --by ada@example.org
            tollgate rules apply rules.yaml --dry-run

            Entries say of their rules what they name; the rest stays. It looks first and
            then changes exactly what it saw: if somebody changes a rule in between, it is
            refused. Applied again, a file changes nothing. Exit code 1 if it is refused.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: RuleFileOptions
    @OptionGroup var output: OutputOptions

    @Flag(help: "Show what would be changed, and change nothing.")
    var dryRun = false

    func run() async throws {
        let document = try RuleSource.read(options.file)
        let before = try await server.client.answer(.GET, RulesCommand.path)
        let preview = try await options.send(document, server, actor, isDryRun: true)
        let changed = try JSONNode.reading { () throws(JSONError) in try preview.wide("changed") }
        guard !dryRun, changed > 0 else { return try show(preview, wouldChange: dryRun) }
        if !output.isJSON {
            Console.out(
                try JSONNode.reading { () throws(JSONError) in
                    try RuleText.file(preview, wouldChange: true)
                })
        }
        let answer = try await options.send(
            document, server, actor, isDryRun: false, ifMatch: before.tag)
        if output.isJSON { return try show(answer, wouldChange: false) }
        Console.out("applied")
    }

    private func show(_ answer: JSONNode, wouldChange: Bool) throws(CommandFailure) {
        let (object, text) = try JSONNode.reading { () throws(JSONError) in
            (try answer.object(), try RuleText.file(answer, wouldChange: wouldChange))
        }
        output.show(object, text: text)
    }
}
