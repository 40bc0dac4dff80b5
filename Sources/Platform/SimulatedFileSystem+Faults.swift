// What a test does to a simulated disk: stop it, cut its power, fail its calls, look at it.

import Bytes
import Glibc
import Synchronization

extension SimulatedFileSystem {
    /// How many operations that change something were begun.
    public var operationCount: Int { state.withLock { $0.operationCount } }

    /// How often an operation was called.
    public func callCount(_ operation: SimulatedOperation) -> Int {
        state.withLock { $0.callCounts[operation] ?? 0 }
    }

    /// How often a file was written or synchronized after that had failed once. Nobody may ever.
    public var touchesAfterFailure: Int { state.withLock { $0.touchesAfterFailure } }

    /// Whether the cache keeps its pages although it is asked to drop them, as the kernel may.
    public var ignoresEviction: Bool {
        get { state.withLock { $0.ignoresEviction } }
        set { state.withLock { $0.ignoresEviction = newValue } }
    }

    /// Stops the machine in the middle of the operation with that number: what it changes is not
    /// durable, and it and every later call fail. nil never stops it.
    public func stop(atOperation number: Int?) {
        state.withLock { $0.stopAtOperation = number }
    }

    /// Whether the machine has stopped.
    public var isStopped: Bool { state.withLock { $0.isStopped } }

    /// Makes the `call`-th call from now fail, and `times - 1` after it; only of files whose path
    /// contains `pathPart`. A failed `synchronize` leaves a cache that lies.
    public func fail(
        _ operation: SimulatedOperation, call: Int = 1, times: Int = 1, code: Int32 = EIO,
        pathPart: String = "", effect: FailedWriteEffect = .nothing
    ) {
        let fault = Fault(
            operation: operation, pathPart: pathPart, call: call, times: times, code: code, effect: effect)
        state.withLock { $0.faults.append(fault) }
    }

    /// Ends every fault that was asked for.
    public func healFaults() { state.withLock { $0.faults = [] } }

    /// Changes the size of the disk; nil is without bounds.
    public func setCapacity(bytes: Int?) { state.withLock { $0.capacityBytes = bytes } }

    /// The process dies and the machine stays: open files and locks are gone, the cache is not.
    public func killProcess() { state.withLock { $0.restart() } }

    /// The power goes: each change that was not durable is kept, dropped or torn, by the seed.
    public func cutPower(seed: UInt64) {
        state.withLock { state in
            var generator = SeededGenerator(seed: seed)
            for inode in state.inodes.keys.sorted() {
                guard var file = state.inodes.removeValue(forKey: inode) else { continue }
                for change in file.pending {
                    change.survive(in: &file.durable, generator: &generator)
                }
                file.pending = []
                file.live = file.durable
                file.cacheLies = false
                file.hasFailed = false
                state.inodes[inode] = file
            }
            for directory in state.pendingNames.keys.sorted() {
                let changes = state.pendingNames[directory] ?? []
                for change in changes.prefix(Int.random(in: 0...changes.count, using: &generator)) {
                    change.apply(to: &state.durableNames)
                }
            }
            state.pendingNames = [:]
            state.names = state.durableNames
            state.restart()
        }
    }

    /// A second disk with the same content, the same unsynchronized changes and no open files.
    public func fork() -> SimulatedFileSystem {
        SimulatedFileSystem(
            state.withLock { state in
                var copy = state
                copy.locks = [:]
                return copy
            })
    }

    /// The bytes that the disk would answer, or nil when the name is missing.
    public func contents(of path: String) -> [UInt8]? {
        state.withLock { state in state.names[path].flatMap { state.inodes[$0]?.device } }
    }

    /// Puts `bytes` on the disk as they are, durable at once: damage, or a file of another origin.
    public func plant(_ bytes: [UInt8], at path: String) {
        state.withLock { state in
            let inode = state.names[path] ?? state.nextInode
            state.nextInode = Swift.max(state.nextInode, inode + 1)
            state.inodes[inode] = Inode(durable: bytes, live: bytes)
            state.names[path] = inode
            state.durableNames[path] = inode
        }
    }

    /// Removes a name, durable at once.
    public func lose(_ path: String) {
        state.withLock { state in
            state.names[path] = nil
            state.durableNames[path] = nil
        }
    }

    /// Flips one bit on the disk.
    public func flip(bit: Int, of path: String) {
        guard var bytes = contents(of: path) else { return }
        bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        plant(bytes, at: path)
    }
}

extension SimulatedFileSystem.State {
    fileprivate mutating func restart() {
        generation += 1
        isStopped = false
        stopAtOperation = nil
        locks = [:]
        faults = []
    }
}

extension SimulatedFileSystem.FileChange {
    /// Applies what a power cut leaves of this change: all, nothing, or some sectors of 512 bytes, the
    /// rest of which keep their old bytes or hold garbage.
    func survive(in image: inout [UInt8], generator: inout SeededGenerator) {
        let fate = generator.next() % 4
        switch (fate, self) {
        case (0, _):
            apply(to: &image)
        case (1, _), (_, .resize):
            break
        case (_, .write(let offset, let bytes)):
            let garbles = fate == 3
            for start in stride(from: 0, to: bytes.count, by: 512) {
                let sector = Array(bytes[start..<Swift.min(start + 512, bytes.count)])
                switch generator.next() % (garbles ? 3 : 2) {
                case 0: Self.write(offset: offset + start, bytes: sector).apply(to: &image)
                case 1: break
                default:
                    let garbage = sector.map { _ in UInt8(truncatingIfNeeded: generator.next()) }
                    Self.write(offset: offset + start, bytes: garbage).apply(to: &image)
                }
            }
        }
    }
}
