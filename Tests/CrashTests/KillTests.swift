// A real process is killed in a loop while clients keep the score: whatever they were told stays true, and
// what they ask again is charged once. Method: the built binary on small segments and frequent checkpoints, so
// that a kill meets every kind of work; clients of the library, which ask again until they have an answer.

import Foundation
import Synchronization
import Testing
import TollgateClient

@Suite("killed processes", .serialized)
struct KillTests {
    private static let accounts = ["acme/search", "acme/chat", "globex", "initech/a/b"]

    private func client(_ gateway: GatewayProcess) -> TollgateClient {
        var configuration = TollgateClient.Configuration(host: "127.0.0.1", port: gateway.port)
        configuration.backoffLongest = .milliseconds(200)
        return TollgateClient(configuration)
    }

    @Test("nothing acknowledged is lost or doubled over kill -9 after kill -9", arguments: [UInt64(1), 2])
    func killLoop(seed: UInt64) async throws {
        var random = Seeded(seed)
        let directory = try TemporaryDirectory()
        let data = directory.path + "/data"
        var gateway = try GatewayProcess(data)
        try gateway.open(Self.accounts)
        let client = client(gateway)
        let score = Score()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, account) in (Self.accounts + Self.accounts).enumerated() {
                group.addTask { try await score.report("s\(seed)-\(number)", account: account, over: client) }
            }
            for round in 0..<5 {
                let before = score.count
                try await Task.sleep(for: .milliseconds(Int.random(in: 50...900, using: &random)))
                while score.count < before + 20 { try await Task.sleep(for: .milliseconds(10)) }
                gateway.kill()
                gateway = try GatewayProcess(data, ports: gateway.ports)
                #expect(gateway.isRunning, "round \(round), seed \(seed)")
            }
            score.isStopping.store(true, ordering: .relaxed)
            try await group.waitForAll()
        }
        #expect(score.state.withLock { $0.refusals } == [:], "seed \(seed)")
        try await score.expectKept(client, accounts: Self.accounts)
        await client.close()
        #expect(gateway.stop() == 0)
        let verified = try GatewayProcess.run(["verify", data])
        #expect(verified.code == 0, "\(verified.output)")
    }

    @Test("SIGTERM under load answers what it took, exits with 0, and leaves nothing to replay")
    func terminated() async throws {
        let directory = try TemporaryDirectory()
        let data = directory.path + "/data"
        var gateway = try GatewayProcess(data)
        try gateway.open(Self.accounts)
        let client = client(gateway)
        let score = Score()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for account in Self.accounts {
                group.addTask { try await score.report("t-\(account)", account: account, over: client) }
            }
            while score.count < 200 { try await Task.sleep(for: .milliseconds(10)) }
            #expect(gateway.stop() == 0)
            gateway = try GatewayProcess(data, ports: gateway.ports)
            #expect(gateway.entriesReplayed == 0)
            while score.count < 400 { try await Task.sleep(for: .milliseconds(10)) }
            score.isStopping.store(true, ordering: .relaxed)
            try await group.waitForAll()
        }
        try await score.expectKept(client, accounts: Self.accounts)
        await client.close()
    }

    @Test("a write that fails ends the process without another answer, and the next start is whole")
    func failedWrite() async throws {
        let directory = try TemporaryDirectory()
        let data = directory.path + "/data"
        // Files end at 2 MiB: the history is the first to reach it.
        let limited = try GatewayProcess(data, fileBlocksMax: 2_048)
        try limited.open(Self.accounts)
        let client = client(limited)
        let score = Score()
        var gateway: GatewayProcess?
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, account) in (Self.accounts + Self.accounts + Self.accounts).enumerated() {
                group.addTask { try await score.report("f\(number)", account: account, over: client) }
            }
            let code = try #require(try await limited.end(within: 60), "the process went on")
            #expect(code == 74)
            #expect(try limited.log().contains("nothing more is answered"))
            let next = try GatewayProcess(data, ports: limited.ports)
            let before = score.count
            while score.count < before + 100 { try await Task.sleep(for: .milliseconds(10)) }
            score.isStopping.store(true, ordering: .relaxed)
            try await group.waitForAll()
            gateway = next
        }
        try await score.expectKept(client, accounts: Self.accounts)
        await client.close()
        #expect(gateway?.stop() == 0)
        #expect(try GatewayProcess.run(["verify", data]).code == 0)
    }
}

/// SplitMix64: the same numbers for the same seed.
struct Seeded: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
