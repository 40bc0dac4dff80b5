// What the ledger writes down of holds, and the bytes of it.
//
//      held        time | account | wallet | its path's bytes | key | digest | amount | lease end | words | tokens
//                  | provider | model (hashes) | account's path | id
//                  | if it says what for, or charges its orphan: orphan policy | orphan charge | what for (HoldUse)
//      hold ended  time | key | cause | amount | account's path | id | reason | the wallet's path's bytes
//      hold changed  time | key | amount | lease end | account's path | id | the wallet's path's bytes
//      orphaned    orphan policy | the fields of a charge

import Bytes
import Pricing

/// A hold opened.
public struct HoldOpenedEntry: Sendable {
    public var account: UInt32 = 0
    public var wallet: UInt32 = 0
    /// The wallet is the account itself or above it: its path is the account's first so many bytes.
    public var walletPathCount = 0
    public var key = Hash128(low: 0, high: 0)
    public var digest: UInt64 = 0
    /// Nanocredits.
    public var amount: Int64 = 0
    public var expiresAt = Timestamp.distantPast
    public var source = CredentialSource.platform
    public var policy = HoldPolicy.strict
    /// What it is for, as far as it says: tokens at the most, and hashes of the names, 0 without.
    public var tokens: Int64 = 0
    public var provider: UInt64 = 0
    public var model: UInt64 = 0
    public var path = ByteView()
    public var id = ByteView()
    /// What the end of its lease charges if no report has come, in nanocredits.
    public var orphan = OrphanPolicy.release
    public var orphanCharge: Int64 = 0
    /// See `HoldUse`.
    var use = ByteView()

    public init() {}
}

/// A hold whose lease ended without a report: released, and charged by its policy in one step. The charge's key is the
/// hold's, its record names the hold and has the usage that was estimated.
public struct OrphanedEntry: Sendable {
    public var policy = OrphanPolicy.fullHold
    public var charge = ChargeEntry()

    public init() {}
}

/// What the end of a hold's lease charged, where the report comes after all. Amounts are in nanocredits.
public struct OrphanLink: Hashable, Sendable, BitwiseCopyable {
    /// The hold's key.
    public var hold: Hash128
    /// The entry that charged it.
    public var sequence: UInt64
    /// What of it stands: less what was refunded. Of a report that is parked all of it.
    public var charge: Int64
    /// What budgets on tokens counted of it.
    public var tokens: Int64
    /// The wallet that paid.
    public var wallet: UInt32
}

/// A hold released without a charge.
public struct HoldEndedEntry: Sendable {
    public var key = Hash128(low: 0, high: 0)
    /// Voided or expired; a hold that was settled ended with its charge.
    public var state = HoldState.voided
    /// Nanocredits released.
    public var amount: Int64 = 0
    public var path = ByteView()
    /// The wallet is the account itself or above it, as in the entry that opened the hold; nil in entries from before
    /// it was written down.
    public var walletPathCount: Int?
    public var id = ByteView()
    /// Why, for a person.
    public var reason = ByteView()

    public init() {}
}

/// A hold prolonged, or grown.
public struct HoldChangedEntry: Sendable {
    public var key = Hash128(low: 0, high: 0)
    /// Nanocredits from now on.
    public var amount: Int64 = 0
    public var expiresAt = Timestamp.distantPast
    public var path = ByteView()
    /// As in `HoldEndedEntry`.
    public var walletPathCount: Int?
    public var id = ByteView()

    public init() {}
}

extension PackCursor {
    /// A link takes two fixed words and four numbers.
    mutating func append(_ link: OrphanLink) {
        append(fixed: link.hold.low)
        append(fixed: link.hold.high)
        append(link.sequence)
        append(UInt64(link.charge))
        append(UInt64(link.tokens))
        append(link.wallet)
    }
}

extension BytePacker {
    mutating func append(key: Hash128) {
        append(fixed: key.low)
        append(fixed: key.high)
    }

    mutating func append(time: Timestamp, _ entry: HoldOpenedEntry) {
        let start = count
        // A head, five fixed words, and numbers and bytes for which this is more than enough, beside the texts.
        let bytesMax = entry.path.count + entry.id.count + entry.use.count + 64
        append(bytesMax: bytesMax + 14 * BytePacker.numberBytesMax) { packer in
            packer.append(byte: 0)
            packer.append(byte: 0)
            packer.append(byte: EntryKind.held.rawValue)
            packer.append(time.microseconds)
            packer.append(entry.account)
            packer.append(entry.wallet)
            packer.append(UInt64(entry.walletPathCount))
            packer.append(fixed: entry.key.low)
            packer.append(fixed: entry.key.high)
            packer.append(fixed: entry.digest)
            packer.append(UInt64(entry.amount))
            packer.append(entry.expiresAt.microseconds)
            packer.append(byte: (entry.source == .byok ? 1 : 0) | entry.policy.rawValue << 1)
            packer.append(UInt64(entry.tokens))
            packer.append(fixed: entry.provider)
            packer.append(fixed: entry.model)
            packer.append(prefixed: entry.path)
            packer.append(prefixed: entry.id)
            if entry.orphan == .release, entry.use.isEmpty { return }
            packer.append(byte: entry.orphan.rawValue)
            packer.append(UInt64(entry.orphanCharge))
            packer.append(prefixed: entry.use)
        }
        endEntry(from: start)
    }

    mutating func append(time: Timestamp, _ entry: OrphanedEntry) {
        let start = beginEntry(.holdOrphaned)
        append(byte: entry.policy.rawValue)
        append(bytesMax: Self.bytesMax(entry.charge)) { packer in
            Self.append(time: time, entry.charge, to: &packer)
        }
        endEntry(from: start)
    }

    mutating func append(_ link: OrphanLink) {
        append(bytesMax: 16 + 4 * BytePacker.numberBytesMax) { $0.append(link) }
    }

    mutating func append(time: Timestamp, _ entry: HoldEndedEntry) {
        let start = beginEntry(.holdEnded)
        append(time.microseconds)
        append(key: entry.key)
        append(byte: entry.state.rawValue)
        append(UInt64(entry.amount))
        append(prefixed: entry.path)
        append(prefixed: entry.id)
        append(prefixed: entry.reason)
        if let count = entry.walletPathCount { append(UInt64(count)) }
        endEntry(from: start)
    }

    mutating func append(time: Timestamp, _ entry: HoldChangedEntry) {
        let start = beginEntry(.holdChanged)
        append(time.microseconds)
        append(key: entry.key)
        append(UInt64(entry.amount))
        append(entry.expiresAt.microseconds)
        append(prefixed: entry.path)
        append(prefixed: entry.id)
        if let count = entry.walletPathCount { append(UInt64(count)) }
        endEntry(from: start)
    }
}

extension ByteUnpacker {
    mutating func key() throws(UnpackingError) -> Hash128 {
        let low = try fixed()
        return Hash128(low: low, high: try fixed())
    }

    mutating func holdOpened() throws(UnpackingError) -> (Timestamp, HoldOpenedEntry) {
        var entry = HoldOpenedEntry()
        let time = try timestamp()
        entry.account = try unsigned32()
        entry.wallet = try unsigned32()
        let countAt = offset
        let pathCount = try unsigned()
        entry.key = try key()
        entry.digest = try fixed()
        entry.amount = try amount()
        entry.expiresAt = try timestamp()
        let words = try flags(max: 3)
        entry.source = words & 1 == 0 ? .platform : .byok
        entry.policy = words & 2 == 0 ? .strict : .clip
        entry.tokens = try amount()
        entry.provider = try fixed()
        entry.model = try fixed()
        entry.path = try prefixed()
        entry.id = try holdID()
        guard entry.amount <= HoldLimits.amountMax, pathCount <= UInt64(entry.path.count) else {
            throw UnpackingError(offset: countAt)
        }
        entry.walletPathCount = Int(pathCount)
        if !isAtEnd {
            (entry.orphan, entry.orphanCharge) = try orphan(of: entry.amount)
            entry.use = try prefixed()
            _ = try HoldUse(reading: entry.use)
        }
        try end()
        return (time, entry)
    }

    /// The orphan policy of a hold, and what it charges.
    mutating func orphan(of amount: Int64) throws(UnpackingError) -> (OrphanPolicy, Int64) {
        let at = offset
        guard let policy = OrphanPolicy(rawValue: try byte()) else { throw UnpackingError(offset: at) }
        let charge = try self.amount()
        guard charge <= amount, policy != .release || charge == 0 else { throw UnpackingError(offset: at) }
        return (policy, charge)
    }

    mutating func orphaned() throws(UnpackingError) -> (Timestamp, OrphanedEntry) {
        var entry = OrphanedEntry()
        let at = offset
        guard let policy = OrphanPolicy(rawValue: try byte()), policy != .release else {
            throw UnpackingError(offset: at)
        }
        entry.policy = policy
        let (time, charge) = try charge()
        entry.charge = charge
        guard charge.state == .charged, charge.hold == charge.key, charge.orphan == nil,
            charge.charge <= charge.holdReleased
        else { throw UnpackingError(offset: at) }
        return (time, entry)
    }

    mutating func orphanLink() throws(UnpackingError) -> OrphanLink {
        let hold = try key()
        let sequence = try unsigned()
        let at = offset
        let charge = try amount()
        let tokens = try amount()
        guard charge <= HoldLimits.amountMax, tokens <= RememberedOrphan.tokensMax else {
            throw UnpackingError(offset: at)
        }
        return OrphanLink(
            hold: hold, sequence: sequence, charge: charge, tokens: tokens, wallet: try unsigned32())
    }

    mutating func holdEnded() throws(UnpackingError) -> (Timestamp, HoldEndedEntry) {
        var entry = HoldEndedEntry()
        let time = try timestamp()
        entry.key = try key()
        let at = offset
        guard let state = HoldState(rawValue: try byte()), state == .voided || state == .expired else {
            throw UnpackingError(offset: at)
        }
        entry.state = state
        entry.amount = try amount()
        entry.path = try prefixed()
        entry.id = try holdID()
        entry.reason = try prefixed()
        entry.walletPathCount = try walletPathCount(of: entry.path)
        try end()
        return (time, entry)
    }

    /// How much of a path is its wallet's, where that is written down: the last field.
    private mutating func walletPathCount(of path: ByteView) throws(UnpackingError) -> Int? {
        if isAtEnd { return nil }
        let at = offset
        let count = try unsigned()
        guard count <= UInt64(path.count) else { throw UnpackingError(offset: at) }
        return Int(count)
    }

    mutating func holdChanged() throws(UnpackingError) -> (Timestamp, HoldChangedEntry) {
        var entry = HoldChangedEntry()
        let time = try timestamp()
        entry.key = try key()
        let at = offset
        entry.amount = try amount()
        guard entry.amount <= HoldLimits.amountMax else { throw UnpackingError(offset: at) }
        entry.expiresAt = try timestamp()
        entry.path = try prefixed()
        entry.id = try holdID()
        entry.walletPathCount = try walletPathCount(of: entry.path)
        try end()
        return (time, entry)
    }

    mutating func holdID() throws(UnpackingError) -> ByteView {
        let at = offset
        let id = try prefixed()
        guard id.count >= 1, id.count <= HoldLimits.idBytesMax else { throw UnpackingError(offset: at) }
        return id
    }
}
