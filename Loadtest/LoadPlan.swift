// What a run is to do, in values that are checked once.

import Bytes

/// A load, fully decided. The same for all threads of a run.
struct LoadPlan: Sendable {
    var host = "127.0.0.1"
    var port = 4770
    var connections = 4
    /// Frames sent and not answered, per connection.
    var inFlight = 64
    /// Records per second of an open loop; nil for a closed loop.
    var rate: Int?
    /// When to stop sending: after this long, or after so many records.
    var durationNanoseconds: UInt64?
    var recordCount: Int?
    var warmupNanoseconds: UInt64 = 0
    /// Records in a frame; 1 sends `report`, more send `report_batch`.
    var batchSize = 1
    var threads = 1
    var reconnects = false
    var isValidated = false
    var workload = WorkloadPlan()
    /// How long answers are waited for after the last record was sent.
    var drainNanoseconds: UInt64 = 10_000_000_000
}

/// Limits of the generator itself.
enum LoadLimits {
    static let connectionsMax = 20_000
    static let inFlightMax = 65_536
    static let accountsMax = 10_000_000
    static let tokensMax: UInt32 = 2_097_151
    /// What is read from a connection at once, and where its buffer begins.
    static let readBytes = 262_144
    /// A connection stops being filled when so many bytes wait to be written.
    static let outgoingBytesMax = 1_048_576
    /// Outcomes that are remembered so that their reports can be repeated.
    static let rememberedMax = 16_384
    static let reconnectNanoseconds: UInt64 = 50_000_000
    static let accountsPerRequest = 1_000
}

/// Why a run cannot be carried out or did not come to its end.
enum LoadError: Error, Hashable, CustomStringConvertible {
    case socket(call: String, peer: String, code: Int32)
    case address(host: String, reason: String)
    case http(request: String, status: Int, body: String)
    case httpUnreadable(request: String, found: String)
    case url(String)
    case trace(path: String, line: Int, found: String)
    case file(path: String, code: Int32)
    case unreadableAnswer(String)
    case disconnected(peer: String)
    case account(String, refused: String)
    case thread(String)

    var description: String {
        switch self {
        case .socket(let call, let peer, let code):
            "\(call) on \(peer) failed with errno \(code): is the gateway running there?"
        case .address(let host, let reason):
            "no address for \(host): \(reason)"
        case .http(let request, let status, let body):
            "\(request) was answered with status \(status): \(body)"
        case .httpUnreadable(let request, let found):
            "the answer to \(request) is not HTTP/1.1 but \(found)"
        case .url(let text):
            "\(text) is not a URL of the form http://host:port"
        case .trace(let path, let line, let found):
            "line \(line) of \(path) is not TIMESTAMP,ContextTokens,GeneratedTokens: \(found)"
        case .file(let path, let code):
            "cannot read \(path): errno \(code)"
        case .unreadableAnswer(let found):
            "the server's answer cannot be read: \(found)"
        case .disconnected(let peer):
            "\(peer) closed the connection"
        case .account(let account, let refused):
            "no balance of \(account): \(refused); --prepare opens the accounts"
        case .thread(let reason):
            "cannot start a thread: \(reason)"
        }
    }
}
