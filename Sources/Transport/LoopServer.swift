// What the connections of one event loop share: the desk that answers them, and the list of those that wait
// for the journal. Everything here runs on that loop, so nothing is locked.

import Gateway
import NIOCore
import Synchronization

/// The part of the server that lives on one event loop.
final class LoopServer {
    let eventLoop: any EventLoop
    let gateway: Gateway
    let limits: TransportLimits
    var desk: FrameDesk
    private(set) var connections: [ObjectIdentifier: FrameConnection] = [:]
    /// Connections with answers that wait for the end of the loop's turn.
    private var answering: [FrameConnection] = []
    private var waiting: [FrameConnection] = []
    /// Connections that are not read because the journal is behind.
    private var paused: [FrameConnection] = []
    private(set) var isDraining = false

    init(eventLoop: any EventLoop, gateway: Gateway, limits: TransportLimits) {
        self.eventLoop = eventLoop
        self.gateway = gateway
        self.limits = limits
        desk = FrameDesk(gateway)
    }

    func add(_ connection: FrameConnection) { connections[ObjectIdentifier(connection)] = connection }

    func remove(_ connection: FrameConnection) { connections[ObjectIdentifier(connection)] = nil }

    /// Notes that a connection has answers. They are handed to the journal at the end of the loop's turn, all
    /// of the turn's in one go: the tasks of an event loop run after everything that was ready to be read.
    func answer(_ connection: FrameConnection) {
        answering.append(connection)
        guard answering.count == 1 else { return }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.execute { bound.value.endTurn() }
    }

    private func endTurn() {
        desk.lane.handOver()
        var ended: [FrameConnection] = []
        swap(&ended, &answering)
        for connection in ended { connection.flushAnswers() }
        ended.removeAll(keepingCapacity: true)
        if answering.isEmpty { swap(&ended, &answering) }
        if !waiting.isEmpty { release(through: gateway.durableCycle) }
    }

    /// Notes that a connection has answers that wait for the journal.
    func wait(_ connection: FrameConnection) { waiting.append(connection) }

    /// Sends the answers that `cycle` made durable.
    func release(through cycle: UInt64) {
        var still: [FrameConnection] = []
        swap(&still, &waiting)
        var kept = 0
        for index in still.indices {
            let connection = still[index]
            if connection.release(through: cycle) {
                still[kept] = connection
                kept += 1
            }
        }
        still.removeLast(still.count - kept)
        if waiting.isEmpty {
            swap(&still, &waiting)
        } else {
            waiting.append(contentsOf: still)
        }
        resumePaused()
    }

    /// Notes that a connection is to be read again once the journal has caught up.
    func pause(_ connection: FrameConnection) { paused.append(connection) }

    private func resumePaused() {
        guard !paused.isEmpty, !gateway.isCongested else { return }
        var resumed: [FrameConnection] = []
        swap(&resumed, &paused)
        for connection in resumed { connection.resumeReading() }
    }

    /// Tells every client that the server is about to stop.
    func beginDrain() {
        isDraining = true
        for connection in connections.values { connection.beginDrain() }
    }

    /// Whether some connection still waits for answers.
    var isBusy: Bool { connections.values.contains { $0.isBusy } }

    func closeAll() {
        for connection in connections.values { connection.close() }
    }
}

/// Carries the journal's progress from its thread to an event loop, once for each time the loop looks.
final class LoopNotifier: DurabilityListener {
    private let eventLoop: any EventLoop
    private let server: NIOLoopBound<LoopServer>
    private let gateway: Gateway
    private let isScheduled = Atomic<Bool>(false)

    init(_ server: LoopServer) {
        eventLoop = server.eventLoop
        gateway = server.gateway
        self.server = NIOLoopBound(server, eventLoop: server.eventLoop)
    }

    func cycleDidBecomeDurable(_ cycle: UInt64) {
        if isScheduled.exchange(true, ordering: .acquiringAndReleasing) { return }
        eventLoop.execute { [self] in
            isScheduled.store(false, ordering: .sequentiallyConsistent)
            server.value.release(through: gateway.durableCycle)
        }
    }
}
