// Moving accounts, each rule by name: what an account keeps, what it takes from its new place, which names lead to it,
// what is refused. What is refused changes nothing.

import Bytes
import Pricing
import Testing

@testable import Ledger

extension House {
    @discardableResult
    func move(
        _ from: String, _ to: String, key: String? = nil, reason: String = "why",
        history: HistoryAnswer = .neverSeen
    ) throws -> CreditAnswer {
        var order = AccountMove(from: Array(from.utf8), to: Array(to.utf8))
        order.actor = Array("ann".utf8)
        order.reason = Array(reason.utf8)
        order.idempotencyKey = key.map { Array($0.utf8) }
        return try ledger.move(order, now: now, history: history, mark: &mark)
    }

    /// The budgets on an account's way up, its own first, as `account name used held`.
    func wayUp(_ path: String) throws -> [String] {
        let standings = try path.withView { (path) throws in
            try ledger.budgets(of: path, now: now, mark: &mark)
        }
        return (standings ?? []).map {
            "\(String(decoding: $0.account, as: UTF8.self)) \(String(decoding: $0.terms.name, as: UTF8.self))"
                + " \($0.used) \($0.held)"
        }
    }

    /// A house from this one's checkpoint of now and nothing else.
    func restored() throws -> House {
        let twin = sibling()
        for shard in ledger.shards.indices {
            let records = ledger.shards[shard].state.withLock { state in
                (0..<UInt32(state.accounts.count)).map { number in
                    var packer = BytePacker()
                    state.packState(of: number, into: &packer)
                    return (
                        number, Array(state.path(of: number)), state.accounts[number].balance,
                        Array(packer.view)
                    )
                }
            }
            for (number, path, balance, packed) in records {
                try path.withView { (path) throws in
                    try packed.withView { (packed) throws in
                        try twin.ledger.restore(
                            AccountRecord(
                                shard: shard, number: number, path: path, balance: balance, state: packed))
                    }
                }
            }
            twin.ledger.setCheckpoint(shard: shard, sequence: ledger.sequences()[shard], time: now)
        }
        return twin
    }
}

extension CreditAnswer {
    var moveProblem: MoveProblem? {
        if case .problem(.move(let problem)) = self { return problem }
        return nil
    }
}

@Suite("moving accounts")
struct MoveTests {
    /// Two teams with wallets, a member without, and 1 000 nanocredits for each wallet.
    private func house(idsMax: Int = 1 << 16) throws -> House {
        let house = try House(idsMax: idsMax)
        try house.open("acme")
        for path in ["acme/a", "acme/b"] { try house.open(path, tier: nil) }
        for path in ["acme/a/x", "acme/a/x/deep"] { try house.open(path, wallet: false, tier: nil) }
        for path in ["acme", "acme/a", "acme/b"] { try house.grant(1_000, to: path) }
        return house
    }

    /// Expects that `body` changes neither accounts nor sums, nor writes an entry.
    private func unchanged(_ house: House, _ body: () throws -> Void) throws {
        let (before, totals, sequences) = (house.state(), house.ledger.totals(), house.ledger.sequences())
        try body()
        #expect(house.state() == before && house.ledger.totals() == totals)
        #expect(house.ledger.sequences() == sequences)
    }

    /// Expects that the journal, and the checkpoint of now, come to the same.
    private func expectRebuilt(_ house: House) throws {
        expectSame(house, try house.replayed(), "from the journal")
        expectSame(house, try house.restored(), "from a checkpoint")
    }

    // MARK: - What is kept, and what comes from the new place

    @Test(
        "a moved account keeps its number, wallet, grants, allowance, budgets, tier and status, and what is below it"
    )
    func kept() throws {
        let house = try house()
        try house.grant(
            7, to: "acme/a", kind: .promo,
            expiresAt: Timestamp(microseconds: house.now.microseconds + Fixture.day))
        try house.change("acme/a", tier: "plain")
        try house.change("acme/b", tier: "double")
        try house.budget("own", of: "acme/a", .total, limit: 5_000)
        _ = house.report(Call("r1", of: "acme/a/x", tokens: 10))
        _ = house.report(Call("r2", of: "acme/a", tokens: 300, byok: true))
        let before = house.state()
        let summary = try #require(try house.summary("acme/a"))
        let receipt = try #require(try house.move("acme/a", "acme/b/a").receipt)
        #expect(!receipt.duplicate && receipt.moved == 0 && receipt.balance == summary.balance)
        let after = house.state()
        #expect(
            Set(after.keys) == ["acme", "acme/b", "acme/b/a", "acme/b/a/x", "acme/b/a/x/deep"])
        #expect(
            after["acme/b/a"]?.number == before["acme/a"]?.number && after["acme/b/a"]?.parent == "acme/b")
        #expect(after["acme/b/a/x"]?.parent == "acme/b/a" && after["acme/b/a/x/deep"]?.parent == "acme/b/a/x")
        var moved = try #require(try house.summary("acme/b/a"))
        #expect(moved.tier == Array("plain".utf8) && moved.sequence == summary.sequence + 1)
        (moved.path, moved.wallet, moved.sequence) = (summary.path, summary.wallet, summary.sequence)
        #expect(moved == summary)
        #expect(try house.wayUp("acme/b/a") == ["acme/b/a own 10 0"])
        // The allowance that is used up stays so.
        let again = try #require(house.report(Call("r3", of: "acme/b/a", tokens: 800, byok: true)).receipt)
        #expect(again.allowanceUsed == 700 && again.charge == 100)
        try expectRebuilt(house)
    }

    @Test("from then on charges use the nearest wallet, tier and budgets of the new place")
    func newPlace() throws {
        let house = try house()
        try house.change("acme/b", tier: "double")
        try house.budget("sum", of: "acme/a", .total, limit: 1)
        try house.budget("sum", of: "acme/b", .total, limit: 1)
        try house.budget("own", of: "acme/a/x", .total, limit: 1)
        _ = house.report(Call("r1", of: "acme/a/x/deep", tokens: 10))
        try house.move("acme/a/x", "acme/b/x")
        _ = house.report(Call("r2", of: "acme/b/x/deep", tokens: 100))
        #expect(try house.balance("acme/a") == 990 && house.balance("acme/b") == 800)
        #expect(
            try house.wayUp("acme/b/x/deep") == ["acme/b/x own 210 0", "acme/b sum 200 0"])
        #expect(try house.wayUp("acme/a") == ["acme/a sum 10 0"])
        try house.change("acme/b", status: .suspended)
        #expect(house.report(Call("r3", of: "acme/b/x", tokens: 1)).refusal?.reason == .accountSuspended)
        try expectRebuilt(house)
    }

    @Test("open holds go with their account, and are settled against the wallet that pays for it then")
    func holds() throws {
        let house = try house()
        for (path, limit) in [("acme/a", Int64(600)), ("acme/b", 600), ("acme/a/x", 600)] {
            try house.budget("holds", of: path, .total, limit: limit, hard: true)
        }
        house.hold(HoldOrder("h1", of: "acme/a/x", amount: 100))
        house.hold(HoldOrder("h2", of: "acme/a/x/deep", amount: 50))
        house.hold(HoldOrder("h3", of: "acme/a", amount: 30))
        try house.move("acme/a/x", "acme/b/x")
        #expect(try house.summary("acme/a")?.held == 30 && house.summary("acme/b")?.held == 150)
        #expect(try house.wayUp("acme/a") == ["acme/a holds 0 30"])
        #expect(try house.wayUp("acme/b/x") == ["acme/b/x holds 0 150", "acme/b holds 0 150"])
        #expect(house.ledger.totals().held == 180 && house.ledger.totals().holds == 3)
        try expectRebuilt(house)
        // By the old name and by the new one.
        let receipt = try #require(house.settle("h1", "r1", of: "acme/a/x", tokens: 70).receipt)
        #expect(receipt.holdReleased == 100 && receipt.balance == 930)
        #expect(try house.extend("h2", of: "acme/b/x/deep", amount: 60).receipt?.amount == 60)
        #expect(try house.extend("h2", of: "acme/a/x/deep", amount: 70).receipt?.amount == 70)
        #expect(try house.void("h2", of: "acme/a").refusal?.reason == .holdNotFound)
        #expect(try house.void("h2", of: "acme/a/x/deep").receipt?.state == .voided)
        #expect(try house.summary("acme/b")?.held == 0 && house.balance("acme/a") == 1_000)
        #expect(try house.wayUp("acme/b/x") == ["acme/b/x holds 70 0", "acme/b holds 70 0"])
        try expectRebuilt(house)
    }

    @Test("a move is refused where the wallet at the new place has not what open holds keep")
    func holdsNotCovered() throws {
        let house = try house()
        house.hold(HoldOrder("h1", of: "acme/a/x", amount: 900))
        house.hold(HoldOrder("h2", of: "acme/b", amount: 101))
        try unchanged(house) { () throws in
            #expect(
                try house.move("acme/a/x", "acme/b/x").moveProblem
                    == .holdsNotCovered(held: 900, available: 899, wallet: Array("acme/b".utf8)))
        }
        try house.void("h2", of: "acme/b")
        #expect(try house.move("acme/a/x", "acme/b/x").receipt != nil)
        #expect(try house.summary("acme/b")?.available == 100)
        // Its own wallet goes with an account, whatever its holds keep.
        house.hold(HoldOrder("h3", of: "acme/a", amount: 1_000))
        #expect(try house.move("acme/a", "acme/b/a").receipt != nil)
        try expectRebuilt(house)
    }

    // MARK: - Names

    @Test("a report under the old path is one of the moved account, before and after a restart")
    func oldName() throws {
        let house = try house()
        try house.move("acme/a", "acme/b/a")
        try house.move("acme/b/a/x", "acme/b/y")
        let names = [
            "acme/a": "acme/b/a", "acme/a/x": "acme/b/y", "acme/b/a/x": "acme/b/y",
            "acme/a/x/deep": "acme/b/y/deep", "acme/b/a/x/deep": "acme/b/y/deep",
        ]
        for (number, house) in [house, try house.replayed(), try house.restored()].enumerated() {
            for (old, new) in names {
                let receipt = try #require(
                    house.report(Call("r\(number) \(old)", of: old, tokens: 1)).receipt)
                #expect(receipt.balance == (try house.balance(new)), "\(old)")
                #expect(try house.summary(old) == house.summary(new))
            }
            #expect(
                house.report(Call("r", of: "acme/a/nobody", tokens: 1)).refusal?.reason == .accountNotFound)
            #expect(house.report(Call("r", of: "acme/a//x", tokens: 1)).refusal?.reason == .accountNotFound)
            // What is written down names the account by its path of now.
            house.collect()
            for entry in try Journal(house.pieces).entries where entry[0] == EntryKind.charged.rawValue {
                try entry.withView { (entry) throws in
                    var fields = ByteUnpacker(entry[1..<entry.count])
                    let path = try RecordContent.account(of: try fields.charge().1.content).text
                    #expect(["acme/b/a", "acme/b/y", "acme/b/y/deep"].contains(path))
                }
            }
        }
    }

    @Test("one request is charged once, whichever name of its account a retry gives")
    func retries() throws {
        let house = try house()
        let first = try #require(house.report(Call("r1", of: "acme/a/x", tokens: 10)).receipt)
        try house.move("acme/a", "acme/b/a")
        let second = try #require(house.report(Call("r2", of: "acme/a/x", tokens: 10)).receipt)
        try house.move("acme/b/a/x", "acme/x")
        let third = try #require(house.report(Call("r3", of: "acme/b/a/x", tokens: 10)).receipt)
        for house in [house, try house.replayed()] {
            let balance = try house.balance("acme/x")
            for (id, receipt) in [("r1", first), ("r2", second), ("r3", third)] {
                for name in ["acme/a/x", "acme/b/a/x", "acme/x"] {
                    let again = house.report(Call(id, of: name, tokens: 10)).receipt
                    #expect(again?.duplicate == true && again?.sequence == receipt.sequence, "\(id) \(name)")
                    #expect(
                        house.report(Call(id, of: name, tokens: 11)).refusal?.reason == .idempotencyConflict)
                }
                // Another account is another request.
                for name in ["acme/a", "acme/b", "acme/x/deep"] {
                    #expect(
                        house.report(Call(id, of: name, tokens: 10)).refusal?.reason == .idempotencyConflict)
                }
            }
            #expect(try house.balance("acme/x") == balance)
        }
    }

    @Test("an act on credit repeated under another name of its account is done once")
    func repeatedActs() throws {
        let house = try house()
        try house.grant(5, to: "acme/a", key: "g")
        try house.act(.deduct(3, service: [], allowNegative: false), on: "acme/a", key: "d")
        try house.move("acme/a", "acme/b/a")
        let balance = try house.balance("acme/b/a")
        for name in ["acme/a", "acme/b/a"] {
            #expect(try house.grant(5, to: name, key: "g").receipt?.duplicate == true)
            let act = CreditAct.deduct(3, service: [], allowNegative: false)
            #expect(try house.act(act, on: name, key: "d").receipt?.duplicate == true)
            #expect(try house.grant(6, to: name, key: "g").refusal?.reason == .idempotencyConflict)
        }
        #expect(try house.grant(5, to: "acme/b", key: "g").refusal?.reason == .idempotencyConflict)
        #expect(try house.balance("acme/b/a") == balance)
    }

    @Test("nobody else is opened under a former name, or below one, and nothing is moved to one")
    func formerNames() throws {
        let house = try house()
        try house.move("acme/a", "acme/b/a")
        try unchanged(house) { () throws in
            for path in ["acme/a", "acme/a/x", "acme/a/new"] {
                let refusal = try house.open(path).refusal
                #expect(refusal?.reason == .accountExists && refusal?.found == AccountSettings.isFormerName)
            }
            #expect(
                try house.move("acme/b/a/x", "acme/a").moveProblem
                    == .formerName(Array("acme/a".utf8), of: Array("acme/b/a".utf8)))
            #expect(
                try house.move("acme/b/a/x", "acme/a/x").moveProblem
                    == .noParent(Array("acme/a".utf8), movedTo: Array("acme/b/a".utf8)))
        }
        // Back again it is the name of now.
        #expect(try house.move("acme/a", "acme/a").receipt != nil)
        #expect(try house.summary("acme/b/a")?.path == Array("acme/a".utf8))
        #expect(try house.open("acme/a/new", wallet: false).receipt != nil)
        #expect(try house.open("acme/b/a").refusal?.found == AccountSettings.isFormerName)
        try expectRebuilt(house)
    }

    @Test("what moved out under a name that came back keeps every name it was told of by")
    func movedOut() throws {
        let house = try house()
        try house.move("acme/a", "acme/b/a")
        try house.move("acme/b/a/x", "acme/z")
        try house.move("acme/b/a", "acme/a")
        for house in [house, try house.replayed(), try house.restored()] {
            for name in ["acme/a/x", "acme/b/a/x", "acme/z"] {
                #expect(try house.summary(name)?.path == Array("acme/z".utf8), "\(name)")
                #expect(
                    try name == "acme/z" || house.open(name).refusal?.found == AccountSettings.isFormerName)
            }
            #expect(try house.summary("acme/b/a")?.path == Array("acme/a".utf8))
        }
        // It may have any of them back.
        #expect(try house.move("acme/z", "acme/a/x").receipt != nil)
        #expect(try house.summary("acme/b/a/x/deep")?.path == Array("acme/a/x/deep".utf8))
        try expectRebuilt(house)
    }

    @Test("moved back and forth many times, an account is where it was, and takes no more room in the index")
    func backAndForth() throws {
        let house = try house()
        for _ in 0..<300 {
            #expect(try house.move("acme/a", "acme/b/a").receipt?.duplicate == false)
            #expect(try house.move("acme/b/a", "acme/a").receipt?.duplicate == false)
        }
        #expect(house.ledger.shards[0].state.withLock { $0.index.place.mask } == 63)
        #expect(try house.balance("acme/b/a/x") == 1_000)
        try expectRebuilt(house)
    }

    // MARK: - Refusals

    @Test("a move that cannot be is refused with its reason, and changes nothing")
    func refusals() throws {
        let house = try house()
        try house.open("acme/shut")
        try house.change("acme/shut", status: .closed)
        try house.open("other")
        try house.open("acme/q/r/s")
        let long = "acme/" + String(repeating: "l", count: 118)
        try house.open(long, wallet: false, tier: nil)
        let deep = "acme/b/1/2/3/4"
        for end in [8, 10, 12, 14] { try house.open(String(deep.prefix(end)), wallet: false, tier: nil) }
        func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
        let cases: [(String, String, MoveProblem)] = [
            ("acme", "acme/b/acme", .isOrganisation),
            ("acme/a", "other/a", .otherOrganisation),
            ("acme/a", "acme", .otherOrganisation),
            ("acme/a", "acme/a/x/a", .belowItself),
            ("acme/a", "acme/b", .exists(bytes("acme/b"))),
            ("acme/a", "acme/q/r", .noParent(bytes("acme/q"), movedTo: nil)),
            ("acme/a", "acme/q", .exists(bytes("acme/q/r/s"))),
            ("acme/a", "acme/none/a", .noParent(bytes("acme/none"), movedTo: nil)),
            ("acme/a", "acme/shut/a", .parentClosed(bytes("acme/shut"))),
            (
                "acme/a", deep + "/a", .badPath(bytes(deep + "/a/x/deep"), .tooDeep(segments: 9))
            ),
            (
                "acme/a", long + "/a",
                .badPath(bytes(long + "/a/x/deep"), .tooLong(bytes: 132))
            ),
        ]
        try unchanged(house) { () throws in
            for (from, to, problem) in cases {
                #expect(try house.move(from, to).moveProblem == problem, "\(from) to \(to)")
            }
            #expect(try house.move("acme/nobody", "acme/b/n").refusal?.reason == .accountNotFound)
            #expect(try house.move("acme/shut", "acme/b/shut").refusal?.reason == .accountClosed)
            #expect(throws: AccountPath.Fault.self) { try house.move("acme/a", "acme//a") }
            #expect(throws: AccountPath.Fault.self) { try house.move("", "acme/a") }
        }
    }

    @Test("an account that inherits its tier is not moved to where there is none")
    func noTier() throws {
        let house = try house()
        try house.open("acme/c", tier: "double")
        try house.open("acme/c/y", wallet: false, tier: nil)
        try house.open("bare", tier: nil)
        try house.open("bare/c", tier: "plain")
        try house.open("bare/c/y", wallet: false, tier: nil)
        try unchanged(house) { () throws in
            #expect(try house.move("bare/c/y", "bare/y").moveProblem == .noTier)
        }
        #expect(try house.move("acme/c/y", "acme/y").receipt != nil)
        try house.change("bare/c/y", tier: "double")
        #expect(try house.move("bare/c/y", "bare/y").receipt != nil)
    }

    @Test("more accounts than move in one step are refused as a whole, and as many as that move")
    func bound() throws {
        let house = try House()
        try house.open("acme")
        try house.open("acme/a", wallet: false, tier: nil)
        for number in 1...MoveLimits.accountsMax {
            try house.open("acme/a/\(number)", wallet: false, tier: nil)
        }
        try house.open("acme/b", wallet: false, tier: nil)
        try unchanged(house) { () throws in
            #expect(try house.move("acme/a", "acme/b/a").moveProblem == .tooMany(MoveLimits.accountsMax + 1))
        }
        try house.move("acme/a/1", "acme/1")
        #expect(try house.move("acme/a", "acme/b/a").receipt != nil)
        #expect(house.report(Call("r1", of: "acme/a/9999", tokens: 1)).receipt?.balance == -1)
        #expect(house.state()["acme/b/a/9999"]?.parent == "acme/b/a")
    }

    @Test("an account may have so many former names, and no more")
    func namesBound() throws {
        let house = try house()
        for number in 1..<MoveLimits.namesMax {
            #expect(try house.move("acme/a/x/deep", "acme/b/\(number)").receipt != nil, "\(number)")
        }
        #expect(try house.move("acme/a/x/deep", "acme/b/last").receipt != nil)
        try unchanged(house) { () throws in
            #expect(try house.move("acme/a/x/deep", "acme/b/more").moveProblem == .tooManyNames)
        }
        try expectRebuilt(house)
    }

    // MARK: - Once

    @Test("a move is done once for its key, and asked again without one says that the account is there")
    func once() throws {
        let house = try house()
        let first = try #require(try house.move("acme/a", "acme/b/a", key: "k").receipt)
        for house in [house, try house.replayed()] {
            try unchanged(house) { () throws in
                for key in ["k", nil] {
                    let again = try #require(try house.move("acme/a", "acme/b/a", key: key).receipt)
                    #expect(again.duplicate && again.sequence == first.sequence)
                }
                for (to, reason) in [("acme/c", "why"), ("acme/b/a", "another")] {
                    #expect(
                        try house.move("acme/a", to, key: "k", reason: reason).refusal?.reason
                            == .idempotencyConflict)
                }
                #expect(try house.move("acme/a", "acme/c", key: "old", history: .notAsked) == .askHistory)
            }
        }
    }

    @Test("a parked record is settled for the account that was moved")
    func parked() throws {
        let house = try house()
        var call = Call("r1", of: "acme/a/x", tokens: 10)
        call.model = "nobody-knows"
        let receipt = try #require(house.report(call).receipt)
        #expect(receipt.state == .parked)
        try house.move("acme/a/x", "acme/b/x")
        var corrected = call
        corrected.model = "unit"
        let ended = try house.end(.settle, corrected, parkedAs: receipt.sequence, digestOf: { $0 = call })
        #expect(ended.receipt?.charge == 10)
        #expect(try house.balance("acme/b") == 990 && house.balance("acme/a") == 1_000)
        try expectRebuilt(house)
    }

    @Test("credit is transferred to a closed account's target under a name of before")
    func closing() throws {
        let house = try house()
        try house.move("acme/a", "acme/b/a")
        let answer = try house.close("acme/b", .transfer(to: Array("acme/a".utf8)))
        // It is below what is closed.
        #expect(answer.problem == .badTarget(Array("acme/a".utf8)))
        try house.move("acme/b/a", "acme/c")
        #expect(try house.close("acme/b", .transfer(to: Array("acme/b/a".utf8))).receipt?.moved == -1_000)
        #expect(try house.balance("acme/a") == 2_000)
        try expectRebuilt(house)
    }

    // MARK: - Replay

    @Test("a move that does not fit is refused by replay")
    func replayRefuses() throws {
        let house = try house()
        try house.move("acme/a", "acme/b/a")
        house.collect()
        let entries = try Journal(house.pieces).entries
        func error(_ change: (inout AccountMovedEntry) -> Void) throws -> EntryError? {
            let last = try #require(entries.last)
            let changed = try last.withView { (last) throws in
                var fields = ByteUnpacker(last[1..<last.count])
                var (time, moved) = try fields.accountMoved()
                change(&moved)
                var packer = BytePacker()
                packer.append(time: time, moved)
                var packed = ByteUnpacker(packer.view)
                return Array(try packed.prefixed())
            }
            let other = house.sibling()
            do throws(EntryError) {
                try other.replay([Journal.piece(entries.dropLast() + [changed], firstSequence: 1)])
                return nil
            } catch {
                return error
            }
        }
        func isContradiction(_ error: EntryError?) -> Bool {
            if case .contradiction = error { return true }
            return false
        }
        #expect(try error { _ in } == nil)
        #expect(isContradiction(try error { $0.count += 1 }))
        #expect(isContradiction(try error { $0.account += 1 }))
        try Array("acme/none/a".utf8).withView { (path) throws in
            #expect(isContradiction(try error { $0.to = path }))
        }
        try Array("acme/b".utf8).withView { (path) throws in
            #expect(isContradiction(try error { $0.to = path }))
            #expect(isContradiction(try error { $0.from = path }))
        }
    }
}
