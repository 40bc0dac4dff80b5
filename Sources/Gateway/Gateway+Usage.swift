// Usage over a time, from the sums that the history keeps of every account's day.

import Bytes
import Ledger
import Logging
import Pricing
import Store

/// What usage is told apart by.
public enum UsageGrouping: String, CaseIterable, Sendable {
    case day
    case month
    case provider
    case model
    case credentialSource = "credential_source"
    case account
}

extension UsageQuestion {
    /// Tells groups apart by `grouping` too. A month is told apart from others, so is a day; both are a day.
    public mutating func group(by grouping: UsageGrouping) {
        switch grouping {
        case .day: period = { $0.number }
        case .month: period = { Int64(CalendarMonth(containing: $0.start).count) }
        case .provider: byProvider = true
        case .model: byModel = true
        case .credentialSource: byCredentialSource = true
        case .account: byAccount = true
        }
    }
}

extension UsageDay {
    /// Midnight in UTC, or the nearest instant that there is.
    public var start: Timestamp {
        let (start, overflow) = number.multipliedReportingOverflow(by: Self.microseconds)
        return overflow ? (number < 0 ? .distantPast : .distantFuture) : Timestamp(microseconds: start)
    }

    /// The day that begins with `instant`; nil for an instant within a day.
    public init?(start instant: Timestamp) {
        let day = UsageDay(containing: instant.microseconds)
        guard day.start == instant else { return nil }
        self = day
    }
}

extension Gateway {
    /// Adds up usage, as far as the history has come. Blocks for SQLite; never O(rows).
    public func usageSummary(_ question: UsageQuestion) throws(AdministrationError) -> UsageSummary {
        try storing { () throws(StoreError) in try history.summary(question) }
    }

    /// Says how far a history from before there were rollups is added up.
    static func rollupProgress(_ logger: Logger) -> (_ done: Int64, _ total: Int64) -> Void {
        var told: Int64 = -1
        return { done, total in
            // Every tenth, and the end.
            let tenth = done * 10 / max(1, total)
            guard tenth != told else { return }
            told = tenth
            logger.info(
                "the history's rollups are being added up, once after an upgrade",
                metadata: ["rows": "\(done)", "of": "\(total)"])
        }
    }
}
