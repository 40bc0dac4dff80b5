// Messages that nobody honest sends: each is read or refused, within bounds, and stops nothing.
// Method: cut a good frame at every byte, flip every bit, mix bytes by seed, and build the messages
// that are known to be dear to protobuf readers.

import Bytes
import Pricing
import Testing

@testable import Wire

@Suite("hostile messages")
struct HostileTests {
    let decoder = FrameDecoder()

    private func decode(_ message: [UInt8]) throws -> ClientFrame {
        var record = UsageRecord()
        defer { decoder.reset() }
        return try message.withView { view throws in
            let frame = try decoder.decode(view, into: &record)
            // Everything a handler may look at is looked at while it is valid.
            if case .reportBatch(let batch) = frame.call {
                for index in 0..<batch.count { _ = decoder.read(batch, at: index, into: &record) }
            }
            _ = [record.requestID, record.account, record.model, record.tags].map { Array($0).count }
            for tag in TagList(record.tags) { _ = tag.name.text + tag.value.text }
            return frame
        }
    }

    private let good = reportFrame(
        smallRecord {
            $0.text(30, "hold")
            $0.number(32, 77)
            $0.message(33) {
                $0.text(1, "k"); $0.text(2, "v")
            }
        })

    @Test("a message cut at any byte, or with any bit flipped, is read or refused")
    func cutsAndFlips() throws {
        for cut in 0..<good.count { _ = try? decode(Array(good.prefix(cut))) }
        for bit in 0..<good.count * 8 {
            var flipped = good
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            _ = try? decode(flipped)
        }
        #expect(try decode(good).callID == 7)
    }

    @Test("random edits of a good message are read or refused", arguments: [1, 2, 3] as [UInt64])
    func randomEdits(seed: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        let batch = ProtoWriter.build { frame in
            frame.message(4) { batch in for _ in 0..<5 { batch.bytes(1, smallRecord()) } }
        }
        for _ in 0..<5_000 {
            var message = Bool.random(using: &generator) ? good : batch
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let place = Int.random(in: 0..<message.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: message[place] = UInt8.random(in: 0...255, using: &generator)
                case 1: message.remove(at: place)
                default: message.insert(UInt8.random(in: 0...255, using: &generator), at: place)
                }
                if message.isEmpty { break }
            }
            _ = try? decode(message)
        }
    }

    @Test("varints longer than ten bytes and wrong wire types are malformed")
    func malformed() {
        let endless = [8] + [UInt8](repeating: 0xff, count: 11)
        #expect(throws: WireError.malformed(messageBytes: endless.count)) { try decode(endless) }
        // Field 3, a message, sent as a number.
        #expect(throws: WireError.malformed(messageBytes: 2)) { try decode([0x18, 1]) }
        // A length that passes the end.
        #expect(throws: WireError.malformed(messageBytes: 3)) { try decode([0x1a, 100, 0]) }
        // Groups are not part of proto3.
        #expect(throws: WireError.malformed(messageBytes: 1)) { try decode([0x1b]) }
    }

    @Test("unknown fields are skipped, however deep they are nested inside")
    func unknownFields() throws {
        var nested: [UInt8] = []
        for _ in 0..<200 {
            let inner = nested
            nested = ProtoWriter.build { $0.bytes(900, inner) }
        }
        let deep = nested
        let frame = try decode(reportFrame(smallRecord { $0.bytes(900, deep) }))
        guard case .report(nil) = frame.call else {
            Issue.record("\(frame.call)")
            return
        }
    }

    @Test("of a scalar sent twice the last counts, of a call sent twice the last")
    func duplicates() throws {
        let message = ProtoWriter.build { frame in
            frame.number(1, 1)
            frame.number(1, 2)
            frame.message(11) { $0.bytes(1, [1]) }
            frame.message(11) { $0.bytes(1, [2]) }
        }
        var record = UsageRecord()
        try message.withView { view throws in
            let frame = try decoder.decode(view, into: &record)
            #expect(frame.callID == 2)
            guard case .ping(let payload) = frame.call else {
                Issue.record("\(frame.call)")
                return
            }
            #expect(Array(payload) == [2])
        }
    }

    @Test("a megabyte of empty records is refused for the memory it would take")
    func emptyRecords() {
        let records = [UInt8](repeating: 0, count: 1_000_000).enumerated().map {
            $0.offset % 2 == 0 ? 0x0a : 0
        }
        let message = ProtoWriter.build { $0.bytes(4, records.map { UInt8($0) }) }
        #expect(
            throws: WireError.excessive(
                messageBytes: message.count, arenaBytesMax: WireLimits.arenaBytesCeiling)
        ) { try decode(message) }
    }

    @Test("merging the same sub-message over and over is refused before it costs its square")
    func repeatedMerges() {
        let usage = ProtoWriter.build { $0.message(33) { $0.text(1, "k") } }
        let message = ProtoWriter.build { frame in
            frame.message(5) { quote in for _ in 0..<80_000 { quote.bytes(1, usage) } }
        }
        #expect(message.count < WireLimits.messageBytesMax)
        #expect(throws: WireError.self) { try decode(message) }
    }

    @Test("a full batch of the largest records is read")
    func largestBatch() throws {
        let record = smallRecord { record in
            record.text(1, String(repeating: "i", count: 128))
            record.text(5, String(repeating: "m", count: 128))
            for field in UInt64(7)...22 { record.number(field, 1_000_000_000_000) }
            record.number(24, 1)
            record.number(25, 1)
            record.number(26, 1)
            for field in UInt64(27)...29 { record.text(field, "requested") }
            record.text(30, String(repeating: "h", count: 128))
            for _ in 0..<16 {
                record.message(33) {
                    $0.text(1, "key"); $0.text(2, "a value here")
                }
            }
        }
        let message = ProtoWriter.build { frame in
            frame.message(4) { batch in for _ in 0..<1_000 { batch.bytes(1, record) } }
        }
        #expect(message.count <= WireLimits.messageBytesMax)
        guard case .reportBatch(let batch) = try decode(message).call else {
            Issue.record("not a batch")
            return
        }
        _ = batch
    }
}
