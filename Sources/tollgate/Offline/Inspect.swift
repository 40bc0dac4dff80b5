// `tollgate inspect journal|checkpoint`: what is in the files, for whoever has to know.

import ArgumentParser
import Bytes
import Gateway
import Journal
import Ledger
import Money
import Platform
import Pricing
import Store
import StrictJSON

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows what is in the files of a data directory.",
        subcommands: [InspectJournal.self, InspectCheckpoint.self])
}

struct InspectJournal: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "journal",
        abstract: "Shows segments, batches and entries of the journal. Changes nothing.",
        discussion: """
            It may look while a server writes; the last batch can seem torn then,
            because it is being written.

            tollgate inspect journal ./data
            tollgate inspect journal ./data --batches
            tollgate inspect journal ./data --entries 20

            Exit code 1 if a start would refuse this journal; the reason is shown.
            """)

    @OptionGroup var output: OutputOptions

    @Argument(help: "The data directory.")
    var dataDirectory: String

    @Flag(help: "Show every batch.")
    var batches = false

    @Option(help: "Show the last so many entries.")
    var entries = 0

    func run() throws {
        let inspector = JournalInspector(directory: dataDirectory + "/wal", fileSystem: LinuxFileSystem())
        let segments: [SegmentReport]
        let verdict: JournalVerdict
        do throws(JournalError) {
            segments = try inspector.segments()
            verdict = try inspector.verify()
        } catch {
            throw CommandFailure.environment("\(dataDirectory) has no readable journal: \(error)")
        }
        var shown = JournalText(keepsBatches: batches, entriesMax: entries)
        for segment in segments {
            shown.add(segment)
            do throws(JournalError) {
                try inspector.batches(of: segment) { batch, body in shown.add(batch, body) }
            } catch {
                throw CommandFailure.environment("\(error)")
            }
        }
        output.show(shown.json(verdict), text: shown.text(verdict))
        if verdict.problem != nil { throw CommandFailure.negative("") }
    }
}

struct InspectCheckpoint: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "checkpoint",
        abstract: "Shows the newest checkpoint: what it covers, and its accounts.",
        discussion: """
            Offline: it refuses while a server has the directory.

            tollgate inspect checkpoint ./data
            tollgate inspect checkpoint ./data --accounts 100
            """)

    @OptionGroup var output: OutputOptions

    @Argument(help: "The data directory.")
    var dataDirectory: String

    @Option(help: "Show so many accounts.")
    var accounts = 20

    func run() throws {
        var rows: [(path: String, balance: Int64, place: String)] = []
        let directory: OfflineDirectory
        let checkpoint: Checkpoint?
        do throws(GatewayError) {
            directory = try OfflineDirectory(dataDirectory)
            checkpoint = try directory.checkpoint { path, balance, shard, number in
                if rows.count < accounts { rows.append((path.text, balance, "\(shard)/\(number)")) }
            }
        } catch {
            throw OfflineText.failure(error, dataDirectory)
        }
        guard let checkpoint else { throw CommandFailure.negative("\(dataDirectory) has no checkpoint yet") }
        let written = Timestamp(microseconds: checkpoint.stamp.writtenAt).text
        var table = Table([("account", .left), ("balance, credits", .right), ("shard/number", .right)])
        for row in rows { table.add([row.path, Figures.credits(row.balance), row.place]) }
        output.show(
            [
                "directory_id": .string(directory.record.identity.id),
                "credit_value_usd": .string(directory.record.identity.creditValue),
                "generation": .integer(checkpoint.generation), "epoch": .integer(checkpoint.stamp.epoch),
                "applied_lsn": .integer(checkpoint.stamp.appliedLSN),
                "durable_lsn": .integer(checkpoint.stamp.durableLSN), "written_at": .string(written),
                "live_segments": .array(checkpoint.stamp.liveSegments.map { .string($0) }),
                "account_count": .integer(checkpoint.totals.accountCount),
                "balances": .string(
                    DecimalText.format(checkpoint.totals.balance, places: Nanocredits.places)),
                "accounts": .array(
                    rows.map {
                        ["account": .string($0.path), "balance": .string(Nanocredits($0.balance).text)]
                    }),
            ],
            text: facts(
                [
                    ("directory", directory.record.identity.id),
                    ("credit", "\(directory.record.identity.creditValue) USD"),
                    (
                        "checkpoint",
                        "\(checkpoint.generation), of epoch \(checkpoint.stamp.epoch), written \(written)"
                    ),
                    ("covers", "journal up to LSN \(checkpoint.stamp.appliedLSN)"),
                    (
                        "accounts",
                        "\(Figures.grouped(checkpoint.totals.accountCount)), together"
                            + " \(Figures.credits(checkpoint.totals.balance)) credits"
                    ),
                ], indent: "") + "\n\n" + table.text)
    }
}
