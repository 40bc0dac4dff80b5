// A file that gives credit is imported while the gateway is killed again and again: run until it succeeds, it has
// given every row once. Method: the built binary's own `credits import`, a kill at a random moment of each run.

import Foundation
import StrictJSON
import Testing

@Suite("imports under kill -9", .serialized)
struct ImportKillTests {
    private static let users = (0..<8).map { "user_00\($0)" }
    private static let rowsOfEach = 900

    @Test(
        "an import that is killed in the middle and run again gives every row once",
        arguments: [UInt64(1), 2])
    func killed(seed: UInt64) async throws {
        var random = Seeded(seed)
        let directory = try TemporaryDirectory()
        let data = directory.path + "/data"
        let file = directory.path + "/credit.csv"
        var text = "user_id,amount,source,reason\n"
        for row in 0..<Self.rowsOfEach {
            for user in Self.users { text += "\(user),0.25,retention_bonus,\"row \(row), for all\"\n" }
        }
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        var gateway = try GatewayProcess(data)
        try gateway.open(Self.users)
        for _ in 0..<4 {
            let port = gateway.adminPort
            let run = Task.detached { try Self.importing(file, port) }
            try await Task.sleep(for: .milliseconds(Int.random(in: 50...1_200, using: &random)))
            gateway.kill()
            _ = try await run.value
            gateway = try GatewayProcess(data, ports: gateway.ports)
        }
        let results = directory.path + "/results.csv"
        let last = try Self.importing(file, gateway.adminPort, ["--results", results])
        #expect(last.code == 0, "seed \(seed): \(last.output)")
        // A result for each row, in the order of the file.
        let lines = try String(contentsOfFile: results, encoding: .utf8).split(whereSeparator: \.isNewline)
        #expect(lines.count == Self.users.count * Self.rowsOfEach + 1)
        #expect(lines.first == "line,user_id,amount,result,message")
        #expect(lines.last?.hasPrefix("\(lines.count),\(Self.users[Self.users.count - 1]),0.25,") == true)
        let outcome = try JSONNode(parsing: Array(last.output.utf8))
        let counts = (
            given: try outcome.field("allocated").integer(in: 0...Int64.max),
            before: try outcome.field("allocated_before").integer(in: 0...Int64.max)
        )
        #expect(counts.given + counts.before == Int64(Self.users.count * Self.rowsOfEach), "seed \(seed)")
        for user in Self.users {
            let shown = try GatewayProcess.run([
                "accounts", "show", user, "--admin-port", "\(gateway.adminPort)", "--output", "json",
            ])
            let balance = try JSONNode(parsing: Array(shown.output.utf8)).field("balance").string()
            #expect(balance == "1000225.00", "seed \(seed), \(user)")
        }
        #expect(gateway.stop() == 0)
        let verified = try GatewayProcess.run(["verify", data])
        #expect(verified.code == 0, "\(verified.output)")
    }

    private static func importing(
        _ file: String, _ port: Int, _ more: [String] = []
    ) throws -> (code: Int32, output: String) {
        try GatewayProcess.run(
            ["credits", "import", file, "--yes", "--admin-port", "\(port)", "--output", "json"] + more)
    }
}
