// `tollgate budgets`: what an account and all below it may use in a window.

import ArgumentParser
import StrictJSON

struct BudgetsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "budgets",
        abstract: "Limits what an account and all below it use in a window.",
        discussion: """
            tollgate budgets set acme daily --window day --metric cost --limit 25 --hard
            tollgate budgets set acme/search calls --window minute --metric requests --limit 600
            tollgate budgets list acme/search
            tollgate budgets remove acme daily

            A charge counts in every budget of its account and of those above it, an open
            hold as well. A hard budget refuses the holds and quotes that would go above
            it, with the time at which it opens again; usage that happened is always
            recorded. A soft one only counts.
            """,
        subcommands: [BudgetSet.self, BudgetList.self, BudgetRemove.self])

    static let path = "/api/v1/budgets"
}

struct BudgetSet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set",
        abstract: "Sets a budget, or changes the one of the same name.",
        discussion: """
            tollgate budgets set acme daily --window day --metric cost --limit 25 --hard
            tollgate budgets set acme gpt --window anchored_month --anchor-day 15 \\
                --metric tokens --limit 2000000 --provider openai --model gpt-4o

            Windows: minute, hour, day, week, month, anchored_month, total; all in UTC, a
            week begins on Monday. Another limit, or hard instead of soft, keeps what was
            counted; another window, metric or filter begins to count from now.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path.")
    var account: String

    @Argument(help: "The budget's name, yours to choose.")
    var name: String

    @Option(
        help: ArgumentHelp(
            "When it begins again.", valueName: "minute|hour|day|week|month|anchored_month|total"))
    var window: String

    @Option(help: ArgumentHelp("What it counts.", valueName: "cost|tokens|requests"))
    var metric: String

    @Option(help: "Credits for cost; a whole number for tokens and requests.")
    var limit: String

    @Flag(help: "Refuse holds and quotes above it; without, it only counts.")
    var hard = false

    @Option(help: "Count only what this provider served.")
    var provider: String?

    @Option(help: "Count only what this model served.")
    var model: String?

    @Option(
        help: "1 to 31, the day on which an anchored_month begins; the last where a month has no such day.")
    var anchorDay: Int?

    @Option(help: "Who sets it.")
    var by: String?

    @Option(help: "Why; kept with the change.")
    var reason: String?

    func run() async throws {
        var document: JSONObject = [
            "account": .string(account), "name": .string(name), "window": .string(window),
            "metric": .string(metric), "hard": .bool(hard),
        ]
        // Credits are exact as text, and a count of anything is a number.
        if metric == "cost" {
            document["limit"] = .string(limit)
        } else {
            guard let count = Int64(limit) else {
                throw CommandFailure.environment("--limit \(limit): for \(metric), write a whole number")
            }
            document["limit"] = .integer(count)
        }
        if let anchorDay { document["anchor_day"] = .integer(anchorDay) }
        for (key, value) in [("provider", provider), ("model", model), ("by", by), ("reason", reason)] {
            if let value { document[key] = .string(value) }
        }
        let answer = try await server.client.send(
            .PUT, BudgetsCommand.path, bytes: JSONValue.object(document).bytes())
        let (object, rows) = try JSONNode.reading { () throws(JSONError) in
            (try answer.object(), try BudgetText.rows(answer))
        }
        output.show(object, text: facts(rows, indent: ""))
    }
}

struct BudgetList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Lists the budgets that an account's usage counts in: its own, then those above it.",
        discussion: "Example:  tollgate budgets list acme/search")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path.")
    var account: String

    func run() async throws {
        let answer = try await server.client.get(BudgetsCommand.path, query: [("account", account)])
        let (object, text) = try JSONNode.reading { () throws(JSONError) in
            (try answer.object(), try Self.text(answer))
        }
        output.show(object, text: text)
    }

    private static func text(_ answer: JSONNode) throws(JSONError) -> String {
        var table = Table(
            [
                ("account", .left), ("budget", .left), ("per", .left), ("of", .left), ("limit", .right),
                ("used", .right), ("held", .right), ("left", .right), ("", .left), ("begins again", .left),
            ], indent: "")
        for row in try answer.field("budgets").array() {
            table.add([
                try row.shown("user_id"), try row.shown("name"), try row.shown("window"),
                try BudgetText.counted(row), try BudgetText.amount(row, "limit"),
                try BudgetText.amount(row, "used"), try BudgetText.amount(row, "held"),
                try BudgetText.amount(row, "left"), try row.field("hard").bool() ? "hard" : "soft",
                try row.shown("window_end"),
            ])
        }
        return table.isEmpty ? "no budget on this account or above it" : table.text
    }
}

struct BudgetRemove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Takes a budget away.",
        discussion: "Example:  tollgate budgets remove acme daily --by ada@example.org --reason \"new plan\"")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path.")
    var account: String

    @Argument(help: "The budget's name.")
    var name: String

    @Option(help: "Who removes it.")
    var by: String?

    @Option(help: "Why; kept with the change.")
    var reason: String?

    func run() async throws {
        var document: JSONObject = ["account": .string(account), "name": .string(name)]
        for (key, value) in [("by", by), ("reason", reason)] {
            if let value { document[key] = .string(value) }
        }
        let answer = try await server.client.send(
            .DELETE, BudgetsCommand.path, bytes: JSONValue.object(document).bytes())
        let object = try JSONNode.reading { () throws(JSONError) in try answer.object() }
        output.show(object, text: "removed the budget \(name) of \(account)")
    }
}

/// A budget in words.
enum BudgetText {
    static func rows(_ budget: JSONNode) throws(JSONError) -> [(String, String)] {
        let isHard = try budget.field("hard").bool()
        var rows = [
            ("budget", "\(try budget.shown("name")) of \(try budget.shown("user_id"))"),
            (
                "limit",
                "\(try amount(budget, "limit")) \(try counted(budget)) per \(try budget.shown("window")),"
                    + (isHard ? " hard: holds and quotes above it are refused" : " soft: it only counts")
            ),
            ("used", try amount(budget, "used")), ("held", try amount(budget, "held")),
            ("left", try amount(budget, "left")),
        ]
        if try budget.optional("window_end") != nil {
            rows.append(("begins again", try budget.shown("window_end")))
        }
        return rows
    }

    /// What it counts, and of what.
    static func counted(_ budget: JSONNode) throws(JSONError) -> String {
        let metric = try budget.shown("metric")
        var words = metric == "cost" ? "credits" : metric
        for key in ["provider", "model"] where try budget.optional(key) != nil {
            let name = try budget.shown(key)
            if !name.isEmpty { words += " \(name)" }
        }
        return words
    }

    static func amount(_ budget: JSONNode, _ key: String) throws(JSONError) -> String {
        if try budget.shown("metric") == "cost" { return try budget.credits(key) }
        return Figures.grouped(try budget.wide(key))
    }
}
