// The Swift client of Tollgate: typed calls over one pipelined connection.
//
//     let client = TollgateClient(.init(host: "127.0.0.1", port: 4770))
//     var report = UsageReport(
//         requestID: Array("req-8c1f".utf8), account: "acme/search/alice",
//         credentialSource: .platform, provider: "openai", model: "gpt-4o",
//         eventTimeMicroseconds: endedAt)
//     report.usage.inputTokens = 4_808
//     report.usage.outputTokens = 310
//     let receipt = try await client.report(report)      // durable and charged once
//     print(receipt.charge, receipt.balance)
//     await client.close()
//
// Every call has a deadline. Until then it is sent again, with the same request id, whenever its
// connection is lost or the gateway says UNAVAILABLE; the gateway charges a request id once, so a call
// that was carried out but whose answer was lost ends with the receipt of the first attempt, marked
// `duplicate`. A refusal is final and is thrown. Many tasks may call at the same time: their frames
// share the connection, and calls beyond `inFlightMax` wait their turn.

import NIOCore
import Pricing
import NIOPosix
import Synchronization
import Wire

/// A client of one gateway. Safe to use from any number of tasks; close it when done.
public final class TollgateClient: Sendable {
    /// Where to connect, and what to bound.
    public struct Configuration: Sendable {
        public var host: String
        public var port: Int
        /// How long a call may take if it does not say, all attempts and waits included.
        public var timeout: Duration = .seconds(30)
        /// The most calls sent and not answered. The gateway accepts up to 1 024.
        public var inFlightMax = 1_024
        /// The most calls that wait for their turn or for a connection.
        public var waitingMax = 65_536
        public var connectTimeout: Duration = .seconds(5)
        /// After this long without a byte from the server a heartbeat is sent; after as long again
        /// without an answer the connection is given up.
        public var silenceMax: Duration = .seconds(15)
        /// The wait before a connection or a call is tried again: drawn up to `backoffFirst`, twice that,
        /// and so on up to `backoffLongest`.
        public var backoffFirst: Duration = .milliseconds(20)
        public var backoffLongest: Duration = .seconds(5)

        /// A configuration with the defaults stated above.
        public init(host: String, port: Int) {
            self.host = host
            self.port = port
        }
    }

    private let session: Session

    /// A client that connects at its first call.
    ///
    /// - Parameter group: the threads to run on; one event loop of it is used.
    public init(
        _ configuration: Configuration,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) {
        session = Session(configuration, loop: group.next())
    }

    deinit {
        // A client dropped without `close` lets its connection go; nobody waits for its calls any more.
        session.loop.execute { [session] in session.close(grace: .zero) {} }
    }

    /// Reports what a request used; returns when the charge is durable.
    ///
    /// - Parameter timeout: for this call, instead of the configuration's.
    public func report(
        _ report: UsageReport, timeout: Duration? = nil
    ) async throws(ClientError) -> Receipt {
        let reply = try await call(.report(report), timeout)
        guard case .receipt(let receipt) = reply else { throw .unexpectedAnswer(reply.kind) }
        return receipt
    }

    /// Reports what many requests used; one result for each, in the same order.
    ///
    /// A refused report does not stop the others. Reports that the gateway could not take for the
    /// moment come back as refused and temporary; they may be sent again as they are.
    ///
    /// - Parameter batch: 1 to 1 000 reports.
    public func report(
        batch: [UsageReport], timeout: Duration? = nil
    ) async throws(ClientError) -> [ReportResult] {
        guard batch.count >= 1 && batch.count <= WireLimits.batchRecordsMax else {
            throw .batchLength(found: batch.count, limit: WireLimits.batchRecordsMax)
        }
        let reply = try await call(.reportBatch(batch), timeout)
        guard case .results(let results) = reply, results.count == batch.count else {
            throw .unexpectedAnswer(reply.kind)
        }
        return results
    }

    /// What a request would be charged now. Changes nothing.
    ///
    /// - Parameters:
    ///   - compare: also price the other credential source.
    ///   - brief: only the price and what the wallet has for it, without lines and token: for who asks before every
    ///     request whether it is covered. About half the work for both sides.
    public func quote(
        _ report: UsageReport, compare: Bool = false, brief: Bool = false, timeout: Duration? = nil
    ) async throws(ClientError) -> Quote {
        var options: QuoteOptions = []
        if compare { options.insert(.compare) }
        if brief { options.insert(.brief) }
        let reply = try await call(.quote(report, options), timeout)
        guard case .quote(let quote) = reply else { throw .unexpectedAnswer(reply.kind) }
        return quote
    }

    /// What an account may spend now.
    public func balance(of account: String, timeout: Duration? = nil) async throws(ClientError) -> Balance {
        let reply = try await call(.balance(account), timeout)
        guard case .balance(let balance) = reply else { throw .unexpectedAnswer(reply.kind) }
        return balance
    }

    /// Returns once the server has answered a heartbeat.
    public func ping(timeout: Duration? = nil) async throws(ClientError) {
        let reply = try await call(.ping, timeout)
        guard case .pong = reply else { throw .unexpectedAnswer(reply.kind) }
    }

    /// Takes no more calls, waits for the answers to those under way, and disconnects.
    ///
    /// - Parameter grace: how long to wait; calls that have no answer by then end with `closed`.
    public func close(grace: Duration = .seconds(5)) async {
        await withCheckedContinuation { continuation in
            session.loop.execute {
                self.session.close(grace: grace) { continuation.resume() }
            }
        }
    }

    func call(_ request: Request, _ timeout: Duration?) async throws(ClientError) -> Reply {
        let call = Call(request, timeout: timeout ?? session.configuration.timeout)
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                session.loop.execute {
                    call.answer = { continuation.resume(returning: $0) }
                    self.session.submit(call)
                }
            }
        } onCancel: {
            session.loop.execute { self.session.cancel(call) }
        }
        return try result.get()
    }
}
