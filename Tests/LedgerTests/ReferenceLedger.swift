// A second ledger, as short as it can be, to hold the real one against. It shares no code with it: paths
// are strings, rows are dictionaries, every sum is made anew, and the prices of the tests' book are written
// out. One shard, and no bound on what it remembers.

import Testing

@testable import Ledger

/// What an act may come to, as both ledgers say it.
enum Outcome: Hashable {
    case charged(sequence: UInt64, charge: Int64, allowance: Int64, balance: Int64)
    case parked(sequence: UInt64, balance: Int64)
    case duplicate(sequence: UInt64, charge: Int64, balance: Int64)
    case done(sequence: UInt64, balance: Int64, duplicate: Bool)
    case refused(String)
    case held(state: String, amount: Int64, available: Int64, sequence: UInt64, duplicate: Bool)
    case standing(
        balance: Int64, held: Int64, remaining: [String: Int64], granted: Int64, charged: Int64,
        expired: Int64, voided: Int64, deducted: Int64)
    case moved(sequence: UInt64, before: Int64, after: Int64)
    case problem(String)
    case nothing
}

final class ReferenceLedger {
    private struct Grant {
        var id: UInt64
        var kind: String
        var order: Int
        var expiry: Int64
        var remaining: Int64
        /// The provider that it pays, if not all.
        var filter: String?
    }

    private struct Account {
        var ownsWallet: Bool
        var unlimited = false
        var overdraft: Int64 = 0
        var tier: String?
        var status = 0
        var debt: Int64 = 0
        var grants: [Grant] = []
        var granted: Int64 = 0
        var charged: Int64 = 0
        var expired: Int64 = 0
        var voided: Int64 = 0
        var deducted: Int64 = 0
        /// By rule and month.
        var allowance: [String: [Int: Int64]] = [:]

        var balance: Int64 { grants.reduce(0) { $0 + $1.remaining } - debt }
    }

    private struct Known {
        var content: String
        var sequence: UInt64
        var charge: Int64
        var isParked = false
        /// The hold whose orphan was charged before it came.
        var orphan: String?
    }

    private var accounts: [String: Account] = [:]
    /// By the sequence of the charge.
    private var refunded: [UInt64: Int64] = [:]
    private struct Held {
        var order: HoldOrder
        var wallet: String
        var amount: Int64
        var expiry: Int64
        var sequence: UInt64
        var state = "open"
        /// What the end of its lease charges; and, when it has, the entry.
        var orphanCharge: Int64 = 0
        var orphanedBy: UInt64?
    }

    private var known: [String: Known] = [:]
    private var holds: [String: Held] = [:]
    private var sequence: UInt64 = 0
    private var time = Int64.min

    private func upward(_ path: String) -> [String] {
        let parts = path.split(separator: "/")
        return (1...parts.count).reversed().map { parts[..<$0].joined(separator: "/") }
            .filter { accounts[$0] != nil }
    }

    private func wallet(_ path: String) -> String? { upward(path).first { accounts[$0]?.ownsWallet == true } }

    /// Writes an entry at `now`, or later if the newest is later.
    private func write(_ now: Int64) {
        sequence += 1
        time = max(time, now)
    }

    private func endExpired(_ wallet: String, _ now: Int64) {
        let now = max(now, time)
        for grant in accounts[wallet]?.grants ?? [] where grant.expiry <= now {
            accounts[wallet]?.expired += grant.remaining
            write(now)
        }
        accounts[wallet]?.grants.removeAll { $0.expiry <= now }
    }

    // MARK: - Holds

    private func held(_ wallet: String) -> Int64 {
        holds.values.reduce(0) { $0 + ($1.state == "open" && $1.wallet == wallet ? $1.amount : 0) }
    }

    /// What may be spent on a provider; filtered grants count where theirs it is.
    private func available(_ wallet: String, for provider: String? = nil) -> Int64 {
        guard let account = accounts[wallet] else { return 0 }
        var filtered: Int64 = 0
        for grant in account.grants {
            if let provider, let filter = grant.filter, filter != provider { filtered += grant.remaining }
        }
        return account.balance + account.overdraft - held(wallet) - filtered
    }

    private func expireHolds(_ now: Int64) {
        let now = max(now, time)
        for (name, hold) in holds.sorted(by: { $0.value.expiry < $1.value.expiry })
        where hold.state == "open" && hold.expiry <= now {
            if hold.orphanCharge > 0 {
                endExpired(hold.wallet, now)
                guard var account = accounts[hold.wallet] else { continue }
                draw(
                    hold.orphanCharge, from: &account,
                    for: hold.order.amount == nil ? hold.order.usage.provider : "")
                account.charged += hold.orphanCharge
                accounts[hold.wallet] = account
            }
            write(now)
            holds[name]?.state = "expired"
            holds[name]?.sequence = sequence
            if hold.orphanCharge > 0 { holds[name]?.orphanedBy = sequence }
        }
    }

    /// What of an orphan's charge stands.
    private func standing(_ orphan: Held) -> Int64 {
        guard let sequence = orphan.orphanedBy else { return 0 }
        return orphan.orphanCharge - (refunded[sequence] ?? 0)
    }

    /// Gives back what an orphan was charged beyond what is owed. Returns the balance of `wallet`.
    private func giveBack(_ orphan: Held?, owed: Int64, balanceOf wallet: String, _ now: Int64) -> Int64 {
        if let orphan, let charged = orphan.orphanedBy, standing(orphan) > owed,
            var account = accounts[orphan.wallet]
        {
            let amount = standing(orphan) - owed
            write(now)
            give(amount, to: &account, kind: "refund", order: 0, expiry: .max)
            refunded[charged, default: 0] += amount
            accounts[orphan.wallet] = account
        }
        return accounts[wallet]?.balance ?? 0
    }

    private func name(_ order: HoldOrder) -> String {
        "\(order.account.prefix { $0 != "/" }) \(order.id)"
    }

    private func says(_ name: String, duplicate: Bool, wallet: String?) -> Outcome {
        guard let hold = holds[name] else { return .nothing }
        return .held(
            state: hold.state, amount: hold.orphanedBy == nil ? hold.amount : hold.orphanCharge,
            available: wallet.map { available($0) } ?? 0,
            sequence: hold.state == "expired" ? 0 : hold.sequence, duplicate: duplicate)
    }

    func hold(_ order: HoldOrder, month: Int, now: Int64) -> Outcome {
        expireHolds(now)
        if let first = holds[name(order)] {
            // Of an orphan that was charged the digest is not kept.
            if first.order != order, first.orphanedBy == nil { return .refused("IDEMPOTENCY_CONFLICT") }
            return says(
                name(order), duplicate: true,
                wallet: first.state == "open" ? first.wallet : wallet(order.account))
        }
        guard accounts[order.account] != nil else { return .refused("ACCOUNT_NOT_FOUND") }
        let way = upward(order.account)
        let status = way.compactMap { accounts[$0]?.status }.max() ?? 0
        if status > 0 { return .refused(status == 1 ? "ACCOUNT_SUSPENDED" : "ACCOUNT_CLOSED") }
        guard let wallet = wallet(order.account) else { return .refused("ACCOUNT_NOT_FOUND") }
        guard (0...86_400_000).contains(order.lease) else { return .refused("INVALID_ARGUMENT") }
        if order.amount != nil, order.orphan == .inputOnly || order.orphan == .estimate {
            return .refused("INVALID_ARGUMENT")
        }
        endExpired(wallet, now)
        guard let account = accounts[wallet] else { return .nothing }
        var asked: Int64
        if let amount = order.amount {
            guard amount > 0 else { return .refused("INVALID_ARGUMENT") }
            asked = amount
        } else {
            let tier = way.compactMap { accounts[$0]?.tier }.first ?? ""
            guard tier == "plain" || (tier == "double" && !order.byok) else {
                return .refused(order.byok ? "BYOK_NOT_IN_TIER" : "NO_PRICING_RULE")
            }
            if order.model != "unit" { return .refused("UNPRICED_MODEL") }
            asked = order.input * (tier == "double" ? 2 : 1)
            asked -= allowance(of: account, order.usage, fee: asked, month: month)
        }
        var amount = asked
        if asked > 0, !account.unlimited, asked > available(wallet, for: order.usage.provider) {
            let least = order.amount == nil ? max(asked, 1) : 1
            guard order.policy == .clip, available(wallet, for: order.usage.provider) >= least else {
                return .refused("INSUFFICIENT_CREDITS")
            }
            amount = available(wallet, for: order.usage.provider)
        }
        write(now)
        holds[name(order)] = Held(
            order: order, wallet: wallet, amount: amount,
            expiry: time + (order.lease == 0 ? 600_000 : order.lease) * 1_000, sequence: sequence)
        switch order.orphan {
        case .fullHold: holds[name(order)]?.orphanCharge = amount
        // All that a hold of these tests is for is input.
        case .estimate, .inputOnly: holds[name(order)]?.orphanCharge = min(asked, amount)
        case .release, nil: break
        }
        return says(name(order), duplicate: false, wallet: wallet)
    }

    /// Why a call about a hold that is not open is refused; nil while it is open.
    private func ended(_ order: HoldOrder) -> Outcome? {
        switch holds[name(order)]?.state {
        case "open": nil
        case "settled": .refused("HOLD_ALREADY_SETTLED")
        case "voided": .refused("HOLD_VOIDED")
        case "expired": .refused("HOLD_EXPIRED")
        default: .refused("HOLD_NOT_FOUND")
        }
    }

    func extend(_ order: HoldOrder, lease: Int64, amount: Int64?, now: Int64) -> Outcome {
        expireHolds(now)
        if let refusal = ended(order) { return refusal }
        guard let hold = holds[name(order)], (0...86_400_000).contains(lease) else {
            return .refused("INVALID_ARGUMENT")
        }
        var new = amount ?? hold.amount
        guard new >= hold.amount else { return .refused("INVALID_ARGUMENT") }
        if new > hold.amount, accounts[hold.wallet]?.unlimited == false {
            endExpired(hold.wallet, now)
            let provider = hold.order.amount == nil ? hold.order.usage.provider : ""
            if new - hold.amount > available(hold.wallet, for: provider) {
                guard hold.order.policy == .clip else { return .refused("INSUFFICIENT_CREDITS") }
                new = hold.amount + max(0, available(hold.wallet, for: provider))
            }
        }
        write(now)
        holds[name(order)]?.amount = new
        if hold.order.orphan == .fullHold { holds[name(order)]?.orphanCharge = new }
        holds[name(order)]?.expiry = time + (lease == 0 ? 600_000 : lease) * 1_000
        guard
            case .held(let state, let amount, let available, _, _) = says(
                name(order), duplicate: false, wallet: hold.wallet)
        else { return .nothing }
        return .held(
            state: state, amount: amount, available: available, sequence: sequence, duplicate: false)
    }

    func void(_ order: HoldOrder, now: Int64) -> Outcome {
        expireHolds(now)
        if holds[name(order)]?.state == "voided" {
            return says(name(order), duplicate: true, wallet: wallet(order.account))
        }
        if let refusal = ended(order) { return refusal }
        write(now)
        holds[name(order)]?.state = "voided"
        holds[name(order)]?.sequence = sequence
        return says(name(order), duplicate: false, wallet: holds[name(order)]?.wallet)
    }

    func open(_ path: String, wallet: Bool, tier: String?, unlimited: Bool, overdraft: Int64, now: Int64)
        -> Outcome
    {
        if accounts[path] != nil { return .refused("ACCOUNT_EXISTS") }
        guard wallet || self.wallet(path) != nil else { return .refused("INVALID_ARGUMENT") }
        accounts[path] = Account(ownsWallet: wallet, unlimited: unlimited, overdraft: overdraft, tier: tier)
        write(now)
        return .done(sequence: sequence, balance: 0, duplicate: false)
    }

    func change(
        _ path: String, status: Int, tier: String?, unlimited: Bool, overdraft: Int64, now: Int64
    ) -> Outcome {
        guard accounts[path] != nil else { return .refused("ACCOUNT_NOT_FOUND") }
        accounts[path]?.status = status
        accounts[path]?.tier = tier
        accounts[path]?.unlimited = unlimited
        accounts[path]?.overdraft = overdraft
        write(now)
        return .done(
            sequence: sequence, balance: wallet(path).flatMap { accounts[$0]?.balance } ?? 0, duplicate: false
        )
    }

    func grant(
        _ amount: Int64, to path: String, kind: (name: String, order: Int), expiry: Int64, filter: String?,
        key: String?, now: Int64
    ) -> Outcome {
        guard accounts[path] != nil, let wallet = wallet(path) else { return .refused("ACCOUNT_NOT_FOUND") }
        let isClosed = upward(path).contains { accounts[$0]?.status == 2 }
        let organisation = path.prefix { $0 != "/" }
        let name = key.map { "act \(organisation) \($0)" }
        let content = "\(amount) \(path) \(kind.name) \(expiry) \(filter ?? "")"
        if let name, let first = known[name] {
            if first.content != content { return .refused("IDEMPOTENCY_CONFLICT") }
            return .done(
                sequence: first.sequence, balance: accounts[wallet]?.balance ?? 0, duplicate: true)
        }
        if isClosed { return .refused("ACCOUNT_CLOSED") }
        guard amount > 0, expiry > max(now, time) else { return .refused("INVALID_ARGUMENT") }
        endExpired(wallet, now)
        guard var account = accounts[wallet] else { return .nothing }
        write(now)
        give(amount, to: &account, kind: kind.name, order: kind.order, expiry: expiry, filter: filter)
        accounts[wallet] = account
        if let name { known[name] = Known(content: content, sequence: sequence, charge: 0) }
        return .done(sequence: sequence, balance: account.balance, duplicate: false)
    }

    /// `month` is that of the event, as any number that grows by one from month to month.
    func report(_ call: Call, month: Int, now: Int64) -> Outcome {
        let name = "report \(call.account.prefix { $0 != "/" }) \(call.id)"
        let content = "\(call)"
        if let first = known[name] {
            if first.content != content { return .refused("IDEMPOTENCY_CONFLICT") }
            return .duplicate(
                sequence: first.sequence, charge: first.charge,
                balance: wallet(call.account).flatMap { accounts[$0]?.balance } ?? 0)
        }
        guard accounts[call.account] != nil else { return .refused("ACCOUNT_NOT_FOUND") }
        let way = upward(call.account)
        let status = way.compactMap { accounts[$0]?.status }.max() ?? 0
        let holdName = "\(call.account.prefix { $0 != "/" }) \(call.holdID)"
        // Not yet looked at whether its lease is over.
        if status > 0, call.holdID.isEmpty || holds[holdName]?.state != "open" {
            return .refused(status == 1 ? "ACCOUNT_SUSPENDED" : "ACCOUNT_CLOSED")
        }
        guard let wallet = wallet(call.account) else { return .refused("ACCOUNT_NOT_FOUND") }
        var released: Int64?
        var orphan: Held?
        if !call.holdID.isEmpty {
            expireHolds(now)
            switch holds[holdName]?.state {
            case "open":
                guard let hold = holds[holdName], hold.order.account == call.account else {
                    return .refused("HOLD_NOT_FOUND")
                }
                if hold.order.byok != (call.source == .byok) { return .refused("CREDENTIAL_MISMATCH") }
                released = hold.amount
            case "settled": return .refused("HOLD_ALREADY_SETTLED")
            case "voided": return .refused("HOLD_VOIDED")
            case "expired":
                guard let hold = holds[holdName], hold.orphanedBy != nil else { break }
                if hold.order.account != call.account { return .refused("HOLD_NOT_FOUND") }
                if hold.order.byok != (call.source == .byok) { return .refused("CREDENTIAL_MISMATCH") }
                orphan = hold
            default: return .refused("HOLD_NOT_FOUND")
            }
        }
        func endHold() {
            guard released != nil || orphan != nil else { return }
            holds[holdName]?.state = "settled"
            holds[holdName]?.sequence = sequence
        }
        let tier = way.compactMap { accounts[$0]?.tier }.first ?? ""
        let isOwnKey = call.source == .byok
        guard tier == "plain" || (tier == "double" && !isOwnKey) else {
            return .refused(isOwnKey ? "BYOK_NOT_IN_TIER" : "NO_PRICING_RULE")
        }
        endExpired(wallet, now)
        guard var account = accounts[wallet] else { return .nothing }
        if call.usage.cacheReadTokens > call.usage.inputTokens || call.model != "unit" {
            write(now)
            endHold()
            known[name] = Known(
                content: content, sequence: sequence, charge: 0, isParked: true,
                orphan: orphan == nil ? nil : holdName)
            return .parked(sequence: sequence, balance: account.balance)
        }
        let fee = call.usage.inputTokens * (tier == "double" ? 2 : 1)
        let allowance = allowance(of: account, call, fee: fee, month: month)
        let owed = fee - allowance
        if call.onInsufficient == .refuse {
            expireHolds(now)
            account = accounts[wallet] ?? account
        }
        let charge = max(0, owed - (orphan.map { standing($0) } ?? 0))
        if call.onInsufficient == .refuse, charge > 0, !account.unlimited,
            charge > available(wallet, for: call.provider) + (released ?? 0)
        {
            return .refused("INSUFFICIENT_CREDITS")
        }
        take(charge, allowance, from: &account, call, month: month)
        accounts[wallet] = account
        write(now)
        endHold()
        known[name] = Known(content: content, sequence: sequence, charge: charge)
        let charged = sequence
        let balance = giveBack(orphan, owed: owed, balanceOf: wallet, now)
        return .charged(sequence: charged, charge: charge, allowance: allowance, balance: balance)
    }

    private func allowance(of account: Account, _ call: Call, fee: Int64, month: Int) -> Int64 {
        guard call.source == .byok else { return 0 }
        let months = account.allowance[call.provider] ?? [:]
        if months.keys.contains(where: { $0 > month + 1 }) { return 0 }
        return min(fee, (call.provider == "q" ? 500 : 1_000) - (months[month] ?? 0))
    }

    private func take(
        _ charge: Int64, _ allowance: Int64, from account: inout Account, _ call: Call, month: Int
    ) {
        if allowance > 0 { account.allowance[call.provider, default: [:]][month, default: 0] += allowance }
        draw(charge, from: &account, for: call.provider)
        account.charged += charge
    }

    /// Ends a parked report, in the tier `plain`.
    func end(_ action: ParkedAction, reported: Call, corrected: Call, month: Int, now: Int64) -> Outcome {
        let name = "report \(reported.account.prefix { $0 != "/" }) \(reported.id)"
        guard let first = known[name] else { return .nothing }
        if first.content != "\(reported)" { return .refused("INVALID_ARGUMENT") }
        guard first.isParked else {
            return .duplicate(sequence: first.sequence, charge: first.charge, balance: 0)
        }
        guard let wallet = wallet(reported.account), var account = accounts[wallet] else { return .nothing }
        var (charge, allowance, owed): (Int64, Int64, Int64) = (0, 0, 0)
        let orphan = first.orphan.flatMap { holds[$0] }
        if action != .discard {
            if corrected.usage.cacheReadTokens > corrected.usage.inputTokens {
                return .refused("INVALID_USAGE")
            }
            if corrected.model != "unit" { return .refused("UNPRICED_MODEL") }
            endExpired(wallet, now)
            account = accounts[wallet] ?? account
            let fee = corrected.usage.inputTokens
            allowance = self.allowance(of: account, corrected, fee: fee, month: month)
            owed = fee - allowance
            charge = max(0, owed - (orphan.map { standing($0) } ?? 0))
            take(charge, allowance, from: &account, corrected, month: month)
        }
        guard action != .preview else {
            return .charged(
                sequence: sequence, charge: charge, allowance: allowance, balance: account.balance)
        }
        accounts[wallet] = account
        write(now)
        known[name] = Known(content: first.content, sequence: sequence, charge: charge)
        let ended = sequence
        let balance = giveBack(action == .settle ? orphan : nil, owed: owed, balanceOf: wallet, now)
        return .charged(sequence: ended, charge: charge, allowance: allowance, balance: balance)
    }

    func standing(_ path: String, now: Int64) -> Outcome {
        guard accounts[path] != nil, let wallet = wallet(path) else { return .nothing }
        endExpired(wallet, now)
        expireHolds(now)
        guard let account = accounts[wallet] else { return .nothing }
        let remaining = Dictionary(account.grants.map { ($0.kind, $0.remaining) }, uniquingKeysWith: +)
        return .standing(
            balance: account.balance, held: held(wallet), remaining: remaining, granted: account.granted,
            charged: account.charged, expired: account.expired, voided: account.voided,
            deducted: account.deducted)
    }

    // MARK: - Administrators' acts

    func deduct(
        _ amount: Int64, from path: String, allowNegative: Bool, key: String?, now: Int64
    ) -> Outcome {
        act("deduct \(amount) \(allowNegative)", on: path, key: key, now: now) { wallet in
            guard amount > 0 else { return .refused("INVALID_ARGUMENT") }
            guard var account = accounts[wallet] else { return .nothing }
            if !allowNegative, !account.unlimited, amount > available(wallet) {
                return .refused("INSUFFICIENT_CREDITS")
            }
            let before = account.balance
            draw(amount, from: &account)
            account.deducted += amount
            accounts[wallet] = account
            write(now)
            return .moved(sequence: sequence, before: before, after: before - amount)
        }
    }

    func void(_ grant: UInt64, of path: String, key: String?, now: Int64) -> Outcome {
        act("void \(grant)", on: path, key: key, now: now) { wallet in
            guard var account = accounts[wallet],
                let index = account.grants.firstIndex(where: { $0.id == grant })
            else { return .problem("no grant") }
            let before = account.balance
            account.voided += account.grants[index].remaining
            account.grants.remove(at: index)
            accounts[wallet] = account
            write(now)
            return .moved(sequence: sequence, before: before, after: account.balance)
        }
    }

    /// Gives back, or for a correction makes the charge come to `amount`.
    func refund(
        _ amount: Int64, of call: Call, isCorrection: Bool, on path: String, key: String?, now: Int64
    ) -> Outcome {
        guard let first = known["report \(call.account.prefix { $0 != "/" }) \(call.id)"] else {
            return .nothing
        }
        let word = isCorrection ? "correct" : "refund"
        return act("\(word) \(amount) \(call.id)", on: path, key: key, now: now) { wallet in
            guard amount > 0 || (isCorrection && amount == 0) else { return .refused("INVALID_ARGUMENT") }
            guard var account = accounts[wallet] else { return .nothing }
            let left = first.charge - (refunded[first.sequence] ?? 0)
            var given = amount
            if isCorrection {
                given = left - amount
                if given == 0 { return .problem("nothing to correct") }
                if given < 0 {
                    write(now)
                    return .moved(sequence: sequence, before: account.balance, after: account.balance)
                }
            }
            if given > left { return .problem("above charge") }
            let before = account.balance
            write(now)
            give(given, to: &account, kind: "refund", order: 35, expiry: .max)
            refunded[first.sequence, default: 0] += given
            accounts[wallet] = account
            return .moved(sequence: sequence, before: before, after: account.balance)
        }
    }

    func close(_ path: String, _ choice: ClosingChoice, now: Int64) -> Outcome {
        guard let old = accounts[path] else { return .refused("ACCOUNT_NOT_FOUND") }
        let payer = wallet(path)
        if old.status == 2 {
            let balance = payer.flatMap { accounts[$0]?.balance } ?? 0
            return .done(sequence: sequence, balance: balance, duplicate: true)
        }
        expireHolds(now)
        if payer == path { endExpired(path, now) }
        guard var account = accounts[path] else { return .nothing }
        let before = payer == path ? account.balance : 0
        if before != 0 || (payer == path && account.debt > 0) {
            switch choice {
            case .none: return .problem("balance left")
            case .keep: break
            case .forfeit, .transfer: if held(path) != 0 { return .problem("credit held") }
            }
            switch choice {
            case .none, .keep: break
            case .forfeit:
                let (credit, debt) = (before + account.debt, account.debt)
                if credit > 0 {
                    write(now)
                    account.grants = []
                    account.deducted += credit
                }
                if debt > 0 {
                    write(now)
                    give(debt, to: &account, kind: "adjustment", order: 40, expiry: .max)
                }
            case .transfer(let target):
                let name = String(decoding: target, as: UTF8.self)
                guard name.prefix(while: { $0 != "/" }) == path.prefix(while: { $0 != "/" }),
                    accounts[name] != nil, let other = wallet(name), other != path,
                    !upward(name).contains(where: { accounts[$0]?.status == 2 }),
                    !other.hasPrefix(path + "/")
                else { return .problem("bad target") }
                endExpired(other, now)
                move(&account, to: other, now)
            }
        }
        account.status = 2
        accounts[path] = account
        write(now)
        return .moved(sequence: sequence, before: before, after: payer == path ? account.balance : 0)
    }

    private func move(_ account: inout Account, to name: String, _ now: Int64) {
        guard var other = accounts[name] else { return }
        account.grants.sort { ($0.order, $0.expiry, $0.id) < ($1.order, $1.expiry, $1.id) }
        for grant in account.grants {
            write(now)
            account.deducted += grant.remaining
            write(now)
            give(
                grant.remaining, to: &other, kind: grant.kind, order: grant.order, expiry: grant.expiry,
                filter: grant.filter)
        }
        account.grants = []
        if account.debt > 0 {
            let debt = account.debt
            write(now)
            draw(debt, from: &other)
            other.deducted += debt
            write(now)
            give(debt, to: &account, kind: "adjustment", order: 40, expiry: .max)
        }
        accounts[name] = other
    }

    /// Takes from grants in burn order; what they do not cover is debt.
    private func draw(_ amount: Int64, from account: inout Account, for provider: String? = nil) {
        var owed = amount
        account.grants.sort { ($0.order, $0.expiry, $0.id) < ($1.order, $1.expiry, $1.id) }
        for index in account.grants.indices {
            if let provider, let filter = account.grants[index].filter, filter != provider { continue }
            let drawn = min(owed, account.grants[index].remaining)
            account.grants[index].remaining -= drawn
            owed -= drawn
        }
        account.grants.removeAll { $0.remaining == 0 }
        account.debt += owed
    }

    /// Gives credit as the entry written last.
    private func give(
        _ amount: Int64, to account: inout Account, kind: String, order: Int, expiry: Int64,
        filter: String? = nil
    ) {
        let repaid = filter == nil ? min(amount, account.debt) : 0
        account.debt -= repaid
        account.granted += amount
        guard amount > repaid else { return }
        account.grants.append(
            Grant(
                id: sequence, kind: kind, order: order, expiry: expiry, remaining: amount - repaid,
                filter: filter))
    }

    /// Does something once for its key.
    private func act(
        _ content: String, on path: String, key: String?, now: Int64, _ body: (String) -> Outcome
    ) -> Outcome {
        guard accounts[path] != nil, let wallet = wallet(path) else { return .refused("ACCOUNT_NOT_FOUND") }
        let name = key.map { "act \(path.prefix { $0 != "/" }) \($0)" }
        let content = "\(content) \(path)"
        if let name, let first = known[name] {
            if first.content != content { return .refused("IDEMPOTENCY_CONFLICT") }
            return .done(
                sequence: first.sequence, balance: accounts[wallet]?.balance ?? 0, duplicate: true)
        }
        if upward(path).contains(where: { accounts[$0]?.status == 2 }) { return .refused("ACCOUNT_CLOSED") }
        expireHolds(now)
        endExpired(wallet, now)
        let outcome = body(wallet)
        if let name, case .moved(let sequence, _, _) = outcome {
            known[name] = Known(content: content, sequence: sequence, charge: 0)
        }
        return outcome
    }
}
