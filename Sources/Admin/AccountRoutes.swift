// Opening accounts, one or ten thousand, and changing what they are.

import Bytes
import Gateway
import Ledger
import Logging
import Pricing
import StrictJSON
import Wire

extension AdminDesk {
    /// `POST /api/v1/accounts`: opens accounts, each with the credit it begins with.
    ///
    /// What is wrong with the document refuses it as a whole, and nothing is opened. What the ledger refuses
    /// is in that account's result. Asking again is harmless: an account that exists is left as it is.
    func openAccounts(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let root = try request.document()
        let now = gateway.now()
        let tiers = TierNames(gateway.rules)
        let openings = try AdminRequest.reading { () throws(JSONError) in
            var openings: [AccountOpening] = []
            for node in try Self.accountNodes(root) {
                openings.append(try AccountOpening(node, tiers: tiers, now: now))
            }
            return openings
        }
        let outcomes = await gateway.open(openings)
        var counts = (opened: 0, existed: 0, refused: 0)
        let results = zip(openings, outcomes).map { opening, outcome -> JSONValue in
            var result: JSONObject = ["account": .string(opening.path.text)]
            switch outcome {
            case .opened:
                counts.opened += 1
                result["result"] = "opened"
            case .existed:
                counts.existed += 1
                result["result"] = "existed"
            case .moved(let path):
                counts.refused += 1
                result.refuse(
                    Reason.accountExists.text,
                    "an account was moved, and the path leads to \(path.text) since: name that one, or another path"
                        + " for another account")
            case .refused(let refusal):
                counts.refused += 1
                result.refuse(refusal.reason.text, Self.words(refusal, for: opening))
            case .badPath(let fault):
                counts.refused += 1
                result.refuse(Reason.invalidArgument.text, "\(fault)")
            }
            return .object(result)
        }
        logger.info(
            "accounts opened",
            metadata: [
                "request_id": "\(request.id)", "opened": "\(counts.opened)", "existed": "\(counts.existed)",
                "refused": "\(counts.refused)",
            ])
        return Reply([
            "results": .array(results), "opened": .integer(counts.opened),
            "existed": .integer(counts.existed),
            "refused": .integer(counts.refused),
        ])
    }

    /// The accounts of `{"accounts": [...]}`, or the document itself as the only one.
    private static func accountNodes(_ root: JSONNode) throws(JSONError) -> [JSONNode] {
        guard let list = try root.optional("accounts") else { return [root] }
        try root.expectOnly(["accounts"])
        let nodes = try list.array()
        guard (1...AdminLimits.openingsMax).contains(nodes.count) else {
            throw list.invalid(
                "it holds \(nodes.count) accounts, and may hold 1 to \(AdminLimits.openingsMax)")
        }
        return nodes
    }

    private static func words(_ refusal: Refusal, for opening: AccountOpening) -> String {
        guard refusal.reason == .invalidArgument, refusal.field == .account, !opening.settings.ownsWallet
        else {
            return refusal.message
        }
        return "it owns no wallet, and no account above it does: open one above it first, or let it own one"
    }

    /// `GET /api/v1/accounts/{path}`.
    func account(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let summary = try await summary(of: NamedAccount(path: request.place, name: "account"))
        return Reply(summary.accountJSON(now: gateway.now()))
    }

    /// `PATCH` or `PUT /api/v1/accounts/{path}`: changes what is named and keeps the rest.
    func changeAccount(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let root = try request.document()
        let tiers = TierNames(gateway.rules)
        let document = try AdminRequest.reading { () throws(JSONError) in
            try AccountChangeDocument(root, tiers: tiers)
        }
        let account = NamedAccount(path: request.place, name: "account")
        try document.check(against: try await summary(of: account))
        let receipt: ActReceipt
        do throws(AdministrationError) {
            receipt = try await gateway.change(account.path, document.change, reason: document.reason)
        } catch {
            throw RequestProblem(error, account: account.name)
        }
        logger.info(
            "account changed",
            metadata: [
                "request_id": "\(request.id)", "account": "\(account.path.text)",
                "sequence": "\(receipt.sequence)",
            ])
        let summary = try await summary(of: account)
        return Reply(summary.accountJSON(now: gateway.now()))
    }
}

/// The tiers that rules are made for.
struct TierNames {
    private let names: Set<String>
    private let isAnyAllowed: Bool

    init(_ book: RuleBook) {
        let byok = book.byok.flatMap(\.appliesToTiers)
        names = Set(book.platform.map(\.tierCode) + byok)
        isAnyAllowed = byok.contains("*")
    }

    /// A tier as accounts hold it. A tier that no rule knows would have every report refused, so it is
    /// refused here, with the ones there are.
    func tier(_ node: JSONNode) throws(JSONError) -> [UInt8] {
        let tier = try node.words(bytesMax: AdminLimits.tierBytesMax).lowercased()
        let isName = tier.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard isName, names.contains(tier) || isAnyAllowed else {
            throw node.invalid("no rule is made for the tier \(JSONValue.string(tier).text); \(known)")
        }
        return Array(tier.utf8)
    }

    var known: String { "there are " + names.subtracting(["*"]).sorted().joined(separator: ", ") }
}

extension AccountOpening {
    fileprivate init(_ node: JSONNode, tiers: TierNames, now: Timestamp) throws(JSONError) {
        try node.expectOnly(
            ["user_id", "account", "tier", "owns_wallet", "unlimited", "overdraft_limit"] + GrantDocument.keys
        )
        let path = try node.account().path
        var settings = AccountSettings()
        if let tier = try node.optional("tier") {
            settings.tier = try tiers.tier(tier)
        } else if !path.contains(UInt8(ascii: "/")) {
            throw .invalid(
                path: node.path,
                problem: "`tier` is missing, and there is no account above to inherit it from; \(tiers.known)"
            )
        }
        settings.ownsWallet = try node.optional("owns_wallet")?.bool() ?? true
        settings.unlimited = try node.optional("unlimited")?.bool() ?? false
        settings.overdraftLimit = try node.optional("overdraft_limit")?.credits().count ?? 0
        var initial: GrantRequest?
        if try node.optional("amount") != nil {
            let grant = try GrantDocument(node, now: now, source: "opening")
            initial = grant.request(expiresAt: grant.expiry(now: now))
        } else if let key = GrantDocument.keys.first(where: { node.has($0) }) {
            throw node.invalid("`\(key)` says how credit is given, but there is no `amount`")
        }
        self.init(path: path, settings: settings, initialGrant: initial)
    }
}

/// What is to be different about an account, and why.
private struct AccountChangeDocument {
    private(set) var change = AccountChange()
    let reason: String

    init(_ node: JSONNode, tiers: TierNames) throws(JSONError) {
        try node.expectOnly(["tier", "status", "unlimited", "overdraft_limit", "reason"])
        if let tier = try node.optional("tier") {
            change.tier = .some(try tiers.tier(tier))
        } else if node.has("tier") {
            change.tier = .some(nil)
        }
        if let word = try node.optional("status") {
            let name = try word.string()
            guard let known = AccountStatus.allCases.first(where: { $0.name == name }) else {
                throw word.unexpected(
                    AccountStatus.allCases.map { "\"\($0.name)\"" }.joined(separator: " or "))
            }
            change.status = known
        }
        change.unlimited = try node.optional("unlimited")?.bool()
        change.overdraftLimit = try node.optional("overdraft_limit")?.credits().count
        reason = try node.optional("reason")?.words(bytesMax: AdminLimits.reasonBytesMax) ?? ""
        if change == AccountChange() {
            throw node.invalid("nothing is to change: give tier, status, unlimited or overdraft_limit")
        }
    }

    /// What is a wallet's can only be changed on the account that owns it, which never changes.
    func check(against now: AccountSummary) throws(RequestProblem) {
        guard now.path == now.wallet || (change.unlimited == nil && change.overdraftLimit == nil) else {
            throw .member(
                change.unlimited == nil ? "overdraft_limit" : "unlimited",
                problem: "it is of the wallet, which is \(now.wallet.text)'s: change it there")
        }
    }
}

extension AccountSummary {
    fileprivate func accountJSON(now: Timestamp) -> JSONObject {
        var object: JSONObject = ["account": .string(path.text), "owns_wallet": .bool(path == wallet)]
        for member in json(now: now).members { object[member.key] = member.value }
        return object
    }
}

extension JSONObject {
    fileprivate mutating func refuse(_ code: String, _ message: String) {
        self["result"] = "refused"
        self["code"] = .string(code)
        self["message"] = .string(message)
    }
}

extension JSONNode {
    /// Whether an object has the member, be it null.
    fileprivate func has(_ key: String) -> Bool {
        guard case .object(let object) = value else { return false }
        return object[key] != nil
    }
}
