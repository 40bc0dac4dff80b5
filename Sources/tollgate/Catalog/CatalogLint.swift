// `tollgate catalog lint`.

import ArgumentParser
import Pricing
import StrictJSON

struct CatalogLint: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lint",
        abstract: "Looks for mistakes in prices: what is refused, what is missing, what is odd.",
        discussion: """
            tollgate catalog lint prices.json
            tollgate catalog lint new.json --against old.json
            tollgate catalog lint --live
            tollgate catalog lint 3 --against live

            A file may be a price list of any format, and needs no gateway. Exit code 1
            if it is refused or if there is something odd.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var reading: CatalogReadingOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: ArgumentHelp("What to look at.", valueName: "file|version"))
    var subject: String?

    @Flag(help: "Look at the catalogue in force.")
    var live = false

    @Option(
        help: ArgumentHelp(
            "Tell what changed tenfold or vanished since this one.", valueName: "file|version|live"))
    var against: String?

    func validate() throws {
        guard live != (subject != nil) else {
            throw ValidationError("name a file or a version, or say --live")
        }
    }

    func run() async throws {
        let source = subject.map { CatalogSource($0) } ?? .live
        var findings: [ImportFinding] = []
        let catalogue: Catalogue
        if case .file(let path) = source {
            let imported = try reading.read(path)
            (catalogue, findings) = (imported.catalogue, imported.findings)
        } else {
            catalogue = try await source.load(server, reading)
        }
        var previous: Catalogue?
        if let against { previous = try await CatalogSource(against).load(server, reading) }
        let odd = catalogue.lint(previous: previous)
        let json: JSONObject = [
            "subject": .string(source.name), "models": .integer(catalogue.models.count),
            "findings": .array(findings.map { .object($0.json) }),
            "lint": .array(odd.map { .object($0.json) }),
        ]
        output.show(json, text: Self.text(source.name, catalogue, findings, odd))
        if !odd.isEmpty || !findings.isEmpty { throw CommandFailure.negative("") }
    }

    private static func text(
        _ name: String, _ catalogue: Catalogue, _ findings: [ImportFinding], _ odd: [LintFinding]
    ) -> String {
        var lines = findings.map { "\($0.kind.rawValue): \($0)" }
        lines += odd.map { "\($0.kind.rawValue): \($0.provider) \($0.model): \($0.detail)" }
        lines.append(
            "\(name): \(Figures.grouped(catalogue.models.count)) models,"
                + " \(Figures.grouped(findings.count)) things not taken over, \(Figures.grouped(odd.count)) oddities"
        )
        return lines.joined(separator: "\n")
    }
}
