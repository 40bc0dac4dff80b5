// What the flusher did, for metrics. One lock per batch guards it; staging never takes it.

/// Counts of values by upper bounds, and their sum.
public struct JournalHistogram: Hashable, Sendable {
    /// The upper bounds, inclusive, rising; a last bucket without a bound follows them.
    public let bounds: [UInt64]
    /// One count for each bound and one for what is above them all.
    public private(set) var counts: [UInt64]
    /// The sum of all values.
    public private(set) var sum: UInt64 = 0

    init(bounds: [UInt64]) {
        self.bounds = bounds
        counts = Array(repeating: 0, count: bounds.count + 1)
    }

    mutating func record(_ value: UInt64) {
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        counts[bucket] += 1
        sum += value
    }
}

/// What a journal has done since it was opened.
public struct JournalStatistics: Hashable, Sendable {
    /// Batches with entries.
    public internal(set) var batches: UInt64 = 0
    /// Batches without entries.
    public internal(set) var seals: UInt64 = 0
    /// Entries in all batches.
    public internal(set) var entries: UInt64 = 0
    /// Bytes handed over.
    public internal(set) var bodyBytes: UInt64 = 0
    /// Bytes written, headers and padding included.
    public internal(set) var writtenBytes: UInt64 = 0
    /// Segments begun, the first of this process included.
    public internal(set) var segmentsBegun: UInt64 = 0
    /// Times that a batch had to wait for a segment.
    public internal(set) var segmentWaits: UInt64 = 0
    /// Nanoseconds that a durable write took.
    public internal(set) var writeNanoseconds = JournalHistogram(bounds: [
        50_000, 100_000, 200_000, 400_000, 800_000, 1_600_000, 3_200_000, 6_400_000, 12_800_000, 25_600_000,
        51_200_000, 102_400_000, 409_600_000, 1_638_400_000,
    ])
    /// Entries in a batch.
    public internal(set) var entriesPerBatch = JournalHistogram(bounds: [
        1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536,
    ])
}
