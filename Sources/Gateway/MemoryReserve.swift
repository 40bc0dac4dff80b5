// Has memory for the ledger's tables ready before they grow into it: see `TableMemory`.

import Bytes
import Platform
import Synchronization

/// A thread that keeps touched memory in reserve for as long as this lives.
final class MemoryReserve: Sendable {
    private let state = State()
    private let thread: WorkerThread

    private final class State: Sendable {
        let wakeup = Wakeup()
        let isStopping = Atomic<Bool>(false)
    }

    init() throws(FileError) {
        let state = state
        thread = try WorkerThread(name: "table-memory", urgency: .later) {
            while !state.isStopping.load(ordering: .acquiring) {
                TableMemory.prepare()
                state.wakeup.wait()
            }
        }
        TableMemory.whenLow { state.wakeup.signal() }
    }

    deinit {
        TableMemory.whenLow(nil)
        state.isStopping.store(true, ordering: .releasing)
        state.wakeup.signal()
        thread.join()
    }
}
