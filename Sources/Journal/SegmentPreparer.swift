// Makes the next segment before it is needed, so that a full disk is found here and not at a commit.
//
// A new segment is filled with zeros once: blocks that were written before take a durable write in half the
// time of blocks that were only reserved. Released segments are kept and used again under a new id and a new
// salt. In both cases the header with the new salt is durable before the file gets its name, and the name
// is durable before the segment is handed out.

import Platform
import Synchronization

/// A segment that is ready to be begun.
struct PreparedSegment: Sendable {
    let file: DurableFile
    let header: SegmentHeader
}

/// Owns the spare segments and the next one. Its calls may come from any thread.
final class SegmentPreparer: Sendable {
    let configuration: JournalConfiguration
    let fileSystem: any FileSystem
    private let entropy: any Entropy
    private let state: Mutex<State>

    /// What the lock guards: memory only, never a file operation.
    private struct State: Sendable {
        var spares: [UInt64] = []
        var next: PreparedSegment?
        var nextID: UInt64 = 0
        var epoch: UInt32 = 0
        var mode = DurableMode.direct
        /// The full disk that the last attempt met.
        var diskFull: FileError?
        /// When the last attempt was made, by the monotonic clock.
        var attemptedAt: UInt64 = 0
    }

    init(
        _ configuration: JournalConfiguration, fileSystem: any FileSystem, entropy: any Entropy,
        spares: [UInt64]
    ) {
        self.configuration = configuration
        self.fileSystem = fileSystem
        self.entropy = entropy
        state = Mutex(State(spares: spares))
    }

    /// The full disk that keeps the next segment from being made, if that is so.
    var diskFull: FileError? { state.withLock { $0.next == nil ? $0.diskFull : nil } }
    var mode: DurableMode { state.withLock { $0.mode } }
    var spareCount: Int { state.withLock { $0.spares.count } }
    var hasNext: Bool { state.withLock { $0.next != nil } }

    /// The segment that was prepared, once.
    func takeNext() -> PreparedSegment? {
        state.withLock { state in
            defer { state.next = nil }
            return state.next
        }
    }

    /// Prepares the first segment of an epoch; the ones after it follow in order.
    func prepareFirst(id: UInt64, epoch: UInt32) throws(JournalError) -> PreparedSegment {
        state.withLock { state in
            state.nextID = id
            state.epoch = epoch
        }
        return try withFileErrors { () throws(FileError) in
            do throws(FileError) {
                return try prepare()
            } catch {
                guard error.isDirectRefused && mode == .direct else { throw error }
                state.withLock { $0.mode = .buffered }
                return try prepare()
            }
        }
    }

    /// Whether an attempt should be made: none is ready, and the last failure is long enough ago.
    func isDue(at now: UInt64) -> Bool {
        state.withLock { state in
            guard state.next == nil else { return false }
            guard state.diskFull != nil else { return true }
            let (seconds, attoseconds) = configuration.diskFullRetryDelay.components
            let delay = UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
            return now >= state.attemptedAt + delay
        }
    }

    /// Prepares the next segment. A full disk is remembered, other errors are thrown.
    func attempt(at now: UInt64) throws(JournalError) {
        do throws(FileError) {
            let prepared = try prepare()
            state.withLock { state in
                state.next = prepared
                state.diskFull = nil
            }
        } catch {
            guard error.isDiskFull else { throw .file(error) }
            state.withLock { state in
                state.diskFull = error
                state.attemptedAt = now
            }
        }
    }

    /// Gives a segment away: into the pool, or off the disk when the pool is full. The caller makes the
    /// names durable afterwards.
    func recycle(_ id: UInt64) throws(FileError) {
        let path = SegmentName(id, .segment).path(in: configuration.directory)
        guard spareCount < configuration.sparesMax else { return try fileSystem.remove(path) }
        try fileSystem.rename(path, to: SegmentName(id, .spare).path(in: configuration.directory))
        state.withLock { $0.spares.append(id) }
    }

    private func prepare() throws(FileError) -> PreparedSegment {
        let (spare, mode, id, epoch) = state.withLock { state in
            (state.spares.popLast(), state.mode, state.nextID, state.epoch)
        }
        let header = SegmentHeader(
            directoryID: configuration.directoryID, id: id, epoch: epoch, state: .prepared,
            salt: entropy.next(), segmentBytes: configuration.segmentBytes, firstSequence: 0, firstLSN: 0,
            wallMicroseconds: 0, previousChain: .genesis)
        let source: String
        if let spare {
            source = SegmentName(spare, .spare).path(in: configuration.directory)
        } else {
            source = SegmentName(id, .temporary).path(in: configuration.directory)
            let file = try fileSystem.open(source, .replace, mode == .direct ? .direct : .buffered)
            do throws(FileError) {
                try fill(file)
            } catch {
                // What was taken goes back, or a full disk would stay full of our own halves.
                if error.isDiskFull { try fileSystem.remove(source) }
                throw error
            }
        }
        let target = SegmentName(id, .segment).path(in: configuration.directory)
        let made: DurableFile
        do throws(FileError) {
            made = try DurableFile(source, mode: mode, fileSystem: fileSystem)
            try made.write(header)
        } catch {
            // It still has its name, so it can be taken another time.
            if let spare { state.withLock { $0.spares.append(spare) } }
            throw error
        }
        // The zeros were not durable writes, and neither was the size.
        if spare == nil && mode == .direct { try made.file.synchronize() }
        try fileSystem.rename(source, to: target)
        try fileSystem.synchronizeDirectory(configuration.directory)
        state.withLock { $0.nextID = id + 1 }
        // Opened again, so that errors name the file as it is called now.
        let file = try DurableFile(target, mode: mode, fileSystem: fileSystem)
        return PreparedSegment(file: file, header: header)
    }

    /// Takes all the blocks of a file and writes them with zeros.
    private func fill(_ file: any File) throws(FileError) {
        try file.allocate(bytes: configuration.segmentBytes)
        let zeros = AlignedBuffer(count: min(JournalLimits.fillBytes, configuration.segmentBytes))
        var offset = 0
        while offset < configuration.segmentBytes {
            let count = min(zeros.count, configuration.segmentBytes - offset)
            try unsafe file.write(zeros.prefix(count), at: offset)
            offset += count
        }
    }
}
