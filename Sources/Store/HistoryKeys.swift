// Finding a row among hundreds of millions, while adding a row costs the same however many there are.
//
// An index on random keys would touch a random page for every row added. So keys are gathered in
// memory, and when there are enough of them they are written sorted, as one *run*, in chunks behind
// the runs before it: nothing on disk is ever changed, and a search asks the memory and then each
// run, newest first. The first entry of every chunk, its *fence*, stays in memory, so a run costs one
// look at one page. What memory holds is rebuilt at start from the rows themselves.
//
// A key is one number, so that sorting and searching are about numbers:
//
//      63  62                          21 20            1 0
//      +---+-----------------------------+--------------+---+
//      | 0 |        hash, 42 bits        |    offset    | t |    offset: the row's id less the run's
//      +---+-----------------------------+--------------+---+    first; t: 1 for a credit row
//
// Rows whose hashes are equal are told apart by looking at the rows.

import Bytes

/// What a key is the hash of.
enum KeyKind: Int, CaseIterable, Sendable {
    /// The idempotency key of an outcome, hashed already by the ledger.
    case outcome = 0
    /// The request id of an outcome, or the idempotency key of an act on credits.
    case request = 1
    /// The account of a row, and the account that owns its wallet.
    case account = 2
}

/// A row that a key leads to.
struct KeyedRow: Hashable {
    var id: Int64
    var isCredit: Bool
}

/// A key, as drawn above.
enum Key {
    static let offsetBits: UInt64 = 20
    static let tailBits: UInt64 = 21
    static let hashBits: UInt64 = 42

    /// The part of a 64-bit hash that keys keep.
    @inline(__always)
    static func hash(_ word: UInt64) -> UInt64 { word >> (64 - hashBits) }

    @inline(__always)
    static func hash(_ bytes: ByteView, _ key: HashKey) -> UInt64 {
        hash(KeyedHasher.lowHash(bytes, key: key))
    }

    /// The key of `row`, in a run whose first row is `firstID`.
    @inline(__always)
    static func make(hash: UInt64, _ row: KeyedRow, firstID: Int64) -> UInt64 {
        hash << tailBits | UInt64(row.id - firstID) << 1 | (row.isCredit ? 1 : 0)
    }

    static func row(_ key: UInt64, firstID: Int64) -> KeyedRow {
        let tail = key & (1 << tailBits - 1)
        return KeyedRow(id: firstID + Int64(tail >> 1), isCredit: tail & 1 == 1)
    }

    /// The keys that `hash` may have for rows up to `lastID`, in a run whose first row is `firstID`;
    /// nil if the run begins after `lastID`.
    static func range(_ hash: UInt64, upTo lastID: Int64, firstID: Int64) -> ClosedRange<UInt64>? {
        guard lastID >= firstID else { return nil }
        let offset = min(UInt64(lastID - firstID), 1 << offsetBits - 1)
        return hash << tailBits...(hash << tailBits | offset << 1 | 1)
    }

    /// Sorts keys whose rows are in order wherever their hashes are equal. O(keys), four passes.
    static func sorted(_ keys: [UInt64]) -> [UInt64] {
        guard keys.count > 512 else { return keys.sorted() }
        let digitBits: UInt64 = 11
        let buckets = 1 << Int(digitBits)
        var from = keys
        var to = [UInt64](repeating: 0, count: keys.count)
        for pass in 0..<(hashBits + digitBits - 1) / digitBits {
            let shift = tailBits + pass * digitBits
            var places = [Int](repeating: 0, count: buckets)
            for key in from { places[Int(key >> shift) & (buckets - 1)] += 1 }
            var place = 0
            for digit in 0..<buckets {
                let count = places[digit]
                places[digit] = place
                place += count
            }
            for key in from {
                let digit = Int(key >> shift) & (buckets - 1)
                to[places[digit]] = key
                places[digit] += 1
            }
            swap(&from, &to)
        }
        return from
    }
}

/// Keys that are not yet on disk, in sorted pieces of falling size, older ones first: adding is
/// cheap, and a search looks at few pieces.
struct KeyMemory: Sendable {
    private(set) var pieces: [[UInt64]] = []

    /// Adds the keys of rows newer than all before. Amortised O(log rows) for each.
    mutating func add(_ keys: [UInt64]) {
        guard !keys.isEmpty else { return }
        pieces.append(Key.sorted(keys))
        while pieces.count > 1, pieces[pieces.count - 2].count < 2 * pieces[pieces.count - 1].count {
            let last = pieces.removeLast()
            pieces[pieces.count - 1] = Key.sorted(pieces[pieces.count - 1] + last)
        }
    }

    /// All keys, sorted.
    func sorted() -> [UInt64] { Key.sorted(pieces.flatMap { $0 }) }

    /// Hands every key in `range`, largest first, to `body` until it returns true; then returns true.
    func search(
        _ range: ClosedRange<UInt64>, _ body: (UInt64) throws(StoreError) -> Bool
    ) throws(StoreError) -> Bool {
        // By piece, the keys in it that are still to come: those before this index.
        var ends = pieces.map { piece in piece.firstIndex { $0 > range.upperBound } }
        while true {
            var largest: (key: UInt64, piece: Int)?
            for (index, piece) in pieces.enumerated() where ends[index] > 0 {
                let key = piece[ends[index] - 1]
                if largest.map({ key > $0.key }) ?? true { largest = (key, index) }
            }
            guard let largest, largest.key >= range.lowerBound else { return false }
            if try body(largest.key) { return true }
            ends[largest.piece] -= 1
        }
    }
}

extension [UInt64] {
    /// The index of the first element for which `isBeyond` holds, in an array where it holds for all
    /// elements after one for which it does. O(log count).
    func firstIndex(_ isBeyond: (UInt64) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if isBeyond(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

/// A sorted run on disk: the keys of the rows in `ids`.
struct KeyRun: Hashable, Sendable {
    /// The keys of one kind: chunks that lie behind each other.
    struct Section: Hashable, Sendable {
        var firstChunk: Int64
        /// The first key of each chunk.
        var fences: [UInt64]
    }

    var ids: ClosedRange<Int64>
    /// By kind.
    var sections: [Section]
}

/// Everything that is known about keys without reading chunks.
struct HistoryKeys: Sendable {
    /// The first row whose keys are in memory; rows before it are in runs.
    var firstID: Int64 = 1
    /// By kind.
    var memory = [KeyMemory](repeating: KeyMemory(), count: KeyKind.allCases.count)
    /// Oldest first; together they cover the rows before `firstID`.
    var runs: [KeyRun] = []

    /// Takes the keys of rows newer than all before, by kind.
    mutating func add(_ batch: KeyBatch) {
        for kind in KeyKind.allCases {
            memory[kind.rawValue].add(
                batch.keys[kind.rawValue].map { Key.make(hash: $0.hash, $0.row, firstID: firstID) })
        }
    }
}

/// The keys of rows that are being added.
struct KeyBatch {
    var keys = [[(hash: UInt64, row: KeyedRow)]](repeating: [], count: KeyKind.allCases.count)

    @inline(__always)
    mutating func add(_ kind: KeyKind, _ hash: UInt64, _ row: KeyedRow) {
        keys[kind.rawValue].append((hash, row))
    }

    /// Adds the account of a row, and its wallet unless both have one hash or there is none.
    @inline(__always)
    mutating func add(account: UInt64, wallet: UInt64?, _ row: KeyedRow) {
        add(.account, account, row)
        if let wallet, wallet != account { add(.account, wallet, row) }
    }
}
