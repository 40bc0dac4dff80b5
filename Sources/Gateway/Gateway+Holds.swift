// Holds asked for by people and by HTTP clients: the same steps as over frames, with owned values.

import Bytes
import Ledger
import Pricing

/// A hold to be opened, as owned values.
public struct HoldDraft: Sendable {
    public var holdID: [UInt8]
    public var account: [UInt8]
    public var source: CredentialSource
    /// Nanocredits; nil to have `usage` priced.
    public var amount: Int64?
    public var usage: QuoteDraft?
    public var policy = HoldPolicy.strict
    /// 0 for the default.
    public var leaseMilliseconds: Int64 = 0
    /// Nil for the default.
    public var orphanPolicy: OrphanPolicy?

    public init(holdID: [UInt8], account: [UInt8], source: CredentialSource) {
        self.holdID = holdID
        self.account = account
        self.source = source
    }
}

/// Usage that settles a hold, as owned values.
public struct SettlementDraft: Sendable {
    public var holdID: [UInt8]
    public var requestID: [UInt8]
    /// Account, source, provider, model, counts and event time.
    public var usage: QuoteDraft

    public init(holdID: [UInt8], requestID: [UInt8], usage: QuoteDraft) {
        self.holdID = holdID
        self.requestID = requestID
        self.usage = usage
    }
}

extension Gateway {
    /// Sets credit aside. The answer comes when it is durable.
    public func hold(_ draft: HoldDraft) async -> HoldDecision {
        await decided { lane in
            draft.holdID.withView { id in
                draft.account.withView { account in
                    var terms = HoldTerms()
                    terms.holdID = id
                    terms.account = account
                    terms.source = draft.source
                    terms.amount = draft.amount
                    terms.policy = draft.policy
                    terms.leaseMilliseconds = draft.leaseMilliseconds
                    terms.orphanPolicy = draft.orphanPolicy
                    guard let usage = draft.usage else { return lane.hold(terms, UsageRecord()) }
                    // Asked again it must be the same, so the time of asking is no part of it.
                    return usage.withRecord(now: Timestamp(microseconds: 0)) { lane.hold(terms, $0) }
                }
            }
        }
    }

    /// Prolongs a hold, and grows it where asked.
    public func extendHold(
        _ id: [UInt8], account: [UInt8], leaseMilliseconds: Int64, amount: Int64?
    ) async -> HoldDecision {
        await decided(id, of: account) { lane, id, account, history in
            lane.extend(
                id, account: account, leaseMilliseconds: leaseMilliseconds, amount: amount, history: history)
        }
    }

    /// Releases a hold without a charge.
    public func voidHold(_ id: [UInt8], account: [UInt8], reason: [UInt8]) async -> HoldDecision {
        await decided(id, of: account) { lane, id, account, history in
            reason.withView { lane.void(id, account: account, reason: $0, history: history) }
        }
    }

    /// Decides about a hold; where memory does not know it, history is asked what became of it.
    private func decided(
        _ id: [UInt8], of account: [UInt8],
        _ body: @Sendable (inout Lane, ByteView, ByteView, HistoryAnswer) -> HoldDecision
    ) async -> HoldDecision {
        let first = await decided { lane in
            id.withView { id in account.withView { body(&lane, id, $0, .notAsked) } }
        }
        guard first.isUnknownHold, let keys = holdKeys(id, account) else { return first }
        let answers = await withCheckedContinuation { continuation in
            askHistory([keys]) { continuation.resume(returning: $0) }
        }
        return await decided { lane in
            id.withView { id in account.withView { body(&lane, id, $0, answers.first ?? .neverSeen) } }
        }
    }

    private func holdKeys(_ id: [UInt8], _ account: [UInt8]) -> RecordKeys? {
        id.withView { id in account.withView { Lane(self).keys(ofHold: id, account: $0) } }
    }

    /// Releases a hold and charges what was used. The answer comes when it is durable.
    public func settleHold(_ draft: SettlementDraft) async -> ReportDecision {
        var history = HistoryAnswer.notAsked
        while true {
            let attempt = decide(draft, history: history)
            if attempt.needsHistory, case .notAsked = history {
                let answers = await withCheckedContinuation { continuation in
                    askHistory([attempt.keys]) { continuation.resume(returning: $0) }
                }
                history = answers.first ?? .neverSeen
                continue
            }
            await whenDurable(attempt.mark)
            return attempt.decision
        }
    }

    private func decide(
        _ draft: SettlementDraft, history: HistoryAnswer
    ) -> (decision: ReportDecision, needsHistory: Bool, keys: RecordKeys, mark: AnswerMark) {
        var lane = Lane(self)
        lane.begin()
        var prepared = PreparedReport()
        let decision = draft.usage.withRecord(now: now()) { record in
            draft.holdID.withView { holdID in
                draft.requestID.withView { requestID in
                    var record = record.copy()
                    record.holdID = holdID
                    record.requestID = requestID
                    lane.prepare(record, into: &prepared)
                    if prepared.needsHistory, prepared.fault == nil, case .notAsked = history {
                        return ReportDecision.askHistory
                    }
                    return lane.decide(record, prepared, history: history)
                }
            }
        }
        let mark = lane.endRead()
        lane.handOver()
        if case .askHistory = decision { return (decision, true, prepared.keys, mark) }
        return (decision, false, prepared.keys, mark)
    }

    private func decided(_ body: @Sendable (inout Lane) -> HoldDecision) async -> HoldDecision {
        let (decision, mark) = decideNow(body)
        await whenDurable(mark)
        return decision
    }

    private func decideNow(_ body: (inout Lane) -> HoldDecision) -> (HoldDecision, AnswerMark) {
        var lane = Lane(self)
        lane.begin()
        let decision = body(&lane)
        let mark = lane.endRead()
        lane.handOver()
        return (decision, mark)
    }

    /// The open holds of an account and those below it, oldest first; of all without an account. Waits until
    /// what it shows is durable.
    public func openHolds(of account: [UInt8]?, limit: Int) async -> OpenHolds {
        var mark = AnswerMark()
        let holds = readHolds(of: account, limit: limit, mark: &mark)
        await whenDurable(mark)
        return holds
    }

    private func readHolds(of account: [UInt8]?, limit: Int, mark: inout AnswerMark) -> OpenHolds {
        guard let account else { return ledger.openHolds(limit: limit, mark: &mark) }
        return account.withView { ledger.openHolds(of: $0, limit: limit, mark: &mark) }
    }
}

extension Lane {
    /// Sets credit aside, in one go.
    fileprivate mutating func hold(_ terms: HoldTerms, _ record: borrowing UsageRecord) -> HoldDecision {
        var prepared = PreparedReport()
        var record = record.copy()
        prepare(hold: terms, tags: ByteView(), record: &record, into: &prepared)
        return hold(terms, record, prepared)
    }
}
