// The canonical form of a usage record: what a retry must repeat, byte for byte.
//
// The digest that tells a retry from a conflict is taken over this form, so it does not matter by
// which wire a record came or in which order its fields were sent. The journal keeps the same bytes,
// and the history and `explain` read them back.
//
//      +------------+---------+------------+-------+----------+-------+-------+---------------+
//      | event time | account | request id | words | provider | model | mask  | masked fields |
//      +------------+---------+------------+-------+----------+-------+-------+---------------+
//        packed       prefixed  prefixed     1 byte  prefixed   prefixed packed
//
// Words: bit 0 BYOK, bits 1-2 usage source, bits 3-4 outcome, bit 5 refuse. Mask bits 0-15: the counts
// that are not zero, in the order of `Usage`; then service tier, requested provider, model and tier,
// hold id, quote token, provider-reported cost, tags. A field that is absent takes no room.

import Bytes
import Pricing

/// Writes and reads the canonical form of a record.
public enum RecordContent {
    private static let serviceTierBit: UInt64 = 1 << 16
    private static let requestedProviderBit: UInt64 = 1 << 17
    private static let requestedModelBit: UInt64 = 1 << 18
    private static let requestedServiceTierBit: UInt64 = 1 << 19
    private static let holdIDBit: UInt64 = 1 << 20
    private static let quoteTokenBit: UInt64 = 1 << 21
    private static let reportedCostBit: UInt64 = 1 << 22
    private static let tagsBit: UInt64 = 1 << 23
    private static let maskMax: UInt64 = (1 << 24) - 1

    /// Appends the canonical form. The counts must be within 0...`Usage.countMax`.
    public static func append(_ record: borrowing UsageRecord, to packer: inout BytePacker) {
        packer.append(bytesMax: bytesMax(record)) { packer in append(record, to: &packer) }
    }

    /// What the canonical form of a record takes at the most.
    private static func bytesMax(_ record: borrowing UsageRecord) -> Int {
        let names = record.account.count + record.requestID.count + record.provider.count + record.model.count
        let optional =
            record.serviceTier.count + record.requestedProvider.count + record.requestedModel.count
            + record.requestedServiceTier.count + record.holdID.count + record.quoteToken.count
            + record.tags.count
        // Two numbers and a byte, a length for each of eleven texts, sixteen counts, and the reported cost.
        return names + optional + 32 * BytePacker.numberBytesMax
    }

    @inline(__always)
    private static func append(_ record: borrowing UsageRecord, to packer: inout PackCursor) {
        packer.append(record.eventTime.microseconds)
        packer.append(prefixed: record.account)
        packer.append(prefixed: record.requestID)
        var words: UInt8 = record.credentialSource == .byok ? 1 : 0
        words |= record.usageSource.rawValue &<< 1
        words |= record.outcome.rawValue &<< 3
        words |= record.onInsufficient.rawValue &<< 5
        packer.append(byte: words)
        packer.append(prefixed: record.provider)
        packer.append(prefixed: record.model)
        let mask = mask(of: record)
        packer.append(mask)
        append(record.usage.inputTokens, to: &packer)
        append(record.usage.outputTokens, to: &packer)
        append(record.usage.cacheReadTokens, to: &packer)
        if mask & rareCounts != 0 { appendRareCounts(record.usage, to: &packer) }
        if mask & ~0xffff == 0 { return }
        if !record.serviceTier.isEmpty { packer.append(prefixed: record.serviceTier) }
        if !record.requestedProvider.isEmpty { packer.append(prefixed: record.requestedProvider) }
        if !record.requestedModel.isEmpty { packer.append(prefixed: record.requestedModel) }
        if !record.requestedServiceTier.isEmpty { packer.append(prefixed: record.requestedServiceTier) }
        if !record.holdID.isEmpty { packer.append(prefixed: record.holdID) }
        if !record.quoteToken.isEmpty { packer.append(prefixed: record.quoteToken) }
        if let cost = record.providerReportedCost { packer.append(cost) }
        if !record.tags.isEmpty { packer.append(prefixed: record.tags) }
    }

    /// Appends the canonical form of a record that says nothing but provider and model.
    static func append(provider: ByteView, model: ByteView, to packer: inout BytePacker) {
        packer.append(bytesMax: provider.count + model.count + 7 * BytePacker.numberBytesMax) { packer in
            // Neither event time nor account nor request id; of the words each is the first.
            for _ in 0..<4 { packer.append(byte: 0) }
            packer.append(prefixed: provider)
            packer.append(prefixed: model)
            packer.append(byte: 0)
        }
    }

    /// Reads a record back; its views point into `content`.
    public static func read(_ content: ByteView) throws(UnpackingError) -> UsageRecord {
        var fields = ByteUnpacker(content)
        var record = UsageRecord()
        record.eventTime = try fields.timestamp()
        record.account = try fields.prefixed()
        record.requestID = try fields.prefixed()
        let at = fields.offset
        let words = try fields.byte()
        guard words < 1 << 6 else { throw UnpackingError(offset: at) }
        record.credentialSource = words & 1 == 1 ? .byok : .platform
        guard let source = UsageSource(rawValue: (words &>> 1) & 3),
            let outcome = RequestOutcome(rawValue: (words &>> 3) & 3),
            let policy = OnInsufficient(rawValue: (words &>> 5) & 1)
        else { throw UnpackingError(offset: at) }
        record.usageSource = source
        record.outcome = outcome
        record.onInsufficient = policy
        record.provider = try fields.prefixed()
        record.model = try fields.prefixed()
        let maskAt = fields.offset
        let mask = try fields.unsigned()
        // A bit from the future says that there is something here which would be misread.
        guard mask <= maskMax else { throw UnpackingError(offset: maskAt) }
        try readCounts(mask, into: &record.usage, from: &fields)
        if mask & serviceTierBit != 0 { record.serviceTier = try fields.prefixed() }
        if mask & requestedProviderBit != 0 { record.requestedProvider = try fields.prefixed() }
        if mask & requestedModelBit != 0 { record.requestedModel = try fields.prefixed() }
        if mask & requestedServiceTierBit != 0 { record.requestedServiceTier = try fields.prefixed() }
        if mask & holdIDBit != 0 { record.holdID = try fields.prefixed() }
        if mask & quoteTokenBit != 0 { record.quoteToken = try fields.prefixed() }
        if mask & reportedCostBit != 0 { record.providerReportedCost = try fields.signed() }
        if mask & tagsBit != 0 { record.tags = try fields.prefixed() }
        guard fields.isAtEnd else { throw UnpackingError(offset: fields.offset) }
        return record
    }

    /// What budgets count of a record.
    struct Counted {
        var provider: ByteView
        var model: ByteView
        /// Input and output, at most `Int64.max`.
        var tokens: Int64

        init(provider: ByteView, model: ByteView, tokens: Int64) {
            self.provider = provider
            self.model = model
            self.tokens = tokens
        }

        /// Of a record whose counts are within their limits.
        @inline(__always)
        init(_ record: borrowing UsageRecord) {
            provider = record.provider
            model = record.model
            tokens = record.usage.inputTokens + record.usage.outputTokens
        }
    }

    /// Input and output, at most `Int64.max`.
    static func tokens(of usage: Usage) -> Int64 {
        Int64(clamping: Int128(usage.inputTokens) + Int128(usage.outputTokens))
    }

    /// Reads what budgets count, and nothing behind it.
    static func counted(in content: ByteView) throws(UnpackingError) -> Counted {
        var fields = ByteUnpacker(content)
        _ = try fields.timestamp()
        _ = try fields.prefixed()
        _ = try fields.prefixed()
        _ = try fields.byte()
        let provider = try fields.prefixed()
        let model = try fields.prefixed()
        let mask = try fields.unsigned()
        let input = mask & 1 << 0 != 0 ? try fields.amount() : 0
        let output = mask & 1 << 1 != 0 ? try fields.amount() : 0
        return Counted(
            provider: provider, model: model, tokens: Int64(clamping: Int128(input) + Int128(output)))
    }

    /// The account alone, for who follows balances.
    public static func account(of content: ByteView) throws(UnpackingError) -> ByteView {
        var fields = ByteUnpacker(content)
        _ = try fields.timestamp()
        return try fields.prefixed()
    }

    /// The event time alone, for replay.
    static func eventTime(of content: ByteView) throws(UnpackingError) -> Timestamp {
        var fields = ByteUnpacker(content)
        return try fields.timestamp()
    }

    @inline(__always)
    private static func mask(of record: borrowing UsageRecord) -> UInt64 {
        var mask: UInt64 = record.usage.inputTokens != 0 ? 1 << 0 : 0
        if record.usage.outputTokens != 0 { mask |= 1 << 1 }
        if record.usage.cacheReadTokens != 0 { mask |= 1 << 2 }
        return isPlain(record) ? mask : mask | rareMask(of: record)
    }

    /// Whether a record has nothing but what most have.
    @inline(__always)
    private static func isPlain(_ record: borrowing UsageRecord) -> Bool {
        let texts =
            record.serviceTier.count | record.requestedProvider.count | record.requestedModel.count
            | record.requestedServiceTier.count | record.holdID.count | record.quoteToken.count
            | record.tags.count
        return texts == 0 && record.usage.rareUnion == 0 && record.providerReportedCost == nil
    }

    @inline(never)
    private static func rareMask(of record: borrowing UsageRecord) -> UInt64 {
        let usage = record.usage
        var mask: UInt64 = 0
        if usage.cacheWrite5mTokens != 0 { mask |= 1 << 3 }
        if usage.cacheWrite1hTokens != 0 { mask |= 1 << 4 }
        if usage.inputAudioTokens != 0 { mask |= 1 << 5 }
        if usage.inputImageTokens != 0 { mask |= 1 << 6 }
        if usage.reasoningTokens != 0 { mask |= 1 << 7 }
        if usage.outputAudioTokens != 0 { mask |= 1 << 8 }
        if usage.outputImageTokens != 0 { mask |= 1 << 9 }
        if usage.images != 0 { mask |= 1 << 10 }
        if usage.webSearches != 0 { mask |= 1 << 11 }
        if usage.seconds != 0 { mask |= 1 << 12 }
        if usage.pages != 0 { mask |= 1 << 13 }
        if usage.characters != 0 { mask |= 1 << 14 }
        if usage.requests != 0 { mask |= 1 << 15 }
        if !record.serviceTier.isEmpty { mask |= serviceTierBit }
        if !record.requestedProvider.isEmpty { mask |= requestedProviderBit }
        if !record.requestedModel.isEmpty { mask |= requestedModelBit }
        if !record.requestedServiceTier.isEmpty { mask |= requestedServiceTierBit }
        if !record.holdID.isEmpty { mask |= holdIDBit }
        if !record.quoteToken.isEmpty { mask |= quoteTokenBit }
        if record.providerReportedCost != nil { mask |= reportedCostBit }
        if !record.tags.isEmpty { mask |= tagsBit }
        return mask
    }

    private static let rareCounts: UInt64 = 0xfff8

    @inline(never)
    private static func appendRareCounts(_ usage: Usage, to packer: inout PackCursor) {
        append(usage.cacheWrite5mTokens, to: &packer)
        append(usage.cacheWrite1hTokens, to: &packer)
        append(usage.inputAudioTokens, to: &packer)
        append(usage.inputImageTokens, to: &packer)
        append(usage.reasoningTokens, to: &packer)
        append(usage.outputAudioTokens, to: &packer)
        append(usage.outputImageTokens, to: &packer)
        append(usage.images, to: &packer)
        append(usage.webSearches, to: &packer)
        append(usage.seconds, to: &packer)
        append(usage.pages, to: &packer)
        append(usage.characters, to: &packer)
        append(usage.requests, to: &packer)
    }

    @inline(__always)
    private static func append(_ count: Int64, to packer: inout PackCursor) {
        if count != 0 { packer.append(UInt64(count)) }
    }

    private static func readCounts(
        _ mask: UInt64, into usage: inout Usage, from fields: inout ByteUnpacker
    ) throws(UnpackingError) {
        if mask & 1 << 0 != 0 { usage.inputTokens = try fields.amount() }
        if mask & 1 << 1 != 0 { usage.outputTokens = try fields.amount() }
        if mask & 1 << 2 != 0 { usage.cacheReadTokens = try fields.amount() }
        if mask & 1 << 3 != 0 { usage.cacheWrite5mTokens = try fields.amount() }
        if mask & 1 << 4 != 0 { usage.cacheWrite1hTokens = try fields.amount() }
        if mask & 1 << 5 != 0 { usage.inputAudioTokens = try fields.amount() }
        if mask & 1 << 6 != 0 { usage.inputImageTokens = try fields.amount() }
        if mask & 1 << 7 != 0 { usage.reasoningTokens = try fields.amount() }
        if mask & 1 << 8 != 0 { usage.outputAudioTokens = try fields.amount() }
        if mask & 1 << 9 != 0 { usage.outputImageTokens = try fields.amount() }
        if mask & 1 << 10 != 0 { usage.images = try fields.amount() }
        if mask & 1 << 11 != 0 { usage.webSearches = try fields.amount() }
        if mask & 1 << 12 != 0 { usage.seconds = try fields.amount() }
        if mask & 1 << 13 != 0 { usage.pages = try fields.amount() }
        if mask & 1 << 14 != 0 { usage.characters = try fields.amount() }
        if mask & 1 << 15 != 0 { usage.requests = try fields.amount() }
    }
}
