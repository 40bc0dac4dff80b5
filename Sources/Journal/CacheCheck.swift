// Whether the page cache still shows bytes that never reached the disk.
//
// After a failed write the kernel may go on showing what was to be written. Every file is dropped from the cache
// before it is read, but that is advice, which the kernel may not follow for a page that is dirty, locked or mapped.
// Recovery reads past the cache, so it is not misled; whoever reads through it would be: SQLite in the same
// directory, a backup, the next process on a file system without direct reads. So both are compared where a write
// may have failed last, around the end of the log.

import Platform

/// Compares direct with buffered reads.
struct CacheCheck {
    /// How much is compared before and behind the end of the log.
    private static let bytesBefore = 4 << 20
    private static let bytesBehind = 1 << 20

    let fileSystem: any FileSystem

    /// Compares a segment around `offset`, a multiple of the block size. Where the file system has no direct reads
    /// there is nothing to compare.
    func check(_ path: String, around offset: Int) throws(JournalError) {
        let difference = try withFileErrors { () throws(FileError) -> JournalError? in
            let direct = try fileSystem.openForReading(path)
            guard direct.caching != .buffered else { return nil }
            let cached = try fileSystem.open(path, .read, .buffered)
            let end = min(try cached.size(), offset + Self.bytesBehind)
            let start = max(0, min(offset, end) - Self.bytesBefore)
            let count = (end - start) / JournalLimits.blockBytes * JournalLimits.blockBytes
            let onDisk = AlignedBuffer(count: count)
            let inCache = AlignedBuffer(count: count)
            let diskCount = try unsafe direct.read(into: onDisk.bytes, at: start)
            let cacheCount = try unsafe cached.read(into: inCache.bytes, at: start)
            for block in stride(from: 0, to: min(diskCount, cacheCount), by: JournalLimits.blockBytes) {
                let range = block..<block + JournalLimits.blockBytes
                guard unsafe onDisk.bytes[range].elementsEqual(inCache.bytes[range]) else {
                    return .cacheDiffers(path: path, offset: start + block)
                }
            }
            return diskCount == cacheCount ? nil : .cacheDiffers(path: path, offset: start + diskCount)
        }
        if let difference { throw difference }
    }
}
