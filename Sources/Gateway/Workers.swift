// The gateway's own threads: the history, the look-ups in it, and the checkpoints.

import Journal
import Ledger
import Logging
import Platform
import Store
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// The threads behind the journal.
final class Workers: Sendable {
    let lookups: HistoryLookups
    private let gateway: Gateway
    private let isStopping = Atomic<Bool>(false)
    /// A stop that finishes nothing.
    private let isAbandoned = Atomic<Bool>(false)
    private let historyWakeup = Wakeup()
    /// Somebody waits for the history, so it does not run last.
    private let isHistoryUrgent = Atomic<Bool>(false)
    private let checkpointWakeup = Wakeup()
    private let sweeperWakeup = Wakeup()
    private let threads = Mutex<[WorkerThread]>([])

    /// Starts the threads. The journal is running.
    init(_ gateway: Gateway) throws {
        self.gateway = gateway
        let logger = gateway.logger
        lookups = HistoryLookups(gateway.history, gateway.ledger.keys) { [unowned gateway] versions in
            gateway.makePinned(versions)
        } onFatal: {
            Gateway.end(logger, $0)
        }
        let worker = Sending(try HistoryWorker(gateway))
        let lookups = lookups
        let started = [
            try WorkerThread(name: Self.historyName, urgency: .last) { [self] in followHistory(worker.value)
            },
            try WorkerThread(name: "history-lookup", urgency: .normal) { lookups.run() },
            try WorkerThread(name: "checkpoint", urgency: .later) { [self] in takeCheckpoints() },
            try WorkerThread(name: "sweeper", urgency: .later) { [self] in sweep() },
        ]
        threads.withLock { $0 = started }
    }

    /// How long the history waits once it has caught up, unless somebody asks for what is in it: every account of a
    /// transaction has a page of sums to be written, however few its rows are.
    private static let historyPause = Duration.seconds(1)

    /// Lets the history follow now, and not last of all: somebody waits for it.
    func wakeHistory() {
        if !isHistoryUrgent.exchange(true, ordering: .relaxed) { setHistoryLast(false) }
        historyWakeup.signal()
    }

    /// Who waits asks again and again, so what is set here while somebody begins to wait is soon set right.
    private func historyCaughtUp() {
        if isHistoryUrgent.exchange(false, ordering: .relaxed) { setHistoryLast(true) }
    }

    private func setHistoryLast(_ isLast: Bool) {
        threads.withLock { $0.first { $0.name == Self.historyName }?.setLast(isLast) }
    }

    private static let historyName = "history"

    /// How long a stop waits for the history.
    private static let catchUpNanosecondsMax: UInt64 = 3_000_000_000

    private func followHistory(_ first: HistoryWorker) {
        var worker = first
        var backOff = Duration.milliseconds(100)
        var traffic = LiveTraffic(
            lsn: gateway.journal.durableLSN, nanoseconds: gateway.clock.monotonicNanoseconds())
        var stopsAt: UInt64?
        var retention = Retention()
        while true {
            let isLast = isStopping.load(ordering: .sequentiallyConsistent)
            if isAbandoned.load(ordering: .sequentiallyConsistent) { return }
            if isLast {
                // What is left is read from the journal by the next start.
                let now = gateway.clock.monotonicNanoseconds()
                if let stopsAt, now >= stopsAt { return }
                stopsAt = stopsAt ?? now + Self.catchUpNanosecondsMax
            }
            func standsAside() -> Bool {
                let isBusy = traffic.isBusy(
                    lsn: gateway.journal.durableLSN, nanoseconds: gateway.clock.monotonicNanoseconds())
                return isBusy && !isLast && gateway.mayHistoryWait()
            }
            if standsAside() {
                _ = historyWakeup.wait(timeout: .milliseconds(50))
                continue
            }
            do {
                let progress = try worker.step(standsAside: standsAside)
                backOff = .milliseconds(100)
                gateway.updateOverload()
                let letGo = isLast ? false : try retention.step(gateway)
                if letGo || progress == .wroteSome { continue }
                if isLast {
                    if progress == .idle { return }
                    continue
                }
                historyCaughtUp()
                // What comes meanwhile shares the next transaction, and its sync.
                _ = historyWakeup.wait(timeout: Self.historyPause)
            } catch StoreError.retryLater(let failure) {
                gateway.historyFigures.withLock { $0.failures += 1 }
                gateway.logger.warning("history waits: \(failure.message) (SQLite \(failure.code))")
                gateway.updateOverload()
                if isLast { return }
                // Who waits for the history wakes it again and again, and shortens no pause after a failure.
                let until = ContinuousClock.now + backOff
                while ContinuousClock.now < until, !isStopping.load(ordering: .sequentiallyConsistent) {
                    _ = historyWakeup.wait(timeout: until - .now)
                }
                backOff = min(backOff * 2, .seconds(5))
                do {
                    // The reader has moved on; a new one begins where the history is.
                    worker = try HistoryWorker(gateway)
                } catch {
                    return gateway.fail(.journal(error))
                }
            } catch let error as StoreError {
                return gateway.fail(.store(error))
            } catch {
                return gateway.fail(error)
            }
        }
    }

    private func sweep() {
        let sweeper = Sweeper(gateway)
        while !isStopping.load(ordering: .sequentiallyConsistent) {
            sweeper.sweep()
            _ = sweeperWakeup.wait(timeout: Sweeper.interval)
        }
    }

    private func takeCheckpoints() {
        var backOff = Duration.seconds(1)
        while true {
            // Read before the checkpoint: what was changed before the stop is in it.
            let isLast = isStopping.load(ordering: .sequentiallyConsistent)
            if !isLast { _ = checkpointWakeup.wait(timeout: gateway.settings.checkpointInterval) }
            if isAbandoned.load(ordering: .sequentiallyConsistent) { return }
            do throws(StoreError) {
                if gateway.ledger.changedCount() > 0 { _ = try gateway.checkpoint() }
                backOff = .seconds(1)
            } catch {
                guard !error.isFatal else { return gateway.fail(.store(error)) }
                gateway.logger.warning("checkpoint waits: \(error)")
                if !isLast { _ = checkpointWakeup.wait(timeout: backOff) }
                backOff = min(backOff * 2, .seconds(30))
            }
            do throws(JournalError) {
                try gateway.releaseJournal()
            } catch {
                return gateway.fail(.journal(error))
            }
            if isLast { return }
        }
    }

    /// Ends the threads: the history catches up for some seconds, a last checkpoint is taken. Neither when it
    /// is not clean: history and checkpoint stay where they are, as a crash leaves them.
    ///
    /// - Parameter others: threads that use the files as well and have been told to end.
    func stop(isClean: Bool = true, joining others: [WorkerThread] = []) async {
        if !isClean { isAbandoned.store(true, ordering: .sequentiallyConsistent) }
        gateway.journal.stop()
        isStopping.store(true, ordering: .sequentiallyConsistent)
        lookups.stop()
        setHistoryLast(false)
        for thread in others { thread.setLast(false) }
        historyWakeup.signal()
        checkpointWakeup.signal()
        sweeperWakeup.signal()
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let running = threads.withLock { threads in
                defer { threads = [] }
                return threads + others
            }
            do {
                _ = try WorkerThread(name: "stop", urgency: .normal) {
                    for thread in running { thread.join() }
                    continuation.resume()
                }
            } catch {
                for thread in running { thread.join() }
                continuation.resume()
            }
        }
    }
}

/// Carries a value that one thread made to the one thread that will use it.
struct Sending<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}

extension Gateway {
    /// Ends the process without answering anybody: what the disk holds cannot be believed any more, and
    /// only the next start can find out. Exit code 74, EX_IOERR of sysexits.h.
    func fail(_ error: any Error) { Self.end(logger, error) }

    static func end(_ logger: Logger, _ error: any Error) {
        logger.critical("the process ends, nothing more is answered: \(error)")
        Glibc._exit(74)
    }

    func fail(_ error: GatewayError) { fail(error as any Error) }

    /// Whether nothing is near its bound because the history is behind, as of the last call.
    func mayHistoryWait() -> Bool {
        journal.retainedBytes < settings.journalBytesMax / 4
            && historyLag < UInt64(settings.idsMax) / 2 && !ledger.takeIDPressure()
    }

    /// Refuses reports while the journal that history has yet to read is at its bound.
    func updateOverload() {
        let isOver = journal.retainedBytes > settings.journalBytesMax
        if isOverloaded.exchange(isOver, ordering: .relaxed) != isOver {
            logger.warning(
                isOver
                    ? "history is \(journal.durableLSN - history.position.lsn) entries behind: reports are refused"
                    : "history has caught up: reports are taken again")
        }
        noteIDsLeft()
    }

    /// Says so before the ids that the history does not hold yet are as many as memory may hold, for reports are refused
    /// then.
    private func noteIDsLeft() {
        let lag = Int(clamping: historyLag)
        let isShort = isShortOfIDs.load(ordering: .relaxed)
        let ofOne = LedgerLimits.idsOfOrganisationMax
        let isPressed = lag > ofOne / 4 * 3 && ledger.hasIDPressure
        if !isShort, isPressed || lag > settings.idsMax / 2 * 3 {
            isShortOfIDs.store(true, ordering: .relaxed)
            logger.warning(
                """
                history is \(lag) entries behind: beyond \(2 * settings.idsMax), twice ledger.ids_max, or \(ofOne) of one \
                organisation, reports are refused as OVERLOADED until it has caught up
                """)
        } else if isShort, lag < min(settings.idsMax, ofOne / 2) {
            isShortOfIDs.store(false, ordering: .relaxed)
            logger.info("history has caught up: it is \(lag) entries behind")
        }
    }
}
