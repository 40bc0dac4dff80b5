// What usage adds up to: the measures of a rollup, in one order for columns, sums and comparisons.

/// Sums over outcomes. Each fits whatever a day may bring; the ledger's amounts are `Int64`, sums are not.
public struct UsageSums: Hashable, Sendable {
    /// Outcomes that were charged, at once or when they were settled; a charge may be zero. The end of a lease that
    /// charged is one, and the report that comes late is none more.
    public var requests: Int128 = 0
    /// Outcomes that were parked, and what became of them later.
    public var parked: Int128 = 0
    public var settled: Int128 = 0
    public var discarded: Int128 = 0
    /// Tokens of what was charged. What is parked has none until it is settled.
    public var inputTokens: Int128 = 0
    public var outputTokens: Int128 = 0
    /// A part of `inputTokens`.
    public var cacheReadTokens: Int128 = 0
    /// What the provider asks, in picodollars.
    public var baseCostPicodollars: Int128 = 0
    /// What the rules asked for before allowances paid their part, in nanocredits.
    public var fee: Int128 = 0
    /// What wallets paid, in nanocredits.
    public var charge: Int128 = 0
    /// What free allowances paid, in nanocredits.
    public var allowanceUsed: Int128 = 0

    public init() {}

    /// Outcomes that are parked still, if the sums are over all days.
    public var open: Int128 { parked - settled - discarded }

    /// The columns of `rollups` that hold the sums, and the sums, in that order.
    static let columns: [(name: String, path: any WritableKeyPath<UsageSums, Int128> & Sendable)] = [
        ("requests", \.requests), ("parked", \.parked), ("settled", \.settled), ("discarded", \.discarded),
        ("input_tokens", \.inputTokens), ("output_tokens", \.outputTokens),
        ("cache_read_tokens", \.cacheReadTokens), ("base_cost_picodollars", \.baseCostPicodollars),
        ("fee_nanocredits", \.fee), ("charge_nanocredits", \.charge),
        ("allowance_used_nanocredits", \.allowanceUsed),
    ]

    /// Adds one outcome.
    @inline(__always)
    mutating func add(_ figures: UsageFigures) {
        if figures.flags & UsageFigures.aboutOrphan != 0 { return addOrphan(figures) }
        switch figures.state {
        case .charged: requests += 1
        case .parked: parked += 1
        case .settled:
            requests += 1
            settled += 1
        case .discarded: discarded += 1
        }
        if figures.state == .charged || figures.state == .settled {
            inputTokens += Int128(figures.counts.inputTokens)
            outputTokens += Int128(figures.counts.outputTokens)
            cacheReadTokens += Int128(figures.counts.cacheReadTokens)
        }
        // Amounts of every state, so that their sum is the history's.
        baseCostPicodollars += Int128(figures.baseCostPicodollars)
        fee += Int128(figures.fee)
        charge += Int128(figures.charge)
        allowanceUsed += Int128(figures.allowanceUsed)
    }

    /// Adds the charge of an orphan, or the report that came after all: together they are one request, with the
    /// tokens and the cost of what was reported and the money of both.
    @inline(never)
    private mutating func addOrphan(_ figures: UsageFigures) {
        let isCharge = figures.flags & UsageFigures.isOrphan != 0
        switch figures.state {
        case .charged: requests += isCharge ? 1 : 0
        case .parked: parked += 1
        case .settled: settled += 1
        case .discarded: discarded += 1
        }
        charge += Int128(figures.charge)
        allowanceUsed += Int128(figures.allowanceUsed)
        // What was asked for is what was paid: the rest of a late report's fee was the orphan's.
        fee += Int128(figures.charge) + Int128(figures.allowanceUsed)
        if isCharge { return }
        baseCostPicodollars += Int128(figures.baseCostPicodollars)
        guard figures.state == .charged || figures.state == .settled else { return }
        inputTokens += Int128(figures.counts.inputTokens)
        outputTokens += Int128(figures.counts.outputTokens)
        cacheReadTokens += Int128(figures.counts.cacheReadTokens)
    }

    public static func += (left: inout UsageSums, right: UsageSums) {
        left.requests += right.requests
        left.parked += right.parked
        left.settled += right.settled
        left.discarded += right.discarded
        left.inputTokens += right.inputTokens
        left.outputTokens += right.outputTokens
        left.cacheReadTokens += right.cacheReadTokens
        left.baseCostPicodollars += right.baseCostPicodollars
        left.fee += right.fee
        left.charge += right.charge
        left.allowanceUsed += right.allowanceUsed
    }

    /// Adds one row of `rollups`, whose sums begin at column `first` of a statement.
    @inline(__always)
    mutating func add(_ statement: borrowing Statement, from first: CInt) {
        requests += Int128(statement.integer(first))
        parked += Int128(statement.integer(first + 1))
        settled += Int128(statement.integer(first + 2))
        discarded += Int128(statement.integer(first + 3))
        inputTokens += Int128(statement.integer(first + 4))
        outputTokens += Int128(statement.integer(first + 5))
        cacheReadTokens += Int128(statement.integer(first + 6))
        baseCostPicodollars += Int128(statement.integer(first + 7))
        fee += Int128(statement.integer(first + 8))
        charge += Int128(statement.integer(first + 9))
        allowanceUsed += Int128(statement.integer(first + 10))
    }

    /// Whether every sum is within ±`bound`.
    func isWithin(_ bound: Int64) -> Bool {
        let range = -Int128(bound)...Int128(bound)
        return range.contains(requests) && range.contains(parked) && range.contains(settled)
            && range.contains(discarded) && range.contains(inputTokens) && range.contains(outputTokens)
            && range.contains(cacheReadTokens) && range.contains(baseCostPicodollars)
            && range.contains(fee) && range.contains(charge) && range.contains(allowanceUsed)
    }

    /// The sums in the order of `columns`; stops the process if one does not fit.
    var values: InlineArray<11, Int64> {
        [
            Int64(requests), Int64(parked), Int64(settled), Int64(discarded), Int64(inputTokens),
            Int64(outputTokens), Int64(cacheReadTokens), Int64(baseCostPicodollars), Int64(fee),
            Int64(charge), Int64(allowanceUsed),
        ]
    }

    /// Takes off a part of which every sum is within ±`bound`; what is left is zero when all were.
    mutating func takePart(bound: Int64) -> UsageSums {
        var part = UsageSums()
        for (_, path) in Self.columns {
            let taken = min(max(self[keyPath: path], -Int128(bound)), Int128(bound))
            part[keyPath: path] = taken
            self[keyPath: path] -= taken
        }
        return part
    }
}

/// A day in UTC, as days since 1970.
public struct UsageDay: Hashable, Comparable, Sendable {
    public var number: Int64

    public init(number: Int64) { self.number = number }

    /// The day of an instant in microseconds since 1970.
    @inline(__always)
    public init(containing microseconds: Int64) {
        let (quotient, remainder) = microseconds.quotientAndRemainder(dividingBy: Self.microseconds)
        number = remainder < 0 ? quotient - 1 : quotient
    }

    /// Microseconds of a day.
    public static let microseconds: Int64 = 86_400_000_000

    public static func < (left: UsageDay, right: UsageDay) -> Bool { left.number < right.number }
}
