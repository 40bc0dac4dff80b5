// `tollgate quote` and `tollgate balance`: questions that change nothing.

import ArgumentParser
import Money
import Platform
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

            Exit code 1 if the wallet would not cover it, or if the gateway refuses it.
            """)

    @OptionGroup var server: FrameOptions
    @OptionGroup var record: RecordFlags
    @OptionGroup var output: OutputOptions

    @Flag(help: "Also price the other credential source.")
    var compare = false

    func run() async throws {
        let draft = try record.draft()
        let report: UsageReport
        do throws(RecordProblem) {
            report = try draft.report(requestID: "", eventTime: SystemClock().wallMicroseconds())
        } catch {
            throw CommandFailure.environment(error.text)
        }
        let quote = try await server.withClient { client in try await client.quote(report, compare: compare) }
        output.show(Self.json(quote), text: Self.text(quote, report))
        if !quote.sufficient { throw CommandFailure.negative("") }
    }

    static func text(_ quote: Quote, _ report: UsageReport) -> String {
        var lines = Table(
            [("unit", .left), ("quantity", .right), ("USD per unit", .right), ("USD", .right)], indent: "")
        for line in quote.lines {
            lines.add([
                line.unit, Figures.grouped(line.quantity), Picodollars(line.rate).text,
                Picodollars(line.amount).text,
            ])
        }
        lines.rule()
        lines.add(["base cost", "", "", Picodollars(quote.baseCost).text])
        var rows = [("charge", "\(Figures.credits(quote.charge)) credits")]
        if quote.allowanceUsed > 0 {
            rows.append(("allowance", "\(Figures.credits(quote.allowanceUsed)) credits of the fee are free"))
        }
        if let other = quote.alternativeCharge {
            let source: CredentialSource = report.credentialSource == .platform ? .byok : .platform
            rows.append(("as \(source.word)", "\(Figures.credits(other)) credits"))
        }
        rows.append(
            (
                "available",
                "\(Figures.credits(quote.available)) credits" + (quote.sufficient ? "" : ", not enough")
            ))
        if let tokens = quote.affordableOutputTokens {
            rows.append(("affordable", "\(Figures.grouped(tokens)) output tokens"))
        }
        rows.append(
            ("priced by", "rule version \(quote.ruleVersion), catalogue version \(quote.catalogueVersion)"))
        if quote.standardTierUsed { rows.append(("note", "no rate for the service tier: the standard rate")) }
        return lines.text + "\n\n" + facts(rows, indent: "")
    }

    static func json(_ quote: Quote) -> JSONObject {
        [
            "charge": .string(Nanocredits(quote.charge).text),
            "base_cost_usd": .string(Picodollars(quote.baseCost).text),
            "available": .string(Nanocredits(quote.available).text),
            "available_after": .string(Nanocredits(quote.availableAfter).text),
            "sufficient": .bool(quote.sufficient),
            "affordable_output_tokens": quote.affordableOutputTokens.map { .integer($0) } ?? .null,
            "allowance_used": .string(Nanocredits(quote.allowanceUsed).text),
            "alternative_charge": quote.alternativeCharge.map { .string(Nanocredits($0).text) } ?? .null,
            "standard_tier_used": .bool(quote.standardTierUsed),
            "rule_version": .integer(quote.ruleVersion),
            "catalogue_version": .integer(quote.catalogueVersion),
            "lines": .array(
                quote.lines.map { line in
                    [
                        "unit": .string(line.unit), "quantity": .integer(line.quantity),
                        "rate_usd": .string(Picodollars(line.rate).text),
                        "amount_usd": .string(Picodollars(line.amount).text),
                    ]
                }),
        ]
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
