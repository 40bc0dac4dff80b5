// Holds in the tests' ledger.

import Bytes
import Pricing
import Testing

@testable import Ledger

/// A request for a hold that owns its bytes.
struct HoldOrder: Hashable {
    var id = "h1"
    var account = "acme"
    var amount: Int64?
    /// Input and the most output, of model `unit`, where there is no amount.
    var input: Int64 = 0
    var output: Int64 = 0
    var model = "unit"
    var policy = HoldPolicy.strict
    var lease: Int64 = 0
    var byok = false
    var orphan: OrphanPolicy?

    init(_ id: String = "h1", of account: String = "acme", amount: Int64? = nil, policy: HoldPolicy = .strict)
    {
        self.id = id
        self.account = account
        self.amount = amount
        self.policy = policy
    }

    /// What is to be priced. The tests' book has no rate for output, so it is charged by images.
    var usage: Call {
        var call = Call("", of: account, tokens: input, byok: byok)
        call.model = model
        call.usage.outputTokens = output
        return call
    }
}

extension HoldDecision {
    var receipt: HoldReceipt? {
        if case .done(let receipt) = self { return receipt }
        return nil
    }

    var refusal: Refusal? {
        if case .refused(let refusal) = self { return refusal }
        return nil
    }
}

extension House {
    @discardableResult
    func hold(_ order: HoldOrder) -> HoldDecision {
        var call = order.usage
        call.eventTime = now
        call.holdID = order.id
        var keys = call.keys(ledger.keys)
        keys.digest = Array("\(order)".utf8).withView { ledger.keys.digest($0) }
        return call.withRecord { record in
            var terms = HoldTerms()
            terms.holdID = record.holdID
            terms.account = record.account
            terms.source = order.byok ? .byok : .platform
            terms.amount = order.amount
            terms.policy = order.policy
            terms.leaseMilliseconds = order.lease
            terms.orphanPolicy = order.orphan
            var names = BytePacker()
            RecordContent.append(holdNamesOf: record, to: &names)
            return ledger.hold(
                terms, order.orphan ?? .release, keys: HoldKeys(keys), record: record, names: names.view,
                book: book, now: now, mark: &mark)
        }
    }

    @discardableResult
    func extend(
        _ id: String, of account: String = "acme", lease: Int64 = 0, amount: Int64? = nil
    ) throws -> HoldDecision {
        try withKeys(id, account) {
            ledger.extend($0, leaseMilliseconds: lease, amount: amount, now: now, mark: &mark)
        }
    }

    @discardableResult
    func void(_ id: String, of account: String = "acme") throws -> HoldDecision {
        try withKeys(id, account) { keys in
            "why".withView { ledger.void(keys, reason: $0, now: now, mark: &mark) }
        }
    }

    private func withKeys(_ id: String, _ account: String, _ body: (HoldKeys) -> HoldDecision) throws
        -> HoldDecision
    {
        try id.withView { (id) throws in
            try account.withView { (account) throws in body(try ledger.holdKeys(account: account, id: id)) }
        }
    }

    /// Settles a hold with `tokens` of usage.
    @discardableResult
    func settle(
        _ hold: String, _ request: String = "r1", of account: String = "acme", tokens: Int64,
        byok: Bool = false, refuse: Bool = false
    ) -> ReportDecision {
        var call = Call(request, of: account, tokens: tokens, refuse: refuse, byok: byok)
        call.holdID = hold
        return reportAsking(call)
    }

    /// Reports; where only history could say what became of a hold, it knows of none.
    func reportAsking(_ call: Call) -> ReportDecision {
        let decision = report(call)
        return decision.asksHistory ? report(call, history: .neverSeen) : decision
    }

    /// A sibling that has replayed everything.
    func replayed() throws -> House {
        collect()
        let twin = sibling()
        try twin.replay(pieces)
        return twin
    }
}

extension House {
    /// What a parked report's entry says of its hold's orphan, as history would.
    func parkedOrphan(_ key: Hash128) -> OrphanLink? {
        collect()
        var link: OrphanLink?
        do {
            try forEachEntry { _, _, entry in
                if case .charged(let charge) = entry, charge.key == key { link = charge.orphan }
            }
        } catch {
            Issue.record("the journal cannot be read: \(error)")
        }
        return link
    }

    /// Hands over every entry that was replayed or written.
    func forEachEntry(_ body: (UInt64, Timestamp, Entry) throws -> Void) throws {
        collect()
        for piece in replayedPieces + pieces {
            try piece.withView { (view) throws in
                var chunks = PieceReader(view)
                while let chunk = try chunks.next() {
                    var reader = try ChunkReader(chunk)
                    var sequence = reader.nextSequence
                    while let (time, entry) = try reader.next() {
                        try body(sequence, time, entry)
                        sequence = reader.nextSequence
                    }
                }
            }
        }
    }
}
