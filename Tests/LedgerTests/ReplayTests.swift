// What recovery rebuilds is what was there: from the journal alone, from a checkpoint and the journal, from
// chunks that come twice or overlap. What it may not rebuild from, it refuses.

import Bytes
import Pricing
import Testing

@testable import Ledger

@Suite("replay")
struct ReplayTests {
    /// A house with a random history, collected in small pieces at random points.
    private func makeHistory(
        seed: UInt64, acts count: Int = 500, shardCount: Int = 4,
        atEachStep: (House, inout Seeded) throws -> Void = { _, _ in }
    ) throws -> (house: House, calls: [Call]) {
        let house = try House(shardCount: shardCount)
        var acts = RandomActs(seed: seed, organisations: 6)
        var random = Seeded(seed ^ 0xffff)
        for _ in 0..<count {
            try house.perform(acts.next())
            if random.chance(5) { house.collect(pieceBytesMax: random.pick([1, 200, 1_000, 1 << 20])) }
            try atEachStep(house, &random)
        }
        house.collect(pieceBytesMax: 400)
        return (house, acts.calls)
    }

    /// A retry of every report comes to the same in both, and to duplicates where it was recorded.
    private func expectSameRetries(_ left: House, _ right: House, _ calls: [Call]) {
        for call in calls {
            let one = call.keys(left.ledger.keys)
            let shard = left.ledger.shard(of: one.organisation)
            let found = [left, right].map { house in
                house.ledger.shards[shard].state.withLock { $0.ids.find(one.request) }
            }
            #expect(found[0] == found[1])
            guard found[0]?.digest == one.digest else { continue }
            let answers = [left.report(call).receipt, right.report(call).receipt]
            #expect(answers[0] == answers[1] && answers[0]?.duplicate == true)
        }
    }

    @Test("the journal alone rebuilds accounts, sums, ids and places", arguments: UInt64(1)...12)
    func journalAlone(seed: UInt64) throws {
        let (house, calls) = try makeHistory(seed: seed)
        let other = house.sibling()
        try other.replay(house.pieces)
        expectSame(house, other)
        #expect(other.ledger.totals().balance)
        #expect(house.ledger.rememberedIDs().count == other.ledger.rememberedIDs().count)
        expectSameRetries(house, other, calls)
        // And both go on alike.
        var acts = RandomActs(seed: seed + 100, organisations: 6)
        other.now = house.now
        for _ in 0..<100 {
            let act = acts.next()
            #expect(try house.perform(act) == other.perform(act))
        }
        expectSame(house, other)
    }

    @Test("pieces are as small as asked, but for a single entry, and in order")
    func pieces() throws {
        func house(pieceBytesMax: Int) throws -> House {
            let house = try House()
            try house.open("acme")
            for number in 1...50 { _ = house.report(Call("r\(number)", tokens: 1)) }
            house.collect(pieceBytesMax: pieceBytesMax)
            return house
        }
        for bytesMax in stride(from: 250, through: 500, by: 3) {
            let house = try house(pieceBytesMax: bytesMax)
            #expect(house.pieces.count < 51 && house.pieces.allSatisfy { $0.count <= bytesMax })
        }
        let house = try house(pieceBytesMax: 1)
        #expect(house.pieces.count == 51)
        let sequences = try house.pieces.map { piece in
            try piece.withView { (view) throws in try ChunkReader(view[4..<view.count]).head.firstSequence }
        }
        #expect(sequences == Array(1...51))
    }

    @Test("chunks that come twice or overlap are applied once", arguments: UInt64(1)...6)
    func overlap(seed: UInt64) throws {
        let (house, _) = try makeHistory(seed: seed, shardCount: 1)
        let entries = try Journal(house.pieces).entries
        var random = Seeded(seed)
        var overlapping: [[UInt8]] = []
        var covered = 0
        while covered < entries.count {
            let first = Int.random(in: max(0, covered - 20)...covered, using: &random)
            let end = min(entries.count, first + Int.random(in: 1...60, using: &random))
            overlapping.append(Journal.piece(entries[first..<end], firstSequence: UInt64(first + 1)))
            covered = max(covered, end)
        }
        let other = house.sibling()
        try other.replay(overlapping)
        try other.replay(house.pieces)
        expectSame(house, other)
    }

    @Test("a gap is refused, at the beginning, in the middle, and behind a checkpoint")
    func gaps() throws {
        let (house, _) = try makeHistory(seed: 1, shardCount: 1)
        let entries = try Journal(house.pieces).entries
        func pieces(_ ranges: Range<Int>...) -> [[UInt8]] {
            ranges.map { Journal.piece(entries[$0], firstSequence: UInt64($0.lowerBound + 1)) }
        }
        #expect(throws: EntryError.outOfSequence(shard: 0, expected: 1, found: 2)) {
            try house.sibling().replay(pieces(1..<9))
        }
        #expect(throws: EntryError.outOfSequence(shard: 0, expected: 6, found: 7)) {
            try house.sibling().replay(pieces(0..<5, 6..<9))
        }
        for (replayed, expected) in [(pieces(5..<9), 5), (pieces(0..<3, 4..<9), 4)] {
            let other = house.sibling()
            other.ledger.setCheckpoint(shard: 0, sequence: 4, time: house.now)
            let fault = EntryError.outOfSequence(
                shard: 0, expected: UInt64(expected), found: UInt64(expected) + 1)
            #expect(throws: fault) { try other.replay(replayed, checkpoint: [4]) }
        }
    }

    @Test("a chunk of a shard that is not there is refused")
    func otherShards() throws {
        let house = try House(shardCount: 8)
        for number in 0..<40 { try house.open("o\(number)") }
        house.collect()
        let other = try House(shardCount: 3)
        #expect(throws: EntryError.self) { try other.replay(house.pieces) }
        // A ledger with another secret has other shards.
        let stranger = House(
            Ledger(secret: HashKey(first: 1, second: 2), shardCount: 8), book: house.book)
        #expect(throws: EntryError.self) { try stranger.replay(house.pieces) }
    }

    @Test("a checkpoint and the journal rebuild what the journal alone does", arguments: UInt64(1)...12)
    func checkpoints(seed: UInt64) throws {
        var store = Checkpoint(shardCount: 4)
        let (house, calls) = try makeHistory(seed: seed) { house, random in
            if random.chance(4) { store.take(from: house, fails: random.chance(30), &random) }
        }
        let restored = house.sibling()
        try store.restore(into: restored)
        try restored.replay(house.pieces, checkpoint: store.sequences)
        let replayed = house.sibling()
        try replayed.replay(house.pieces)
        expectSame(restored, replayed)
        expectSame(restored, house)
        #expect(restored.ledger.totals().balance)
        expectSameRetries(restored, replayed, calls)
        var acts = RandomActs(seed: seed + 100, organisations: 6)
        for _ in 0..<100 {
            let act = acts.next()
            let (left, right) = (try restored.perform(act), try replayed.perform(act))
            #expect(left == right, "seed \(seed): \(act)")
        }
    }

    @Test("a checkpoint alone is the ledger, when nothing came after")
    func checkpointAlone() throws {
        let (house, _) = try makeHistory(seed: 3)
        var store = Checkpoint(shardCount: 4)
        var random = Seeded(0)
        store.take(from: house, fails: false, &random)
        #expect(house.ledger.changedCount() == 0)
        let restored = house.sibling()
        try store.restore(into: restored)
        expectSame(house, restored)
        #expect(restored.ledger.changedCount() == 0)
    }

    @Test("what a failed checkpoint took is given back, once")
    func givenBack() throws {
        let (house, _) = try makeHistory(seed: 4, shardCount: 1)
        let count = house.ledger.changedCount()
        var copies = AccountCopies()
        var mark = AnswerMark()
        let snapshot = house.ledger.copyChanged(shard: 0, into: &copies, mark: &mark)
        #expect(snapshot.accounts.count == count && house.ledger.changedCount() == 0)
        house.ledger.giveBack(snapshot)
        house.ledger.giveBack(snapshot)
        #expect(house.ledger.changedCount() == count)
        #expect(house.ledger.copyChanged(shard: 0, into: &copies, mark: &mark).accounts == snapshot.accounts)
    }
}

/// Checkpoint rows as a store keeps them.
struct Checkpoint {
    struct Row {
        var path: [UInt8]
        var balance: Int64
        var state: [UInt8]
    }

    private(set) var sequences: [UInt64]
    var rows: [[UInt32: Row]]
    private var time = Timestamp.distantPast

    init(shardCount: Int) {
        sequences = [UInt64](repeating: 0, count: shardCount)
        rows = [[UInt32: Row]](repeating: [:], count: shardCount)
    }

    /// Takes what changed; a checkpoint that fails gives it back, perhaps after more has changed.
    mutating func take(from house: House, fails: Bool, _ random: inout Seeded) {
        var copies = AccountCopies()
        var mark = AnswerMark()
        var next = self
        var snapshots: [ShardSnapshot] = []
        for shard in sequences.indices {
            let snapshot = house.ledger.copyChanged(shard: shard, into: &copies, mark: &mark)
            next.sequences[shard] = snapshot.sequence
            copies.forEach(shard: shard) { record in
                next.rows[shard][record.number] = Row(
                    path: Array(record.path), balance: record.balance, state: Array(record.state))
            }
            snapshots.append(snapshot)
        }
        // The clock may have gone back since the newest entry.
        let times = house.ledger.shards.indices.map { house.ledger.shards[$0].state.withLock { $0.time } }
        next.time = times.reduce(max(time, house.now), max)
        guard fails else {
            self = next
            return
        }
        for snapshot in snapshots { house.ledger.giveBack(snapshot) }
    }

    func restore(into house: House) throws {
        for shard in rows.indices {
            for (number, row) in rows[shard].sorted(by: { $0.key < $1.key }) {
                try row.path.withView { (path) throws in
                    try row.state.withView { (state) throws in
                        try house.ledger.restore(
                            AccountRecord(
                                shard: shard, number: number, path: path, balance: row.balance, state: state))
                    }
                }
            }
            house.ledger.setCheckpoint(shard: shard, sequence: sequences[shard], time: time)
        }
    }
}

/// The entries of pieces of one shard, as bytes, to be put together anew.
struct Journal {
    private(set) var entries: [[UInt8]] = []

    init(_ pieces: [[UInt8]]) throws {
        for piece in pieces {
            try piece.withView { (view) throws in
                var chunks = PieceReader(view)
                while let chunk = try chunks.next() {
                    var fields = ByteUnpacker(chunk)
                    for _ in 0..<3 { _ = try fields.unsigned() }
                    while !fields.isAtEnd { entries.append(Array(try fields.prefixed())) }
                }
            }
        }
    }

    /// A piece of shard 0 with these entries.
    static func piece(_ entries: some Collection<[UInt8]>, firstSequence: UInt64) -> [UInt8] {
        var packer = BytePacker()
        for _ in 0..<4 { packer.append(byte: 0) }
        packer.append(UInt64(0))
        packer.append(firstSequence)
        packer.append(UInt64(entries.count))
        for entry in entries { entry.withView { packer.append(prefixed: $0) } }
        packer.replace(at: 0, with: UInt32(packer.count - 4))
        return Array(packer.view)
    }
}
