// What the server answers: the values that go into an answer's frame and come out of it.
//
// The views of a value that is to be sent must stay valid until it is encoded; those of a value that
// was decoded live until the decoder's next `reset`.

import Bytes
import CTollgateProtos
import Ledger
import Pricing

/// One frame from the server, read.
public struct ServerFrame: Sendable {
    /// The call that this answers; 0 for what the server says unasked.
    public var callID: UInt64
    public var answer: ServerAnswer
}

/// The answer in a frame.
public enum ServerAnswer: Sendable {
    case receipt(Receipt)
    /// The results are read one by one with `FrameDecoder.read(_:at:)`.
    case reportBatch(BatchAnswer)
    case quote(QuoteAnswer)
    case hold(HoldAnswer)
    case balance(BalanceAnswer)
    case status(StatusAnswer)
    case pong(ByteView)
    case draining(message: ByteView)
    /// No answer, or one that this version does not know.
    case empty
}

/// The results of a batch, still in the decoder's arena.
@safe
public struct BatchAnswer: @unchecked Sendable {
    let message: UnsafeMutablePointer<Tollgate__V1__ReportBatchResponse>

    init(_ message: UnsafeMutablePointer<Tollgate__V1__ReportBatchResponse>) {
        unsafe self.message = message
    }

    /// How many results there are.
    public var count: Int { unsafe Int(message.pointee.n_results) }
}

/// One result of a batch, to be sent.
public enum ReportAnswer: Hashable, Sendable {
    case receipt(Receipt)
    case refusal(Refusal)
}

/// One result of a batch, received.
public enum ReportResult: Sendable {
    case receipt(Receipt)
    case status(StatusAnswer)
    case empty
}

/// What a request would be charged. Amounts are nanocredits, the base cost picodollars.
public struct QuoteAnswer: Sendable {
    public var charge: Int64 = 0
    public var baseCost: Int64 = 0
    /// What the wallet may spend now, and afterwards.
    public var available: Int64 = 0
    public var availableAfter: Int64 = 0
    public var sufficient = false
    /// Nil if output is free or the wallet is unlimited.
    public var affordableOutputTokens: UInt64?
    /// Of a BYOK fee, what the month's allowance would pay.
    public var allowanceUsed: Int64 = 0
    public var ruleVersion: UInt32 = 0
    public var catalogueVersion: UInt32 = 0
    public var standardTierUsed = false
    /// The charge under the other credential source.
    public var alternativeCharge: Int64?
    public var quoteToken = ByteView()
    /// Until when the token holds; microseconds since 1970, 0 without a token.
    public var expiresAt: Int64 = 0
    /// What the rule makes of the base cost, before the allowance, and how.
    public var fee: Int64 = 0
    public var markup: QuoteMarkup?
    public var minCharge: Int64 = 0
    public var minChargeBinds = false
    /// Of the month's allowance, before this request.
    public var allowanceLeft: Int64 = 0
    public var unlimited = false
    public var alternativeAllowanceUsed: Int64 = 0
    /// What the customer pays less in all by using its own key.
    public var byokSaving: Int64?
    public var inputTokensAbove: UInt64?
    public var isOffPeak = false
    /// Every factor of the base cost, as received.
    public internal(set) var lines = QuoteAnswerLines()
    public init() {}
}

/// The lines of a quote, still in the decoder's arena.
@safe
public struct QuoteAnswerLines: RandomAccessCollection, @unchecked Sendable {
    private let rows: UnsafeMutablePointer<UnsafeMutablePointer<Tollgate__V1__QuoteLine>?>?
    public let endIndex: Int
    public var startIndex: Int { 0 }

    init() { unsafe self.init(nil, count: 0) }

    init(_ rows: UnsafeMutablePointer<UnsafeMutablePointer<Tollgate__V1__QuoteLine>?>?, count: Int) {
        unsafe self.rows = rows
        endIndex = unsafe rows == nil ? 0 : count
    }

    public subscript(index: Int) -> QuoteAnswerLine {
        precondition(index >= 0 && index < endIndex)
        guard let row = unsafe rows?[index] else {
            preconditionFailure("protobuf-c leaves no row of a list out")
        }
        return unsafe QuoteAnswerLine(
            unit: ByteView(row.pointee.unit), quantity: row.pointee.quantity, rate: row.pointee.rate,
            amount: row.pointee.amount)
    }
}

/// What a rule makes of a cost.
public enum QuoteMarkup: Hashable, Sendable {
    /// A factor, in billionths.
    case ratio(billionths: Int64)
    /// Nanocredits per request.
    case fixed(Int64)
}

/// One factor of a base cost: `amount = quantity * rate`.
public struct QuoteAnswerLine: Sendable {
    /// The unit's name in the contract.
    public var unit: ByteView
    public var quantity: UInt64
    /// Picodollars for each unit, and together.
    public var rate: Int64
    public var amount: Int64

    public init(unit: ByteView, quantity: UInt64, rate: Int64, amount: Int64) {
        self.unit = unit
        self.quantity = quantity
        self.rate = rate
        self.amount = amount
    }
}

/// The durable answer to a hold, its release or its extension. Amounts are nanocredits.
public struct HoldAnswer: Sendable {
    public var holdID = ByteView()
    /// Nil for a word that this version does not know.
    public var state: HoldState?
    public var amount: Int64 = 0
    public var available: Int64 = 0
    /// Microseconds since 1970.
    public var expiresAt: Int64 = 0
    public var sequence: UInt64 = 0
    public var duplicate = false
    /// What the end of its lease charges, or charged; nanocredits.
    public var orphanCharge: Int64 = 0
    public init() {}

    /// The answer to a call about the hold with this id.
    public init(_ receipt: HoldReceipt, holdID: ByteView) {
        self.holdID = holdID
        state = receipt.state
        amount = receipt.amount
        available = receipt.available
        expiresAt = max(0, receipt.expiresAt.microseconds)
        sequence = receipt.sequence
        duplicate = receipt.duplicate
        orphanCharge = receipt.orphanCharge
    }
}

/// What an account may spend, in nanocredits.
public struct BalanceAnswer: Sendable {
    public var account = ByteView()
    /// The nearest account upward that owns a wallet.
    public var wallet = ByteView()
    public var balance: Int64 = 0
    public var held: Int64 = 0
    public var available: Int64 = 0
    public var overdraftLimit: Int64 = 0
    public var unlimited = false
    public var tier = ByteView()
    /// The ledger position that this reflects.
    public var sequence: UInt64 = 0
    public init() {}
}

/// A refusal as it was received.
public struct StatusAnswer: Sendable {
    /// A gRPC status code.
    public var code: UInt32 = 0
    /// In UPPER_SNAKE_CASE; may be a word that this version does not know.
    public var reason = ByteView()
    public var message = ByteView()
    public var field = ByteView()
    /// 0 if trying again does not help.
    public var retryAfterMilliseconds: UInt32 = 0
    /// Packed as in `UsageRecord.tags`: names and values, alternating.
    public var metadata = ByteView()
    public init() {}
}

extension Reason {
    /// The reason with this word on the wire, or nil.
    public init?(name: ByteView) {
        for reason in Reason.allCases where ByteView(reason.name) == name {
            self = reason
            return
        }
        return nil
    }
}

extension ByteView {
    /// The bytes of a literal, which live for ever.
    @inlinable
    public init(_ literal: StaticString) {
        unsafe self.init(literal.utf8Start, count: literal.utf8CodeUnitCount)
    }
}
