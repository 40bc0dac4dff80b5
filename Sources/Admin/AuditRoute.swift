// The audit of credit: who did what to which account, when, why, and what it had before and after.
//
// It is a view of the history's rows, which are the journal's entries: there is no second truth to compare.

import Gateway
import Ledger
import Pricing
import Store
import StrictJSON

extension AdminDesk {
    /// What administrators do; usage, expiry and holds happen by themselves.
    private static let actTypes: Set<String> = [
        TransactionKind.allocated, TransactionKind.refunded, TransactionKind.deduction,
        TransactionKind.voided,
        TransactionKind.noted, TransactionKind.forfeited, TransactionKind.transferredOut,
        TransactionKind.transferredIn, TransactionKind.accountOpened, TransactionKind.accountChanged,
        TransactionKind.accountMoved, TransactionKind.budgetSet, TransactionKind.budgetRemoved,
    ]
    /// Rows that one question looks at for an actor's.
    private static let auditRowsMax = 20_000

    /// `GET /api/v1/credits/audit?account=&by=&type=&since=&until=&limit=&cursor=`.
    func creditAudit(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters([
            "user_id", "account", "by", "type", "since", "until", "limit", "cursor",
        ])
        var filter = try Self.filter(request)
        for type in filter.types where !Self.actTypes.contains(type) {
            throw .badParameter(
                "type", found: type, expected: "any of \(Self.actTypes.sorted().joined(separator: ","))")
        }
        if filter.types.isEmpty { filter.types = Self.actTypes }
        if let account = try request.account() { _ = try await summary(of: account) }
        try await catchUp()
        let (gateway, asked, actor) = (gateway, filter, request.parameter("by"))
        let page = try await reading { () throws(AdministrationError) in
            try Self.audit(gateway, asked, by: actor)
        }
        return Reply([
            "acts": .array(page.rows.map { .object(Self.auditJSON($0)) }), "limit": .integer(filter.limit),
            "next_cursor": page.next.map { .string(Cursor.text($0)) } ?? .null,
            "history_lag": .integer(gateway.historyLag),
        ])
    }

    /// A page of acts, of one actor if one is named. A page may be short where the actor's are far apart; its
    /// cursor goes on.
    private static func audit(
        _ gateway: Gateway, _ asked: TransactionFilter, by actor: String?
    ) throws(AdministrationError) -> (rows: [CreditRow], next: Int64?) {
        var filter = asked
        if actor != nil { filter.limit = StoreLimits.pageRowsMax }
        var found: [CreditRow] = []
        var looked = 0
        while true {
            let page = try gateway.transactions(filter)
            for case .credit(let row) in page.rows where actor == nil || row.detail("by") == actor {
                found.append(row)
                if found.count == asked.limit { return (found, row.id > 1 ? row.id : nil) }
            }
            looked += page.rows.count
            guard let next = page.next, looked < auditRowsMax else { return (found, page.next) }
            filter.before = next
        }
    }

    private static func auditJSON(_ row: CreditRow) -> JSONObject {
        let all = row.json
        var object: JSONObject = [
            "at": .instant(row.recordedAt), "by": row.detail("by").map { .string($0) } ?? .null,
            "act": .string(row.kind), "user_id": .string(row.account), "amount": .credits(row.amount),
            "balance_before": all["balance_before"] ?? .null, "balance_after": all["balance_after"] ?? .null,
            "reason": row.detail("reason").map { .string($0) } ?? .null, "source": .word(row.source),
        ]
        for key in [
            "request_id", "grant_id", "budget", "window", "metric", "limit", "hard", "from", "to", "status",
            "tier", "idempotency_key", "metadata", "sequence",
        ] {
            if let value = all[key], value != .null { object[key] = value }
        }
        return object
    }
}
