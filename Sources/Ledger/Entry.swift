// What the ledger writes down: one entry for each change, complete, so that the balance is the fold of
// the entries and nothing ever needs to be decided twice.
//
//      +--------+---------+-----------------------------------------------+
//      | length | kind    | fields, packed (see Packing in Bytes)         |
//      +--------+---------+-----------------------------------------------+
//        packed   1 byte    the length counts kind and fields
//
// A shard's entries come in chunks, one chunk for each journal cycle that found any:
//
//      +--------+----------------+--------+----------------+
//      | shard  | first sequence | count  | entries ...    |     packed, packed, packed
//      +--------+----------------+--------+----------------+

import Bytes
import Money
import Pricing

/// What credit was granted for. Kinds burn in the order of their default burn order.
public enum GrantKind: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
    case monthly = 1
    case promo = 2
    case bonus = 3
    case purchased = 4
    case refund = 5
    case adjustment = 6

    /// Lower burns first.
    public var defaultBurnOrder: UInt16 {
        switch self {
        case .monthly: 10
        case .promo: 20
        case .bonus: 30
        case .refund: 35
        case .purchased: 40
        case .adjustment: 40
        }
    }

    public var name: String {
        switch self {
        case .monthly: "monthly"
        case .promo: "promo"
        case .bonus: "bonus"
        case .purchased: "purchased"
        case .refund: "refund"
        case .adjustment: "adjustment"
        }
    }
}

public enum AccountStatus: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
    case active = 0
    case suspended = 1
    case closed = 2

    public var name: String {
        switch self {
        case .active: "active"
        case .suspended: "suspended"
        case .closed: "closed"
        }
    }
}

/// Credit drawn from one grant.
public struct Draw: Hashable, Sendable, BitwiseCopyable {
    /// The sequence of the entry that made the grant.
    public var grant: UInt64
    /// Nanocredits, above zero.
    public var amount: Int64
}

/// A report's outcome: charged, or parked with a charge of zero.
public struct ChargeEntry: Sendable {
    public var state = ReceiptState.charged
    public var standardTierUsed = false
    public var parkedReason: Reason?
    public var account: UInt32 = 0
    public var wallet: UInt32 = 0
    public var key = Hash128(low: 0, high: 0)
    public var digest: UInt64 = 0
    /// Picodollars.
    public var baseCost: Int64 = 0
    /// Nanocredits: what is owed, before the allowance. `charge = fee - allowanceUsed`.
    public var fee: Int64 = 0
    public var allowanceUsed: Int64 = 0
    /// The month whose allowance was used.
    public var month = CalendarMonth(count: 0)
    public var ruleNumber: UInt32 = 0
    public var ruleVersion: UInt32 = 0
    public var catalogueVersion: UInt32 = 0
    /// The wallet's balance after this entry, in nanocredits.
    public var balanceAfter: Int64 = 0
    /// The tier that the account was in.
    public var tier = ByteView()
    /// The wallet is the account itself or above it: its path is the account's first so many bytes.
    public var walletPathCount = 0
    /// The record in its canonical form; see `RecordContent`.
    public var content = ByteView()

    public init() {}
    public var charge: Int64 { fee - allowanceUsed }
}

/// Credit given.
public struct GrantEntry: Sendable {
    public var wallet: UInt32 = 0
    /// The wallet's path.
    public var path = ByteView()
    public var kind = GrantKind.purchased
    public var burnOrder: UInt16 = 0
    /// Nanocredits, above zero.
    public var amount: Int64 = 0
    /// What of it repaid debt; the rest remains to be drawn.
    public var debtRepaid: Int64 = 0
    public var expiresAt = Timestamp.distantFuture
    /// The keyed hash of the idempotency key, and the digest of the act; nil when made without.
    public var key: Hash128?
    public var digest: UInt64 = 0
    public var balanceAfter: Int64 = 0
    /// Free text: where the credit comes from, and JSON metadata; the idempotency key as given.
    public var source = ByteView()
    public var metadata = ByteView()
    public var idempotencyKey = ByteView()

    public init() {}
}

/// An unspent grant, or what is left of it, taken away.
public struct GrantEndedEntry: Sendable {
    public enum Cause: UInt8, Hashable, Sendable { case expired = 1 }
    public var wallet: UInt32 = 0
    /// The wallet's path.
    public var path = ByteView()
    public var grant: UInt64 = 0
    public var amount: Int64 = 0
    public var cause = Cause.expired
    public var balanceAfter: Int64 = 0
}

/// An account made, with what it owns.
public struct AccountOpenedEntry: Sendable {
    public var account: UInt32 = 0
    public var path = ByteView()
    public var ownsWallet = false
    public var unlimited = false
    public var overdraftLimit: Int64 = 0
    /// Lower-case; empty when the tier is inherited.
    public var tier = ByteView()

    public init() {}
}

/// An account's settings, as they are from now on.
public struct AccountChangedEntry: Sendable {
    public var account: UInt32 = 0
    public var path = ByteView()
    public var status = AccountStatus.active
    public var unlimited = false
    public var overdraftLimit: Int64 = 0
    public var tier = ByteView()
    /// Why, for a person.
    public var reason = ByteView()

    public init() {}
}

/// One change of a shard's state. Views point into the chunk it was read from.
public enum Entry: Sendable {
    case charged(ChargeEntry, draws: [Draw])
    case granted(GrantEntry)
    case grantEnded(GrantEndedEntry)
    case accountOpened(AccountOpenedEntry)
    case accountChanged(AccountChangedEntry)
}

/// The first byte of an entry's fields.
enum EntryKind: UInt8 {
    case charged = 1
    case granted = 2
    case grantEnded = 3
    case accountOpened = 4
    case accountChanged = 5
}

/// Why an entry cannot be read: a newer version wrote it, or the ledger has a bug; damage on disk is
/// found by the journal before the bytes come here.
public enum EntryError: Error, Hashable, Sendable {
    case truncated(atByte: Int)
    case unknownKind(UInt8, atByte: Int)
    case badField(kind: UInt8, atByte: Int)
    /// The chunk does not continue the shard: entries are missing or come twice.
    case outOfSequence(shard: Int, expected: UInt64, found: UInt64)
    case unknownAccount(shard: Int, number: UInt32, sequence: UInt64)
    case contradiction(shard: Int, sequence: UInt64, what: String)
}

/// The head of a chunk of one shard's entries.
public struct ChunkHead: Hashable, Sendable {
    public var shard: Int
    public var firstSequence: UInt64
    public var count: Int
}

// MARK: - Writing

extension BytePacker {
    mutating func append(_ value: UInt32) { append(UInt64(value)) }

    /// The length of an entry is written when its end is known: two bytes are kept for it, as a packed
    /// number of exactly that size. Longer entries move up to make room.
    mutating func beginEntry(_ kind: EntryKind) -> Int {
        let start = count
        append(byte: 0)
        append(byte: 0)
        append(byte: kind.rawValue)
        return start
    }

    mutating func endEntry(from start: Int) {
        setPackedLength(at: start, length: count - start - 2)
    }

    mutating func append(time: Timestamp, _ entry: ChargeEntry, draws: [Draw]) {
        let start = beginEntry(.charged)
        var flags: UInt8 = entry.state == .parked ? 1 : 0
        if entry.standardTierUsed { flags |= 2 }
        if entry.wallet != entry.account { flags |= 4 }
        if entry.allowanceUsed != 0 { flags |= 8 }
        append(byte: flags)
        append(time.microseconds)
        append(entry.account)
        if entry.wallet != entry.account {
            append(entry.wallet)
            append(UInt64(entry.walletPathCount))
        }
        append(prefixed: entry.tier)
        append(fixed: entry.key.low)
        append(fixed: entry.key.high)
        append(fixed: entry.digest)
        if entry.state == .parked {
            append(byte: entry.parkedReason?.rawValue ?? 0)
        } else {
            append(UInt64(entry.baseCost))
            append(UInt64(entry.fee))
            if entry.allowanceUsed != 0 {
                append(UInt64(entry.allowanceUsed))
                append(Int64(entry.month.count))
            }
            append(entry.ruleNumber)
            append(entry.ruleVersion)
            append(entry.catalogueVersion)
        }
        append(entry.balanceAfter)
        append(UInt64(draws.count))
        for draw in draws {
            append(draw.grant)
            append(UInt64(draw.amount))
        }
        append(bytes: entry.content)
        endEntry(from: start)
    }

    mutating func append(time: Timestamp, _ entry: GrantEntry) {
        let start = beginEntry(.granted)
        append(time.microseconds)
        append(entry.wallet)
        append(byte: entry.kind.rawValue)
        append(UInt64(entry.burnOrder))
        append(UInt64(entry.amount))
        append(UInt64(entry.debtRepaid))
        append(entry.expiresAt.microseconds)
        append(byte: entry.key == nil ? 0 : 1)
        if let key = entry.key {
            append(fixed: key.low)
            append(fixed: key.high)
            append(fixed: entry.digest)
        }
        append(entry.balanceAfter)
        append(prefixed: entry.path)
        append(prefixed: entry.source)
        append(prefixed: entry.metadata)
        append(prefixed: entry.idempotencyKey)
        endEntry(from: start)
    }

    mutating func append(time: Timestamp, _ entry: GrantEndedEntry) {
        let start = beginEntry(.grantEnded)
        append(time.microseconds)
        append(entry.wallet)
        append(entry.grant)
        append(UInt64(entry.amount))
        append(byte: entry.cause.rawValue)
        append(entry.balanceAfter)
        append(prefixed: entry.path)
        endEntry(from: start)
    }

    mutating func append(time: Timestamp, _ entry: AccountOpenedEntry) {
        let start = beginEntry(.accountOpened)
        append(time.microseconds)
        append(entry.account)
        append(byte: (entry.ownsWallet ? 1 : 0) | (entry.unlimited ? 2 : 0))
        append(UInt64(entry.overdraftLimit))
        append(prefixed: entry.path)
        append(prefixed: entry.tier)
        endEntry(from: start)
    }

    mutating func append(time: Timestamp, _ entry: AccountChangedEntry) {
        let start = beginEntry(.accountChanged)
        append(time.microseconds)
        append(entry.account)
        append(byte: entry.status.rawValue)
        append(byte: entry.unlimited ? 1 : 0)
        append(UInt64(entry.overdraftLimit))
        append(prefixed: entry.path)
        append(prefixed: entry.tier)
        append(prefixed: entry.reason)
        endEntry(from: start)
    }
}

// MARK: - Reading

extension ByteUnpacker {
    mutating func timestamp() throws(UnpackingError) -> Timestamp {
        Timestamp(microseconds: try signed())
    }

    mutating func unsigned32() throws(UnpackingError) -> UInt32 {
        let start = offset
        guard let value = UInt32(exactly: try unsigned()) else { throw UnpackingError(offset: start) }
        return value
    }

    /// An amount that is never negative.
    mutating func amount() throws(UnpackingError) -> Int64 {
        let start = offset
        guard let value = Int64(exactly: try unsigned()) else { throw UnpackingError(offset: start) }
        return value
    }

    /// A byte of flags. A flag from the future changes what follows, so it is not skipped.
    mutating func flags(max: UInt8) throws(UnpackingError) -> UInt8 {
        let start = offset
        let flags = try byte()
        guard flags <= max else { throw UnpackingError(offset: start) }
        return flags
    }

    /// Nothing comes after the last field: what does was written by a version that knows more.
    func end() throws(UnpackingError) {
        guard isAtEnd else { throw UnpackingError(offset: offset) }
    }

    /// Reads the fields of a charge; the draws go to `draws`, which is emptied first.
    mutating func charge(draws: inout [Draw]) throws(UnpackingError) -> (Timestamp, ChargeEntry) {
        var entry = ChargeEntry()
        let flags = try flags(max: 15)
        entry.state = flags & 1 == 0 ? .charged : .parked
        entry.standardTierUsed = flags & 2 != 0
        let time = try timestamp()
        entry.account = try unsigned32()
        entry.wallet = entry.account
        if flags & 4 != 0 {
            entry.wallet = try unsigned32()
            let at = offset
            guard let count = UInt8(exactly: try unsigned()) else { throw UnpackingError(offset: at) }
            entry.walletPathCount = Int(count)
        }
        entry.tier = try prefixed()
        let low = try fixed()
        entry.key = Hash128(low: low, high: try fixed())
        entry.digest = try fixed()
        if entry.state == .parked {
            let at = offset
            guard let reason = Reason(rawValue: try byte()) else { throw UnpackingError(offset: at) }
            entry.parkedReason = reason
        } else {
            entry.baseCost = try amount()
            entry.fee = try amount()
            if flags & 8 != 0 {
                entry.allowanceUsed = try amount()
                let at = offset
                guard let month = CalendarMonth(stored: try signed()), entry.allowanceUsed <= entry.fee
                else { throw UnpackingError(offset: at) }
                entry.month = month
            }
            entry.ruleNumber = try unsigned32()
            entry.ruleVersion = try unsigned32()
            entry.catalogueVersion = try unsigned32()
        }
        entry.balanceAfter = try signed()
        draws.removeAll(keepingCapacity: true)
        let drawCount = try unsigned()
        guard drawCount <= UInt64(view.count - offset) else { throw UnpackingError(offset: offset) }
        for _ in 0..<drawCount {
            let grant = try unsigned()
            draws.append(Draw(grant: grant, amount: try amount()))
        }
        entry.content = try bytes(view.count - offset)
        return (time, entry)
    }

    mutating func grant() throws(UnpackingError) -> (Timestamp, GrantEntry) {
        var entry = GrantEntry()
        let time = try timestamp()
        entry.wallet = try unsigned32()
        let at = offset
        guard let kind = GrantKind(rawValue: try byte()), let order = UInt16(exactly: try unsigned())
        else { throw UnpackingError(offset: at) }
        entry.kind = kind
        entry.burnOrder = order
        entry.amount = try amount()
        entry.debtRepaid = try amount()
        guard entry.debtRepaid <= entry.amount else { throw UnpackingError(offset: at) }
        entry.expiresAt = try timestamp()
        if try flags(max: 1) == 1 {
            let low = try fixed()
            entry.key = Hash128(low: low, high: try fixed())
            entry.digest = try fixed()
        }
        entry.balanceAfter = try signed()
        entry.path = try prefixed()
        entry.source = try prefixed()
        entry.metadata = try prefixed()
        entry.idempotencyKey = try prefixed()
        try end()
        return (time, entry)
    }

    mutating func grantEnded() throws(UnpackingError) -> (Timestamp, GrantEndedEntry) {
        var entry = GrantEndedEntry()
        let time = try timestamp()
        entry.wallet = try unsigned32()
        entry.grant = try unsigned()
        entry.amount = try amount()
        let at = offset
        guard let cause = GrantEndedEntry.Cause(rawValue: try byte()) else {
            throw UnpackingError(offset: at)
        }
        entry.cause = cause
        entry.balanceAfter = try signed()
        entry.path = try prefixed()
        try end()
        return (time, entry)
    }

    mutating func accountOpened() throws(UnpackingError) -> (Timestamp, AccountOpenedEntry) {
        var entry = AccountOpenedEntry()
        let time = try timestamp()
        entry.account = try unsigned32()
        let flags = try flags(max: 3)
        entry.ownsWallet = flags & 1 != 0
        entry.unlimited = flags & 2 != 0
        entry.overdraftLimit = try amount()
        entry.path = try prefixed()
        entry.tier = try prefixed()
        try end()
        return (time, entry)
    }

    mutating func accountChanged() throws(UnpackingError) -> (Timestamp, AccountChangedEntry) {
        var entry = AccountChangedEntry()
        let time = try timestamp()
        entry.account = try unsigned32()
        let at = offset
        guard let status = AccountStatus(rawValue: try byte()) else { throw UnpackingError(offset: at) }
        entry.status = status
        entry.unlimited = try flags(max: 1) == 1
        entry.overdraftLimit = try amount()
        entry.path = try prefixed()
        entry.tier = try prefixed()
        entry.reason = try prefixed()
        try end()
        return (time, entry)
    }
}

/// Walks the entries of a chunk.
public struct ChunkReader: Sendable {
    public let head: ChunkHead
    private var unpacker: ByteUnpacker
    private var draws: [Draw] = []
    private(set) var read = 0

    /// Reads the head of the chunk that is the whole of `view`.
    public init(_ view: ByteView) throws(EntryError) {
        unpacker = ByteUnpacker(view)
        do throws(UnpackingError) {
            let shard = try unpacker.unsigned()
            let first = try unpacker.unsigned()
            let count = try unpacker.unsigned()
            // Sequences begin at 1, and no shard ever comes near 2^62.
            guard shard < 65_536, first > 0, first < 1 << 62, count <= UInt64(view.count)
            else { throw UnpackingError(offset: 0) }
            head = ChunkHead(shard: Int(shard), firstSequence: first, count: Int(count))
        } catch {
            throw .truncated(atByte: error.offset)
        }
    }

    /// The sequence of the entry that comes next.
    public var nextSequence: UInt64 { head.firstSequence + UInt64(read) }

    /// The kind and fields of the next entry, or nil after the last.
    mutating func nextFields() throws(EntryError) -> (EntryKind, ByteView)? {
        guard read < head.count else {
            guard unpacker.isAtEnd else { throw .truncated(atByte: unpacker.offset) }
            return nil
        }
        let start = unpacker.offset
        let body: ByteView
        do {
            body = try unpacker.prefixed()
        } catch {
            throw .truncated(atByte: start)
        }
        guard body.count >= 1 else { throw .truncated(atByte: start) }
        guard let kind = EntryKind(rawValue: body[0]) else { throw .unknownKind(body[0], atByte: start) }
        read += 1
        return (kind, body[1..<body.count])
    }

    /// The next entry with its time, or nil after the last.
    public mutating func next() throws(EntryError) -> (Timestamp, Entry)? {
        guard let (kind, body) = try nextFields() else { return nil }
        var fields = ByteUnpacker(body)
        do {
            switch kind {
            case .charged:
                let (time, entry) = try fields.charge(draws: &draws)
                return (time, .charged(entry, draws: draws))
            case .granted:
                let (time, entry) = try fields.grant()
                return (time, .granted(entry))
            case .grantEnded:
                let (time, entry) = try fields.grantEnded()
                return (time, .grantEnded(entry))
            case .accountOpened:
                let (time, entry) = try fields.accountOpened()
                return (time, .accountOpened(entry))
            case .accountChanged:
                let (time, entry) = try fields.accountChanged()
                return (time, .accountChanged(entry))
            }
        } catch {
            throw .badField(kind: kind.rawValue, atByte: error.offset)
        }
    }
}
