// What a connection answers to each call, and the frames that wait for history.

import Bytes
import Gateway
import Ledger
import NIOCore
import Pricing
import Wire

extension FrameConnection {
    func append(_ decision: ReportDecision, callID: UInt64) {
        switch decision {
        case .receipt(let receipt):
            server.encoder.append(receipt, in: .frame(callID: callID), to: &answers)
        case .refused(let refusal):
            server.encoder.append(refusal, in: .frame(callID: callID), to: &answers)
        case .askHistory:
            server.encoder.append(Refusal(.overloaded), in: .frame(callID: callID), to: &answers)
        }
        answerCount += 1
    }

    func append(_ refusal: Refusal, callID: UInt64) {
        server.encoder.append(refusal, in: .frame(callID: callID), to: &answers)
        answerCount += 1
    }

    /// Answers every call but a sound single report.
    func answer(_ frame: ClientFrame, record: UsageRecord, message: ByteView) {
        switch frame.call {
        case .report(let fault):
            if let fault {
                server.lane.countRefusal(fault)
                append(fault, callID: frame.callID)
            }
        case .reportBatch(let batch):
            answer(batch, callID: frame.callID, message: message, history: nil)
        case .quote(let compare, let fault):
            if let fault { return append(fault, callID: frame.callID) }
            answerQuote(record, compare: compare, callID: frame.callID)
        case .getBalance(let account):
            answerBalance(of: account, callID: frame.callID)
        case .ping(let payload):
            server.encoder.append(pong: payload, callID: frame.callID, to: &answers)
            answerCount += 1
        case .hold, .settle, .void, .extend:
            append(Refusal(.unimplemented, field: .call), callID: frame.callID)
        case .empty:
            append(Refusal(.invalidArgument, field: .call), callID: frame.callID)
        }
    }

    private func answerQuote(_ record: UsageRecord, compare: Bool, callID: UInt64) {
        let quoted: QuotedReport
        switch server.lane.quote(record, compare: compare) {
        case .refused(let refusal): return append(refusal, callID: callID)
        case .quoted(let answer): quoted = answer
        }
        var names = BytePacker(capacity: 256)
        for line in quoted.lines { line.unit.withView { names.append(bytes: $0) } }
        var answer = QuoteAnswer()
        answer.charge = quoted.charge
        answer.baseCost = quoted.baseCost
        answer.available = quoted.available
        answer.availableAfter = quoted.availableAfter
        answer.sufficient = quoted.isSufficient
        answer.affordableOutputTokens = quoted.affordableOutputTokens
        answer.allowanceUsed = quoted.allowanceUsed
        answer.ruleVersion = quoted.ruleVersion
        answer.catalogueVersion = quoted.catalogueVersion
        answer.standardTierUsed = quoted.standardTierUsed
        answer.alternativeCharge = quoted.alternativeCharge
        var start = 0
        for line in quoted.lines {
            let end = start + line.unit.utf8.count
            answer.lines.append(
                QuoteAnswerLine(
                    unit: names.view[start..<end], quantity: line.quantity, rate: line.rate,
                    amount: line.amount))
            start = end
        }
        server.encoder.append(answer, in: .frame(callID: callID), to: &answers)
        answerCount += 1
    }

    private func answerBalance(of account: ByteView, callID: UInt64) {
        let summary: AccountSummary?
        do {
            summary = try server.lane.balance(of: account)
        } catch {
            return append(Refusal(.invalidArgument, field: .account, fault: error), callID: callID)
        }
        guard let summary else { return append(Refusal(.accountNotFound, field: .account), callID: callID) }
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
                    server.encoder.append(answer, in: .frame(callID: callID), to: &answers)
                }
            }
        }
        answerCount += 1
    }

    // MARK: - Batches and late records

    /// Decides the records of a batch. `history` holds an answer for each once it was asked.
    private func answer(_ batch: ReportBatch, callID: UInt64, message: ByteView, history: [HistoryAnswer]?) {
        if let fault = batch.fault { return append(fault, callID: callID) }
        let lane = server.lane
        if history == nil {
            var keys: [RecordKeys] = []
            var needsHistory = false
            for index in 0..<batch.count {
                var prepared = PreparedReport()
                if server.decoder.read(batch, at: index, into: &server.records[0]) == nil {
                    prepared = lane.prepare(server.records[0])
                }
                needsHistory = needsHistory || prepared.needsHistory
                keys.append(prepared.keys)
            }
            lane.clearPrepared()
            if needsHistory { return askHistory(keys, message: message) }
        }
        server.results.removeAll(keepingCapacity: true)
        for index in 0..<batch.count {
            if let fault = server.decoder.read(batch, at: index, into: &server.records[0]) {
                lane.countRefusal(fault)
                server.results.append(.refusal(fault))
                continue
            }
            let prepared = lane.prepare(server.records[0])
            switch lane.decide(server.records[0], prepared, history: history?[index] ?? .notAsked) {
            case .receipt(let receipt): server.results.append(.receipt(receipt))
            case .refused(let refusal): server.results.append(.refusal(refusal))
            case .askHistory: server.results.append(.refusal(Refusal(.overloaded)))
            }
            lane.clearPrepared()
        }
        server.encoder.append(
            batchOf: batch.count, in: .frame(callID: callID), to: &answers,
            result: { server.results[$0] })
        answerCount += 1
    }

    /// Sets a frame aside until history has said what it holds of its ids.
    func askHistory(_ keys: [RecordKeys], message: ByteView) {
        let copy = Array(message)
        let bound = NIOLoopBound(self, eventLoop: server.eventLoop)
        let eventLoop = server.eventLoop
        server.gateway.askHistory(keys) { answers in
            eventLoop.execute { bound.value.resume(copy, history: answers) }
        }
    }

    /// Takes up a frame that waited for history.
    private func resume(_ message: [UInt8], history: [HistoryAnswer]) {
        guard context != nil else { return }
        let lane = server.lane
        lane.begin()
        message.withView { message in
            do throws(WireError) {
                let frame = try server.decoder.decode(message, into: &server.records[0])
                switch frame.call {
                case .report(nil):
                    let prepared = lane.prepare(server.records[0])
                    append(
                        lane.decide(server.records[0], prepared, history: history[0]), callID: frame.callID)
                case .reportBatch(let batch):
                    answer(batch, callID: frame.callID, message: message, history: history)
                default:
                    preconditionFailure("only reports are set aside")
                }
            } catch {
                preconditionFailure("a frame that was read once can be read again")
            }
        }
        lane.clearPrepared()
        server.decoder.reset()
        answerAtEndOfTurn(lane.endRead())
    }
}
