// The engine's other half: what comes back, and what it means for the books.

import Bytes
import Histogram
import Wire

extension LoadEngine {
    /// Reads what a connection brought and settles every whole answer in it.
    mutating func receive(_ connection: LoadConnection) throws(LoadError) {
        guard let socket = connection.socket else { return }
        let room = unsafe connection.incoming.roomBuffer(LoadLimits.readBytes / 2)
        switch try unsafe socket.read(into: room, waits: false) {
        case .wouldBlock: return
        case .ended: return lose(connection)
        case .bytes(let count): connection.incoming.commit(count)
        }
        let received = connection.incoming.view
        var start = 0
        do throws(WireError) {
            while case .whole(let messageBytes) = try Framing.scan(received[start..<received.count]) {
                let first = start + WireLimits.headerBytes
                handle(received[first..<first + messageBytes], from: connection)
                start = first + messageBytes
            }
        } catch {
            throw .unreadableAnswer(error.message)
        }
        connection.incoming.consume(start)
    }

    private mutating func handle(_ message: ByteView, from connection: LoadConnection) {
        guard let (callID, answer) = AnswerScan.frame(message) else {
            return result.books.contradict("an answer of \(message.count) bytes is not a ServerFrame")
        }
        guard let slot = connection.slot(of: callID) else {
            // Call id 0 is what the server says unasked, such as that it drains.
            if callID != 0 { result.books.contradict("an answer names call \(callID), which is not open") }
            return
        }
        let count = connection.recordCount(slot)
        var unsettled: [Int] = []
        switch answer {
        case .hold where plan.batchSize == 1 && connection.record(slot, 0).stage == .opening:
            result.books.noteHold()
            if now >= warmUntil { measure(now - min(connection.sentTime(slot), now), records: count) }
            connection.settle(slot, at: now)
            connection.again.append(slot)
            return
        case .receipt(let receipt)
        where plan.batchSize == 1 && !connection.record(slot, 0).isQuote
            && connection.record(slot, 0).stage != .opening:
            settle(connection.record(slot, 0), receipt)
        case .quote where connection.record(slot, 0).isQuote:
            result.books.noteQuote()
        case .batch(let results) where plan.batchSize > 1:
            var reader = FieldReader(results)
            for index in 0..<count {
                let record = connection.record(slot, index)
                switch AnswerScan.nextResult(&reader) {
                case .receipt(let receipt): settle(record, receipt)
                case .status(let status): if refuse(record, status) { unsettled.append(index) }
                default: result.books.contradict("a batch of \(count) has no result for record \(index)")
                }
            }
        case .status(let status):
            for index in 0..<count where refuse(connection.record(slot, index), status) {
                unsettled.append(index)
            }
        default:
            result.books.contradict("a report was answered with something else")
        }
        if !unsettled.isEmpty {
            connection.retain(unsettled, in: slot)
            connection.again.append(slot)
            return
        }
        if now >= warmUntil { measure(now - min(connection.sentTime(slot), now), records: count) }
        connection.release(slot)
        framesInFlight -= 1
    }

    @inline(__always)
    private mutating func settle(_ record: SentRecord, _ receipt: ScannedReceipt) {
        if record.isRepetition {
            result.books.noteRepeated(
                receipt, firstSequence: record.firstSequence, firstCharge: record.firstCharge)
            return
        }
        result.books.noteFirst(receipt, account: record.account, mayBeDuplicate: record.isRetried)
        guard plan.workload.duplicateShare.threshold > 0 else { return }
        var outcome = record
        outcome.isRepetition = true
        outcome.isRetried = false
        outcome.firstSequence = receipt.sequence
        outcome.firstCharge = receipt.charge
        if remembered.count < LoadLimits.rememberedMax {
            remembered.append(outcome)
        } else {
            remembered[rememberedNext] = outcome
            rememberedNext = (rememberedNext + 1) % LoadLimits.rememberedMax
        }
    }

    /// Notes a refusal, unless the record may have been charged before its connection was lost and the
    /// gateway cannot say yet: then it must be asked again, and true is returned.
    private mutating func refuse(_ record: SentRecord, _ status: ScannedStatus) -> Bool {
        if record.isRetried && status.code == 14 { return true }
        result.books.noteRefused(status.reason.text)
        return false
    }

    mutating func lose(_ connection: LoadConnection) {
        connection.socket = nil
        connection.reconnectAt = now + LoadLimits.reconnectNanoseconds
        if plan.reconnects {
            _ = connection.requeueAll()
        } else {
            framesInFlight -= connection.inFlight
            result.failure = result.failure ?? .disconnected(peer: "\(plan.host):\(plan.port)")
        }
    }

    @inline(__always)
    private mutating func measure(_ latency: UInt64, records: Int) {
        result.measured += records
        result.measuredTo = now
        if latency == pendingLatency.value {
            pendingLatency.count += UInt64(records)
        } else {
            flushLatency()
            pendingLatency = (latency, UInt64(records))
        }
    }

    mutating func flushLatency() {
        guard pendingLatency.count > 0 else { return }
        result.latency.record(
            min(pendingLatency.value, result.latency.highestTrackableValue), count: pendingLatency.count)
        pendingLatency.count = 0
    }
}
