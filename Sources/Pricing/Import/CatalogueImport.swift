// Price lists of others, read as a catalogue: what they say exactly, and a list of what they say that a
// catalogue cannot.
//
//      bytes ─→ format, detected or given ─→ entries, one at a time ─→ drafts of models ─→ catalogue
//                                                  │                       │
//                                                  └──────findings─────────┘
//
// Numbers are read as decimal text, so a rate is the one that was written or none at all. What has no place
// in a catalogue becomes a finding with its line, entry and field, never a guess: a unit whose price cannot
// be said is withheld, so that its use is parked and not billed by some other rate. What is wrong in
// itself, such as a negative price, refuses the whole file, because nobody knows what else is wrong in it.
//
// Every entry of the file is counted once: priced fully, priced partly, or not priced.

import Money
import StrictJSON

/// The formats of price lists.
public enum CatalogueFormat: String, Hashable, Sendable, CaseIterable {
    /// A catalogue file of this program.
    case tollgate
    /// LiteLLM's `model_prices_and_context_window.json`.
    case litellm
    /// pydantic's `genai-prices`, `data.json`.
    case genaiPrices = "genai-prices"

    /// The format that `bytes` seem to be in: an array is a list of providers, an object a map of models,
    /// unless it names this program's own format. O(bytes).
    public static func detected(in bytes: [UInt8]) -> CatalogueFormat {
        let first = bytes.first { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }
        if first == UInt8(ascii: "[") { return .genaiPrices }
        let mark = Array("\"tollgate-catalogue/".utf8)
        var start = bytes.startIndex
        while let quote = bytes[start...].firstIndex(of: mark[0]) {
            if bytes[quote...].starts(with: mark) { return .tollgate }
            start = quote + 1
        }
        return .litellm
    }
}

/// What an importer may decide by itself.
public struct ImportOptions: Hashable, Sendable {
    /// A price of 0 means free. Without it a 0 may be a gap: its unit is withheld, and listed.
    public var zeroIsFree: Bool
    /// A rate that is not whole in picodollars is rounded half up and listed. Without it the unit is
    /// withheld.
    public var roundsRates: Bool
    /// Entries with something wrong in them are left out and listed. Without it they refuse the file.
    public var skipsInvalid: Bool
    /// What the catalogue says of where it comes from; nil for the name of the format.
    public var source: String?

    public init(
        zeroIsFree: Bool = false, roundsRates: Bool = false, skipsInvalid: Bool = false,
        source: String? = nil
    ) {
        self.zeroIsFree = zeroIsFree
        self.roundsRates = roundsRates
        self.skipsInvalid = skipsInvalid
        self.source = source
    }
}

/// What came of reading a price list.
public struct CatalogueImport: Sendable {
    /// How much of an entry the catalogue says.
    public enum Coverage: Hashable, Sendable {
        /// Every price of it.
        case full
        /// At least one price of it; the findings name the others.
        case partial
        /// None.
        case none
    }

    public var format: CatalogueFormat
    public var catalogue: Catalogue
    /// One for each entry of the file, in its order.
    public var coverage: [Coverage]
    /// In the order of the file.
    public var findings: [ImportFinding]

    /// Entries of the file; the three counts add up to it.
    public var entryCount: Int { coverage.count }
    public var fullyPriced: Int { coverage.count { $0 == .full } }
    public var partlyPriced: Int { coverage.count { $0 == .partial } }
    public var notPriced: Int { coverage.count { $0 == .none } }
}

extension Catalogue {
    /// Reads a price list. O(bytes); some hundred milliseconds for thousands of models.
    ///
    /// - Parameters:
    ///   - format: nil to detect it.
    ///   - version: the version of the catalogue that is made.
    /// - Throws: where the text is not JSON or longer than `PricingLimits.importBytesMax`; `.invalidEntries`
    ///   with every entry that is wrong in itself; what `check` throws; `.nothingPriced`.
    public static func importing(
        _ bytes: [UInt8], format: CatalogueFormat? = nil, options: ImportOptions = ImportOptions(),
        version: UInt32 = 0
    ) throws(PricingError) -> CatalogueImport {
        guard bytes.count <= PricingLimits.importBytesMax else {
            throw .json(.tooLong(bytes: bytes.count, bytesMax: PricingLimits.importBytesMax))
        }
        let format = format ?? CatalogueFormat.detected(in: bytes)
        var assembly = ImportAssembly(options: options)
        do throws(JSONError) {
            switch format {
            case .tollgate: break
            case .litellm: try LiteLLMReader.read(bytes, into: &assembly)
            case .genaiPrices: try GenAIPricesReader.read(bytes, into: &assembly)
            }
        } catch {
            throw .json(error)
        }
        var result: CatalogueImport
        if format == .tollgate {
            let catalogue = try Catalogue(parsing: bytes, version: version)
            result = CatalogueImport(
                format: format, catalogue: catalogue,
                coverage: catalogue.models.map { _ in .full }, findings: [])
            if let source = options.source { result.catalogue.source = source }
        } else {
            result = try assembly.finish(format, version: version)
        }
        if result.catalogue.models.isEmpty { throw .nothingPriced(entries: result.entryCount) }
        try result.catalogue.check()
        return result
    }
}
