// Loadtest: what a gateway of Tollgate's kind must carry, and the proof that it carried it.
//
// Why this workload. A router reports every LLM request once, under its own id, for one of many accounts,
// and waits for the receipt before it forgets the request; so a record has a fresh request id, counts
// of tokens that vary, and one of 100 000 accounts, and the load is as many records as there are
// receipts to wait for. Accounts are `load-<n>/user`: the first segment chooses the gateway's shard, so
// the load spreads over all of them, and `--distribution zipfian` or `--hot-accounts` gathers it again as
// real customers do. `--levels` puts accounts above them, as organisations and teams stand above users, and
// `--budgets` gives each of them a budget. Retries happen, so `--duplicate-percent` repeats answered ids, which
// must get their first outcome. Token counts come from a formula or, with `--trace`, from real requests.
//
// Without `--rate` the loop is closed and finds the highest rate; with it the loop is open and measures
// latency from the moment a record was meant to be sent. With `--validate` the charges in the
// receipts are added up for each account and compared with the gateway's balances before and after: a
// gateway that loses, doubles or invents a charge fails the run, however fast it was. With
// `--reconnect` the run outlives the gateway's death: what has no answer is sent again under its id.

import ArgumentParser
import Bytes
import Glibc
import Ledger
import Platform

/// The command line.
@main
struct Loadtest: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "loadtest",
        abstract: "Loads a Tollgate gateway, measures it, and checks its books.",
        subcommands: [LoadtestCommand.self, InProcessCommand.self],
        defaultSubcommand: LoadtestCommand.self)
}

/// The load over TCP: what `loadtest` does without the name of a subcommand.
struct LoadtestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tcp",
        abstract: "Drives a Tollgate gateway over framed TCP, measures it, and checks its books.",
        discussion: """
            Highest rate:    loadtest --connections 4 --in-flight 1024 --duration 10
            Latency at half: loadtest --connections 16 --rate 500000 --duration 30 --warmup 5
            From nothing:    loadtest --prepare --validate
            """)

    @Option(help: "The gateway's host.") var host = "127.0.0.1"
    @Option(help: "The gateway's port for frames.") var port = 4770
    @Option(help: "TCP connections.") var connections = 4
    @Option(help: "Frames sent and not answered, on each connection.") var inFlight = 64
    @Option(help: "Records per second of an open loop; without it the loop is closed.") var rate: Int?
    @Option(help: "Seconds to run, after the warm-up. Default 10, unless --count is given.")
    var duration: Int?
    @Option(help: "Records to send in all.") var count: Int?
    @Option(help: "Seconds to run before anything is measured.") var warmup = 0
    @Option(help: "Records in a frame; 1 sends single reports.") var batchSize = 1
    @Option(help: "Threads of the generator.") var threads = 1

    @Option(help: "Accounts to report for.") var accounts = 1_000
    @Option(help: "What accounts' names begin with.") var accountsPrefix = "load-"
    @Option(
        help: "Accounts one above another, the last of which records are for; --budgets gives each a budget.")
    var levels = 1
    @Option(help: "How accounts are chosen: uniform or zipfian.")
    var distribution = AccountDistribution.uniform
    @Option(help: "So many accounts are hot.") var hotAccounts = 0
    @Option(help: "Percent of the records that go to hot accounts.") var hotPercent = 0.0
    @Option(help: "Percent of the records that used the customer's own provider key.")
    var byokPercent = 0.0
    @Option(help: "Percent of the records that repeat one that was answered.") var duplicatePercent = 0.0
    @Option(help: "Percent of the records sent with on_insufficient = REFUSE.") var refusePercent = 0.0
    @Option(help: "Percent of the records that are not reported: it is asked what they would cost.")
    var quotePercent = 0.0
    @Flag(help: "Ask for quotes without their factors and token.") var briefQuotes = false
    @Option(help: "Percent of the records for which a hold is opened first: two operations each.")
    var holdPercent = 0.0
    @Option(help: "The provider of platform records.") var provider = "openai"
    @Option(help: "The model of platform records.") var model = "gpt-4o"
    @Option(help: "The provider of records with the customer's own key.") var byokProvider = "openrouter"
    @Option(help: "The model of records with the customer's own key.") var byokModel = "openai/gpt-4o"
    @Option(help: "A file of TIMESTAMP,ContextTokens,GeneratedTokens whose token counts are replayed.")
    var trace: String?
    @Option(help: "Decides every choice that is drawn.") var seed: UInt64 = 42

    @Flag(
        name: .customLong("validate"),
        help: "Compare the receipts with the gateway's balances; exit 1 if they differ.")
    var isValidated = false
    @Flag(help: "After a lost connection connect again and repeat what has no answer.")
    var reconnect = false
    @Option(help: "The administration API, as http://host:port.") var admin = "http://127.0.0.1:4771"
    @Option(help: "The administration API's token; TOLLGATE_ADMIN_TOKEN if not given.")
    var adminToken: String?
    @Flag(help: "Open the accounts and grant them credits first, through --admin.") var prepare = false
    @Flag(help: "With --prepare: set a budget at each level of the accounts, which no run exhausts.")
    var budgets = false
    @Option(help: "The tier of the accounts that are opened.") var tier = "professional"
    @Option(help: "The credits granted to each account that is opened.") var credits = "1000000"
    @Flag(help: "Print the result as one JSON object.") var json = false

    func validate() throws {
        try check(connections, "--connections", 1...LoadLimits.connectionsMax)
        try check(inFlight, "--in-flight", 1...LoadLimits.inFlightMax)
        try check(batchSize, "--batch-size", 1...1_000)
        try check(threads, "--threads", 1...64)
        try check(accounts, "--accounts", 1...LoadLimits.accountsMax)
        try check(levels, "--levels", 1...AccountPath.segmentsMax)
        try check(hotAccounts, "--hot-accounts", 0...accounts)
        try check(warmup, "--warmup", 0...86_400)
        if let rate { try check(rate, "--rate", 1...1_000_000_000) }
        if let duration { try check(duration, "--duration", 1...86_400) }
        if let count { try check(count, "--count", 1...Int.max) }
        for (name, percent) in [
            ("--hot-percent", hotPercent), ("--byok-percent", byokPercent),
            ("--duplicate-percent", duplicatePercent), ("--refuse-percent", refusePercent),
            ("--quote-percent", quotePercent), ("--hold-percent", holdPercent),
        ] where !(percent >= 0 && percent <= 100) {
            throw ValidationError("\(name) is \(percent); it is a share from 0 to 100")
        }
        guard holdPercent == 0 || batchSize == 1 && duplicatePercent == 0 && quotePercent == 0 else {
            throw ValidationError(
                "--hold-percent goes with --batch-size 1, and without --duplicate-percent and --quote-percent"
            )
        }
        guard quotePercent == 0 || batchSize == 1 else {
            throw ValidationError("--quote-percent goes with --batch-size 1: quotes have no batches")
        }
        guard !briefQuotes || quotePercent > 0 else {
            throw ValidationError("--brief-quotes goes with --quote-percent")
        }
        guard !budgets || prepare else { throw ValidationError("--budgets goes with --prepare") }
        guard threads <= connections else {
            throw ValidationError("--threads is \(threads), but there are only \(connections) connections")
        }
        for (name, text, bytesMax) in [
            ("--accounts-prefix", accountsPrefix, 64), ("--provider", provider, 64), ("--model", model, 100),
            ("--byok-provider", byokProvider, 64), ("--byok-model", byokModel, 100),
        ] where text.isEmpty || text.utf8.count > bytesMax {
            throw ValidationError("\(name) is 1 to \(bytesMax) bytes long")
        }
    }

    private func check(_ value: Int, _ name: String, _ range: ClosedRange<Int>) throws {
        guard range.contains(value) else {
            throw ValidationError(
                "\(name) is \(value); it is a number from \(range.lowerBound) to \(range.upperBound)")
        }
    }

    func run() throws {
        do throws(LoadError) {
            let summary = try carryOut()
            if json {
                print(summary.json)
            } else {
                for line in summary.lines { print(line) }
            }
            if !summary.isGood { LoadtestCommand.exit(withError: ExitCode(1)) }
        } catch {
            LoadtestCommand.tell("loadtest: \(error)")
            LoadtestCommand.exit(withError: ExitCode(1))
        }
    }

    private func carryOut() throws(LoadError) -> Summary {
        let plan = try makePlan()
        if prepare {
            let token =
                adminToken ?? (unsafe getenv("TOLLGATE_ADMIN_TOKEN").map { unsafe String(cString: $0) })
            let client = try AdminClient(url: admin, token: token)
            let workload = Workload(plan.workload)
            try client.openAccounts(of: workload, tier: tier, credits: credits) { opened in
                if opened % 100_000 == 0 { LoadtestCommand.tell("opened \(Number.grouped(opened)) accounts") }
            }
            if budgets {
                try client.setBudgets(of: workload) { done in
                    if done % 1_000 == 0 {
                        LoadtestCommand.tell("set the budgets of \(Number.grouped(done)) accounts")
                    }
                }
            }
        }
        if !json { print(heading(plan)) }
        return try LoadRun(plan: plan, tell: LoadtestCommand.tell).run()
    }

    private func heading(_ plan: LoadPlan) -> String {
        let loop = plan.rate.map { "open loop, \(Number.grouped($0)) records/s" } ?? "closed loop"
        let batch = plan.batchSize > 1 ? " of \(plan.batchSize) records" : ""
        let end =
            plan.recordCount.map { "\(Number.grouped($0)) records" }
            ?? "for \(Number.grouped((plan.durationNanoseconds ?? 0) / 1_000_000_000)) s"
        return "\(plan.connections) connections, \(plan.inFlight) in flight each\(batch), \(loop), \(end), "
            + "\(Number.grouped(plan.workload.accounts)) accounts, seed \(plan.workload.seed)"
    }

    private func makePlan() throws(LoadError) -> LoadPlan {
        var plan = LoadPlan()
        plan.host = host
        plan.port = port
        plan.connections = connections
        plan.inFlight = inFlight
        plan.rate = rate
        plan.recordCount = count
        if let seconds = duration ?? (count == nil ? 10 : nil) {
            plan.durationNanoseconds = UInt64(seconds) * 1_000_000_000
        }
        plan.warmupNanoseconds = UInt64(warmup) * 1_000_000_000
        plan.batchSize = batchSize
        plan.threads = threads
        plan.reconnects = reconnect
        // A gateway that was killed needs its time to recover before it can answer for what was open.
        if reconnect { plan.drainNanoseconds = 60_000_000_000 }
        plan.isValidated = isValidated
        plan.workload.accounts = accounts
        plan.workload.accountPrefix = accountsPrefix
        plan.workload.levels = levels
        plan.workload.distribution = distribution
        plan.workload.hotAccounts = hotAccounts
        plan.workload.hotShare = Share(percent: hotPercent)
        plan.workload.byokShare = Share(percent: byokPercent)
        plan.workload.duplicateShare = Share(percent: duplicatePercent)
        plan.workload.refuseShare = Share(percent: refusePercent)
        plan.workload.quoteShare = Share(percent: quotePercent)
        plan.workload.holdShare = Share(percent: holdPercent)
        plan.workload.areQuotesBrief = briefQuotes
        plan.workload.provider = provider
        plan.workload.model = model
        plan.workload.byokProvider = byokProvider
        plan.workload.byokModel = byokModel
        plan.workload.seed = seed
        plan.workload.runID = UInt32(truncatingIfNeeded: SystemEntropy().next())
        if let trace { plan.workload.trace = try TokenTrace(path: trace) }
        return plan
    }

    /// Writes a line to standard error, so that standard output holds the result alone.
    private static func tell(_ line: String) {
        Array("\(line)\n".utf8).withView { bytes in
            // Progress that nobody can read is not worth ending the run for.
            _ = unsafe write(STDERR_FILENO, bytes.buffer.baseAddress, bytes.count)
        }
    }
}

extension AccountDistribution: ExpressibleByArgument {}
