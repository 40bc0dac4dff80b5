// A batch: what one durable write carries, whole or not at all.
//
//      0       4       8          16          24      28      32      40           48        56
//      +-------+-------+----------+-----------+-------+-------+-------+------------+---------+
//      | magic | body  | sequence | first LSN | count | epoch | salt  | durable to | wall µs |
//      +-------+-------+----------+-----------+-------+-------+-------+------------+---------+
//      56                         88          92      96                           128
//      +--------------------------+-----------+-------+----------------------------+------------
//      | previous chain           | CRC-32C   | zero  | chain                      | body, zeros
//      +--------------------------+-----------+-------+----------------------------+------------
//
// Integers are little-endian; the whole is padded with zeros to a multiple of 4096 bytes, so no write touches a
// block that holds an acknowledged batch. The checksum and the chain cover bytes 0 to 88 and the body.
//
// *Durable to* is the sequence of the last batch known durable when this one was built. It tells a
// crash from damage: a batch that fails its checks while a later one claims it durable was
// promised to somebody and is damaged; without such a claim nobody was told, and it is dropped. It counts
// batches and not entries, because a seal, which carries no entry, must be covered too.
//
// A *seal* is a batch without entries, written when the log falls idle, so that the last batch with
// entries soon has its claim.

import Bytes
import Platform

/// The header of a batch.
public struct BatchHeader: Hashable, Sendable {
    static let magic: UInt32 = 0x3142_4754  // "TGB1"
    /// The bytes of the header that checksum and chain cover.
    static let coveredBytes = 88

    /// The bytes after the header, without padding.
    public var bodyBytes: Int
    /// The number of this batch in the whole log.
    public var sequence: UInt64
    /// The LSN of its first entry; of the next entry to come for a seal.
    public var firstLSN: UInt64
    /// Its entries; zero for a seal.
    public var entryCount: UInt32
    /// The epoch of its segment.
    public var epoch: UInt32
    /// The salt of its segment in this life of the file.
    public var salt: UInt64
    /// The sequence of the last batch known durable when this one was built.
    public var durableSequence: UInt64
    /// When it was built, in microseconds since 1970; strictly rising through the log.
    public var wallMicroseconds: Int64
    /// The chain hash of the batch before.
    public var previousChain: ChainHash
    /// The checksum of the covered bytes; set by `encode`.
    public var checksum: UInt32 = 0
    /// The hash of the covered bytes; set by `encode`.
    public var chain = ChainHash()

    /// The bytes on disk, padding included.
    public var paddedBytes: Int { AlignedBuffer.roundUp(JournalLimits.batchHeaderBytes + bodyBytes) }

    /// The LSN of the next entry after this batch.
    public var nextLSN: UInt64 { firstLSN + UInt64(entryCount) }

    /// Writes the header in front of its body, pads, and fills in checksum and chain.
    ///
    /// `buffer` holds the body from byte 128 on; all of it up to `paddedBytes` is ready to be written.
    mutating func encode(into buffer: UnsafeMutableRawBufferPointer, hasher: ChainHasher) {
        let end = JournalLimits.batchHeaderBytes + bodyBytes
        unsafe buffer.store(Self.magic, at: 0)
        unsafe buffer.store(UInt32(bodyBytes), at: 4)
        unsafe buffer.store(sequence, at: 8)
        unsafe buffer.store(firstLSN, at: 16)
        unsafe buffer.store(entryCount, at: 24)
        unsafe buffer.store(epoch, at: 28)
        unsafe buffer.store(salt, at: 32)
        unsafe buffer.store(durableSequence, at: 40)
        unsafe buffer.store(wallMicroseconds, at: 48)
        unsafe previousChain.store(into: buffer, at: 56)
        let head = unsafe UnsafeRawBufferPointer(buffer).slice(0..<Self.coveredBytes)
        let body = unsafe UnsafeRawBufferPointer(buffer).slice(JournalLimits.batchHeaderBytes..<end)
        checksum = unsafe CRC32C.checksum(body, continuing: CRC32C.checksum(head))
        chain = unsafe hasher.hash(head, body)
        unsafe buffer.store(checksum, at: 88)
        unsafe buffer.store(UInt32(0), at: 92)
        unsafe chain.store(into: buffer, at: 96)
        let padding = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[end..<paddedBytes])
        unsafe padding.initializeMemory(as: UInt8.self, repeating: 0)
    }

    /// Reads the header at the start of `bytes`; nil when its magic or its length cannot be.
    ///
    /// Nothing else is checked: `bytes` must hold `paddedBytes` before the checksum is looked at.
    static func decode(_ bytes: UnsafeRawBufferPointer, bodyBytesMax: Int) -> BatchHeader? {
        guard bytes.count >= JournalLimits.batchHeaderBytes,
            unsafe bytes.load(UInt32.self, at: 0) == magic
        else { return nil }
        let bodyBytes = unsafe Int(bytes.load(UInt32.self, at: 4))
        let entryCount = unsafe bytes.load(UInt32.self, at: 24)
        let firstLSN = unsafe bytes.load(UInt64.self, at: 16)
        let sequence = unsafe bytes.load(UInt64.self, at: 8)
        guard bodyBytes <= bodyBytesMax, firstLSN > 0, sequence > 0,
            !firstLSN.addingReportingOverflow(UInt64(entryCount)).overflow
        else { return nil }
        return BatchHeader(
            bodyBytes: bodyBytes, sequence: sequence, firstLSN: firstLSN,
            entryCount: entryCount, epoch: unsafe bytes.load(UInt32.self, at: 28),
            salt: unsafe bytes.load(UInt64.self, at: 32),
            durableSequence: unsafe bytes.load(UInt64.self, at: 40),
            wallMicroseconds: unsafe bytes.load(Int64.self, at: 48),
            previousChain: unsafe ChainHash(bytes, at: 56), checksum: unsafe bytes.load(UInt32.self, at: 88),
            chain: unsafe ChainHash(bytes, at: 96))
    }

    /// Whether the checksum fits; `bytes` begins with this header and holds the body.
    func checksumFits(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let head = unsafe bytes.slice(0..<Self.coveredBytes)
        return unsafe CRC32C.checksum(body(in: bytes), continuing: CRC32C.checksum(head)) == checksum
    }

    /// Whether the chain hash fits; as `checksumFits`.
    func chainFits(_ bytes: UnsafeRawBufferPointer, hasher: ChainHasher) -> Bool {
        unsafe hasher.hash(bytes.slice(0..<Self.coveredBytes), body(in: bytes)) == chain
    }

    func body(in bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        unsafe bytes.slice(JournalLimits.batchHeaderBytes..<JournalLimits.batchHeaderBytes + bodyBytes)
    }
}

/// Where a batch is.
public struct JournalPosition: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The segment, by its id.
    public var segmentID: UInt64
    /// The byte in the segment's file.
    public var offset: Int

    public init(segmentID: UInt64, offset: Int) {
        self.segmentID = segmentID
        self.offset = offset
    }

    public static func < (left: JournalPosition, right: JournalPosition) -> Bool {
        (left.segmentID, left.offset) < (right.segmentID, right.offset)
    }

    public var description: String { "segment \(segmentID) at byte \(offset)" }
}

/// A batch as it is read back.
public struct JournalBatch {
    /// What the batch says about itself.
    public let header: BatchHeader
    /// The bytes that were handed over, valid only during the call or until the next one.
    public let body: ByteView
    /// Where it was read.
    public let position: JournalPosition

    /// The LSN of its first entry.
    public var firstLSN: UInt64 { header.firstLSN }
    /// Its entries.
    public var entryCount: Int { Int(header.entryCount) }
    /// The LSN of its last entry.
    public var lastLSN: UInt64 { header.nextLSN - 1 }
    /// When it was built, in microseconds since 1970.
    public var wallMicroseconds: Int64 { header.wallMicroseconds }
}
