// `tollgate holds`: credit set aside before a request runs.

import ArgumentParser
import Money
import Platform
import Pricing
import StrictJSON
import TollgateClient

struct HoldsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "holds",
        abstract: "Sets credit aside before a request runs, settles it, and shows what is open.",
        discussion: """
            tollgate holds open h-1 --account acme --source platform \\
                --provider openai --model gpt-4o --input-tokens 4808 --output-tokens 1024
            tollgate holds settle h-1 --account acme --source platform --request-id req-1 \\
                --provider openai --model gpt-4o --input-tokens 4808 --output-tokens 310
            tollgate holds list

            A hold counts against what the wallet may spend and leaves the balance alone.
            Its report settles it, above or below what was held. Until then it can be
            extended or voided; when its lease ends it is released by itself, or charged
            if it was opened with an --orphan-policy.
            """,
        subcommands: [HoldOpen.self, HoldSettle.self, HoldExtend.self, HoldVoid.self, HoldList.self])
}

struct HoldOpen: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "open",
        abstract: "Sets credit aside: an amount, or what a worst case would be charged.",
        discussion: """
            tollgate holds open h-1 --account acme --source platform --amount 25
            tollgate holds open h-2 --account acme --source byok --provider openrouter \\
                --model anthropic/claude-sonnet-5 --input-tokens 9000 \\
                --output-tokens 4096 --policy clip --lease 3600 --orphan-policy estimate

            Asking again with the same id changes nothing. Exit code 1 if it is not covered.
            """)

    @OptionGroup var server: FrameOptions
    @OptionGroup var record: RecordFlags
    @OptionGroup var output: OutputOptions

    @Argument(help: "The hold's id, 1 to 128 bytes, yours to choose.")
    var id: String

    @Option(help: "Credits to hold, instead of a usage to be priced.")
    var amount: String?

    @Option(
        help: ArgumentHelp("Refuse what is not covered, or hold what is there.", valueName: "strict|clip"))
    var policy = "strict"

    @Option(
        help: ArgumentHelp(
            "What is charged if no report comes before its lease ends; default what the server is set to.",
            valueName: "release|input_only|estimate|full_hold"))
    var orphanPolicy: String?

    @Option(help: ArgumentHelp("How long it lasts, at most 86400; default 600.", valueName: "seconds"))
    var lease: Int64 = 0

    func run() async throws {
        var order = try order()
        switch policy {
        case "strict": order.policy = .strict
        case "clip": order.policy = .clip
        default: throw CommandFailure.environment("--policy \(policy): write strict or clip")
        }
        if let orphanPolicy {
            guard let policy = OrphanPolicy.allCases.first(where: { $0.name == orphanPolicy }) else {
                throw CommandFailure.environment(
                    "--orphan-policy \(orphanPolicy): write release, input_only, estimate or full_hold")
            }
            order.orphanPolicy = policy
        }
        order.lease = .seconds(lease)
        let hold = try await server.withClient { [order] client in try await client.hold(order) }
        output.show(HoldText.json(hold), text: HoldText.text(hold))
    }

    private func order() throws -> HoldOrder {
        guard let account = record.account, let word = record.source else {
            throw CommandFailure.environment("--account and --source are needed")
        }
        guard let source = CredentialSource(word: word) else {
            throw CommandFailure.environment("--source \(word): write platform or byok")
        }
        if let amount {
            let credits = try HoldText.credits(amount)
            return HoldOrder(holdID: id, account: account, credentialSource: source, amount: credits)
        }
        let draft = try record.draft()
        do throws(RecordProblem) {
            let usage = try draft.report(requestID: "", eventTime: 0)
            var order = HoldOrder(holdID: id, account: account, credentialSource: source, amount: 0)
            order.size = .usage(usage)
            return order
        } catch {
            throw CommandFailure.environment(error.text)
        }
    }
}

struct HoldSettle: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "settle",
        abstract: "Releases a hold and charges what was used, in one step.",
        discussion: """
            tollgate holds settle h-1 --account acme --source platform --request-id req-1 \\
                --provider openai --model gpt-4o --input-tokens 4808 --output-tokens 310

            The request id is charged once, however often this is said, with the same
            --event-time. A hold whose lease is over is charged as a report, less what its
            orphan policy had charged by then.
            """)

    @OptionGroup var server: FrameOptions
    @OptionGroup var record: RecordFlags
    @OptionGroup var output: OutputOptions

    @Argument(help: "The hold's id.")
    var id: String

    @Option(help: "The request's id, charged once.")
    var requestID: String

    func run() async throws {
        let draft = try record.draft()
        let report: UsageReport
        do throws(RecordProblem) {
            report = try draft.report(requestID: requestID, eventTime: SystemClock().wallMicroseconds())
        } catch {
            throw CommandFailure.environment(error.text)
        }
        let receipt = try await server.withClient { client in try await client.settle(hold: id, with: report)
        }
        output.show(
            ReceiptText.json(receipt, requestID: requestID),
            text: ReceiptText.text(receipt, requestID: requestID))
    }
}

struct HoldExtend: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "extend",
        abstract: "Prolongs a hold, and grows it where asked.",
        discussion: "Example:  tollgate holds extend h-1 --account acme --lease 1200 --amount 40")

    @OptionGroup var server: FrameOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The hold's id.")
    var id: String

    @Option(help: "The hold's account.")
    var account: String

    @Option(
        help: ArgumentHelp("How long it lasts from now, at most 86400; default 600.", valueName: "seconds"))
    var lease: Int64 = 0

    @Option(help: "Credits to hold from now on, at least what is held.")
    var amount: String?

    func run() async throws {
        let credits = try amount.map { try HoldText.credits($0) }
        let hold = try await server.withClient { client in
            try await client.extend(hold: id, of: account, lease: .seconds(lease), amount: credits)
        }
        output.show(HoldText.json(hold), text: HoldText.text(hold))
    }
}

struct HoldVoid: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "void",
        abstract: "Releases a hold without a charge.",
        discussion: "Example:  tollgate holds void h-1 --account acme --reason \"request failed\"")

    @OptionGroup var server: FrameOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The hold's id.")
    var id: String

    @Option(help: "The hold's account.")
    var account: String

    @Option(help: "Why; kept with its end.")
    var reason = ""

    func run() async throws {
        let hold = try await server.withClient { client in
            try await client.void(hold: id, of: account, reason: reason)
        }
        output.show(HoldText.json(hold), text: HoldText.text(hold))
    }
}

struct HoldList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Lists open holds, oldest first.",
        discussion: "Example:  tollgate holds list --account acme")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Option(help: "Of this account and those below it.")
    var account: String?

    @Option(help: "Rows, at most 500.")
    var limit = 50

    func run() async throws {
        var query = [("limit", "\(limit)")]
        if let account { query.append(("account", account)) }
        let answer = try await server.client.get("/api/v1/holds", query: query)
        let (object, text) = try JSONNode.reading { () throws(JSONError) in
            (try answer.object(), try Self.text(answer))
        }
        output.show(object, text: text)
    }

    private static func text(_ answer: JSONNode) throws(JSONError) -> String {
        var table = Table(
            [
                ("opened", .left), ("account", .left), ("hold", .left), ("credits", .right),
                ("source", .left),
                ("ends", .left),
            ], indent: "")
        for row in try answer.field("holds").array() {
            table.add([
                try row.shown("opened_at"), try row.shown("user_id"), try row.shown("hold_id"),
                try row.shown("amount"), try row.shown("credential_source"), try row.shown("expires_at"),
            ])
        }
        let open = try answer.wide("open")
        guard open > 0 else { return "no hold is open" }
        return table.text
            + "\n\(Figures.grouped(open)) open in all, \(try answer.shown("held")) credits, the oldest since"
            + " \(try answer.shown("oldest_opened_at"))"
    }
}

/// A hold in words, and as JSON.
enum HoldText {
    static func text(_ hold: Hold) -> String {
        var rows = [("hold", hold.holdID)]
        switch hold.state {
        case .open:
            rows.append(
                (
                    "open",
                    "\(Figures.credits(hold.amount)) credits until"
                        + " \(Timestamp(microseconds: hold.expiresAtMicroseconds).text)"
                ))
        case .settled: rows.append(("settled", "its \(Figures.credits(hold.amount)) credits were released"))
        case .voided: rows.append(("voided", "\(Figures.credits(hold.amount)) credits released"))
        case .expired where hold.orphanCharge > 0:
            rows.append(
                ("expired", "\(Figures.credits(hold.orphanCharge)) credits were charged: no report came"))
        case .expired: rows.append(("expired", "\(Figures.credits(hold.amount)) credits were released"))
        }
        if hold.state == .open, hold.orphanCharge > 0 {
            rows.append(
                ("orphan", "\(Figures.credits(hold.orphanCharge)) credits are charged if no report comes"))
        }
        rows.append(("available", "\(Figures.credits(hold.available)) credits beside it"))
        if hold.duplicate { rows.append(("note", "asked before: this is what stands")) }
        return facts(rows, indent: "")
    }

    static func json(_ hold: Hold) -> JSONObject {
        [
            "hold_id": .string(hold.holdID), "state": .string(hold.state.name),
            "amount": .string(Nanocredits(hold.amount).text),
            "available": .string(Nanocredits(hold.available).text),
            "expires_at": hold.state == .open
                ? .string(Timestamp(microseconds: hold.expiresAtMicroseconds).text) : .null,
            "sequence": .integer(hold.sequence), "duplicate": .bool(hold.duplicate),
            "orphan_charge": .string(Nanocredits(hold.orphanCharge).text),
        ]
    }

    /// Nanocredits of an amount as it was typed.
    static func credits(_ text: String) throws(CommandFailure) -> Int64 {
        do throws(MoneyError) {
            return try Nanocredits(text: text).count
        } catch {
            throw .environment("--amount \(text): write credits, such as 25 or 0.5")
        }
    }
}
