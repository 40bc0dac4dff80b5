// A run from its beginning to its end: balances before, threads, a line a second, balances after.

import Glibc
import Platform
import Synchronization

/// Carries out a plan.
struct LoadRun {
    let plan: LoadPlan
    /// Where a line goes while the run lasts.
    let tell: (String) -> Void

    /// Runs the load.
    ///
    /// - Throws: what kept the run from beginning; what ends it early is in the summary.
    func run() throws(LoadError) -> Summary {
        let opening = plan.isValidated ? try BalanceReader.balances(plan) : []
        let results = try runThreads()
        var summary = merge(results)
        if summary.sent == 0, let failure = summary.failure { throw failure }
        if plan.isValidated && summary.books.unanswered == 0 {
            let closing = try BalanceReader.balances(plan)
            let workload = Workload(plan.workload)
            summary.conservation = Conservation(
                opening: opening, closing: closing, charges: summary.books.charges
            ) { workload.accountName(UInt32($0)) }
        }
        return summary
    }

    private func runThreads() throws(LoadError) -> [EngineResult] {
        let progress = LoadProgress()
        let box = ResultBox()
        var threads: [WorkerThread] = []
        for index in 0..<plan.threads {
            do throws(FileError) {
                threads.append(
                    try WorkerThread(name: "load-\(index)", urgency: .normal) { [plan] in
                        var engine = LoadEngine(plan: plan, thread: index, progress: progress)
                        let result = engine.run()
                        box.results.withLock { $0.append(result) }
                    })
            } catch {
                progress.isStopping.store(true, ordering: .relaxed)
                for thread in threads { thread.join() }
                throw .thread("\(error)")
            }
        }
        watch(progress, until: { box.results.withLock { $0.count } == plan.threads })
        for thread in threads { thread.join() }
        return box.results.withLock { $0 }
    }

    /// Where the threads leave what they bring home.
    private final class ResultBox: Sendable {
        let results = Mutex<[EngineResult]>([])
    }

    /// Tells the progress of each second.
    private func watch(_ progress: LoadProgress, until isDone: () -> Bool) {
        let clock = SystemClock()
        let start = clock.monotonicNanoseconds()
        var (told, answeredBefore) = (0, 0)
        while !isDone() {
            var pause = timespec(tv_sec: 0, tv_nsec: 10_000_000)
            _ = unsafe nanosleep(&pause, nil)
            let seconds = Int((clock.monotonicNanoseconds() - start) / 1_000_000_000)
            guard seconds > told else { continue }
            let answered = progress.answered.load(ordering: .relaxed)
            let refused = progress.refused.load(ordering: .relaxed)
            tell(
                "\(seconds) s   answered \(Number.grouped(answered))   refused \(Number.grouped(refused))   "
                    + "\(Number.grouped((answered - answeredBefore) / (seconds - told)))/s")
            (told, answeredBefore) = (seconds, answered)
        }
    }

    private func merge(_ results: [EngineResult]) -> Summary {
        var books = Books(accounts: plan.workload.accounts, isKept: plan.isValidated)
        var latency = LoadEngine.histogram()
        for result in results {
            books.add(result.books)
            latency.add(result.latency)
        }
        let from = results.map(\.measuredFrom).min() ?? 0
        let to = results.map(\.measuredTo).max() ?? from
        return Summary(
            plan: plan, books: books, latency: latency,
            sent: results.reduce(0) { $0 + $1.sent },
            measured: results.reduce(0) { $0 + $1.measured },
            measuredNanoseconds: to - min(from, to),
            reconnects: results.reduce(0) { $0 + $1.reconnects },
            failure: results.lazy.compactMap(\.failure).first)
    }
}
