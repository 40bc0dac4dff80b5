// Holds, as a lane takes them through the middle.

import Bytes
import Ledger
import Pricing

extension Lane {
    /// Computes the keys of a hold's request and asks for the lines it will need. The digest is over all
    /// that it says. A record without an event time is then given the time of the read.
    public mutating func prepare(
        hold terms: HoldTerms, tags: ByteView, record: inout UsageRecord,
        into prepared: inout PreparedReport
    ) {
        place(terms.account, eventTime: record.eventTime, into: &prepared)
        if prepared.fault != nil { return }
        prepared.keys.hold = ledger.keys.hold(terms.holdID, organisation: prepared.keys.organisation)
        // It will be looked for among the ids, where the end of an earlier one would be.
        prepared.keys.request = prepared.keys.hold
        ledger.prefetch(
            prepared.keys.organisation, account: prepared.keys.account, request: prepared.keys.request)
        ledger.prefetchHoldLists(prepared.keys.hold, organisation: prepared.keys.organisation)
        prepared.keys.digest = digest(of: terms, tags: tags, record: record)
        prepared.contentStart = contents.count
        if terms.amount == nil { RecordContent.append(holdNamesOf: record, to: &contents) }
        prepared.contentEnd = contents.count
        prepared.lacksEventTime = record.eventTime.microseconds <= 0
        if prepared.lacksEventTime { record.eventTime = now }
    }

    private mutating func digest(of terms: HoldTerms, tags: ByteView, record: borrowing UsageRecord) -> UInt64
    {
        signing.clear()
        signing.append(prefixed: terms.account)
        signing.append(byte: terms.source.rawValue)
        signing.append(byte: terms.policy.rawValue)
        signing.append(terms.leaseMilliseconds)
        signing.append(prefixed: tags)
        if let orphan = terms.orphanPolicy { signing.append(byte: orphan.rawValue) }
        if let amount = terms.amount {
            signing.append(amount)
        } else {
            RecordContent.append(record, to: &signing)
        }
        return ledger.keys.digest(signing.view)
    }

    /// The digest of the first request under a hold's id, if this one is the same under another name of its account.
    @inline(never)
    private mutating func sameHold(
        _ conflict: Refusal, _ terms: HoldTerms, tags: ByteView, record: borrowing UsageRecord,
        lacksEventTime: Bool
    ) -> UInt64? {
        let first = UInt64(bitPattern: conflict.found)
        for name in ledger.knownNames(of: terms.account) {
            let digest = name.withView { name in
                var terms = terms
                var record = record.copy()
                terms.account = name
                record.account = name
                if lacksEventTime { record.eventTime = UsageRecord().eventTime }
                return self.digest(of: terms, tags: tags, record: record)
            }
            if digest == first { return first }
        }
        return nil
    }

    /// Sets credit aside. `record` is the usage to be priced where the terms have no amount, as it was prepared;
    /// `tags` are those it was prepared with. Allocates nothing.
    public mutating func hold(
        _ terms: HoldTerms, _ record: borrowing UsageRecord, _ prepared: borrowing PreparedReport,
        tags: ByteView = ByteView()
    ) -> HoldDecision {
        if let fault = prepared.fault { return refused(fault) }
        return hold(terms, record, prepared, digest: prepared.keys.digest, tags: tags)
    }

    private mutating func hold(
        _ terms: HoldTerms, _ record: borrowing UsageRecord, _ prepared: borrowing PreparedReport,
        digest: UInt64, tags: ByteView
    ) -> HoldDecision {
        if let closed = gateway.admissionFault() { return refused(closed) }
        var keys = HoldKeys(prepared.keys)
        keys.digest = digest
        let decision = ledger.hold(
            terms, orphanPolicy(of: terms), keys: keys, record: record,
            names: contents.view[prepared.contentStart..<prepared.contentEnd], book: book, now: now,
            mark: &mark)
        switch decision {
        case .done(let receipt):
            if !receipt.duplicate { counts.holds += 1 }
            return decision
        case .refused(let refusal)
        where refusal.reason == .accountNotFound && gateway.autoOpen(terms.account, now: now, mark: &mark):
            return hold(terms, record, prepared, digest: digest, tags: tags)
        case .refused(let refusal):
            if refusal.reason == .idempotencyConflict,
                let first = sameHold(
                    refusal, terms, tags: tags, record: record, lacksEventTime: prepared.lacksEventTime),
                first != digest
            {
                return hold(terms, record, prepared, digest: first, tags: tags)
            }
            let refusal = Self.fault(of: terms.account, insteadOf: refusal)
            return refused(terms.amount == nil ? explained(refusal, record, prepared.keys) : refusal)
        }
    }

    /// What a request does not say is set for all.
    @inline(__always)
    private func orphanPolicy(of terms: HoldTerms) -> OrphanPolicy {
        if let policy = terms.orphanPolicy { return policy }
        let policy = gateway.settings.orphanPolicy
        return terms.amount != nil && policy.needsUsage ? .release : policy
    }

    /// The keys that history is asked about a hold by; nil where the path is none.
    public func keys(ofHold id: ByteView, account: ByteView) -> RecordKeys? {
        do throws(AccountPath.Fault) {
            let found = try ledger.holdKeys(account: account, id: id)
            var keys = RecordKeys.none
            keys.organisation = found.organisation
            keys.account = found.account
            keys.hold = found.hold
            // No report has this key, so the answer is about the hold.
            keys.request = found.hold
            return keys
        } catch {
            return nil
        }
    }

    /// Prolongs a hold, and grows it where asked. See `void` for `history`.
    public mutating func extend(
        _ id: ByteView, account: ByteView, leaseMilliseconds: Int64, amount: Int64?,
        history: HistoryAnswer = .notAsked
    ) -> HoldDecision {
        onHold(id, account: account, history) { lane, keys in
            lane.ledger.extend(
                keys, leaseMilliseconds: leaseMilliseconds, amount: amount, now: lane.now, history: history,
                mark: &lane.mark)
        }
    }

    /// Releases a hold without a charge.
    ///
    /// - Parameter history: what history said of a hold that was refused as unknown: memory forgets how holds
    ///   ended, and the answer then says what became of it.
    public mutating func void(
        _ id: ByteView, account: ByteView, reason: ByteView, history: HistoryAnswer = .notAsked
    ) -> HoldDecision {
        onHold(id, account: account, history) { lane, keys in
            lane.ledger.void(keys, reason: reason, now: lane.now, history: history, mark: &lane.mark)
        }
    }

    private mutating func onHold(
        _ id: ByteView, account: ByteView, _ history: HistoryAnswer,
        _ body: (inout Lane, HoldKeys) -> HoldDecision
    ) -> HoldDecision {
        let holdKeys: HoldKeys
        do throws(AccountPath.Fault) {
            holdKeys = try ledger.holdKeys(account: account, id: id)
        } catch {
            return refused(Refusal(.invalidArgument, field: .account, fault: error))
        }
        if let closed = gateway.admissionFault() { return refused(closed) }
        let decision = body(&self, holdKeys)
        guard case .refused(let refusal) = decision else { return decision }
        // Set aside until history has answered: what is answered in the end is counted.
        if case .notAsked = history, decision.isUnknownHold { return decision }
        return refused(refusal)
    }

    private mutating func refused(_ refusal: Refusal) -> HoldDecision {
        counts.count(refusal: refusal.reason)
        return .refused(refusal)
    }

    /// A refusal for lack of credit says how many output tokens would be covered.
    mutating func explained(_ refusal: Refusal, _ record: borrowing UsageRecord, _ keys: RecordKeys)
        -> Refusal
    {
        guard refusal.reason == .insufficientCredits else { return refusal }
        let noQuote = gateway.quote(
            record, keys, .brief, book: book, now: now, room: &room, mark: &mark)
        guard noQuote == nil, let tokens = room.quote.affordableOutputTokens else { return refusal }
        var refusal = refusal
        refusal.affordableOutputTokens = Int64(clamping: tokens)
        return refusal
    }
}

extension HoldDecision {
    /// It was refused because memory does not know the hold; history may.
    public var isUnknownHold: Bool {
        guard case .refused(let refusal) = self else { return false }
        return refusal.reason == .holdNotFound && refusal.field == .holdID
    }
}

extension Lane {
    /// Whether a prepared record names a hold that memory does not know, neither open nor ended.
    public func isUnknownHold(_ prepared: borrowing PreparedReport) -> Bool {
        prepared.fault == nil && prepared.keys.isAboutHold && !ledger.knowsHold(prepared.keys)
    }
}
