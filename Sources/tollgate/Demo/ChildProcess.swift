// A process of our own: the gateway that the demonstration starts, kills, and starts again.

import Foundation
import Glibc
import Platform
import Synchronization

/// How a process ended.
enum ProcessEnd: Hashable, Sendable {
    case exited(Int32)
    case killed(signal: Int32)

    var text: String {
        switch self {
        case .exited(let code): "exit code \(code)"
        case .killed(let signal): "signal \(signal)"
        }
    }
}

/// A child process with a pipe from its standard output; standard error goes to a file.
final class ChildProcess: Sendable {
    private let identifier: pid_t
    private let outlet: CInt
    private let end = Mutex<ProcessEnd?>(nil)

    /// Starts this very program with other arguments. Variables that would change a gateway are left out.
    init(arguments: [String], errorPath: String) throws(CommandFailure) {
        let pipe: Pipe
        do throws(FileError) {
            pipe = try Pipe()
        } catch {
            throw .environment("\(error)")
        }
        outlet = pipe.outlet
        defer { _ = close(pipe.inlet) }
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_adddup2(&actions, pipe.inlet, STDOUT_FILENO)
        unsafe posix_spawn_file_actions_addopen(
            &actions, STDERR_FILENO, errorPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        // Its own group: an interrupt at the terminal is ours to handle.
        unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        unsafe posix_spawnattr_setpgroup(&attributes, 0)

        var words = unsafe (["tollgate"] + arguments).map { unsafe strdup($0) } + [nil]
        var variables = unsafe Self.environment.map { unsafe strdup($0) } + [nil]
        defer {
            unsafe words.forEach { unsafe free($0) }
            unsafe variables.forEach { unsafe free($0) }
        }
        var started = pid_t()
        let code = unsafe posix_spawn(&started, "/proc/self/exe", &actions, &attributes, &words, &variables)
        identifier = started
        guard code == 0 else {
            _ = close(pipe.outlet)
            throw Self.failure("posix_spawn", code)
        }
    }

    deinit { _ = close(outlet) }

    private static func failure(_ call: String, _ code: CInt) -> CommandFailure {
        .environment("\(call) failed: \(unsafe String(cString: strerror(code)))")
    }

    private static var environment: [String] {
        ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("TOLLGATE_") }.map { "\($0)=\($1)" }
    }

    /// The first line that the process prints; nil if it ends before.
    func firstLine() async throws(CommandFailure) -> String? {
        try await onThread { [outlet] in
            var line: [UInt8] = []
            var byte: UInt8 = 0
            while true {
                let count = unsafe read(outlet, &byte, 1)
                if count < 0, errno == EINTR { continue }
                if count <= 0 { return nil }
                if byte == UInt8(ascii: "\n") { return String(decoding: line, as: UTF8.self) }
                line.append(byte)
            }
        }
    }

    /// Sends a signal, unless the process has ended.
    func send(_ signal: Int32) {
        end.withLock { end in
            if end == nil { _ = kill(identifier, signal) }
        }
    }

    /// Waits for the end.
    func wait() async throws(CommandFailure) -> ProcessEnd {
        try await onThread { [self] in waitForEnd() }
    }

    /// Waits for the end, on the calling thread.
    @discardableResult
    func waitForEnd() -> ProcessEnd {
        // WNOWAIT leaves the identifier taken, so that no signal can meet a stranger.
        var information = unsafe siginfo_t()
        while unsafe waitid(P_PID, id_t(identifier), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        return end.withLock { end in
            if let end { return end }
            var status: CInt = 0
            while unsafe waitpid(identifier, &status, 0) < 0, errno == EINTR {}
            let signal = status & 0x7f
            let found = signal == 0 ? ProcessEnd.exited((status >> 8) & 0xff) : .killed(signal: signal)
            end = found
            return found
        }
    }

    private func onThread<Value: Sendable>(_ body: @escaping @Sendable () -> Value)
        async throws(CommandFailure) -> Value
    {
        let result: Result<Value, FileError> = await withCheckedContinuation { continuation in
            do throws(FileError) {
                _ = try WorkerThread(name: "child", urgency: .normal) {
                    continuation.resume(returning: .success(body()))
                }
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
        do throws(FileError) {
            return try result.get()
        } catch {
            throw .environment("\(error)")
        }
    }
}
