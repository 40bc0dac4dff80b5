// A gateway as a process of its own, which a test may kill, stop or starve.

import Foundation
import Platform
import StrictJSON
import Synchronization
import Testing

/// A directory that goes when the test does.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("tollgate-crash-\(UUID())").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            Issue.record("\(path) could not be removed: \(error)")
        }
    }
}

/// The built binary beside the test bundle, serving on loopback.
final class GatewayProcess: Sendable {
    /// Where gateways listen one after the other, so that clients find each.
    struct Ports: Sendable {
        fileprivate let frames: HeldPort
        fileprivate let admin: HeldPort

        fileprivate init() throws(FileError) {
            frames = try HeldPort()
            admin = try HeldPort()
        }
    }

    let directory: String
    /// Kept while this process is referred to, and by the next one that is given them.
    let ports: Ports
    let port: Int
    let adminPort: Int
    /// What the process says when it is ready.
    let entriesReplayed: Int
    private let process: Process
    private let errorPath: String

    static var binary: String {
        let tests = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        return tests.deletingLastPathComponent().appendingPathComponent("tollgate").path
    }

    /// Starts a gateway on `directory` and waits until it is ready.
    ///
    /// - Parameters:
    ///   - ports: those of a process before it, so that clients find this one; nil for new ones.
    ///   - openFilesMax: the most files it may have open (`ulimit -n`).
    ///   - fileBlocksMax: the most 1 KiB blocks a file may have (`ulimit -f`), as a disk that refuses writes.
    init(
        _ directory: String, ports: Ports? = nil, settings: [String] = [], fileBlocksMax: Int? = nil,
        openFilesMax: Int? = nil
    ) throws {
        let ports = try ports ?? Ports()
        self.directory = directory
        self.ports = ports
        errorPath = directory + ".log"
        let arguments =
            [
                Self.binary, "serve", "--data-directory", directory, "--output", "json", "--set",
                "listen.port=\(ports.frames.number)", "--set", "admin.port=\(ports.admin.number)", "--set",
                "log.level=warning",
                "--set", "journal.segment_bytes=256 KiB", "--set", "checkpoint.interval_seconds=1",
            ] + settings.flatMap { ["--set", $0] }
        process = Process()
        if fileBlocksMax != nil || openFilesMax != nil {
            let limits =
                (fileBlocksMax.map { "ulimit -f \($0); " } ?? "")
                + (openFilesMax.map { "ulimit -n \($0); " } ?? "")
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            process.arguments = ["-c", limits + "exec \"$@\"", "sh"] + arguments
        } else {
            process.executableURL = URL(fileURLWithPath: arguments[0])
            process.arguments = Array(arguments.dropFirst())
        }
        process.environment = ["PATH": "/usr/bin:/bin", "SWIFT_BACKTRACE": "enable=no"]
        let output = Pipe()
        process.standardOutput = output
        _ = FileManager.default.createFile(atPath: errorPath, contents: nil)
        let errors = try FileHandle(forWritingTo: URL(fileURLWithPath: errorPath))
        try errors.seekToEnd()
        process.standardError = errors
        try process.run()
        let line = output.fileHandleForReading.availableData
        guard !line.isEmpty else {
            process.waitUntilExit()
            throw StartFailure(code: process.terminationStatus, log: try Self.read(errorPath))
        }
        let ready = try JSONNode(parsing: Array(line))
        port = Int(try ready.field("listen_port").integer(in: 1...65_535))
        adminPort = Int(try ready.field("admin_port").integer(in: 1...65_535))
        entriesReplayed = Int(try ready.field("entries_replayed").integer(in: 0...Int64.max))
    }

    /// A process that ended before it was ready.
    struct StartFailure: Error { let code: Int32, log: String }

    func log() throws -> String { try Self.read(errorPath) }
    var isRunning: Bool { process.isRunning }

    private static func read(_ path: String) throws -> String {
        try String(contentsOfFile: path, encoding: .utf8)
    }

    /// `kill -9`: nothing is finished, nothing is said.
    func kill() {
        _ = Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// SIGTERM; returns the exit code.
    func stop() -> Int32 {
        process.terminate()
        process.waitUntilExit()
        return process.terminationStatus
    }

    /// Waits until the process ends by itself; nil if it does not within `seconds`.
    func end(within seconds: Double) async throws -> Int32? {
        let deadline = Date(timeIntervalSinceNow: seconds)
        while process.isRunning {
            if Date() > deadline { return nil }
            try await Task.sleep(for: .milliseconds(20))
        }
        return process.terminationStatus
    }

    deinit { if process.isRunning { kill() } }

    /// Runs a command of the binary to its end.
    static func run(_ arguments: [String]) throws -> (code: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: binary)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }

    /// Opens accounts with a million credits each.
    func open(_ accounts: [String]) throws {
        for account in accounts {
            let opened = try Self.run([
                "accounts", "open", account, "--tier", "professional", "--credits", "1000000",
                "--admin-port", "\(adminPort)",
            ])
            #expect(opened.code == 0, "\(opened.output)")
        }
    }
}
