// `tollgate accounts open|set|show|move|close`.

import ArgumentParser
import Platform
import StrictJSON

struct Accounts: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Opens accounts, changes what they are, shows them.",
        discussion: """
            An account is a path such as acme/search/alice. It may own a wallet, or
            draw on the nearest one above it; the same goes for its tier.
            """,
        subcommands: [
            AccountsOpen.self, AccountsSet.self, AccountsShow.self, AccountsMove.self, AccountsClose.self,
        ])
}

struct AccountsOpen: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "open",
        abstract: "Opens an account. One that exists is left as it is.",
        discussion: """
            tollgate accounts open acme --tier professional --credits 1000
            tollgate accounts open acme/search --no-wallet
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path.")
    var account: String

    @Option(help: "The tier that prices follow; inherited from above without it.")
    var tier: String?

    @Option(help: "Credit to begin with.")
    var credits: String?

    @Flag(inversion: .prefixedNo, help: "It owns a wallet, or draws on the one above.")
    var wallet = true

    @Flag(help: "Metered, and never refused for lack of credit.")
    var unlimited = false

    @Option(help: "How far below zero guarded calls may take the balance, in credits.")
    var overdraft: String?

    func run() async throws {
        var document: JSONObject = ["account": .string(account), "owns_wallet": .bool(wallet)]
        if let tier { document["tier"] = .string(tier) }
        if unlimited { document["unlimited"] = true }
        if let overdraft { document["overdraft_limit"] = .string(overdraft) }
        if let credits { document["amount"] = .string(credits) }
        let answer = try await server.client.post("/api/v1/accounts", document)
        let result = try JSONNode.reading { () throws(JSONError) in
            guard let result = try answer.field("results").array().first else {
                throw answer.invalid("it has no result")
            }
            return (
                node: result, word: try result.shown("result"),
                reason: "\(try result.shown("code")): \(try result.shown("message"))"
            )
        }
        guard result.word != "refused" else { throw CommandFailure.negative(result.reason) }
        let verb = result.word == "opened" ? "opened" : "exists already, and is left as it is"
        output.show(
            try JSONNode.reading { () throws(JSONError) in try result.node.object() },
            text: "\(account) \(verb)")
    }
}

struct AccountsSet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set",
        abstract: "Changes an account from now on; what is not named stays.",
        discussion: """
            tollgate accounts set acme --tier enterprise
            tollgate accounts set acme/search --status suspended --reason "key leaked"
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path.")
    var account: String

    @Option(help: "The tier.")
    var tier: String?

    @Option(help: ArgumentHelp("Whether it may be used.", valueName: "active|suspended|closed"))
    var status: String?

    @Option(help: ArgumentHelp("Never refused for lack of credit.", valueName: "true|false"))
    var unlimited: Bool?

    @Option(help: "How far below zero guarded calls may take the balance, in credits.")
    var overdraft: String?

    @Option(help: "Why; kept with the change.")
    var reason: String?

    func run() async throws {
        var document = JSONObject()
        if let tier { document["tier"] = .string(tier) }
        if let status { document["status"] = .string(status) }
        if let unlimited { document["unlimited"] = .bool(unlimited) }
        if let overdraft { document["overdraft_limit"] = .string(overdraft) }
        if let reason { document["reason"] = .string(reason) }
        let answer = try await server.client.patch(AccountText.path(account), document)
        try AccountText.show(answer, output)
    }
}

struct AccountsShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Shows an account: wallet, tier, status, what is left of which credit.",
        discussion: "Example:  tollgate accounts show acme/search")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path.")
    var account: String

    func run() async throws {
        try AccountText.show(try await server.client.get(AccountText.path(account)), output)
    }
}

/// An account in words.
enum AccountText {
    static func path(_ account: String) -> String {
        "/api/v1/accounts/" + AdminClient.encode(account, keepsSlashes: true)
    }

    static func show(_ answer: JSONNode, _ output: OutputOptions) throws(CommandFailure) {
        let (object, rows) = try JSONNode.reading { () throws(JSONError) in
            var rows = [("account", try answer.shown("account"))]
            if try answer.shown("wallet") != answer.shown("account") {
                rows.append(("wallet", try answer.shown("wallet")))
            }
            rows += [
                ("tier", try answer.shown("tier")), ("status", try answer.shown("status")),
                ("balance", try answer.credits("balance") + " credits"),
                (
                    "available",
                    try answer.field("unlimited").bool()
                        ? "unlimited" : try answer.credits("available") + " credits"
                ),
            ]
            for (kind, node) in try answer.field("remaining").members() {
                guard try node.string() != "0.00" else { continue }
                rows.append(("· \(kind)", try answer.field("remaining").credits(kind) + " credits left"))
            }
            rows += [
                ("granted so far", try answer.credits("total_granted") + " credits"),
                ("charged so far", try answer.credits("total_charged") + " credits"),
                ("expired so far", try answer.credits("total_expired") + " credits"),
            ]
            for (name, label) in [("total_voided", "voided so far"), ("total_deducted", "deducted so far")] {
                let sum = try answer.credits(name)
                if sum != "0.00" { rows.append((label, sum + " credits")) }
            }
            if try answer.optional("next_expiry") != nil {
                rows.append(("next expiry", try answer.shown("next_expiry")))
            }
            return (try answer.object(), rows)
        }
        output.show(object, text: facts(rows, indent: ""))
    }
}

struct AccountsMove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "move",
        abstract: "Moves an account, and everything below it, to another place of its organisation.",
        discussion: """
            tollgate accounts move acme/search acme/labs/search --reason "new owner"

            The account stays the one it is: its wallet with grants, debt and allowance,
            its budgets with what they counted, its tier, status and history. What it
            takes from above comes from the accounts above its new place from then on.
            Open holds go with it; a wallet that then pays for them must have the credit.

            Calls that still name the old path reach the account, and so do retries: a
            request id is charged once, whichever path it names. The old path is nobody
            else's from then on. The account above the new path must be there.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path.")
    var account: String

    @Argument(help: "The path it is to have.")
    var to: String

    @Option(help: "Why; kept with the move.")
    var reason: String?

    @Option(help: "Who asks for it.")
    var by: String?

    @Option(help: "The same key does it once.")
    var idempotencyKey: String?

    func run() async throws {
        var document: JSONObject = ["to": .string(to)]
        for (name, value) in [("reason", reason), ("by", by)] {
            if let value { document[name] = .string(value) }
        }
        let answer = try await server.client.post(
            AccountText.path(account) + "/move", document, idempotencyKey: idempotencyKey)
        let (object, rows) = try JSONNode.reading { () throws(JSONError) in
            let wasThere = try answer.field("duplicate").bool()
            return (
                try answer.object(),
                [
                    (
                        "account",
                        try answer.shown("account") + (wasThere ? ", already; nothing was changed" : "")
                    ),
                    ("was", account), ("wallet", try answer.shown("wallet")),
                    ("tier", try answer.shown("tier")), ("status", try answer.shown("status")),
                    ("balance", try answer.credits("balance_after") + " credits"),
                ]
            )
        }
        output.show(object, text: facts(rows, indent: ""))
    }
}

struct AccountsClose: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "close",
        abstract: "Closes an account, and everything below it.",
        discussion: """
            tollgate accounts close acme/old --reason "left" --balance forfeit
            tollgate accounts close acme/old --reason "merged" --balance transfer --to acme

            A balance is never lost by accident: with one, say what becomes of it.
              keep      it stays, and is there when the account is opened again
              forfeit   credit is taken back, debt is forgiven
              transfer  each grant goes over as it is, to an account of the same organisation

            `accounts set PATH --status active` opens it again.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path.")
    var account: String

    @Option(help: ArgumentHelp("What becomes of the balance.", valueName: "keep|forfeit|transfer"))
    var balance: String?

    @Option(help: "The account that takes the balance.")
    var to: String?

    @Option(help: "Why; kept with the change.")
    var reason: String?

    @Option(help: "Who asks for it.")
    var by: String?

    func run() async throws {
        var document = JSONObject()
        for (name, value) in [("balance", balance), ("transfer_to", to), ("reason", reason), ("by", by)] {
            if let value { document[name] = .string(value) }
        }
        let answer = try await server.client.post(AccountText.path(account) + "/close", document)
        let (object, rows) = try JSONNode.reading { () throws(JSONError) in
            let wasClosed = try answer.field("duplicate").bool()
            return (
                try answer.object(),
                [
                    ("account", "\(account), closed" + (wasClosed ? " already; nothing was changed" : "")),
                    ("balance before", try answer.credits("balance_before") + " credits"),
                    ("balance", try answer.credits("balance_after") + " credits"),
                ]
            )
        }
        output.show(object, text: facts(rows, indent: ""))
    }
}
