// A disk that fills up under the running process, and has room again. Method: the data directory on a small
// tmpfs of the test's own, which takes root to mount; a file takes the rest of it.

import Foundation
import Glibc
import Synchronization
import Testing
import TollgateClient

@Suite("a full disk", .serialized)
struct FullDiskTests {
    @Test(
        "reports are refused with DISK_FULL, quotes go on, and it heals without a restart",
        .enabled(if: getuid() == 0, "mounting a small file system takes root"))
    func fullDisk() async throws {
        let directory = try TemporaryDirectory()
        let mount = directory.path + "/disk"
        try FileManager.default.createDirectory(atPath: mount, withIntermediateDirectories: true)
        try #require(try shell("mount -t tmpfs -o size=24m tollgate-test \(mount)") == 0)
        defer { unmount(mount) }
        let data = mount + "/data"
        let gateway = try GatewayProcess(data)
        try gateway.open(["acme"])
        let client = TollgateClient(TollgateClient.Configuration(host: "127.0.0.1", port: gateway.port))
        let score = Score()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<8 {
                group.addTask { try await score.report("d\(number)", account: "acme", over: client) }
            }
            while score.count < 100 { try await Task.sleep(for: .milliseconds(5)) }
            // Everything that is left goes to another file.
            _ = try shell("dd if=/dev/zero of=\(mount)/filler bs=64k count=1000 2>/dev/null")
            let deadline = Date(timeIntervalSinceNow: 60)
            while score.state.withLock({ $0.refusals["DISK_FULL"] ?? 0 }) == 0, Date() < deadline {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(score.state.withLock { Array($0.refusals.keys) } == ["DISK_FULL"])
            var draft = UsageReport(
                requestID: [], account: "acme", credentialSource: .platform, provider: "openai",
                model: "gpt-4o", eventTimeMicroseconds: 0)
            draft.usage.inputTokens = 1_000
            #expect(try await client.quote(draft).charge > 0, "a quote touches no disk")
            #expect(gateway.isRunning)

            try FileManager.default.removeItem(atPath: mount + "/filler")
            let before = score.count
            let healed = Date(timeIntervalSinceNow: 60)
            while score.count < before + 100, Date() < healed { try await Task.sleep(for: .milliseconds(20)) }
            #expect(score.count >= before + 100, "no report was taken a minute after there was room")
            score.isStopping.store(true, ordering: .relaxed)
            try await group.waitForAll()
        }
        try await score.expectKept(client, accounts: ["acme"])
        await client.close()
        #expect(gateway.stop() == 0)
        let verified = try GatewayProcess.run(["verify", data])
        #expect(verified.code == 0, "\(verified.output)")
    }

    private func unmount(_ path: String) {
        do {
            #expect(try shell("umount \(path)") == 0)
        } catch {
            Issue.record("\(path) stays mounted: \(error)")
        }
    }

    private func shell(_ command: String) throws -> Int32 {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", command]
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
    }
}
