// What an importer could not take over, with its place and its reason.

import StrictJSON

/// Something in a price list that the catalogue does not say.
public struct ImportFinding: Hashable, Sendable {
    /// Why.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// Wrong in itself: negative, a placeholder, not a number, too large. Refuses the file.
        case invalid
        /// The rate is not whole in picodollars; its unit is withheld.
        case notWhole = "not_whole"
        /// The rate was not whole in picodollars and has been rounded, as was asked.
        case rounded
        /// A price of 0, and nobody said that 0 means free; its unit is withheld.
        case zero
        /// Nothing that a usage record counts has this price.
        case noUnit = "no_unit"
        /// The price depends on what a usage record does not say: a region, a size, a context.
        case condition
        /// Two fields give one unit two prices; the unit is withheld.
        case ambiguous
        /// Another entry has the same provider and model, and other prices.
        case shadowed
        /// A name that cannot be kept, or that another model has.
        case name
        /// Not the entry of a model.
        case notAModel = "not_a_model"
        /// A model without any price.
        case noPrice = "no_price"

        /// Whether an entry with it is priced less than fully.
        var isLoss: Bool { self != .rounded }
    }

    public var kind: Kind
    /// The line of the file on which the entry begins.
    public var line: Int
    /// The entry's own name.
    public var entry: String
    /// The field at fault; empty where it is the entry as a whole.
    public var field: String
    /// The reason, in words, with the figures.
    public var detail: String

    public init(kind: Kind, line: Int, entry: String, field: String = "", detail: String) {
        self.kind = kind
        self.line = line
        self.entry = entry
        self.field = field
        self.detail = detail
    }
}

extension ImportFinding: CustomStringConvertible {
    /// `line 7, gpt-x, output_cost_per_token: −1 is a placeholder …`.
    public var description: String {
        let place = field.isEmpty ? "line \(line), \(entry)" : "line \(line), \(entry), \(field)"
        return "\(place): \(detail)"
    }
}

extension ImportFinding {
    /// The finding as a document.
    public var json: JSONObject {
        [
            "kind": .string(kind.rawValue), "line": .integer(line), "entry": .string(entry),
            "field": .string(field), "detail": .string(detail),
        ]
    }
}
