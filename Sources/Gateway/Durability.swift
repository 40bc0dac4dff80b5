// Who waits for the journal: event loops that hold answers back, and tasks of administrators.

import Synchronization

/// Hears of every cycle that became durable. Called on the journal's thread: it must only pass it on.
public protocol DurabilityListener: AnyObject, Sendable {
    func cycleDidBecomeDurable(_ cycle: UInt64)
}

/// The listeners, and the tasks that wait for a cycle.
final class Durability: Sendable {
    private struct State {
        var durable: UInt64 = 0
        var tasks: [(cycle: UInt64, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let listeners = Mutex<[any DurabilityListener]>([])
    private let state = Mutex(State())

    func add(_ listener: any DurabilityListener) { listeners.withLock { $0.append(listener) } }

    func remove(_ listener: any DurabilityListener) {
        listeners.withLock { $0.removeAll { $0 === listener } }
    }

    /// Forgets every listener: nothing becomes durable any more.
    func removeListeners() { listeners.withLock { $0 = [] } }

    /// Passes on that everything up to `cycle` is durable.
    func publish(_ cycle: UInt64) {
        for listener in listeners.withLock({ $0 }) { listener.cycleDidBecomeDurable(cycle) }
        let ready = state.withLock { state in
            state.durable = max(state.durable, cycle)
            guard !state.tasks.isEmpty else { return [CheckedContinuation<Void, Never>]() }
            let ready = state.tasks.filter { $0.cycle <= cycle }.map(\.continuation)
            state.tasks.removeAll { $0.cycle <= cycle }
            return ready
        }
        for continuation in ready { continuation.resume() }
    }

    /// Returns once `cycle` is durable.
    func wait(for cycle: UInt64) async {
        await withCheckedContinuation { continuation in
            let isDurable = state.withLock { state in
                if state.durable >= cycle { return true }
                state.tasks.append((cycle, continuation))
                return false
            }
            if isDurable { continuation.resume() }
        }
    }
}
