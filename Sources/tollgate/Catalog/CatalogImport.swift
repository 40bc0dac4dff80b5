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
            tollgate catalog import model_prices_and_context_window.json --keep-missing
            tollgate catalog import data.json --format genai-prices --zero-is-free
            tollgate catalog import prices.json --output catalogue.json

            It says how many entries are priced fully, partly and not at all, and lists
            what could not be taken over, with the reason: --findings shows all of it.
            A draft prices nothing until it is approved. Exit code 1 if the file is
            refused; nothing is changed then.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var reading: CatalogReadingOptions
    @OptionGroup var actor: ActorOptions

    @Argument(help: "The price list; - reads standard input.")
    var file: String

    @Option(
        help: ArgumentHelp(
            "How to answer; or a file for the catalogue, and no gateway is asked.",
            valueName: "text|json|file"))
    var output = "text"

    @Flag(help: "Keep the models in force that the list does not name.")
    var keepMissing = false

    @Option(
        help:
            "When its prices begin, those in force ending there, such as 2027-01-01T00:00:00Z; always without it."
    )
    var effectiveFrom: String?

    @Flag(help: "List every finding.")
    var findings = false

    func run() async throws {
        if let format = OutputFormat(rawValue: output) {
            try await stage(format == .json)
        } else {
            try write(to: output)
        }
    }

    private func write(to target: String) throws {
        guard !keepMissing, effectiveFrom == nil else {
            throw CommandFailure.environment(
                "--keep-missing and --effective-from need the catalogue in force, so they need a gateway")
        }
        let clock = SystemClock()
        let started = clock.monotonicNanoseconds()
        let result = try reading.read(file)
        try TextFile.write(result.catalogue.canonicalBytes, to: target)
        let nanoseconds = clock.monotonicNanoseconds() - started
        let report = JSONNode(.object(result.report))
        let text = try JSONNode.reading { () throws(JSONError) in
            try ImportText.lines(report, isFull: findings)
        }
        Console.out(text.joined(separator: "\n"))
        Console.out("written to \(target) in \(Figures.duration(nanoseconds: nanoseconds))")
    }

    private func stage(_ isJSON: Bool) async throws {
        var query = reading.query
        query.append(("by", try actor.name()))
        if keepMissing { query.append(("keep_missing", "true")) }
        if let effectiveFrom { query.append(("effective_from", effectiveFrom)) }
        let bytes = try CatalogReadingOptions.bytes(file)
        let answer = try await server.client.post(
            CatalogCommand.path + "/import", query: query, bytes: bytes)
        let (object, lines) = try JSONNode.reading { () throws(JSONError) in
            (
                try answer.object(),
                try ImportText.lines(try answer.field("import"), isFull: findings)
                    + ImportText.staged(answer)
            )
        }
        Console.out(isJSON ? JSONValue.object(object).text(.pretty) : lines.joined(separator: "\n"))
    }
}
