// `tollgate catalog import`.

import ArgumentParser
import Platform
import Pricing
import StrictJSON

struct CatalogImport: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Reads a price list and stages it as a draft, or writes it as a catalogue file.",
        discussion: """
            tollgate catalog import model_prices_and_context_window.json
            tollgate catalog import data.json --format genai-prices --zero-is-free
            tollgate catalog import prices.json --output catalogue.json

            It says how many entries are priced fully, partly and not at all, and lists
            what could not be taken over, with the reason: `--findings` shows all of it.
            Exit code 1 if the file is refused; nothing is changed then.
            """)

    @OptionGroup var reading: CatalogReadingOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The price list; - reads standard input.")
    var file: String

    @Option(
        name: .customLong("output-file"),
        help: ArgumentHelp("Write the catalogue here, and ask no gateway.", valueName: "file"))
    var target: String?

    @Flag(help: "List every finding.")
    var findings = false

    func run() async throws {
        let clock = SystemClock()
        let started = clock.monotonicNanoseconds()
        let result = try reading.read(file)
        let bytes = result.catalogue.canonicalBytes
        let nanoseconds = clock.monotonicNanoseconds() - started
        if let target { try TextFile.write(bytes, to: target) }
        var lines = [
            ImportText.summary(ImportSummary(result)) + " in \(Figures.duration(nanoseconds: nanoseconds))"
        ]
        lines.append(ImportText.findings(result.findings, all: findings))
        output.show(ImportSummary(result).json, text: lines.joined(separator: "\n"))
    }
}
