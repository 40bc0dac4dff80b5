// Two scopes of one path never disagree: many connections charge, hold and settle through the accounts of one tree,
// which has wallets and budgets at several levels, and at every quiet point each level has exactly what was admitted
// below it. While they do, an account and the ones above it are read in one step, and agree then too.
//
//      acme              wallet, budgets
//      ├── solo          budgets                  everything of its only member
//      │   └── only      budgets
//      └── team          wallet, budgets
//          ├── u1        budgets
//          ├── u2        wallet, budgets
//          └── u3

import Gateway
import Ledger
import Pricing
import Synchronization
import Testing
import TollgateClient

/// What was admitted of an account.
private struct Admitted {
    var cost: Int64 = 0
    var tokens: Int64 = 0
    var requests: Int64 = 0
    /// Open holds, by id: what each keeps, and the tokens it is for.
    var holds: [String: (amount: Int64, tokens: Int64)] = [:]
}

/// What the answers say, by account. The lock is held for one change.
private final class Answers: Sendable {
    private let admitted = Mutex<[String: Admitted]>([:])
    let refused = Atomic<Int>(0)
    let running = Atomic<Int>(0)

    func note(_ account: String, _ change: (inout Admitted) -> Void) {
        admitted.withLock { change(&$0[account, default: Admitted()]) }
    }

    /// The sum over an account and those below it, of those that `isWanted`.
    func sum(below path: String, where isWanted: (String) -> Bool = { _ in true }) -> Admitted {
        admitted.withLock { admitted in
            var sum = Admitted()
            for (account, part) in admitted
            where (account == path || account.hasPrefix(path + "/")) && isWanted(account) {
                sum.cost += part.cost
                sum.tokens += part.tokens
                sum.requests += part.requests
                sum.holds.merge(part.holds) { first, _ in first }
            }
            return sum
        }
    }

    func holds(of account: String) -> [String] {
        admitted.withLock { ($0[account]?.holds ?? [:]).keys.sorted() }
    }
}

@Suite("scopes of one path")
struct ScopeTests {
    private static let wallets = ["acme", "acme/team", "acme/team/u2"]
    private static let others = ["acme/solo", "acme/solo/only", "acme/team/u1", "acme/team/u3"]
    private static let budgeted = [
        "acme", "acme/solo", "acme/solo/only", "acme/team", "acme/team/u1", "acme/team/u2",
    ]
    private static let spenders = [
        "acme/solo/only", "acme/team", "acme/team/u1", "acme/team/u2", "acme/team/u3",
    ]
    private static let granted: Int64 = 4_000_000_000_000

    /// The wallet that pays for an account.
    private static func wallet(of account: String) -> String {
        wallets.filter { account == $0 || account.hasPrefix($0 + "/") }.max { $0.count < $1.count } ?? account
    }

    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private func client(_ running: RunningServer) -> TollgateClient {
        var configuration = TollgateClient.Configuration(host: "127.0.0.1", port: running.server.port)
        configuration.timeout = .seconds(600)
        configuration.silenceMax = .seconds(600)
        return TollgateClient(configuration)
    }

    private func openTree(_ gateway: Gateway) async throws {
        for path in (Self.wallets + Self.others).sorted(by: { $0.count < $1.count }) {
            let outcome = await gateway.open([
                AccountOpening(
                    path: bytes(path),
                    settings: AccountSettings(
                        ownsWallet: Self.wallets.contains(path),
                        tier: path == "acme" ? bytes("professional") : nil),
                    initialGrant: Self.wallets.contains(path)
                        ? GrantRequest(kind: .purchased, amount: Self.granted) : nil)
            ])
            #expect(outcome == [.opened])
        }
        for path in Self.budgeted {
            for metric in BudgetMetric.allCases {
                _ = try await gateway.setBudget(
                    BudgetTerms(
                        name: bytes(metric.name), window: .total, metric: metric, limit: .max / 4,
                        isHard: true),
                    of: bytes(path), actor: [], reason: [])
            }
        }
    }

    // MARK: - Traffic

    private func spend(
        _ client: TollgateClient, _ answers: Answers, seed: UInt64, count: Int, time: Int64
    ) async throws {
        var random = Numbers(seed: seed)
        for number in 0..<count {
            let account = Self.spenders[Int.random(in: 0..<Self.spenders.count, using: &random)]
            var report = UsageReport(
                requestID: bytes("r\(seed)-\(number)"), account: account, credentialSource: .platform,
                provider: "openai", model: "gpt-4o", eventTimeMicroseconds: time)
            report.usage.inputTokens = Int64.random(in: 0...2_000, using: &random)
            report.usage.outputTokens = Int64.random(in: 0...200, using: &random)
            let tokens = report.usage.inputTokens + report.usage.outputTokens
            do throws(ClientError) {
                switch Int.random(in: 0..<10, using: &random) {
                case 0..<5:
                    if Bool.random(using: &random) { report.onInsufficient = .refuse }
                    let receipt = try await client.report(report)
                    answers.note(account) {
                        $0.cost += receipt.charge
                        $0.tokens += tokens
                        $0.requests += 1
                    }
                    // Asked again it is the same, on whatever connection.
                    if Int.random(in: 0..<4, using: &random) == 0 {
                        let again = try await client.report(report)
                        #expect(again.duplicate && again.charge == receipt.charge)
                    }
                case 5..<8:
                    let order = HoldOrder(
                        holdID: "h\(seed)-\(number)", account: account, credentialSource: .platform,
                        provider: "openai", model: "gpt-4o", inputTokens: report.usage.inputTokens,
                        maxOutputTokens: report.usage.outputTokens)
                    let hold = try await client.hold(order)
                    answers.note(account) { $0.holds[hold.holdID] = (hold.amount, tokens) }
                default:
                    // Its own, so that no other ends it meanwhile.
                    guard let hold = answers.holds(of: account).first(where: { $0.hasPrefix("h\(seed)-") })
                    else {
                        continue
                    }
                    if Bool.random(using: &random) {
                        _ = try await client.void(hold: hold, of: account)
                        answers.note(account) { $0.holds[hold] = nil }
                    } else {
                        let receipt = try await client.settle(hold: hold, with: report)
                        answers.note(account) {
                            $0.holds[hold] = nil
                            $0.cost += receipt.charge
                            $0.tokens += tokens
                            $0.requests += 1
                        }
                    }
                }
            } catch {
                guard case .refused(let refusal) = error, refusal.reason == "INSUFFICIENT_CREDITS" else {
                    throw error
                }
                answers.refused.add(1, ordering: .relaxed)
            }
        }
    }

    /// Reads an account's budgets and those above it until the traffic ends: what is below is never more than what
    /// is above, and an only child has what its parent has.
    private func watch(_ gateway: Gateway, while isRunning: @Sendable () -> Bool) async throws -> Int {
        var looks = 0
        while isRunning() {
            for leaf in ["acme/solo/only", "acme/team/u1", "acme/team/u2"] {
                let standings = try await gateway.budgets(of: bytes(leaf))
                for metric in BudgetMetric.allCases {
                    let way = standings.filter { $0.terms.metric == metric }
                    #expect(way.count == 3)
                    for (lower, upper) in zip(way, way.dropFirst()) {
                        #expect(
                            lower.used <= upper.used && lower.held <= upper.held, "\(leaf) \(metric.name)")
                    }
                    if leaf == "acme/solo/only", way.count == 3 {
                        #expect(way[0].used == way[1].used && way[0].held == way[1].held, "\(metric.name)")
                    }
                }
                looks += 1
            }
            await Task.yield()
        }
        return looks
    }

    /// Compares every level with what was admitted below it.
    private func compare(_ gateway: Gateway, _ answers: Answers, _ when: String) async throws {
        for wallet in Self.wallets {
            let below = answers.sum(below: wallet) { Self.wallet(of: $0) == wallet }
            let held = below.holds.values.reduce(0) { $0 + $1.amount }
            let summary = try await gateway.balance(of: bytes(wallet))
            #expect(summary.charged == below.cost, "\(when): \(wallet)")
            #expect(summary.balance == Self.granted - below.cost, "\(when): \(wallet)")
            #expect(summary.held == held && summary.available == summary.balance - held, "\(when): \(wallet)")
        }
        for path in Self.budgeted {
            let below = answers.sum(below: path)
            for standing in try await gateway.budgets(of: bytes(path)) where standing.account == bytes(path) {
                let (used, held) =
                    switch standing.terms.metric {
                    case .cost: (below.cost, below.holds.values.reduce(0) { $0 + $1.amount })
                    case .tokens: (below.tokens, below.holds.values.reduce(0) { $0 + $1.tokens })
                    case .requests: (below.requests, Int64(below.holds.count))
                    }
                #expect(
                    standing.used == used && standing.held == held,
                    "\(when): \(path) \(standing.terms.metric.name)")
            }
        }
        #expect(gateway.ledger.totals().charged == Int128(answers.sum(below: "acme").cost), "\(when)")
        #expect(gateway.ledger.totals().balance)
    }

    @Test("two scopes of one path never disagree", arguments: [UInt64(1), 2])
    func agree(seed: UInt64) async throws {
        print("two scopes of one path, seed \(seed)")
        let directory = try TemporaryDirectory()
        var running = try await RunningServer.start(directory)
        try await openTree(running.gateway)
        let answers = Answers()
        var looks = 0
        for round in 0..<4 {
            let time = running.gateway.now().microseconds
            let clients = (0..<8).map { _ in client(running) }
            answers.running.store(clients.count * 4, ordering: .relaxed)
            let gateway = running.gateway
            async let watched = watch(gateway) { answers.running.load(ordering: .acquiring) > 0 }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (index, client) in clients.enumerated() {
                    for lane in 0..<4 {
                        group.addTask {
                            defer { answers.running.subtract(1, ordering: .releasing) }
                            try await spend(
                                client, answers,
                                seed: seed * 10_000 + UInt64(round * 100 + index * 10 + lane), count: 20,
                                time: time)
                        }
                    }
                }
                try await group.waitForAll()
            }
            looks += try await watched
            for client in clients { await client.close() }
            try await compare(running.gateway, answers, "seed \(seed), round \(round)")
            guard round % 2 == 1 else { continue }
            // And after a start from checkpoint and journal.
            try await running.stop()
            running = try await RunningServer.start(directory)
            try await compare(running.gateway, answers, "seed \(seed), started after round \(round)")
        }
        #expect(looks > 0 && answers.refused.load(ordering: .relaxed) < 4 * 32 * 20)
        try await running.stop()
        let report = try OfflineDirectory(directory.path + "/data").verify()
        #expect(report.problem == nil, "seed \(seed)")
    }

    @Test(
        "hard budgets on two levels admit exactly what both have, however many connections ask through which account"
    )
    func hardBudgets() async throws {
        let directory = try TemporaryDirectory()
        let running = try await RunningServer.start(directory)
        try await openTree(running.gateway)
        // 37 for the tree; 20 of them at the most by its team, of which 11 by one member.
        for (path, limit) in [("acme", Int64(37)), ("acme/team", 20), ("acme/team/u1", 11)] {
            _ = try await running.gateway.setBudget(
                BudgetTerms(
                    name: bytes("requests"), window: .total, metric: .requests, limit: limit, isHard: true),
                of: bytes(path), actor: [], reason: [])
        }
        let admitted = try await withThrowingTaskGroup(of: [String].self) { group in
            for connection in 0..<12 {
                group.addTask {
                    let client = client(running)
                    var admitted: [String] = []
                    for number in 0..<10 {
                        // The team first and the member before it, so that every bound is met.
                        let account =
                            number < 4
                            ? "acme/team/u1" : number < 7 ? "acme/team/u3" : "acme/solo/only"
                        do throws(ClientError) {
                            _ = try await client.hold(
                                HoldOrder(
                                    holdID: "h\(connection)-\(number)", account: account,
                                    credentialSource: .platform, amount: 1))
                            admitted.append(account)
                        } catch {
                            guard case .refused(let refusal) = error, refusal.reason == "BUDGET_EXCEEDED"
                            else {
                                throw error
                            }
                        }
                    }
                    await client.close()
                    return admitted
                }
            }
            return try await group.reduce(into: [String]()) { $0 += $1 }
        }
        let team = admitted.count { $0.hasPrefix("acme/team") }
        #expect(admitted.count == 37 && team <= 20 && admitted.count { $0 == "acme/team/u1" } <= 11)
        for (path, count) in [("acme", 37), ("acme/team", team), ("acme/solo", 37 - team)] {
            let standings = try await running.gateway.budgets(of: bytes(path))
            let own = standings.first { $0.account == bytes(path) && $0.terms.name == bytes("requests") }
            #expect(own?.held == Int64(count), "\(path)")
        }
        try await running.stop()
        #expect(try OfflineDirectory(directory.path + "/data").verify().problem == nil)
    }
}

/// SplitMix64: the same numbers for the same seed.
private struct Numbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }
}
