// `tollgate catalog lint`.

import ArgumentParser
import Pricing
import StrictJSON

struct CatalogLint: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lint", abstract: "Looks for mistakes in a price list: what is refused, and what is odd.")
    @OptionGroup var reading: CatalogReadingOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The price list.")
    var file: String
    func run() async throws {
        let result = try reading.read(file)
        let odd = result.catalogue.lint()
        output.show(ImportSummary(result).json, text: odd.map { "\($0.kind.rawValue): \($0.provider) \($0.model): \($0.detail)" }.joined(separator: "\n"))
    }
}
