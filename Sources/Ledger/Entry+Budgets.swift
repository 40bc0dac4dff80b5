// What the ledger writes down of budgets: what is set and what is taken away. What they count follows from
// the charges.
//
//      budget set   time | account | number | flags | window | metric | anchor day | limit | path | name
//                   | provider | model | actor | reason
//      budget crossed   time | account | number | window | metric | limit | used | path | name

import Bytes
import Pricing

/// A budget set, or taken away.
public struct BudgetSetEntry: Sendable {
    public var account: UInt32 = 0
    /// Unique in its shard.
    public var number: UInt32 = 0
    public var isRemoved = false
    public var isHard = false
    public var window = BudgetWindow.total
    public var metric = BudgetMetric.cost
    public var anchorDay: UInt8 = 1
    public var limit: Int64 = 0
    public var path = ByteView()
    public var name = ByteView()
    public var provider = ByteView()
    public var model = ByteView()
    /// Who, and why, for people.
    public var actor = ByteView()
    public var reason = ByteView()

    public init() {}
}

/// A budget above its limit for the first time in its window. It changes nothing, and is there to be told.
public struct BudgetCrossedEntry: Sendable {
    public var account: UInt32 = 0
    public var number: UInt32 = 0
    public var window = BudgetWindow.total
    public var metric = BudgetMetric.cost
    public var limit: Int64 = 0
    public var used: Int64 = 0
    public var path = ByteView()
    public var name = ByteView()

    public init() {}
}

extension BytePacker {
    mutating func append(time: Timestamp, _ entry: BudgetCrossedEntry) {
        let start = beginEntry(.budgetCrossed)
        append(time.microseconds)
        append(entry.account)
        append(entry.number)
        append(byte: entry.window.rawValue)
        append(byte: entry.metric.rawValue)
        append(UInt64(entry.limit))
        append(UInt64(entry.used))
        append(prefixed: entry.path)
        append(prefixed: entry.name)
        endEntry(from: start)
    }

    mutating func append(time: Timestamp, _ entry: BudgetSetEntry) {
        let start = beginEntry(.budgetSet)
        append(time.microseconds)
        append(entry.account)
        append(entry.number)
        append(byte: (entry.isRemoved ? 1 : 0) | (entry.isHard ? 2 : 0))
        append(byte: entry.window.rawValue)
        append(byte: entry.metric.rawValue)
        append(byte: entry.anchorDay)
        append(UInt64(entry.limit))
        for text in [entry.path, entry.name, entry.provider, entry.model, entry.actor, entry.reason] {
            append(prefixed: text)
        }
        endEntry(from: start)
    }
}

extension ByteUnpacker {
    mutating func budgetCrossed() throws(UnpackingError) -> (Timestamp, BudgetCrossedEntry) {
        var entry = BudgetCrossedEntry()
        let time = try timestamp()
        entry.account = try unsigned32()
        entry.number = try unsigned32()
        let at = offset
        guard let window = BudgetWindow(rawValue: try byte()), let metric = BudgetMetric(rawValue: try byte())
        else { throw UnpackingError(offset: at) }
        entry.window = window
        entry.metric = metric
        entry.limit = try amount()
        entry.used = try amount()
        entry.path = try prefixed()
        entry.name = try prefixed()
        try end()
        return (time, entry)
    }

    mutating func budgetSet() throws(UnpackingError) -> (Timestamp, BudgetSetEntry) {
        var entry = BudgetSetEntry()
        let time = try timestamp()
        entry.account = try unsigned32()
        entry.number = try unsigned32()
        let flags = try flags(max: 3)
        entry.isRemoved = flags & 1 != 0
        entry.isHard = flags & 2 != 0
        let at = offset
        guard let window = BudgetWindow(rawValue: try byte()), let metric = BudgetMetric(rawValue: try byte())
        else { throw UnpackingError(offset: at) }
        entry.window = window
        entry.metric = metric
        entry.anchorDay = try byte()
        guard (1...31).contains(entry.anchorDay), entry.number > 0 else { throw UnpackingError(offset: at) }
        entry.limit = try amount()
        entry.path = try prefixed()
        entry.name = try prefixed()
        entry.provider = try prefixed()
        entry.model = try prefixed()
        entry.actor = try prefixed()
        entry.reason = try prefixed()
        try end()
        return (time, entry)
    }
}
