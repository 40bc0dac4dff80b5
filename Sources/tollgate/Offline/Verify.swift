// `tollgate verify`: the proof that a data directory's books are right, with nobody's word taken for it.

import ArgumentParser
import Gateway
import Platform
import Store
import StrictJSON

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Recomputes every balance of a data directory and compares.",
        discussion: """
            Offline: it refuses while a server has the directory. It reads every
            checksum again, folds checkpoint and journal into balances as a start
            would, goes through every entry independently, and looks for a request id
            with two outcomes. Where something does not agree, the first entry after
            which an equation no longer holds is named, with its place in the journal
            and the history. Nothing is changed but the counter of starts.

            tollgate verify ./data

            Exit code 0 if all agrees, 1 with the first difference, 2 if it cannot be read.
            """)

    @OptionGroup var output: OutputOptions

    @Argument(help: "The data directory.")
    var dataDirectory: String

    func run() throws {
        let clock = SystemClock()
        let started = clock.monotonicNanoseconds()
        let report: VerificationReport
        do throws(GatewayError) {
            report = try OfflineDirectory(dataDirectory).verify()
        } catch {
            throw OfflineText.failure(error, dataDirectory)
        }
        let nanoseconds = clock.monotonicNanoseconds() - started
        output.show(Self.json(report, nanoseconds), text: Self.text(report, nanoseconds))
        if report.problem != nil { throw CommandFailure.negative("") }
    }

    static func text(_ report: VerificationReport, _ nanoseconds: UInt64) -> String {
        var lines =
            report.checks.isEmpty ? [] : [facts(report.checks.map { ("✓ " + $0.part, $0.found) }, indent: "")]
        if let problem = report.problem {
            lines.append("✗ \(problem)")
        } else {
            if report.historyLag > 0 {
                lines.append(
                    "the history is \(Figures.grouped(report.historyLag)) entries behind; the next start goes on"
                        + " with them"
                )
            }
            lines.append("everything agrees, checked in \(Figures.duration(nanoseconds: nanoseconds))")
        }
        return lines.joined(separator: "\n")
    }

    private static func json(_ report: VerificationReport, _ nanoseconds: UInt64) -> JSONObject {
        [
            "agrees": .bool(report.problem == nil), "problem": report.problem.map { .string($0) } ?? .null,
            "entry": report.entry.map { .object(json($0)) } ?? .null,
            "checks": .array(report.checks.map { ["part": .string($0.part), "found": .string($0.found)] }),
            "granted_nanocredits": .string("\(report.totals.granted)"),
            "balances_nanocredits": .string("\(report.totals.balances)"),
            "charged_nanocredits": .string("\(report.totals.charged)"),
            "expired_nanocredits": .string("\(report.totals.expired)"),
            "voided_nanocredits": .string("\(report.totals.voided)"),
            "deducted_nanocredits": .string("\(report.totals.deducted)"),
            "history_lag": .integer(report.historyLag), "nanoseconds": .integer(nanoseconds),
        ]
    }

    private static func json(_ entry: EntryPlace) -> JSONObject {
        [
            "lsn": .integer(entry.lsn), "kind": .string(entry.kind), "account": .string(entry.account),
            "shard": .integer(entry.shard), "sequence": .integer(entry.sequence),
            "segment": entry.segment.map { .string($0) } ?? .null,
            "history_row": entry.row.map { .integer($0) } ?? .null,
        ]
    }
}

/// What the offline commands say alike.
enum OfflineText {
    static func failure(_ error: GatewayError, _ directory: String) -> CommandFailure {
        if case .file(let file) = error, file.code == 2 || file.code == 20 {
            return .environment("\(directory) is not a data directory: \(error)")
        }
        if case .store(let store) = error, isDamage(store) { return .negative("\(error)") }
        return .environment("\(error)")
    }

    /// The content is wrong, not the call.
    private static func isDamage(_ error: StoreError) -> Bool {
        switch error {
        case .damagedRow, .damagedTotals, .foreignFile: true
        // SQLITE_CORRUPT and SQLITE_NOTADB, extended codes included.
        case .poisoned(let failure): failure.code & 0xff == 11 || failure.code & 0xff == 26
        case .retryLater, .rejected, .newerSchema, .system: false
        }
    }
}
