// Rollups: what every account used of a model on a day, kept beside the rows and never apart from them.
//
// A page over a year reads sums, not rows. The sums are changed in the transaction that adds the rows, so a
// crash leaves both or neither. Within a transaction rows are added up in memory first, so that a sum on
// disk is touched once however many rows belong to it.
//
//      rollup_names   number → account, provider, model, credential source      one row for each that was ever seen
//      rollups        (day, number, part) → sums                                one row for each with usage on a day
//
// The key begins with the day, so that what is written today lies together at the table's right edge, which
// stays in memory. A sum that comes near the end of `Int64` goes on in another part of the same key. The day
// is that of the event, in UTC, as on an invoice.

import Bytes
import GRDB
import Synchronization

/// Whom and what a rollup is about, packed: what names are compared and hashed by.
struct RollupName {
    var account: ByteView
    var provider: ByteView
    var model: ByteView
    var credentialSource: UInt8

    func append(to packer: inout BytePacker) {
        packer.append(byte: credentialSource)
        packer.append(prefixed: account)
        packer.append(prefixed: provider)
        packer.append(prefixed: model)
    }

    /// Reads what `append` wrote.
    init(_ packed: ByteView) throws(UnpackingError) {
        var unpacker = ByteUnpacker(packed)
        credentialSource = try unpacker.byte()
        account = try unpacker.prefixed()
        provider = try unpacker.prefixed()
        model = try unpacker.prefixed()
    }

    init(account: ByteView, provider: ByteView, model: ByteView, credentialSource: UInt8) {
        self.account = account
        self.provider = provider
        self.model = model
        self.credentialSource = credentialSource
    }
}

/// Sums that are being added up, by name and day.
struct RollupBatch: ~Copyable {
    struct Slot: Hashable {
        /// The keyed hash of the packed name: two names with one hash are not to be had without the key.
        var name: Hash128
        var day: Int64
    }

    struct Entry {
        var slot: Slot
        /// Where the packed name is in `names`.
        var nameBytes: Range<Int>
        var sums: UsageSums
    }

    private let hashKey: HashKey
    private var places: [Slot: Int] = [:]
    private var packer = BytePacker(capacity: 512)
    private(set) var entries: [Entry] = []
    private(set) var names: [UInt8] = []

    init(_ hashKey: HashKey) { self.hashKey = hashKey }

    /// Adds one outcome. O(1) amortised; allocates for a name on a day that is new to the batch only.
    mutating func add(_ name: RollupName, _ figures: UsageFigures) {
        add(name, figures) { _ in true }
    }

    /// Adds one outcome if its slot is wanted.
    mutating func add(_ name: RollupName, _ figures: UsageFigures, isWanted: (Slot) -> Bool) {
        packer.clear()
        name.append(to: &packer)
        let slot = Slot(
            name: KeyedHasher.hash(packer.view, key: hashKey),
            day: UsageDay(containing: figures.eventTime).number)
        guard isWanted(slot) else { return }
        if let place = places[slot] { return entries[place].sums.add(figures) }
        var sums = UsageSums()
        sums.add(figures)
        places[slot] = entries.count
        let start = names.count
        names += Array(packer.view)
        entries.append(Entry(slot: slot, nameBytes: start..<names.count, sums: sums))
    }

    /// Adds the outcome of row `id` under the name that its account has now, if its slot is wanted.
    mutating func add(
        _ name: RollupName, _ figures: UsageFigures, id: Int64, _ moves: AccountMoves,
        isWanted: (Slot) -> Bool = { _ in true }
    ) {
        if moves.isEmpty { return add(name, figures, isWanted: isWanted) }
        moves.current(Array(name.account), afterID: id).withView { account in
            var name = name
            name.account = account
            add(name, figures, isWanted: isWanted)
        }
    }

    /// The slot of a name on a day.
    mutating func slot(of name: RollupName, day: Int64) -> Slot {
        packer.clear()
        name.append(to: &packer)
        return Slot(name: KeyedHasher.hash(packer.view, key: hashKey), day: day)
    }

    /// The index of a slot's entry, or nil.
    func place(of slot: Slot) -> Int? { places[slot] }

    mutating func clear() {
        places.removeAll(keepingCapacity: true)
        entries.removeAll(keepingCapacity: true)
        names.removeAll(keepingCapacity: true)
    }
}

/// The numbers of names that were looked up lately, so that most upserts need no look at the names.
///
/// Holds only what is committed. The lock guards the dictionary, and is held for one look.
final class RollupNumbers: Sendable {
    private let known = Mutex<[Hash128: Int64]>([:])

    subscript(name: Hash128) -> Int64? { known.withLock { $0[name] } }

    /// Forgets all: names have changed.
    func forget() { known.withLock { $0.removeAll() } }

    /// Takes numbers that are committed.
    func add(_ numbers: [Hash128: Int64]) {
        guard !numbers.isEmpty else { return }
        known.withLock { known in
            if known.count + numbers.count > StoreLimits.rollupNumbersMax { known.removeAll() }
            known.merge(numbers) { _, new in new }
        }
    }
}

extension RollupBatch {
    /// A sum on disk takes no more when it is beyond this, and no more than this is added at once: their sum
    /// is within `Int64`.
    static let partBound: Int64 = 1 << 61

    /// Adds the sums to those on disk. O(entries), in the order of the table.
    ///
    /// - Returns: numbers that were not known before, for `known` once the transaction is committed.
    borrowing func write(
        _ database: Database, known: RollupNumbers
    ) throws(StoreError) -> [Hash128: Int64] {
        guard !entries.isEmpty else { return [:] }
        var fresh: [Hash128: Int64] = [:]
        var order: [(day: Int64, number: Int64, index: Int)] = []
        order.reserveCapacity(entries.count)
        var numbering = try RollupNumbering(database)
        for (index, entry) in entries.enumerated() {
            var number = known[entry.slot.name] ?? fresh[entry.slot.name]
            if number == nil {
                let found = try numbering.number(names, entry.nameBytes)
                fresh[entry.slot.name] = found
                number = found
            }
            if let number { order.append((entry.slot.day, number, index)) }
        }
        order.sort { ($0.day, $0.number) < ($1.day, $1.number) }
        var upsert = try Statement(cached: database, .history, RollupTables.upsert)
        for (day, number, index) in order {
            var left = entries[index].sums
            while !left.isWithin(Self.partBound) {
                let part = left.takePart(bound: Self.partBound)
                try Self.add(part, day: day, number: number, database, &upsert)
            }
            try Self.add(left, day: day, number: number, database, &upsert)
        }
        return fresh
    }

    private static func add(
        _ part: UsageSums, day: Int64, number: Int64, _ database: Database, _ upsert: inout Statement
    ) throws(StoreError) {
        upsert.bind(day, at: 1)
        upsert.bind(number, at: 2)
        let values = part.values
        for index in values.indices { upsert.bind(values[index], at: CInt(index + 4)) }
        var place: Int64 = 0
        repeat {
            upsert.bind(place, at: 3)
            try upsert.run()
            place += 1
        } while database.changesCount == 0
    }
}

/// Gives names their numbers, within a transaction.
struct RollupNumbering: ~Copyable {
    private var find: Statement
    private var insert: Statement

    init(_ database: Database) throws(StoreError) {
        let find = try Statement(
            cached: database, .history,
            """
            SELECT number FROM rollup_names
            WHERE account = ? AND provider = ? AND model = ? AND credential_source = ?
            """)
        let insert = try Statement(
            cached: database, .history,
            """
            INSERT INTO rollup_names (account, provider, model, credential_source) VALUES (?, ?, ?, ?)
            RETURNING number
            """)
        self.find = find
        self.insert = insert
    }

    /// The number of a packed name; a new one if it has none yet.
    mutating func number(_ names: [UInt8], _ range: Range<Int>) throws(StoreError) -> Int64 {
        try names.withView { (view) throws(StoreError) in
            let name: RollupName
            do throws(UnpackingError) {
                name = try RollupName(view[range])
            } catch {
                preconditionFailure("a name that was packed here is whole")
            }
            Self.bind(name, &find)
            if try find.step() {
                defer { find.reset() }
                return find.integer(0)
            }
            Self.bind(name, &insert)
            guard try insert.step() else { preconditionFailure("RETURNING returns the row") }
            let number = insert.integer(0)
            // The row is in the table when the statement has ended.
            while try insert.step() {}
            return number
        }
    }

    private static func bind(_ name: RollupName, _ statement: inout Statement) {
        statement.bind(text: name.account, at: 1)
        statement.bind(text: name.provider, at: 2)
        statement.bind(text: name.model, at: 3)
        statement.bind(Int64(name.credentialSource), at: 4)
    }
}
