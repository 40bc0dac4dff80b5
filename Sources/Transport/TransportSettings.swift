// How the framed transport listens, and its bounds.

import NIOCore

/// The bounds of a connection and of the server; each has an answer when it is reached.
public struct TransportLimits: Hashable, Sendable {
    /// Connections at once; more are closed as soon as they are accepted.
    public var connectionsMax = 20_000
    /// Calls of a connection that wait for their answer; above it the connection is not read.
    public var inFlightMax = 1_024
    /// Bytes of answers that a client has not read yet; above it the connection is not read.
    public var unreadBytesMax = 256 * 1_024
    /// Bytes that all connections together may hold: see `MemoryBudget` for what happens before it is reached.
    /// It is what a thousand clients hold that each leave `unreadBytesMax` unread.
    public var memoryBytesMax = 256 << 20
    /// For how long a connection must have taken nothing before it may be closed because memory is short.
    public var stalledAfter = TimeAmount.seconds(1)
    /// Bytes that one read takes at most.
    public var readBytes = 64 * 1_024
    /// How long a frame may stay incomplete.
    public var partialFrameSecondsMax: Int64 = 10
    /// How fast an incomplete frame must come; 0 for no such floor.
    public var partialFrameBytesPerSecondMin = 256
    /// The time over which that speed is taken, so that a pause of the network is not punished.
    public var partialFrameGrace = TimeAmount.seconds(5)
    /// How long a client may read nothing of what it was answered.
    public var writeStallSecondsMax: Int64 = 10
    /// How long a connection may say nothing.
    public var idleSecondsMax: Int64 = 90
    /// How long a drain waits for answers under way.
    public var drainSecondsMax: Int64 = 10

    public init() {}
}

/// Where and how the framed transport listens.
public struct TransportSettings: Hashable, Sendable {
    public var host: String
    /// 0 lets the system choose.
    public var port: Int
    /// Threads that serve connections.
    public var eventLoops: Int
    public var limits = TransportLimits()

    public init(host: String = "127.0.0.1", port: Int = 4770, eventLoops: Int) {
        self.host = host
        self.port = port
        self.eventLoops = eventLoops
    }
}
