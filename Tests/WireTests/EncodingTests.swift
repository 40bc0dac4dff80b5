// What the server answers reaches the client field for field, in frames of the contract.

import Bytes
import Ledger
import Pricing
import Testing

@testable import Wire

@Suite("encoding answers")
struct EncodingTests {
    let encoder = FrameEncoder()
    let decoder = FrameDecoder()

    private func answer<Result>(
        _ bytes: [UInt8], _ body: (ServerFrame) throws -> Result
    ) throws -> Result {
        try bytes.withView { view throws in
            guard case .whole(let messageBytes) = try Framing.scan(view) else {
                throw WireError.malformed(messageBytes: view.count)
            }
            #expect(messageBytes + WireLimits.headerBytes == view.count)
            return try body(try decoder.decodeAnswer(view[5..<view.count]))
        }
    }

    /// Every field different, and at its longest on the wire.
    private func fullReceipt() -> Receipt {
        var receipt = Receipt()
        receipt.state = .parked
        receipt.sequence = .max
        receipt.charge = -2
        receipt.balance = .min
        receipt.duplicate = true
        receipt.inDebt = true
        receipt.standardTierUsed = true
        receipt.baseCost = -3
        receipt.allowanceUsed = -4
        receipt.ruleVersion = .max
        receipt.catalogueVersion = .max - 1
        receipt.parkedReason = .insufficientCredits
        receipt.holdExpired = true
        receipt.orphanCharge = .min
        receipt.givenBack = .min + 1
        return receipt
    }

    @Test("a receipt's bytes are those of the contract")
    func goldenReceipt() {
        var receipt = Receipt()
        receipt.sequence = 300
        receipt.charge = 5
        receipt.balance = -1
        receipt.ruleVersion = 2
        var output: [UInt8] = [9, 9]
        encoder.append(receipt, in: .frame(callID: 77), to: &output)
        let message = ProtoWriter.build { frame in
            frame.number(1, 77)
            frame.message(2) { receipt in
                receipt.number(1, 1)
                receipt.number(2, 300)
                receipt.number(3, 5)
                receipt.number(4, .max)
                receipt.number(10, 2)
            }
        }
        #expect(output == [9, 9, 0, 0, 0, 0, UInt8(message.count)] + message)
    }

    @Test("every field of a receipt arrives, and the longest receipt fits its room")
    func longestReceipt() throws {
        var output: [UInt8] = []
        encoder.append(fullReceipt(), in: .frame(callID: .max), to: &output)
        #expect(output.count <= FrameEncoder.receiptFrameBytesMax)
        try answer(output) { frame in
            #expect(frame.callID == .max)
            guard case .receipt(let receipt) = frame.answer else {
                Issue.record("\(frame.answer)")
                return
            }
            #expect(receipt == fullReceipt())
        }
        // What one receipt set must not be seen in the next.
        output = []
        encoder.append(Receipt(), in: .frame(callID: 1), to: &output)
        try answer(output) { frame in
            guard case .receipt(let receipt) = frame.answer else {
                Issue.record("\(frame.answer)")
                return
            }
            #expect(receipt == Receipt())
        }
    }

    @Test("receipts and states of holds arrive in their order, also the longest of both")
    func receiptsAndHolds() throws {
        let id = [UInt8](repeating: 0x7a, count: HoldLimits.idBytesMax)
        var output: [UInt8] = []
        id.withView { id in
            encoder.append(answers: 16, to: &output) { index in
                if index % 3 != 0 { return nil }
                var answer = HoldAnswer()
                answer.holdID = id
                answer.state = .expired
                answer.amount = -1
                answer.available = -2
                answer.expiresAt = .max
                answer.sequence = .max
                answer.duplicate = true
                answer.orphanCharge = -3
                return (callID: UInt64.max - UInt64(index), answer: answer)
            } receipt: { index in
                (callID: UInt64.max - UInt64(index), answer: fullReceipt())
            }
        }
        try output.withView { view throws in
            var rest = view
            for index in 0..<16 {
                guard case .whole(let messageBytes) = try Framing.scan(rest) else {
                    throw WireError.malformed(messageBytes: rest.count)
                }
                let frame = try decoder.decodeAnswer(rest[5..<5 + messageBytes])
                #expect(frame.callID == .max - UInt64(index))
                switch frame.answer {
                case .hold(let hold):
                    #expect(index % 3 == 0)
                    #expect(Array(hold.holdID) == id)
                    #expect(hold.sequence == .max && hold.orphanCharge == -3)
                case .receipt(let receipt):
                    #expect(index % 3 != 0)
                    #expect(receipt == fullReceipt())
                default: Issue.record("\(frame.answer)")
                }
                rest = rest[5 + messageBytes..<rest.count]
            }
            #expect(rest.isEmpty)
        }
    }

    @Test("a bare receipt is the message alone behind the header")
    func bareReceipt() {
        var output: [UInt8] = []
        var receipt = Receipt()
        receipt.sequence = 1
        encoder.append(receipt, in: .bare, to: &output)
        #expect(output == [0, 0, 0, 0, 4, 8, 1, 16, 1])
    }

    @Test("a refusal arrives with code, reason, words, field and figures")
    func refusal() throws {
        var output: [UInt8] = []
        let refusal = Refusal(.insufficientCredits, found: 5_500_000_000, expected: -1)
        encoder.append(refusal, in: .frame(callID: 3), to: &output)
        try answer(output) { frame in
            guard case .status(let status) = frame.answer else {
                Issue.record("\(frame.answer)")
                return
            }
            #expect(status.code == 8)
            #expect(status.reason.text == "INSUFFICIENT_CREDITS")
            #expect(Reason(name: status.reason) == .insufficientCredits)
            #expect(status.message.text == refusal.message)
            #expect(status.retryAfterMilliseconds == 0)
            let figures = TagList(status.metadata).map { [$0.name.text, $0.value.text] }
            #expect(figures == [["needed", "5500000000"], ["available", "-1"]])
        }
    }

    @Test("a batch's results arrive in order, receipts and refusals mixed")
    func batch() throws {
        var output: [UInt8] = []
        encoder.append(batchOf: 1_000, in: .frame(callID: 4), to: &output) { index in
            if index % 3 == 0 {
                return .refusal(Refusal(.invalidArgument, field: .model, found: Int64(index), expected: 128))
            }
            var receipt = Receipt()
            receipt.sequence = UInt64(index)
            return .receipt(receipt)
        }
        try answer(output) { frame in
            guard case .reportBatch(let batch) = frame.answer else {
                Issue.record("\(frame.answer)")
                return
            }
            #expect(batch.count == 1_000)
            for index in 0..<batch.count {
                switch decoder.read(batch, at: index) {
                case .receipt(let receipt):
                    #expect(index % 3 != 0 && receipt.sequence == UInt64(index))
                case .status(let status):
                    #expect(index % 3 == 0 && status.field.text == "model")
                case .empty:
                    Issue.record("result \(index) is empty")
                }
            }
        }
    }

    @Test("quotes, holds, balances, heartbeats and farewells arrive whole")
    func otherAnswers() throws {
        var output: [UInt8] = []
        var quote = QuoteAnswer()
        quote.charge = 1
        quote.baseCost = 2
        quote.available = 3
        quote.availableAfter = 4
        quote.sufficient = true
        quote.affordableOutputTokens = 0
        quote.allowanceUsed = 5
        quote.ruleVersion = 6
        quote.catalogueVersion = 7
        quote.standardTierUsed = true
        quote.alternativeCharge = 0
        quote.quoteToken = ByteView("token")
        quote.expiresAt = 8
        quote.fee = 11
        quote.minCharge = 12
        quote.minChargeBinds = true
        quote.allowanceLeft = 13
        quote.unlimited = true
        quote.alternativeAllowanceUsed = 14
        quote.byokSaving = -15
        quote.inputTokensAbove = 16
        quote.isOffPeak = true
        quote.markup = .ratio(billionths: 17)
        let lines = [
            QuoteLine(unit: .input, quantity: 9, rate: 10, amount: 90),
            QuoteLine(unit: .output, quantity: 11, rate: 12, amount: 132),
        ]
        encoder.append(quote, lines: QuoteLines(lines), in: .frame(callID: 1), to: &output)
        try answer(output) { frame in
            guard case .quote(let read) = frame.answer else {
                Issue.record("\(frame.answer)")
                return
            }
            #expect([read.charge, read.baseCost, read.available, read.availableAfter] == [1, 2, 3, 4])
            #expect(read.sufficient && read.standardTierUsed)
            #expect(read.affordableOutputTokens == 0 && read.alternativeCharge == 0)
            #expect(read.allowanceUsed == 5 && read.ruleVersion == 6 && read.catalogueVersion == 7)
            #expect(read.quoteToken.text == "token" && read.expiresAt == 8)
            #expect(read.lines.map(\.unit.text) == ["input", "output"])
            #expect(read.lines.map(\.quantity) == [9, 11] && read.lines.map(\.rate) == [10, 12])
            #expect(read.lines.map(\.amount) == [90, 132])
            #expect(read.fee == 11 && read.minCharge == 12 && read.minChargeBinds && read.allowanceLeft == 13)
            #expect(read.unlimited && read.alternativeAllowanceUsed == 14 && read.byokSaving == -15)
            #expect(read.inputTokensAbove == 16 && read.isOffPeak && read.markup == .ratio(billionths: 17))
        }
        output = []
        encoder.append(QuoteAnswer(), lines: QuoteLines(), in: .frame(callID: 1), to: &output)
        try answer(output) { frame in
            guard case .quote(let read) = frame.answer else {
                Issue.record("\(frame.answer)")
                return
            }
            #expect(read.markup == nil && read.byokSaving == nil && read.inputTokensAbove == nil)
            #expect(read.affordableOutputTokens == nil && read.quoteToken.isEmpty && !read.unlimited)
            #expect(read.alternativeCharge == nil && read.lines.isEmpty && read.expiresAt == 0)
        }
        quote.markup = .fixed(18)
        output = []
        encoder.append(quote, lines: QuoteLines(), in: .frame(callID: 1), to: &output)
        try answer(output) { frame in
            guard case .quote(let read) = frame.answer else {
                Issue.record("\(frame.answer)")
                return
            }
            #expect(read.markup == .fixed(18))
        }
        for state in [ReceiptState.charged, .parked, .discarded] {
            output = []
            var receipt = Receipt()
            receipt.state = state
            encoder.append(receipt, in: .frame(callID: 1), to: &output)
            try answer(output) { frame in
                guard case .receipt(let read) = frame.answer else {
                    Issue.record("\(frame.answer)")
                    return
                }
                #expect(read.state == state)
            }
        }

        output = []
        var hold = HoldAnswer()
        hold.holdID = ByteView("h")
        hold.state = .expired
        hold.amount = 1
        hold.available = 2
        hold.expiresAt = 3
        hold.sequence = 4
        hold.duplicate = true
        hold.orphanCharge = 5
        encoder.append(hold, in: .frame(callID: 1), to: &output)
        try answer(output) { frame in
            guard case .hold(let read) = frame.answer else {
                Issue.record("\(frame.answer)")
                return
            }
            #expect(read.holdID.text == "h" && read.state == .expired && read.duplicate)
            #expect(read.orphanCharge == 5)
            #expect([read.amount, read.available, read.expiresAt] == [1, 2, 3] && read.sequence == 4)
        }

        output = []
        var balance = BalanceAnswer()
        balance.account = ByteView("acme/a")
        balance.wallet = ByteView("acme")
        balance.balance = -1
        balance.held = 2
        balance.available = -3
        balance.overdraftLimit = 4
        balance.unlimited = true
        balance.tier = ByteView("starter")
        balance.sequence = 5
        encoder.append(balance, in: .frame(callID: 1), to: &output)
        try answer(output) { frame in
            guard case .balance(let read) = frame.answer else {
                Issue.record("\(frame.answer)")
                return
            }
            #expect(
                read.account.text == "acme/a" && read.wallet.text == "acme" && read.tier.text == "starter")
            #expect([read.balance, read.held, read.available, read.overdraftLimit] == [-1, 2, -3, 4])
            #expect(read.unlimited && read.sequence == 5)
        }

        output = []
        encoder.append(pong: ByteView("beat"), callID: 6, to: &output)
        try answer(output) { frame in
            guard case .pong(let payload) = frame.answer else {
                Issue.record("\(frame.answer)")
                return
            }
            #expect(payload.text == "beat" && frame.callID == 6)
        }

        output = []
        encoder.append(draining: "restarting", to: &output)
        try answer(output) { frame in
            guard case .draining(let message) = frame.answer else {
                Issue.record("\(frame.answer)")
                return
            }
            #expect(message.text == "restarting" && frame.callID == 0)
        }
    }

    @Test("a call that is encoded and decoded again is the same call")
    func callsThereAndBack() throws {
        var output: [UInt8] = []
        var record = UsageRecord()
        let tags: [UInt8] = [1, 107, 2, 118, 118]
        tags.withView { tags in
            record.requestID = ByteView("id")
            record.account = ByteView("acme")
            record.credentialSource = .byok
            record.provider = ByteView("p")
            record.model = ByteView("m")
            record.usage.inputTokens = 1
            record.usage.requests = 2
            record.eventTime = Timestamp(microseconds: 9)
            record.providerReportedCost = 0
            record.tags = tags
            encoder.append(report: record, callID: 5, timeoutMilliseconds: 6, to: &output)
        }
        var read = UsageRecord()
        try output.withView { view throws in
            let frame = try decoder.decode(view[5..<view.count], into: &read)
            #expect(frame.callID == 5 && frame.timeoutMilliseconds == 6)
            #expect(read.requestID.text == "id" && read.credentialSource == .byok)
            #expect(read.usage == record.usage && read.providerReportedCost == 0)
            #expect(Array(read.tags) == tags)
        }
    }
}
