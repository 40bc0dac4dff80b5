// `tollgate export`: the history as CSV, JSON lines or FOCUS, from a gateway or from its directory.

import Admin
import ArgumentParser
import Gateway
import Glibc
import Money
import NIOHTTP1
import Pricing
import Store
import StrictJSON

extension ExportKind: ExpressibleByArgument {}
extension ExportFormat: ExpressibleByArgument {}

struct ExportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Writes usage, acts on credit or daily sums as CSV, JSON lines or FOCUS.",
        discussion: """
            tollgate export usage usage.csv
            tollgate export usage --account acme --from 2026-11-01 --to 2026-12-01 november.csv
            tollgate export rollups --format focus focus.csv
            tollgate export credits --format jsonl - | jq .amount
            tollgate export usage --data-directory ./data usage.csv     no gateway running

            A running gateway is asked a page at a time; any length takes little memory. Times
            of usage are those of the event, of acts on credit those of the recording; --to is
            not among them. Amounts are exact decimal text, in credits unless the name says
            usd. In CSV a cell that a spreadsheet would compute begins with an apostrophe.

            FOCUS 1.0: BilledCost is the charge and ListCost the fee before the allowance, in
            dollars at the value of a credit; BillingAccountId is the organisation, SubAccountId
            the account, ProviderName who served, SkuId provider/model; ConsumedQuantity counts
            tokens; ChargePeriod is the event's second or the day; x_ columns have the rest.
            """)

    @OptionGroup var server: AdminOptions

    @Argument(help: "What: usage, credits or rollups.")
    var kind: ExportKind

    @Argument(help: "The file, replaced when the export is whole; - is standard output.")
    var file = "-"

    @Option(help: ArgumentHelp("How.", valueName: "csv|jsonl|focus"))
    var format = ExportFormat.csv

    @Option(help: "This account and those below it only.")
    var account: String?

    @Option(help: "From then on, such as 2026-11-01 or 2026-11-01T12:00:00Z; a day for rollups.")
    var from: String?

    @Option(help: "Before then.")
    var to: String?

    @Option(name: [.customShort("d"), .long], help: "A data directory that no gateway is using.")
    var dataDirectory: String?

    func validate() throws {
        if kind == .credits, format == .focus {
            throw ValidationError(
                "FOCUS is about usage: export usage or rollups as focus, credits as csv or jsonl")
        }
    }

    private static let rowsAtOnce = 10_000

    func run() async throws {
        // A reader that has seen enough is no failure.
        _ = signal(SIGPIPE, SIG_IGN)
        if let dataDirectory { return try runOffline(dataDirectory) }
        var sink = try ByteSink(file)
        var progress = ExportProgress()
        var query = [("format", format.rawValue), ("limit", "\(Self.rowsAtOnce)")]
        for (name, value) in [("account", account), ("from", from), ("to", to)] {
            if let value { query.append((name, value)) }
        }
        var cursor: String?
        repeat {
            let page = try await server.client.page(
                "/api/v1/export/\(kind.rawValue)", query: query + (cursor.map { [("cursor", $0)] } ?? []))
            guard try sink.write(page.body) else { return }
            cursor = page.nextCursor
            progress.show(bytes: sink.count, done: cursor)
        } while cursor != nil
        try sink.finish()
        progress.end(bytes: sink.count)
    }

    private func runOffline(_ path: String) throws {
        var filter = ExportFilter()
        filter.account = account.map { Array($0.utf8) }
        filter.since = try instant("--from", from)
        filter.until = try instant("--to", to)
        do {
            let directory = try OfflineDirectory(path)
            guard let value = directory.creditValue,
                var text = ExportText(kind, format, creditValue: value)
            else { preconditionFailure("validate refuses what has no text; a directory has its value") }
            try write(directory, filter, &text)
        } catch let error as GatewayError {
            throw OfflineText.failure(error, path)
        }
    }

    private func write(_ directory: OfflineDirectory, _ filter: ExportFilter, _ text: inout ExportText) throws
    {
        var sink = try ByteSink(file)
        var progress = ExportProgress()
        text.addHeader()
        var position = try directory.exportStart(kind, filter)
        while let from = position {
            let stretch = try directory.exportStretch(kind, filter, at: from, count: Self.rowsAtOnce)
            text.add(stretch.rows)
            guard try sink.write(text.take()) else { return }
            position = stretch.next
            progress.show(bytes: sink.count, done: position?.text)
        }
        guard try sink.write(text.take()) else { return }
        try sink.finish()
        progress.end(bytes: sink.count)
    }

    private func instant(_ name: String, _ text: String?) throws(CommandFailure) -> Int64? {
        guard let text else { return nil }
        guard let instant = Timestamp(text: text) else {
            throw .environment("\(name) \(text): expected an instant such as 2026-11-01T00:00:00Z, or a date")
        }
        if kind == .rollups, UsageDay(start: instant) == nil {
            throw .environment(
                "\(name) \(text): rollups are of whole days in UTC; give a date such as 2026-11-01")
        }
        return instant.microseconds
    }
}

/// How far an export is, drawn over itself on standard error when a person is watching.
struct ExportProgress {
    private let isShown = isatty(STDERR_FILENO) == 1

    /// - Parameter done: the position in words: rows looked at and the last of them.
    mutating func show(bytes: Int, done: String?) {
        guard isShown else { return }
        let parts = done?.split(separator: "_") ?? []
        let place = parts.count == 2 ? ", at row \(parts[0]) of \(parts[1])" : ""
        Console.progress("\r\(Figures.grouped(bytes)) bytes\(place)    ")
    }

    func end(bytes: Int) {
        guard isShown else { return }
        Console.progress("\r\(Figures.grouped(bytes)) bytes, whole                              \n")
    }
}
