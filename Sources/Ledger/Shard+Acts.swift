// Administrators' acts on credit: deciding them. Each has a key under which it is done once.

import Bytes
import Pricing

extension ShardState {
    /// What came of the key before: the first outcome again, a conflict, or a question to history. Nil when it is
    /// new and there is room to remember it.
    mutating func firstAct(
        _ key: Hash128?, digest: UInt64, wallet: UInt32, history: HistoryAnswer
    ) -> ActAnswer? {
        guard let key else { return nil }
        var first = ids.find(key)
        if first == nil {
            switch history {
            case .notAsked: return .askHistory
            case .neverSeen, .holdEnded: break
            case .seen(let outcome): first = outcome
            }
        }
        guard let first else {
            return ids.count < idsShare || makeRoomForID() ? nil : .refused(Refusal(.overloaded))
        }
        guard first.digest == digest else {
            return .refused(
                Refusal(
                    .idempotencyConflict, field: .none, found: Int64(bitPattern: first.digest),
                    expected: Int64(bitPattern: digest)))
        }
        return .done(
            ActReceipt(
                sequence: first.sequence, duplicate: true, balance: accounts[wallet].balance,
                moved: -first.charge))
    }

    /// Decides an act, stages its entries and applies them.
    mutating func act(
        _ command: CreditCommand, on hash: Hash128, key: Hash128?, digest: UInt64, now: Timestamp,
        history: HistoryAnswer
    ) -> CreditAnswer {
        guard let account = find(hash) else { return .refused(Refusal(.accountNotFound, field: .account)) }
        let standing = standing(of: account)
        guard let wallet = standing.wallet else {
            return .refused(Refusal(.accountNotFound, field: .account))
        }
        if let first = firstAct(key, digest: digest, wallet: wallet, history: history) {
            return CreditAnswer(first)
        }
        guard standing.status != .closed else { return .refused(Refusal(.accountClosed, field: .account)) }
        let time = entryTime(now)
        expireHolds(until: time)
        endExpiredGrants(of: wallet, time: time)
        switch command.act {
        case .deduct(let amount, let service, let allowNegative):
            if let refusal = deductionFault(amount, of: wallet, allowNegative: allowNegative) {
                return .refused(refusal)
            }
            return stageDeduct(
                amount, of: wallet, service: service, command: command, key: key, digest: digest, time: time)
        case .refund(let amount, let charge, let source):
            return refund(
                amount, of: charge, source: source, to: wallet, command, key: key, digest: digest, time: time)
        case .void(let grant):
            return void(grant, of: wallet, command, key: key, digest: digest, time: time)
        case .correct(let amount, let charge, let source):
            guard amount >= 0 else {
                return .refused(Refusal(.invalidArgument, field: .amount, found: amount, expected: 0))
            }
            let stands = charge.charged - refunded(of: charge.sequence)
            if stands == amount { return .problem(.nothingToCorrect(stands)) }
            return stands > amount
                ? refund(
                    stands - amount, of: charge, source: source, to: wallet, command, key: key,
                    digest: digest, time: time)
                : note(
                    amount - stands, of: charge, account: account, command, key: key, digest: digest,
                    time: time)
        }
    }

    private func deductionFault(_ amount: Int64, of wallet: UInt32, allowNegative: Bool) -> Refusal? {
        guard amount > 0 else {
            return Refusal(.invalidArgument, field: .amount, found: amount, expected: 1)
        }
        let available = available(of: wallet)
        if amount > available, !allowNegative, !accounts[wallet].unlimited {
            return Refusal(.insufficientCredits, field: .amount, found: amount, expected: available)
        }
        let isTooMuch =
            accounts[wallet].balance.subtractingReportingOverflow(amount).overflow
            || side(of: wallet).deducted.addingReportingOverflow(amount).overflow
        return isTooMuch ? Refusal(.invalidArgument, field: .amount, found: amount, expected: .max) : nil
    }

    /// Takes an amount that fits, in burn order.
    mutating func stageDeduct(
        _ amount: Int64, of wallet: UInt32, cause: DeductEntry.Cause = .manual, service: [UInt8] = [],
        other: ByteView = ByteView(), onlyGrant: UInt64? = nil, command: CreditCommand, key: Hash128?,
        digest: UInt64, time: Timestamp
    ) -> CreditAnswer {
        let before = accounts[wallet].balance
        var entry = DeductEntry()
        entry.wallet = wallet
        entry.path = path(of: wallet)
        entry.cause = cause
        entry.amount = amount
        entry.balanceAfter = before - amount
        entry.other = other
        if let onlyGrant {
            drawn.clear()
            drawn.append(Draw(grant: onlyGrant, amount: amount))
            entry.draws = PackedDraws(count: 1, bytes: drawn.view)
        } else {
            entry.draws = draws(paying: amount, of: wallet)
        }
        command.withDetails(key: key, digest: digest, service) { details, service in
            entry.act = details
            entry.service = service
            staged.append(time: time, entry)
            didStage()
            applyDeducted(entry, time: time)
        }
        return .done(
            ActReceipt(
                sequence: sequence, duplicate: false, balance: entry.balanceAfter, balanceBefore: before,
                moved: -amount))
    }

    private mutating func refund(
        _ amount: Int64, of charge: KnownCharge, source: [UInt8], to wallet: UInt32, _ command: CreditCommand,
        key: Hash128?, digest: UInt64, time: Timestamp
    ) -> CreditAnswer {
        guard amount > 0 else {
            return .refused(Refusal(.invalidArgument, field: .amount, found: amount, expected: 1))
        }
        let remaining = max(0, charge.charged - refunded(of: charge.sequence))
        guard amount <= remaining else {
            return .problem(.aboveCharge(asked: amount, remaining: remaining, charged: charge.charged))
        }
        var request = GrantRequest(
            kind: .refund, amount: amount, source: source, metadata: command.metadata,
            idempotencyKey: command.idempotencyKey)
        request.actor = command.actor
        request.reason = command.reason
        return charge.requestID.withView { requestID in
            CreditAnswer(
                stageGrant(
                    request, to: wallet, key: key, digest: digest, time: time,
                    refundOf: ChargeLink(
                        sequence: charge.sequence, charged: charge.charged, requestID: requestID)))
        }
    }

    private mutating func void(
        _ number: UInt64, of wallet: UInt32, _ command: CreditCommand, key: Hash128?, digest: UInt64,
        time: Timestamp
    ) -> CreditAnswer {
        var found = firstGrant(of: wallet)
        while let grant = found, grant.id != number { found = self.grant(after: grant) }
        guard let grant = found else { return .problem(.noGrant(number)) }
        let before = accounts[wallet].balance
        guard !side(of: wallet).voided.addingReportingOverflow(grant.remaining).overflow,
            !before.subtractingReportingOverflow(grant.remaining).overflow
        else {
            return .refused(
                Refusal(.invalidArgument, field: .amount, found: grant.remaining, expected: .max))
        }
        var entry = GrantEndedEntry()
        entry.wallet = wallet
        entry.path = path(of: wallet)
        entry.grant = number
        entry.amount = grant.remaining
        entry.cause = .voided
        entry.balanceAfter = before - grant.remaining
        command.withDetails(key: key, digest: digest) { details, _ in
            entry.act = details
            staged.append(time: time, entry)
            didStage()
            applyGrantEnded(entry, time: time)
        }
        return .done(
            ActReceipt(
                sequence: sequence, duplicate: false, balance: entry.balanceAfter, balanceBefore: before,
                moved: -grant.remaining))
    }

    private mutating func note(
        _ amount: Int64, of charge: KnownCharge, account: UInt32, _ command: CreditCommand, key: Hash128?,
        digest: UInt64, time: Timestamp
    ) -> CreditAnswer {
        var entry = NotedEntry()
        entry.account = account
        entry.path = path(of: account)
        entry.amount = amount
        command.withDetails(key: key, digest: digest, charge.requestID) { details, requestID in
            entry.act = details
            entry.charge = ChargeLink(
                sequence: charge.sequence, charged: charge.charged, requestID: requestID)
            staged.append(time: time, entry)
            didStage()
            applyNoted(entry, time: time)
        }
        let wallet = standing(of: account).wallet
        return .done(
            ActReceipt(
                sequence: sequence, duplicate: false, balance: wallet.map { accounts[$0].balance } ?? 0))
    }
}

extension CreditCommand {
    /// Lends the texts of the command, and one more.
    func withDetails<Result>(
        key: Hash128?, digest: UInt64, _ text: [UInt8] = [], _ body: (ActDetails, ByteView) -> Result
    ) -> Result {
        [idempotencyKey ?? [], actor, reason, metadata, text].withViews { views in
            var details = ActDetails()
            details.key = key
            details.digest = digest
            details.idempotencyKey = views[0]
            details.actor = views[1]
            details.reason = views[2]
            details.metadata = views[3]
            return body(details, views[4])
        }
    }
}
