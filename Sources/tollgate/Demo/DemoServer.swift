// The gateway of the demonstration: a child process on a temporary data directory.

import Foundation
import Glibc
import Platform
import StrictJSON
import Synchronization

/// Starts gateways one after the other on the same directory and ports, and cleans up.
final class DemoServer: Sendable {
    /// What a gateway said when it was ready.
    struct Start: Sendable {
        var listenPort: Int
        var adminPort: Int
        var writeMode: String
        var flusherPriority: String
        var accounts: Int
        var epoch: Int
        var entriesReplayed: Int
        var replayNanoseconds: UInt64
        var startNanoseconds: UInt64
        var droppedTail: Bool
    }

    let directory: String
    var dataDirectory: String { directory + "/data" }
    var logPath: String { directory + "/server.log" }
    private let listenPort: HeldPort
    private let adminPort: HeldPort
    private let child = Mutex<ChildProcess?>(nil)

    /// Takes two ports and makes the temporary directory.
    init() throws(CommandFailure) {
        do throws(FileError) {
            listenPort = try HeldPort()
            adminPort = try HeldPort()
        } catch {
            throw .environment("no port for the gateway: \(error)")
        }
        let parent = ProcessInfo.processInfo.environment["TMPDIR"] ?? "/tmp"
        var template = Array("\(parent)/tollgate-demo-XXXXXX".utf8CString)
        let made = unsafe template.withUnsafeMutableBufferPointer {
            unsafe $0.baseAddress.map { unsafe mkdtemp($0) != nil } ?? false
        }
        guard made else {
            throw .environment(
                "no temporary directory in \(parent): \(unsafe String(cString: strerror(errno)))")
        }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Starts a gateway and waits until it is ready.
    func start() async throws -> Start {
        let process = try ChildProcess(
            arguments: [
                "serve", "--data-directory", dataDirectory, "--output", "json", "--set", "log.level=info",
                "--set", "listen.port=\(listenPort.number)", "--set", "admin.port=\(adminPort.number)",
            ], errorPath: logPath)
        child.withLock { $0 = process }
        guard let line = try await process.firstLine() else {
            let end = process.waitForEnd()
            throw CommandFailure.environment("the gateway did not start (\(end.text)):\n\(try logTail())")
        }
        return try JSONNode.reading { () throws(JSONError) in
            let node = try JSONNode(parsing: Array(line.utf8))
            func number(_ key: String) throws(JSONError) -> Int {
                Int(try node.field(key).integer(in: 0...Int64.max))
            }
            return Start(
                listenPort: try number("listen_port"), adminPort: try number("admin_port"),
                writeMode: try node.shown("write_mode"), flusherPriority: try node.shown("flusher_priority"),
                accounts: try number("accounts"), epoch: try number("epoch"),
                entriesReplayed: try number("entries_replayed"),
                replayNanoseconds: UInt64(try number("replay_nanoseconds")),
                startNanoseconds: UInt64(try number("start_nanoseconds")),
                droppedTail: try node.optional("dropped_tail") != nil)
        }
    }

    /// Ends the gateway with a signal and waits for it.
    func end(_ signal: Int32) async throws(CommandFailure) -> ProcessEnd? {
        guard let process = child.withLock({ $0 }) else { return nil }
        process.send(signal)
        let end = try await process.wait()
        child.withLock { $0 = nil }
        return end
    }

    /// Ends whatever runs, at once, and removes the directory unless it is to be kept.
    func cleanUp(keep: Bool) {
        if let process = child.withLock({ $0 }) {
            process.send(SIGKILL)
            process.waitForEnd()
        }
        guard !keep else { return }
        do {
            try FileManager.default.removeItem(atPath: directory)
        } catch {
            Console.error("\(directory) could not be removed: \(error)")
        }
    }

    /// The last lines that the gateway logged.
    func logTail() throws(CommandFailure) -> String {
        String(decoding: try TextFile.read(logPath).suffix(4_000), as: UTF8.self)
    }
}
