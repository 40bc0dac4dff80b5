// From protobuf-c's structures to the values of Pricing: one pass, no allocation outside the arena.

import Bytes
import CTollgateProtos
import Pricing

extension FrameDecoder {
    /// Copies the fields of `usage` into `record`, whole, and says what is wrong with them.
    func read(
        _ usage: UnsafeMutablePointer<Tollgate__V1__UsageRecord>, into record: inout UsageRecord,
        for use: RecordUse
    ) -> Refusal? {
        unsafe record.requestID = ByteView(usage.pointee.request_id)
        unsafe record.account = ByteView(usage.pointee.account)
        unsafe record.provider = ByteView(usage.pointee.provider)
        unsafe record.model = ByteView(usage.pointee.model)
        unsafe record.serviceTier = ByteView(usage.pointee.service_tier)
        unsafe readCounts(usage, into: &record.usage)
        unsafe record.eventTime = Timestamp(microseconds: usage.pointee.event_time)
        unsafe record.requestedProvider = ByteView(usage.pointee.requested_provider)
        unsafe record.requestedModel = ByteView(usage.pointee.requested_model)
        unsafe record.requestedServiceTier = ByteView(usage.pointee.requested_service_tier)
        unsafe record.holdID = ByteView(usage.pointee.hold_id)
        unsafe record.quoteToken = ByteView(usage.pointee.quote_token)
        let hasCost = unsafe usage.pointee.has_provider_reported_cost_case
        unsafe record.providerReportedCost =
            hasCost == TOLLGATE__V1__USAGE_RECORD__HAS_PROVIDER_REPORTED_COST_PROVIDER_REPORTED_COST
            ? usage.pointee.provider_reported_cost : nil
        record.tags = ByteView()

        let words = unsafe readWords(usage, into: &record)
        if let fault = record.firstFault(for: use) ?? words { return fault }
        guard unsafe usage.pointee.n_tags > 0 else { return nil }
        return unsafe readTags(usage.pointee.tags, count: usage.pointee.n_tags, into: &record.tags)
    }

    /// The enumerations. A number that this version does not know is refused, not taken for another.
    @inline(__always)
    private func readWords(
        _ usage: UnsafeMutablePointer<Tollgate__V1__UsageRecord>, into record: inout UsageRecord
    ) -> Refusal? {
        let credential = unsafe usage.pointee.credential_source.rawValue
        let source = unsafe usage.pointee.usage_source.rawValue
        let outcome = unsafe usage.pointee.outcome.rawValue
        let insufficient = unsafe usage.pointee.on_insufficient.rawValue
        record.credentialSource = CredentialSource(rawValue: UInt8(clamping: credential))
        record.usageSource = UsageSource(rawValue: UInt8(clamping: source)) ?? .unspecified
        record.outcome = RequestOutcome(rawValue: UInt8(clamping: outcome)) ?? .unspecified
        record.onInsufficient = OnInsufficient(rawValue: UInt8(clamping: insufficient)) ?? .record
        guard credential <= 2 && source <= 3 && outcome <= 3 && insufficient <= 1 else {
            return wordFault(credential, source, outcome, insufficient)
        }
        return nil
    }

    @inline(never)
    private func wordFault(
        _ credential: UInt32, _ source: UInt32, _ outcome: UInt32, _ insufficient: UInt32
    ) -> Refusal? {
        let words: [(RecordField, UInt32, Int64)] = [
            (.credentialSource, credential, 2), (.usageSource, source, 3), (.outcome, outcome, 3),
            (.onInsufficient, insufficient, 1),
        ]
        for (field, found, highest) in words where Int64(found) > highest {
            return Refusal(.invalidArgument, field: field, found: Int64(found), expected: highest)
        }
        return nil
    }

    /// The counts; one that does not fit `Int64` becomes the largest, which is refused as too large.
    @inline(__always)
    private func readCounts(
        _ usage: UnsafeMutablePointer<Tollgate__V1__UsageRecord>, into counts: inout Usage
    ) {
        unsafe counts.inputTokens = Int64(clamping: usage.pointee.input_tokens)
        unsafe counts.outputTokens = Int64(clamping: usage.pointee.output_tokens)
        unsafe counts.cacheReadTokens = Int64(clamping: usage.pointee.cache_read_tokens)
        unsafe counts.cacheWrite5mTokens = Int64(clamping: usage.pointee.cache_write_5m_tokens)
        unsafe counts.cacheWrite1hTokens = Int64(clamping: usage.pointee.cache_write_1h_tokens)
        unsafe counts.inputAudioTokens = Int64(clamping: usage.pointee.input_audio_tokens)
        unsafe counts.inputImageTokens = Int64(clamping: usage.pointee.input_image_tokens)
        unsafe counts.reasoningTokens = Int64(clamping: usage.pointee.reasoning_tokens)
        unsafe counts.outputAudioTokens = Int64(clamping: usage.pointee.output_audio_tokens)
        unsafe counts.outputImageTokens = Int64(clamping: usage.pointee.output_image_tokens)
        unsafe counts.images = Int64(clamping: usage.pointee.images)
        unsafe counts.webSearches = Int64(clamping: usage.pointee.web_searches)
        unsafe counts.seconds = Int64(clamping: usage.pointee.seconds)
        unsafe counts.pages = Int64(clamping: usage.pointee.pages)
        unsafe counts.characters = Int64(clamping: usage.pointee.characters)
        unsafe counts.requests = Int64(clamping: usage.pointee.requests)
    }

    /// Packs tags as `UsageRecord.tags` describes, or says which limit they pass.
    func readTags(
        _ tags: UnsafeMutablePointer<UnsafeMutablePointer<Tollgate__V1__Tag>?>, count: Int,
        into packed: inout ByteView
    ) -> Refusal? {
        guard count <= WireLimits.tagsMax else {
            return Refusal(
                .invalidArgument, field: .tags, found: Int64(count), expected: Int64(WireLimits.tagsMax))
        }
        // A length up to `tagBytesMax` takes at most two bytes.
        let bytesMax = count * 2 * (2 + WireLimits.tagBytesMax)
        guard let room = unsafe arena.take(UInt8.self, count: bytesMax) else {
            return Refusal(.invalidArgument, field: .tags, found: Int64(count))
        }
        var end = 0
        for index in 0..<count {
            guard let tag = unsafe tags[index] else {
                preconditionFailure("protobuf-c leaves no hole in a repeated field")
            }
            let key = unsafe ByteView(tag.pointee.key)
            let value = unsafe ByteView(tag.pointee.value)
            if let fault = textFault(key, .tags, 1, WireLimits.tagBytesMax)
                ?? textFault(value, .tags, 0, WireLimits.tagBytesMax)
            {
                return fault
            }
            unsafe append(key, to: room, at: &end)
            unsafe append(value, to: room, at: &end)
        }
        unsafe packed = ByteView(UnsafePointer(room), count: end)
        return nil
    }

    private func append(_ text: ByteView, to room: UnsafeMutablePointer<UInt8>, at end: inout Int) {
        if text.count >= 0x80 {
            unsafe room[end] = UInt8(text.count & 0x7f) | 0x80
            unsafe room[end + 1] = UInt8(text.count >> 7)
            end += 2
        } else {
            unsafe room[end] = UInt8(text.count)
            end += 1
        }
        if let source = unsafe bytes(text) {
            unsafe (room + end).update(from: source, count: text.count)
        }
        end += text.count
    }
}
