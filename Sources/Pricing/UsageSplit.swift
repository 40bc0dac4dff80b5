// From totals to disjoint leaves.
//
// A record's counts are totals that include their parts:
//
//      input_tokens  = input  + cache_read + cache_write_5m + cache_write_1h + input_audio + input_image
//      output_tokens = output + reasoning + output_audio + output_image
//
// The parts of a whole do not overlap. Some providers count a token twice, as cached and as audio; the
// record cannot say how large that overlap is, so the reporter puts such a token in one part only, the
// one it is billed as (with most providers the cache). Parts that together exceed their whole therefore
// contradict each other: the plain leaf would be negative, and nothing is clamped to hide it.

/// Why counts cannot be split.
public enum UsageFault: Error, Hashable, Sendable {
    /// A count below 0 or above `Usage.countMax`.
    case outOfRange(RecordField)
    /// A part above its whole, or the named whole below the sum of its parts.
    case contradiction(RecordField)
}

/// The counts of one request as disjoint leaves.
///
/// Plain fields rather than an array: a loop over them copied all sixteen on every turn.
public struct UsageSplit: Hashable, Sendable {
    public let input: Int64
    public let cacheRead: Int64
    public let cacheWrite5m: Int64
    public let cacheWrite1h: Int64
    public let inputAudio: Int64
    public let inputImage: Int64
    public let output: Int64
    public let reasoning: Int64
    public let outputAudio: Int64
    public let outputImage: Int64
    public let images: Int64
    public let webSearches: Int64
    public let seconds: Int64
    public let pages: Int64
    public let characters: Int64
    public let requests: Int64

    /// The leaves of `usage`. O(1), no allocation.
    public init(_ usage: Usage) throws(UsageFault) {
        guard let split = UsageSplit(ifConsistent: usage) else { throw Self.fault(of: usage) }
        self = split
    }

    /// The leaves of `usage`, or nil if it cannot be split; `fault(of:)` then says why. O(1), no allocation.
    @inline(__always)
    init?(ifConsistent usage: Usage) {
        guard let plain = usage.plainTokens else { return nil }
        input = plain.input
        output = plain.output
        cacheRead = usage.cacheReadTokens
        cacheWrite5m = usage.cacheWrite5mTokens
        cacheWrite1h = usage.cacheWrite1hTokens
        inputAudio = usage.inputAudioTokens
        inputImage = usage.inputImageTokens
        reasoning = usage.reasoningTokens
        outputAudio = usage.outputAudioTokens
        outputImage = usage.outputImageTokens
        images = usage.images
        webSearches = usage.webSearches
        seconds = usage.seconds
        pages = usage.pages
        characters = usage.characters
        requests = usage.requests
    }

    /// How much of `unit` was used.
    public subscript(unit: UsageUnit) -> Int64 {
        switch unit {
        case .input: input
        case .cacheRead: cacheRead
        case .cacheWrite5m: cacheWrite5m
        case .cacheWrite1h: cacheWrite1h
        case .inputAudio: inputAudio
        case .inputImage: inputImage
        case .output: output
        case .reasoning: reasoning
        case .outputAudio: outputAudio
        case .outputImage: outputImage
        case .images: images
        case .webSearches: webSearches
        case .seconds: seconds
        case .pages: pages
        case .characters: characters
        case .requests: requests
        }
    }

    /// Why counts cannot be split.
    @inline(never)
    static func fault(of usage: Usage) -> UsageFault {
        for (field, count) in usage.counts where count < 0 || count > Usage.countMax {
            return .outOfRange(field)
        }
        return .contradiction(contradictingField(usage))
    }

    /// The first part that alone exceeds its whole, else the whole that its parts exceed together.
    private static func contradictingField(_ usage: Usage) -> RecordField {
        let inputParts = usage.counts[2..<7]
        let outputParts = usage.counts[7..<10]
        if let (field, _) = inputParts.first(where: { $0.count > usage.inputTokens }) { return field }
        if let (field, _) = outputParts.first(where: { $0.count > usage.outputTokens }) { return field }
        return inputParts.reduce(0) { $0 + $1.count } > usage.inputTokens ? .inputTokens : .outputTokens
    }
}

extension Refusal {
    /// Why a record that was parked with `reason` is not priced; for counts that contradict each other with the
    /// part and the whole that it exceeds.
    public init(notPriced reason: Reason, field: RecordField, usage: Usage) {
        self.init(reason, field: field)
        guard reason == .invalidUsage else { return }
        let counts = usage.counts
        func isPart(_ index: Int) -> Bool { index >= 2 && index < 10 }
        guard let index = counts.firstIndex(where: { $0.field == field }) else { return }
        let whole = index == 1 || index >= 7 && isPart(index) ? usage.outputTokens : usage.inputTokens
        let parts = index == 1 ? counts[7..<10] : counts[2..<7]
        // Five parts of at most 10^12 each.
        found = isPart(index) ? counts[index].count : parts.reduce(0) { $0 + $1.count }
        expected = whole
    }
}

extension Usage {
    /// The leaves that are not counts of their own: what is left of the two wholes without their parts. Nil if the
    /// counts cannot be split.
    @inline(__always)
    var plainTokens: (input: Int64, output: Int64)? {
        // The bits of all counts together: where that is in range, every count is.
        let union = inputTokens | outputTokens | cacheReadTokens | rareUnion
        if union < 0 || union > Usage.countMax, isOutOfRange { return nil }

        // Counts are at most 10^12, so no sum of them comes near 2^63.
        let input =
            inputTokens - cacheReadTokens - cacheWrite5mTokens - cacheWrite1hTokens - inputAudioTokens
            - inputImageTokens
        let output = outputTokens - reasoningTokens - outputAudioTokens - outputImageTokens
        return input < 0 || output < 0 ? nil : (input, output)
    }

    /// Whether any count is. Written out, because a call would need a copy of all of them, whether it comes or not.
    @inline(__always)
    private var isOutOfRange: Bool {
        func isOut(_ count: Int64) -> Bool { count < 0 || count > Usage.countMax }
        return isOut(inputTokens) || isOut(outputTokens) || isOut(cacheReadTokens)
            || isOut(cacheWrite5mTokens) || isOut(cacheWrite1hTokens) || isOut(inputAudioTokens)
            || isOut(inputImageTokens) || isOut(reasoningTokens) || isOut(outputAudioTokens)
            || isOut(outputImageTokens) || isOut(images) || isOut(webSearches) || isOut(seconds)
            || isOut(pages) || isOut(characters) || isOut(requests)
    }

    /// Every count with its field: the two wholes, five parts of the input, three of the output, the rest.
    var counts: [(field: RecordField, count: Int64)] {
        [
            (.inputTokens, inputTokens), (.outputTokens, outputTokens),
            (.cacheReadTokens, cacheReadTokens), (.cacheWrite5mTokens, cacheWrite5mTokens),
            (.cacheWrite1hTokens, cacheWrite1hTokens), (.inputAudioTokens, inputAudioTokens),
            (.inputImageTokens, inputImageTokens),
            (.reasoningTokens, reasoningTokens), (.outputAudioTokens, outputAudioTokens),
            (.outputImageTokens, outputImageTokens),
            (.images, images), (.webSearches, webSearches), (.seconds, seconds), (.pages, pages),
            (.characters, characters), (.requests, requests),
        ]
    }
}
