// What administrators do to credit, as entries: who, why, under which key, beside what moved.
//
//      act:           key? and digest | idempotency key | actor | reason | metadata
//      deducted:      time | wallet | cause | amount | balance after | path | service | other | draws | act
//      grantVoided:   the fields of a grant's end | act
//      noted:         time | account | amount | path | charge? | act
//      grantedByAct, transferredIn, givenBack:  flags | actor | reason | charge? | other? | filter? | the fields of a grant
//      charge:        sequence | charged | request id

import Bytes
import Pricing

/// The charge that a refund or a note is about.
public struct ChargeLink: Sendable {
    /// The entry that charged it.
    public var sequence: UInt64
    /// What it came to, in nanocredits.
    public var charged: Int64
    public var requestID: ByteView

    public init(sequence: UInt64, charged: Int64, requestID: ByteView) {
        self.sequence = sequence
        self.charged = charged
        self.requestID = requestID
    }
}

/// Who did something, why, and under which key.
public struct ActDetails: Sendable {
    /// The keyed hash of the idempotency key, and the digest of the act; nil when made without.
    public var key: Hash128?
    public var digest: UInt64 = 0
    public var idempotencyKey = ByteView()
    public var actor = ByteView()
    public var reason = ByteView()
    /// JSON, kept as given; empty without.
    public var metadata = ByteView()

    public init() {}
}

/// Credit taken by hand. It draws on grants like a charge; what they do not cover is debt.
public struct DeductEntry: Sendable {
    public enum Cause: UInt8, Hashable, Sendable, CaseIterable {
        case manual = 1
        /// What was left when the account was closed, taken back.
        case forfeited = 2
        /// Given to another account by the entry that follows.
        case transferred = 3
    }
    public var wallet: UInt32 = 0
    /// The wallet's path.
    public var path = ByteView()
    public var cause = Cause.manual
    /// Nanocredits, above zero.
    public var amount: Int64 = 0
    public var balanceAfter: Int64 = 0
    /// What for, in a word.
    public var service = ByteView()
    /// The account that a transfer goes to.
    public var other = ByteView()
    public var draws = PackedDraws()
    public var act = ActDetails()

    public init() {}
}

/// Something written down that moves nothing: a charge that was too low, and stays.
public struct NotedEntry: Sendable {
    public var account: UInt32 = 0
    public var path = ByteView()
    /// Nanocredits that were not charged.
    public var amount: Int64 = 0
    public var charge: ChargeLink?
    public var act = ActDetails()

    public init() {}
}

extension GrantEntry {
    /// Whether the first version of the entry can say it.
    var kindOfEntry: EntryKind {
        if !transferredFrom.isEmpty { return .transferredIn }
        if isGivenBack { return .givenBack }
        let isPlain = actor.isEmpty && reason.isEmpty && refundOf == nil && filter.isEmpty
        return isPlain ? .granted : .grantedByAct
    }
}

// MARK: - Writing

extension BytePacker {
    mutating func append(_ act: ActDetails) {
        append(byte: act.key == nil ? 0 : 1)
        if let key = act.key {
            append(fixed: key.low)
            append(fixed: key.high)
            append(fixed: act.digest)
        }
        append(prefixed: act.idempotencyKey)
        append(prefixed: act.actor)
        append(prefixed: act.reason)
        append(prefixed: act.metadata)
    }

    mutating func append(_ charge: ChargeLink) {
        append(charge.sequence)
        append(UInt64(charge.charged))
        append(prefixed: charge.requestID)
    }

    /// What a grant says beyond the first version, before its fields.
    mutating func appendExtras(_ entry: GrantEntry) {
        let flags = [entry.refundOf != nil, !entry.transferredFrom.isEmpty, !entry.filter.isEmpty]
        append(byte: flags.indices.reduce(0) { flags[$1] ? $0 | 1 << UInt8($1) : $0 })
        append(prefixed: entry.actor)
        append(prefixed: entry.reason)
        if let charge = entry.refundOf { append(charge) }
        if !entry.transferredFrom.isEmpty { append(prefixed: entry.transferredFrom) }
        if !entry.filter.isEmpty { append(prefixed: entry.filter) }
    }

    mutating func append(time: Timestamp, _ entry: DeductEntry) {
        let start = beginEntry(.deducted)
        append(time.microseconds)
        append(entry.wallet)
        append(byte: entry.cause.rawValue)
        append(UInt64(entry.amount))
        append(entry.balanceAfter)
        append(prefixed: entry.path)
        append(prefixed: entry.service)
        append(prefixed: entry.other)
        append(UInt64(entry.draws.count))
        append(bytes: entry.draws.bytes)
        append(entry.act)
        endEntry(from: start)
    }

    mutating func append(time: Timestamp, _ entry: NotedEntry) {
        let start = beginEntry(.noted)
        append(time.microseconds)
        append(entry.account)
        append(UInt64(entry.amount))
        append(prefixed: entry.path)
        append(byte: entry.charge == nil ? 0 : 1)
        if let charge = entry.charge { append(charge) }
        append(entry.act)
        endEntry(from: start)
    }
}

// MARK: - Reading

extension ByteUnpacker {
    mutating func actDetails() throws(UnpackingError) -> ActDetails {
        var act = ActDetails()
        if try flags(max: 1) == 1 {
            act.key = try key()
            act.digest = try fixed()
        }
        act.idempotencyKey = try prefixed()
        act.actor = try prefixed()
        act.reason = try prefixed()
        act.metadata = try prefixed()
        return act
    }

    mutating func chargeLink() throws(UnpackingError) -> ChargeLink {
        let sequence = try unsigned()
        let charged = try amount()
        return ChargeLink(sequence: sequence, charged: charged, requestID: try prefixed())
    }

    mutating func packedDraws() throws(UnpackingError) -> PackedDraws {
        let count = try unsigned()
        guard count <= UInt64(view.count - offset) else { throw UnpackingError(offset: offset) }
        let start = offset
        for _ in 0..<count { _ = try draw() }
        return PackedDraws(count: Int(count), bytes: view[start..<offset])
    }

    mutating func grantByAct() throws(UnpackingError) -> (Timestamp, GrantEntry) {
        let flags = try flags(max: 7)
        let actor = try prefixed()
        let reason = try prefixed()
        let charge = flags & 1 == 0 ? nil : try chargeLink()
        let other = flags & 2 == 0 ? ByteView() : try prefixed()
        let filter = flags & 4 == 0 ? ByteView() : try prefixed()
        _ = try GrantFilter(reading: filter)
        var (time, entry) = try grant()
        entry.actor = actor
        entry.reason = reason
        entry.refundOf = charge
        entry.transferredFrom = other
        entry.filter = filter
        return (time, entry)
    }

    mutating func deducted() throws(UnpackingError) -> (Timestamp, DeductEntry) {
        var entry = DeductEntry()
        let time = try timestamp()
        entry.wallet = try unsigned32()
        let at = offset
        guard let cause = DeductEntry.Cause(rawValue: try byte()) else { throw UnpackingError(offset: at) }
        entry.cause = cause
        entry.amount = try amount()
        entry.balanceAfter = try signed()
        entry.path = try prefixed()
        entry.service = try prefixed()
        entry.other = try prefixed()
        entry.draws = try packedDraws()
        entry.act = try actDetails()
        try end()
        return (time, entry)
    }

    mutating func noted() throws(UnpackingError) -> (Timestamp, NotedEntry) {
        var entry = NotedEntry()
        let time = try timestamp()
        entry.account = try unsigned32()
        entry.amount = try amount()
        entry.path = try prefixed()
        if try flags(max: 1) == 1 { entry.charge = try chargeLink() }
        entry.act = try actDetails()
        try end()
        return (time, entry)
    }
}
