// What the n-th record of a run is: a pure function of the seed and n, so that a record can be sent
// again without having been kept.

/// A share of all records, in percent.
struct Share: Hashable, Sendable {
    /// Of 2^32.
    let threshold: UInt64

    init(percent: Double) {
        precondition(percent >= 0 && percent <= 100)
        threshold = UInt64(percent / 100 * 4_294_967_296)
    }

    /// Whether 32 random bits fall within the share.
    @inline(__always)
    func contains(_ random: UInt32) -> Bool { UInt64(random) < threshold }
}

/// What the records of a run look like.
struct WorkloadPlan: Sendable {
    var accounts = 1_000
    var accountPrefix = "load-"
    /// Accounts one above another, 1 to 8: the one that records are for, and those above it.
    var levels = 1
    var distribution = AccountDistribution.uniform
    /// So many first accounts get `hotShare` of the records, each alike.
    var hotAccounts = 0
    var hotShare = Share(percent: 0)
    /// Records paid by the customer's own provider key.
    var byokShare = Share(percent: 0)
    /// Records sent again after they were answered, to be recognised as duplicates.
    var duplicateShare = Share(percent: 0)
    /// Questions for a quote in the place of a report.
    var quoteShare = Share(percent: 0)
    /// Records for which a hold is opened first, which they then settle: two operations.
    var holdShare = Share(percent: 0)
    /// Quotes are asked without their lines and token.
    var areQuotesBrief = false
    /// Records sent with `on_insufficient = REFUSE`.
    var refuseShare = Share(percent: 0)
    var provider = "openai"
    var model = "gpt-4o"
    var byokProvider = "openrouter"
    var byokModel = "openai/gpt-4o"
    var seed: UInt64 = 42
    /// Part of every request id, so that two runs do not take each other's for their own.
    var runID: UInt32 = 0
    var trace: TokenTrace?

    /// What follows an account's number at a level, counted from above: `/user` at the last, nothing at the first of
    /// several, and `/level-2` and so on between.
    func suffix(level: Int) -> String {
        let between = (1..<min(level + 1, levels)).dropFirst().map { "/level-\($0)" }.joined()
        return level == levels ? between + "/user" : between
    }

    /// What follows the number in the names that records bear.
    var accountSuffix: String { suffix(level: levels) }
}

/// One record to be sent.
struct WorkItem: Hashable, Sendable {
    /// The account's index; its name is the prefix, this plus 1, and the suffix.
    var account: UInt32
    var inputTokens: UInt32
    var outputTokens: UInt32
    /// Part of the input.
    var cacheReadTokens: UInt32
    var isBYOK: Bool
    var mayRefuse: Bool
    /// It is asked what the record would cost, and not reported.
    var isQuote = false
    /// A hold of its worst case is opened first, and it settles it.
    var isHeld = false
}

/// Draws records.
struct Workload: Sendable {
    let plan: WorkloadPlan
    private let accounts: AccountPicker
    private let trace: [TokenCounts]
    private let hotAccounts: UInt64

    init(_ plan: WorkloadPlan) {
        self.plan = plan
        accounts = AccountPicker(count: plan.accounts, distribution: plan.distribution)
        trace = plan.trace?.counts ?? []
        hotAccounts = UInt64(min(plan.hotAccounts, plan.accounts))
    }

    /// The record with this number.
    @inline(__always)
    func item(_ number: UInt64) -> WorkItem {
        let first = Workload.mix(plan.seed &+ number &* 0x9e37_79b9_7f4a_7c15)
        let second = Workload.mix(first &+ 0x9e37_79b9_7f4a_7c15)
        let third = Workload.mix(second &+ 0x9e37_79b9_7f4a_7c15)
        let high = UInt32(truncatingIfNeeded: second >> 32)
        let low = UInt32(truncatingIfNeeded: second)
        let account: UInt32
        if hotAccounts > 0 && plan.hotShare.contains(high) {
            account = UInt32(truncatingIfNeeded: ((first >> 32) * hotAccounts) >> 32)
        } else {
            account = accounts.pick(first)
        }
        let input: UInt32
        let output: UInt32
        if trace.isEmpty {
            // Skewed like real requests: the product of two even draws, 16 to about 8 000 tokens in.
            let product = (third & 0xffff) * ((third >> 16) & 0xffff)
            input = 16 + UInt32(truncatingIfNeeded: product >> 19)
            let answer = ((third >> 32) & 0xffff) * ((third >> 48) & 0xffff)
            output = 1 + UInt32(truncatingIfNeeded: answer >> 22)
        } else {
            let counts = trace[Int(number % UInt64(trace.count))]
            input = counts.input
            output = counts.output
        }
        var item = WorkItem(
            account: account, inputTokens: input, outputTokens: output,
            cacheReadTokens: low & 3 == 0 ? input / 2 : 0,
            isBYOK: plan.byokShare.contains(low),
            mayRefuse: plan.refuseShare.contains(low ^ high))
        if plan.quoteShare.threshold > 0 {
            item.isQuote = plan.quoteShare.contains(UInt32(truncatingIfNeeded: Workload.mix(~first) >> 32))
        }
        if plan.holdShare.threshold > 0 {
            item.isHeld = plan.holdShare.contains(UInt32(truncatingIfNeeded: Workload.mix(~second) >> 32))
        }
        return item
    }

    /// Whether the record with this number is to be a repetition of an earlier one.
    @inline(__always)
    func isRepetition(_ number: UInt64) -> Bool {
        guard plan.duplicateShare.threshold > 0 else { return false }
        let random = Workload.mix(~plan.seed &+ number &* 0x9e37_79b9_7f4a_7c15)
        return plan.duplicateShare.contains(UInt32(truncatingIfNeeded: random >> 32))
    }

    /// The account's name.
    func accountName(_ account: UInt32) -> String { accountName(account, level: plan.levels) }

    /// The name of the account that stands above it at a level, or its own at the last.
    func accountName(_ account: UInt32, level: Int) -> String {
        "\(plan.accountPrefix)\(account + 1)\(plan.suffix(level: level))"
    }

    /// SplitMix64's output function. It wraps by definition: it mixes bits, it counts nothing.
    @inline(__always)
    static func mix(_ state: UInt64) -> UInt64 {
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
