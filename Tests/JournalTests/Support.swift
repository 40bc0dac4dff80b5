// What the journal's tests share: a simulated machine, a source of entries, and how a log is read back.

import Bytes
import Platform
import Synchronization
import Testing

@testable import Journal

/// A piece as it was staged or as it came back.
struct Piece: Hashable, Sendable {
    var entryCount: Int
    var bytes: [UInt8]
}

/// A machine with a disk, a clock and chance, all simulated.
struct Machine {
    var disk: SimulatedFileSystem
    var clock = SimulatedClock()
    var entropy: SimulatedEntropy
    var configuration: JournalConfiguration

    static let directoryID = DirectoryID(high: 0x1111_2222_3333_4444, low: 0x5555_6666_7777_8888)

    init(
        seed: UInt64 = 1, capacityBytes: Int? = nil, supportsDirect: Bool = true,
        segmentBytes: Int = JournalLimits.segmentBytesMin
    ) {
        disk = SimulatedFileSystem(capacityBytes: capacityBytes, supportsDirect: supportsDirect)
        entropy = SimulatedEntropy(seed: seed)
        configuration = JournalConfiguration(
            directory: "data/wal", quarantineDirectory: "data/quarantine", directoryID: Self.directoryID,
            segmentBytes: segmentBytes)
        configuration.usesThreads = false
        do {
            try disk.createDirectory("data")
        } catch {
            Issue.record(error)
        }
    }

    /// The same machine with another disk.
    func with(_ disk: SimulatedFileSystem) -> Machine {
        var copy = self
        copy.disk = disk
        return copy
    }

    /// Opens the journal and collects what it replays.
    func open(_ evidence: JournalEvidence = JournalEvidence()) throws -> Session {
        var replayed: [Replayed] = []
        let lock = try DirectoryLock(directory: "data", fileSystem: disk)
        let journal = try Journal(
            configuration, lock: lock, fileSystem: disk, clock: clock, entropy: entropy, evidence: evidence
        ) { replayed.append(Replayed($0)) }
        let source = TestSource()
        let fatal = Mutex<[JournalError]>([])
        let session = Session(journal: journal, source: source, replayed: replayed, fatal: Box(fatal))
        try journal.start(source: source) { [box = session.fatal] error in
            box.value.withLock { $0.append(error) }
        }
        return session
    }

    func path(_ id: UInt64) -> String { SegmentName(id, .segment).path(in: configuration.directory) }
}

final class Box<Value: ~Copyable & Sendable>: Sendable {
    let value: Value
    init(_ value: consuming sending Value) { self.value = value }
}

/// A batch as it was replayed.
struct Replayed: Hashable {
    var firstLSN: UInt64
    var piece: Piece
    var wallMicroseconds: Int64

    init(_ batch: JournalBatch) {
        firstLSN = batch.firstLSN
        piece = Piece(entryCount: batch.entryCount, bytes: Array(batch.body))
        wallMicroseconds = batch.wallMicroseconds
    }
}

/// An open journal with its source.
struct Session {
    let journal: Journal
    let source: TestSource
    let replayed: [Replayed]
    let fatal: Box<Mutex<[JournalError]>>

    var fatalErrors: [JournalError] { fatal.value.withLock { $0 } }

    /// Stages a piece and runs a cycle; false when the journal waits for a segment.
    @discardableResult
    func write(_ pieces: [Piece]) throws(JournalError) -> Bool {
        for piece in pieces { source.stage(piece) }
        return try journal.step()
    }

    @discardableResult
    func write(_ piece: Piece) throws(JournalError) -> Bool { try write([piece]) }
}

/// Stages pieces and notes what became durable.
final class TestSource: JournalSource {
    struct State {
        var staged: [Piece] = []
        /// What was collected, with its cycle and its first LSN.
        var collected: [(cycle: UInt64, lsn: UInt64, piece: Piece)] = []
        var cycles: [UInt64] = []
    }

    let state = Mutex(State())

    func stage(_ piece: Piece) { state.withLock { $0.staged.append(piece) } }

    func collect(cycle: UInt64, into batch: inout BatchBuilder) {
        let pieces = state.withLock { state in
            defer { state.staged = [] }
            return state.staged
        }
        for piece in pieces {
            let lsn = piece.bytes.withView { batch.append($0, entryCount: piece.entryCount) }
            state.withLock { $0.collected.append((cycle, lsn, piece)) }
        }
    }

    func cycleDidBecomeDurable(_ cycle: UInt64) { state.withLock { $0.cycles.append(cycle) } }

    /// Every piece that was answered, in order.
    var durable: [Piece] {
        state.withLock { state in
            let last = state.cycles.last ?? 0
            return state.collected.filter { $0.cycle <= last }.map(\.piece)
        }
    }

    /// Every piece that was handed over, answered or not.
    var collected: [Piece] { state.withLock { $0.collected.map(\.piece) } }
}

/// A piece of one entry whose bytes tell its number.
func piece(_ number: Int, bytes: Int = 40) -> Piece {
    let text = Array("entry \(number) ".utf8.prefix(bytes))
    // Neither zero nor what the tests fill holes with.
    let rest = UInt8(1 + number.magnitude * 31 % 200)
    return Piece(entryCount: 1, bytes: text + Array(repeating: rest, count: bytes - text.count))
}

/// Whether two runs of bytes are the same, by `memcmp`: comparing arrays is slow in a debug build.
func same(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    left.withView { left in right.withView { left == $0 } }
}

extension [Replayed] {
    /// All entries, joined: batches may hold several pieces.
    var bytes: [UInt8] { reduce(into: []) { $0 += $1.piece.bytes } }
    var entryCount: Int { reduce(0) { $0 + $1.piece.entryCount } }
}

extension Sequence<Piece> {
    var bytes: [UInt8] { reduce(into: []) { $0 += $1.bytes } }
    var entryCount: Int { reduce(0) { $0 + $1.entryCount } }
}

/// Reads the log of a disk without changing anything: the batches with entries and the end.
func check(_ machine: Machine) throws -> (batches: [Replayed], end: LogEnd) {
    let survey = try SegmentSurvey(
        directory: machine.configuration.directory, fileSystem: machine.disk, distrustsCache: false)
    let log = try LogSegments(survey, directoryID: Machine.directoryID)
    var batches: [Replayed] = []
    let end = try RecoveryPipeline(log.begun, fileSystem: machine.disk).run(usesThreads: false) { batch in
        if batch.entryCount > 0 { batches.append(Replayed(batch)) }
    }
    try log.checkUnbegun(end, fileSystem: machine.disk)
    return (batches, end)
}

/// The error that `body` throws, which must be the journal's.
func journalError(_ body: () throws -> Void) throws -> JournalError? {
    do {
        try body()
        return nil
    } catch let error as JournalError {
        return error
    }
}
