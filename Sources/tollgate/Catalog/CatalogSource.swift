// A catalogue by what a person calls it: `live`, the number of a version, or a file.

import Pricing
import StrictJSON

/// A catalogue, wherever it is.
enum CatalogSource: Hashable {
    /// The version in force at the gateway.
    case live
    case version(UInt32)
    case file(String)

    /// A file whose name is a number is named with its directory: `./7`.
    init(_ text: String) {
        if text == "live" {
            self = .live
        } else if let number = UInt32(text) {
            self = .version(number)
        } else {
            self = .file(text)
        }
    }

    /// The word that the gateway knows; nil for a file.
    var version: String? {
        switch self {
        case .live: "live"
        case .version(let number): "\(number)"
        case .file: nil
        }
    }

    var name: String {
        switch self {
        case .live: "the catalogue in force"
        case .version(let number): "version \(number)"
        case .file(let path): path
        }
    }

    /// Reads it, a file in whichever format it is.
    func load(
        _ server: AdminOptions, _ reading: CatalogReadingOptions
    ) async throws(CommandFailure) -> Catalogue {
        if case .file(let path) = self { return try reading.read(path).catalogue }
        let bytes = try await file(server)
        do throws(PricingError) {
            return try Catalogue(parsing: bytes, version: 0)
        } catch {
            throw .environment(
                "the gateway's catalogue cannot be read: \(error); compare the versions of both")
        }
    }

    /// The bytes of a version's file.
    func file(_ server: AdminOptions) async throws(CommandFailure) -> [UInt8] {
        try await server.client.bytes(CatalogCommand.path + "/file", query: [("version", version ?? "live")])
    }
}
