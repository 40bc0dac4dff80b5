// From the bytes of a read to the bytes of its answers: decode, prepare, decide, encode, all frames in one go.
//
// An event loop has one desk, which serves each of its connections in turn. It is a value that is changed as a
// whole for the length of a read, so the records on their way cost no checks of who else might use them.

import Bytes
import Gateway
import Ledger
import NIOCore
import Pricing
import Wire

/// The answers of a connection that have not been sent, and how many they are.
struct Answers {
    var output: NIOOutput
    var count = 0

    var isEmpty: Bool { output.buffer.readableBytes == 0 }
}

/// What became of the bytes of a read.
struct ReadOutcome {
    /// Bytes of whole frames, from the front.
    var consumed = 0
    /// The frames in them.
    var calls = 0
    /// What the answers wait for.
    var mark = AnswerMark()
    /// Of the frames, those that were refused because memory is short.
    var refusedCalls = 0
    /// As many frames as there was room for were handled, and more are there.
    var isFull = false
    /// Why the stream cannot be read any further.
    var failure: WireError?
}

/// The bytes of a read, and how long the first of them have been here.
struct ReceivedBytes {
    var all: ByteView
    /// So many at the front came with earlier reads.
    var earlierCount = 0
    /// When the first of those came.
    var earlierSince = NIODeadline.now()
    /// Frames to handle at the most.
    var callsMax = Int.max
    /// Memory is short: everything but a heartbeat is refused.
    var isRefusing = false
}

/// A frame whose answer needs to know what history holds of its ids or its hold.
struct LateFrame: Sendable {
    var message: [UInt8]
    var keys: [RecordKeys]
    /// What quotes have pinned and has to be made.
    var pinned: [PinnedVersions]
    /// After this the client does not want to know any more.
    var deadline: NIODeadline
}

/// Lane, codec, and room for the records of a read. Lives on its event loop.
struct FrameDesk: ~Copyable {
    var lane: Lane
    let decoder = FrameDecoder()
    let encoder = FrameEncoder()
    /// The records of the frames being handled; their views live until the decoder is reset.
    var records = [UsageRecord](repeating: UsageRecord(), count: FrameDesk.recordsAtOnce)
    var results: [Wire.ReportAnswer] = []
    /// The records of a batch that are being handled, by their slots.
    var batchCalls: [BatchCall] = []
    private var calls: [PendingCall] = []
    /// Frames of the last read that wait for history.
    private(set) var late: [LateFrame] = []

    /// Reports that are prepared before the first of them is decided: enough to overlap cache misses,
    /// few enough that their records stay in the first-level cache.
    static let recordsAtOnce = 64

    /// A record of a batch between preparing and deciding.
    enum BatchCall {
        case fault(Refusal)
        case prepared(PreparedReport)
    }

    /// A call between preparing and deciding; its record is in the slot of the same number.
    private struct PendingCall {
        var callID: UInt64
        var prepared: PreparedReport
        var kind = Kind.report
        /// The frame, and how long the client waits, where the record names a hold: history may have to be asked.
        var message = ByteView()
        var since: NIODeadline?
        var timeout = TimeAmount.zero

        enum Kind {
            /// A report, or a settlement, which is a report that names its hold.
            case report
            case quote(QuoteOptions)
            case hold(HoldCall)
        }
    }

    init(_ gateway: Gateway) {
        lane = Lane(gateway)
        calls.reserveCapacity(Self.recordsAtOnce)
        batchCalls.reserveCapacity(Self.recordsAtOnce)
    }

    /// Handles the whole frames at the front of `received`.
    mutating func handle(_ received: ReceivedBytes, answers: inout Answers) -> ReadOutcome {
        var outcome = ReadOutcome()
        lane.begin()
        late.removeAll(keepingCapacity: true)
        do throws(WireError) {
            try handleFrames(received, &outcome, answers: &answers)
        } catch {
            outcome.failure = error
        }
        decidePending(answers: &answers)
        decoder.reset()
        if let failure = outcome.failure {
            // What came before the frame at fault is answered; the stream behind it cannot be read.
            encoder.append(failure.refusal, in: .frame(callID: 0), to: &answers.output)
        }
        outcome.mark = lane.endRead()
        return outcome
    }

    private mutating func handleFrames(
        _ received: ReceivedBytes, _ outcome: inout ReadOutcome, answers: inout Answers
    ) throws(WireError) {
        let all = received.all
        while outcome.consumed < all.count {
            let rest = all[outcome.consumed..<all.count]
            guard case .whole(let messageBytes) = try Framing.scan(rest) else { return }
            guard outcome.calls < received.callsMax else {
                outcome.isFull = true
                return
            }
            let since = outcome.consumed < received.earlierCount ? received.earlierSince : nil
            let message = rest[WireLimits.headerBytes..<WireLimits.headerBytes + messageBytes]
            let slot = calls.count
            let frame = try decoder.decode(message, into: &records[slot])
            outcome.consumed += WireLimits.headerBytes + messageBytes
            outcome.calls += 1
            if let since, since + frame.timeout < .now() {
                decidePending(answers: &answers)
                refuseLate(callID: frame.callID, to: &answers)
            } else if received.isRefusing, !frame.call.isPing {
                decidePending(answers: &answers)
                refuseOverloaded(callID: frame.callID, to: &answers)
                outcome.refusedCalls += 1
            } else if frame.call.isSoundReport {
                let prepared = lane.prepare(records[slot])
                if prepared.needsHistory, prepared.fault == nil {
                    setAside(
                        [prepared.keys], pinned: prepared.pinned.map { [$0] } ?? [], message: message,
                        deadline: (since ?? .now()) + frame.timeout)
                    continue
                }
                calls.append(PendingCall(callID: frame.callID, prepared: prepared))
                if prepared.keys.isAboutHold {
                    calls[calls.count - 1].message = message
                    calls[calls.count - 1].since = since
                    calls[calls.count - 1].timeout = frame.timeout
                }
                if calls.count == Self.recordsAtOnce { decidePending(answers: &answers) }
            } else if case .quote(let options, nil) = frame.call {
                let prepared = lane.prepare(quote: &records[slot])
                calls.append(
                    PendingCall(callID: frame.callID, prepared: prepared, kind: .quote(options)))
                if calls.count == Self.recordsAtOnce { decidePending(answers: &answers) }
            } else if case .hold(let call, nil) = frame.call {
                calls.append(
                    PendingCall(
                        callID: frame.callID,
                        prepared: lane.prepare(hold: call.terms, tags: call.tags, record: records[slot]),
                        kind: .hold(call)))
                if calls.count == Self.recordsAtOnce { decidePending(answers: &answers) }
            } else {
                decidePending(answers: &answers)
                answer(frame, record: records[slot], message: message, since: since, to: &answers)
            }
        }
    }

    /// Decides the reports that were prepared and prices the quotes, in the order they came.
    private mutating func decidePending(answers: inout Answers) {
        if calls.isEmpty { return }
        lane.prefetch()
        for index in calls.indices {
            let callID = calls[index].callID
            switch calls[index].kind {
            case .report:
                let decision = lane.decide(records[index], calls[index].prepared)
                if case .askHistory = decision, !calls[index].message.isEmpty {
                    let call = calls[index]
                    setAside(
                        [call.prepared.keys], pinned: [], message: call.message,
                        deadline: (call.since ?? .now()) + call.timeout)
                    continue
                }
                append(decision, callID: callID, to: &answers)
            case .quote(let options):
                // Not in a function of its own: a record that is lent from here is not copied.
                let refusal = lane.quote(records[index], calls[index].prepared, options)
                answerQuote(refusal, callID: callID, to: &answers)
            case .hold(let call):
                let decision = lane.hold(
                    call.terms, records[index], calls[index].prepared, tags: call.tags)
                append(decision, about: call.terms.holdID, callID: callID, to: &answers)
            }
        }
        calls.removeAll(keepingCapacity: true)
        lane.clearPrepared()
    }

    /// Keeps a frame until history has said what it holds of its ids.
    mutating func setAside(
        _ keys: [RecordKeys], pinned: [PinnedVersions], message: ByteView, deadline: NIODeadline
    ) {
        late.append(LateFrame(message: Array(message), keys: keys, pinned: pinned, deadline: deadline))
    }

    /// Takes up a frame that waited for history. Returns what its answer waits for.
    mutating func resume(
        _ frame: LateFrame, history: [HistoryAnswer], answers: inout Answers
    ) -> AnswerMark {
        lane.begin()
        frame.message.withView { message in
            do throws(WireError) {
                let decoded = try decoder.decode(message, into: &records[0])
                if frame.deadline < .now() {
                    return refuseLate(callID: decoded.callID, to: &answers)
                }
                switch decoded.call {
                case .report(nil), .settle(nil):
                    let prepared = lane.prepare(records[0])
                    append(
                        lane.decide(records[0], prepared, history: history[0]), callID: decoded.callID,
                        to: &answers)
                case .reportBatch(let batch):
                    answer(batch, callID: decoded.callID, history: history, to: &answers)
                case .void(let call, nil):
                    append(
                        lane.void(
                            call.holdID, account: call.account, reason: call.reason, history: history[0]),
                        about: call.holdID, callID: decoded.callID, to: &answers)
                case .extend(let call, nil):
                    append(
                        lane.extend(
                            call.holdID, account: call.account, leaseMilliseconds: call.leaseMilliseconds,
                            amount: call.amount, history: history[0]), about: call.holdID,
                        callID: decoded.callID, to: &answers)
                default:
                    preconditionFailure("only reports, and calls about holds, are set aside")
                }
            } catch {
                preconditionFailure("a frame that was read once can be read again")
            }
        }
        lane.clearPrepared()
        decoder.reset()
        return lane.endRead()
    }
}

extension ClientCall {
    var isPing: Bool {
        if case .ping = self { true } else { false }
    }
}

extension ClientFrame {
    /// How long the client waits for the call to be decided; as good as for ever if it does not say.
    var timeout: TimeAmount {
        timeoutMilliseconds == 0 ? .hours(24 * 365) : .milliseconds(Int64(timeoutMilliseconds))
    }
}
