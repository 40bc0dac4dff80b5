// The bytes of a parked record's end, and what an outcome's history row keeps beside its columns.
//
//      parked sequence | flags | reason | actor | the fields of a charge
//
//      extra:  draws: count, then grant and amount of each
//              | for an end: parked sequence, flags, reason, actor, and the link to an orphan's charge if there is one
//              | for what settled a hold: 0, which is no sequence, and what the hold had kept; for the charge of its
//                orphan the policy behind that
//              | for what corrects an orphan's charge: 0, 0, 0, which is no policy, and the link

import Bytes
import Pricing

extension BytePacker {
    mutating func append(time: Timestamp, _ entry: ParkedEndEntry, kind: EntryKind) {
        let start = beginEntry(kind)
        append(entry.parkedSequence)
        append(byte: entry.isCorrected ? 1 : 0)
        append(prefixed: entry.reason)
        append(prefixed: entry.actor)
        append(bytesMax: Self.bytesMax(entry.charge)) { packer in
            Self.append(time: time, entry.charge, to: &packer)
        }
        endEntry(from: start)
    }
}

extension ByteUnpacker {
    mutating func parkedEnd() throws(UnpackingError) -> (Timestamp, ParkedEndEntry) {
        var entry = ParkedEndEntry()
        entry.parkedSequence = try unsigned()
        entry.isCorrected = try flags(max: 1) == 1
        entry.reason = try prefixed()
        entry.actor = try prefixed()
        let (time, charge) = try charge()
        entry.charge = charge
        return (time, entry)
    }
}

/// What an outcome's history row keeps beside its columns.
public struct OutcomeDetails: Hashable, Sendable {
    /// What each grant paid, in burn order.
    public var draws: [Draw] = []
    public var end: ParkedEnd?
    /// What the hold that this settled had kept, in nanocredits; nil without, and where it was not written down.
    public var holdReleased: Int64?
    /// For the charge of an orphan, the policy that said what is charged.
    public var orphanPolicy: OrphanPolicy?
    /// For a report that came after all, the charge that it corrects.
    public var orphan: OrphanLink?

    /// What a settlement or a discard says of the parked record that it ends.
    public struct ParkedEnd: Hashable, Sendable {
        public var parkedSequence: UInt64
        public var isCorrected: Bool
        public var reason: String
        public var actor: String
    }

    /// Appends the details of a charge; nothing where no grant paid and nothing ends. What ends a parked record
    /// settles no hold: the report that parked it did.
    public static func append(
        _ charge: ChargeEntry, end: ParkedEndEntry? = nil, orphanedBy policy: OrphanPolicy? = nil,
        to packer: inout BytePacker
    ) {
        guard charge.draws.count > 0 || end != nil || charge.hold != nil || charge.orphan != nil else {
            return
        }
        packer.append(UInt64(charge.draws.count))
        packer.append(bytes: charge.draws.bytes)
        guard let end else {
            if charge.hold != nil {
                packer.append(UInt64(0))
                packer.append(UInt64(charge.holdReleased))
                if let policy { packer.append(byte: policy.rawValue) }
            } else if let orphan = charge.orphan {
                packer.append(UInt64(0))
                packer.append(UInt64(0))
                packer.append(byte: 0)
                packer.append(orphan)
            }
            return
        }
        packer.append(end.parkedSequence)
        packer.append(byte: end.isCorrected ? 1 : 0)
        packer.append(prefixed: end.reason)
        packer.append(prefixed: end.actor)
        if let orphan = charge.orphan { packer.append(orphan) }
    }

    /// Reads details back; bytes of none are none.
    public init(reading bytes: ByteView) throws(UnpackingError) {
        if bytes.isEmpty { return }
        var fields = ByteUnpacker(bytes)
        let count = try fields.unsigned()
        guard count <= UInt64(bytes.count) else { throw UnpackingError(offset: 0) }
        for _ in 0..<count { draws.append(try fields.draw()) }
        if fields.isAtEnd { return }
        let parkedSequence = try fields.unsigned()
        if parkedSequence == 0 {
            let released = try fields.amount()
            if fields.isAtEnd {
                holdReleased = released
                return
            }
            let at = fields.offset
            let word = try fields.byte()
            if word == 0 {
                orphan = try fields.orphanLink()
            } else {
                guard let policy = OrphanPolicy(rawValue: word) else { throw UnpackingError(offset: at) }
                (holdReleased, orphanPolicy) = (released, policy)
            }
            try fields.end()
            return
        }
        end = ParkedEnd(
            parkedSequence: parkedSequence, isCorrected: try fields.flags(max: 1) == 1,
            reason: try fields.prefixed().text, actor: try fields.prefixed().text)
        if !fields.isAtEnd { orphan = try fields.orphanLink() }
        try fields.end()
    }
}
