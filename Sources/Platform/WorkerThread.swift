// A thread of our own, for work that must not share Swift's cooperative pool: it sleeps in system calls
// and needs a priority.
//
// With both of two cores busy a durable write took 4 ms for a thread of equal priority, which waits its
// turn, and 0.09 ms under SCHED_FIFO. So the thread takes the best the process may have and says which.

import CPlatform
import Glibc
import Synchronization

/// The priority that a thread got.
public enum ThreadPriority: Hashable, Sendable, CustomStringConvertible {
    /// Runs before every ordinary thread (SCHED_FIFO).
    case realtime
    /// An ordinary thread with this niceness, -20 (first) to 19 (last).
    case nice(Int)
    /// An ordinary thread.
    case normal
    /// Runs only when nobody else wants to (SCHED_IDLE).
    case idle

    public var description: String {
        switch self {
        case .realtime: "SCHED_FIFO"
        case .nice(let value): "nice \(value)"
        case .normal: "normal"
        case .idle: "SCHED_IDLE"
        }
    }
}

/// The priority that a thread wants.
public enum ThreadUrgency: Hashable, Sendable {
    /// SCHED_FIFO where the process may, else nice -20 where it may, else normal.
    case first
    case normal
    /// Nice 10, in short slices: gives way to ordinary threads when they wake, and gets on even when the
    /// processors are busy.
    case later
    /// SCHED_IDLE, else nice 19.
    case last
}

/// A system thread with a name and a priority.
public final class WorkerThread: Sendable {
    /// The name, as tools show it; the kernel keeps 15 bytes.
    public let name: String
    /// The priority the thread got.
    public let priority: ThreadPriority

    private let thread: Mutex<pthread_t?>

    /// What the new thread needs to begin.
    private final class Start: Sendable {
        let name: String
        let urgency: ThreadUrgency
        let body: @Sendable () -> Void
        let priority = Mutex<ThreadPriority?>(nil)
        let begun = Wakeup()

        init(name: String, urgency: ThreadUrgency, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.urgency = urgency
            self.body = body
        }
    }

    /// Starts a thread that runs `body` once. Returns when it runs and its priority is known.
    public init(
        name: String, urgency: ThreadUrgency, body: @escaping @Sendable () -> Void
    ) throws(FileError) {
        let start = Start(name: name, urgency: urgency, body: body)
        let context = unsafe Unmanaged.passRetained(start)
        var created = pthread_t()
        let code = unsafe pthread_create(
            &created, nil,
            { context in
                guard let context = unsafe context else { return nil }
                let start = unsafe Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
                let priority = WorkerThread.take(start.urgency)
                // The name is for people; a thread without one works as well.
                _ = unsafe tollgate_name_thread(start.name)
                start.priority.withLock { $0 = priority }
                start.begun.signal()
                start.body()
                return nil
            }, context.toOpaque())
        guard code == 0 else {
            unsafe context.release()
            throw FileError(call: "pthread_create", path: name, code: code)
        }
        var priority: ThreadPriority?
        while priority == nil {
            start.begun.wait()
            priority = start.priority.withLock { $0 }
        }
        self.name = name
        self.priority = priority ?? .normal
        thread = Mutex(created)
    }

    /// Waits until `body` has returned. Later calls return at once.
    public func join() {
        let joined = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        if let joined { _ = pthread_join(joined, nil) }
    }

    /// Lets a thread that was started as `.last` run like any other for a while, and then last again. Where the
    /// process may not raise a priority (without CAP_SYS_NICE, mostly), the thread stays last.
    public func setLast(_ isLast: Bool) {
        var parameter = sched_param()
        thread.withLock { thread in
            guard let thread else { return }
            // Refused, it runs later, as it would have.
            _ = unsafe pthread_setschedparam(thread, isLast ? tollgate_sched_idle : SCHED_OTHER, &parameter)
        }
    }

    deinit {
        if let left = thread.withLock({ $0 }) { pthread_detach(left) }
    }

    /// Gives the calling thread the best priority of that kind that the process may have.
    private static func take(_ urgency: ThreadUrgency) -> ThreadPriority {
        var parameter = sched_param()
        switch urgency {
        case .first:
            // Low among the real-time priorities: above ordinary threads, below the kernel's own.
            parameter.sched_priority = 5
            if unsafe pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameter) == 0 { return .realtime }
            return renice(-20)
        case .normal:
            return .normal
        case .later:
            // With short slices: since Linux 6.6 a thread that wakes may have to wait until the running one
            // has used up its slice, which is some 3 ms by default.
            if tollgate_slice_thread(10, 100_000) == 0 { return .nice(10) }
            return renice(10)
        case .last:
            if unsafe pthread_setschedparam(pthread_self(), tollgate_sched_idle, &parameter) == 0 {
                return .idle
            }
            return renice(19)
        }
    }

    private static func renice(_ niceness: CInt) -> ThreadPriority {
        tollgate_renice_thread(niceness) == 0 ? .nice(Int(niceness)) : .normal
    }
}
