// `tollgate catalog show`: what a model costs, and by which of its names it was found.

import ArgumentParser
import Pricing
import StrictJSON

struct CatalogShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Shows what a model costs, by any of its names.",
        discussion: """
            tollgate catalog show claude-sonnet-5
            tollgate catalog show gpt-4o --provider azure --in 2
            tollgate catalog show gpt-4o --in catalogue.json

            Exit code 1 if no model has the name.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var reading: CatalogReadingOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "A model's name, an alias, or a name that a pattern fits.")
    var model: String

    @Option(help: "Its provider; all of them without it.")
    var provider: String?

    @Option(
        name: .customLong("in"),
        help: ArgumentHelp("Which catalogue; the one in force without it.", valueName: "live|version|file"))
    var catalogue = "live"

    func run() async throws {
        let found = try await find()
        if found.isEmpty { throw CommandFailure.negative("no model has the name \(model)") }
        let json: JSONObject = [
            "models": .array(
                found.map { model, match in
                    ["match": .string(match), "model": model.document]
                })
        ]
        output.show(json, text: found.map(Self.text).joined(separator: "\n\n"))
    }

    private func find() async throws -> [(model: CatalogueModel, match: String)] {
        let source = CatalogSource(catalogue)
        guard let version = source.version else {
            return try await source.load(server, reading).models(named: model, provider: provider)
                .map { ($0.model, $0.match.rawValue) }
        }
        var query = [("model", model), ("version", version)]
        if let provider { query.append(("provider", provider)) }
        let answer = try await server.client.get(CatalogCommand.path + "/models", query: query)
        return try JSONNode.reading { () throws(JSONError) in
            var found: [(CatalogueModel, String)] = []
            for node in try answer.field("models").array() {
                found.append(
                    (try CatalogueModel(document: try node.field("model")), try node.shown("match")))
            }
            return found
        }
    }

    private static func text(_ model: CatalogueModel, _ match: String) -> String {
        var lines = ["\(model.provider) \(model.id)" + (match == "exact" ? "" : ", found by \(match)")]
        if !model.aliases.isEmpty { lines.append("also  \(model.aliases.joined(separator: ", "))") }
        if !model.patterns.isEmpty { lines.append("fits  \(model.patterns.joined(separator: ", "))") }
        var table = Table([("unit", .left), ("price", .right), ("", .left)], indent: "  ")
        for price in model.singlePrices { table.add([price.place, price.text, price.unit]) }
        return (lines + [table.text]).joined(separator: "\n")
    }
}
