// The segments of a directory put in order, and what their headers must tell.

import Bytes
import Platform

/// The begun segments, which hold the log, and the files behind them.
struct LogSegments: Sendable {
    /// By id, without a gap.
    private(set) var begun: [(file: SegmentFile, header: SegmentHeader)] = []
    /// Files behind the last begun segment that were never begun.
    private(set) var unbegun: [SegmentFile] = []

    /// Sorts a survey and checks names, origin, format and order.
    ///
    /// Without `directoryID` all segments must have the one of the first.
    init(_ survey: SegmentSurvey, directoryID: DirectoryID?) throws(JournalError) {
        let lastBegunID = survey.segments.last { $0.begunHeader != nil }?.id ?? 0
        let expected = directoryID ?? survey.segments.lazy.compactMap(\.header).first?.directoryID
        for file in survey.segments {
            if let version = file.newerVersion {
                throw .newerFormat(path: file.path, version: version, supported: SegmentHeader.version)
            }
            if let header = file.header, let expected {
                guard header.directoryID == expected else {
                    throw .foreign(path: file.path, found: header.directoryID, expected: expected)
                }
                guard header.id == file.id else { throw .misnamed(path: file.path, id: header.id) }
            }
            if let header = file.begunHeader {
                try append(file, header)
            } else if file.id > lastBegunID {
                unbegun.append(file)
            } else {
                throw .headerDamaged(path: file.path, firstLSN: begun.last?.header.firstLSN ?? 1)
            }
        }
    }

    private mutating func append(_ file: SegmentFile, _ header: SegmentHeader) throws(JournalError) {
        if let last = begun.last {
            guard file.id == last.file.id + 1 else {
                throw .segmentMissing(
                    id: last.file.id + 1, firstLSN: last.header.firstLSN, lastLSN: header.firstLSN - 1)
            }
            guard header.firstSequence >= last.header.firstSequence, header.firstLSN >= last.header.firstLSN,
                header.epoch >= last.header.epoch
            else {
                throw .outOfOrder(
                    path: file.path, offset: 0, expectedSequence: last.header.firstSequence,
                    foundSequence: header.firstSequence)
            }
        }
        begun.append((file, header))
    }

    /// A segment without a begun header holds nothing, since the header is durable before the first batch:
    /// a batch there that continues the log shows that the header is damaged.
    func checkUnbegun(_ end: LogEnd, fileSystem: any FileSystem) throws(JournalError) {
        let block = AlignedBuffer(count: JournalLimits.blockBytes)
        for file in unbegun where file.bytes >= JournalLimits.segmentHeaderBytes + JournalLimits.blockBytes {
            try withFileErrors { () throws(FileError) in
                _ = try unsafe fileSystem.openForReading(file.path)
                    .read(into: block.bytes, at: JournalLimits.segmentHeaderBytes)
            }
            let batch = unsafe BatchHeader.decode(
                block.prefix(JournalLimits.blockBytes), bodyBytesMax: JournalLimits.batchBodyBytesMax)
            if let batch, batch.sequence == end.tail.sequence, batch.previousChain == end.tail.chain,
                batch.epoch >= begun.last?.header.epoch ?? 0
            {
                throw .headerDamaged(path: file.path, firstLSN: batch.firstLSN)
            }
        }
    }
}
