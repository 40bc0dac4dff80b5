// Threads run once and are joined, signals are never lost, clocks and chance do what their names say.

import Glibc
import Platform
import Synchronization
import Testing

@Suite("threads and time")
struct ThreadTests {
    @Test("a thread runs its body once, says its priority and can be joined twice")
    func worker() throws {
        for urgency in [ThreadUrgency.first, .normal, .later, .last] {
            let runs = Atomic<Int>(0)
            try withExtendedLifetime(runs) {
                let box = Counter()
                let thread = try WorkerThread(name: "a name longer than fifteen", urgency: urgency) {
                    box.count.add(1, ordering: .relaxed)
                }
                thread.join()
                thread.join()
                #expect(box.count.load(ordering: .relaxed) == 1)
                switch (urgency, thread.priority) {
                case (.first, .realtime), (.first, .nice(-20)), (.first, .normal): break
                case (.later, .nice(10)), (.later, .normal): break
                case (.normal, .normal), (.last, .idle), (.last, .nice(19)), (.last, .normal): break
                default: Issue.record("\(urgency) gave \(thread.priority)")
                }
                #expect(!thread.priority.description.isEmpty)
            }
        }
    }

    @Test("a thread that runs last is let run like others, and last again")
    func lastForAWhile() throws {
        let (begin, done) = (Wakeup(), Wakeup())
        let seen = Policy()
        let thread = try WorkerThread(name: "patient", urgency: .last) {
            for _ in 0..<3 {
                begin.wait()
                seen.note()
                done.signal()
            }
        }
        func policyNow() -> CInt {
            begin.signal()
            done.wait()
            return seen.value.load(ordering: .relaxed)
        }
        let atFirst = policyNow()
        thread.setLast(false)
        let raised = policyNow()
        thread.setLast(true)
        let again = policyNow()
        thread.join()
        guard thread.priority == .idle else { return }
        #expect(again == atFirst && atFirst != SCHED_OTHER)
        // Without the right to raise a priority it stays what it was.
        #expect(raised == SCHED_OTHER || geteuid() != 0)
    }

    final class Policy: Sendable {
        let value = Atomic<CInt>(-1)

        func note() {
            var (policy, parameter) = (CInt(-1), sched_param())
            _ = unsafe pthread_getschedparam(pthread_self(), &policy, &parameter)
            value.store(policy, ordering: .relaxed)
        }
    }

    final class Counter: Sendable {
        let count = Atomic<Int>(0)
    }

    @Test("a signal before the wait is not lost, and several count as one")
    func signalFirst() {
        let wakeup = Wakeup()
        for _ in 0..<3 { wakeup.signal() }
        wakeup.wait()
        #expect(wakeup.wait(timeout: .milliseconds(1)) == false)
        wakeup.signal()
        #expect(wakeup.wait(timeout: .seconds(1000)))
    }

    @Test("two threads pass a token to and fro without losing it")
    func pingPong() throws {
        let ping = Wakeup()
        let pong = Wakeup()
        let rounds = 5000
        let other = try WorkerThread(name: "pong", urgency: .normal) {
            for _ in 0..<rounds {
                ping.wait()
                pong.signal()
            }
        }
        for _ in 0..<rounds {
            ping.signal()
            pong.wait()
        }
        other.join()
        #expect(pong.wait(timeout: .zero) == false)
    }

    @Test("work that is put up before a signal is seen by who takes the signal")
    func queue() throws {
        let wakeup = Wakeup()
        let box = Counter()
        let producers = try (0..<2).map { _ in
            try WorkerThread(name: "producer", urgency: .normal) {
                for _ in 0..<20_000 {
                    box.count.add(1, ordering: .relaxed)
                    wakeup.signal()
                }
            }
        }
        // Ends only if the last signal is never lost.
        while box.count.load(ordering: .relaxed) < 40_000 { wakeup.wait() }
        for producer in producers { producer.join() }
    }

    @Test("clocks run, and the simulated one only when told")
    func clocks() {
        let clock = SystemClock()
        #expect(clock.wallMicroseconds() > 1_700_000_000_000_000)
        let first = clock.monotonicNanoseconds()
        #expect(clock.monotonicNanoseconds() >= first)
        let simulated = SimulatedClock(wallMicroseconds: 50)
        let begun = simulated.monotonicNanoseconds()
        #expect(simulated.wallMicroseconds() == 50)
        simulated.advance(microseconds: 7)
        #expect(simulated.wallMicroseconds() == 57 && simulated.monotonicNanoseconds() == begun + 7000)
        simulated.jump(toWallMicroseconds: 3)
        #expect(simulated.wallMicroseconds() == 3 && simulated.monotonicNanoseconds() == begun + 7000)
    }

    @Test("chance is different each time, or the same for the same seed")
    func chance() {
        let system = SystemEntropy()
        #expect(system.bytes(1000) != system.bytes(1000))
        #expect(system.next() != system.next())
        #expect(SimulatedEntropy(seed: 5).bytes(99) == SimulatedEntropy(seed: 5).bytes(99))
        #expect(SimulatedEntropy(seed: 5).bytes(99) != SimulatedEntropy(seed: 6).bytes(99))
        var generator = SeededGenerator(seed: 1_234_567)
        // The first values of the published SplitMix64 for this seed.
        #expect(generator.next() == 6_457_827_717_110_365_317)
        #expect(generator.next() == 3_203_168_211_198_807_973)
    }
}
