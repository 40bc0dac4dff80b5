// A hold: credit set aside before a request runs, until its report settles it, somebody voids it, or its
// lease is over.
//
//      open ──settle──→ settled      the actual usage was charged, above or below what was held
//        ├────void────→ voided       released without a charge
//        └───lease────→ expired      released; a report that comes later is charged all the same
//
// A hold may say what its usage is taken to have cost when its lease ends and no report has come: its orphan
// policy. That is fixed when it is opened, and charged by the entry that ends it. A report that comes later is
// charged what it costs more, or given back what it costs less.
//
// An open hold is a row of its shard's table, and part of its wallet's row in a checkpoint. Of one that has
// ended its state is remembered among the request ids, as long as they are; a report that comes later finds it
// in the history. Who asks for a hold again whose end has been forgotten gets another one, with another lease: an orphan
// policy then charges that one too, so routers use an id once.

import Bytes
import Pricing
import Synchronization

/// Where a hold stands. The numbers are those of the contract.
public enum HoldState: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
    case open = 1
    case settled = 2
    case voided = 3
    case expired = 4

    public var name: String {
        switch self {
        case .open: "open"
        case .settled: "settled"
        case .voided: "voided"
        case .expired: "expired"
        }
    }
}

/// What becomes of a hold that is not covered. The numbers are those of the contract.
public enum HoldPolicy: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
    /// Refused.
    case strict = 0
    /// Holds what is there, if that is at least the cost of the input.
    case clip = 1
}

/// What a hold whose report never comes is charged when its lease ends. The numbers are those of the contract.
public enum OrphanPolicy: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
    /// Nothing: what it kept is released.
    case release = 1
    /// What the estimated input alone costs, at most what is held.
    case inputOnly = 2
    /// What the estimated usage costs, at most what is held.
    case estimate = 3
    /// All that is held.
    case fullHold = 4

    public var name: String {
        switch self {
        case .release: "release"
        case .inputOnly: "input_only"
        case .estimate: "estimate"
        case .fullHold: "full_hold"
        }
    }

    /// Whether it asks for a usage that was priced: a plain amount says nothing of input and output.
    public var needsUsage: Bool { self == .inputOnly || self == .estimate }
}

/// The three under names that a module with its own can say: `Ledger.HoldState` would look into the class
/// `Ledger`.
public typealias HoldStanding = HoldState
public typealias HoldCover = HoldPolicy
public typealias HoldOrphan = OrphanPolicy

/// The bounds of holds.
public enum HoldLimits {
    /// Milliseconds of a lease that does not say.
    public static let leaseDefault: Int64 = 600_000
    /// Milliseconds of the longest lease, 24 hours.
    public static let leaseMax: Int64 = 86_400_000
    /// Nanocredits of one hold, 2^59: what is remembered of an ended hold is one word.
    public static let amountMax: Int64 = 1 << 59
    /// Open holds of a data directory, some 350 bytes each and more where names are long.
    public static let openDefault = 1_000_000
    /// Bytes of a hold's id.
    public static let idBytesMax = 128
}

/// How many holds are open over all shards of a ledger; each shard counts its own as they come and go, whether
/// live, by replay or from a checkpoint.
final class OpenHoldCount: Sendable {
    private let open = Atomic<Int>(0)

    var value: Int { open.load(ordering: .relaxed) }
    /// Holds are far from 2^63, so this cannot overflow; a trap would cost a loop.
    func add(_ change: Int) { open.wrappingAdd(change, ordering: .relaxed) }
}

/// A request for a hold. The views live as long as the call.
public struct HoldTerms: Sendable {
    /// 1 to 128 bytes, unique within the organisation.
    public var holdID = ByteView()
    public var account = ByteView()
    public var source = CredentialSource.platform
    /// Nanocredits; nil to have the usage priced.
    public var amount: Int64?
    public var policy = HoldPolicy.strict
    /// 0 for the default.
    public var leaseMilliseconds: Int64 = 0
    /// Nil where the request does not say.
    public var orphanPolicy: OrphanPolicy?

    public init() {}
}

/// The answer to a hold and to what is done with it. Amounts are in nanocredits.
public struct HoldReceipt: Hashable, Sendable, BitwiseCopyable {
    public var state = HoldState.open
    public var amount: Int64 = 0
    /// What the wallet may still spend.
    public var available: Int64 = 0
    /// When the lease is over; `distantPast` for one that has ended.
    public var expiresAt = Timestamp.distantPast
    /// The entry that opened it or, for one that has ended, ended it.
    public var sequence: UInt64 = 0
    /// The same was asked before, and this is what stands.
    public var duplicate = false
    /// What its lease's end charges if no report has come; for one that has expired, what it charged.
    public var orphanCharge: Int64 = 0

    /// Room for one.
    public init() {}

    init(
        state: HoldState, amount: Int64, available: Int64, expiresAt: Timestamp, sequence: UInt64,
        duplicate: Bool, orphanCharge: Int64 = 0
    ) {
        self.state = state
        self.amount = amount
        self.available = available
        self.expiresAt = expiresAt
        self.sequence = sequence
        self.duplicate = duplicate
        self.orphanCharge = orphanCharge
    }
}

public enum HoldDecision: Hashable, Sendable {
    case done(HoldReceipt)
    case refused(Refusal)
}

/// What is remembered of a hold that has ended.
///
/// It takes the room of an outcome. Of one whose end charged its orphan, what a late report is to be compared with
/// stands where the digest would, so that asking for such a hold again is not told from asking for another.
struct RememberedHold: Hashable {
    /// Of the request for it; 0 where it is not known.
    var digest: UInt64
    var sequence: UInt64
    var state: HoldState
    /// What it had kept; of one whose orphan was charged, that charge.
    var amount: Int64
    /// Who was charged for its orphan; nil where nobody was.
    var orphan: RememberedOrphan?

    init(
        digest: UInt64, sequence: UInt64, state: HoldState, amount: Int64, orphan: RememberedOrphan? = nil
    ) {
        self.digest = orphan == nil ? digest : 0
        self.sequence = sequence
        self.state = state
        self.amount = amount
        self.orphan = orphan
    }

    /// A state beside those of the contract: expired, and charged.
    private static let orphanedState: Int64 = 5

    /// Amount and state in the word that an outcome keeps its charge in; above what a parked outcome has there.
    var word: Int64 { amount << 3 | (orphan == nil ? Int64(state.rawValue) : Self.orphanedState) }
    /// What stands in the place of an outcome's digest and of its event time.
    var digestWord: UInt64 {
        orphan.map { UInt64($0.account) | UInt64($0.wallet) << 32 } ?? digest
    }
    var timeWord: UInt32 {
        orphan.map { UInt32($0.tokens) << 1 | ($0.source == .byok ? 1 : 0) } ?? 0
    }

    init?(digestWord: UInt64, sequence: UInt64, word: Int64, timeWord: UInt32) {
        let amount = word >> 3
        if word & 7 == Self.orphanedState {
            self.init(
                digest: 0, sequence: sequence, state: .expired, amount: amount,
                orphan: RememberedOrphan(
                    account: UInt32(truncatingIfNeeded: digestWord),
                    wallet: UInt32(truncatingIfNeeded: digestWord >> 32),
                    source: timeWord & 1 == 1 ? .byok : .platform, tokens: Int64(timeWord >> 1)))
            return
        }
        guard let state = HoldState(rawValue: UInt8(truncatingIfNeeded: word & 7)), state != .open else {
            return nil
        }
        self.init(digest: digestWord, sequence: sequence, state: state, amount: amount)
    }
}

/// Whom the end of a lease charged.
struct RememberedOrphan: Hashable {
    /// Those of the hold.
    var account: UInt32
    var wallet: UInt32
    var source: CredentialSource
    /// What budgets on tokens counted; at most `tokensMax`.
    var tokens: Int64

    /// 2^31 - 1: no request has as many.
    static let tokensMax: Int64 = 0x7fff_ffff

    init(account: UInt32, wallet: UInt32, source: CredentialSource, tokens: Int64) {
        self.account = account
        self.wallet = wallet
        self.source = source
        self.tokens = min(tokens, Self.tokensMax)
    }
}

/// How a hold ended that memory no longer knows, as the history has it. Amounts are in nanocredits.
public struct PastHold: Hashable, Sendable, BitwiseCopyable {
    /// Settled, voided or expired.
    public var state: HoldState
    /// The entry that ended it.
    public var sequence: UInt64
    /// What it had kept, as far as that is known.
    public var amount: Int64 = 0
    /// What the end of its lease charged; 0 for most.
    public var orphanCharge: Int64 = 0
    /// What budgets on tokens counted of that.
    public var orphanTokens: Int64 = 0
    /// Whom it charged: the hashes of the account's path and of the wallet's, and the hold's credential source.
    public var account = Hash128(low: 0, high: 0)
    public var wallet = Hash128(low: 0, high: 0)
    public var source = CredentialSource.platform

    public init(_ state: HoldState, sequence: UInt64) {
        self.state = state
        self.sequence = sequence
    }
}

/// An id of at most 128 bytes, in its place.
@safe
struct HoldID: BitwiseCopyable {
    private var bytes = InlineArray<128, UInt8>(repeating: 0)
    private var count: UInt8 = 0

    init(_ id: ByteView) { set(id) }

    /// Takes another id; only the bytes that it has are written.
    @inline(__always)
    mutating func set(_ id: ByteView) {
        precondition(id.count <= HoldLimits.idBytesMax)
        count = UInt8(id.count)
        unsafe withUnsafeMutableBytes(of: &bytes) { room in
            unsafe room.copyMemory(from: id.buffer)
        }
    }

    /// Lends the id.
    func withView<Value>(_ body: (ByteView) -> Value) -> Value {
        unsafe withUnsafeBytes(of: bytes) { buffer in
            unsafe body(
                ByteView(
                    buffer.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self),
                    count: Int(count)))
        }
    }
}

/// An open hold.
struct HoldRow: BitwiseCopyable {
    var key: Hash128
    /// Of the request for it.
    var digest: UInt64
    /// The entry that opened it.
    var sequence: UInt64
    var amount: Int64
    /// What the end of its lease charges; 0 where it only releases.
    var orphanCharge: Int64 = 0
    var expiresAt: Timestamp
    var openedAt: Timestamp
    /// What it is for, as far as it says: tokens at the most, and hashes of the names, 0 without.
    var tokens: Int64
    var provider: UInt64
    var model: UInt64
    var account: UInt32
    var wallet: UInt32
    var source: CredentialSource
    var policy: HoldPolicy
    var orphan = OrphanPolicy.release
    /// Bytes of what it is for, see `HoldUse`, and the first piece of those that its record has no room for; the
    /// table sets both.
    var useBytes: UInt16 = 0
    var use = AccountRow.none
    /// The wallet's list of open holds.
    var next = AccountRow.none
    var previous = AccountRow.none
}

/// An open hold as people see it. Amounts are in nanocredits.
public struct OpenHold: Hashable, Sendable {
    public var id: [UInt8]
    public var account: [UInt8]
    public var wallet: [UInt8]
    public var source: CredentialSource
    public var policy: HoldPolicy
    public var amount: Int64
    public var openedAt: Timestamp
    public var expiresAt: Timestamp
    public var sequence: UInt64
    /// What the end of its lease charges if no report has come, and by which policy.
    public var orphanPolicy = OrphanPolicy.release
    public var orphanCharge: Int64 = 0
}
