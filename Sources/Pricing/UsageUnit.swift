// The units that have a price, and which rate stands in for a missing one.
//
// A unit is a leaf: every token of a request belongs to exactly one of the token units, so a cost is a
// plain sum. `UsageSplit` turns the totals of a record into these.

/// What is counted and priced.
public enum UsageUnit: UInt8, Hashable, Sendable, CaseIterable {
    /// Input that is neither from or for the cache, nor audio, nor image.
    case input
    case cacheRead
    case cacheWrite5m
    case cacheWrite1h
    case inputAudio
    case inputImage
    /// Output that is neither reasoning, nor audio, nor image.
    case output
    case reasoning
    case outputAudio
    case outputImage
    case images
    case webSearches
    case seconds
    case pages
    case characters
    case requests

    /// How many units there are.
    public static let count = 16

    /// The name in catalogues, quotes and explanations.
    public var name: String { wireName.description }

    /// The name as a literal, which lives for ever and costs no allocation.
    public var wireName: StaticString {
        switch self {
        case .input: "input"
        case .cacheRead: "cache_read"
        case .cacheWrite5m: "cache_write_5m"
        case .cacheWrite1h: "cache_write_1h"
        case .inputAudio: "input_audio"
        case .inputImage: "input_image"
        case .output: "output"
        case .reasoning: "reasoning"
        case .outputAudio: "output_audio"
        case .outputImage: "output_image"
        case .images: "images"
        case .webSearches: "web_searches"
        case .seconds: "seconds"
        case .pages: "pages"
        case .characters: "characters"
        case .requests: "requests"
        }
    }

    /// The unit of that name, or nil.
    public init?(name: String) {
        guard let unit = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = unit
    }

    /// The field of a record that brings this unit.
    public var field: RecordField {
        switch self {
        case .input: .inputTokens
        case .cacheRead: .cacheReadTokens
        case .cacheWrite5m: .cacheWrite5mTokens
        case .cacheWrite1h: .cacheWrite1hTokens
        case .inputAudio: .inputAudioTokens
        case .inputImage: .inputImageTokens
        case .output: .outputTokens
        case .reasoning: .reasoningTokens
        case .outputAudio: .outputAudioTokens
        case .outputImage: .outputImageTokens
        case .images: .images
        case .webSearches: .webSearches
        case .seconds: .seconds
        case .pages: .pages
        case .characters: .characters
        case .requests: .requests
        }
    }

    /// Tokens have catalogue prices per million, other units per one.
    public var isToken: Bool { rawValue <= UsageUnit.outputImage.rawValue }

    /// The unit whose rate is used where this one has none: the cache and media parts of the input are
    /// billed as input, those of the output as output, an hour's cache write as a five minutes' one.
    public var standIn: UsageUnit? {
        switch self {
        case .cacheWrite1h: .cacheWrite5m
        case .cacheRead, .cacheWrite5m, .inputAudio, .inputImage: .input
        case .reasoning, .outputAudio, .outputImage: .output
        case .input, .output, .images, .webSearches, .seconds, .pages, .characters, .requests: nil
        }
    }
}
