// What a replay adds up: what was charged and what would have been, with the costs beside, exactly.

import Pricing

/// Sums over records. Amounts are in nanocredits, costs in picodollars.
public struct SimulationSum: Hashable, Sendable {
    public var records = 0
    /// Records whose charge is another one.
    public var changed = 0
    public var parkedBefore = 0
    public var parkedAfter = 0
    /// Records that would not have been charged, because no rule is for them.
    public var refusedAfter = 0
    public var charge: Int128 = 0
    public var newCharge: Int128 = 0
    /// Fees before the monthly allowance.
    public var fee: Int128 = 0
    public var newFee: Int128 = 0
    /// What the platform paid providers: the base cost of platform usage.
    public var cost: Int128 = 0
    public var newCost: Int128 = 0

    static func += (left: inout SimulationSum, right: SimulationSum) {
        left.records += right.records
        left.changed += right.changed
        left.parkedBefore += right.parkedBefore
        left.parkedAfter += right.parkedAfter
        left.refusedAfter += right.refusedAfter
        left.charge += right.charge
        left.newCharge += right.newCharge
        left.fee += right.fee
        left.newFee += right.newFee
        left.cost += right.cost
        left.newCost += right.newCost
    }
}

/// Sums by name.
public struct SimulationGroup: Hashable, Sendable {
    public var name: String
    public var sum: SimulationSum
}

/// What a simulation found.
public struct SimulationReport: Sendable {
    public var total = SimulationSum()
    public var platform = SimulationSum()
    public var byok = SimulationSum()
    public var tiers: [SimulationGroup] = []
    public var providers: [SimulationGroup] = []
    public var models: [SimulationGroup] = []
    public var accounts: [SimulationGroup] = []
    /// Accounts in all; `accounts` has those whose charges change most.
    public var accountCount = 0
    public var rowsRead: Int64 = 0
    public var nanoseconds: UInt64 = 0
    /// Durable entries that were not in the history when it began.
    public var historyLag: UInt64 = 0
    /// Records whose canonical form could not be read.
    public var unreadable = 0
    public var creditValue = CreditValueText(picodollarsPerCredit: 0)

    /// The value that margins are computed with.
    public struct CreditValueText: Hashable, Sendable {
        public var picodollarsPerCredit: Int64
    }
}

/// The sums of a replay under way: by (source, tier, provider, model), and by account.
struct SimulationTable {
    /// Beyond so many names of models or providers the rest is one.
    private static let namesMax = 1 << 16
    /// Beyond so many accounts the rest is one: some 60 MB.
    private static let accountsMax = 1 << 18

    private struct Cell: Hashable {
        var isBYOK: Bool
        var tier: UInt32
        var provider: UInt32
        var model: UInt32
    }

    var tiers = NumberedNames(countMax: 1 << 10)
    var providers = NumberedNames(countMax: namesMax)
    var models = NumberedNames(countMax: namesMax)
    var accounts = NumberedNames(countMax: accountsMax)
    private var cells: [Cell: Int] = [:]
    private var cellSums: [SimulationSum] = []
    private var accountSums: [SimulationSum] = []
    private var otherAccounts = SimulationSum()

    mutating func add(
        _ sum: SimulationSum, isBYOK: Bool, tier: Int, provider: Int, model: Int, account: Int
    ) {
        let cell = Cell(
            isBYOK: isBYOK, tier: UInt32(tier), provider: UInt32(provider), model: UInt32(model))
        if let index = cells[cell] {
            cellSums[index] += sum
        } else {
            cells[cell] = cellSums.count
            cellSums.append(sum)
        }
        guard account != NumberedNames.other else {
            otherAccounts += sum
            return
        }
        while accountSums.count <= account { accountSums.append(SimulationSum()) }
        accountSums[account] += sum
    }

    /// The report's sums, groups with the largest change of charges first.
    func fill(_ report: inout SimulationReport, accountsMax: Int) {
        var (tiers, providers, models): ([Int: SimulationSum], [Int: SimulationSum], [String: SimulationSum])
        (tiers, providers, models) = ([:], [:], [:])
        for (cell, index) in cells {
            let sum = cellSums[index]
            report.total += sum
            if cell.isBYOK { report.byok += sum } else { report.platform += sum }
            tiers[Int(cell.tier), default: SimulationSum()] += sum
            providers[Int(cell.provider), default: SimulationSum()] += sum
            let name = self.providers.text(Int(cell.provider)) + " " + self.models.text(Int(cell.model))
            models[name, default: SimulationSum()] += sum
        }
        report.tiers = Self.sorted(
            tiers.map { SimulationGroup(name: self.tiers.text($0.key), sum: $0.value) })
        report.providers = Self.sorted(
            providers.map { SimulationGroup(name: self.providers.text($0.key), sum: $0.value) })
        report.models = Self.sorted(models.map { SimulationGroup(name: $0.key, sum: $0.value) })
        let counted = accountSums.indices.filter { accountSums[$0].records > 0 }
        report.accountCount = counted.count
        let changed = counted.sorted { left, right in
            Self.change(accountSums[left]) > Self.change(accountSums[right])
        }
        report.accounts = changed.prefix(accountsMax).map {
            SimulationGroup(name: accounts.text($0), sum: accountSums[$0])
        }
        var rest = otherAccounts
        for index in changed.dropFirst(accountsMax) { rest += accountSums[index] }
        if rest.records > 0 { report.accounts.append(SimulationGroup(name: "(others)", sum: rest)) }
    }

    private static func change(_ sum: SimulationSum) -> Int128 {
        let change = sum.newCharge - sum.charge
        return change < 0 ? -change : change
    }

    private static func sorted(_ groups: [SimulationGroup]) -> [SimulationGroup] {
        groups.sorted { left, right in
            let (leftChange, rightChange) = (change(left.sum), change(right.sum))
            return leftChange == rightChange ? left.name < right.name : leftChange > rightChange
        }
    }
}
