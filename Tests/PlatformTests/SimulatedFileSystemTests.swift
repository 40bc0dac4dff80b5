// The simulated disk loses what a real one may lose, and nothing that a real one must keep.

import Bytes
import Glibc
import Platform
import Testing

@Suite("the simulated disk")
struct SimulatedFileSystemTests {
    static func disk(_ capacityBytes: Int? = nil) throws -> SimulatedFileSystem {
        let disk = SimulatedFileSystem(capacityBytes: capacityBytes)
        try disk.createDirectory("d")
        return disk
    }

    /// What a file is after a power cut, for many seeds.
    static func outcomes(_ disk: SimulatedFileSystem, _ path: String) -> Set<[UInt8]?> {
        Set(
            (UInt64(0)..<200).map { seed in
                let copy = disk.fork()
                copy.cutPower(seed: seed)
                return copy.contents(of: path)
            })
    }

    @Test("a power cut keeps what was synchronized and keeps, drops or tears the rest")
    func powerCut() throws {
        let disk = try Self.disk()
        let file = try disk.open("d/a", .replace, .buffered)
        let old = [UInt8](repeating: 1, count: 1024)
        let new = [UInt8](repeating: 2, count: 1024)
        try file.write(old, at: 0)
        // Neither the name nor the bytes are durable.
        #expect(Self.outcomes(disk, "d/a").contains(nil))
        try file.synchronize()
        try disk.synchronizeDirectory("d")
        #expect(Self.outcomes(disk, "d/a") == [old])
        try file.write(new, at: 0)
        let found = Self.outcomes(disk, "d/a").compactMap(\.self)
        let halves = [Array(old.prefix(512)), Array(new.prefix(512))]
        for first in halves {
            for second in halves { #expect(found.contains(first + second)) }
        }
        // Garbage in sectors that were being written, and never anywhere else.
        #expect(found.count > 4 && found.allSatisfy { $0.count == 1024 })
        try file.synchronize()
        #expect(Self.outcomes(disk, "d/a") == [new])
    }

    @Test("a later write may survive an earlier one, and names survive in order")
    func order() throws {
        let disk = try Self.disk()
        let file = try disk.open("d/a", .replace, .buffered)
        try file.write([UInt8](repeating: 0, count: 1024), at: 0)
        try file.synchronize()
        try disk.synchronizeDirectory("d")
        try file.write([UInt8](repeating: 1, count: 512), at: 0)
        try file.write([UInt8](repeating: 2, count: 512), at: 512)
        let hole = [UInt8](repeating: 0, count: 512) + [UInt8](repeating: 2, count: 512)
        #expect(Self.outcomes(disk, "d/a").contains(hole))
        try disk.rename("d/a", to: "d/b")
        try disk.rename("d/b", to: "d/c")
        var names: Set<[String]> = []
        for seed in UInt64(0)..<50 {
            let copy = disk.fork()
            copy.cutPower(seed: seed)
            names.insert(try copy.list("d"))
        }
        #expect(names == [["a"], ["b"], ["c"]])
    }

    @Test("a durable write survives, and one that was under way may be torn")
    func durableWrite() throws {
        let disk = try Self.disk()
        let file = try disk.open("d/a", .replace, .directDurable)
        let buffer = AlignedBuffer(count: 4096)
        try unsafe file.write(buffer.prefix(4096), at: 0)
        try disk.synchronizeDirectory("d")
        #expect(Self.outcomes(disk, "d/a") == [[UInt8](repeating: 0, count: 4096)])
        for index in 0..<4096 { unsafe buffer.bytes[index] = 1 }
        disk.stop(atOperation: disk.operationCount + 1)
        #expect(throws: FileError.self) { try unsafe file.write(buffer.prefix(4096), at: 0) }
        #expect(disk.isStopped)
        #expect(throws: FileError.self) { try disk.remove("d/a") }
        #expect(Self.outcomes(disk, "d/a").count > 3)
    }

    @Test("a durable write makes nothing durable that was written elsewhere in the file")
    func durableWriteAlone() throws {
        let disk = try Self.disk()
        let buffer = AlignedBuffer(count: 12_288)
        for index in 0..<12_288 { unsafe buffer.bytes[index] = 1 }
        try unsafe disk.open("d/a", .replace, .direct).write(buffer.prefix(12_288), at: 0)
        try disk.synchronizeDirectory("d")
        for index in 0..<4096 { unsafe buffer.bytes[index] = 2 }
        try unsafe disk.open("d/a", .readWrite, .directDurable).write(buffer.prefix(4096), at: 4096)
        let found = Self.outcomes(disk, "d/a").compactMap(\.self)
        #expect(found.allSatisfy { $0[4096..<8192].allSatisfy { $0 == 2 } })
        #expect(found.contains { $0.count == 8192 && $0[0] == 0 } && found.contains { $0.count == 12_288 })
    }

    @Test("a failed synchronize leaves a cache that lies until it is evicted")
    func lyingCache() throws {
        let disk = try Self.disk()
        let file = try disk.open("d/a", .replace, .buffered)
        try file.write([UInt8](repeating: 1, count: 4096), at: 0)
        try file.synchronize()
        try disk.synchronizeDirectory("d")
        try file.write([UInt8](repeating: 2, count: 4096), at: 0)
        disk.fail(.synchronize)
        #expect(throws: FileError(call: "fdatasync", path: "d/a", code: EIO)) { try file.synchronize() }
        disk.killProcess()
        // A new process: the second synchronize succeeds, readers see the new bytes, the disk has the old.
        let again = try disk.open("d/a", .readWrite, .buffered)
        try again.synchronize()
        #expect(try again.read(1, at: 0) == [2])
        #expect(disk.contents(of: "d/a")?.first == 1)
        #expect(Self.outcomes(disk, "d/a") == [[UInt8](repeating: 1, count: 4096)])
        try disk.distrustCache(of: "d/a")
        #expect(try again.read(1, at: 0) == [1])
        #expect(disk.touchesAfterFailure == 2)
    }

    @Test("faults hit the call that was named, as often as was asked")
    func faults() throws {
        let disk = try Self.disk()
        let file = try disk.open("d/a", .replace, .buffered)
        disk.fail(.write, call: 2, times: 2, code: EIO, pathPart: "a", effect: .prefix(bytes: 3))
        var failures: [Int] = []
        for call in 1...5 {
            do {
                try file.write([UInt8](repeating: UInt8(call), count: 8), at: 0)
            } catch {
                failures.append(call)
            }
        }
        #expect(failures == [2, 3] && disk.callCount(.write) == 5)
        disk.fail(.rename)
        disk.fail(.remove)
        disk.fail(.read)
        disk.fail(.allocate)
        disk.fail(.synchronizeDirectory)
        #expect(throws: FileError.self) { try disk.rename("d/a", to: "d/b") }
        #expect(throws: FileError.self) { try disk.remove("d/a") }
        #expect(throws: FileError.self) { try file.read(1, at: 0) }
        #expect(throws: FileError.self) { try file.allocate(bytes: 9) }
        #expect(throws: FileError.self) { try disk.synchronizeDirectory("d") }
        disk.fail(.remove)
        disk.healFaults()
        try disk.remove("d/a")
    }

    @Test("a disk of a fixed size fills up and heals")
    func capacity() throws {
        let disk = try Self.disk(10_000)
        let file = try disk.open("d/a", .replace, .buffered)
        try file.allocate(bytes: 8000)
        #expect(throws: FileError(call: "fallocate", path: "d/b", code: ENOSPC)) {
            try disk.open("d/b", .replace, .buffered).allocate(bytes: 4000)
        }
        #expect(throws: FileError.self) { try file.write([UInt8](repeating: 1, count: 4000), at: 8000) }
        try file.write([UInt8](repeating: 1, count: 8000), at: 0)
        #expect(try disk.freeBytes(at: "d") == 2000)
        try disk.remove("d/a")
        try disk.open("d/b", .createOrKeep, .buffered).allocate(bytes: 9000)
    }

    @Test("files of a killed process are dead and its locks free")
    func killed() throws {
        let disk = try Self.disk()
        let file = try disk.open("d/a", .replace, .buffered)
        try file.write([7], at: 0)
        #expect(try file.tryLock())
        #expect(try disk.open("d/a", .read, .buffered).tryLock() == false)
        disk.killProcess()
        #expect(throws: FileError.self) { try file.write([8], at: 0) }
        #expect(throws: FileError.self) { try file.synchronize() }
        let again = try disk.open("d/a", .readWrite, .buffered)
        #expect(try again.tryLock() && again.read(9, at: 0) == [7])
    }

    @Test("a disk without direct I/O refuses direct files")
    func noDirect() throws {
        let disk = SimulatedFileSystem(supportsDirect: false)
        try disk.createDirectory("d")
        do {
            _ = try disk.open("d/a", .replace, .directDurable)
            Issue.record("opened")
        } catch {
            #expect(error.isDirectRefused)
        }
        #expect(try disk.list("d") == [])
    }
}
