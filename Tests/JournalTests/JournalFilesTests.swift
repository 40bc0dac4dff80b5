// What recovery makes of a directory with the wrong files in it: it refuses, names them, and changes nothing.

import Bytes
import Platform
import Testing

@testable import Journal

@Suite("the files of a journal")
struct JournalFilesTests {
    /// A machine whose log spans several segments, and every entry in it.
    static func longLog(_ seed: UInt64 = 1) throws -> (Machine, [Piece]) {
        let machine = Machine(seed: seed)
        let session = try machine.open()
        for number in 0..<12 { try session.write(piece(number, bytes: 20_000)) }
        machine.disk.killProcess()
        return (machine, session.source.durable)
    }

    /// The names and contents of the journal's files.
    static func snapshot(_ machine: Machine) throws -> [String: [UInt8]?] {
        let names = try machine.disk.list(machine.configuration.directory)
        return Dictionary(
            uniqueKeysWithValues: names.map { name in
                (name, machine.disk.contents(of: machine.configuration.directory + "/" + name))
            })
    }

    @Test("a log over several segments comes back whole, in order, with rising times")
    func roundTrip() throws {
        let (machine, pieces) = try Self.longLog()
        let session = try machine.open()
        #expect(session.replayed.map(\.piece) == pieces)
        #expect(session.replayed.map(\.firstLSN) == (1...12).map { UInt64($0) })
        let times = session.replayed.map(\.wallMicroseconds)
        #expect(zip(times, times.dropFirst()).allSatisfy { $0 < $1 })
        let recovery = session.journal.recovery
        #expect(recovery.segmentsFound == 6 && recovery.batches == 12 && recovery.entries == 12)
        #expect(recovery.lastLSN == 12 && recovery.epoch == 2 && recovery.droppedTail == nil)
        #expect(recovery.bodyBytes == 240_000)
        #expect(recovery.mode == .direct)
    }

    @Test("any segment of the middle that is missing is named, and nothing is changed", arguments: 2...5)
    func missing(id: UInt64) throws {
        let (machine, _) = try Self.longLog()
        machine.disk.lose(machine.path(id))
        let before = try Self.snapshot(machine)
        let error = try journalError { _ = try machine.open() }
        #expect(error == .segmentMissing(id: id, firstLSN: 2 * id - 3, lastLSN: 2 * id))
        #expect(try Self.snapshot(machine) == before)
    }

    @Test("a missing first or last segment is noticed by what the checkpoint knows")
    func missingEnds() throws {
        let (machine, pieces) = try Self.longLog()
        let first = machine.with(machine.disk.fork())
        first.disk.lose(machine.path(1))
        #expect(
            try journalError { _ = try first.open() }
                == .beginsTooLate(path: machine.path(2), firstLSN: 3, appliedLSN: 0))
        #expect(
            try first.open(JournalEvidence(appliedLSN: 2)).replayed.map(\.piece) == Array(pieces.dropFirst(2))
        )
        let last = machine.with(machine.disk.fork())
        last.disk.lose(machine.path(6))
        #expect(
            try journalError { _ = try last.open(JournalEvidence(segmentID: 6)) }
                == .lastSegmentMissing(id: 6, lastFound: 5))
        #expect(
            try journalError { _ = try last.open(JournalEvidence(durableLSN: 12)) }
                == .damaged(
                    path: machine.path(5), offset: 8192 + 2 * 20_480, firstLSN: 11, lastLSN: 12,
                    evidence: .durableLSN(12)))
        let all = machine.with(machine.disk.fork())
        for id in UInt64(1)...7 { all.disk.lose(machine.path(id)) }
        #expect(try journalError { _ = try all.open(JournalEvidence(appliedLSN: 5)) } != nil)
        // Without any evidence an empty directory is a new one.
        #expect(try all.open().replayed.isEmpty)
    }

    @Test("swapped segments are noticed by their names")
    func swapped() throws {
        let (machine, _) = try Self.longLog()
        let two = try #require(machine.disk.contents(of: machine.path(2)))
        let three = try #require(machine.disk.contents(of: machine.path(3)))
        machine.disk.plant(three, at: machine.path(2))
        machine.disk.plant(two, at: machine.path(3))
        #expect(try journalError { _ = try machine.open() } == .misnamed(path: machine.path(2), id: 3))
    }

    @Test("a segment of another directory is noticed, and one of another life of this directory too")
    func foreign() throws {
        let (machine, _) = try Self.longLog()
        var other = machine.with(machine.disk.fork())
        other.configuration.directoryID = DirectoryID(high: 1, low: 2)
        let before = try Self.snapshot(other)
        #expect(
            try journalError { _ = try other.open() }
                == .foreign(
                    path: machine.path(1), found: Machine.directoryID, expected: DirectoryID(high: 1, low: 2))
        )
        #expect(try Self.snapshot(other) == before)

        // A log with the same identity and other entries: a backup that went another way.
        let twin = Machine(seed: 2)
        let session = try twin.open()
        for number in 0..<12 { try session.write(piece(100 + number, bytes: 20_000)) }
        machine.disk.plant(try #require(twin.disk.contents(of: machine.path(3))), at: machine.path(3))
        guard case .outOfOrder(machine.path(2), _, 5, 5) = try journalError({ _ = try machine.open() }) else {
            Issue.record("a foreign third segment went unnoticed")
            return
        }
    }

    @Test("a later format is refused and nothing is changed")
    func laterFormat() throws {
        let (machine, _) = try Self.longLog()
        var image = try #require(machine.disk.contents(of: machine.path(6)))
        for copy in 0..<2 {
            var block = Array(image[copy * 4096..<(copy + 1) * 4096])
            block[8] = 2
            block[12] = 2
            JournalFormatTests.seal(&block)
            image.replaceSubrange(copy * 4096..<(copy + 1) * 4096, with: block)
        }
        machine.disk.plant(image, at: machine.path(6))
        let before = try Self.snapshot(machine)
        #expect(
            try journalError { _ = try machine.open() }
                == .newerFormat(path: machine.path(6), version: 2, supported: 1))
        #expect(try Self.snapshot(machine) == before)
    }

    @Test("a segment cut short is refused")
    func cutShort() throws {
        let (machine, _) = try Self.longLog()
        let image = try #require(machine.disk.contents(of: machine.path(3)))
        machine.disk.plant(Array(image.prefix(30_000)), at: machine.path(3))
        #expect(
            try journalError { _ = try machine.open() }
                == .truncated(path: machine.path(3), bytes: 30_000, expectedBytes: 65_536))
    }

    @Test("a read error at the start is told and changes nothing")
    func readError() throws {
        let (machine, _) = try Self.longLog()
        let before = try Self.snapshot(machine)
        for call in 1...14 {
            let one = machine.with(machine.disk.fork())
            one.disk.fail(.read, call: call, pathPart: ".seg")
            guard case .file(let error) = try journalError({ _ = try one.open() }) else {
                Issue.record("read \(call) failed and nobody said so")
                continue
            }
            #expect(error.path.hasSuffix(".seg") && error.code == 5)
            one.disk.healFaults()
            #expect(try Self.snapshot(one).filter { $0.key.hasSuffix(".seg") } == before)
        }
    }

    @Test("a second process is refused while the first lives, and told who it is")
    func secondProcess() throws {
        let machine = Machine()
        let first = try machine.open()
        do {
            _ = try machine.open()
            Issue.record("two journals on one directory")
        } catch DirectoryLockError.held(let path, let owner) {
            #expect(path == "data/LOCK" && Int(owner) != nil)
        }
        try first.write(piece(1))
        machine.disk.killProcess()
        #expect(try machine.open().replayed.count == 1)
    }

    @Test("a page cache that shows other bytes than the disk is refused, and trusted again once it forgets")
    func lyingCache() throws {
        let machine = Machine()
        let session = try machine.open()
        try session.write(piece(1))
        machine.disk.killProcess()
        // Somebody wrote through the cache, was told that it failed, and the kernel still shows it.
        let block = AlignedBuffer(count: JournalLimits.blockBytes)
        unsafe block.bytes.initializeMemory(as: UInt8.self, repeating: 7)
        let file = try machine.disk.open(machine.path(1), .readWrite, .buffered)
        try unsafe file.write(block.prefix(JournalLimits.blockBytes), at: 5 * JournalLimits.blockBytes)
        machine.disk.fail(.synchronize, pathPart: ".seg")
        #expect(throws: FileError.self) { try file.synchronize() }
        machine.disk.killProcess()
        machine.disk.healFaults()
        machine.disk.ignoresEviction = true
        let error = try journalError { _ = try machine.open() }
        #expect(error == .cacheDiffers(path: machine.path(1), offset: 5 * JournalLimits.blockBytes))
        #expect(error.map { "\($0)" }?.contains("restart the machine") == true)
        machine.disk.killProcess()
        machine.disk.ignoresEviction = false
        #expect(try machine.open().replayed.count == 1)
    }

    @Test("a log that went another way since the checkpoint is recognised by its mark")
    func anotherLog() throws {
        let machine = Machine()
        let session = try machine.open()
        try session.write(piece(1))
        machine.disk.killProcess()
        var marks: [JournalMark] = []
        var copies: [Machine] = []
        for number in 2...3 {
            let copy = machine.with(machine.disk.fork())
            let session = try copy.open()
            try session.write(piece(number))
            let (mark, lsn) = session.journal.durableMark
            #expect(lsn == 2 && JournalMark(mark.bytes) == mark)
            try session.write(piece(4))
            copy.disk.killProcess()
            marks.append(mark)
            copies.append(copy)
        }
        #expect(marks[0].sequence == marks[1].sequence && marks[0] != marks[1])
        for (index, copy) in copies.enumerated() {
            let error = try journalError { _ = try copy.open(JournalEvidence(mark: marks[1 - index])) }
            guard case .anotherLog(_, _, marks[0].sequence) = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
            #expect(try copy.open(JournalEvidence(mark: marks[index])).replayed.count == 3)
        }
        #expect(JournalMark([1, 2, 3]) == nil)
    }

    @Test("a process whose lock was removed ends when another has taken its next segment")
    func overtaken() throws {
        let machine = Machine()
        let first = try machine.open()
        try first.write(piece(1))
        machine.disk.lose("data/LOCK")
        let second = try machine.open()
        try second.write(piece(2))
        let error = try journalError {
            for number in 3..<9 { try first.write(piece(number, bytes: 20_000)) }
        }
        #expect(
            error == .overtaken(path: machine.path(2))
                && first.fatalErrors == [.overtaken(path: machine.path(2))])
        machine.disk.killProcess()
        #expect(try machine.open().replayed.last?.piece == piece(2))
    }

    @Test("segments that the checkpoint covers are not read again")
    func skipped() throws {
        let (machine, pieces) = try Self.longLog()
        // Damage in a covered segment is for `verify` to find, not in the way of a start.
        machine.disk.flip(bit: 10_000 * 8, of: machine.path(1))
        let session = try machine.open(JournalEvidence(appliedLSN: 5))
        #expect(session.replayed.map(\.piece) == Array(pieces.dropFirst(5)))
        #expect(session.journal.recovery.segmentsFound == 6 && session.journal.recovery.segmentsRead == 4)
    }

    @Test("released segments are used again and their old batches never come back")
    func reuse() throws {
        let (machine, _) = try Self.longLog()
        let session = try machine.open(JournalEvidence(appliedLSN: 12))
        #expect(try session.journal.release(through: 12) == 6)
        let spares = try machine.disk.list("data/wal").filter { $0.hasSuffix(".spare") }
        #expect(spares.count == 6)
        // One batch in each: the old ones behind it are whole and belong to the file's former life.
        for round in 0..<6 {
            try session.write(piece(200 + round, bytes: 24_000))
            try session.write(piece(300 + round, bytes: 24_000))
        }
        #expect(try machine.disk.list("data/wal").filter { $0.hasSuffix(".spare") }.count < 6)
        machine.disk.killProcess()
        let again = try machine.open(JournalEvidence(appliedLSN: 12))
        #expect(again.replayed.map(\.piece) == session.source.durable)
        #expect(again.journal.recovery.droppedTail == nil)
    }

    @Test("the pool of spares is bounded")
    func poolBound() throws {
        var machine = Machine()
        machine.configuration.sparesMax = 2
        let session = try machine.open()
        for number in 0..<12 { try session.write(piece(number, bytes: 20_000)) }
        #expect(try session.journal.release(through: 4) == 2)
        #expect(try session.journal.release(through: 11) == 3)
        #expect(try session.journal.release(through: .max) == 0)
        let names = try machine.disk.list("data/wal")
        #expect(names.filter { $0.hasSuffix(".spare") }.count == 2)
        #expect(names.filter { $0.hasSuffix(".seg") }.count == 2)
    }

    @Test("a start loop without entries takes spares again instead of filling the disk")
    func startLoop() throws {
        let machine = Machine()
        for start in 1...20 {
            let session = try machine.open()
            #expect(session.journal.recovery.epoch == UInt32(start))
            _ = try session.journal.step()
            try session.journal.release(through: 0)
            machine.disk.killProcess()
        }
        #expect(try machine.disk.list("data/wal").count <= 4)
    }
}
