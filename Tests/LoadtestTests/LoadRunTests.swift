// The load test runs small here, against a gateway that is honest and against ones that are not.

import Testing

@testable import loadtest

@Suite("load runs", .serialized)
struct LoadRunTests {
    private func plan(_ gateway: BookGateway, count: Int = 5_000) -> LoadPlan {
        var plan = LoadPlan()
        plan.port = gateway.port
        plan.connections = 3
        plan.inFlight = 16
        plan.recordCount = count
        plan.isValidated = true
        plan.workload.accounts = 50
        plan.workload.runID = 7
        return plan
    }

    private func run(
        _ misconduct: Misconduct = .none, _ change: (inout LoadPlan) -> Void = { _ in }
    ) throws -> Summary {
        let gateway = BookGateway(misconduct)
        gateway.start()
        defer { gateway.close() }
        var plan = plan(gateway)
        change(&plan)
        return try LoadRun(plan: plan, tell: { _ in }).run()
    }

    @Test("a closed loop sends every record, gets every receipt, and the books balance")
    func closedLoop() throws {
        let summary = try run()
        #expect(summary.isGood, "\(summary.lines)")
        #expect(summary.books.charged == 5_000 && summary.sent == 5_000)
        #expect(summary.conservation?.holds == true)
        #expect(summary.conservation?.charges ?? 0 > 0)
        #expect(summary.measured == 5_000 && summary.latency.totalCount == 5_000)
    }

    @Test("batches, two threads and repetitions come out the same", arguments: [1, 7, 1_000])
    func batches(batchSize: Int) throws {
        let summary = try run {
            $0.batchSize = batchSize
            $0.threads = 2
            $0.workload.duplicateShare = Share(percent: 20)
        }
        #expect(summary.isGood, "\(summary.lines)")
        #expect(summary.books.answered == 5_000)
        #expect(batchSize == 1_000 || summary.books.duplicates > 0)
        #expect(summary.books.contradictions == 0)
    }

    @Test("an open loop keeps to its rate and counts from the intended time")
    func openLoop() throws {
        let summary = try run {
            $0.recordCount = 500
            $0.rate = 5_000
        }
        #expect(summary.isGood, "\(summary.lines)")
        #expect(summary.books.charged == 500)
        // The last record is due 100 ms after the first; a faster run would not have waited for it.
        #expect(summary.measuredNanoseconds >= 99_000_000)
    }

    @Test("holds are settled by the reports they were opened for, and each counts")
    func holds() throws {
        let summary = try run { $0.workload.holdShare = Share(percent: 50) }
        #expect(summary.books.charged == 5_000 && summary.books.contradictions == 0)
        #expect(abs(summary.books.holds - 2_500) < 250)
        #expect(summary.books.answered == summary.books.charged + summary.books.holds)
    }

    @Test("quotes among the reports are answered with quotes, and take nothing")
    func quotes() throws {
        let summary = try run { $0.workload.quoteShare = Share(percent: 40) }
        #expect(summary.isGood, "\(summary.lines)")
        #expect(summary.books.quotes + summary.books.charged == 5_000)
        #expect(abs(summary.books.quotes - 2_000) < 250)
        let brief = try run {
            $0.workload.quoteShare = Share(percent: 100)
            $0.workload.areQuotesBrief = true
        }
        #expect(brief.isGood && brief.books.quotes == 5_000, "\(brief.lines)")
        #expect(summary.conservation?.holds == true)
    }

    @Test("a gateway that charges more than it says is found out")
    func overcharging() throws {
        let summary = try run(.chargesTwice(every: 1_000))
        #expect(!summary.isGood)
        #expect(summary.conservation?.differing ?? 0 >= 1)
        #expect(summary.lines.contains { $0.hasPrefix("BOOKS DO NOT BALANCE") })
    }

    @Test("a gateway that forgets ids is found out by the records sent again")
    func forgetting() throws {
        let summary = try run(.forgetsIDs) { $0.workload.duplicateShare = Share(percent: 20) }
        #expect(!summary.isGood)
        #expect(summary.books.contradictions > 0)
        #expect(summary.books.firstContradiction?.contains("charged again") == true)
    }

    @Test("records whose answer a lost connection took are sent again and counted once")
    func reconnecting() throws {
        let summary = try run(.hangsUp(after: 600)) { $0.reconnects = true }
        #expect(summary.isGood, "\(summary.lines)")
        #expect(summary.reconnects > 0)
        #expect(summary.books.charged == 5_000)
    }

    @Test("without --reconnect a lost connection ends the run, and what is open is called failed")
    func losing() throws {
        let summary = try run(.hangsUp(after: 100)) { $0.connections = 1 }
        #expect(!summary.isGood)
        #expect(summary.books.unanswered > 0)
        #expect(summary.failure != nil)
        #expect(summary.conservation == nil)
    }

    @Test("refusals are counted under their reason and change no balance")
    func refusals() throws {
        let summary = try run(.busy(every: 10))
        #expect(summary.isGood, "\(summary.lines)")
        #expect(summary.books.refused == ["OVERLOADED": 500])
        #expect(summary.books.charged == 4_500)
    }

    @Test("a run against nobody says where nobody is")
    func nobody() throws {
        let gateway = BookGateway()
        gateway.start()
        let plan = plan(gateway)
        gateway.close()
        #expect(throws: LoadError.self) { try LoadRun(plan: plan, tell: { _ in }).run() }
    }

    @Test("the result as JSON holds what the lines hold")
    func json() throws {
        let summary = try run()
        let json = summary.json
        #expect(json.contains("\"answered\":5000"))
        #expect(json.contains("\"books\":{\"balance\":true"))
        #expect(json.hasSuffix("\"good\":true}"))
        #expect(
            summary.lines.last?.hasPrefix("books balance, in nanocredits: opening 50 000 000 000 000 000 = ")
                == true)
    }
}
