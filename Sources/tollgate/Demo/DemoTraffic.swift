// The traffic of the demonstration: the n-th request, always the same for the same n.

import TollgateClient

/// What a request is, before it becomes bytes.
struct DemoRequest: Sendable {
    var wallet: Int
    var user: Int
    var model: DemoModel
    var source: CredentialSource
    var tokens: DemoTrace.Request
}

struct DemoTraffic: Sendable {
    /// When the demonstration began, in microseconds since 1970; request n ended n microseconds later.
    let start: Int64

    /// Every 50th call repeats an earlier request, as a router does that had no answer.
    private static let repeatEvery = 50
    private static let repeatDistance = 25

    /// The request that the n-th call sends, and whether that repeats an earlier call.
    static func request(ofCall call: Int) -> (index: Int, isRepeat: Bool) {
        let isRepeat = call % repeatEvery == repeatEvery - 1
        return (isRepeat ? call - repeatDistance : call, isRepeat)
    }

    /// The request with this index.
    static func request(_ index: Int) -> DemoRequest {
        var dice = Dice(index)
        let tier = tier(dice.next(100))
        let numbers = DemoCast.walletNumbers[tier.rawValue]
        let wallet = numbers[dice.next(numbers.count)]
        let user = dice.next(DemoCast.wallets[wallet].users.count)
        var model = DemoCast.models[dice.next(DemoCast.models.count)]
        var source = CredentialSource.platform
        // Most of the traffic that may go over the users' own keys does: enough for fees beyond what is free.
        if tier.byokProviders.contains(model.provider), dice.next(4) > 0 { source = .byok }
        if dice.next(1_000) == 0 {
            model = DemoCast.unpriced
            source = .platform
        }
        return DemoRequest(
            wallet: wallet, user: user, model: model, source: source,
            tokens: DemoTrace.requests[index % DemoTrace.requests.count])
    }

    private static func tier(_ percent: Int) -> DemoTier {
        var rest = percent
        for tier in DemoTier.allCases {
            rest -= tier.plan.share
            if rest < 0 { return tier }
        }
        preconditionFailure("the shares add up to 100")
    }

    static func requestID(_ index: Int) -> String { "demo-\(index)" }

    /// The report of the request with this index.
    func report(_ index: Int) -> UsageReport {
        let request = Self.request(index)
        var report = UsageReport(
            requestID: Array(Self.requestID(index).utf8),
            account: DemoCast.wallets[request.wallet].users[request.user], credentialSource: request.source,
            provider: request.model.provider, model: request.model.model,
            eventTimeMicroseconds: start + Int64(index))
        report.usage.inputTokens = request.tokens.inputTokens
        report.usage.outputTokens = request.tokens.outputTokens
        report.usageSource = .final
        report.outcome = .completed
        return report
    }
}

/// SplitMix64, Sebastiano Vigna, public domain: good bits from a counter. The additions and products wrap by
/// definition.
private struct Dice {
    private var state: UInt64

    init(_ index: Int) { state = UInt64(index) &* 0x9e37_79b9_7f4a_7c15 }

    mutating func next(_ bound: Int) -> Int {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return Int((mixed ^ (mixed >> 31)) % UInt64(bound))
    }
}
