// The server of the framed protocol: sockets on SwiftNIO, one lane for each event loop.

import Gateway
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Wire

#if canImport(Glibc)
    import Glibc
#endif

/// Listens for framed connections and serves them until it is drained.
public final class FrameServer: Sendable {
    private let group: MultiThreadedEventLoopGroup
    private let listener: any Channel
    private let gateway: Gateway
    private let loops: [NIOLoopBound<LoopServer>]
    private let notifiers: [LoopNotifier]
    private let limits: TransportLimits
    private let connectionCount: ConnectionCount
    private let memory: MemoryBudget
    /// The port that is listened on.
    public let port: Int

    /// Starts listening.
    ///
    /// - Throws: what the system says when the address cannot be bound.
    public static func start(
        _ gateway: Gateway, settings: TransportSettings, logger: Logger
    ) async throws -> FrameServer {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: settings.eventLoops)
        do {
            return try await FrameServer(gateway, settings: settings, group: group, logger: logger)
        } catch {
            try await group.shutdownGracefully()
            throw error
        }
    }

    private init(
        _ gateway: Gateway, settings: TransportSettings, group: MultiThreadedEventLoopGroup, logger: Logger
    ) async throws {
        self.group = group
        self.gateway = gateway
        limits = settings.limits
        let limits = settings.limits
        let memory = MemoryBudget(bytesMax: limits.memoryBytesMax, logger: logger) {
            gateway.stagedBytes
        }
        self.memory = memory
        var loops: [NIOLoopBound<LoopServer>] = []
        var notifiers: [LoopNotifier] = []
        for eventLoop in group.makeIterator() {
            let (bound, notifier) = try await eventLoop.submit {
                let server = LoopServer(
                    eventLoop: eventLoop, gateway: gateway, limits: limits, memory: memory)
                return (NIOLoopBound(server, eventLoop: eventLoop), LoopNotifier(server))
            }.get()
            gateway.add(notifier)
            loops.append(bound)
            notifiers.append(notifier)
        }
        self.loops = loops
        self.notifiers = notifiers
        let servers = loops
        let count = ConnectionCount(max: limits.connectionsMax)
        connectionCount = count
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(Self.tcp(TCP_USER_TIMEOUT), value: Self.userTimeoutMilliseconds(limits))
            .childChannelOption(Self.tcp(TCP_KEEPIDLE), value: 30)
            .childChannelOption(Self.tcp(TCP_KEEPINTVL), value: 10)
            .childChannelOption(Self.tcp(TCP_KEEPCNT), value: 3)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(
                .recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: limits.readBytes)
            )
            .childChannelOption(
                .writeBufferWaterMark,
                value: .init(low: limits.unreadBytesMax / 4, high: limits.unreadBytesMax)
            )
            .childChannelInitializer { channel in
                guard count.add() else {
                    if let refused = count.refusals.note() {
                        logger.warning(
                            "connections refused: \(limits.connectionsMax) are open, the most allowed",
                            metadata: ["refused": "\(refused)"])
                    }
                    return channel.close()
                }
                channel.closeFuture.whenComplete { _ in count.remove() }
                return channel.eventLoop.makeCompletedFuture {
                    guard let server = servers.first(where: { $0.eventLoop === channel.eventLoop }) else {
                        preconditionFailure("a child channel is on a loop of the group")
                    }
                    try channel.pipeline.syncOperations.addHandler(FrameConnection(server.value))
                }
            }
        listener = try await bootstrap.bind(host: settings.host, port: settings.port).get()
        port = listener.localAddress?.port ?? settings.port
        memory.observe { [listener] in Self.followMemory(memory, listener) }
        for loop in loops {
            memory.observe { loop.eventLoop.execute { loop.value.memoryRungDidChange() } }
        }
    }

    /// Accepts connections while there is memory for them. Those that come meanwhile wait in the listener's
    /// queue: closing them would make each try again at once.
    private static func followMemory(_ memory: MemoryBudget, _ listener: any Channel) {
        listener.eventLoop.execute {
            guard listener.isActive else { return }
            let accepts = memory.rung < .acceptsNobody
            // It fails only if the listener was closed meanwhile, by a drain.
            listener.setOption(.autoRead, value: accepts).whenSuccess {
                memory.note(accepting: accepts)
            }
        }
    }

    /// After how long without any acknowledgement the kernel gives a connection up; for one whose client reads nothing,
    /// too, so it is longer than such a client is given here.
    private static func userTimeoutMilliseconds(_ limits: TransportLimits) -> Int {
        Int(max(20, limits.writeStallSecondsMax + 10)) * 1_000
    }

    private static func tcp(_ option: CInt) -> ChannelOptions.Types.SocketOption {
        ChannelOptions.Types.SocketOption(level: .tcp, name: .init(rawValue: option))
    }

    /// How many connections are open.
    public var connections: Int { connectionCount.now }

    /// What operators watch.
    public var figures: ConnectionFigures {
        let counts = memory.counts
        return ConnectionFigures(
            open: connections, memoryBytes: memory.used, memoryBytesMax: memory.bytesMax,
            overloadRung: Int(memory.rung.rawValue), refusesCalls: memory.rung >= .refusesCalls,
            acceptPauses: counts.acceptPauses, refusedCalls: counts.refusedCalls,
            closedForMemory: counts.closedConnections)
    }

    /// Stops listening, tells every client, answers what is under way, closes the connections.
    ///
    /// Returns when all are closed, or after `drainSecondsMax` at the latest.
    public func drain() async throws {
        try await listener.close()
        for loop in loops {
            try await loop.eventLoop.submit { loop.value.beginDrain() }.get()
        }
        let deadline = NIODeadline.now() + .seconds(limits.drainSecondsMax)
        while NIODeadline.now() < deadline {
            var isBusy = false
            for loop in loops {
                isBusy = try await loop.eventLoop.submit { loop.value.isBusy }.get() || isBusy
            }
            if !isBusy { break }
            try await Task.sleep(for: .milliseconds(5))
        }
        for loop in loops { try await loop.eventLoop.submit { loop.value.closeAll() }.get() }
        for notifier in notifiers { gateway.remove(notifier) }
        try await group.shutdownGracefully()
    }
}

/// Counts connections against the limit.
final class ConnectionCount: Sendable {
    private let count = Atomic<Int>(0)
    private let max: Int
    let refusals = FloodReport()

    init(max: Int) { self.max = max }

    func add() -> Bool {
        if count.add(1, ordering: .relaxed).newValue <= max { return true }
        count.subtract(1, ordering: .relaxed)
        return false
    }

    func remove() { count.subtract(1, ordering: .relaxed) }

    var now: Int { count.load(ordering: .relaxed) }
}
