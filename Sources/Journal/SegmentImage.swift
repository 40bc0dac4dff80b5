// A segment on its way into memory: one thread reads it, another checks what is there already.

import Platform
import Synchronization

/// A segment's bytes, from the front. One thread calls `load`, another the rest.
final class SegmentImage: Sendable {
    let memory: AlignedBuffer
    private let segment: SegmentFile
    private let header: SegmentHeader
    private let fileSystem: any FileSystem
    private let progress = Mutex(Progress())
    private let wakeup = Wakeup()

    private struct Progress: Sendable {
        var filled = 0
        var error: JournalError?
        /// Nobody needs more of it.
        var isEnough = false
    }

    /// Uses `memory` when it is large enough.
    init(
        _ segment: SegmentFile, _ header: SegmentHeader, fileSystem: any FileSystem, memory: AlignedBuffer?
    ) {
        self.segment = segment
        self.header = header
        self.fileSystem = fileSystem
        self.memory =
            memory.flatMap { $0.count >= header.segmentBytes ? $0 : nil }
            ?? AlignedBuffer(count: header.segmentBytes)
    }

    /// Reads to the end, or until it is enough, or fails; `more` tells of it.
    func load() {
        do throws(JournalError) {
            guard segment.bytes >= header.segmentBytes else { throw truncated(segment.bytes) }
            let file = try withFileErrors { () throws(FileError) in
                try fileSystem.openForReading(segment.path)
            }
            var filled = 0
            while filled < header.segmentBytes && !progress.withLock({ $0.isEnough }) {
                let count = min(JournalLimits.recoveryReadBytes, header.segmentBytes - filled)
                let done = try withFileErrors { () throws(FileError) in
                    try unsafe file.read(
                        into: UnsafeMutableRawBufferPointer(rebasing: memory.bytes[filled..<filled + count]),
                        at: filled)
                }
                guard done == count else { throw truncated(filled + done) }
                filled += count
                progress.withLock { $0.filled = filled }
                wakeup.signal()
            }
        } catch {
            progress.withLock { $0.error = error }
            wakeup.signal()
        }
    }

    /// Waits for more than `known` bytes and returns how many there are.
    func more(than known: Int) throws(JournalError) -> Int {
        while true {
            let (filled, error) = progress.withLock { ($0.filled, $0.error) }
            if filled > known { return filled }
            if let error { throw error }
            wakeup.wait()
        }
    }

    /// Lets `load` stop.
    func enough() { progress.withLock { $0.isEnough = true } }

    private func truncated(_ bytes: Int) -> JournalError {
        .truncated(path: segment.path, bytes: bytes, expectedBytes: header.segmentBytes)
    }
}
