// The auditor's view of what is neither credit nor usage: which holds are open, and what budgets have counted.
// Both are found again from the entries alone.

import Bytes
import Ledger
import Pricing
import Store

/// Which holds are open. Entries come in their order.
struct HoldAudit {
    private struct Name: Hashable {
        var organisation: [UInt8]
        var id: [UInt8]

        init(_ account: [UInt8], _ id: [UInt8]) {
            organisation = Array(account.prefix { $0 != UInt8(ascii: "/") })
            self.id = id
        }
    }

    private struct Open {
        var amount: Int64
        var account: [UInt8]
        /// Of the entry that said so last.
        var lsn: UInt64
    }

    private var open: [Name: Open] = [:]
    private(set) var count = 0

    /// Takes an entry. Throws when the hold that it ends or changes is not open with what the entry says.
    mutating func add(_ entry: AuditedEntry) throws(Difference) {
        guard let step = entry.hold else { return }
        let name = Name(entry.account, step.id)
        if step.change == .opened {
            count += 1
            if let before = open[name] {
                throw Difference("it opens the hold \(text(step.id)), which LSN \(before.lsn) has left open")
            }
            open[name] = Open(amount: step.amount ?? 0, account: entry.account, lsn: entry.lsn)
            return
        }
        guard let before = open[name] else {
            throw Difference(
                "it \(step.change == .ended ? "ends" : "changes") the hold \(text(step.id)), which is not open"
            )
        }
        if step.change == .changed {
            open[name] = Open(amount: step.amount ?? before.amount, account: before.account, lsn: entry.lsn)
            return
        }
        if let released = step.amount, released != before.amount {
            throw Difference(
                "it releases \(released) nanocredits of the hold \(text(step.id)), which keeps \(before.amount)"
                    + " since LSN \(before.lsn)")
        }
        open[name] = nil
    }

    /// What is wrong with the open holds of checkpoint and journal.
    struct Mismatch {
        var text: String
        /// The entry that the hold is open by, if there is one.
        var lsn: UInt64?
        var account: [UInt8]
    }

    /// Compares with the ledger: nil, or the first hold in the order of their entries that differs.
    func mismatch(_ ledger: Ledger) -> Mismatch? {
        var mark = AnswerMark()
        var left = open
        var found: [Mismatch] = []
        for hold in ledger.openHolds(limit: .max, mark: &mark).oldest {
            let expected = left.removeValue(forKey: Name(hold.account, hold.id))
            guard expected?.amount != hold.amount else { continue }
            found.append(
                Mismatch(
                    text:
                        "the hold \(text(hold.id)) of \(text(hold.account)) keeps \(hold.amount) nanocredits by"
                        + " checkpoint and journal, and \(expected.map { "\($0.amount)" } ?? "is not open") by the"
                        + " entries", lsn: expected?.lsn, account: hold.account))
        }
        for (name, hold) in left {
            found.append(
                Mismatch(
                    text: "the hold \(text(name.id)) of \(text(hold.account)) is open with \(hold.amount)"
                        + " nanocredits by the entries, and not by checkpoint and journal", lsn: hold.lsn,
                    account: hold.account))
        }
        return found.min { ($0.lsn ?? .max) < ($1.lsn ?? .max) }
    }

    /// Open holds, and what they keep.
    var standing: (open: Int, held: Int128) { (open.count, open.values.reduce(0) { $0 + Int128($1.amount) }) }
}

/// What budgets have counted in their window.
struct BudgetAudit {
    private let budgets: [BudgetStanding]
    private var byAccount: [[UInt8]: [Int]] = [:]
    private var sums: [Int128]
    /// The LSN of the first entry that each has counted.
    private var firsts: [UInt64?]

    init(_ ledger: Ledger?) {
        budgets = ledger?.allBudgets() ?? []
        sums = [Int128](repeating: 0, count: budgets.count)
        firsts = [UInt64?](repeating: nil, count: budgets.count)
        for (index, budget) in budgets.enumerated() { byAccount[budget.account, default: []].append(index) }
    }

    var count: Int { budgets.count }

    /// Takes an entry as it was written: what it counted against are the accounts above its own at that time.
    ///
    /// - Parameter current: what an account is called now that was called so then.
    mutating func add(_ entry: AuditedEntry, current: ([UInt8]) -> [UInt8]) {
        guard !budgets.isEmpty, let outcome = entry.outcome, outcome.state != .discarded else { return }
        // The tokens and the request of what was parked were counted when it was.
        let isSettlement = outcome.state == .settled
        // Of what a late report corrects, the request and some of the tokens.
        let orphan = outcome.corrects
        let time = Timestamp(microseconds: entry.time)
        var path = entry.account[...]
        while true {
            for index in byAccount[current(Array(path))] ?? [] {
                let budget = budgets[index]
                guard budget.shard == entry.shard, entry.sequence > budget.since, time >= budget.windowStart,
                    time < budget.windowEnd, Self.fits(budget.terms.provider, outcome.provider),
                    Self.fits(budget.terms.model, outcome.model)
                else { continue }
                if firsts[index] == nil { firsts[index] = entry.lsn }
                switch budget.terms.metric {
                case .cost: sums[index] -= Int128(entry.amount)
                case .tokens:
                    sums[index] +=
                        isSettlement ? 0 : max(0, Int128(outcome.tokens) - Int128(orphan?.tokens ?? 0))
                case .requests: sums[index] += isSettlement || orphan != nil ? 0 : 1
                }
            }
            guard let slash = path.lastIndex(of: UInt8(ascii: "/")) else { return }
            path = path[..<slash]
        }
    }

    private static func fits(_ filter: [UInt8], _ name: String) -> Bool {
        filter.isEmpty || text(filter).lowercased() == name.lowercased()
    }

    /// Compares with the ledger: nil, or the first budget that differs, with the first entry in its window.
    func mismatch() -> (text: String, lsn: UInt64?, account: [UInt8])? {
        for (index, budget) in budgets.enumerated() where Int128(budget.used) != sums[index] {
            return (
                "the budget \(text(budget.terms.name)) of \(text(budget.account)) has counted \(budget.used)"
                    + " \(budget.terms.metric.name) since \(budget.windowStart.text) by checkpoint and journal,"
                    + " \(sums[index]) by the entries in its window"
                    + (firsts[index] == nil ? ", of which there is none" : ", of which this is the first"),
                firsts[index], budget.account
            )
        }
        return nil
    }
}

private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
