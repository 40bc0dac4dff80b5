// Simulations of a gateway: one at a time, on a thread that runs when nobody else wants to.
//
// A job is asked about until it is done; the last few are remembered, in memory, until the next start.

import Ledger
import Platform
import Pricing
import Store
import Synchronization

/// What a what-if is made of.
public struct WhatIfDraft: Sendable {
    /// Rules as they would be; nil for those in force.
    public var rules: RuleFile?
    /// Prices as they would be; nil for those that charges were made with.
    public var catalogue: Catalogue?
    /// The same by its number.
    public var catalogueVersion: UInt32?

    public init(rules: RuleFile? = nil, catalogue: Catalogue? = nil, catalogueVersion: UInt32? = nil) {
        self.rules = rules
        self.catalogue = catalogue
        self.catalogueVersion = catalogueVersion
    }

    var hasPrices: Bool { catalogue != nil || catalogueVersion != nil }

    /// The book that would hold instead of `current`; a catalogue that is named by its number was read
    /// before.
    func book(
        over current: PriceBook, now: Timestamp, accountTiers: Set<String>, allowsNewTiers: Bool
    ) throws(AdministrationError) -> PriceBook {
        var rules = current.rules
        if let file = self.rules {
            let editing = RuleEditing(
                now: now, noticeDays: 0, creditValue: current.creditValue,
                providerAliases: current.catalogue.providerAliases, accountTiers: accountTiers,
                allowsNewTiers: allowsNewTiers, actor: "what-if")
            do throws(RuleProblem) {
                rules = try RuleEditor(current.rules, editing).whatIf(file)
            } catch {
                throw .rules(error)
            }
        }
        do throws(PricingError) {
            return try PriceBook(
                catalogue: catalogue ?? current.catalogue, rules: rules, creditValue: current.creditValue)
        } catch {
            throw .pricing(error)
        }
    }
}

/// A replay that was asked for.
public final class SimulationJob: Sendable {
    public enum State: Sendable {
        case running(done: Int64, total: Int64)
        case finished(SimulationReport)
        case failed(String)
        case stopped
    }

    /// Counts from 1 since the start.
    public let number: Int
    private let current = Mutex(State.running(done: 0, total: 0))
    private let isStopped = Atomic<Bool>(false)
    private let worker = Mutex<WorkerThread?>(nil)

    init(number: Int) { self.number = number }

    /// Starts the thread that replays.
    func start(_ body: @escaping @Sendable () -> Void) throws(FileError) {
        let thread = try WorkerThread(name: "simulation", urgency: .last, body: body)
        worker.withLock { $0 = thread }
    }

    /// The thread that replays or has replayed; it may run on for a moment after the job has ended.
    var thread: WorkerThread? { worker.withLock { $0 } }

    public var state: State { current.withLock { $0 } }

    public var isRunning: Bool {
        if case .running = state { return true }
        return false
    }

    /// Ends it soon, without a report.
    public func stop() { isStopped.store(true, ordering: .relaxed) }

    /// Notes how far it is; false if it should stop.
    func goOn(_ done: Int64, _ total: Int64) -> Bool {
        current.withLock { $0 = .running(done: done, total: total) }
        return !isStopped.load(ordering: .relaxed)
    }

    func end(_ state: State) { current.withLock { $0 = state } }
}

/// The jobs of a gateway, newest last.
final class SimulationJobs: Sendable {
    static let keptMax = 8

    struct Jobs: Sendable {
        var jobs: [SimulationJob] = []
        var count = 0
    }

    let jobs = Mutex(Jobs())
}

extension Gateway {
    /// The book that would hold under a draft.
    public func whatIf(
        _ draft: WhatIfDraft, allowsNewTiers: Bool = true
    ) throws(AdministrationError) -> PriceBook {
        var draft = draft
        if draft.catalogue == nil, let version = draft.catalogueVersion {
            draft.catalogue = try prices(version)
        }
        return try draft.book(
            over: priceBook, now: now(), accountTiers: ledger.accountTiers(), allowsNewTiers: allowsNewTiers)
    }

    /// Begins to replay the history under a draft. Nothing is changed by it, ever.
    ///
    /// - Throws: `.busy` while another one runs; what is wrong with the draft.
    public func simulate(
        _ draft: WhatIfDraft, since: Timestamp? = nil, until: Timestamp? = nil, accountsMax: Int = 20
    ) throws(AdministrationError) -> SimulationJob {
        let request = SimulationRequest(
            book: try whatIf(draft), repricesBase: draft.hasPrices, since: since, until: until,
            accountsMax: accountsMax)
        return try simulations.jobs.withLock { jobs throws(AdministrationError) in
            if jobs.jobs.contains(where: \.isRunning) { throw .busy("a simulation") }
            jobs.count += 1
            let job = SimulationJob(number: jobs.count)
            jobs.jobs.append(job)
            jobs.jobs.removeFirst(max(0, jobs.jobs.count - SimulationJobs.keptMax))
            // Under the lock, so that a stop, which drains first, finds every thread there is.
            guard !isStopping else {
                job.end(.stopped)
                return job
            }
            do throws(FileError) {
                try job.start { [self] in run(job, request) }
            } catch {
                job.end(.failed("\(error)"))
            }
            return job
        }
    }

    private func run(_ job: SimulationJob, _ request: SimulationRequest) {
        let started = clock.monotonicNanoseconds()
        let lag = historyLag
        do throws(StoreError) {
            var simulation = try Simulation(request, history: history)
            guard var report = try simulation.run(job.goOn) else { return job.end(.stopped) }
            report.nanoseconds = clock.monotonicNanoseconds() - started
            report.historyLag = lag
            job.end(.finished(report))
        } catch {
            if case .poisoned = error { fail(.store(error)) }
            logger.warning("a simulation ended: \(error)")
            job.end(.failed("\(error)"))
        }
    }

    /// A job by its number, if it is remembered.
    public func simulation(_ number: Int) -> SimulationJob? {
        simulations.jobs.withLock { $0.jobs.first { $0.number == number } }
    }

    /// The jobs that are remembered, oldest first.
    public var simulationJobs: [SimulationJob] { simulations.jobs.withLock { $0.jobs } }

    /// Tells what runs to end. Returns the threads to be joined before the files are closed.
    func stopSimulations() -> [WorkerThread] {
        let jobs = simulationJobs
        for job in jobs { job.stop() }
        return jobs.compactMap(\.thread)
    }
}
