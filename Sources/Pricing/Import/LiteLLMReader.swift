// LiteLLM's price list: one object, a member for each model, prices in USD for one unit.
//
// The first entry, `sample_spec`, explains the others with words where numbers belong. An entry without a
// `litellm_provider` is not a model's.

import StrictJSON

enum LiteLLMReader {
    /// Reads the list into `assembly`.
    static func read(_ bytes: [UInt8], into assembly: inout ImportAssembly) throws(JSONError) {
        let options = assembly.options
        var aliases: [String: String] = [:]
        let root = try JSONMember.read(
            bytes, bytesMax: PricingLimits.importBytesMax, memberBytesMax: PricingLimits.importEntryBytesMax
        ) { member in
            guard case .key(let key) = member.step else { return }
            var entry = LiteLLMEntry(key: key, line: member.line, options: options)
            let draft = entry.read(member.node)
            if let alias = entry.providerAlias { aliases[alias.name] = alias.provider }
            assembly.add(name: key, line: member.line, findings: entry.findings, draft: draft)
        }
        guard root == .object else {
            throw .unexpected(
                path: JSONPath(), expected: "an object with a member for each model", found: "an array")
        }
        assembly.providerAliases = aliases
    }
}
