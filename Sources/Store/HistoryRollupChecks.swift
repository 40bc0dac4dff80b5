// Whether the rollups are what the rows add up to.
//
// The rows are added up again in memory, for so many keys at a time, picked by their hash, so that memory is
// bounded however long the history is. Every rollup on disk must be among them with the same sums, and none
// may be missing.

import Bytes
import GRDB

/// A rollup that is not what the rows add up to.
public struct RollupMismatch: Hashable, Sendable {
    /// The sum that differs and its rollup, by day and name.
    public var field: String
    public var stored: String
    public var computed: String
    /// The first row of the history that is part of it; nil where none is.
    public var firstID: Int64?
}

extension HistoryStore {
    /// Adds up every row and compares with the rollups.
    ///
    /// O(rows × (1 + rollups / `rollupsChecked`)).
    ///
    /// - Returns: how many rollups were compared.
    /// - Throws: `.damagedTotals` naming the first one that differs, by day and name; `.poisoned`.
    public func verifyRollups() throws(StoreError) -> Int64 {
        try verifyRollups(keysAtOnce: StoreLimits.rollupsChecked)
    }

    func verifyRollups(keysAtOnce: Int64) throws(StoreError) -> Int64 {
        let (count, mismatch) = try checkRollups(keysAtOnce: keysAtOnce)
        if let mismatch {
            throw .damagedTotals(
                file: .history, field: mismatch.field, stored: mismatch.stored, computed: mismatch.computed)
        }
        return count
    }

    /// Adds up every row and compares with the rollups, as `verifyRollups` does; returns the first that differs,
    /// by day and name, or nil.
    public func checkRollups(
        keysAtOnce: Int64 = StoreLimits.rollupsChecked
    ) throws(StoreError) -> (count: Int64, mismatch: RollupMismatch?) {
        try read { (database, _) throws(StoreError) in
            var last = try Statement(database, .history, "SELECT coalesce(max(id), 0) FROM usage_rows")
            let lastID = try last.step() ? last.integer(0) : 0
            last.reset()
            let covered = try RollupTables.covered(database)
            guard covered >= lastID else {
                throw .damagedTotals(
                    file: .history, field: "the last row that the rollups have", stored: "\(covered)",
                    computed: "\(lastID)")
            }
            var counting = try Statement(database, .history, "SELECT count(*) FROM rollups WHERE part = 0")
            let count = try counting.step() ? counting.integer(0) : 0
            counting.reset()
            let passes = UInt64(max(1, (count + keysAtOnce - 1) / keysAtOnce))
            var first: Mismatch?
            for pass in 0..<passes {
                let found = try mismatch(database, pass, of: passes, upTo: lastID)
                if let found, first.map({ found.place < $0.place }) ?? true { first = found }
            }
            return (count, try first?.told(database, upTo: lastID))
        }
    }

    /// A difference that was found.
    private struct Mismatch {
        /// Where it stands among the others.
        var place: Place
        /// Its name, packed.
        private let name: [UInt8]
        private var column: String
        private var stored: String
        private var computed: String

        struct Place: Comparable {
            var day: Int64
            var text: String

            static func < (left: Place, right: Place) -> Bool {
                (left.day, left.text) < (right.day, right.text)
            }
        }

        init(_ name: RollupName, day: Int64, column: String, stored: String, computed: String) {
            let source =
                switch name.credentialSource {
                case 1: "platform"
                case UsageFigures.byokSource: "byok"
                default: "source \(name.credentialSource)"
                }
            place = Place(
                day: day,
                text: "\(name.account.text), \(name.provider.text) \(name.model.text), \(source)")
            self.name = Self.packed(name)
            self.column = column
            self.stored = stored
            self.computed = computed
        }

        private static func packed(_ name: RollupName) -> [UInt8] {
            var packer = BytePacker(capacity: 128)
            name.append(to: &packer)
            return Array(packer.view)
        }

        /// The difference in words, with the day as people write it, and the first row that is part of it.
        func told(_ database: Database, upTo lastID: Int64) throws(StoreError) -> RollupMismatch {
            var date = try Statement(
                database, .history, "SELECT coalesce(strftime('%Y-%m-%d', ?1 * 86400, 'unixepoch'), ?1)")
            date.bind(place.day, at: 1)
            let day = try date.step() ? date.text(0) : "\(place.day)"
            var rows = try Statement(database, .history, RollupTables.outcomes)
            rows.bind(1, at: 1)
            rows.bind(lastID, at: 2)
            var firstID: Int64?
            while firstID == nil, try rows.step() {
                let (name, figures) = try RollupTables.outcome(rows)
                guard UsageDay(containing: figures.eventTime).number == place.day,
                    Self.packed(name) == self.name
                else { continue }
                firstID = rows.integer(0)
            }
            return RollupMismatch(
                field: "\(column) of the rollup of \(place.text), on \(day),", stored: stored,
                computed: computed, firstID: firstID)
        }
    }

    /// The first difference among the rollups of one pass, or nil.
    private func mismatch(
        _ database: Database, _ pass: UInt64, of passes: UInt64, upTo lastID: Int64
    ) throws(StoreError) -> Mismatch? {
        var batch = RollupBatch(hashKey)
        let moves = try AccountMoves(database)
        var rows = try Statement(database, .history, RollupTables.outcomes)
        rows.bind(1, at: 1)
        rows.bind(lastID, at: 2)
        while try rows.step() {
            let (name, figures) = try RollupTables.outcome(rows)
            batch.add(name, figures, id: rows.integer(0), moves) { $0.name.high % passes == pass }
        }
        var isSeen = [Bool](repeating: false, count: batch.entries.count)
        var first: Mismatch?
        func take(_ found: Mismatch) {
            if first.map({ found.place < $0.place }) ?? true { first = found }
        }
        var stored = try Statement(database, .history, Self.storedRollups)
        while try stored.step() {
            guard let source = UInt8(exactly: stored.integer(4)) else {
                throw .damagedRow(
                    file: .history, table: "rollup_names", key: stored.text(1), path: "",
                    reason: "its credential source is out of range")
            }
            let name = RollupName(
                account: stored.bytes(1), provider: stored.bytes(2), model: stored.bytes(3),
                credentialSource: source)
            let day = stored.integer(0)
            let slot = batch.slot(of: name, day: day)
            guard slot.name.high % passes == pass else { continue }
            let place = batch.place(of: slot)
            if let place { isSeen[place] = true }
            let computed = place.map { batch.entries[$0].sums } ?? UsageSums()
            let sums = Self.sums(stored, from: 5)
            if place == nil, sums == computed {
                take(
                    Mismatch(
                        name, day: day, column: "the row", stored: "there", computed: "the rollup of no row"))
            }
            for column in UsageSums.columns where sums[keyPath: column.path] != computed[keyPath: column.path]
            {
                take(
                    Mismatch(
                        name, day: day, column: column.name, stored: "\(sums[keyPath: column.path])",
                        computed: "\(computed[keyPath: column.path])"))
                break
            }
        }
        for (index, entry) in batch.entries.enumerated() where !isSeen[index] {
            let names = batch.names
            names.withView { view in
                do throws(UnpackingError) {
                    take(
                        Mismatch(
                            try RollupName(view[entry.nameBytes]), day: entry.slot.day, column: "requests",
                            stored: "missing", computed: "\(entry.sums.requests)"))
                } catch {
                    preconditionFailure("a name that was packed here is whole")
                }
            }
        }
        return first
    }

    /// Parts are added up in two halves each: SQLite's `sum` is an error beyond `Int64`.
    private static let storedRollups = """
        SELECT r.day, n.account, n.provider, n.model, n.credential_source,
            \(UsageSums.columns.map { "sum(r.\($0.name) >> 32), sum(r.\($0.name) & 4294967295)" }.joined(separator: ", "))
        FROM rollups r LEFT JOIN rollup_names n USING (number)
        GROUP BY r.day, r.number
        """

    /// The sums of a row of `storedRollups`.
    private static func sums(_ statement: borrowing Statement, from first: CInt) -> UsageSums {
        var sums = UsageSums()
        var column = first
        for (_, path) in UsageSums.columns {
            // An arithmetic shift rounds down, so the lower half is never negative.
            sums[keyPath: path] =
                Int128(statement.integer(column)) << 32 + Int128(statement.integer(column + 1))
            column += 2
        }
        return sums
    }
}
