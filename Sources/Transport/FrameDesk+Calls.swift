// What is answered to each call.

import Bytes
import Gateway
import Ledger
import NIOCore
import Pricing
import Wire

extension FrameDesk {
    @inline(__always)
    func append(_ decision: ReportDecision, callID: UInt64, to answers: inout Answers) {
        switch decision {
        case .receipt(let receipt):
            encoder.append(receipt, in: .frame(callID: callID), to: &answers.output)
        case .refused(let refusal):
            encoder.append(refusal, in: .frame(callID: callID), to: &answers.output)
        case .askHistory:
            encoder.append(Refusal(.overloaded), in: .frame(callID: callID), to: &answers.output)
        }
        answers.count += 1
    }

    func append(_ refusal: Refusal, callID: UInt64, to answers: inout Answers) {
        encoder.append(refusal, in: .frame(callID: callID), to: &answers.output)
        answers.count += 1
    }

    /// Answers a call that nobody waits for any more.
    mutating func refuseLate(callID: UInt64, to answers: inout Answers) {
        let refusal = Refusal(.deadlineExceeded, field: .call)
        lane.countRefusal(refusal)
        append(refusal, callID: callID, to: &answers)
    }

    /// Answers a call that there is no memory for.
    mutating func refuseOverloaded(callID: UInt64, to answers: inout Answers) {
        let refusal = Refusal(.overloaded)
        lane.countRefusal(refusal)
        append(refusal, callID: callID, to: &answers)
    }

    /// Answers every call but a sound single report.
    mutating func answer(
        _ frame: ClientFrame, message: ByteView, since: NIODeadline?, to answers: inout Answers
    ) {
        switch frame.call {
        case .report(let fault):
            if let fault { refuse(fault, callID: frame.callID, to: &answers) }
        case .reportBatch(let batch):
            guard !setsAside(batch, message: message, deadline: (since ?? .now()) + frame.timeout) else {
                return
            }
            answer(batch, callID: frame.callID, history: nil, to: &answers)
        case .quote(_, let fault):
            if let fault { append(fault, callID: frame.callID, to: &answers) }
        case .getBalance(let account):
            answerBalance(of: account, callID: frame.callID, to: &answers)
        case .ping(let payload):
            encoder.append(pong: payload, callID: frame.callID, to: &answers.output)
            answers.count += 1
        case .settle(let fault), .hold(let fault):
            if let fault { refuse(fault, callID: frame.callID, to: &answers) }
        case .void(let fault):
            if let fault { return refuse(fault, callID: frame.callID, to: &answers) }
            let call = decoder.void
            answer(
                lane.void(call.holdID, account: call.account, reason: call.reason),
                (call.holdID, call.account), frame, message: message, since: since, to: &answers)
        case .extend(let fault):
            if let fault { return refuse(fault, callID: frame.callID, to: &answers) }
            let call = decoder.extend
            answer(
                lane.extend(
                    call.holdID, account: call.account, leaseMilliseconds: call.leaseMilliseconds,
                    amount: call.amount), (call.holdID, call.account), frame, message: message, since: since,
                to: &answers)
        case .empty:
            append(Refusal(.invalidArgument, field: .call), callID: frame.callID, to: &answers)
        }
    }

    /// Answers a call about a hold; where memory does not know it, history is asked first.
    private mutating func answer(
        _ decision: HoldDecision, _ hold: (id: ByteView, account: ByteView), _ frame: ClientFrame,
        message: ByteView, since: NIODeadline?, to answers: inout Answers
    ) {
        if decision.isUnknownHold, let keys = lane.keys(ofHold: hold.id, account: hold.account) {
            return setAside(
                [keys], pinned: [], message: message, deadline: (since ?? .now()) + frame.timeout)
        }
        append(decision, about: hold.id, callID: frame.callID, to: &answers)
    }

    /// Answers a call whose fields are at fault.
    private mutating func refuse(_ fault: Refusal, callID: UInt64, to answers: inout Answers) {
        lane.countRefusal(fault)
        append(fault, callID: callID, to: &answers)
    }

    func append(
        _ decision: HoldDecision, about holdID: ByteView, callID: UInt64, to answers: inout Answers
    ) {
        switch decision {
        case .refused(let refusal): append(refusal, callID: callID, to: &answers)
        case .done(let receipt):
            encoder.append(
                HoldAnswer(receipt, holdID: holdID), in: .frame(callID: callID), to: &answers.output)
            answers.count += 1
        }
    }

    private mutating func answerBalance(of account: ByteView, callID: UInt64, to answers: inout Answers) {
        let summary: AccountSummary?
        do {
            summary = try lane.balance(of: account)
        } catch {
            return append(
                Refusal(.invalidArgument, field: .account, fault: error), callID: callID, to: &answers)
        }
        guard let summary else {
            return append(Refusal(.accountNotFound, field: .account), callID: callID, to: &answers)
        }
        summary.path.withView { path in
            summary.wallet.withView { wallet in
                summary.tier.withView { tier in
                    var answer = BalanceAnswer()
                    answer.account = path
                    answer.wallet = wallet
                    answer.tier = tier
                    answer.balance = summary.balance
                    answer.held = summary.held
                    answer.available = summary.available
                    answer.overdraftLimit = summary.overdraftLimit
                    answer.unlimited = summary.unlimited
                    answer.sequence = summary.sequence
                    encoder.append(answer, in: .frame(callID: callID), to: &answers.output)
                }
            }
        }
        answers.count += 1
    }

    /// Sets a batch aside if history must be asked about one of its records.
    private mutating func setsAside(
        _ batch: ReportBatch, message: ByteView, deadline: NIODeadline
    ) -> Bool {
        if batch.fault != nil { return false }
        let (earliest, refersBack) = decoder.outline(batch)
        guard lane.mayNeedHistory(earliest: earliest, refersBack: refersBack) else { return false }
        var keys: [RecordKeys] = []
        var pinned: [PinnedVersions] = []
        var needsHistory = false
        for index in 0..<batch.count {
            var prepared = PreparedReport()
            if decoder.read(batch, at: index, into: &records[0]) == nil {
                prepared = lane.prepare(records[0])
            }
            needsHistory =
                needsHistory || prepared.needsHistory || lane.isUnknownHold(prepared)
            keys.append(prepared.keys)
            if let versions = prepared.pinned { pinned.append(versions) }
        }
        lane.clearPrepared()
        if needsHistory { setAside(keys, pinned: pinned, message: message, deadline: deadline) }
        return needsHistory
    }

    /// Decides the records of a batch. `history` holds an answer for each once it was asked.
    mutating func answer(
        _ batch: ReportBatch, callID: UInt64, history: [HistoryAnswer]?, to answers: inout Answers
    ) {
        if let fault = batch.fault { return append(fault, callID: callID, to: &answers) }
        results.removeAll(keepingCapacity: true)
        for first in stride(from: 0, to: batch.count, by: Self.recordsAtOnce) {
            let range = first..<min(first + Self.recordsAtOnce, batch.count)
            for index in range {
                let slot = index - first
                if let fault = decoder.read(batch, at: index, into: &records[slot]) {
                    prepared[slot].fail(fault)
                } else {
                    lane.prepare(records[slot], into: &prepared[slot])
                }
            }
            lane.prefetchFirst(of: range.count, &prepared)
            for index in range {
                lane.prefetch(behind: index - first, of: range.count, &prepared)
                results.append(decide(index - first, history: history?[index] ?? .notAsked))
            }
            lane.clearPrepared()
        }
        let results = results
        encoder.append(
            batchOf: batch.count, in: .frame(callID: callID), to: &answers.output, result: { results[$0] })
        answers.count += 1
    }

    /// Decides the record in a slot.
    @inline(__always)
    private mutating func decide(_ slot: Int, history: HistoryAnswer) -> Wire.ReportAnswer {
        switch lane.decide(records[slot], prepared[slot], history: history) {
        case .receipt(let receipt): return .receipt(receipt)
        case .refused(let refusal): return .refusal(refusal)
        case .askHistory:
            let refusal = Refusal(.overloaded)
            lane.countRefusal(refusal)
            return .refusal(refusal)
        }
    }
}

extension QuoteAnswer {
    init(_ room: borrowing QuoteRoom) {
        self.init()
        let quoted = room.quote
        charge = quoted.own.charge
        fee = quoted.own.fee
        allowanceUsed = quoted.own.allowanceUsed
        allowanceLeft = quoted.own.allowanceLeft
        baseCost = quoted.baseCost
        available = quoted.available
        availableAfter = quoted.availableAfter
        sufficient = quoted.isSufficient
        unlimited = quoted.isUnlimited
        affordableOutputTokens = quoted.affordableOutputTokens
        ruleVersion = quoted.ruleVersion
        catalogueVersion = quoted.catalogueVersion
        standardTierUsed = quoted.standardTierUsed
        switch quoted.details.effect {
        case .times(let ratio): markup = .ratio(billionths: ratio.billionths)
        case .fixed(let credits): markup = .fixed(credits.count)
        }
        minCharge = quoted.details.minCharge
        minChargeBinds = quoted.details.minChargeBinds
        inputTokensAbove = quoted.details.inputTokensAbove.map { UInt64($0) }
        isOffPeak = quoted.details.isOffPeak
        alternativeCharge = quoted.alternative?.charge
        alternativeAllowanceUsed = quoted.alternative?.allowanceUsed ?? 0
        byokSaving = quoted.byokSaving
        quoteToken = room.token.view
        expiresAt = quoted.expiresAt.microseconds
    }
}
