// What a client asks, as the server's handler sees it.
//
// The record of a report or quote is not in here but in the slot that the caller of `decode` lends, and the terms of a hold
// are with the decoder: some 450 bytes and 100, and a call is passed around by value, a million times a second.

import Bytes
import CTollgateProtos
import Ledger
import Pricing

/// One frame from a client, read.
public struct ClientFrame: Sendable {
    /// Chosen by the client, repeated in the answer.
    public var callID: UInt64
    /// How long the client waits, in milliseconds; 0 if it does not say.
    public var timeoutMilliseconds: UInt32
    public var call: ClientCall

    @inlinable
    public init(callID: UInt64, timeoutMilliseconds: UInt32 = 0, call: ClientCall) {
        self.callID = callID
        self.timeoutMilliseconds = timeoutMilliseconds
        self.call = call
    }
}

/// The call in a frame. Views live until the decoder's next `reset`.
///
/// A `fault` is what is wrong with the fields themselves, found while reading; such a call is answered
/// with it and goes no further.
public enum ClientCall: Sendable {
    /// The record is in the caller's slot.
    case report(fault: Refusal?)
    /// The records are read one by one with `FrameDecoder.read(_:at:into:)`.
    case reportBatch(ReportBatch)
    /// The usage is in the caller's slot.
    case quote(QuoteOptions, fault: Refusal?)
    /// It is the decoder's `hold`. The usage, if the terms have no amount, is in the caller's slot.
    case hold(fault: Refusal?)
    /// The actual usage is in the caller's slot, its `holdID` set from the call.
    case settle(fault: Refusal?)
    /// It is the decoder's `void`.
    case void(fault: Refusal?)
    /// It is the decoder's `extend`.
    case extend(fault: Refusal?)
    case getBalance(account: ByteView)
    case ping(ByteView)
    /// No call, or one that this version does not know.
    case empty

    /// A report without a fault, or a settlement, which is a report that names its hold.
    @inlinable
    public var isSoundReport: Bool {
        switch self {
        case .report(nil), .settle(nil): true
        default: false
        }
    }
}

/// The records of a batch, still in the decoder's arena.
@safe
public struct ReportBatch: @unchecked Sendable {
    let message: UnsafeMutablePointer<Tollgate__V1__ReportBatchRequest>

    init(_ message: UnsafeMutablePointer<Tollgate__V1__ReportBatchRequest>) {
        unsafe self.message = message
    }

    /// How many records there are; may be 0 or above the limit, see `fault`.
    public var count: Int { unsafe Int(message.pointee.n_records) }

    /// Why the batch as a whole is refused: it is empty, or longer than `WireLimits.batchRecordsMax`.
    public var fault: Refusal? {
        guard count < 1 || count > WireLimits.batchRecordsMax else { return nil }
        return Refusal(
            .invalidArgument, field: .records, found: Int64(count),
            expected: Int64(WireLimits.batchRecordsMax))
    }
}

/// A request for a hold.
public struct HoldCall: Sendable {
    public var terms = HoldTerms()
    /// Packed as in `UsageRecord.tags`.
    public var tags = ByteView()
    public init() {}
}

/// A request to release a hold.
public struct VoidCall: Sendable {
    public var holdID = ByteView()
    public var account = ByteView()
    public var reason = ByteView()
    public init() {}
}

/// A request to prolong a hold.
public struct ExtendCall: Sendable {
    public var holdID = ByteView()
    public var account = ByteView()
    public var leaseMilliseconds: Int64 = 0
    /// The new amount in nanocredits; nil to leave it.
    public var amount: Int64?
    public init() {}
}
