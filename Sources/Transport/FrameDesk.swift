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
    /// The records of the frames being handled, and what was prepared of each, by their slots. The views of a record
    /// live until the decoder is reset.
    var records = CallSlots<UsageRecord> { _ in UsageRecord() }
    var prepared = CallSlots<PreparedReport> { _ in PreparedReport() }
    /// What came of each. They are sent a while after they were written: a copy of what was just written waits until
    /// the writing is done, with everything written before it.
    var receipts = CallSlots<ReportReceipt>(repeating: ReportReceipt())
    private var holdReceipts = CallSlots<HoldReceipt>(repeating: HoldReceipt())
    var results: [Wire.ReportAnswer] = []
    private var calls: [PendingCall] = []
    /// What is known beside the record of those calls that ask for a hold or name one, in their order.
    private var holdCalls: [HoldCall] = []
    private var waits: [HistoryWait] = []
    /// Frames of the last read that wait for history.
    private(set) var late: [LateFrame] = []

    /// Calls that are prepared before the first of them is decided.
    static let recordsAtOnce = CallSlots<ReportReceipt>.count

    /// A call between preparing and deciding; its record is in the slot of the same number.
    private struct PendingCall {
        var callID: UInt64
        var kind = Kind.report

        enum Kind {
            case report
            /// A report that names its hold, with its place in `waits`.
            case settlement(Int)
            case quote(QuoteOptions)
            /// With its place in `holdCalls`.
            case hold(Int)

            var isQuote: Bool {
                if case .quote = self { true } else { false }
            }
        }
    }

    /// A frame that history may have to be asked about, and how long its client waits.
    private struct HistoryWait {
        var message: ByteView
        var since: NIODeadline?
        var timeout: TimeAmount
    }

    init(_ gateway: Gateway) {
        lane = Lane(gateway)
        calls.reserveCapacity(Self.recordsAtOnce)
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
        decideAll(answers: &answers)
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
                lane.prepare(records[slot], into: &prepared[slot])
                if prepared[slot].needsHistory, prepared[slot].fault == nil {
                    setAside(
                        [prepared[slot].keys], pinned: prepared[slot].pinned.map { [$0] } ?? [],
                        message: message, deadline: (since ?? .now()) + frame.timeout)
                    continue
                }
                if prepared[slot].keys.isAboutHold {
                    calls.append(PendingCall(callID: frame.callID, kind: .settlement(waits.count)))
                    waits.append(HistoryWait(message: message, since: since, timeout: frame.timeout))
                } else {
                    calls.append(PendingCall(callID: frame.callID))
                }
                if calls.count == Self.recordsAtOnce { decideAll(answers: &answers) }
            } else if case .quote(let options, nil) = frame.call {
                lane.prepare(quote: &records[slot], into: &prepared[slot])
                calls.append(PendingCall(callID: frame.callID, kind: .quote(options)))
                if calls.count == Self.recordsAtOnce { decideAll(answers: &answers) }
            } else if case .hold(nil) = frame.call {
                let call = decoder.hold
                lane.prepare(
                    hold: call.terms, tags: call.tags, record: &records[slot], into: &prepared[slot])
                calls.append(PendingCall(callID: frame.callID, kind: .hold(holdCalls.count)))
                holdCalls.append(call)
                if calls.count == Self.recordsAtOnce { decideAll(answers: &answers) }
            } else {
                decidePending(answers: &answers)
                answer(frame, message: message, since: since, to: &answers)
            }
        }
    }

    /// Decides what is pending when no frame was decoded behind it, and drops what was decoded: the next frames are
    /// unpacked into the same memory, which is still near the processor.
    private mutating func decideAll(answers: inout Answers) {
        decidePending(answers: &answers)
        decoder.reset()
    }

    /// Decides the reports that were prepared and prices the quotes, in the order they came.
    private mutating func decidePending(answers: inout Answers) {
        if calls.isEmpty { return }
        lane.prefetchFirst(of: calls.count, &prepared)
        var firstUnsent = 0
        var index = 0
        while index < calls.count {
            if calls[index].kind.isQuote {
                appendAnswers(firstUnsent..<index, to: &answers)
                index = answerQuotes(from: index, to: &answers)
                firstUnsent = index
                continue
            }
            lane.prefetch(behind: index, of: calls.count, &prepared)
            if let fault = decide(index) {
                appendAnswers(firstUnsent..<index, to: &answers)
                firstUnsent = index + 1
                answer(index, fault, to: &answers)
            }
            index += 1
        }
        appendAnswers(firstUnsent..<calls.count, to: &answers)
        calls.removeAll(keepingCapacity: true)
        holdCalls.removeAll(keepingCapacity: true)
        waits.removeAll(keepingCapacity: true)
        lane.clearPrepared()
    }

    /// Prices the call at `first`, which is a quote, and those behind it as long as they are, and answers them: a few,
    /// for there is one room for what a quote says. Returns the call that comes next.
    private mutating func answerQuotes(from first: Int, to answers: inout Answers) -> Int {
        var refusal: Refusal?
        let count = encoder.append(
            quotes: min(calls.count - first, 8), tokenBytesMax: QuoteRoom.tokenBytesMax, to: &answers.output
        ) { offset in
            let index = first + offset
            guard case .quote(let options) = calls[index].kind else { return nil }
            lane.prefetch(behind: index, of: calls.count, &prepared)
            refusal = lane.quote(records[index], prepared[index], options)
            if refusal != nil { return nil }
            encoder.set(QuoteAnswer(lane.room), lane.room.lines)
            return calls[index].callID
        }
        answers.count += count
        guard let refusal else { return first + count }
        append(refusal, callID: calls[first + count].callID, to: &answers)
        return first + count + 1
    }

    /// Decides a call that is not a quote. Returns why it has no receipt; nil if that is in its slot.
    @inline(__always)
    private mutating func decide(_ index: Int) -> NoReceipt? {
        switch calls[index].kind {
        case .report, .settlement:
            return lane.decide(records[index], prepared[index], into: &receipts[index])
        case .hold(let place):
            let decision = lane.hold(
                holdCalls[place].terms, records[index], prepared[index], tags: holdCalls[place].tags)
            switch decision {
            case .done(let receipt):
                holdReceipts[index] = receipt
                return nil
            case .refused(let refusal): return .refused(refusal)
            }
        case .quote: preconditionFailure("a quote is priced when it is answered")
        }
    }

    private func appendAnswers(_ slots: Range<Int>, to answers: inout Answers) {
        // A few at a time: room for the longest answers is taken, and most are short.
        for first in stride(from: slots.lowerBound, to: slots.upperBound, by: 16) {
            let count = min(slots.upperBound - first, 16)
            encoder.append(answers: count, to: &answers.output) { index in
                guard case .hold(let place) = calls[first + index].kind else { return nil }
                return (
                    calls[first + index].callID,
                    HoldAnswer(holdReceipts[first + index], holdID: holdCalls[place].terms.holdID)
                )
            } receipt: { index in
                (calls[first + index].callID, receipts[first + index])
            }
        }
        answers.count += slots.count
    }

    /// Answers a call that has no receipt, or sets its frame aside.
    private mutating func answer(_ index: Int, _ fault: NoReceipt, to answers: inout Answers) {
        let callID = calls[index].callID
        switch (calls[index].kind, fault) {
        case (.settlement(let place), .askHistory):
            let wait = waits[place]
            setAside(
                [prepared[index].keys], pinned: [], message: wait.message,
                deadline: (wait.since ?? .now()) + wait.timeout)
        case (_, .refused(let refusal)): append(refusal, callID: callID, to: &answers)
        case (_, .askHistory): append(Refusal(.overloaded), callID: callID, to: &answers)
        }
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
                case .void(nil):
                    let call = decoder.void
                    append(
                        lane.void(
                            call.holdID, account: call.account, reason: call.reason, history: history[0]),
                        about: call.holdID, callID: decoded.callID, to: &answers)
                case .extend(nil):
                    let call = decoder.extend
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
