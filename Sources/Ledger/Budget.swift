// A budget: a limit on what an account and all below it may use in a window of time.
//
// A window is arithmetic over the ledger's time, in UTC; nothing is reset by a job. A budget counts what is
// charged while it stands, in the same step as the charge, at every level of the path. A hard one refuses holds
// and quotes that would go above it, open holds included; usage that happened is recorded all the same.

import Bytes
import Pricing

/// How long a budget counts before it begins again. All in UTC.
public enum BudgetWindow: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
    case minute = 1
    case hour = 2
    case day = 3
    /// From Monday on.
    case week = 4
    case month = 5
    /// From a day of the month on; the last day where a month has no such day.
    case anchoredMonth = 6
    case total = 7

    public var name: String {
        switch self {
        case .minute: "minute"
        case .hour: "hour"
        case .day: "day"
        case .week: "week"
        case .month: "month"
        case .anchoredMonth: "anchored_month"
        case .total: "total"
        }
    }

    private static let secondMicroseconds: Int64 = 1_000_000
    private static let dayMicroseconds: Int64 = 86_400 * secondMicroseconds

    /// The window that `time` is in: from `start`, up to and without `end`.
    ///
    /// - Parameter anchorDay: 1 to 31, of an anchored month.
    public func range(containing time: Timestamp, anchorDay: UInt8) -> (start: Timestamp, end: Timestamp) {
        switch self {
        case .minute: Self.span(time, 60 * Self.secondMicroseconds, offset: 0)
        case .hour: Self.span(time, 3_600 * Self.secondMicroseconds, offset: 0)
        case .day: Self.span(time, Self.dayMicroseconds, offset: 0)
        // 1970-01-01 was a Thursday, three days after a Monday.
        case .week: Self.span(time, 7 * Self.dayMicroseconds, offset: 3 * Self.dayMicroseconds)
        case .month:
            (CalendarMonth(containing: time).start, CalendarMonth(containing: time).next.start)
        case .anchoredMonth: Self.anchored(time, day: anchorDay)
        case .total: (.distantPast, .distantFuture)
        }
    }

    private static func span(
        _ time: Timestamp, _ length: Int64, offset: Int64
    ) -> (start: Timestamp, end: Timestamp) {
        let shifted = Int128(time.microseconds) + Int128(offset)
        var (number, rest) = shifted.quotientAndRemainder(dividingBy: Int128(length))
        if rest < 0 { number -= 1; rest += Int128(length) }
        let start = number * Int128(length) - Int128(offset)
        return (
            Timestamp(microseconds: Int64(clamping: start)),
            Timestamp(microseconds: Int64(clamping: start + Int128(length)))
        )
    }

    private static func anchored(_ time: Timestamp, day: UInt8) -> (start: Timestamp, end: Timestamp) {
        let month = CalendarMonth(containing: time)
        let here = anchor(of: month, day: day)
        if time < here { return (anchor(of: CalendarMonth(count: month.count - 1), day: day), here) }
        return (here, anchor(of: month.next, day: day))
    }

    /// The day of a month, or its last.
    private static func anchor(of month: CalendarMonth, day: UInt8) -> Timestamp {
        let start = Int128(month.start.microseconds)
        let days = (Int128(month.next.start.microseconds) - start) / Int128(dayMicroseconds)
        let offset = min(Int128(day), days) - 1
        return Timestamp(microseconds: Int64(clamping: start + max(0, offset) * Int128(dayMicroseconds)))
    }
}

/// What a budget counts.
public enum BudgetMetric: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
    /// Nanocredits charged.
    case cost = 1
    /// Input and output tokens.
    case tokens = 2
    case requests = 3

    public var name: String {
        switch self {
        case .cost: "cost"
        case .tokens: "tokens"
        case .requests: "requests"
        }
    }

    /// What a refusal by a budget names.
    var field: RecordField {
        switch self {
        case .cost: .costBudget
        case .tokens: .tokenBudget
        case .requests: .requestBudget
        }
    }
}

/// The bounds of budgets.
public enum BudgetLimits {
    /// Budgets of one account.
    public static let perAccountMax = 32
    public static let nameBytesMax = 64
}

/// What a budget says.
public struct BudgetTerms: Hashable, Sendable {
    /// 1 to 64 bytes, unique within the account.
    public var name: [UInt8]
    public var window: BudgetWindow
    public var metric: BudgetMetric
    /// Nanocredits, tokens or requests; not negative.
    public var limit: Int64
    /// Refuses holds and quotes; a soft one only tells.
    public var isHard: Bool
    /// 1 to 31; of an anchored month.
    public var anchorDay: UInt8 = 1
    /// Counts only what this provider or model served; empty for all. Letter case does not matter.
    public var provider: [UInt8] = []
    public var model: [UInt8] = []

    public init(name: [UInt8], window: BudgetWindow, metric: BudgetMetric, limit: Int64, isHard: Bool) {
        self.name = name
        self.window = window
        self.metric = metric
        self.limit = limit
        self.isHard = isHard
    }
}

/// Where a budget stands.
public struct BudgetStanding: Hashable, Sendable {
    public var account: [UInt8]
    public var terms: BudgetTerms
    /// In the window, by charges.
    public var used: Int64
    /// What open holds keep of it.
    public var held: Int64
    public var windowStart: Timestamp
    public var windowEnd: Timestamp
    /// It counts entries after this one of its shard.
    public var since: UInt64
    public var shard: Int
}

/// A budget of an account: what a charge, a hold or a quote needs of it, on one cache line.
struct BudgetRow: BitwiseCopyable {
    /// Unique among the budgets of its shard; 0 for none.
    var number: UInt32 = 0
    var next = AccountRow.none
    /// Hashes of the names that it is for; 0 for all.
    var provider: UInt64 = 0
    var model: UInt64 = 0
    var limit: Int64 = 0
    var used: Int64 = 0
    /// Follows from the open holds; never written down.
    var held: Int64 = 0
    /// Of the window that `used` is of.
    var windowEnd = Timestamp.distantPast
    var window = BudgetWindow.total
    var metric = BudgetMetric.cost
    var isHard = false
    var anchorDay: UInt8 = 1

    static let none = BudgetRow()
    var isNone: Bool { number == 0 }
    var isFiltered: Bool { provider != 0 || model != 0 }

    func matches(provider: UInt64, model: UInt64) -> Bool {
        (self.provider == 0 || self.provider == provider) && (self.model == 0 || self.model == model)
    }

    /// What is used at `time`: nothing once the window is over.
    func used(at time: Timestamp) -> Int64 { time >= windowEnd ? 0 : used }

    /// Counts what is its own of `share`, in the window of `time`. Returns whether that took it above its limit.
    @inline(__always)
    mutating func count(_ share: BudgetShare, at time: Timestamp) -> Bool {
        guard matches(provider: share.provider, model: share.model) else { return false }
        let amount = share.amount(metric)
        if time >= windowEnd {
            used = 0
            windowEnd = window.range(containing: time, anchorDay: anchorDay).end
        }
        // A count that does not fit is above every limit all the same.
        let (sum, overflow) = used.addingReportingOverflow(amount)
        let wasWithin = used <= limit
        used = overflow ? .max : sum
        return wasWithin && used > limit
    }
}

/// What only people ask of a budget.
struct BudgetDetails: Hashable {
    var name: [UInt8]
    var provider: [UInt8]
    var model: [UInt8]
    /// It counts entries after this one.
    var since: UInt64
}

/// What a charge or a hold counts for.
struct BudgetShare {
    var cost: Int64
    var tokens: Int64
    var requests: Int64
    /// Hashes of the names; 0 where there is none.
    var provider: UInt64
    var model: UInt64

    @inline(__always)
    func amount(_ metric: BudgetMetric) -> Int64 {
        switch metric {
        case .cost: cost
        case .tokens: tokens
        case .requests: requests
        }
    }
}
