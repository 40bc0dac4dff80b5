// The parts of the load test: what is drawn, what is written, what is read and what is added up.

import Bytes
import Ledger
import Pricing
import Testing
import Wire

@testable import loadtest

@Suite("parts of the load test")
struct LoadPartsTests {
    // MARK: Accounts

    @Test("a uniform choice reaches every account about alike")
    func uniform() {
        let picker = AccountPicker(count: 10, distribution: .uniform)
        var hits = [Int](repeating: 0, count: 10)
        for number in 0..<100_000 { hits[Int(picker.pick(Workload.mix(UInt64(number))))] += 1 }
        for count in hits { #expect(abs(count - 10_000) < 600) }
    }

    @Test("a zipfian choice gives the k-th account a share of 1 / k^0.99")
    func zipfian() {
        let picker = AccountPicker(count: 1_000, distribution: .zipfian)
        var hits = [Int](repeating: 0, count: 1_000)
        for number in 0..<1_000_000 { hits[Int(picker.pick(Workload.mix(UInt64(number))))] += 1 }
        // The sum of the weights of 1 000 accounts is 7.73, so the first gets 12.9 %.
        #expect(abs(hits[0] - 129_000) < 3_000)
        #expect(abs(hits[1] * 1_000 / hits[0] - 503) < 30)
        #expect(abs(hits[9] * 1_000 / hits[0] - 102) < 15)
        #expect(hits.allSatisfy { $0 > 0 })
    }

    @Test("one account is always the choice", arguments: AccountDistribution.allCases)
    func single(distribution: AccountDistribution) {
        let picker = AccountPicker(count: 1, distribution: distribution)
        for random in [0, 1, UInt64.max, 1 << 32] { #expect(picker.pick(random) == 0) }
    }

    @Test("hot accounts get their share, and the same number draws the same record")
    func hot() {
        var plan = WorkloadPlan()
        plan.accounts = 1_000
        plan.hotAccounts = 2
        plan.hotShare = Share(percent: 50)
        plan.byokShare = Share(percent: 25)
        let workload = Workload(plan)
        let items = (0..<40_000).map { workload.item(UInt64($0)) }
        let hot = items.count { $0.account < 2 }
        #expect(abs(hot - 20_040) < 700)
        #expect(abs(items.count(where: \.isBYOK) - 10_000) < 500)
        #expect(items.allSatisfy { $0.cacheReadTokens <= $0.inputTokens && $0.inputTokens > 0 })
        #expect(workload.item(77) == items[77])
        plan.seed += 1
        #expect(Workload(plan).item(77) != items[77])
    }

    @Test("shares of nothing and of everything are exact")
    func shares() {
        #expect(!Share(percent: 0).contains(0))
        #expect(Share(percent: 100).contains(.max))
    }

    // MARK: The trace

    @Test("a trace is read with or without a heading, with either line end, and replayed in a circle")
    func trace() throws {
        let text = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.97,4808,10\r\n2023,110,27"
        let trace = try TokenTrace(text: Array(text.utf8), path: "t.csv")
        #expect(trace.counts == [TokenCounts(input: 4_808, output: 10), TokenCounts(input: 110, output: 27)])
        var plan = WorkloadPlan()
        plan.trace = trace
        #expect(Workload(plan).item(2).inputTokens == 4_808)
        #expect(Workload(plan).item(3).outputTokens == 27)
        let bare = try TokenTrace(text: Array("a,1,2\n".utf8), path: "t.csv")
        #expect(bare.counts.count == 1)
    }

    @Test(
        "a bad line of a trace is named", arguments: ["x,1", "x,1,2,3", "x,-1,2", "x,1,2.5", "x,1,99999999"])
    func badTrace(line: String) {
        #expect(throws: LoadError.trace(path: "t.csv", line: 2, found: line)) {
            try TokenTrace(text: Array("a,1,2\n\(line)\n".utf8), path: "t.csv")
        }
    }

    // MARK: Frames

    @Test("patched frames decode to what was drawn", arguments: [1, 3])
    func frames(batchSize: Int) throws {
        var plan = WorkloadPlan()
        plan.accounts = 1_000_000
        plan.byokShare = Share(percent: 50)
        plan.refuseShare = Share(percent: 50)
        plan.runID = 0xabc
        let workload = Workload(plan)
        let writer = FrameWriter(workload: workload, batchSize: batchSize)
        let queue = ByteQueue(capacity: 16)
        let decoder = FrameDecoder()
        for slot in 0..<300 {
            let time = PackedTime(microseconds: 1_764_000_000_000_000 + Int64(slot) * 1_000_003)
            let numbers = (0..<batchSize).map { UInt64(slot * 1_000_000_007 + $0) }
            writer.append(slot: slot, count: batchSize, to: queue) {
                (numbers[$0], workload.item(numbers[$0]), time, .none)
            }
            let view = queue.view
            #expect(try Framing.scan(view) == .whole(messageBytes: view.count - 5))
            var record = UsageRecord()
            let frame = try decoder.decode(view[5..<view.count], into: &record)
            #expect(frame.callID == LoadConnection.callIDBase + UInt64(slot))
            switch frame.call {
            case .report(let fault):
                #expect(batchSize == 1 && fault == nil)
                expect(record, workload, numbers[0], time)
            case .reportBatch(let batch):
                #expect(batch.count == batchSize)
                for index in 0..<batch.count {
                    #expect(decoder.read(batch, at: index, into: &record) == nil)
                    expect(record, workload, numbers[index], time)
                }
            default: Issue.record("\(frame.call)")
            }
            decoder.reset()
            queue.consume(view.count)
        }
    }

    @Test("accounts stand one above another, and records are for the last", arguments: 1...8)
    func levels(count: Int) throws {
        var plan = WorkloadPlan()
        plan.levels = count
        let workload = Workload(plan)
        let names = (1...count).map { workload.accountName(6, level: $0) }
        #expect(names.last == workload.accountName(6))
        #expect(names.last?.hasPrefix("load-7") == true && names.last?.hasSuffix("/user") == true)
        for (above, below) in zip(names, names.dropFirst()) {
            #expect(below.hasPrefix(above + "/"))
            #expect(below.dropFirst(above.count + 1).contains("/") == false)
        }
        let writer = FrameWriter(workload: workload, batchSize: 1)
        let queue = ByteQueue(capacity: 16)
        writer.append(slot: 0, count: 1, to: queue) { _ in
            (3, workload.item(3), PackedTime(microseconds: 1_764_000_000_000_000), .none)
        }
        var record = UsageRecord()
        _ = try FrameDecoder().decode(queue.view[5..<queue.view.count], into: &record)
        #expect(record.account.text == workload.accountName(workload.item(3).account))
    }

    @Test("patched holds and settlements decode to what was drawn")
    func holdFrames() throws {
        var plan = WorkloadPlan()
        plan.accounts = 1_000_000
        plan.byokShare = Share(percent: 50)
        plan.runID = 0xabc
        let workload = Workload(plan)
        let writer = FrameWriter(workload: workload, batchSize: 1)
        let queue = ByteQueue(capacity: 16)
        let decoder = FrameDecoder()
        for slot in 0..<300 {
            let time = PackedTime(microseconds: 1_764_000_000_000_000 + Int64(slot) * 1_000_003)
            let number = UInt64(slot * 1_000_000_007)
            for stage in [SentRecord.HoldStage.opening, .settling] {
                writer.append(slot: slot, count: 1, to: queue) { _ in
                    (number, workload.item(number), time, stage)
                }
                let view = queue.view
                #expect(try Framing.scan(view) == .whole(messageBytes: view.count - 5))
                var record = UsageRecord()
                let frame = try decoder.decode(view[5..<view.count], into: &record)
                switch frame.call {
                case .hold(let fault):
                    let call = decoder.hold
                    #expect(stage == .opening && fault == nil && call.terms.amount == nil)
                    #expect(call.terms.source == record.credentialSource)
                    #expect(call.terms.account == record.account)
                    // What there is before the request: no id of it, no time.
                    #expect(record.requestID.isEmpty && record.eventTime.microseconds == 0)
                    expect(record, requestID: call.terms.holdID, workload, number, time: 0)
                case .settle(let fault):
                    #expect(stage == .settling && fault == nil && record.holdID == record.requestID)
                    expect(record, workload, number, time)
                default: Issue.record("\(frame.call)")
                }
                decoder.reset()
                queue.consume(view.count)
            }
        }
    }

    @Test(
        "a question for a quote is a frame of its own, brief where that is asked", arguments: [false, true])
    func quoteFrames(isBrief: Bool) throws {
        var plan = WorkloadPlan()
        plan.quoteShare = Share(percent: 100)
        plan.areQuotesBrief = isBrief
        plan.runID = 0xabc
        let workload = Workload(plan)
        let writer = FrameWriter(workload: workload, batchSize: 1)
        let queue = ByteQueue(capacity: 16)
        let decoder = FrameDecoder()
        let time = PackedTime(microseconds: 1_764_000_000_000_000)
        for number in 0..<300 as Range<UInt64> {
            writer.append(slot: 1, count: 1, to: queue) { _ in (number, workload.item(number), time, .none) }
            let view = queue.view
            #expect(try Framing.scan(view) == .whole(messageBytes: view.count - 5))
            var record = UsageRecord()
            guard case .quote(let options, nil) = try decoder.decode(view[5..<view.count], into: &record).call
            else {
                Issue.record("no quote")
                return
            }
            #expect(options == (isBrief ? .brief : []))
            #expect(record.requestID.isEmpty && record.eventTime.microseconds == 0)
            #expect(record.account.text == workload.accountName(workload.item(number).account))
            #expect(record.usage.outputTokens == Int64(workload.item(number).outputTokens))
            #expect(record.credentialSource != nil && !record.model.isEmpty)
            decoder.reset()
            queue.consume(view.count)
        }
    }

    private func expect(
        _ record: borrowing UsageRecord, _ workload: Workload, _ number: UInt64, _ time: PackedTime
    ) {
        expect(record, requestID: record.requestID, workload, number, time: time.microseconds)
    }

    private func expect(
        _ record: borrowing UsageRecord, requestID: ByteView, _ workload: Workload, _ number: UInt64,
        time: Int64
    ) {
        let item = workload.item(number)
        let digits = String(number, radix: 16)
        let padded = String(repeating: "0", count: 16 - digits.count) + digits
        #expect(requestID.text == "lt-00000abc-\(padded)")
        #expect(record.account.text == workload.accountName(item.account))
        #expect(record.credentialSource == (item.isBYOK ? .byok : .platform))
        #expect(record.provider.text == (item.isBYOK ? "openrouter" : "openai"))
        #expect(record.usage.inputTokens == Int64(item.inputTokens))
        #expect(record.usage.outputTokens == Int64(item.outputTokens))
        #expect(record.usage.cacheReadTokens == Int64(item.cacheReadTokens))
        #expect(record.eventTime.microseconds == time)
        #expect(record.onInsufficient == (item.mayRefuse ? .refuse : .record))
    }

    @Test("the largest batch of the longest records fits a frame")
    func frameLimit() {
        #expect(FrameWriter.frameBytesMax(batchSize: WireLimits.batchRecordsMax) < WireLimits.messageBytesMax)
    }

    // MARK: Answers

    @Test("answers are read as the real decoder reads them")
    func answers() {
        let encoder = FrameEncoder()
        for number in 0..<200 as Range<UInt64> {
            var receipt = Receipt()
            receipt.state = number % 5 == 0 ? .parked : .charged
            receipt.sequence = Workload.mix(number)
            receipt.charge = Int64(bitPattern: Workload.mix(number + 1_000)) >> Int64(number % 64)
            receipt.balance = -1
            receipt.duplicate = number % 3 == 0
            receipt.inDebt = true
            receipt.parkedReason = number % 5 == 0 ? .unpricedModel : nil
            let expected = ScannedReceipt(
                isParked: number % 5 == 0, isDuplicate: receipt.duplicate, sequence: receipt.sequence,
                charge: receipt.charge)
            var output: [UInt8] = []
            encoder.append(receipt, in: .frame(callID: number << 20), to: &output)
            output.withView { view in
                guard let (callID, answer) = AnswerScan.frame(view[5..<view.count]),
                    case .receipt(let scanned) = answer
                else {
                    Issue.record("receipt \(number) cannot be read")
                    return
                }
                #expect(callID == number << 20 && scanned == expected)
            }
        }
    }

    @Test("a batch's results and a refusal's words are read in order")
    func otherAnswers() {
        let encoder = FrameEncoder()
        var output: [UInt8] = []
        encoder.append(batchOf: 3, in: .frame(callID: 9), to: &output) { index in
            var receipt = Receipt()
            receipt.sequence = UInt64(index) + 1
            return index == 1 ? .refusal(Refusal(.accountNotFound, field: .account)) : .receipt(receipt)
        }
        output.withView { view in
            guard case (9, .batch(let results))? = AnswerScan.frame(view[5..<view.count]) else {
                Issue.record("not a batch")
                return
            }
            var reader = FieldReader(results)
            for index in 0..<3 {
                switch AnswerScan.nextResult(&reader) {
                case .receipt(let receipt): #expect(index != 1 && receipt.sequence == UInt64(index) + 1)
                case .status(let status):
                    #expect(index == 1 && status.reason.text == "ACCOUNT_NOT_FOUND" && status.code == 5)
                default: Issue.record("result \(index)")
                }
            }
            #expect(AnswerScan.nextResult(&reader) == nil)
        }
    }

    @Test("an answer cut at any byte is read or refused")
    func cutAnswers() {
        var output: [UInt8] = []
        FrameEncoder().append(Refusal(.overloaded), in: .frame(callID: 300), to: &output)
        for cut in 5...output.count {
            Array(output[5..<cut]).withView { _ = AnswerScan.frame($0) }
        }
        for bit in 40..<output.count * 8 {
            var flipped = output
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            Array(flipped[5...]).withView { _ = AnswerScan.frame($0) }
        }
    }

    // MARK: Books

    @Test("the books count first outcomes once and notice what contradicts them")
    func books() {
        var books = Books(accounts: 2, isKept: true)
        let first = ScannedReceipt(sequence: 4, charge: 10)
        books.noteFirst(first, account: 1, mayBeDuplicate: false)
        books.noteFirst(
            ScannedReceipt(isDuplicate: true, sequence: 5, charge: 3), account: 0, mayBeDuplicate: true)
        books.noteRepeated(
            ScannedReceipt(isDuplicate: true, sequence: 4, charge: 10), firstSequence: 4, firstCharge: 10)
        #expect(books.charges == [3, 10] && books.contradictions == 0 && books.duplicates == 1)
        books.noteRepeated(
            ScannedReceipt(isDuplicate: true, sequence: 4, charge: 11), firstSequence: 4, firstCharge: 10)
        books.noteRepeated(ScannedReceipt(sequence: 9, charge: 10), firstSequence: 4, firstCharge: 10)
        books.noteFirst(ScannedReceipt(isDuplicate: true), account: 0, mayBeDuplicate: false)
        #expect(books.contradictions == 3)
        var sum = Books(accounts: 2, isKept: true)
        sum.add(books)
        sum.add(books)
        #expect(sum.charges == [6, 20] && sum.contradictions == 6)
    }

    @Test("two differences that cancel each other are still differences")
    func conservation() {
        let good = Conservation(opening: [10, .max], closing: [7, .max], charges: [3, 0]) { "\($0)" }
        #expect(good.holds && good.opening == Int128(Int64.max) + 10)
        let swapped = Conservation(opening: [10, 10], closing: [6, 8], charges: [3, 3]) { "account \($0)" }
        #expect(
            !swapped.holds && swapped.differing == 2 && swapped.opening == swapped.balances + swapped.charges)
        #expect(swapped.firstDifferences[0] == "account 0: opening 10 - charges 3 is 7, the gateway says 6")
    }

    // MARK: Text and bytes

    @Test("numbers are grouped, times are short, and text for JSON is escaped")
    func text() {
        #expect(Number.grouped(0) == "0" && Number.grouped(-1_234_567) == "-1 234 567")
        #expect(Number.milliseconds(400_000) == "0.40 ms" && Number.milliseconds(12_999_999) == "12 ms")
        #expect(JSONText.quoted("a\"\\\n") == "\"a\\\"\\\\\\u000a\"")
    }

    @Test("an HTTP answer without success is thrown with its body")
    func http() {
        #expect(throws: LoadError.http(request: "POST /x", status: 409, body: "{}")) {
            try AdminClient.check(Array("HTTP/1.1 409 Conflict\r\nA: b\r\n\r\n{}".utf8), request: "POST /x")
        }
        #expect(throws: LoadError.httpUnreadable(request: "POST /x", found: "SSH-2.0")) {
            try AdminClient.check(Array("SSH-2.0".utf8), request: "POST /x")
        }
        #expect(throws: Never.self) {
            try AdminClient.check(Array("HTTP/1.1 201 Created\r\n\r\n".utf8), request: "POST /x")
        }
        for url in ["https://a:1", "http://a", "http://:1", "http://a:0", "a:1"] {
            #expect(throws: LoadError.url(url)) { try AdminClient(url: url, token: nil) }
        }
    }

    @Test("a byte queue keeps its order while it grows and moves")
    func byteQueue() {
        let queue = ByteQueue(capacity: 8)
        var (written, read) = (UInt8(0), UInt8(0))
        for round in 0..<500 {
            for _ in 0..<(round % 7) {
                unsafe queue.room(1).pointee = written
                queue.commit(1)
                written &+= 1
            }
            let taken = min(round % 5, queue.count)
            for byte in Array(queue.view[0..<taken]) {
                #expect(byte == read)
                read &+= 1
            }
            queue.consume(taken)
        }
    }
}
