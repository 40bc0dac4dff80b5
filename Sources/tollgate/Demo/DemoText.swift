// What the demonstration shows: tables of charges, by tier and by provider.

import TollgateClient

/// Sums over requests.
private struct ChargeSum {
    var requests = 0
    var platform: Int128 = 0
    var byok: Int128 = 0

    mutating func add(_ charge: Int64, _ source: CredentialSource) {
        requests += 1
        if source == .platform { platform += Int128(charge) } else { byok += Int128(charge) }
    }
}

/// The charges of all answered requests, added up from the receipts.
struct DemoSums {
    private var tiers = [DemoTier: ChargeSum]()
    private var providers = [String: ChargeSum]()
    private var all = ChargeSum()
    /// Nanocredits charged to each wallet.
    private(set) var wallets = [Int128](repeating: 0, count: DemoCast.wallets.count)

    init(_ charges: [Int64]) {
        for (index, charge) in charges.enumerated() where charge != DemoScore.unanswered {
            let request = DemoTraffic.request(index)
            tiers[DemoCast.wallets[request.wallet].tier, default: ChargeSum()].add(charge, request.source)
            providers[request.model.provider, default: ChargeSum()].add(charge, request.source)
            all.add(charge, request.source)
            wallets[request.wallet] += Int128(charge)
        }
    }

    var total: Int128 { all.platform + all.byok }

    var tierTable: String {
        var table = Self.table("tier")
        for tier in DemoTier.allCases { Self.add(tier.name, tiers[tier] ?? ChargeSum(), to: &table) }
        table.rule()
        Self.add("all", all, to: &table)
        return table.text
    }

    var providerTable: String {
        var table = Self.table("provider")
        for provider in DemoCast.providers {
            Self.add(provider, providers[provider] ?? ChargeSum(), to: &table)
        }
        return table.text
    }

    private static func table(_ name: String) -> Table {
        Table([
            (name, .left), ("requests", .right), ("platform, credits", .right), ("own key, credits", .right),
            ("together, USD", .right),
        ])
    }

    private static func add(_ name: String, _ sum: ChargeSum, to table: inout Table) {
        // A credit is worth 0.001 USD in the demonstration's directory.
        table.add([
            name, Figures.grouped(sum.requests), Figures.roundedCredits(sum.platform),
            Figures.roundedCredits(sum.byok), Figures.roundedCredits((sum.platform + sum.byok) / 1_000),
        ])
    }
}

/// Prints sections, checks and progress.
final class DemoStage {
    private var section = 0
    private(set) var failures: [String] = []
    private var progressWidth = 0

    func title(_ text: String) {
        section += 1
        Console.out("\n\(section)  \(text)\n")
    }

    func say(_ text: String) {
        clearProgress()
        Console.out(text)
    }

    /// Says what was checked, and whether it holds.
    func check(_ holds: Bool, _ text: String) {
        clearProgress()
        Console.out("  \(holds ? "✓" : "✗") \(text)")
        if !holds { failures.append(text) }
    }

    /// A line that the next one replaces, where a person is watching.
    func progress(_ text: String) {
        guard Console.isTerminal else { return }
        let padding = String(repeating: " ", count: max(0, progressWidth - text.count))
        Console.out(partial: "\r  \(text)\(padding)")
        progressWidth = text.count
    }

    private func clearProgress() {
        guard progressWidth > 0 else { return }
        Console.out(partial: "\r" + String(repeating: " ", count: progressWidth + 2) + "\r")
        progressWidth = 0
    }
}
