// `tollgate shadow`: a draft that counts beside live traffic what it would charge.

import ArgumentParser
import NIOHTTP1
import Pricing
import StrictJSON

struct ShadowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shadow",
        abstract: "Counts what a draft of the rules would charge, beside live traffic.",
        discussion: """
            tollgate shadow start --rules draft.yaml --by ada@example.org
            tollgate shadow show
            tollgate shadow stop

            Nobody is charged by it. Fees are compared before the monthly allowance, which
            `tollgate simulate` takes into account. It ends when the gateway stops, and so
            do its counts.
            """,
        subcommands: [ShadowStart.self, ShadowShow.self, ShadowStop.self])

    static let path = "/api/v1/pricing/shadow"
}

struct ShadowStart: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "start", abstract: "Puts a draft beside live traffic; one that is there ends.",
        discussion: "Example:  tollgate shadow start --rules draft.yaml")

    @OptionGroup var server: AdminOptions
    @OptionGroup var actor: ActorOptions
    @OptionGroup var output: OutputOptions

    @Option(help: "A file of rules, YAML or JSON.")
    var rules: String?

    @Option(help: "Prices of another catalogue version.")
    var catalog: UInt32?

    func validate() throws {
        guard rules != nil || catalog != nil else {
            throw ValidationError("say --rules FILE, --catalog VERSION, or both")
        }
    }

    func run() async throws {
        var document = JSONObject()
        if let rules { document["rules"] = try RuleSource.read(rules) }
        if let catalog { document["catalogue_version"] = .integer(catalog) }
        let answer = try await server.client.send(
            .POST, ShadowCommand.path, query: [("by", try actor.name())],
            bytes: JSONValue.object(document).bytes())
        let object = try JSONNode.reading { () throws(JSONError) in try answer.object() }
        output.show(object, text: "the draft counts from now on; `tollgate shadow show` tells what")
    }
}

struct ShadowShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Shows what was counted, live against draft.",
        discussion: "Example:  tollgate shadow show --output json")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try ShadowText.show(try await server.client.get(ShadowCommand.path), output)
    }
}

struct ShadowStop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop", abstract: "Takes the draft away, and shows what was counted.",
        discussion: "Example:  tollgate shadow stop")

    @OptionGroup var server: AdminOptions
    @OptionGroup var actor: ActorOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let answer = try await server.client.send(
            .DELETE, ShadowCommand.path, query: [("by", try actor.name())])
        try ShadowText.show(answer, output)
    }
}

private enum ShadowText {
    static func show(_ answer: JSONNode, _ output: OutputOptions) throws(CommandFailure) {
        let (object, text) = try JSONNode.reading { () throws(JSONError) in
            var table = Table(
                [
                    ("", .left), ("tier", .left), ("provider", .left), ("records", .right),
                    ("refused", .right), ("fees, live", .right), ("fees, draft", .right), ("change", .right),
                ], indent: "")
            for row in try answer.field("rows").array() {
                try add(
                    row, [try row.shown("rule_type"), try row.shown("tier"), try row.shown("provider")],
                    to: &table)
            }
            if !table.isEmpty { table.rule() }
            try add(answer.field("total"), ["all", "", ""], to: &table)
            let since =
                "\(try answer.field("counting").bool() ? "counting" : "counted") since"
                + " \(try answer.shown("started_at")), started by \(try answer.shown("started_by"));"
                + " fees before the monthly allowance"
            return (try answer.object(), table.text + "\n" + since)
        }
        output.show(object, text: text)
    }

    private static func add(
        _ sum: JSONNode, _ names: [String], to table: inout Table
    ) throws(JSONError) {
        table.add(
            names + [
                Figures.grouped(try sum.wide("records")), Figures.grouped(try sum.wide("refused_by_draft")),
                try sum.shown("fees_live"), try sum.shown("fees_draft"), try sum.shown("fees_change"),
            ])
    }
}
