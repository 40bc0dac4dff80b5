// `tollgate catalog diff`.

import ArgumentParser
import Pricing
import StrictJSON

struct CatalogDiff: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff", abstract: "Shows what a catalogue changes of another.")
    @OptionGroup var reading: CatalogReadingOptions
    @OptionGroup var output: OutputOptions
    @Argument var before: String
    @Argument var after: String
    func run() async throws {
        let diff = try reading.read(before).catalogue.diff(to: reading.read(after).catalogue)
        output.show(diff.json, text: "\(diff.added.count) \(diff.removed.count) \(diff.changed.count)")
    }
}
