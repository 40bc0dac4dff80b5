// `tollgate serve`: opens the data directory, listens, and stops in order.
//
//      open (lock, recover) → HTTP → frames → ready
//      SIGTERM → not ready → frames drain → HTTP stops → journal, history and checkpoint are finished → exit 0
//
// A second signal ends the process at once: whatever was answered is durable already.

import Admin
import ArgumentParser
import Gateway
import Glibc
import Logging
import Platform
import StrictJSON
import Transport
import Transport

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Runs a gateway on one data directory.",
        discussion: """
            It says when it is ready, and logs to standard error. SIGTERM or SIGINT
            stops it gracefully, a second one at once; both are safe, and so is
            kill -9. One process per data directory.

            tollgate serve --data-directory ./data
            tollgate serve --config tollgate.yaml
            TOLLGATE_LISTEN_PORT=5000 tollgate serve -d ./data --set log.level=debug

            Settings: tollgate check-config --help
            """)

    @OptionGroup var options: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let configuration = try options.load()
        let settings = configuration.settings
        Signals.ignoreWriteSignals()
        ProcessMemory.keepFreedMemory()
        var signals: AsyncStream<Int32>.Iterator
        do throws(FileError) {
            signals = try Signals.watch([SIGTERM, SIGINT]).makeAsyncIterator()
        } catch {
            throw CommandFailure.environment("\(error)")
        }
        var logger = Logger(label: "tollgate") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = settings.logLevel

        let running = try await RunningGateway.start(settings, logger: logger)
        let summary = StartSummary(running, settings)
        output.showLine(summary.json, text: summary.text)

        let number = await signals.next() ?? SIGTERM
        logger.info("stopping; a second signal ends the process at once", metadata: ["signal": "\(number)"])
        let impatient = Task.detached { [signals] in
            var signals = signals
            if await signals.next() != nil { Glibc._exit(1) }
        }
        await running.stop(logger: logger)
        impatient.cancel()
        logger.info("stopped")
    }
}

/// A gateway with its two servers.
struct RunningGateway: Sendable {
    let gateway: Gateway
    let frames: FrameServer
    let admin: AdminServer
    /// From the beginning of the start to being ready.
    let startNanoseconds: UInt64

    static func start(_ settings: ServerSettings, logger: Logger) async throws -> RunningGateway {
        let clock = SystemClock()
        let started = clock.monotonicNanoseconds()
        let transport = try boundConnections(settings.transport, logger: logger)
        let gateway: Gateway
        do {
            gateway = try Gateway.open(settings.gateway, logger: logger)
        } catch {
            throw CommandFailure.environment("the gateway cannot start: \(error)")
        }
        let frames: FrameServer
        do {
            frames = try await FrameServer.start(gateway, settings: transport, logger: logger)
        } catch {
            await gateway.stop()
            throw cannotListen(settings.transport.host, settings.transport.port, "listen.port", error)
        }
        do {
            let admin = try await AdminServer.start(
                gateway, settings: AdminSettings(host: settings.adminHost, port: settings.adminPort),
                status: AdminStatus(version: ProductVersion.text, connections: { frames.figures }),
                logger: logger)
            return RunningGateway(
                gateway: gateway, frames: frames, admin: admin,
                startNanoseconds: clock.monotonicNanoseconds() - started)
        } catch {
            let failure = cannotListen(settings.adminHost, settings.adminPort, "admin.port", error)
            do {
                try await frames.drain()
            } catch {
                logger.warning("connections were not closed in order: \(error)")
            }
            await gateway.stop()
            throw failure
        }
    }

    /// The settings with as many connections as the limit of open files leaves room for, beside the files of the
    /// journal and the databases and the connections of the HTTP API.
    private static func boundConnections(
        _ settings: TransportSettings, logger: Logger
    ) throws -> TransportSettings {
        let limit: Int
        do throws(FileError) {
            limit = try OpenFiles.raiseLimit()
        } catch {
            throw CommandFailure.environment("\(error)")
        }
        let room = limit - OpenFiles.reserved - AdminLimits.connectionsMax
        guard room >= OpenFiles.reserved else {
            let least = 2 * OpenFiles.reserved + AdminLimits.connectionsMax
            throw CommandFailure.environment(
                "this process may have \(limit) files open, and needs at least \(least): raise the limit (ulimit -n)"
            )
        }
        var settings = settings
        if settings.limits.connectionsMax > room {
            logger.notice(
                "fewer connections than transport.connections_max fit the limit of open files (ulimit -n)",
                metadata: [
                    "connections_max": "\(settings.limits.connectionsMax)", "room": "\(room)",
                    "open_files": "\(limit)",
                ])
            settings.limits.connectionsMax = room
        }
        return settings
    }

    private static func cannotListen(
        _ host: String, _ port: Int, _ setting: String, _ error: any Error
    ) -> CommandFailure {
        .environment(
            "cannot listen on \(host):\(port): \(error); choose another \(setting), or stop who has it")
    }

    /// Stops in the order that loses no answer: nothing new, answers under way, then the files.
    func stop(logger: Logger) async {
        gateway.beginDrain()
        do {
            try await frames.drain()
        } catch {
            // The connections end with the process; what was not answered is asked again by the clients.
            logger.warning("connections were not closed in order: \(error)")
        }
        do {
            try await admin.stop()
        } catch {
            logger.warning("the admin server was not stopped in order: \(error)")
        }
        await gateway.stop()
    }
}

/// What a start is worth telling.
struct StartSummary {
    let json: JSONObject
    let text: String

    init(_ running: RunningGateway, _ settings: ServerSettings) {
        let recovery = running.gateway.recovery
        let frames = "\(settings.transport.host):\(running.frames.port)"
        let admin = "http://\(settings.adminHost):\(running.admin.port)"
        json = [
            "event": "ready", "version": .string(ProductVersion.text),
            "data_directory": .string(settings.gateway.dataDirectory),
            "listen_port": .integer(running.frames.port), "admin_port": .integer(running.admin.port),
            "event_loops": .integer(settings.transport.eventLoops), "accounts": .integer(recovery.accounts),
            "epoch": .integer(recovery.epoch), "entries_replayed": .integer(recovery.entries),
            "replay_nanoseconds": .integer(recovery.nanoseconds),
            "start_nanoseconds": .integer(running.startNanoseconds),
            "write_mode": .string(recovery.writeMode),
            "flusher_priority": .string(running.gateway.journalPriority),
            "dropped_tail": recovery.droppedTail.map { .string($0) } ?? .null,
        ]
        var rows = [
            ("data", "\(settings.gateway.dataDirectory), epoch \(recovery.epoch)"),
            (
                "frames",
                "\(frames), \(settings.transport.eventLoops) event loop\(settings.transport.eventLoops == 1 ? "" : "s")"
            ),
            ("admin", admin),
            ("accounts", Figures.grouped(recovery.accounts)),
            (
                "recovery",
                "\(Figures.grouped(recovery.entries)) entries replayed in"
                    + " \(Figures.duration(nanoseconds: recovery.nanoseconds))"
            ),
            ("journal", JournalWords.text(recovery.writeMode, running.gateway.journalPriority)),
        ]
        if let tail = recovery.droppedTail {
            rows.append(("dropped", "a torn tail that nobody was told of: \(tail)"))
        }
        text =
            "tollgate \(ProductVersion.text), ready in \(Figures.duration(nanoseconds: running.startNanoseconds))\n"
            + facts(rows)
    }
}

enum JournalWords {
    /// How batches are written, and at which priority.
    static func text(_ mode: String, _ priority: String) -> String {
        priority.isEmpty ? "\(mode) writes" : "\(mode) writes, flusher at \(priority)"
    }
}
