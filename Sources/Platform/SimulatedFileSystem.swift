// A disk that can be cut at any operation: for tests and simulation only.
//
// Each file has what the disk is sure to hold, the changes since that nobody has synchronized, in
// order, and what readers see. Each directory has the names that are durable and the changes since.
// A power cut keeps, drops or tears every change that was not durable, by a seed: writes per sector of
// 512 bytes and in any order, names per directory as a prefix, since file systems journal them in
// order. A killed process loses nothing but its open files and locks.
//
// After a failed `synchronize` of a buffered file the pages count as clean, readers see the new bytes
// and the disk has the old ones: this is what Linux does, and why a cache must not be believed.
// `evictCache` brings the disk's bytes back. Directories themselves are durable when made.

import Bytes
import Glibc
import Synchronization

/// The operations of a simulated disk that change something, or can be made to fail.
public enum SimulatedOperation: Hashable, Sendable {
    case create, read, write, synchronize, allocate, truncate, rename, remove, synchronizeDirectory
}

/// What of a failing write reaches the disk all the same.
public enum FailedWriteEffect: Hashable, Sendable {
    case nothing, everything
    /// The first bytes, as when a write is cut short.
    case prefix(bytes: Int)
}

/// A file system in memory that loses power, fills up and fails, when told to.
public final class SimulatedFileSystem: FileSystem {
    let state: Mutex<State>

    /// A disk of `capacityBytes`, or without bounds. Without `supportsDirect` it refuses direct files,
    /// as some file systems do, with EINVAL.
    public init(capacityBytes: Int? = nil, supportsDirect: Bool = true) {
        state = Mutex(State(capacityBytes: capacityBytes, supportsDirect: supportsDirect))
    }

    init(_ state: State) { self.state = Mutex(state) }

    struct State: Sendable {
        var inodes: [Int: Inode] = [:]
        /// The names as running programs see them: path to file.
        var names: [String: Int] = [:]
        var durableNames: [String: Int] = [:]
        /// Changes of names that are not durable, by directory, in order.
        var pendingNames: [String: [NameChange]] = [:]
        var directories: Set<String> = ["", "/"]
        /// Which open file holds the lock of a file.
        var locks: [Int: ObjectIdentifier] = [:]
        /// Rises with each power cut and kill; files opened before are dead.
        var generation = 0
        var operationCount = 0
        var stopAtOperation: Int?
        var isStopped = false
        var faults: [Fault] = []
        var callCounts: [SimulatedOperation: Int] = [:]
        var touchesAfterFailure = 0
        var ignoresEviction = false
        var capacityBytes: Int?
        var supportsDirect: Bool
        var nextInode = 1

        init(capacityBytes: Int?, supportsDirect: Bool) {
            self.capacityBytes = capacityBytes
            self.supportsDirect = supportsDirect
        }
    }

    struct Inode: Sendable {
        var durable: [UInt8] = []
        var live: [UInt8] = []
        var pending: [FileChange] = []
        /// The cache shows bytes that the disk does not have.
        var cacheLies = false
        /// A write or a synchronize failed: nobody may try again.
        var hasFailed = false

        /// What the disk would answer: the durable bytes and whatever is on its way.
        var device: [UInt8] {
            guard cacheLies else { return live }
            var image = durable
            for change in pending { change.apply(to: &image) }
            return image
        }
    }

    enum FileChange: Sendable {
        case write(offset: Int, bytes: [UInt8])
        case resize(bytes: Int)

        func apply(to image: inout [UInt8]) {
            switch self {
            case .write(let offset, let bytes):
                if image.count < offset + bytes.count {
                    Self.resize(&image, to: offset + bytes.count)
                }
                unsafe image.withUnsafeMutableBytes { image in
                    unsafe bytes.withUnsafeBytes { bytes in
                        let target = unsafe UnsafeMutableRawBufferPointer(
                            rebasing: image[offset..<offset + bytes.count])
                        unsafe target.copyMemory(from: bytes)
                    }
                }
            case .resize(let bytes):
                Self.resize(&image, to: bytes)
            }
        }

        /// What it changes outside of `range`.
        func sparing(_ range: Range<Int>) -> [FileChange] {
            guard case .write(let offset, let bytes) = self else { return [self] }
            let own = offset..<offset + bytes.count
            guard own.overlaps(range) else { return [self] }
            var rest: [FileChange] = []
            if own.lowerBound < range.lowerBound {
                rest.append(.write(offset: offset, bytes: Array(bytes.prefix(range.lowerBound - offset))))
            }
            if own.upperBound > range.upperBound {
                rest.append(
                    .write(
                        offset: range.upperBound,
                        bytes: Array(bytes.suffix(own.upperBound - range.upperBound))))
            }
            return rest
        }

        /// Cuts, or extends with zeros; in one copy, since a debug build appends byte by byte.
        private static func resize(_ image: inout [UInt8], to count: Int) {
            guard image.count != count else { return }
            image = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
                let target = UnsafeMutableRawBufferPointer(buffer)
                let kept = Swift.min(image.count, count)
                unsafe image.withUnsafeBytes { bytes in
                    unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[0..<kept]))
                }
                let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: target[kept...])
                unsafe rest.initializeMemory(as: UInt8.self, repeating: 0)
                initialized = count
            }
        }
    }

    enum NameChange: Sendable {
        case link(String, Int)
        case rename(String, to: String, Int)
        case unlink(String)

        func apply(to names: inout [String: Int]) {
            switch self {
            case .link(let path, let inode): names[path] = inode
            case .rename(let from, let to, let inode):
                names[from] = nil
                names[to] = inode
            case .unlink(let path): names[path] = nil
            }
        }
    }

    struct Fault: Sendable {
        let operation: SimulatedOperation
        let pathPart: String
        let call: Int
        let times: Int
        let code: Int32
        let effect: FailedWriteEffect
        var matched = 0
    }

    // The file system.

    public func open(
        _ path: String, _ access: FileAccess, _ caching: FileCaching
    ) throws(FileError) -> any File {
        try state.withLock { (state) throws(FileError) -> any File in
            if state.isStopped { throw Self.stopped("open", path) }
            guard caching == .buffered || state.supportsDirect else {
                throw FileError(call: "open", path: path, code: EINVAL)
            }
            if let inode = state.names[path] {
                if access == .replace {
                    try state.begin(.truncate, path)
                    state.change(inode, .resize(bytes: 0))
                    try state.finish("open", path)
                }
                return SimulatedFile(self, path, caching, inode, state.generation)
            }
            guard access == .replace || access == .createOrKeep else {
                throw FileError(call: "open", path: path, code: ENOENT)
            }
            guard state.directories.contains(Self.directory(of: path)) else {
                throw FileError(call: "open", path: path, code: ENOENT)
            }
            try state.begin(.create, path)
            let inode = state.nextInode
            state.nextInode += 1
            state.inodes[inode] = Inode()
            state.change(.link(path, inode), in: path)
            try state.finish("open", path)
            return SimulatedFile(self, path, caching, inode, state.generation)
        }
    }

    public func createDirectory(_ path: String) throws(FileError) {
        try state.withLock { (state) throws(FileError) in
            if state.isStopped { throw Self.stopped("mkdir", path) }
            state.directories.insert(path)
        }
    }

    public func list(_ directory: String) throws(FileError) -> [String] {
        try state.withLock { (state) throws(FileError) in
            if state.isStopped { throw Self.stopped("opendir", directory) }
            guard state.directories.contains(directory) else {
                throw FileError(call: "opendir", path: directory, code: ENOENT)
            }
            let paths = Array(state.names.keys) + Array(state.directories)
            return paths.filter { $0 != directory && Self.directory(of: $0) == directory }
                .map { String($0.dropFirst(directory.count + 1)) }
                .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        }
    }

    public func rename(_ from: String, to: String) throws(FileError) {
        try state.withLock { (state) throws(FileError) in
            guard let inode = state.names[from] else {
                throw FileError(call: "rename", path: from, code: ENOENT)
            }
            try state.begin(.rename, from)
            state.change(.rename(from, to: to, inode), in: from)
            try state.finish("rename", from)
        }
    }

    public func remove(_ path: String) throws(FileError) {
        try state.withLock { (state) throws(FileError) in
            guard state.names[path] != nil else {
                throw FileError(call: "unlink", path: path, code: ENOENT)
            }
            try state.begin(.remove, path)
            state.change(.unlink(path), in: path)
            try state.finish("unlink", path)
        }
    }

    public func synchronizeDirectory(_ path: String) throws(FileError) {
        try state.withLock { (state) throws(FileError) in
            try state.begin(.synchronizeDirectory, path)
            try state.finish("fsync", path)
            for change in state.pendingNames.removeValue(forKey: path) ?? [] {
                change.apply(to: &state.durableNames)
            }
        }
    }

    public func freeBytes(at path: String) throws(FileError) -> Int {
        state.withLock { state in
            state.capacityBytes.map { Swift.max($0 - state.usedBytes, 0) } ?? .max
        }
    }

    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "" }
        return String(path[..<slash])
    }

    static func stopped(_ call: String, _ path: String) -> FileError {
        FileError(call: call, path: path, code: ESHUTDOWN)
    }
}

extension SimulatedFileSystem.State {
    /// The bytes that named files take.
    var usedBytes: Int { Set(names.values).reduce(0) { $0 + (inodes[$1]?.live.count ?? 0) } }

    /// Counts an operation and makes it fail where a fault says so.
    mutating func begin(_ operation: SimulatedOperation, _ path: String) throws(FileError) {
        if let fault = try beginOrFault(operation, path) {
            throw FileError(call: "\(operation)", path: path, code: fault.code)
        }
    }

    /// The same, for callers that do something before they fail.
    mutating func beginOrFault(
        _ operation: SimulatedOperation, _ path: String
    ) throws(FileError) -> SimulatedFileSystem.Fault? {
        if isStopped { throw SimulatedFileSystem.stopped("\(operation)", path) }
        callCounts[operation, default: 0] += 1
        if operation != .read { operationCount += 1 }
        for index in faults.indices
        where faults[index].operation == operation && path.contains(faults[index].pathPart) {
            faults[index].matched += 1
            let fault = faults[index]
            if fault.matched >= fault.call && fault.matched - fault.call < fault.times { return fault }
        }
        return nil
    }

    /// Stops the machine when the operation under way is the one to stop at.
    mutating func finish(_ call: String, _ path: String) throws(FileError) {
        guard let stopAtOperation, operationCount >= stopAtOperation else { return }
        isStopped = true
        throw SimulatedFileSystem.stopped(call, path)
    }

    mutating func change(_ inode: Int, _ change: SimulatedFileSystem.FileChange) {
        change.apply(to: &inodes[inode, default: .init()].live)
        inodes[inode, default: .init()].pending.append(change)
    }

    mutating func change(_ change: SimulatedFileSystem.NameChange, in path: String) {
        change.apply(to: &names)
        pendingNames[SimulatedFileSystem.directory(of: path), default: []].append(change)
    }

    /// Makes the last write to a file durable and nothing else: what older ones wrote elsewhere may be lost.
    mutating func settleLast(_ inode: Int) {
        guard var file = inodes.removeValue(forKey: inode) else { return }
        if case .write(let offset, let bytes)? = file.pending.popLast() {
            SimulatedFileSystem.FileChange.write(offset: offset, bytes: bytes).apply(to: &file.durable)
            file.pending = file.pending.flatMap { $0.sparing(offset..<offset + bytes.count) }
        }
        inodes[inode] = file
    }

    /// Makes everything written to a file durable.
    mutating func settle(_ inode: Int) {
        guard var file = inodes.removeValue(forKey: inode) else { return }
        for change in file.pending { change.apply(to: &file.durable) }
        file.pending = []
        inodes[inode] = file
    }
}
