// What the tests of the middle share: a gateway on a directory of its own, and reports to it.

import Bytes
import Foundation
import Gateway
import Ledger
import Logging
import Money
import Platform
import Pricing
import Store
import Testing

/// A data directory that is removed when the test ends.
final class TemporaryDirectory {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "tollgate-test-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            Issue.record("the directory \(path) stays behind: \(error)")
        }
    }
}

/// Opens a gateway with small files.
func openGateway(
    _ directory: TemporaryDirectory, clock: (any TimeSource)? = nil,
    change: (inout GatewaySettings) -> Void = { _ in }
) throws -> Gateway {
    var settings = GatewaySettings(dataDirectory: directory.path + "/data")
    settings.segmentBytes = 1 << 20
    settings.checkpointInterval = .milliseconds(50)
    change(&settings)
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    guard let clock else { return try Gateway.open(settings, logger: logger) }
    return try Gateway.open(settings, logger: logger, clock: clock)
}

/// A report as the tests write it.
struct TestReport {
    var id: String
    var account = "acme/search"
    var source = CredentialSource.platform
    var provider = "openai"
    var model = "gpt-4o"
    var inputTokens: Int64 = 1_000
    var outputTokens: Int64 = 100
    var onInsufficient = OnInsufficient.record
    var token: [UInt8] = []
    var serviceTier = ""
    var cacheReadTokens: Int64 = 0
    var eventTime: Int64?
}

/// Sends reports through a lane, as an event loop does, and waits until the answers may leave.
func report(_ reports: [TestReport], to gateway: Gateway) async throws -> [ReportDecision] {
    let (decisions, cycle) = decide(reports, gateway)
    while gateway.durableCycle < cycle { try await Task.sleep(for: .milliseconds(1)) }
    return decisions
}

private func decide(_ reports: [TestReport], _ gateway: Gateway) -> ([ReportDecision], UInt64) {
    var lane = Lane(gateway)
    lane.begin()
    let decisions = reports.map { report in
        withRecord(report, gateway) { lane.decide($0, lane.prepare($0)) }
    }
    return (decisions, lane.end())
}

extension Lane {
    /// `prepare(quote:into:)` for one record.
    mutating func prepare(quote record: inout UsageRecord) -> PreparedReport {
        var prepared = PreparedReport()
        prepare(quote: &record, into: &prepared)
        return prepared
    }
}

/// Lends a report as the record that the hot path sees.
func withRecord<Result>(
    _ report: TestReport, _ gateway: Gateway, _ body: (borrowing UsageRecord) -> Result
) -> Result {
    report.id.withView { id in
        report.account.withView { account in
            report.provider.withView { provider in
                (report.model + report.serviceTier).withView { names in
                    let model = names[0..<report.model.utf8.count]
                    var record = UsageRecord()
                    record.requestID = id
                    record.account = account
                    record.credentialSource = report.source
                    record.provider = provider
                    record.model = model
                    record.usage.inputTokens = report.inputTokens
                    record.usage.outputTokens = report.outputTokens
                    record.usage.cacheReadTokens = report.cacheReadTokens
                    record.serviceTier = names[report.model.utf8.count..<names.count]
                    record.onInsufficient = report.onInsufficient
                    record.eventTime = report.eventTime.map { Timestamp(microseconds: $0) } ?? gateway.now()
                    return report.token.withView { token in
                        record.quoteToken = token
                        return body(record)
                    }
                }
            }
        }
    }
}

extension ReportDecision {
    var receipt: Receipt? {
        if case .receipt(let receipt) = self { return receipt }
        return nil
    }

    var refusal: Refusal? {
        if case .refused(let refusal) = self { return refusal }
        return nil
    }
}

/// Opens `acme/search` as a professional with `credits` credits.
func openAccount(_ gateway: Gateway, path: String = "acme/search", credits: Int64 = 1_000) async {
    let outcomes = await gateway.open([
        AccountOpening(
            path: Array(path.utf8), settings: AccountSettings(tier: Array("professional".utf8)),
            initialGrant: GrantRequest(kind: .purchased, amount: credits * 1_000_000_000))
    ])
    guard case .opened = outcomes[0] else {
        Issue.record("the account \(path) was not opened: \(outcomes[0])")
        return
    }
}

/// Whether a lane would ask history about a report first.
func needsHistory(_ report: TestReport, _ gateway: Gateway) -> Bool {
    withRecord(report, gateway) { record in
        var lane = Lane(gateway)
        lane.begin()
        return lane.prepare(record).needsHistory
    }
}

/// Reports a record as a connection does that was told to ask history.
func reportAskingHistory(_ report: TestReport, to gateway: Gateway) async throws -> ReportDecision {
    let (keys, pinned) = withRecord(report, gateway) { record in
        var lane = Lane(gateway)
        lane.begin()
        let prepared = lane.prepare(record)
        return (prepared.keys, prepared.pinned)
    }
    let history = await withCheckedContinuation { continuation in
        gateway.askHistory([keys], pinned: pinned.map { [$0] } ?? []) {
            continuation.resume(returning: $0[0])
        }
    }
    let (decision, cycle) = withRecord(report, gateway) { record in
        var lane = Lane(gateway)
        lane.begin()
        let decision = lane.decide(record, lane.prepare(record), history: history)
        return (decision, lane.end())
    }
    while gateway.durableCycle < cycle { try await Task.sleep(for: .milliseconds(1)) }
    return decision
}

/// Statements without a filter.
enum TransactionQuery {
    static let all: TransactionFilter = {
        var filter = TransactionFilter()
        filter.limit = 500
        return filter
    }()
}

enum CreditValueForTests {
    /// A credit worth a cent.
    static let cent = CreditValue(picodollarsPerCredit: 10_000_000_000) ?? .standard
}

/// SplitMix64: the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }
}
