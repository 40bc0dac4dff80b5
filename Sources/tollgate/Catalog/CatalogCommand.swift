// `tollgate catalog`: the prices, from a price list to the book that charges follow.
//
//      import FILE ──→ draft ──diff──→ approve ──→ in force          at a gateway, every step audited
//      import FILE --output OUT ──→ a catalogue file                 offline, as are lint and diff of files
//
// A price list is never in force because somebody read it: it becomes a draft beside the catalogue in
// use, and a person approves it by its number.

import ArgumentParser
import Foundation
import Pricing
import StrictJSON

struct CatalogCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "catalog",
        abstract: "Imports price lists, compares, approves and shows them.",
        discussion: """
            tollgate catalog import model_prices_and_context_window.json
            tollgate catalog diff
            tollgate catalog approve 2 --by ada@example.org
            tollgate catalog show claude-sonnet-5

            Without a gateway, on files alone:

            tollgate catalog import prices.json --output catalogue.json
            tollgate catalog lint catalogue.json
            tollgate catalog diff old.json new.json
            """,
        subcommands: [
            CatalogImport.self, CatalogLint.self, CatalogDiff.self, CatalogApprove.self, CatalogShow.self,
            CatalogList.self, CatalogExport.self,
        ])

    /// Where the gateway serves catalogues.
    static let path = "/api/v1/pricing/catalogue"
}

extension CatalogueFormat: ExpressibleByArgument {}

/// How a price list is read.
struct CatalogReadingOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Its format; told from the file without it.", valueName: "litellm|genai-prices|tollgate"))
    var format: CatalogueFormat?

    @Flag(help: "A price of 0 means free. Without it the unit is withheld, and listed.")
    var zeroIsFree = false

    @Flag(help: "Round rates that are not whole in picodollars. Without it they are withheld, and listed.")
    var round = false

    @Flag(help: "Leave entries out that are wrong in themselves. Without it they refuse the file.")
    var skipInvalid = false

    @Option(help: "What the catalogue says of where it comes from.")
    var source: String?

    var options: ImportOptions {
        ImportOptions(
            zeroIsFree: zeroIsFree, roundsRates: round, skipsInvalid: skipInvalid, source: source)
    }

    /// The same for the gateway.
    var query: [(String, String)] {
        var query: [(String, String)] = []
        if let format { query.append(("format", format.rawValue)) }
        if let source { query.append(("source", source)) }
        for (name, isSet) in [
            ("zero_is_free", zeroIsFree), ("round", round), ("skip_invalid", skipInvalid),
        ] where isSet { query.append((name, "true")) }
        return query
    }

    /// The bytes of a price list, within its bound.
    static func bytes(_ path: String) throws(CommandFailure) -> [UInt8] {
        try TextFile.read(path, limit: PricingLimits.importBytesMax)
    }

    /// Reads a file; what is wrong in it is a no, with its place.
    func read(_ path: String) throws(CommandFailure) -> CatalogueImport {
        let bytes = try Self.bytes(path)
        do throws(PricingError) {
            return try Catalogue.importing(bytes, format: format, options: options)
        } catch {
            throw .negative("\(path): \(error)")
        }
    }
}

/// Who does something, for the audit.
struct ActorOptions: ParsableArguments {
    @Option(help: "Who does this, for the audit; the login name without it.")
    var by: String?

    func name() throws(CommandFailure) -> String {
        let environment = ProcessInfo.processInfo.environment
        for name in [by, environment["USER"], environment["LOGNAME"]] {
            if let name, !name.isEmpty { return name }
        }
        throw .environment("nobody knows who does this: say --by NAME")
    }
}
