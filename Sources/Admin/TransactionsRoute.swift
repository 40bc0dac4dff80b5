// An account's statement: what was charged, given, ended and changed, newest first.
//
//      {"transactions": [...], "limit", "offset", "next_cursor", "history_lag"}
//
// A list is an object with the list in it, so `jq '.transactions[] | select(.transaction_type ==
// "deducted")'`. `cursor` takes a page's `next_cursor`; it costs the same on every page and does not skip
// or repeat rows when new ones come, which `offset` does. The history follows the ledger: `history_lag`
// says how many entries are on their way.
//
// What became of holds moves no credit, and there are as many holds as requests: those rows are left out unless
// `type` names them or `include=holds` asks for them. What is left out counts for no limit and no offset.

import Bytes
import Gateway
import Ledger
import Pricing
import Store
import StrictJSON
import Wire

extension AdminDesk {
    /// `GET /api/v1/credits/transactions`: of one account and of those that draw on its wallet, or of all.
    func transactions(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters([
            "user_id", "account", "limit", "offset", "cursor", "type", "since", "until", "provider", "model",
            "source", "reference", "request_id", "include",
        ])
        let filter = try Self.filter(request)
        if let account = try request.account() { _ = try await summary(of: account) }
        try await lookForLatest()
        let gateway = gateway
        let page = try await reading { () throws(AdministrationError) in try gateway.transactions(filter) }
        let rules = RuleNames(gateway.priceBook.rules)
        return Reply([
            "transactions": .array(page.rows.map { .object($0.json(rules)) }),
            "limit": .integer(filter.limit), "offset": .integer(filter.offset),
            "next_cursor": page.next.map { .string(Cursor.text($0)) } ?? .null,
            "history_lag": .integer(gateway.historyLag),
        ])
    }

    /// The types a statement may be asked for.
    static let transactionTypes =
        [
            UsageState.charged.transactionType, UsageState.parked.transactionType,
            UsageState.settled.transactionType, UsageState.discarded.transactionType,
        ] + TransactionKind.all

    static func filter(_ request: AdminRequest) throws(RequestProblem) -> TransactionFilter {
        var filter = TransactionFilter()
        filter.account = try request.account()?.path
        filter.limit =
            try request.integer("limit", in: 1...AdminLimits.pageRowsMax) ?? AdminLimits.pageRowsDefault
        filter.offset = try request.integer("offset", in: 0...AdminLimits.offsetMax) ?? 0
        filter.before = try Cursor.read(request)
        if filter.before != nil, filter.offset > 0 {
            throw .badParameter(
                "offset", found: "\(filter.offset)", expected: "cursor or offset, not both")
        }
        filter.provider = request.parameter("provider")
        filter.model = request.parameter("model")
        filter.source = request.parameter("source")
        let references = ["reference", "request_id"].compactMap { request.parameter($0) }
        guard references.count < 2 else {
            throw .badParameter(
                "request_id", found: references[1], expected: "reference or request_id, not both")
        }
        filter.reference = references.first.map { Array($0.utf8) }
        filter.since = try request.instant("since")?.microseconds
        filter.until = try request.instant("until")?.microseconds
        for type in (request.parameter("type") ?? "").split(separator: ",") {
            guard transactionTypes.contains(String(type)) else {
                throw .badParameter(
                    "type", found: String(type), expected: "any of \(transactionTypes.joined(separator: ","))"
                )
            }
            filter.types.insert(String(type))
        }
        switch request.parameter("include") {
        case nil: filter.typesLeftOut = TransactionKind.holds
        case "holds": break
        case let other?: throw .badParameter("include", found: other, expected: "holds")
        }
        return filter
    }
}

/// Where a page ends, as a word that says nothing: it is the `next_cursor` of one page and the `cursor` of the next.
/// It names a row and not a count, so rows that come meanwhile neither shift nor repeat a page.
enum Cursor {
    private static let prefix = "t1_"

    static func text(_ row: Int64) -> String { prefix + String(row, radix: 36) }

    static func read(_ request: AdminRequest) throws(RequestProblem) -> Int64? {
        guard let text = request.parameter("cursor") else { return nil }
        guard text.hasPrefix(prefix), let row = Int64(text.dropFirst(prefix.count), radix: 36), row > 0,
            Self.text(row) == text
        else {
            throw .badParameter("cursor", found: text, expected: "the next_cursor of the page before")
        }
        return row
    }
}

/// The id of each rule, by its number.
struct RuleNames {
    private var names: [UInt32: String] = [:]

    init(_ book: RuleBook) {
        for rule in book.platform { names[rule.head.ruleNumber] = rule.head.id }
        for rule in book.byok { names[rule.head.ruleNumber] = rule.head.id }
    }

    subscript(number: UInt32) -> JSONValue { names[number].map { .string($0) } ?? .null }
}

extension TransactionRow {
    /// The row as a document. `amount` is signed: what it added to the balance.
    func json(_ rules: RuleNames) -> JSONObject {
        switch self {
        case .usage(let row): row.json(rules)
        case .credit(let row): row.json
        }
    }
}

extension UsageRow {
    fileprivate func json(_ rules: RuleNames) -> JSONObject {
        [
            "id": .wide(id), "user_id": .string(account),
            "wallet": .string(wallet.isEmpty ? account : wallet),
            "transaction_type": .string(figures.state.transactionType), "amount": .credits(-figures.charge),
            "balance_after": .credits(figures.balanceAfter), "provider": .string(provider),
            "model": .string(model), "service_tier": .string(serviceTier.isEmpty ? "standard" : serviceTier),
            "credential_source": source, "tier": .word(tier), "request_id": requestName,
            "metadata": .object(metadata),
            "orphan": .bool(figures.flags & UsageFigures.isOrphan != 0),
            "corrects_orphan": .bool(figures.flags & UsageFigures.correctsOrphan != 0),
            "cost_breakdown": [
                "base_cost_usd": .dollars(figures.baseCostPicodollars), "fee": .credits(figures.fee),
                "allowance_used": .credits(figures.allowanceUsed), "charge": .credits(figures.charge),
                "rule_id": rules[figures.ruleNumber], "rule_version": .integer(figures.ruleVersion),
                "catalogue_version": .integer(figures.catalogueVersion),
                "standard_tier_used": .bool(figures.flags & 1 == 1),
                "quote_pinned": .bool(figures.flags & 2 == 2),
            ],
            "parked_reason": parkedReason.map { .string($0) } ?? .null,
            "sequence": .integer(figures.sequence), "created_at": .instant(figures.recordedAt),
        ]
    }

    /// Who paid the provider.
    var source: JSONValue {
        switch CredentialSource(rawValue: figures.credentialSource) {
        case .platform: "platform"
        case .byok: "byok"
        case nil: .null
        }
    }

    /// The request id; in hexadecimal behind `0x` where it is not text.
    var requestName: JSONValue {
        if let text = String(validating: requestID, as: UTF8.self) { return .string(text) }
        let digits = requestID.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }
        return .string("0x" + digits.joined())
    }

    /// The counts that are not zero, and what the record said beside them.
    var metadata: JSONObject {
        let counts = figures.counts
        let all: [(String, Int64)] = [
            ("input_tokens", counts.inputTokens), ("output_tokens", counts.outputTokens),
            ("cache_read_tokens", counts.cacheReadTokens),
            ("cache_write_5m_tokens", counts.cacheWrite5mTokens),
            ("cache_write_1h_tokens", counts.cacheWrite1hTokens),
            ("input_audio_tokens", counts.inputAudioTokens), ("input_image_tokens", counts.inputImageTokens),
            ("reasoning_tokens", counts.reasoningTokens), ("output_audio_tokens", counts.outputAudioTokens),
            ("output_image_tokens", counts.outputImageTokens), ("images", counts.images),
            ("web_searches", counts.webSearches), ("seconds", counts.seconds), ("pages", counts.pages),
            ("characters", counts.characters), ("requests", counts.requests),
        ]
        // Two counts of a parked record may be anything, so their sum may not fit.
        let tokens = Int128(counts.inputTokens) + Int128(counts.outputTokens)
        var object: JSONObject = ["tokens": .integer(tokens)]
        for (name, count) in all where count != 0 { object[name] = .integer(count) }
        object["event_time"] = .instant(figures.eventTime)
        let tags = tags
        if !tags.isEmpty { object["tags"] = .object(tags) }
        return object
    }

    /// The tags of the record; none where its content cannot be read, which `receipts` reports as damage.
    var tags: JSONObject {
        content.withView { content in
            var object = JSONObject()
            do throws(UnpackingError) {
                for tag in TagList(try RecordContent.read(content).tags) {
                    object[tag.name.text] = .string(tag.value.text)
                }
            } catch {
                return [:]
            }
            return object
        }
    }
}

extension CreditRow {
    /// A text of the details, if it is there.
    func detail(_ name: String) -> String? {
        guard case .string(let text)? = parsedDetails[name] else { return nil }
        return text
    }

    /// The balance afterwards; nil of an act that moves no credit.
    var knownBalance: Int64? { TransactionKind.moving.contains(kind) ? balanceAfter : nil }

    var json: JSONObject {
        let details = parsedDetails
        var object: JSONObject = [
            "id": .wide(id), "user_id": .string(account), "wallet": .string(wallet),
            "transaction_type": .string(kind), "amount": .credits(amount),
            "balance_after": knownBalance.map { .credits($0) } ?? .null, "provider": .null, "model": .null,
            "source": .word(source), "metadata": details["metadata"] ?? [:], "cost_breakdown": .null,
        ]
        object["balance_before"] =
            knownBalance.map { .credits($0.subtractingReportingOverflow(amount).partialValue) } ?? .null
        for (name, value) in details.members.map({ ($0.key, $0.value) })
        where name != "metadata" && name != "digest" {
            object[name] = value
        }
        object["expires_at"] = expiresAt.map { .instant($0) } ?? .null
        object["grant_id"] = grantID.map { .wide($0) } ?? .null
        object["idempotency_key"] = .word(idempotencyKey.text)
        object["sequence"] = .integer(sequence)
        object["created_at"] = .instant(recordedAt)
        return object
    }

    /// The details without what only the gateway reads.
    var exportDetails: JSONObject {
        var object = JSONObject()
        for member in parsedDetails.members where member.key != "digest" { object[member.key] = member.value }
        return object
    }

    /// The details; what cannot be read is shown as it is.
    private var parsedDetails: JSONObject {
        if details.isEmpty { return [:] }
        do throws(JSONError) {
            return try JSONNode(parsing: Array(details.utf8)).object()
        } catch {
            return ["details": .string(details)]
        }
    }
}
