// `tollgate simulate`: what recorded usage would have been charged under other rules or prices.

import Admin
import ArgumentParser
import Gateway
import Money
import NIOHTTP1
import Pricing
import StrictJSON

struct Simulate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Replays recorded usage under a draft of the rules or other prices; changes nothing.",
        discussion: """
            tollgate simulate --rules draft.yaml
            tollgate simulate --rules draft.json --since 2026-11-01 --until 2026-12-01
            tollgate simulate --catalog 3
            tollgate simulate --rules draft.yaml --catalog prices.json --accounts 50
            tollgate simulate --rules draft.yaml --data-directory ./data    no gateway running

            A draft is a file of rules, or a few lines of one: what it names is taken as if
            it had always held, the rest as it was. Charges are compared with those that
            were made, allowances are spent again month by month, and usage that was parked
            is counted as charged where the draft prices it. Margin is the charge less the
            base cost, and the fee for usage on the customer's own key.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var reading: CatalogReadingOptions
    @OptionGroup var output: OutputOptions

    @Option(help: "A file of rules, YAML or JSON; - reads standard input.")
    var rules: String?

    @Option(help: ArgumentHelp("Other prices.", valueName: "version|file"))
    var catalog: String?

    @Option(help: "Usage from then on, by its event time, such as 2026-11-01.")
    var since: String?

    @Option(help: "Usage before then.")
    var until: String?

    @Option(name: [.customShort("d"), .long], help: "A data directory that no gateway is using.")
    var dataDirectory: String?

    @Option(help: "Accounts to show: those whose charges change most.")
    var accounts = 10

    func validate() throws {
        guard rules != nil || catalog != nil else {
            throw ValidationError("say --rules FILE, --catalog VERSION|FILE, or both")
        }
        guard (0...10_000).contains(accounts) else { throw ValidationError("--accounts is 0 to 10000") }
    }

    private static let path = "/api/v1/pricing/simulate"

    func run() async throws {
        if let dataDirectory { return try runOffline(dataDirectory) }
        var document: JSONObject = ["accounts_limit": .integer(accounts)]
        if let rules { document["rules"] = try RuleSource.read(rules) }
        if let catalog {
            let source = CatalogSource(catalog)
            switch source {
            case .version(let number): document["catalogue_version"] = .integer(number)
            case .live, .file:
                let bytes = try await source.load(server, reading).canonicalBytes
                document["catalogue"] = try JSONNode.reading { () throws(JSONError) in
                    try JSONValue(parsing: bytes, bytesMax: PricingLimits.catalogueBytesMax)
                }
            }
        }
        if let since { document["since"] = .string(since) }
        if let until { document["until"] = .string(until) }
        var answer = try await server.client.send(
            .POST, Self.path, query: [("wait_seconds", "1")], bytes: JSONValue.object(document).bytes())
        while try Self.word(answer, "state") == "running" {
            if Console.isTerminal, !output.isJSON {
                Console.out(partial: "\r\(try Self.progress(answer))")
            }
            try await Task.sleep(for: .milliseconds(500))
            answer = try await server.client.get(Self.path + "/\(try Self.word(answer, "simulation"))")
        }
        if Console.isTerminal, !output.isJSON { Console.out(partial: "\r") }
        guard try Self.word(answer, "state") == "finished" else {
            throw CommandFailure.negative(
                "the simulation \(try Self.word(answer, "state")): \(try Self.word(answer, "problem"))")
        }
        let finished = answer
        let (object, text) = try JSONNode.reading { () throws(JSONError) in
            (try finished.object(), try SimulationText.lines(finished).joined(separator: "\n"))
        }
        output.show(object, text: text)
    }

    private func runOffline(_ path: String) throws {
        var draft = WhatIfDraft()
        if let rules {
            let document = JSONNode(try RuleSource.read(rules))
            do throws(RuleProblem) {
                draft.rules = try RuleFile(document)
            } catch {
                throw CommandFailure.negative("\(rules): \(error)")
            }
        }
        switch catalog.map({ CatalogSource($0) }) {
        case nil: break
        case .version(let number)?: draft.catalogueVersion = number
        case .file(let file)?: draft.catalogue = try reading.read(file).catalogue
        case .live?: throw CommandFailure.environment("`live` is a gateway's; name a version or a file")
        }
        let (since, until) = (try Self.instant("--since", since), try Self.instant("--until", until))
        let directory: OfflineDirectory
        do throws(GatewayError) {
            directory = try OfflineDirectory(path)
        } catch {
            throw CommandFailure.environment("\(path): \(error)")
        }
        let showsProgress = Console.isTerminal && !output.isJSON
        let report: SimulationReport
        do throws(AdministrationError) {
            report = try directory.simulate(
                draft, since: since, until: until, accountsMax: accounts
            ) { done, total in
                if showsProgress {
                    Console.out(
                        partial: "\r\(Figures.grouped(done)) of \(Figures.grouped(total)) records")
                }
            }
        } catch {
            throw CommandFailure.negative("\(error)")
        }
        if showsProgress { Console.out(partial: "\r") }
        let object = report.json
        let text = try JSONNode.reading { () throws(JSONError) in
            try SimulationText.lines(JSONNode(.object(object))).joined(separator: "\n")
        }
        output.show(object, text: text)
    }

    private static func instant(_ name: String, _ text: String?) throws -> Timestamp? {
        guard let text else { return nil }
        guard let instant = Timestamp(text: text) else {
            throw CommandFailure.environment(
                "\(name) \(text): expected an instant such as 2026-11-01T00:00:00Z, or a date")
        }
        return instant
    }

    private static func word(_ answer: JSONNode, _ key: String) throws(CommandFailure) -> String {
        try JSONNode.reading { () throws(JSONError) in try answer.shown(key) }
    }

    private static func progress(_ answer: JSONNode) throws(CommandFailure) -> String {
        try JSONNode.reading { () throws(JSONError) in
            let (done, total) = (try answer.wide("rows_done"), try answer.wide("rows"))
            return "\(Figures.grouped(done)) of \(Figures.grouped(total)) records"
        }
    }
}

/// A simulation in words.
enum SimulationText {
    static func lines(_ report: JSONNode) throws(JSONError) -> [String] {
        let total = try report.field("total")
        var lines = [
            "\(Figures.grouped(try total.wide("records"))) records replayed in \(try seconds(report)) s;"
                + " \(Figures.grouped(try total.wide("changed"))) would be charged otherwise"
        ]
        for (key, words) in [
            ("parked_before", "parked"), ("parked_after", "would be parked"),
            ("refused_after", "would be refused: no rule is for them"),
        ] where try total.wide(key) > 0 {
            lines.append("\(Figures.grouped(try total.wide(key))) \(words)")
        }
        let lag = try report.wide("history_lag")
        if lag > 0 { lines.append("the history was \(Figures.grouped(lag)) entries behind") }
        var sums = table("")
        try add("platform", report.field("platform"), to: &sums)
        try add("own key", report.field("byok"), to: &sums)
        sums.rule()
        try add("all", total, to: &sums)
        lines += ["", sums.text]
        for (key, name) in [
            ("tiers", "tier"), ("providers", "provider"), ("models", "model"), ("accounts", "account"),
        ] {
            let groups = try report.field(key).array()
            guard !groups.isEmpty else { continue }
            var table = table(name)
            for group in groups.prefix(rowsMax) { try add(group.shown(name), group, to: &table) }
            lines += ["", table.text]
            if groups.count > rowsMax {
                lines.append("and \(groups.count - rowsMax) more; --output json has them")
            }
        }
        return lines
    }

    private static let rowsMax = 25

    private static func seconds(_ report: JSONNode) throws(JSONError) -> String {
        String(try report.shown("seconds").prefix { $0 != "." })
            + "." + String(try report.shown("seconds").drop { $0 != "." }.dropFirst().prefix(2))
    }

    private static func table(_ name: String) -> Table {
        Table(
            [
                (name, .left), ("records", .right), ("charge", .right), ("would be", .right),
                ("change", .right), ("margin, USD", .right), ("would be", .right), ("change", .right),
            ], indent: "  ")
    }

    private static func add(_ name: String, _ sum: JSONNode, to table: inout Table) throws(JSONError) {
        table.add([
            String(name.prefix(48)), Figures.grouped(try sum.wide("records")),
            try rounded(sum, "charge_before", 9), try rounded(sum, "charge_after", 9),
            try rounded(sum, "charge_change", 9), try rounded(sum, "margin_usd_before", 21),
            try rounded(sum, "margin_usd_after", 21), try rounded(sum, "margin_usd_change", 21),
        ])
    }

    /// An exact amount, cut to the hundredth for the table; JSON has all of it.
    private static func rounded(_ sum: JSONNode, _ key: String, _ places: Int) throws(JSONError) -> String {
        let text = try sum.field(key).string()
        let digits = text.filter { $0 != "." }
        let decimals = text.drop { $0 != "." }.dropFirst().count
        guard var amount = Int128(digits) else { throw try sum.field(key).unexpected("an amount") }
        for _ in decimals..<max(decimals, 9) { amount *= 10 }
        for _ in 9..<max(decimals, 9) { amount /= 10 }
        return Figures.roundedCredits(amount)
    }
}
