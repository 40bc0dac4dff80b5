// The HTTP edge: JSON for administrators and the command line, health for orchestrators, figures for
// Prometheus. Bytes in, bytes out.
//
//      connection ─→ ConnectionGuard ─→ AdminResponder ─→ Routes ─→ one function for each endpoint
//        bounds, pace, headers     host, origin, type, size         reads the JSON, asks the gateway
//
// There are no keys yet, so whoever reaches the port may grant credit. That is why it listens on loopback
// only, why it answers only to the names of this machine (a web page that points its own name here is
// refused), and why it refuses whatever a browser says comes from another site.
//
// What it does not bound: requests per second, and the time a client takes to read an answer.

import Gateway
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle

/// Where the HTTP edge listens.
public struct AdminSettings: Hashable, Sendable {
    /// A loopback address, or `localhost`.
    public var host: String
    /// 0 lets the system choose.
    public var port: Int
    /// Names beside this machine's own that a request may give as its `Host`.
    public var hostNames: [String]

    public init(host: String = "127.0.0.1", port: Int = 4771, hostNames: [String] = []) {
        self.host = host
        self.port = port
        self.hostNames = hostNames
    }
}

/// What the edge tells of the process around it.
public struct AdminStatus: Sendable {
    /// The version of the program.
    public var version: String
    /// The connections of the framed protocol, now.
    public var connections: @Sendable () -> ConnectionFigures

    public init(version: String, connections: @escaping @Sendable () -> ConnectionFigures) {
        self.version = version
        self.connections = connections
    }
}

/// Why the HTTP edge does not listen.
public enum AdminError: Error, Hashable, Sendable {
    /// The address can be reached from other machines.
    case notLoopback(host: String)
    /// The server ended before it listened.
    case ended
}

extension AdminError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notLoopback(let host):
            "the admin server will not listen on \(host): other machines reach that address, and there are no"
                + " keys yet, so anyone among them could grant credit; use 127.0.0.1 or ::1, and come in"
                + " through an SSH tunnel or a proxy on this machine that asks who is there"
        case .ended: "the admin server ended before it listened; the log says why"
        }
    }
}

/// Serves HTTP until it is stopped.
public final class AdminServer: Sendable {
    /// The port that is listened on.
    public let port: Int
    private let services: ServiceGroup
    private let running: Task<Void, any Error>

    private init(port: Int, services: ServiceGroup, running: Task<Void, any Error>) {
        self.port = port
        self.services = services
        self.running = running
    }

    /// Starts listening, on the process's own event loops: they are idle but for administrators, and what
    /// lets go of a connection late still finds them there.
    ///
    /// - Throws: `AdminError.notLoopback`, or what the system says when the address cannot be bound.
    public static func start(
        _ gateway: Gateway, settings: AdminSettings, status: AdminStatus, logger: Logger
    ) async throws -> AdminServer {
        guard HostNames.isLoopback(settings.host) else { throw AdminError.notLoopback(host: settings.host) }
        let desk = AdminDesk(gateway, status: status, logger: logger)
        let responder = AdminResponder(desk, names: HostNames(settings))
        let (listening, announce) = AsyncStream.makeStream(of: Int.self)
        var decoder = HTTP1Channel.Configuration.DecoderConfiguration()
        decoder.maxHeaderFieldSize = AdminLimits.headBytesMax
        decoder.maxHeaderListSize = AdminLimits.headBytesMax
        decoder.maxHeaderFieldCount = AdminLimits.headerFieldsMax
        // Hummingbird says at every start what the line below says better.
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        let application = Application(
            responder: CallbackResponder<BasicRequestContext> { request, _ in
                try await responder.respond(to: request)
            },
            server: .http1(
                configuration: HTTP1Channel.Configuration(
                    additionalChannelHandlers: [ConnectionGuard()],
                    idleTimeout: .seconds(AdminLimits.idleSecondsMax), httpDecoderConfiguration: decoder)),
            configuration: ApplicationConfiguration(
                address: .hostname(settings.host, port: settings.port),
                availableConnectionsDelegate: MaximumAvailableConnections(
                    AdminLimits.connectionsMax, logger: quiet)),
            onServerRunning: { channel in
                announce.yield(channel.localAddress?.port ?? settings.port)
                announce.finish()
            },
            logger: quiet)
        var configuration = ServiceGroupConfiguration(services: [application], logger: quiet)
        configuration.maximumGracefulShutdownDuration = .seconds(AdminLimits.drainSecondsMax)
        let services = ServiceGroup(configuration: configuration)
        let running = Task {
            defer { announce.finish() }
            try await services.run()
        }
        for await port in listening {
            logger.info("admin server listening", metadata: ["host": "\(settings.host)", "port": "\(port)"])
            return AdminServer(port: port, services: services, running: running)
        }
        try await running.value
        throw AdminError.ended
    }

    /// Stops listening, lets answers under way go out, and closes the connections.
    ///
    /// Returns when all are closed, or after `AdminLimits.drainSecondsMax` at the latest.
    public func stop() async throws {
        await services.triggerGracefulShutdown()
        try await running.value
    }
}
