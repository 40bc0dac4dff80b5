// Giving credit, and saying what an account has.

import Gateway
import Ledger
import Logging
import Pricing
import StrictJSON

extension AdminDesk {
    /// `POST /api/v1/credits/allocate`: gives credit to an account's wallet.
    ///
    /// With an `Idempotency-Key` a repeated request gives nothing twice; the same key with another document
    /// is refused. Keys are an organisation's own.
    func allocate(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let now = gateway.now()
        let root = try request.document()
        let (account, grant) = try AdminRequest.reading { () throws(JSONError) in
            try root.expectOnly(["user_id", "account", "by", "reason"] + GrantDocument.keys)
            let account = try root.account()
            var grant = try GrantDocument(root, now: now)
            grant.note = try ActNote(root)
            return (account, grant)
        }
        let key = try request.idempotencyKey()
        let given: Given
        do throws(AdministrationError) {
            given = try await give(grant, to: account.path, key: key, now: now)
        } catch {
            throw RequestProblem(error, account: account.name)
        }
        logger.info(
            "credit allocated",
            metadata: [
                "request_id": "\(request.id)", "account": "\(given.summary.path.text)",
                "amount": "\(grant.amount.text)", "kind": "\(grant.kind.name)",
                "duplicate": "\(given.receipt.duplicate)", "sequence": "\(given.receipt.sequence)",
            ])
        var object: JSONObject = ["user_id": .string(given.summary.path.text)]
        object["balance"] = .credits(given.summary.balance)
        given.summary.writeGuide(to: &object, now: now)
        object.write(given.receipt)
        object["amount"] = .credits(grant.amount.count)
        object["kind"] = .string(grant.kind.name)
        object["expires_at"] = .bound(given.expiresAt)
        object["grant_id"] = .wide(given.receipt.sequence)
        if !grant.filter.isEmpty { object["filter"] = .object(grant.filter.json) }
        return Reply(object)
    }

    /// `GET /api/v1/credits/balance?user_id=`.
    func balance(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["user_id", "account"])
        guard let account = try request.account() else { throw .missingParameter("user_id") }
        let summary = try await summary(of: account)
        let gateway = gateway
        let forecast = try await reading { () throws(AdministrationError) in
            try gateway.forecast(of: summary)
        }
        var object = summary.json(now: gateway.now())
        object["forecast"] = forecast.map { .object($0.json) } ?? .null
        return Reply(object)
    }

    /// What an account may spend now.
    func summary(of account: NamedAccount) async throws(RequestProblem) -> AccountSummary {
        do throws(AdministrationError) {
            return try await gateway.balance(of: account.path)
        } catch {
            throw RequestProblem(error, account: account.name)
        }
    }

    private struct Given {
        var receipt: ActReceipt
        var summary: AccountSummary
        var expiresAt: Timestamp
    }

    private func give(
        _ grant: GrantDocument, to path: [UInt8], key: [UInt8]?, now: Timestamp
    ) async throws(AdministrationError) -> Given {
        func ask(_ expiry: Timestamp) async throws(AdministrationError) -> Given {
            let (receipt, summary) = try await gateway.allocate(
                grant.request(expiresAt: expiry, key: key), to: path)
            return Given(receipt: receipt, summary: summary, expiresAt: expiry)
        }
        do throws(AdministrationError) {
            return try await ask(grant.expiry(now: now))
        } catch {
            guard case .refused(let refusal) = error, refusal.reason == .idempotencyConflict else {
                throw error
            }
            // The key was used: with another document, or with this one on another day. Asking again can
            // only repeat the first outcome or be refused like this; it gives nothing.
            for expiry in grant.earlierExpiries(now: now) {
                do throws(AdministrationError) {
                    return try await ask(expiry)
                } catch .refused(let again) where again.reason == .idempotencyConflict {
                    continue
                } catch {
                    throw error
                }
            }
            throw error
        }
    }
}

extension WalletForecast {
    /// How the wallet gets on, and when it will have run out.
    fileprivate var json: JSONObject {
        [
            "period_credit": .credits(periodCredit), "period_began_at": .instant(periodBeganAt.microseconds),
            "used": .credits(used), "per_day": .credits(perDay),
            "runs_out_at": runsOutAt.map { .instant($0.microseconds) } ?? .null,
        ]
    }
}

extension AccountSummary {
    /// The members that the billing guide shows beside a balance: unspent credit of monthly and bonus
    /// grants, and the beginning of the next calendar month.
    func writeGuide(to object: inout JSONObject, now: Timestamp) {
        object["allocated_monthly"] = .credits(remaining[.monthly] ?? 0)
        object["bonus_credits"] = .credits(remaining[.bonus] ?? 0)
        object["reset_date"] = .string(CalendarMonth(containing: now).next.start.text)
    }

    /// The account as a document.
    func json(now: Timestamp) -> JSONObject {
        var kinds = JSONObject()
        for kind in GrantKind.allCases { kinds[kind.name] = .credits(remaining[kind] ?? 0) }
        var object: JSONObject = [
            "user_id": .string(path.text), "wallet": .string(wallet.text), "balance": .credits(balance),
            "available": .credits(available), "held": .credits(held),
            "overdraft_limit": .credits(overdraftLimit), "unlimited": .bool(unlimited),
            "tier": .word(tier.text), "status": .string(status.name), "remaining": .object(kinds),
        ]
        writeGuide(to: &object, now: now)
        object["total_granted"] = .credits(granted)
        object["total_charged"] = .credits(charged)
        object["total_expired"] = .credits(expired)
        object["total_voided"] = .credits(voided)
        object["total_deducted"] = .credits(deducted)
        object["next_expiry"] = .bound(nextExpiry)
        object["sequence"] = .integer(sequence)
        return object
    }
}

extension [UInt8] {
    /// The bytes as text, for a document; what is not UTF-8 becomes U+FFFD.
    var text: String { String(decoding: self, as: UTF8.self) }
}
