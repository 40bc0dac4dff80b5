// Each kind of amount as text. Decimals: 9 for credits and ratios, 12 for dollars.

extension Nanocredits: CustomStringConvertible {
    /// Decimals of a credit.
    public static let places = 9

    /// Reads credits as strict decimal text; a minus sign only where `signed`.
    public init(text: String, signed: Bool = false) throws(MoneyError) {
        self.init(try DecimalText.parse(text.utf8, places: Self.places, signed: signed))
    }

    /// Reads credits from a JSON number that is exact to a nanocredit.
    public init(number: String) throws(MoneyError) {
        self.init(try DecimalText.exact(number: number.utf8, places: Self.places))
    }

    /// Credits with as many decimals as needed: `45`, `1.5`.
    public var text: String { DecimalText.format(count, places: Self.places) }

    /// Credits with two decimals or as many as needed: `11000.50`. How balances are shown.
    public var textWithCents: String { DecimalText.format(count, places: Self.places, decimalsMin: 2) }

    public var description: String { "\(text) credits" }
}

extension Picodollars: CustomStringConvertible {
    /// Decimals of a dollar.
    public static let places = 12

    /// Reads dollars as strict decimal text; a minus sign only where `signed`.
    public init(text: String, signed: Bool = false) throws(MoneyError) {
        self.init(try DecimalText.parse(text.utf8, places: Self.places, signed: signed))
    }

    /// Reads dollars from a JSON number that is exact to a picodollar.
    public init(number: String) throws(MoneyError) {
        self.init(try DecimalText.exact(number: number.utf8, places: Self.places))
    }

    /// Dollars with as many decimals as needed: `0.03`.
    public var text: String { DecimalText.format(count, places: Self.places) }

    /// Dollars with two decimals or as many as needed: `5.00`.
    public var textWithCents: String { DecimalText.format(count, places: Self.places, decimalsMin: 2) }

    public var description: String { "\(text) USD" }
}

extension Ratio: CustomStringConvertible {
    /// Decimals of a ratio.
    public static let places = 9

    /// Reads a factor as strict decimal text.
    public init(text: String) throws(MoneyError) {
        self.init(unchecked: try DecimalText.parse(text.utf8, places: Self.places, signed: false))
    }

    /// Reads a factor from a JSON number that is exact to a billionth and not negative.
    public init(number: String) throws(MoneyError) {
        let billionths = try DecimalText.exact(number: number.utf8, places: Self.places)
        guard billionths >= 0 else { throw .text(position: 0, problem: .minusSign) }
        self.init(unchecked: billionths)
    }

    /// The factor with as many decimals as needed: `1.6`.
    public var text: String { DecimalText.format(billionths, places: Self.places) }

    /// The factor with two decimals or as many as needed: `1.60`. How rules are shown.
    public var textWithCents: String { DecimalText.format(billionths, places: Self.places, decimalsMin: 2) }

    public var description: String { text }
}

extension MoneyError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .text(let position, let problem): "at position \(position): \(problem.text)"
        }
    }
}
