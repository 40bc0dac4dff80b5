// The machine's own files and the simulated ones behave alike, as far as a program can see.

import Bytes
import Glibc
import Platform
import Synchronization
import Testing

/// A directory that is removed when its owner goes.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = "/tmp/tollgate-platform-\(SystemEntropy().next())"
        try LinuxFileSystem().createDirectory(path)
    }

    deinit {
        do {
            for name in try LinuxFileSystem().list(path) {
                unsafe unlink(path + "/" + name)
                unsafe rmdir(path + "/" + name)
            }
        } catch {
            Issue.record(error)
        }
        unsafe rmdir(path)
    }
}

extension File {
    func write(_ bytes: [UInt8], at offset: Int) throws(FileError) {
        try bytes.withView { (view) throws(FileError) in try unsafe write(view.buffer, at: offset) }
    }

    func read(_ count: Int, at offset: Int) throws(FileError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let done = try unsafe bytes.withUnsafeMutableBufferPointer { (buffer) throws(FileError) in
            try unsafe read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
        }
        return Array(bytes.prefix(done))
    }
}

@Suite("files")
struct FileSystemTests {
    /// A file system and a directory in it: real, then simulated.
    static func each(_ body: (any FileSystem, String) throws -> Void) throws {
        let directory = try TemporaryDirectory()
        try body(LinuxFileSystem(), directory.path)
        let simulated = SimulatedFileSystem()
        try simulated.createDirectory("data")
        try body(simulated, "data")
    }

    @Test("bytes that were written are read, and reading stops at the end")
    func readAndWrite() throws {
        try Self.each { files, directory in
            let file = try files.open(directory + "/a", .replace, .buffered)
            #expect(try file.size() == 0 && file.read(10, at: 0) == [])
            try file.write([1, 2, 3], at: 5)
            #expect(try file.read(20, at: 0) == [0, 0, 0, 0, 0, 1, 2, 3])
            #expect(try file.read(2, at: 6) == [2, 3] && file.size() == 8)
            try file.synchronize()
            try file.evictCache()
            #expect(try file.read(20, at: 0) == [0, 0, 0, 0, 0, 1, 2, 3])
            try file.truncate(to: 6)
            #expect(try file.read(20, at: 0) == [0, 0, 0, 0, 0, 1])
            try file.allocate(bytes: 10_000)
            #expect(try file.size() == 10_000 && file.path == directory + "/a")
        }
    }

    @Test("direct files take whole blocks from aligned memory")
    func direct() throws {
        try Self.each { files, directory in
            do {
                let buffer = AlignedBuffer(count: 8000)
                #expect(buffer.count == 8192)
                for index in 0..<8192 { unsafe buffer.bytes[index] = UInt8(truncatingIfNeeded: index / 9) }
                let file = try files.open(directory + "/a", .createOrKeep, .directDurable)
                try unsafe file.write(buffer.prefix(8192), at: 4096)
                let back = AlignedBuffer(count: 16_384)
                let reader = try files.open(directory + "/a", .read, .direct)
                #expect(try unsafe reader.read(into: back.bytes, at: 0) == 12_288)
                #expect(unsafe back.bytes[4096..<12_288].elementsEqual(buffer.prefix(8192)))
                #expect(throws: FileError.self) { try unsafe file.write(buffer.prefix(100), at: 0) }
                #expect(throws: FileError.self) { try unsafe file.write(buffer.prefix(4096), at: 1) }
            } catch let error as FileError where error.isDirectRefused {
                // The directory for temporary files may be on a file system without direct I/O.
            }
        }
    }

    @Test("names are listed, moved, replaced and removed")
    func names() throws {
        try Self.each { files, directory in
            for name in ["b", "a", "c"] {
                try files.open(directory + "/" + name, .replace, .buffered).write(Array(name.utf8), at: 0)
            }
            #expect(try files.list(directory) == ["a", "b", "c"])
            try files.rename(directory + "/a", to: directory + "/c")
            try files.remove(directory + "/b")
            try files.synchronizeDirectory(directory)
            #expect(try files.list(directory) == ["c"])
            #expect(try files.open(directory + "/c", .read, .buffered).read(9, at: 0) == Array("a".utf8))
            try files.createDirectory(directory + "/d")
            try files.createDirectory(directory + "/d")
            #expect(try files.list(directory) == ["c", "d"])
            #expect(try files.list(directory + "/d") == [])
            #expect(try files.open(directory + "/c", .createOrKeep, .buffered).size() == 1)
            #expect(try files.open(directory + "/c", .replace, .buffered).size() == 0)
            #expect(try files.freeBytes(at: directory) > 0)
        }
    }

    @Test("a refused call names itself, the file and the reason")
    func errors() throws {
        try Self.each { files, directory in
            let missing = directory + "/missing"
            func code(_ body: () throws -> Void) -> Int32? {
                do {
                    try body()
                    return nil
                } catch let error as FileError {
                    #expect(error.path.hasPrefix(directory) && "\(error)".contains(error.path))
                    return error.code
                } catch {
                    return nil
                }
            }
            #expect(code { _ = try files.open(missing, .read, .buffered) } == ENOENT)
            #expect(code { _ = try files.open(missing, .readWrite, .buffered) } == ENOENT)
            #expect(code { try files.rename(missing, to: missing + "2") } == ENOENT)
            #expect(code { try files.remove(missing) } == ENOENT)
            #expect(code { _ = try files.list(missing) } == ENOENT)
            #expect(code { _ = try files.open(missing + "/a", .replace, .buffered) } == ENOENT)
        }
        let full = FileError(call: "pwrite", path: "x", code: ENOSPC)
        #expect(full.isDiskFull && !full.isDirectRefused)
        #expect("\(full)" == "pwrite failed on x: No space left on device (errno 28)")
        #expect(FileError(call: "open", path: "x", code: EINVAL).isDirectRefused)
    }

    @Test("one owner holds the lock of a directory, until it lets go")
    func lock() throws {
        try Self.each { files, directory in
            do {
                let first = try DirectoryLock(directory: directory, fileSystem: files)
                do {
                    _ = try DirectoryLock(directory: directory, fileSystem: files)
                    Issue.record("two owners")
                } catch DirectoryLockError.held(let path, let owner) {
                    #expect(path == directory + "/LOCK" && owner == "\(getpid())")
                    let text = DirectoryLockError.held(path: path, owner: owner).description
                    #expect(text.contains("process \(owner)"))
                }
                withExtendedLifetime(first) {}
            }
            _ = try DirectoryLock(directory: directory, fileSystem: files)
            #expect(throws: DirectoryLockError.self) {
                _ = try DirectoryLock(directory: directory + "/missing", fileSystem: files)
            }
        }
    }

    @Test("a child process does not inherit the lock")
    func lockNotInherited() throws {
        let directory = try TemporaryDirectory()
        let files = LinuxFileSystem()
        let lock = try DirectoryLock(directory: directory.path, fileSystem: files)
        var child = pid_t()
        var arguments: [UnsafeMutablePointer<CChar>?] = unsafe [strdup("sleep"), strdup("60"), nil]
        #expect(unsafe posix_spawn(&child, "/bin/sleep", nil, nil, &arguments, environ) == 0)
        for index in 0..<2 { unsafe free(arguments[index]) }
        let process = "/proc/\(child)"
        for _ in 0..<5000 where !Self.target(of: process + "/exe").hasSuffix("sleep") { usleep(1000) }
        let open = try files.list(process + "/fd").map { Self.target(of: process + "/fd/" + $0) }
        #expect(!open.isEmpty && !open.contains(directory.path + "/LOCK"))
        kill(child, SIGKILL)
        #expect(waitpid(child, nil, 0) == child)
        withExtendedLifetime(lock) {}
    }

    /// Where a symbolic link leads.
    static func target(of link: String) -> String {
        var bytes = [CChar](repeating: 0, count: 4096)
        let count = unsafe readlink(link, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
