// What an answer waits for.
//
// An answer must not leave before the state it was taken from is durable. While it is decided, the
// shards with staged entries that it saw are gathered in its mark. Then, once for all that is read in one go:
//
//      1. the shards' staged entries are moved to the outbox      (Ledger.handOver)
//      2. the number of the journal's cycle is read               c
//      3. the answers wait for cycle c + 1
//
// A cycle empties the outbox when it begins. If cycle c emptied it after step 1, the entries are in c; if
// before, they are in the cycle after it. So c + 1 is always enough.

/// A set of shard numbers, 0 to 255.
public struct ShardSet: Hashable, Sendable {
    public static let countMax = 256

    // Four words and not a vector, whose alignment an async function's frame does not keep.
    private var word0: UInt64 = 0
    private var word1: UInt64 = 0
    private var word2: UInt64 = 0
    private var word3: UInt64 = 0

    public init() {}

    /// The first `count` shards.
    public static func all(of count: Int) -> ShardSet {
        var set = ShardSet()
        for shard in 0..<min(count, countMax) { set.insert(shard) }
        return set
    }

    public var isEmpty: Bool { word0 | word1 | word2 | word3 == 0 }

    /// Adds the shards of another set.
    public mutating func formUnion(_ other: ShardSet) {
        word0 |= other.word0
        word1 |= other.word1
        word2 |= other.word2
        word3 |= other.word3
    }

    @inline(__always)
    mutating func insert(_ shard: Int) {
        let bit: UInt64 = 1 &<< UInt64(shard & 63)
        switch shard &>> 6 {
        case 0: word0 |= bit
        case 1: word1 |= bit
        case 2: word2 |= bit
        default: word3 |= bit
        }
    }

    /// Calls `body` with each shard of the set, lowest first.
    @inline(__always)
    func forEach(_ body: (Int) -> Void) {
        Self.forEach(in: word0, from: 0, body)
        Self.forEach(in: word1, from: 64, body)
        Self.forEach(in: word2, from: 128, body)
        Self.forEach(in: word3, from: 192, body)
    }

    @inline(__always)
    private static func forEach(in word: UInt64, from first: Int, _ body: (Int) -> Void) {
        var bits = word
        while bits != 0 {
            body(first + bits.trailingZeroBitCount)
            bits &= bits - 1
        }
    }
}

/// What the answers of a read wait for. One mark gathers all of its operations.
public struct AnswerMark: Hashable, Sendable {
    /// The last cycle that took entries which these answers saw; 0 for none.
    public private(set) var takenCycle: UInt64 = 0
    /// The shards with entries that these answers saw and no cycle has taken yet.
    public private(set) var stagedShards = ShardSet()

    public init() {}

    /// Waits for what another mark waits for, too.
    public mutating func formUnion(_ other: AnswerMark) {
        takenCycle = max(takenCycle, other.takenCycle)
        stagedShards.formUnion(other.stagedShards)
    }

    @inline(__always)
    mutating func include(_ state: borrowing ShardState) {
        if state.stagedCount > 0 { stagedShards.insert(state.number) }
        takenCycle = max(takenCycle, state.takenCycle)
    }
}
