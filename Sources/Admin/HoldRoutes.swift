// Holds over HTTP: credit set aside before a request runs.
//
//      open:     POST /api/v1/holds               {"hold_id", "user_id", "credential_source", "amount"}, or with
//                                                 provider, model and counts instead of the amount; "policy",
//                                                 "orphan_policy" and "lease_ms" may be left out
//      settle:   POST /api/v1/holds/{id}/settle   {"user_id", "credential_source", "request_id", "provider",
//                                                 "model"} and counts
//      void:     POST /api/v1/holds/{id}/void     {"user_id", "reason"}
//      extend:   POST /api/v1/holds/{id}/extend   {"user_id", "lease_ms", "amount"}
//      list:     GET  /api/v1/holds?account=&limit=

import Gateway
import Ledger
import Pricing
import StrictJSON
import Wire

extension AdminDesk {
    /// `GET /api/v1/holds`: the open ones, oldest first, and what all of them come to.
    func openHolds(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["account", "user_id", "limit"])
        let account = try request.account()
        let limit =
            try request.integer("limit", in: 1...AdminLimits.pageRowsMax) ?? AdminLimits.pageRowsDefault
        let holds = await gateway.openHolds(of: account?.path, limit: limit)
        if holds.open == 0, let account { _ = try await summary(of: account) }
        return Reply([
            "holds": .array(holds.oldest.map { .object($0.json) }), "open": .integer(holds.open),
            "held": .credits(Int64(clamping: holds.held)),
            "oldest_opened_at": holds.oldest.first.map { .instant($0.openedAt.microseconds) } ?? .null,
        ])
    }

    /// `POST /api/v1/holds`.
    func openHold(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let root = try request.document()
        let (account, draft) = try AdminRequest.reading { () throws(JSONError) in
            try root.expectOnly(
                [
                    "hold_id", "user_id", "account", "credential_source", "amount", "policy", "orphan_policy",
                    "lease_ms",
                ] + UsageDocument.draftKeys)
            let account = try root.account()
            let source = try UsageDocument.source(try root.field("credential_source"))
            var draft = HoldDraft(
                holdID: Array(try root.field("hold_id").words(bytesMax: WireLimits.idBytesMax).utf8),
                account: account.path, source: source)
            if let node = try root.optional("amount") {
                if let usage = try root.optional("provider") {
                    throw usage.invalid("give an amount, or a usage to be priced, not both")
                }
                draft.amount = try node.credits(signed: false).count
            } else {
                var usage = try UsageDocument.draft(root, source: source)
                usage.account = account.path
                draft.usage = usage
            }
            if let node = try root.optional("policy") {
                switch try node.string().lowercased() {
                case "strict": draft.policy = .strict
                case "clip": draft.policy = .clip
                default: throw node.invalid("it is strict or clip")
                }
            }
            if let node = try root.optional("orphan_policy") {
                let word = try node.string().lowercased()
                guard let policy = HoldOrphan.allCases.first(where: { $0.name == word }) else {
                    throw node.invalid("it is release, input_only, estimate or full_hold")
                }
                draft.orphanPolicy = policy
            }
            draft.leaseMilliseconds = try Self.lease(root)
            return (account, draft)
        }
        return try answer(await gateway.hold(draft), draft.holdID, account)
    }

    /// `POST /api/v1/holds/{id}/settle`.
    func settleHold(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let root = try request.document()
        let place = request.place
        let (account, draft) = try AdminRequest.reading { () throws(JSONError) in
            try root.expectOnly(
                ["request_id", "user_id", "account", "credential_source"] + UsageDocument.draftKeys)
            let account = try root.account()
            // A settlement is repeated until it is answered, so the time of asking is no part of it.
            _ = try root.field("event_time")
            var usage = try UsageDocument.draft(
                root, source: try UsageDocument.source(try root.field("credential_source")))
            usage.account = account.path
            return (
                account,
                SettlementDraft(
                    holdID: place,
                    requestID: Array(
                        try root.field("request_id").words(bytesMax: WireLimits.idBytesMax).utf8),
                    usage: usage)
            )
        }
        try Self.check(place)
        switch await gateway.settleHold(draft) {
        case .refused(let refusal): throw .refused(refusal, account: account.name)
        case .askHistory: throw .refused(Refusal(.overloaded), account: account.name)
        case .receipt(let receipt):
            return Reply([
                "hold_id": .string(place.text), "request_id": .string(draft.requestID.text),
                "user_id": .string(account.path.text),
                "state": receipt.state == .parked ? "parked" : "charged",
                "hold_state": receipt.holdReleased != nil
                    ? "settled" : receipt.holdExpired ? "expired" : .null,
                "released": receipt.holdReleased.map { .credits($0) } ?? .null,
                "orphan_charge": .credits(receipt.orphanCharge), "given_back": .credits(receipt.givenBack),
                "charge": .credits(receipt.charge), "balance": .credits(receipt.balance),
                "in_debt": .bool(receipt.inDebt), "duplicate": .bool(receipt.duplicate),
                "sequence": .integer(receipt.sequence),
            ])
        }
    }

    /// `POST /api/v1/holds/{id}/void`.
    func voidHold(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let root = try request.document()
        let (account, reason) = try AdminRequest.reading { () throws(JSONError) in
            try root.expectOnly(["user_id", "account", "reason"])
            return (
                try root.account(),
                try root.optional("reason")?.words(bytesMax: WireLimits.reasonBytesMax) ?? ""
            )
        }
        try Self.check(request.place)
        return try answer(
            await gateway.voidHold(request.place, account: account.path, reason: Array(reason.utf8)),
            request.place, account)
    }

    /// `POST /api/v1/holds/{id}/extend`.
    func extendHold(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let root = try request.document()
        let (account, lease, amount) = try AdminRequest.reading { () throws(JSONError) in
            try root.expectOnly(["user_id", "account", "lease_ms", "amount"])
            return (
                try root.account(), try Self.lease(root),
                try root.optional("amount").map { (node) throws(JSONError) in
                    try node.credits(signed: false).count
                }
            )
        }
        try Self.check(request.place)
        return try answer(
            await gateway.extendHold(
                request.place, account: account.path, leaseMilliseconds: lease, amount: amount),
            request.place, account)
    }

    private static func lease(_ root: JSONNode) throws(JSONError) -> Int64 {
        // Out of range is the ledger's to refuse, with its own words.
        try root.optional("lease_ms")?.integer(in: Int64.min...Int64.max) ?? 0
    }

    private static func check(_ id: [UInt8]) throws(RequestProblem) {
        guard id.count <= WireLimits.idBytesMax else {
            throw .refused(
                Refusal(
                    .invalidArgument, field: .holdID, found: Int64(id.count),
                    expected: Int64(WireLimits.idBytesMax)), account: "account")
        }
    }

    private func answer(
        _ decision: HoldDecision, _ id: [UInt8], _ account: NamedAccount
    ) throws(RequestProblem) -> Reply {
        switch decision {
        case .refused(let refusal): throw .refused(refusal, account: account.name)
        case .done(let receipt):
            return Reply([
                "hold_id": .string(id.text), "user_id": .string(account.path.text),
                "state": .string(receipt.state.name), "amount": .credits(receipt.amount),
                "available": .credits(receipt.available),
                "expires_at": receipt.state == .open ? .instant(receipt.expiresAt.microseconds) : .null,
                "sequence": .integer(receipt.sequence), "duplicate": .bool(receipt.duplicate),
                "orphan_charge": .credits(receipt.orphanCharge),
            ])
        }
    }
}

extension OpenHold {
    fileprivate var json: JSONObject {
        [
            "hold_id": .string(id.text), "user_id": .string(account.text), "wallet": .string(wallet.text),
            "credential_source": source == .byok ? "byok" : "platform",
            "policy": policy == .clip ? "clip" : "strict", "amount": .credits(amount),
            "opened_at": .instant(openedAt.microseconds), "expires_at": .instant(expiresAt.microseconds),
            "sequence": .integer(sequence), "orphan_policy": .string(orphanPolicy.name),
            "orphan_charge": .credits(orphanCharge),
        ]
    }
}
