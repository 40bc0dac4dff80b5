// Usage over a time, from rollups: a year is as many looks as it has days with usage, whatever the number of rows.

import Bytes
import GRDB

/// What is asked about usage.
public struct UsageQuestion: Sendable {
    /// This account and those below it; nil for all.
    public var account: [UInt8]?
    /// Days in UTC; nil does not restrict.
    public var since: UsageDay?
    /// Days before this one.
    public var until: UsageDay?
    /// What the groups are told apart by.
    public var byAccount = false
    public var byProvider = false
    public var byModel = false
    public var byCredentialSource = false
    /// What a day belongs to, such as its month, as a number that grows with time; nil to add all days up.
    public var period: (@Sendable (UsageDay) -> Int64)?
    /// Groups that are wanted; the rest is counted.
    public var groupsMax = 1_000

    public init() {}
}

/// What is the same for all usage of a group. What the question did not ask for is nil.
public struct UsageGroupKey: Hashable, Sendable {
    public var period: Int64?
    public var account: String?
    public var provider: String?
    public var model: String?
    /// 0 unknown, 1 platform, 2 bring your own key.
    public var credentialSource: UInt8?

    fileprivate func precedes(_ other: UsageGroupKey) -> Bool {
        (period ?? 0, account ?? "", provider ?? "", model ?? "", credentialSource ?? 0)
            < (
                other.period ?? 0, other.account ?? "", other.provider ?? "", other.model ?? "",
                other.credentialSource ?? 0
            )
    }
}

/// The usage of one group.
public struct UsageGroup: Hashable, Sendable {
    public var key: UsageGroupKey
    public var sums: UsageSums
}

/// An answer to a question about usage.
public struct UsageSummary: Hashable, Sendable {
    /// By period, and within one the dearest first.
    public var groups: [UsageGroup]
    /// Groups beyond `groupsMax`.
    public var groupsLeftOut: Int
    /// Of all groups, those left out among them.
    public var total: UsageSums
}

extension HistoryStore {
    /// Adds up rollups.
    ///
    /// Of an account O(days with usage × its models) looks of some microseconds; of a large part of all accounts
    /// O(rollups in the time). Never O(rows).
    public func summary(_ question: UsageQuestion) throws(StoreError) -> UsageSummary {
        try read { (database, _) throws(StoreError) in
            var question = question
            question.account = try question.account.map { (path) throws(StoreError) in
                try AccountMoves(database).current(path)
            }
            var adder = SummaryAdder(question)
            try adder.readNames(database)
            var days: [Int64] = []
            var next = try Statement(
                cached: database, .history, "SELECT min(day) FROM rollups WHERE day >= ? AND day < ?")
            var from = question.since?.number ?? .min
            let until = question.until?.number ?? .max
            while from < until {
                next.bind(from, at: 1)
                next.bind(until, at: 2)
                guard try next.step(), !next.isNull(0) else { break }
                let day = next.integer(0)
                days.append(day)
                next.reset()
                guard day < .max else { break }
                from = day + 1
            }
            next.reset()
            // Looks cost more than steps: a question about a large part of all names reads the days through.
            if adder.isLargePart(of: try Self.nameCount(database)) {
                try adder.scan(database, days)
            } else {
                try adder.look(database, days)
            }
            return adder.summary
        }
    }

    private static func nameCount(_ database: Database) throws(StoreError) -> Int {
        var count = try Statement(
            cached: database, .history, "SELECT coalesce(max(number), 0) FROM rollup_names")
        return try count.step() ? Int(count.integer(0)) : 0
    }
}

/// Adds rollups up into groups.
private struct SummaryAdder {
    private let question: UsageQuestion
    /// By a name's number, which of `keys` it belongs to.
    private var places: [Int64: Int] = [:]
    private var keys: [UsageGroupKey] = []
    private var groups: [Slot: UsageSums] = [:]
    private var total = UsageSums()

    private struct Slot: Hashable {
        var key: Int
        var period: Int64
    }

    init(_ question: UsageQuestion) { self.question = question }

    private static let columns = UsageSums.columns.map(\.name).joined(separator: ", ")

    /// Finds the names that are asked about, and which group each belongs to.
    mutating func readNames(_ database: Database) throws(StoreError) {
        // What follows "/" in ASCII is "0": everything below an account lies between them.
        let text =
            (question.account ?? []) + (question.account ?? []) + [UInt8(ascii: "/")]
            + (question.account ?? []) + [UInt8(ascii: "0")]
        let count = question.account?.count ?? 0
        var found: [UsageGroupKey: Int] = [:]
        try text.withView { (view) throws(StoreError) in
            var names = try Statement(
                cached: database, .history,
                "SELECT number, account, provider, model, credential_source FROM rollup_names"
                    + (question.account == nil
                        ? "" : " WHERE account = ?1 OR (account >= ?2 AND account < ?3)"))
            if question.account != nil {
                names.bind(text: view[0..<count], at: 1)
                names.bind(text: view[count..<2 * count + 1], at: 2)
                names.bind(text: view[2 * count + 1..<3 * count + 2], at: 3)
            }
            while try names.step() {
                var key = UsageGroupKey()
                if question.byAccount { key.account = names.text(1) }
                if question.byProvider { key.provider = names.text(2) }
                if question.byModel { key.model = names.text(3) }
                if question.byCredentialSource { key.credentialSource = UInt8(clamping: names.integer(4)) }
                if let place = found[key] {
                    places[names.integer(0)] = place
                } else {
                    found[key] = keys.count
                    places[names.integer(0)] = keys.count
                    keys.append(key)
                }
            }
        }
    }

    func isLargePart(of nameCount: Int) -> Bool { places.count > 64 && places.count > nameCount / 8 }

    /// Looks each name up on each day.
    mutating func look(_ database: Database, _ days: [Int64]) throws(StoreError) {
        var select = try Statement(
            cached: database, .history,
            "SELECT \(Self.columns) FROM rollups WHERE day = ? AND number = ?")
        let numbers = places.sorted { $0.key < $1.key }
        for day in days {
            let period = question.period?(UsageDay(number: day)) ?? 0
            for (number, place) in numbers {
                select.bind(day, at: 1)
                select.bind(number, at: 2)
                while try select.step() { add(select, from: 0, Slot(key: place, period: period)) }
            }
        }
    }

    /// Reads the days through.
    mutating func scan(_ database: Database, _ days: [Int64]) throws(StoreError) {
        var select = try Statement(
            cached: database, .history, "SELECT number, \(Self.columns) FROM rollups WHERE day = ?")
        for day in days {
            let period = question.period?(UsageDay(number: day)) ?? 0
            select.bind(day, at: 1)
            while try select.step() {
                guard let place = places[select.integer(0)] else { continue }
                add(select, from: 1, Slot(key: place, period: period))
            }
        }
    }

    private mutating func add(_ statement: borrowing Statement, from column: CInt, _ slot: Slot) {
        var sums = UsageSums()
        sums.add(statement, from: column)
        groups[slot, default: UsageSums()] += sums
        total += sums
    }

    var summary: UsageSummary {
        let isTimed = question.period != nil
        var found = groups.map { slot, sums in
            var key = keys[slot.key]
            if isTimed { key.period = slot.period }
            return UsageGroup(key: key, sums: sums)
        }
        found.sort { left, right in
            let (first, second) = (left.key.period ?? 0, right.key.period ?? 0)
            if first != second { return first < second }
            if left.sums.charge != right.sums.charge { return left.sums.charge > right.sums.charge }
            return left.key.precedes(right.key)
        }
        let taken = Array(found.prefix(max(0, question.groupsMax)))
        return UsageSummary(groups: taken, groupsLeftOut: found.count - taken.count, total: total)
    }
}
