// The auditor's view of what is neither credit nor usage: which holds are open, and what budgets have counted.
// Both are found again from the rows and entries alone.

import Bytes
import Ledger
import Pricing
import Store
import StrictJSON

/// Which holds are open. The history is read newest row first, then what is in the journal behind it, in its
/// order.
struct HoldAudit {
    private struct Name: Hashable {
        var organisation: [UInt8]
        var id: [UInt8]

        init(_ account: [UInt8], _ id: [UInt8]) {
            organisation = Array(account.prefix { $0 != UInt8(ascii: "/") })
            self.id = id
        }
    }

    private var open: [Name: Int64] = [:]
    /// Ends whose beginning is further back, and amounts that a hold grew to.
    private var ended: [Name: Int] = [:]
    private var grown: [Name: Int64] = [:]
    private(set) var count = 0

    /// Takes a row, going back in time.
    mutating func add(_ row: CreditRow) throws {
        let kinds = [
            TransactionKind.holdOpened, TransactionKind.holdChanged, TransactionKind.holdVoided,
            TransactionKind.holdExpired,
        ]
        guard kinds.contains(row.kind) else { return }
        let details = try JSONNode(parsing: Array(row.details.utf8), bytesMax: 1 << 20)
        let name = Name(Array(row.account.utf8), Array(try details.field("hold_id").string().utf8))
        switch row.kind {
        case TransactionKind.holdOpened:
            count += 1
            let amount = try grown.removeValue(forKey: name) ?? details.field("held").credits().count
            if let ends = ended[name], ends > 0 {
                ended[name] = ends == 1 ? nil : ends - 1
            } else {
                open[name] = amount
            }
        case TransactionKind.holdChanged:
            if ended[name] == nil, grown[name] == nil {
                grown[name] = try details.field("held").credits().count
            }
        default: ended[name, default: 0] += 1
        }
    }

    /// Takes the end of a hold by its report, going back in time.
    mutating func settle(_ account: [UInt8], _ record: UsageRecord) {
        ended[Name(account, Array(record.holdID)), default: 0] += 1
    }

    /// Takes an entry that the history does not have yet.
    mutating func add(_ entry: Entry) throws {
        switch entry {
        case .held(let hold):
            count += 1
            open[Name(Array(hold.path), Array(hold.id))] = hold.amount
        case .holdChanged(let hold): open[Name(Array(hold.path), Array(hold.id))] = hold.amount
        case .holdEnded(let hold): open[Name(Array(hold.path), Array(hold.id))] = nil
        case .holdOrphaned(let orphaned):
            let record = try RecordContent.read(orphaned.charge.content)
            open[Name(Array(record.account), Array(record.holdID))] = nil
        case .charged(let charge) where charge.hold != nil:
            let record = try RecordContent.read(charge.content)
            open[Name(Array(record.account), Array(record.holdID))] = nil
        default: break
        }
    }

    /// Compares with the ledger. Returns the open holds and what they keep.
    func check(_ ledger: Ledger) throws(Difference) -> (open: Int, held: Int128) {
        var mark = AnswerMark()
        var left = open
        var held: Int128 = 0
        for hold in ledger.openHolds(limit: .max, mark: &mark) {
            held += Int128(hold.amount)
            let expected = left.removeValue(forKey: Name(hold.account, hold.id))
            guard expected == hold.amount else {
                throw Difference(
                    "the hold \(text(hold.id)) of \(text(hold.account)) keeps \(hold.amount) nanocredits by checkpoint"
                        + " and journal, and \(expected.map { "\($0)" } ?? "is not open") by the history")
            }
        }
        if let (name, amount) = left.first {
            throw Difference(
                "the hold \(text(name.id)) of \(text(name.organisation)) is open with \(amount) nanocredits by the"
                    + " history, and not by checkpoint and journal")
        }
        let totals = ledger.totals()
        guard totals.held == held, totals.holds == open.count else {
            throw Difference(
                "open holds keep \(held) nanocredits, their sum is said to be \(totals.held)")
        }
        return (open.count, held)
    }
}

/// What budgets have counted in their window.
struct BudgetAudit {
    private let budgets: [BudgetStanding]
    private var byAccount: [[UInt8]: [Int]] = [:]
    private var sums: [Int128]

    init(_ ledger: Ledger) {
        budgets = ledger.allBudgets()
        sums = [Int128](repeating: 0, count: budgets.count)
        for (index, budget) in budgets.enumerated() { byAccount[budget.account, default: []].append(index) }
    }

    var isEmpty: Bool { budgets.isEmpty }

    /// Takes what an outcome came to, in any order.
    ///
    /// - Parameters:
    ///   - account: its path then.
    ///   - isSettlement: of a parked record, whose tokens and request were counted before.
    ///   - orphan: the charge that a late report corrects, which counted the request and some tokens.
    ///   - current: what an account is called now that was called so then.
    mutating func add(
        _ account: [UInt8], provider: String, model: String, charge: Int64, tokens: Int64, isSettlement: Bool,
        corrects orphan: OrphanLink? = nil, at time: Timestamp, shard: Int, sequence: UInt64,
        current: ([UInt8]) -> [UInt8]
    ) {
        guard !budgets.isEmpty else { return }
        var path = account[...]
        while true {
            for index in byAccount[current(Array(path))] ?? [] {
                let budget = budgets[index]
                guard budget.shard == shard, sequence > budget.since, time >= budget.windowStart,
                    time < budget.windowEnd, Self.fits(budget.terms.provider, provider),
                    Self.fits(budget.terms.model, model)
                else { continue }
                switch budget.terms.metric {
                case .cost: sums[index] += Int128(charge)
                case .tokens: sums[index] += isSettlement ? 0 : max(0, Int128(tokens - (orphan?.tokens ?? 0)))
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

    /// Compares with the ledger. Returns how many budgets there are.
    func check() throws(Difference) -> Int {
        for (budget, sum) in zip(budgets, sums) where Int128(budget.used) != sum {
            throw Difference(
                "the budget \(text(budget.terms.name)) of \(text(budget.account)) has counted \(budget.used)"
                    + " \(budget.terms.metric.name) since \(budget.windowStart.text), the history says \(sum)"
            )
        }
        return budgets.count
    }
}

private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
