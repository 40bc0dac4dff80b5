// `tollgate demo`: the whole of it on one machine in twenty seconds, and the proof that nothing was lost.
//
//      serve (child process) → accounts → traffic → charges, receipts, books → kill -9 under load → serve →
//      every unanswered call answered → books again → stop → verify
//
// All sums come from the receipts that this process was given; the gateway's own sums are asked for afterwards
// and must be the same to the nanocredit.

import ArgumentParser
import Gateway
import Glibc
import Platform
import StrictJSON
import TollgateClient

struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows it all on a temporary data directory: traffic, charges, kill -9, proof.",
        discussion: """
            tollgate demo
            tollgate demo --seconds 3 --keep

            Needs nothing and leaves nothing. Exit code 1 if any of its checks fails.
            """)

    @Option(help: "How long the first stretch of traffic lasts.")
    var seconds = 8

    @Flag(help: "Keep the data directory and the server's log, to look around.")
    var keep = false

    func validate() throws {
        guard (1...3_600).contains(seconds) else { throw ValidationError("--seconds is from 1 to 3600") }
    }

    func run() async throws {
        let server = try DemoServer()
        // A closed pipe is found where it is written to; the server must be ended all the same.
        Signals.ignoreWriteSignals()
        let signals: AsyncStream<Int32>
        do throws(FileError) {
            signals = try Signals.watch([SIGINT, SIGTERM, SIGHUP])
        } catch {
            throw CommandFailure.environment("\(error)")
        }
        let interruption = Task.detached { [keep] in
            for await number in signals {
                server.cleanUp(keep: keep)
                Glibc._exit(128 + number)
            }
        }
        defer { interruption.cancel() }
        let stage = DemoStage()
        Console.out(
            "Tollgate \(ProductVersion.text): a demonstration on this machine, about \(seconds + 12) seconds")
        do {
            try await DemoRun(server: server, stage: stage, seconds: seconds).play()
        } catch {
            stage.say("")
            server.cleanUp(keep: keep)
            throw error
        }
        server.cleanUp(keep: keep)
        if keep { Console.out("\nkept: \(server.dataDirectory), log in \(server.logPath)") }
        guard stage.failures.isEmpty else {
            throw CommandFailure.negative(
                "\(stage.failures.count) checks failed:\n  " + stage.failures.joined(separator: "\n  "))
        }
        Console.out(
            "\nAll checks hold. Next: `tollgate serve --data-directory ./data`, and `tollgate --help`.")
    }
}
