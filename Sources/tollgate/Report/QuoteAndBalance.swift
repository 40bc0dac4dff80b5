// `tollgate quote` and `tollgate balance`: questions that change nothing.

import ArgumentParser
import Money
import StrictJSON
import TollgateClient

struct QuoteCall: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quote",
        abstract: "Asks what a request would be charged, factor by factor. Changes nothing.",
        discussion: """
            tollgate quote --account acme --source byok --provider openrouter \\
                --model anthropic/claude-sonnet-5 --input-tokens 10000 \\
                --output-tokens 500 --compare

            For a worst case give the estimated input and the maximum output. The token
            pins the prices for some minutes: tollgate report --quote-token TOKEN.

            Exit code 1 if the wallet would not cover it, or if the gateway refuses it.
            """)

    @OptionGroup var server: FrameOptions
    @OptionGroup var record: RecordFlags
    @OptionGroup var output: OutputOptions

    @Flag(help: "Also price the other credential source.")
    var compare = false
    @Flag(help: "Only the price and what the wallet has for it: no factors, no token.")
    var brief = false

    func run() async throws {
        let draft = try record.draft()
        let report: UsageReport
        do throws(RecordProblem) {
            report = try draft.report(requestID: "", eventTime: 0)
        } catch {
            throw CommandFailure.environment(error.text)
        }
        let quote = try await server.withClient { client in
            try await client.quote(report, compare: compare, brief: brief)
        }
        output.show(QuoteText.json(quote), text: QuoteText.text(quote, source: report.credentialSource))
        if !quote.sufficient { throw CommandFailure.negative("") }
    }
}

struct BalanceCall: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "balance",
        abstract: "Asks what an account may spend now.",
        discussion: "Example:  tollgate balance acme/search/alice")

    @OptionGroup var server: FrameOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The account's path.")
    var account: String

    func run() async throws {
        let balance = try await server.withClient { client in try await client.balance(of: account) }
        var rows = [("account", balance.account), ("tier", balance.tier)]
        if balance.wallet != balance.account { rows.append(("wallet", balance.wallet)) }
        rows.append(("balance", "\(Figures.credits(balance.balance)) credits"))
        if balance.held > 0 { rows.append(("held", "\(Figures.credits(balance.held)) credits")) }
        if balance.overdraftLimit > 0 {
            rows.append(("overdraft", "up to \(Figures.credits(balance.overdraftLimit)) credits"))
        }
        rows.append(
            ("available", balance.unlimited ? "unlimited" : "\(Figures.credits(balance.available)) credits"))
        output.show(
            [
                "account": .string(balance.account), "wallet": .string(balance.wallet),
                "tier": .string(balance.tier), "balance": .string(Nanocredits(balance.balance).text),
                "held": .string(Nanocredits(balance.held).text),
                "available": .string(Nanocredits(balance.available).text),
                "overdraft_limit": .string(Nanocredits(balance.overdraftLimit).text),
                "unlimited": .bool(balance.unlimited), "sequence": .integer(balance.sequence),
            ], text: facts(rows, indent: ""))
    }
}
