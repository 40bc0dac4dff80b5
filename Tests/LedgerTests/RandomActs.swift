// Random acts on a ledger: accounts opened in any order, credit that expires, reports that repeat, conflict,
// come late and cannot be priced, a clock that jumps. One seed, one history.

import Pricing
import Testing

@testable import Ledger

/// One thing somebody does.
enum Act {
    case open(String, wallet: Bool, tier: String?, unlimited: Bool, overdraft: Int64)
    case change(String, AccountStatus, tier: String?, unlimited: Bool, overdraft: Int64)
    case grant(Int64, String, GrantKind, expiry: Int64, filter: String?, key: String?)
    case report(Call)
    /// Ends what `reported` may have parked, with the counts of `corrected`.
    case end(ParkedAction, reported: Call, corrected: Call)
    case deduct(Int64, String, allowNegative: Bool, key: String?)
    case refund(Int64, of: Call, isCorrection: Bool, String, key: String?)
    /// Grants are named by sequence: the later ones of a short history exist.
    case voidGrant(UInt64, String, key: String?)
    case close(String, ClosingChoice)
    case hold(HoldOrder)
    case extend(HoldOrder, lease: Int64, amount: Int64?)
    case void(HoldOrder)
    case ask(String)
    case wait(Int64)
}

struct RandomActs {
    private var random: Seeded
    private let organisations: [String]
    private var now = Fixture.start.microseconds
    private(set) var calls: [Call] = []
    private var grants: [Act] = []
    private var acts: [Act] = []
    private var orders: [HoldOrder] = []
    private var number = 0

    init(seed: UInt64, organisations: Int = 3) {
        random = Seeded(seed)
        self.organisations = (0..<organisations).map { "o\($0)" }
    }

    private mutating func path() -> String {
        let depth = random.pick([0, 0, 1, 1, 2])
        let members = (0..<depth).map { _ in random.pick(["a", "b"]) }
        return ([random.pick(organisations)] + members).joined(separator: "/")
    }

    private mutating func tier() -> String? {
        random.pick(["plain", "plain", "plain", "double", "none", nil])
    }

    mutating func next() -> Act {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<6:
            return .open(
                path(), wallet: random.chance(70), tier: tier(), unlimited: random.chance(5),
                overdraft: random.chance(20) ? 200 : 0)
        case 6..<9:
            let status = random.pick([AccountStatus.active, .active, .active, .active, .suspended, .closed])
            return .change(
                path(), status, tier: tier(), unlimited: random.chance(5),
                overdraft: random.chance(20) ? 100 : 0)
        case 9..<22: return grant()
        case 22..<26: return .ask(path())
        case 26..<30: return act()
        case 30..<34:
            // From nothing to weeks, and sometimes back.
            var wait = random.pick([1, 1_000_000, Fixture.day, 20 * Fixture.day])
            if random.chance(10) { wait = -wait }
            now += wait
            return .wait(wait)
        case 34..<39:
            guard !calls.isEmpty else { return .ask(path()) }
            // Mostly one that was parked.
            let parked = calls.filter { $0.model != "unit" || $0.usage.cacheReadTokens > 0 }
            let reported = random.pick(parked.isEmpty || random.chance(10) ? calls : parked)
            var corrected = reported
            if random.chance(70) {
                corrected.usage = Usage()
                corrected.usage.inputTokens = Int64.random(in: 0...1_500, using: &random)
            }
            return .end(
                random.pick([.settle, .settle, .preview, .discard]), reported: reported, corrected: corrected)
        case 39..<49: return .hold(order())
        case 49..<52:
            guard !orders.isEmpty else { return .hold(order()) }
            return .extend(
                random.pick(orders),
                // No two leases end together: who is charged first may matter.
                lease: random.pick([1_000 * Int64(number) + 7, 1, 5_000_000, HoldLimits.leaseMax, -1]),
                amount: random.chance(50) ? Int64.random(in: 0...900, using: &random) : nil)
        case 52..<55: return orders.isEmpty ? .hold(order()) : .void(random.pick(orders))
        default: return .report(call())
        }
    }

    /// What an administrator does beside giving.
    private mutating func act() -> Act {
        if random.chance(15), !acts.isEmpty { return random.pick(acts) }
        number += 1
        let key = random.chance(50) ? "key \(random.chance(10) ? 0 : number)" : nil
        let act: Act
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<3:
            act = .deduct(
                Int64.random(in: 0...1_500, using: &random), path(), allowNegative: random.chance(40),
                key: key
            )
        case 3..<7:
            guard !calls.isEmpty else { return .ask(path()) }
            let call = random.pick(calls.filter { $0.usage.inputTokens > 0 } + [calls[0]])
            // The wallet that paid, most of the time.
            act = .refund(
                Int64.random(in: 0...random.pick([20, 300]), using: &random), of: call,
                isCorrection: random.chance(40), random.chance(80) ? call.account : path(), key: key)
        case 7..<9:
            act = .voidGrant(UInt64.random(in: 1...UInt64(number * 2 + 1), using: &random), path(), key: key)
        default:
            let choice = random.pick([
                ClosingChoice.none, .keep, .forfeit, .transfer(to: Array(path().utf8)),
                .transfer(to: Array(path().utf8)),
            ])
            return .close(path(), choice)
        }
        acts.append(act)
        return act
    }

    private mutating func grant() -> Act {
        if random.chance(15), !grants.isEmpty { return random.pick(grants) }
        number += 1
        let expiry =
            random.chance(50) ? Int64.max : now + Int64.random(in: -1...30 * Fixture.day, using: &random)
        let act = Act.grant(
            Int64.random(in: 0...2_000, using: &random), path(), random.pick(GrantKind.allCases),
            expiry: expiry, filter: random.chance(20) ? random.pick(["p", "q"]) : nil,
            key: random.chance(50) ? "key \(random.chance(10) ? 0 : number)" : nil)
        grants.append(act)
        return act
    }

    private mutating func order() -> HoldOrder {
        if random.chance(15), !orders.isEmpty {
            var order = random.pick(orders)
            if random.chance(20) { order.lease += 1 }
            return order
        }
        number += 1
        var order = HoldOrder(
            "h\(number)", of: path(), amount: Int64.random(in: -1...600, using: &random),
            policy: random.pick(HoldPolicy.allCases))
        if random.chance(50) {
            order.amount = nil
            order.input = Int64.random(in: 0...600, using: &random)
            order.model = random.pick(["unit", "unit", "unit", "nobody-knows"])
        }
        order.byok = random.chance(40)
        order.lease = random.pick([0, 0, 1_000, 86_400_000, 86_400_001])
        if random.chance(60) {
            order.orphan = random.pick(OrphanPolicy.allCases)
            order.lease = random.pick([600_000 + Int64(number), 3_000 + Int64(number), 1_000])
        }
        orders.append(order)
        return order
    }

    private mutating func call() -> Call {
        if random.chance(15), !calls.isEmpty {
            var call = random.pick(calls)
            if random.chance(20) { call.usage.inputTokens += 1 }
            return call
        }
        number += 1
        var call = Call(
            "r\(number)", of: path(),
            tokens: Int64.random(in: 0...random.pick([5, 300, 1_500]), using: &random),
            at: Timestamp(microseconds: now - (random.chance(20) ? 40 * Fixture.day : 0)),
            refuse: random.chance(40), byok: random.chance(40), provider: random.pick(["p", "q"]))
        if random.chance(5) { call.model = "nobody-knows" }
        if random.chance(5) { call.usage.cacheReadTokens = call.usage.inputTokens + 1 }
        if random.chance(30), !orders.isEmpty {
            let order = random.pick(orders.suffix(12))
            call.holdID = order.id
            if random.chance(90) {
                call.account = order.account
                call.source = order.byok ? .byok : .platform
            }
        }
        call.tags = random.bytes(0...20)
        calls.append(call)
        return call
    }
}

extension House {
    /// Does an act, and says what came of it.
    @discardableResult
    func perform(_ act: Act) throws -> Outcome {
        func outcome(_ answer: ActAnswer) -> Outcome {
            switch answer {
            case .done(let receipt):
                .done(sequence: receipt.sequence, balance: receipt.balance, duplicate: receipt.duplicate)
            case .refused(let refusal): .refused("\(refusal.reason.name)")
            case .askHistory: .nothing
            }
        }
        func outcome(_ decision: HoldDecision) -> Outcome {
            switch decision {
            case .refused(let refusal): .refused("\(refusal.reason.name)")
            case .done(let receipt):
                .held(
                    state: receipt.state.name, amount: receipt.amount, available: receipt.available,
                    // Leases that end together end in any order.
                    sequence: receipt.state == .expired ? 0 : receipt.sequence,
                    duplicate: receipt.duplicate)
            }
        }
        switch act {
        case .open(let path, let wallet, let tier, let unlimited, let overdraft):
            return outcome(
                try open(path, wallet: wallet, tier: tier, unlimited: unlimited, overdraft: overdraft))
        case .change(let path, let status, let tier, let unlimited, let overdraft):
            return outcome(
                try change(path, status: status, tier: tier, unlimited: unlimited, overdraft: overdraft))
        case .grant(let amount, let path, let kind, let expiry, let filter, let key):
            return outcome(
                try grant(
                    amount, to: path, kind: kind, expiresAt: Timestamp(microseconds: expiry),
                    filter: GrantFilter(providers: filter.map { [$0] } ?? []), key: key))
        case .report(let call):
            switch reportAsking(call) {
            case .askHistory: return .nothing
            case .refused(let refusal): return .refused("\(refusal.reason.name)")
            case .receipt(let receipt):
                if receipt.duplicate {
                    return .duplicate(
                        sequence: receipt.sequence, charge: receipt.charge, balance: receipt.balance)
                }
                if receipt.state == .parked {
                    return .parked(sequence: receipt.sequence, balance: receipt.balance)
                }
                return .charged(
                    sequence: receipt.sequence, charge: receipt.charge, allowance: receipt.allowanceUsed,
                    balance: receipt.balance)
            }
        case .end(let action, let reported, let corrected):
            switch try end(action, corrected, parkedAs: 1, digestOf: { $0 = reported }) {
            case .askHistory: return .nothing
            case .refused(let refusal), .stillParked(let refusal): return .refused("\(refusal.reason.name)")
            case .ended(let first):
                return .duplicate(sequence: first.sequence, charge: first.charge, balance: 0)
            case .done(let receipt):
                return .charged(
                    sequence: receipt.sequence, charge: receipt.charge, allowance: receipt.allowanceUsed,
                    balance: receipt.balance)
            }
        case .deduct(let amount, let path, let allowNegative, let key):
            return try perform(
                .deduct(amount, service: Array("by hand".utf8), allowNegative: allowNegative), on: path,
                key: key)
        case .voidGrant(let grant, let path, let key):
            return try perform(.void(grant: grant), on: path, key: key)
        case .refund(let amount, let call, let isCorrection, let path, let key):
            guard let charge = known(call) else { return .nothing }
            return try perform(
                isCorrection
                    ? .correct(to: amount, of: charge, source: [])
                    : .refund(amount, of: charge, source: []), on: path, key: key)
        case .close(let path, let choice):
            return Self.outcome(try close(path, choice))
        case .hold(let order): return outcome(hold(order))
        case .extend(let order, let lease, let amount):
            return outcome(try extend(order.id, of: order.account, lease: lease, amount: amount))
        case .void(let order): return outcome(try void(order.id, of: order.account))
        case .ask(let path):
            guard let summary = try summary(path) else { return .nothing }
            return .standing(
                balance: summary.balance, held: summary.held,
                remaining: Dictionary(
                    uniqueKeysWithValues: summary.remaining.map { ($0.key.name, $0.value) }),
                granted: summary.granted, charged: summary.charged, expired: summary.expired,
                voided: summary.voided, deducted: summary.deducted)
        case .wait(let microseconds):
            now.microseconds += microseconds
            return .nothing
        }
    }
}

extension House {
    private func perform(_ act: CreditAct, on path: String, key: String?) throws -> Outcome {
        Self.outcome(try self.act(act, on: path, key: key, history: .neverSeen))
    }

    static func outcome(_ answer: CreditAnswer) -> Outcome {
        switch answer {
        case .done(let receipt) where receipt.duplicate:
            .done(sequence: receipt.sequence, balance: receipt.balance, duplicate: true)
        case .done(let receipt):
            .moved(sequence: receipt.sequence, before: receipt.balanceBefore, after: receipt.balance)
        case .refused(let refusal): .refused("\(refusal.reason.name)")
        case .problem(.aboveCharge): .problem("above charge")
        case .problem(.nothingToCorrect): .problem("nothing to correct")
        case .problem(.noGrant): .problem("no grant")
        case .problem(.balanceLeft): .problem("balance left")
        case .problem(.badTarget): .problem("bad target")
        case .problem(.creditHeld): .problem("credit held")
        case .problem(let other): .problem("\(other)")
        case .askHistory: .nothing
        }
    }

    /// What memory holds of a call's outcome, as history would say it.
    func known(_ call: Call) -> KnownCharge? {
        let keys = call.keys(ledger.keys)
        let found = ledger.shards[ledger.shard(of: keys.organisation)].state.withLock {
            $0.ids.find(keys.request)
        }
        return found.map {
            KnownCharge(sequence: $0.sequence, charged: $0.charge, requestID: Array(call.id.utf8))
        }
    }

    @discardableResult
    func act(
        _ act: CreditAct, on path: String = "acme", key: String? = nil, history: HistoryAnswer = .neverSeen
    ) throws -> CreditAnswer {
        let command = CreditCommand(
            act, actor: Array("ann".utf8), reason: Array("why".utf8), metadata: Array("{}".utf8),
            idempotencyKey: key.map { Array($0.utf8) })
        return try path.withView { (path) throws in
            try ledger.act(command, on: path, now: now, history: history, mark: &mark)
        }
    }

    @discardableResult
    func close(_ path: String, _ choice: ClosingChoice = .none) throws -> CreditAnswer {
        try path.withView { (path) throws in
            try ledger.close(
                path, choice, actor: Array("ann".utf8), reason: Array("why".utf8), now: now, mark: &mark)
        }
    }
}

extension CreditAnswer {
    var receipt: ActReceipt? {
        if case .done(let receipt) = self { return receipt }
        return nil
    }

    var refusal: Refusal? {
        if case .refused(let refusal) = self { return refusal }
        return nil
    }

    var problem: ActProblem? {
        if case .problem(let problem) = self { return problem }
        return nil
    }
}
