// The limits of the journal, and what one journal is opened with.

import Platform

/// Every bound of the journal. `JournalLimitsTests` states how they relate.
public enum JournalLimits {
    /// Batches begin and end at multiples of this, so no write touches a block that holds another batch.
    public static let blockBytes = directAlignment
    /// Two copies of the segment header, a block each, before the first batch.
    public static let segmentHeaderBytes = 2 * blockBytes
    /// The smallest segment; for tests.
    public static let segmentBytesMin = 64 << 10
    /// The size of a segment unless told otherwise.
    public static let segmentBytesDefault = 64 << 20
    /// The largest segment: recovery holds one or two in memory.
    public static let segmentBytesMax = 1 << 30
    /// The header before a batch's body.
    public static let batchHeaderBytes = 128
    /// The most that one batch carries; also bounded by half a segment.
    public static let batchBodyBytesMax = 8 << 20
    /// The segments kept for reuse; beyond that they are deleted.
    public static let sparesMax = 8
    /// One write of zeros while a segment is made: small enough for batches to slip in between.
    public static let fillBytes = 1 << 20
    /// One read during recovery.
    public static let recoveryReadBytes = 4 << 20
    /// One read of a live reader.
    public static let readerReadBytes = 1 << 20

    /// The most that one batch carries in a segment of that size. A piece must fit into it whole.
    public static func batchBodyBytesMax(segmentBytes: Int) -> Int {
        let half = (segmentBytes - segmentHeaderBytes) / 2 & ~(blockBytes - 1)
        return min(batchBodyBytesMax, half - batchHeaderBytes)
    }
}

/// Identifies a data directory, so that a segment of another one is noticed.
public struct DirectoryID: Hashable, Sendable, CustomStringConvertible {
    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// 32 hexadecimal digits.
    public var description: String { high.hexadecimal + low.hexadecimal }
}

extension UInt64 {
    /// 16 hexadecimal digits.
    var hexadecimal: String {
        let digits = String(self, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// What a journal is opened with.
public struct JournalConfiguration: Sendable {
    /// The directory of the segments; made if it is missing (its parent must exist).
    public var directory: String
    /// Where dropped tails are copied; made when it is needed.
    public var quarantineDirectory: String
    /// The data directory that the segments must belong to.
    public var directoryID: DirectoryID
    /// The size of each segment, a multiple of 4096 from 64 KiB to 1 GiB.
    public var segmentBytes = JournalLimits.segmentBytesDefault
    /// The released segments kept for reuse.
    public var sparesMax = JournalLimits.sparesMax
    /// Room in the current segment below which a full disk closes admission; a quarter by default.
    public var reserveBytes: Int
    /// Idle time after which the last batch is covered by a seal.
    public var sealDelay = Duration.milliseconds(10)
    /// Time between two attempts to make a segment on a full disk.
    public var diskFullRetryDelay = Duration.seconds(1)
    /// Without threads everything happens in `Journal.step`: for simulation.
    public var usesThreads = true

    public init(
        directory: String, quarantineDirectory: String, directoryID: DirectoryID,
        segmentBytes: Int = JournalLimits.segmentBytesDefault
    ) {
        precondition(segmentBytes >= JournalLimits.segmentBytesMin)
        precondition(segmentBytes <= JournalLimits.segmentBytesMax)
        precondition(segmentBytes % JournalLimits.blockBytes == 0)
        self.directory = directory
        self.quarantineDirectory = quarantineDirectory
        self.directoryID = directoryID
        self.segmentBytes = segmentBytes
        reserveBytes = segmentBytes / 4
    }
}

/// What others know to be durable: it tells a torn tail from lost data.
public struct JournalEvidence: Hashable, Sendable {
    /// Entries up to this LSN are in the checkpoint, so they need not be replayed.
    public var appliedLSN: UInt64 = 0
    /// Entries up to this LSN were durable once; at least `appliedLSN`.
    public var durableLSN: UInt64 = 0
    /// A segment with this id was in use once.
    public var segmentID: UInt64 = 0
    /// The log has this batch, unless it was released.
    public var mark: JournalMark?

    public init(
        appliedLSN: UInt64 = 0, durableLSN: UInt64 = 0, segmentID: UInt64 = 0, mark: JournalMark? = nil
    ) {
        self.mark = mark
        self.appliedLSN = appliedLSN
        self.durableLSN = max(appliedLSN, durableLSN)
        self.segmentID = segmentID
    }
}
