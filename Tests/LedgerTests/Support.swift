// What the ledger's tests share: a price book whose charges are easy to say, reports that own their bytes,
// and a ledger with its journal in an array.
//
// In this book a token of the model `unit` costs one nanocredit on tier `plain` and two on `double`, and an
// image a thousand credits; with the user's own key the fee is what the platform would charge on `plain`,
// after a monthly allowance of 1 000 nanocredits, or 500 for provider `q`.

import Bytes
import Money
import Pricing
import Testing

@testable import Ledger

/// SplitMix64: the same seed, the same numbers.
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value &>> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value &>> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value &>> 31)
    }

    /// True in `percent` of 100 cases.
    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }

    mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[Int.random(in: 0..<elements.count, using: &self)]
    }

    mutating func bytes(_ counts: ClosedRange<Int>) -> [UInt8] {
        (0..<Int.random(in: counts, using: &self)).map { _ in UInt8(truncatingIfNeeded: next()) }
    }
}

enum Fixture {
    static let secret = HashKey(first: 0x0f1e_2d3c_4b5a_6978, second: 0x8796_a5b4_c3d2_e1f0)
    /// 2026-01-15T00:00:00Z.
    static let start = Timestamp(microseconds: 1_768_435_200_000_000)
    static let day: Int64 = 86_400_000_000

    static func book() throws -> PriceBook {
        func model(_ provider: String, _ id: String, free: Bool = false) -> CatalogueModel {
            let rates = Rates([
                .input: Picodollars(free ? 0 : 1), .images: Picodollars(free ? 0 : 1_000_000_000_000),
            ])
            return CatalogueModel(
                provider: provider, id: id,
                prices: [ModelPrice(isExplicitZero: free, card: RateCard(standard: rates))])
        }
        let catalogue = Catalogue(
            version: 7,
            models: [model("p", "unit"), model("p", "free", free: true), model("q", "unit")])
        let (one, two) = (Ratio.one, try #require(Ratio(billionths: 2_000_000_000)))
        let rules = try RuleBook(
            platform: [
                PlatformRule(
                    head: RuleVersion(id: "plain", ruleNumber: 1, version: 11), tierCode: "plain",
                    markup: Markup(.multiplier, one)),
                PlatformRule(
                    head: RuleVersion(id: "double", ruleNumber: 2, version: 12), tierCode: "double",
                    markup: Markup(.multiplier, two)),
            ],
            byok: [
                BYOKRule(
                    head: RuleVersion(id: "any", ruleNumber: 3, version: 13), provider: "*",
                    markup: Markup(.percentage, one), freeCreditsMonthly: Picodollars(1_000),
                    appliesToTiers: ["plain"]),
                BYOKRule(
                    head: RuleVersion(id: "q", ruleNumber: 4, version: 14), provider: "q",
                    markup: Markup(.percentage, one), freeCreditsMonthly: Picodollars(500),
                    appliesToTiers: ["plain"]),
            ])
        return try PriceBook(catalogue: catalogue, rules: rules, creditValue: .standard)
    }
}

/// A report that owns its bytes.
struct Call: Sendable {
    var id = "r1"
    var account = "acme"
    var source: CredentialSource? = .platform
    var provider = "p"
    var model = "unit"
    var serviceTier = ""
    var usage = Usage()
    var eventTime = Fixture.start
    var usageSource = UsageSource.final
    var outcome = RequestOutcome.completed
    var onInsufficient = OnInsufficient.record
    var requestedProvider = ""
    var requestedModel = ""
    var requestedServiceTier = ""
    var holdID = ""
    var quoteToken = ""
    var providerReportedCost: Int64?
    var tags: [UInt8] = []

    init() {}

    /// A report of `tokens` input tokens.
    init(
        _ id: String, of account: String = "acme", tokens: Int64 = 0, at eventTime: Timestamp = Fixture.start,
        refuse: Bool = false, byok: Bool = false, provider: String = "p"
    ) {
        self.id = id
        self.account = account
        self.eventTime = eventTime
        self.provider = provider
        usage.inputTokens = tokens
        onInsufficient = refuse ? .refuse : .record
        source = byok ? .byok : .platform
    }

    /// Lends the record for the length of `body`.
    func withRecord<Result, Failure: Error>(
        _ body: (borrowing UsageRecord) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let texts = [
            id, account, provider, model, serviceTier, requestedProvider, requestedModel,
            requestedServiceTier, holdID, quoteToken,
        ].map { Array($0.utf8) }
        return try (texts.flatMap { $0 } + tags).withView { (bytes) throws(Failure) in
            var views: [ByteView] = []
            var start = 0
            for count in texts.map(\.count) + [tags.count] {
                views.append(bytes[start..<start + count])
                start += count
            }
            var record = UsageRecord()
            record.requestID = views[0]
            record.account = views[1]
            record.provider = views[2]
            record.model = views[3]
            record.serviceTier = views[4]
            record.requestedProvider = views[5]
            record.requestedModel = views[6]
            record.requestedServiceTier = views[7]
            record.holdID = views[8]
            record.quoteToken = views[9]
            record.tags = views[10]
            record.credentialSource = source
            record.usage = usage
            record.eventTime = eventTime
            record.usageSource = usageSource
            record.outcome = outcome
            record.onInsufficient = onInsufficient
            record.providerReportedCost = providerReportedCost
            return try body(record)
        }
    }

    /// The canonical form.
    var content: [UInt8] {
        withRecord { record in
            var packer = BytePacker()
            RecordContent.append(record, to: &packer)
            return Array(packer.view)
        }
    }

    func keys(_ maker: KeyMaker) -> RecordKeys {
        let organisation = Array(account.utf8).prefix { $0 != UInt8(ascii: "/") }.count
        let hashes = account.withView { maker.account($0, organisationCount: organisation) }
        var keys = RecordKeys.none
        keys.organisation = hashes.organisation
        keys.account = hashes.account
        keys.request = id.withView { maker.request($0, organisation: hashes.organisation) }
        if !holdID.isEmpty {
            keys.hold = holdID.withView { maker.hold($0, organisation: hashes.organisation) }
        }
        keys.digest = content.withView { maker.digest($0) }
        return keys
    }
}

extension ReportDecision {
    var receipt: Receipt? {
        if case .receipt(let receipt) = self { return receipt }
        return nil
    }

    var refusal: Refusal? {
        if case .refused(let refusal) = self { return refusal }
        return nil
    }

    var asksHistory: Bool {
        if case .askHistory = self { return true }
        return false
    }
}

extension ActAnswer {
    var receipt: ActReceipt? {
        if case .done(let receipt) = self { return receipt }
        return nil
    }

    var refusal: Refusal? {
        if case .refused(let refusal) = self { return refusal }
        return nil
    }
}

/// A ledger with what is around it: prices, a clock that tests set, and the pieces it handed over.
final class House {
    let ledger: Ledger
    let book: PriceBook
    var now = Fixture.start
    var mark = AnswerMark()
    private(set) var pieces: [[UInt8]] = []
    /// Those that it replayed.
    private(set) var replayedPieces: [[UInt8]] = []
    private var cycle: UInt64 = 0

    init(_ ledger: Ledger, book: PriceBook) {
        self.ledger = ledger
        self.book = book
    }

    convenience init(shardCount: Int = 1, idsMax: Int = 1 << 16) throws {
        self.init(
            Ledger(secret: Fixture.secret, shardCount: shardCount, idsMax: idsMax), book: try Fixture.book())
    }

    /// An empty ledger with the same secret and shards, and the same prices.
    func sibling(idsMax: Int = 1 << 16) -> House {
        let house = House(
            Ledger(secret: Fixture.secret, shardCount: ledger.shardCount, idsMax: idsMax), book: book)
        house.now = now
        return house
    }

    func report(_ call: Call, history: HistoryAnswer = .notAsked) -> ReportDecision {
        let keys = call.keys(ledger.keys)
        ledger.prefetch(keys.organisation, account: keys.account, request: keys.request)
        return call.content.withView { content in
            call.withRecord { record in
                var receipt = Receipt()
                let fault = ledger.report(
                    record, keys: keys, content: content, book: book, now: now, history: history, mark: &mark,
                    into: &receipt)
                return ReportDecision(fault, receipt)
            }
        }
    }

    @discardableResult
    func open(
        _ path: String, wallet: Bool = true, tier: String? = "plain", unlimited: Bool = false,
        overdraft: Int64 = 0
    ) throws -> ActAnswer {
        let settings = AccountSettings(
            ownsWallet: wallet, unlimited: unlimited, overdraftLimit: overdraft,
            tier: tier.map { Array($0.utf8) })
        return try path.withView { (path) throws in
            try ledger.open(path, settings: settings, now: now, mark: &mark)
        }
    }

    @discardableResult
    func change(
        _ path: String, status: AccountStatus = .active, tier: String? = "plain", unlimited: Bool = false,
        overdraft: Int64 = 0, reason: String = ""
    ) throws -> ActAnswer {
        try change(
            path,
            AccountChange(
                status: status, unlimited: unlimited, overdraftLimit: overdraft,
                tier: .some(tier.map { Array($0.utf8) })), reason: reason)
    }

    @discardableResult
    func change(_ path: String, _ change: AccountChange, reason: String = "") throws -> ActAnswer {
        try path.withView { (path) throws in
            try reason.withView { (reason) throws in
                try ledger.change(path, change, reason: reason, now: now, mark: &mark)
            }
        }
    }

    @discardableResult
    func grant(
        _ amount: Int64, to path: String = "acme", kind: GrantKind = .purchased,
        expiresAt: Timestamp = .distantFuture, filter: GrantFilter = GrantFilter(), key: String? = nil,
        history: HistoryAnswer = .neverSeen
    ) throws -> ActAnswer {
        var request = GrantRequest(
            kind: kind, amount: amount, expiresAt: expiresAt, source: Array("test".utf8),
            idempotencyKey: key.map { Array($0.utf8) })
        request.filter = filter
        return try path.withView { (path) throws in
            try ledger.grant(request, to: path, now: now, history: history, mark: &mark)
        }
    }

    func summary(_ path: String = "acme") throws -> AccountSummary? {
        try path.withView { (path) throws in try ledger.summary(of: path, now: now, mark: &mark) }
    }

    func balance(_ path: String = "acme") throws -> Int64 { try #require(try summary(path)).balance }

    /// Hands over what is staged, in pieces of at most `pieceBytesMax` bytes, and keeps them.
    func collect(pieceBytesMax: Int = 1 << 20) {
        cycle += 1
        var outbox = Outbox(pieceBytesMax: pieceBytesMax)
        _ = ledger.handOver(.all(of: ledger.shardCount), to: &outbox) { cycle }
        outbox.forEachPiece { piece, _ in pieces.append(Array(piece)) }
    }

    /// Replays what another house handed over.
    func replay(_ pieces: [[UInt8]], checkpoint: [UInt64]? = nil) throws(EntryError) {
        replayedPieces += pieces
        for piece in pieces {
            try piece.withView { (view) throws(EntryError) in
                var reader = PieceReader(view)
                while let chunk = try reader.next() {
                    try ledger.replay(chunk) { checkpoint?[$0] ?? 0 }
                }
            }
        }
    }

    /// Everything that the ledger knows of its accounts, for comparing.
    func state() -> [String: AccountImage] {
        var images: [String: AccountImage] = [:]
        for shard in ledger.shards.indices {
            ledger.shards[shard].state.withLock { state in
                for number in 0..<UInt32(state.accounts.count) {
                    var packer = BytePacker()
                    state.packState(of: number, into: &packer)
                    let row = state.accounts[number]
                    images[state.path(of: number).text] = AccountImage(
                        number: number, balance: row.balance, nextExpiry: row.nextExpiry,
                        parent: row.parent == AccountRow.none ? nil : state.path(of: row.parent).text,
                        packed: Array(packer.view))
                }
            }
        }
        return images
    }
}

struct AccountImage: Hashable {
    var number: UInt32
    var balance: Int64
    var nextExpiry: Timestamp
    var parent: String?
    var packed: [UInt8]
}

/// Expects two ledgers to know the same.
func expectSame(
    _ left: House, _ right: House, _ comment: Comment = "", sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(left.state() == right.state(), comment, sourceLocation: sourceLocation)
    #expect(left.ledger.totals() == right.ledger.totals(), comment, sourceLocation: sourceLocation)
    #expect(left.ledger.sequences() == right.ledger.sequences(), comment, sourceLocation: sourceLocation)
}

extension BytePacker {
    /// Writes a charge with these draws.
    mutating func append(time: Timestamp, _ entry: ChargeEntry, draws: [Draw]) {
        var packed = BytePacker()
        for draw in draws { packed.append(draw) }
        var entry = entry
        entry.draws = PackedDraws(count: draws.count, bytes: packed.view)
        append(time: time, entry)
    }
}

extension House {
    /// Ends a parked record. `call` is the record as it is to be charged; `digestOf` makes it the one that was
    /// reported.
    @discardableResult
    func end(
        _ action: ParkedAction, _ call: Call, parkedAs sequence: UInt64, book: PriceBook? = nil,
        digestOf reported: (inout Call) -> Void = { _ in }, history: HistoryAnswer = .notAsked
    ) throws -> ParkedAnswer {
        var original = call
        reported(&original)
        let keys = original.keys(ledger.keys)
        return try call.content.withView { (content) throws in
            try call.withRecord { (record) throws in
                try "why".withView { (reason) throws in
                    try "plain".withView { (tier) throws in
                        var command = ParkedCommand(
                            key: keys.request, digest: keys.digest, parkedSequence: sequence,
                            parkedReason: .unpricedModel)
                        command.tier = tier
                        command.reason = reason
                        command.actor = reason
                        command.isCorrected = call.usage != original.usage
                        command.orphan = parkedOrphan(keys.request)
                        return try ledger.endParked(
                            action, command, record: record, content: content, book: book ?? self.book,
                            pin: .none, now: now, history: history, mark: &mark)
                    }
                }
            }
        }
    }
}

extension ParkedAnswer {
    var receipt: Receipt? {
        if case .done(let receipt) = self { return receipt }
        return nil
    }

    var ended: RememberedOutcome? {
        if case .ended(let outcome) = self { return outcome }
        return nil
    }
}
