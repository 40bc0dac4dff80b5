// The files of a journal: their names, and how their bytes become durable.
//
// `<id>.seg` is a segment, prepared or begun. `<id>.spare` is a released one that waits to be reused; its
// content means nothing. `<id>.tmp` is one that was being made when the process ended. Ids are written
// with 16 decimal digits, so names sort as ids do. The LSNs are in the header and not in the name, because a
// segment is named when it is prepared and its first LSN is known when it is begun.

import Bytes
import Platform

/// A file name of the journal's directory.
struct SegmentName: Hashable {
    enum Kind: String {
        case segment = "seg"
        case spare
        case temporary = "tmp"
    }

    let id: UInt64
    let kind: Kind

    init(_ id: UInt64, _ kind: Kind) {
        self.id = id
        self.kind = kind
    }

    /// Reads a name; nil when it is none of ours.
    init?(_ name: String) {
        let parts = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].count == 16, let kind = Kind(rawValue: String(parts[1]) ?? ""),
            parts[0].allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }),
            let id = UInt64(String(parts[0]) ?? "")
        else { return nil }
        self.init(id, kind)
    }

    var text: String {
        let digits = String(id)
        return String(repeating: "0", count: max(0, 16 - digits.count)) + digits + "." + kind.rawValue
    }

    func path(in directory: String) -> String { directory + "/" + text }
}

/// How batches reach the disk.
public enum DurableMode: Hashable, Sendable, CustomStringConvertible {
    /// `O_DIRECT|O_DSYNC`: durable when the write returns, past the page cache.
    case direct
    /// A write through the page cache and `fdatasync`, where there is no direct I/O.
    case buffered

    public var description: String {
        switch self {
        case .direct: "O_DIRECT|O_DSYNC"
        case .buffered: "buffered writes and fdatasync"
        }
    }
}

/// A file whose writes are durable when they return.
struct DurableFile {
    let file: any File

    var mode: DurableMode { file.caching == .buffered ? .buffered : .direct }
    var path: String { file.path }

    /// Opens an existing file for durable writes, directly where that is possible.
    init(_ path: String, mode: DurableMode, fileSystem: any FileSystem) throws(FileError) {
        file = try fileSystem.open(path, .readWrite, mode == .direct ? .directDurable : .buffered)
    }

    /// Returns once `bytes` are durable. After an error the file is not touched again.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
        try unsafe file.write(bytes, at: offset)
        if mode == .buffered { try file.synchronize() }
    }

    /// Writes both copies of a header in one go.
    func write(_ header: SegmentHeader) throws(FileError) {
        let buffer = AlignedBuffer(count: JournalLimits.segmentHeaderBytes)
        for copy in 0..<2 {
            let start = copy * JournalLimits.blockBytes
            unsafe header.encode(
                into: UnsafeMutableRawBufferPointer(
                    rebasing: buffer.bytes[start..<start + JournalLimits.blockBytes]))
        }
        try unsafe write(buffer.prefix(JournalLimits.segmentHeaderBytes), at: 0)
    }
}

extension FileSystem {
    /// Opens a file for reading past the page cache where that is possible.
    func openForReading(_ path: String) throws(FileError) -> any File {
        do throws(FileError) {
            return try open(path, .read, .direct)
        } catch {
            guard error.isDirectRefused else { throw error }
            return try open(path, .read, .buffered)
        }
    }
}
