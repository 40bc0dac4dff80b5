// What the flusher does while it runs: cycles, seals, a disk that fails, a disk that fills.

import Bytes
import Platform
import Synchronization
import Testing

@testable import Journal

@Suite("writing")
struct JournalWritingTests {
    @Test("a cycle is published when it is durable, also when it has nothing to write")
    func cycles() throws {
        let session = try Machine().open()
        #expect(session.journal.durableCycle == 0 && session.journal.durableLSN == 0)
        try session.write([])
        #expect(session.journal.durableCycle == 1 && session.journal.durableLSN == 0)
        try session.write([piece(1), Piece(entryCount: 3, bytes: [1, 2, 3])])
        #expect(session.journal.durableCycle == 2 && session.journal.durableLSN == 4)
        #expect(session.source.state.withLock { $0.cycles } == [1, 2])
        #expect(session.source.state.withLock { $0.collected.map(\.lsn) } == [1, 2])
        let statistics = session.journal.statistics
        #expect(statistics.batches == 1 && statistics.entries == 4 && statistics.bodyBytes == 43)
        #expect(statistics.writtenBytes == 4096 && statistics.seals == 0)
        #expect(statistics.entriesPerBatch.counts[1] == 1 && statistics.writeNanoseconds.counts[0] == 1)
    }

    @Test("a cycle larger than a batch takes several and is published once")
    func largeCycle() throws {
        let machine = Machine()
        let session = try machine.open()
        let pieces = (0..<9).map { piece($0, bytes: session.journal.pieceBytesMax / 2 - $0) }
        var finished = try session.write(pieces)
        #expect(finished)
        #expect(session.journal.durableCycle == 1 && session.journal.statistics.batches == 5)
        machine.disk.killProcess()
        let again = try machine.open()
        #expect(same(again.replayed.bytes, pieces.bytes) && again.replayed.count == 5)
        finished = try again.write(piece(9, bytes: session.journal.pieceBytesMax))
        #expect(finished && again.journal.durableLSN == 10)
    }

    @Test("a piece that fits into no batch stops the process")
    func pieceTooLong() async {
        await #expect(processExitsWith: .failure) {
            let session = try Machine().open()
            try session.write(piece(1, bytes: session.journal.pieceBytesMax + 1))
        }
    }

    @Test("an idle journal covers its last batch with one seal")
    func seals() throws {
        let machine = Machine()
        let session = try machine.open()
        try session.write(piece(1))
        for _ in 0..<3 { _ = try session.journal.step(sealing: true) }
        #expect(session.journal.statistics.seals == 1)
        // The last batch is promised and covered, so damage to it is no torn tail.
        machine.disk.flip(bit: (8192 + 130) * 8, of: machine.path(1))
        machine.disk.killProcess()
        #expect(
            try journalError { _ = try machine.open() }
                == .damaged(
                    path: machine.path(1), offset: 8192, firstLSN: 1, lastLSN: 1,
                    evidence: .laterBatch(offset: 12_288)))
    }

    @Test("a damaged seal between batches is noticed by the batch behind it")
    func damagedSeal() throws {
        let machine = Machine()
        let session = try machine.open()
        try session.write(piece(1))
        _ = try session.journal.step(sealing: true)
        try session.write(piece(2))
        machine.disk.flip(bit: 12_288 * 8 + 300, of: machine.path(1))
        machine.disk.killProcess()
        guard
            case .damaged(_, 12_288, _, _, .laterBatch(16_384)) = try journalError({ _ = try machine.open() })
        else {
            Issue.record("an answered batch behind a damaged seal was dropped")
            return
        }
    }

    @Test("times rise although the clock goes back or stands")
    func times() throws {
        let machine = Machine()
        let session = try machine.open()
        try session.write(piece(1))
        machine.clock.jump(toWallMicroseconds: 5)
        try session.write(piece(2))
        machine.clock.jump(toWallMicroseconds: 4_000_000_000_000_000)
        try session.write(piece(3))
        machine.clock.jump(toWallMicroseconds: 7)
        machine.disk.killProcess()
        let again = try machine.open()
        try again.write(piece(4))
        machine.disk.killProcess()
        let times = try machine.open().replayed.map(\.wallMicroseconds)
        #expect(times[0] == 1_767_225_600_000_000 && times[1] == times[0] + 1)
        #expect(times[2] == 4_000_000_000_000_000 && times[3] == times[2] + 1)
    }

    @Test(
        "the n-th failing write ends the journal: no answer, no second try, one fatal report",
        arguments: 1...12)
    func failingWrite(call: Int) throws {
        for direct in [true, false] {
            for effect in [FailedWriteEffect.nothing, .everything, .prefix(bytes: 700)] {
                let machine = Machine(supportsDirect: direct)
                let session = try machine.open()
                machine.disk.fail(
                    direct ? .write : .synchronize, call: call, pathPart: ".seg", effect: effect)
                var failed = false
                for number in 0..<30 where !failed {
                    let before = session.source.durable.count
                    do {
                        try session.write(piece(number, bytes: 9000))
                    } catch {
                        failed = true
                        #expect(session.source.durable.count == before)
                    }
                }
                let answered = session.source.durable
                let cycle = session.journal.durableCycle
                #expect(failed && session.fatalErrors.count == 1)
                #expect(session.journal.failure == session.fatalErrors.first)
                for number in 30..<33 {
                    #expect(throws: JournalError.self) { try session.write(piece(number)) }
                }
                #expect(session.journal.durableCycle == cycle && session.source.durable == answered)
                #expect(machine.disk.touchesAfterFailure == 0, "call \(call), direct \(direct)")

                // The machine stays up, so the page cache may show what the disk does not have.
                machine.disk.killProcess()
                machine.disk.healFaults()
                let again = try machine.open()
                #expect(again.replayed.entryCount >= answered.count)
                #expect(same(Array(again.replayed.bytes.prefix(answered.bytes.count)), answered.bytes))
                // What a client can be told now is on the disk: the power may go.
                machine.disk.cutPower(seed: UInt64(call))
                #expect(try machine.open().replayed == again.replayed)
            }
        }
    }

    @Test("a failed write names the entries whose outcome is unknown")
    func failedWriteError() throws {
        let machine = Machine()
        let session = try machine.open()
        try session.write(piece(1))
        machine.disk.fail(.write, call: 1, pathPart: ".seg")
        let error = try journalError { try session.write([piece(2), piece(3)]) }
        guard case .writeFailed(let file, 2, 3) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(file.code == 5 && file.path == machine.path(1))
        #expect(error.map { "\($0)" }?.contains("LSNs 2 to 3") == true)
    }

    @Test("an error while the next segment is made is fatal, a full disk is not")
    func failingPreparation() throws {
        let machine = Machine()
        let session = try machine.open()
        machine.disk.fail(.write, call: 1, pathPart: ".tmp")
        #expect(throws: JournalError.self) { try session.write(piece(1)) }
        #expect(session.fatalErrors.count == 1)
    }

    @Test("a full disk closes admission before the segment is full, and freed space opens it")
    func diskFull() throws {
        let machine = Machine(capacityBytes: 100_000)
        let session = try machine.open()
        var number = 0
        while session.journal.admission == .open {
            number += 1
            #expect(try session.write(piece(number, bytes: 3000)), "the journal must not wait yet")
        }
        // A quarter of the segment is left for what is in flight.
        #expect(session.journal.durableLSN == UInt64(number))
        let room = 65_536 - 8192 - number * 4096
        #expect(room < 16_384 && room >= 16_384 - 4096)
        while try session.write(piece(number + 1, bytes: 3000)) { number += 1 }
        number += 1
        // Now it is full: the cycle waits, unanswered, and nothing is lost.
        #expect(session.journal.durableLSN == UInt64(number - 1))
        #expect(try session.write(piece(number + 1, bytes: 3000)) == false)
        #expect(session.fatalErrors.isEmpty)
        #expect(try machine.disk.list("data/wal") == ["0000000000000001.seg"])

        machine.disk.setCapacity(bytes: nil)
        #expect(try session.journal.step() == false, "the next attempt is due after a second")
        machine.clock.advance(microseconds: 1_000_000)
        #expect(try session.journal.step())
        #expect(try session.journal.step())
        #expect(session.journal.admission == .open)
        #expect(session.journal.durableLSN == UInt64(number + 1))
        machine.disk.killProcess()
        #expect(try machine.open().replayed.entryCount == number + 1)
    }

    @Test("a released segment heals a full disk")
    func diskFullReleased() throws {
        let machine = Machine(capacityBytes: 200_000)
        let session = try machine.open()
        var number = 0
        while session.journal.admission == .open {
            number += 1
            try session.write(piece(number, bytes: 9000))
        }
        try session.journal.release(through: session.journal.durableLSN)
        machine.clock.advance(microseconds: 1_000_000)
        try session.write([])
        #expect(session.journal.admission == .open)
    }

    @Test("a disk that is full at the start is told, and nothing is lost")
    func diskFullAtStart() throws {
        let machine = Machine()
        let session = try machine.open()
        try session.write(piece(1))
        machine.disk.killProcess()
        machine.disk.lose(machine.path(2))
        machine.disk.setCapacity(bytes: 70_000)
        guard case .file(let error) = try journalError({ _ = try machine.open() }) else {
            Issue.record("a full disk went unnoticed")
            return
        }
        #expect(error.isDiskFull)
        machine.disk.setCapacity(bytes: nil)
        machine.disk.killProcess()
        #expect(try machine.open().replayed.count == 1)
    }
}
