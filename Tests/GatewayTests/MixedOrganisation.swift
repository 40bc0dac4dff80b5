// Random acts of every kind on one organisation, one after the other, each answer scored. Several organisations
// act at once.

import Bytes
import Gateway
import Ledger
import Money
import Pricing
import Store

/// A report as it was sent, so that it can be sent again.
struct MixedReport {
    var id: String
    var account: String
    var draft: QuoteDraft
    var hold = ""
    var onInsufficient = OnInsufficient.record

    func withRecord<Result>(_ body: (borrowing UsageRecord) -> Result) -> Result {
        draft.withRecord(now: Timestamp(microseconds: 0)) { record in
            id.withView { id in
                hold.withView { hold in
                    var record = record.copy()
                    record.requestID = id
                    record.holdID = hold
                    record.onInsufficient = onInsufficient
                    return body(record)
                }
            }
        }
    }
}

/// An act that had a key, and what it came to.
private struct KeyedAct {
    var command: CreditCommand
    var account: String
    var sequence: UInt64
    var moved: Int64
}

actor MixedOrganisation {
    let name: String
    private var random: SeededGenerator
    private(set) var score: MixedScore
    private let accounts: [String]
    /// Where accounts are now, and every path that they had.
    private var paths: [String: String]
    private var names: [String: [String]]
    private var gateway: Gateway
    private var number = 0
    private var mark = AnswerMark()
    private var reports: [MixedReport] = []
    private var holdDrafts: [(id: String, terms: MixedHold)] = []
    private var keyed: [KeyedAct] = []
    /// Requests that the history holds.
    private var refundable: [String] = []
    private var parked: [String] = []
    /// Orphans that were charged, by the late report that could not be priced.
    private var parkedOrphans: [String: ScoredHold] = [:]
    /// How often each act was done and answered with more than a refusal.
    private(set) var done: [String: Int] = [:]
    private(set) var refused = 0

    struct MixedHold {
        var account: String
        var source: CredentialSource
        var amount: Int64?
        var usage: QuoteDraft?
        var policy: HoldPolicy
        var lease: Int64
        var orphan: OrphanPolicy?
    }

    init(_ name: String, seed: UInt64, gateway: Gateway) {
        self.name = name
        self.gateway = gateway
        random = SeededGenerator(seed: seed)
        let owners = [
            name: true, "\(name)/a": true, "\(name)/a/x": false, "\(name)/b": false, "\(name)/c": true,
        ]
        score = MixedScore(accounts: owners)
        accounts = owners.keys.sorted()
        paths = Dictionary(uniqueKeysWithValues: accounts.map { ($0, $0) })
        names = Dictionary(uniqueKeysWithValues: accounts.map { ($0, [$0]) })
    }

    /// Where an account is.
    private func path(_ account: String) -> [UInt8] { Array((paths[account] ?? account).utf8) }

    /// A path under which a caller may know an account: mostly that of now.
    private func anyName(_ account: String) -> [UInt8] {
        chance(70) ? path(account) : Array(pick(names[account] ?? [account]).utf8)
    }

    /// The account that is or was at a path.
    private func account(at path: [UInt8]) -> String {
        let path = String(decoding: path, as: UTF8.self)
        return names.first { $0.value.contains(path) }?.key ?? path
    }

    /// Opens the accounts.
    func open() async {
        let openings = accounts.map { account in
            AccountOpening(
                path: Array(account.utf8),
                settings: AccountSettings(
                    ownsWallet: score.payer(account) == account, unlimited: account.hasSuffix("/c"),
                    overdraftLimit: account.hasSuffix("/a") ? 5_000_000_000 : 0,
                    tier: account == name ? Array("professional".utf8) : nil))
        }
        let outcomes = await gateway.open(openings)
        if outcomes.contains(where: { $0 != .opened }) { score.problem("not opened: \(outcomes)") }
        score.wallets["\(name)/c"]?.isUnlimited = true
        score.wallets["\(name)/a"]?.overdraft = 5_000_000_000
    }

    /// Goes on with another process on the same directory.
    func resume(_ gateway: Gateway) {
        self.gateway = gateway
        mark = AnswerMark()
    }

    // MARK: One round

    /// Does `count` acts at one moment. Returns when every answer is durable.
    func round(_ count: Int) async {
        score.advance(to: gateway.now().microseconds)
        // A report's answer does not look at leases: what they charge is charged before, as by the sweeper.
        do {
            _ = try await gateway.balance(of: Array(name.utf8))
        } catch {
            score.problem("\(name): \(error)")
        }
        refundable = score.outcomes.filter { $0.value.state == .charged && $0.value.charge > 0 }.keys.sorted()
        parked = score.outcomes.filter { $0.value.state == .parked }.keys.sorted()
        for done in 0..<count {
            await act()
            // As an event loop does: several answers wait for the same batch.
            if done % 8 == 7 || done == count - 1 { await gateway.durable(mark) }
        }
    }

    private func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
    private func pick<Element>(_ list: [Element]) -> Element {
        list[Int.random(in: 0..<list.count, using: &random)]
    }
    private func amount(upTo credits: Int64) -> Int64 {
        Int64.random(in: 1...credits * 1_000_000_000, using: &random)
    }
    private func next(_ prefix: String) -> String {
        number += 1
        return "\(name)-\(prefix)\(number)"
    }
    private func count(_ what: String) { done[what, default: 0] += 1 }

    private func act() async {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<38: await report()
        case 38..<40: await move()
        case 40..<56: hold()
        case 56..<70: await settle()
        case 70..<74: void()
        case 74..<78: extend()
        case 78..<81: quote()
        case 81..<88: await grant()
        case 88..<90: await deduct()
        case 90..<92: await giveBack()
        case 92..<93: await voidGrant()
        case 93..<95: await repeatAct()
        case 95..<97: await budget()
        case 97..<98: await endParked()
        case 98..<99: await change()
        default: await close()
        }
    }

    // MARK: Reports

    private func usage(_ account: String) -> QuoteDraft {
        let source: CredentialSource = chance(25) ? .byok : .platform
        var draft =
            source == .byok
            ? QuoteDraft(
                source: .byok, provider: Array("openrouter".utf8),
                model: Array("anthropic/claude-3-5-sonnet".utf8))
            : QuoteDraft(
                source: .platform, provider: Array("openai".utf8),
                model: Array(pick(["gpt-4o", "gpt-4o-mini"]).utf8))
        if chance(3) { draft.model = Array("nobody-sells-this".utf8) }
        draft.account = Array(account.utf8)
        draft.usage.inputTokens = Int64.random(in: 0...pick([10, 1_000, 20_000]), using: &random)
        draft.usage.outputTokens = Int64.random(in: 0...pick([0, 500]), using: &random)
        if chance(2) { draft.usage.cacheReadTokens = draft.usage.inputTokens + 1 }
        draft.eventTime = Timestamp(
            microseconds: score.now - (chance(10) ? Int64.random(in: 0...3_600_000_000, using: &random) : 0))
        return draft
    }

    private func report() async {
        if chance(12), !reports.isEmpty {
            var again = pick(reports)
            if chance(20) { again.draft.usage.inputTokens += 1 }
            return await send(again)
        }
        let account = pick(accounts)
        var report = MixedReport(id: next("r"), account: account, draft: usage(account))
        if chance(40) { report.onInsufficient = .refuse }
        await send(report)
    }

    private func settle() async {
        let account = pick(accounts)
        var report = MixedReport(id: next("s"), account: account, draft: usage(account))
        let open = score.holds.keys.sorted()
        let known = holdDrafts.suffix(40).map(\.id)
        guard !known.isEmpty else { return hold() }
        let orphans = score.orphans.keys.sorted()
        report.hold = open.isEmpty || chance(10) ? pick(known) : pick(open)
        if !orphans.isEmpty, chance(15) { report.hold = pick(orphans) }
        if let terms = holdDrafts.last(where: { $0.id == report.hold })?.terms, chance(95) {
            report.account = terms.account
            report.draft.account = Array(terms.account.utf8)
            if report.draft.source != terms.source, chance(90) {
                report.draft.source = terms.source
                if terms.source == .byok { report.draft.provider = Array("openrouter".utf8) }
            }
        }
        if chance(20) { report.onInsufficient = .refuse }
        await send(report)
    }

    private func decide(
        _ report: MixedReport, _ history: HistoryAnswer
    ) -> (decision: ReportDecision, keys: RecordKeys?) {
        var lane = Lane(gateway)
        lane.begin()
        let answer = report.withRecord { record -> (ReportDecision, RecordKeys?) in
            let prepared = lane.prepare(record)
            if prepared.needsHistory, case .notAsked = history { return (.askHistory, prepared.keys) }
            let decision = lane.decide(record, prepared, history: history)
            // Memory does not know the hold that it names.
            if case .askHistory = decision, case .notAsked = history { return (decision, prepared.keys) }
            return (decision, nil)
        }
        mark = lane.endRead()
        lane.handOver()
        return answer
    }

    private func send(_ report: MixedReport) async {
        var report = report
        report.draft.account = anyName(report.account)
        var (decision, keys) = decide(report, .notAsked)
        if let keys {
            let answers = await withCheckedContinuation { continuation in
                gateway.askHistory([keys]) { continuation.resume(returning: $0) }
            }
            decision = decide(report, answers[0]).decision
        }
        let first = score.outcomes[report.id]
        switch decision {
        case .askHistory: score.problem("\(report.id): history was asked and is asked again")
        case .refused(let refusal):
            refused += 1
            if first != nil, refusal.reason != .idempotencyConflict {
                score.problem("\(report.id): repeated, and refused as \(refusal.reason.name)")
            }
            if refusal.reason == .overloaded { score.problem("\(report.id): overloaded") }
        case .receipt(let receipt):
            if let first {
                guard receipt.duplicate, receipt.sequence == first.sequence, receipt.charge == first.charge,
                    receipt.state == first.state
                else { return score.problem("\(report.id): was \(first), is now \(receipt)") }
                return count("duplicate")
            }
            take(receipt, report)
        }
    }

    private func take(_ receipt: Receipt, _ report: MixedReport) {
        if receipt.duplicate { return score.problem("\(report.id): a duplicate of nothing") }
        let wallet = score.payer(report.account)
        let open = report.hold.isEmpty ? nil : score.holds[report.hold]
        var orphan: ScoredHold?
        if let released = receipt.holdReleased {
            if open?.amount != released {
                score.problem(
                    "\(report.id): released \(released) of \(report.hold), which keeps \(open?.amount ?? -1)")
            }
            score.holds[report.hold] = nil
            count("settled")
            if receipt.orphanCharge != 0 { score.problem("\(report.id): \(receipt) settles no orphan") }
        } else if !report.hold.isEmpty {
            if open != nil || !receipt.holdExpired {
                score.problem("\(report.id): \(report.hold) is open and was not released")
            }
            count("settled late")
            orphan = score.correct(report.hold, by: receipt, report.id)
            if let orphan {
                count(receipt.givenBack > 0 ? "orphan given back" : "orphan corrected")
                if orphan.account != report.account || orphan.source != report.draft.source {
                    score.problem("\(report.id): corrects the orphan of \(orphan)")
                }
                if receipt.state == .parked { parkedOrphans[report.id] = orphan }
            }
        } else if !score.isActive(report.account) {
            score.problem("\(report.id): charged to \(report.account), which is not active")
        }
        score.outcomes[report.id] = ScoredOutcome(
            sequence: receipt.sequence, charge: receipt.charge, state: receipt.state)
        reports.append(report)
        if reports.count > 4_000 { reports.removeFirst(2_000) }
        score.charge(wallet, receipt, correcting: orphan, report.id)
        if report.onInsufficient == .refuse, receipt.charge > 0, let found = score.wallets[wallet],
            !found.isUnlimited,
            found.balance - score.held(wallet) + found.overdraft < 0
        {
            score.problem("\(report.id): charged \(receipt.charge), which was not there")
        }
        let usage = report.draft.usage
        score.count(
            report.account, String(decoding: report.draft.provider, as: UTF8.self),
            String(decoding: report.draft.model, as: UTF8.self), cost: receipt.charge,
            tokens: max(0, usage.inputTokens + usage.outputTokens - (orphan?.orphanTokens ?? 0)),
            requests: orphan == nil ? 1 : 0)
        count(receipt.state == .parked ? "parked" : "charged")
    }

    /// A quote, and at the same moment the report that it is for.
    private func quote() {
        let account = pick(accounts)
        var report = MixedReport(id: next("q"), account: account, draft: usage(account))
        report.draft.account = anyName(account)
        var lane = Lane(gateway)
        lane.begin()
        var quoted: Int64?
        var answer: ReportDecision?
        report.withRecord { record in
            var asked = record.copy()
            let prepared = lane.prepare(quote: &asked)
            guard lane.quote(asked, prepared, [.brief]) == nil else { return }
            quoted = lane.room.quote.own.charge
            let recorded = lane.prepare(record)
            if !recorded.needsHistory { answer = lane.decide(record, recorded) }
        }
        mark = lane.endRead()
        lane.handOver()
        guard let quoted else { return refused += 1 }
        count("quoted")
        guard case .receipt(let receipt) = answer else { return }
        if receipt.charge != quoted {
            score.problem("\(report.id): quoted \(quoted), charged \(receipt.charge)")
        }
        take(receipt, report)
    }

    // MARK: Holds

    private func hold() {
        if chance(8), !holdDrafts.isEmpty { return open(pick(holdDrafts)) }
        let account = pick(accounts)
        var terms = MixedHold(
            account: account, source: chance(25) ? .byok : .platform, amount: amount(upTo: pick([1, 40])),
            usage: nil,
            policy: chance(40) ? .clip : .strict, lease: pick([1, 1_000, 60_000, 0, 86_400_000]))
        if chance(50) {
            var draft = usage(account)
            terms.source = draft.source
            draft.eventTime = Timestamp(microseconds: score.now)
            (terms.amount, terms.usage) = (nil, draft)
        }
        if chance(60) {
            terms.orphan = pick(
                terms.usage == nil ? [OrphanPolicy.release, .fullHold] : OrphanPolicy.allCases)
        }
        open((next("h"), terms))
    }

    private func open(_ order: (id: String, terms: MixedHold)) {
        let (id, terms) = order
        var draft = terms.usage ?? QuoteDraft(source: terms.source, provider: [], model: [])
        let known = anyName(terms.account)
        if terms.usage != nil { draft.account = known }
        var lane = Lane(gateway)
        lane.begin()
        let decision = id.withView { id in
            known.withView { account in
                draft.withRecord(now: Timestamp(microseconds: 0)) { record in
                    var asked = HoldTerms()
                    asked.holdID = id
                    asked.account = account
                    asked.source = terms.source
                    asked.amount = terms.amount
                    asked.policy = terms.policy
                    asked.leaseMilliseconds = terms.lease
                    asked.orphanPolicy = terms.orphan
                    var prepared = PreparedReport()
                    var record = record.copy()
                    lane.prepare(hold: asked, tags: ByteView(), record: &record, into: &prepared)
                    return lane.hold(asked, record, prepared)
                }
            }
        }
        mark = lane.endRead()
        lane.handOver()
        guard case .done(let receipt) = decision else { return refused += 1 }
        if receipt.duplicate {
            count("hold again")
            if (receipt.state == .open) != (score.holds[id] != nil) {
                score.problem("\(id): is \(receipt.state.name) and by the score \(score.holds[id] != nil)")
            }
            if receipt.state == .open, receipt.amount != score.holds[id]?.amount {
                score.problem("\(id): keeps \(receipt.amount), by the score \(score.holds[id]?.amount ?? -1)")
            }
            return
        }
        var hold = ScoredHold(
            account: terms.account, source: terms.source, amount: receipt.amount,
            expiresAt: receipt.expiresAt.microseconds)
        if let usage = terms.usage {
            hold.tokens = usage.usage.inputTokens + usage.usage.outputTokens
            hold.provider = String(decoding: usage.provider, as: UTF8.self)
            hold.model = String(decoding: usage.model, as: UTF8.self)
            hold.orphanTokens = terms.orphan == .inputOnly ? usage.usage.inputTokens : hold.tokens
        }
        hold.orphanCharge = receipt.orphanCharge
        if receipt.orphanCharge > receipt.amount
            || terms.orphan ?? .release == .release && receipt.orphanCharge != 0
            || terms.orphan == .fullHold && receipt.orphanCharge != receipt.amount
        {
            score.problem("\(id): its orphan costs \(receipt.orphanCharge) of \(receipt.amount)")
        }
        // An id that was forgotten may be held again.
        score.orphans[id] = nil
        if score.holds[id] != nil { score.problem("\(id): opened, and was open") }
        if !score.isActive(terms.account) {
            score.problem("\(id): opened for \(terms.account), which is not active")
        }
        if let asked = terms.amount,
            receipt.amount > asked || terms.policy == .strict && receipt.amount != asked
        {
            score.problem("\(id): keeps \(receipt.amount) of \(asked)")
        }
        score.holds[id] = hold
        let wallet = score.payer(terms.account)
        score.see(wallet, available: receipt.available, id)
        if receipt.amount > 0, receipt.available < 0, score.wallets[wallet]?.isUnlimited != true {
            score.problem("\(id): keeps \(receipt.amount), which was not there")
        }
        if let budget = score.exceeded(by: hold) { score.problem("\(id): goes above the budget \(budget)") }
        holdDrafts.append((id, terms))
        if holdDrafts.count > 400 { holdDrafts.removeFirst(200) }
        count(terms.policy == .clip ? "held (clip)" : "held (strict)")
    }

    private func onHold(_ body: (inout Lane, String, [UInt8]) -> HoldDecision) -> (String, HoldReceipt)? {
        let open = score.holds.keys.sorted()
        let id = open.isEmpty || chance(10) ? holdDrafts.randomElement(using: &random)?.id : pick(open)
        guard let id,
            let account = score.holds[id]?.account ?? holdDrafts.last(where: { $0.id == id })?.terms.account
        else { return nil }
        var lane = Lane(gateway)
        lane.begin()
        let decision = body(&lane, id, anyName(account))
        mark = lane.endRead()
        lane.handOver()
        guard case .done(let receipt) = decision else {
            refused += 1
            return nil
        }
        return (id, receipt)
    }

    private func void() {
        let answer = onHold { lane, id, account in
            id.withView { id in
                account.withView { account in "why".withView { lane.void(id, account: account, reason: $0) } }
            }
        }
        guard let (id, receipt) = answer else { return }
        guard receipt.state == .voided, receipt.duplicate == (score.holds[id] == nil) else {
            return score.problem("\(id): voided as \(receipt)")
        }
        if receipt.duplicate { return }
        let hold = score.holds.removeValue(forKey: id)
        if hold?.amount != receipt.amount { score.problem("\(id): released \(receipt.amount)") }
        count("voided")
    }

    private func extend() {
        let lease = pick([Int64(1), 0, 60_000])
        let growth: Int64? = chance(50) ? amount(upTo: 10) : nil
        let amounts = score.holds.mapValues(\.amount)
        let answer = onHold { lane, id, account in
            let amount = growth.map { $0 + (amounts[id] ?? 0) }
            return id.withView { id in
                account.withView { lane.extend(id, account: $0, leaseMilliseconds: lease, amount: amount) }
            }
        }
        guard let (id, receipt) = answer else { return }
        guard var hold = score.holds[id], receipt.amount >= hold.amount,
            receipt.amount <= hold.amount + (growth ?? 0)
        else { return score.problem("\(id): extended to \(receipt)") }
        (hold.amount, hold.expiresAt) = (receipt.amount, receipt.expiresAt.microseconds)
        hold.orphanCharge = receipt.orphanCharge
        score.holds[id] = hold
        count("extended")
    }

    // MARK: Acts

    private func grant() async {
        let account = pick(accounts)
        let wallet = score.payer(account)
        let kind = pick(GrantKind.allCases)
        let expiry =
            chance(50) ? Int64.max : score.now + pick([1_000, 1_000_000, 3_600_000_000, 86_400_000_000])
        var request = GrantRequest(
            kind: kind, amount: amount(upTo: pick([1, 100])),
            expiresAt: Timestamp(microseconds: expiry), source: Array("mixed".utf8))
        if chance(50) { request.idempotencyKey = Array(next("k").utf8) }
        do {
            let (receipt, _) = try await gateway.allocate(request, to: anyName(account))
            if receipt.duplicate { return score.problem("a grant is a duplicate of nothing") }
            score.move(wallet, by: request.amount, to: receipt.balance, "grant \(receipt.sequence)")
            score.wallets[wallet]?.grants.append(
                ScoredGrant(sequence: receipt.sequence, amount: request.amount, expiresAt: expiry))
            count("granted \(kind.name)")
        } catch {
            refused += 1
        }
    }

    private func perform(_ command: CreditCommand, _ account: String, _ what: String) async -> ActReceipt? {
        do {
            let receipt = try await gateway.act(command, on: anyName(account)).receipt
            if receipt.duplicate {
                score.problem("\(what): a duplicate of nothing")
                return nil
            }
            if score.isClosed(account) { score.problem("\(what): done on \(account), which is closed") }
            if command.idempotencyKey != nil {
                keyed.append(
                    KeyedAct(
                        command: command, account: account, sequence: receipt.sequence, moved: receipt.moved))
                if keyed.count > 400 { keyed.removeFirst(200) }
            }
            score.move(score.payer(account), by: receipt.moved, to: receipt.balance, what)
            count(what)
            return receipt
        } catch .act, .refused {
            refused += 1
        } catch {
            score.problem("\(what) of \(account): \(error)")
        }
        return nil
    }

    private func key() -> [UInt8]? { chance(60) ? Array(next("k").utf8) : nil }

    private func deduct() async {
        let account = pick(accounts)
        let asked = amount(upTo: 30)
        let allowNegative = chance(30)
        let command = CreditCommand(
            .deduct(asked, service: [], allowNegative: allowNegative), actor: Array("ada".utf8),
            reason: Array("why".utf8),
            idempotencyKey: key())
        guard let receipt = await perform(command, account, "deducted") else { return }
        let wallet = score.payer(account)
        if receipt.moved != -asked { score.problem("deducted \(receipt.moved) for \(asked)") }
        if !allowNegative, let found = score.wallets[wallet], !found.isUnlimited,
            found.balance - score.held(wallet) + found.overdraft < 0
        {
            score.problem("deducted \(asked) from \(wallet), which was not there")
        }
    }

    /// A refund or a correction of a charge.
    private func giveBack() async {
        guard !refundable.isEmpty else { return await grant() }
        let id = pick(refundable)
        guard let outcome = score.outcomes[id] else { return }
        do {
            let found = try gateway.charge(of: Array(id.utf8), account: Array(self.name.utf8))
            guard found.charge.charged == outcome.charge, found.charge.sequence == outcome.sequence else {
                return score.problem("\(id): history says \(found.charge), the score \(outcome)")
            }
            let wallet = account(at: found.wallet)
            let remaining = outcome.charge - outcome.refunded
            let amount = Int64.random(in: 0...outcome.charge, using: &random)
            let isCorrection = chance(40)
            let command = CreditCommand(
                isCorrection
                    ? .correct(to: amount, of: found.charge, source: [])
                    : .refund(amount, of: found.charge, source: []),
                actor: Array("ada".utf8), reason: Array("why".utf8), idempotencyKey: key())
            guard let receipt = await perform(command, wallet, isCorrection ? "corrected" : "refunded") else {
                return
            }
            let expected = isCorrection ? max(0, remaining - amount) : amount
            if receipt.moved != expected || expected > remaining {
                score.problem("\(id): gave back \(receipt.moved) for \(expected) of \(remaining)")
            }
            score.outcomes[id]?.refunded += receipt.moved
            if receipt.moved > 0 {
                score.wallets[wallet]?.grants.append(
                    ScoredGrant(sequence: receipt.sequence, amount: receipt.moved, expiresAt: .max))
            }
        } catch {
            score.problem("\(id): its charge is not found: \(error)")
        }
    }

    private func voidGrant() async {
        let wallet = pick(score.wallets.keys.sorted())
        guard
            let grant = score.wallets[wallet]?.grants.filter({ $0.sequence > 0 }).randomElement(
                using: &random)
        else {
            return await grant()
        }
        let command = CreditCommand(
            .void(grant: grant.sequence), actor: Array("ada".utf8), reason: Array("why".utf8),
            idempotencyKey: key())
        guard let receipt = await perform(command, wallet, "grant voided") else { return }
        if receipt.moved > 0 || receipt.moved < -grant.amount {
            score.problem("voided \(receipt.moved) of \(grant)")
        }
        score.wallets[wallet]?.grants.removeAll { $0.sequence == grant.sequence }
    }

    /// An act asked again with its key, sometimes with another content.
    private func repeatAct() async {
        guard !keyed.isEmpty else { return await deduct() }
        let past = pick(keyed)
        var command = past.command
        let isOther = chance(20)
        if isOther { command.reason = Array("another".utf8) }
        do {
            let receipt = try await gateway.act(command, on: anyName(past.account)).receipt
            if isOther || !receipt.duplicate || receipt.sequence != past.sequence
                || receipt.moved != past.moved
            {
                score.problem("an act repeated is \(receipt), was \(past)")
            }
            count("act again")
        } catch .refused(let refusal) {
            refused += 1
            if !isOther || refusal.reason != .idempotencyConflict {
                score.problem("an act repeated is refused as \(refusal.reason.name)")
            }
        } catch {
            score.problem("an act repeated: \(error)")
        }
    }

    private func budget() async {
        let account = pick(accounts)
        let budgetName = pick(["one", "two", "three"])
        do {
            if chance(20) {
                _ = try await gateway.removeBudget(
                    Array(budgetName.utf8), of: anyName(account), actor: Array("ada".utf8), reason: [])
                if score.budgets[account]?.removeValue(forKey: budgetName) == nil {
                    score.problem("\(account): a budget \(budgetName) was removed that was not there")
                }
                return count("budget removed")
            }
            let metric = pick(BudgetMetric.allCases)
            var terms = BudgetTerms(
                name: Array(budgetName.utf8), window: pick(BudgetWindow.allCases), metric: metric,
                limit: metric == .cost ? amount(upTo: 500) : Int64.random(in: 0...100_000, using: &random),
                isHard: chance(40))
            if terms.window == .anchoredMonth { terms.anchorDay = UInt8.random(in: 1...31, using: &random) }
            if chance(40) { terms.provider = Array(pick(["OpenAI", "openrouter"]).utf8) }
            if chance(20) { terms.model = Array("gpt-4o".utf8) }
            _ = try await gateway.setBudget(
                terms, of: anyName(account), actor: Array("ada".utf8), reason: [])
            score.set(terms, of: account)
            count("budget set")
        } catch {
            refused += 1
        }
    }

    private func endParked() async {
        guard !parked.isEmpty else { return await grant() }
        let id = pick(parked)
        guard let report = reports.last(where: { $0.id == id }) else { return }
        let isDiscard = chance(40)
        var correction = Usage()
        correction.inputTokens = Int64.random(in: 0...1_000, using: &random)
        let order = ParkedOrder(
            isDiscard ? .discard : .settle, reason: "why", actor: "ada",
            correction: !isDiscard && chance(80) ? correction : nil)
        do {
            guard
                let ended = try gateway.endParked(
                    order, requestID: Array(id.utf8), organisation: Array(name.utf8))
            else { return score.problem("\(id): is parked, and history does not know it") }
            await gateway.durable(ended.mark)
            switch ended.result.answer {
            case .done(let receipt):
                guard score.outcomes[id]?.state == .parked else { return score.problem("\(id): ended twice") }
                score.outcomes[id] = ScoredOutcome(
                    sequence: receipt.sequence, charge: receipt.charge, state: receipt.state)
                let wallet = score.payer(report.account)
                if isDiscard {
                    if receipt.charge != 0 { score.problem("\(id): discarded for \(receipt.charge)") }
                } else {
                    let orphan = parkedOrphans.removeValue(forKey: id)
                    if receipt.orphanCharge != orphan?.orphanCharge ?? 0 {
                        score.problem("\(id): settled as \(receipt) after \(String(describing: orphan))")
                    }
                    score.charge(wallet, receipt, correcting: orphan, id)
                    score.count(
                        report.account, String(decoding: report.draft.provider, as: UTF8.self),
                        String(decoding: report.draft.model, as: UTF8.self), cost: receipt.charge, tokens: 0,
                        requests: 0)
                }
                count(isDiscard ? "parked discarded" : "parked settled")
            case .ended(let first):
                if first.sequence != score.outcomes[id]?.sequence
                    || first.charge != score.outcomes[id]?.charge
                {
                    score.problem("\(id): ended as \(first)")
                }
            case .stillParked, .refused: refused += 1
            case .askHistory: score.problem("\(id): history was asked and is asked again")
            }
        } catch {
            score.problem("\(id): \(error)")
        }
    }

    // MARK: Accounts

    private func change() async {
        let account = pick(accounts)
        var change = AccountChange()
        if chance(60) {
            // Mostly back to life.
            change.status = chance(10) ? .suspended : .active
        } else if score.payer(account) == account {
            change.overdraftLimit = amount(upTo: 5)
        }
        let inactive = accounts.filter { score.statuses[$0] != .active }
        let target = change.status == .active && !inactive.isEmpty ? pick(inactive) : account
        do {
            _ = try await gateway.change(anyName(target), change, reason: "why")
            if let status = change.status { score.statuses[target] = status }
            if let limit = change.overdraftLimit { score.wallets[target]?.overdraft = limit }
            count("changed")
        } catch {
            refused += 1
        }
    }

    /// Moves an account, with what is below it, to below another one.
    private func move() async {
        let account = pick(accounts)
        let parent = pick(accounts)
        let segment = account.split(separator: "/").last.map { String($0) } ?? account
        let target = (paths[parent] ?? parent) + "/" + segment
        var order = AccountMove(from: anyName(account), to: Array(target.utf8))
        order.actor = Array("ada".utf8)
        order.reason = Array("why".utf8)
        order.idempotencyKey = key()
        do {
            let receipt = try await gateway.move(order).receipt
            let old = paths[account] ?? account
            if receipt.duplicate != (old == target) { score.problem("\(account): moved as \(receipt)") }
            if receipt.duplicate { return count("moved again") }
            if score.isClosed(account) || score.isClosed(parent) || score.path(parent).contains(account) {
                score.problem("\(account): moved to below \(parent)")
            }
            let before = score.payer(account)
            score.parents[account] = parent
            let wallet = score.payer(account)
            if wallet != before, let found = score.wallets[wallet], !found.isUnlimited,
                let moved = held(account),
                moved > 0, found.balance - score.held(wallet) + found.overdraft < 0
            {
                score.problem("\(account): moved with holds of \(moved), which \(wallet) had not")
            }
            for below in accounts where score.path(below).contains(account) {
                let path = target + (paths[below] ?? below).dropFirst(old.count)
                paths[below] = path
                if names[below]?.contains(path) == false { names[below]?.append(path) }
            }
            count("moved")
        } catch {
            refused += 1
        }
    }

    /// What open holds of accounts that draw on a wallet above `account` keep; nil where it has its own.
    private func held(_ account: String) -> Int64? {
        guard score.wallets[account] == nil else { return nil }
        return score.holds.values.reduce(0) { sum, hold in
            let path = score.path(hold.account)
            let isBelow =
                path.contains(account) && !path.prefix { $0 != account }.contains { score.wallets[$0] != nil }
            return sum + (isBelow ? hold.amount : 0)
        }
    }

    private func close() async {
        let account = pick(accounts)
        let target = pick(accounts)
        let choice = pick([ClosingChoice.none, .keep, .forfeit, .transfer(to: anyName(target))])
        do {
            let receipt = try await gateway.close(anyName(account), choice, actor: "ada", reason: "why")
                .receipt
            if score.payer(account) == account, !receipt.duplicate {
                let given = score.wallets[account]?.grants ?? []
                score.move(account, by: receipt.moved, to: receipt.balance, "close \(account)")
                if receipt.balance != 0, choice != .keep {
                    score.problem("\(account): closed with \(receipt.balance)")
                }
                if receipt.moved != 0 {
                    score.wallets[account]?.grants = []
                    if case .transfer = choice {
                        let other = score.payer(target)
                        score.wallets[other]?.balance -= receipt.moved
                        if receipt.moved < 0 {
                            // They have other numbers there; what was due before has ended.
                            let now = score.now
                            let taken = given.filter { $0.expiresAt > now }.map {
                                ScoredGrant(sequence: 0, amount: $0.amount, expiresAt: $0.expiresAt)
                            }
                            score.wallets[other]?.grants += taken
                        }
                    }
                }
            }
            score.statuses[account] = .closed
            count("closed (\(choice.name))")
        } catch {
            refused += 1
        }
        // What is closed comes back, so that there is something to act on.
        if score.statuses[account] == .closed, chance(85) {
            do {
                _ = try await gateway.change(
                    path(account), AccountChange(status: .active), reason: "back")
                score.statuses[account] = .active
            } catch {
                score.problem("\(account): is not opened again: \(error)")
            }
        }
    }

    // MARK: Comparing

    /// Compares the gateway with the score.
    func compare(_ when: String) async {
        score.advance(to: gateway.now().microseconds)
        do {
            for wallet in score.wallets.keys.sorted() {
                let summary = try await gateway.balance(of: anyName(wallet))
                score.see(wallet, summary.balance, "\(when): \(wallet)")
                guard let found = score.wallets[wallet] else { continue }
                let sum =
                    Int128(summary.granted) - Int128(summary.charged) - Int128(summary.expired)
                    - Int128(summary.voided) - Int128(summary.deducted)
                if summary.charged != found.charged || summary.expired != found.expired
                    || summary.held != score.held(wallet) || summary.overdraftLimit != found.overdraft
                    || sum != Int128(summary.balance)
                {
                    score.problem(
                        "\(when): \(summary), by the score \(found.charged) charged, \(found.expired) expired,"
                            + " \(score.held(wallet)) held")
                }
                if summary.status
                    != (score.isActive(wallet) ? .active : score.isClosed(wallet) ? .closed : .suspended)
                {
                    score.problem("\(when): \(wallet) is \(summary.status)")
                }
            }
            let open = await gateway.openHolds(of: Array(name.utf8), limit: .max).oldest
            for hold in open {
                let id = String(decoding: hold.id, as: UTF8.self)
                guard let found = score.holds[id], found.amount == hold.amount, found.source == hold.source,
                    found.expiresAt == hold.expiresAt.microseconds
                else {
                    score.problem("\(when): \(hold), by the score \(String(describing: score.holds[id]))")
                    continue
                }
            }
            if open.count != score.holds.count {
                score.problem("\(when): \(open.count) holds are open, by the score \(score.holds.count)")
            }
            for account in accounts {
                let standings = try await gateway.budgets(of: anyName(account))
                    .filter { $0.account == path(account) }
                let known = score.budgets[account] ?? [:]
                if standings.count != known.count {
                    score.problem("\(when): \(account) has \(standings.count) budgets")
                }
                for standing in standings {
                    let budgetName = String(decoding: standing.terms.name, as: UTF8.self)
                    guard let budget = known[budgetName], budget.terms == standing.terms,
                        score.used(budget) == standing.used, score.held(budget, of: account) == standing.held
                    else {
                        score.problem(
                            "\(when): \(standing), by the score \(String(describing: known[budgetName])) with"
                                + " \(known[budgetName].map { score.held($0, of: account) } ?? 0) held")
                        continue
                    }
                }
            }
        } catch {
            score.problem("\(when): \(error)")
        }
    }
}

extension ClosingChoice {
    fileprivate var name: String {
        switch self {
        case .none: "nothing left"
        case .keep: "keep"
        case .forfeit: "forfeit"
        case .transfer: "transfer"
        }
    }
}
