// A random history of every kind of act, across restarts and crashes, verifies to the nanocredit.
//
// TOLLGATE_MIXED_ACTS=1000000 swift test --filter MixedActs   runs the long one, with its progress printed.

import Foundation
import Gateway
import Ledger
import Logging
import Platform
import Pricing
import Synchronization
import Testing

@testable import Gateway

/// A wall clock that is set by hand, beside the machine's monotonic one.
final class SetClock: TimeSource {
    private let wall: Atomic<Int64>
    private let system = SystemClock()

    init(_ microseconds: Int64) { wall = Atomic(microseconds) }

    func wallMicroseconds() -> Int64 { wall.load(ordering: .relaxed) }
    func monotonicNanoseconds() -> UInt64 { system.monotonicNanoseconds() }
    func advance(by microseconds: Int64) { wall.add(microseconds, ordering: .relaxed) }
}

@Suite("mixed acts")
struct MixedActsTests {
    private static let long = ProcessInfo.processInfo.environment["TOLLGATE_MIXED_ACTS"].flatMap { Int($0) }
    private static let seed = ProcessInfo.processInfo.environment["TOLLGATE_MIXED_SEED"].flatMap {
        UInt64($0)
    }

    @Test("a clock that goes back before a restart takes no entry back behind those that are there")
    func clockGoesBack() async throws {
        let directory = try TemporaryDirectory()
        let clock = SetClock(SystemClock().wallMicroseconds())
        var random = SeededGenerator(seed: 1)
        var gateway = try Self.open(directory, clock, &random)
        await openAccount(gateway, path: "acme")
        let newest = gateway.ledger.newestTime()
        clock.advance(by: -86_400_000_000)
        await gateway.stop()
        gateway = try Self.open(directory, clock, &random)
        // A grant that ended before the newest entry is refused, now and whenever the journal is read.
        for restart in 0..<2 {
            await #expect(throws: AdministrationError.self, "restart \(restart)") {
                try await gateway.allocate(
                    GrantRequest(
                        kind: .promo, amount: 1, expiresAt: Timestamp(microseconds: newest.microseconds - 1)),
                    to: Array("acme".utf8))
            }
            _ = try await gateway.allocate(GrantRequest(kind: .bonus, amount: 1), to: Array("acme".utf8))
            #expect(gateway.ledger.newestTime() >= newest)
            await gateway.stop(isClean: false)
            gateway = try Self.open(directory, clock, &random)
        }
        await gateway.stop()
        #expect(try OfflineDirectory(directory.path + "/data").verify().problem == nil)
    }

    @Test(
        "a random history of mixed acts across restarts verifies to the nanocredit",
        arguments: long == nil ? [UInt64(1), 2, 3] : [seed ?? 1])
    func mixed(seed: UInt64) async throws {
        let acts = Self.long ?? 7_000
        let restarts = Self.long == nil ? 5 : 10
        let rounds = 4
        let organisationCount = Self.long == nil ? 6 : 16
        print(
            "mixed acts, seed \(seed): \(acts) acts of \(organisationCount) organisations, \(restarts) restarts"
        )
        let started = ContinuousClock.now
        let perRound = max(1, acts / ((restarts + 1) * rounds * organisationCount))
        var random = SeededGenerator(seed: seed)
        let directory = try TemporaryDirectory()
        let clock = SetClock(SystemClock().wallMicroseconds())
        var gateway = try Self.open(directory, clock, &random)
        var organisations: [MixedOrganisation] = []
        for number in 0..<organisationCount {
            let organisation = MixedOrganisation(
                "o\(number)", seed: seed &* 1_000 &+ UInt64(number), gateway: gateway)
            await organisation.open()
            organisations.append(organisation)
        }
        for start in 0...restarts {
            if start > 0 {
                // Half of them as a crash leaves the files.
                let isClean = Bool.random(using: &random)
                await gateway.stop(isClean: isClean)
                if Bool.random(using: &random) {
                    clock.advance(by: Int64.random(in: 0...7_200_000_000, using: &random))
                }
                gateway = try Self.open(directory, clock, &random)
                for organisation in organisations {
                    await organisation.resume(gateway)
                    await organisation.compare("start \(start), \(isClean ? "clean" : "after a crash")")
                }
            }
            for _ in 0..<rounds {
                try await gateway.waitForHistory(timeout: .seconds(600))
                clock.advance(
                    by: [1_000, 1_000_000, 61_000_000, 3_600_000_000, 90_000_000_000].randomElement(
                        using: &random) ?? 0)
                await withTaskGroup { group in
                    for organisation in organisations { group.addTask { await organisation.round(perRound) } }
                }
            }
            for organisation in organisations { await organisation.compare("end of start \(start)") }
            #expect(gateway.ledger.totals().balance)
            if Self.long != nil {
                print(
                    "  \((start + 1) * rounds * organisationCount * perRound) acts, \(ContinuousClock.now - started)"
                )
            }
        }
        await gateway.stop(isClean: Bool.random(using: &random))
        var done: [String: Int] = [:]
        var refused = 0
        for organisation in organisations {
            for problem in await organisation.score.problems { Issue.record("seed \(seed): \(problem)") }
            done.merge(await organisation.done, uniquingKeysWith: +)
            refused += await organisation.refused
            done["orphan charged", default: 0] += await organisation.score.orphanCount
        }
        let report = try OfflineDirectory(directory.path + "/data").verify()
        #expect(report.problem == nil, "seed \(seed)")
        // Every kind of act happened, or the history was not a mixed one.
        for kind in [
            "charged", "parked", "duplicate", "held (clip)", "held (strict)", "hold again", "settled",
            "settled late", "orphan corrected", "orphan given back",
            "voided", "extended", "quoted", "deducted", "refunded", "corrected", "grant voided", "act again",
            "budget set",
            "budget removed", "orphan charged", "parked settled", "parked discarded", "changed",
            "closed (keep)",
            "closed (forfeit)",
            "closed (transfer)", "moved", "moved again",
        ] + GrantKind.allCases.map({ "granted \($0.name)" }) {
            #expect(done[kind, default: 0] > 0, "nothing was \(kind), seed \(seed)")
        }
        #expect(refused > 0)
        if Self.long != nil {
            for (kind, count) in done.sorted(by: { $0.key < $1.key }) { print("  \(kind): \(count)") }
            print("  refused: \(refused)")
            for check in report.checks { print("  \(check.part): \(check.found)") }
            print("  \(ContinuousClock.now - started) in all")
        }
    }

    private static func open(
        _ directory: TemporaryDirectory, _ clock: SetClock, _ random: inout SeededGenerator
    ) throws -> Gateway {
        var settings = GatewaySettings(dataDirectory: directory.path + "/data")
        settings.segmentBytes = 1 << 20
        // From one after each other to none before the end.
        let interval = [1, 20, 200, 3_600_000].randomElement(using: &random) ?? 20
        settings.checkpointInterval = .milliseconds(interval)
        settings.checkpointRowsAtOnce = [2, 8_192].randomElement(using: &random) ?? 2
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return try Gateway.open(settings, logger: logger, clock: clock)
    }
}
