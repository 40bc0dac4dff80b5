// Whatever was answered survives, whenever the power goes, also during the recovery from it.
//
// Method: a fixed workload that rotates, seals, releases and reuses segments is run on a simulated disk, which is
// stopped in the middle of its k-th operation, for every k. Then the power goes: what was not durable is
// kept, dropped or torn by a seed. What recovery returns must be a prefix of what was staged and hold
// everything that was answered; what one recovery returned, the next one must return too.

import Bytes
import Platform
import Testing

@testable import Journal

@Suite("crashes")
struct JournalCrashTests {
    /// What a run promised, and all that it tried.
    struct Promise {
        var answered = 0
        var staged: [Piece] = []
        var released: UInt64 = 0
    }

    /// Runs the workload until it ends or the machine stops.
    static func run(_ machine: Machine, _ promise: inout Promise) {
        do {
            let session = try machine.open()
            defer {
                promise.answered = session.source.durable.count
                promise.staged = session.source.collected
            }
            for round in 0..<7 {
                let large = round % 2 == 0 ? 23_000 : 300
                try session.write([
                    piece(3 * round, bytes: large), piece(3 * round + 1), piece(3 * round + 2),
                ])
                if round == 1 { _ = try session.journal.step(sealing: true) }
                if round == 3 { machine.clock.jump(toWallMicroseconds: 1) }
                if round == 4 {
                    promise.released = 9
                    try session.journal.release(through: 9)
                }
            }
        } catch {
            // A stopped machine is how most runs end.
            #expect(machine.disk.isStopped, "\(error)")
        }
    }

    /// Opens what a crash left and holds it against what was promised.
    static func recover(_ machine: Machine, _ promise: Promise, _ place: String) throws -> Session {
        let session = try machine.open(
            JournalEvidence(appliedLSN: min(promise.released, UInt64(promise.answered))))
        let last = Int(session.journal.recovery.lastLSN)
        #expect(last >= promise.answered && last <= promise.staged.count, "\(place)")
        let first = session.replayed.first.map { Int($0.firstLSN) } ?? last + 1
        #expect(first <= min(Int(promise.released), promise.answered) + 1, "\(place)")
        #expect(same(session.replayed.bytes, promise.staged[(first - 1)..<last].bytes), "\(place)")
        return session
    }

    @Test("an answered entry survives a power cut at any operation", arguments: [true, false], 1...6)
    func everyOperation(direct: Bool, seed: Int) throws {
        var whole = Promise()
        let dry = Machine(seed: 1, supportsDirect: direct)
        Self.run(dry, &whole)
        let operations = dry.disk.operationCount
        #expect(operations > 30 && whole.answered == 21)
        for stop in 1...operations {
            let machine = Machine(seed: 1, supportsDirect: direct)
            machine.disk.stop(atOperation: stop)
            var promise = Promise()
            Self.run(machine, &promise)
            machine.disk.cutPower(seed: UInt64(seed * 1_000 + stop))
            let place = "direct \(direct), seed \(seed), stopped at operation \(stop)"
            var session = try Self.recover(machine, promise, place)
            promise.answered = Int(session.journal.recovery.lastLSN)
            promise.staged = Array(promise.staged.prefix(promise.answered)) + [piece(900)]
            try session.write(piece(900))
            promise.answered += 1
            machine.disk.cutPower(seed: UInt64(stop))
            session = try Self.recover(machine, promise, place + ", second start")
        }
    }

    @Test("a crash during recovery changes nothing that was promised", arguments: [true, false])
    func everyOperationOfRecovery(direct: Bool) throws {
        var whole = Promise()
        let dry = Machine(seed: 1, supportsDirect: direct)
        Self.run(dry, &whole)
        for stop in stride(from: direct ? 1 : 2, through: dry.disk.operationCount, by: 2) {
            let machine = Machine(seed: 1, supportsDirect: direct)
            machine.disk.stop(atOperation: stop)
            var promise = Promise()
            Self.run(machine, &promise)
            machine.disk.cutPower(seed: UInt64(stop))
            for nested in 1... {
                let place = "direct \(direct), stopped at \(stop), then at \(nested) of the recovery"
                let again = machine.with(machine.disk.fork())
                again.disk.stop(atOperation: again.disk.operationCount + nested)
                do {
                    _ = try Self.recover(again, promise, place)
                } catch {
                    #expect(again.disk.isStopped, "\(place): \(error)")
                }
                let wasStopped = again.disk.isStopped
                again.disk.cutPower(seed: UInt64(nested))
                _ = try Self.recover(again, promise, place)
                if !wasStopped { break }
            }
        }
    }

    @Test("a killed process loses nothing that was written, also what was not answered")
    func killed() throws {
        for stop in stride(from: 1, through: 60, by: 1) {
            let machine = Machine(seed: 1)
            machine.disk.stop(atOperation: stop)
            var promise = Promise()
            Self.run(machine, &promise)
            machine.disk.killProcess()
            let session = try Self.recover(machine, promise, "stopped at \(stop)")
            // What recovery returned is durable from then on, although nobody had synchronized it.
            promise.answered = Int(session.journal.recovery.lastLSN)
            machine.disk.cutPower(seed: UInt64(stop))
            _ = try Self.recover(machine, promise, "stopped at \(stop), then cut")
        }
    }

    @Test("random crashes in a long history keep every answer", arguments: [11, 12, 13, 14] as [UInt64])
    func randomHistory(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let machine = Machine(seed: seed, supportsDirect: seed % 2 == 0)
        var log: [Piece] = []
        var applied: UInt64 = 0
        var number = 0
        for start in 0..<25 {
            let session = try machine.open(
                JournalEvidence(appliedLSN: applied, durableLSN: UInt64(log.count)))
            let last = Int(session.journal.recovery.lastLSN)
            let first = session.replayed.first.map { Int($0.firstLSN) } ?? last + 1
            #expect(
                same(session.replayed.bytes, log[(first - 1)..<last].bytes), "seed \(seed), start \(start)")
            #expect(last >= log.count || first > last, "seed \(seed), start \(start)")
            log = Array(log.prefix(last))
            machine.disk.stop(
                atOperation: machine.disk.operationCount + Int.random(in: 1...60, using: &generator))
            do {
                while true {
                    number += 1
                    let bytes =
                        Bool.random(using: &generator) ? 50 : Int.random(in: 1...28_000, using: &generator)
                    try session.write([piece(number, bytes: bytes), piece(-number, bytes: 7)])
                    if Int.random(in: 0..<5, using: &generator) == 0 {
                        _ = try session.journal.step(sealing: true)
                    }
                    if Int.random(in: 0..<9, using: &generator) == 0 {
                        applied = session.journal.durableLSN
                        try session.journal.release(through: applied)
                    }
                }
            } catch {
                #expect(machine.disk.isStopped, "seed \(seed), start \(start): \(error)")
            }
            let answered = session.source.durable.count
            let staged = session.source.collected
            machine.disk.cutPower(seed: generator.next())
            // The unanswered tail may or may not be there; which, the next start tells.
            let kept = try check(machine).end.tail.lsn - 1
            #expect(Int(kept) >= log.count + answered, "seed \(seed), start \(start)")
            log += staged
            log = Array(log.prefix(Int(kept)))
        }
    }
}
