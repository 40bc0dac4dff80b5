// A random history of moves among other acts against a tree of objects: whatever an account was called, a call under
// that name is charged where the account draws now, once for its id; and journal and checkpoint rebuild all of it.

import Pricing
import Testing

@testable import Ledger

/// An account by what it is, not by what it is called.
private final class Node {
    var path: String
    var parent: Node?
    let ownsWallet: Bool
    /// Every name that it had, the one of now among them.
    var names: Set<String>
    var balance: Int64 = 0
    var held: [String: Int64] = [:]

    init(_ path: String, parent: Node?, ownsWallet: Bool) {
        self.path = path
        self.parent = parent
        self.ownsWallet = ownsWallet
        names = [path]
    }

    var wallet: Node {
        var node = self
        while !node.ownsWallet, let parent = node.parent { node = parent }
        return node
    }

    func isWithin(_ other: Node) -> Bool {
        var node: Node? = self
        while let current = node, current !== other { node = current.parent }
        return node != nil
    }
}

@Suite("a random history with moves")
struct MoveHistoryTests {
    private final class Model {
        var nodes: [Node] = []
        /// Whose a name is that was ever told to anybody.
        var owners: [String: Node] = [:]
        var requests: [(id: String, node: Node, tokens: Int64, sequence: UInt64)] = []

        func node(at path: String) -> Node? { nodes.first { $0.path == path } }

        func held(_ wallet: Node) -> Int64 {
            nodes.reduce(0) { $0 + ($1.wallet === wallet ? $1.held.values.reduce(0, +) : 0) }
        }
    }

    @Test(
        "every name leads to its account, every id is charged once, and both ways rebuild it",
        arguments: UInt64(1)...8)
    func history(seed: UInt64) throws {
        var random = Seeded(seed)
        let house = try House(idsMax: 1 << 14)
        let model = Model()
        var (number, moved, refused) = (0, 0, 0)
        func segments(_ path: String) -> Int { path.split(separator: "/").count }
        func add(_ path: String, wallet: Bool) throws {
            let parent = path.lastIndex(of: "/").flatMap { model.node(at: String(path[..<$0])) }
            guard path == "o" || parent != nil, segments(path) <= AccountPath.segmentsMax else { return }
            guard try house.open(path, wallet: wallet, tier: path == "o" ? "plain" : nil).receipt != nil
            else {
                return
            }
            #expect(model.owners[path] == nil, "seed \(seed): \(path) was another account's name")
            let node = Node(path, parent: parent, ownsWallet: wallet)
            model.nodes.append(node)
            model.owners[path] = node
        }
        try add("o", wallet: true)
        func check(_ house: House) throws {
            for node in model.nodes {
                let summary = try #require(try house.summary(node.names.randomElement(using: &random) ?? ""))
                #expect(String(decoding: summary.path, as: UTF8.self) == node.path, "seed \(seed)")
                #expect(String(decoding: summary.wallet, as: UTF8.self) == node.wallet.path, "seed \(seed)")
                #expect(summary.balance == node.wallet.balance, "seed \(seed): \(node.path)")
                #expect(summary.held == model.held(node.wallet), "seed \(seed): \(node.path)")
            }
            #expect(house.state().count == model.nodes.count)
            #expect(house.ledger.totals().balance)
        }
        for step in 0..<900 {
            number += 1
            let node = random.pick(model.nodes)
            let name = node.names.sorted()[Int.random(in: 0..<node.names.count, using: &random)]
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<14:
                try add(node.path + "/" + random.pick(["a", "b", "c"]), wallet: random.chance(40))
            case 14..<30:
                let target = random.pick(model.nodes).path + "/" + random.pick(["a", "b", "c"])
                guard segments(target) <= AccountPath.segmentsMax else { continue }
                let answer = try house.move(name, target, key: random.chance(50) ? "m\(number)" : nil)
                guard let receipt = answer.receipt else {
                    refused += 1
                    continue
                }
                if receipt.duplicate {
                    #expect(node.path == target)
                    continue
                }
                moved += 1
                let slash = try #require(target.lastIndex(of: "/"))
                let parent = try #require(model.node(at: String(target[..<slash])))
                #expect(!parent.isWithin(node))
                let old = node.path
                for below in model.nodes where below.isWithin(node) {
                    below.path = target + below.path.dropFirst(old.count)
                    below.names.insert(below.path)
                    let owner = model.owners[below.path]
                    #expect(owner == nil || owner === below, "seed \(seed): \(below.path) was another's")
                    model.owners[below.path] = below
                }
                node.parent = parent
            case 30..<42:
                let amount = Int64.random(in: 1...500, using: &random)
                if try house.grant(amount, to: name, key: random.chance(50) ? "g\(number)" : nil).receipt
                    != nil
                {
                    node.wallet.balance += amount
                }
            case 42..<54:
                let amount = Int64.random(in: 1...80, using: &random)
                let order = HoldOrder("h\(number)", of: name, amount: amount)
                if house.hold(order).receipt != nil { node.held[order.id] = amount }
            case 54..<66:
                guard let hold = node.held.keys.sorted().first else { continue }
                if random.chance(30) {
                    #expect(try house.void(hold, of: name).receipt?.state == .voided, "seed \(seed)")
                } else {
                    let tokens = Int64.random(in: 0...60, using: &random)
                    let receipt = try #require(
                        house.settle(hold, "s\(number)", of: name, tokens: tokens).receipt, "seed \(seed)")
                    #expect(receipt.holdReleased == node.held[hold], "seed \(seed)")
                    node.wallet.balance -= tokens
                    #expect(receipt.balance == node.wallet.balance, "seed \(seed)")
                }
                node.held[hold] = nil
            case 66..<80:
                guard !model.requests.isEmpty else { continue }
                let request = random.pick(model.requests)
                let other = request.node.names.randomElement(using: &random) ?? ""
                let receipt = house.report(Call(request.id, of: other, tokens: request.tokens)).receipt
                #expect(
                    receipt?.duplicate == true && receipt?.sequence == request.sequence,
                    "seed \(seed): \(request.id) under \(other)")
            default:
                let tokens = Int64.random(in: 0...60, using: &random)
                let receipt = try #require(
                    house.report(Call("r\(number)", of: name, tokens: tokens)).receipt,
                    "seed \(seed): \(name)")
                node.wallet.balance -= tokens
                #expect(receipt.balance == node.wallet.balance, "seed \(seed): \(name)")
                model.requests.append(("r\(number)", node, tokens, receipt.sequence))
            }
            if step % 150 == 149 {
                try check(house)
                let (journal, checkpoint) = (try house.replayed(), try house.restored())
                for twin in [journal, checkpoint] {
                    expectSame(house, twin, "seed \(seed), step \(step)")
                    try check(twin)
                }
            }
        }
        #expect(moved > 20 && refused > 20, "seed \(seed): \(moved) moved, \(refused) refused")
    }
}
