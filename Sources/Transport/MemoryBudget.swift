// One budget of memory for all connections together, and what happens as it runs out.
//
//      use        what happens, each beside what is above it
//      85 %       new connections wait in the listener's queue; who has not taken its answers is not read from
//      92 %       new calls are refused: UNAVAILABLE, OVERLOADED, try again
//      95 %       connections that do not read, or do not finish a frame, are closed, the largest first
//
// A rung is left when the use has fallen 3 % of the budget below where it is entered, so that a use at its edge
// does not switch it to and fro. The bytes counted are those that grow with what clients send and do not read:
// frames that are not handled, answers that wait for the journal, for history or for the socket, and entries
// that wait for the journal. The limits of each connection bound one; this bounds them all.
//
// Event loops count in plain integers and add their sum here once for each turn.

import Logging
import NIOCore
import Synchronization

/// How short memory is. Each rung includes those before it.
enum MemoryRung: UInt8, Comparable, CaseIterable, Sendable {
    case plenty, acceptsNobody, refusesCalls, closesStalled

    static func < (one: MemoryRung, other: MemoryRung) -> Bool { one.rawValue < other.rawValue }

    /// Percent of the budget at which it is entered.
    var percent: Int {
        switch self {
        case .plenty: 0
        case .acceptsNobody: 85
        case .refusesCalls: 92
        case .closesStalled: 95
        }
    }

    fileprivate var words: String {
        switch self {
        case .plenty: "new connections are accepted again, and every call"
        case .acceptsNobody: "new connections wait, and who does not read its answers is not read from"
        case .refusesCalls: "new calls are refused as OVERLOADED"
        case .closesStalled: "the largest connections that do not read are closed"
        }
    }
}

/// The use of memory by all connections, against its bound. Safe to share.
final class MemoryBudget: Sendable {
    let bytesMax: Int
    private let connectionBytes = Atomic<Int>(0)
    /// Entries that wait for the journal.
    private let stagedBytes: @Sendable () -> Int
    private let current = Atomic<UInt8>(MemoryRung.plenty.rawValue)
    /// Held while the rung changes, and who is told.
    private let observers = Mutex<[@Sendable () -> Void]>([])
    private let isAccepting = Atomic<Bool>(true)
    private let acceptPauses = Atomic<Int>(0)
    private let refusedCalls = Atomic<Int>(0)
    private let closedConnections = Atomic<Int>(0)
    private let logger: Logger
    /// One for each rung, so that none hides another.
    private let changes = MemoryRung.allCases.map { _ in FloodReport() }
    private let closings = FloodReport()

    init(bytesMax: Int, logger: Logger, stagedBytes: @escaping @Sendable () -> Int) {
        self.bytesMax = bytesMax
        self.logger = logger
        self.stagedBytes = stagedBytes
    }

    /// Bytes in use.
    var used: Int { connectionBytes.load(ordering: .relaxed) + stagedBytes() }

    @inline(__always)
    var rung: MemoryRung {
        guard let rung = MemoryRung(rawValue: current.load(ordering: .relaxed)) else {
            preconditionFailure("only rungs are stored")
        }
        return rung
    }

    /// Calls `observer` after each change of the rung, on whichever thread changed it.
    func observe(_ observer: @escaping @Sendable () -> Void) { observers.withLock { $0.append(observer) } }

    /// Adds what a loop's connections hold more than when it last said, or less.
    func add(_ bytes: Int) {
        let held = connectionBytes.add(bytes, ordering: .relaxed).newValue
        let now = rung
        if Self.rung(used: held + stagedBytes(), of: bytesMax, from: now) != now { change() }
    }

    private func change() {
        let told = observers.withLock { observers -> [@Sendable () -> Void] in
            let old = rung
            let used = used
            let new = Self.rung(used: used, of: bytesMax, from: old)
            if new == old { return [] }
            current.store(new.rawValue, ordering: .relaxed)
            if let count = changes[Int(new.rawValue)].note() {
                logger.log(
                    level: new > old ? .warning : .notice,
                    "connections hold \(used) bytes of transport.memory_bytes_max: \(new.words)",
                    metadata: ["memory_bytes_max": "\(bytesMax)", "times": "\(count)"])
            }
            return observers
        }
        for observer in told { observer() }
    }

    /// The rung for a use, coming from another.
    static func rung(used: Int, of bytesMax: Int, from current: MemoryRung) -> MemoryRung {
        var rung = MemoryRung.allCases.last { used >= bytesMax / 100 * $0.percent } ?? .plenty
        for higher in MemoryRung.allCases where higher > rung && higher <= current {
            if used >= leaveBytes(higher, of: bytesMax) { rung = higher }
        }
        return rung
    }

    /// Below this use a rung is left.
    static func leaveBytes(_ rung: MemoryRung, of bytesMax: Int) -> Int {
        bytesMax / 100 * (rung.percent - 3)
    }

    /// How many bytes are to be freed until nothing has to be closed any more.
    var excess: Int { used - Self.leaveBytes(.closesStalled, of: bytesMax) }

    /// Notes that the listener accepts connections from now on, or does not.
    func note(accepting: Bool) {
        let was = isAccepting.exchange(accepting, ordering: .relaxed)
        if was, !accepting { acceptPauses.add(1, ordering: .relaxed) }
    }

    func count(refusedCalls count: Int) { refusedCalls.add(count, ordering: .relaxed) }

    /// Counts connections that were closed, and what they held.
    func count(closed count: Int, bytes: Int) {
        closedConnections.add(count, ordering: .relaxed)
        if let count = closings.note(count) {
            logger.warning(
                "connections that do not read were closed, because memory is short",
                metadata: [
                    "closed": "\(count)", "freed_bytes": "\(bytes)", "memory_bytes_max": "\(bytesMax)",
                ])
        }
    }

    /// How often each rung has acted since the start.
    var counts: (acceptPauses: Int, refusedCalls: Int, closedConnections: Int) {
        (
            acceptPauses.load(ordering: .relaxed), refusedCalls.load(ordering: .relaxed),
            closedConnections.load(ordering: .relaxed)
        )
    }
}
