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
        let change = try AdminRequest.reading { () throws(JSONError) in
            try AccountChange(root, tiers: tiers)
        }
        let account = NamedAccount(path: request.place, name: "account")
        let now = try await summary(of: account)
        let settings = try change.settings(from: now, above: await summaryAbove(account))
        let receipt: ActReceipt
        do throws(AdministrationError) {
            receipt = try await gateway.change(account.path, to: settings, reason: change.reason)
        } catch {
            throw RequestProblem(error, account: account.name)
        }
        logger.info(
            "account changed",
            metadata: [
                "request_id": "\(request.id)", "account": "\(account.path.text)",
                "status": "\(settings.status.name)", "sequence": "\(receipt.sequence)",
            ])
        let summary = try await summary(of: account)
        return Reply(summary.accountJSON(now: gateway.now()))
    }

    /// The nearest account above that exists; nil at the top.
    private func summaryAbove(_ account: NamedAccount) async throws(RequestProblem) -> AccountSummary? {
        var path = account.path[...]
        while let slash = path.lastIndex(of: UInt8(ascii: "/")) {
            path = path[..<slash]
            do throws(AdministrationError) {
                return try await gateway.balance(of: Array(path))
            } catch .refused(let refusal) where refusal.reason == .accountNotFound {
                continue
            } catch {
                throw RequestProblem(error, account: account.name)
            }
        }
        return nil
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

/// What is to be different about an account.
private struct AccountChange {
    /// Nil keeps it; a tier of nil inherits.
    private var tier: [UInt8]??
    private var status: AccountStatus?
    private var unlimited: Bool?
    private var overdraftLimit: Int64?
    let reason: String

    init(_ node: JSONNode, tiers: TierNames) throws(JSONError) {
        try node.expectOnly(["tier", "status", "unlimited", "overdraft_limit", "reason"])
        if let tier = try node.optional("tier") {
            self.tier = .some(try tiers.tier(tier))
        } else if node.has("tier") {
            tier = .some(nil)
        }
        if let word = try node.optional("status") {
            let name = try word.string()
            guard let known = AccountStatus.allCases.first(where: { $0.name == name }) else {
                throw word.unexpected(
                    AccountStatus.allCases.map { "\"\($0.name)\"" }.joined(separator: " or "))
            }
            status = known
        }
        unlimited = try node.optional("unlimited")?.bool()
        overdraftLimit = try node.optional("overdraft_limit")?.credits().count
        reason = try node.optional("reason")?.words(bytesMax: AdminLimits.reasonBytesMax) ?? ""
        if tier == nil, status == nil, unlimited == nil, overdraftLimit == nil {
            throw node.invalid("nothing is to change: give tier, status, unlimited or overdraft_limit")
        }
    }

    /// The whole of what the account is to be.
    ///
    /// A summary says what applies to an account, which may come from above it. What cannot be told apart
    /// from what the account above has is taken as inherited; a status is not guessed.
    func settings(
        from now: AccountSummary, above: AccountSummary?
    ) throws(RequestProblem) -> AccountSettings {
        let ownsWallet = now.path == now.wallet
        var settings = AccountSettings(ownsWallet: ownsWallet)
        let ownTier = now.tier.isEmpty || now.tier == above?.tier ? nil : now.tier
        settings.tier = tier ?? ownTier
        if let status {
            settings.status = status
        } else if let above, above.status != .active {
            throw .member(
                "status",
                problem: "\(above.path.text) above it is \(above.status.name), so say what this one is to be")
        } else {
            settings.status = now.status
        }
        guard ownsWallet || (unlimited == nil && overdraftLimit == nil) else {
            throw .member(
                unlimited == nil ? "overdraft_limit" : "unlimited",
                problem: "it is of the wallet, which is \(now.wallet.text)'s: change it there")
        }
        settings.unlimited = unlimited ?? (ownsWallet && now.unlimited)
        settings.overdraftLimit = overdraftLimit ?? (ownsWallet ? now.overdraftLimit : 0)
        return settings
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
