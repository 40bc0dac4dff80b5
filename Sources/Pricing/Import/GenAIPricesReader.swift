// pydantic's genai-prices: a list of providers, each with its models, prices in USD per million tokens and
// per thousand of what is counted singly.
//
// An entry here is a model. What a provider says beside its models tells a program how to recognise the
// provider in an answer (`api_pattern`, `extractors`, `provider_match`, `model_match`); a usage record names
// its provider, so none of that is about prices.

import StrictJSON

enum GenAIPricesReader {
    /// Reads the list into `assembly`.
    static func read(_ bytes: [UInt8], into assembly: inout ImportAssembly) throws(JSONError) {
        let options = assembly.options
        let root = try JSONMember.read(
            bytes, bytesMax: PricingLimits.importBytesMax, memberBytesMax: PricingLimits.importEntryBytesMax
        ) { member in
            let place = member.node.path.description
            func refuse(_ problem: String) {
                let finding = ImportFinding(kind: .invalid, line: member.line, entry: place, detail: problem)
                assembly.add(name: place, line: member.line, findings: [finding], draft: nil)
            }
            guard case .object(let provider) = member.node.value, case .string(let id)? = provider["id"],
                !id.isEmpty
            else { return refuse("expected a provider with its id") }
            guard case .array(let models)? = provider["models"] else {
                return refuse("the provider \(id) has no list of models")
            }
            let name = ProviderNames.canonical(id.asciiLowercased)
            if name != id.asciiLowercased { assembly.providerAliases[id.asciiLowercased] = name }
            for (index, model) in models.enumerated() {
                var entry = GenAIPricesEntry(
                    provider: name, name: "\(id)/[\(index)]", line: member.line, options: options)
                let draft = entry.read(model, providerID: id)
                assembly.add(name: entry.name, line: member.line, findings: entry.findings, draft: draft)
            }
        }
        guard root == .array else {
            throw .unexpected(path: JSONPath(), expected: "an array of providers", found: "an object")
        }
    }
}
