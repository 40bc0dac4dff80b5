// The wire: frames and protobuf messages on one side, Swift values on the other.
//
// Everything that arrives from a socket passes here before anything else sees it: a frame is bounded
// by `Framing`, its message is unpacked by protobuf-c into an `Arena` that is reused, its fields are
// checked, and what comes out are borrowed bytes and plain integers. Nothing is allocated for a
// report or a receipt. The codec is libprotobuf-c; its C sources are generated from the contract.

import Pricing

/// The limits of the wire. Each has an answer when it is reached.
public enum WireLimits {
    /// The flag and the length in front of every message.
    public static let headerBytes = 5
    /// The longest message: longer ones are refused before a byte of them is kept.
    public static let messageBytesMax = 1_048_576
    /// The longest message before the sender has said who it is.
    public static let messageBeforeAuthBytesMax = 4_096
    /// The most records in one batch.
    public static let batchRecordsMax = 1_000
    /// The most tags on one record.
    public static let tagsMax = 16
    /// The longest key or value of a tag.
    public static let tagBytesMax = 128
    /// The longest request id or hold id.
    public static let idBytesMax = 128
    /// The longest name of a provider.
    public static let providerBytesMax = 64
    /// The longest name of a model.
    public static let modelBytesMax = 128
    /// The longest service tier.
    public static let serviceTierBytesMax = 32
    /// The longest quote token.
    public static let quoteTokenBytesMax = 512
    /// The longest reason of a person.
    public static let reasonBytesMax = 512
    /// The longest payload of a heartbeat.
    public static let pingBytesMax = 1_024

    /// The most memory that unpacking one message may take: a fixed part, a part that grows with what
    /// was received, and a ceiling. A full batch of the largest records needs about half the ceiling;
    /// a message that needs more consists of emptiness and is not worth its memory.
    static func arenaBytesMax(messageBytes: Int) -> Int {
        min(65_536 + 64 * messageBytes, arenaBytesCeiling)
    }
    static let arenaBytesCeiling = 16 * 1_048_576
}

/// Why bytes cannot be read. The connection they came on has lost its place and is closed.
public enum WireError: Error, Hashable, Sendable {
    /// The flag in front of a message is not 0: compression, or not this protocol at all.
    case flag(found: UInt8)
    /// The announced length is 0 or above the limit.
    case length(found: UInt32, limit: Int)
    /// The message is not valid protobuf, or a known field has another type than the contract says.
    case malformed(messageBytes: Int)
    /// Unpacking the message would take more memory than a message of its length may.
    case excessive(messageBytes: Int, arenaBytesMax: Int)

    /// For a person: what was found, and what to do.
    public var message: String {
        switch self {
        case .flag(let found):
            "a frame begins with flag byte 0, but \(found) was found: "
                + "send one byte 0, the length as 4 bytes big-endian, then the message, uncompressed"
        case .length(let found, let limit):
            "a frame announces \(found) bytes; a message is 1 to \(limit) bytes long: split the batch"
        case .malformed(let messageBytes):
            "a message of \(messageBytes) bytes is not valid protobuf for tollgate.v1: "
                + "compare the sender's contract with the server's"
        case .excessive(let messageBytes, let arenaBytesMax):
            "a message of \(messageBytes) bytes needs more than \(arenaBytesMax) bytes of memory: "
                + "send at most \(WireLimits.batchRecordsMax) records in a batch"
        }
    }

    /// The same as a refusal, for an answer with call id 0 before the connection is closed.
    public var refusal: Refusal {
        switch self {
        case .flag(let found): Refusal(.invalidArgument, field: .call, found: Int64(found))
        case .length(let found, let limit):
            Refusal(.invalidArgument, field: .call, found: Int64(found), expected: Int64(limit))
        case .malformed(let messageBytes):
            Refusal(.invalidArgument, field: .call, found: Int64(messageBytes))
        case .excessive(let messageBytes, let arenaBytesMax):
            Refusal(
                .invalidArgument, field: .call, found: Int64(messageBytes), expected: Int64(arenaBytesMax))
        }
    }
}
