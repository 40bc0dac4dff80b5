// Reading, checking and applying a log at the same time: one thread reads segments into memory, one checks what has
// been read, and the caller consumes the runs of batches that passed.

import Platform
import Synchronization

/// Hands checked runs to a consumer, in order.
final class RecoveryPipeline: Sendable {
    /// Segments in memory at a time: one being read, one being checked, one being consumed.
    private static let imagesMax = 3

    private enum Event: Sendable {
        case run(CheckedRun)
        /// No more runs of this image will come.
        case release(SegmentImage)
        case finished(LogEnd)
        case failed(JournalError)
    }

    private struct State: Sendable {
        /// Segments that are being read or were, for the checker.
        var images: [SegmentImage] = []
        /// For the consumer.
        var events: [Event] = []
        /// For the reader: memory to use again, and how many segments it may still begin.
        var freeMemory: [AlignedBuffer] = []
        var credit = RecoveryPipeline.imagesMax
        var isCancelled = false
    }

    private let state = Mutex(State())
    private let readerWakeup = Wakeup()
    private let checkerWakeup = Wakeup()
    private let consumerWakeup = Wakeup()
    private let fileSystem: any FileSystem
    private let segments: [(file: SegmentFile, header: SegmentHeader)]
    private let mark: JournalMark?

    /// For `segments`, which must be in order and not empty. If the batch of `mark` is among theirs, it must be the
    /// one that was marked.
    init(
        _ segments: [(file: SegmentFile, header: SegmentHeader)], fileSystem: any FileSystem,
        mark: JournalMark? = nil
    ) {
        self.segments = segments
        self.mark = mark
        self.fileSystem = fileSystem
    }

    /// Checks everything and hands each batch to `consume`; with threads that run ahead, or without any.
    func run(usesThreads: Bool, consume: (JournalBatch) throws -> Void) throws -> LogEnd {
        guard usesThreads else { return try runInline(consume) }
        var threads: [WorkerThread] = []
        defer {
            cancel()
            for thread in threads { thread.join() }
        }
        try withFileErrors { () throws(FileError) in
            threads.append(try WorkerThread(name: "journal-read", urgency: .normal) { self.read() })
            threads.append(try WorkerThread(name: "journal-check", urgency: .normal) { self.check() })
        }
        while true {
            let events = state.withLock { state in
                defer { state.events = [] }
                return state.events
            }
            if events.isEmpty { consumerWakeup.wait() }
            for event in events {
                switch event {
                case .run(let run):
                    for index in run.batches.indices { try consume(run.batch(index)) }
                case .release(let image):
                    state.withLock { state in
                        state.freeMemory.append(image.memory)
                        state.credit += 1
                    }
                    readerWakeup.signal()
                case .finished(let end): return end
                case .failed(let error): throw error
                }
            }
        }
    }

    private func runInline(_ consume: (JournalBatch) throws -> Void) throws -> LogEnd {
        let check = LogCheck(header: segments[0].header, mark: mark)
        var memory: AlignedBuffer?
        for index in segments.indices {
            let (file, header) = segments[index]
            let image = SegmentImage(file, header, fileSystem: fileSystem, memory: memory)
            memory = image.memory
            image.load()
            var runs: [CheckedRun] = []
            let end = try check.check(file, header, next: self.header(after: index), image: image) {
                runs.append($0)
            }
            for run in runs {
                for index in run.batches.indices { try consume(run.batch(index)) }
            }
            if let end { return end }
        }
        preconditionFailure("the last segment has an end")
    }

    private func header(after index: Int) -> SegmentHeader? {
        index + 1 < segments.count ? segments[index + 1].header : nil
    }

    /// What the reading thread does.
    private func read() {
        for (file, header) in segments {
            guard case .begin(let memory) = takeCredit() else { return }
            let image = SegmentImage(file, header, fileSystem: fileSystem, memory: memory)
            state.withLock { $0.images.append(image) }
            checkerWakeup.signal()
            image.load()
        }
    }

    private enum Credit {
        /// A segment may be begun, in this memory if there is some to use again.
        case begin(AlignedBuffer?)
        case cancelled
    }

    /// Waits until a segment may be begun.
    private func takeCredit() -> Credit {
        while true {
            let credit = state.withLock { state -> Credit? in
                if state.isCancelled { return .cancelled }
                guard state.credit > 0 else { return nil }
                state.credit -= 1
                return .begin(state.freeMemory.popLast())
            }
            if let credit { return credit }
            readerWakeup.wait()
        }
    }

    /// What the checking thread does.
    private func check() {
        let check = LogCheck(header: segments[0].header, mark: mark)
        do throws(JournalError) {
            for index in segments.indices {
                let (file, header) = segments[index]
                guard let image = takeImage() else { return }
                let end = try check.check(file, header, next: self.header(after: index), image: image) {
                    run throws(JournalError) in send(.run(run))
                }
                if let end { return send(.finished(end)) }
                send(.release(image))
            }
        } catch {
            send(.failed(error))
        }
    }

    /// The next segment to check; nil when nobody wants it any more.
    private func takeImage() -> SegmentImage? {
        while true {
            let (image, isCancelled) = state.withLock { state in
                (state.images.isEmpty ? nil : state.images.removeFirst(), state.isCancelled)
            }
            if isCancelled { return nil }
            if let image { return image }
            checkerWakeup.wait()
        }
    }

    private func send(_ event: Event) {
        state.withLock { $0.events.append(event) }
        consumerWakeup.signal()
    }

    /// Ends both threads soon, whatever they wait for.
    private func cancel() {
        state.withLock { $0.isCancelled = true }
        readerWakeup.signal()
        checkerWakeup.signal()
    }
}
