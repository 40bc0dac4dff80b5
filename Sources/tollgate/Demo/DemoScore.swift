// What the demonstration was told, kept apart from what the gateway keeps: the two are compared at the end.

import Histogram
import Synchronization
import TollgateClient

/// The answers, by request.
final class DemoScore: Sendable {
    /// How often something happened.
    struct Counts: Hashable, Sendable {
        /// Receipts, repeats included.
        var answered = 0
        /// Receipts of deliberate repeats.
        var repeated = 0
        var parked = 0
        var inDebt = 0
        /// Calls that were sent before the server was killed and answered by the next one; and those of them
        /// that had been durable.
        var crossed = 0
        var crossedDurable = 0
    }

    private struct State: ~Copyable {
        var counts = Counts()
        /// Nanocredits by request; `unanswered` before the first answer.
        var charges: [Int64] = []
        var latencies = Histogram<UInt64>(
            highestTrackableValue: 60_000_000_000, numberOfSignificantValueDigits: .three)
        var problems: [String] = []
    }

    static let unanswered = Int64.min
    private let state = Mutex(State())

    /// Notes an answer.
    ///
    /// - Parameters:
    ///   - nanoseconds: how long it took; nil when that says nothing, because the server was killed.
    ///   - crossed: the server was killed between call and answer.
    func add(_ receipt: Receipt, request index: Int, isRepeat: Bool, nanoseconds: UInt64?, crossed: Bool) {
        state.withLock { state in
            state.counts.answered += 1
            if isRepeat { state.counts.repeated += 1 }
            if crossed, !isRepeat {
                state.counts.crossed += 1
                if receipt.duplicate { state.counts.crossedDurable += 1 }
            }
            if let nanoseconds { _ = state.latencies.record(nanoseconds) }
            if state.charges.count <= index {
                let missing = index + 1 - state.charges.count
                state.charges.append(contentsOf: repeatElement(Self.unanswered, count: missing))
            }
            let known = state.charges[index]
            if known == Self.unanswered {
                state.charges[index] = receipt.charge
                if receipt.state == .parked { state.counts.parked += 1 }
                if receipt.inDebt { state.counts.inDebt += 1 }
            } else if known != receipt.charge {
                state.problems.append(
                    "\(DemoTraffic.requestID(index)) was answered with \(known) nanocredits, later with"
                        + " \(receipt.charge)"
                )
            }
        }
    }

    func fail(_ problem: String) { state.withLock { $0.problems.append(problem) } }

    var counts: Counts { state.withLock { $0.counts } }
    var problems: [String] { state.withLock { $0.problems } }

    /// The charge of each request, by index.
    var charges: [Int64] { state.withLock { $0.charges } }

    /// Percentiles of the latencies so far, in nanoseconds; they begin anew.
    func takeLatencies() -> (p50: UInt64, p99: UInt64, p999: UInt64, max: UInt64) {
        state.withLock { state in
            let found = (
                p50: state.latencies.valueAtPercentile(50), p99: state.latencies.valueAtPercentile(99),
                p999: state.latencies.valueAtPercentile(99.9), max: state.latencies.max
            )
            state.latencies.reset()
            return found
        }
    }
}
