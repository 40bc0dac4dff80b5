// The journal as it runs in a process: with its threads, on the machine's own file system.

import Bytes
import Glibc
import Platform
import Synchronization
import Testing

@testable import Journal

/// A directory that is removed when its owner goes.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = "/tmp/tollgate-journal-\(SystemEntropy().next())"
        try LinuxFileSystem().createDirectory(path)
    }

    deinit {
        for folder in ["/wal", "/quarantine", ""] {
            let folder = path + folder
            do {
                for name in try LinuxFileSystem().list(folder) { unsafe unlink(folder + "/" + name) }
            } catch {
                // A folder that was never made has nothing to remove.
            }
            unsafe rmdir(folder)
        }
    }
}

@Suite("the journal with its threads")
struct JournalThreadsTests {
    static func configuration(_ directory: String) -> JournalConfiguration {
        JournalConfiguration(
            directory: directory + "/wal", quarantineDirectory: directory + "/quarantine",
            directoryID: Machine.directoryID, segmentBytes: 1 << 20)
    }

    static func open(
        _ directory: TemporaryDirectory, _ evidence: JournalEvidence = JournalEvidence()
    ) throws -> (Journal, [Replayed]) {
        let files = LinuxFileSystem()
        var replayed: [Replayed] = []
        let journal = try Journal(
            configuration(directory.path), lock: DirectoryLock(directory: directory.path, fileSystem: files),
            fileSystem: files, clock: SystemClock(), entropy: SystemEntropy(), evidence: evidence
        ) { replayed.append(Replayed($0)) }
        return (journal, replayed)
    }

    /// Waits until `condition` holds; a test that waits in vain fails.
    static func wait(_ what: String, until condition: () -> Bool) {
        for _ in 0..<10_000 {
            if condition() { return }
            usleep(1000)
        }
        Issue.record("waited in vain until \(what)")
    }

    @Test("entries of several threads become durable, each thread's in its order, and come back")
    func severalThreads() throws {
        let directory = try TemporaryDirectory()
        let perThread = 400
        do {
            let (journal, replayed) = try Self.open(directory)
            #expect(replayed.isEmpty)
            let source = TestSource()
            let priority = try journal.start(source: source) { error in Issue.record("\(error)") }
            #expect(!priority.description.isEmpty)
            let stagers = try (0..<3).map { thread in
                try WorkerThread(name: "stager \(thread)", urgency: .normal) {
                    for number in 0..<perThread {
                        source.stage(piece(thread * perThread + number, bytes: 3000))
                        journal.wake()
                        if number % 50 == 0 { usleep(500) }
                    }
                }
            }
            for stager in stagers { stager.join() }
            // The source is told after the number is set, so it is the source that is waited for.
            Self.wait("everything is durable") { source.durable.count == 3 * perThread }
            #expect(journal.durableLSN == UInt64(3 * perThread))
            let reader = try journal.reader(from: 1)
            var read: [UInt8] = []
            while let batch = try reader.next() { read += Array(batch.body) }
            #expect(same(read, source.durable.bytes))
            Self.wait("the last batch is sealed") { journal.statistics.seals > 0 }
            try journal.release(through: 500)
            journal.stop()
            #expect(journal.statistics.segmentsBegun > 3)
        }
        let (journal, replayed) = try Self.open(directory, JournalEvidence(appliedLSN: 500))
        let pieces = replayed.flatMap { batch in
            stride(from: 0, to: batch.piece.bytes.count, by: 3000).map {
                Array(batch.piece.bytes[$0..<$0 + 3000])
            }
        }
        #expect(journal.recovery.lastLSN == UInt64(3 * perThread))
        #expect(journal.recovery.epoch == 2)
        for thread in 0..<3 {
            let numbers = pieces.compactMap { bytes -> Int? in
                Int(String(decoding: bytes.dropFirst(6).prefix { $0 != 0x20 }, as: UTF8.self))
            }.filter { $0 / perThread == thread }
            #expect(numbers == numbers.sorted() && numbers.last == (thread + 1) * perThread - 1)
        }
        journal.stop()
    }

    @Test("stopping writes what is staged, and stopping again does nothing")
    func stops() throws {
        let directory = try TemporaryDirectory()
        do {
            let (journal, _) = try Self.open(directory)
            let source = TestSource()
            try journal.start(source: source) { error in Issue.record("\(error)") }
            for number in 0..<100 { source.stage(piece(number)) }
            journal.stop()
            journal.stop()
            #expect(source.durable.count == 100 && journal.statistics.seals == 1)
        }
        #expect(try Self.open(directory).1.entryCount == 100)
    }

    @Test("files of the real file system are as the simulated ones")
    func sameBytes() throws {
        let directory = try TemporaryDirectory()
        let machine = Machine(segmentBytes: 1 << 20)
        let session = try machine.open()
        var configuration = Self.configuration(directory.path)
        configuration.usesThreads = false
        let files = LinuxFileSystem()
        let journal = try Journal(
            configuration, lock: DirectoryLock(directory: directory.path, fileSystem: files),
            fileSystem: files,
            clock: machine.clock, entropy: SimulatedEntropy(seed: 1)
        ) { _ in }
        let source = TestSource()
        try journal.start(source: source) { error in Issue.record("\(error)") }
        for number in 0..<5 {
            source.stage(piece(number, bytes: 5000))
            try session.write(piece(number, bytes: 5000))
            #expect(try journal.step())
        }
        let name = SegmentName(1, .segment)
        let file = try files.open(name.path(in: configuration.directory), .read, .buffered)
        var bytes = [UInt8](repeating: 1, count: 1 << 20)
        let count = try unsafe bytes.withUnsafeMutableBytes { unsafe try file.read(into: $0, at: 0) }
        #expect(count == 1 << 20)
        #expect(same(bytes, try #require(machine.disk.contents(of: machine.path(1)))))
    }

    @Test("a failing disk ends the threads and is told once", arguments: [1, 2, 5])
    func failingDisk(call: Int) throws {
        var machine = Machine()
        machine.configuration.usesThreads = true
        let session = try machine.open()
        session.source.stage(piece(0))
        session.journal.wake()
        Self.wait("the first entry is durable") { session.journal.durableLSN == 1 }
        machine.disk.fail(.write, call: call, times: .max, pathPart: ".seg")
        for number in 1..<200 where session.fatalErrors.isEmpty {
            session.source.stage(piece(number, bytes: 20_000))
            session.journal.wake()
            usleep(1000)
        }
        Self.wait("the failure is told") { !session.fatalErrors.isEmpty }
        let cycle = session.journal.durableCycle
        let answered = session.source.durable
        session.source.stage(piece(999))
        session.journal.wake()
        session.journal.stop()
        #expect(session.fatalErrors.count == 1 && session.journal.durableCycle == cycle)
        #expect(machine.disk.touchesAfterFailure == 0)
        machine.disk.killProcess()
        let again = try machine.open()
        #expect(same(Array(again.replayed.bytes.prefix(answered.bytes.count)), answered.bytes))
        again.journal.stop()
    }

    @Test("a full disk holds the flusher and freed space lets it go on by itself")
    func fullDisk() throws {
        var machine = Machine(capacityBytes: 100_000)
        machine.configuration.usesThreads = true
        machine.configuration.diskFullRetryDelay = .milliseconds(20)
        let session = try machine.open()
        for number in 0..<40 { session.source.stage(piece(number, bytes: 5000)) }
        session.journal.wake()
        Self.wait("admission closes") { session.journal.admission == .diskFull }
        #expect(session.source.durable.isEmpty && session.fatalErrors.isEmpty)
        machine.disk.setCapacity(bytes: nil)
        // The simulated clock stands, and the retry is due by it.
        Self.wait("everything is durable") {
            machine.clock.advance(microseconds: 10_000)
            return session.source.durable.count == 40
        }
        Self.wait("admission opens") { session.journal.admission == .open }
        session.journal.stop()
        #expect(session.fatalErrors.isEmpty)
    }

    @Test("what replay throws ends the recovery with its threads, and nothing was changed")
    func replayThrows() throws {
        struct Refused: Error {}
        var (machine, _) = try JournalFilesTests.longLog()
        machine.configuration.usesThreads = true
        let before = try JournalFilesTests.snapshot(machine)
        let lock = try DirectoryLock(directory: "data", fileSystem: machine.disk)
        #expect(throws: Refused.self) {
            _ = try Journal(
                machine.configuration, lock: lock, fileSystem: machine.disk, clock: machine.clock,
                entropy: machine.entropy
            ) { batch in
                if batch.firstLSN == 4 { throw Refused() }
            }
        }
        #expect(try JournalFilesTests.snapshot(machine) == before)
    }

    @Test("a log is the same whether it is replayed with threads or without", arguments: [true, false])
    func replayedAlike(damaged: Bool) throws {
        let (machine, _) = try JournalFilesTests.longLog()
        if damaged { machine.disk.flip(bit: 30_000 * 8, of: machine.path(3)) }
        var results: [[Replayed]] = []
        var errors: [JournalError?] = []
        for usesThreads in [true, false] {
            var one = machine.with(machine.disk.fork())
            one.configuration.usesThreads = usesThreads
            errors.append(
                try journalError {
                    let session = try one.open()
                    results.append(session.replayed)
                    session.journal.stop()
                })
        }
        #expect(errors[0] == errors[1] && (errors[0] != nil) == damaged)
        if !damaged { #expect(results[0] == results[1] && results[0].count == 12) }
    }
}
