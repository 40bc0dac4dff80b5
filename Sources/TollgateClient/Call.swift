// One call on its way: what was asked, until when, and who waits for it.

import Bytes
import Ledger
import NIOCore
import Pricing
import Wire

/// What is asked of the gateway.
enum Request: Sendable {
    case report(UsageReport)
    case reportBatch([UsageReport])
    case quote(UsageReport, QuoteOptions)
    case hold(HoldOrder)
    case settle(UsageReport)
    case void(holdID: String, account: String, reason: String)
    case extend(holdID: String, account: String, lease: Duration, amount: Int64?)
    case balance(String)
    case ping
}

/// What the gateway answered, in values of our own.
enum Reply: Sendable {
    case receipt(Receipt)
    case results([ReportResult])
    case quote(Quote)
    case hold(Hold)
    case balance(Balance)
    case pong

    /// For messages.
    var kind: String {
        switch self {
        case .receipt: "a receipt"
        case .results(let results): "\(results.count) results"
        case .quote: "a quote"
        case .hold: "a hold"
        case .balance: "a balance"
        case .pong: "a heartbeat"
        }
    }
}

/// A call from submission to its end. All of it belongs to the session's event loop, except `request`
/// and `deadline`, which never change.
final class Call: @unchecked Sendable {
    enum State {
        /// Not yet submitted.
        case new
        /// In the session's queue.
        case waiting
        /// Sent over `carrier`.
        case sent
        /// Refused for the moment; a timer will put it back into the queue.
        case pausing
        case ended
    }

    let request: Request
    let deadline: NIODeadline
    var answer: ((Result<Reply, ClientError>) -> Void)?
    var state = State.new
    /// The connection that carries the call while it is sent, and its key there.
    var carrier: Connection?
    var callID: UInt64 = 0
    var attempts = 0
    var lastProblem = "no connection"
    var backoff = Backoff(first: .zero, longest: .zero)
    var timer: Scheduled<Void>?
    /// Cancelled before it was submitted.
    var cancelledEarly = false

    init(_ request: Request, timeout: Duration) {
        self.request = request
        deadline = .now() + TimeAmount(timeout)
    }

    /// Writes the call as a frame with the time that is left of its deadline.
    func encode(with encoder: FrameEncoder, to output: inout FrameBuffer) {
        let left = (deadline - .now()).nanoseconds / 1_000_000
        let timeout = UInt32(clamping: max(left, 1))
        switch request {
        case .report(let report):
            lend(report) { record in
                encoder.append(
                    report: record, callID: callID, timeoutMilliseconds: timeout, to: &output)
            }
        case .reportBatch(let batch):
            lend(batch) { text in
                var start = 0
                encoder.append(
                    reportBatchOf: batch.count, callID: callID, timeoutMilliseconds: timeout, to: &output
                ) { index, slot in slot = batch[index].record(from: text, at: &start) }
            }
        case .quote(let report, let options):
            lend(report) { record in
                encoder.append(
                    quote: record, options, callID: callID, timeoutMilliseconds: timeout, to: &output)
            }
        case .hold(let order):
            order.withTerms { terms, record, tags in
                encoder.append(
                    hold: terms, record: record, tags: tags, callID: callID, timeoutMilliseconds: timeout,
                    to: &output)
            }
        case .settle(let report):
            lend(report) { record in
                encoder.append(
                    settle: record, callID: callID, timeoutMilliseconds: timeout, to: &output)
            }
        case .void(let holdID, let account, let reason):
            holdID.withView { holdID in
                account.withView { account in
                    reason.withView { reason in
                        var call = VoidCall()
                        call.holdID = holdID
                        call.account = account
                        call.reason = reason
                        encoder.append(void: call, callID: callID, timeoutMilliseconds: timeout, to: &output)
                    }
                }
            }
        case .extend(let holdID, let account, let lease, let amount):
            holdID.withView { holdID in
                account.withView { account in
                    var call = ExtendCall()
                    call.holdID = holdID
                    call.account = account
                    call.leaseMilliseconds = lease.wholeMilliseconds
                    call.amount = amount
                    encoder.append(extend: call, callID: callID, timeoutMilliseconds: timeout, to: &output)
                }
            }
        case .balance(let account):
            account.withView {
                encoder.append(
                    balanceOf: $0, callID: callID, timeoutMilliseconds: timeout, to: &output)
            }
        case .ping:
            encoder.append(ping: ByteView(), callID: callID, to: &output)
        }
    }

    /// Lends a report as a record, which is valid during `body`.
    private func lend(_ report: UsageReport, _ body: (borrowing UsageRecord) -> Void) {
        lend([report]) { text in
            var start = 0
            body(report.record(from: text, at: &start))
        }
    }

    /// Lends the text of reports, one behind the other.
    private func lend(_ reports: [UsageReport], _ body: (ByteView) -> Void) {
        var text: [UInt8] = []
        text.reserveCapacity(reports.count * 128)
        for report in reports { report.appendText(to: &text) }
        text.withView(body)
    }
}
