// Where the gateway is, for the commands that talk to one.

import ArgumentParser
import TollgateClient

struct FrameOptions: ParsableArguments {
    @Option(help: "Address of the gateway.")
    var host = "127.0.0.1"

    @Option(help: "Port of its framed protocol.")
    var port = 4770

    @Option(help: ArgumentHelp("How long to go on trying.", valueName: "seconds"))
    var timeout = 10

    func validate() throws {
        guard (1...65_535).contains(port) else { throw ValidationError("--port is from 1 to 65535") }
        guard (1...3_600).contains(timeout) else {
            throw ValidationError("--timeout is from 1 to 3600 seconds")
        }
    }

    func client() -> TollgateClient {
        var configuration = TollgateClient.Configuration(host: host, port: port)
        configuration.timeout = .seconds(timeout)
        return TollgateClient(configuration)
    }

    /// Runs `body` with a client; what the client throws becomes words and an exit code.
    func withClient<Result: Sendable>(
        _ body: (TollgateClient) async throws -> Result
    ) async throws -> Result {
        let client = client()
        do {
            let result = try await body(client)
            await client.close()
            return result
        } catch let error as ClientError {
            await client.close()
            if case .refused = error { throw CommandFailure.negative(error.message) }
            throw CommandFailure.environment("\(host):\(port): \(error.message)")
        }
    }
}

struct AdminOptions: ParsableArguments {
    @Option(help: "Address of the gateway.")
    var host = "127.0.0.1"

    @Option(help: "Port of its HTTP API.")
    var adminPort = 4771

    func validate() throws {
        guard (1...65_535).contains(adminPort) else {
            throw ValidationError("--admin-port is from 1 to 65535")
        }
    }

    var client: AdminClient { AdminClient(host: host, port: adminPort) }
}
