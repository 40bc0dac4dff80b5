// What a hold is for, as far as its request says: the usage that it was priced from, and what that came to.
//
// Growing a hold asks which grants may pay for it, and the end of its lease may charge it; both need the names. The
// bytes are the same in the journal, in a checkpoint and in memory.
//
//      record: the canonical form of provider, model and, with an orphan charge, event time, service tier and counts
//      | with an orphan charge: tier | rule | rule version | catalogue version | base cost | flags

import Bytes
import Pricing

/// What a hold is for. The views point into the bytes it was read from.
struct HoldUse: ~Copyable {
    /// Provider and model; with an orphan charge the usage that it stands for.
    var record = UsageRecord()
    /// What the usage of an orphan charge was priced by, and its cost in picodollars.
    var tier = ByteView()
    var ruleNumber: UInt32 = 0
    var ruleVersion: UInt32 = 0
    var catalogueVersion: UInt32 = 0
    var baseCost: Int64 = 0
    var standardTierUsed = false

    init() {}

    /// Appends the bytes of what names a record's provider and model and charges nothing.
    static func append(namesOf record: borrowing UsageRecord, to packer: inout BytePacker) {
        append(to: &packer) {
            RecordContent.append(provider: record.provider, model: record.model, to: &$0)
        }
    }

    /// Appends the bytes of what the lease's end charges.
    func append(to packer: inout BytePacker) {
        Self.append(to: &packer) { RecordContent.append(record, to: &$0) }
        packer.append(prefixed: tier)
        packer.append(ruleNumber)
        packer.append(ruleVersion)
        packer.append(catalogueVersion)
        packer.append(UInt64(baseCost))
        packer.append(byte: standardTierUsed ? 1 : 0)
    }

    /// Appends a record with its length in front of it.
    @inline(__always)
    private static func append(to packer: inout BytePacker, record: (inout BytePacker) -> Void) {
        let start = packer.count
        packer.append(byte: 0)
        packer.append(byte: 0)
        record(&packer)
        packer.setPackedLength(at: start, length: packer.count - start - 2)
    }

    init(reading bytes: ByteView) throws(UnpackingError) {
        if bytes.isEmpty { return }
        guard bytes.count <= Int(UInt16.max) else { throw UnpackingError(offset: 0) }
        var fields = ByteUnpacker(bytes)
        record = try RecordContent.read(try fields.prefixed())
        if fields.isAtEnd { return }
        tier = try fields.prefixed()
        ruleNumber = try fields.unsigned32()
        ruleVersion = try fields.unsigned32()
        catalogueVersion = try fields.unsigned32()
        baseCost = try fields.amount()
        standardTierUsed = try fields.flags(max: 1) == 1
        try fields.end()
    }

    /// Reads bytes that were read before.
    init(checked bytes: ByteView) {
        do throws(UnpackingError) {
            try self.init(reading: bytes)
        } catch {
            preconditionFailure("what a hold is for was read before, yet \(error)")
        }
    }
}

extension RecordContent {
    /// Appends what a hold keeps of the usage that it was priced from, unless the end of its lease charges it.
    public static func append(holdNamesOf record: borrowing UsageRecord, to packer: inout BytePacker) {
        HoldUse.append(namesOf: record, to: &packer)
    }
}

extension UsageRecord {
    /// What it would be if nothing came out.
    borrowing func inputOnly() -> UsageRecord {
        var input = copy()
        input.usage.outputTokens = 0
        input.usage.reasoningTokens = 0
        input.usage.outputAudioTokens = 0
        input.usage.outputImageTokens = 0
        return input
    }

    /// What an estimate says of itself alone: when, what, how much, on which tier.
    borrowing func estimate() -> UsageRecord {
        var estimate = UsageRecord()
        estimate.eventTime = eventTime
        estimate.provider = provider
        estimate.model = model
        estimate.serviceTier = serviceTier
        estimate.usage = usage
        return estimate
    }
}
