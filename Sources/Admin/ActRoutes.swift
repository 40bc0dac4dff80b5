// Acts on credit beside giving it: taking it by hand, giving back a charge, voiding a grant, correcting a
// charge, closing an account.
//
//      POST /api/v1/credits/deduct    {"user_id", "amount", "service", "reason", "allow_negative"}
//      POST /api/v1/credits/refund    {"user_id", "amount", "request_id", "reason"}
//      POST /api/v1/credits/void      {"user_id", "grant_id", "reason"}
//      POST /api/v1/credits/correct   {"user_id", "request_id", "should_have_charged", "reason"}
//      POST /api/v1/accounts/{path}/close   {"balance": "keep|forfeit|transfer", "transfer_to", "reason"}
//      POST /api/v1/accounts/{path}/move    {"to", "reason"}
//
// Each takes an `Idempotency-Key` and answers the balance before and after. Each wants a reason, in the
// document or in its metadata; `by` says who.

import Gateway
import Ledger
import Logging
import Money
import Pricing
import StrictJSON
import Wire

extension AdminDesk {
    /// `POST /api/v1/credits/deduct`.
    func deduct(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        let (document, amount, act) = try read(request) { (root) throws(JSONError) in
            try root.expectOnly(ActDocument.keys + ["amount", "service", "allow_negative"])
            let document = try ActDocument(root)
            try document.expectReason(root)
            let amount = try root.amount()
            let service =
                try root.optional("service")?.words(bytesMax: AdminLimits.sourceBytesMax)
                ?? "manual_deduction"
            let allowNegative = try root.optional("allow_negative")?.bool() ?? false
            return (
                document, amount,
                CreditAct.deduct(amount.count, service: Array(service.utf8), allowNegative: allowNegative)
            )
        }
        let outcome = try await perform(act, document, request)
        var object = answer(outcome, document)
        object["amount"] = .credits(-amount.count)
        return Reply(object)
    }

    /// `POST /api/v1/credits/refund`: of a charge, or goodwill where no request is named.
    func refund(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        let (document, amount, requestID) = try read(request) { (root) throws(JSONError) in
            try root.expectOnly(ActDocument.keys + ["amount", "request_id"])
            let document = try ActDocument(root)
            try document.expectReason(root)
            let id = try root.optional("request_id")?.words(bytesMax: WireLimits.idBytesMax)
            return (document, try root.amount(), id.map { Array($0.utf8) })
        }
        guard let requestID else { return try await goodwill(amount, document, request) }
        let (charge, wallet) = try await charge(requestID, of: document.account)
        let act = CreditAct.refund(amount.count, of: charge, source: Array("refund".utf8))
        let outcome = try await perform(act, document, request, on: wallet)
        var object = answer(outcome, document)
        object["amount"] = .credits(amount.count)
        object["kind"] = .string(GrantKind.refund.name)
        object["request_id"] = .string(requestID.text)
        object["charged"] = .credits(charge.charged)
        object["grant_id"] = .wide(outcome.receipt.sequence)
        return Reply(object)
    }

    /// A refund of nothing in particular is a gift: a bonus, which never expires.
    private func goodwill(
        _ amount: Nanocredits, _ document: ActDocument, _ request: AdminRequest
    ) async throws(RequestProblem) -> Reply {
        var grant = GrantRequest(
            kind: .bonus, amount: amount.count, source: Array("goodwill".utf8), metadata: document.metadata,
            idempotencyKey: try request.idempotencyKey())
        grant.actor = Array(document.note.actor.utf8)
        grant.reason = Array(document.note.reason.utf8)
        let given: (ActReceipt, AccountSummary)
        do throws(AdministrationError) {
            given = try await gateway.allocate(grant, to: document.account.path)
        } catch {
            throw RequestProblem(error, account: document.account.name)
        }
        let outcome = ActOutcome(receipt: given.0, summary: given.1)
        log("goodwill given", outcome, document, request)
        var object = answer(outcome, document)
        object["amount"] = .credits(amount.count)
        object["kind"] = .string(GrantKind.bonus.name)
        object["request_id"] = .null
        object["grant_id"] = .wide(outcome.receipt.sequence)
        object["note"] = "no request_id was given, so this is goodwill: a bonus that refunds no charge"
        return Reply(object)
    }

    /// `POST /api/v1/credits/void`: takes back what is left of a grant.
    func voidGrant(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        let (document, number) = try read(request) { (root) throws(JSONError) in
            try root.expectOnly(ActDocument.keys + ["grant_id"])
            let document = try ActDocument(root)
            try document.expectReason(root)
            let node = try root.field("grant_id")
            let text: String
            switch node.value {
            case .string(let found), .number(let found): text = found
            default: throw node.unexpected("the grant_id that the allocation answered")
            }
            guard let number = UInt64(text), number > 0 else {
                throw node.invalid("it is a whole number above 0, as the allocation answered it")
            }
            return (document, number)
        }
        let outcome = try await perform(.void(grant: number), document, request)
        var object = answer(outcome, document)
        object["amount"] = .credits(outcome.receipt.moved)
        object["grant_id"] = .wide(number)
        return Reply(object)
    }

    /// `POST /api/v1/credits/correct`: an overcharge is refunded, an undercharge is only noted.
    func correct(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        let (document, amount, requestID) = try read(request) { (root) throws(JSONError) in
            try root.expectOnly(ActDocument.keys + ["request_id", "should_have_charged"])
            let document = try ActDocument(root)
            try document.expectReason(root)
            let id = try root.field("request_id").words(bytesMax: WireLimits.idBytesMax)
            let node = try root.field("should_have_charged")
            let amount = try node.credits()
            guard amount >= .zero else { throw node.invalid("a charge is never below 0 credits") }
            return (document, amount, Array(id.utf8))
        }
        let (charge, wallet) = try await charge(requestID, of: document.account)
        let act = CreditAct.correct(to: amount.count, of: charge, source: Array("correction".utf8))
        let outcome = try await perform(act, document, request, on: wallet)
        var object = answer(outcome, document)
        let moved = outcome.receipt.moved
        object["result"] = moved > 0 ? "refunded" : "noted"
        object["amount"] = .credits(moved)
        object["charged"] = .credits(charge.charged)
        object["request_id"] = .string(requestID.text)
        if moved == 0 {
            object["note"] = "too little was charged; that is written down, and nobody is charged afterwards"
        }
        return Reply(object)
    }

    /// `POST /api/v1/accounts/{path}/close`.
    func closeAccount(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        let account = NamedAccount(path: request.place, name: "account")
        let (note, choice) = try read(request) { (root) throws(JSONError) in
            try root.expectOnly(ActNote.keys + ["balance", "transfer_to"])
            let note = try ActNote(root)
            let target = try root.optional("transfer_to")
            var choice = ClosingChoice.none
            if let word = try root.optional("balance") {
                switch try word.string() {
                case "keep": choice = .keep
                case "forfeit": choice = .forfeit
                case "transfer":
                    choice = .transfer(to: Array(try root.field("transfer_to").string().utf8))
                default: throw word.unexpected("\"keep\", \"forfeit\" or \"transfer\"")
                }
            }
            if let target {
                guard case .transfer = choice else {
                    throw target.invalid("it goes with \"balance\": \"transfer\"")
                }
            }
            return (note, choice)
        }
        let outcome: ActOutcome
        do throws(AdministrationError) {
            outcome = try await gateway.close(
                account.path, choice, actor: note.actor, reason: note.reason)
        } catch {
            throw RequestProblem(error, account: account.name)
        }
        logger.info(
            "account closed",
            metadata: [
                "request_id": "\(request.id)", "account": "\(account.path.text)", "by": "\(note.actor)",
                "reason": "\(note.reason)", "duplicate": "\(outcome.receipt.duplicate)",
            ])
        var object: JSONObject = [
            "account": .string(account.path.text), "status": .string(outcome.summary.status.name),
        ]
        object.write(outcome.receipt)
        object.write(note)
        return Reply(object)
    }

    /// `POST /api/v1/accounts/{path}/move`: another place in the tree, with everything below.
    func moveAccount(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        let account = NamedAccount(path: request.place, name: "account")
        let (note, target) = try read(request) { (root) throws(JSONError) in
            try root.expectOnly(ActNote.keys + ["to"])
            let note = try ActNote(root)
            return (note, Array(try root.field("to").string().utf8))
        }
        do throws(AccountPath.Fault) {
            _ = try target.withView { (path) throws(AccountPath.Fault) in
                try AccountPath.organisationCount(of: path)
            }
        } catch {
            throw .path(error, param: "to")
        }
        var order = AccountMove(from: account.path, to: target)
        order.actor = Array(note.actor.utf8)
        order.reason = Array(note.reason.utf8)
        order.idempotencyKey = try request.idempotencyKey()
        let outcome: ActOutcome
        do throws(AdministrationError) {
            outcome = try await gateway.move(order)
        } catch {
            throw RequestProblem(error, account: account.name)
        }
        logger.info(
            "account moved",
            metadata: [
                "request_id": "\(request.id)", "from": "\(account.path.text)", "to": "\(target.text)",
                "by": "\(note.actor)", "reason": "\(note.reason)",
                "duplicate": "\(outcome.receipt.duplicate)",
                "sequence": "\(outcome.receipt.sequence)",
            ])
        var object: JSONObject = [
            "from": .string(account.path.text), "account": .string(outcome.summary.path.text),
            "wallet": .string(outcome.summary.wallet.text), "tier": .string(outcome.summary.tier.text),
            "status": .string(outcome.summary.status.name),
        ]
        object.write(outcome.receipt)
        object.write(note)
        return Reply(object)
    }

    // MARK: - Parts

    private func read<Value>(
        _ request: AdminRequest, _ body: (JSONNode) throws(JSONError) -> Value
    ) throws(RequestProblem) -> Value {
        try request.expectParameters()
        let root = try request.document()
        return try AdminRequest.reading { () throws(JSONError) in try body(root) }
    }

    /// The charge of a request, once the history holds what was reported before.
    private func charge(
        _ requestID: [UInt8], of account: NamedAccount
    ) async throws(RequestProblem) -> (charge: KnownCharge, wallet: [UInt8]) {
        _ = try await summary(of: account)
        try await catchUp()
        let gateway = gateway
        return try await reading { () throws(AdministrationError) in
            try gateway.charge(of: requestID, account: account.path)
        }
    }

    private func perform(
        _ act: CreditAct, _ document: ActDocument, _ request: AdminRequest, on wallet: [UInt8]? = nil
    ) async throws(RequestProblem) -> ActOutcome {
        let outcome: ActOutcome
        let command = document.command(act, key: try request.idempotencyKey())
        do throws(AdministrationError) {
            outcome = try await gateway.act(command, on: wallet ?? document.account.path)
        } catch {
            throw RequestProblem(error, account: document.account.name)
        }
        log("act on credit", outcome, document, request)
        return outcome
    }

    private func log(
        _ words: Logger.Message, _ outcome: ActOutcome, _ document: ActDocument, _ request: AdminRequest
    ) {
        logger.info(
            words,
            metadata: [
                "request_id": "\(request.id)", "endpoint": "\(request.target.path)",
                "account": "\(document.account.path.text)", "by": "\(document.note.actor)",
                "reason": "\(document.note.reason)", "moved": "\(Nanocredits(outcome.receipt.moved).text)",
                "duplicate": "\(outcome.receipt.duplicate)", "sequence": "\(outcome.receipt.sequence)",
            ])
    }

    /// The guide's shape, and what the act came to.
    private func answer(_ outcome: ActOutcome, _ document: ActDocument) -> JSONObject {
        var object: JSONObject = ["user_id": .string(document.account.path.text)]
        object["balance"] = .credits(outcome.summary.balance)
        outcome.summary.writeGuide(to: &object, now: gateway.now())
        object.write(outcome.receipt)
        object.write(document.note)
        return object
    }
}
