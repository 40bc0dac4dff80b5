// A usage record on its way in: texts by the contract's field names, from flags, a CSV row or a JSON object.

import Gateway
import Pricing
import StrictJSON
import TollgateClient

/// Why a record cannot be built: the field, and what belongs there.
struct RecordProblem: Error, Hashable {
    var field: String
    var problem: String

    var text: String { "\(field): \(problem)" }
}

/// The fields that have been given, not yet read.
struct RecordDraft: Hashable {
    private var values: [String: String] = [:]
    private var tags: [UsageReport.Tag] = []

    /// Fields of the contract with one value each.
    static let fieldNames: [String] =
        textFields + ["event_time", "usage_source", "outcome", "on_insufficient"]
        + Array(countFields.keys).sorted()

    private static let textFields = [
        "request_id", "account", "credential_source", "provider", "model", "service_tier",
        "requested_provider", "requested_model", "requested_service_tier", "quote_token",
    ]

    private static let countFields: [String: any WritableKeyPath<Usage, Int64> & Sendable] = [
        "input_tokens": \.inputTokens, "output_tokens": \.outputTokens,
        "cache_read_tokens": \.cacheReadTokens,
        "cache_write_5m_tokens": \.cacheWrite5mTokens, "cache_write_1h_tokens": \.cacheWrite1hTokens,
        "input_audio_tokens": \.inputAudioTokens, "input_image_tokens": \.inputImageTokens,
        "reasoning_tokens": \.reasoningTokens, "output_audio_tokens": \.outputAudioTokens,
        "output_image_tokens": \.outputImageTokens, "images": \.images, "web_searches": \.webSearches,
        "seconds": \.seconds, "pages": \.pages, "characters": \.characters, "requests": \.requests,
    ]

    /// Whether `name` may be set: a field, or `tag.` and a tag's name.
    static func knows(_ name: String) -> Bool { name.hasPrefix("tag.") || fieldNames.contains(name) }

    /// What is said of a name that nobody knows.
    static func unknown(_ name: String) -> String {
        "`\(name)` is not a field of a usage record; \(Nearest.hint(name, among: fieldNames))"
    }

    /// Sets a known field; an empty text leaves it as it is.
    mutating func set(_ name: String, _ text: String) {
        guard !text.isEmpty else { return }
        if name.hasPrefix("tag.") {
            tags.append(.init(key: String(name.dropFirst(4)), value: text))
        } else {
            values[name] = text
        }
    }

    /// This draft, with `defaults` where it says nothing.
    func over(_ defaults: RecordDraft) -> RecordDraft {
        var merged = self
        merged.values.merge(defaults.values) { own, _ in own }
        let own = Set(tags.map(\.key))
        merged.tags = defaults.tags.filter { !own.contains($0.key) } + tags
        return merged
    }

    /// The report, or the first field that cannot be read.
    ///
    /// - Parameters:
    ///   - requestID: for a draft without one.
    ///   - eventTime: for a draft without one, in microseconds since 1970.
    func report(requestID: @autoclosure () -> String, eventTime: Int64) throws(RecordProblem) -> UsageReport {
        guard let source = CredentialSource(word: try text("credential_source")) else {
            throw RecordProblem(field: "credential_source", problem: "it is `platform` or `byok`")
        }
        var report = UsageReport(
            requestID: Array((values["request_id"] ?? requestID()).utf8), account: try text("account"),
            credentialSource: source, provider: try text("provider"), model: try text("model"),
            eventTimeMicroseconds: try time() ?? eventTime)
        report.serviceTier = values["service_tier"] ?? ""
        report.requestedProvider = values["requested_provider"] ?? ""
        report.requestedModel = values["requested_model"] ?? ""
        report.requestedServiceTier = values["requested_service_tier"] ?? ""
        if let text = values["quote_token"] {
            guard let token = Hexadecimal.bytes(text) else {
                throw RecordProblem(
                    field: "quote_token", problem: "it is not the hexadecimal digits that a quote gave")
            }
            report.quoteToken = token
        }
        for (name, path) in Self.countFields {
            guard let text = values[name] else { continue }
            guard let count = Int64(text), (0...Usage.countMax).contains(count) else {
                throw RecordProblem(
                    field: name,
                    problem: "`\(text)` is not a whole number from 0 to \(Figures.grouped(Usage.countMax))")
            }
            report.usage[keyPath: path] = count
        }
        report.usageSource = try word(
            "usage_source", ["final": .final, "relayed": .relayed, "estimated": .estimated], .unspecified)
        report.outcome = try word(
            "outcome", ["completed": .completed, "cancelled": .cancelled, "failed": .failed], .unspecified)
        report.onInsufficient = try word("on_insufficient", ["record": .record, "refuse": .refuse], .record)
        report.tags = tags
        return report
    }

    private func text(_ name: String) throws(RecordProblem) -> String {
        guard let text = values[name] else {
            let flag = name == "credential_source" ? "source" : name
            throw RecordProblem(
                field: name, problem: "it is missing: give it here, or for all with --\(flag)")
        }
        return text
    }

    private func word<Value>(_ name: String, _ words: [String: Value], _ missing: Value) throws(RecordProblem)
        -> Value
    {
        guard let text = values[name] else { return missing }
        guard let value = words[text.lowercased()] else {
            throw RecordProblem(
                field: name, problem: "`\(text)` is not one of \(words.keys.sorted().joined(separator: ", "))"
            )
        }
        return value
    }

    /// The event's time: microseconds since 1970, RFC 3339, or the trace's `2023-11-16 18:17:03.9799600`.
    private func time() throws(RecordProblem) -> Int64? {
        guard let text = values["event_time"] else { return nil }
        if let microseconds = Int64(text) { return microseconds }
        if let time = Timestamp(text: text) { return time.microseconds }
        var plain = text.replacing(" ", with: "T")
        if let point = plain.firstIndex(of: ".") {
            // The trace has seven decimals of a second, and a microsecond is six.
            plain = String(
                plain.prefix(
                    upTo: plain.index(point, offsetBy: 7, limitedBy: plain.endIndex) ?? plain.endIndex))
        }
        if let time = Timestamp(text: plain + "Z") { return time.microseconds }
        throw RecordProblem(
            field: "event_time",
            problem: "`\(text)` is not a time such as 2026-11-22T14:05:00Z, or microseconds since 1970")
    }
}

extension CredentialSource {
    /// `platform` or `byok`, in any case.
    init?(word: String) {
        switch word.lowercased() {
        case "platform": self = .platform
        case "byok": self = .byok
        default: return nil
        }
    }

    var word: String {
        switch self {
        case .platform: "platform"
        case .byok: "byok"
        }
    }
}
