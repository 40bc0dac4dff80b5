// Why a call of the client ended without its answer.

/// What a caller of the client may have to deal with.
public enum ClientError: Error, Hashable, Sendable {
    /// The gateway did not carry out the call. Nothing was charged.
    case refused(CallRefusal)
    /// No answer came in time, through `attempts` attempts. A report may or may not have been charged:
    /// sending it again with the same request id finds out, and charges it once.
    case deadlineExceeded(attempts: Int, lastProblem: String)
    /// The calling task was cancelled. A report may or may not have been charged, as above.
    case cancelled
    /// The client was closed before the answer came. A report may or may not have been charged, as above.
    case closed
    /// More calls are waiting than `TollgateClient.Configuration.waitingMax`; this one was not sent.
    case tooManyWaiting(limit: Int)
    /// A batch is 1 to `limit` reports; this one was not sent.
    case batchLength(found: Int, limit: Int)
    /// The call is longer than a message may be; it was not sent.
    case tooLong(bytes: Int, limit: Int)
    /// The server answered with something else than what was asked for.
    case unexpectedAnswer(String)

    /// For a person: what was found, and what to do.
    public var message: String {
        switch self {
        case .refused(let refusal):
            "\(refusal.reason): \(refusal.message)"
        case .deadlineExceeded(let attempts, let lastProblem):
            "no answer in time after \(attempts) attempts (\(lastProblem)): "
                + "report it again with the same request id, it is charged once"
        case .cancelled:
            "the calling task was cancelled: report it again with the same request id, it is charged once"
        case .closed:
            "the client was closed: report it again with the same request id, it is charged once"
        case .tooManyWaiting(let limit):
            "\(limit) calls are waiting already: slow down, or raise waitingMax"
        case .batchLength(let found, let limit):
            "a batch has 1 to \(limit) reports, this one \(found): split it"
        case .tooLong(let bytes, let limit):
            "the call takes \(bytes) bytes, a message at most \(limit): split the batch"
        case .unexpectedAnswer(let found):
            "the server answered with \(found): compare the versions of client and server"
        }
    }
}
