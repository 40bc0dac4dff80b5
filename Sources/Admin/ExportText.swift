// Rows of an export as text: comma-separated values, JSON lines, or FOCUS 1.0, which cost tools read.
//
// Amounts are exact decimal text. In CSV what comes from outside is quoted, and a cell that a spreadsheet would
// compute is made text; numbers are written as they are.

import CSV
import Gateway
import Ledger
import Money
import Pricing
import Store
import StrictJSON

/// How it is written.
public enum ExportFormat: String, CaseIterable, Sendable {
    case csv
    case jsonl
    case focus

    /// Its media type.
    public var contentType: String {
        switch self {
        case .csv, .focus: "text/csv; charset=utf-8"
        case .jsonl: "application/jsonl; charset=utf-8"
        }
    }
}

/// A value of a row.
enum ExportCell {
    case text(String)
    /// Digits, or an instant: never quoted in CSV.
    case plain(String)
    case count(Int128)
    case object(JSONObject)
    case none

    var csv: String {
        switch self {
        case .text(let text): CSVText.field(text)
        case .plain(let text): text
        case .count(let count): "\(count)"
        case .object(let object):
            object.isEmpty
                ? "" : CSVText.field(String(decoding: JSONValue.object(object).bytes(), as: UTF8.self))
        case .none: ""
        }
    }

    var json: JSONValue {
        switch self {
        case .text(let text), .plain(let text): .string(text)
        case .count(let count): .integer(count)
        case .object(let object): .object(object)
        case .none: .null
        }
    }

    static func word(_ text: String) -> ExportCell { text.isEmpty ? .none : .text(text) }
    static func credits(_ nanocredits: Int128) -> ExportCell {
        .plain(DecimalText.format(nanocredits, places: Nanocredits.places, decimalsMin: 2))
    }
    static func dollars(_ picodollars: Int128) -> ExportCell {
        .plain(DecimalText.format(picodollars, places: Picodollars.places, decimalsMin: 2))
    }
    static func instant(_ microseconds: Int64) -> ExportCell {
        .plain(Timestamp(microseconds: microseconds).text)
    }
}

/// Writes rows as text.
public struct ExportText: Sendable {
    let kind: ExportKind
    let format: ExportFormat
    let creditValue: CreditValue
    public private(set) var bytes: [UInt8] = []
    public private(set) var rowCount = 0

    /// - Returns: nil for acts on credit as FOCUS, which is about usage.
    public init?(_ kind: ExportKind, _ format: ExportFormat, creditValue: CreditValue) {
        if kind == .credits, format == .focus { return nil }
        self.kind = kind
        self.format = format
        self.creditValue = creditValue
    }

    /// The text since the last call.
    public mutating func take() -> [UInt8] {
        defer { bytes = [] }
        return bytes
    }

    /// The names of the columns, where the format has such a line.
    public mutating func addHeader() {
        guard format != .jsonl else { return }
        let names: [String]
        switch (kind, format) {
        case (_, .focus): names = FocusRow.columns
        case (.usage, _): names = UsageRow.exportColumns
        case (.credits, _): names = CreditRow.exportColumns
        case (.rollups, _): names = RollupRow.exportColumns
        }
        bytes += Array((names.joined(separator: ",") + "\n").utf8)
    }

    /// Adds the rows of a stretch.
    public mutating func add(_ rows: ExportStretch.Rows) {
        switch rows {
        case .usage(let rows): for row in rows { add(row) }
        case .credits(let rows): for row in rows { add(row) }
        case .rollups(let rows): for row in rows { add(row) }
        }
    }

    mutating func add(_ row: UsageRow) {
        guard format != .focus else { return add(FocusRow(row, creditValue)) }
        add(UsageRow.exportColumns, row.exportCells)
    }

    mutating func add(_ row: CreditRow) { add(CreditRow.exportColumns, row.exportCells) }

    mutating func add(_ row: RollupRow) {
        guard format != .focus else { return add(FocusRow(row, creditValue)) }
        add(RollupRow.exportColumns, row.exportCells)
    }

    private mutating func add(_ row: FocusRow?) {
        if let row { add(FocusRow.columns, row.cells) }
    }

    private mutating func add(_ columns: [String], _ cells: [ExportCell]) {
        precondition(columns.count == cells.count, "a cell for each column")
        rowCount += 1
        if format == .jsonl {
            var object = JSONObject()
            for (name, cell) in zip(columns, cells) { object[name] = cell.json }
            bytes += JSONValue.object(object).bytes()
        } else {
            for (index, cell) in cells.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                bytes += cell.csv.utf8
            }
        }
        bytes.append(UInt8(ascii: "\n"))
    }
}

extension UsageRow {
    static let exportColumns = [
        "id", "request_id", "account", "wallet", "event_time", "recorded_at", "state", "parked_reason",
        "credential_source", "provider", "model", "service_tier", "tier", "input_tokens", "output_tokens",
        "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "input_audio_tokens",
        "input_image_tokens", "reasoning_tokens", "output_audio_tokens", "output_image_tokens", "images",
        "web_searches", "seconds", "pages", "characters", "requests", "base_cost_usd", "fee", "charge",
        "allowance_used", "balance_after", "rule_version", "catalogue_version", "sequence", "tags",
    ]

    fileprivate var exportCells: [ExportCell] {
        let counts = figures.counts
        let state: String =
            switch figures.state {
            case .charged: "charged"
            case .parked: "parked"
            case .settled: "settled"
            case .discarded: "discarded"
            }
        var cells: [ExportCell] = [
            .plain("\(id)"), .text(requestText), .text(account), .text(wallet.isEmpty ? account : wallet),
            .instant(figures.eventTime), .instant(figures.recordedAt), .plain(state),
            parkedReason.map { .text($0) } ?? .none, ExportCell.source(figures.credentialSource),
            .text(provider), .text(model), .text(serviceTier.isEmpty ? "standard" : serviceTier), .word(tier),
        ]
        for count in [
            counts.inputTokens, counts.outputTokens, counts.cacheReadTokens, counts.cacheWrite5mTokens,
            counts.cacheWrite1hTokens, counts.inputAudioTokens, counts.inputImageTokens,
            counts.reasoningTokens, counts.outputAudioTokens, counts.outputImageTokens, counts.images,
            counts.webSearches, counts.seconds, counts.pages, counts.characters, counts.requests,
        ] { cells.append(.count(Int128(count))) }
        cells += [
            .dollars(Int128(figures.baseCostPicodollars)), .credits(Int128(figures.fee)),
            .credits(Int128(figures.charge)), .credits(Int128(figures.allowanceUsed)),
            .credits(Int128(figures.balanceAfter)), .plain("\(figures.ruleVersion)"),
            .plain("\(figures.catalogueVersion)"), .plain("\(figures.sequence)"), .object(tags),
        ]
        return cells
    }

    var requestText: String {
        guard case .string(let text) = requestName else { return "" }
        return text
    }
}

extension ExportCell {
    static func source(_ source: UInt8) -> ExportCell {
        switch CredentialSource(rawValue: source) {
        case .platform: .plain("platform")
        case .byok: .plain("byok")
        case nil: .none
        }
    }
}

extension CreditRow {
    static let exportColumns = [
        "id", "account", "recorded_at", "type", "amount", "balance_after", "source", "request_id", "reason",
        "by", "grant_id", "expires_at", "idempotency_key", "sequence", "details",
    ]

    fileprivate var exportCells: [ExportCell] {
        [
            .plain("\(id)"), .text(account), .instant(recordedAt), .plain(kind), .credits(Int128(amount)),
            knownBalance.map { .credits(Int128($0)) } ?? .none, .word(source), .word(reference.text),
            .word(detail("reason") ?? ""),
            .word(detail("by") ?? ""), grantID.map { .plain("\($0)") } ?? .none,
            expiresAt.map { .instant($0) } ?? .none, .word(idempotencyKey.text), .plain("\(sequence)"),
            .object(exportDetails),
        ]
    }
}

extension RollupRow {
    static let exportColumns = [
        "day", "account", "provider", "model", "credential_source", "requests", "input_tokens",
        "cache_read_tokens", "output_tokens", "base_cost_usd", "fee", "allowance_used", "charge", "parked",
        "settled", "discarded",
    ]

    fileprivate var exportCells: [ExportCell] {
        [
            .plain(day.text), .text(account), .text(provider), .text(model),
            ExportCell.source(credentialSource),
            .count(sums.requests), .count(sums.inputTokens), .count(sums.cacheReadTokens),
            .count(sums.outputTokens), .dollars(sums.baseCostPicodollars), .credits(sums.fee),
            .credits(sums.allowanceUsed), .credits(sums.charge), .count(sums.parked), .count(sums.settled),
            .count(sums.discarded),
        ]
    }
}
