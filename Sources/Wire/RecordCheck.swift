// What a record's fields may hold, whichever way it came in.
//
// The framed edge and the HTTP edge both call `firstFault`, so a rule is written once. The grammar of
// an account's path is the ledger's and is checked there; whether the counts fit each other is a
// matter of pricing. Here are lengths, ranges, presence and UTF-8.

import Bytes
import Pricing

/// What a record is sent for.
public enum RecordUse: Sendable {
    /// Everything that a charge needs must be there.
    case report
    /// The request id and the event time may be left out.
    case quote
    /// The credential source, too: the hold says it.
    case hold
}

extension UsageRecord {
    /// The first field at fault, in the order of the contract; nil if all are within their limits.
    ///
    /// What `found` and `expected` hold: for a text that is missing or too long its length and the
    /// longest allowed, for one that is not UTF-8 the offset of the byte at fault and 0, for a number
    /// its value and its limit. O(bytes of text).
    @inline(__always)
    public func firstFault(for use: RecordUse) -> Refusal? {
        let idBytesMin = use == .report ? 1 : 0
        if let fault = textFault(requestID, .requestID, idBytesMin, WireLimits.idBytesMax) { return fault }
        if credentialSource == nil, use != .hold {
            return Refusal(.invalidArgument, field: .credentialSource)
        }
        if let fault = textFault(provider, .provider, 1, WireLimits.providerBytesMax) { return fault }
        if let fault = textFault(model, .model, 1, WireLimits.modelBytesMax) { return fault }
        if let fault = textFault(serviceTier, .serviceTier, 0, WireLimits.serviceTierBytesMax) {
            return fault
        }
        if let fault = usage.firstFault { return fault }
        if use == .report && eventTime.microseconds <= 0 {
            return Refusal(
                .invalidArgument, field: .eventTime, found: eventTime.microseconds, expected: 1)
        }
        if requestedProvider.count | requestedModel.count | requestedServiceTier.count | holdID.count
            | quoteToken.count == 0
        {
            return nil
        }
        return firstOptionalFault
    }

    private var firstOptionalFault: Refusal? {
        if let fault = textFault(requestedProvider, .requestedProvider, 0, WireLimits.providerBytesMax) {
            return fault
        }
        if let fault = textFault(requestedModel, .requestedModel, 0, WireLimits.modelBytesMax) {
            return fault
        }
        if let fault = textFault(
            requestedServiceTier, .requestedServiceTier, 0, WireLimits.serviceTierBytesMax)
        {
            return fault
        }
        if let fault = textFault(holdID, .holdID, 0, WireLimits.idBytesMax) { return fault }
        if quoteToken.count > WireLimits.quoteTokenBytesMax {
            return lengthFault(quoteToken, .quoteToken, WireLimits.quoteTokenBytesMax)
        }
        return nil
    }
}

extension Usage {
    /// The first count that is negative or above `Usage.countMax`.
    public var firstFault: Refusal? {
        // If the union of all bits is below the largest power of two within the limit, so is each count.
        let sides = inputTokens | outputTokens | cacheReadTokens | cacheWrite5mTokens | cacheWrite1hTokens
        let media = inputAudioTokens | inputImageTokens | outputAudioTokens | outputImageTokens
        let units = images | webSearches | seconds | pages | characters | requests
        let union = UInt64(bitPattern: sides | media | units | reasoningTokens)
        if union < Usage.allBelow { return nil }
        for (field, count) in counts where count < 0 || count > Usage.countMax {
            return Refusal(.invalidArgument, field: field, found: count, expected: Usage.countMax)
        }
        return nil
    }

    /// 2^39, the largest power of two that is not above `countMax`.
    private static let allBelow: UInt64 = 1 << 39

    private var counts: [(RecordField, Int64)] {
        [
            (.inputTokens, inputTokens), (.outputTokens, outputTokens),
            (.cacheReadTokens, cacheReadTokens), (.cacheWrite5mTokens, cacheWrite5mTokens),
            (.cacheWrite1hTokens, cacheWrite1hTokens), (.inputAudioTokens, inputAudioTokens),
            (.inputImageTokens, inputImageTokens), (.reasoningTokens, reasoningTokens),
            (.outputAudioTokens, outputAudioTokens), (.outputImageTokens, outputImageTokens),
            (.images, images), (.webSearches, webSearches), (.seconds, seconds), (.pages, pages),
            (.characters, characters), (.requests, requests),
        ]
    }
}

/// Nil if `text` is UTF-8 of a length within bounds.
@inline(__always)
func textFault(_ text: ByteView, _ field: RecordField, _ bytesMin: Int, _ bytesMax: Int) -> Refusal? {
    if text.count < bytesMin || text.count > bytesMax { return lengthFault(text, field, bytesMax) }
    if isASCII(text) { return nil }
    return encodingFault(text, field)
}

@inline(never)
func lengthFault(_ text: ByteView, _ field: RecordField, _ bytesMax: Int) -> Refusal {
    Refusal(.invalidArgument, field: field, found: Int64(text.count), expected: Int64(bytesMax))
}

@inline(never)
private func encodingFault(_ text: ByteView, _ field: RecordField) -> Refusal? {
    do {
        let bytes = unsafe text.buffer.bindMemory(to: UInt8.self)
        _ = try unsafe UTF8Span(validating: bytes.span)
        return nil
    } catch {
        return Refusal(.invalidArgument, field: field, found: Int64(error.byteOffsets.lowerBound))
    }
}

@inline(__always)
private func isASCII(_ text: ByteView) -> Bool {
    let buffer = unsafe text.buffer
    var union: UInt64 = 0
    var offset = 0
    while offset + 8 <= buffer.count {
        union |= unsafe buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        offset += 8
    }
    while offset < buffer.count {
        union |= UInt64(unsafe buffer[offset])
        offset += 1
    }
    return union & 0x8080_8080_8080_8080 == 0
}
