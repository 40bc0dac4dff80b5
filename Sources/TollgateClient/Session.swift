// The life of the client's calls across connections: wait, send, send again, end.
//
//      submit ──→ waiting ──→ sent ──→ ended        answer, refusal, deadline, cancellation
//                  ↑  ↑        │  │
//                  │  └────────┘  │                 the connection is lost
//                  └── pausing ←──┘                 UNAVAILABLE: after a pause
//
// Everything here belongs to one event loop, so there is no lock and no order of locks. A call ends
// exactly once, through `end`.

import Bytes
import NIOCore
import NIOPosix
import Wire

/// Belongs to `loop`; every method is called on it.
final class Session: @unchecked Sendable {
    let configuration: TollgateClient.Configuration
    let loop: any EventLoop

    /// Every call that was submitted and has not ended.
    private var live: [ObjectIdentifier: Call] = [:]
    /// Calls that are to be sent, the oldest first. Some may have ended meanwhile.
    private var queue = CircularBuffer<Call>()
    /// The connection that takes new calls.
    private var current: Connection?
    /// Connections that only finish what they carry.
    private var retiring: [ObjectIdentifier: Connection] = [:]
    private var isConnecting = false
    /// Whether the last connection failed or ended before it answered anything.
    private var hasFailed = false
    private var backoff: Backoff
    private var generator = SystemRandomNumberGenerator()
    private var lastProblem = "no connection"
    private var phase = Phase.open

    private enum Phase {
        case open
        /// Takes no new calls and finishes those it has.
        case finishing(done: @Sendable () -> Void)
        /// Has no calls and waits for its connections to end.
        case disconnecting(done: @Sendable () -> Void)
        case closed

        var takesCalls: Bool { if case .open = self { true } else { false } }
        var mayConnect: Bool {
            switch self {
            case .open, .finishing: true
            case .disconnecting, .closed: false
            }
        }
    }

    init(_ configuration: TollgateClient.Configuration, loop: any EventLoop) {
        self.configuration = configuration
        self.loop = loop
        backoff = Backoff(first: configuration.backoffFirst, longest: configuration.backoffLongest)
    }

    // MARK: Calls

    func submit(_ call: Call) {
        loop.preconditionInEventLoop()
        live[ObjectIdentifier(call)] = call
        if call.cancelledEarly { return end(call, .failure(.cancelled)) }
        guard phase.takesCalls else { return end(call, .failure(.closed)) }
        if queue.count >= configuration.waitingMax {
            return end(call, .failure(.tooManyWaiting(limit: configuration.waitingMax)))
        }
        call.backoff = Backoff(first: configuration.backoffFirst, longest: configuration.backoffLongest)
        call.timer = loop.assumeIsolated().scheduleTask(deadline: call.deadline) { [self] in
            let problem = call.state == .sent ? "the server has not answered" : call.lastProblem
            end(call, .failure(.deadlineExceeded(attempts: call.attempts, lastProblem: problem)))
        }
        call.state = .waiting
        call.lastProblem = lastProblem
        queue.append(call)
        sendWaiting()
    }

    func cancel(_ call: Call) {
        loop.preconditionInEventLoop()
        if call.state == .new {
            call.cancelledEarly = true
        } else {
            end(call, .failure(.cancelled))
        }
    }

    private func end(_ call: Call, _ result: Result<Reply, ClientError>) {
        guard call.state != .ended else { return }
        call.state = .ended
        call.carrier?.forget(call)
        call.timer?.cancel()
        call.timer = nil
        live[ObjectIdentifier(call)] = nil
        call.answer?(result)
        call.answer = nil
        closeIdleRetiring()
        if live.isEmpty, case .finishing(let done) = phase { disconnect(done) }
    }

    /// Sends as many waiting calls as the connection may carry.
    private func sendWaiting() {
        // Calls that ended while they waited are dropped here.
        while let first = queue.first, first.state == .ended { queue.removeFirst() }
        guard !queue.isEmpty else { return }
        guard let current else { return connect() }
        while current.inFlight < configuration.inFlightMax, let call = queue.popFirst() {
            guard call.state == .waiting else { continue }
            call.state = .sent
            call.attempts += 1
            if let bytes = current.send(call) {
                call.state = .waiting
                end(call, .failure(.tooLong(bytes: bytes, limit: WireLimits.messageBytesMax)))
            }
        }
    }

    // MARK: Connections

    private func connect() {
        guard !isConnecting && current == nil && phase.mayConnect else { return }
        isConnecting = true
        let wait = hasFailed ? backoff.next(using: &generator) : .zero
        loop.assumeIsolated().scheduleTask(in: TimeAmount(wait)) { [self] in
            if phase.mayConnect {
                dial()
            } else {
                isConnecting = false
                closeIfDisconnected()
            }
        }
    }

    private func dial() {
        let connection = Connection(owner: self, silenceMax: configuration.silenceMax)
        let bound = NIOLoopBound(connection, eventLoop: loop)
        ClientBootstrap(group: loop)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connectTimeout(TimeAmount(configuration.connectTimeout))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(bound.value)
                }
            }
            .connect(host: configuration.host, port: configuration.port)
            .hop(to: loop)
            .assumeIsolated()
            .whenComplete { [self] result in
                isConnecting = false
                switch result {
                case .success(let channel):
                    guard phase.mayConnect else {
                        channel.close(promise: nil)
                        return closeIfDisconnected()
                    }
                    guard channel.isActive else { return lost("the connection ended at once") }
                    current = connection
                    sendWaiting()
                case .failure(let error):
                    lost("cannot connect to \(configuration.host):\(configuration.port): \(error)")
                }
            }
    }

    /// Notes why there is no connection and tries again while somebody waits for it.
    private func lost(_ problem: String) {
        lastProblem = problem
        hasFailed = true
        closeIfDisconnected()
        for call in queue where call.state == .waiting { call.lastProblem = problem }
        sendWaiting()
    }

    /// Connections that carry nothing any more and take nothing new are closed.
    private func closeIdleRetiring() {
        for connection in retiring.values where connection.inFlight == 0 {
            connection.close(because: "the server is draining")
        }
    }

    // MARK: The end

    func close(grace: Duration, _ done: @escaping @Sendable () -> Void) {
        loop.preconditionInEventLoop()
        guard phase.takesCalls else { return done() }
        phase = .finishing(done: done)
        guard !live.isEmpty else { return disconnect(done) }
        loop.assumeIsolated().scheduleTask(in: TimeAmount(grace)) { [self] in
            for call in Array(live.values) { end(call, .failure(.closed)) }
        }
    }

    private func disconnect(_ done: @escaping @Sendable () -> Void) {
        phase = .disconnecting(done: done)
        current?.close(because: "the client is closing")
        for connection in retiring.values { connection.close(because: "the client is closing") }
        closeIfDisconnected()
    }

    private func closeIfDisconnected() {
        guard case .disconnecting(let done) = phase, current == nil, retiring.isEmpty, !isConnecting
        else { return }
        phase = .closed
        done()
    }
}

extension Session: ConnectionOwner {
    func connection(_ connection: Connection, answered call: Call, with frame: ServerFrame) {
        hasFailed = false
        backoff.reset()
        switch frame.answer {
        case .receipt(let receipt):
            end(call, .success(.receipt(receipt)))
        case .reportBatch(let answer):
            end(call, .success(.results(connection.results(of: answer))))
        case .quote(let quote):
            end(call, .success(.quote(Quote(quote))))
        case .balance(let balance):
            end(call, .success(.balance(Balance(balance))))
        case .pong:
            end(call, .success(.pong))
        case .status(let status):
            let refusal = CallRefusal(status)
            if refusal.isTemporary {
                pause(call, refusal)
            } else {
                end(call, .failure(.refused(refusal)))
            }
        case .hold(let answer):
            if let hold = Hold(answer) {
                end(call, .success(.hold(hold)))
            } else {
                end(call, .failure(.unexpectedAnswer("a hold in a state that this version does not know")))
            }
        case .draining, .empty:
            end(call, .failure(.unexpectedAnswer("nothing that this version knows")))
        }
        sendWaiting()
    }

    /// Puts a call aside until the gateway may be able to take it.
    private func pause(_ call: Call, _ refusal: CallRefusal) {
        call.state = .pausing
        call.lastProblem = "\(refusal.reason): \(refusal.message)"
        let wait = max(refusal.retryAfter ?? .zero, call.backoff.next(using: &generator))
        loop.assumeIsolated().scheduleTask(in: TimeAmount(wait)) { [self] in
            guard call.state == .pausing else { return }
            call.state = .waiting
            queue.append(call)
            sendWaiting()
        }
    }

    func connectionIsDraining(_ connection: Connection) {
        if current === connection { current = nil }
        retiring[ObjectIdentifier(connection)] = connection
        lastProblem = "the server is draining"
        hasFailed = true
        closeIdleRetiring()
        sendWaiting()
    }

    func connection(_ connection: Connection, lost unanswered: [Call], because problem: String) {
        if current === connection { current = nil }
        retiring[ObjectIdentifier(connection)] = nil
        // What was sent first is sent first again, before what has not been sent yet.
        for call in unanswered.reversed() where call.state == .sent {
            call.state = .waiting
            call.lastProblem = problem
            queue.prepend(call)
        }
        lost(problem)
    }
}
