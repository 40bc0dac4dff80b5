// One thread of the load: it sends records over its connections and keeps the books of the answers.
//
// A closed loop sends a frame for every answer, so that each connection always has as many under way as
// allowed; it finds the highest rate, and its latency says little. An open loop sends at a fixed rate whether
// or not answers come, and measures from the moment a record was meant to be sent, so that a stall
// of the gateway shows in every record it delayed. (Tene, "How NOT to Measure Latency".)
//
// The loop is poll, read, answer, write: one read and one write for all that is ready on a connection, and
// no hand-over to another thread.

import Bytes
import Glibc
import Histogram
import Platform
import Synchronization
import Wire

/// What a run's threads tell while they work.
final class LoadProgress: Sendable {
    let sent = Atomic<Int>(0)
    let answered = Atomic<Int>(0)
    let refused = Atomic<Int>(0)
    let isStopping = Atomic<Bool>(false)
}

/// What one thread brings home.
struct EngineResult: Sendable {
    var books: Books
    /// Nanoseconds, of the answers after the warm-up.
    var latency: Histogram<UInt64>
    var sent = 0
    /// Answers after the warm-up, and the span in which they came.
    var measured = 0
    var measuredFrom: UInt64 = 0
    var measuredTo: UInt64 = 0
    var reconnects = 0
    var failure: LoadError?
}

/// Belongs to the thread that runs it. A value, so that the compiler knows who changes it.
struct LoadEngine {
    let plan: LoadPlan
    let thread: Int
    let workload: Workload
    let writer: FrameWriter
    let clock = SystemClock()
    let progress: LoadProgress
    var result: EngineResult
    var connections: [LoadConnection] = []
    private var polled: [pollfd] = []

    /// How many records this thread has drawn, and may draw.
    private var drawn = 0
    private let drawnMax: Int
    /// How many frames an open loop sends over one connection before it turns to the next: a write for
    /// each frame would cost more than the frames.
    private static let framesInARow = 16
    var framesInFlight = 0
    private var framesScheduled = 0
    private var nextConnection = 0
    private let intervalNanoseconds: Double
    var startedAt: UInt64 = 0
    var warmUntil: UInt64 = 0
    var now: UInt64 = 0
    private var eventTime = PackedTime(microseconds: 1 << 50)
    var remembered: [SentRecord] = []
    var rememberedNext = 0
    private var told = (sent: 0, answered: 0, refused: 0)
    /// Answers with the same latency one after another are recorded together.
    var pendingLatency: (value: UInt64, count: UInt64) = (0, 0)

    init(plan: LoadPlan, thread: Int, progress: LoadProgress) {
        self.plan = plan
        self.thread = thread
        self.progress = progress
        workload = Workload(plan.workload)
        writer = FrameWriter(workload: workload, batchSize: plan.batchSize)
        result = EngineResult(
            books: Books(accounts: plan.workload.accounts, isKept: plan.isValidated),
            latency: LoadEngine.histogram())
        drawnMax = plan.recordCount.map { LoadEngine.part($0, thread, of: plan.threads) } ?? .max
        let framesPerSecond = Double(plan.rate ?? 0) / Double(plan.threads * plan.batchSize)
        intervalNanoseconds = plan.rate == nil ? 0 : 1e9 / framesPerSecond
        let count = LoadEngine.part(plan.connections, thread, of: plan.threads)
        connections = (0..<count).map { _ in
            LoadConnection(slotCount: plan.inFlight, batchSize: plan.batchSize)
        }
    }

    /// Latencies up to 100 s in nanoseconds, to three digits.
    static func histogram() -> Histogram<UInt64> {
        Histogram(highestTrackableValue: 100_000_000_000, numberOfSignificantValueDigits: .three)
    }

    /// The share of one thread in a number that does not divide evenly.
    static func part(_ total: Int, _ thread: Int, of threads: Int) -> Int {
        total / threads + (thread < total % threads ? 1 : 0)
    }

    /// Runs the load to its end.
    mutating func run() -> EngineResult {
        do throws(LoadError) {
            for connection in connections {
                connection.socket = try Socket(host: plan.host, port: plan.port)
            }
            try loop()
        } catch {
            result.failure = error
        }
        flushLatency()
        for connection in connections { result.books.unanswered += unansweredRecords(connection) }
        tell()
        return result
    }

    private mutating func loop() throws(LoadError) {
        polled = connections.map { _ in pollfd(fd: -1, events: 0, revents: 0) }
        startedAt = clock.monotonicNanoseconds()
        warmUntil = startedAt + plan.warmupNanoseconds
        result.measuredFrom = warmUntil
        result.measuredTo = warmUntil
        let wallAtStart = clock.wallMicroseconds()
        var stoppedAt: UInt64?
        while true {
            now = clock.monotonicNanoseconds()
            eventTime = PackedTime(microseconds: wallAtStart + Int64((now - startedAt) / 1_000))
            let elapsed = now - startedAt
            let isOver =
                drawn >= drawnMax || progress.isStopping.load(ordering: .relaxed)
                || (plan.durationNanoseconds.map { elapsed >= $0 + plan.warmupNanoseconds } ?? false)
            if isOver && stoppedAt == nil { stoppedAt = now }
            if let stoppedAt {
                if framesInFlight == 0 || now - stoppedAt > plan.drainNanoseconds { break }
            } else {
                send()
            }
            try maintain()
            if connections.allSatisfy({ $0.socket == nil }) && !plan.reconnects { break }
            try wait(isStopped: stoppedAt != nil)
            tell()
        }
    }

    /// Sends what may be sent now.
    private mutating func send() {
        guard plan.rate != nil else {
            for connection in connections where connection.socket != nil { fill(connection) }
            return
        }
        let due = Int(Double(now - startedAt) / intervalNanoseconds)
        var (left, tried) = (LoadEngine.framesInARow, 0)
        while framesScheduled < due && drawn < drawnMax {
            let connection = connections[nextConnection]
            let isReady =
                connection.socket != nil && connection.freeCount > 0
                && connection.outgoing.count < LoadLimits.outgoingBytesMax
            guard isReady && left > 0 else {
                tried = isReady ? 0 : tried + 1
                // What no connection can take now stays due, and its latency counts on.
                if tried == connections.count { break }
                nextConnection = (nextConnection + 1) % connections.count
                left = LoadEngine.framesInARow
                continue
            }
            left -= 1
            let intended = startedAt + UInt64(Double(framesScheduled) * intervalNanoseconds)
            framesScheduled += 1
            sendFrame(over: connection, at: intended)
        }
        nextConnection = (nextConnection + 1) % connections.count
    }

    /// Fills a connection of a closed loop.
    private mutating func fill(_ connection: LoadConnection) {
        while connection.freeCount > 0 && drawn < drawnMax
            && connection.outgoing.count < LoadLimits.outgoingBytesMax
        {
            sendFrame(over: connection, at: now)
        }
    }

    private mutating func sendFrame(over connection: LoadConnection, at time: UInt64) {
        guard let slot = connection.takeSlot(sentAt: time) else { return }
        let count = min(plan.batchSize, drawnMax - drawn)
        let writer = writer
        writer.append(slot: slot, count: count, to: connection.outgoing) { _ in
            let (record, item) = draw()
            connection.append(record, to: slot)
            if record.isRepetition {
                return (record.number, item, PackedTime(microseconds: record.eventTime), record.stage)
            }
            return (record.number, item, eventTime, record.stage)
        }
        framesInFlight += 1
    }

    /// The next record of this thread: a fresh one, or one that was answered before.
    @inline(__always)
    private mutating func draw() -> (SentRecord, WorkItem) {
        let number = UInt64(drawn * plan.threads + thread)
        drawn += 1
        if !remembered.isEmpty && workload.isRepetition(number) {
            let choice = Workload.mix(number) % UInt64(remembered.count)
            let record = remembered[Int(choice)]
            return (record, workload.item(record.number))
        }
        let item = workload.item(number)
        var record = SentRecord(number: number, eventTime: eventTime.microseconds, account: item.account)
        record.isQuote = item.isQuote
        if item.isHeld { record.stage = .opening }
        return (record, item)
    }

    /// Writes what is waiting, connects again what was lost, and sends again what was not answered.
    private mutating func maintain() throws(LoadError) {
        for connection in connections {
            if connection.socket == nil {
                guard plan.reconnects, now >= connection.reconnectAt else { continue }
                do throws(LoadError) {
                    connection.socket = try Socket(host: plan.host, port: plan.port)
                } catch {
                    connection.reconnectAt = now + LoadLimits.reconnectNanoseconds
                    continue
                }
                result.reconnects += 1
            }
            if !connection.again.isEmpty { sendAgain(connection) }
            try flush(connection)
        }
    }

    private func sendAgain(_ connection: LoadConnection) {
        let slots = connection.again
        connection.again = []
        for slot in slots {
            writer.append(slot: slot, count: connection.recordCount(slot), to: connection.outgoing) {
                let record = connection.record(slot, $0)
                return (
                    record.number, workload.item(record.number),
                    PackedTime(microseconds: record.eventTime), record.stage
                )
            }
        }
    }

    private mutating func flush(_ connection: LoadConnection) throws(LoadError) {
        guard connection.outgoing.count > 0, let socket = connection.socket else { return }
        switch try socket.write(connection.outgoing.view, waits: false) {
        case .bytes(let count): connection.outgoing.consume(count)
        case .wouldBlock: break
        case .ended: lose(connection)
        }
    }

    /// Waits until something can be read, written or sent.
    private mutating func wait(isStopped: Bool) throws(LoadError) {
        for (index, connection) in connections.enumerated() {
            polled[index].fd = connection.socket?.descriptor ?? -1
            let writing = connection.outgoing.count > 0 ? CInt(POLLOUT) : 0
            polled[index].events = Int16(CInt(POLLIN) | writing)
        }
        var timeout: CInt = 100
        if plan.rate != nil && !isStopped {
            let next = startedAt + UInt64(Double(framesScheduled + 1) * intervalNanoseconds)
            let milliseconds = next > now ? (next - now) / 1_000_000 : 0
            timeout = CInt(min(milliseconds, 100))
        }
        if connections.contains(where: { $0.socket == nil }) { timeout = min(timeout, 10) }
        var ready = unsafe poll(&polled, nfds_t(polled.count), timeout)
        if ready == 0 && timeout == 0 {
            // poll counts in milliseconds; an open loop needs finer steps, and must not spin on a core
            // that the gateway could use.
            var pause = timespec(tv_sec: 0, tv_nsec: 40_000)
            _ = unsafe nanosleep(&pause, nil)
            ready = unsafe poll(&polled, nfds_t(polled.count), 0)
        }
        guard ready > 0 else {
            if ready < 0 && errno != EINTR {
                throw .socket(call: "poll", peer: "\(plan.host):\(plan.port)", code: errno)
            }
            return
        }
        now = clock.monotonicNanoseconds()
        for index in connections.indices where polled[index].revents != 0 {
            let connection = connections[index]
            try receive(connection)
            // A settlement follows its hold at once.
            if !connection.again.isEmpty && connection.socket != nil {
                sendAgain(connection)
                try flush(connection)
            }
            if plan.rate == nil && !isStopped && connection.socket != nil {
                fill(connection)
                try flush(connection)
            }
        }
    }

    private func unansweredRecords(_ connection: LoadConnection) -> Int {
        (0..<connection.slotCount).reduce(0) { $0 + connection.recordCount($1) }
    }

    /// Adds what happened since the last time to what all threads show.
    private mutating func tell() {
        result.sent = drawn
        let (answered, refused) = (result.books.answered, result.books.refusedCount)
        progress.sent.wrappingAdd(drawn - told.sent, ordering: .relaxed)
        progress.answered.wrappingAdd(answered - told.answered, ordering: .relaxed)
        progress.refused.wrappingAdd(refused - told.refused, ordering: .relaxed)
        told = (drawn, answered, refused)
    }
}
