// Which files there are, and what their headers say. Reads only; recovery and the inspector share it.

import Bytes
import Platform

/// A segment file and what its two headers say.
struct SegmentFile: Sendable {
    let id: UInt64
    let path: String
    let bytes: Int
    /// The header to believe: a begun copy before a prepared one; nil when neither copy is whole.
    let header: SegmentHeader?
    /// The copies that are not as the believed one.
    let badCopies: [Int]
    /// A copy in a format that this program is too old for.
    let newerVersion: UInt32?

    /// The header of a segment that holds part of the log.
    var begunHeader: SegmentHeader? {
        guard let header, header.state == .begun else { return nil }
        return header
    }
}

/// The files of a journal's directory.
struct SegmentSurvey: Sendable {
    /// By id.
    var segments: [SegmentFile] = []
    var spares: [UInt64] = []
    var temporaries: [UInt64] = []

    /// Lists the directory and reads every segment's headers.
    ///
    /// With `distrustsCache` each segment is first written out and dropped from the page cache.
    init(
        directory: String, fileSystem: any FileSystem, distrustsCache: Bool
    ) throws(JournalError) {
        let names = try withFileErrors { () throws(FileError) in try fileSystem.list(directory) }
        for name in names.compactMap({ SegmentName($0) }) {
            switch name.kind {
            case .spare: spares.append(name.id)
            case .temporary: temporaries.append(name.id)
            case .segment:
                let path = name.path(in: directory)
                let file = try withFileErrors { () throws(FileError) in
                    if distrustsCache { try fileSystem.distrustCache(of: path) }
                    return try SegmentFile(name.id, path, fileSystem)
                }
                segments.append(file)
            }
        }
        segments.sort { $0.id < $1.id }
    }
}

extension SegmentFile {
    init(_ id: UInt64, _ path: String, _ fileSystem: any FileSystem) throws(FileError) {
        let file = try fileSystem.openForReading(path)
        let buffer = AlignedBuffer(count: JournalLimits.segmentHeaderBytes)
        let count = try unsafe file.read(into: buffer.bytes, at: 0)
        var readings: [SegmentHeader.Reading] = []
        for copy in 0..<2 {
            let end = (copy + 1) * JournalLimits.blockBytes
            let block = unsafe buffer.prefix(end).slice(end - JournalLimits.blockBytes..<end)
            readings.append(count >= end ? unsafe SegmentHeader.decode(block) : .invalid)
        }
        let headers = readings.map { reading -> SegmentHeader? in
            if case .valid(let header) = reading { header } else { nil }
        }
        let believed =
            headers.compactMap(\.self).first { $0.state == .begun } ?? headers.compactMap(\.self).first
        var newer: UInt32?
        for case .newer(let version, _) in readings { newer = version }
        self.init(
            id: id, path: path, bytes: try file.size(), header: believed,
            badCopies: headers.indices.filter { headers[$0] != believed }, newerVersion: newer)
    }
}
