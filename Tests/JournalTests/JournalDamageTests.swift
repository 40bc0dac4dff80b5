// Wherever a crash cuts the log and whichever bit rots, recovery returns the same bytes, or drops batches that
// nobody was told of, or refuses. Never other bytes, and never fewer than were promised.
// Method: write a small log, damage it at every place there is, and read each result.

import Bytes
import Platform
import Testing

@testable import Journal

@Suite("damage")
struct JournalDamageTests {
    /// A machine whose log has these batches in one segment, each but the last claimed by its successor.
    static func written(_ count: Int, sealed: Bool = false) throws -> (Machine, [Replayed]) {
        let machine = Machine()
        let session = try machine.open()
        for number in 0..<count { try session.write(piece(number, bytes: 40 + number)) }
        if sealed { _ = try session.journal.step(sealing: true) }
        machine.disk.killProcess()
        let (batches, end) = try check(machine)
        #expect(batches.bytes == session.source.durable.bytes)
        #expect(end.droppedRange == nil)
        return (machine, batches)
    }

    static func endOfBatch(_ index: Int) -> Int { JournalLimits.segmentHeaderBytes + 4096 * (index + 1) }

    @Test("a log cut at any byte yields its whole batches and nothing else", arguments: [UInt8(0), 0xee])
    func everyCut(fill: UInt8) throws {
        let (machine, batches) = try Self.written(4)
        let whole = try #require(machine.disk.contents(of: machine.path(1)))
        let lengths = batches.map { JournalLimits.batchHeaderBytes + $0.piece.bytes.count }
        for cut in JournalLimits.segmentHeaderBytes...Self.endOfBatch(3) {
            // A batch is whole when its body is; the padding may be cut.
            let wholeCount = lengths.indices.count { Self.endOfBatch($0) - 4096 + lengths[$0] <= cut }
            if cut % 4096 > 600 && cut % 97 != 0 { continue }
            machine.disk.plant(
                Array(whole.prefix(cut)) + Array(repeating: fill, count: whole.count - cut),
                at: machine.path(1))
            let found = try check(machine)
            #expect(found.batches == Array(batches.prefix(wholeCount)), "cut at byte \(cut)")
        }
    }

    @Test("a cut log is recovered, goes on, and is recovered again")
    func everySectorCutRecovered() throws {
        let (machine, batches) = try Self.written(3)
        for cut in stride(from: JournalLimits.segmentHeaderBytes, through: Self.endOfBatch(2), by: 512) {
            let cutMachine = machine.with(machine.disk.fork())
            let whole = try #require(cutMachine.disk.contents(of: machine.path(1)))
            cutMachine.disk.plant(
                Array(whole.prefix(cut)) + Array(repeating: 0, count: whole.count - cut), at: machine.path(1))
            let wholeCount = (cut + 4096 - 512 - JournalLimits.segmentHeaderBytes) / 4096
            let session = try cutMachine.open()
            #expect(session.replayed == Array(batches.prefix(wholeCount)), "cut at byte \(cut)")
            try session.write(piece(77))
            let again = cutMachine.with(cutMachine.disk.fork())
            again.disk.cutPower(seed: UInt64(cut))
            #expect(try again.open().replayed.bytes == session.replayed.bytes + piece(77).bytes)
        }
    }

    @Test(
        "a flipped bit changes nothing, is refused, or costs the last unclaimed batch",
        arguments: [false, true])
    func everyFlip(sealed: Bool) throws {
        let (machine, batches) = try Self.written(4, sealed: sealed)
        let whole = try #require(machine.disk.contents(of: machine.path(1)))
        var dropped = 0
        var refused = 0
        let end = Self.endOfBatch(sealed ? 4 : 3)
        for byte in 0..<end {
            // The long runs of zeros are alike: padding is ignored, and a header's zeros are under its checksum.
            let isField = byte % 4096 < 200 || byte % 4096 >= 4088
            guard isField || byte % 64 == 0 else { continue }
            for bit in 0..<8 {
                var flipped = whole
                flipped[byte] ^= 1 << UInt8(bit)
                machine.disk.plant(flipped, at: machine.path(1))
                do {
                    let found = try check(machine)
                    if found.batches == batches { continue }
                    dropped += 1
                    let isLast = byte >= Self.endOfBatch(2) && byte < Self.endOfBatch(3)
                    #expect(
                        !sealed && isLast && found.batches == Array(batches.dropLast())
                            && found.end.droppedRange != nil, "bit \(bit) of byte \(byte)")
                } catch let error as JournalError {
                    refused += 1
                    guard case .damaged(_, let offset, let first, let last, .laterBatch) = error else {
                        Issue.record("bit \(bit) of byte \(byte): \(error)")
                        return
                    }
                    #expect(offset == byte / 4096 * 4096 && first == UInt64(byte / 4096 - 1) && last >= first)
                }
            }
        }
        // A batch has 88 covered bytes, the checksum, the chain and its body.
        #expect(dropped == (sealed ? 0 : (88 + 4 + 32 + 43) * 8))
        #expect(refused == ((88 + 4 + 32) * 3 + 40 + 41 + 42 + (sealed ? 88 + 4 + 32 + 43 : 0)) * 8)
    }

    @Test("a damaged copy of a header is healed from the other, and both damaged are refused")
    func headerHealed() throws {
        let (machine, batches) = try Self.written(2)
        let good = try #require(machine.disk.contents(of: machine.path(1)))
        for copy in 0..<2 {
            let one = machine.with(machine.disk.fork())
            one.disk.flip(bit: copy * 4096 * 8 + 333, of: machine.path(1))
            let session = try one.open()
            #expect(session.replayed == batches)
            #expect(session.journal.recovery.healedHeaders == [machine.path(1)])
            #expect(one.disk.contents(of: machine.path(1)) == good)
        }
        machine.disk.flip(bit: 333, of: machine.path(1))
        machine.disk.flip(bit: 4096 * 8 + 334, of: machine.path(1))
        let error = try journalError { _ = try machine.open() }
        #expect(error == .headerDamaged(path: machine.path(1), firstLSN: 1))
    }

    @Test("batches behind a hole are dropped when they claim nothing, and the log refused when they do")
    func hole() throws {
        for (claim, isLegal) in [(UInt64(1), true), (2, false)] {
            let (machine, batches) = try Self.written(3)
            var image = try #require(machine.disk.contents(of: machine.path(1)))
            // The second batch never reached the disk; the third says how far the log was durable.
            let second = Self.endOfBatch(0)..<Self.endOfBatch(1)
            image.replaceSubrange(second, with: repeatElement(0, count: 4096))
            Self.rewrite(&image, at: Self.endOfBatch(1)) { $0.durableSequence = claim }
            machine.disk.plant(image, at: machine.path(1))
            if isLegal {
                let session = try machine.open()
                #expect(session.replayed == [batches[0]])
                let dropped = try #require(session.journal.recovery.droppedTail)
                #expect(dropped.offset == second.lowerBound && dropped.bytes == 8192 && dropped.firstLSN == 2)
                let copy = try #require(dropped.copy)
                #expect(
                    machine.disk.contents(of: copy)
                        == Array(image[second.lowerBound..<second.upperBound + 4096]))
                // The tail stays where it was, and the log goes on elsewhere.
                #expect(machine.disk.contents(of: machine.path(1)) == image)
                try session.write(piece(9))
                machine.disk.killProcess()
                #expect(try machine.open().replayed.bytes == batches[0].piece.bytes + piece(9).bytes)
            } else {
                let error = try journalError { _ = try machine.open() }
                #expect(
                    error
                        == .damaged(
                            path: machine.path(1), offset: second.lowerBound, firstLSN: 2, lastLSN: 2,
                            evidence: .laterBatch(offset: second.upperBound)))
                #expect(machine.disk.contents(of: machine.path(1)) == image)
            }
        }
    }

    /// Changes a batch's header in place and makes its checksum and chain fit again.
    static func rewrite(_ image: inout [UInt8], at offset: Int, _ change: (inout BatchHeader) -> Void) {
        let buffer = AlignedBuffer(count: 4096)
        for index in 0..<4096 { unsafe buffer.bytes[index] = image[offset + index] }
        guard var header = unsafe BatchHeader.decode(buffer.prefix(4096), bodyBytesMax: 3968) else {
            Issue.record("no batch at \(offset)")
            return
        }
        change(&header)
        unsafe header.encode(into: buffer.bytes, hasher: ChainHasher())
        image.replaceSubrange(offset..<offset + 4096, with: unsafe Array(buffer.prefix(4096)))
    }

    @Test("a whole batch that does not continue the log is refused")
    func spliced() throws {
        let (machine, _) = try Self.written(3)
        let image = try #require(machine.disk.contents(of: machine.path(1)))
        let changes: [(inout BatchHeader) -> Void] = [
            { $0.previousChain = .genesis }, { $0.sequence += 1 }, { $0.firstLSN += 1 },
        ]
        for change in changes {
            var spliced = image
            Self.rewrite(&spliced, at: Self.endOfBatch(1), change)
            machine.disk.plant(spliced, at: machine.path(1))
            let error = try journalError { _ = try machine.open() }
            guard case .outOfOrder(machine.path(1), Self.endOfBatch(1), 3, _) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
        // The same place taken by a copy of the batch before it.
        var doubled = image
        doubled.replaceSubrange(
            Self.endOfBatch(1)..<Self.endOfBatch(2), with: image[Self.endOfBatch(0)..<Self.endOfBatch(1)])
        machine.disk.plant(doubled, at: machine.path(1))
        #expect(
            try journalError { _ = try machine.open() }
                == .outOfOrder(
                    path: machine.path(1), offset: Self.endOfBatch(1), expectedSequence: 3, foundSequence: 2))
    }

    @Test("entries that a checkpoint knows as durable are missed when they are gone")
    func lostBehindCheckpoint() throws {
        let (machine, batches) = try Self.written(3)
        machine.disk.flip(bit: (Self.endOfBatch(1) + 130) * 8, of: machine.path(1))
        let unaware = machine.with(machine.disk.fork())
        #expect(try unaware.open(JournalEvidence(durableLSN: 2)).replayed == Array(batches.prefix(2)))
        let error = try journalError { _ = try machine.open(JournalEvidence(appliedLSN: 1, durableLSN: 3)) }
        #expect(
            error
                == .damaged(
                    path: machine.path(1), offset: Self.endOfBatch(1), firstLSN: 3, lastLSN: 3,
                    evidence: .durableLSN(3)))
        #expect(error.map { "\($0)" }?.contains("LSNs 3 to 3") == true)
    }
}
