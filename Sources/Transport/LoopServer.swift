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
    let memory: MemoryBudget
    /// What connections hold more, or less, than `memory` was told.
    private var uncounted = 0
    private var isRelieving = false
    var desk: FrameDesk
    private(set) var connections: [ObjectIdentifier: FrameConnection] = [:]
    /// Connections with answers that wait for the end of the loop's turn.
    private var answering: [FrameConnection] = []
    private var waiting: [FrameConnection] = []
    /// Connections that are not read because the journal is behind.
    private var paused: [FrameConnection] = []
    private(set) var isDraining = false

    init(eventLoop: any EventLoop, gateway: Gateway, limits: TransportLimits, memory: MemoryBudget) {
        self.eventLoop = eventLoop
        self.gateway = gateway
        self.limits = limits
        self.memory = memory
        desk = FrameDesk(gateway)
    }

    func add(_ connection: FrameConnection) { connections[ObjectIdentifier(connection)] = connection }

    /// Forgets a connection, and what it held.
    func remove(_ connection: FrameConnection) {
        connections[ObjectIdentifier(connection)] = nil
        countMemory()
    }

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
        countMemory()
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
        countMemory()
    }

    /// Notes that a connection is to be read again once the journal has caught up.
    func pause(_ connection: FrameConnection) { paused.append(connection) }

    private func resumePaused() {
        guard !paused.isEmpty, !gateway.isCongested else { return }
        var resumed: [FrameConnection] = []
        swap(&resumed, &paused)
        for connection in resumed { connection.resumeReading() }
    }

    // MARK: - Memory

    /// Notes that connections hold so many bytes more, or less. The sum is told at the end of a turn, when a
    /// connection ends or is looked at, and when it is worth it.
    func count(_ bytes: Int) {
        uncounted += bytes
        if abs(uncounted) >= Self.uncountedBytesMax { countMemory() }
    }

    private static let uncountedBytesMax = 64 << 10

    func countMemory() {
        let bytes = uncounted
        uncounted = 0
        memory.add(bytes)
    }

    /// Memory has become shorter, or less short.
    func memoryRungDidChange() {
        if memory.rung < .acceptsNobody {
            for connection in connections.values { connection.resumeReading() }
        }
        if memory.rung >= .closesStalled, !isRelieving { relieve() }
    }

    /// Closes the largest of the connections whose clients do nothing, until memory is less short; looks again
    /// a little later while it is not.
    private func relieve() {
        isRelieving = memory.rung >= .closesStalled
        guard isRelieving else { return }
        let now = NIODeadline.now()
        var excess = memory.excess
        var (closed, freed) = (0, 0)
        let stalled = connections.values.filter { $0.isStalled(at: now) }
            .sorted { $0.heldBytes > $1.heldBytes }
        for connection in stalled where excess > 0 {
            closed += 1
            freed += connection.heldBytes
            excess -= connection.heldBytes
            connection.close()
        }
        if closed > 0 { memory.count(closed: closed, bytes: freed) }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.scheduleTask(in: Self.relieveInterval) { bound.value.relieve() }
    }

    private static let relieveInterval = TimeAmount.milliseconds(100)

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
