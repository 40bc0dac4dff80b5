// Ending a parked record: charged after all, or given up. Once, whatever is repeated.
//
//      parked ──settle──→ charged        a price has come, or an administrator gave other counts
//         └───discard───→ discarded      nothing was charged, and nothing will be
//
// The id's outcome is replaced where it is remembered, so a retry of the report and a repeated settlement both
// find what stands now; an id that has left memory is asked of history, as for a report. The charge is made
// by the tier that the account was in when the record was parked, which is nearest to when it happened, and
// taken from the wallet that pays for the account now. A suspended or closed account is charged all the same:
// the usage happened, and an administrator asked for it.

import Bytes
import Pricing

/// What is to become of a parked record. The views live as long as the call.
public struct ParkedCommand: Sendable {
    /// The keyed hash of the request id, the digest of the report, and the entry that parked it.
    public var key: Hash128
    public var digest: UInt64
    public var parkedSequence: UInt64
    public var parkedReason: Pricing.Reason
    /// The tier that the account was in.
    public var tier = ByteView()
    /// The counts of the record are an administrator's.
    public var isCorrected = false
    /// What the end of its hold's lease had charged, as the history keeps it.
    public var orphan: OrphanLink?
    public var reason = ByteView()
    public var actor = ByteView()

    public init(key: Hash128, digest: UInt64, parkedSequence: UInt64, parkedReason: Pricing.Reason) {
        self.key = key
        self.digest = digest
        self.parkedSequence = parkedSequence
        self.parkedReason = parkedReason
    }
}

/// What is done with a parked record.
public enum ParkedAction: Hashable, Sendable {
    case settle
    /// What settling would charge; nothing is changed.
    case preview
    case discard
}

/// The answer to a command about a parked record.
public enum ParkedAnswer: Hashable, Sendable {
    /// It was settled or given up now; for a preview, what settling would come to.
    case done(Receipt)
    /// It was settled or given up before, and this stands.
    case ended(RememberedOutcome)
    /// It still cannot be priced, and why.
    case stillParked(Refusal)
    case refused(Refusal)
    /// Only history knows what came of the id.
    case askHistory
}

extension ShardState {
    /// Decides the end of a parked record, stages its entry and applies it.
    ///
    /// - Parameters:
    ///   - record: the record, with other counts where it is corrected.
    ///   - content: its canonical form.
    mutating func endParked(
        _ action: ParkedAction, _ command: ParkedCommand, record: borrowing UsageRecord,
        account hash: Hash128,
        content: ByteView, book: PriceBook, pin: PricePin, now: Timestamp, history: HistoryAnswer
    ) -> ParkedAnswer {
        var first = ids.find(command.key)
        if first == nil {
            switch history {
            case .notAsked: return .askHistory
            case .neverSeen, .holdEnded: break
            case .seen(let outcome): first = outcome
            }
        }
        guard let first, first.digest == command.digest else {
            return .refused(Refusal(.invalidArgument, field: .requestID))
        }
        guard first.state == .parked else { return .ended(first) }
        guard ids.count < idsShare || makeRoomForID() else { return .refused(Refusal(.overloaded)) }
        guard let account = find(hash) ?? moved(record.account), let wallet = standing(of: account).wallet
        else {
            return .refused(Refusal(.accountNotFound, field: .account))
        }
        var end = ParkedEndEntry()
        end.parkedSequence = command.parkedSequence
        end.isCorrected = command.isCorrected
        end.reason = command.reason
        end.actor = command.actor
        end.charge.account = account
        end.charge.wallet = wallet
        end.charge.key = command.key
        end.charge.digest = command.digest
        end.charge.content =
            accounts[account].hash == hash ? content : self.content(content, under: account)
        end.charge.walletPathCount = Int(accounts[wallet].pathCount)
        end.charge.tier = command.tier
        end.charge.orphan = command.orphan
        end.charge.holdExpired = command.orphan != nil
        if action == .discard {
            end.charge.state = .parked
            end.charge.parkedReason = command.parkedReason
            end.charge.balanceAfter = accounts[wallet].balance
            return stage(end, kind: .parkedDiscarded, record: record, time: entryTime(now))
        }
        switch book.price(record, tier: command.tier, pin: pin) {
        case .refused(let refusal): return .refused(refusal)
        case .parked(let reason, let field):
            return .stillParked(Refusal(notPriced: reason, field: field, usage: record.usage))
        case .priced(let priced):
            endExpiredGrants(of: wallet, time: entryTime(now))
            end.charge.catalogueVersion = book.catalogueVersion
            if let orphan = end.charge.orphan { end.charge.orphan = self.standing(orphan) }
            if let refusal = decideCharge(
                &end.charge, priced: priced, record: record, onInsufficient: .record)
            {
                return .refused(refusal)
            }
            if end.charge.orphan != nil, let refusal = giveBackFault(end.charge) { return .refused(refusal) }
            if action == .preview { return .done(previewed(end.charge)) }
            return stage(end, kind: .parkedSettled, record: record, time: entryTime(now))
        }
    }

    private mutating func stage(
        _ end: ParkedEndEntry, kind: EntryKind, record: borrowing UsageRecord, time: Timestamp
    ) -> ParkedAnswer {
        staged.append(time: time, end, kind: kind)
        didStage()
        applyParkedEnd(end, kind: kind, time: time, eventTime: record.eventTime)
        var receipt = receipt(for: end.charge)
        giveBack(end.charge, holdID: record.holdID, time: time, receipt: &receipt)
        stageCrossedBudgets(time: time)
        if kind == .parkedDiscarded { receipt.state = .discarded }
        return .done(receipt)
    }

    private func previewed(_ charge: ChargeEntry) -> Receipt {
        var receipt = receipt(for: charge)
        receipt.orphanCharge = charge.orphan?.charge ?? 0
        receipt.givenBack = charge.givenBack
        return receipt
    }

    mutating func applyParkedEnd(
        _ entry: ParkedEndEntry, kind: EntryKind, time: Timestamp, eventTime: Timestamp
    ) {
        takeCharge(entry.charge, time: time)
        if budgetCount > 0, entry.charge.charge > 0 {
            countInBudgets(entry.charge, isSettlement: true, time: time)
        }
        rememberParkedEnd(entry, kind: kind, sequence: sequence, eventTime: eventTime)
    }

    /// Puts the end in the place of what is remembered of the id.
    mutating func rememberParkedEnd(
        _ entry: ParkedEndEntry, kind: EntryKind, sequence: UInt64, eventTime: Timestamp
    ) {
        let outcome = RememberedOutcome(
            digest: entry.charge.digest, sequence: sequence, charge: entry.charge.charge,
            state: kind == .parkedDiscarded ? .discarded : .charged)
        if ids.replace(entry.charge.key, outcome: outcome) { return }
        remember(entry.charge.key, outcome, eventTime: eventTime.microseconds)
    }

    /// What replay refuses of a parked record's end, beside what it refuses of a charge.
    func check(_ entry: ParkedEndEntry, kind: EntryKind) throws(EntryError) {
        try check(account: entry.charge.account)
        try check(account: entry.charge.wallet)
        try check(entry.charge)
        let isCharge = entry.charge.state == .charged
        guard isCharge == (kind == .parkedSettled), entry.parkedSequence > 0, entry.parkedSequence <= sequence
        else {
            throw .contradiction(
                shard: number, sequence: sequence + 1,
                what: "the end of the parked entry \(entry.parkedSequence) is not what its kind says")
        }
        if let first = ids.find(entry.charge.key), first.state != .parked {
            throw .contradiction(
                shard: number, sequence: sequence + 1,
                what: "the parked entry \(entry.parkedSequence) ends twice; its outcome is"
                    + " that of entry \(first.sequence)")
        }
    }
}

extension Ledger {
    /// Decides what becomes of a parked record and applies it. `mark` is moved on to what the answer waits for.
    public func endParked(
        _ action: ParkedAction, _ command: ParkedCommand, record: borrowing UsageRecord, content: ByteView,
        book: PriceBook, pin: PricePin, now: Timestamp, history: HistoryAnswer = .notAsked,
        mark: inout AnswerMark
    ) throws(AccountPath.Fault) -> ParkedAnswer {
        let organisationCount = try AccountPath.organisationCount(of: record.account)
        let (organisation, account) = keys.account(record.account, organisationCount: organisationCount)
        let number = shard(of: organisation)
        return shards[number].state.withLock { state in
            state.historySequence = lookahead[number].historySequence.load(ordering: .relaxed)
            let answer = state.endParked(
                action, command, record: record, account: account, content: content, book: book, pin: pin,
                now: now, history: history)
            mark.include(state)
            note(number, state)
            return answer
        }
    }
}
