// A file of the simulated disk: for tests and simulation only.

import Bytes
import Glibc

final class SimulatedFile: File {
    let path: String
    let caching: FileCaching
    private let fileSystem: SimulatedFileSystem
    private let inode: Int
    private let generation: Int

    init(
        _ fileSystem: SimulatedFileSystem, _ path: String, _ caching: FileCaching, _ inode: Int,
        _ generation: Int
    ) {
        self.fileSystem = fileSystem
        self.path = path
        self.caching = caching
        self.inode = inode
        self.generation = generation
    }

    deinit {
        fileSystem.state.withLock { state in
            if state.locks[inode] == ObjectIdentifier(self) { state.locks[inode] = nil }
        }
    }

    /// Runs `body` on the disk unless this file was opened before the last cut or kill.
    private func withState<Result>(
        _ call: String, _ body: (inout SimulatedFileSystem.State) throws(FileError) -> Result
    ) throws(FileError) -> Result {
        try fileSystem.state.withLock { (state) throws(FileError) -> Result in
            guard state.generation == generation else { throw SimulatedFileSystem.stopped(call, path) }
            return try body(&state)
        }
    }

    private func checkAlignment(_ call: String, _ address: UInt, _ count: Int, _ offset: Int)
        throws(FileError)
    {
        guard caching != .buffered else { return }
        guard Int(address) % directAlignment == 0, count % directAlignment == 0, offset % directAlignment == 0
        else { throw FileError(call: call, path: path, code: EINVAL) }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileError) -> Int {
        let address = UInt(bitPattern: buffer.baseAddress)
        try checkAlignment("pread", address, buffer.count, offset)
        // The bytes are copied out of the lock, because a raw buffer cannot be passed into it.
        let bytes = try withState("pread") { (state) throws(FileError) -> [UInt8] in
            try state.begin(.read, path)
            guard let file = state.inodes[inode] else { return [] }
            let image = caching == .buffered ? file.live : file.device
            guard offset < image.count else { return [] }
            return Array(image[offset..<Swift.min(offset + buffer.count, image.count)])
        }
        unsafe bytes.withUnsafeBytes { unsafe buffer.copyMemory(from: $0) }
        return bytes.count
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
        let address = UInt(bitPattern: bytes.baseAddress)
        try checkAlignment("pwrite", address, bytes.count, offset)
        let copy = unsafe Array(bytes)
        try withState("pwrite") { (state) throws(FileError) in
            if state.inodes[inode]?.hasFailed == true { state.touchesAfterFailure += 1 }
            let fault = try state.beginOrFault(.write, path)
            if let fault {
                // The caller sees an error, and readers the old bytes; the disk may have the new ones.
                switch fault.effect {
                case .nothing: break
                case .everything: state.change(inode, .write(offset: offset, bytes: copy))
                case .prefix(let count):
                    state.change(inode, .write(offset: offset, bytes: Array(copy.prefix(count))))
                }
                state.inodes[inode]?.hasFailed = true
                throw FileError(call: "pwrite", path: path, code: fault.code)
            }
            let growth = offset + copy.count - (state.inodes[inode]?.live.count ?? 0)
            if let capacity = state.capacityBytes, growth > 0, state.usedBytes + growth > capacity {
                throw FileError(call: "pwrite", path: path, code: ENOSPC)
            }
            state.change(inode, .write(offset: offset, bytes: copy))
            try state.finish("pwrite", path)
            if caching == .directDurable { state.settleLast(inode) }
        }
    }

    func synchronize() throws(FileError) {
        try withState("fdatasync") { (state) throws(FileError) in
            if state.inodes[inode]?.hasFailed == true { state.touchesAfterFailure += 1 }
            if let fault = try state.beginOrFault(.synchronize, path) {
                // The kernel marks the pages clean although the disk does not have them.
                state.inodes[inode]?.pending = []
                state.inodes[inode]?.cacheLies = true
                state.inodes[inode]?.hasFailed = true
                throw FileError(call: "fdatasync", path: path, code: fault.code)
            }
            try state.finish("fdatasync", path)
            state.settle(inode)
        }
    }

    func allocate(bytes: Int) throws(FileError) {
        try withState("fallocate") { (state) throws(FileError) in
            try state.begin(.allocate, path)
            let growth = bytes - (state.inodes[inode]?.live.count ?? 0)
            guard growth > 0 else { return }
            if let capacity = state.capacityBytes, state.usedBytes + growth > capacity {
                throw FileError(call: "fallocate", path: path, code: ENOSPC)
            }
            state.change(inode, .resize(bytes: bytes))
            try state.finish("fallocate", path)
        }
    }

    func evictCache() throws(FileError) {
        try withState("posix_fadvise") { (state) throws(FileError) in
            guard let file = state.inodes[inode], file.cacheLies, !state.ignoresEviction else { return }
            state.inodes[inode]?.live = file.device
            state.inodes[inode]?.cacheLies = false
        }
    }

    func size() throws(FileError) -> Int {
        try withState("fstat") { (state) throws(FileError) in state.inodes[inode]?.live.count ?? 0 }
    }

    func tryLock() throws(FileError) -> Bool {
        try withState("flock") { (state) throws(FileError) in
            let holder = state.locks[inode]
            guard holder == nil || holder == ObjectIdentifier(self) else { return false }
            state.locks[inode] = ObjectIdentifier(self)
            return true
        }
    }

    func truncate(to bytes: Int) throws(FileError) {
        try withState("ftruncate") { (state) throws(FileError) in
            try state.begin(.truncate, path)
            state.change(inode, .resize(bytes: bytes))
            try state.finish("ftruncate", path)
        }
    }
}
