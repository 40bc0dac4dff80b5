// The bytes on disk, field by field, and the bounds that the format relies on. These bytes are a promise:
// logs of every released version must stay readable.

import Bytes
import Platform
import Testing

@testable import Journal

@Suite("the format of the journal")
struct JournalFormatTests {
    static let header = SegmentHeader(
        directoryID: DirectoryID(high: 0x0102_0304_0506_0708, low: 0x1112_1314_1516_1718),
        id: 0x2122_2324_2526_2728, epoch: 0x3132_3334, state: .begun, salt: 0x4142_4344_4546_4748,
        segmentBytes: 64 << 10, firstSequence: 0x6162_6364_6566_6768, firstLSN: 0x7172_7374_7576_7778,
        wallMicroseconds: 0x0182_8384_8586_8788, previousChain: chain(startingAt: 0xa0))

    static func chain(startingAt first: UInt8) -> ChainHash {
        let bytes = (0..<32).map { first + UInt8($0) }
        return bytes.withView { unsafe ChainHash($0.buffer, at: 0) }
    }

    static func block(of header: SegmentHeader) -> [UInt8] {
        let buffer = AlignedBuffer(count: JournalLimits.blockBytes)
        unsafe header.encode(into: buffer.bytes)
        return unsafe Array(buffer.prefix(buffer.count))
    }

    static func decode(_ block: [UInt8]) -> SegmentHeader.Reading {
        block.withView { unsafe SegmentHeader.decode($0.buffer) }
    }

    @Test("a segment header has these bytes")
    func segmentHeaderBytes() {
        let block = Self.block(of: Self.header)
        let expected: [UInt8] =
            Array("TOLLSEG1".utf8) + [1, 0, 0, 0, 1, 0, 0, 0]
            + [8, 7, 6, 5, 4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]
            + [0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21] + [0x34, 0x33, 0x32, 0x31] + [2, 0, 0, 0]
            + [0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41] + [0, 0, 1, 0, 0, 0, 0, 0]
            + [0x68, 0x67, 0x66, 0x65, 0x64, 0x63, 0x62, 0x61]
            + [0x78, 0x77, 0x76, 0x75, 0x74, 0x73, 0x72, 0x71]
            + [0x88, 0x87, 0x86, 0x85, 0x84, 0x83, 0x82, 0x01] + (0..<32).map { 0xa0 + $0 }
        #expect(Array(block.prefix(120)) == expected)
        #expect(block[120..<4092].allSatisfy { $0 == 0 })
        #expect(Array(block.suffix(4)) == [0xdd, 0x09, 0xaa, 0x2f])
        #expect(Self.decode(block) == .valid(Self.header))
    }

    @Test("a batch has these bytes")
    func batchBytes() {
        let buffer = AlignedBuffer(count: 8192)
        let body = Array("pieces of a batch".utf8)
        for (index, byte) in body.enumerated() { unsafe buffer.bytes[128 + index] = byte }
        // Whatever a buffer held before must not reach the disk.
        for index in 128 + body.count..<4096 { unsafe buffer.bytes[index] = 0xee }
        var header = BatchHeader(
            bodyBytes: body.count, sequence: 0x1112_1314_1516_1718, firstLSN: 0x2122_2324_2526_2728,
            entryCount: 0x3132_3334, epoch: 0x4142_4344, salt: 0x5152_5354_5556_5758,
            durableSequence: 0x6162_6364_6566_6768, wallMicroseconds: 0x0172_7374_7576_7778,
            previousChain: Self.chain(startingAt: 0x80))
        unsafe header.encode(into: buffer.bytes, hasher: ChainHasher())
        let expected: [UInt8] =
            Array("TGB1".utf8) + [17, 0, 0, 0] + [0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]
            + [0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21] + [0x34, 0x33, 0x32, 0x31]
            + [0x44, 0x43, 0x42, 0x41] + [0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51]
            + [0x68, 0x67, 0x66, 0x65, 0x64, 0x63, 0x62, 0x61]
            + [0x78, 0x77, 0x76, 0x75, 0x74, 0x73, 0x72, 0x01] + (0..<32).map { 0x80 + $0 }
        let bytes = unsafe Array(buffer.prefix(4096))
        #expect(Array(bytes.prefix(88)) == expected)
        #expect(Array(bytes[88..<96]) == [0x15, 0x46, 0x27, 0xbf, 0, 0, 0, 0])
        let chain = "46d8ecf33769fc5ab1dc762bae56cb93ffb2c61bcbab2e41e9ccb177b317d7ae"
        #expect(header.chain.description == chain)
        #expect(Array(bytes[96..<128]) == header.chain.bytes)
        #expect(Array(bytes[128..<145]) == body)
        #expect(bytes[145...].allSatisfy { $0 == 0 })
        let decoded = bytes.withView { unsafe BatchHeader.decode($0.buffer, bodyBytesMax: 17) }
        #expect(decoded == header)
        #expect(bytes.withView { unsafe BatchHeader.decode($0.buffer, bodyBytesMax: 16) } == nil)
    }

    @Test("every flipped bit of a segment header is noticed")
    func headerFlips() {
        let block = Self.block(of: Self.header)
        for bit in 0..<block.count * 8 {
            var flipped = block
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            guard Self.decode(flipped) == .invalid else {
                Issue.record("bit \(bit) went unnoticed")
                return
            }
        }
    }

    @Test("a header of a later format says so, and one that old readers can read is read")
    func laterFormat() {
        var block = Self.block(of: Self.header)
        block[8] = 9
        Self.seal(&block)
        #expect(Self.decode(block) == .valid(Self.header))
        block[12] = 7
        Self.seal(&block)
        #expect(Self.decode(block) == .newer(version: 9, reader: 7))
    }

    /// Puts the checksum right after an edit.
    static func seal(_ block: inout [UInt8]) {
        let check = Array(block.prefix(4092)).withView { CRC32C.checksum($0) }
        for index in 0..<4 { block[4092 + index] = UInt8(truncatingIfNeeded: check >> UInt32(8 * index)) }
    }

    @Test("a header with impossible numbers is not believed")
    func impossibleNumbers() {
        for (field, bytes) in [(56, [1, 0, 1, 0]), (56, [0, 0, 0, 0x80]), (64, []), (72, []), (44, [3])] {
            var block = Self.block(of: Self.header)
            for index in 0..<(field == 44 ? 4 : 8) {
                block[field + index] = index < bytes.count ? UInt8(bytes[index]) : 0
            }
            Self.seal(&block)
            #expect(Self.decode(block) == .invalid, "field at \(field)")
        }
    }

    @Test("the limits fit together")
    func limits() {
        typealias Limits = JournalLimits
        #expect(Limits.segmentHeaderBytes == 2 * Limits.blockBytes)
        #expect(Limits.blockBytes % 512 == 0)
        #expect(Limits.segmentBytesMin <= Limits.segmentBytesDefault)
        #expect(Limits.segmentBytesDefault <= Limits.segmentBytesMax)
        #expect(Limits.fillBytes % Limits.blockBytes == 0)
        #expect(Limits.recoveryReadBytes % Limits.blockBytes == 0)
        #expect(Limits.readerReadBytes % Limits.blockBytes == 0)
        #expect(Limits.batchBodyBytesMax <= Int(UInt32.max))
        for bytes in [Limits.segmentBytesMin, Limits.segmentBytesDefault, Limits.segmentBytesMax] {
            let body = Limits.batchBodyBytesMax(segmentBytes: bytes)
            let padded = AlignedBuffer.roundUp(Limits.batchHeaderBytes + body)
            // Two of the longest batches fit, so a rotation never meets a batch that fits nowhere.
            #expect(2 * padded + Limits.segmentHeaderBytes <= bytes)
            #expect(body > Limits.blockBytes)
        }
    }

    @Test("a file name is read as it was written, and others are not ours")
    func names() {
        let name = SegmentName(42, .segment)
        #expect(name.text == "0000000000000042.seg")
        #expect(SegmentName(name.text) == name)
        #expect(SegmentName("0000000000000042.spare") == SegmentName(42, .spare))
        for foreign in [
            "42.seg", "000000000000004x.seg", "0000000000000042.segment", "notes.txt", ".seg", "",
        ] {
            #expect(SegmentName(foreign) == nil, "\(foreign)")
        }
    }
}
