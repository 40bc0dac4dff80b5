// What a segment says about itself, twice: block 0 and block 1 of its file hold the same header, and
// either is enough.
//
//      0         8          12         16              32         40      44
//      +---------+----------+----------+---------------+----------+-------+-------+
//      | magic   | version  | reader   | directory id  | id       | epoch | state |
//      +---------+----------+----------+---------------+----------+-------+-------+
//      48        56         64               72        80         88                     120
//      +---------+----------+----------------+---------+----------+----------------------+
//      | salt    | size     | first sequence | LSN     | wall µs  | chain so far         |
//      +---------+----------+----------------+---------+----------+----------------------+
//      120                                                        4092
//      +----------------------------------------------------------+---------+
//      | zeros                                                    | CRC-32C |    integers little-endian
//      +----------------------------------------------------------+---------+
//
// The magic, the two versions and the checksum over the first 4092 bytes stay where they are in every
// future format, so an old program can say that a file is too new for it. *Reader* is the oldest format
// that can read the file. A *prepared* segment is ready to be used and knows its place and its salt; a
// *begun* one also knows what comes before its first batch, which claims that everything up to there was
// durable or given up by recovery. The salt is random for each use of the file and stands in each batch, so
// that a batch of the file's former life is never taken for a new one.

import Bytes
import Platform

/// The header of a segment.
public struct SegmentHeader: Hashable, Sendable {
    /// What the segment is used for.
    public enum State: UInt32, Hashable, Sendable {
        /// Ready; holds no batches of this life.
        case prepared = 1
        /// In use or full.
        case begun = 2
    }

    /// The format that this program writes, and the newest that it reads.
    public static let version: UInt32 = 1
    static let magic: UInt64 = 0x3147_4553_4c4c_4f54  // "TOLLSEG1"

    /// The data directory that it belongs to.
    public var directoryID: DirectoryID
    /// Consecutive from 1.
    public var id: UInt64
    /// The start of the process that began it; consecutive from 1, one higher at each recovery.
    public var epoch: UInt32
    /// Whether it holds part of the log.
    public var state: State
    /// Random for each use of the file.
    public var salt: UInt64
    /// The size of the file.
    public var segmentBytes: Int
    /// The number of its first batch; batches are numbered from 1 through the whole log.
    public var firstSequence: UInt64
    /// The LSN of its first entry; entries are numbered from 1 through the whole log.
    public var firstLSN: UInt64
    /// When it was begun, in microseconds since 1970.
    public var wallMicroseconds: Int64
    /// The chain hash of the batch before its first.
    public var previousChain: ChainHash

    /// What one copy of a header turned out to be.
    enum Reading: Hashable {
        case valid(SegmentHeader)
        /// A later format: its version, and the oldest one that can read it.
        case newer(version: UInt32, reader: UInt32)
        case invalid
    }

    /// Writes one copy: fills a whole block.
    func encode(into block: UnsafeMutableRawBufferPointer) {
        precondition(block.count == JournalLimits.blockBytes)
        unsafe block.initializeMemory(as: UInt8.self, repeating: 0)
        unsafe block.store(Self.magic, at: 0)
        unsafe block.store(Self.version, at: 8)
        unsafe block.store(Self.version, at: 12)
        unsafe block.store(directoryID.high, at: 16)
        unsafe block.store(directoryID.low, at: 24)
        unsafe block.store(id, at: 32)
        unsafe block.store(epoch, at: 40)
        unsafe block.store(state.rawValue, at: 44)
        unsafe block.store(salt, at: 48)
        unsafe block.store(UInt64(segmentBytes), at: 56)
        unsafe block.store(firstSequence, at: 64)
        unsafe block.store(firstLSN, at: 72)
        unsafe block.store(wallMicroseconds, at: 80)
        unsafe previousChain.store(into: block, at: 88)
        let check = unsafe CRC32C.checksum(UnsafeRawBufferPointer(block).slice(0..<4092))
        unsafe block.store(check, at: 4092)
    }

    /// Reads one copy.
    static func decode(_ block: UnsafeRawBufferPointer) -> Reading {
        guard block.count == JournalLimits.blockBytes, unsafe block.load(UInt64.self, at: 0) == magic,
            unsafe block.load(UInt32.self, at: 4092) == CRC32C.checksum(block.slice(0..<4092))
        else { return .invalid }
        let reader = unsafe block.load(UInt32.self, at: 12)
        guard reader <= version else {
            return .newer(version: unsafe block.load(UInt32.self, at: 8), reader: reader)
        }
        let size = unsafe block.load(UInt64.self, at: 56)
        guard let state = unsafe State(rawValue: block.load(UInt32.self, at: 44)),
            size >= UInt64(JournalLimits.segmentBytesMin), size <= UInt64(JournalLimits.segmentBytesMax),
            size % UInt64(JournalLimits.blockBytes) == 0
        else { return .invalid }
        let header =
            SegmentHeader(
                directoryID: unsafe DirectoryID(
                    high: block.load(UInt64.self, at: 16), low: block.load(UInt64.self, at: 24)),
                id: unsafe block.load(UInt64.self, at: 32), epoch: unsafe block.load(UInt32.self, at: 40),
                state: state, salt: unsafe block.load(UInt64.self, at: 48), segmentBytes: Int(size),
                firstSequence: unsafe block.load(UInt64.self, at: 64),
                firstLSN: unsafe block.load(UInt64.self, at: 72),
                wallMicroseconds: unsafe block.load(Int64.self, at: 80),
                previousChain: unsafe ChainHash(block, at: 88))
        let isNumbered = header.firstSequence > 0 && header.firstLSN > 0
        return state == .prepared || isNumbered ? .valid(header) : .invalid
    }
}
