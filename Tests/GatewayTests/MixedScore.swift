// The score of the mixed acts: what one organisation's wallets, holds and budgets come to, kept from the answers
// alone and without the ledger's code.
//
// What the score cannot know is which grants were spent when they expired. It knows their amounts and their
// time: a balance that is lower than the answers made it is allowed for by grants that were due, at most by what
// they were, and the sum must be what the wallet says has expired.

import Ledger
import Pricing

/// A grant that a wallet was given.
struct ScoredGrant {
    var sequence: UInt64
    var amount: Int64
    var expiresAt: Int64
}

/// What one wallet has.
struct ScoredWallet {
    var balance: Int64 = 0
    var charged: Int64 = 0
    var expired: Int64 = 0
    var overdraft: Int64 = 0
    var isUnlimited = false
    var grants: [ScoredGrant] = []
}

/// An open hold.
struct ScoredHold {
    var account: String
    var source: CredentialSource
    var amount: Int64
    var expiresAt: Int64
    /// What it says it is for; nothing where it has only an amount.
    var tokens: Int64 = 0
    var provider = ""
    var model = ""
    /// What the end of its lease charges, and the tokens of that.
    var orphanCharge: Int64 = 0
    var orphanTokens: Int64 = 0
    /// Whose wallet paid that, once it is charged.
    var payer = ""
}

/// A budget and what was counted in its window.
struct ScoredBudget {
    var terms: BudgetTerms
    var used: Int64 = 0
    var windowEnd: Int64

    func matches(_ provider: String, _ model: String) -> Bool {
        func fits(_ filter: [UInt8], _ name: String) -> Bool {
            filter.isEmpty || String(decoding: filter, as: UTF8.self).lowercased() == name.lowercased()
        }
        return fits(terms.provider, provider) && fits(terms.model, model)
    }

    func share(cost: Int64, tokens: Int64, requests: Int64) -> Int64 {
        switch terms.metric {
        case .cost: cost
        case .tokens: tokens
        case .requests: requests
        }
    }
}

/// What stands of a request id.
struct ScoredOutcome {
    var sequence: UInt64
    var charge: Int64
    var state: ReceiptState
    var refunded: Int64 = 0
}

/// The score of one organisation.
struct MixedScore {
    /// The account above each. An account is called here what it was opened as, wherever it has been moved since.
    var parents: [String: String]
    var wallets: [String: ScoredWallet] = [:]
    var statuses: [String: AccountStatus] = [:]
    var holds: [String: ScoredHold] = [:]
    /// Those whose lease was over and charged, until their report comes.
    var orphans: [String: ScoredHold] = [:]
    /// Orphans that were charged.
    var orphanCount = 0
    var budgets: [String: [String: ScoredBudget]] = [:]
    var outcomes: [String: ScoredOutcome] = [:]
    /// What does not add up.
    var problems: [String] = []
    var now: Int64 = 0

    /// - Parameter accounts: whether each owns a wallet.
    init(accounts: [String: Bool]) {
        parents = [:]
        for (account, ownsWallet) in accounts {
            statuses[account] = .active
            if ownsWallet { wallets[account] = ScoredWallet() }
            if let slash = account.lastIndex(of: "/") { parents[account] = String(account[..<slash]) }
        }
    }

    mutating func problem(_ text: String) {
        if problems.count < 20 { problems.append(text) }
    }

    /// The wallet that pays for an account.
    func payer(_ account: String) -> String { path(account).first { wallets[$0] != nil } ?? account }

    /// The account and those above it.
    func path(_ account: String) -> [String] {
        var path = [account]
        while let parent = path.last.flatMap({ parents[$0] }) { path.append(parent) }
        return path
    }

    func isActive(_ account: String) -> Bool {
        path(account).allSatisfy { statuses[$0] == .active }
    }

    func isClosed(_ account: String) -> Bool {
        path(account).contains { statuses[$0] == .closed }
    }

    // MARK: Wallets

    /// What open holds keep of a wallet.
    func held(_ wallet: String) -> Int64 {
        holds.values.reduce(0) { $0 + (payer($1.account) == wallet ? $1.amount : 0) }
    }

    /// Moves a balance, and compares what it comes to; grants that were due may have made it less.
    mutating func move(_ wallet: String, by amount: Int64, to balance: Int64, _ what: String) {
        wallets[wallet]?.balance += amount
        see(wallet, balance, what)
    }

    /// Takes a charge. What it gives back goes to the wallet that had paid the orphan: its account may have been moved
    /// to another since.
    mutating func charge(_ wallet: String, _ receipt: Receipt, correcting orphan: ScoredHold?, _ what: String)
    {
        wallets[wallet]?.charged += receipt.charge
        wallets[orphan?.payer ?? wallet]?.balance += receipt.givenBack
        move(wallet, by: -receipt.charge, to: receipt.balance, what)
    }

    /// Compares a balance that was answered after grants that were due had ended.
    mutating func see(_ name: String, _ balance: Int64, _ what: String) {
        guard var wallet = wallets[name] else { return problem("\(what): \(name) owns no wallet") }
        let due = wallet.grants.filter { $0.expiresAt <= now }
        wallet.grants.removeAll { $0.expiresAt <= now }
        let ended = wallet.balance - balance
        if ended < 0 || ended > due.reduce(0, { $0 + $1.amount }) {
            problem(
                "\(what): \(name) has \(balance), by the score \(wallet.balance) and \(due.count) grants were due"
            )
        }
        wallet.expired += ended
        wallet.balance = balance
        wallets[name] = wallet
    }

    /// Compares what may be spent, as the answer to a hold says it.
    mutating func see(_ wallet: String, available: Int64, _ what: String) {
        guard let found = wallets[wallet] else { return problem("\(what): \(wallet) owns no wallet") }
        see(wallet, available + held(wallet) - found.overdraft, what)
    }

    // MARK: Holds and budgets

    /// Moves the time on: leases end.
    mutating func advance(to time: Int64) {
        now = time
        for (id, hold) in holds where hold.expiresAt <= time {
            holds[id] = nil
            guard hold.orphanCharge > 0 else { continue }
            var orphan = hold
            orphan.payer = payer(hold.account)
            orphans[id] = orphan
            orphanCount += 1
            wallets[orphan.payer]?.balance -= hold.orphanCharge
            wallets[orphan.payer]?.charged += hold.orphanCharge
            count(
                hold.account, hold.provider, hold.model, cost: hold.orphanCharge, tokens: hold.orphanTokens,
                requests: 1)
        }
    }

    /// Takes what a late report made of its hold's orphan. Returns the orphan.
    mutating func correct(_ hold: String, by receipt: Receipt, _ what: String) -> ScoredHold? {
        let orphan = orphans.removeValue(forKey: hold)
        if receipt.orphanCharge != orphan?.orphanCharge ?? 0 || receipt.charge > 0 && receipt.givenBack > 0
            || receipt.givenBack > receipt.orphanCharge
        {
            problem("\(what): \(receipt) after an orphan of \(String(describing: orphan))")
        }
        return orphan
    }

    /// Counts a charge in the budgets on the account's way up.
    mutating func count(
        _ account: String, _ provider: String, _ model: String, cost: Int64, tokens: Int64, requests: Int64
    ) {
        for level in path(account) {
            for (name, var budget) in budgets[level] ?? [:] where budget.matches(provider, model) {
                roll(&budget)
                budget.used += budget.share(cost: cost, tokens: tokens, requests: requests)
                budgets[level]?[name] = budget
            }
        }
    }

    private func roll(_ budget: inout ScoredBudget) {
        guard now >= budget.windowEnd else { return }
        budget.used = 0
        budget.windowEnd = Self.windowEnd(budget.terms, now)
    }

    static func windowEnd(_ terms: BudgetTerms, _ now: Int64) -> Int64 {
        terms.window.range(containing: Timestamp(microseconds: now), anchorDay: terms.anchorDay).end
            .microseconds
    }

    mutating func set(_ terms: BudgetTerms, of account: String) {
        let name = String(decoding: terms.name, as: UTF8.self)
        var budget = ScoredBudget(terms: terms, windowEnd: Self.windowEnd(terms, now))
        if let old = budgets[account]?[name], old.terms.window == terms.window,
            old.terms.metric == terms.metric, old.terms.anchorDay == terms.anchorDay,
            old.terms.provider == terms.provider, old.terms.model == terms.model
        {
            (budget.used, budget.windowEnd) = (old.used, old.windowEnd)
        }
        budgets[account, default: [:]][name] = budget
    }

    /// What a budget has counted now.
    func used(_ budget: ScoredBudget) -> Int64 { now >= budget.windowEnd ? 0 : budget.used }

    /// What open holds keep of a budget.
    func held(_ budget: ScoredBudget, of account: String) -> Int64 {
        holds.values.reduce(0) { sum, hold in
            guard path(hold.account).contains(account), budget.matches(hold.provider, hold.model) else {
                return sum
            }
            return sum + budget.share(cost: hold.amount, tokens: hold.tokens, requests: 1)
        }
    }

    /// The hard budget that a hold which was opened stands above, if there is one.
    func exceeded(by hold: ScoredHold) -> String? {
        for level in path(hold.account) {
            for (name, budget) in budgets[level] ?? [:]
            where budget.terms.isHard && budget.matches(hold.provider, hold.model) {
                let share = budget.share(cost: hold.amount, tokens: hold.tokens, requests: 1)
                if share > 0, used(budget) + held(budget, of: level) > budget.terms.limit {
                    return "\(level) \(name)"
                }
            }
        }
        return nil
    }
}
