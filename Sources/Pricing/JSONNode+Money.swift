// Amounts, factors and instants in JSON documents. An amount is a decimal string; a number is accepted
// if it is exact. Both come in as text, so nothing passes through floating point.

import Money
import StrictJSON

extension JSONNode {
    private func amount<Amount>(
        _ expected: String, text: (String) throws(MoneyError) -> Amount,
        number: (String) throws(MoneyError) -> Amount
    ) throws(JSONError) -> Amount {
        do throws(MoneyError) {
            switch value {
            case .string(let string): return try text(string)
            case .number(let string): return try number(string)
            default: throw MoneyError.text(position: 0, problem: .empty)
            }
        } catch {
            switch (value, error) {
            case (.string(let string), .text(let position, let problem)):
                throw invalid(
                    "\(JSONValue.string(String(string.prefix(40))).text) is not \(expected): at position \(position), \(problem.text)"
                )
            case (.number(let string), .text(_, let problem)):
                throw invalid("\(string.prefix(40)) is not \(expected): \(problem.text)")
            default:
                throw unexpected(expected + " as a string")
            }
        }
    }

    /// Credits, negative only where `signed`.
    public func credits(signed: Bool = false) throws(JSONError) -> Nanocredits {
        let amount = try amount(
            "an amount of credits",
            text: { (text) throws(MoneyError) in try Nanocredits(text: text, signed: signed) },
            number: { (text) throws(MoneyError) in try Nanocredits(number: text) })
        if amount.count < 0 && !signed { throw invalid("an amount of credits must not be negative here") }
        return amount
    }

    /// US dollars, not negative.
    public func dollars() throws(JSONError) -> Picodollars {
        let amount = try amount(
            "an amount of US dollars",
            text: { (text) throws(MoneyError) in try Picodollars(text: text) },
            number: { (text) throws(MoneyError) in try Picodollars(number: text) })
        if amount.count < 0 { throw invalid("an amount of US dollars must not be negative here") }
        return amount
    }

    /// A factor, not negative.
    public func ratio() throws(JSONError) -> Ratio {
        try amount(
            "a factor",
            text: { (text) throws(MoneyError) in try Ratio(text: text) },
            number: { (text) throws(MoneyError) in try Ratio(number: text) })
    }

    /// An instant in RFC 3339.
    public func timestamp() throws(JSONError) -> Timestamp {
        guard case .string(let text) = value, let timestamp = Timestamp(text: text) else {
            throw unexpected("an instant such as \"2025-01-31T00:00:00Z\"")
        }
        return timestamp
    }
}
