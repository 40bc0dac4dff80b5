// `tollgate rules`: the pricing rules, read and changed.
//
//      list --output yaml > rules.yaml      all rules, as a file for git
//      diff rules.yaml                      what the file would change
//      apply rules.yaml                     all of it or nothing, by one call; again, nothing

import ArgumentParser
import NIOHTTP1
import StrictJSON

struct RulesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rules",
        abstract: "Shows the pricing rules and changes them, one by one or as a file.",
        discussion: """
            tollgate rules list
            tollgate rules list --output yaml > rules.yaml
            tollgate rules diff rules.yaml
            tollgate rules apply rules.yaml --by ada@example.org
            tollgate rules schedule professional --set markup_value=1.70 --at 2027-02-01
            tollgate rules deactivate rule_huggingface
            tollgate rules history professional

            A platform rule is named by its tier, a BYOK rule by its id. A rule is never
            edited: it gets a version. An increase of what users pay needs days of notice
            (notice_days) or a reason.
            """,
        subcommands: [
            RulesList.self, RulesGet.self, RulesDiff.self, RulesApply.self, RulesSchedule.self,
            RulesDeactivate.self, RulesReactivate.self, RulesExpire.self, RulesWithdraw.self,
            RulesHistory.self, RulesAudit.self,
        ])

    /// Where the gateway serves rules.
    static let path = "/api/v1/pricing/rules"
}

/// A rule by what a person calls it.
struct RuleName {
    /// Its path, and the document at it.
    let path: String
    let document: JSONNode

    /// Finds `professional`, `rule_openrouter`, or either with its kind: `platform/professional`.
    static func find(_ name: String, _ client: AdminClient) async throws(CommandFailure) -> RuleName {
        let kinds = ["platform", "byok"]
        if let kind = kinds.first(where: { name.hasPrefix($0 + "/") }) {
            let path =
                RulesCommand.path + "/\(kind)/" + AdminClient.encode(String(name.dropFirst(kind.count + 1)))
            return RuleName(path: path, document: try await client.get(path))
        }
        var failure: CommandFailure?
        for kind in kinds {
            let path = RulesCommand.path + "/\(kind)/" + AdminClient.encode(name)
            do throws(CommandFailure) {
                return RuleName(path: path, document: try await client.get(path))
            } catch {
                if case .environment = error { throw error }
                failure = error
            }
        }
        let known = try await names(client)
        let hint = Nearest.hint(name, among: known)
        throw failure == nil || known.isEmpty
            ? .negative("there is no rule `\(name)`") : .negative("there is no rule `\(name)`; \(hint)")
    }

    private static func names(_ client: AdminClient) async throws(CommandFailure) -> [String] {
        let file = try await client.get(RulesCommand.path)
        return try JSONNode.reading { () throws(JSONError) in
            var names: [String] = []
            for rule in try file.field("platform").array() { names.append(try rule.shown("tier_code")) }
            for rule in try file.field("byok").array() { names.append(try rule.shown("id")) }
            return names
        }
    }
}

/// How rules are shown: a list can also be YAML.
enum RulesFormat: String, ExpressibleByArgument, CaseIterable {
    case text, json, yaml
}

struct RulesList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Lists the rules: in force, and what is scheduled.",
        discussion: """
            tollgate rules list --output yaml > rules.yaml

            JSON and YAML are the file that `rules apply` takes; applied as it is, it
            changes nothing.
            """)

    @OptionGroup var server: AdminOptions

    @Option(help: ArgumentHelp("How to answer.", valueName: "text|json|yaml"))
    var output = RulesFormat.text

    func run() async throws {
        let file = try await server.client.get(RulesCommand.path)
        switch output {
        case .json: Console.out(file.value.text(.pretty))
        case .yaml: Console.out(RuleSource.yaml(file.value))
        case .text:
            Console.out(
                try JSONNode.reading { () throws(JSONError) in
                    try RuleText.platform(file.field("platform")) + "\n\n"
                        + RuleText.byok(file.field("byok"))
                })
        }
    }
}

struct RulesGet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get", abstract: "Shows one rule, whole.",
        discussion: "Example:  tollgate rules get professional")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "Its tier, or its id.")
    var rule: String

    @Option(help: "At another time than now, such as 2027-01-01.")
    var at: String?

    func run() async throws {
        let found = try await RuleName.find(rule, server.client)
        let document =
            at == nil
            ? found.document
            : try await server.client.get(found.path, query: [("effective_at", at ?? "")])
        let (object, rows) = try JSONNode.reading { () throws(JSONError) in
            (try document.object(), try RuleText.rows(document))
        }
        output.show(object, text: facts(rows, indent: ""))
    }
}

struct RulesHistory: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history", abstract: "Shows every version of a rule, the newest first.",
        discussion: "Example:  tollgate rules history rule_openrouter")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "Its tier, or its id.")
    var rule: String

    func run() async throws {
        let found = try await RuleName.find(rule, server.client)
        let answer = try await server.client.get(found.path + "/history")
        let (object, text) = try JSONNode.reading { () throws(JSONError) in
            var table = Table(
                [
                    ("version", .right), ("state", .left), ("from", .left), ("until", .left), ("says", .left),
                    ("by", .left), ("description", .left),
                ], indent: "")
            for version in try answer.field("versions").array() {
                table.add([
                    try version.shown("version"), try version.shown("state"),
                    try version.shown("effective_at"), try version.shown("effective_until"),
                    try RuleText.says(version), try version.shown("created_by"),
                    try version.shown("description"),
                ])
            }
            return (try answer.object(), table.text)
        }
        output.show(object, text: text)
    }
}

struct RulesAudit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Shows who changed what, the newest first.",
        discussion: """
            tollgate rules audit
            tollgate rules audit rule_openrouter --limit 100 --output json

            JSON has what was there before and after.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "Only about this: a rule's id, or the number of a catalogue version.")
    var subject: String?

    @Option(help: "Only this action, such as rule.update, or all of a kind: rule, catalogue.")
    var action: String?

    @Option(help: "Lines, at most 500.")
    var limit = 20

    @Option(help: "Lines older than this one.")
    var before: Int64?

    func run() async throws {
        var query = [("limit", "\(limit)")]
        if let subject { query.append(("subject", subject)) }
        if let action { query.append(("action", action)) }
        if let before { query.append(("before", "\(before)")) }
        let answer = try await server.client.get("/api/v1/pricing/audit", query: query)
        let (object, text) = try JSONNode.reading { () throws(JSONError) in
            var table = Table(
                [
                    ("line", .right), ("time", .left), ("who", .left), ("did", .left), ("to", .left),
                    ("what", .left),
                ], indent: "")
            for row in try answer.field("audit").array() {
                table.add([
                    try row.shown("id"), try row.shown("at"), try row.shown("actor"),
                    try row.shown("action"), String(try row.shown("subject").prefix(32)),
                    try RuleText.difference(try row.optional("old"), try row.optional("new")),
                ])
            }
            var lines = [table.isEmpty ? "nothing was changed" : table.text]
            if try answer.optional("next_before") != nil {
                lines.append("more: --before \(try answer.shown("next_before"))")
            }
            return (try answer.object(), lines.joined(separator: "\n"))
        }
        output.show(object, text: text)
    }
}
