// A number in a price list, as a rate: exact, zero, not whole, or wrong.

import Money
import StrictJSON

/// What a price list says with one number.
enum PriceNumber: Hashable {
    /// Picodollars per unit, above zero.
    case rate(Int64)
    case zero
    /// Not whole in picodollars; `rounded` is half up.
    case notWhole(text: String, rounded: Int64)
    /// No price, and why.
    case invalid(String)

    /// Reads a number, or the text of one, that is a price in USD per ten to the power of `perUnits`
    /// units: 0 for one, 3 for a thousand, 6 for a million.
    init(_ value: JSONValue, perUnits: Int) {
        let text: String
        switch value {
        case .number(let number): text = number
        case .string(let string):
            guard Self.isNumber(string) else {
                self = .invalid(
                    "\(JSONValue.string(String(string.prefix(40))).text) is not a number; write the price in"
                        + " decimals, or leave the field out")
                return
            }
            text = string
        default:
            self = .invalid("expected a number, found \(value.kind)")
            return
        }
        let shown = text.prefix(60)
        do throws(MoneyError) {
            let (rate, isExact) = try DecimalText.scaled(
                number: text.utf8, places: Picodollars.places - perUnits)
            if text.hasPrefix("-"), rate != 0 || !isExact {
                let isPlaceholder = Self.isMinusOne(text)
                self = .invalid(
                    isPlaceholder
                        ? "\(shown) stands for a price that nobody filled in; fill it in, or leave the field out"
                        : "\(shown) is negative, and using a model never earns money; correct it")
            } else if !isExact {
                self = .notWhole(text: String(shown), rounded: rate)
            } else {
                self = rate == 0 ? .zero : .rate(rate)
            }
        } catch {
            switch error {
            case .text(_, .tooLarge):
                self = .invalid("\(shown) USD is more than a rate can be; check its unit")
            case .text(_, let problem): self = .invalid("\(shown) is not a price: \(problem.text)")
            }
        }
    }

    private static func isMinusOne(_ text: String) -> Bool {
        do throws(MoneyError) {
            return try DecimalText.exact(number: text.utf8, places: 6) == -1_000_000
        } catch {
            return false
        }
    }

    private static func isNumber(_ text: String) -> Bool {
        do throws(JSONError) {
            guard case .number(let number) = try JSONValue(parsing: text) else { return false }
            return number == text
        } catch {
            return false
        }
    }
}
