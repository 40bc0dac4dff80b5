// Frames put together from patched records.

import Bytes
import Wire

/// Writes frames of one kind, reports or batches, for one thread.
final class FrameWriter {
    let workload: Workload
    let templates: RecordTemplates
    let batchSize: Int

    init(workload: Workload, batchSize: Int) {
        self.workload = workload
        self.batchSize = batchSize
        templates = RecordTemplates(workload.plan)
    }

    /// Header, call id, the call's tag and its length, padded to three bytes.
    private static let prefixBytes = WireLimits.headerBytes + 6 + 4
    /// A record's tag in a batch and its length, padded to two bytes.
    private static let recordPrefixBytes = 3
    /// What asks for a brief quote.
    private static let briefBytes = 2

    /// What stands before the record of a hold.
    private static let holdHeadBytesMax = 256

    /// The longest frame of a writer with this batch size.
    static func frameBytesMax(batchSize: Int) -> Int {
        prefixBytes + batchSize * (recordPrefixBytes + RecordTemplates.recordBytesMax) + briefBytes
    }

    /// Appends the frame of a slot with `count` records; `record` names each, and its item if known.
    @inline(__always)
    func append(
        slot: Int, count: Int, to queue: ByteQueue,
        record: (Int) -> (
            number: UInt64, item: WorkItem, eventTime: PackedTime, stage: SentRecord.HoldStage
        )
    ) {
        let room = unsafe queue.room(
            FrameWriter.prefixBytes
                + count * (FrameWriter.recordPrefixBytes + RecordTemplates.recordBytesMax)
                + FrameWriter.holdHeadBytesMax + FrameWriter.briefBytes)
        var end = FrameWriter.prefixBytes
        var isQuote = false
        var holdStage = SentRecord.HoldStage.none
        for index in 0..<count {
            let (number, item, eventTime, stage) = record(index)
            isQuote = item.isQuote
            holdStage = stage
            let template = templates.index(of: item)
            let recordBytes = templates.recordBytes(template)
            if item.isQuote {
                end += unsafe templates.writeQuote(template, item, to: room + end)
                continue
            }
            if batchSize > 1 {
                unsafe room[end] = 0x0a
                unsafe room[end + 1] = UInt8(truncatingIfNeeded: recordBytes) | 0x80
                unsafe room[end + 2] = UInt8(truncatingIfNeeded: recordBytes >> 7)
                end += FrameWriter.recordPrefixBytes
            }
            if stage == .opening {
                end += unsafe templates.writeHold(template, item, number: number, to: room + end)
                continue
            }
            let head = stage == .settling ? RecordTemplates.settlementHeadBytes : 0
            let place = unsafe room + end + head
            unsafe templates.write(template, item, number: number, eventTime: eventTime, to: place)
            if head > 0 { unsafe templates.writeSettlementHead(template, of: place, to: room + end) }
            end += head + recordBytes
        }
        if isQuote, workload.plan.areQuotesBrief {
            // Field 3 of the question, true.
            unsafe room[end] = 0x18
            unsafe room[end + 1] = 1
            end += FrameWriter.briefBytes
        }
        let messageBytes = end - WireLimits.headerBytes
        unsafe room[0] = 0
        unsafe room[1] = UInt8(truncatingIfNeeded: messageBytes >> 24)
        unsafe room[2] = UInt8(truncatingIfNeeded: messageBytes >> 16)
        unsafe room[3] = UInt8(truncatingIfNeeded: messageBytes >> 8)
        unsafe room[4] = UInt8(truncatingIfNeeded: messageBytes)
        // Field 1, the call id: from 2^28 on a varint takes five bytes.
        let callID = LoadConnection.callIDBase + UInt64(slot)
        unsafe room[5] = 0x08
        for index in 0..<5 {
            let group = UInt8(truncatingIfNeeded: callID >> UInt64(7 * index)) & 0x7f
            unsafe room[6 + index] = group | (index < 4 ? 0x80 : 0)
        }
        // Field 3, a report, field 4, a batch, field 5, a quote, whose first member is the record, 6, a hold,
        // or 7, its settlement.
        let callBytes = end - FrameWriter.prefixBytes
        switch holdStage {
        case .none: unsafe room[11] = batchSize > 1 ? 0x22 : isQuote ? 0x2a : 0x1a
        case .opening: unsafe room[11] = 0x32
        case .settling: unsafe room[11] = 0x3a
        }
        unsafe room[12] = UInt8(truncatingIfNeeded: callBytes) | 0x80
        unsafe room[13] = UInt8(truncatingIfNeeded: callBytes >> 7) | 0x80
        unsafe room[14] = UInt8(truncatingIfNeeded: callBytes >> 14) & 0x7f
        queue.commit(end)
    }
}
