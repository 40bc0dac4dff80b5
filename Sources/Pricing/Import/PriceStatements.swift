// The prices that one entry states, gathered by what they are for, then settled to one rate each.
//
// Price lists say some things twice: a transcription costs so much per second of input and 0 per second of
// output, a model has a price and the same again in its list of tiers. What agrees is one statement, a 0
// beside a price says that the other side adds nothing, and what contradicts is not decided here.

import Money
import StrictJSON

/// What a price is for.
struct PricePlace: Hashable {
    var unit: UsageUnit
    /// The input tokens that a request must be above; 0 for none.
    var threshold: Int64 = 0
    /// Empty for the standard tier.
    var tier = ""
}

/// Every price of an entry, and what was found while settling them.
struct PriceStatements {
    private struct Statement {
        var field: String
        var number: PriceNumber
    }

    /// In the order in which places were first named.
    private var places: [PricePlace] = []
    private var statements: [PricePlace: [Statement]] = [:]
    var isEmpty: Bool { places.isEmpty }

    /// The thresholds that something is stated for, ascending; 0 is not among them.
    var thresholds: [Int64] { Set(places.map(\.threshold)).subtracting([0]).sorted() }

    mutating func add(_ number: PriceNumber, for place: PricePlace, field: String) {
        if statements[place] == nil { places.append(place) }
        statements[place, default: []].append(Statement(field: field, number: number))
    }

    /// The cards by threshold, the one without under 0.
    ///
    /// - Parameter report: told what could not be taken over.
    func settle(
        _ options: ImportOptions, hasZero: inout Bool,
        report: (ImportFinding.Kind, _ field: String, _ detail: String) -> Void
    ) -> [Int64: RateCard] {
        var rates: [Int64: [String: Rates]] = [:]
        for place in places {
            let outcome = Self.settle(statements[place] ?? [], place.unit, options, report)
            switch outcome {
            case .absent: continue
            case .withheld:
                rates[place.threshold, default: [:]][place.tier, default: Rates()].withhold(place.unit)
            case .rate(let rate):
                hasZero = hasZero || rate == 0
                rates[place.threshold, default: [:]][place.tier, default: Rates()][place.unit] =
                    Picodollars(rate)
            }
        }
        return rates.mapValues { tiers in
            RateCard(
                standard: tiers[""] ?? Rates(),
                serviceTiers: tiers.filter { !$0.key.isEmpty }.sorted { $0.key < $1.key }
                    .map { RateCard.ServiceTier(name: $0.key, rates: $0.value) })
        }
    }

    private enum Outcome {
        case absent
        case withheld
        case rate(Int64)
    }

    private static func settle(
        _ statements: [Statement], _ unit: UsageUnit, _ options: ImportOptions,
        _ report: (ImportFinding.Kind, _ field: String, _ detail: String) -> Void
    ) -> Outcome {
        var found: [(field: String, rate: Int64)] = []
        var zeros: [String] = []
        var isWithheld = false
        for statement in statements {
            let field = statement.field
            switch statement.number {
            case .invalid(let problem):
                report(.invalid, field, problem)
                isWithheld = true
            case .zero: zeros.append(field)
            case .rate(let rate): found.append((field, rate))
            case .notWhole(let text, let rounded) where options.roundsRates && rounded > 0:
                report(
                    .rounded, field,
                    "\(text) is not whole in picodollars, and was rounded half up to"
                        + " \(unit.priceText(rate: rounded)) \(unit.priceUnit)")
                found.append((field, rounded))
            case .notWhole(let text, let rounded):
                report(
                    .notWhole, field,
                    rounded == 0
                        ? "\(text) is less than half a picodollar; \(unit.name) is withheld"
                        : "\(text) is not whole in picodollars; \(unit.name) is withheld unless rounding is asked for"
                )
                isWithheld = true
            }
        }
        if isWithheld { return .withheld }
        guard let first = found.first else {
            guard !zeros.isEmpty else { return .absent }
            if options.zeroIsFree { return .rate(0) }
            for field in zeros {
                report(
                    .zero, field,
                    "0 may be a price or a gap; \(unit.name) is withheld unless 0 is said to mean free")
            }
            return .withheld
        }
        if let other = found.first(where: { $0.rate != first.rate }) {
            report(
                .ambiguous, other.field,
                "\(unit.name) costs \(unit.priceText(rate: other.rate)) here and"
                    + " \(unit.priceText(rate: first.rate)) by \(first.field), and a usage record does not say"
                    + " which was used; it is withheld")
            return .withheld
        }
        return .rate(first.rate)
    }
}
