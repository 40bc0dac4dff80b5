// A flood of connections under a small limit of open files. Method: more sockets than the limit, all of them idle,
// while the journal has to open one segment after the other.

import Foundation
import Glibc
import Testing
import TollgateClient

@Suite("the limit of open files", .serialized)
struct OpenFilesTests {
    @Test("a flood of connections takes no file from the journal, and a limit that is too small is refused")
    func flood() async throws {
        let directory = try TemporaryDirectory()
        let data = directory.path + "/data"
        #expect(throws: GatewayProcess.StartFailure.self) { try GatewayProcess(data, openFilesMax: 300) }
        let gateway = try GatewayProcess(data, openFilesMax: 420)
        try gateway.open(["acme"])
        let client = TollgateClient(TollgateClient.Configuration(host: "127.0.0.1", port: gateway.port))
        try await client.ping()
        let sockets = (0..<600).map { _ in Self.connect(gateway.port) }
        defer { for socket in sockets where socket >= 0 { Glibc.close(socket) } }
        #expect(sockets.filter { $0 >= 0 }.count > 100)
        let score = Score()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<8 {
                group.addTask { try await score.report("f\(number)", account: "acme", over: client) }
            }
            // Some segments of 256 KiB.
            while score.count < 6_000, gateway.isRunning { try await Task.sleep(for: .milliseconds(20)) }
            score.isStopping.store(true, ordering: .relaxed)
            try await group.waitForAll()
        }
        #expect(gateway.isRunning)
        try await score.expectKept(client, accounts: ["acme"])
        await client.close()
        #expect(gateway.stop() == 0)
        #expect(
            try gateway.log().contains("limit of open files") || gateway.log().contains("connections refused")
        )
        let verified = try GatewayProcess.run(["verify", data])
        #expect(verified.code == 0, "\(verified.output)")
    }

    /// A connection that says nothing; -1 if there is none to be had.
    private static func connect(_ port: Int) -> Int32 {
        let handle = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard handle >= 0 else { return -1 }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = unsafe withUnsafeBytes(of: &address) { bytes in
            unsafe Glibc.connect(
                handle, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
        if result == 0 { return handle }
        Glibc.close(handle)
        return -1
    }
}
