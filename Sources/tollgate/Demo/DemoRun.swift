// The acts of the demonstration, in order.

import Gateway
import Glibc
import Money
import Platform
import StrictJSON
import TollgateClient

struct DemoRun {
    let server: DemoServer
    let stage: DemoStage
    let seconds: Int
    private let score = DemoScore()
    private let clock = SystemClock()

    init(server: DemoServer, stage: DemoStage, seconds: Int) {
        self.server = server
        self.stage = stage
        self.seconds = seconds
    }

    func play() async throws {
        stage.title("A gateway on a new data directory")
        let start = try await server.start()
        let admin = AdminClient(host: "127.0.0.1", port: start.adminPort)
        stage.say(
            facts([
                ("data", server.dataDirectory), ("frames", "127.0.0.1:\(start.listenPort)"),
                ("admin", "http://127.0.0.1:\(start.adminPort)"),
                ("journal", JournalWords.text(start.writeMode, start.flusherPriority)),
                ("ready in", Figures.duration(nanoseconds: start.startNanoseconds)),
            ]))
        try await openAccounts(admin)

        let traffic = DemoTraffic(start: clock.wallMicroseconds())
        let load = DemoLoad(traffic, score)
        try await steadyTraffic(load, port: start.listenPort)
        stage.title("What was charged, added up from the receipts")
        let sums = DemoSums(score.charges)
        stage.say(sums.tierTable + "\n\n" + sums.providerTable)
        try await explainReceipts(admin)
        stage.title("The books")
        try await checkBooks(admin, port: start.listenPort)

        try await killUnderLoad(load, traffic, start)
        stage.title("Stopped, and checked offline")
        stage.progress("the history catches up, the last checkpoint is taken")
        let end = try await server.end(SIGTERM)
        stage.check(end == .exited(0), "the gateway stopped in order, with \(end?.text ?? "no process")")
        try verify()
    }

    // MARK: Acts

    private func openAccounts(_ admin: AdminClient) async throws {
        stage.title("Accounts in four tiers, each with credit")
        let answer = try await admin.post("/api/v1/accounts", DemoCast.openings)
        let refused = try JSONNode.reading { () throws(JSONError) in try answer.wide("refused") }
        var table = Table([
            ("tier", .left), ("wallets", .right), ("users each", .right), ("credits each", .right),
            ("own keys allowed at", .left),
        ])
        for tier in DemoTier.allCases {
            let plan = tier.plan
            table.add([
                tier.name, "\(plan.wallets)", "\(plan.users)", Figures.grouped(plan.credits),
                tier.byokProviders.isEmpty ? "-" : tier.byokProviders.joined(separator: ", "),
            ])
        }
        stage.say(table.text)
        if refused != 0 { stage.check(false, "\(refused) accounts were refused") }
    }

    private func steadyTraffic(_ load: DemoLoad, port: Int) async throws {
        stage.title("\(seconds) seconds of traffic over TCP")
        stage.say(
            "  The token counts of \(Figures.grouped(DemoTrace.requests.count)) real requests (Azure LLM inference trace"
                + " 2023), over and over,\n  for \(DemoCast.models.count) models of"
                + " \(DemoCast.providers.count) providers; \(DemoLoad.connections) connections,"
                + " \(DemoLoad.callsPerConnection) calls under way on each, every 50th call\n  a repeat."
                + " A receipt comes only when its charge is durable on the disk.\n"
        )
        let begun = clock.monotonicNanoseconds()
        async let running: Void = load.run(port: port)
        try await watch(for: .seconds(seconds))
        load.stop()
        await running
        let nanoseconds = clock.monotonicNanoseconds() - begun
        let counts = score.counts
        let latency = score.takeLatencies()
        let rate = Int(Int128(counts.answered) * 1_000_000_000 / Int128(max(1, nanoseconds)))
        stage.say(
            facts([
                (
                    "answered",
                    "\(Figures.grouped(counts.answered)) reports, \(Figures.grouped(rate)) a second"
                ),
                (
                    "latency",
                    "p50 \(Figures.duration(nanoseconds: latency.p50))   p99 \(Figures.duration(nanoseconds: latency.p99))"
                        + "   p99.9 \(Figures.duration(nanoseconds: latency.p999))"
                        + "   max \(Figures.duration(nanoseconds: latency.max))"
                ),
                (
                    "repeats",
                    "\(Figures.grouped(counts.repeated)) answered with their first receipt, charged once"
                ),
                (
                    "parked",
                    "\(Figures.grouped(counts.parked)) of a model without a price: kept until it has one"
                ),
                (
                    "in debt",
                    "\(Figures.grouped(counts.inDebt)) charges beyond the credit: recorded, never dropped"
                ),
            ]))
        reportProblems()
    }

    /// Shows how it goes, several times a second.
    private func watch(for duration: Duration) async throws {
        let begun = ContinuousClock.now
        var last = (count: score.counts.answered, time: begun)
        while ContinuousClock.now < begun + duration {
            try await Task.sleep(for: .milliseconds(250))
            let now = ContinuousClock.now
            let count = score.counts.answered
            let microseconds = Int((now - last.time) / .microseconds(1))
            let rate = (count - last.count) * 1_000_000 / max(1, microseconds)
            let elapsed = Figures.duration(nanoseconds: UInt64((now - begun) / .nanoseconds(1)))
            stage.progress(
                "\(elapsed)   \(Figures.grouped(count)) answered   \(Figures.grouped(rate)) a second")
            last = (count, now)
        }
    }

    private func explainReceipts(_ admin: AdminClient) async throws {
        stage.title("Three receipts, explained from the versions they are pinned to")
        try await waitForHistory(admin)
        for index in Self.interesting(among: score.charges) {
            let request = DemoTraffic.request(index)
            let organisation = DemoCast.wallets[request.wallet].path
            let answer = try await admin.get(
                "/api/v1/receipts/\(DemoTraffic.requestID(index))", query: [("organisation", organisation)])
            let (lines, agrees) = try JSONNode.reading { () throws(JSONError) in
                (try Explain.lines(answer), try answer.field("agrees").bool())
            }
            stage.say("  " + lines.joined(separator: "\n    ") + "\n")
            if !agrees {
                stage.check(false, "\(DemoTraffic.requestID(index)) does not come out the same again")
            }
        }
    }

    /// Explanations come from the history, which lets everything else go first: on a busy machine it is behind for a
    /// while after the traffic.
    private func waitForHistory(_ admin: AdminClient) async throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while ContinuousClock.now < deadline {
            let status = try await admin.get("/api/v1/status")
            let lag = try JSONNode.reading { () throws(JSONError) in
                try status.field("figures").field("history").field("lag_entries").integer(in: 0...(.max))
            }
            if lag == 0 { return }
            stage.progress("the history is \(Figures.grouped(lag)) entries behind")
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    /// A platform charge with an override, an enterprise user's, and a fee that is not free any more.
    private static func interesting(among charges: [Int64]) -> [Int] {
        func first(_ matches: (DemoRequest, Int64) -> Bool) -> Int? {
            charges.indices.first {
                charges[$0] != DemoScore.unanswered && matches(DemoTraffic.request($0), charges[$0])
            }
        }
        return [
            first { request, charge in
                request.source == .platform && request.model.provider == "openrouter" && charge > 0
                    && DemoCast.wallets[request.wallet].tier == .professional
            },
            first { request, charge in
                request.source == .platform && charge > 0 && request.model.provider == "anthropic"
                    && DemoCast.wallets[request.wallet].tier == .enterprise
            },
            first { request, charge in request.source == .byok && charge > 0 }
                ?? first { request, _ in request.source == .byok },
        ].compactMap(\.self)
    }

    private func killUnderLoad(_ load: DemoLoad, _ traffic: DemoTraffic, _ start: DemoServer.Start)
        async throws
    {
        stage.title("kill -9 under load")
        async let running: Void = load.run(port: start.listenPort)
        try await watch(for: .milliseconds(1_500))
        load.noteKill()
        _ = try await server.end(SIGKILL)
        let acknowledged = score.charges
        let before = score.counts
        stage.say("  killed after \(Figures.grouped(before.answered)) answers; the clients go on trying")
        let again = try await server.start()
        stage.say(
            "  a new process, epoch \(again.epoch), ready in \(Figures.duration(nanoseconds: again.startNanoseconds)):"
                + " \(Figures.grouped(again.entriesReplayed)) entries replayed in"
                + " \(Figures.duration(nanoseconds: again.replayNanoseconds))")
        try await watch(for: .milliseconds(1_000))
        load.stop()
        await running
        let counts = score.counts
        let fresh = counts.crossed - counts.crossedDurable
        stage.say(
            "  \(Figures.grouped(counts.crossed)) calls had no answer at the kill and were sent again:"
                + " \(Figures.grouped(counts.crossedDurable)) had been durable\n"
                + "  and got their first receipt, \(Figures.grouped(fresh)) were charged now;"
                + " then traffic went on to \(Figures.grouped(counts.answered)) answers\n")
        try await askAgain(acknowledged, traffic, port: start.listenPort)
        let admin = AdminClient(host: "127.0.0.1", port: start.adminPort)
        try await checkBooks(admin, port: start.listenPort)
        reportProblems()
    }

    /// Reports acknowledged requests once more: each must be known, with the same charge.
    private func askAgain(_ acknowledged: [Int64], _ traffic: DemoTraffic, port: Int) async throws {
        let answered = acknowledged.indices.filter { acknowledged[$0] != DemoScore.unanswered }
        // The last ones before the kill, and as many from all over.
        let sampleCount = 10_000
        let stride = max(1, answered.count / sampleCount)
        let sample =
            Array(answered.suffix(sampleCount))
            + answered.enumerated().filter { $0.offset % stride == 0 }.map(\.element)
        let client = TollgateClient(.init(host: "127.0.0.1", port: port))
        var (lost, changed) = (0, 0)
        for begin in Swift.stride(from: 0, to: sample.count, by: 500) {
            let batch = sample[begin..<min(begin + 500, sample.count)]
            let results = try await client.report(
                batch: batch.map { traffic.report($0) }, timeout: .seconds(30))
            for (index, result) in zip(batch, results) {
                guard case .receipt(let receipt) = result, receipt.duplicate else {
                    lost += 1
                    continue
                }
                if receipt.charge != acknowledged[index] { changed += 1 }
            }
        }
        await client.close()
        stage.check(
            lost == 0 && changed == 0,
            "\(Figures.grouped(sample.count)) acknowledged requests asked again: \(lost) lost, \(changed) changed,"
                + " none charged twice"
        )
    }

    // MARK: Proofs

    /// Compares the receipts with every balance, and with the gateway's own sums.
    private func checkBooks(_ admin: AdminClient, port: Int) async throws {
        let sums = DemoSums(score.charges)
        let client = TollgateClient(.init(host: "127.0.0.1", port: port))
        var wrong: [String] = []
        for (number, wallet) in DemoCast.wallets.enumerated() {
            let expected =
                Int128(wallet.tier.plan.credits) * Int128(Nanocredits.perCredit) - sums.wallets[number]
            let balance = try await client.balance(of: wallet.path).balance
            if Int128(balance) != expected {
                wrong.append("\(wallet.path) has \(balance), receipts say \(expected)")
            }
        }
        await client.close()
        stage.check(
            wrong.isEmpty,
            "\(DemoCast.wallets.count) balances are what was granted less the receipts, to the nanocredit"
                + (wrong.first.map { ": \($0)" } ?? ""))
        let books = try await admin.get("/api/v1/books")
        let (charged, isBalanced, line) = try JSONNode.reading { () throws(JSONError) in
            (try books.wide("charged"), try books.field("balance").bool(), try BooksText.line(books))
        }
        stage.check(isBalanced, "the gateway's books balance, in nanocredits:\n    \(line)")
        stage.check(
            charged == sums.total,
            "its charges are the sum of the receipts: \(Figures.grouped(sums.total)) nanocredits")
    }

    private func verify() throws {
        let report: VerificationReport
        do throws(GatewayError) {
            report = try OfflineDirectory(server.dataDirectory).verify()
        } catch {
            throw OfflineText.failure(error, server.dataDirectory)
        }
        for check in report.checks { stage.check(true, "\(check.part): \(check.found)") }
        if let problem = report.problem { stage.check(false, problem) }
        let sums = DemoSums(score.charges)
        stage.check(
            report.totals.charged == sums.total,
            "charged on the disk: the sum of the receipts, \(Figures.grouped(sums.total)) nanocredits")
    }

    private func reportProblems() {
        let problems = score.problems
        guard !problems.isEmpty else { return }
        stage.check(false, "\(problems.count) calls went wrong, the first: \(problems[0])")
    }
}
