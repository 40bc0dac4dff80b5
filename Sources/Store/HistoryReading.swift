// Reading rows of the history, each checked against its checksum.

import Bytes
import GRDB

enum HistoryReader {
    static let usageByID =
        "SELECT \(HistorySchema.usageColumns.joined(separator: ", ")) FROM usage_rows WHERE id = ?"
    static let creditByID =
        "SELECT \(HistorySchema.creditColumns.joined(separator: ", ")) FROM credit_rows WHERE id = ?"

    /// The row that a key leads to, borrowed from `statement`, which is for `usageByID`.
    static func usage(_ statement: inout Statement, _ id: Int64) throws(StoreError) -> HistoryUsage {
        statement.bind(id, at: 1)
        guard try statement.step() else {
            throw damaged("usage_rows", id, "", "its key is there, the row is not")
        }
        return try usage(statement).row
    }

    /// The row that a key leads to, borrowed from `statement`, which is for `creditByID`.
    static func credit(_ statement: inout Statement, _ id: Int64) throws(StoreError) -> HistoryCredit {
        statement.bind(id, at: 1)
        guard try statement.step() else {
            throw damaged("credit_rows", id, "", "its key is there, the row is not")
        }
        return try credit(statement).row
    }

    /// The row that `statement` stands on, borrowed from it until its next step.
    static func usage(_ statement: borrowing Statement) throws(StoreError) -> (id: Int64, row: HistoryUsage) {
        let id = statement.integer(0)
        guard let shard = UInt16(exactly: statement.integer(2)),
            let state = UInt8(exactly: statement.integer(12)).flatMap(UsageState.init),
            let credentialSource = UInt8(exactly: statement.integer(14)),
            let ruleNumber = UInt32(exactly: statement.integer(40)),
            let ruleVersion = UInt32(exactly: statement.integer(41)),
            let catalogueVersion = UInt32(exactly: statement.integer(42)),
            let flags = UInt32(exactly: statement.integer(43))
        else { throw damaged("usage_rows", id, statement.text(6), "a number is out of range") }
        var row = HistoryUsage()
        row.figures.lsn = UInt64(bitPattern: statement.integer(1))
        row.figures.shard = shard
        row.figures.sequence = UInt64(bitPattern: statement.integer(3))
        row.figures.recordedAt = statement.integer(4)
        row.figures.eventTime = statement.integer(5)
        row.account = statement.bytes(6)
        row.wallet = statement.bytes(7)
        row.requestID = statement.bytes(8)
        row.figures.idKey = Hash128(
            low: UInt64(bitPattern: statement.integer(9)), high: UInt64(bitPattern: statement.integer(10)))
        row.figures.digest = UInt64(bitPattern: statement.integer(11))
        row.figures.state = state
        row.parkedReason = statement.bytes(13)
        row.figures.credentialSource = credentialSource
        row.provider = statement.bytes(15)
        row.model = statement.bytes(16)
        row.serviceTier = statement.bytes(17)
        row.tier = statement.bytes(18)
        row.figures.counts = counts(statement, from: 19)
        row.figures.baseCostPicodollars = statement.integer(35)
        row.figures.fee = statement.integer(36)
        row.figures.charge = statement.integer(37)
        row.figures.allowanceUsed = statement.integer(38)
        row.figures.balanceAfter = statement.integer(39)
        row.figures.ruleNumber = ruleNumber
        row.figures.ruleVersion = ruleVersion
        row.figures.catalogueVersion = catalogueVersion
        row.figures.flags = flags
        row.content = statement.bytes(45)
        row.extra = statement.bytes(46)
        row.holdKey = HoldEnds.key(statement, 47)
        guard Int64(row.check(id: id)) == statement.integer(44) else {
            throw damaged(
                "usage_rows", id, row.account.text,
                "its checksum does not fit; it calls itself the outcome of request \(row.requestID.text)")
        }
        return (id, row)
    }

    private static func counts(_ statement: borrowing Statement, from first: CInt) -> UsageCounts {
        var counts = UsageCounts()
        counts.inputTokens = statement.integer(first)
        counts.outputTokens = statement.integer(first + 1)
        counts.cacheReadTokens = statement.integer(first + 2)
        counts.cacheWrite5mTokens = statement.integer(first + 3)
        counts.cacheWrite1hTokens = statement.integer(first + 4)
        counts.inputAudioTokens = statement.integer(first + 5)
        counts.inputImageTokens = statement.integer(first + 6)
        counts.reasoningTokens = statement.integer(first + 7)
        counts.outputAudioTokens = statement.integer(first + 8)
        counts.outputImageTokens = statement.integer(first + 9)
        counts.images = statement.integer(first + 10)
        counts.webSearches = statement.integer(first + 11)
        counts.seconds = statement.integer(first + 12)
        counts.pages = statement.integer(first + 13)
        counts.characters = statement.integer(first + 14)
        counts.requests = statement.integer(first + 15)
        return counts
    }

    /// The row that `statement` stands on, borrowed from it until its next step.
    static func credit(_ statement: borrowing Statement) throws(StoreError) -> (id: Int64, row: HistoryCredit)
    {
        let id = statement.integer(0)
        guard let shard = UInt16(exactly: statement.integer(2)) else {
            throw damaged("credit_rows", id, statement.text(5), "its shard is out of range")
        }
        var row = HistoryCredit()
        row.lsn = UInt64(bitPattern: statement.integer(1))
        row.shard = shard
        row.sequence = UInt64(bitPattern: statement.integer(3))
        row.recordedAt = statement.integer(4)
        row.account = statement.bytes(5)
        row.kind = statement.bytes(6)
        row.amount = statement.integer(7)
        row.balanceAfter = statement.integer(8)
        row.source = statement.bytes(9)
        row.details = statement.bytes(10)
        row.idempotencyKey = statement.bytes(11)
        row.expiresAt = statement.isNull(12) ? nil : statement.integer(12)
        row.grantID = statement.isNull(13) ? nil : UInt64(bitPattern: statement.integer(13))
        row.reference = statement.bytes(15)
        row.holdKey = HoldEnds.key(statement, 16)
        row.wallet = statement.bytes(18)
        guard Int64(row.check(id: id)) == statement.integer(14) else {
            throw damaged(
                "credit_rows", id, row.account.text,
                "its checksum does not fit; it calls itself \(row.kind.text) of entry \(row.sequence)")
        }
        return (id, row)
    }

    @inline(never)
    private static func damaged(_ table: String, _ id: Int64, _ path: String, _ reason: String) -> StoreError
    {
        .damagedRow(file: .history, table: table, key: "\(id)", path: path, reason: reason)
    }
}

extension UsageRow {
    init(id: Int64, _ row: HistoryUsage) {
        self.init(
            id: id, figures: row.figures, account: row.account.text,
            wallet: row.wallet.isEmpty ? row.account.text : row.wallet.text, requestID: Array(row.requestID),
            parkedReason: row.parkedReason.isEmpty ? nil : row.parkedReason.text, provider: row.provider.text,
            model: row.model.text, serviceTier: row.serviceTier.isEmpty ? "standard" : row.serviceTier.text,
            tier: row.tier.text, content: Array(row.content), extra: Array(row.extra))
    }
}

extension CreditRow {
    init(id: Int64, _ row: HistoryCredit) {
        self.init(
            id: id, lsn: row.lsn, shard: row.shard, sequence: row.sequence, recordedAt: row.recordedAt,
            account: row.account.text, wallet: row.wallet.isEmpty ? row.account.text : row.wallet.text,
            kind: row.kind.text, amount: row.amount,
            balanceAfter: row.balanceAfter,
            source: row.source.text, details: row.details.text, idempotencyKey: Array(row.idempotencyKey),
            expiresAt: row.expiresAt, grantID: row.grantID, reference: Array(row.reference))
    }
}
