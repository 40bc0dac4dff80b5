// `tollgate catalog diff`.

import ArgumentParser
import Pricing
import StrictJSON

struct CatalogDiff: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Shows what one catalogue changes of another, price by price.",
        discussion: """
            tollgate catalog diff                  the newest draft, against what is in force
            tollgate catalog diff 2 3              two versions
            tollgate catalog diff live new.json    a file, against what is in force
            tollgate catalog diff old.json new.json

            Two files need no gateway. Exit code 0 if they say the same, 1 if not.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var reading: CatalogReadingOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: ArgumentHelp("What is there.", valueName: "live|version|file"))
    var before: String?

    @Argument(help: ArgumentHelp("What would be.", valueName: "version|file"))
    var after: String?

    @Option(help: "Models of each kind to show; 0 shows all.")
    var limit = 20

    func validate() throws {
        guard limit >= 0 else { throw ValidationError("--limit is 0 or more") }
        guard before == nil || after != nil else { throw ValidationError("name both, or neither") }
    }

    func run() async throws {
        let old = before.map { CatalogSource($0) } ?? .live
        let new: CatalogSource
        if let after { new = CatalogSource(after) } else { new = try await newestDraft() }
        let diff = try await old.load(server, reading).diff(to: new.load(server, reading))
        output.show(diff.json, text: Self.text(diff, "from \(old.name) to \(new.name)", limit: limit))
        if !diff.isEmpty { throw CommandFailure.negative("") }
    }

    private func newestDraft() async throws(CommandFailure) -> CatalogSource {
        let answer = try await server.client.get(CatalogCommand.path + "/versions")
        let newest = try JSONNode.reading { () throws(JSONError) in
            var newest: UInt32?
            for version in try answer.field("versions").array()
            where try version.field("state").string() == "draft" {
                newest = UInt32(try version.field("version").integer(in: 1...Int64(UInt32.max)))
            }
            return newest
        }
        guard let newest else { throw .negative("there is no draft; `tollgate catalog import` makes one") }
        return .version(newest)
    }

    static func text(_ diff: CatalogueDiff, _ title: String, limit: Int) -> String {
        var lines: [String] = []
        func section<Item>(_ items: [Item], _ name: String, _ show: (Item) -> [String]) {
            guard !items.isEmpty else { return }
            lines.append("\(name): \(Figures.grouped(items.count))")
            let shown = limit == 0 ? items[...] : items.prefix(limit)
            lines += shown.flatMap(show)
            if shown.count < items.count {
                lines.append("  and \(Figures.grouped(items.count - shown.count)) more; --limit 0 shows them")
            }
        }
        section(diff.removed, "removed") { ["  − \($0.provider) \($0.id)"] }
        section(diff.added, "added") { ["  + \($0.provider) \($0.id)"] }
        let repriced = diff.changed.filter { !$0.prices.isEmpty }
        let renamed = diff.changed.filter { $0.prices.isEmpty }
        section(repriced, "other prices", changeLines)
        section(renamed, "only other names", changeLines)
        lines.append(
            "\(title): \(Figures.grouped(diff.removed.count)) removed, \(Figures.grouped(diff.added.count)) added,"
                + " \(Figures.grouped(repriced.count)) with other prices,"
                + " \(Figures.grouped(renamed.count)) with other names,"
                + " \(Figures.grouped(diff.unchangedCount)) the same")
        return lines.joined(separator: "\n")
    }

    private static func changeLines(_ change: CatalogueDiff.Change) -> [String] {
        var lines = ["  ~ \(change.model.provider) \(change.model.id)"]
        for price in change.prices {
            let unit = price.unit.isEmpty ? "" : " \(price.unit)"
            lines.append(
                "      \(price.place): \(price.before ?? "nothing") → \(price.after ?? "nothing")\(unit)")
        }
        if !change.namesAdded.isEmpty {
            lines.append("      names added: \(change.namesAdded.joined(separator: ", "))")
        }
        if !change.namesRemoved.isEmpty {
            lines.append("      names removed: \(change.namesRemoved.joined(separator: ", "))")
        }
        return lines
    }
}
