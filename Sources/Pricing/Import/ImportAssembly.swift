// From drafts of single models to a catalogue: no name twice, every entry accounted for.
//
// Two entries may be the same model. LiteLLM keeps some under their bare name and again behind the
// provider's; it looks for the longer name first, so that one wins here too. The one that loses is listed
// if its prices differ; if they are the same it adds its names. A further name that belongs to another
// model of the provider is not given away.

/// A model that an entry describes.
struct ImportDraft {
    var model: CatalogueModel
    /// Wins over drafts of the same name with a lower one; among equals the first wins.
    var precedence = 0
    /// Further names that may be missing without a word: they were only added for convenience.
    var courtesyNames: [String] = []
}

/// Gathers what the entries of a file came to.
struct ImportAssembly {
    let options: ImportOptions
    private var drafts: [(entry: Int, draft: ImportDraft)] = []
    /// By entry: its name and line, and whether it has been priced.
    private var entries: [(name: String, line: Int, isPriced: Bool)] = []
    private var findings: [(entry: Int, finding: ImportFinding)] = []
    var providerAliases: [String: String] = [:]

    init(options: ImportOptions) { self.options = options }

    /// Adds an entry and what was made of it.
    mutating func add(name: String, line: Int, findings found: [ImportFinding], draft: ImportDraft?) {
        let entry = entries.count
        let isInvalid = found.contains { $0.kind == .invalid }
        entries.append((name, line, draft != nil && !isInvalid))
        findings += found.map { (entry, $0) }
        if let draft, !isInvalid { drafts.append((entry, draft)) }
    }

    /// The catalogue, and the coverage of each entry.
    mutating func finish(
        _ format: CatalogueFormat, version: UInt32
    ) throws(PricingError) -> CatalogueImport {
        let invalid = findings.map(\.finding).filter { $0.kind == .invalid }
        if !invalid.isEmpty && !options.skipsInvalid { throw .invalidEntries(invalid) }
        var catalogue = Catalogue(version: version, source: options.source ?? format.title)
        catalogue.models = resolveNames()
        let providers = Set(catalogue.models.map(\.provider))
        catalogue.providerAliases = providerAliases.merging(ProviderNames.aliases) { own, _ in own }
            .filter { providers.contains($0.value) && !providers.contains($0.key) }
            .map { Catalogue.ProviderAlias(alias: $0.key, provider: $0.value) }
        let lossy = Set(findings.filter { $0.finding.kind.isLoss }.map(\.entry))
        let ordered = findings.enumerated().sorted {
            ($0.element.entry, $0.offset) < ($1.element.entry, $1.offset)
        }
        return CatalogueImport(
            format: format, catalogue: catalogue.sorted(),
            coverage: entries.indices.map { entry in
                entries[entry].isPriced ? lossy.contains(entry) ? .partial : .full : .none
            }, findings: ordered.map(\.element.finding))
    }

    private struct Name: Hashable {
        var provider: String
        var name: String

        init(_ provider: String, _ name: String) {
            self.provider = provider
            self.name = name.asciiLowercased
        }
    }

    private mutating func report(_ kind: ImportFinding.Kind, _ entry: Int, _ detail: String) {
        let (name, line, _) = entries[entry]
        findings.append((entry, ImportFinding(kind: kind, line: line, entry: name, detail: detail)))
    }

    private mutating func resolveNames() -> [CatalogueModel] {
        var winners: [Name: Int] = [:]
        for (index, item) in drafts.enumerated() {
            let name = Name(item.draft.model.provider, item.draft.model.id)
            guard let other = winners[name] else {
                winners[name] = index
                continue
            }
            if drafts[other].draft.precedence < item.draft.precedence { winners[name] = index }
        }
        // The losers give their names to the winner if they say the same, and are listed if not.
        for (index, item) in drafts.enumerated() {
            let model = item.draft.model
            guard let winner = winners[Name(model.provider, model.id)], winner != index else { continue }
            if drafts[winner].draft.model.prices == model.prices {
                drafts[winner].draft.courtesyNames += model.aliases + item.draft.courtesyNames
            } else {
                entries[item.entry].isPriced = false
                report(
                    .shadowed, item.entry,
                    "\(entries[drafts[winner].entry].name) on line \(entries[drafts[winner].entry].line) is the"
                        + " same model of \(model.provider) with other prices, and is the one that is taken")
            }
        }
        var owners = winners
        var models: [CatalogueModel] = []
        for (index, item) in drafts.enumerated() {
            var model = item.draft.model
            guard winners[Name(model.provider, model.id)] == index else { continue }
            /// The names that this model gets: those of nobody, each once.
            func claimed(_ names: [String]) -> [String] {
                names.filter { name in
                    let key = Name(model.provider, name)
                    if let owner = owners[key] {
                        if owner != index { lost.append(name) }
                        return false
                    }
                    owners[key] = index
                    return true
                }
            }
            var lost: [String] = []
            model.aliases = claimed(model.aliases)
            model.patterns = claimed(model.patterns)
            for name in lost {
                report(.name, item.entry, "the name \(name) belongs to another model of \(model.provider)")
            }
            models.append(model)
        }
        // Names of courtesy come last, so that none of them keeps an entry from a name of its own.
        for index in models.indices {
            let winner = winners[Name(models[index].provider, models[index].id)] ?? 0
            for name in drafts[winner].draft.courtesyNames
            where NameGrammar.isVisible(name, bytesMax: PricingLimits.modelBytesMax) && !name.contains("*") {
                let key = Name(models[index].provider, name)
                guard owners[key] == nil else { continue }
                owners[key] = winner
                models[index].aliases.append(name)
            }
        }
        return models
    }
}

extension CatalogueFormat {
    /// What a catalogue of this format says of where it comes from.
    var title: String {
        switch self {
        case .tollgate: ""
        case .litellm: "LiteLLM model_prices_and_context_window.json, MIT License, © Berri AI"
        case .genaiPrices: "pydantic genai-prices, MIT License, © Pydantic Services Inc."
        }
    }
}
