// A question about usage is answered from rollups with what the rows would have given: for every grouping,
// account and time, whichever way the rollups are read.

import Bytes
import GRDB
import Testing

@testable import Store

@Suite("summaries of usage")
struct SummaryTests {
    private let rows: [TestUsage]
    private let directory: TemporaryDirectory
    private let store: HistoryStore

    private static let accounts = ["acme", "acme/search", "acme/search/alice", "acme-2", "acme0", "other"]

    init() throws {
        var generator = SeededGenerator(seed: 51)
        rows = (1...400).map { number in
            var usage = makeUsage(UInt64(number))
            usage.account = Self.accounts.pick(&generator)
            usage.wallet = ""
            usage.provider = ["openai", "anthropic"].pick(&generator)
            usage.model = ["small", "large"].pick(&generator)
            usage.figures.credentialSource = UInt8.random(in: 1...2, using: &generator)
            usage.figures.eventTime =
                [-1, 0, 3, 40].pick(&generator) * UsageDay.microseconds + Int64(number)
            usage.figures.charge = Int64.random(in: 0...1_000, using: &generator)
            return usage
        }
        directory = try TemporaryDirectory()
        store = try HistoryStore(directory: directory.path, identity: testIdentity, hashKey: testHashKey)
        let rows = rows
        try store.append { (writer) throws(StoreError) in
            for row in rows { try row.add(to: &writer) }
            return 400
        }
    }

    /// The charges by group, from the rows.
    private func expected(
        _ isWanted: (TestUsage) -> Bool, _ key: (TestUsage) -> UsageGroupKey
    ) -> [UsageGroupKey: Int128] {
        var sums: [UsageGroupKey: Int128] = [:]
        for row in rows where isWanted(row) { sums[key(row), default: 0] += Int128(row.figures.charge) }
        return sums
    }

    private func day(_ row: TestUsage) -> Int64 { UsageDay(containing: row.figures.eventTime).number }

    private func charges(_ summary: UsageSummary) -> [UsageGroupKey: Int128] {
        Dictionary(uniqueKeysWithValues: summary.groups.map { ($0.key, $0.sums.charge) })
    }

    @Test("every grouping adds up to what its rows add up to")
    func groupings() throws {
        for mask in 0..<32 {
            var question = UsageQuestion()
            question.byAccount = mask & 1 != 0
            question.byProvider = mask & 2 != 0
            question.byModel = mask & 4 != 0
            question.byCredentialSource = mask & 8 != 0
            if mask & 16 != 0 { question.period = { $0.number } }
            let summary = try store.summary(question)
            let wanted = expected { _ in
                true
            } _: { row in
                UsageGroupKey(
                    period: mask & 16 != 0 ? day(row) : nil, account: mask & 1 != 0 ? row.account : nil,
                    provider: mask & 2 != 0 ? row.provider : nil, model: mask & 4 != 0 ? row.model : nil,
                    credentialSource: mask & 8 != 0 ? row.figures.credentialSource : nil)
            }
            #expect(charges(summary) == wanted, "mask \(mask)")
            #expect(summary.total.charge == wanted.values.reduce(0, +))
            #expect(summary.total.requests == 400)
        }
    }

    @Test("an account stands for itself and what is below it, and for nothing that only begins alike")
    func subtree() throws {
        for (account, members) in [
            ("acme", ["acme", "acme/search", "acme/search/alice"]),
            ("acme/search", ["acme/search", "acme/search/alice"]),
            ("acme-2", ["acme-2"]), ("nobody", []), ("acme/", []),
        ] {
            var question = UsageQuestion()
            question.account = Array(account.utf8)
            question.byAccount = true
            let wanted = expected {
                members.contains($0.account)
            } _: {
                UsageGroupKey(account: $0.account)
            }
            #expect(charges(try store.summary(question)) == wanted, "\(account)")
        }
    }

    @Test("days are taken from the first one to before the last one, days before 1970 too")
    func days() throws {
        for (since, until) in [(nil, nil), (-1, 3), (0, 1), (1, 3), (3, 41), (40, nil), (nil, 0), (5, 5)]
            as [(Int64?, Int64?)]
        {
            var question = UsageQuestion()
            question.since = since.map { UsageDay(number: $0) }
            question.until = until.map { UsageDay(number: $0) }
            question.period = { $0.number / 10 }
            let wanted = expected {
                day($0) >= since ?? .min && day($0) < until ?? .max
            } _: {
                UsageGroupKey(period: day($0) / 10)
            }
            #expect(charges(try store.summary(question)) == wanted, "\(String(describing: since))")
        }
    }

    @Test("groups come by period and then the dearest first; those beyond the limit are in the total")
    func order() throws {
        var question = UsageQuestion()
        question.byAccount = true
        question.period = { $0.number }
        let all = try store.summary(question)
        for (previous, next) in zip(all.groups, all.groups.dropFirst()) {
            #expect(
                (previous.key.period!, -previous.sums.charge) <= (next.key.period!, -next.sums.charge))
        }
        question.groupsMax = 3
        let few = try store.summary(question)
        #expect(few.groups == Array(all.groups.prefix(3)))
        #expect(few.groupsLeftOut == all.groups.count - 3)
        #expect(few.total == all.total)
    }

    @Test("many accounts are read through by day, with the same result as when they are looked up")
    func scan() throws {
        try store.append { (writer) throws(StoreError) in
            for number in UInt64(401)...600 {
                var usage = makeUsage(number)
                usage.account = "big/user\(number)"
                usage.figures.charge = 2
                try usage.add(to: &writer)
            }
            return 600
        }
        var question = UsageQuestion()
        question.account = Array("big".utf8)
        question.byModel = true
        let summary = try store.summary(question)
        #expect(summary.groups.count == 1)
        #expect(summary.total.charge == 400 && summary.total.requests == 200)
    }

    @Test("no row is read: the answer is the same when the rows are gone")
    func rowsUnread() throws {
        var question = UsageQuestion()
        question.byAccount = true
        question.period = { $0.number }
        let before = try store.summary(question)
        try store.pool.write { try $0.execute(sql: "DELETE FROM usage_rows") }
        #expect(try store.summary(question) == before)
    }
}
