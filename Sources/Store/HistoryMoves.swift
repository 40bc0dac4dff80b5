// Where accounts were before they were moved.
//
// A row keeps the path that its account had then, and is never changed. Whoever asks for an account gets the rows
// that it had under the paths of before, each for its time; whoever has a row finds what its account is called now.
//
//      rows 1 ... 99    acme/search             what acme/labs/search is asked for
//      row 100          moved
//      rows 101 ...     acme/labs/search
//
// What is kept beside the rows and changed as they come (rollups, the periods of wallets) is renamed in the
// transaction that has the move, so that it speaks of accounts by their names of now.

import Bytes
import GRDB

/// The moves that a history holds, oldest first.
public struct AccountMoves: Sendable {
    /// An account, and all below it, under another path.
    public struct Move: Hashable, Sendable {
        /// The row that tells of it.
        public var id: Int64
        public var lsn: UInt64
        public var from: [UInt8]
        public var to: [UInt8]

        public init(id: Int64, lsn: UInt64, from: [UInt8], to: [UInt8]) {
            self.id = id
            self.lsn = lsn
            self.from = from
            self.to = to
        }
    }

    /// A path that an account had, and the rows of that time.
    struct Stretch: Hashable, Sendable {
        var path: [UInt8]
        var ids: ClosedRange<Int64>
    }

    public private(set) var moves: [Move] = []

    public init() {}

    public var isEmpty: Bool { moves.isEmpty }

    /// Adds a move that comes behind all others.
    public mutating func add(_ move: Move) { moves.append(move) }

    /// What a path is called now that was an account's when the entry `lsn` was written. O(moves since).
    public func current(_ path: [UInt8], afterLSN lsn: UInt64) -> [UInt8] {
        current(path, from: moves.partition { $0.lsn > lsn })
    }

    /// What a path is called now that was an account's when the row `id` was written.
    func current(_ path: [UInt8], afterID id: Int64) -> [UInt8] {
        current(path, from: moves.partition { $0.id > id })
    }

    /// What a path is called now that was an account's at any time: a name is one account's for ever.
    func current(_ path: [UInt8]) -> [UInt8] { current(path, from: 0) }

    private func current(_ path: [UInt8], from first: Int) -> [UInt8] {
        var path = path
        for move in moves[first...] {
            if let moved = path.replacing(move.from, with: move.to) { path = moved }
        }
        return path
    }

    /// The paths that an account had up to the row `lastID`, when it was called `path`; newest first.
    func stretches(of path: [UInt8], upTo lastID: Int64 = .max) -> [Stretch] {
        var found: [Stretch] = []
        var (name, last) = (path, lastID)
        for move in moves.reversed() where move.id <= lastID {
            // What was under this path before went away with the move: it was another account.
            if name.replacing(move.from, with: []) != nil {
                if move.id <= last { found.append(Stretch(path: name, ids: move.id...last)) }
                return found
            }
            guard let before = name.replacing(move.to, with: move.from) else { continue }
            if move.id <= last { found.append(Stretch(path: name, ids: move.id...last)) }
            (name, last) = (before, move.id - 1)
        }
        if last >= 1 { found.append(Stretch(path: name, ids: 1...last)) }
        return found
    }
}

extension [AccountMoves.Move] {
    /// The index of the first for which `isBeyond` holds, which then holds for all behind it.
    fileprivate func partition(_ isBeyond: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if isBeyond(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

extension [UInt8] {
    /// A path with its first segments replaced; nil if it is not `old`, and not below it.
    fileprivate func replacing(_ old: [UInt8], with new: [UInt8]) -> [UInt8]? {
        guard starts(with: old), count == old.count || self[old.count] == UInt8(ascii: "/") else {
            return nil
        }
        return new + self[old.count...]
    }
}

extension AccountMoves {
    /// The schema step.
    static let schemaStep = """
        CREATE TABLE moves (
            id INTEGER PRIMARY KEY,
            lsn INTEGER NOT NULL,
            from_path TEXT NOT NULL,
            to_path TEXT NOT NULL
        ) STRICT;
        """

    /// Reads all of them; mostly there are none.
    init(_ database: Database) throws(StoreError) {
        var rows = try Statement(
            cached: database, .history, "SELECT id, lsn, from_path, to_path FROM moves ORDER BY id")
        while try rows.step() {
            moves.append(
                Move(
                    id: rows.integer(0), lsn: UInt64(bitPattern: rows.integer(1)), from: Array(rows.bytes(2)),
                    to: Array(rows.bytes(3))))
        }
        rows.reset()
    }

    /// What a path in a table becomes; the path itself, and all below it. What follows "/" in ASCII is "0".
    private static func rename(_ table: String, _ column: String) -> String {
        """
        UPDATE \(table) SET \(column) = ?2 || substr(\(column), length(?1) + 1)
        WHERE \(column) = ?1 OR (\(column) >= ?1 || '/' AND \(column) < ?1 || '0')
        """
    }

    /// Notes a move, and renames what is kept beside the rows.
    static func note(
        _ database: Database, id: Int64, lsn: UInt64, from: ByteView, to: ByteView
    ) throws(StoreError) {
        for (table, column) in [("rollup_names", "account"), ("wallet_periods", "wallet")] {
            var update = try Statement(database, .history, rename(table, column))
            update.bind(text: from, at: 1)
            update.bind(text: to, at: 2)
            try update.run()
        }
        var insert = try Statement(database, .history, "INSERT INTO moves VALUES (?, ?, ?, ?)")
        insert.bind(id, at: 1)
        insert.bind(Int64(bitPattern: lsn), at: 2)
        insert.bind(text: from, at: 3)
        insert.bind(text: to, at: 4)
        try insert.run()
    }
}

extension HistoryStore {
    /// Every move that the history holds, oldest first.
    public func moves() throws(StoreError) -> AccountMoves {
        try read { (database, _) throws(StoreError) in try AccountMoves(database) }
    }
}
