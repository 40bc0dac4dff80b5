// When a connection is not read, and when it is closed without having asked for it.

import NIOCore

/// The bytes that a connection holds.
struct ConnectionMemory: Hashable, Sendable {
    /// Received and not handled.
    var unhandled = 0
    /// Frames that wait for history.
    var late = 0
    /// Answers of the turn under way, answers that wait for the journal, answers that the socket has not taken.
    var answering = 0
    var waiting = 0
    var unsent = 0

    var total: Int { unhandled + late + answering + waiting + unsent }
}

extension FrameConnection {
    // MARK: - Back-pressure

    /// Whether anything may be read. While memory is short nothing more is taken from a client that leaves its
    /// answers unread, so that those who read them are served.
    private var mayRead: Bool {
        inFlight < server.limits.inFlightMax && !isFull && stalledSince == nil && !server.gateway.isCongested
            && (memory.unsent == 0 || server.memory.rung < .acceptsNobody)
    }

    func read(context: ChannelHandlerContext) {
        if mayRead {
            context.read()
            return
        }
        wantsRead = true
        if server.gateway.isCongested { server.pause(self) }
    }

    func resumeReading(_ context: ChannelHandlerContext) {
        guard wantsRead, mayRead else { return }
        wantsRead = false
        context.read()
    }

    /// Reads again after the journal has caught up, or memory is free.
    func resumeReading() {
        if let context { resumeReading(context) }
    }

    // MARK: - The watch

    /// Looks every second for a frame that stays incomplete or comes too slowly, a client that does not read,
    /// and silence.
    func scheduleWatch(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: .seconds(1)) {
            let connection = bound.value
            guard let context = connection.context else { return }
            guard connection.watch(at: .now()) else { return context.close(promise: nil) }
            connection.scheduleWatch(context)
        }
    }

    /// Returns whether the connection may stay open.
    private func watch(at now: NIODeadline) -> Bool {
        let limits = server.limits
        server.countMemory()
        // If it is this side that does not read, the rest of the frame may have been sent long ago.
        if wantsRead { partial?.pause(until: now) }
        if partial?.check(at: now, limits) != nil { refusePartial() }
        let longest = TimeAmount.seconds(limits.writeStallSecondsMax)
        if let since = stalledSince ?? lastFlushSince, now - since > longest { return false }
        if memory.unsent > 0, now - unsentSince > longest { return false }
        return inFlight > 0 || now - lastRead <= .seconds(limits.idleSecondsMax)
    }

    /// Whether the connection holds memory because its client does nothing: it takes none of its answers, or
    /// does not finish a frame.
    func isStalled(at now: NIODeadline) -> Bool {
        let longest = server.limits.stalledAfter
        if memory.unsent > 0, now - unsentSince >= longest { return true }
        guard let partial, !wantsRead, memory.unhandled > 0 else { return false }
        return partial.age(at: now) >= longest
    }
}
