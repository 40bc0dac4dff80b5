// The order in which accounts are opened does not matter: each has as its parent the nearest account
// upward that exists. Method: every order of small sets of paths, with gaps between them.

import Testing

@testable import Ledger

@Suite("the tree of accounts")
struct AccountTreeTests {
    private static let families: [[String]] = [
        ["a", "a/b", "a/b/c", "a/b/c/d", "a/x"],
        ["a/b/c/d/e/f/g/h", "a/b", "a/b/c/d", "ab", "a"],
        ["a/b/c", "a/b/cc", "a/b/c/d", "a/b/cc/d", "a"],
    ]

    private func permutations(_ paths: [String]) -> [[String]] {
        if paths.count <= 1 { return [paths] }
        return paths.indices.flatMap { index in
            var rest = paths
            let first = rest.remove(at: index)
            return permutations(rest).map { [first] + $0 }
        }
    }

    private func nearest(_ path: String, among paths: [String]) -> String? {
        paths.filter { path.hasPrefix($0 + "/") }.max { $0.utf8.count < $1.utf8.count }
    }

    @Test("accounts opened in every order form the same tree", arguments: 0..<families.count)
    func everyOrder(family: Int) throws {
        let paths = Self.families[family]
        let book = try Fixture.book()
        for order in permutations(paths) {
            let house = House(Ledger(secret: Fixture.secret, shardCount: 1), book: book)
            for (count, path) in order.enumerated() {
                try house.open(path)
                let here = Array(order[...count])
                let state = house.state()
                for path in here where state[path]?.parent != nearest(path, among: here) {
                    Issue.record("\(path) has parent \(state[path]?.parent ?? "none") after \(here)")
                }
            }
        }
    }

    @Test("a parent opened late is found among thousands of accounts", arguments: [UInt64(1), 2])
    func manyAccounts(seed: UInt64) throws {
        var random = Seeded(seed)
        let house = try House()
        var paths: Set<String> = []
        while paths.count < 1_500 {
            let depth = Int.random(in: 1...4, using: &random)
            paths.insert(
                (0..<depth).map { _ in String(Int.random(in: 0..<9, using: &random)) }.joined(separator: "/"))
        }
        for path in paths.sorted().shuffled(using: &random) { try house.open(path) }
        for (path, image) in house.state() {
            var parent = path
            repeat {
                guard let slash = parent.lastIndex(of: "/") else {
                    parent = ""
                    break
                }
                parent = String(parent[..<slash])
            } while !paths.contains(parent)
            #expect(image.parent == (parent.isEmpty ? nil : parent))
        }
    }

    @Test("a path is opened once, and an account without wallet needs one above")
    func refusals() throws {
        let house = try House()
        #expect(try house.open("acme/x", wallet: false).refusal?.reason == .invalidArgument)
        #expect(try house.open("acme").receipt?.sequence == 1)
        #expect(try house.open("acme").refusal?.reason == .accountExists)
        #expect(try house.open("acme/x/y", wallet: false).receipt?.sequence == 2)
        #expect(try house.open("acme/z", overdraft: -1).refusal?.reason == .invalidArgument)
        #expect(house.ledger.totals().accounts == 2)
        #expect(throws: AccountPath.Fault.self) { try house.open("acme//x") }
    }

    @Test("a status that opening would lose is refused")
    func openedActive() throws {
        let house = try House()
        let settings = AccountSettings(status: .suspended)
        let answer = try "acme".withView { (path) throws in
            try house.ledger.open(path, settings: settings, now: house.now, mark: &house.mark)
        }
        #expect(answer.refusal?.reason == .invalidArgument)
    }

    @Test("what a change of an account does not name stays as it is")
    func changesOneThing() throws {
        let house = try House()
        try house.open("acme", tier: "plain")
        try house.change("acme", AccountChange(overdraftLimit: 7))
        try house.change("acme", AccountChange(unlimited: true))
        try house.change("acme", AccountChange(tier: .some(Array("t1".utf8))))
        try house.change("acme", AccountChange(status: .suspended))
        var summary = try #require(try house.summary())
        #expect(summary.overdraftLimit == 7 && summary.unlimited)
        #expect(summary.tier == Array("t1".utf8) && summary.status == .suspended)
        try house.change("acme", AccountChange(status: .active, tier: .some(nil)))
        summary = try #require(try house.summary())
        #expect(summary.overdraftLimit == 7 && summary.unlimited && summary.status == .active)
        #expect(summary.tier.isEmpty)
        #expect(
            try house.change("acme", AccountChange(overdraftLimit: -1)).refusal?.reason == .invalidArgument)
        #expect(try house.summary()?.overdraftLimit == 7)
    }

    @Test("names of tiers are bounded in length and in number")
    func tiers() throws {
        let house = try House()
        try house.open("acme")
        #expect(try house.change("acme", tier: String(repeating: "t", count: 65)).refusal?.found == 65)
        for number in 1..<LedgerLimits.tiersPerShardMax {
            #expect(try house.change("acme", tier: "t\(number)").receipt != nil)
        }
        #expect(try house.change("acme", tier: "more").refusal?.found == Int64(LedgerLimits.tiersPerShardMax))
        #expect(try house.open("other", tier: "more").refusal?.reason == .invalidArgument)
        #expect(try house.change("acme", tier: "t5").receipt != nil)
        #expect(try house.open("other", tier: nil).receipt != nil)
    }
}
