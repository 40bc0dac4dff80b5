// The live reader returns what was written, in order, and never what is not durable; the inspector shows the
// same files without touching them.

import Bytes
import Platform
import Testing

@testable import Journal

@Suite("reading")
struct JournalReaderTests {
    static func drain(_ reader: JournalReader) throws -> [Replayed] {
        var batches: [Replayed] = []
        while let batch = try reader.next() { batches.append(Replayed(batch)) }
        return batches
    }

    @Test("a reader follows the flusher through rotations, seals and restarts", arguments: [true, false])
    func follows(direct: Bool) throws {
        let machine = Machine(supportsDirect: direct)
        var session = try machine.open()
        var reader = try session.journal.reader(from: 1)
        var seen: [Replayed] = []
        var written: [Piece] = []
        for number in 0..<30 {
            let next = piece(number, bytes: [40, 5000, 27_000][number % 3])
            written.append(next)
            try session.write(next)
            if number % 4 == 0 { _ = try session.journal.step(sealing: true) }
            if number % 7 == 0 { seen += try Self.drain(reader) }
            if number == 17 {
                machine.disk.killProcess()
                session = try machine.open()
                reader = try session.journal.reader(from: UInt64(seen.count) + 1)
            }
        }
        seen += try Self.drain(reader)
        #expect(seen.map(\.piece) == written)
        #expect(seen.map(\.firstLSN) == (1...30).map { UInt64($0) })
        #expect(try reader.next() == nil)
        #expect(reader.nextLSN == 31)
    }

    @Test("a reader begins at any LSN with the batch that holds it")
    func begins() throws {
        let machine = Machine()
        let session = try machine.open()
        for number in 0..<12 {
            try session.write([piece(number, bytes: 10_000), piece(number, bytes: 9000)])
        }
        for lsn in UInt64(1)...24 {
            let first = try session.journal.reader(from: lsn).next()
            #expect(first?.firstLSN == (lsn - 1) / 2 * 2 + 1, "LSN \(lsn)")
        }
        let reader = try session.journal.reader(from: 25)
        #expect(try reader.next() == nil)
        try session.write(piece(99))
        #expect(try reader.next()?.firstLSN == 25)
    }

    @Test("a reader is told when its segment was released, also when the file lives again")
    func released() throws {
        let machine = Machine()
        let session = try machine.open()
        for number in 0..<8 { try session.write(piece(number, bytes: 20_000)) }
        let slow = try session.journal.reader(from: 1)
        #expect(try slow.next()?.firstLSN == 1)
        let other = try session.journal.reader(from: 2)
        try session.journal.release(through: 6)
        #expect(try journalError { _ = try other.next() } == .released(lsn: 1, firstKept: 7))
        for number in 8..<20 { try session.write(piece(number, bytes: 28_000)) }
        // The window of the slow reader may hold its second batch; behind that it must notice.
        let error = try journalError { while try slow.next() != nil {} }
        guard case .released(_, 7) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(
            try journalError { _ = try session.journal.reader(from: 3) } == .released(lsn: 3, firstKept: 7))
    }

    @Test("damage under a reader is told with its place")
    func damaged() throws {
        let machine = Machine()
        let session = try machine.open()
        for number in 0..<3 { try session.write(piece(number)) }
        machine.disk.flip(bit: (8192 + 4096 + 200 - 40) * 8, of: machine.path(1))
        let reader = try session.journal.reader(from: 1)
        #expect(try reader.next()?.firstLSN == 1)
        #expect(
            try journalError { _ = try reader.next() }
                == .damaged(
                    path: machine.path(1), offset: 12_288, firstLSN: 2, lastLSN: 2, evidence: .durableLSN(2)))
    }

    @Test("the inspector shows every file and batch and changes nothing")
    func inspector() throws {
        let machine = Machine()
        let session = try machine.open()
        for number in 0..<6 { try session.write(piece(number, bytes: 20_000)) }
        _ = try session.journal.step(sealing: true)
        try session.journal.release(through: 2)
        let operations = machine.disk.operationCount
        let inspector = JournalInspector(directory: "data/wal", fileSystem: machine.disk)
        let segments = try inspector.segments()
        #expect(segments.map(\.id) == [2, 3, 4, 1])
        #expect(segments.map(\.kind) == [.begun, .begun, .prepared, .spare])
        #expect(segments[0].header?.firstLSN == 3 && segments[0].goodHeaders == 2)
        var reports: [BatchReport] = []
        var body: [UInt8] = []
        try inspector.batches(of: segments[1]) { report, bytes in
            reports.append(report)
            body += Array(bytes)
        }
        #expect(reports.map(\.status) == [.whole, .whole, .seal])
        #expect(reports.map(\.header.firstLSN) == [5, 6, 7])
        #expect(same(body, piece(4, bytes: 20_000).bytes + piece(5, bytes: 20_000).bytes))
        let verdict = try inspector.verify()
        #expect(verdict.problem == nil && verdict.segments == 2 && verdict.entries == 4 && verdict.seals == 1)
        #expect(verdict.firstLSN == 3 && verdict.lastLSN == 6 && verdict.batches == 4)
        #expect(verdict.bodyBytes == 80_000 && verdict.droppedBytes == 0)
        #expect(verdict.chain == reports.last?.header.chain)
        #expect(machine.disk.operationCount == operations)
    }

    @Test("the inspector shows what recovery would refuse")
    func inspectorDamage() throws {
        let machine = Machine()
        let session = try machine.open()
        for number in 0..<3 { try session.write(piece(number)) }
        machine.disk.flip(bit: (12_288 + 130) * 8, of: machine.path(1))
        let inspector = JournalInspector(directory: "data/wal", fileSystem: machine.disk)
        var statuses: [BatchReport.Status] = []
        try inspector.batches(of: try inspector.segments()[0]) { report, _ in statuses.append(report.status) }
        #expect(statuses == [.whole, .torn, .stray])
        guard case .damaged(_, 12_288, 2, 2, .laterBatch(16_384)) = try inspector.verify().problem else {
            Issue.record("damage went unnoticed")
            return
        }
        machine.disk.flip(bit: 99, of: machine.path(1))
        #expect(try inspector.segments()[0].goodHeaders == 1)
        machine.disk.flip(bit: 40_000, of: machine.path(1))
        #expect(try inspector.segments()[0].kind == .unreadable)
        #expect(session.fatalErrors.isEmpty)
    }
}
