// Exporting the history, a stretch at a time: from a running gateway, or from a directory that none uses.

import Bytes
import Ledger
import Money
import Store

/// What is exported.
public enum ExportKind: String, CaseIterable, Sendable {
    /// A row for each outcome.
    case usage
    /// A row for each act on credit.
    case credits
    /// A row for each account, model, provider and credential source of a day.
    case rollups
}

/// Where an export goes on.
public enum ExportPosition: Hashable, Sendable {
    /// The next row to be looked at and the last one; the end is fixed when an export begins.
    case rows(next: Int64, last: Int64)
    case rollups(after: RollupRow.Place)

    /// For a client to hand back.
    public var text: String {
        switch self {
        case .rows(let next, let last): "\(next)_\(last)"
        case .rollups(let place): "\(place.day)_\(place.number)_\(place.part)"
        }
    }

    /// Reads what `text` wrote; nil for anything else.
    public init?(text: String, _ kind: ExportKind) {
        let numbers = text.split(separator: "_", omittingEmptySubsequences: false).map { Int64($0) }
        switch (kind, numbers.count) {
        case (.rollups, 3):
            guard let day = numbers[0], let number = numbers[1], let part = numbers[2] else { return nil }
            self = .rollups(after: RollupRow.Place(day: day, number: number, part: part))
        case (.usage, 2), (.credits, 2):
            guard let next = numbers[0], let last = numbers[1], next > 0, next <= last, last < .max else {
                return nil
            }
            self = .rows(next: next, last: last)
        default: return nil
        }
    }
}

/// A stretch of an export.
public struct ExportStretch: Sendable {
    public enum Rows: Sendable {
        case usage([UsageRow])
        case credits([CreditRow])
        case rollups([RollupRow])
    }

    public var rows: Rows
    /// Where to go on; nil at the end.
    public var next: ExportPosition?
}

extension HistoryStore {
    /// Where an export begins; nil when there is nothing in its time.
    fileprivate func exportStart(
        _ kind: ExportKind, _ filter: ExportFilter
    ) throws(StoreError) -> ExportPosition? {
        guard kind != .rollups else { return .rollups(after: .start) }
        let ids = try exportIDs(
            filter, eventAheadMax: kind == .usage ? LedgerLimits.eventAheadMax.microseconds : nil)
        return ids.map { .rows(next: $0.lowerBound, last: $0.upperBound) }
    }

    /// The rows among the next `count` from `position`.
    fileprivate func exportStretch(
        _ kind: ExportKind, _ filter: ExportFilter, at position: ExportPosition, count: Int
    ) throws(StoreError) -> ExportStretch {
        switch position {
        case .rollups(let place):
            let rows = try exportRollups(filter, after: place, count: count)
            return ExportStretch(
                rows: .rollups(rows),
                next: rows.count < count ? nil : rows.last.map { .rollups(after: $0.place) })
        case .rows(let next, let last):
            func after(_ lastID: Int64) -> ExportPosition? {
                lastID < last ? .rows(next: lastID + 1, last: last) : nil
            }
            if kind == .credits {
                let page = try exportCredits(filter, in: next...last, count: count)
                return ExportStretch(rows: .credits(page.rows), next: after(page.lastID))
            }
            let page = try exportUsage(filter, in: next...last, count: count)
            return ExportStretch(rows: .usage(page.rows), next: after(page.lastID))
        }
    }
}

extension Gateway {
    /// Where an export begins, as far as the history has come; nil when there is nothing in its time.
    public func exportStart(
        _ kind: ExportKind, _ filter: ExportFilter
    ) throws(AdministrationError) -> ExportPosition? {
        try storing { () throws(StoreError) in try history.exportStart(kind, filter) }
    }

    /// The rows among the next `count` from `position`. Blocks for SQLite.
    public func exportStretch(
        _ kind: ExportKind, _ filter: ExportFilter, at position: ExportPosition, count: Int
    ) throws(AdministrationError) -> ExportStretch {
        try storing { () throws(StoreError) in
            try history.exportStretch(kind, filter, at: position, count: count)
        }
    }
}

extension Gateway {
    /// What a credit is worth.
    public var creditValue: CreditValue { settings.creditValue }
}

extension OfflineDirectory {
    /// What a credit is worth here; nil if the directory's record does not say it.
    public var creditValue: CreditValue? {
        do throws(MoneyError) {
            return CreditValue(
                picodollarsPerCredit: try Picodollars(text: record.identity.creditValue).count)
        } catch {
            return nil
        }
    }

    /// Where an export begins; nil when there is nothing in its time. What the journal holds and the history
    /// does not is not in it.
    public func exportStart(
        _ kind: ExportKind, _ filter: ExportFilter
    ) throws(GatewayError) -> ExportPosition? {
        try Gateway.wrap(GatewayError.store) { () throws(StoreError) in
            try history.exportStart(kind, filter)
        }
    }

    /// The rows among the next `count` from `position`.
    public func exportStretch(
        _ kind: ExportKind, _ filter: ExportFilter, at position: ExportPosition, count: Int
    ) throws(GatewayError) -> ExportStretch {
        try Gateway.wrap(GatewayError.store) { () throws(StoreError) in
            try history.exportStretch(kind, filter, at: position, count: count)
        }
    }
}
