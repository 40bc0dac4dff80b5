// A place in the log that can be recognised again.

/// The last batch of a log at some time: another log may have a batch with this number, and not with this hash.
///
/// Kept with a checkpoint, it shows at the next start that checkpoint and journal belong together, and are not two
/// copies of one directory that went different ways. 40 bytes: the sequence, little-endian, and the hash.
public struct JournalMark: Hashable, Sendable {
    /// The last batch; 0 before the first.
    public let sequence: UInt64
    /// The chain hash behind it.
    public let chain: ChainHash

    init(sequence: UInt64, chain: ChainHash) {
        self.sequence = sequence
        self.chain = chain
    }

    /// Behind the batches before `tail`.
    init(_ tail: LogTail) { self.init(sequence: tail.sequence - 1, chain: tail.chain) }

    /// Reads what `bytes` gave; nil when it is of another length.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == 40 else { return nil }
        self = unsafe bytes.withUnsafeBytes { bytes in
            unsafe JournalMark(sequence: bytes.load(UInt64.self, at: 0), chain: ChainHash(bytes, at: 8))
        }
    }

    public var bytes: [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: 40) { buffer, count in
            let room = unsafe UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: 40)
            unsafe room.store(sequence, at: 0)
            unsafe chain.store(into: room, at: 8)
            count = 40
        }
    }
}
